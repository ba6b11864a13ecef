//! Permutation tests: of any statistic, of a slope, of the order of residuals.

use std::cmp::Ordering;

use super::{AS_EXTREME, ResamplingTest, TEST_DRAWS};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_length};
use crate::fit::stats::random::Stream;
use crate::fit::stats::sums::centred;

/// Largest number of points whose orders are enumerated: 9! = 362,880, about 0.1 s of regressions.
const MAX_PERMUTED: usize = 9;

/// Permutation test of any statistic: the share of the orders of n points in which it is at least
/// as large as in the order given.
///
/// All n! orders when n ≤ 9, else 99,999 random ones.
pub(crate) fn permutation(
    n: usize,
    seed: u64,
    purpose: &str,
    statistic: impl Fn(&[usize]) -> f64,
) -> ResamplingTest {
    let identity: Vec<usize> = (0..n).collect();
    // Orders that tie with the data are equal up to rounding and must count, or p could be zero.
    let threshold = statistic(&identity) * AS_EXTREME;
    let (mut count, mut total) = (0, 0);
    let mut visit = |order: &[usize]| {
        total += 1;
        // A statistic that is NaN says nothing against the null hypothesis.
        let smaller = statistic(order).partial_cmp(&threshold) == Some(Ordering::Less);
        count += u64::from(!smaller);
    };
    let exact = n <= MAX_PERMUTED;
    if exact {
        for_each_order(identity, visit);
    } else {
        let mut order = identity.clone();
        for replicate in 0..TEST_DRAWS {
            // From the identity each time: a replicate then depends on its own stream only.
            order.copy_from_slice(&identity);
            Stream::new(seed, purpose, replicate as u64).shuffle(&mut order);
            visit(&order);
        }
    }
    ResamplingTest::new(count, total, exact)
}

/// Visits every order of `order` once, by B. R. Heap's method (1963, *Computer Journal* 6:293): one
/// exchange between successive orders.
pub(super) fn for_each_order(mut order: Vec<usize>, mut visit: impl FnMut(&[usize])) {
    let n = order.len();
    visit(&order);
    let mut counters = vec![0; n];
    let mut i = 1;
    while i < n {
        if counters[i] < i {
            order.swap(if i % 2 == 0 { 0 } else { counters[i] }, i);
            visit(&order);
            counters[i] += 1;
            i = 1;
        } else {
            counters[i] = 0;
            i += 1;
        }
    }
}

/// Two-sided permutation test of a straight line's slope: |Σ(x − x̄)·y| over the orders of y.
///
/// **Assumptions**: under the null hypothesis every order of `y` is equally likely.
///
/// # Errors
/// When lengths differ, a number is not finite, or there are fewer than three points.
pub(crate) fn permutation_test(
    x: &[f64],
    y: &[f64],
    seed: u64,
) -> Result<ResamplingTest, FitError> {
    let (x, _) = centred("x", x)?;
    let (y, _) = centred("y", y)?;
    check_length("y", y.len(), x.len())?;
    check_count("points to permute", x.len(), 3)?;
    Ok(permutation(x.len(), seed, "permutation", |order| {
        let sum: f64 = x.iter().zip(order).map(|(x, i)| x * y[*i]).sum();
        sum.abs()
    }))
}

/// The first-order autocorrelation of a series, with its permutation test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Autocorrelation {
    /// Σ eᵢ·eᵢ₊₁/Σ eᵢ², 0 for a constant series.
    pub(crate) lag_one: f64,
    /// p-value of random order.
    pub(crate) p_value: f64,
}

/// Lag-1 autocorrelation of `residuals` about their mean, in the order given.
///
/// The test statistic is the distance from −1/n, the mean over all orders.
///
/// # Errors
/// When a number is not finite or there are fewer than three.
pub(crate) fn autocorrelation(residuals: &[f64], seed: u64) -> Result<Autocorrelation, FitError> {
    let (e, square) = centred("residuals", residuals)?;
    check_count("residuals", e.len(), 3)?;
    if square == 0.0 {
        return Ok(Autocorrelation {
            lag_one: 0.0,
            p_value: 1.0,
        });
    }
    let lag_one = |order: &[usize]| -> f64 {
        let sum: f64 = order.windows(2).map(|w| e[w[0]] * e[w[1]]).sum();
        sum / square
    };
    let n = e.len();
    let identity: Vec<usize> = (0..n).collect();
    let test = permutation(n, seed, "autocorrelation", |order| {
        (lag_one(order) + 1.0 / n as f64).abs()
    });
    Ok(Autocorrelation {
        lag_one: lag_one(&identity),
        p_value: test.p_value,
    })
}
