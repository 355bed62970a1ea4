//! The reference profile of a model: what its inputs and outputs looked like in training.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use crate::matrix::{self, Matrix};

/// Features of a profile that are monitored; the rest is ignored, to bound memory.
const MAX_FEATURES: usize = 512;
/// Bins or categories of one distribution; a larger one is not used.
const MAX_BINS: usize = 1024;
/// Components of the PCA; a larger one is not used.
const MAX_COMPONENTS: usize = 128;

/// A model's `reference_profile.json`.
///
/// Parts that are missing or malformed are left out: the figures that need them are not
/// computed, all others are.
///
/// ```
/// use satellite_monitoring::Profile;
///
/// let profile = Profile::parse(br#"{
///     "task_type": "regression",
///     "feature_summaries": {"numerical_features": {"age": {"min": 18, "max": 75}}}
/// }"#)?;
/// assert_eq!(profile.features().collect::<Vec<_>>(), ["age"]);
/// assert!(Profile::parse(b"[]").is_err());
/// # Ok::<(), satellite_monitoring::InvalidProfile>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    pub(crate) features: Vec<Feature>,
    pub(crate) output: Option<Output>,
    pub(crate) pca: Option<Pca>,
    /// The rules that replace default thresholds.
    pub(crate) thresholds: Value,
}

/// A reference profile that is not a JSON object.
#[derive(Debug)]
pub struct InvalidProfile(String);

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Feature {
    pub(crate) name: String,
    /// Its column, counted from 0, where a model takes all features as one matrix.
    pub(crate) column: usize,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Numerical {
        min: Option<f64>,
        max: Option<f64>,
        bins: Option<Bins>,
    },
    Categorical {
        /// Sorted.
        categories: Vec<String>,
        shares: Option<Shares>,
    },
}

/// A numerical distribution: the bins' edges, and the share of each bin.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bins {
    pub(crate) edges: Vec<f64>,
    pub(crate) shares: Vec<f64>,
}

/// A categorical distribution, sorted by category.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares {
    pub(crate) categories: Vec<String>,
    pub(crate) shares: Vec<f64>,
}

/// The prediction that is monitored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Output {
    pub(crate) name: Option<String>,
    pub(crate) kind: OutputKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OutputKind {
    Numerical(Bins),
    Categorical(Shares),
}

/// The space of the training data's principal components, and its Gaussian there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pca {
    pub(crate) features: Vec<String>,
    pub(crate) scaler_mean: Vec<f64>,
    pub(crate) scaler_scale: Vec<f64>,
    pub(crate) mean: Vec<f64>,
    pub(crate) components: Vec<Vec<f64>>,
    pub(crate) reference_mean: Vec<f64>,
    pub(crate) covariance: Matrix,
    pub(crate) precision: Matrix,
}

impl Profile {
    /// Parses the document.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub fn parse(document: &[u8]) -> Result<Self, InvalidProfile> {
        let parsed: Value =
            serde_json::from_slice(document).map_err(|error| InvalidProfile(error.to_string()))?;
        match parsed.as_object() {
            Some(_) => Ok(Self::of(&parsed)),
            None => Err(InvalidProfile("it is not a JSON object".into())),
        }
    }

    /// Reads a parsed document; what is not as expected is left out.
    pub fn of(document: &Value) -> Self {
        let summaries = &document["feature_summaries"];
        let numerical = entries(&summaries["numerical_features"]).map(|(name, summary)| {
            let kind = Kind::Numerical {
                min: summary["min"].as_f64(),
                max: summary["max"].as_f64(),
                bins: bins(summary),
            };
            feature(name, summary, kind)
        });
        let categorical = entries(&summaries["categorical_features"]).map(|(name, summary)| {
            let kind = Kind::Categorical {
                categories: sorted(texts(&summary["categories"]).unwrap_or_default()),
                shares: shares(summary),
            };
            feature(name, summary, kind)
        });
        let has_task = document["task_type"].is_string();
        Profile {
            features: numerical.chain(categorical).take(MAX_FEATURES).collect(),
            output: output(&document["output_summary"]).filter(|_| has_task),
            pca: pca(&document["pca_profile"]),
            thresholds: document["thresholds"].clone(),
        }
    }

    /// The names of the monitored features.
    pub fn features(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.name.as_str())
    }

    /// Whether any figure needs the inputs or outputs of calls.
    pub fn needs_bodies(&self) -> bool {
        !self.features.is_empty() || self.output.is_some() || self.pca.is_some()
    }
}

impl fmt::Display for InvalidProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the reference profile is invalid: {}", self.0)
    }
}

impl std::error::Error for InvalidProfile {}

impl Profile {
    /// Cells and multiplications for one row of inputs.
    pub(crate) fn work_per_row(&self) -> usize {
        let pca = self.pca.as_ref();
        self.features.len() + pca.map_or(0, |pca| pca.features.len() * pca.components.len())
    }
}

impl Bins {
    /// The bin of a value; values outside the edges are in the first or last one.
    pub(crate) fn bin_of(&self, value: f64) -> usize {
        let above = self.edges.partition_point(|edge| *edge <= value);
        above.saturating_sub(1).min(self.shares.len() - 1)
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flat_map(Map::iter)
}

fn feature(name: &str, summary: &Value, kind: Kind) -> Feature {
    // From 1; without one, the feature has no column in a matrix.
    let position = summary["position"]
        .as_u64()
        .and_then(|at| at.checked_sub(1));
    let column = position.and_then(|at| usize::try_from(at).ok());
    Feature {
        name: name.to_owned(),
        column: column.unwrap_or(usize::MAX),
        kind,
    }
}

fn bins(summary: &Value) -> Option<Bins> {
    let edges = numbers(&summary["bin_edges"])?;
    let shares = numbers(&summary["probabilities"])?;
    let is_usable = (2..=MAX_BINS).contains(&edges.len())
        && shares.len() == edges.len() - 1
        && edges.is_sorted();
    is_usable.then_some(Bins { edges, shares })
}

fn shares(summary: &Value) -> Option<Shares> {
    let object = summary["probabilities"].as_object()?;
    if object.is_empty() || object.len() > MAX_BINS {
        return None;
    }
    let mut pairs: Vec<(String, f64)> = object
        .iter()
        .map(|(name, share)| Some((name.clone(), share.as_f64()?)))
        .collect::<Option<_>>()?;
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    let (categories, shares) = pairs.into_iter().unzip();
    Some(Shares { categories, shares })
}

fn output(summary: &Value) -> Option<Output> {
    let kind = match summary["type"].as_str()? {
        "numerical" => OutputKind::Numerical(bins(&summary["summary"])?),
        "categorical" => OutputKind::Categorical(shares(&summary["summary"])?),
        _ => return None,
    };
    let name = summary["name"].as_str().map(str::to_owned);
    Some(Output { name, kind })
}

fn pca(profile: &Value) -> Option<Pca> {
    let (pca, scaler) = (&profile["pca"], &profile["scaler"]);
    let reference = &profile["reference_distribution"];
    let features = texts(&pca["feature_names"])?;
    let n = features.len();
    let of_length = |value: &Value, length| numbers(value).filter(|list| list.len() == length);
    let scaler_scale = of_length(&scaler["scale_"], n)?;
    let components = rows(&pca["components"], n)?;
    let k = components.len();
    let covariance = rows(&reference["covariance"], k).filter(|rows| rows.len() == k)?;
    let distinct = features.iter().collect::<BTreeSet<_>>().len();
    let is_usable = (1..=MAX_FEATURES).contains(&n)
        && distinct == n
        && (1..=MAX_COMPONENTS).contains(&k)
        && scaler_scale.iter().all(|scale| *scale != 0.0)
        // A component without spread has no scale to measure a distance in.
        && (0..k).all(|i| covariance[i][i] > 0.0);
    if !is_usable {
        return None;
    }
    Some(Pca {
        scaler_mean: of_length(&scaler["mean_"], n)?,
        scaler_scale,
        mean: of_length(&pca["mean_"], n)?,
        reference_mean: of_length(&reference["mean"], k)?,
        precision: matrix::inverse(&covariance)?,
        features,
        components,
        covariance,
    })
}

fn rows(value: &Value, width: usize) -> Option<Matrix> {
    let rows = value.as_array()?.iter();
    rows.map(|row| numbers(row).filter(|row| row.len() == width))
        .collect()
}

fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let texts = value.as_array()?.iter();
    texts.map(|text| Some(text.as_str()?.to_owned())).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}
