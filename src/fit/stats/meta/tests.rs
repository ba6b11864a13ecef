//! Random effects, tests of equality and moderation against cases that are known in closed form.

use super::*;
use crate::fit::stats::quantile::t_two_sided;

const Y: [f64; 5] = [0.010, 0.004, -0.001, 0.0155, 0.007];
const V: [f64; 5] = [1.4e-6, 4e-6, 2.2e-6, 9e-6, 1.2e-6];

#[test]
fn equal_effects_have_no_heterogeneity() {
    let fit = random_effects(&[0.01; 5], &V).unwrap();
    assert_eq!(fit.tau2, 0.0);
    assert!((fit.coefficients[0].value - 0.01).abs() < 1e-15);
    assert_eq!(fit.i2, 0.0);
}

#[test]
fn unequal_effects_are_mostly_heterogeneity() {
    let fit = random_effects(&[0.010, 0.004, -0.001], &[1e-6, 4e-6, 2e-6]).unwrap();
    assert!(fit.tau2 > 0.0 && fit.i2 > 0.9);
}

#[test]
fn estimates_scale_with_the_units() {
    let one = random_effects(&Y, &V).unwrap();
    let scaled: Vec<f64> = Y.iter().map(|y| y * 1e6).collect();
    let squared: Vec<f64> = V.iter().map(|v| v * 1e12).collect();
    let two = random_effects(&scaled, &squared).unwrap();
    assert!((two.tau2 / one.tau2 / 1e12 - 1.0).abs() < 1e-11);
}

#[test]
fn hotelling_of_two_is_the_paired_t() {
    let covariance = [vec![2e-6, 0.7e-6], vec![0.7e-6, 1.1e-6]];
    let test = equality_test(&[0.004, 0.001], &covariance, 5.0).unwrap();
    let t = 0.003 / (2e-6 + 1.1e-6 - 1.4e-6_f64).sqrt();
    let p = t_two_sided(t, 5.0);
    assert!((test.p_value - p).abs() < 1e-13, "{test:?}");
}

#[test]
fn welch_of_two_is_welchs_t() {
    let test = welch_james(&[0.004, 0.001], &[2e-6, 1e-6], &[5.0, 9.0]).unwrap();
    let df = 9e-12 / (4e-12 / 5.0 + 1e-12 / 9.0);
    let p = t_two_sided(0.003 / 3e-6_f64.sqrt(), df);
    assert!((test.p_value - p).abs() < 1e-13, "{test:?} {p}");
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
    let test = permute_covariate(&z, &Y, &V, 0).unwrap();
    // One of 5! orders is the one given.
    assert!(test.exact && test.p_value >= 1.0 / 120.0);
    let orders = 120.0 * test.p_value;
    assert!((orders - orders.round()).abs() < 1e-9, "{orders}");
}

#[test]
fn odd_input_is_refused() {
    assert!(random_effects(&[], &[]).is_err());
    assert!(random_effects(&[1.0], &[1.0]).is_err());
    assert!(random_effects(&Y, &[0.0; 5]).is_err());
    assert!(random_effects(&[f64::NAN; 5], &V).is_err());
    assert!(meta_regression(&[1.0, 2.0], &Y, &V).is_err());
    assert!(meta_regression(&[1.0; 5], &Y, &V).is_err());
    // Overflow must end as an error or a number, not as a hang.
    let _ = random_effects(&[1e200, -1e200, 0.0], &[1e-200, 1.0, 1e200]);
    assert!(moderate_variances(&[1.0, 0.0], 5.0).is_err());
    assert!(equality_test(&[1.0, 2.0], &[vec![1.0, 1.0], vec![1.0, 1.0]], 5.0).is_err());
    assert!(equality_test(&[1.0, 2.0, 3.0], &vec![vec![1.0; 3]; 3], 1.0).is_err());
}
