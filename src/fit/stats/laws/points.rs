//! Positive errors at several scales, in logarithms.

use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_finite, check_length, check_positive};
use crate::fit::stats::sums::compensated_sum;

/// Checked positive errors at distinct x, with their logarithms.
pub(super) struct Points {
    pub(super) x: Vec<f64>,
    pub(super) ln_e: Vec<f64>,
    pub(super) x_mean: f64,
    pub(super) ln_e_mean: f64,
    pub(super) range: f64,
}

impl Points {
    pub(super) fn new(x: &[f64], errors: &[f64], needed: usize) -> Result<Self, FitError> {
        check_length("errors", errors.len(), x.len())?;
        check_count("points of a law", x.len(), needed)?;
        check_finite("x", x)?;
        check_positive("errors", errors)?;
        let n = x.len() as f64;
        let low = x.iter().copied().fold(f64::INFINITY, f64::min);
        let high = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let range = high - low;
        // Relative to x, as ln F near 45 has an absolute rounding of 1e-14 per point.
        if !(range > 1e-9 * (1.0 + high.abs()) && range.is_finite()) {
            return Err(FitError::Singular {
                what: "a law at a single scale".to_owned(),
            });
        }
        let ln_e: Vec<f64> = errors.iter().map(|e| e.ln()).collect();
        Ok(Self {
            x: x.to_vec(),
            x_mean: compensated_sum(x.iter().map(|x| x / n)),
            ln_e_mean: compensated_sum(ln_e.iter().map(|e| e / n)),
            ln_e,
            range,
        })
    }

    /// ln of the steepness of a decreasing straight line.
    pub(super) fn slope_guess(&self) -> f64 {
        let covariance: f64 = (self.x.iter().zip(&self.ln_e))
            .map(|(x, e)| (x - self.x_mean) * (e - self.ln_e_mean))
            .sum();
        let square: f64 = self.x.iter().map(|x| (x - self.x_mean).powi(2)).sum();
        // A law that rises has no positive exponent; it starts from one that hardly falls.
        (-covariance / square).max(1e-6 / self.range).ln()
    }
}
