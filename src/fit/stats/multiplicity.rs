//! Adjusted p-values and simultaneous levels for a family of tests.
//!
//! # References
//! - S. Holm (1979), *Scandinavian Journal of Statistics* 6:65.
//! - Y. Hochberg (1988), *Biometrika* 75:800; G. Hommel (1988), *Biometrika* 75:383.
//! - Z. Šidák (1967), *JASA* 62:626.
//! - Y. Benjamini, Y. Hochberg (1995), *JRSS B* 57:289; Y. Benjamini, D. Yekutieli (2001),
//!   *Annals of Statistics* 29:1165 and (2005), *JASA* 100:71 (selected intervals).

use serde::{Deserialize, Serialize};

use super::regression::check_probability;
use crate::fit::error::FitError;

/// A way to adjust p-values for the size of their family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Correction {
    /// Family-wise, single step, any dependence.
    Bonferroni,
    /// Family-wise, single step, independent or positively dependent tests.
    Sidak,
    /// Family-wise, step-down, any dependence; never worse than Bonferroni.
    Holm,
    /// Family-wise, step-down, independent or positively dependent tests.
    HolmSidak,
    /// Family-wise, step-up, under Simes' inequality.
    Hochberg,
    /// Family-wise, closed Simes test; never worse than Hochberg.
    Hommel,
    /// False discovery rate, independent or positively dependent tests.
    BenjaminiHochberg,
    /// False discovery rate, any dependence.
    BenjaminiYekutieli,
}

/// Adjusts `p` for the family it forms, keeping the order of the input.
///
/// Rejecting where the adjusted value is ≤ α controls the error rate of `correction` at α.
///
/// # Errors
/// [`FitError::Domain`] when a p-value is NaN or outside \[0, 1\].
///
/// # Examples
/// ```
/// use relscale::fit::multiplicity::{Correction, adjust};
/// let adjusted = adjust(&[0.01, 0.04, 0.03], Correction::Holm)?;
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// # Ok::<(), relscale::fit::error::FitError>(())
/// ```
pub fn adjust(p: &[f64], correction: Correction) -> Result<Vec<f64>, FitError> {
    if let Some(index) = p.iter().position(|p| !(0.0..=1.0).contains(p)) {
        return Err(FitError::Domain {
            what: format!("p[{index}]"),
            value: p[index],
        });
    }
    let m = p.len();
    let mut order: Vec<usize> = (0..m).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let sorted: Vec<f64> = order.iter().map(|i| p[*i]).collect();
    // For the k-th smallest (from 0), r = m − k hypotheses are not yet rejected.
    let remaining = |k: usize| (m - k) as f64;
    // 1 − (1 − p)^r without losing small p.
    let sidak = |p: f64, r: f64| -f64::exp_m1(r * (-p).ln_1p());
    let each = |f: &dyn Fn(usize, f64) -> f64| -> Vec<f64> {
        sorted.iter().enumerate().map(|(k, p)| f(k, *p)).collect()
    };
    let adjusted = match correction {
        Correction::Bonferroni => each(&|_, p| p * m as f64),
        Correction::Sidak => each(&|_, p| sidak(p, m as f64)),
        Correction::Holm => running_max(each(&|k, p| p * remaining(k))),
        Correction::HolmSidak => running_max(each(&|k, p| sidak(p, remaining(k)))),
        Correction::Hochberg => running_min(each(&|k, p| p * remaining(k))),
        Correction::Hommel => hommel(&sorted),
        Correction::BenjaminiHochberg => running_min(each(&|k, p| p * m as f64 / (k + 1) as f64)),
        Correction::BenjaminiYekutieli => {
            let harmonic: f64 = (1..=m).map(|k| 1.0 / k as f64).sum();
            running_min(each(&|k, p| p * harmonic * m as f64 / (k + 1) as f64))
        }
    };
    let mut result = vec![0.0; m];
    for (i, adjusted) in order.into_iter().zip(adjusted) {
        result[i] = adjusted.min(1.0);
    }
    Ok(result)
}

/// The level at which to quote intervals for `selected` of `total` estimates so that the expected
/// share of quoted intervals that miss is at most `alpha`: 1 − α·R/m.
///
/// With nothing selected it is 1 − α/m, the level a single selection would get.
///
/// # Errors
/// When `alpha` is outside (0, 1), or more are selected than there are.
pub fn selected_level(selected: usize, total: usize, alpha: f64) -> Result<f64, FitError> {
    check_probability("alpha", alpha)?;
    if selected > total || total == 0 {
        return Err(FitError::TooFew {
            what: "estimates to select from".to_owned(),
            found: total,
            needed: selected.max(1),
        });
    }
    Ok(1.0 - alpha * selected.max(1) as f64 / total as f64)
}

/// The level of each of `count` intervals that makes them hold at once at `level` when they are
/// independent, and at least so when their t statistics are jointly elliptical: level^(1/count).
///
/// # Errors
/// When `level` is outside (0, 1) or `count` is zero.
///
/// # References
/// Z. Šidák (1967), *JASA* 62:626.
pub fn simultaneous_level(count: usize, level: f64) -> Result<f64, FitError> {
    check_probability("confidence level", level)?;
    super::regression::check_count("intervals", count, 1)?;
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

/// Hommel's adjusted values of sorted `p` (S. P. Wright 1992, *Biometrics* 48:1005, appendix).
fn hommel(p: &[f64]) -> Vec<f64> {
    let m = p.len();
    let mut adjusted = p.to_vec();
    for size in (2..=m).rev() {
        let split = m - size + 1;
        let scaled = |rank: usize, p: f64| size as f64 * p / rank as f64;
        // The `size − 1` largest, against Simes' ranks 2, 3, …, size.
        let smallest = p[split..]
            .iter()
            .enumerate()
            .map(|(j, p)| scaled(j + 2, *p))
            .fold(f64::INFINITY, f64::min);
        for k in 0..m {
            let candidate = if k < split {
                smallest.min(size as f64 * p[k])
            } else {
                smallest
            };
            adjusted[k] = adjusted[k].max(candidate);
        }
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Correction; 8] = [
        Correction::Bonferroni,
        Correction::Sidak,
        Correction::Holm,
        Correction::HolmSidak,
        Correction::Hochberg,
        Correction::Hommel,
        Correction::BenjaminiHochberg,
        Correction::BenjaminiYekutieli,
    ];

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
    fn a_p_value_that_is_none_is_refused() {
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            assert!(adjust(&[0.5, bad], Correction::Holm).is_err());
        }
        assert!(selected_level(3, 2, 0.05).is_err());
        assert!(selected_level(0, 0, 0.05).is_err());
        assert!((selected_level(2, 8, 0.05).unwrap() - 0.9875).abs() < 1e-15);
    }
}
