//! Ladders: trained runs and their losses on test distributions, per cluster of items.
//!
//! A [`Ladder`] is the whole input of the estimator. It holds the cost of each run and, for every
//! (run, distribution, cluster of items), two sums: `Σ loss·weight` and `Σ weight`. The error of a
//! run on a distribution is their ratio, `E = Σ loss·weight / Σ weight`. The losses may come from
//! this crate's scorer, from a long CSV ([`Ladder::from_csv`]), from tables in other forms ([`Tables`]) or
//! from any program that fills a [`LadderBuilder`].
//!
//! Order never matters: runs, distributions and clusters are sorted by name, and the sums are
//! carried in double-double arithmetic, so that rows in another order give the same ladder.

mod blocks;
mod builder;
mod cells;
mod column;
mod csv;
mod error;
mod index;
mod names;
mod nearest;
mod record;
mod repeats;
mod rows;
mod run;
mod runs;
mod source;
mod sum;
mod table;
mod tables;

use std::collections::BTreeSet;

pub use builder::LadderBuilder;
pub use error::LadderError;
pub use run::{FlopConvention, Run, Scale};
pub use runs::{RunTable, TrainedRun};
pub use tables::Tables;

use sum::Sum;

/// The two sums of one (run, distribution, cluster).
// Non-exhaustive: the builder makes cells, readers only look at them.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
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
    /// Sampling variance of `loss`, `Σ (weight·standard error)²`, if every row has a standard error.
    pub variance: Option<f64>,
}

/// All cells of one distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    name: String,
    clusters: Vec<String>,
    cells: Vec<Cell>,
    chance: Option<f64>,
    scorer: Option<String>,
    /// A run with a row whose number of items is not known.
    unweighted: Option<String>,
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

    /// Loss of a model that knows nothing, if the ladder states it.
    #[must_use]
    pub fn chance(&self) -> Option<f64> {
        self.chance
    }

    /// Name of the scorer behind the losses, if the ladder states it. Two names are two units.
    #[must_use]
    pub fn scorer(&self) -> Option<&str> {
        self.scorer.as_deref()
    }

    /// The first run, if there is one, with a row that had no weight in its table and cannot be a single item
    /// (its loss is neither 0 nor 1). An error rate cannot be fitted to such rows.
    #[must_use]
    pub fn unweighted(&self) -> Option<&str> {
        self.unweighted.as_deref()
    }

    /// The cells, sorted by run and then by cluster.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells of one run, sorted by cluster; empty where the run was not scored.
    #[must_use]
    pub fn run(&self, run: usize) -> &[Cell] {
        // Cells are sorted by run: a scan would make every loop over runs quadratic.
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
/// use relscale::ladder::{Ladder, Run, Scale};
///
/// let mut builder = Ladder::builder();
/// let scale = Scale { params: 1e8, tokens: 2e9, flops: 1.2e18 };
/// builder.run(Run::new("small", scale).corpus("web"))?;
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
    scale_name: Option<String>,
    runs: Vec<Run>,
    scores: Vec<Scores>,
}

impl Ladder {
    /// An empty builder.
    #[must_use]
    pub fn builder() -> LadderBuilder {
        LadderBuilder::default()
    }

    /// Name given by the caller, such as that of a file; it appears in results.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Meaning of the FLOPs.
    #[must_use]
    pub fn flop_convention(&self) -> FlopConvention {
        self.flop_convention
    }

    /// Name of the scale in words, where it is not training compute: `"test-time tokens"`, `"share of
    /// data kept"`. The `flops` of the runs then hold that quantity.
    #[must_use]
    pub fn scale_name(&self) -> Option<&str> {
        self.scale_name.as_deref()
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

    /// The same ladder with `run` held out: predicted and never fitted ([`Run::held_out`]).
    ///
    /// # Errors
    /// [`LadderError::UnknownRun`].
    pub fn hold_out(mut self, run: &str) -> Result<Self, LadderError> {
        let of = |r: &&mut Run| r.id == run;
        let found = self.runs.iter_mut().find(of);
        let unknown = || LadderError::UnknownRun { run: run.into() };
        found.ok_or_else(unknown)?.held_out = true;
        Ok(self)
    }

    /// Error of a run on a distribution over everything scored, `Σ loss·weight / Σ weight`.
    #[must_use]
    pub fn error(&self, run: &str, distribution: &str) -> Option<f64> {
        let at = self.runs.iter().position(|r| r.id == run)?;
        let cells = self.distribution(distribution)?.run(at);
        (!cells.is_empty()).then(|| mean(cells))
    }
}

/// `Σ loss / Σ weight` over cells.
fn mean(cells: &[Cell]) -> f64 {
    let loss: Sum = cells.iter().map(|c| c.loss).collect();
    let weight: Sum = cells.iter().map(|c| c.weight).collect();
    loss.value() / weight.value()
}
