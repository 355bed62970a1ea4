//! Log lines of a worker: every line of a handler is prefixed with its task id, and
//! every line is escaped so that it cannot forge another.
//!
//! This is the only place where lines are escaped. A logger sees the lines of the kit,
//! of satellites, of handlers and of libraries, with untrusted text from servers and
//! tasks; escaping each value where it is logged would miss some.

use std::cell::RefCell;
use std::fmt;

use log::{LevelFilter, Log, Metadata, Record};

use crate::escaped_text::Escaped;

thread_local! {
    static CURRENT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The id of the task whose handler runs on this thread, for loggers that print
/// it in a separate field.
///
/// ```
/// assert_eq!(satellite_core::current_task_id(), None);
/// ```
pub fn current_task_id() -> Option<String> {
    CURRENT.with_borrow(Clone::clone)
}

/// Wraps a logger: prefixes each line logged while a handler runs with its task id,
/// and escapes each line.
///
/// Text from a platform, a task or a container may contain line breaks, terminal escapes
/// or journald priorities that forge a log line or control the terminal. They are escaped
/// as `\n` and `\u{1b}`, so that each record is one line.
///
/// ```
/// use satellite_core::TaskLog;
///
/// let logger = env_logger::Builder::from_env("RUST_LOG").build();
/// let level = logger.filter();
/// TaskLog::new(logger).install(level);
/// ```
#[derive(Debug)]
pub struct TaskLog<L>(L);

impl<L: Log + 'static> TaskLog<L> {
    /// Wraps `logger`.
    pub fn new(logger: L) -> Self {
        TaskLog(logger)
    }

    /// Installs this as the program's logger, unless there is one already.
    pub fn install(self, level: LevelFilter) {
        self.try_install(level);
    }

    /// Like [`install`](Self::install), but returns false if the program has a logger
    /// already.
    pub fn try_install(self, level: LevelFilter) -> bool {
        let is_first = log::set_boxed_logger(Box::new(self)).is_ok();
        if is_first {
            log::set_max_level(level);
        }
        is_first
    }
}

impl<L: Log> Log for TaskLog<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // A logger may run while the thread and its thread-locals are being destroyed.
        let id = CURRENT.try_with(|c| c.borrow().clone()).ok().flatten();
        let forward = |args: fmt::Arguments<'_>| {
            let mut line = Record::builder();
            line.metadata(record.metadata().clone())
                .module_path(record.module_path())
                .file(record.file())
                .line(record.line());
            self.0.log(&line.args(args).build());
        };
        if !self.0.enabled(record.metadata()) {
            return;
        }
        let args = record.args();
        match id {
            Some(id) => {
                let tagged = Escaped(format_args!("[task {id}] {args}")).to_string();
                forward(format_args!("{tagged}"));
            }
            None => forward(format_args!("{}", Escaped(args))),
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Tags the log lines of this thread with a task id until dropped.
#[derive(Debug)]
pub struct TaskScope;

impl TaskScope {
    /// Tags log lines of this thread with `task_id` until the scope is dropped.
    pub fn enter(task_id: &str) -> Self {
        CURRENT.set(Some(task_id.to_owned()));
        TaskScope
    }
}

impl Drop for TaskScope {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}
