//! The pairs bootstrap of a straight line's slope.
//!
//! # References
//! B. Efron (1987), *JASA* 82:171 (BCa); T. C. Hesterberg (2015), *American Statistician* 69:371.

use super::BOOTSTRAP_DRAWS;
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_probability};
use crate::fit::stats::quantile::{normal_cdf, normal_quantile};
use crate::fit::stats::random::Stream;
use crate::fit::stats::regression::Line;
use crate::fit::stats::sums::{centred, compensated_sum};

/// Largest number of points whose resamples are enumerated: C(19, 10) = 92,378 multisets.
const MAX_PAIRS: usize = 10;

/// Bootstrap intervals of a slope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PairsBootstrap {
    /// Percentile interval.
    pub(crate) percentile: (f64, f64),
    /// Bias-corrected and accelerated interval.
    pub(crate) bca: (f64, f64),
}

/// Bootstraps the points (xᵢ, yᵢ) and reads intervals of the slope from the distribution.
///
/// Enumerates all multisets for up to ten points, else draws 9,999. A diagnostic: at J = 7 the
/// nominal 95 % percentile interval covers about 90 %. BCa reads the distribution at
/// Φ(z₀ + (z₀ ± z)/(1 − a(z₀ ± z))), with z the normal quantile of the level, the bias correction z₀
/// and the acceleration a.
///
/// # Errors
/// When lengths differ, a number is not finite, there are fewer than four points, all x are
/// equal, or `level` is outside (0, 1).
pub(crate) fn pairs_bootstrap(
    x: &[f64],
    y: &[f64],
    level: f64,
    seed: u64,
) -> Result<PairsBootstrap, FitError> {
    check_probability("confidence level", level)?;
    // The jackknife of BCa leaves one point out, and a line needs three.
    check_count("points to resample", x.len(), 4)?;
    let line = Line::new(x, y)?;
    let mut slopes = resampled_slopes(x, y, seed)?;
    let z0 = bias_correction(&slopes, line.slope().value);
    slopes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let acceleration = jackknife_acceleration(&line)?;
    let tail = 0.5 * (1.0 - level);
    let z = -normal_quantile(tail);
    let corrected = |z: f64| normal_cdf(z0 + (z0 + z) / (1.0 - acceleration * (z0 + z)));
    Ok(PairsBootstrap {
        percentile: (quantile(&slopes, tail), quantile(&slopes, 1.0 - tail)),
        bca: (
            quantile(&slopes, corrected(-z)),
            quantile(&slopes, corrected(z)),
        ),
    })
}

/// The slopes of all resamples that determine one, each with its probability.
pub(in crate::fit::stats) fn resampled_slopes(
    x: &[f64],
    y: &[f64],
    seed: u64,
) -> Result<Vec<(f64, f64)>, FitError> {
    let n = x.len();
    let (x, spread) = centred("x", x)?;
    let (y, _) = centred("y", y)?;
    // A resample of one x has no slope; this also skips those equal to rounding.
    let smallest = 1e-12 * spread;
    let slope_of = |counts: &[u32]| slope_of(counts, &x, &y, smallest);
    let mut values: Vec<(f64, f64)> = Vec::new();
    if n <= MAX_PAIRS {
        let ln_factorial: Vec<f64> = (0..=n)
            .scan(0.0, |sum, k| {
                *sum += if k > 0 { (k as f64).ln() } else { 0.0 };
                Some(*sum)
            })
            .collect();
        for_each_multiset(n, &mut |counts| {
            if let Some(value) = slope_of(counts) {
                let ln_ways: f64 = counts.iter().map(|c| ln_factorial[*c as usize]).sum();
                // The multinomial weight n!/Πc!, up to the constant n!: multisets are not equally
                // likely.
                values.push((value, (-ln_ways).exp()));
            }
        });
    } else {
        let mut counts = vec![0; n];
        for replicate in 0..BOOTSTRAP_DRAWS {
            let mut stream = Stream::new(seed, "pairs bootstrap", replicate as u64);
            counts.fill(0);
            for _ in 0..n {
                counts[stream.index(n as u64) as usize] += 1;
            }
            // Draws without a slope are left out, as in the enumeration, rather than drawn again.
            values.extend(slope_of(&counts).map(|value| (value, 1.0)));
        }
    }
    if values.is_empty() {
        return Err(FitError::Singular {
            what: "the slope of every bootstrap resample".to_owned(),
        });
    }
    let total = compensated_sum(values.iter().map(|v| v.1));
    values.iter_mut().for_each(|v| v.1 /= total);
    Ok(values)
}

/// The slope of the points taken `counts` times, where their x vary by more than `smallest`.
fn slope_of(counts: &[u32], x: &[f64], y: &[f64], smallest: f64) -> Option<f64> {
    let n = x.len() as f64;
    let (mut sx, mut sy) = (0.0, 0.0);
    for ((c, x), y) in counts.iter().zip(x).zip(y) {
        sx += f64::from(*c) * x;
        sy += f64::from(*c) * y;
    }
    let (mx, my) = (sx / n, sy / n);
    let (mut sxx, mut sxy) = (0.0, 0.0);
    for ((c, x), y) in counts.iter().zip(x).zip(y) {
        sxx += f64::from(*c) * (x - mx) * (x - mx);
        sxy += f64::from(*c) * (x - mx) * (y - my);
    }
    (sxx > smallest).then(|| sxy / sxx)
}

/// z₀ = Φ⁻¹(P(slope* < slope) + ½·P(slope* = slope)).
pub(in crate::fit::stats) fn bias_correction(slopes: &[(f64, f64)], slope: f64) -> f64 {
    // The resample that is the data has this slope up to rounding; it counts half on either side.
    let tie = 1e-12 * slope.abs();
    let below = compensated_sum(slopes.iter().map(|v| {
        let distance = v.0 - slope;
        if distance.abs() <= tie {
            0.5 * v.1
        } else if distance < 0.0 {
            v.1
        } else {
            0.0
        }
    }));
    // All slopes on one side would make z₀ infinite and both ends of the interval NaN.
    normal_quantile(below.clamp(f64::EPSILON, 1.0 - f64::EPSILON))
}

/// Σd³/(6·(Σd²)^1.5) of the jackknife's deviations d of the slope; 0 when they vanish.
pub(in crate::fit::stats) fn jackknife_acceleration(line: &Line) -> Result<f64, FitError> {
    let without = line.fit().influence()?.without;
    let slopes: Vec<f64> = without.iter().map(|b| b[1]).collect();
    let mean = compensated_sum(slopes.iter().map(|s| s / slopes.len() as f64));
    let square = compensated_sum(slopes.iter().map(|s| (mean - s).powi(2)));
    let cube = compensated_sum(slopes.iter().map(|s| (mean - s).powi(3)));
    Ok(if square > 0.0 {
        cube / (6.0 * square.powf(1.5))
    } else {
        0.0
    })
}

/// The smallest of the sorted slopes with cumulative probability `p`.
fn quantile(slopes: &[(f64, f64)], p: f64) -> f64 {
    let mut cumulative = 0.0;
    for (value, probability) in slopes {
        cumulative += probability;
        if cumulative >= p {
            return *value;
        }
    }
    slopes[slopes.len() - 1].0
}

/// Visits the counts of every multiset of n of n things, in lexicographic order of their members.
pub(super) fn for_each_multiset(n: usize, visit: &mut impl FnMut(&[u32])) {
    fn descend(counts: &mut [u32], at: usize, left: u32, visit: &mut impl FnMut(&[u32])) {
        if at + 1 == counts.len() {
            counts[at] = left;
            visit(counts);
            return;
        }
        for here in (0..=left).rev() {
            counts[at] = here;
            descend(counts, at + 1, left - here, visit);
        }
    }
    if n > 0 {
        descend(&mut vec![0; n], 0, n as u32, visit);
    }
}
