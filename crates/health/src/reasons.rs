//! Reasons by name.

use std::borrow::Cow;

use miniserde::Serialize;
use miniserde::ser::{Fragment, Map};

/// Pairs of name and reason, sorted by name. There are few of them: a list is smaller than a
/// tree, in memory and in code.
#[derive(Clone, Default)]
pub(crate) struct Reasons(pub(crate) Vec<(String, String)>);

impl Reasons {
    pub(crate) fn set(&mut self, name: &str, reason: &str) {
        match self.position(name) {
            Ok(at) => self.0[at].1 = reason.to_owned(),
            Err(at) => self.0.insert(at, (name.to_owned(), reason.to_owned())),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            self.0.remove(at);
        }
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0
            .binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}

/// A JSON object.
impl Serialize for Reasons {
    fn begin(&self) -> Fragment<'_> {
        Fragment::Map(Box::new(Entries(self.0.iter())))
    }
}

struct Entries<'a>(std::slice::Iter<'a, (String, String)>);

impl Map for Entries<'_> {
    fn next(&mut self) -> Option<(Cow<'_, str>, &dyn Serialize)> {
        let (name, reason) = self.0.next()?;
        Some((Cow::Borrowed(name), reason))
    }
}
