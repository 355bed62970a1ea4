//! A no-op replacement for the operator's page, without the feature `page`.

use std::fmt;

/// No page.
#[derive(Clone, Debug, Default)]
pub struct Page;

impl Page {
    /// Does nothing.
    pub fn program(&self, _: &str, _: &str) {}

    /// Does nothing.
    pub fn platform(&self, _: &str) {}

    /// Does nothing.
    pub fn connected(&self) {}

    /// Does nothing.
    pub fn disconnected(&self, _: &dyn fmt::Display) {}

    /// Does nothing.
    pub fn task_started(&self, _: &str, _: &str) {}

    /// Does nothing.
    pub fn task_ended(&self, _: &str, _: &str, _: Option<&str>) {}
}
