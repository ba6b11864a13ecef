//! What an analysis returns. Field names are stable; every option is part of the result.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ladder::FlopConvention;

pub use super::design::Design;
pub use super::frontier::Profile;
pub use super::inference::{Estimate, Interval};
use super::options::Options;
pub use super::stats::regression::ConfidenceSet;
pub use super::stats::resample::{CrossedBootstrap, SimulatedQuantile};
pub use super::verdict::{Flag, Verdict};

/// The result of [`analyze`](super::analyze).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Analysis {
    /// Version of this layout.
    pub schema: u32,
    /// Version of the crate that made it.
    pub version: String,
    /// Name of the ladder.
    pub ladder: String,
    /// What its FLOPs count.
    pub flop_convention: FlopConvention,
    /// Every option.
    pub options: Options,
    /// FNV-1a of the options and the version, 32 hexadecimal digits: results with one hash answer one
    /// question.
    pub specification_hash: String,
    /// One entry per corpus × treatment, in that order.
    pub laws: Vec<RelativeLaw>,
    /// One entry per corpus × distribution.
    pub traditional: Vec<TraditionalLaw>,
    /// One entry per corpus.
    pub corpora: Vec<CorpusReport>,
    /// Exponents against the mean of all distributions, per corpus: no baseline enters.
    pub centred: Vec<ContrastLaw>,
    /// Differences of `delta_beta` between corpora, per pair and treatment.
    pub cross_corpus: Vec<ContrastLaw>,
    /// How far the distributions of a corpus differ from one another.
    pub heterogeneity: Vec<Heterogeneity>,
    /// Slope of the exponents on the covariate, per corpus.
    pub covariate: Vec<CovariateSlope>,
    /// What the intervals [`RelativeLaw::max_t`] rest on, where the options ask for them.
    #[serde(default)]
    pub max_t: Option<MaxT>,
    /// Laws between distributions of which one at least is an error rate, per corpus × treatment.
    #[serde(default)]
    pub counts: Vec<CountsLaw>,
    /// Power laws of the error rates themselves, per corpus × distribution.
    #[serde(default)]
    pub rates: Vec<RateLaw>,
    /// What could not be analysed.
    pub refused: Vec<Refused>,
}

/// Something left out, with the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// The corpus.
    pub corpus: String,
    /// The distribution, where it is one.
    pub distribution: Option<String>,
    /// The budget, where it is one.
    pub budget: Option<f64>,
    /// Why.
    pub reason: String,
}

/// The relative scaling law `G(F) = E_t/E_b = γ (F/F0)^Δβ` of one treatment in one corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RelativeLaw {
    /// The corpus.
    pub corpus: String,
    /// The distribution in the numerator.
    pub treatment: String,
    /// The distribution in the denominator.
    pub baseline: String,
    /// How scales were compared.
    pub design: Design,
    /// `Δβ = β_b − β_t = d ln G / d ln F`, per nat of the axis.
    pub delta_beta: Estimate,
    /// The same over this benchmark only: items are not a sample.
    pub delta_beta_fixed_items: Estimate,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// Change of `G` per factor ten, in percent, `100 (10^Δβ − 1)`.
    pub percent_per_decade: Interval,
    /// `F0`, the geometric mean of the scales read.
    pub reference_flops: f64,
    /// Holm-adjusted p-value over all entries.
    pub holm_p: f64,
    /// Hochberg-adjusted p-value.
    pub hochberg_p: f64,
    /// Benjamini–Hochberg q-value.
    pub bh_q: f64,
    /// Benjamini–Yekutieli q-value.
    pub by_q: f64,
    /// FCR-adjusted interval of `delta_beta`, where Benjamini–Hochberg selects the entry.
    pub selected: Option<Interval>,
    /// Interval of `delta_beta` that holds for all entries at once (Šidák).
    pub simultaneous: Interval,
    /// The same by the distribution of the largest |t|, where the options ask for it.
    #[serde(default)]
    pub max_t: Option<Interval>,
    /// Studentised bootstrap of `delta_beta`, where the options ask for it; `None` for grids, for
    /// several checkpoints of one training run and for weighted readings.
    #[serde(default)]
    pub crossed_bootstrap: Option<CrossedBootstrap>,
    /// Test that the change is smaller than the margin.
    pub equivalence: Equivalence,
    /// The decision.
    pub verdict: Verdict,
    /// What to know before quoting it.
    pub flags: Vec<Flag>,
    /// Variance of `delta_beta` by source.
    pub variance: Variance,
    /// `Δβ` by every rule of reading.
    pub optimum_rules: BTreeMap<String, f64>,
    /// The same with intervals and verdicts.
    pub optimum_panel: Vec<RuleResult>,
    /// Predictions of the largest scales from the others.
    pub backtest: Backtest,
    /// The readings that the line goes through.
    pub readings: Vec<Reading>,
    /// The fitted line with bands, on a grid of scales.
    pub band: Vec<BandPoint>,
    /// Where `G = 1`.
    pub parity: Parity,
    /// The law of the difference `E_t − E_b`.
    pub difference: DifferenceLaw,
    /// `κ = β_t/β_b`; `None` where its variance cannot be had.
    #[serde(default)]
    pub loss_to_loss: Option<LossToLoss>,
    /// A mixed model with a random effect of the budget, where asked for and possible.
    #[serde(default)]
    pub mixed: Option<MixedReport>,
    /// The form `G = c + s·log10(F/F0)`.
    pub semi_log: SemiLog,
    /// Whether `ln G` is straight.
    pub curvature: Curvature,
    /// Local exponents between neighbouring scales.
    pub local_exponents: Vec<f64>,
    /// Size profiles of `ln G` against seed replicates; `None` without replicates, for other designs
    /// and for readings at the best run.
    #[serde(default)]
    pub lack_of_fit: Option<LackOfFit>,
    /// Whether the size profiles of `ln G` lack a power of `ln N`; `None` for other designs and
    /// readings at the best run.
    #[serde(default)]
    pub next_power: Option<NextPower>,
    /// Without each reading in turn.
    pub leave_one_out: LeaveOneOut,
    /// Enumerations and resampling, as second opinions.
    pub resampling: Resampling,
    /// What the items contribute.
    pub items: ItemReport,
    /// Predictions asked for.
    pub predictions: Vec<Prediction>,
}

/// Variance of `delta_beta` by source; `total` is `max(R + item − idiosyncratic, R, item)` with
/// `R = run + frontier + specification`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Variance {
    /// Scatter of the readings about the line; on grids no less than that between sizes.
    pub run: f64,
    /// Error of the frontier.
    pub frontier: f64,
    /// Squared difference to the specification check.
    pub specification: f64,
    /// Sampling of item clusters.
    pub item: f64,
    /// Item-by-run noise that `run` contains already.
    pub idiosyncratic: f64,
    /// What the interval uses.
    pub total: f64,
}

/// Two one-sided tests of `|Δβ| < margin`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Equivalence {
    /// The margin in percent of `G` per decade.
    pub margin_percent: f64,
    /// The same as an exponent.
    pub margin: f64,
    /// The larger of the two one-sided p-values.
    pub p_value: f64,
    /// Holm-adjusted over all entries.
    pub holm_p: f64,
}

/// One rule of reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuleResult {
    /// Its name.
    pub rule: String,
    /// Whether it is the one that the headline uses.
    pub main: bool,
    /// `Δβ`, with the variance of runs and frontier only.
    pub delta_beta: Estimate,
    /// Whether its sign differs from the headline's.
    pub sign_flips: bool,
    /// The decision it would give, unadjusted, with the variance of runs and frontier only.
    pub verdict: Verdict,
    /// Whether that differs from the headline's rule, decided in the same way.
    pub verdict_flips: bool,
}

/// One reading of the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Reading {
    /// Label of the budget.
    pub budget: f64,
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// Size read, in parameters.
    pub params: f64,
    /// `ln G`.
    pub log_ratio: f64,
    /// Error of the treatment there.
    pub treatment_error: f64,
    /// Error of the baseline there.
    pub baseline_error: f64,
    /// Distance from the fitted line, in `ln G`.
    pub residual: f64,
    /// Leverage.
    pub leverage: f64,
    /// Cook's distance.
    pub cook: Option<f64>,
    /// Standardised change of `Δβ` without this reading.
    pub dfbetas: Option<f64>,
}

/// The fitted ratio at one scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BandPoint {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// `G`.
    pub ratio: f64,
    /// Interval at this scale alone.
    pub lower: f64,
    /// Its upper end.
    pub upper: f64,
    /// Band that holds at all scales at once (Working and Hotelling).
    pub simultaneous_lower: f64,
    /// Its upper end.
    pub simultaneous_upper: f64,
}

/// A prediction of the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Prediction {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// `G` with the interval of a new reading.
    pub ratio: Interval,
    /// The interval of the line.
    pub line: Interval,
    /// Decades beyond the ladder; 0 inside.
    pub decades_beyond: f64,
    /// Whether that is more than the ladder is long: the interval holds only if the law does.
    pub beyond_one_ladder: bool,
}

/// The scales at which `G = 1` cannot be excluded (Fieller).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parity {
    /// `log10` of the scale where the line meets parity; `None` for a flat line.
    pub log10_scale: Option<f64>,
    /// Set of `log10` scales compatible with parity: a bounded interval only where the exponent
    /// differs from zero.
    pub set: ConfidenceSet,
}

/// Loss-to-loss: `ln E_t` falls by `κ` when `ln E_b` falls by one, `κ = β_t/β_b`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LossToLoss {
    /// `κ`, with the scale as instrument; `None` where the baseline is flat.
    pub kappa: Option<f64>,
    /// Fieller's set: a bounded interval only where the baseline's exponent differs from zero.
    pub set: ConfidenceSet,
    /// Degrees of freedom.
    pub df: f64,
}

/// The exponent by a mixed model of runs: budgets and runs have normal random effects (REML).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MixedReport {
    /// `Δβ` with Satterthwaite's degrees of freedom; neither frontier nor items enter.
    pub delta_beta: Estimate,
    /// Standard deviation of what a budget does to all of its runs, in `ln G`.
    pub budget_sd: f64,
    /// Standard deviation of runs within a budget.
    pub run_sd: f64,
    /// Runs.
    pub runs: usize,
    /// Budgets (sizes × lengths of a grid).
    pub budgets: usize,
}

/// The power law of one error rate in one corpus, by quasi-binomial regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RateLaw {
    /// The corpus.
    pub corpus: String,
    /// The distribution.
    pub distribution: String,
    /// `β`, positive where errors become rarer.
    pub beta: Estimate,
    /// The error rate at the reference scale.
    pub alpha: Interval,
    /// The reference scale.
    pub reference_flops: f64,
    /// `φ`: 1 is binomial noise between runs.
    pub dispersion: f64,
    /// Runs.
    pub runs: usize,
    /// Runs without a single error.
    pub zeros: usize,
    /// The rate of a guess, where one was given.
    pub ceiling: Option<f64>,
    /// Runs whose rate lies below it by more than three standard errors.
    pub below_ceiling: Option<usize>,
    /// Fitted rates above it: there the power law is not the truth.
    pub above_ceiling: Option<usize>,
    /// Whether too few runs have left the ceiling for a power law to mean anything.
    pub pre_onset: bool,
}

/// The relative law of one treatment where it, or the baseline, is an error rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CountsLaw {
    /// The corpus.
    pub corpus: String,
    /// The distribution in the numerator.
    pub treatment: String,
    /// The distribution in the denominator.
    pub baseline: String,
    /// How scales were compared.
    pub design: Design,
    /// `Δβ = β_b − β_t`.
    pub delta_beta: Estimate,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// The reference scale.
    pub reference_flops: f64,
    /// Variance of `delta_beta` from runs: dispersion of counts, or scatter of readings.
    pub run_variance: f64,
    /// From the sampling of items; `None` where the clusters do not tell. Noise of items in runs is
    /// counted in both.
    pub item_variance: Option<f64>,
    /// Holm-adjusted p-value over the laws of counts.
    pub holm_p: f64,
    /// Test that the change is smaller than the margin.
    pub equivalence: Equivalence,
    /// Whether a rate is still at its ceiling.
    pub pre_onset: bool,
    /// The decision.
    pub verdict: Verdict,
}

/// The law of the difference `E_t − E_b` beside that of the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DifferenceLaw {
    /// `E_t − E_b` at the reference scale, in the unit of the loss.
    pub value: f64,
    /// `d(E_t − E_b) / d ln F`, a straight line through the readings.
    pub slope: Estimate,
    /// The same from the two power laws, `β_b E_b − β_t E_t` at the reference scale.
    pub slope_from_laws: f64,
    /// Whether the absolute difference shrinks while the ratio moves away from one, or the reverse.
    pub discordant: bool,
}

/// A straight line of the ratio itself against `log10 F`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SemiLog {
    /// `G` at the reference scale.
    pub level: f64,
    /// Change of `G` per decade.
    pub slope_per_decade: Estimate,
    /// Share of the variance of `G` explained.
    pub r_squared: f64,
}

/// The quadratic term of `ln G` in the log scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Curvature {
    /// Coefficient of the squared, centred log scale; `None` with fewer than four readings.
    pub coefficient: Option<Estimate>,
    /// Whether its p-value is below 0.05.
    pub questioned: bool,
    /// AICc of the constant, the power law and the quadratic, in that order (`None`: too few readings).
    pub aicc: [Option<f64>; 3],
}

/// F test of the polynomials over `ln N`, one per budget, against pure error: the spread of runs
/// that differ in nothing but the seed. Sums run over the budgets that have such runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
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

/// The largest |t| over all laws: its quantile by 9,999 draws from a multivariate t.
///
/// The correlations of the laws come from the residuals of readings that they share, shrunk towards
/// their mean (as many laws share a baseline), and from clusters of items that they share; laws over
/// other runs are taken as uncorrelated, which is on the safe side. The degrees of freedom are the
/// fewest of any law.
///
/// # References
///
/// O. Ledoit, M. Wolf (2004), *Journal of Portfolio Management* 30:110 (constant correlation);
/// J. Schäfer, K. Strimmer (2005), *SAGMB* 4:32 (intensity); Z. Šidák (1967), *JASA* 62:626.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MaxT {
    /// Laws in the family.
    pub laws: usize,
    /// Degrees of freedom.
    pub df: f64,
    /// The `1 − alpha` quantile of the largest |t|.
    pub critical: SimulatedQuantile,
    /// Level of the interval of each law that goes with it.
    pub level: f64,
}

/// Without each reading in turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeaveOneOut {
    /// `Δβ` without each reading.
    pub delta_beta: Vec<f64>,
    /// Least of them.
    pub lower: f64,
    /// Greatest.
    pub upper: f64,
    /// Share of them with the unadjusted run-only verdict of the whole.
    pub verdict_stability: f64,
}

/// Second opinions that need no t distribution.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
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
    /// Percentile interval of the pairs bootstrap, too short for few readings.
    pub bootstrap_percentile: Option<Interval>,
    /// BCa interval of the same.
    pub bootstrap_bca: Option<Interval>,
    /// Whether everything was enumerated; otherwise `replicates` draws were made.
    pub exact: bool,
    /// Lag-one autocorrelation of the residuals.
    pub autocorrelation: Option<f64>,
    /// Its permutation p-value.
    pub autocorrelation_p: Option<f64>,
}

/// What the items contribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ItemReport {
    /// Clusters of the treatment used.
    pub treatment_clusters: usize,
    /// Clusters of the baseline used.
    pub baseline_clusters: usize,
    /// Strata that the clusters of the treatment are a sample within; 1 unless the options say more.
    #[serde(default)]
    pub treatment_strata: usize,
    /// Strata of the baseline.
    #[serde(default)]
    pub baseline_strata: usize,
    /// Clusters left out because some run lacks them or scored another number of rows.
    pub dropped_clusters: usize,
    /// Runs left out because they lack the treatment, the baseline or the aggregate.
    pub dropped_runs: Vec<String>,
    /// Clusters that both share by name.
    pub shared_clusters: usize,
    /// Effective number of clusters, the smaller of the two; of strata, one more than the sum of their
    /// degrees of freedom.
    pub effective_clusters: Option<f64>,
    /// Share of the item variance in the total.
    pub share: f64,
    /// Least and greatest `Δβ` without one cluster, and the cluster that moves it most.
    pub leave_one_out: Option<ClusterRange>,
}

/// `Δβ` without one cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterRange {
    /// Least.
    pub lower: f64,
    /// Greatest.
    pub upper: f64,
    /// The cluster that moves it most.
    pub most_influential: String,
}

/// Predictions of the largest scales from the others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Backtest {
    /// One entry per reading predicted, from the nearest to the largest hold-out.
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
    /// Share of the readings inside their prediction interval.
    pub coverage: Option<f64>,
}

/// One reading predicted from smaller scales.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Holdout {
    /// The run, where it is one.
    pub run: Option<String>,
    /// How many of the smallest readings were fitted.
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
    /// Whether the interval contains the reading.
    pub inside: bool,
}

/// The power law `E(F) = α (F/F0)^−β` of one distribution in one corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraditionalLaw {
    /// The corpus.
    pub corpus: String,
    /// The distribution.
    pub distribution: String,
    /// `β`, positive where the loss falls.
    pub beta: Estimate,
    /// `α`, the error at the reference scale.
    pub alpha: Interval,
    /// The reference scale.
    pub reference_flops: f64,
    /// `E = level + slope·log10(F/F0)`.
    pub semi_log: SemiLog,
    /// Quadratic term of `ln E`.
    pub curvature: Curvature,
    /// Errors at the scales read.
    pub errors: Vec<f64>,
    /// The law with a floor, where it can be fitted.
    pub floor: Option<FloorReport>,
    /// Readings below the chance level by more than three standard errors, where one was given; on
    /// either side of it for distributions of [`Options::chance_either_side`].
    pub chance_distance: Option<usize>,
    /// The surface over sizes and training lengths.
    #[serde(default)]
    pub surface: SurfaceFit,
}

/// The surface `L(N, D) = E + A/N^α + B/D^β`, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SurfaceFit {
    /// The surface.
    Fitted(Box<SurfaceReport>),
    /// The ladder does not identify it, or it was not asked for.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Default for SurfaceFit {
    fn default() -> Self {
        Self::Refused {
            reason: "not asked for".to_owned(),
        }
    }
}

impl SurfaceFit {
    /// The surface, where there is one.
    #[must_use]
    pub fn fitted(&self) -> Option<&SurfaceReport> {
        match self {
            Self::Fitted(report) => Some(report),
            Self::Refused { .. } => None,
        }
    }
}

/// A fitted surface; an interval is `None` where its parameter is at a bound or the data do not
/// determine it.
///
/// Intervals are linearised (delta method), E, A, B, N* and D* in logarithms, the exponents as they
/// are, with Student's t. Their covariance is the classical one, the sandwich with Huber's loss
/// ([`Options::surface_huber`]), and the sandwich clustered by training run where runs are
/// checkpoints. A parameter at its bound is held there: the others' intervals are conditional on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SurfaceReport {
    /// Runs fitted.
    pub runs: usize,
    /// `E`, the irreducible loss.
    pub floor: f64,
    /// Its interval.
    pub floor_interval: Option<[f64; 2]>,
    /// `A`.
    pub a: f64,
    /// Its interval.
    pub a_interval: Option<[f64; 2]>,
    /// `B`.
    pub b: f64,
    /// Its interval.
    pub b_interval: Option<[f64; 2]>,
    /// `α`.
    pub alpha: f64,
    /// Its interval.
    pub alpha_interval: Option<[f64; 2]>,
    /// `β` of the data term, not the exponent in compute.
    pub beta: f64,
    /// Its interval.
    pub beta_interval: Option<[f64; 2]>,
    /// `a = β/(α + β)`, the exponent of `N*` in compute.
    pub params_exponent: f64,
    /// Its interval.
    pub params_exponent_interval: Option<[f64; 2]>,
    /// Degrees of freedom of the intervals.
    pub df: f64,
    /// Standard deviation of the log-residuals.
    pub residual_sd: f64,
    /// `k` of `C = k·N·D`: the geometric mean over the runs.
    pub flops_per_param_token: f64,
    /// The compute-optimal model at the reference scale; `None` where a term of the surface vanishes.
    pub reference: Option<SurfaceAllocation>,
    /// The same at the largest compute of the ladder.
    pub largest: Option<SurfaceAllocation>,
    /// Largest |cosine| between residuals and a column of the Jacobian: 0 at a stationary point.
    pub gradient: f64,
    /// Condition number of the scaled Jacobian; `None`: singular.
    pub condition: Option<f64>,
    /// Local minima polished.
    pub starts: usize,
    /// How many of them reached the reported fit.
    pub agreeing: usize,
    /// Parameters at the edge of their range.
    pub at_bound: Vec<String>,
}

/// A compute-optimal model by the surface.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SurfaceAllocation {
    /// `C`.
    pub flops: f64,
    /// `N*`.
    pub params: f64,
    /// Its interval.
    pub params_interval: Option<[f64; 2]>,
    /// `D*`.
    pub tokens: f64,
    /// Its interval.
    pub tokens_interval: Option<[f64; 2]>,
    /// `D*/N*`.
    pub tokens_per_param: f64,
    /// `L(N*, D*)`.
    pub loss: f64,
}

/// The law `E(F) = ε + A (F/F0)^−b`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FloorReport {
    /// `ε`.
    pub floor: f64,
    /// Its profile interval; `None` is an end that the data do not determine, and a lower end of 0 is
    /// the boundary.
    pub floor_interval: [Option<f64>; 2],
    /// `A`.
    pub amplitude: f64,
    /// `b`.
    pub exponent: f64,
    /// Its profile interval.
    pub exponent_interval: [Option<f64>; 2],
    /// Share of the floor in the error at the largest scale.
    pub floor_share: f64,
    /// AICc of the law with a floor minus that of the power law; `None`: too few readings.
    pub aicc_difference: Option<f64>,
    /// p-value of the floor by the F test.
    pub p_value: f64,
}

/// One corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CorpusReport {
    /// The corpus.
    pub corpus: String,
    /// How scales were compared.
    pub design: Design,
    /// Runs.
    pub runs: usize,
    /// Scales read, in the unit of the axis.
    pub scales: Vec<f64>,
    /// Their geometric mean.
    pub reference_flops: f64,
    /// Whether the aggregate loss contains the tested distributions.
    pub aggregate_from_tested: bool,
    /// Budgets that could not be read.
    pub refused_budgets: Vec<Refused>,
    /// The frontier of an IsoFLOP ladder.
    pub frontier: Option<FrontierReport>,
    /// Log aggregate loss and size of every run, for plots.
    pub profiles: Vec<ProfilePoint>,
    /// The surface of the aggregate loss over sizes and training lengths.
    #[serde(default)]
    pub surface: SurfaceFit,
}

/// One run on the size profile of its budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProfilePoint {
    /// The run.
    pub run: String,
    /// Label of its budget.
    pub budget: f64,
    /// Its size.
    pub params: f64,
    /// Its aggregate loss.
    pub aggregate: f64,
}

/// The compute-optimal frontier of an IsoFLOP ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FrontierReport {
    /// Minimum of each budget, in parameters.
    pub minima: Vec<f64>,
    /// The smoothed frontier at each budget, in parameters.
    pub smoothed: Vec<f64>,
    /// How each budget was read.
    pub profiles: Vec<Profile>,
    /// Whether the smoothed size lies among the sizes trained.
    pub inside: Vec<bool>,
    /// Standard deviation of `ln` minima about the line.
    pub residual_sd: f64,
    /// `d ln N* / d ln C`.
    pub exponent: Estimate,
    /// Size profiles of the log aggregate loss against seed replicates; `None` without replicates.
    #[serde(default)]
    pub lack_of_fit: Option<LackOfFit>,
    /// Whether the size profiles of the log aggregate loss lack a power of `ln N`.
    #[serde(default)]
    pub next_power: Option<NextPower>,
}

/// A linear combination of log errors, `Σ c_d ln E_d`, followed along the scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContrastLaw {
    /// What is contrasted, for example `news` or `news: web − books`.
    pub name: String,
    /// The corpus, or both.
    pub corpora: Vec<String>,
    /// Exponent of the contrast.
    pub exponent: Estimate,
    /// Its level at the reference scale, in nats.
    pub level: Interval,
    /// Holm-adjusted p-value over the contrasts of this kind.
    pub holm_p: f64,
}

/// How far the distributions of one corpus differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Heterogeneity {
    /// The corpus.
    pub corpus: String,
    /// Number of distributions.
    pub distributions: usize,
    /// Test statistic of equal centred exponents.
    pub q: f64,
    /// Its p-value.
    pub p_value: f64,
    /// Standard deviation between distributions (REML).
    pub tau: f64,
    /// Share of the spread that is not noise.
    pub i_squared: f64,
    /// Whether the common variance was simplified because there are more distributions than readings.
    pub approximate: bool,
}

/// Slope of the exponents on a covariate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CovariateSlope {
    /// The corpus.
    pub corpus: String,
    /// Distributions that have the covariate.
    pub distributions: usize,
    /// Slope for these distributions.
    pub fixed: Estimate,
    /// Slope with the distributions as a sample (REML, Knapp–Hartung).
    pub sample: Option<Estimate>,
    /// Permutation p-value over the distributions.
    pub permutation_p: Option<f64>,
}
