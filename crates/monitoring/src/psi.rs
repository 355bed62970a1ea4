//! The population stability index: how far a distribution has moved from the reference.

use std::collections::BTreeMap;

use crate::profile::Shares;

/// A share of 0 counts as this, so that the logarithm stays finite.
const FLOOR: f64 = 1e-6;

/// Categories outside the reference that are counted by name; all further ones share a name.
pub(crate) const MAX_OTHERS: usize = 64;

/// The index of counts against the shares of the same bins.
pub(crate) fn psi(counts: &[u64], reference: &[f64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let pairs = counts.iter().zip(reference);
    pairs
        .map(|(count, reference)| term(share(*count, total), *reference))
        .sum()
}

fn share(count: u64, total: u64) -> f64 {
    match total {
        0 => 0.0,
        total => count as f64 / total as f64,
    }
}

fn term(live: f64, reference: f64) -> f64 {
    let (live, reference) = (live.max(FLOOR), reference.clamp(FLOOR, 1.0));
    (live - reference) * (live / reference).ln()
}

/// How often each category of a distribution was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct CategoryCounts {
    /// In the order of the reference.
    known: Vec<u64>,
    others: BTreeMap<String, u64>,
}

impl CategoryCounts {
    /// `most`: how many categories outside the reference are counted by name.
    pub(crate) fn add(&mut self, category: &str, reference: &Shares, most: usize) {
        let position = reference
            .categories
            .binary_search_by(|known| known.as_str().cmp(category));
        match position {
            Ok(at) => {
                self.known.resize(reference.categories.len(), 0);
                self.known[at] += 1;
            }
            Err(_) => add_name(&mut self.others, category, 1, most),
        }
    }

    pub(crate) fn merge(&mut self, other: &CategoryCounts) {
        merge_counts(&mut self.known, &other.known);
        merge_names(&mut self.others, &other.others);
    }

    pub(crate) fn total(&self) -> u64 {
        self.known.iter().sum::<u64>() + self.others.values().sum::<u64>()
    }

    /// Each category outside the reference is a bin of its own, with a reference share of 0.
    pub(crate) fn psi(&self, reference: &Shares) -> f64 {
        let mut counts = self.known.clone();
        counts.resize(reference.categories.len(), 0);
        counts.extend(self.others.values());
        let mut shares = reference.shares.clone();
        shares.resize(counts.len(), 0.0);
        psi(&counts, &shares)
    }
}

/// Adds the counts of names.
pub(crate) fn merge_names(into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>) {
    for (name, more) in from {
        add_name(into, name, *more, MAX_OTHERS);
    }
}

/// Adds to the count of a name; of more than `most` names, the further ones share one.
pub(crate) fn add_name(counts: &mut BTreeMap<String, u64>, name: &str, more: u64, most: usize) {
    let name: String = name.chars().take(100).collect();
    let name = match counts.len() < most || counts.contains_key(&name) {
        true => name,
        false => "…".to_owned(),
    };
    *counts.entry(name).or_default() += more;
}

/// Adds the counts of the same bins.
pub(crate) fn merge_counts(into: &mut Vec<u64>, from: &[u64]) {
    if into.len() < from.len() {
        into.resize(from.len(), 0);
    }
    for (into, from) in into.iter_mut().zip(from) {
        *into += from;
    }
}
