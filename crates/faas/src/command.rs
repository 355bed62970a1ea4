//! Commands as servers accept them: a shell script or a list of arguments.

use satellite_core::http::retry;
use satellite_core::{Error, Result};

/// A server passes a command to a program as one argument, and the kernel limits an
/// argument to 128 KiB.
pub(super) const MAX_COMMAND_LEN: usize = 96 * 1024;

#[derive(Debug, Clone)]
pub(super) enum Form {
    Shell(String),
    Words(Vec<String>),
}

impl Form {
    /// The command as a shell script.
    pub(super) fn text(&self) -> Result<String> {
        let text = match self {
            Form::Shell(text) => text.clone(),
            Form::Words(words) => quoted_words(words),
        };
        let problem = match () {
            () if text.trim().is_empty() => "the command is empty",
            () if text.contains('\0') => "a command cannot contain NUL",
            () if text.len() > MAX_COMMAND_LEN + 4096 => {
                "the command, including stdin, is too long"
            }
            () => return Ok(text),
        };
        Err(Error::settings(vec![format!("command: {problem}")]))
    }

    /// The command as a program and its arguments.
    pub(super) fn words(&self) -> Result<Vec<String>> {
        let text = self.text()?;
        Ok(match self {
            Form::Shell(_) => vec!["sh".into(), "-c".into(), text],
            Form::Words(words) => words.clone(),
        })
    }

    /// The same command with these bytes on its standard input: a shell can print any
    /// byte.
    pub(super) fn reading(&self, stdin: &[u8]) -> Result<Self> {
        let printed = escaped_text(stdin);
        if printed.len() > MAX_COMMAND_LEN {
            let problem = "stdin: too long to be a part of the command".to_owned();
            return Err(Error::settings(vec![problem]));
        }
        let text = self.text()?;
        Ok(Form::Shell(format!("printf '{printed}' | (\n{text}\n)")))
    }

    /// The same command in a directory, with its exit code and a line break after `marker`
    /// at the end of its output. The marker does not begin a line of its own: otherwise
    /// each line break of a stream could be the one before the marker, and would have to be
    /// held back.
    pub(super) fn with_marker(&self, marker: &str, directory: Option<&str>) -> Self {
        let text = match self {
            Form::Shell(text) => text.clone(),
            Form::Words(words) => quoted_words(words),
        };
        let change = match directory {
            Some(directory) => format!("cd -- {} || exit 125\n", quoted(directory)),
            None => String::new(),
        };
        let report = format!("printf '{marker} %d\\n' $code\nexit $code");
        Form::Shell(format!("(\n{change}{text}\n)\ncode=$?\n{report}"))
    }
}

pub(super) fn new_marker() -> String {
    format!("exit-{:016x}", retry::random_bits())
}

/// The output without the marker and what follows it in its line, and the exit code there.
pub(super) fn split_marker(output: &str, marker: &str) -> Option<(String, i32)> {
    let (before, after) = output.rsplit_once(&format!("{marker} "))?;
    let (code, rest) = after.split_once('\n')?;
    Some((before.to_owned() + rest, code.trim().parse().ok()?))
}

fn quoted_words(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    words.join(" ")
}

/// A word, quoted for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:,+@%".contains(&b);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Escapes bytes for the first argument of `printf`, in single quotes.
fn escaped_text(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' => out.push_str("%%"),
            // A leading dash would be parsed as an option.
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
        fn a_shell_passes_arguments_unchanged(word in "[^\0]{0,40}") {
            let form = Form::Words(vec!["printf".into(), "%s".into(), word.clone()]);
            prop_assert_eq!(String::from_utf8(run(&form)).unwrap(), word);
        }

        #[test]
        fn a_command_reads_stdin_unchanged(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let form = Form::Words(vec!["cat".into()]).reading(&bytes).unwrap();
            prop_assert_eq!(run(&form), bytes);
        }

        #[test]
        fn the_marker_reports_the_exit_code_and_keeps_the_output(text in "[a-z\n %]{0,20}", code in 0..=255) {
            let script = format!("printf %s {}; exit {code}", quoted(&text));
            let out = run(&Form::Shell(script).with_marker("mark", None));
            let out = String::from_utf8(out).unwrap();
            prop_assert_eq!(split_marker(&out, "mark"), Some((text, code)));
        }
    }

    #[test]
    fn stdin_that_looks_like_an_option_is_read() {
        let form = Form::Words(vec!["cat".into()]).reading(b"-v x").unwrap();
        assert_eq!(run(&form), b"-v x");
    }

    #[test]
    fn invalid_commands_are_rejected() {
        for form in [
            Form::Shell(" \n".into()),
            Form::Words(Vec::new()),
            Form::Shell("a\0b".into()),
            Form::Shell("a".repeat(MAX_COMMAND_LEN + 5000)),
        ] {
            assert!(form.text().unwrap_err().is_settings());
            assert!(form.words().is_err());
        }
        assert!(Form::Shell("cat".into()).reading(&[0xff; 30_000]).is_err());
    }
}
