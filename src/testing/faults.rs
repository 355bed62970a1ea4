//! The faults that the mock platform injects, and which requests they apply to.

use satellite_serve::testing::Fault;

#[derive(Clone, Debug)]
pub(super) struct Rule {
    fault: Fault,
    /// Empty: any method.
    pub(super) method: String,
    /// Part of the path and query.
    pub(super) path: String,
    /// The number of requests that it still applies to; `None`: all.
    pub(super) left: Option<u32>,
}

impl Rule {
    /// Applies to the next request, whichever it is.
    pub(super) fn once(fault: Fault) -> Rule {
        Rule {
            fault,
            method: String::new(),
            path: String::new(),
            left: Some(1),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    /// In the order in which they were added.
    rules: Vec<Rule>,
    /// How often they were cleared.
    pub(super) clears: u64,
}

impl Faults {
    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
        self.clears += 1;
    }

    /// The fault for this request; the oldest matching rule applies.
    pub(super) fn take(&mut self, method: &str, target: &str) -> Option<Fault> {
        let rule = self.rules.iter_mut().find(|rule| {
            (rule.method.is_empty() || rule.method == method)
                && target.contains(&rule.path)
                && rule.left != Some(0)
        })?;
        rule.left = rule.left.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}
