//! What commands print: tables and lines for people, JSON for programs, progress and
//! colours only on a terminal, and errors with their exit code.
//!
//! Results go to standard output; progress, notes, questions and errors go to standard
//! error, so that a pipe contains only results.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::Args;
use satellite_sdk::Error;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

/// The exit code when the reader of standard output has gone away: 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// The option that selects the form of a result.
#[derive(Args, Debug, Clone, Copy, Default)]
pub struct Format {
    /// Prints JSON for programs instead of text for people
    #[arg(long)]
    pub json: bool,
}

impl Format {
    /// Prints a value: as JSON with `--json`, otherwise as the text that `text` returns.
    /// An empty text prints nothing.
    pub fn print<T: Serialize + ?Sized>(
        self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        match self.json {
            true => json(value),
            false => match text() {
                text if text.is_empty() => Ok(()),
                text => line(text),
            },
        }
    }

    /// Prints one item of a stream: with `--json` as one line of JSON.
    pub fn item<T: Serialize + ?Sized>(
        self,
        item: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Problem> {
        match self.json {
            true => line(serde_json::to_string(item).map_err(Error::from)?),
            false => line(text()),
        }
    }
}

/// Prints a value as indented JSON.
pub fn json(value: &(impl Serialize + ?Sized)) -> Result<(), Problem> {
    line(serde_json::to_string_pretty(value).map_err(Error::from)?)
}

/// Prints a line to standard output at once, also into a pipe.
pub fn line(text: impl fmt::Display) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    Ok(stdout.flush()?)
}

/// Prints text to standard output as it is.
pub fn raw(text: &str) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints text to standard error as it is.
pub fn raw_error(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints a line for people to standard error.
pub fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Text from elsewhere as one line that a terminal does not interpret: control characters
/// and characters that reorder text are escaped.
pub fn visible(text: &str) -> String {
    let is_escaped = |c: char| {
        c.is_control()
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_escaped(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// A table for people: columns as wide as their widest cell, without lines, so that
/// programs such as `awk` can read it too.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column titles.
    pub fn new(head: impl IntoIterator<Item = &'static str>) -> Self {
        Table {
            head: head.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. An empty cell is shown as `-`.
    pub fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cells = cells.into_iter().map(|cell| {
            let cell: String = cell.into();
            match cell.is_empty() {
                true => "-".to_owned(),
                false => visible(&cell),
            }
        });
        self.rows.push(cells.collect());
    }

    /// The text of the table, its titles in bold on a terminal; `none` if it has no rows.
    pub fn text_or(&self, none: &str) -> String {
        match self.rows.is_empty() {
            true => none.to_owned(),
            false => self.render(stdout_has_colours()),
        }
    }

    fn render(&self, is_bold: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let cells = cells.map(|cell| cell.width());
            cells.chain([self.head[column].width()]).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        let head: Vec<_> = self.head.iter().map(|title| (*title).to_owned()).collect();
        let mut lines = vec![aligned(&head, &widths)];
        if is_bold {
            lines[0] = format!("\u{1b}[1m{}\u{1b}[0m", lines[0]);
        }
        lines.extend(self.rows.iter().map(|row| aligned(row, &widths)));
        lines.join("\n")
    }
}

fn aligned(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let gap = width + 2 - cell.width().min(*width);
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', gap));
    }
    line.truncate(line.trim_end().len());
    line
}

/// Whether standard output is a terminal that may get colours. `NO_COLOR` with any text
/// in it, and `TERM=dumb`, turn them off.
pub fn stdout_has_colours() -> bool {
    io::stdout().is_terminal() && may_colour()
}

fn stderr_has_colours() -> bool {
    io::stderr().is_terminal() && may_colour()
}

fn may_colour() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The progress of a wait: one line on the terminal of standard error that each message
/// replaces. Without a terminal nothing is shown.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    is_dirty: bool,
}

impl Progress {
    /// Progress on standard error, if that is a terminal.
    pub fn new() -> Self {
        Progress {
            is_shown: io::stderr().is_terminal(),
            is_dirty: false,
        }
    }

    /// Whether there is a terminal to show it.
    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    /// Replaces the line.
    pub fn show(&mut self, text: impl fmt::Display) {
        if self.is_shown {
            let text = visible(&text.to_string());
            // Without wrapping: only one line could be replaced.
            let _ = write!(io::stderr(), "\r\u{1b}[K\u{1b}[?7l{text}\u{1b}[?7h");
            let _ = io::stderr().flush();
            self.is_dirty = true;
        }
    }

    /// Removes the line; do this before something else is printed.
    pub fn clear(&mut self) {
        if self.is_dirty {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
            let _ = io::stderr().flush();
            self.is_dirty = false;
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress::new()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Asks before something that cannot be undone or costs money. `--yes` skips the question.
///
/// # Errors
/// If the answer is not yes, or if standard input is not a terminal.
pub fn confirm(question: impl fmt::Display, yes: bool) -> Result<(), Problem> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Problem::new(format_args!(
            "{question} Nobody can answer, because standard input is not a terminal: add --yes"
        )));
    }
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Problem::new("not confirmed: nothing was changed")),
    }
}

/// Why a command fails: its message, already without secrets, and its exit code.
#[derive(Debug)]
pub struct Problem {
    message: String,
    code: u8,
}

impl Problem {
    /// An error with exit code 1.
    pub fn new(message: impl fmt::Display) -> Self {
        Problem {
            message: message.to_string(),
            code: 1,
        }
    }

    /// Wrong arguments that the parser cannot detect: exit code 2, as from the parser.
    pub fn usage(message: impl fmt::Display) -> Self {
        Problem::new(message).with_code(2)
    }

    /// A wait that a signal has ended: `message` says what continues, and the exit code is
    /// 128 + the signal.
    pub fn interrupted(message: impl fmt::Display, code: u8) -> Self {
        Problem::new(message).with_code(code)
    }

    /// The same error with another exit code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Its exit code.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// Prints the message to standard error and returns the exit code.
    pub fn report(&self) -> ExitCode {
        if self.code != BROKEN_PIPE {
            let title = match (self.code, stderr_has_colours()) {
                (129.., _) => "interrupted",
                (_, true) => "\u{1b}[1;31merror\u{1b}[0m",
                (_, false) => "error",
            };
            // Only an error of several settings has several lines.
            let lines: Vec<_> = self.message.lines().map(visible).collect();
            note(format_args!("{title}: {}", lines.join("\n  ")));
        }
        ExitCode::from(self.code)
    }
}

/// 77 for a rejected token, 78 for wrong settings, 130 for a call that Ctrl-C has cancelled,
/// otherwise 1.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let code = match &error {
            error if error.is_stopped() => 130,
            error if error.is_settings() => 78,
            error if error.is_refused_token() => 77,
            _ => 1,
        };
        Problem::new(error).with_code(code)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Problem::new("").with_code(BROKEN_PIPE),
            _ => Problem::new(error),
        }
    }
}

/// Ends a command: reports its error, if any.
pub fn end(result: Result<ExitCode, Problem>) -> ExitCode {
    result.unwrap_or_else(|problem| problem.report())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_on_a_terminal() {
        let mut table = Table::new(["NAME", "STATUS", "NOTE"]);
        table.row(["a", "UP", ""]);
        table.row(["世界", "STOPPED", "x"]);
        assert_eq!(
            table.render(false),
            "NAME  STATUS   NOTE\n\
             a     UP       -\n\
             世界  STOPPED  x"
        );
        let bold = table.render(true);
        assert!(bold.starts_with("\u{1b}[1mNAME  STATUS   NOTE\u{1b}[0m\na "));
    }

    #[test]
    fn a_cell_cannot_send_commands_to_the_terminal_or_begin_a_line() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\u{1b}[2Jb\nc\u{202e}"]);
        assert_eq!(table.render(false), "NAME\na\\u{1b}[2Jb\\nc\\u{202e}");
    }

    #[test]
    fn a_table_without_rows_says_so() {
        assert_eq!(Table::new(["NAME"]).text_or("no clusters"), "no clusters");
    }

    #[test]
    fn a_reader_that_has_gone_away_is_no_error_to_print() {
        let gone = Problem::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.code(), 141);
    }
}
