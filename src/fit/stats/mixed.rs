//! A random effect of the budget beside the noise of runs: restricted maximum likelihood.
//!
//! `y = Xβ + u_budget + e_run` with independent normal `u` and `e`. Where budgets hold seed
//! replicates this separates what a budget does to all its runs from what a seed does to one.
//!
//! # References
//! - H. D. Patterson, R. Thompson (1971), *Biometrika* 58:545 (REML).
//! - F. E. Satterthwaite (1946), *Biometrics Bulletin* 2:110; F. G. Giesbrecht, J. C. Burns (1985),
//!   *Biometrics* 41:477 (degrees of freedom from the information of the variances).

use nalgebra::{DMatrix, DVector};

use super::checks::{check_count, check_finite, check_length};
use super::regression::TEstimate;
use crate::fit::error::FitError;

/// A fitted mixed model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MixedFit {
    /// Coefficients with standard errors and Satterthwaite degrees of freedom.
    pub(crate) coefficients: Vec<TEstimate>,
    /// Variance of the budget effects; 0 is the boundary.
    pub(crate) budget_variance: f64,
    /// Variance of the run effects.
    pub(crate) run_variance: f64,
}

/// Most observations: the information of the variances is computed with dense matrices, and 512
/// make 2 MB each.
const LARGEST: usize = 512;

/// Fits `y` on `columns` with a random effect of `groups`.
///
/// The ratio of the two variances is found on a grid and polished by golden section; the rest is
/// closed-form. Degrees of freedom are 2V²/(g'I⁻¹g), with I the expected information of the two
/// variances and g the gradient of the coefficient's variance V; without a budget effect they are
/// n − p.
///
/// **Assumptions**: normal effects. Few budgets make a poor estimate of their variance, and none of
/// the frontier, the items or the specification enters.
///
/// # Errors
/// Lengths that differ, numbers that are not finite, fewer observations than coefficients plus two
/// or more than 512, fewer than three groups, no group with two observations, or columns that are
/// not independent.
pub(crate) fn fit_mixed(
    columns: &[&[f64]],
    y: &[f64],
    groups: &[usize],
) -> Result<MixedFit, FitError> {
    let (group, size) = check(columns, y, groups)?;
    let (n, p) = (y.len(), columns.len());
    // Columns of length one, so that a rank can be judged; a scale of y, so that nothing underflows.
    let length: Vec<f64> = columns
        .iter()
        .map(|c| c.iter().map(|v| v * v).sum::<f64>().sqrt())
        .collect();
    // The floor keeps a y of zeros from dividing by zero; its fit is zero either way.
    let unit = y.iter().fold(0.0_f64, |m, v| m.max(v.abs())).max(1e-300);
    let problem = Problem {
        x: DMatrix::from_fn(n, p, |i, k| columns[k][i] / length[k]),
        y: DVector::from_fn(n, |i, _| y[i] / unit),
        group,
        size,
    };
    let ratio = problem.likeliest_ratio();
    let Some(fit) = problem.fit(ratio).filter(|f| f.run_variance.is_finite()) else {
        return Err(FitError::Singular {
            what: "a coefficient of the mixed model".to_owned(),
        });
    };
    let df = problem.degrees_of_freedom(&fit, ratio);
    let coefficients = (0..p)
        .map(|k| TEstimate {
            value: fit.beta[k] * unit / length[k],
            standard_error: (fit.inverse[(k, k)] * fit.run_variance).sqrt() * unit / length[k],
            df: df[k],
        })
        .collect();
    let run_variance = fit.run_variance * unit * unit;
    Ok(MixedFit {
        coefficients,
        budget_variance: ratio * run_variance,
        run_variance,
    })
}

/// Refuses what cannot be fitted; the group of every observation, from 0, and the groups' sizes.
fn check(
    columns: &[&[f64]],
    y: &[f64],
    groups: &[usize],
) -> Result<(Vec<usize>, Vec<f64>), FitError> {
    let (n, p) = (y.len(), columns.len());
    check_length("groups", groups.len(), n)?;
    check_finite("y", y)?;
    for c in columns {
        check_length("a column", c.len(), n)?;
        check_finite("a column", c)?;
    }
    check_count("coefficients of a mixed model", p, 1)?;
    // Two variances need at least two degrees of freedom.
    check_count("observations of a mixed model", n, p + 2)?;
    if n > LARGEST {
        return Err(FitError::Unsupported {
            reason: format!("a mixed model of {n} observations; at most {LARGEST} are supported"),
        });
    }
    let mut names = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    // Two groups leave one difference, from which a variance cannot be told from a mean.
    check_count("groups of a mixed model", names.len(), 3)?;
    // Without a replicate only the sum of the two variances shows in the data.
    if names.len() == n {
        return Err(FitError::Singular {
            what: "a random effect of groups of one".to_owned(),
        });
    }
    let group: Vec<usize> = groups
        .iter()
        .map(|g| names.partition_point(|n| n < g))
        .collect();
    let mut size = vec![0.0; names.len()];
    group.iter().for_each(|g| size[*g] += 1.0);
    Ok((group, size))
}

/// Data in the units of the fit, with the group of every observation and the groups' sizes.
struct Problem {
    x: DMatrix<f64>,
    y: DVector<f64>,
    group: Vec<usize>,
    size: Vec<f64>,
}

/// The fit at one ratio Var u/Var e of the variances.
struct Profiled {
    /// −2 restricted log-likelihood, up to a constant.
    deviance: f64,
    beta: DVector<f64>,
    /// (X'WX)⁻¹ with W the inverse of I + ratio·ZZ'.
    inverse: DMatrix<f64>,
    run_variance: f64,
}

impl Problem {
    /// The Var u/Var e of the greatest restricted likelihood, or 0.
    fn likeliest_ratio(&self) -> f64 {
        let deviance = |ratio: f64| self.fit(ratio).map_or(f64::INFINITY, |f| f.deviance);
        // From 1e-8 to 1e8 in steps of 10^(1/6): the deviance may have two minima, but none
        // narrower than that.
        let grid: Vec<f64> = (0..=96)
            .map(|k| 10_f64.powf(f64::from(k) / 6.0 - 8.0))
            .collect();
        let values: Vec<f64> = grid.iter().map(|r| deviance(*r)).collect();
        let least = (0..grid.len()).fold(0, |a, b| if values[b] < values[a] { b } else { a });
        let low = grid[least.saturating_sub(1)].ln();
        let high = grid[(least + 1).min(grid.len() - 1)].ln();
        let polished = golden_section(|u| deviance(u.exp()), low, high).exp();
        // The grid is logarithmic and never reaches zero, so the boundary is compared by itself.
        if deviance(0.0) <= deviance(polished) {
            0.0
        } else {
            polished
        }
    }

    /// Σ `column` over the observations of each group.
    fn group_sums(&self, column: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.size.len()];
        for (i, g) in self.group.iter().enumerate() {
            sums[*g] += column(i);
        }
        sums
    }

    /// Generalised least squares at one `ratio`; `None` where columns are dependent.
    fn fit(&self, ratio: f64) -> Option<Profiled> {
        let (n, p) = self.x.shape();
        // I + ratio·ZZ' is inverted group by group in closed form (Woodbury): no n × n matrix.
        let weight: Vec<f64> = self
            .size
            .iter()
            .map(|s| ratio / (1.0 + s * ratio))
            .collect();
        let sums = DMatrix::from_columns(
            &(0..p)
                .map(|k| DVector::from_vec(self.group_sums(|i| self.x[(i, k)])))
                .collect::<Vec<_>>(),
        );
        let of_y = self.group_sums(|i| self.y[i]);
        let mut gram = self.x.transpose() * &self.x;
        let mut moment = self.x.transpose() * &self.y;
        for (g, w) in weight.iter().enumerate() {
            let row = sums.row(g).transpose();
            gram -= &row * row.transpose() * *w;
            moment -= &row * (w * of_y[g]);
        }
        let factor = gram.cholesky()?;
        let diagonal = factor.l_dirty().diagonal();
        // Columns have length one: a pivot this small is the rounding of a dependent column.
        if diagonal.iter().any(|d| *d < 1e-7 * diagonal.max()) {
            return None;
        }
        let beta = factor.solve(&moment);
        let residual = &self.y - &self.x * &beta;
        let within = self.group_sums(|i| residual[i]);
        let rss = residual.norm_squared()
            - (within.iter().zip(&weight))
                .map(|(r, w)| w * r * r)
                .sum::<f64>();
        let left = (n - p) as f64;
        // An exact fit has no likelihood; any floor keeps its order.
        let run_variance = (rss / left).max(1e-300);
        let deviance = left * run_variance.ln()
            + self.size.iter().map(|s| (s * ratio).ln_1p()).sum::<f64>()
            + 2.0 * diagonal.iter().map(|d| d.ln()).sum::<f64>();
        Some(Profiled {
            deviance,
            beta,
            inverse: factor.inverse(),
            run_variance,
        })
    }

    /// Satterthwaite's degrees of freedom, one per coefficient.
    fn degrees_of_freedom(&self, fit: &Profiled, ratio: f64) -> Vec<f64> {
        let (n, p) = self.x.shape();
        let whole = vec![(n - p) as f64; p];
        if ratio == 0.0 {
            return whole;
        }
        // In units of the run variance: V⁻¹ = W, C = (X'WX)⁻¹, P = W − WXCX'W.
        let same = DMatrix::from_fn(n, n, |i, j| {
            f64::from(u8::from(self.group[i] == self.group[j]))
        });
        let inverse = DMatrix::from_fn(n, n, |i, j| {
            let own = f64::from(u8::from(i == j));
            own - same[(i, j)] * ratio / (1.0 + self.size[self.group[i]] * ratio)
        });
        let wx = &inverse * &self.x;
        let projection = &inverse - &wx * &fit.inverse * wx.transpose();
        let half = &projection * &same;
        let trace = |a: &DMatrix<f64>, b: &DMatrix<f64>| -> f64 {
            (0..n).map(|i| a.row(i).transpose().dot(&b.column(i))).sum()
        };
        let (uu, ue, ee) = (
            0.5 * trace(&half, &half),
            0.5 * trace(&half, &projection),
            0.5 * trace(&projection, &projection),
        );
        // The two variances can only be told apart where this is positive; otherwise there is one.
        let determinant = uu * ee - ue * ue;
        if determinant.is_nan() || determinant <= 0.0 {
            return whole;
        }
        let by_budget = &fit.inverse * wx.transpose() * &same * &wx * &fit.inverse;
        let by_run = &fit.inverse * wx.transpose() * &wx * &fit.inverse;
        (0..p)
            .map(|k| {
                let (a, b) = (by_budget[(k, k)], by_run[(k, k)]);
                let spread = (a * a * ee - 2.0 * a * b * ue + b * b * uu) / determinant;
                2.0 * fit.inverse[(k, k)].powi(2) / spread
            })
            .map(|df| {
                if df.is_finite() {
                    // Few groups can push the formula below one, the least that any variance is
                    // known by.
                    df.max(1.0)
                } else {
                    (n - p) as f64
                }
            })
            .collect()
    }
}

/// The minimum of a unimodal function between two points.
fn golden_section(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    // Sixty sections leave 3e-13 of the interval.
    let share = 0.5 * (5_f64.sqrt() - 1.0);
    let (mut a, mut b) = (high - share * (high - low), low + share * (high - low));
    let (mut at_a, mut at_b) = (f(a), f(b));
    for _ in 0..60 {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - share * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + share * (high - low);
            at_b = f(b);
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_replicates_leave_the_degrees_of_freedom_of_their_means() {
        // With equal numbers a slope between budgets has J − 2 degrees of freedom, exactly.
        let mut x = Vec::new();
        let mut y = Vec::new();
        let mut groups = Vec::new();
        for j in 0..10_u32 {
            for k in 0..3_u32 {
                x.push(f64::from(j) - 4.5);
                let shock = f64::from(j * 37 % 11) - 5.0;
                y.push(0.1 * f64::from(j) + 0.3 * shock + 0.02 * f64::from((j * 7 + k * 5) % 9));
                groups.push(j as usize);
            }
        }
        let fit = fit_mixed(&[&[1.0; 30], &x], &y, &groups).unwrap();
        assert!((fit.coefficients[1].df - 8.0).abs() < 1e-6, "{fit:?}");
        assert!(fit.budget_variance > fit.run_variance);
    }

    #[test]
    fn units_do_not_matter() {
        let x = [-2.0, -2.0, -1.0, 0.0, 0.0, 1.0, 2.0, 2.0];
        let y = [0.11, 0.13, 0.22, 0.26, 0.31, 0.43, 0.48, 0.52];
        let groups = [0, 0, 1, 2, 2, 3, 4, 4];
        let fit = fit_mixed(&[&[1.0; 8], &x], &y, &groups).unwrap();
        let scaled: Vec<f64> = y.iter().map(|v| 1e3 * v).collect();
        let far: Vec<f64> = x.iter().map(|v| 10.0 * v).collect();
        let other = fit_mixed(&[&[1.0; 8], &far], &scaled, &groups).unwrap();
        let ratio = other.coefficients[1].value / fit.coefficients[1].value;
        assert!((ratio - 100.0).abs() < 1e-6);
        assert!((other.run_variance / fit.run_variance - 1e6).abs() < 1.0);
    }

    #[test]
    fn odd_input_is_refused() {
        let one = [1.0; 4];
        assert!(fit_mixed(&[&one], &[1.0, 2.0, 3.0, 4.0], &[0, 1, 2, 3]).is_err());
        assert!(fit_mixed(&[&one], &[1.0, 2.0, 3.0, f64::NAN], &[0, 1, 2, 2]).is_err());
        assert!(fit_mixed(&[&one, &one], &[1.0, 2.0, 3.0, 4.0], &[0, 1, 2, 2]).is_err());
        assert!(fit_mixed(&[&one], &[1.0; 3], &[0, 1, 2, 2]).is_err());
        assert!(fit_mixed(&[], &[1.0; 4], &[0, 1, 2, 2]).is_err());
        assert!(fit_mixed(&[&one], &[1.0; 4], &[0, 1, 2, 2]).is_ok());
    }
}
