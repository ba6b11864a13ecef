//! Sums in index order with Neumaier's compensation.
//!
//! Every sum runs serially, so that a result depends neither on the number of threads nor on the
//! instruction set.
//!
//! # References
//! A. Neumaier (1974), *ZAMM* 54:39.

use super::checks::{check_count, check_finite};
use crate::fit::error::FitError;

/// Σ `values`, compensated.
pub(crate) fn compensated_sum(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut compensation) = (0.0_f64, 0.0);
    for value in values {
        let next = sum + value;
        // Neumaier's branch: Kahan's sum loses the term where the new value is the larger one.
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

/// The values about their mean, and the sum of their squares.
///
/// # Errors
/// When there are no values, or one of them or the sum of squares is not finite.
pub(crate) fn centred(what: &str, values: &[f64]) -> Result<(Vec<f64>, f64), FitError> {
    check_count(what, values.len(), 1)?;
    check_finite(what, values)?;
    let n = values.len() as f64;
    // Divided before summing: a sum of large finite values would overflow.
    let mean = compensated_sum(values.iter().map(|v| v / n));
    let centred: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let square = dot(&centred, &centred);
    // Values beyond 1e154 have squares that are infinite.
    check_finite(what, &[square])?;
    Ok((centred, square))
}
