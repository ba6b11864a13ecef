//! Error rates: quasi-binomial regression of counts with a logarithmic link.
//!
//! `1 − accuracy` is a share of items, bounded and now and then zero. The logarithm of a zero share
//! is no datum, but the logarithm of its mean can follow a line: `wrong_r ~ items_r·μ_r`,
//! `ln μ_r = x_r'b`, `Var(wrong_r) = φ·items_r·μ_r(1 − μ_r)`. Runs without a single error then count
//! like any other.
//!
//! # References
//! - P. McCullagh, J. A. Nelder (1989), *Generalized Linear Models*, §4.5 and §9.2.
//! - S. Wacholder (1986), *American Journal of Epidemiology* 123:174 (the logarithmic link).

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::checks::{check_count, check_domain, check_each, check_length};
use super::sums::compensated_sum;
use crate::fit::error::FitError;

/// A fitted regression of counts.
///
/// The covariance matrix of b is φ·(X'WX)⁻¹, W = diag(items·μ/(1 − μ)).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CountsFit {
    /// b.
    pub(crate) coefficients: Vec<f64>,
    /// φ, Pearson's χ² over its degrees of freedom; 1 is binomial noise.
    pub(crate) dispersion: f64,
    /// n − p.
    pub(crate) df: usize,
    /// μ_r.
    pub(crate) rates: Vec<f64>,
    /// Pearson's residuals (wrong − items·μ)/√(items·μ(1 − μ)).
    pub(crate) residuals: Vec<f64>,
    /// √W.
    pub(crate) root_weights: Vec<f64>,
    /// (X'WX)⁻¹.
    pub(crate) inverse: DMatrix<f64>,
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
pub(crate) fn fit_counts(
    columns: &[&[f64]],
    wrong: &[f64],
    items: &[f64],
) -> Result<CountsFit, FitError> {
    let n = wrong.len();
    check_counts(wrong, items)?;
    let scale = check_columns(columns, n)?;
    // All right or all wrong puts the maximum at infinity, so Newton's method would creep for ever.
    let overall = compensated_sum(wrong.iter().copied()) / compensated_sum(items.iter().copied());
    if !(overall > 0.0 && overall < 1.0) {
        return Err(FitError::Unsupported {
            reason: format!("the error rate over all runs is {overall}: no law can be seen"),
        });
    }
    let problem = Problem {
        // Columns of one size make the pivots comparable, so that dependence can be told from small
        // units.
        x: DMatrix::from_fn(n, columns.len(), |r, k| columns[k][r] / scale[k]),
        wrong,
        items,
    };
    let maximum = problem.maximise(overall);
    let rates =
        |b: &DVector<f64>| -> Vec<f64> { (&problem.x * b).iter().map(|e| libm::exp(*e)).collect() };
    // Errors in one run only, [5, 0, 0, 0, 0], drive the other rates towards zero without end. The
    // exact bounds do not matter: no count of items can tell such rates from 0 or 1.
    let inside = |rates: &[f64]| rates.iter().all(|m| *m > 1e-12 && *m < 1.0 - 1e-9);
    let settled = maximum.map(|b| (rates(&b), b));
    let Some((rates, b)) = settled.filter(|(rates, _)| inside(rates)) else {
        return Err(FitError::NoConvergence {
            what: "a regression of counts, whose fitted rates run to zero or one,".to_owned(),
        });
    };
    problem.finish(&b, rates, &scale)
}

/// Refuses counts that are not 0 ≤ wrong ≤ items.
fn check_counts(wrong: &[f64], items: &[f64]) -> Result<(), FitError> {
    check_length("items", items.len(), wrong.len())?;
    check_each("items", items, |m| m.is_normal() && m > 0.0)?;
    // Whole numbers are not asked for: partial credit makes fractions of errors.
    let beyond = |(w, m): (&f64, &f64)| !(0.0..=*m).contains(w);
    match wrong.iter().zip(items).position(beyond) {
        Some(r) => check_domain(&format!("wrong[{r}]"), wrong[r], false),
        None => Ok(()),
    }
}

/// The largest entry of each of the columns, which are refused where they cannot be fitted.
fn check_columns(columns: &[&[f64]], n: usize) -> Result<Vec<f64>, FitError> {
    let mut scale = Vec::with_capacity(columns.len());
    for c in columns {
        check_length("a column", c.len(), n)?;
        let largest = c.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
        check_domain(
            "the largest entry of a column",
            largest,
            largest.is_normal() && c.iter().all(|v| v.is_finite()),
        )?;
        scale.push(largest);
    }
    check_count("columns of a regression of counts", columns.len(), 1)?;
    // One observation more than columns: the dispersion is divided by n − p.
    check_count("counts of a regression", n, columns.len() + 1)?;
    // Newton's method starts from a constant rate, which only a constant column can express.
    if columns[0].iter().any(|v| *v != columns[0][0]) {
        return Err(FitError::Unsupported {
            reason: "the first column of a regression of counts is not constant".to_owned(),
        });
    }
    Ok(scale)
}

/// The data of a regression, with columns of largest entry one.
struct Problem<'a> {
    x: DMatrix<f64>,
    wrong: &'a [f64],
    items: &'a [f64],
}

impl Problem<'_> {
    /// The log-quasi-likelihood Σ wrong·η + (items − wrong)·ln(1 − e^η); −∞ where a rate is one.
    fn likelihood(&self, b: &DVector<f64>) -> f64 {
        let eta = &self.x * b;
        // The link does not keep rates below one. Minus infinity makes the halving of steps do it.
        if eta.iter().any(|e| *e >= 0.0) {
            return f64::NEG_INFINITY;
        }
        compensated_sum((0..self.wrong.len()).map(|r| {
            self.wrong[r] * eta[r]
                // `expm1` keeps the digits of 1 − μ where nearly every item is wrong.
                + (self.items[r] - self.wrong[r]) * libm::log(-libm::expm1(eta[r]))
        }))
    }

    /// The gradient of the likelihood and Newton's step; `None` where columns are dependent.
    fn newton_step(&self, b: &DVector<f64>) -> Option<(DVector<f64>, DVector<f64>)> {
        let (n, wrong, items) = (self.wrong.len(), self.wrong, self.items);
        let eta = &self.x * b;
        // μ/(1 − μ) = 1/(e^{−η} − 1).
        let odds: Vec<f64> = eta.iter().map(|e| 1.0 / libm::expm1(-e)).collect();
        let score = DVector::from_fn(n, |r, _| wrong[r] - (items[r] - wrong[r]) * odds[r]);
        let observed =
            DVector::from_fn(n, |r, _| (items[r] - wrong[r]) * odds[r] * (1.0 + odds[r]));
        let gradient = self.x.transpose() * &score;
        // Where nearly everything is wrong the observed information vanishes; the expected does not.
        let factor = self.information(observed.as_slice()).or_else(|| {
            let expected: Vec<f64> = items.iter().zip(&odds).map(|(m, o)| m * o).collect();
            self.information(&expected)
        })?;
        let step = factor.solve(&gradient);
        Some((gradient, step))
    }

    /// The maximum of the likelihood from the constant `rate` on; `None` where there is none.
    fn maximise(&self, rate: f64) -> Option<DVector<f64>> {
        let mut b = DVector::zeros(self.x.ncols());
        // The overall rate in every run lies inside the domain, whatever the columns are.
        b[0] = libm::log(rate) / self.x[(0, 0)];
        let mut value = self.likelihood(&b);
        // Newton's method needs about ten steps. The limit ends a walk towards a rate of zero or
        // one.
        for _ in 0..200 {
            let (gradient, step) = self.newton_step(&b)?;
            // Twice the improvement that the quadratic model promises.
            let promise = step.dot(&gradient);
            if promise.is_nan() {
                return None;
            }
            // The promise is quadratic in the step: 1e-22 leaves eleven digits to the coefficients.
            if promise <= 1e-22 * (1.0 + value.abs()) {
                return Some(b);
            }
            // Where the likelihood no longer shows an improvement, Newton's steps still make one.
            let sure = promise <= 1e-9 * (1.0 + value.abs());
            let mut share = 1.0;
            loop {
                let trial = &b + &step * share;
                let next = self.likelihood(&trial);
                if next > value || (sure && next.is_finite()) {
                    value = next;
                    b = trial;
                    break;
                }
                share *= 0.5;
                // No step at all: a rate is at one.
                if share < 1e-9 {
                    return None;
                }
            }
        }
        None
    }

    /// X'WX, factored.
    fn information(&self, weights: &[f64]) -> Option<Cholesky<f64, Dyn>> {
        let mut scaled = self.x.clone();
        for (r, w) in weights.iter().enumerate() {
            scaled.row_mut(r).scale_mut(*w);
        }
        (self.x.transpose() * scaled).cholesky()
    }

    /// The fit at the maximum `b`, in the units of columns with largest entries `scale`.
    fn finish(
        &self,
        b: &DVector<f64>,
        rates: Vec<f64>,
        scale: &[f64],
    ) -> Result<CountsFit, FitError> {
        let (n, p) = self.x.shape();
        let (wrong, items) = (self.wrong, self.items);
        // The expected information, not the observed one: the usual covariance of a
        // quasi-likelihood.
        let weights: Vec<f64> = (0..n)
            .map(|r| items[r] * rates[r] / (1.0 - rates[r]))
            .collect();
        let singular = || FitError::Singular {
            what: "a coefficient of a regression of counts".to_owned(),
        };
        let factor = self.information(&weights).ok_or_else(singular)?;
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
            // Pearson's estimate: the deviance is biased where runs have few errors, often none.
            dispersion: compensated_sum(residuals.iter().map(|e| e * e)) / df as f64,
            df,
            rates,
            residuals,
            root_weights: weights.iter().map(|w| w.sqrt()).collect(),
            inverse: DMatrix::from_fn(p, p, |i, k| inverse[(i, k)] / scale[i] / scale[k]),
        })
    }
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
        assert!(fit.coefficients[1] < -0.2 && fit.inverse[(1, 1)] > 0.0);
    }

    #[test]
    fn halving_errors_have_the_slope_of_their_logarithm() {
        let x = [-1.0, 0.0, 1.0, 2.0];
        let fit = fit_counts(&[&[1.0; 4], &x], &[40.0, 20.0, 10.0, 5.0], &[100.0; 4]).unwrap();
        assert!((fit.coefficients[1] + 2_f64.ln()).abs() < 1e-9);
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
