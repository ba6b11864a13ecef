//! Adjusted p-values and simultaneous levels for a family of tests.
//!
//! # References
//! - S. Holm (1979), *Scandinavian Journal of Statistics* 6:65.
//! - Y. Hochberg (1988), *Biometrika* 75:800.
//! - Z. Šidák (1967), *JASA* 62:626.
//! - Y. Benjamini, Y. Hochberg (1995), *JRSS B* 57:289; Y. Benjamini, D. Yekutieli (2001),
//!   *Annals of Statistics* 29:1165 and (2005), *JASA* 100:71 (selected intervals).

use super::checks::{check_count, check_each, check_probability};
use crate::fit::error::FitError;

/// A way to adjust p-values for the size of their family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Correction {
    /// Family-wise, step-down, any dependence.
    Holm,
    /// Family-wise, step-up, under Simes' inequality.
    Hochberg,
    /// False discovery rate, independent or positively dependent tests.
    BenjaminiHochberg,
    /// False discovery rate, any dependence.
    BenjaminiYekutieli,
}

/// Adjusts `p` for the family it forms, keeping the order of the input.
///
/// Rejecting where the adjusted value is ≤ α controls the error rate of `correction` at α. With m
/// p-values, p₍ₖ₎ the k-th smallest:
/// - Holm: max over j ≤ k of (m − j + 1)·p₍ⱼ₎;
/// - Hochberg: min over j ≥ k of (m − j + 1)·p₍ⱼ₎;
/// - Benjamini–Hochberg: min over j ≥ k of m·p₍ⱼ₎/j;
/// - Benjamini–Yekutieli: that times Σᵢ 1/i, i ≤ m.
///
/// # Errors
/// [`FitError::Domain`] when a p-value is NaN or outside \[0, 1\].
pub(crate) fn adjust(p: &[f64], correction: Correction) -> Result<Vec<f64>, FitError> {
    check_each("p", p, |p| (0.0..=1.0).contains(&p))?;
    let m = p.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    // For the k-th smallest (from 0), m − k hypotheses are not yet rejected.
    let remaining = |k: usize| (m - k) as f64;
    let rank = |k: usize| (k + 1) as f64;
    let each = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        let scaled = order.iter().enumerate().map(|(k, i)| f(k, p[*i]));
        scaled.collect()
    };
    let adjusted = match correction {
        Correction::Holm => running_max(each(&|k, p| p * remaining(k))),
        Correction::Hochberg => running_min(each(&|k, p| p * remaining(k))),
        Correction::BenjaminiHochberg => running_min(each(&|k, p| p * m as f64 / rank(k))),
        Correction::BenjaminiYekutieli => {
            let harmonic: f64 = (1..=m).map(|k| 1.0 / k as f64).sum();
            running_min(each(&|k, p| p * harmonic * m as f64 / rank(k)))
        }
    };
    let mut result = vec![0.0; m];
    for (i, adjusted) in order.into_iter().zip(adjusted) {
        // The multiplication by the size of the family passes one easily; a p-value must not.
        result[i] = adjusted.min(1.0);
    }
    Ok(result)
}

/// The level at which to quote intervals for `selected` of `total` estimates so that the expected
/// share of quoted intervals that miss is at most `alpha`: 1 − α·R/m, R selected of m.
///
/// With nothing selected it is 1 − α/m, the level a single selection would get.
///
/// # Errors
/// When `alpha` is outside (0, 1), or more are selected than there are.
pub(crate) fn selected_level(selected: usize, total: usize, alpha: f64) -> Result<f64, FitError> {
    check_probability("alpha", alpha)?;
    check_count("estimates to select from", total, selected.max(1))?;
    Ok(1.0 - alpha * selected.max(1) as f64 / total as f64)
}

/// The level of each of `count` intervals that makes them hold at once at `level` when they are
/// independent, and at least so when their t statistics are jointly elliptical: level^(1/count).
///
/// # Errors
/// When `level` is outside (0, 1) or `count` is zero.
pub(crate) fn simultaneous_level(count: usize, level: f64) -> Result<f64, FitError> {
    check_probability("confidence level", level)?;
    check_count("intervals", count, 1)?;
    // Šidák instead of Bonferroni: exact for independent t, and never wider.
    Ok(level.powf(1.0 / count as f64))
}

fn running_max(mut p: Vec<f64>) -> Vec<f64> {
    for k in 1..p.len() {
        p[k] = p[k].max(p[k - 1]);
    }
    p
}

fn running_min(mut p: Vec<f64>) -> Vec<f64> {
    for k in (1..p.len()).rev() {
        p[k - 1] = p[k - 1].min(p[k]);
    }
    p
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Correction; 4] = [
        Correction::Holm,
        Correction::Hochberg,
        Correction::BenjaminiHochberg,
        Correction::BenjaminiYekutieli,
    ];

    #[test]
    fn holm_steps_down() {
        let adjusted = adjust(&[0.01, 0.04, 0.03], Correction::Holm).unwrap();
        assert_eq!(adjusted, [0.03, 0.06, 0.06]);
    }

    #[test]
    fn one_test_is_not_adjusted_and_none_is_empty() {
        for correction in ALL {
            assert!(adjust(&[], correction).unwrap().is_empty());
            let one = adjust(&[0.03], correction).unwrap()[0];
            assert!((one - 0.03).abs() < 1e-16);
        }
    }

    #[test]
    fn adjusted_values_keep_order_and_never_fall_below_raw() {
        let p = [0.2, 0.0, 0.9, 1e-12, 0.04, 0.04, 1.0, 0.011];
        for correction in ALL {
            let adjusted = adjust(&p, correction).unwrap();
            for (i, a) in adjusted.iter().enumerate() {
                assert!(*a >= p[i] && *a <= 1.0, "{correction:?}");
                for (j, b) in adjusted.iter().enumerate() {
                    assert!(p[i] > p[j] || a <= b, "{correction:?}");
                }
            }
        }
    }

    #[test]
    fn a_p_value_outside_its_range_is_refused() {
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert!(adjust(&[0.5, bad], Correction::Holm).is_err());
        }
        assert!(selected_level(3, 2, 0.05).is_err());
        assert!(selected_level(0, 0, 0.05).is_err());
        assert!((selected_level(2, 8, 0.05).unwrap() - 0.9875).abs() < 1e-15);
    }
}
