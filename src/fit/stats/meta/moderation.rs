//! Empirical-Bayes moderation of variances.
//!
//! # References
//! G. K. Smyth (2004), *Statistical Applications in Genetics and Molecular Biology* 3:3, §6.2.

use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_domain, check_positive};
use crate::fit::stats::special::{digamma, inverse_trigamma, trigamma};
use crate::fit::stats::sums::compensated_sum;

/// Variances drawn towards a common prior.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModeratedVariances {
    /// Degrees of freedom d₀ of the prior; ∞ when the variances do not differ beyond chance.
    pub(crate) prior_df: f64,
    /// (d₀·s₀² + ν·s²)/(d₀ + ν) per variance s², with d₀ + ν degrees of freedom.
    pub(crate) variances: Vec<f64>,
}

/// Moderates `variances`, each with `df` degrees of freedom, by an inverse-χ² prior fitted to
/// their logarithms.
///
/// With ν = `df`, d₀ solves ψ'(d₀/2) = s²(ln sᵢ²) − ψ'(ν/2), s²(·) the sample variance, and
/// ln s₀² = mean(ln sᵢ²) − ψ(ν/2) + ln(ν/2) + ψ(d₀/2) − ln(d₀/2).
///
/// # Errors
/// When there are fewer than two, a variance is not positive, or `df` is not positive.
pub(crate) fn moderate_variances(
    variances: &[f64],
    df: f64,
) -> Result<ModeratedVariances, FitError> {
    check_count("variances", variances.len(), 2)?;
    check_positive("variances", variances)?;
    check_domain("degrees of freedom", df, df > 0.0 && df.is_finite())?;
    let n = variances.len() as f64;
    let half = 0.5 * df;
    let offset = digamma(half) - half.ln();
    // ln s² of a χ² variance has mean ln σ² + ψ(ν/2) − ln(ν/2): the offset removes that bias.
    let logs: Vec<f64> = variances.iter().map(|v| v.ln() - offset).collect();
    let mean = compensated_sum(logs.iter().map(|e| e / n));
    let spread = compensated_sum(logs.iter().map(|e| (e - mean).powi(2))) / (n - 1.0);
    let excess = spread - trigamma(half);
    // The variances differ less than sampling alone would make them: no spread is left to the
    // prior.
    if excess <= 0.0 {
        // With an infinite prior d.f. limma takes the mean variance itself.
        let prior_variance = compensated_sum(variances.iter().map(|v| v / n));
        return Ok(ModeratedVariances {
            prior_df: f64::INFINITY,
            variances: vec![prior_variance; variances.len()],
        });
    }
    let prior_df = 2.0 * inverse_trigamma(excess);
    let prior_variance = (mean + digamma(0.5 * prior_df) - (0.5 * prior_df).ln()).exp();
    Ok(ModeratedVariances {
        prior_df,
        variances: variances
            .iter()
            .map(|s| (prior_df * prior_variance + df * s) / (prior_df + df))
            .collect(),
    })
}
