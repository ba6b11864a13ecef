//! Least squares on small designs, with robust variances, influence and rank-based companions.
//!
//! Designs here have a handful of columns and at most a few thousand rows, so clarity wins over
//! blocking: columns are orthogonalised twice (Gram–Schmidt, "twice is enough"), which yields the
//! thin Q directly, and every sum runs serially in index order, so results do not depend on
//! threads or on the instruction set.
//!
//! # References
//! - D. A. Belsley, E. Kuh, R. E. Welsch (1980), *Regression Diagnostics*, §2.1.
//! - J. G. MacKinnon, H. White (1985), *Journal of Econometrics* 29:305 (HC0–HC3);
//!   F. Cribari-Neto (2004), *CSDA* 45:215 (HC4); F. Cribari-Neto, W. B. da Silva (2011),
//!   *AStA* 95:129 (HC4m); F. Cribari-Neto, T. C. Souza, K. L. P. Vasconcellos (2007),
//!   *Communications in Statistics* 36:1877 (HC5).
//! - R. M. Bell, D. F. McCaffrey (2002), *Survey Methodology* 28:169 (CR2, CR3 and their degrees
//!   of freedom); J. E. Pustejovsky, E. Tipton (2018), *JBES* 36:672.

use nalgebra::{DMatrix, SymmetricEigen};
use serde::{Deserialize, Serialize};

use super::quantile::{f_quantile, t_cdf, t_critical, t_sf, t_two_sided};
use crate::fit::error::FitError;

/// An observation whose 1 − hᵢ is below this determines a coefficient alone: its residual is zero
/// whatever it says, so no residual-based variance can see it.
const MIN_FREEDOM: f64 = 1e-8;
/// Eigenvalues of I − H_gg below this belong to directions that a cluster determines alone.
const MIN_EIGENVALUE: f64 = 1e-10;
/// A column whose part orthogonal to its predecessors is below this fraction of its length is
/// treated as linearly dependent on them.
const MIN_COLUMN_ANGLE: f64 = 1e-10;

/// A sum in index order with Neumaier's compensation.
pub(crate) fn compensated_sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut compensation) = (0.0_f64, 0.0);
    for value in values {
        let next = sum + value;
        compensation += if sum.abs() >= value.abs() {
            (sum - next) + value
        } else {
            (value - next) + sum
        };
        sum = next;
    }
    sum + compensation
}

/// Σ aᵢ·bᵢ, compensated.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    compensated_sum(a.iter().zip(b).map(|(a, b)| a * b))
}

/// Refuses the first number of `values` that is NaN or infinite.
pub(crate) fn check_finite(what: &str, values: &[f64]) -> Result<(), FitError> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(FitError::Domain {
            what: format!("{what}[{index}]"),
            value: values[index],
        }),
        None => Ok(()),
    }
}

/// Refuses `found` unless it equals `needed`.
pub(crate) fn check_length(what: &str, found: usize, needed: usize) -> Result<(), FitError> {
    if found == needed {
        return Ok(());
    }
    Err(FitError::Length {
        what: what.to_owned(),
        found,
        needed,
    })
}

/// Refuses `found` unless it is at least `needed`.
pub(crate) fn check_count(what: &str, found: usize, needed: usize) -> Result<(), FitError> {
    if found >= needed {
        return Ok(());
    }
    Err(FitError::TooFew {
        what: what.to_owned(),
        found,
        needed,
    })
}

/// Refuses a `value` that is not in (0, 1).
pub(crate) fn check_probability(what: &str, value: f64) -> Result<(), FitError> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(FitError::Domain {
        what: what.to_owned(),
        value,
    })
}

/// A number with its standard error and the degrees of freedom of that standard error.
///
/// # Examples
/// ```
/// use relscale::fit::regression::Estimate;
/// let delta = Estimate { value: 0.0028, standard_error: 0.0007, df: 5.0 };
/// let (lower, upper) = delta.interval(0.95);
/// assert!(lower > 0.0 && delta.p_value() < 0.05);
/// assert!((upper - lower - 2.0 * 2.5705818356363146 * 0.0007).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The point estimate.
    pub value: f64,
    /// Its standard error, ≥ 0.
    pub standard_error: f64,
    /// Degrees of freedom of the t reference distribution; real, > 0.
    pub df: f64,
}

impl Estimate {
    /// value / standard error; 0/0 is 0.
    pub fn t(&self) -> f64 {
        if self.value == 0.0 {
            0.0
        } else {
            self.value / self.standard_error
        }
    }

    /// Two-sided p-value of the hypothesis that the true value is zero.
    pub fn p_value(&self) -> f64 {
        t_two_sided(self.t(), self.df)
    }

    /// The central confidence interval at `level`, for example 0.95.
    pub fn interval(&self, level: f64) -> (f64, f64) {
        let half = t_critical(level, self.df) * self.standard_error;
        (self.value - half, self.value + half)
    }

    /// p-value of the two one-sided tests (TOST) of |true value| ≥ `margin`.
    ///
    /// p = max{P(T > (v + m)/s), P(T < (v − m)/s)}; p ≤ α exactly when the central interval at
    /// level 1 − 2α lies inside (−m, m).
    ///
    /// # References
    /// D. J. Schuirmann (1987), *Journal of Pharmacokinetics and Biopharmaceutics* 15:657.
    pub fn equivalence_p(&self, margin: f64) -> f64 {
        let scaled = |distance: f64| {
            if distance == 0.0 {
                0.0
            } else {
                distance / self.standard_error
            }
        };
        t_sf(scaled(self.value + margin), self.df).max(t_cdf(scaled(self.value - margin), self.df))
    }
}

/// How the variance of a least-squares coefficient is estimated.
///
/// Clusters are given as one label per observation; labels need not be contiguous. Degrees of
/// freedom are n − p for the classical form and Satterthwaite's, under independent errors of
/// equal variance, (Σ P_gg)²/Σ P_gh², for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Errors<'a> {
    /// s²(X'X)⁻¹.
    Classical,
    /// White's estimator: squared residuals as they are.
    Hc0,
    /// HC0 times n/(n − p).
    Hc1,
    /// Residuals divided by √(1 − hᵢ).
    Hc2,
    /// Residuals divided by 1 − hᵢ (close to the jackknife).
    Hc3,
    /// Squared residuals divided by (1 − hᵢ)^min(4, n·hᵢ/p).
    Hc4,
    /// Squared residuals divided by (1 − hᵢ)^(min(1, n·hᵢ/p) + min(1.5, n·hᵢ/p)).
    Hc4m,
    /// Squared residuals divided by (1 − hᵢ)^(½·min(n·hᵢ/p, max(4, 0.7·n·h_max/p))).
    Hc5,
    /// Cluster sums of score, unadjusted.
    Cr0(&'a [usize]),
    /// CR0 times G/(G − 1).
    Cr1(&'a [usize]),
    /// CR0 times G(n − 1)/((G − 1)(n − p)), the usual default of econometric software.
    Cr1s(&'a [usize]),
    /// Residuals of a cluster multiplied by (I − H_gg)^(−½); singletons give HC2.
    Cr2(&'a [usize]),
    /// Residuals of a cluster multiplied by (I − H_gg)⁻¹; singletons give HC3.
    Cr3(&'a [usize]),
}

/// Influence of every observation on a fit.
///
/// # References
/// D. A. Belsley, E. Kuh, R. E. Welsch (1980), §2.1; R. D. Cook (1977), *Technometrics* 19:15.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Influence {
    /// Leverages hᵢ in \[0, 1\].
    pub leverage: Vec<f64>,
    /// Residuals studentised by the scale estimated without the observation.
    pub studentized: Vec<f64>,
    /// Cook's distances.
    pub cook: Vec<f64>,
    /// DFFITS.
    pub dffits: Vec<f64>,
    /// DFBETAS, one vector over coefficients for each observation.
    pub dfbetas: Vec<Vec<f64>>,
    /// Coefficients of the fit without the observation, one vector for each observation.
    pub without: Vec<Vec<f64>>,
    /// Sum of squared leave-one-out prediction errors.
    pub press: f64,
}

/// A least-squares fit y = Xβ, with everything that follows linearly from it.
///
/// Shapes: n observations, p columns, n ≥ p. With weights wᵢ, the fit minimises Σ wᵢ·eᵢ², and
/// leverages, influence and robust variances are those of the rows multiplied by √wᵢ.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearFit {
    coefficients: Vec<f64>,
    residuals: Vec<f64>,
    root_weights: Vec<f64>,
    leverages: Vec<f64>,
    /// Thin Q of √w·X, by columns.
    q: Vec<Vec<f64>>,
    /// Upper triangular R⁻¹, by rows.
    r_inverse: Vec<Vec<f64>>,
    rss: f64,
    smallest_angle: f64,
}

impl LinearFit {
    /// Fits `y` by ordinary least squares on `columns`, each of the length of `y`.
    ///
    /// # Errors
    /// [`FitError`] when lengths differ, a number is not finite, there are fewer rows than
    /// columns, or a column depends linearly on those before it.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::regression::{Errors, LinearFit};
    /// let x = [-1.0, 0.0, 1.0, 2.0];
    /// let fit = LinearFit::new(&[&[1.0; 4], &x], &[1.0, 3.1, 4.9, 7.0])?;
    /// assert!((fit.coefficients()[1] - 1.98).abs() < 1e-12);
    /// # Ok::<(), relscale::fit::error::FitError>(())
    /// ```
    pub fn new(columns: &[&[f64]], y: &[f64]) -> Result<Self, FitError> {
        Self::weighted(columns, y, &vec![1.0; y.len()])
    }

    /// Fits `y` by weighted least squares; `weights` are positive, of any scale.
    ///
    /// # Errors
    /// As [`LinearFit::new`], and when a weight is not positive.
    pub fn weighted(columns: &[&[f64]], y: &[f64], weights: &[f64]) -> Result<Self, FitError> {
        let (n, p) = (y.len(), columns.len());
        check_count("columns", p, 1)?;
        check_count("observations", n, p)?;
        check_finite("y", y)?;
        check_length("weights", weights.len(), n)?;
        check_finite("weights", weights)?;
        if let Some(index) = weights.iter().position(|w| *w <= 0.0) {
            return Err(FitError::Domain {
                what: format!("weights[{index}]"),
                value: weights[index],
            });
        }
        let root_weights: Vec<f64> = weights.iter().map(|w| w.sqrt()).collect();
        let mut q: Vec<Vec<f64>> = Vec::with_capacity(p);
        let mut r = vec![vec![0.0; p]; p];
        let mut smallest_angle = 1.0_f64;
        for (k, column) in columns.iter().enumerate() {
            check_length("column", column.len(), n)?;
            check_finite("column", column)?;
            let mut v: Vec<f64> = column
                .iter()
                .zip(&root_weights)
                .map(|(x, w)| x * w)
                .collect();
            let length = dot(&v, &v).sqrt();
            for _ in 0..2 {
                for (j, basis) in q.iter().enumerate() {
                    let projection = dot(basis, &v);
                    r[j][k] += projection;
                    for (v, b) in v.iter_mut().zip(basis) {
                        *v -= projection * b;
                    }
                }
            }
            let rest = dot(&v, &v).sqrt();
            let angle = rest / length;
            // Also refuses NaN, from a zero column or an overflowing square.
            if !(angle > MIN_COLUMN_ANGLE && rest.is_finite()) {
                return Err(FitError::Singular {
                    what: format!("coefficient {k}"),
                });
            }
            smallest_angle = smallest_angle.min(angle);
            r[k][k] = rest;
            v.iter_mut().for_each(|v| *v /= rest);
            q.push(v);
        }
        let whitened: Vec<f64> = y.iter().zip(&root_weights).map(|(y, w)| y * w).collect();
        let r_inverse = invert_upper(&r);
        let rotated: Vec<f64> = q.iter().map(|basis| dot(basis, &whitened)).collect();
        let coefficients: Vec<f64> = r_inverse.iter().map(|row| dot(row, &rotated)).collect();
        // Twice-projected residuals: exact orthogonality keeps a noiseless fit at rounding level.
        let mut rest = whitened;
        for _ in 0..2 {
            for basis in &q {
                let projection = dot(basis, &rest);
                for (e, b) in rest.iter_mut().zip(basis) {
                    *e -= projection * b;
                }
            }
        }
        let residuals: Vec<f64> = rest.iter().zip(&root_weights).map(|(e, w)| e / w).collect();
        let rss = dot(&rest, &rest);
        let leverages = (0..n)
            .map(|i| compensated_sum(q.iter().map(|basis| basis[i] * basis[i])).min(1.0))
            .collect();
        check_finite("coefficients", &coefficients)?;
        check_finite("residuals", &residuals)?;
        Ok(Self {
            coefficients,
            residuals,
            root_weights,
            leverages,
            q,
            r_inverse,
            rss,
            smallest_angle,
        })
    }

    /// Fits by Huber's M-estimator: weights min(1, k·s/|eᵢ|), s = median|e|/0.6745 re-estimated
    /// at each of at most 200 reweightings. The result is the last weighted fit; its variances
    /// take the weights as given.
    ///
    /// # Errors
    /// As [`LinearFit::new`], and when `k` is not positive.
    ///
    /// # References
    /// P. J. Huber (1964), *Annals of Mathematical Statistics* 35:73; k = 1.345 gives 95 %
    /// efficiency under normal errors.
    pub fn huber(columns: &[&[f64]], y: &[f64], k: f64) -> Result<Self, FitError> {
        if !(k > 0.0 && k.is_finite()) {
            return Err(FitError::Domain {
                what: "Huber's k".to_owned(),
                value: k,
            });
        }
        let mut fit = Self::new(columns, y)?;
        let size = y.iter().fold(0.0_f64, |m, y| m.max(y.abs()));
        for _ in 0..200 {
            let mut sizes: Vec<f64> = fit.residuals.iter().map(|e| e.abs()).collect();
            sizes.sort_by(f64::total_cmp);
            let scale = median_of_sorted(&sizes) / 0.674_489_750_196_081_7;
            // More than half the points on the line: it is the fit.
            if scale <= 1e-14 * size {
                break;
            }
            let weights: Vec<f64> = fit
                .residuals
                .iter()
                .map(|e| (k * scale / e.abs()).min(1.0))
                .collect();
            let next = Self::weighted(columns, y, &weights)?;
            let moved = next
                .residuals
                .iter()
                .zip(&fit.residuals)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0_f64, f64::max);
            fit = next;
            if moved <= 1e-13 * scale {
                break;
            }
        }
        Ok(fit)
    }

    /// β̂, one per column.
    pub fn coefficients(&self) -> &[f64] {
        &self.coefficients
    }

    /// y − Xβ̂, one per observation.
    pub fn residuals(&self) -> &[f64] {
        &self.residuals
    }

    /// Leverages hᵢ in \[0, 1\], summing to p.
    pub fn leverages(&self) -> &[f64] {
        &self.leverages
    }

    /// Σ wᵢ·eᵢ².
    pub fn rss(&self) -> f64 {
        self.rss
    }

    /// Residual degrees of freedom n − p.
    pub fn df(&self) -> usize {
        self.residuals.len() - self.coefficients.len()
    }

    /// s² = Σ wᵢ·eᵢ²/(n − p); NaN when n = p.
    pub fn variance(&self) -> f64 {
        self.rss / self.df() as f64
    }

    /// Sine of the smallest angle between a column and the span of those before it: 1 for
    /// orthogonal columns, 0 for dependent ones.
    pub fn smallest_angle(&self) -> f64 {
        self.smallest_angle
    }

    /// The weights Wᵢ with contrast'β̂ = Σ Wᵢ·yᵢ.
    ///
    /// # Errors
    /// When `contrast` is not of length p.
    pub fn weights_of(&self, contrast: &[f64]) -> Result<Vec<f64>, FitError> {
        let mut weights = self.whitened_weights(contrast)?;
        for (w, root) in weights.iter_mut().zip(&self.root_weights) {
            *w *= root;
        }
        Ok(weights)
    }

    /// contrast'β̂ with its standard error and degrees of freedom.
    ///
    /// # Errors
    /// When `contrast` is not of length p, no residual degree of freedom is left, cluster labels
    /// are not one per observation or name fewer than two clusters, or an observation of
    /// leverage one makes the form of `errors` undefined.
    pub fn estimate(&self, contrast: &[f64], errors: Errors<'_>) -> Result<Estimate, FitError> {
        check_count(
            "observations",
            self.residuals.len(),
            self.coefficients.len() + 1,
        )?;
        check_length("contrast", contrast.len(), self.coefficients.len())?;
        if errors == Errors::Classical {
            return Ok(self.classical(contrast, 0.0));
        }
        let value = dot(contrast, &self.coefficients);
        let weights = self.whitened_weights(contrast)?;
        let sandwich = self.sandwich(errors)?;
        let residuals = self.whitened_residuals();
        // Each block's contribution is a linear form in y: (a_g' A_g) e_g = q_g' y, q_g = (I−H) A_g a_g.
        let forms: Vec<Vec<f64>> = sandwich
            .blocks
            .iter()
            .map(|block| block.adjusted(&weights))
            .collect();
        let variance = sandwich.factor
            * compensated_sum(
                sandwich
                    .blocks
                    .iter()
                    .zip(&forms)
                    .map(|(block, form)| block.dot(form, &residuals).powi(2)),
            );
        let projected: Vec<Vec<f64>> = sandwich
            .blocks
            .iter()
            .zip(&forms)
            .map(|(block, form)| {
                let mut full = vec![0.0; residuals.len()];
                for (i, v) in block.members.iter().zip(form) {
                    full[*i] = *v;
                }
                for basis in &self.q {
                    let projection = block.dot(form, basis);
                    for (v, b) in full.iter_mut().zip(basis) {
                        *v -= projection * b;
                    }
                }
                full
            })
            .collect();
        let (mut trace, mut square) = (0.0, 0.0);
        for (g, a) in projected.iter().enumerate() {
            for (h, b) in projected.iter().enumerate().take(g + 1) {
                let product = dot(a, b);
                if g == h {
                    trace += product;
                    square += product * product;
                } else {
                    square += 2.0 * product * product;
                }
            }
        }
        Ok(Estimate {
            value,
            standard_error: variance.sqrt(),
            df: trace * trace / square,
        })
    }

    /// The covariance matrix of β̂, by rows.
    ///
    /// # Errors
    /// As [`LinearFit::estimate`].
    pub fn covariance(&self, errors: Errors<'_>) -> Result<Vec<Vec<f64>>, FitError> {
        let p = self.coefficients.len();
        check_count("observations", self.residuals.len(), p + 1)?;
        if errors == Errors::Classical {
            let variance = self.variance();
            return Ok(self
                .r_inverse
                .iter()
                .map(|a| {
                    self.r_inverse
                        .iter()
                        .map(|b| variance * dot(a, b))
                        .collect()
                })
                .collect());
        }
        let sandwich = self.sandwich(errors)?;
        let residuals = self.whitened_residuals();
        let mut covariance = vec![vec![0.0; p]; p];
        for block in &sandwich.blocks {
            let adjusted = block.adjusted(&residuals);
            let scores: Vec<f64> = self.q.iter().map(|q| block.dot(&adjusted, q)).collect();
            let step: Vec<f64> = self.r_inverse.iter().map(|row| dot(row, &scores)).collect();
            for (row, a) in covariance.iter_mut().zip(&step) {
                for (cell, b) in row.iter_mut().zip(&step) {
                    *cell += sandwich.factor * a * b;
                }
            }
        }
        Ok(covariance)
    }

    /// Deletion diagnostics of every observation.
    ///
    /// # Errors
    /// When n < p + 2 (nothing is left to estimate the scale without an observation) or an
    /// observation has leverage one.
    pub fn influence(&self) -> Result<Influence, FitError> {
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
        let mut influence = Influence {
            leverage: self.leverages.clone(),
            studentized: Vec::with_capacity(n),
            cook: Vec::with_capacity(n),
            dffits: Vec::with_capacity(n),
            dfbetas: Vec::with_capacity(n),
            without: Vec::with_capacity(n),
            press: 0.0,
        };
        let quotient = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a / b };
        for (i, (&e, &h)) in residuals.iter().zip(&self.leverages).enumerate() {
            let free = 1.0 - h;
            let deleted_rss = (self.rss - e * e / free).max(0.0);
            let deleted_scale = (deleted_rss / (n - p - 1) as f64).sqrt();
            let studentized = quotient(e, deleted_scale * free.sqrt());
            let row: Vec<f64> = self.q.iter().map(|basis| basis[i]).collect();
            let shift: Vec<f64> = self
                .r_inverse
                .iter()
                .map(|r| dot(r, &row) * e / free)
                .collect();
            influence.studentized.push(studentized);
            influence
                .cook
                .push(quotient(e * e * h, variance * p as f64 * free * free));
            influence.dffits.push(studentized * (h / free).sqrt());
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
        influence.press = compensated_sum(
            residuals
                .iter()
                .zip(&self.leverages)
                .map(|(e, h)| (e / (1.0 - h)).powi(2)),
        );
        Ok(influence)
    }

    /// contrast'β̂ under errors of equal variance; `own` times that variance is added.
    fn classical(&self, contrast: &[f64], own: f64) -> Estimate {
        let loading = self.loading(contrast);
        let variance = self.variance() * (own + dot(&loading, &loading));
        Estimate {
            value: dot(contrast, &self.coefficients),
            standard_error: variance.sqrt(),
            df: self.df() as f64,
        }
    }

    /// R⁻ᵀ·contrast, for a contrast of length p.
    fn loading(&self, contrast: &[f64]) -> Vec<f64> {
        (0..contrast.len())
            .map(|k| compensated_sum((0..=k).map(|j| contrast[j] * self.r_inverse[j][k])))
            .collect()
    }

    /// a with contrast'β̂ = Σ aᵢ·√wᵢ·yᵢ.
    fn whitened_weights(&self, contrast: &[f64]) -> Result<Vec<f64>, FitError> {
        check_length("contrast", contrast.len(), self.coefficients.len())?;
        let loading = self.loading(contrast);
        Ok((0..self.residuals.len())
            .map(|i| compensated_sum(self.q.iter().zip(&loading).map(|(q, c)| q[i] * c)))
            .collect())
    }

    fn whitened_residuals(&self) -> Vec<f64> {
        self.residuals
            .iter()
            .zip(&self.root_weights)
            .map(|(e, w)| e * w)
            .collect()
    }

    fn check_leverages(&self) -> Result<(), FitError> {
        match self.leverages.iter().position(|h| 1.0 - h < MIN_FREEDOM) {
            Some(i) => Err(FitError::Singular {
                what: format!("the fit without observation {i}, whose leverage is one,"),
            }),
            None => Ok(()),
        }
    }

    /// The blocks and adjustment matrices of a robust variance.
    fn sandwich(&self, errors: Errors<'_>) -> Result<Sandwich, FitError> {
        let n = self.residuals.len() as f64;
        let p = self.coefficients.len() as f64;
        let highest = self.leverages.iter().fold(0.0_f64, |a, b| a.max(*b));
        let power = |exponent: &dyn Fn(f64) -> f64, factor: f64| Sandwich {
            factor,
            blocks: (self.leverages.iter().enumerate())
                .map(|(i, &h)| Block {
                    members: vec![i],
                    adjustment: Some(vec![(1.0 - h).powf(-0.5 * exponent(h))]),
                })
                .collect(),
        };
        let relative = |h: f64| n * h / p;
        match errors {
            Errors::Classical | Errors::Hc0 | Errors::Hc1 => {}
            _ if errors.clusters().is_none() => self.check_leverages()?,
            _ => {}
        }
        Ok(match errors {
            Errors::Classical | Errors::Hc0 => power(&|_| 0.0, 1.0),
            Errors::Hc1 => power(&|_| 0.0, n / (n - p)),
            Errors::Hc2 => power(&|_| 1.0, 1.0),
            Errors::Hc3 => power(&|_| 2.0, 1.0),
            Errors::Hc4 => power(&|h| relative(h).min(4.0), 1.0),
            Errors::Hc4m => power(&|h| relative(h).min(1.0) + relative(h).min(1.5), 1.0),
            Errors::Hc5 => {
                let cap = (0.7 * relative(highest)).max(4.0);
                power(&|h| 0.5 * relative(h).min(cap), 1.0)
            }
            Errors::Cr0(labels) => self.clustered(labels, 0.0, |_| 1.0)?,
            Errors::Cr1(labels) => self.clustered(labels, 0.0, |g| g / (g - 1.0))?,
            Errors::Cr1s(labels) => {
                self.clustered(labels, 0.0, |g| g * (n - 1.0) / ((g - 1.0) * (n - p)))?
            }
            Errors::Cr2(labels) => self.clustered(labels, -0.5, |_| 1.0)?,
            Errors::Cr3(labels) => self.clustered(labels, -1.0, |_| 1.0)?,
        })
    }

    /// Clusters in order of their labels, each with (I − H_gg)^power.
    fn clustered(
        &self,
        labels: &[usize],
        power: f64,
        factor: impl Fn(f64) -> f64,
    ) -> Result<Sandwich, FitError> {
        check_length("cluster labels", labels.len(), self.residuals.len())?;
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.sort_by_key(|i| labels[*i]);
        let mut blocks: Vec<Block> = Vec::new();
        for i in order {
            match blocks.last_mut() {
                Some(block) if labels[block.members[0]] == labels[i] => block.members.push(i),
                _ => blocks.push(Block {
                    members: vec![i],
                    adjustment: None,
                }),
            }
        }
        check_count("clusters", blocks.len(), 2)?;
        if power != 0.0 {
            for block in &mut blocks {
                block.adjustment = Some(self.leverage_power(&block.members, power)?);
            }
        }
        Ok(Sandwich {
            factor: factor(blocks.len() as f64),
            blocks,
        })
    }

    /// (I − H_gg)^power by rows, leaving out the directions that the cluster determines alone.
    fn leverage_power(&self, members: &[usize], power: f64) -> Result<Vec<f64>, FitError> {
        let m = members.len();
        let matrix = DMatrix::from_fn(m, m, |a, b| {
            let hat = compensated_sum(self.q.iter().map(|q| q[members[a]] * q[members[b]]));
            f64::from(u8::from(a == b)) - hat
        });
        let eigen = SymmetricEigen::try_new(matrix, f64::EPSILON, 10_000).ok_or(
            FitError::NoConvergence {
                what: "the eigenvalues of a cluster's leverage matrix".to_owned(),
            },
        )?;
        let scale: Vec<f64> = eigen
            .eigenvalues
            .iter()
            .map(|v| {
                if *v < MIN_EIGENVALUE {
                    0.0
                } else {
                    v.powf(power)
                }
            })
            .collect();
        let vectors = &eigen.eigenvectors;
        let mut result = Vec::with_capacity(m * m);
        for a in 0..m {
            for b in 0..m {
                result.push(compensated_sum(
                    (0..m).map(|k| vectors[(a, k)] * scale[k] * vectors[(b, k)]),
                ));
            }
        }
        Ok(result)
    }
}

impl<'a> Errors<'a> {
    fn clusters(self) -> Option<&'a [usize]> {
        match self {
            Self::Cr0(g) | Self::Cr1(g) | Self::Cr1s(g) | Self::Cr2(g) | Self::Cr3(g) => Some(g),
            _ => None,
        }
    }
}

/// The pieces of a robust variance: factor · Σ_g (a_g' A_g e_g)².
struct Sandwich {
    factor: f64,
    blocks: Vec<Block>,
}

struct Block {
    members: Vec<usize>,
    /// A_g, symmetric, by rows; `None` is the identity.
    adjustment: Option<Vec<f64>>,
}

impl Block {
    /// A_g v_g, for a v over all observations.
    fn adjusted(&self, v: &[f64]) -> Vec<f64> {
        let own: Vec<f64> = self.members.iter().map(|i| v[*i]).collect();
        match &self.adjustment {
            None => own,
            Some(matrix) => matrix.chunks(own.len()).map(|row| dot(row, &own)).collect(),
        }
    }

    /// own'v_g, for `own` over this block and v over all observations.
    fn dot(&self, own: &[f64], v: &[f64]) -> f64 {
        compensated_sum(self.members.iter().zip(own).map(|(i, a)| a * v[*i]))
    }
}

/// R⁻¹ of an upper triangular R with a nonzero diagonal, by rows.
fn invert_upper(r: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let p = r.len();
    let mut inverse = vec![vec![0.0; p]; p];
    for k in 0..p {
        inverse[k][k] = 1.0 / r[k][k];
        for j in (0..k).rev() {
            let above = compensated_sum((j + 1..=k).map(|i| r[j][i] * inverse[i][k]));
            inverse[j][k] = -above / r[j][j];
        }
    }
    inverse
}

/// The median of sorted numbers; NaN when there are none.
pub(crate) fn median_of_sorted(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match n {
        0 => f64::NAN,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

/// A straight line y = a + b·(x − x̄) by least squares.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    fit: LinearFit,
    x_mean: f64,
}

impl Line {
    /// Fits a line through at least three points of at least two distinct x.
    ///
    /// # Errors
    /// [`FitError`] when lengths differ, a number is not finite, there are fewer than three
    /// points, or all x are equal.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::regression::Line;
    /// let line = Line::new(&[1.0, 2.0, 3.0, 4.0], &[2.0, 4.1, 5.9, 8.0])?;
    /// assert!((line.slope().value - 1.98).abs() < 1e-12);
    /// assert!((line.level().value - 5.0).abs() < 1e-12); // at x = 2.5
    /// # Ok::<(), relscale::fit::error::FitError>(())
    /// ```
    pub fn new(x: &[f64], y: &[f64]) -> Result<Self, FitError> {
        Self::weighted(x, y, &vec![1.0; y.len()])
    }

    /// Fits a line with weights; x̄ stays the plain mean, so that `level` means the same.
    ///
    /// # Errors
    /// As [`Line::new`], and when a weight is not positive.
    pub fn weighted(x: &[f64], y: &[f64], weights: &[f64]) -> Result<Self, FitError> {
        check_length("x", x.len(), y.len())?;
        check_count("points of a line", x.len(), 3)?;
        check_finite("x", x)?;
        let n = x.len() as f64;
        let x_mean = compensated_sum(x.iter().map(|x| x / n));
        let centred: Vec<f64> = x.iter().map(|x| x - x_mean).collect();
        let fit = LinearFit::weighted(&[&vec![1.0; x.len()], &centred], y, weights)?;
        Ok(Self { fit, x_mean })
    }

    /// The fit on the columns (1, x − x̄).
    pub fn fit(&self) -> &LinearFit {
        &self.fit
    }

    /// x̄, the plain mean of x.
    pub fn x_mean(&self) -> f64 {
        self.x_mean
    }

    /// b with its classical standard error, n − 2 degrees of freedom.
    pub fn slope(&self) -> Estimate {
        self.fit.classical(&[0.0, 1.0], 0.0)
    }

    /// a, the height of the line at x̄, with its classical standard error.
    pub fn level(&self) -> Estimate {
        self.fit.classical(&[1.0, 0.0], 0.0)
    }

    /// The height of the line at `x`.
    pub fn at(&self, x: f64) -> Estimate {
        self.fit.classical(&[1.0, x - self.x_mean], 0.0)
    }

    /// A new observation of unit weight at `x`: the standard error includes its own noise.
    pub fn prediction(&self, x: f64) -> Estimate {
        self.fit.classical(&[1.0, x - self.x_mean], 1.0)
    }

    /// The Working–Hotelling band at `x`: covers the whole line at once with probability `level`.
    ///
    /// a + b(x − x̄) ± √(2·F_{2,n−2})·s.e.
    ///
    /// # References
    /// H. Working, H. Hotelling (1929), *JASA* 24(165A):73.
    pub fn band(&self, x: f64, level: f64) -> (f64, f64) {
        let at = self.at(x);
        let half = (2.0 * f_quantile(level, 2.0, at.df)).sqrt() * at.standard_error;
        (at.value - half, at.value + half)
    }

    /// The x at which the line crosses zero, as a [`fieller`] set in the units of x.
    pub fn zero(&self, level: f64) -> ConfidenceSet {
        let [a, b] = [self.level(), self.slope()];
        let [ia, ib] = [&self.fit.r_inverse[0], &self.fit.r_inverse[1]];
        let covariance = self.fit.variance() * dot(ia, ib);
        fieller(
            [a.value, b.value],
            [
                a.standard_error.powi(2),
                covariance,
                b.standard_error.powi(2),
            ],
            t_critical(level, a.df),
        )
        .shifted(self.x_mean)
    }
}

/// A confidence set for a ratio; it need not be an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ConfidenceSet {
    /// \[lower, upper\].
    Bounded {
        /// The lower end.
        lower: f64,
        /// The upper end.
        upper: f64,
    },
    /// (−∞, below\] ∪ \[above, ∞): the slope may be zero, so the crossing may be anywhere but near.
    Outside {
        /// The upper end of the lower ray.
        below: f64,
        /// The lower end of the upper ray.
        above: f64,
    },
    /// (−∞, upper\].
    Below {
        /// The upper end.
        upper: f64,
    },
    /// \[lower, ∞).
    Above {
        /// The lower end.
        lower: f64,
    },
    /// Every number: the data say nothing.
    Everything,
    /// No number: a line that is exactly flat and not zero.
    Empty,
}

impl ConfidenceSet {
    /// Whether `x` belongs to the set.
    pub fn contains(&self, x: f64) -> bool {
        match *self {
            Self::Bounded { lower, upper } => lower <= x && x <= upper,
            Self::Outside { below, above } => x <= below || x >= above,
            Self::Below { upper } => x <= upper,
            Self::Above { lower } => x >= lower,
            Self::Everything => !x.is_nan(),
            Self::Empty => false,
        }
    }

    /// The set moved by `shift`.
    #[must_use]
    pub fn shifted(self, shift: f64) -> Self {
        match self {
            Self::Bounded { lower, upper } => Self::Bounded {
                lower: lower + shift,
                upper: upper + shift,
            },
            Self::Outside { below, above } => Self::Outside {
                below: below + shift,
                above: above + shift,
            },
            Self::Below { upper } => Self::Below {
                upper: upper + shift,
            },
            Self::Above { lower } => Self::Above {
                lower: lower + shift,
            },
            Self::Everything | Self::Empty => self,
        }
    }
}

/// Fieller's set for the x with a + d·x = 0: {x : (â + d̂x)² ≤ t²·Var(â + d̂x)}.
///
/// `point` is \[â, d̂\], `variance` is \[Var â, Cov(â, d̂), Var d̂\] and `critical` the two-sided t
/// quantile. The set is bounded exactly when the slope differs significantly from zero. With a
/// number that is not finite nothing is known, and the answer is [`ConfidenceSet::Everything`].
///
/// # References
/// E. C. Fieller (1954), *Journal of the Royal Statistical Society B* 16:175.
pub fn fieller(point: [f64; 2], variance: [f64; 3], critical: f64) -> ConfidenceSet {
    let [a, d] = point;
    let t2 = critical * critical;
    // A x² + 2B x + C ≤ 0.
    let qa = d * d - t2 * variance[2];
    let qb = a * d - t2 * variance[1];
    let qc = a * a - t2 * variance[0];
    let discriminant = qb * qb - qa * qc;
    if !(qa.is_finite() && qb.is_finite() && qc.is_finite() && discriminant.is_finite()) {
        return ConfidenceSet::Everything;
    }
    if qa == 0.0 {
        return match (qb == 0.0, qc <= 0.0) {
            (true, true) => ConfidenceSet::Everything,
            (true, false) => ConfidenceSet::Empty,
            (false, _) if qb > 0.0 => ConfidenceSet::Below {
                upper: -qc / (2.0 * qb),
            },
            (false, _) => ConfidenceSet::Above {
                lower: -qc / (2.0 * qb),
            },
        };
    }
    if discriminant <= 0.0 {
        return if qa > 0.0 {
            // The estimate always satisfies the inequality, so this is rounding at zero width.
            let x = -a / d;
            ConfidenceSet::Bounded { lower: x, upper: x }
        } else {
            ConfidenceSet::Everything
        };
    }
    // The root of larger size first, the other by Vieta, so that neither cancels.
    let large = -(qb + discriminant.sqrt().copysign(qb));
    let (one, two) = (large / qa, if large == 0.0 { 0.0 } else { qc / large });
    let (low, high) = (one.min(two), one.max(two));
    if !(low.is_finite() && high.is_finite()) {
        return ConfidenceSet::Everything;
    }
    if qa > 0.0 {
        ConfidenceSet::Bounded {
            lower: low,
            upper: high,
        }
    } else {
        ConfidenceSet::Outside {
            below: low,
            above: high,
        }
    }
}

/// A trend by ranks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RankTrend {
    /// Kendall's S: concordant minus discordant pairs.
    pub s: i64,
    /// Exact two-sided p-value of no trend (Mann–Kendall), ties in y included.
    pub p_value: f64,
    /// The median of the pairwise slopes (Theil–Sen).
    pub slope: f64,
    /// Lower end of the exact interval for the slope; −∞ if no finite one has the level.
    pub lower: f64,
    /// Upper end.
    pub upper: f64,
    /// Exact probability with which such an interval covers, ≥ the level asked for.
    pub coverage: f64,
}

/// The largest number of points for which [`rank_trend`] enumerates Kendall's distribution.
const MAX_RANK_POINTS: usize = 200;

/// Theil–Sen slope with the exact Kendall interval, and the exact Mann–Kendall test.
///
/// # Assumptions
/// Independent errors of one distribution, of any shape; x distinct.
///
/// # Errors
/// When lengths differ, a number is not finite, `level` is outside (0, 1), two x are equal, or
/// there are fewer than 3 or more than 200 points.
///
/// # References
/// P. K. Sen (1968), *JASA* 63:1379; M. G. Kendall (1975), *Rank Correlation Methods*.
pub fn rank_trend(x: &[f64], y: &[f64], level: f64) -> Result<RankTrend, FitError> {
    let n = x.len();
    check_length("y", y.len(), n)?;
    check_count("points of a rank trend", n, 3)?;
    check_finite("x", x)?;
    check_finite("y", y)?;
    check_probability("confidence level", level)?;
    if n > MAX_RANK_POINTS {
        return Err(FitError::Unsupported {
            reason: format!("an exact rank trend is limited to {MAX_RANK_POINTS} points"),
        });
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let mut s = 0_i64;
    for i in 0..n {
        for j in i + 1..n {
            let (dx, dy) = (x[j] - x[i], y[j] - y[i]);
            if dx == 0.0 {
                return Err(FitError::Singular {
                    what: "a pairwise slope between equal x".to_owned(),
                });
            }
            let slope = dy / dx;
            s += i64::from(slope > 0.0) - i64::from(slope < 0.0);
            slopes.push(slope);
        }
    }
    slopes.sort_by(f64::total_cmp);
    check_finite("pairwise slopes", &slopes)?;

    let mut sorted = y.to_vec();
    sorted.sort_by(f64::total_cmp);
    let groups: Vec<usize> = sorted.chunk_by(|a, b| a == b).map(<[f64]>::len).collect();
    let p_value = {
        let null = kendall_distribution(&groups);
        // null[k] is the probability of k discordant pairs; S = top − 2k.
        let top = null.len() as i64 - 1;
        let upper_tail = compensated_sum(
            (0..=top)
                .filter(|k| (top - 2 * k).abs() >= s.abs())
                .map(|k| null[k as usize]),
        );
        upper_tail.min(1.0)
    };

    // Number of slopes to cut from each side: the largest k with P(D < k) ≤ (1 − level)/2.
    let null = kendall_distribution(&vec![1; n]);
    let (mut cut, mut tail) = (0, 0.0);
    while tail + null[cut] <= 0.5 * (1.0 - level) {
        tail += null[cut];
        cut += 1;
    }
    let (lower, upper, coverage) = if cut == 0 {
        (f64::NEG_INFINITY, f64::INFINITY, 1.0)
    } else {
        (
            slopes[cut - 1],
            slopes[slopes.len() - cut],
            1.0 - 2.0 * tail,
        )
    };
    Ok(RankTrend {
        s,
        p_value,
        slope: median_of_sorted(&slopes),
        lower,
        upper,
        coverage,
    })
}

/// Probabilities of 0, 1, … discordant pairs when values tied in groups of the given sizes are in
/// random order: the coefficients of the q-multinomial. All terms are positive, so nothing
/// cancels.
fn kendall_distribution(groups: &[usize]) -> Vec<f64> {
    let mut total = vec![1.0];
    let mut placed = 0;
    for &size in groups {
        let step = box_partitions(placed, size);
        let mut next = vec![0.0; total.len() + step.len() - 1];
        for (i, a) in total.iter().enumerate() {
            for (j, b) in step.iter().enumerate() {
                next[i + j] += a * b;
            }
        }
        total = next;
        placed += size;
    }
    total
}

/// The distribution of the number of inversions between `a` equal and `t` equal larger values in
/// random order: Gaussian binomial coefficients over their sum.
fn box_partitions(a: usize, t: usize) -> Vec<f64> {
    // row[j] holds the distribution for (i, j): the last of i + j values is one of the larger
    // with probability j/(i + j) (adding no inversion) or of the smaller (adding j).
    let mut row: Vec<Vec<f64>> = vec![vec![1.0]; t + 1];
    for i in 1..=a {
        for j in 1..=t {
            let share = j as f64 / (i + j) as f64;
            let mut next = vec![0.0; i * j + 1];
            for (k, p) in row[j - 1].iter().enumerate() {
                next[k] += share * p;
            }
            for (k, p) in row[j].iter().enumerate() {
                next[k + j] += (1.0 - share) * p;
            }
            row[j] = next;
        }
    }
    row.swap_remove(t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimate_at_zero_error() {
        let exact = Estimate {
            value: 0.0,
            standard_error: 0.0,
            df: 5.0,
        };
        assert_eq!(exact.p_value(), 1.0);
        assert_eq!(exact.equivalence_p(0.002), 0.0);
        let sure = Estimate {
            value: -1.0,
            ..exact
        };
        assert_eq!(sure.p_value(), 0.0);
        assert_eq!(sure.equivalence_p(0.002), 1.0);
    }

    #[test]
    fn fieller_takes_every_form() {
        let t = 2.0;
        let contains_estimate = |a: f64, d: f64, set: ConfidenceSet| set.contains(-a / d);
        let bounded = fieller([1.0, 1.0], [0.01, 0.0, 0.01], t);
        assert!(matches!(bounded, ConfidenceSet::Bounded { .. }));
        assert!(contains_estimate(1.0, 1.0, bounded));
        let outside = fieller([1.0, 0.1], [0.01, 0.0, 0.01], t);
        assert!(matches!(outside, ConfidenceSet::Outside { .. }));
        assert!(contains_estimate(1.0, 0.1, outside) && !outside.contains(0.0));
        assert_eq!(
            fieller([0.1, 0.1], [1.0, 0.0, 1.0], t),
            ConfidenceSet::Everything
        );
        assert_eq!(fieller([1.0, 0.0], [0.0; 3], t), ConfidenceSet::Empty);
        assert_eq!(fieller([0.0, 0.0], [0.0; 3], t), ConfidenceSet::Everything);
        assert_eq!(
            fieller([1.0, 2.0], [0.0, 0.0, 1.0], t),
            ConfidenceSet::Below { upper: -0.25 }
        );
        assert_eq!(
            fieller([1.0, -2.0], [0.0, 0.0, 1.0], t),
            ConfidenceSet::Above { lower: 0.25 }
        );
        assert_eq!(
            fieller([f64::NAN, 1.0], [0.0; 3], t),
            ConfidenceSet::Everything
        );
    }

    #[test]
    fn kendall_distribution_with_ties_is_the_enumerated_one() {
        // y = (1, 1, 2, 3, 3) in all 120 orders.
        let y = [1, 1, 2, 3, 3];
        let mut counts = [0.0; 9];
        let mut orders = vec![vec![]];
        for _ in 0..5 {
            orders = orders
                .into_iter()
                .flat_map(|order: Vec<usize>| {
                    (0..5)
                        .filter(|i| !order.contains(i))
                        .map(|i| [order.clone(), vec![i]].concat())
                        .collect::<Vec<_>>()
                })
                .collect();
        }
        for order in &orders {
            let mut inversions = 0;
            for i in 0..5 {
                for j in i + 1..5 {
                    inversions += usize::from(y[order[i]] > y[order[j]]);
                }
            }
            counts[inversions] += 1.0 / 120.0;
        }
        let found = kendall_distribution(&[2, 1, 2]);
        assert_eq!(found.len(), 9);
        for (a, b) in found.iter().zip(counts) {
            assert!((a - b).abs() < 1e-15, "{found:?}");
        }
    }

    #[test]
    fn contrast_weights_reproduce_the_estimate() {
        let x = [0.3, 1.0, 1.7, 2.9, 4.0];
        let squares: Vec<f64> = x.iter().map(|x| x * x).collect();
        let y = [1.0, 0.2, -0.4, 0.9, 3.0];
        let weights = [1.0, 2.0, 0.5, 4.0, 1.0];
        let fit = LinearFit::weighted(&[&[1.0; 5], &x, &squares], &y, &weights).unwrap();
        let contrast = [0.3, -1.0, 2.0];
        let w = fit.weights_of(&contrast).unwrap();
        let direct = dot(&contrast, fit.coefficients());
        assert!((dot(&w, &y) - direct).abs() < 1e-13);
        let classical = fit.covariance(Errors::Classical).unwrap();
        let robust = fit.covariance(Errors::Hc3).unwrap();
        for (matrix, kind) in [(classical, Errors::Classical), (robust, Errors::Hc3)] {
            let quadratic: f64 = (0..3)
                .flat_map(|i| (0..3).map(move |j| (i, j)))
                .map(|(i, j)| contrast[i] * matrix[i][j] * contrast[j])
                .sum();
            let estimate = fit.estimate(&contrast, kind).unwrap();
            assert!((estimate.standard_error - quadratic.sqrt()).abs() < 1e-12);
        }
    }

    #[test]
    fn influence_is_the_refit() {
        let x = [0.3, 1.0, 1.7, 2.9, 4.0, 4.4];
        let y = [1.0, 0.2, -0.4, 0.9, 3.0, 3.3];
        let line = Line::new(&x, &y).unwrap();
        let influence = line.fit().influence().unwrap();
        for i in 0..6 {
            let keep = |v: &[f64]| -> Vec<f64> {
                v.iter()
                    .enumerate()
                    .filter(|(k, _)| *k != i)
                    .map(|(_, v)| *v)
                    .collect()
            };
            let refit = Line::new(&keep(&x), &keep(&y)).unwrap();
            assert!((refit.slope().value - influence.without[i][1]).abs() < 1e-12);
        }
    }

    #[test]
    fn huber_ignores_one_wild_point() {
        let x: Vec<f64> = (0..20).map(f64::from).collect();
        let mut y: Vec<f64> = x
            .iter()
            .map(|x| 1.0 + 0.5 * x + 0.01 * (x * 7.0).sin())
            .collect();
        y[19] += 50.0;
        let fit = LinearFit::huber(&[&[1.0; 20], &x], &y, 1.345).unwrap();
        assert!((fit.coefficients()[1] - 0.5).abs() < 2e-3);
    }

    #[test]
    fn bad_inputs_are_refused_by_name() {
        assert!(matches!(Line::new(&[], &[]), Err(FitError::TooFew { .. })));
        assert!(matches!(
            Line::new(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]),
            Err(FitError::Singular { .. })
        ));
        assert!(matches!(
            Line::new(&[1.0, f64::NAN, 2.0], &[1.0; 3]),
            Err(FitError::Domain { .. })
        ));
        assert!(matches!(
            Line::new(&[1.0], &[1.0; 3]),
            Err(FitError::Length { .. })
        ));
        assert!(Line::new(&[-1e300, 0.0, 1e300], &[1e300, 0.0, -1e300]).is_err());
        let line = Line::new(&[0.0, 1.0, 2.0, 3.0], &[0.0, 1.0, 2.0, 3.5]).unwrap();
        let one = Errors::Cr2(&[0, 0, 0, 0]);
        assert!(line.fit().estimate(&[0.0, 1.0], one).is_err());
        assert!(line.fit().estimate(&[0.0, 1.0], Errors::Cr0(&[0])).is_err());
        assert!(line.fit().estimate(&[1.0], Errors::Hc3).is_err());
        // A point that alone determines the slope.
        let lever = Line::new(&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 2.0, 3.0]).unwrap();
        assert!(lever.fit().estimate(&[0.0, 1.0], Errors::Hc3).is_err());
        assert!(lever.fit().influence().is_err());
    }
}
