//! The handlers of a worker, by task type.

use super::handler::AnyHandler;

/// Sorted by task type. There are few of them: a list is smaller than a tree, in memory and in
/// code.
#[derive(Default)]
pub(super) struct Handlers(Vec<(String, AnyHandler)>);

impl Handlers {
    /// Replaces an earlier handler of the same type.
    pub(super) fn insert(&mut self, task_type: String, handler: AnyHandler) {
        match self.position(&task_type) {
            Ok(at) => self.0[at].1 = handler,
            Err(at) => self.0.insert(at, (task_type, handler)),
        }
    }

    pub(super) fn get_mut(&mut self, task_type: &str) -> Option<&mut AnyHandler> {
        let at = self.position(task_type).ok()?;
        Some(&mut self.0[at].1)
    }

    pub(super) fn contains(&self, task_type: &str) -> bool {
        self.position(task_type).is_ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(task_type, _)| task_type.as_str())
    }

    /// The types for a log line.
    pub(super) fn list(&self) -> String {
        match self.is_empty() {
            true => "no task type".to_owned(),
            false => self.types().collect::<Vec<_>>().join(", "),
        }
    }

    fn position(&self, task_type: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(other, _)| other.as_str().cmp(task_type))
    }
}
