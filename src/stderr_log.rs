//! A logger to stderr, for programs without their own.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::panic;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};

use satellite_core::TaskLog;

/// Installs a logger that writes to stderr, at level `info`. Call it first in `main`.
/// Does nothing if the program already has a logger.
///
/// `RUST_LOG` sets other levels, as in `debug` or `warn,my_crate=debug`. On a
/// terminal, lines have a time (UTC) and colours, unless `NO_COLOR` is set; under
/// systemd they have journald's priorities. The logger is wrapped in [`TaskLog`]: lines
/// of a handler carry the id of its task, and control characters are escaped. A panic
/// is logged as an error, with its backtrace if `RUST_BACKTRACE` enables it.
///
/// ```no_run
/// use satellite_sdk::{Builder, Exit, Task, done};
///
/// fn main() -> Exit {
///     satellite_sdk::log_to_stderr();
///     Builder::new()
///         .handler("echo", |task: Task| done(task.payload))
///         .run()
/// }
/// ```
pub fn log_to_stderr() {
    let directives = env::var("RUST_LOG").unwrap_or_default();
    let (filter, unknown) = Filter::parse(&directives);
    let level = filter.max_level();
    let is_first = TaskLog::new(Stderr {
        filter,
        format: Format::of_stderr(),
    })
    .try_install(level);
    if !is_first {
        return;
    }
    for word in unknown {
        log::warn!("RUST_LOG: ignored {word:?}: expected a level or target=level");
    }
    panic::set_hook(Box::new(log_panic));
}

struct Stderr {
    filter: Filter,
    format: Format,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.filter.level_of(metadata.target())
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // One write, so that lines do not interleave. Errors cannot be reported.
            let line = self.format.line(record);
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

/// The format of a line.
enum Format {
    /// journald adds the time and strips the priority.
    Journal,
    Plain,
    Coloured,
}

impl Format {
    fn of_stderr() -> Self {
        let is_set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        match io::stderr().is_terminal() {
            true if is_set("NO_COLOR") => Format::Plain,
            true => Format::Coloured,
            false if is_set("JOURNAL_STREAM") => Format::Journal,
            false => Format::Plain,
        }
    }

    fn line(&self, record: &Record<'_>) -> String {
        let (level, args) = (record.level(), record.args());
        match self {
            Format::Journal => format!("<{}>{args}\n", priority(level)),
            Format::Plain => format!("{} {level:<5} {args}\n", time_of_day()),
            Format::Coloured => {
                let (time, colour) = (time_of_day(), colour(level));
                format!("{time} {colour}{level:<5}\x1b[0m {args}\n")
            }
        }
    }
}

/// Levels by target prefix, as in `RUST_LOG`.
struct Filter {
    default: LevelFilter,
    targets: Vec<(String, LevelFilter)>,
}

impl Filter {
    /// The filter, and the parts of `text` that are invalid.
    fn parse(text: &str) -> (Self, Vec<String>) {
        let mut filter = Filter {
            default: LevelFilter::Info,
            targets: Vec::new(),
        };
        let mut unknown = Vec::new();
        let words = text.split(',').map(str::trim);
        for word in words.filter(|word| !word.is_empty()) {
            let (target, level) = match word.split_once('=') {
                Some((target, level)) => (Some(target.trim()), level.trim().parse().ok()),
                None => match word.parse() {
                    Ok(level) => (None, Some(level)),
                    Err(_) => (Some(word), Some(LevelFilter::Trace)),
                },
            };
            match (target, level) {
                (None, Some(level)) => filter.default = level,
                (Some(target), Some(level)) if is_target(target) => {
                    filter.targets.push((target.to_owned(), level));
                }
                _ => unknown.push(word.to_owned()),
            }
        }
        (filter, unknown)
    }

    fn level_of(&self, target: &str) -> LevelFilter {
        let matching = self.targets.iter().filter(|(t, _)| target.starts_with(t));
        let closest = matching.max_by_key(|(t, _)| t.len());
        closest.map_or(self.default, |(_, level)| *level)
    }

    fn max_level(&self) -> LevelFilter {
        let levels = self.targets.iter().map(|(_, level)| *level);
        levels.fold(self.default, std::cmp::max)
    }
}

fn is_target(text: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '-');
    !text.is_empty() && text.chars().all(is_part)
}

/// As in `sd-daemon(3)`.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[2m",
    }
}

/// The time of day in UTC. Enough for a terminal, and needs no crate.
fn time_of_day() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let since = since.unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let ms = since.subsec_millis();
    format!("{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

/// Replaces std's hook, which writes the panic message to stderr unescaped.
fn log_panic(panic: &panic::PanicHookInfo<'_>) {
    let text = crate::worker::panic_text(panic.payload());
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("unnamed");
    match panic.location() {
        Some(place) => log::error!("thread {name:?} panicked at {place}: {text}"),
        None => log::error!("thread {name:?} panicked: {text}"),
    }
    let trace = std::backtrace::Backtrace::capture();
    if trace.status() == std::backtrace::BacktraceStatus::Captured {
        for line in trace.to_string().lines() {
            log::error!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rust_log_sets_levels_by_target() {
        let (filter, unknown) =
            Filter::parse("warn, ureq=off,my_crate::sub=debug,my_crate=info,x y");
        assert_eq!(unknown, ["x y"]);
        assert_eq!(filter.level_of("elsewhere"), LevelFilter::Warn);
        assert_eq!(filter.level_of("ureq::pool"), LevelFilter::Off);
        assert_eq!(filter.level_of("my_crate::sub::deep"), LevelFilter::Debug);
        assert_eq!(filter.level_of("my_crate::other"), LevelFilter::Info);
        assert_eq!(filter.max_level(), LevelFilter::Debug);
    }

    #[test]
    fn the_default_level_is_info() {
        let (filter, unknown) = Filter::parse("");
        assert_eq!(filter.level_of("anything"), LevelFilter::Info);
        assert!(unknown.is_empty());
        assert_eq!(
            Filter::parse("my_crate").0.level_of("my_crate"),
            LevelFilter::Trace
        );
        assert_eq!(Filter::parse("my_crate=loud").1, ["my_crate=loud"]);
    }
}
