//! Ladders: trained runs and their losses on test distributions, per cluster of items.
//!
//! A [`Ladder`] is the whole input of the estimator. It holds what each run cost and, for every
//! (run, distribution, cluster of items), two sums: `Σ loss·weight` and `Σ weight`. The error of a
//! run on a distribution is their ratio, `E = Σ loss·weight / Σ weight`. Nothing here knows how the
//! losses were made: they come from this crate's scorer, from a long CSV ([`Ladder::from_csv`]) or
//! from any other evaluation.
//!
//! Order never matters: runs, distributions and clusters are sorted by name, and the sums are
//! carried in double-double arithmetic, so that rows in another order give the same ladder.

mod csv;
mod error;
mod newlines;
mod runs;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

pub use error::LadderError;
pub use runs::{RunTable, Trained};

/// One trained model (or one checkpoint of a training run).
///
/// **Units**: `budget` and `flops` in FLOPs, or in whatever positive quantity the ladder is scaled
/// along; `params` in parameters, `tokens` in training tokens. All four are finite and positive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Run {
    /// Name of the run, unique in the ladder.
    pub id: String,
    /// Training corpus, or arm of an experiment; every corpus is fitted by itself.
    pub corpus: String,
    /// Label of the compute budget: runs with one label are compared over sizes.
    pub budget: f64,
    /// Training compute as logged.
    pub flops: f64,
    /// Model size.
    pub params: f64,
    /// Training tokens.
    pub tokens: f64,
    /// Seed, if known. Runs that differ in nothing else are replicates.
    pub seed: Option<u64>,
    /// Training run that this checkpoint belongs to; `None` where the run stands by itself.
    pub trajectory: Option<String>,
    /// Whether the run is a target to predict and never enters a fit.
    #[serde(default)]
    pub held_out: bool,
}

impl Run {
    /// A run without a seed that is the only checkpoint of its training run.
    #[must_use]
    pub fn new(
        id: impl Into<String>,
        corpus: impl Into<String>,
        budget: f64,
        flops: f64,
        params: f64,
        tokens: f64,
    ) -> Self {
        Self {
            id: id.into(),
            corpus: corpus.into(),
            budget,
            flops,
            params,
            tokens,
            seed: None,
            trajectory: None,
            held_out: false,
        }
    }

    /// Corpus, name, budget, FLOPs, parameters, tokens and seed as tables have them, in front.
    pub(crate) fn fields(&self) -> [String; 7] {
        [
            self.corpus.clone(),
            self.id.clone(),
            format!("{:e}", self.budget),
            format!("{:e}", self.flops),
            self.params.to_string(),
            self.tokens.to_string(),
            self.seed.map_or_else(String::new, |s| s.to_string()),
        ]
    }

    /// Trajectory, FLOP convention and whether it is held out, as tables have them behind.
    pub(crate) fn last_fields(&self, convention: FlopConvention) -> [&str; 3] {
        [
            self.trajectory.as_deref().unwrap_or(""),
            convention.as_str(),
            if self.held_out { "true" } else { "" },
        ]
    }

    /// The same run with a seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The same run as a target to predict.
    #[must_use]
    pub fn with_held_out(mut self) -> Self {
        self.held_out = true;
        self
    }

    /// The same run as a checkpoint of the training run `trajectory`.
    #[must_use]
    pub fn with_trajectory(mut self, trajectory: impl Into<String>) -> Self {
        self.trajectory = Some(trajectory.into());
        self
    }
}

/// What the FLOPs of a ladder count. Exponents do not depend on it as long as it is one
/// convention throughout; every absolute axis does, so it is a field and never a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlopConvention {
    /// Not stated.
    #[default]
    Unspecified,
    /// Forward and backward passes of training as logged or computed layer by layer.
    Training,
    /// Forward passes only (a third of training, nearly).
    ForwardOnly,
    /// The approximation 6·parameters·tokens.
    #[serde(rename = "6nd")]
    SixNd,
    /// The axis is not training compute (test-time compute, parameters, data, ...).
    Other,
}

impl FlopConvention {
    /// The name used in files: `unspecified`, `training`, `forward_only`, `6nd` or `other`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Training => "training",
            Self::ForwardOnly => "forward_only",
            Self::SixNd => "6nd",
            Self::Other => "other",
        }
    }

    /// The convention with this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Unspecified,
            Self::Training,
            Self::ForwardOnly,
            Self::SixNd,
            Self::Other,
        ]
        .into_iter()
        .find(|c| c.as_str() == name)
    }
}

/// The two sums of one (run, distribution, cluster).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    /// Index into [`Ladder::runs`].
    pub run: usize,
    /// Index into [`Scores::clusters`].
    pub cluster: usize,
    /// `Σ loss·weight` over the rows of the cell, finite and not negative.
    pub loss: f64,
    /// `Σ weight` over the rows of the cell, finite and positive.
    pub weight: f64,
    /// Number of rows. A cell with fewer rows than its cluster has in other runs misses items.
    pub rows: u64,
}

/// All cells of one distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    name: String,
    clusters: Vec<String>,
    cells: Vec<Cell>,
}

impl Scores {
    /// Name of the distribution.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the clusters, sorted. A distribution given as one aggregate has the one cluster `""`.
    #[must_use]
    pub fn clusters(&self) -> &[String] {
        &self.clusters
    }

    /// The cells, sorted by run and then by cluster.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells of one run, sorted by cluster; empty where the run was not scored.
    #[must_use]
    pub fn run(&self, run: usize) -> &[Cell] {
        let start = self.cells.partition_point(|c| c.run < run);
        let end = self.cells.partition_point(|c| c.run <= run);
        &self.cells[start..end]
    }
}

/// Runs and their losses, checked and in canonical order.
///
/// # Examples
///
/// ```
/// use relscale::ladder::{Ladder, Run};
///
/// let mut builder = Ladder::builder();
/// builder.run(Run::new("small", "web", 1e18, 1e18, 1e8, 2e9))?;
/// builder.score("small", "news", "article-1", 2.0, 100.0)?;
/// builder.score("small", "news", "article-2", 4.0, 300.0)?;
/// let ladder = builder.build()?;
/// assert_eq!(ladder.error("small", "news"), Some(3.5));
/// # Ok::<(), relscale::ladder::LadderError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder {
    name: String,
    flop_convention: FlopConvention,
    runs: Vec<Run>,
    scores: Vec<Scores>,
}

impl Ladder {
    /// An empty builder.
    #[must_use]
    pub fn builder() -> LadderBuilder {
        LadderBuilder::default()
    }

    /// Name given by the caller (a file name, say); it appears in results and errors.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the FLOPs count.
    #[must_use]
    pub fn flop_convention(&self) -> FlopConvention {
        self.flop_convention
    }

    /// The runs, sorted by corpus, budget, size and name.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Names of the corpora, sorted.
    #[must_use]
    pub fn corpora(&self) -> Vec<&str> {
        let set: BTreeSet<&str> = self.runs.iter().map(|r| r.corpus.as_str()).collect();
        set.into_iter().collect()
    }

    /// The distributions, sorted by name.
    #[must_use]
    pub fn scores(&self) -> &[Scores] {
        &self.scores
    }

    /// Names of the distributions, sorted.
    pub fn distributions(&self) -> impl Iterator<Item = &str> {
        self.scores.iter().map(Scores::name)
    }

    /// The cells of one distribution.
    #[must_use]
    pub fn distribution(&self, name: &str) -> Option<&Scores> {
        let at = self
            .scores
            .binary_search_by(|s| s.name.as_str().cmp(name))
            .ok()?;
        self.scores.get(at)
    }

    /// Error of a run on a distribution over everything scored, `Σ loss·weight / Σ weight`.
    #[must_use]
    pub fn error(&self, run: &str, distribution: &str) -> Option<f64> {
        let at = self.runs.iter().position(|r| r.id == run)?;
        let cells = self.distribution(distribution)?.run(at);
        let loss: Sum = cells.iter().map(|c| c.loss).collect();
        let weight: Sum = cells.iter().map(|c| c.weight).collect();
        (!cells.is_empty()).then(|| loss.value() / weight.value())
    }
}

/// Collects runs and scores; [`build`](Self::build) checks them.
#[derive(Debug, Clone, Default)]
pub struct LadderBuilder {
    name: String,
    flop_convention: FlopConvention,
    runs: Vec<Run>,
    run_index: HashMap<String, usize>,
    distributions: Vec<String>,
    distribution_index: HashMap<String, usize>,
    clusters: Vec<String>,
    cluster_index: HashMap<String, usize>,
    cells: HashMap<(usize, usize, usize), Accumulator>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Accumulator {
    loss: Sum,
    weight: Sum,
    rows: u64,
}

impl LadderBuilder {
    /// Names the ladder.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = name.into();
        self
    }

    /// States what the FLOPs count.
    pub fn flop_convention(&mut self, convention: FlopConvention) -> &mut Self {
        self.flop_convention = convention;
        self
    }

    /// Adds a run.
    ///
    /// # Errors
    ///
    /// An empty or repeated name, or a budget, FLOPs, parameter or token count that is not finite
    /// and positive.
    pub fn run(&mut self, run: Run) -> Result<&mut Self, LadderError> {
        if run.id.is_empty() || run.corpus.is_empty() {
            return Err(LadderError::EmptyName {
                what: if run.id.is_empty() { "run" } else { "corpus" },
            });
        }
        for (what, value) in [
            ("budget", run.budget),
            ("flops", run.flops),
            ("params", run.params),
            ("tokens", run.tokens),
        ] {
            if !(value.is_normal() && value > 0.0) {
                return Err(LadderError::RunField {
                    run: run.id,
                    what,
                    value,
                });
            }
        }
        if self.run_index.contains_key(&run.id) {
            return Err(LadderError::DuplicateRun { run: run.id });
        }
        self.run_index.insert(run.id.clone(), self.runs.len());
        self.runs.push(run);
        Ok(self)
    }

    /// Adds one row: the mean error `loss` of something with the normaliser `weight`.
    ///
    /// Rows of one (run, distribution, cluster) add up. **Units**: `loss` per unit of weight (bits
    /// per byte, nats per item, ...), at least 0; `weight` in bytes, tokens or items, above 0.
    ///
    /// # Errors
    ///
    /// A run that was not added, an empty distribution name, a loss that is negative or not finite,
    /// a weight that is not positive and finite.
    pub fn score(
        &mut self,
        run: &str,
        distribution: &str,
        cluster: &str,
        loss: f64,
        weight: f64,
    ) -> Result<&mut Self, LadderError> {
        let Some(&r) = self.run_index.get(run) else {
            return Err(LadderError::UnknownRun { run: run.into() });
        };
        if distribution.is_empty() {
            return Err(LadderError::EmptyName {
                what: "distribution",
            });
        }
        let bad = |what, value| LadderError::ScoreField {
            run: run.into(),
            distribution: distribution.into(),
            what,
            value,
        };
        if !(loss.is_finite() && loss >= 0.0) {
            return Err(bad("loss", loss));
        }
        if !(weight.is_normal() && weight > 0.0) {
            return Err(bad("weight", weight));
        }
        let total = loss * weight;
        if !total.is_finite() {
            return Err(bad("loss times weight", total));
        }
        let d = intern(
            &mut self.distributions,
            &mut self.distribution_index,
            distribution,
        );
        let c = intern(&mut self.clusters, &mut self.cluster_index, cluster);
        let cell = self.cells.entry((d, r, c)).or_default();
        cell.loss.add(total);
        cell.weight.add(weight);
        cell.rows += 1;
        Ok(self)
    }

    /// Checks and sorts.
    ///
    /// # Errors
    ///
    /// A ladder without runs or scores, and a (run, distribution) whose error is not finite. An error
    /// of zero is a fact about an error rate; of any other loss, the fit refuses it.
    pub fn build(self) -> Result<Ladder, LadderError> {
        if self.runs.is_empty() {
            return Err(LadderError::Empty { what: "runs" });
        }
        if self.cells.is_empty() {
            return Err(LadderError::Empty { what: "scores" });
        }
        let mut order: Vec<usize> = (0..self.runs.len()).collect();
        order.sort_by(|&a, &b| {
            let (a, b) = (&self.runs[a], &self.runs[b]);
            (a.corpus.cmp(&b.corpus))
                .then(a.budget.total_cmp(&b.budget))
                .then(a.params.total_cmp(&b.params))
                .then(a.id.cmp(&b.id))
        });
        let mut rank = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old] = new;
        }
        let mut by_name: BTreeMap<&str, Vec<(usize, &str, &Accumulator)>> = BTreeMap::new();
        for (&(d, r, c), cell) in &self.cells {
            by_name.entry(&self.distributions[d]).or_default().push((
                rank[r],
                &self.clusters[c],
                cell,
            ));
        }
        let mut scores = Vec::with_capacity(by_name.len());
        for (name, mut rows) in by_name {
            rows.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
            let names: BTreeSet<&str> = rows.iter().map(|r| r.1).collect();
            let clusters: Vec<String> = names.into_iter().map(String::from).collect();
            let mut cells = Vec::with_capacity(rows.len());
            for (run, cluster, cell) in rows {
                let cluster = clusters.partition_point(|c| c.as_str() < cluster);
                cells.push(Cell {
                    run,
                    cluster,
                    loss: cell.loss.value(),
                    weight: cell.weight.value(),
                    rows: cell.rows,
                });
            }
            scores.push(Scores {
                name: name.into(),
                clusters,
                cells,
            });
        }
        let runs: Vec<Run> = order.iter().map(|&r| self.runs[r].clone()).collect();
        for s in &scores {
            for (r, run) in runs.iter().enumerate() {
                let cells = s.run(r);
                if cells.is_empty() {
                    continue;
                }
                let loss: Sum = cells.iter().map(|c| c.loss).collect();
                let weight: Sum = cells.iter().map(|c| c.weight).collect();
                let value = loss.value() / weight.value();
                if !(value == 0.0 || value.is_normal() && value > 0.0) {
                    return Err(LadderError::NotPositive {
                        run: run.id.clone(),
                        distribution: s.name.clone(),
                        value,
                    });
                }
            }
        }
        Ok(Ladder {
            name: self.name,
            flop_convention: self.flop_convention,
            runs,
            scores,
        })
    }
}

fn intern(names: &mut Vec<String>, index: &mut HashMap<String, usize>, name: &str) -> usize {
    if let Some(&i) = index.get(name) {
        return i;
    }
    let i = names.len();
    names.push(name.into());
    index.insert(name.into(), i);
    i
}

/// A sum in double-double arithmetic. Plain summation depends on the order of the rows in its last
/// digits; this one does so only with a probability of about `n·2⁻⁵³`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sum {
    high: f64,
    low: f64,
}

impl Sum {
    pub(crate) fn add(&mut self, value: f64) {
        let s = self.high + value;
        let b = s - self.high;
        self.low += (self.high - (s - b)) + (value - b);
        self.high = s;
    }

    pub(crate) fn value(self) -> f64 {
        // An overflow leaves NaN in `low`; the infinity is the honest value.
        if self.high.is_finite() {
            self.high + self.low
        } else {
            self.high
        }
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(iter: I) -> Self {
        let mut sum = Self::default();
        for v in iter {
            sum.add(v);
        }
        sum
    }
}
