//! Deletion diagnostics: every observation's influence on a fit.
//!
//! # References
//! D. A. Belsley, E. Kuh, R. E. Welsch (1980), *Regression Diagnostics*, §2.1; R. D. Cook (1977),
//! *Technometrics* 19:15.

use super::linear::LinearFit;
use crate::fit::error::FitError;
use crate::fit::stats::checks::check_count;
use crate::fit::stats::sums::dot;

/// Influence of every observation on a fit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DeletionInfluence {
    /// Cook's distances eᵢ²·hᵢ/(s²·p·(1 − hᵢ)²).
    pub(crate) cook: Vec<f64>,
    /// DFBETAS, one vector over coefficients per observation: the change of each coefficient over
    /// its standard error by the scale estimated without the observation.
    pub(crate) dfbetas: Vec<Vec<f64>>,
    /// Coefficients of the fit without the observation, one vector per observation.
    pub(crate) without: Vec<Vec<f64>>,
}

impl LinearFit {
    /// Deletion diagnostics of every observation.
    ///
    /// # Errors
    /// When n < p + 2 (nothing is left to estimate the scale without an observation) or an
    /// observation has leverage one.
    pub(crate) fn influence(&self) -> Result<DeletionInfluence, FitError> {
        let (n, p) = (self.residuals.len(), self.coefficients.len());
        check_count("observations", n, p + 2)?;
        self.check_leverages()?;
        let residuals = self.whitened_residuals();
        let variance = self.variance();
        let spread: Vec<f64> = self
            .r_inverse
            .iter()
            .map(|row| dot(row, row).sqrt())
            .collect();
        let mut influence = DeletionInfluence {
            cook: Vec::with_capacity(n),
            dfbetas: Vec::with_capacity(n),
            without: Vec::with_capacity(n),
        };
        // An exact fit has 0/0 here, and deleting a point changes nothing: 0.
        let quotient = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a / b };
        for (i, (&e, &h)) in residuals.iter().zip(&self.leverages).enumerate() {
            let free = 1.0 - h;
            // Where one point holds all the misfit the difference is rounding, of either sign.
            let deleted_rss = (self.rss - e * e / free).max(0.0);
            let deleted_scale = (deleted_rss / (n - p - 1) as f64).sqrt();
            let row: Vec<f64> = self.q.iter().map(|basis| basis[i]).collect();
            let shift: Vec<f64> = self
                .r_inverse
                .iter()
                .map(|r| dot(r, &row) * e / free)
                .collect();
            influence
                .cook
                .push(quotient(e * e * h, variance * p as f64 * free * free));
            influence.dfbetas.push(
                shift
                    .iter()
                    .zip(&spread)
                    .map(|(s, u)| quotient(*s, deleted_scale * u))
                    .collect(),
            );
            influence.without.push(
                self.coefficients
                    .iter()
                    .zip(&shift)
                    .map(|(b, s)| b - s)
                    .collect(),
            );
        }
        Ok(influence)
    }
}
