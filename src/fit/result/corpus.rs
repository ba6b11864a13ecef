//! One corpus: its design, its scales and its compute-optimal frontier.

use serde::{Deserialize, Serialize};

use super::{
    Design, Estimate, Flag, LackOfFit, LadderPath, NextPower, ProfileFit, Refused, SurfaceFit,
};

/// One corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CorpusReport {
    /// The corpus.
    pub corpus: String,
    /// The design by which scales were compared.
    pub design: Design,
    /// Number of runs read.
    pub runs: usize,
    /// Number of budgets found among the runs, those that could not be read included.
    pub budgets: usize,
    /// Number of different labels that the runs of these budgets have.
    pub budget_labels: usize,
    /// Scales read, in the unit of the axis.
    pub scales: Vec<f64>,
    /// Geometric mean of `scales`.
    pub reference_flops: f64,
    /// If true, the aggregate loss contains the tested distributions.
    pub aggregate_from_tested: bool,
    /// Budgets that could not be read.
    pub refused_budgets: Vec<Refused>,
    /// The quantity that grows from rung to rung; `None` for other designs, and where neither size nor training
    /// length does.
    #[serde(default)]
    pub path: Option<LadderPath>,
    /// Least and most passes over the training data; `None` where the table does not say them.
    #[serde(default)]
    pub epochs: Option<[f64; 2]>,
    /// Number of clusters of the variance (CR2) where readings are checkpoints: training runs, or sizes that
    /// have several; `None` where readings stand by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading_clusters: Option<usize>,
    /// Reservations about the runs of the design, which its laws share.
    #[serde(default)]
    pub flags: Vec<Flag>,
    /// The frontier of an IsoFLOP ladder.
    pub frontier: Option<FrontierReport>,
    /// Aggregate loss and size of every run, for plots.
    pub profiles: Vec<ProfilePoint>,
    /// The surface of the aggregate loss over sizes and training lengths.
    pub surface: SurfaceFit,
}

/// One run on the size profile of its budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProfilePoint {
    /// The run.
    pub run: String,
    /// Label of the budget.
    pub budget: f64,
    /// Parameters.
    pub params: f64,
    /// Aggregate loss.
    pub aggregate: f64,
}

/// The compute-optimal frontier of an IsoFLOP ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FrontierReport {
    /// Minimum of each budget, in parameters.
    pub minima: Vec<f64>,
    /// The smoothed frontier at each budget, in parameters.
    pub smoothed: Vec<f64>,
    /// Form in which the size profile of each budget was read.
    pub profiles: Vec<ProfileFit>,
    /// Per budget: true if the smoothed size lies within the sizes trained.
    pub inside: Vec<bool>,
    /// Standard deviation of `ln` minima about the line.
    pub residual_sd: f64,
    /// `d ln N* / d ln C`.
    pub exponent: Estimate,
    /// Size profiles of the log aggregate loss against seed replicates; `None` without replicates.
    pub lack_of_fit: Option<LackOfFit>,
    /// Test of the size profiles of the log aggregate loss for a further power of `ln N`.
    pub next_power: Option<NextPower>,
}
