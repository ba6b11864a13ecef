//! The diagnostics of a relative law: sources of its variance, and checks of the line and its readings.

use serde::{Deserialize, Serialize};

use super::{Estimate, Interval};

/// Sources of the variance of a relative law, and checks of its line and readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Diagnostics {
    /// Variance of `delta_beta` by source.
    pub variance: VarianceComponents,
    /// Quadratic term of `ln G` in the log scale.
    pub curvature: Curvature,
    /// Local exponents between neighbouring scales; empty on grids.
    pub local_exponents: Vec<f64>,
    /// Size profiles of `ln G` against seed replicates; `None` without replicates, for other designs
    /// and for readings at the best run.
    pub lack_of_fit: Option<LackOfFit>,
    /// Test of the size profiles of `ln G` for a further power of `ln N`; `None` for other designs and
    /// for readings at the best run.
    pub next_power: Option<NextPower>,
    /// The law without each reading in turn.
    pub leave_one_out: LeaveOneOut,
    /// Runs that their size profile, or the line, does not expect; the largest first.
    pub outlying_runs: Vec<OutlyingRun>,
    /// Enumerations and resampling, as second opinions.
    pub resampling: Resampling,
    /// Contribution of the items.
    pub items: ItemReport,
    /// Predictions of the largest scales from the others.
    pub backtest: Backtest,
}

/// Variance of `delta_beta` by source; `total` is `max(R + item − idiosyncratic, R, item)` with
/// `R = run + frontier + specification`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct VarianceComponents {
    /// Scatter of the readings about the line; on grids with the effect that a size has on all its
    /// readings.
    pub run: f64,
    /// Error of the frontier.
    pub frontier: f64,
    /// Share of the squared difference to the specification check: a quarter on IsoFLOP ladders.
    pub specification: f64,
    /// Sampling of item clusters.
    pub item: f64,
    /// Item-by-run noise that `run` already contains.
    pub idiosyncratic: f64,
    /// Variance that the interval uses.
    pub total: f64,
}

/// The quadratic term of `ln G` in the log scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Curvature {
    /// Coefficient of the squared, centred log scale; `None` with fewer than four readings.
    pub coefficient: Option<Estimate>,
    /// If true, the p-value of the coefficient is below 0.05.
    pub questioned: bool,
    /// AICc of the constant, the power law and the quadratic, in that order (`None`: too few readings).
    pub aicc: [Option<f64>; 3],
}

/// F test of the polynomials over `ln N`, one per budget, against pure error: the spread of runs
/// that differ in nothing but the seed. Sums run over the budgets that have such runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LackOfFit {
    /// Budgets with replicates.
    pub budgets: usize,
    /// Mean square of the distances of replicate means from the polynomial over the mean square of
    /// replicates about their means.
    pub f: f64,
    /// Degrees of freedom of the numerator.
    pub df: usize,
    /// Degrees of freedom of the denominator.
    pub pure_df: usize,
    /// Standard deviation of a run about the mean of its replicates.
    pub pure_sd: f64,
    /// Chance of a larger F if the polynomials hold.
    pub p_value: f64,
}

/// F test of `(ln N)^power`, the power after the last of the polynomials over `ln N`, one per budget:
/// its coefficient is common to all budgets. Where budgets are read by different degrees, each degree
/// has its own. The residuals that it explains are those that no line over budgets shows.
///
/// # References
///
/// J. B. Ramsey (1969), *JRSS B* 31:350, of which this is the case with known regressors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NextPower {
    /// Budgets read by a polynomial.
    pub budgets: usize,
    /// The (highest) power tested.
    pub power: usize,
    /// Its coefficient.
    pub coefficient: f64,
    /// Mean square explained over the mean square left.
    pub f: f64,
    /// Degrees of freedom of the numerator: powers tested.
    pub df: usize,
    /// Degrees of freedom of the denominator.
    pub residual_df: usize,
    /// Chance of a larger F if the polynomials hold.
    pub p_value: f64,
}

/// The law without each reading in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LeaveOneOut {
    /// `Δβ` without each reading.
    pub delta_beta: Vec<f64>,
    /// Least of these values.
    pub lower: f64,
    /// Greatest of these values.
    pub upper: f64,
    /// Share of these fits with the same unadjusted verdict, by run variance only, as the whole.
    pub verdict_stability: f64,
}

/// A run that differs from what the other runs of its size profile predict (on rungs and grids: from
/// what the law predicts) by more than their noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct OutlyingRun {
    /// The run.
    pub run: String,
    /// If true, its aggregate loss is unusual, which moves the optimum; otherwise its ratio is.
    pub in_aggregate: bool,
    /// Residual over its standard error by all other runs.
    pub studentised: f64,
    /// p-value, times the number of runs tested.
    pub p_value: f64,
    /// `Δβ` without the run, with the variance of runs and frontier only; `None` where nothing can be
    /// fitted without it.
    pub delta_beta: Option<Estimate>,
    /// If true, the law without the run has a standard error of less than four fifths of that with it,
    /// or `Δβ` moves by more than one standard error. Both are by runs and frontier only.
    pub spoils: bool,
}

/// Second opinions that need no t distribution.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Resampling {
    /// Two-sided permutation p-value of the slope.
    pub permutation_p: Option<f64>,
    /// Wild (sign-flip) p-value with the null imposed.
    pub sign_flip_p: Option<f64>,
    /// Mann–Kendall p-value: a trend, straight or not.
    pub mann_kendall_p: Option<f64>,
    /// Theil–Sen slope with its Kendall interval.
    pub theil_sen: Option<Interval>,
    /// Percentile interval of the pairs bootstrap, which is too short for few readings.
    pub bootstrap_percentile: Option<Interval>,
    /// BCa interval of the pairs bootstrap.
    pub bootstrap_bca: Option<Interval>,
    /// If true, all permutations were enumerated; otherwise they were drawn at random.
    pub exact: bool,
    /// Lag-one autocorrelation of the residuals.
    pub autocorrelation: Option<f64>,
    /// Permutation p-value of the autocorrelation.
    pub autocorrelation_p: Option<f64>,
}

/// Contribution of the items of both distributions to `delta_beta`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ItemReport {
    /// Clusters of the treatment used.
    pub treatment_clusters: usize,
    /// Clusters of the baseline used.
    pub baseline_clusters: usize,
    /// Strata within which the clusters of the treatment are a sample; 1 unless
    /// [`Options::stratified`](crate::fit::Options::stratified) names the distribution.
    pub treatment_strata: usize,
    /// Strata of the baseline.
    pub baseline_strata: usize,
    /// Clusters left out because some run lacks them or scored a different number of rows.
    pub dropped_clusters: usize,
    /// Runs left out because they lack the treatment, the baseline or the aggregate.
    pub dropped_runs: Vec<String>,
    /// If true, the treatment has no clusters, and its sampling variance is that of the standard errors in
    /// the ladder.
    pub treatment_errors_stated: bool,
    /// As `treatment_errors_stated`, of the baseline.
    pub baseline_errors_stated: bool,
    /// Clusters that both distributions share by name.
    pub shared_clusters: usize,
    /// Effective number of clusters, the smaller of the two distributions; with several strata, one
    /// more than the sum of their degrees of freedom.
    pub effective_clusters: Option<f64>,
    /// Share of the item variance in the total.
    pub share: f64,
    /// `Δβ` without each cluster in turn.
    pub leave_one_out: Option<ClusterRange>,
}

/// Range of `Δβ` when one cluster is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ClusterRange {
    /// Least `Δβ`.
    pub lower: f64,
    /// Greatest `Δβ`.
    pub upper: f64,
    /// Name of the cluster that moves `Δβ` most.
    pub most_influential: String,
}

/// Predictions of the largest scales from the others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Backtest {
    /// One entry per prediction, from the nearest to the largest hold-out: the largest readings are
    /// predicted from ladders that end one, two and three levels below the top.
    pub holdouts: Vec<Holdout>,
    /// Runs that the ladder marks as held out, predicted from all readings.
    pub targets: Vec<Holdout>,
    /// Mean absolute error of the law in `ln G`.
    pub law_error: Option<f64>,
    /// Mean absolute error of a constant ratio.
    pub constant_error: Option<f64>,
    /// Mean absolute error of the last ratio seen.
    pub last_error: Option<f64>,
    /// Mean absolute error of the ratio of two laws with floors, where both can be fitted.
    pub floors_error: Option<f64>,
    /// Share of the predictions whose interval contains the reading.
    pub coverage: Option<f64>,
}

/// One reading predicted from smaller scales.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Holdout {
    /// The run, if it is one that the ladder marks as held out.
    pub run: Option<String>,
    /// Number of readings fitted, the smallest scales first.
    pub fitted: usize,
    /// Scale predicted.
    pub scale: f64,
    /// `ln G` predicted, with its prediction interval.
    pub predicted: Interval,
    /// `ln G` read.
    pub actual: f64,
    /// `actual − predicted`.
    pub error: f64,
    /// Error of a constant ratio.
    pub constant_error: f64,
    /// Error of the last ratio fitted.
    pub last_error: f64,
    /// Error of the ratio of two laws with floors.
    pub floors_error: Option<f64>,
    /// If true, the interval contains the reading.
    pub inside: bool,
}
