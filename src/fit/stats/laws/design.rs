//! The designs that identify a loss surface.

use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_length};

/// Refuses `params` and `tokens` that are not spread widely enough to tell the five parameters
/// apart: it takes eight models, three sizes, three training lengths, and ln N and ln D not on one
/// line.
///
/// # Errors
/// [`FitError`] naming what is missing.
pub(crate) fn check_surface_design(params: &[f64], tokens: &[f64]) -> Result<(), FitError> {
    check_length("tokens", tokens.len(), params.len())?;
    // Five parameters, and three degrees of freedom for their errors: t is 3.2 there, 12.7 with
    // one.
    check_count("models of a loss surface", params.len(), 8)?;
    let logs = |v: &[f64]| v.iter().map(|v| v.ln()).collect::<Vec<f64>>();
    let (n, d) = (logs(params), logs(tokens));
    for (what, values) in [("sizes", &n), ("training lengths", &d)] {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        // Whole batches and steps round token counts by up to 2 %: that is no variation.
        sorted.dedup_by(|a, b| (*a - *b).abs() < 0.02);
        check_count(&format!("{what} of a loss surface"), sorted.len(), 3)?;
    }
    let centred = |v: &[f64]| -> Vec<f64> {
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        v.iter().map(|v| v - mean).collect()
    };
    let (n, d) = (centred(&n), centred(&d));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let r2 = product(&n, &d).powi(2) / (product(&n, &n) * product(&d, &d));
    // On a line in logarithms (D = 20·N, say) rounding alone leaves r² at 0.999 and above.
    if r2.is_nan() || r2 >= 0.998 {
        return Err(FitError::Singular {
            what: "a loss surface over sizes and training lengths that move together".to_owned(),
        });
    }
    Ok(())
}
