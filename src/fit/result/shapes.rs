//! Competing shapes of the ratio against the scale.

use serde::{Deserialize, Serialize};

use super::{Interval, Prediction};

/// Shapes of `ln G` against `ln F` beside the power law, weighed by AICc, with the prediction that
/// averages them.
///
/// All are fitted to `ln G` by least squares, but for the ratio of two laws with floors, which is fitted to both
/// errors. On grids the readings are those of the sizes, at the tokens per parameter of the law:
/// readings of one size share its effect.
///
/// **Assumptions**: readings scatter independently about one of the shapes.
///
/// # References
///
/// K. P. Burnham, D. R. Anderson (2002), *Model Selection and Multimodel Inference*, §2.9 (weights),
/// §4.3 (the interval, which counts the spread of the shapes).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ShapeComparison {
    /// Number of readings that the shapes are fitted to.
    pub readings: usize,
    /// Shapes compared, the heaviest first.
    pub shapes: Vec<ShapeResult>,
    /// Shapes with too many parameters for the readings, or that cannot be fitted.
    pub refused: Vec<RefusedShape>,
    /// `d ln G / d ln F` at the largest scale, averaged over the shapes by their `prediction_weight`.
    pub top_exponent: Interval,
    /// Predictions averaged in the same way, at the scales of
    /// [`Options::predict_at`](crate::fit::Options::predict_at).
    pub predictions: Vec<Prediction>,
}

/// A shape of `ln G` against `x = ln(F/F0)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RatioShape {
    /// `ln G = a + Δβ·x`.
    Power,
    /// `G = c + s·x`.
    SemiLog,
    /// `ln G = g + a·e^(−b·x)`: what separates the ratio from its limit falls by one share per decade.
    ExponentialApproach,
    /// `ln G = a + s·x + t·max(x − c, 0)`.
    BrokenPower,
    /// The ratio of two laws with floors.
    FloorRatio,
}

impl RatioShape {
    /// The name as in files, with spaces.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Power => "power",
            Self::SemiLog => "semi log",
            Self::ExponentialApproach => "exponential approach",
            Self::BrokenPower => "broken power",
            Self::FloorRatio => "floor ratio",
        }
    }
}

/// A shape that was fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ShapeResult {
    /// The shape.
    pub shape: RatioShape,
    /// Number of its parameters in `ln G`, without the variance.
    pub parameters: usize,
    /// Sum of squared residuals of `ln G`.
    pub rss: f64,
    /// Akaike's criterion with its small-sample correction.
    pub aicc: f64,
    /// Akaike weight among the shapes compared.
    pub weight: f64,
    /// Weight in the averaged exponent and predictions: by the errors at held-out readings, `MSE^(−3/2)`;
    /// the Akaike weight where some shape has too few readings for that.
    pub prediction_weight: f64,
    /// `d ln G / d ln F` at the largest scale.
    pub top_exponent: Interval,
    /// Mean `|ln G|` error at the largest one, two and three readings, each predicted from the
    /// others; `None` where too few are left.
    pub backtest_errors: Vec<Option<f64>>,
}

/// A shape that was not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RefusedShape {
    /// The shape.
    pub shape: RatioShape,
    /// The reason, in one sentence.
    pub reason: String,
}
