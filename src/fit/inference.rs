//! The regression of readings on scale: coefficients as weights, residual variances, robust forms.
//!
//! With `J` readings `f`, terms `X` (`J × p`, the first column constant, the second the centred log
//! scale) and relative weights `w`, the fitted coefficients are `(X'WX)⁻¹X'W f`. Only two of them are
//! ever asked for: the level (at the origin of the scale) and the exponent.
//!
//! # References
//!
//! Bell & McCaffrey (2002), *Survey Methodology* 28(2); Pustejovsky & Tipton (2018),
//! doi:10.1080/07350015.2016.1247004, for CR2 and its Satterthwaite degrees of freedom; MacKinnon &
//! White (1985), doi:10.1016/0304-4076(85)90158-7, for HC2 and HC3.

use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

use super::error::FitError;
use super::options::{Options, VarianceForm};
use super::quantile::{t_critical, t_two_sided};

/// A point estimate with its interval and two-sided test of zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// Standard error.
    pub standard_error: f64,
    /// Degrees of freedom of the t distribution that it is compared with.
    pub df: f64,
    /// Lower end of the `1 − alpha` interval.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Two-sided p-value of zero.
    pub p_value: f64,
}

impl Estimate {
    pub(crate) fn new(value: f64, variance: f64, df: f64, alpha: f64) -> Self {
        let standard_error = variance.max(0.0).sqrt();
        let half = t_critical(1.0 - alpha, df) * standard_error;
        Self {
            value,
            standard_error,
            df,
            lower: value - half,
            upper: value + half,
            p_value: two_sided(value, standard_error, df),
        }
    }

    /// Whether the interval contains zero.
    #[must_use]
    pub fn contains_zero(&self) -> bool {
        self.lower <= 0.0 && self.upper >= 0.0
    }

    pub(crate) fn interval(&self) -> Interval {
        Interval {
            value: self.value,
            lower: self.lower,
            upper: self.upper,
        }
    }
}

/// Two-sided p-value of `value / standard_error`; without any error, 1 at zero and 0 elsewhere.
pub(crate) fn two_sided(value: f64, standard_error: f64, df: f64) -> f64 {
    if standard_error > 0.0 {
        t_two_sided(value / standard_error, df)
    } else if value == 0.0 {
        1.0
    } else {
        0.0
    }
}

/// A value and its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Point estimate.
    pub value: f64,
    /// Lower end.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
}

impl Interval {
    pub(crate) fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self {
            value: f(self.value),
            lower: f(self.lower),
            upper: f(self.upper),
        }
    }
}

/// Symmetric 2×2 matrix over (level, exponent).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cov {
    pub(crate) level: f64,
    pub(crate) cross: f64,
    pub(crate) slope: f64,
}

impl Cov {
    pub(crate) fn outer(level: f64, slope: f64) -> Self {
        Self {
            level: level * level,
            cross: level * slope,
            slope: slope * slope,
        }
    }
    pub(crate) fn plus(self, o: Self) -> Self {
        Self {
            level: self.level + o.level,
            cross: self.cross + o.cross,
            slope: self.slope + o.slope,
        }
    }
    pub(crate) fn scaled(self, k: f64) -> Self {
        Self {
            level: self.level * k,
            cross: self.cross * k,
            slope: self.slope * k,
        }
    }
    /// Variance of `level + x · slope`.
    pub(crate) fn at(self, x: f64) -> f64 {
        (self.level + 2.0 * x * self.cross + x * x * self.slope).max(0.0)
    }
}

/// A cluster of readings with the adjusted weights of its residuals in level and exponent.
#[derive(Debug, Clone)]
struct Block {
    members: Vec<usize>,
    adjusted: [Vec<f64>; 2],
}

/// What the regression of readings needs, computed once for all distributions.
#[derive(Debug, Clone)]
pub(crate) struct Stage {
    /// `J × p`.
    pub(crate) terms: Vec<Vec<f64>>,
    /// Square roots of the reading weights.
    root: Vec<f64>,
    /// Orthonormal columns of the weighted terms.
    basis: Vec<Vec<f64>>,
    /// Inverse of the triangle of the weighted terms, `p × p`.
    inverse: Vec<Vec<f64>>,
    /// Rows of `(X'WX)⁻¹X'W` for level and exponent.
    weights: [Vec<f64>; 2],
    unscaled: Cov,
    pub(crate) leverage: Vec<f64>,
    /// `J − p`.
    pub(crate) df: f64,
    form: VarianceForm,
    blocks: Vec<Block>,
    robust_df: [f64; 2],
}

/// The fit without one reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Without {
    pub(crate) level: f64,
    pub(crate) slope: f64,
    pub(crate) level_variance: f64,
    pub(crate) slope_variance: f64,
    pub(crate) df: f64,
    pub(crate) cook: f64,
    pub(crate) dfbetas: f64,
}

impl Stage {
    pub(crate) fn new(
        terms: Vec<Vec<f64>>,
        weights: &[f64],
        clusters: &[usize],
        options: &Options,
    ) -> Result<Self, FitError> {
        let n = terms.len();
        let p = terms.first().map_or(0, Vec::len);
        if n <= p {
            return Err(FitError::TooFew {
                what: "readings".into(),
                found: n,
                needed: p + 1,
            });
        }
        let root: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let x = DMatrix::from_fn(n, p, |i, j| terms[i][j] * root[i]);
        let qr = x.qr();
        let (q, r) = (qr.q(), qr.r());
        let scale = (0..p).map(|i| r[(i, i)].abs()).fold(0.0, f64::max);
        let singular = || FitError::Singular {
            what: "the regression of readings on scale".into(),
        };
        // Terms are centred, so their own norms are the yardstick of a dependent column.
        for j in 0..p {
            let norm: f64 = (0..=j).map(|i| r[(i, j)] * r[(i, j)]).sum::<f64>().sqrt();
            if !(r[(j, j)].abs() > 1e-9 * norm) || !scale.is_finite() {
                return Err(singular());
            }
        }
        let inverse = r.try_inverse().ok_or_else(singular)?;
        let rows = &inverse * q.transpose();
        let gram = &inverse * inverse.transpose();
        let mut coefficient = [Vec::new(), Vec::new()];
        for (k, c) in coefficient.iter_mut().enumerate() {
            *c = (0..n).map(|j| rows[(k, j)] * root[j]).collect();
        }
        let leverage: Vec<f64> = (0..n).map(|i| q.row(i).norm_squared()).collect();
        let clustered = !clusters.is_empty();
        let form = if clustered {
            VarianceForm::Hc2
        } else {
            options.variance
        };
        let mut stage = Self {
            basis: (0..p)
                .map(|k| q.column(k).iter().copied().collect())
                .collect(),
            inverse: (0..p)
                .map(|i| (0..p).map(|j| inverse[(i, j)]).collect())
                .collect(),
            terms,
            root,
            weights: coefficient,
            unscaled: Cov {
                level: gram[(0, 0)],
                cross: gram[(0, 1)],
                slope: gram[(1, 1)],
            },
            leverage,
            df: (n - p) as f64,
            form,
            blocks: Vec::new(),
            robust_df: [(n - p) as f64; 2],
        };
        if form != VarianceForm::Ols {
            let own: Vec<usize> = (0..n).collect();
            stage.robust(if clustered { clusters } else { &own }, form);
        }
        Ok(stage)
    }

    /// `(H)_{ij}` of the weighted regression.
    fn hat(&self, i: usize, j: usize) -> f64 {
        self.basis.iter().map(|b| b[i] * b[j]).sum()
    }

    fn robust(&mut self, clusters: &[usize], form: VarianceForm) {
        let n = self.leverage.len();
        let groups = clusters.iter().copied().max().map_or(0, |m| m + 1);
        let mut blocks = Vec::with_capacity(groups);
        for g in 0..groups {
            let members: Vec<usize> = (0..n).filter(|&i| clusters[i] == g).collect();
            let m = members.len();
            let gap = DMatrix::from_fn(m, m, |i, j| {
                let identity = if i == j { 1.0 } else { 0.0 };
                identity - self.hat(members[i], members[j])
            });
            let power = if form == VarianceForm::Hc3 {
                -1.0
            } else {
                -0.5
            };
            let eigen = SymmetricEigen::new(gap);
            // A direction that the cluster fits exactly has no residual to rescale.
            let scaled = eigen
                .eigenvalues
                .map(|v| if v > 1e-10 { v.powf(power) } else { 0.0 });
            let a = &eigen.eigenvectors
                * DMatrix::from_diagonal(&scaled)
                * eigen.eigenvectors.transpose();
            let mut adjusted = [vec![0.0; m], vec![0.0; m]];
            for (k, adjusted) in adjusted.iter_mut().enumerate() {
                for i in 0..m {
                    adjusted[i] = (0..m)
                        .map(|j| {
                            let at = members[j];
                            // Weights of weighted readings: coefficient rows are per raw reading.
                            a[(i, j)] * self.weights[k][at] / self.root[at]
                        })
                        .sum();
                }
            }
            blocks.push(Block { members, adjusted });
        }
        self.blocks = blocks;
        if form == VarianceForm::Hc2 {
            for k in 0..2 {
                // P = QQ', Q_g = (I − H)_{·g} A_g q_g; projections keep it at p numbers a cluster.
                let projected: Vec<Vec<f64>> = self
                    .blocks
                    .iter()
                    .map(|b| {
                        let on = |column: &Vec<f64>| -> f64 {
                            let pairs = b.members.iter().zip(&b.adjusted[k]);
                            pairs.map(|(&m, v)| column[m] * v).sum()
                        };
                        self.basis.iter().map(on).collect()
                    })
                    .collect();
                let (mut trace, mut square) = (0.0, 0.0);
                for (i, bi) in self.blocks.iter().enumerate() {
                    for j in 0..self.blocks.len() {
                        let own: f64 = if i == j {
                            bi.adjusted[k].iter().map(|v| v * v).sum()
                        } else {
                            0.0
                        };
                        let shared: f64 = projected[i]
                            .iter()
                            .zip(&projected[j])
                            .map(|(a, b)| a * b)
                            .sum();
                        let p = own - shared;
                        square += p * p;
                        if i == j {
                            trace += p;
                        }
                    }
                }
                if square > 0.0 {
                    self.robust_df[k] = (trace * trace / square).min(self.df);
                }
            }
        }
    }

    /// Weights of the readings in the level (0) or the exponent (1).
    pub(crate) fn weights(&self, coefficient: usize) -> &[f64] {
        &self.weights[coefficient.min(1)]
    }

    pub(crate) fn coefficient(&self, k: usize, f: &[f64]) -> f64 {
        super::frontier::dot(self.weights(k), f)
    }

    /// Residuals of the readings, unweighted.
    pub(crate) fn residuals(&self, f: &[f64]) -> Vec<f64> {
        let scaled: Vec<f64> = f.iter().zip(&self.root).map(|(f, r)| f * r).collect();
        let mut e = scaled.clone();
        for b in &self.basis {
            let c = super::frontier::dot(b, &scaled);
            for (e, b) in e.iter_mut().zip(b) {
                *e -= c * b;
            }
        }
        e.iter().zip(&self.root).map(|(e, r)| e / r).collect()
    }

    /// Weighted residual variance on `J − p` degrees of freedom.
    pub(crate) fn sigma2(&self, residuals: &[f64]) -> f64 {
        let scaled = residuals
            .iter()
            .zip(&self.root)
            .map(|(e, r)| (e * r) * (e * r));
        scaled.sum::<f64>() / self.df
    }

    /// Covariance of (level, exponent) with `sigma2` in the place of the residual variance.
    pub(crate) fn covariance_with(&self, sigma2: f64) -> Cov {
        self.unscaled.scaled(sigma2)
    }

    /// Covariance of (level, exponent) by the chosen form, with its degrees of freedom for each.
    pub(crate) fn covariance(&self, residuals: &[f64]) -> (Cov, [f64; 2]) {
        if self.form == VarianceForm::Ols {
            return (self.covariance_with(self.sigma2(residuals)), [self.df; 2]);
        }
        let mut cov = Cov::default();
        for b in &self.blocks {
            let on = |k: usize| -> f64 {
                let pairs = b.members.iter().zip(&b.adjusted[k]);
                pairs.map(|(&m, v)| v * residuals[m] * self.root[m]).sum()
            };
            cov = cov.plus(Cov::outer(on(0), on(1)));
        }
        (cov, self.robust_df)
    }

    /// Fitted value at a row of terms, with the factor of `sigma2` in its variance.
    pub(crate) fn predict(&self, row: &[f64], f: &[f64]) -> (f64, f64) {
        let (mut value, mut factor) = (0.0, 0.0);
        for (k, b) in self.basis.iter().enumerate() {
            let z: f64 = row.iter().zip(&self.inverse).map(|(x, i)| x * i[k]).sum();
            let c: f64 = b
                .iter()
                .zip(f)
                .zip(&self.root)
                .map(|((b, f), r)| b * f * r)
                .sum();
            value += z * c;
            factor += z * z;
        }
        (value, factor)
    }

    /// Level and exponent without reading `j`, and the run variance of that exponent; `None` where
    /// the reading alone identifies a coefficient.
    pub(crate) fn without(&self, j: usize, f: &[f64], residuals: &[f64]) -> Option<Without> {
        let gap = 1.0 - self.leverage[j];
        let w = self.root[j] * self.root[j];
        if !(gap > 1e-8) || self.df < 2.0 {
            return None;
        }
        let e = residuals[j];
        let change = |k: usize| self.weights[k][j] * e / gap;
        let rss = self.sigma2(residuals) * self.df;
        let sigma2 = ((rss - w * e * e / gap) / (self.df - 1.0)).max(0.0);
        let inflated =
            |plain: f64, k: usize| plain + self.weights[k][j] * self.weights[k][j] / (w * gap);
        let p = self.basis.len() as f64;
        let total = rss / self.df;
        let ratio = |num: f64, den: f64| if den > 0.0 { num / den } else { 0.0 };
        Some(Without {
            level: self.coefficient(0, f) - change(0),
            slope: self.coefficient(1, f) - change(1),
            level_variance: sigma2 * inflated(self.unscaled.level, 0),
            slope_variance: sigma2 * inflated(self.unscaled.slope, 1),
            df: self.df - 1.0,
            cook: ratio(w * e * e * self.leverage[j], gap * gap * p * total),
            dfbetas: ratio(change(1), (sigma2 * self.unscaled.slope).sqrt()),
        })
    }

    /// Relative weights of the readings.
    pub(crate) fn reading_weights(&self) -> Vec<f64> {
        self.root.iter().map(|r| r * r).collect()
    }
}
