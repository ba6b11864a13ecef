//! The law of one distribution by itself, its floor and its loss surface.

use serde::{Deserialize, Serialize};

use super::{Curvature, Estimate, Interval, SemiLog};

/// The power law `E(F) = α (F/F0)^−β` of one distribution in one corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AbsoluteLaw {
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
    /// The law with a floor, if it can be fitted.
    pub floor: Option<FloorReport>,
    /// Number of readings below the chance level by more than three standard errors, or on either side
    /// of it for [`Options::chance_either_side`](crate::fit::Options::chance_either_side); `None`
    /// without a chance level.
    pub readings_past_chance: Option<usize>,
    /// The surface over sizes and training lengths.
    pub surface: SurfaceFit,
}

/// The law `E(F) = ε + A (F/F0)^−b`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FloorReport {
    /// `ε`.
    pub floor: f64,
    /// Profile interval of `ε`. An end is `None` where the data do not determine it; a lower end of 0
    /// is the boundary.
    pub floor_interval: [Option<f64>; 2],
    /// `A`.
    pub amplitude: f64,
    /// `b`.
    pub exponent: f64,
    /// Profile interval of `b`, with ends as above.
    pub exponent_interval: [Option<f64>; 2],
    /// Share of the floor in the error at the largest scale.
    pub floor_share: f64,
    /// AICc of the law with a floor minus that of the power law; `None` with too few readings.
    pub aicc_difference: Option<f64>,
    /// p-value of the floor by the F test.
    pub p_value: f64,
}

/// The surface `L(N, D) = E + A/N^α + B/D^β`, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SurfaceFit {
    /// The surface.
    Fitted(Box<SurfaceReport>),
    /// The ladder does not identify the surface.
    Refused {
        /// The reason, in one sentence.
        reason: String,
    },
}

impl SurfaceFit {
    /// The surface, if there is one.
    #[must_use]
    pub fn fitted(&self) -> Option<&SurfaceReport> {
        match self {
            Self::Fitted(report) => Some(report),
            Self::Refused { .. } => None,
        }
    }
}

/// A fitted surface `L(N, D) = E + A/N^α + B/D^β`.
///
/// Intervals are linearised (delta method) with Student's t, or percentiles over redrawn runs
/// ([`Options::surface_draws`](crate::fit::Options::surface_draws)). Those of E, A, B, N* and D* are computed
/// in logarithms, those of the exponents directly. Where a linearisation does not serve, the interval of E
/// is its profile interval within \[0, smallest loss\]. The covariance of the parameters is the classical
/// one; it is the sandwich with Huber's loss
/// ([`Options::surface_huber`](crate::fit::Options::surface_huber)), and the sandwich clustered by
/// training run if runs are checkpoints. A parameter at its bound is held there: the intervals of the
/// others are conditional on it. An interval is `None` if its parameter is at a bound or the data do
/// not determine it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SurfaceReport {
    /// Number of runs fitted.
    pub runs: usize,
    /// `E`, the irreducible loss.
    pub floor: f64,
    /// Interval of `E`, within zero and the smallest loss.
    pub floor_interval: Option<[f64; 2]>,
    /// If false, that interval is all of what `E` can be: the runs say nothing about it.
    pub floor_identified: bool,
    /// `A`.
    pub a: f64,
    /// Interval of `A`.
    pub a_interval: Option<[f64; 2]>,
    /// `B`.
    pub b: f64,
    /// Interval of `B`.
    pub b_interval: Option<[f64; 2]>,
    /// `α`.
    pub alpha: f64,
    /// Interval of `α`.
    pub alpha_interval: Option<[f64; 2]>,
    /// Standard error of `α`.
    pub alpha_error: Option<f64>,
    /// `β` of the data term, not the exponent in compute.
    pub beta: f64,
    /// Interval of `β`.
    pub beta_interval: Option<[f64; 2]>,
    /// Standard error of `β`.
    pub beta_error: Option<f64>,
    /// `a = β/(α + β)`, the exponent of `N*` in compute.
    pub params_exponent: f64,
    /// Interval of `a`.
    pub params_exponent_interval: Option<[f64; 2]>,
    /// Standard error of `a`.
    pub params_exponent_error: Option<f64>,
    /// Number of redrawn sets of runs behind errors and intervals; 0 where they are linearised.
    pub draws: u32,
    /// Degrees of freedom of linearised intervals.
    pub df: f64,
    /// Standard deviation of the log-residuals.
    pub residual_sd: f64,
    /// `k` of `C = k·N·D`: the geometric mean over the runs.
    pub flops_per_param_token: f64,
    /// The compute-optimal model at the reference scale; `None` where a term of the surface vanishes.
    pub reference: Option<SurfaceAllocation>,
    /// The compute-optimal model at the largest compute of the ladder.
    pub largest: Option<SurfaceAllocation>,
    /// Largest |cosine| between residuals and a column of the Jacobian: 0 at a stationary point.
    pub gradient: f64,
    /// Condition number of the scaled Jacobian; `None` if it is singular.
    pub condition: Option<f64>,
    /// Number of local minima polished.
    pub starts: usize,
    /// Number of them that reached the reported fit.
    pub agreeing: usize,
    /// Parameters at the edge of their range.
    pub at_bound: Vec<String>,
}

/// A compute-optimal model by the surface.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SurfaceAllocation {
    /// `C`.
    pub flops: f64,
    /// `N*`.
    pub params: f64,
    /// Interval of `N*`.
    pub params_interval: Option<[f64; 2]>,
    /// `D*`.
    pub tokens: f64,
    /// Interval of `D*`.
    pub tokens_interval: Option<[f64; 2]>,
    /// `D*/N*`.
    pub tokens_per_param: f64,
    /// `L(N*, D*)`.
    pub loss: f64,
}
