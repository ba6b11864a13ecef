//! Distributions as a sample: random-effects means, meta-regression, heterogeneity, shrinkage.
//!
//! Effects yᵢ (relative exponents) with known sampling variances vᵢ are modelled as
//! yᵢ = xᵢ'β + uᵢ + εᵢ, Var uᵢ = τ², Var εᵢ = vᵢ. Coefficients are weighted least squares with
//! weights 1/(vᵢ + τ²); standard errors, tests and intervals are Knapp and Hartung's, with t on
//! k − p degrees of freedom.
//!
//! # References
//! - R. DerSimonian, N. Laird (1986), *Controlled Clinical Trials* 7:177.
//! - R. C. Paule, J. Mandel (1982), *J. Research NBS* 87:377.
//! - W. Viechtbauer (2005), *J. Educational and Behavioral Statistics* 30:261 (REML, ML, HE).
//! - K. Sidik, J. N. Jonkman (2005), *JRSS C* 54:367.
//! - J. Hartung, G. Knapp (2001), *Statistics in Medicine* 20:3875; G. Knapp, J. Hartung (2003),
//!   22:2693.
//! - J. P. T. Higgins, S. G. Thompson, D. J. Spiegelhalter (2009), *JRSS A* 172:137.

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

use super::quantile::{chi2_sf, f_sf, t_critical};
use super::regression::{
    Errors, Estimate, LinearFit, check_count, check_finite, check_length, compensated_sum, dot,
};
use super::resample::{ResamplingTest, permutation};
use crate::fit::error::FitError;

/// How the variance τ² between effects is estimated. All estimates are truncated at zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Heterogeneity {
    /// Moment estimator with fixed-effect weights.
    DerSimonianLaird,
    /// The τ² at which Q equals its expectation; also the empirical-Bayes estimator of Morris.
    PauleMandel,
    /// Restricted maximum likelihood.
    Reml,
    /// Maximum likelihood; biased low.
    MaximumLikelihood,
    /// Weighted residual variance from an unweighted start.
    SidikJonkman,
    /// Unweighted moment estimator.
    HedgesOlkin,
}

/// A fitted random-effects model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetaFit {
    /// Variance between effects, ≥ 0, in squared units of the effects.
    pub tau2: f64,
    /// Coefficients with Knapp–Hartung standard errors and k − p degrees of freedom.
    pub coefficients: Vec<Estimate>,
    /// The same standard errors without Knapp and Hartung's factor (τ² taken as known).
    pub plain_standard_errors: Vec<f64>,
    /// Cochran's Q of the residuals under τ² = 0.
    pub q: f64,
    /// p-value of Q, χ² with k − p degrees of freedom.
    pub q_p_value: f64,
    /// Share of the total variance that lies between effects: τ²/(τ² + typical vᵢ), in \[0, 1\].
    pub i2: f64,
}

impl MetaFit {
    /// The interval in which the true effect of a new unit with covariates `row` lies with
    /// probability `level`: x'β̂ ± t_{k−p}·√(Var x'β̂ + τ²), for a model of one coefficient.
    ///
    /// # Errors
    /// [`FitError::Unsupported`] when the model has covariates.
    ///
    /// # References
    /// R. D. Riley, J. P. T. Higgins, J. J. Deeks (2011), *BMJ* 342:d549, with k − 1 degrees of
    /// freedom as for the Knapp–Hartung mean.
    pub fn prediction_interval(&self, level: f64) -> Result<(f64, f64), FitError> {
        let [mean] = self.coefficients.as_slice() else {
            return Err(FitError::Unsupported {
                reason: "a prediction interval needs a model without covariates".to_owned(),
            });
        };
        let half = t_critical(level, mean.df) * (mean.standard_error.powi(2) + self.tau2).sqrt();
        Ok((mean.value - half, mean.value + half))
    }
}

/// Random-effects mean of `effects` with sampling `variances`.
///
/// # Errors
/// When lengths differ, there are fewer than two effects, a number is not finite, a variance is
/// not positive, or τ² cannot be bracketed.
///
/// # Examples
/// ```
/// use relscale::fit::meta::{Heterogeneity, random_effects};
/// let fit = random_effects(&[0.010, 0.004, -0.001], &[1e-6, 4e-6, 2e-6], Heterogeneity::Reml)?;
/// assert!(fit.tau2 > 0.0 && fit.i2 > 0.9);
/// # Ok::<(), relscale::fit::error::FitError>(())
/// ```
pub fn random_effects(
    effects: &[f64],
    variances: &[f64],
    heterogeneity: Heterogeneity,
) -> Result<MetaFit, FitError> {
    let ones = vec![1.0; effects.len()];
    meta_regression(&[&ones], effects, variances, heterogeneity)
}

/// Random-effects regression of `effects` on `columns` (give the constant column yourself).
///
/// # Errors
/// As [`random_effects`], when columns are linearly dependent, and when there are not more
/// effects than columns.
pub fn meta_regression(
    columns: &[&[f64]],
    effects: &[f64],
    variances: &[f64],
    heterogeneity: Heterogeneity,
) -> Result<MetaFit, FitError> {
    let (k, p) = (effects.len(), columns.len());
    check_length("variances", variances.len(), k)?;
    check_count("effects", k, p + 1)?;
    check_variances(variances)?;
    let model = Model {
        columns,
        effects,
        variances,
    };
    let fixed = model.moments(0.0)?;
    let q = fixed.rss;
    let df = (k - p) as f64;
    let tau2 = model.tau2(heterogeneity)?;
    let fit = model.fit(tau2)?;
    // Knapp and Hartung's factor is the residual variance of the weighted fit, so their
    // standard errors are those of ordinary weighted least squares.
    let mut coefficients = Vec::with_capacity(p);
    let mut plain_standard_errors = Vec::with_capacity(p);
    for j in 0..p {
        let unit: Vec<f64> = (0..p).map(|i| f64::from(u8::from(i == j))).collect();
        let loading = fit.weights_of(&unit)?;
        coefficients.push(fit.estimate(&unit, Errors::Classical)?);
        plain_standard_errors.push(
            compensated_sum(
                loading
                    .iter()
                    .zip(variances)
                    .map(|(w, v)| w * w * (v + tau2)),
            )
            .sqrt(),
        );
    }
    let typical = df / fixed.trace_projection;
    Ok(MetaFit {
        tau2,
        coefficients,
        plain_standard_errors,
        q,
        q_p_value: chi2_sf(q, df),
        i2: tau2 / (tau2 + typical),
    })
}

/// The permutation test of the last column of a meta-regression: its t statistic over the orders
/// of that column, τ² re-estimated in each.
///
/// All k! orders for k ≤ 9; 99,999 seeded ones otherwise. A refit that fails counts as extreme.
///
/// # Errors
/// As [`meta_regression`].
///
/// # References
/// J. P. T. Higgins, S. G. Thompson (2004), *Statistics in Medicine* 23:1663.
pub fn permute_covariate(
    columns: &[&[f64]],
    effects: &[f64],
    variances: &[f64],
    heterogeneity: Heterogeneity,
    seed: u64,
) -> Result<ResamplingTest, FitError> {
    meta_regression(columns, effects, variances, heterogeneity)?;
    let Some((last, others)) = columns.split_last() else {
        return Err(FitError::TooFew {
            what: "columns".to_owned(),
            found: 0,
            needed: 1,
        });
    };
    Ok(permutation(effects.len(), seed, "covariate", |order| {
        let shuffled: Vec<f64> = order.iter().map(|i| last[*i]).collect();
        let mut all = others.to_vec();
        all.push(&shuffled);
        let model = Model {
            columns: &all,
            effects,
            variances,
        };
        // |t| up to the constant √(k − p).
        let ratio = || -> Result<f64, FitError> {
            let moments = model.moments(model.tau2(heterogeneity)?)?;
            Ok(moments.last_ratio.abs() / moments.rss.sqrt())
        };
        ratio().unwrap_or(f64::INFINITY)
    }))
}

/// Empirical-Bayes effects: each drawn towards the mean by B = vᵢ/(vᵢ + τ²).
///
/// For display and ranking only; a shrunken effect carries no test.
///
/// # Errors
/// When lengths differ, a number is not finite, a variance is not positive, or `tau2` is
/// negative.
///
/// # References
/// C. N. Morris (1983), *JASA* 78:47.
pub fn shrink(
    effects: &[f64],
    variances: &[f64],
    mean: f64,
    tau2: f64,
) -> Result<Vec<f64>, FitError> {
    check_length("variances", variances.len(), effects.len())?;
    check_finite("effects", effects)?;
    check_variances(variances)?;
    check_finite("mean", &[mean])?;
    if !(tau2 >= 0.0 && tau2.is_finite()) {
        return Err(FitError::Domain {
            what: "tau2".to_owned(),
            value: tau2,
        });
    }
    Ok(effects
        .iter()
        .zip(variances)
        .map(|(y, v)| (y * tau2 + mean * v) / (tau2 + v))
        .collect())
}

/// A test that several correlated effects are equal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EqualityTest {
    /// Q = (y − μ̂)'V⁻¹(y − μ̂) with the generalised-least-squares mean μ̂.
    pub q: f64,
    /// The generalised-least-squares mean.
    pub mean: f64,
    /// The F statistic that Q was turned into.
    pub f: f64,
    /// Its numerator degrees of freedom, one less than the number of effects.
    pub df1: f64,
    /// Its denominator degrees of freedom.
    pub df2: f64,
    /// P(F > f).
    pub p_value: f64,
}

/// Tests the equality of `effects` whose covariance matrix was estimated with `df` degrees of
/// freedom: Hotelling's T² of their contrasts.
///
/// With k effects, Q is referred to (k − 1)·df/(df − k + 2) · F_{k−1, df−k+2}; χ² would reject
/// far too often with the five degrees of freedom of a seven-budget ladder.
///
/// # Errors
/// When the matrix is not square, not positive definite, or `df` < k − 1 (then the estimated
/// matrix is singular: use [`welch_james`]).
///
/// # References
/// T. W. Anderson (2003), *An Introduction to Multivariate Statistical Analysis*, §5.2.
pub fn equality_test(
    effects: &[f64],
    covariance: &[Vec<f64>],
    df: f64,
) -> Result<EqualityTest, FitError> {
    let k = effects.len();
    check_count("effects", k, 2)?;
    check_finite("effects", effects)?;
    check_length("rows of the covariance matrix", covariance.len(), k)?;
    for row in covariance {
        check_length("a row of the covariance matrix", row.len(), k)?;
        check_finite("covariance", row)?;
    }
    let df1 = k as f64 - 1.0;
    let df2 = df - df1 + 1.0;
    if df2 <= 0.0 || !df2.is_finite() {
        return Err(FitError::Domain {
            what: "degrees of freedom left for the test of equality".to_owned(),
            value: df2,
        });
    }
    let singular = || FitError::Singular {
        what: "the covariance matrix of the effects".to_owned(),
    };
    let scale = (0..k).fold(0.0_f64, |m, i| m.max(covariance[i][i]));
    if scale <= 0.0 {
        return Err(singular());
    }
    let matrix = DMatrix::from_fn(k, k, |i, j| covariance[i.max(j)][i.min(j)] / scale);
    let cholesky = matrix.cholesky().ok_or_else(singular)?;
    let lower = cholesky.l();
    if (0..k).any(|i| lower[(i, i)].powi(2) < 1e-12 * covariance[i][i] / scale) {
        return Err(singular());
    }
    let ones = cholesky.solve(&DVector::from_element(k, 1.0));
    let mean = dot(ones.as_slice(), effects) / compensated_sum(ones.iter().copied());
    let deviation = DVector::from_iterator(k, effects.iter().map(|y| y - mean));
    let solved = cholesky.solve(&deviation);
    let q = (dot(solved.as_slice(), deviation.as_slice()) / scale).max(0.0);
    let f = q * df2 / (df1 * df);
    Ok(EqualityTest {
        q,
        mean,
        f,
        df1,
        df2,
        p_value: f_sf(f, df1, df2),
    })
}

/// Tests the equality of independent `effects` with estimated `variances`, each with its own
/// degrees of freedom (Welch–James).
///
/// # Errors
/// When lengths differ, there are fewer than two effects, a number is not finite, or a variance
/// or its degrees of freedom are not positive.
///
/// # References
/// B. L. Welch (1951), *Biometrika* 38:330; G. S. James (1951), *Biometrika* 38:324.
pub fn welch_james(
    effects: &[f64],
    variances: &[f64],
    df: &[f64],
) -> Result<EqualityTest, FitError> {
    let k = effects.len();
    check_count("effects", k, 2)?;
    check_finite("effects", effects)?;
    check_length("variances", variances.len(), k)?;
    check_length("degrees of freedom", df.len(), k)?;
    check_variances(variances)?;
    if let Some(&value) = df.iter().find(|d| d.is_nan() || **d <= 0.0) {
        return Err(FitError::Domain {
            what: "degrees of freedom".to_owned(),
            value,
        });
    }
    let total = compensated_sum(variances.iter().map(|v| 1.0 / v));
    let mean = compensated_sum(effects.iter().zip(variances).map(|(y, v)| y / v)) / total;
    let q = compensated_sum(
        effects
            .iter()
            .zip(variances)
            .map(|(y, v)| (y - mean).powi(2) / v),
    );
    let lambda = compensated_sum(
        variances
            .iter()
            .zip(df)
            .map(|(v, d)| (1.0 - 1.0 / v / total).powi(2) / d),
    );
    let k = k as f64;
    let f = q / (k - 1.0) / (1.0 + 2.0 * (k - 2.0) / (k * k - 1.0) * lambda);
    let df2 = (k * k - 1.0) / (3.0 * lambda);
    Ok(EqualityTest {
        q,
        mean,
        f,
        df1: k - 1.0,
        df2,
        p_value: f_sf(f, k - 1.0, df2),
    })
}

/// Variances drawn towards a common prior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModeratedVariances {
    /// Degrees of freedom of the prior; ∞ when the variances do not differ beyond chance.
    pub prior_df: f64,
    /// The variance of the prior.
    pub prior_variance: f64,
    /// (d₀·s₀² + ν·s²)/(d₀ + ν), with d₀ + ν degrees of freedom.
    pub variances: Vec<f64>,
}

/// Moderates `variances`, each with `df` degrees of freedom, by an inverse-χ² prior fitted to
/// their logarithms.
///
/// # Errors
/// When there are fewer than two, a variance is not positive, or `df` is not positive.
///
/// # References
/// G. K. Smyth (2004), *Statistical Applications in Genetics and Molecular Biology* 3:3, §6.2.
pub fn moderate_variances(variances: &[f64], df: f64) -> Result<ModeratedVariances, FitError> {
    check_count("variances", variances.len(), 2)?;
    check_variances(variances)?;
    if !(df > 0.0 && df.is_finite()) {
        return Err(FitError::Domain {
            what: "degrees of freedom".to_owned(),
            value: df,
        });
    }
    let n = variances.len() as f64;
    let half = 0.5 * df;
    let offset = digamma(half) - half.ln();
    let logs: Vec<f64> = variances.iter().map(|v| v.ln() - offset).collect();
    let mean = compensated_sum(logs.iter().map(|e| e / n));
    let spread = compensated_sum(logs.iter().map(|e| (e - mean).powi(2))) / (n - 1.0);
    let excess = spread - trigamma(half);
    if excess <= 0.0 {
        // With an infinite prior d.f. limma takes the mean variance itself.
        let prior_variance = compensated_sum(variances.iter().map(|v| v / n));
        return Ok(ModeratedVariances {
            prior_df: f64::INFINITY,
            prior_variance,
            variances: vec![prior_variance; variances.len()],
        });
    }
    let prior_df = 2.0 * inverse_trigamma(excess);
    let prior_variance = (mean + digamma(0.5 * prior_df) - (0.5 * prior_df).ln()).exp();
    Ok(ModeratedVariances {
        prior_df,
        prior_variance,
        variances: variances
            .iter()
            .map(|s| (prior_df * prior_variance + df * s) / (prior_df + df))
            .collect(),
    })
}

fn check_variances(variances: &[f64]) -> Result<(), FitError> {
    check_finite("variances", variances)?;
    match variances.iter().position(|v| *v <= 0.0) {
        Some(index) => Err(FitError::Domain {
            what: format!("variances[{index}]"),
            value: variances[index],
        }),
        None => Ok(()),
    }
}

/// ψ(x), x > 0.
fn digamma(x: f64) -> f64 {
    statrs::function::gamma::digamma(x)
}

/// ψ'(x), x > 0, by recurrence up to 15 and the asymptotic series (Abramowitz–Stegun 6.4.12).
fn trigamma(x: f64) -> f64 {
    let mut x = x;
    let mut sum = 0.0;
    while x < 15.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let s = 1.0 / (x * x);
    let series = 1.0 / 6.0
        - s * (1.0 / 30.0
            - s * (1.0 / 42.0 - s * (1.0 / 30.0 - s * (5.0 / 66.0 - s * 691.0 / 2730.0))));
    sum + 1.0 / x + 0.5 * s + series * s / x
}

/// The x > 0 with ψ'(x) = y, y > 0: Newton's method on 1/ψ', which is convex and nearly linear
/// (Smyth 2004, appendix). It starts below the root and rises monotonically.
fn inverse_trigamma(y: f64) -> f64 {
    if y > 1e7 {
        return 1.0 / y.sqrt();
    }
    if y < 1e-6 {
        return 1.0 / y;
    }
    let mut x = 0.5 + 1.0 / y;
    for _ in 0..60 {
        let value = trigamma(x);
        // ψ'' by the same series, differentiated numerically well enough to keep Newton's rate;
        // the fixed point depends on ψ' alone.
        let step = 1e-5 * x;
        let slope = (trigamma(x + step) - trigamma(x - step)) / (2.0 * step);
        let change = value * (1.0 - value / y) / slope;
        x += change;
        if (change / x).abs() < 1e-15 {
            break;
        }
    }
    x
}

/// The data of a meta-regression.
struct Model<'a> {
    columns: &'a [&'a [f64]],
    effects: &'a [f64],
    variances: &'a [f64],
}

/// What the estimators of τ² need of a weighted fit, W = diag(wᵢ), wᵢ = 1/(vᵢ + τ²).
struct Moments {
    /// Σ wᵢ·eᵢ².
    rss: f64,
    /// Σ wᵢ²·eᵢ² = y'PPy.
    weighted_squares: f64,
    /// Σ wᵢ.
    trace_weights: f64,
    /// tr P = Σ wᵢ(1 − hᵢ), P = W − WX(X'WX)⁻¹X'W.
    trace_projection: f64,
    /// The last coefficient over the square root of its entry in (X'WX)⁻¹.
    last_ratio: f64,
}

impl Model<'_> {
    fn weights(&self, tau2: f64) -> Vec<f64> {
        self.variances.iter().map(|v| 1.0 / (v + tau2)).collect()
    }

    fn fit(&self, tau2: f64) -> Result<LinearFit, FitError> {
        LinearFit::weighted(self.columns, self.effects, &self.weights(tau2))
    }

    fn moments(&self, tau2: f64) -> Result<Moments, FitError> {
        if let [ones, z] = self.columns
            && ones.iter().all(|c| *c == 1.0)
        {
            // A permutation test refits this form a million times.
            return Ok(self.straight_line(z, tau2));
        }
        let weights = self.weights(tau2);
        let fit = self.fit(tau2)?;
        let p = self.columns.len();
        let last: Vec<f64> = (0..p).map(|j| f64::from(u8::from(j + 1 == p))).collect();
        let loading = fit.weights_of(&last)?;
        let unscaled = compensated_sum(loading.iter().zip(&weights).map(|(l, w)| l * l / w));
        let each = |f: &dyn Fn(f64, f64, f64) -> f64| {
            compensated_sum(
                weights
                    .iter()
                    .zip(fit.residuals())
                    .zip(fit.leverages())
                    .map(|((w, e), h)| f(*w, *e, *h)),
            )
        };
        Ok(Moments {
            rss: fit.rss(),
            weighted_squares: each(&|w, e, _| (w * e).powi(2)),
            trace_weights: each(&|w, _, _| w),
            trace_projection: each(&|w, _, h| w * (1.0 - h)),
            last_ratio: fit.coefficients()[p - 1] / unscaled.sqrt(),
        })
    }

    fn straight_line(&self, z: &[f64], tau2: f64) -> Moments {
        let rows = || {
            self.variances
                .iter()
                .zip(z)
                .zip(self.effects)
                .map(|((v, z), y)| (1.0 / (v + tau2), *z, *y))
        };
        let (mut sw, mut sz, mut sy) = (0.0, 0.0, 0.0);
        for (w, z, y) in rows() {
            sw += w;
            sz += w * z;
            sy += w * y;
        }
        let (mz, my) = (sz / sw, sy / sw);
        let (mut szz, mut szy) = (0.0, 0.0);
        for (w, z, y) in rows() {
            szz += w * (z - mz) * (z - mz);
            szy += w * (z - mz) * (y - my);
        }
        let slope = szy / szz;
        let mut moments = Moments {
            rss: 0.0,
            weighted_squares: 0.0,
            trace_weights: sw,
            trace_projection: 0.0,
            last_ratio: slope * szz.sqrt(),
        };
        for (w, z, y) in rows() {
            let e = w * (y - my - slope * (z - mz));
            moments.rss += e * e / w;
            moments.weighted_squares += e * e;
            moments.trace_projection += w * (1.0 - w / sw - w * (z - mz) * (z - mz) / szz);
        }
        moments
    }

    fn tau2(&self, heterogeneity: Heterogeneity) -> Result<f64, FitError> {
        let (k, p) = (self.effects.len() as f64, self.columns.len() as f64);
        Ok(match heterogeneity {
            Heterogeneity::DerSimonianLaird => {
                let fixed = self.moments(0.0)?;
                ((fixed.rss - (k - p)) / fixed.trace_projection).max(0.0)
            }
            Heterogeneity::HedgesOlkin => {
                let plain = LinearFit::new(self.columns, self.effects)?;
                let expected: f64 = compensated_sum(
                    plain
                        .leverages()
                        .iter()
                        .zip(self.variances)
                        .map(|(h, v)| (1.0 - h) * v),
                );
                ((plain.rss() - expected) / (k - p)).max(0.0)
            }
            Heterogeneity::SidikJonkman => {
                let mean = compensated_sum(self.effects.iter().map(|y| y / k));
                let start = compensated_sum(self.effects.iter().map(|y| (y - mean).powi(2))) / k;
                if start == 0.0 {
                    return Ok(0.0);
                }
                start * self.moments(start)?.rss / (k - p)
            }
            Heterogeneity::PauleMandel => self.root(|m| m.rss - (k - p))?,
            // Twice the derivative of the log-likelihood: Σ w²e² − tr W, minus for REML the part
            // of the trace that the coefficients absorb.
            Heterogeneity::MaximumLikelihood => {
                self.root(|m| m.weighted_squares - m.trace_weights)?
            }
            Heterogeneity::Reml => self.root(|m| m.weighted_squares - m.trace_projection)?,
        })
    }

    /// The outermost τ² at which `score` changes from + to −, or 0.
    fn root(&self, score: impl Fn(&Moments) -> f64) -> Result<f64, FitError> {
        let unconverged = || FitError::NoConvergence {
            what: "the variance between effects".to_owned(),
        };
        let at = |tau2: f64| -> Result<f64, FitError> {
            let value = score(&self.moments(tau2)?);
            if value.is_finite() {
                Ok(value)
            } else {
                Err(unconverged())
            }
        };
        // Scores fall off as 1/τ² or faster above the spread of the effects.
        let mean = compensated_sum(self.effects.iter().copied()) / self.effects.len() as f64;
        let mut high = compensated_sum(self.effects.iter().map(|y| (y - mean).powi(2)))
            + compensated_sum(self.variances.iter().copied());
        let mut at_high = at(high)?;
        for _ in 0..60 {
            if at_high <= 0.0 {
                break;
            }
            high *= 4.0;
            at_high = at(high)?;
        }
        if at_high > 0.0 {
            return Err(unconverged());
        }
        // Step down by factors of four until the score is positive: of two roots of a likelihood
        // the outer one. 4^-22 of the top is zero.
        let bottom = high * 5e-14;
        let (mut low, mut at_low) = (high, at_high);
        while at_low <= 0.0 {
            (high, at_high) = (low, at_low);
            low = if low < bottom { 0.0 } else { 0.25 * low };
            at_low = at(low)?;
            if low == 0.0 && at_low <= 0.0 {
                return Ok(0.0);
            }
        }
        // False position, Illinois variant (M. Dowell, P. Jarratt 1971, *BIT* 11:168), falling
        // back to bisection when it creeps.
        let mut last_rose = None;
        for step in 0..300 {
            let guess = (low * at_high - high * at_low) / (at_high - at_low);
            let next = if step % 8 == 7 || !(guess > low && guess < high) {
                0.5 * (low + high)
            } else {
                guess
            };
            if next <= low || next >= high || high - low <= 1e-15 * high {
                break;
            }
            let value = at(next)?;
            if value == 0.0 {
                return Ok(next);
            }
            let rose = value > 0.0;
            let again = last_rose == Some(rose);
            last_rose = Some(rose);
            if rose {
                (low, at_low) = (next, value);
                at_high *= if again { 0.5 } else { 1.0 };
            } else {
                (high, at_high) = (next, value);
                at_low *= if again { 0.5 } else { 1.0 };
            }
        }
        Ok(0.5 * (low + high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const Y: [f64; 5] = [0.010, 0.004, -0.001, 0.0155, 0.007];
    const V: [f64; 5] = [1.4e-6, 4e-6, 2.2e-6, 9e-6, 1.2e-6];
    const ALL: [Heterogeneity; 6] = [
        Heterogeneity::DerSimonianLaird,
        Heterogeneity::PauleMandel,
        Heterogeneity::Reml,
        Heterogeneity::MaximumLikelihood,
        Heterogeneity::SidikJonkman,
        Heterogeneity::HedgesOlkin,
    ];

    #[test]
    fn equal_effects_have_no_heterogeneity() {
        for method in ALL {
            let fit = random_effects(&[0.01; 5], &V, method).unwrap();
            assert_eq!(fit.tau2, 0.0, "{method:?}");
            assert!((fit.coefficients[0].value - 0.01).abs() < 1e-15);
            assert!(fit.q < 1e-20 && fit.q_p_value > 0.999);
        }
    }

    #[test]
    fn estimates_scale_with_the_units() {
        for method in ALL {
            let one = random_effects(&Y, &V, method).unwrap();
            let scaled: Vec<f64> = Y.iter().map(|y| y * 1e6).collect();
            let squared: Vec<f64> = V.iter().map(|v| v * 1e12).collect();
            let two = random_effects(&scaled, &squared, method).unwrap();
            assert!(
                (two.tau2 / one.tau2 / 1e12 - 1.0).abs() < 1e-11,
                "{method:?}"
            );
        }
    }

    #[test]
    fn hotelling_of_two_is_the_paired_t() {
        let covariance = [vec![2e-6, 0.7e-6], vec![0.7e-6, 1.1e-6]];
        let test = equality_test(&[0.004, 0.001], &covariance, 5.0).unwrap();
        let t = 0.003 / (2e-6 + 1.1e-6 - 1.4e-6_f64).sqrt();
        let p = super::super::quantile::t_two_sided(t, 5.0);
        assert!((test.p_value - p).abs() < 1e-13, "{test:?}");
    }

    #[test]
    fn welch_of_two_is_welchs_t() {
        let test = welch_james(&[0.004, 0.001], &[2e-6, 1e-6], &[5.0, 9.0]).unwrap();
        let df = 9e-12 / (4e-12 / 5.0 + 1e-12 / 9.0);
        let p = super::super::quantile::t_two_sided(0.003 / 3e-6_f64.sqrt(), df);
        assert!((test.p_value - p).abs() < 1e-13, "{test:?} {p}");
    }

    #[test]
    fn trigamma_has_its_known_values() {
        let pi2 = std::f64::consts::PI.powi(2);
        assert!((trigamma(1.0) - pi2 / 6.0).abs() < 1e-14);
        assert!((trigamma(0.5) - pi2 / 2.0).abs() < 1e-14);
        for x in [1e-3, 0.3, 2.5, 40.0, 9e5] {
            assert!(
                (inverse_trigamma(trigamma(x)) / x - 1.0).abs() < 1e-10,
                "{x}"
            );
        }
    }

    #[test]
    fn equal_variances_have_an_infinite_prior() {
        let moderated = moderate_variances(&[2.0, 2.1, 1.9, 2.0], 5.0).unwrap();
        assert_eq!(moderated.prior_df, f64::INFINITY);
        assert_eq!(moderated.variances[0], 2.0);
    }

    #[test]
    fn permuting_a_covariate_is_exact_for_few_effects() {
        let z = [1.0, 2.0, 3.0, 5.0, 4.0];
        let ones = [1.0; 5];
        let test = permute_covariate(&[&ones, &z], &Y, &V, Heterogeneity::Reml, 0).unwrap();
        assert!(test.exact && test.total == 120 && test.p_value > 0.0);
    }

    #[test]
    fn odd_input_is_refused() {
        for method in ALL {
            assert!(random_effects(&[], &[], method).is_err());
            assert!(random_effects(&[1.0], &[1.0], method).is_err());
            assert!(random_effects(&Y, &[0.0; 5], method).is_err());
            assert!(random_effects(&[f64::NAN; 5], &V, method).is_err());
            // Overflow must end as an error or a number, not as a hang.
            let _ = random_effects(&[1e200, -1e200, 0.0], &[1e-200, 1.0, 1e200], method);
        }
        assert!(moderate_variances(&[1.0, 0.0], 5.0).is_err());
        assert!(equality_test(&[1.0, 2.0], &[vec![1.0, 1.0], vec![1.0, 1.0]], 5.0).is_err());
        assert!(equality_test(&[1.0, 2.0, 3.0], &vec![vec![1.0; 3]; 3], 1.0).is_err());
        assert!(shrink(&Y, &V, 0.0, -1.0).is_err());
    }
}
