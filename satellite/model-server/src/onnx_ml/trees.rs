//! The trees of an ensemble, read from the attributes of its node. Thresholds and weights are
//! floats or, where the attributes are tensors of doubles, doubles.

use std::collections::HashMap;

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::forest::{Aggregate, Branch, Forest, Mode, Next, Real, Score, Vote};
use super::values::{attribute_tensor, floats, indices, ints, rows_and_columns, slice, strings};

/// A forest of either precision.
#[derive(Clone, Debug)]
pub(super) enum Trees {
    Single(Forest<f32>),
    Double(Forest<f64>),
}

impl Trees {
    /// Reads the attributes of `TreeEnsembleClassifier` (prefix `class`) or of
    /// `TreeEnsembleRegressor` (prefix `target`).
    pub(super) fn parse(
        context: &ParsingContext<'_>,
        node: &NodeProto,
        prefix: &str,
        targets: usize,
    ) -> TractResult<Trees> {
        let thresholds = attribute_tensor(context, node, "nodes_values_as_tensor")?;
        let weights = attribute_tensor(context, node, &format!("{prefix}_weights_as_tensor"))?;
        if thresholds.is_none() && weights.is_none() {
            let thresholds = floats(node, "nodes_values")?;
            let weights = floats(node, &format!("{prefix}_weights"))?;
            return Ok(Trees::Single(by_ids(
                node,
                prefix,
                targets,
                &thresholds,
                &weights,
            )?));
        }
        let thresholds = doubles(node, thresholds, "nodes_values")?;
        let weights = doubles(node, weights, &format!("{prefix}_weights"))?;
        Ok(Trees::Double(by_ids(
            node,
            prefix,
            targets,
            &thresholds,
            &weights,
        )?))
    }

    /// Reads the attributes of `TreeEnsemble`.
    pub(super) fn parse_by_position(
        context: &ParsingContext<'_>,
        node: &NodeProto,
        targets: usize,
    ) -> TractResult<Trees> {
        let read = |name| {
            attribute_tensor(context, node, name)?
                .ok_or_else(|| format_err!("the attribute {name} is missing"))
        };
        let (thresholds, weights) = (read("nodes_splits")?, read("leaf_weights")?);
        let sets = attribute_tensor(context, node, "membership_values")?;
        let modes = read("nodes_modes")?;
        let modes = slice::<u8>(&modes)?;
        if thresholds.datum_type() == f64::datum_type() {
            let sets = sets.as_ref().map_or(Ok(&[][..]), slice::<f64>)?;
            let (thresholds, weights) = (slice(&thresholds)?, slice(&weights)?);
            return Ok(Trees::Double(by_position(
                node, targets, thresholds, weights, sets, modes,
            )?));
        }
        let (thresholds, weights) = (thresholds.cast_to::<f32>()?, weights.cast_to::<f32>()?);
        let sets = sets
            .map(|sets| sets.cast_to::<f32>().map(|s| s.into_owned()))
            .transpose()?;
        let sets = sets.as_ref().map_or(Ok(&[][..]), slice::<f32>)?;
        let (thresholds, weights) = (slice(&thresholds)?, slice(&weights)?);
        Ok(Trees::Single(by_position(
            node, targets, thresholds, weights, sets, modes,
        )?))
    }

    /// Calls `row` with the scores of each row, computed in the precision of onnxruntime:
    /// doubles for an input of doubles, floats for every other.
    pub(super) fn for_each_row(
        &self,
        input: &Tensor,
        aggregate: Aggregate,
        targets: usize,
        row: impl FnMut(&[Score<f64>]),
    ) -> TractResult<()> {
        match (self, input.datum_type() == f64::datum_type()) {
            (Trees::Single(forest), true) => rows::<_, f64>(forest, input, aggregate, targets, row),
            (Trees::Single(forest), false) => {
                rows::<_, f32>(forest, input, aggregate, targets, row)
            }
            (Trees::Double(forest), true) => rows::<_, f64>(forest, input, aggregate, targets, row),
            (Trees::Double(forest), false) => {
                rows::<_, f32>(forest, input, aggregate, targets, row)
            }
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Trees::Single(forest) => forest.trees(),
            Trees::Double(forest) => forest.trees(),
        }
    }

    /// Rejects, when the model is loaded, an input with fewer columns than the trees read.
    pub(super) fn check_columns(&self, columns: &TDim) -> TractResult<()> {
        let needed = match self {
            Trees::Single(forest) => forest.columns(),
            Trees::Double(forest) => forest.columns(),
        };
        match columns.to_usize() {
            Ok(columns) if columns < needed => {
                bail!("the trees read {needed} columns, the input has {columns}")
            }
            _ => Ok(()),
        }
    }
}

/// The base values of the scores, from floats or from a tensor of doubles.
pub(super) fn base_values(context: &ParsingContext<'_>, node: &NodeProto) -> TractResult<Vec<f64>> {
    let tensor = attribute_tensor(context, node, "base_values_as_tensor")?;
    doubles(node, tensor, "base_values")
}

/// The attribute `aggregate_function`.
pub(super) fn aggregate(node: &NodeProto) -> TractResult<Aggregate> {
    Ok(
        match node
            .get_attr_opt::<&str>("aggregate_function")?
            .unwrap_or("SUM")
        {
            "SUM" => Aggregate::Sum,
            "AVERAGE" => Aggregate::Average,
            "MIN" => Aggregate::Min,
            "MAX" => Aggregate::Max,
            other => bail!("aggregate_function is {other:?}, which ONNX does not define"),
        },
    )
}

fn rows<S: Real, A: Real>(
    forest: &Forest<S>,
    input: &Tensor,
    aggregate: Aggregate,
    targets: usize,
    mut row: impl FnMut(&[Score<f64>]),
) -> TractResult<()> {
    let (_, columns) = rows_and_columns(input)?;
    let needed = forest.columns();
    ensure!(
        columns >= needed,
        "the trees read {needed} columns, the input has {columns}"
    );
    ensure!(columns > 0, "the input has no column");
    let input = input.cast_to::<A>()?;
    let mut scores = vec![
        Score {
            value: A::nearest(0.0),
            any: false
        };
        targets
    ];
    let mut wide = vec![
        Score {
            value: 0.0,
            any: false
        };
        targets
    ];
    for features in slice::<A>(&input)?.chunks_exact(columns) {
        forest.scores(features, aggregate, &mut scores);
        for (wide, score) in wide.iter_mut().zip(&scores) {
            *wide = Score {
                value: score.value.into(),
                any: score.any,
            };
        }
        row(&wide);
    }
    Ok(())
}

fn doubles(node: &NodeProto, tensor: Option<Tensor>, name: &str) -> TractResult<Vec<f64>> {
    match tensor {
        Some(tensor) => Ok(slice::<f64>(&*tensor.cast_to::<f64>()?)?.to_vec()),
        None => Ok(floats(node, name)?.into_iter().map(f64::from).collect()),
    }
}

/// Nodes that name each other by a tree's and a node's number.
fn by_ids<S: Real>(
    node: &NodeProto,
    prefix: &str,
    targets: usize,
    thresholds: &[S],
    weights: &[S],
) -> TractResult<Forest<S>> {
    let trees = ints(node, "nodes_treeids")?;
    let numbers = ints(node, "nodes_nodeids")?;
    let features = indices(node, "nodes_featureids")?;
    let modes = strings(node, "nodes_modes")?;
    let yes = ints(node, "nodes_truenodeids")?;
    let no = ints(node, "nodes_falsenodeids")?;
    let missing = ints(node, "nodes_missing_value_tracks_true")?;
    let count = trees.len();
    let lengths = [
        numbers.len(),
        features.len(),
        modes.len(),
        yes.len(),
        no.len(),
        thresholds.len(),
    ];
    let complete =
        lengths.iter().all(|len| *len == count) && (missing.is_empty() || missing.len() == count);
    node.expect(complete, "lists of nodes_ of one length")?;

    let mut places = HashMap::with_capacity(count);
    let mut roots = Vec::new();
    let mut known_trees = std::collections::HashSet::new();
    let (mut branch_count, mut leaf_count) = (0, 0);
    for at in 0..count {
        let place = if modes[at] == "LEAF" {
            leaf_count += 1;
            Next::leaf(leaf_count - 1)?
        } else {
            branch_count += 1;
            Next::branch(branch_count - 1)?
        };
        let (tree, number) = (trees[at], numbers[at]);
        let is_new = places.insert((tree, number), place).is_none();
        ensure!(is_new, "the tree {tree} has the node {number} twice");
        // The first node of a tree is its root.
        if known_trees.insert(tree) {
            roots.push(place);
        }
    }
    let find = |tree: i64, number: i64| {
        places
            .get(&(tree, number))
            .copied()
            .ok_or_else(|| format_err!("the tree {tree} has no node {number}"))
    };

    let mut branches = Vec::with_capacity(branch_count);
    for at in (0..count).filter(|at| modes[*at] != "LEAF") {
        branches.push(Branch {
            threshold: thresholds[at],
            feature: u32::try_from(features[at])?,
            set: 0,
            yes: find(trees[at], yes[at])?,
            no: find(trees[at], no[at])?,
            mode: named_mode(&modes[at])?,
            missing_is_yes: missing.get(at).is_some_and(|track| *track != 0),
        });
    }

    let vote_trees = ints(node, &format!("{prefix}_treeids"))?;
    let vote_nodes = ints(node, &format!("{prefix}_nodeids"))?;
    let vote_targets = indices(node, &format!("{prefix}_ids"))?;
    let lengths = [vote_nodes.len(), vote_targets.len(), weights.len()];
    let complete = lengths.iter().all(|len| *len == vote_trees.len());
    node.expect(complete, || format!("lists of {prefix}_ of one length"))?;
    let mut leaves = vec![Vec::new(); leaf_count];
    for at in 0..vote_trees.len() {
        let vote = Vote {
            target: u32::try_from(vote_targets[at])?,
            weight: weights[at],
        };
        let place = find(vote_trees[at], vote_nodes[at])?;
        // Like onnxruntime: a weight of an inner node has no effect.
        if let Some(leaf) = place.as_leaf() {
            leaves[leaf].push(vote);
        }
    }
    Forest::new(branches, leaves, vec![], roots, targets)
}

/// Nodes that name each other by their place in the lists; a leaf votes for one target.
fn by_position<S: Real>(
    node: &NodeProto,
    targets: usize,
    thresholds: &[S],
    weights: &[S],
    set_values: &[S],
    modes: &[u8],
) -> TractResult<Forest<S>> {
    let features = indices(node, "nodes_featureids")?;
    let yes = indices(node, "nodes_truenodeids")?;
    let yes_is_leaf = ints(node, "nodes_trueleafs")?;
    let no = indices(node, "nodes_falsenodeids")?;
    let no_is_leaf = ints(node, "nodes_falseleafs")?;
    let missing = ints(node, "nodes_missing_value_tracks_true")?;
    let count = features.len();
    let lengths = [
        yes.len(),
        yes_is_leaf.len(),
        no.len(),
        no_is_leaf.len(),
        thresholds.len(),
        modes.len(),
    ];
    let complete =
        lengths.iter().all(|len| *len == count) && (missing.is_empty() || missing.len() == count);
    node.expect(complete, "lists of nodes_ of one length")?;

    let next = |at: usize, is_leaf: i64| match is_leaf {
        0 => Next::branch(at),
        _ => Next::leaf(at),
    };
    let mut branches = Vec::with_capacity(count);
    let mut set_count = 0;
    for at in 0..count {
        let mode = numbered_mode(modes[at])?;
        branches.push(Branch {
            threshold: thresholds[at],
            feature: u32::try_from(features[at])?,
            set: set_count,
            yes: next(yes[at], yes_is_leaf[at])?,
            no: next(no[at], no_is_leaf[at])?,
            mode,
            missing_is_yes: missing.get(at).is_some_and(|track| *track != 0),
        });
        set_count += u32::from(mode == Mode::Member);
    }
    let roots = indices(node, "tree_roots")?.into_iter().map(Next::branch);
    let roots = roots.collect::<TractResult<Vec<_>>>()?;

    let vote_targets = indices(node, "leaf_targetids")?;
    let complete = vote_targets.len() == weights.len();
    node.expect(complete, "leaf_targetids and leaf_weights of one length")?;
    let leaf = |(target, weight): (&usize, &S)| {
        Ok(vec![Vote {
            target: u32::try_from(*target)?,
            weight: *weight,
        }])
    };
    let leaves = vote_targets
        .iter()
        .zip(weights)
        .map(leaf)
        .collect::<TractResult<Vec<_>>>()?;
    // NaN ends a set.
    let is_end = |value: &S| (*value).into().is_nan();
    let sets = set_values.split(is_end).map(<[S]>::to_vec).collect();
    Forest::new(branches, leaves, sets, roots, targets)
}

fn named_mode(name: &str) -> TractResult<Mode> {
    Ok(match name {
        "BRANCH_LEQ" => Mode::LessOrEqual,
        "BRANCH_LT" => Mode::Less,
        "BRANCH_GTE" => Mode::GreaterOrEqual,
        "BRANCH_GT" => Mode::Greater,
        "BRANCH_EQ" => Mode::Equal,
        "BRANCH_NEQ" => Mode::NotEqual,
        other => bail!("nodes_modes has {other:?}, which ONNX does not define"),
    })
}

fn numbered_mode(number: u8) -> TractResult<Mode> {
    Ok(match number {
        0 => Mode::LessOrEqual,
        1 => Mode::Less,
        2 => Mode::GreaterOrEqual,
        3 => Mode::Greater,
        4 => Mode::Equal,
        5 => Mode::NotEqual,
        6 => Mode::Member,
        other => bail!("nodes_modes has {other}, which ONNX does not define"),
    })
}
