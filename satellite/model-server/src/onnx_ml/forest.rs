//! Decision trees, laid out for evaluation. All trees share one array of branches.

use std::fmt::Debug;

use tract_onnx::tract_hir::internal::*;

/// A number that a forest stores or computes with.
pub(super) trait Real: Datum + Copy + PartialOrd + Into<f64> + std::ops::AddAssign {
    /// The nearest number of this type.
    fn nearest(value: f64) -> Self;
}

impl Real for f32 {
    fn nearest(value: f64) -> f32 {
        value as f32
    }
}

impl Real for f64 {
    fn nearest(value: f64) -> f64 {
        value
    }
}

/// How a branch compares the feature with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
    /// Whether the feature is in a set of values.
    Member,
}

/// Where a branch leads: to another branch, or to a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Next(u32);

impl Next {
    const LEAF: u32 = 1 << 31;

    pub(super) fn branch(at: usize) -> TractResult<Next> {
        Ok(Next(Self::fits(at)?))
    }

    pub(super) fn leaf(at: usize) -> TractResult<Next> {
        Ok(Next(Self::fits(at)? | Self::LEAF))
    }

    fn fits(at: usize) -> TractResult<u32> {
        u32::try_from(at)
            .ok()
            .filter(|at| at & Self::LEAF == 0)
            .ok_or_else(|| format_err!("the ensemble has too many nodes"))
    }

    /// The leaf's place, if this is one.
    pub(super) fn as_leaf(self) -> Option<usize> {
        self.is_leaf().then(|| self.index())
    }

    fn is_leaf(self) -> bool {
        self.0 & Self::LEAF != 0
    }

    fn index(self) -> usize {
        (self.0 & !Self::LEAF) as usize
    }
}

/// An inner node.
#[derive(Clone, Debug)]
pub(super) struct Branch<S> {
    pub threshold: S,
    pub feature: u32,
    /// For [`Mode::Member`]: which of the forest's sets.
    pub set: u32,
    pub yes: Next,
    pub no: Next,
    pub mode: Mode,
    /// Whether NaN leads to `yes`.
    pub missing_is_yes: bool,
}

/// What a leaf adds to one of the targets.
#[derive(Clone, Debug)]
pub(super) struct Vote<S> {
    pub target: u32,
    pub weight: S,
}

/// The trees. Checked by [`Forest::new`], so that evaluation always ends.
#[derive(Clone, Debug)]
pub(super) struct Forest<S> {
    branches: Vec<Branch<S>>,
    leaves: Vec<Vec<Vote<S>>>,
    sets: Vec<Vec<S>>,
    roots: Vec<Next>,
    targets: usize,
    columns: usize,
}

impl<S: Real> Forest<S> {
    pub(super) fn new(
        branches: Vec<Branch<S>>,
        leaves: Vec<Vec<Vote<S>>>,
        sets: Vec<Vec<S>>,
        roots: Vec<Next>,
        targets: usize,
    ) -> TractResult<Forest<S>> {
        ensure!(!roots.is_empty(), "the ensemble has no tree");
        let columns = branches
            .iter()
            .map(|b| b.feature as usize + 1)
            .max()
            .unwrap_or(0);
        let forest = Forest {
            branches,
            leaves,
            sets,
            roots,
            targets,
            columns,
        };
        forest.check()?;
        Ok(forest)
    }

    /// How many columns an input must have at least.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn trees(&self) -> usize {
        self.roots.len()
    }

    /// The aggregated votes of all trees for one row, one score for each target.
    pub(super) fn scores<A: Real>(&self, row: &[A], aggregate: Aggregate, scores: &mut [Score<A>]) {
        scores.fill(Score {
            value: A::nearest(0.0),
            any: false,
        });
        for root in &self.roots {
            let mut next = *root;
            while !next.is_leaf() {
                let branch = &self.branches[next.index()];
                next = if self.is_yes(branch, row) {
                    branch.yes
                } else {
                    branch.no
                };
            }
            for vote in &self.leaves[next.index()] {
                let weight = A::nearest(vote.weight.into());
                scores[vote.target as usize].add(weight, aggregate);
            }
        }
    }

    fn is_yes<A: Real>(&self, branch: &Branch<S>, row: &[A]) -> bool {
        let value = row[branch.feature as usize];
        let threshold = A::nearest(branch.threshold.into());
        let holds = match branch.mode {
            Mode::LessOrEqual => value <= threshold,
            Mode::Less => value < threshold,
            Mode::GreaterOrEqual => value >= threshold,
            Mode::Greater => value > threshold,
            Mode::Equal => value == threshold,
            Mode::NotEqual => value != threshold,
            Mode::Member => self.sets[branch.set as usize]
                .iter()
                .any(|v| A::nearest((*v).into()) == value),
        };
        holds || (branch.missing_is_yes && value.into().is_nan())
    }

    /// Rejects references to nothing, and nodes that are reached more than once.
    fn check(&self) -> TractResult<()> {
        for vote in self.leaves.iter().flatten() {
            let (target, targets) = (vote.target, self.targets);
            ensure!(
                (target as usize) < targets,
                "a leaf votes for the target {target}, but there are {targets}"
            );
        }
        for branch in &self.branches {
            let exists = branch.mode != Mode::Member || (branch.set as usize) < self.sets.len();
            ensure!(exists, "a branch compares with a set that does not exist");
        }
        let mut seen = vec![false; self.branches.len()];
        let mut pending = self.roots.clone();
        while let Some(next) = pending.pop() {
            if next.is_leaf() {
                ensure!(
                    next.index() < self.leaves.len(),
                    "a branch leads to no leaf"
                );
                continue;
            }
            let branch = self
                .branches
                .get(next.index())
                .ok_or_else(|| format_err!("a branch leads to no node"))?;
            ensure!(
                !seen[next.index()],
                "a node is reached twice, so this is not a tree"
            );
            seen[next.index()] = true;
            pending.extend([branch.yes, branch.no]);
        }
        Ok(())
    }
}

/// How the votes of several trees make one score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

/// A score, and whether any leaf voted for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Score<A> {
    pub value: A,
    pub any: bool,
}

impl<A: Real> Score<A> {
    fn add(&mut self, weight: A, aggregate: Aggregate) {
        match aggregate {
            Aggregate::Sum | Aggregate::Average => self.value += weight,
            Aggregate::Min if self.any && self.value <= weight => {}
            Aggregate::Max if self.any && self.value >= weight => {}
            Aggregate::Min | Aggregate::Max => self.value = weight,
        }
        self.any = true;
    }
}
