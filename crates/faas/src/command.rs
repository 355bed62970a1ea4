//! Commands as servers take them: a text for a shell, or words.

use satellite_core::http::retry;
use satellite_core::{Error, Result};

/// A server hands a command to a program as one argument: more than 128 KiB
/// of that no kernel takes.
pub(super) const LONGEST: usize = 96 * 1024;

#[derive(Debug, Clone)]
pub(super) enum Form {
    Shell(String),
    Words(Vec<String>),
}

impl Form {
    /// As one text for a shell.
    pub(super) fn text(&self) -> Result<String> {
        let text = match self {
            Form::Shell(text) => text.clone(),
            Form::Words(words) => quoted_words(words),
        };
        let problem = match () {
            () if text.trim().is_empty() => "there is nothing to run",
            () if text.contains('\0') => "no command can hold NUL",
            () if text.len() > LONGEST + 4096 => "more than a command can hold, stdin included",
            () => return Ok(text),
        };
        Err(Error::settings(vec![format!("command: {problem}")]))
    }

    /// As a program and its arguments.
    pub(super) fn words(&self) -> Result<Vec<String>> {
        let text = self.text()?;
        Ok(match self {
            Form::Shell(_) => vec!["sh".into(), "-c".into(), text],
            Form::Words(words) => words.clone(),
        })
    }

    /// The same, reading these bytes: any byte can be printed by a shell.
    pub(super) fn reading(&self, stdin: &[u8]) -> Result<Self> {
        let printed = escaped_text(stdin);
        if printed.len() > LONGEST {
            let problem = "stdin: more than a command can hold".to_owned();
            return Err(Error::settings(vec![problem]));
        }
        let text = self.text()?;
        Ok(Form::Shell(format!("printf '{printed}' | (\n{text}\n)")))
    }

    /// The same in a folder, its exit code behind `mark` in a last line.
    pub(super) fn marked(&self, mark: &str, folder: Option<&str>) -> Self {
        let text = match self {
            Form::Shell(text) => text.clone(),
            Form::Words(words) => quoted_words(words),
        };
        let change = match folder {
            Some(folder) => format!("cd -- {} || exit 125\n", quoted(folder)),
            None => String::new(),
        };
        let tell = format!("printf '\\n{mark} %d\\n' $code\nexit $code");
        Form::Shell(format!("(\n{change}{text}\n)\ncode=$?\n{tell}"))
    }
}

pub(super) fn new_mark() -> String {
    format!("exit-{:016x}", retry::random_bits())
}

/// The output before the mark, and the exit code behind it.
pub(super) fn unmarked(output: &str, mark: &str) -> Option<(String, i32)> {
    let (before, behind) = output.rsplit_once(&format!("\n{mark} "))?;
    let (code, rest) = behind.split_once('\n')?;
    Some((before.to_owned() + rest, code.trim().parse().ok()?))
}

fn quoted_words(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// A word as a shell takes it for itself.
fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:,+@%".contains(&b);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// For the first argument of `printf`, in single quotes.
fn escaped_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' => out.push_str("%%"),
            // A dash in front would be an option.
            b'\n' | b' '..=b'~' if !b"-'\\".contains(byte) => out.push(char::from(*byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn run(form: &Form) -> Vec<u8> {
        let text = form.text().unwrap();
        Command::new("sh")
            .arg("-c")
            .arg(text)
            .output()
            .unwrap()
            .stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_shell_hands_on_the_words_as_they_are(word in "[^\0]{0,40}") {
            let form = Form::Words(vec!["printf".into(), "%s".into(), word.clone()]);
            prop_assert_eq!(String::from_utf8(run(&form)).unwrap(), word);
        }

        #[test]
        fn a_command_reads_the_bytes_as_they_are(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let form = Form::Words(vec!["cat".into()]).reading(&bytes).unwrap();
            prop_assert_eq!(run(&form), bytes);
        }

        #[test]
        fn the_mark_tells_the_exit_code_and_leaves_the_output(text in "[a-z\n %]{0,20}", code in 0..=255) {
            let script = format!("printf %s {}; exit {code}", quoted(&text));
            let out = run(&Form::Shell(script).marked("mark", None));
            let out = String::from_utf8(out).unwrap();
            prop_assert_eq!(unmarked(&out, "mark"), Some((text, code)));
        }
    }

    #[test]
    fn a_command_reads_what_looks_like_an_option() {
        let form = Form::Words(vec!["cat".into()]).reading(b"-v x").unwrap();
        assert_eq!(run(&form), b"-v x");
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        for form in [
            Form::Shell(" \n".into()),
            Form::Words(Vec::new()),
            Form::Shell("a\0b".into()),
            Form::Shell("a".repeat(LONGEST + 5000)),
        ] {
            assert!(form.text().unwrap_err().is_settings());
            assert!(form.words().is_err());
        }
        assert!(Form::Shell("cat".into()).reading(&[0xff; 30_000]).is_err());
    }
}
