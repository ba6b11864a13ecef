//! The power of the tests of one exponent.

use super::domain;
use crate::fit::error::FitError;
use crate::fit::stats::checks::check_probability;
use crate::fit::stats::quantile::{chi_mean, nct_cdf, nct_sf, normal_cdf, t_critical, t_quantile};

/// The t tests of one exponent: that it is not 0, and that it is within a margin of 0.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(
    clippy::exhaustive_structs,
    reason = "callers write it as a literal; it names the arguments of its methods"
)]
pub struct ExponentTest {
    /// Standard error of the exponent.
    pub standard_error: f64,
    /// Degrees of freedom.
    pub df: f64,
    /// Level of the test.
    pub alpha: f64,
}

impl ExponentTest {
    /// Probability that the two-sided test rejects δ = 0 when the truth is `delta`.
    ///
    /// NaN when an argument is outside its domain.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::power::ExponentTest;
    ///
    /// let test = ExponentTest { standard_error: 6.27e-4, df: 5.0, alpha: 0.05 };
    /// assert!((test.power(0.0022) - 0.80).abs() < 0.005);
    /// ```
    #[must_use]
    pub fn power(&self, delta: f64) -> f64 {
        let critical = t_critical(1.0 - self.alpha, self.df);
        let shift = delta / self.standard_error;
        // Noncentral t, not a shifted t: with few degrees of freedom the two differ.
        nct_sf(critical, self.df, shift) + nct_cdf(-critical, self.df, shift)
    }

    /// The smallest |δ| that is detected with probability `power`: the standard error times 4.26,
    /// 3.51, 3.27, 3.11, 2.95 for 3, 5, 7, 10, 20 degrees of freedom at 80 % and 5 %.
    ///
    /// # Errors
    /// [`FitError::Domain`] when the degrees of freedom are not positive, `alpha` or `power` is
    /// outside (0, 1), or `power` ≤ `alpha`; [`FitError::NoConvergence`] when the multiple of the
    /// standard error is above 10⁹.
    pub fn minimum_detectable(&self, power: f64) -> Result<f64, FitError> {
        check_probability("alpha", self.alpha)?;
        check_probability("power", power)?;
        if self.df.is_nan() || self.df <= 0.0 {
            return Err(domain("degrees of freedom", self.df));
        }
        // Every δ, also 0, is detected with probability `alpha`.
        if power <= self.alpha {
            return Err(domain("power", power));
        }
        Ok(self.detectable_multiple(power)? * self.standard_error)
    }

    /// The same in standard errors, by bisection.
    fn detectable_multiple(&self, wanted: f64) -> Result<f64, FitError> {
        let unit = Self {
            standard_error: 1.0,
            ..*self
        };
        let (mut low, mut high) = (0.0, 1.0);
        while unit.power(high) < wanted {
            low = high;
            high *= 2.0;
            // Reached only with so few degrees of freedom that no effect is detected.
            if high > 1e9 {
                return Err(FitError::NoConvergence {
                    what: "the detectable multiple".to_owned(),
                });
            }
        }
        while high - low > 1e-12 * high {
            let middle = 0.5 * (low + high);
            if middle <= low || middle >= high {
                break;
            }
            if unit.power(middle) < wanted {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(0.5 * (low + high))
    }

    /// Probability that two one-sided tests find |δ| < `margin` when the truth is `delta`: the
    /// expectation, over `s = √(χ²_ν/ν)`, of the probability that δ̂ falls within
    /// ±(margin − t·s·s.e.).
    ///
    /// NaN when an argument is outside its domain.
    ///
    /// # References
    /// K. F. Phillips (1990), *J. Pharmacokinetics and Biopharmaceutics* 18:137.
    #[must_use]
    pub fn equivalence_power(&self, delta: f64, margin: f64) -> f64 {
        let (se, alpha) = (self.standard_error, self.alpha);
        if !(se > 0.0 && margin > 0.0 && delta.is_finite() && alpha > 0.0 && alpha < 1.0) {
            return f64::NAN;
        }
        let critical = t_quantile(1.0 - alpha, self.df);
        let (room, shift) = (margin / se, delta / se);
        // Two one-sided tests share one standard error, so power is a mean over its distribution;
        // the product of two noncentral t would be wrong.
        chi_mean(self.df, |s| {
            let half = room - critical * s;
            if half <= 0.0 {
                0.0
            } else {
                normal_cdf(half - shift) - normal_cdf(-half - shift)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ExponentTest;
    use crate::fit::stats::random::Stream;
    use crate::fit::stats::regression::TEstimate;

    fn test(standard_error: f64, df: f64) -> ExponentTest {
        ExponentTest {
            standard_error,
            df,
            alpha: 0.05,
        }
    }

    #[test]
    fn detectable_multiples_are_those_of_the_noncentral_t() {
        for (df, wanted) in [
            (3.0, 4.26),
            (5.0, 3.51),
            (7.0, 3.27),
            (10.0, 3.11),
            (20.0, 2.95),
        ] {
            let found = test(1.0, df).minimum_detectable(0.8).unwrap();
            assert!((found - wanted).abs() < 0.006, "{df}: {found}");
        }
        assert!(test(1.0, 5.0).minimum_detectable(0.04).is_err());
        assert!(test(1.0, f64::NAN).minimum_detectable(0.8).is_err());
    }

    #[test]
    fn powers_have_their_limits() {
        assert!((test(1.0, 5.0).power(0.0) - 0.05).abs() < 1e-12);
        assert!(test(1.0, 5.0).power(100.0) > 1.0 - 1e-12);
        // At the margin TOST rejects with at most α; with vanishing noise exactly α.
        let precise = test(1e-3, 5.0);
        let at_margin = precise.equivalence_power(1.0, 1.0);
        assert!((at_margin - 0.05).abs() < 1e-9, "{at_margin}");
        assert!(precise.equivalence_power(0.0, 1.0) > 1.0 - 1e-9);
        assert!(test(1e3, 5.0).equivalence_power(0.0, 1.0) < 1e-3);
        assert!(test(0.0, 5.0).equivalence_power(0.0, 1.0).is_nan());
    }

    #[test]
    fn equivalence_power_agrees_with_simulation() {
        // 20,000 seeded replicates of an estimate with 5 degrees of freedom.
        let (delta, margin) = (0.3, 4.0);
        let mut hits = 0;
        for replicate in 0..20_000 {
            let mut stream = Stream::new(9, "tost", replicate);
            let estimate = TEstimate {
                value: delta + stream.normal(),
                standard_error: (stream.chi2(5.0) / 5.0).sqrt(),
                df: 5.0,
            };
            hits += i32::from(estimate.equivalence_p(margin) <= 0.05);
        }
        let found = f64::from(hits) / 20_000.0;
        let wanted = test(1.0, 5.0).equivalence_power(delta, margin);
        assert!((found - wanted).abs() < 0.012, "{found} {wanted}");
    }
}
