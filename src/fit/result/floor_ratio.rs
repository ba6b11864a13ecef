//! The ratio of two laws with floors.

use serde::{Deserialize, Serialize};

use super::{Interval, Prediction};

/// The ratio `G = E_t/E_b` of two laws with floors, each fitted to the errors of one distribution: in
/// the scale `E = ε + A (F/F0)^−b`, on a grid `E = ε + A/N^α + B/D^β`.
///
/// As `F → ∞` it tends to `ε_t/ε_b`, where a power ratio tends to 0 or infinity. Intervals are
/// percentiles of redrawn pairs of laws
/// ([`Options::floor_draws`](crate::fit::Options::floor_draws)): both sides share the noise of their runs, variances are
/// redrawn with their degrees of freedom, and frontier, specification and items are added as in
/// the power ratio.
///
/// **Assumptions**: both errors fall towards their floors by one power law over the range. With seven
/// budgets over two decades a floor is often not identified, which [`limit`](Self::limit) says.
///
/// **Reproducibility**: draws depend on [`Options::seed`](crate::fit::Options::seed) alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FloorRatio {
    /// Law of the treatment.
    pub treatment: FlooredLaw,
    /// Law of the baseline.
    pub baseline: FlooredLaw,
    /// `G` at the reference scale.
    pub reference: Interval,
    /// `G` at the largest scale read.
    pub top: Interval,
    /// `d ln G / d ln F` at the largest scale read.
    pub top_exponent: Interval,
    /// `ε_t/ε_b`, the ratio at unlimited scale.
    pub limit: RatioLimit,
    /// Predictions at the scales of [`Options::predict_at`](crate::fit::Options::predict_at).
    pub predictions: Vec<Prediction>,
    /// Standard deviation of a reading about the ratio, in `ln G`.
    pub residual_sd: f64,
    /// Number of redrawn pairs behind the intervals.
    pub draws: usize,
    /// The result in words, for quoting.
    pub sentence: String,
}

/// A law of one error with a floor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlooredLaw {
    /// `E = floor + amplitude (F/F0)^−exponent`.
    Scale {
        /// `ε`.
        floor: f64,
        /// `A`, the reducible error at the reference scale.
        amplitude: f64,
        /// `b`.
        exponent: f64,
    },
    /// `E = floor + a/N^alpha + b/D^beta`.
    Surface {
        /// `ε`.
        floor: f64,
        /// `A`.
        a: f64,
        /// `B`.
        b: f64,
        /// `α`.
        alpha: f64,
        /// `β`.
        beta: f64,
    },
}

/// The ratio of two floors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RatioLimit {
    /// Both floors differ from zero.
    Identified(Interval),
    /// The data do not tell a floor from zero.
    NotIdentified {
        /// The distributions with such a floor.
        floors: Vec<String>,
    },
}
