//! Laws of error rates, fitted to counts.

use serde::{Deserialize, Serialize};

use super::{
    Curvature, Design, Equivalence, Estimate, Flag, GapEquivalence, Interval, LeaveOneOut, Verdict,
};

/// The power law of one error rate in one corpus, by quasi-binomial regression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// `φ`, the dispersion between runs; 1 is binomial noise.
    pub dispersion: f64,
    /// Number of runs.
    pub runs: usize,
    /// Number of runs without a single error.
    pub zeros: usize,
    /// Error rate of a guess, if the options or the ladder give one.
    pub ceiling: Option<f64>,
    /// Number of runs whose rate lies below the ceiling by more than three standard errors.
    pub below_ceiling: Option<usize>,
    /// Number of fitted rates above the ceiling, at which the power law cannot hold.
    pub above_ceiling: Option<usize>,
    /// If true, too few runs have left the ceiling for a power law to mean anything.
    pub pre_onset: bool,
    /// Reservations to read before quoting the rate, in a fixed order.
    pub flags: Vec<Flag>,
    /// The quadratic term of the logarithm of the rate in the log scale.
    pub curvature: Curvature,
    /// The rates that were fitted, in ascending order of scale.
    pub readings: Vec<RateReading>,
}

/// One error rate and its fit: of a run, or of a budget of an IsoFLOP ladder at its optimum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RateReading {
    /// The run; `None` for a budget.
    pub run: Option<String>,
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// Model size.
    pub params: f64,
    /// Number of items; `None` for a budget.
    pub items: Option<f64>,
    /// Error rate; zero is possible.
    pub rate: f64,
    /// Rate by the law.
    pub fitted: f64,
    /// Pearson's residual of a run, `(wrong − items·μ)/√(items·μ(1 − μ))`; of a budget, the residual of
    /// the logarithm.
    pub residual: f64,
}

/// The relative law of one treatment where it, or the baseline, is an error rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CountsLaw {
    /// The corpus.
    pub corpus: String,
    /// The distribution in the numerator.
    pub treatment: String,
    /// The distribution in the denominator.
    pub baseline: String,
    /// The design by which scales were compared.
    pub design: Design,
    /// `Δβ = β_b − β_t`.
    pub delta_beta: Estimate,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// The reference scale.
    pub reference_flops: f64,
    /// Variance of `delta_beta` from runs: dispersion of counts, or scatter of readings.
    pub run_variance: f64,
    /// Variance of `delta_beta` from the sampling of items; `None` with fixed items, and if neither side has
    /// clusters that show it. A side without such clusters adds nothing and is flagged. Noise of items
    /// within runs is counted in both variances.
    pub item_variance: Option<f64>,
    /// Number of laws of counts in the family.
    pub family_size: usize,
    /// Holm-adjusted p-value over that family.
    pub holm_p: f64,
    /// Test that the change is smaller than the margin.
    pub equivalence: Equivalence,
    /// Test that `G` lies within a margin of 1 at both ends of the ladder.
    pub gap: GapEquivalence,
    /// If true, a rate is still at its ceiling.
    pub pre_onset: bool,
    /// Reservations to read before quoting the law, in a fixed order.
    pub flags: Vec<Flag>,
    /// The decision.
    pub verdict: Verdict,
    /// The decision as a sentence with its numbers, for quoting.
    pub sentence: String,
    /// The ratios that were fitted, in ascending order of scale.
    pub readings: Vec<CountsReading>,
    /// The quadratic term of `ln G` in the log scale.
    pub curvature: Curvature,
    /// The law without each run, or without each budget of an IsoFLOP ladder.
    pub leave_one_out: LeaveOneOut,
}

/// The errors of one run, or of a budget of an IsoFLOP ladder at its optimum, on both distributions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CountsReading {
    /// The run; `None` for a budget.
    pub run: Option<String>,
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// Model size.
    pub params: f64,
    /// Error of the treatment.
    pub treatment_error: f64,
    /// Error of the baseline.
    pub baseline_error: f64,
    /// `ln G`; `None` where an error is zero.
    pub log_ratio: Option<f64>,
    /// `ln G` by the law.
    pub fitted: f64,
}
