//! A straight line by least squares.

use super::estimate::TEstimate;
use super::linear::LinearFit;
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_finite, check_length};
use crate::fit::stats::sums::compensated_sum;

/// A straight line y = a + b·(x − x̄) by least squares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    fit: LinearFit,
    x_mean: f64,
}

impl Line {
    /// Fits a line through at least three points of at least two distinct x.
    ///
    /// # Errors
    /// [`FitError`] when lengths differ, a number is not finite, there are fewer than three
    /// points, or all x are equal.
    pub(crate) fn new(x: &[f64], y: &[f64]) -> Result<Self, FitError> {
        check_length("x", x.len(), y.len())?;
        check_count("points of a line", x.len(), 3)?;
        check_finite("x", x)?;
        let n = x.len() as f64;
        let x_mean = compensated_sum(x.iter().map(|x| x / n));
        // Centring makes level and slope uncorrelated, and keeps ln F near 50 from costing digits.
        let centred: Vec<f64> = x.iter().map(|x| x - x_mean).collect();
        let fit = LinearFit::new(&[&vec![1.0; x.len()], &centred], y)?;
        Ok(Self { fit, x_mean })
    }

    /// The fit on the columns (1, x − x̄).
    pub(crate) fn fit(&self) -> &LinearFit {
        &self.fit
    }

    /// x̄, the mean of x.
    pub(crate) fn x_mean(&self) -> f64 {
        self.x_mean
    }

    /// b with its classical standard error, n − 2 degrees of freedom.
    pub(crate) fn slope(&self) -> TEstimate {
        self.fit.classical(&[0.0, 1.0])
    }

    /// a, the height of the line at x̄, with its classical standard error.
    pub(crate) fn level(&self) -> TEstimate {
        self.fit.classical(&[1.0, 0.0])
    }

    /// The height of the line at `x`, with its classical standard error.
    pub(crate) fn at(&self, x: f64) -> TEstimate {
        self.fit.classical(&[1.0, x - self.x_mean])
    }
}
