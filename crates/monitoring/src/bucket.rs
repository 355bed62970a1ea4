//! The aggregates of a span of time. They can be merged, so a window is the sum of its buckets.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::calls::Calls;
use crate::event::Event;
use crate::multivariate::Projections;
use crate::observe::{Cell, Inputs, predictions};
use crate::profile::{Feature, Kind, Output, OutputKind, Profile};
use crate::psi::{CategoryCounts, MAX_OTHERS, add_name, merge_counts, merge_names};
use crate::sketch::Sketch;

/// The work of summarising one call, in cells and multiplications: of more rows than that, the
/// first ones are summarised.
const MAX_WORK: usize = 1_000_000;

/// Categories outside the reference that all features together count by name, for data quality
/// and again for drift. Callers choose them, and each takes up to 400 bytes.
const MAX_OTHERS_IN_ALL: usize = 8192;

/// What happened to a deployment during some time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Bucket {
    pub(crate) calls: Calls,
    /// Calls whose bodies were summarised.
    pub(crate) summarised: u64,
    /// In the order of the profile.
    pub(crate) features: Vec<FeatureCounts>,
    pub(crate) output: OutputCounts,
    pub(crate) projections: Projections,
}

/// The values of one feature.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FeatureCounts {
    pub(crate) observations: u64,
    pub(crate) missing: u64,
    pub(crate) mismatched: u64,
    pub(crate) below: u64,
    pub(crate) above: u64,
    pub(crate) unseen: u64,
    pub(crate) bins: Vec<u64>,
    pub(crate) categories: CategoryCounts,
    /// Unseen categories by name, bounded.
    pub(crate) unseen_names: BTreeMap<String, u64>,
}

/// The predictions.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct OutputCounts {
    pub(crate) bins: Vec<u64>,
    pub(crate) values: Sketch,
    pub(crate) categories: CategoryCounts,
}

impl Bucket {
    /// Adds the bodies of a call.
    pub(crate) fn summarise(&mut self, event: &Event, profile: &Profile) {
        if let Some(inputs) = event.inputs.as_deref().and_then(Inputs::parse) {
            self.summarised += 1;
            self.add_inputs(&inputs, profile);
        }
        if let (Some(output), Some(body)) = (&profile.output, &event.outputs) {
            if event.is_success() {
                self.output.add(body, output);
            }
        }
    }

    fn add_inputs(&mut self, inputs: &Inputs, profile: &Profile) {
        let rows = MAX_WORK / profile.work_per_row().max(1);
        let features = profile.features.iter();
        let others = (MAX_OTHERS_IN_ALL / features.len().max(1)).min(MAX_OTHERS);
        self.features
            .resize_with(profile.features.len(), FeatureCounts::default);
        for (counts, feature) in self.features.iter_mut().zip(features) {
            for cell in inputs.of(feature).cells().take(rows) {
                counts.add(cell, feature, others);
            }
        }
        let Some(pca) = &profile.pca else { return };
        let column_of = |name: &String| {
            let feature = profile.features.iter().find(|f| f.name == *name);
            inputs.column(name, feature.map_or(usize::MAX, |f| f.column))
        };
        let columns: Vec<_> = pca.features.iter().map(column_of).collect();
        let complete = columns.iter().map(|column| column.len()).min();
        let rows = complete.unwrap_or(0).min(rows);
        let mut row = Vec::with_capacity(columns.len());
        for at in 0..rows {
            row.clear();
            row.extend(columns.iter().map_while(|column| match column.get(at) {
                Cell::Number(value) => Some(value),
                _ => None,
            }));
            // A distance needs a complete row.
            if row.len() == columns.len() {
                self.projections.add(&row, pca);
            }
        }
    }

    pub(crate) fn merge(&mut self, other: &Bucket) {
        self.calls.merge(&other.calls);
        self.summarised += other.summarised;
        let most = self.features.len().max(other.features.len());
        self.features.resize_with(most, FeatureCounts::default);
        for (into, from) in self.features.iter_mut().zip(&other.features) {
            into.merge(from);
        }
        self.output.merge(&other.output);
        self.projections.merge(&other.projections);
    }
}

impl FeatureCounts {
    fn add(&mut self, cell: Cell<'_>, feature: &Feature, others: usize) {
        self.observations += 1;
        match (&feature.kind, cell) {
            (_, Cell::Missing) => self.missing += 1,
            (Kind::Numerical { min, max, bins }, Cell::Number(value)) => {
                self.below += u64::from(min.is_some_and(|min| value < min));
                self.above += u64::from(max.is_some_and(|max| value > max));
                if let Some(bins) = bins {
                    self.bins.resize(bins.shares.len(), 0);
                    self.bins[bins.bin_of(value)] += 1;
                }
            }
            (Kind::Categorical { categories, shares }, Cell::Text(text)) => {
                if categories
                    .binary_search_by(|c| c.as_str().cmp(text))
                    .is_err()
                {
                    self.unseen += 1;
                    add_name(&mut self.unseen_names, text, 1, others);
                }
                if let Some(shares) = shares {
                    self.categories.add(text, shares, others);
                }
            }
            _ => self.mismatched += 1,
        }
    }

    fn merge(&mut self, other: &FeatureCounts) {
        self.observations += other.observations;
        self.missing += other.missing;
        self.mismatched += other.mismatched;
        self.below += other.below;
        self.above += other.above;
        self.unseen += other.unseen;
        merge_counts(&mut self.bins, &other.bins);
        self.categories.merge(&other.categories);
        merge_names(&mut self.unseen_names, &other.unseen_names);
    }
}

impl OutputCounts {
    fn add(&mut self, body: &[u8], output: &Output) {
        predictions(body, output.name.as_deref(), |value| match &output.kind {
            OutputKind::Numerical(bins) => {
                if let Some(value) = value.as_f64() {
                    self.values.insert(value);
                    self.bins.resize(bins.shares.len(), 0);
                    self.bins[bins.bin_of(value)] += 1;
                }
            }
            OutputKind::Categorical(shares) => match value {
                Value::String(text) => self.categories.add(text, shares, MAX_OTHERS),
                // Classes are often numbers, which a profile can only write as text.
                Value::Number(_) | Value::Bool(_) => {
                    let text = value.to_string();
                    if shares.categories.binary_search(&text).is_ok() {
                        self.categories.add(&text, shares, MAX_OTHERS);
                    }
                }
                _ => {}
            },
        });
    }

    fn merge(&mut self, other: &OutputCounts) {
        merge_counts(&mut self.bins, &other.bins);
        self.values.merge(&other.values);
        self.categories.merge(&other.categories);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn callers_cannot_fill_the_memory_with_names_of_categories() {
        let names = || (0..512).map(|n| format!("f{n}"));
        let summary = json!({ "categories": ["a"], "probabilities": { "a": 1.0 } });
        let features: Map<_, _> = names().map(|name| (name, summary.clone())).collect();
        let profile = Profile::of(&json!({
            "feature_summaries": { "categorical_features": features },
        }));
        let mut bucket = Bucket::default();
        for call in 0..30 {
            let inputs: Map<_, _> = names()
                .map(|name| (name, json!([format!("{call}{}", "ä".repeat(150))])))
                .collect();
            let event = Event {
                inputs: Some(json!({ "inputs": inputs }).to_string().into()),
                ..Event::default()
            };
            bucket.summarise(&event, &profile);
        }
        let named = bucket.features.iter().map(|f| f.unseen_names.len());
        // One more in each for all further ones.
        assert!(named.sum::<usize>() <= MAX_OTHERS_IN_ALL + 512);
        let longest = bucket.features[0]
            .unseen_names
            .keys()
            .map(String::len)
            .max();
        assert!(longest <= Some(200), "{longest:?}");
        let counted = bucket.features.iter().map(|f| f.unseen);
        assert_eq!(counted.sum::<u64>(), 30 * 512, "all are counted");
    }
}
