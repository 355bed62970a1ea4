//! The script that runs a command on a cluster, and what it prints.
//!
//! The server merges both output streams of a job and does not return an exit code. So the
//! job is a wrapper script that marks its lines: it either records both streams and prints
//! them at the end in base64, or prints each line as soon as the command has printed it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use satellite_core::{Error, Result};

/// A line that a command has printed, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputLine {
    /// To its standard output.
    Stdout(String),
    /// To its standard error.
    Stderr(String),
}

/// The wrapper script of a command.
pub(super) fn script(command: &str, limit: Option<Duration>, live: bool, marker: &str) -> String {
    let command = BASE64.encode(command);
    let limit = limit.map(|limit| limit.as_secs().max(1));
    let limit = limit.map_or(String::new(), |s| format!("timeout -k 5 {s} "));
    let run = match live {
        false => format!(
            "{limit}bash \"$d/c\" >\"$d/1\" 2>\"$d/2\" </dev/null\n\
             c=$?\n\
             for s in 1 2; do base64 -w 3000 \"$d/$s\" | sed \"s/^/{marker}:$s:/\"; done\n\
             echo\n\
             echo \"{marker}:x:$c:$(wc -c <\"$d/1\"):$(wc -c <\"$d/2\")\"\n"
        ),
        // The last part of a line that was overwritten is kept, as on a terminal. A process
        // that the command left in the background may keep the streams open for ever.
        true => format!(
            "mkfifo \"$d/1\" \"$d/2\"\n\
             for s in 1 2; do sed -u \"s/\\r\\$//;s/.*\\r//;s/^/{marker}:l$s:/\" <\"$d/$s\" & p=\"$p $!\"; done\n\
             {limit}bash \"$d/c\" >\"$d/1\" 2>\"$d/2\" </dev/null\n\
             c=$?\n\
             n=0\n\
             while [ $n -lt 200 ] && kill -0 $p 2>/dev/null; do sleep 0.05; n=$((n+1)); done\n\
             kill $p 2>/dev/null\n\
             echo\n\
             echo \"{marker}:x:$c\"\n"
        ),
    };
    format!(
        "d=$(mktemp -d)\n\
         printf %s '{command}' | base64 -d >\"$d/c\"\n\
         {run}\
         rm -rf \"$d\"\n"
    )
}

/// A line of a job's log as people read it: without the marks of a live command, and with
/// its exit code in words.
pub(super) fn unmarked(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let mark = after.get(..16).filter(|mark| mark.bytes().all(is_hex));
        let kind = mark.and_then(|_| after[16..].strip_prefix(':')?.split_once(':'));
        rest = match kind {
            Some(("l1" | "l2", text)) => text,
            Some(("x", codes)) => {
                out.push_str("exit code ");
                codes.split(':').next().unwrap_or_default()
            }
            _ => {
                out.push('@');
                after
            }
        };
    }
    out + rest
}

/// How a command has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) exit_code: i32,
    /// Both streams byte by byte, if the script has recorded them.
    pub(super) stdout: Option<String>,
    pub(super) stderr: Option<String>,
}

/// The data received so far of both streams.
pub(super) struct Received<'a> {
    marker: &'a str,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl<'a> Received<'a> {
    pub(super) fn new(marker: &'a str) -> Self {
        Received {
            marker,
            stdout: Vec::new(),
            stderr: Vec::new(),
        }
    }

    /// Parses one line of the log, ignoring everything before the marker. The last line
    /// returns the result.
    pub(super) fn add_line(
        &mut self,
        line: &str,
        on_line: &mut impl FnMut(OutputLine),
    ) -> Option<Result<Ended>> {
        // Two streams that end without a line break share a line.
        let mut marked = line.split(self.marker);
        marked.next();
        marked.find_map(|marked| {
            let (kind, rest) = marked.strip_prefix(':')?.split_once(':')?;
            let stream = match kind {
                "l1" => return self.live(OutputLine::Stdout(rest.to_owned()), on_line),
                "l2" => return self.live(OutputLine::Stderr(rest.to_owned()), on_line),
                "1" => &mut self.stdout,
                "2" => &mut self.stderr,
                "x" => return Some(self.end(rest, on_line)),
                _ => return None,
            };
            match BASE64.decode(rest.trim()) {
                Ok(bytes) => stream.extend(bytes),
                Err(_) => return Some(Err(Error::new("the output of the command is malformed"))),
            }
            None
        })
    }

    fn live<T>(&self, line: OutputLine, on_line: &mut impl FnMut(OutputLine)) -> Option<T> {
        on_line(line);
        None
    }

    fn end(&self, text: &str, on_line: &mut impl FnMut(OutputLine)) -> Result<Ended> {
        let numbers: Vec<usize> = text
            .split(':')
            .filter_map(|n| n.trim().parse().ok())
            .collect();
        let (code, stdout, stderr) = match numbers[..] {
            [code] => {
                return Ok(Ended {
                    exit_code: code as i32,
                    stdout: None,
                    stderr: None,
                });
            }
            [code, stdout, stderr] => (code, stdout, stderr),
            _ => return Err(Error::new("the exit code of the command is malformed")),
        };
        if (stdout, stderr) != (self.stdout.len(), self.stderr.len()) {
            return Err(Error::new(format_args!(
                "received {} of {stdout} bytes of stdout and {} of {stderr} bytes of stderr",
                self.stdout.len(),
                self.stderr.len(),
            )));
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
        stdout
            .lines()
            .for_each(|line| on_line(OutputLine::Stdout(line.to_owned())));
        stderr
            .lines()
            .for_each(|line| on_line(OutputLine::Stderr(line.to_owned())));
        Ok(Ended {
            exit_code: code as i32,
            stdout: Some(stdout),
            stderr: Some(stderr),
        })
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const MARKER: &str = "@0123";

    /// Runs the wrapper locally and formats its lines like a job's log.
    fn run(command: &str, limit: Option<Duration>, live: bool) -> (Ended, Vec<OutputLine>) {
        let script = script(command, limit, live, MARKER);
        let out = Command::new("bash").arg("-c").arg(script).output().unwrap();
        assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");
        let log = String::from_utf8(out.stdout).unwrap();
        let mut received = Received::new(MARKER);
        let mut printed = Vec::new();
        let mut on_line = |line| printed.push(line);
        let mut lines = log.lines().map(|line| format!("(exec, pid=7) {line}"));
        let end = lines.find_map(|line| received.add_line(&line, &mut on_line));
        (end.unwrap().unwrap(), printed)
    }

    fn stdout(line: &str) -> OutputLine {
        OutputLine::Stdout(line.to_owned())
    }

    #[test]
    fn the_exit_code_and_both_streams_are_separated() {
        let command = "echo \"it's\" $HOME >/dev/null; printf 'a\nb'; echo é >&2; exit 7";
        let (ended, lines) = run(command, None, false);
        assert_eq!(ended.exit_code, 7);
        assert_eq!(ended.stdout.as_deref(), Some("a\nb"));
        assert_eq!(ended.stderr.as_deref(), Some("é\n"));
        let error = OutputLine::Stderr("é".into());
        assert_eq!(lines, [stdout("a"), stdout("b"), error.clone()]);

        let (ended, mut lines) = run(command, None, true);
        assert_eq!((ended.exit_code, ended.stdout), (7, None));
        assert!(lines.contains(&error), "{lines:?}");
        lines.retain(|line| *line != error);
        assert_eq!(lines, [stdout("a"), stdout("b")]);
    }

    #[test]
    fn large_output_is_complete() {
        let expected: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
        let (ended, _) = run("seq 100000; seq 3 >&2", None, false);
        assert_eq!(ended.stdout.as_deref(), Some(expected.as_str()));
        assert_eq!(ended.stderr.as_deref(), Some("1\n2\n3\n"));
        let (_, lines) = run("seq 100000", None, true);
        let lines: String = lines
            .into_iter()
            .map(|line| match line {
                OutputLine::Stdout(text) => text + "\n",
                OutputLine::Stderr(text) => panic!("{text}"),
            })
            .collect();
        assert!(
            lines == expected,
            "{} of {} bytes",
            lines.len(),
            expected.len()
        );
    }

    #[test]
    fn a_command_that_exceeds_its_timeout_is_killed() {
        for live in [false, true] {
            let (ended, lines) = run("echo begun; sleep 30", Some(Duration::from_secs(1)), live);
            assert_eq!((ended.exit_code, &lines[..]), (124, &[stdout("begun")][..]));
        }
    }

    #[test]
    fn a_live_line_is_what_a_terminal_would_show_in_the_end() {
        let (_, lines) = run("printf '10%%\\r100%%\\r\\nnext\\n'", None, true);
        assert_eq!(lines, [stdout("100%"), stdout("next")]);
    }

    #[test]
    fn streams_that_end_without_a_line_break_are_separated() {
        let mut received = Received::new("@m");
        let mut lines = Vec::new();
        received.add_line("(pid=1) @m:l1:a@m:l2:b", &mut |line| lines.push(line));
        assert_eq!(lines, [stdout("a"), OutputLine::Stderr("b".into())]);
    }

    #[test]
    fn a_log_for_people_has_no_marks() {
        let mark = "@0123456789abcdef";
        for (line, shown) in [
            (
                format!("(exec, pid=7) {mark}:l1:a@b:c"),
                "(exec, pid=7) a@b:c",
            ),
            (format!("{mark}:l1:a{mark}:l2:b"), "ab"),
            (format!("(exec) {mark}:x:7:3:2"), "(exec) exit code 7"),
            (
                "me@host: @0123456789abcdef @é".to_owned(),
                "me@host: @0123456789abcdef @é",
            ),
        ] {
            assert_eq!(unmarked(&line), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn text_without_marks_is_unchanged(line in "[a@:é0x1l ]{0,40}") {
            proptest::prop_assert_eq!(unmarked(&line), line);
        }
    }

    #[test]
    fn truncated_output_is_an_error() {
        let mut received = Received::new("@m");
        let mut ignored = |_| ();
        assert!(
            received
                .add_line("(pid=1) @m:1:YWJj", &mut ignored)
                .is_none()
        );
        let end = received
            .add_line("(pid=1) @m:x:0:6:0", &mut ignored)
            .unwrap();
        assert!(
            end.unwrap_err()
                .to_string()
                .contains("3 of 6 bytes of stdout")
        );
    }
}
