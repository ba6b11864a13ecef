//! Effects as a sample: random-effects means, meta-regression, heterogeneity.
//!
//! Effects yᵢ (relative exponents) with known sampling variances vᵢ are modelled as
//! yᵢ = xᵢ'β + uᵢ + εᵢ, Var uᵢ = τ², Var εᵢ = vᵢ. τ² is estimated by restricted maximum likelihood
//! (REML), truncated at zero. Coefficients are weighted least squares with weights 1/(vᵢ + τ²);
//! standard errors, tests and intervals are Knapp and Hartung's, with t on k − p degrees of freedom.
//!
//! # References
//! - W. Viechtbauer (2005), *J. Educational and Behavioral Statistics* 30:261 (REML).
//! - J. Hartung, G. Knapp (2001), *Statistics in Medicine* 20:3875; G. Knapp, J. Hartung (2003),
//!   22:2693.
//! - J. P. T. Higgins, S. G. Thompson (2002), *Statistics in Medicine* 21:1539 (I²); (2004), 23:1663
//!   (permutation).

mod equality;
mod moderation;
mod reml;
mod shrinkage;
#[cfg(test)]
mod tests;

pub(crate) use equality::{EqualityTest, equality_test, welch_james};
pub(crate) use moderation::moderate_variances;
pub(crate) use shrinkage::shrink;

use super::regression::{Errors, TEstimate};
use super::resample::{ResamplingTest, permutation};
use crate::fit::error::FitError;
use reml::Model;

/// A fitted random-effects model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MetaFit {
    /// Variance between effects, ≥ 0, in squared units of the effects.
    pub(crate) tau2: f64,
    /// Mean (or level and slope) with Knapp–Hartung standard errors, k − p degrees of freedom.
    pub(crate) coefficients: Vec<TEstimate>,
    /// I², the share of the total variance that lies between effects, in \[0, 1\]: τ²/(τ² + s²), s²
    /// a typical vᵢ.
    pub(crate) i2: f64,
}

/// Random-effects mean of `effects` with sampling `variances`.
///
/// # Errors
/// When lengths differ, there are fewer than two effects, a number is not finite, a variance is
/// not positive, or τ² cannot be bracketed.
pub(crate) fn random_effects(effects: &[f64], variances: &[f64]) -> Result<MetaFit, FitError> {
    fit(&Model::new(None, effects, variances)?)
}

/// Random-effects regression of `effects` on a constant and `covariate`.
///
/// # Errors
/// As [`random_effects`], when the covariate is constant, and when there are fewer than three
/// effects.
pub(crate) fn meta_regression(
    covariate: &[f64],
    effects: &[f64],
    variances: &[f64],
) -> Result<MetaFit, FitError> {
    fit(&Model::new(Some(covariate), effects, variances)?)
}

fn fit(model: &Model<'_>) -> Result<MetaFit, FitError> {
    let fixed = model.moments(0.0)?;
    let tau2 = model.tau2()?;
    let fit = model.fit(tau2)?;
    // Knapp and Hartung's factor is the residual variance of the weighted fit, so their
    // standard errors are those of ordinary weighted least squares.
    let p = fit.coefficients().len();
    let coefficients = (0..p).map(|j| {
        let unit: Vec<f64> = (0..p).map(|i| f64::from(u8::from(i == j))).collect();
        fit.estimate(&unit, Errors::Classical)
    });
    let typical = fit.df() as f64 / fixed.trace_projection;
    Ok(MetaFit {
        tau2,
        coefficients: coefficients.collect::<Result<_, _>>()?,
        i2: tau2 / (tau2 + typical),
    })
}

/// The permutation test of a covariate: the t statistic of its slope over the orders of the
/// covariate, τ² re-estimated in each.
///
/// All k! orders for k ≤ 9; 99,999 seeded ones otherwise. A refit that fails counts as extreme.
///
/// # Errors
/// As [`meta_regression`].
pub(crate) fn permute_covariate(
    covariate: &[f64],
    effects: &[f64],
    variances: &[f64],
    seed: u64,
) -> Result<ResamplingTest, FitError> {
    meta_regression(covariate, effects, variances)?;
    Ok(permutation(effects.len(), seed, "covariate", |order| {
        let shuffled: Vec<f64> = order.iter().map(|i| covariate[*i]).collect();
        // |t| up to the constant √(k − p).
        let ratio = || -> Result<f64, FitError> {
            let model = Model::new(Some(&shuffled), effects, variances)?;
            let line = model.straight_line(&shuffled, model.tau2()?);
            Ok(line.slope_ratio.abs() / line.moments.rss.sqrt())
        };
        // Counting a failed refit as extreme can only raise the p-value.
        ratio().unwrap_or(f64::INFINITY)
    }))
}
