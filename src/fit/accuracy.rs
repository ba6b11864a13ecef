//! From a loss to an accuracy: the second step of predicting a benchmark.

use serde::{Deserialize, Serialize};

use super::error::FitError;
use super::estimate::Interval;
use super::stats::laws::{fit_sigmoid, sigmoid};
use super::stats::quantile::t_critical;

/// The accuracy of models as a sigmoid of a loss on the same task.
///
/// ```text
/// accuracy(L) = low + height / (1 + exp((L − middle) / width))
/// ```
///
/// `low` is the accuracy of a guess, `low + height` that of a perfect model, `middle` the loss half-way,
/// and `width` the loss by which the odds change by a factor e.
///
/// # References
/// A. Bhagia et al. (2024), *Establishing Task Scaling Laws via Compute-Efficient Model Ladders*,
/// arXiv:2412.04403.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AccuracyCurve {
    /// Accuracy at the highest losses.
    pub low: f64,
    /// Gain from there to the lowest losses.
    pub height: f64,
    /// Loss half-way.
    pub middle: f64,
    /// Width, in the unit of the loss.
    pub width: f64,
    /// Standard errors of `low` (0 if it was given), `height`, `middle` and `ln width`.
    pub standard_errors: [f64; 4],
    /// Standard deviation of a model about the curve.
    pub residual_sd: f64,
    /// Degrees of freedom.
    pub df: f64,
    covariance: [[f64; 4]; 4],
}

/// An accuracy predicted from a loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AccuracyPrediction {
    /// Accuracy with the interval of a new model, within 0 and 1.
    pub accuracy: Interval,
    /// Accuracy with the interval of the curve alone.
    pub curve: Interval,
}

/// Fits the accuracies of models by a sigmoid of their losses, by least squares; `guess` fixes the
/// accuracy of a guess (`1/k` for a choice of `k`).
///
/// The losses and accuracies of one model stand at one place. Checkpoints of one training run are not
/// independent: take the last of each.
///
/// # Errors
/// Lists of different lengths, numbers that are not finite, accuracies outside 0 to 1, fewer than six
/// models (five with `guess`), accuracies that do not rise as losses fall, and models that leave a
/// term open.
///
/// # Examples
/// ```
/// let losses = [1.45, 1.32, 1.21, 1.10, 0.99, 0.91, 0.84, 0.78];
/// let accuracies = [0.262, 0.281, 0.322, 0.395, 0.512, 0.604, 0.681, 0.738];
/// let curve = relscale::fit::accuracy_curve(&losses, &accuracies, Some(0.25))?;
/// // A larger model, whose loss is predicted as 0.70 ± 0.02.
/// let predicted = curve.predict(0.70, 0.02, 0.95);
/// assert!(predicted.accuracy.lower < 0.80 && predicted.accuracy.upper > 0.80);
/// # Ok::<(), relscale::fit::FitError>(())
/// ```
pub fn accuracy_curve(
    losses: &[f64],
    accuracies: &[f64],
    guess: Option<f64>,
) -> Result<AccuracyCurve, FitError> {
    for &value in accuracies.iter().chain(&guess) {
        if !(0.0..=1.0).contains(&value) {
            return Err(FitError::Domain {
                what: "an accuracy".into(),
                value,
            });
        }
    }
    let fit = fit_sigmoid(losses, accuracies, guess)?;
    let [low, height, middle, log_width] = fit.parameters;
    Ok(AccuracyCurve {
        low,
        height,
        middle,
        width: libm::exp(log_width),
        standard_errors: [0, 1, 2, 3].map(|k| fit.covariance[k][k].sqrt()),
        residual_sd: fit.variance.sqrt(),
        df: fit.df as f64,
        covariance: fit.covariance,
    })
}

impl AccuracyCurve {
    /// The accuracy at a loss with a standard error, with intervals of level `confidence`.
    ///
    /// The errors of the loss and of the curve are independent and enter to first order. A standard
    /// error of zero is for a loss that was measured.
    #[must_use]
    pub fn predict(&self, loss: f64, standard_error: f64, confidence: f64) -> AccuracyPrediction {
        let parameters = [self.low, self.height, self.middle, libm::log(self.width)];
        let (value, slope, gradient) = sigmoid(&parameters, loss);
        let mut variance = (slope * standard_error).powi(2);
        for (a, row) in gradient.iter().zip(&self.covariance) {
            for (b, c) in gradient.iter().zip(row) {
                variance += a * b * c;
            }
        }
        let t = t_critical(confidence, self.df);
        let around = |variance: f64| {
            let half = t * variance.max(0.0).sqrt();
            Interval {
                value,
                // A share: what lies beyond is not possible.
                lower: (value - half).max(0.0),
                upper: (value + half).min(1.0),
            }
        };
        AccuracyPrediction {
            accuracy: around(variance + self.residual_sd * self.residual_sd),
            curve: around(variance),
        }
    }
}
