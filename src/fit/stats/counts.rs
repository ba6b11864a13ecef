//! Error rates: quasi-binomial regression of counts with a logarithmic link.
//!
//! `1 − accuracy` is a share of items, bounded and now and then zero. Its logarithm is no datum, but
//! the logarithm of its mean can follow a line: `wrong_r ~ items_r·μ_r`, `ln μ_r = x_r'b`,
//! `Var(wrong_r) = φ·items_r·μ_r(1 − μ_r)`. Runs without a single error then count like any other.
//!
//! # References
//! - P. McCullagh, J. A. Nelder (1989), *Generalized Linear Models*, §4.5 and §9.2.
//! - S. Wacholder (1986), *American Journal of Epidemiology* 123:174 (the logarithmic link).

use nalgebra::{DMatrix, DVector};

use super::regression::{Estimate, check_count, check_length, compensated_sum};
use crate::fit::error::FitError;

/// A fitted regression of counts.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CountsFit {
    /// b.
    pub coefficients: Vec<f64>,
    /// φ, Pearson's χ² over its degrees of freedom; 1 is binomial noise.
    pub dispersion: f64,
    /// n − p.
    pub df: usize,
    /// μ_r.
    pub rates: Vec<f64>,
    /// Pearson's residuals (wrong − items·μ)/√(items·μ(1 − μ)).
    pub residuals: Vec<f64>,
    pub(crate) root_weights: Vec<f64>,
    pub(crate) inverse: DMatrix<f64>,
}

impl CountsFit {
    /// Coefficient k with the standard error √(φ·(X'WX)⁻¹_kk), W = items·μ/(1 − μ).
    ///
    /// # Panics
    /// When there is no such coefficient.
    pub fn coefficient(&self, k: usize) -> Estimate {
        Estimate {
            value: self.coefficients[k],
            standard_error: (self.dispersion * self.inverse[(k, k)]).sqrt(),
            df: self.df as f64,
        }
    }
}

/// Fits `wrong` errors among `items` on `columns`, of which the first is constant.
///
/// The quasi-likelihood is concave in b, so Newton's method with halved steps finds its maximum from
/// anywhere; steps never leave μ < 1.
///
/// # Errors
/// Lengths that differ, counts outside 0 ≤ wrong ≤ items, items that are not positive, no more
/// observations than columns, a first column that is not constant, columns that are not independent,
/// no errors at all or nothing but errors, and counts whose fitted rates run to zero or one.
///
/// # Examples
/// ```
/// use relscale::fit::counts::fit_counts;
/// let x = [-1.0, 0.0, 1.0, 2.0];
/// let fit = fit_counts(&[&[1.0; 4], &x], &[40.0, 20.0, 10.0, 5.0], &[100.0; 4])?;
/// assert!((fit.coefficients[1] + 2_f64.ln()).abs() < 1e-9);
/// # Ok::<(), relscale::fit::error::FitError>(())
/// ```
pub fn fit_counts(columns: &[&[f64]], wrong: &[f64], items: &[f64]) -> Result<CountsFit, FitError> {
    let (n, p) = (wrong.len(), columns.len());
    check_length("items", items.len(), n)?;
    for (r, (w, m)) in wrong.iter().zip(items).enumerate() {
        if !(m.is_normal() && *m > 0.0) {
            return Err(FitError::Domain {
                what: format!("items[{r}]"),
                value: *m,
            });
        }
        if !(0.0..=*m).contains(w) {
            return Err(FitError::Domain {
                what: format!("wrong[{r}]"),
                value: *w,
            });
        }
    }
    let mut scale = Vec::with_capacity(p);
    for c in columns {
        check_length("a column", c.len(), n)?;
        let largest = c.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        if !(largest.is_normal() && c.iter().all(|v| v.is_finite())) {
            return Err(FitError::Domain {
                what: "the largest entry of a column".to_owned(),
                value: largest,
            });
        }
        scale.push(largest);
    }
    check_count("columns of a regression of counts", p, 1)?;
    check_count("counts of a regression", n, p + 1)?;
    if columns[0].iter().any(|v| *v != columns[0][0]) {
        return Err(FitError::Unsupported {
            reason: "the first column of a regression of counts is not constant".to_owned(),
        });
    }
    let x = DMatrix::from_fn(n, p, |r, k| columns[k][r] / scale[k]);
    let overall = compensated_sum(wrong.iter().copied()) / compensated_sum(items.iter().copied());
    if !(overall > 0.0 && overall < 1.0) {
        return Err(FitError::Unsupported {
            reason: format!("the error rate over all runs is {overall}: no law can be seen"),
        });
    }
    let likelihood =
        |b: &DVector<f64>| -> f64 {
            let eta = &x * b;
            if eta.iter().any(|e| *e >= 0.0) {
                return f64::NEG_INFINITY;
            }
            compensated_sum((0..n).map(|r| {
                wrong[r] * eta[r] + (items[r] - wrong[r]) * libm::log(-libm::expm1(eta[r]))
            }))
        };
    let mut b = DVector::zeros(p);
    b[0] = libm::log(overall) / x[(0, 0)];
    let mut value = likelihood(&b);
    let mut settled = false;
    for _ in 0..200 {
        let eta = &x * &b;
        // μ/(1 − μ) = 1/(e^{−η} − 1).
        let odds: Vec<f64> = eta.iter().map(|e| 1.0 / libm::expm1(-e)).collect();
        let score = DVector::from_fn(n, |r, _| wrong[r] - (items[r] - wrong[r]) * odds[r]);
        let observed =
            DVector::from_fn(n, |r, _| (items[r] - wrong[r]) * odds[r] * (1.0 + odds[r]));
        let gradient = x.transpose() * &score;
        let factor = weighted_gram(&x, observed.as_slice())
            .cholesky()
            .or_else(|| {
                let expected: Vec<f64> = items.iter().zip(&odds).map(|(m, o)| m * o).collect();
                weighted_gram(&x, &expected).cholesky()
            });
        let Some(step) = factor.map(|f| f.solve(&gradient)) else {
            break;
        };
        let promise = step.dot(&gradient);
        if promise.is_nan() {
            break;
        }
        if promise <= 1e-22 * (1.0 + value.abs()) {
            settled = true;
            break;
        }
        // Where the likelihood no longer shows an improvement, Newton's steps still make one.
        let sure = promise <= 1e-9 * (1.0 + value.abs());
        let mut share = 1.0;
        let moved = loop {
            let trial = &b + &step * share;
            let next = likelihood(&trial);
            if next > value || (sure && next.is_finite()) {
                value = next;
                b = trial;
                break true;
            }
            share *= 0.5;
            if share < 1e-9 {
                break false;
            }
        };
        if !moved {
            // A rate at one.
            break;
        }
    }
    let eta = &x * &b;
    let rates: Vec<f64> = eta.iter().map(|e| libm::exp(*e)).collect();
    let inside = rates.iter().all(|m| *m > 1e-12 && *m < 1.0 - 1e-9);
    if !(settled && inside) {
        return Err(FitError::NoConvergence {
            what: "a regression of counts, whose fitted rates run to zero or one,".to_owned(),
        });
    }
    let weights: Vec<f64> = (0..n)
        .map(|r| items[r] * rates[r] / (1.0 - rates[r]))
        .collect();
    let singular = || FitError::Singular {
        what: "a coefficient of a regression of counts".to_owned(),
    };
    let factor = weighted_gram(&x, &weights)
        .cholesky()
        .ok_or_else(singular)?;
    let diagonal = factor.l_dirty().diagonal();
    // Rounding leaves a root of machine precision where a column repeats others.
    if diagonal.iter().any(|d| *d < 1e-6 * diagonal.max()) {
        return Err(singular());
    }
    let residuals: Vec<f64> = (0..n)
        .map(|r| {
            let m = rates[r];
            (wrong[r] - items[r] * m) / (items[r] * m * (1.0 - m)).sqrt()
        })
        .collect();
    let df = n - p;
    let inverse = factor.inverse();
    Ok(CountsFit {
        coefficients: (0..p).map(|k| b[k] / scale[k]).collect(),
        dispersion: compensated_sum(residuals.iter().map(|e| e * e)) / df as f64,
        df,
        rates,
        residuals,
        root_weights: weights.iter().map(|w| w.sqrt()).collect(),
        inverse: DMatrix::from_fn(p, p, |i, k| inverse[(i, k)] / scale[i] / scale[k]),
    })
}

fn weighted_gram(x: &DMatrix<f64>, weights: &[f64]) -> DMatrix<f64> {
    let mut scaled = x.clone();
    for (r, w) in weights.iter().enumerate() {
        scaled.row_mut(r).scale_mut(*w);
    }
    x.transpose() * scaled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_count_and_exact_laws_are_found() {
        let x: Vec<f64> = (0..8).map(f64::from).collect();
        let one = [1.0; 8];
        let wrong: Vec<f64> = x.iter().map(|x| 300.0 * (-0.5 * x).exp()).collect();
        let fit = fit_counts(&[&one, &x], &wrong, &[1000.0; 8]).unwrap();
        assert!((fit.coefficients[1] + 0.5).abs() < 1e-10, "{fit:?}");
        assert!(fit.dispersion < 1e-15);
        let with_zeros = [9.0, 5.0, 4.0, 2.0, 0.0, 1.0, 0.0, 0.0];
        let fit = fit_counts(&[&one, &x], &with_zeros, &[20.0; 8]).unwrap();
        assert!(fit.coefficients[1] < -0.2 && fit.coefficient(1).standard_error > 0.0);
    }

    #[test]
    fn what_has_no_maximum_is_refused() {
        let x: Vec<f64> = (0..5).map(f64::from).collect();
        let one = [1.0; 5];
        let refused = |wrong: [f64; 5]| fit_counts(&[&one, &x], &wrong, &[10.0; 5]).is_err();
        assert!(refused([0.0; 5]));
        assert!(refused([10.0; 5]));
        assert!(refused([5.0, 0.0, 0.0, 0.0, 0.0]));
        assert!(refused([10.0, 10.0, 10.0, 10.0, 9.0]));
        assert!(refused([11.0, 1.0, 1.0, 1.0, 1.0]));
        assert!(refused([f64::NAN, 1.0, 1.0, 1.0, 1.0]));
        assert!(fit_counts(&[&one, &one], &[3.0, 2.0, 2.0, 1.0, 1.0], &[10.0; 5]).is_err());
        assert!(fit_counts(&[&x, &one], &[3.0, 2.0, 2.0, 1.0, 1.0], &[10.0; 5]).is_err());
    }
}
