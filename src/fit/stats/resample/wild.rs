//! Wild-bootstrap test of a slope.
//!
//! # References
//! J. G. MacKinnon, M. D. Webb (2017), *Journal of Applied Econometrics* 32:233.

use super::{AS_EXTREME, ResamplingTest, TEST_DRAWS};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_finite, check_length};
use crate::fit::stats::random::Stream;
use crate::fit::stats::regression::{Errors, Line};
use crate::fit::stats::sums::centred;

/// Largest number of points whose sign patterns are enumerated: 2^16 = 65,536.
const MAX_SIGNS: usize = 16;
/// Fewest points that get signs; fewer get Webb's six points, because 2^5 = 32 patterns cannot
/// reach p = 0.05 with two sides.
const MIN_SIGNS: usize = 6;

/// Wild-bootstrap test that a straight line has slope `null`, studentised by HC2, with the null
/// imposed on the residuals.
///
/// Signs for six points or more (all 2^J patterns up to J = 16, else 99,999 seeded ones), Webb's
/// six-point weights below (all 6^J patterns).
///
/// # Errors
/// When lengths differ, a number is not finite, there are fewer than three points, all x are
/// equal, or a point alone determines the slope.
pub(crate) fn wild_test(
    x: &[f64],
    y: &[f64],
    null: f64,
    seed: u64,
) -> Result<ResamplingTest, FitError> {
    check_finite("null slope", &[null])?;
    check_length("x", x.len(), y.len())?;
    // Imposing the null hypothesis: without it the test rejected 10 % of true slopes of zero with
    // seven points.
    let free: Vec<f64> = y.iter().zip(x).map(|(y, x)| y - null * x).collect();
    let slope = StudentisedSlope::new(x, &free)?;
    let n = x.len();
    let (null_residuals, _) = centred("y", &free)?;
    // Squared, as is the statistic, so that no root is taken per pattern.
    let threshold = slope.square_t(&null_residuals) * AS_EXTREME * AS_EXTREME;
    let webb = [
        -(1.5_f64.sqrt()),
        -1.0,
        -(0.5_f64.sqrt()),
        0.5_f64.sqrt(),
        1.0,
        1.5_f64.sqrt(),
    ];
    let points: &[f64] = if n < MIN_SIGNS { &webb } else { &[-1.0, 1.0] };
    let mut starred = vec![0.0; n];
    let mut count = 0;
    if n > MAX_SIGNS {
        for replicate in 0..TEST_DRAWS {
            let mut stream = Stream::new(seed, "wild", replicate as u64);
            for (s, e) in starred.iter_mut().zip(&null_residuals) {
                *s = e * points[stream.index(2) as usize];
            }
            count += u64::from(slope.square_t(&starred) >= threshold);
        }
        return Ok(ResamplingTest::new(count, TEST_DRAWS as u64, false));
    }
    let base = points.len() as u64;
    let total = base.pow(n as u32);
    for pattern in 0..total {
        let mut rest = pattern;
        for (s, e) in starred.iter_mut().zip(&null_residuals) {
            *s = e * points[(rest % base) as usize];
            rest /= base;
        }
        count += u64::from(slope.square_t(&starred) >= threshold);
    }
    Ok(ResamplingTest::new(count, total, true))
}

/// t² of a slope by HC2 for many y over one x: the line is removed by hand for speed.
struct StudentisedSlope {
    x: Vec<f64>,
    /// Weights of y in the slope.
    weights: Vec<f64>,
    /// Squared weights over 1 − hᵢ.
    loading: Vec<f64>,
}

impl StudentisedSlope {
    fn new(x: &[f64], y: &[f64]) -> Result<Self, FitError> {
        let line = Line::new(x, y)?;
        // Refuses what HC2 does not define.
        line.fit().estimate(&[0.0, 1.0], Errors::Hc2)?;
        let weights = line.fit().weights_of(&[0.0, 1.0])?;
        let loading = (weights.iter().zip(line.fit().leverages()))
            .map(|(w, h)| w * w / (1.0 - h))
            .collect();
        Ok(Self {
            x: x.iter().map(|x| x - line.x_mean()).collect(),
            weights,
            loading,
        })
    }

    fn square_t(&self, y: &[f64]) -> f64 {
        let mean = y.iter().sum::<f64>() / y.len() as f64;
        let slope: f64 = y.iter().zip(&self.weights).map(|(y, w)| y * w).sum();
        let mut variance = 0.0;
        for ((y, x), l) in y.iter().zip(&self.x).zip(&self.loading) {
            let rest = y - mean - slope * x;
            variance += l * rest * rest;
        }
        if slope == 0.0 {
            0.0
        } else {
            slope * slope / variance
        }
    }
}
