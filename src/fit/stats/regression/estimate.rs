//! A number with its standard error, referred to Student's t.

use crate::fit::stats::quantile::{t_cdf, t_critical, t_sf, t_two_sided};

/// A number with its standard error and the degrees of freedom of that standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct TEstimate {
    /// The point estimate.
    pub(crate) value: f64,
    /// Its standard error, ≥ 0.
    pub(crate) standard_error: f64,
    /// Degrees of freedom of the t reference distribution; real, > 0.
    pub(crate) df: f64,
}

impl TEstimate {
    /// value / standard error; 0/0 is 0.
    pub(crate) fn t(&self) -> f64 {
        // A treatment that is the baseline has the value 0 ± 0: no difference, not NaN.
        if self.value == 0.0 {
            0.0
        } else {
            self.value / self.standard_error
        }
    }

    /// Two-sided p-value of the hypothesis that the true value is zero.
    pub(crate) fn p_value(&self) -> f64 {
        t_two_sided(self.t(), self.df)
    }

    /// The central confidence interval at `level`, for example 0.95.
    pub(crate) fn interval(&self, level: f64) -> (f64, f64) {
        let half = t_critical(level, self.df) * self.standard_error;
        (self.value - half, self.value + half)
    }

    /// p-value of the two one-sided tests (TOST) of |true value| ≥ `margin`.
    ///
    /// p = max{P(T > (v + m)/s), P(T < (v − m)/s)} for the value v, its standard error s and the
    /// margin m. p ≤ α exactly when the central interval at level 1 − 2α lies inside (−m, m).
    ///
    /// # References
    /// D. J. Schuirmann (1987), *Journal of Pharmacokinetics and Biopharmaceutics* 15:657.
    pub(crate) fn equivalence_p(&self, margin: f64) -> f64 {
        let scaled = |distance: f64| {
            if distance == 0.0 {
                0.0
            } else {
                distance / self.standard_error
            }
        };
        // The larger of the two: both one-sided tests must reject.
        t_sf(scaled(self.value + margin), self.df).max(t_cdf(scaled(self.value - margin), self.df))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_tested_and_bounded_by_student() {
        let delta = TEstimate {
            value: 0.0028,
            standard_error: 0.0007,
            df: 5.0,
        };
        let (lower, upper) = delta.interval(0.95);
        assert!(lower > 0.0 && delta.p_value() < 0.05);
        assert!((upper - lower - 2.0 * 2.5705818356363146 * 0.0007).abs() < 1e-12);
    }

    #[test]
    fn a_standard_error_of_zero_is_certainty() {
        let exact = TEstimate {
            value: 0.0,
            standard_error: 0.0,
            df: 5.0,
        };
        assert_eq!(exact.p_value(), 1.0);
        assert_eq!(exact.equivalence_p(0.002), 0.0);
        let sure = TEstimate {
            value: -1.0,
            ..exact
        };
        assert_eq!(sure.p_value(), 0.0);
        assert_eq!(sure.equivalence_p(0.002), 1.0);
    }
}
