//! The labels of classes, integers or strings.

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::values::{ints, strings, tensor};

/// The labels of a classifier's classes, in the order of its scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Strings(Vec<String>),
}

impl Labels {
    /// Reads the labels from the two attributes that may hold them.
    pub(super) fn parse(node: &NodeProto, int_name: &str, string_name: &str) -> TractResult<Self> {
        match (ints(node, int_name)?, strings(node, string_name)?) {
            (ints, strings) if strings.is_empty() => Ok(Labels::Ints(ints)),
            (ints, strings) if ints.is_empty() => Ok(Labels::Strings(strings)),
            _ => node.bail(&format!(
                "only one of {int_name} and {string_name} may be set"
            )),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Labels::Ints(labels) => labels.len(),
            Labels::Strings(labels) => labels.len(),
        }
    }

    pub(super) fn datum_type(&self) -> DatumType {
        match self {
            Labels::Ints(_) => i64::datum_type(),
            Labels::Strings(_) => String::datum_type(),
        }
    }

    /// One label for each row, by the row's class. The class must be below [`Self::len`].
    pub(super) fn of(&self, classes: &[usize]) -> TractResult<Tensor> {
        let missing = || format_err!("a class has no label; there are {}", self.len());
        let rows = [classes.len()];
        match self {
            Labels::Ints(labels) => {
                let chosen = classes
                    .iter()
                    .map(|c| labels.get(*c).copied().ok_or_else(missing));
                tensor(&rows, chosen.collect::<TractResult<Vec<_>>>()?)
            }
            Labels::Strings(labels) => {
                let chosen = classes
                    .iter()
                    .map(|c| labels.get(*c).cloned().ok_or_else(missing));
                tensor(&rows, chosen.collect::<TractResult<Vec<_>>>()?)
            }
        }
    }

    /// The labels of a classifier with one score and no two labels of its own: 0 and 1.
    pub(super) fn or_zero_and_one(self) -> Labels {
        match self {
            Labels::Ints(labels) if labels.len() != 2 => Labels::Ints(vec![0, 1]),
            Labels::Strings(labels) if labels.len() != 2 => {
                Labels::Strings(vec!["0".to_owned(), "1".to_owned()])
            }
            two => two,
        }
    }
}
