//! The id of the task at hand in every log line of its handler.

use std::cell::RefCell;

use log::{LevelFilter, Log, Metadata, Record};

thread_local! {
    static CURRENT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The id of the task whose handler runs on this thread: for loggers that
/// print it in a field of their own.
///
/// ```
/// assert_eq!(satellite_sdk::current_task_id(), None);
/// ```
pub fn current_task_id() -> Option<String> {
    CURRENT.with_borrow(Clone::clone)
}

/// Any logger, with the id of the task at hand before each line of its handler,
/// whoever wrote it.
///
/// ```
/// use satellite_sdk::TaskLog;
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

    /// Makes this the program's logger, unless it has one already.
    pub fn install(self, level: LevelFilter) {
        if log::set_boxed_logger(Box::new(self)).is_ok() {
            log::set_max_level(level);
        }
    }
}

impl<L: Log> Log for TaskLog<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        // A logger may run while the thread, and its locals, are being torn down.
        let id = CURRENT.try_with(|c| c.borrow().clone()).ok().flatten();
        match id {
            Some(id) => {
                let mut tagged = Record::builder();
                tagged
                    .metadata(record.metadata().clone())
                    .module_path(record.module_path())
                    .file(record.file())
                    .line(record.line());
                let args = record.args();
                self.0
                    .log(&tagged.args(format_args!("[task {id}] {args}")).build());
            }
            None => self.0.log(record),
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Until dropped, what this thread logs belongs to a task.
pub(super) struct Scope;

impl Scope {
    pub(super) fn enter(task_id: &str) -> Self {
        CURRENT.set(Some(task_id.to_owned()));
        Scope
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}
