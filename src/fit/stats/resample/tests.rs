//! Enumerations, draws and their limits.

use super::pairs::for_each_multiset;
use super::permutation::for_each_order;
use super::*;
use crate::fit::stats::quantile::t_critical;
use crate::fit::stats::regression::Line;

const X: [f64; 7] = [-2.0, -1.3, -0.6, 0.1, 0.9, 1.4, 1.5];
const Y: [f64; 7] = [0.2, 0.1, 0.5, 0.4, 0.9, 0.7, 1.3];

#[test]
fn every_order_is_visited_once() {
    let mut orders = Vec::new();
    for_each_order((0..5).collect(), |order| orders.push(order.to_vec()));
    assert_eq!(orders.len(), 120);
    orders.sort();
    orders.dedup();
    assert_eq!(orders.len(), 120);
}

#[test]
fn a_small_permutation_test_is_exact() {
    let test = permutation_test(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 7.0], 0).unwrap();
    assert!(test.exact);
    assert_eq!(test.p_value, 6.0 / 24.0);
}

#[test]
fn enumeration_and_drawing_agree() {
    // Twelve points are drawn; padding seven points to twelve cannot be exact, so compare the
    // drawn p-value of a null series with its binomial error instead.
    let x: Vec<f64> = (0..12).map(f64::from).collect();
    let y: Vec<f64> = x.iter().map(|x| (x * 2.4).sin()).collect();
    let drawn = permutation_test(&x, &y, 5).unwrap();
    assert!(!drawn.exact);
    let t = Line::new(&x, &y).unwrap().slope().p_value();
    assert!((drawn.p_value - t).abs() < 0.05, "{drawn:?} {t}");
}

#[test]
fn the_mean_of_the_exact_bootstrap_is_that_of_the_multinomial() {
    // For a statistic linear in the counts the bootstrap mean is the estimate; check the
    // probabilities through the mean of one count.
    let mut total = 0.0;
    let mut first = 0.0;
    let factorial = |k: u32| (1..=k).map(f64::from).product::<f64>();
    for_each_multiset(6, &mut |counts| {
        let p =
            factorial(6) / counts.iter().map(|c| factorial(*c)).product::<f64>() / 6_f64.powi(6);
        total += p;
        first += p * f64::from(counts[0]);
    });
    assert!((total - 1.0).abs() < 1e-13 && (first - 1.0).abs() < 1e-13);
}

#[test]
fn webb_weights_can_reject_with_five_points() {
    let x = [-2.0, -1.0, 0.0, 1.0, 2.0];
    let y = [-2.0, -1.01, 0.02, 0.99, 2.0];
    let test = wild_test(&x, &y, 0.0, 0).unwrap();
    assert!(test.exact && test.p_value < 0.05);
    let at_truth = wild_test(&x, &y, 1.0, 0).unwrap();
    assert!(at_truth.p_value > 0.1);
}

#[test]
fn constant_series_are_never_significant() {
    let flat = [1.0; 7];
    assert_eq!(permutation_test(&X, &flat, 0).unwrap().p_value, 1.0);
    assert_eq!(wild_test(&X, &flat, 0.0, 0).unwrap().p_value, 1.0);
    assert_eq!(autocorrelation(&flat, 0).unwrap().lag_one, 0.0);
    let bootstrap = pairs_bootstrap(&X, &flat, 0.95, 0).unwrap();
    assert_eq!(bootstrap.percentile, (0.0, 0.0));
}

#[test]
fn max_t_of_one_is_t_and_of_independent_is_sidak() {
    let one = max_t_critical(&[vec![1.0]], 5.0, 0.95, 1).unwrap();
    assert!((one.value - t_critical(0.95, 5.0)).abs() < 4.0 * one.monte_carlo_error);
    let identity: Vec<Vec<f64>> = (0..4)
        .map(|i| (0..4).map(|j| f64::from(u8::from(i == j))).collect())
        .collect();
    let four = max_t_critical(&identity, f64::INFINITY, 0.95, 1).unwrap();
    let sidak = t_critical(0.95_f64.powf(0.25), f64::INFINITY);
    assert!((four.value - sidak).abs() < 4.0 * four.monte_carlo_error);
    let same = vec![vec![1.0; 3]; 3];
    let tied = max_t_critical(&same, 5.0, 0.95, 1).unwrap();
    assert!((tied.value - t_critical(0.95, 5.0)).abs() < 4.0 * tied.monte_carlo_error);
}

#[test]
fn the_crossed_bootstrap_widens_with_items() {
    let line = Line::new(&X, &Y).unwrap();
    let slope = line.slope();
    let alone = crossed_bootstrap(&line, &[], 0.0, 0.0, 0.95, 0).unwrap();
    let without: Vec<f64> = (0..20)
        .map(|g| slope.value + 0.02 * (f64::from(g) * 1.7).sin())
        .collect();
    let both = crossed_bootstrap(&line, &[&without], 0.0, 0.0, 0.95, 0).unwrap();
    assert!(alone.lower.value < slope.value && slope.value < alone.upper.value);
    assert!(both.standard_deviation > alone.standard_deviation);
    assert!(both.upper.value - both.lower.value > alone.upper.value - alone.lower.value);
}

#[test]
fn odd_input_is_refused() {
    assert!(permutation_test(&X, &Y[..3], 0).is_err());
    assert!(permutation_test(&[], &[], 0).is_err());
    assert!(wild_test(&X, &Y, f64::NAN, 0).is_err());
    assert!(wild_test(&[1.0; 7], &Y, 0.0, 0).is_err());
    assert!(pairs_bootstrap(&X, &Y, 1.0, 0).is_err());
    assert!(pairs_bootstrap(&X, &[f64::INFINITY; 7], 0.9, 0).is_err());
    assert!(max_t_critical(&[], 5.0, 0.95, 0).is_err());
    assert!(max_t_critical(&[vec![f64::NAN]], 5.0, 0.95, 0).is_err());
}
