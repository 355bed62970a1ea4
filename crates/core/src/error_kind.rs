//! What went wrong, and the text that says it.

use std::fmt;
use std::time::Duration;

use crate::http::{Class, Fault, Problem};

pub(crate) enum Kind {
    Settings(Vec<String>),
    Status {
        status: u16,
        problem: Problem,
        retry_after: Option<Duration>,
    },
    Fault(Fault, String),
    /// The server accepted the work, and it failed there.
    Failed(Problem),
    Answer(String),
    Stopped,
    Unsupported(String),
    Source(Box<dyn std::error::Error + Send + Sync>),
    TooLarge(String),
    Other(String),
}

impl Kind {
    /// The server's own description of what went wrong.
    pub(crate) fn problem(&self) -> Option<&Problem> {
        match self {
            Kind::Status { problem, .. } => Some(problem),
            Kind::Failed(problem) => Some(problem),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Settings(problems) => {
                match problems.len() {
                    1 => f.write_str("1 setting is wrong:")?,
                    n => write!(f, "{n} settings are wrong:")?,
                }
                problems.iter().try_for_each(|p| write!(f, "\n  {p}"))
            }
            Kind::Status {
                status, problem, ..
            } => {
                write!(f, "answered {status}")?;
                write_problem(f, problem)?;
                if problem.class == Class::Unsupported && !problem.is_own {
                    f.write_str(" (this server does not support the route)")?;
                }
                Ok(())
            }
            Kind::Failed(problem) => {
                f.write_str("failed")?;
                write_problem(f, problem)
            }
            Kind::Fault(_, text) | Kind::Answer(text) | Kind::Other(text) => f.write_str(text),
            Kind::Unsupported(text) => f.write_str(text),
            Kind::TooLarge(text) => f.write_str(text),
            Kind::Source(source) => write!(f, "{source}"),
            Kind::Stopped => f.write_str("aborted by a stop request"),
        }
    }
}

/// Writes the server's name for a problem and its message on one line.
fn write_problem(f: &mut fmt::Formatter<'_>, problem: &Problem) -> fmt::Result {
    if let Some(kind) = &problem.kind {
        write!(f, " {kind}")?;
    }
    let lines = problem.message.lines().map(str::trim);
    let mut lines = lines.filter(|line| !line.is_empty());
    if let Some(line) = lines.next() {
        write!(f, ": {line}")?;
    }
    lines.try_for_each(|line| write!(f, "; {line}"))
}
