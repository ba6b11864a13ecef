//! The trend of a series by ranks: Theil–Sen slope and Mann–Kendall test, both exact.
//!
//! # References
//! P. K. Sen (1968), *JASA* 63:1379; M. G. Kendall (1975), *Rank Correlation Methods*.

use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_finite, check_length, check_probability};
use crate::fit::stats::sums::compensated_sum;

/// A trend by ranks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RankTrend {
    /// Exact two-sided p-value of no trend (Mann–Kendall), ties in y included.
    pub(crate) p_value: f64,
    /// The median of the pairwise slopes (Theil–Sen).
    pub(crate) slope: f64,
    /// Lower end of the exact interval for the slope; −∞ if no finite one has the level.
    pub(crate) lower: f64,
    /// Upper end.
    pub(crate) upper: f64,
}

/// Largest number of points: the distribution of n points has n²/2 terms and takes n⁴ steps.
const MAX_RANK_POINTS: usize = 200;

/// Theil–Sen slope with the exact Kendall interval, and the exact Mann–Kendall test.
///
/// **Assumptions**: independent errors of one distribution, of any shape; x distinct.
///
/// # Errors
/// When lengths differ, a number is not finite, `level` is outside (0, 1), two x are equal, or
/// there are fewer than 3 or more than 200 points.
pub(crate) fn rank_trend(x: &[f64], y: &[f64], level: f64) -> Result<RankTrend, FitError> {
    let n = x.len();
    check_length("y", y.len(), n)?;
    check_count("points of a rank trend", n, 3)?;
    check_finite("x", x)?;
    check_finite("y", y)?;
    check_probability("confidence level", level)?;
    if n > MAX_RANK_POINTS {
        return Err(FitError::Unsupported {
            reason: format!("an exact rank trend is limited to {MAX_RANK_POINTS} points"),
        });
    }
    let slopes = pairwise_slopes(x, y)?;
    // Kendall's S: concordant minus discordant pairs.
    let s: i64 = slopes
        .iter()
        .map(|slope| i64::from(*slope > 0.0) - i64::from(*slope < 0.0))
        .sum();
    let (lower, upper) = kendall_interval(&slopes, n, level);
    Ok(RankTrend {
        p_value: mann_kendall_p(s, y),
        slope: median_of_sorted(&slopes),
        lower,
        upper,
    })
}

/// The slopes between all pairs of points, sorted.
fn pairwise_slopes(x: &[f64], y: &[f64]) -> Result<Vec<f64>, FitError> {
    let n = x.len();
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for i in 0..n {
        for j in i + 1..n {
            let (dx, dy) = (x[j] - x[i], y[j] - y[i]);
            if dx == 0.0 {
                return Err(FitError::Singular {
                    what: "a pairwise slope between equal x".to_owned(),
                });
            }
            slopes.push(dy / dx);
        }
    }
    slopes.sort_by(f64::total_cmp);
    check_finite("pairwise slopes", &slopes)?;
    Ok(slopes)
}

/// P(|S| ≥ |s|) over the orders of `y`.
fn mann_kendall_p(s: i64, y: &[f64]) -> f64 {
    let mut sorted = y.to_vec();
    sorted.sort_by(f64::total_cmp);
    let groups: Vec<usize> = sorted.chunk_by(|a, b| a == b).map(<[f64]>::len).collect();
    // Ties in y, frequent among rounded losses, take patterns away: the distribution knows them.
    let null = kendall_distribution(&groups);
    // null[k] is the probability of k discordant pairs; S = top − 2k.
    let top = null.len() as i64 - 1;
    let as_extreme = compensated_sum(
        (0..=top)
            .filter(|k| (top - 2 * k).abs() >= s.abs())
            .map(|k| null[k as usize]),
    );
    as_extreme.min(1.0)
}

/// The exact interval between two of the sorted `slopes` of n points: the largest number is cut
/// from each side whose probability P(D < cut) is at most (1 − level)/2, D discordant pairs.
fn kendall_interval(slopes: &[f64], n: usize, level: f64) -> (f64, f64) {
    // The interval inverts tests of y − slope·x, whose values are distinct but for chance ties.
    let null = kendall_distribution(&vec![1; n]);
    let (mut cut, mut tail) = (0, 0.0);
    while tail + null[cut] <= 0.5 * (1.0 - level) {
        tail += null[cut];
        cut += 1;
    }
    // With four points even the extreme order has probability 1/24: no finite interval has the
    // level.
    if cut == 0 {
        return (f64::NEG_INFINITY, f64::INFINITY);
    }
    (slopes[cut - 1], slopes[slopes.len() - cut])
}

/// Probabilities of 0, 1, … discordant pairs when values tied in groups of the given sizes are in
/// random order: the coefficients of the q-multinomial. All terms are positive, so nothing
/// cancels.
fn kendall_distribution(groups: &[usize]) -> Vec<f64> {
    let mut total = vec![1.0];
    let mut placed = 0;
    for &size in groups {
        let step = box_partitions(placed, size);
        let mut next = vec![0.0; total.len() + step.len() - 1];
        for (i, a) in total.iter().enumerate() {
            for (j, b) in step.iter().enumerate() {
                next[i + j] += a * b;
            }
        }
        total = next;
        placed += size;
    }
    total
}

/// The distribution of the number of inversions between `a` equal and `t` equal larger values in
/// random order: Gaussian binomial coefficients over their sum.
fn box_partitions(a: usize, t: usize) -> Vec<f64> {
    // row[j] holds the distribution for (i, j): the last of i + j values is one of the larger
    // with probability j/(i + j) (adding no inversion) or of the smaller (adding j).
    let mut row: Vec<Vec<f64>> = vec![vec![1.0]; t + 1];
    for i in 1..=a {
        for j in 1..=t {
            let share = j as f64 / (i + j) as f64;
            let mut next = vec![0.0; i * j + 1];
            for (k, p) in row[j - 1].iter().enumerate() {
                next[k] += share * p;
            }
            for (k, p) in row[j].iter().enumerate() {
                next[k + j] += (1.0 - share) * p;
            }
            row[j] = next;
        }
    }
    row.swap_remove(t)
}

/// The median of sorted numbers; NaN when there are none.
fn median_of_sorted(sorted: &[f64]) -> f64 {
    let n = sorted.len();
    match n {
        0 => f64::NAN,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kendall_distribution_with_ties_is_the_enumerated_one() {
        // y = (1, 1, 2, 3, 3) in all 120 orders.
        let y = [1, 1, 2, 3, 3];
        let mut counts = [0.0; 9];
        let mut orders = vec![vec![]];
        for _ in 0..5 {
            orders = orders
                .into_iter()
                .flat_map(|order: Vec<usize>| {
                    (0..5)
                        .filter(|i| !order.contains(i))
                        .map(|i| [order.clone(), vec![i]].concat())
                        .collect::<Vec<_>>()
                })
                .collect();
        }
        for order in &orders {
            let mut inversions = 0;
            for i in 0..5 {
                for j in i + 1..5 {
                    inversions += usize::from(y[order[i]] > y[order[j]]);
                }
            }
            counts[inversions] += 1.0 / 120.0;
        }
        let found = kendall_distribution(&[2, 1, 2]);
        assert_eq!(found.len(), 9);
        for (a, b) in found.iter().zip(counts) {
            assert!((a - b).abs() < 1e-15, "{found:?}");
        }
    }
}
