//! Exact enumerations of small resampling distributions, and seeded streams where they are large.
//!
//! With J ≤ 10 budgets the pairs bootstrap has C(2J − 1, J) ≤ 92,378 distinct resamples, J ≤ 9
//! points have J! ≤ 362,880 orders and J ≤ 16 points have 2^J ≤ 65,536 sign patterns; these are
//! enumerated, so results carry no Monte Carlo error and need no seed. Beyond that, tests draw 99,999
//! times from seeded streams, p = (b + 1)/(B + 1), and bootstraps 9,999 times.
//!
//! **Reproducibility.** Draws come from ChaCha8 through [`Stream`]; only `next_u64` is taken from
//! the generator, everything above it is here, so that a minor release of a dependency cannot
//! change a published number. Every replicate has its own stream: results do not depend on the
//! number of threads.

use std::cmp::Ordering;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::quantile::{chi2_quantile, normal_cdf, normal_quantile};
use super::regression::{
    Errors, Line, check_count, check_finite, check_length, check_probability, compensated_sum, dot,
};
use crate::fit::error::FitError;

/// The seed that is used when none is given.
pub const DEFAULT_SEED: u64 = 0x0005_EED2_5102_4626;
/// The version of the way draws are made from a seed; changes when any number would.
pub const STREAM_VERSION: u32 = 1;
/// Draws of a test where enumeration is not possible: (B + 1)·α is an integer for the usual α.
pub const TEST_DRAWS: usize = 99_999;
/// Draws of a bootstrap distribution where enumeration is not possible.
pub const BOOTSTRAP_DRAWS: usize = 9_999;

/// The largest number of points whose orders are enumerated.
const MAX_PERMUTED: usize = 9;
/// The largest number of points whose pairs-bootstrap resamples are enumerated.
const MAX_PAIRS: usize = 10;
/// The largest number of points whose sign patterns are enumerated.
const MAX_SIGNS: usize = 16;
/// From this many points on, signs are used; below, Webb's six points.
const MIN_SIGNS: usize = 6;
/// "At least as extreme as observed", allowing for rounding.
const AS_EXTREME: f64 = 1.0 - 1e-12;

/// A stream of pseudo-random numbers: ChaCha8 keyed by a seed, a purpose and a replicate.
///
/// # Examples
/// ```
/// use relscale::fit::resample::Stream;
/// let mut a = Stream::new(7, "example", 0);
/// let mut b = Stream::new(7, "example", 0);
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert!(a.index(6) < 6);
/// ```
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one `replicate` of one `purpose` under `seed`.
    pub fn new(seed: u64, purpose: &str, replicate: u64) -> Self {
        // FNV-1a, 64 bits.
        let hash = purpose.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(hash ^ replicate);
        Self(rng)
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`, each equally likely; 0 when `bound` is 0.
    ///
    /// # References
    /// D. Lemire (2019), *ACM TOMACS* 29:3.
    pub fn index(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A uniform number strictly between 0 and 1.
    pub fn uniform(&mut self) -> f64 {
        ((self.next_u64() >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)
    }

    /// A standard normal number, by inversion.
    pub fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// A χ² number with `df` > 0 degrees of freedom, by inversion.
    pub fn chi2(&mut self, df: f64) -> f64 {
        chi2_quantile(self.uniform(), df)
    }

    /// Puts `values` in random order (Fisher–Yates).
    pub fn shuffle<T>(&mut self, values: &mut [T]) {
        for i in (1..values.len()).rev() {
            let j = self.index(i as u64 + 1) as usize;
            values.swap(i, j);
        }
    }
}

/// A p-value by resampling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResamplingTest {
    /// count/total when exact, (count + 1)/(total + 1) otherwise.
    pub p_value: f64,
    /// Resamples at least as extreme as the data.
    pub count: u64,
    /// Resamples looked at.
    pub total: u64,
    /// Whether these were all there are.
    pub exact: bool,
}

impl ResamplingTest {
    fn new(count: u64, total: u64, exact: bool) -> Self {
        let p_value = if exact {
            count as f64 / total as f64
        } else {
            (count as f64 + 1.0) / (total as f64 + 1.0)
        };
        Self {
            p_value,
            count,
            total,
            exact,
        }
    }
}

/// Permutation test of any statistic: how often is it, over the orders of n points, as large as
/// in the order given?
///
/// All n! orders when n ≤ 9, else 99,999 random ones.
pub(crate) fn permutation(
    n: usize,
    seed: u64,
    purpose: &str,
    statistic: impl Fn(&[usize]) -> f64,
) -> ResamplingTest {
    let mut order: Vec<usize> = (0..n).collect();
    let threshold = statistic(&order) * AS_EXTREME;
    let (mut count, mut total) = (0, 0);
    let mut visit = |order: &[usize]| {
        total += 1;
        // A statistic that is NaN says nothing against the null hypothesis.
        let smaller = statistic(order).partial_cmp(&threshold) == Some(Ordering::Less);
        count += u64::from(!smaller);
    };
    if n > MAX_PERMUTED {
        for replicate in 0..TEST_DRAWS {
            for (i, o) in order.iter_mut().enumerate() {
                *o = i;
            }
            Stream::new(seed, purpose, replicate as u64).shuffle(&mut order);
            visit(&order);
        }
        return ResamplingTest::new(count, total, false);
    }
    // B. R. Heap (1963), *Computer Journal* 6:293: one exchange between successive orders.
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
    ResamplingTest::new(count, total, true)
}

/// Two-sided permutation test of a straight line's slope: |Σ(x − x̄)·y| over the orders of y.
///
/// # Assumptions
/// Under the null hypothesis every order of `y` is equally likely.
///
/// # Errors
/// When lengths differ, a number is not finite, or there are fewer than three points.
///
/// # Examples
/// ```
/// use relscale::fit::resample::permutation_test;
/// let test = permutation_test(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 7.0], 0)?;
/// assert!(test.exact && test.total == 24 && test.count == 6);
/// # Ok::<(), relscale::fit::error::FitError>(())
/// ```
pub fn permutation_test(x: &[f64], y: &[f64], seed: u64) -> Result<ResamplingTest, FitError> {
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
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Autocorrelation {
    /// Σ eᵢ·eᵢ₊₁/Σ eᵢ², 0 for a constant series.
    pub lag_one: f64,
    /// Test of random order.
    pub test: ResamplingTest,
}

/// Lag-1 autocorrelation of `residuals` about their mean, in the order given.
///
/// The test statistic is the distance from −1/n, the mean over all orders.
///
/// # Errors
/// When a number is not finite or there are fewer than three.
pub fn autocorrelation(residuals: &[f64], seed: u64) -> Result<Autocorrelation, FitError> {
    let (e, square) = centred("residuals", residuals)?;
    check_count("residuals", e.len(), 3)?;
    if square == 0.0 {
        return Ok(Autocorrelation {
            lag_one: 0.0,
            test: ResamplingTest::new(1, 1, true),
        });
    }
    let lag_one = |order: &[usize]| -> f64 {
        let sum: f64 = order.windows(2).map(|w| e[w[0]] * e[w[1]]).sum();
        sum / square
    };
    let n = e.len();
    let identity: Vec<usize> = (0..n).collect();
    Ok(Autocorrelation {
        lag_one: lag_one(&identity),
        test: permutation(n, seed, "autocorrelation", |order| {
            (lag_one(order) + 1.0 / n as f64).abs()
        }),
    })
}

/// Wild-bootstrap test that a straight line has slope `null`, studentised by HC2, with the null
/// imposed on the residuals.
///
/// Signs for six points or more (all 2^J patterns up to J = 16), Webb's six-point weights below
/// (all 6^J patterns), because 2^5 = 32 patterns cannot reach p = 0.05 with two sides.
///
/// # Errors
/// When lengths differ, a number is not finite, there are fewer than three points, all x are
/// equal, or a point alone determines the slope.
///
/// # References
/// J. G. MacKinnon, M. D. Webb (2017), *Journal of Applied Econometrics* 32:233.
pub fn wild_test(x: &[f64], y: &[f64], null: f64, seed: u64) -> Result<ResamplingTest, FitError> {
    check_finite("null slope", &[null])?;
    check_length("x", x.len(), y.len())?;
    let free: Vec<f64> = y.iter().zip(x).map(|(y, x)| y - null * x).collect();
    let line = Line::new(x, &free)?;
    line.fit().estimate(&[0.0, 1.0], Errors::Hc2)?;
    let n = x.len();
    let weights = line.fit().weights_of(&[0.0, 1.0])?;
    let centred_x: Vec<f64> = x.iter().map(|x| x - line.x_mean()).collect();
    let loading: Vec<f64> = (weights.iter().zip(line.fit().leverages()))
        .map(|(w, h)| w * w / (1.0 - h))
        .collect();
    // t² of the slope of e, whose own line is removed by hand for speed.
    let square_t = |e: &[f64]| -> f64 {
        let mean = e.iter().sum::<f64>() / n as f64;
        let slope: f64 = e.iter().zip(&weights).map(|(e, w)| e * w).sum();
        let mut variance = 0.0;
        for ((e, x), l) in e.iter().zip(&centred_x).zip(&loading) {
            let rest = e - mean - slope * x;
            variance += l * rest * rest;
        }
        if slope == 0.0 {
            0.0
        } else {
            slope * slope / variance
        }
    };
    let (null_residuals, _) = centred("y", &free)?;
    let threshold = square_t(&null_residuals) * AS_EXTREME * AS_EXTREME;
    let six = [
        -(1.5_f64.sqrt()),
        -1.0,
        -(0.5_f64.sqrt()),
        0.5_f64.sqrt(),
        1.0,
        1.5_f64.sqrt(),
    ];
    let points: &[f64] = if n < MIN_SIGNS { &six } else { &[-1.0, 1.0] };
    let mut count = 0;
    let mut starred = vec![0.0; n];
    if n > MAX_SIGNS {
        for replicate in 0..TEST_DRAWS {
            let mut stream = Stream::new(seed, "wild", replicate as u64);
            for (s, e) in starred.iter_mut().zip(&null_residuals) {
                *s = e * points[stream.index(2) as usize];
            }
            count += u64::from(square_t(&starred) >= threshold);
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
        count += u64::from(square_t(&starred) >= threshold);
    }
    Ok(ResamplingTest::new(count, total, true))
}

/// The pairs bootstrap of a straight line's slope.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairsBootstrap {
    /// Distinct resamples that determine a slope (exact), or draws that do.
    pub resamples: u64,
    /// Whether all resamples were enumerated, with their multinomial probabilities.
    pub exact: bool,
    /// Mean of the bootstrap distribution.
    pub mean: f64,
    /// Its standard deviation.
    pub standard_deviation: f64,
    /// Percentile interval.
    pub percentile: (f64, f64),
    /// Bias correction z₀ = Φ⁻¹(P(slope* < slope) + ½·P(slope* = slope)).
    pub z0: f64,
    /// Acceleration from the jackknife.
    pub acceleration: f64,
    /// Levels at which BCa reads the distribution.
    pub bca_levels: (f64, f64),
    /// Bias-corrected and accelerated interval.
    pub bca: (f64, f64),
}

/// Bootstraps the points (xᵢ, yᵢ) and reports the distribution of the slope.
///
/// Enumerates all multisets for up to ten points, else draws 9,999. A diagnostic: at J = 7 the
/// nominal 95 % percentile interval covers about 90 %.
///
/// # Errors
/// When lengths differ, a number is not finite, there are fewer than four points, all x are
/// equal, or `level` is outside (0, 1).
///
/// # References
/// B. Efron (1987), *JASA* 82:171; T. C. Hesterberg (2015), *American Statistician* 69:371.
pub fn pairs_bootstrap(
    x: &[f64],
    y: &[f64],
    level: f64,
    seed: u64,
) -> Result<PairsBootstrap, FitError> {
    check_probability("confidence level", level)?;
    check_count("points to resample", x.len(), 4)?;
    let line = Line::new(x, y)?;
    let n = x.len();
    let slope = line.slope().value;
    let (x, spread) = centred("x", x)?;
    let (y, _) = centred("y", y)?;
    // A resample of one x has no slope; this also skips those equal to rounding.
    let smallest = 1e-12 * spread;
    let slope_of = |counts: &[u32]| -> Option<f64> {
        let (mut sx, mut sy) = (0.0, 0.0);
        for ((c, x), y) in counts.iter().zip(&x).zip(&y) {
            sx += f64::from(*c) * x;
            sy += f64::from(*c) * y;
        }
        let (mx, my) = (sx / n as f64, sy / n as f64);
        let (mut sxx, mut sxy) = (0.0, 0.0);
        for ((c, x), y) in counts.iter().zip(&x).zip(&y) {
            sxx += f64::from(*c) * (x - mx) * (x - mx);
            sxy += f64::from(*c) * (x - mx) * (y - my);
        }
        (sxx > smallest).then(|| sxy / sxx)
    };
    let exact = n <= MAX_PAIRS;
    // (slope, probability)
    let mut values: Vec<(f64, f64)> = Vec::new();
    if exact {
        let ln_factorial: Vec<f64> = (0..=n)
            .scan(0.0, |sum, k| {
                *sum += if k > 0 { (k as f64).ln() } else { 0.0 };
                Some(*sum)
            })
            .collect();
        for_each_multiset(n, &mut |counts| {
            if let Some(value) = slope_of(counts) {
                let ln_ways: f64 = counts.iter().map(|c| ln_factorial[*c as usize]).sum();
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
    let mean = compensated_sum(values.iter().map(|v| v.0 * v.1));
    let square = compensated_sum(values.iter().map(|v| (v.0 - mean).powi(2) * v.1));
    let tie = 1e-12 * slope.abs();
    let below = compensated_sum(values.iter().map(|v| {
        let distance = v.0 - slope;
        if distance.abs() <= tie {
            0.5 * v.1
        } else if distance < 0.0 {
            v.1
        } else {
            0.0
        }
    }));
    let z0 = normal_quantile(below.clamp(f64::EPSILON, 1.0 - f64::EPSILON));
    let acceleration = jackknife_acceleration(&line)?;
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let quantile = |p: f64| -> f64 {
        let mut cumulative = 0.0;
        for (value, probability) in &values {
            cumulative += probability;
            if cumulative >= p {
                return *value;
            }
        }
        values[values.len() - 1].0
    };
    let tail = 0.5 * (1.0 - level);
    let z = -normal_quantile(tail);
    let corrected = |z: f64| normal_cdf(z0 + (z0 + z) / (1.0 - acceleration * (z0 + z)));
    let bca_levels = (corrected(-z), corrected(z));
    Ok(PairsBootstrap {
        resamples: values.len() as u64,
        exact,
        mean,
        standard_deviation: square.sqrt(),
        percentile: (quantile(tail), quantile(1.0 - tail)),
        z0,
        acceleration,
        bca_levels,
        bca: (quantile(bca_levels.0), quantile(bca_levels.1)),
    })
}

/// Σd³/(6·(Σd²)^1.5) of the jackknife's deviations of the slope; 0 when they vanish.
fn jackknife_acceleration(line: &Line) -> Result<f64, FitError> {
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

/// Visits the counts of every multiset of n of n things, in lexicographic order of their members.
fn for_each_multiset(n: usize, visit: &mut impl FnMut(&[u32])) {
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

/// A quantile found by simulation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SimulatedQuantile {
    /// The quantile.
    pub value: f64,
    /// Its Monte Carlo standard error.
    pub monte_carlo_error: f64,
    /// Draws made.
    pub draws: usize,
}

/// The critical value c with P(max_k |T_k| ≤ c) = `level` for jointly t-distributed T_k that
/// share one variance estimate with `df` degrees of freedom.
///
/// `correlation` is symmetric with a unit diagonal, by rows; directions of negative eigenvalue,
/// which rounding makes, are dropped. 9,999 seeded draws.
///
/// # Errors
/// When the matrix is empty, not square, or holds a number outside \[−1, 1\]; when `df` is not
/// positive or `level` is outside (0, 1).
///
/// # References
/// F. Bretz, T. Hothorn, P. Westfall (2010), *Multiple Comparisons Using R*, §2.1.
pub fn max_t_critical(
    correlation: &[Vec<f64>],
    df: f64,
    level: f64,
    seed: u64,
) -> Result<SimulatedQuantile, FitError> {
    let n = correlation.len();
    check_count("statistics", n, 1)?;
    check_probability("confidence level", level)?;
    if df.is_nan() || df <= 0.0 {
        return Err(FitError::Domain {
            what: "degrees of freedom".to_owned(),
            value: df,
        });
    }
    for row in correlation {
        check_length("a row of the correlation matrix", row.len(), n)?;
        if let Some(&value) = row
            .iter()
            .find(|c| !(-1.0 - 1e-9..=1.0 + 1e-9).contains(*c))
        {
            return Err(FitError::Domain {
                what: "a correlation".to_owned(),
                value,
            });
        }
    }
    let matrix = nalgebra::DMatrix::from_fn(n, n, |i, j| correlation[i.max(j)][i.min(j)]);
    let eigen = nalgebra::SymmetricEigen::try_new(matrix, f64::EPSILON, 100_000).ok_or(
        FitError::NoConvergence {
            what: "the eigenvalues of the correlation matrix".to_owned(),
        },
    )?;
    let root: Vec<Vec<f64>> = (0..n)
        .map(|i| {
            (0..n)
                .map(|k| eigen.eigenvectors[(i, k)] * eigen.eigenvalues[k].max(0.0).sqrt())
                .collect()
        })
        .collect();
    let mut normals = vec![0.0; n];
    let mut largest: Vec<f64> = (0..BOOTSTRAP_DRAWS as u64)
        .map(|replicate| {
            let mut stream = Stream::new(seed, "max t", replicate);
            let scale = if df.is_finite() {
                (stream.chi2(df) / df).sqrt()
            } else {
                1.0
            };
            normals.iter_mut().for_each(|z| *z = stream.normal());
            let top = root.iter().fold(0.0_f64, |top, row| {
                let z: f64 = row.iter().zip(&normals).map(|(a, z)| a * z).sum();
                top.max(z.abs())
            });
            top / scale
        })
        .collect();
    largest.sort_by(f64::total_cmp);
    Ok(sample_quantile(&largest, level))
}

/// The p-quantile of sorted draws, the ⌈p·(B + 1)⌉-th, with the standard error that the binomial
/// count below it implies.
fn sample_quantile(sorted: &[f64], p: f64) -> SimulatedQuantile {
    let draws = sorted.len();
    let rank = p * (draws as f64 + 1.0);
    let at = |rank: f64| sorted[(rank.ceil().max(1.0) as usize - 1).min(draws - 1)];
    let spread = (draws as f64 * p * (1.0 - p)).sqrt();
    SimulatedQuantile {
        // (B + 1)·p is a whole number for the usual p; keep rounding from lifting it to the next.
        value: at(rank - 1e-9),
        monte_carlo_error: 0.5 * (at(rank + spread) - at(rank - spread)),
        draws,
    }
}

/// A crossed bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CrossedBootstrap {
    /// Lower end.
    pub lower: SimulatedQuantile,
    /// Upper end.
    pub upper: SimulatedQuantile,
    /// Bootstrap standard deviation of the estimate.
    pub standard_deviation: f64,
}

/// Studentised interval for a slope from runs crossed with item clusters.
///
/// `line` is the line through the readings. `clusters` holds, for each independent sample of
/// items (one entry for both distributions when they share items), the value of the slope
/// without each cluster (delete-one jackknife). `extra` is variance added to that of the line
/// (frontier, specification), which is not drawn and widens the interval in proportion;
/// `idiosyncratic` the item × run noise counted in both. Each of the
/// 9,999 replicates draws signs for the leverage-scaled residuals of the readings and a
/// multinomial number of copies of each cluster, and recomputes both variances.
///
/// # Errors
/// When `level` is outside (0, 1), a number is not finite, a variance is negative, a sample has
/// fewer than two clusters, or a reading alone determines the slope.
///
/// # References
/// P. McCullagh (2000), *Bernoulli* 6:285; A. B. Owen (2007), *Annals of Applied Statistics* 1:386.
pub fn crossed_bootstrap(
    line: &Line,
    clusters: &[&[f64]],
    extra: f64,
    idiosyncratic: f64,
    level: f64,
    seed: u64,
) -> Result<CrossedBootstrap, FitError> {
    check_probability("confidence level", level)?;
    for (what, value) in [
        ("extra variance", extra),
        ("idiosyncratic variance", idiosyncratic),
    ] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(FitError::Domain {
                what: what.to_owned(),
                value,
            });
        }
    }
    let fit = line.fit();
    fit.influence()?; // refuses leverage one
    let slope = line.slope();
    let run = slope.standard_error.powi(2) + extra;
    let weights = fit.weights_of(&[0.0, 1.0])?;
    let spread = 1.0 / dot(&weights, &weights);
    let scaled: Vec<f64> = (fit.residuals().iter().zip(fit.leverages()))
        .map(|(e, h)| e / (1.0 - h).sqrt())
        .collect();
    let n = scaled.len();
    // Influence of each cluster on the slope: pseudo-values about their mean, over G.
    let mut influences = Vec::with_capacity(clusters.len());
    let mut item = 0.0;
    for sample in clusters {
        check_count("clusters", sample.len(), 2)?;
        let (deviation, square) = centred("a leave-one-cluster-out slope", sample)?;
        let g = sample.len() as f64;
        item += (g - 1.0) / g * square;
        let influence: Vec<f64> = deviation.iter().map(|d| -d * (g - 1.0) / g).collect();
        influences.push(influence);
    }
    let combine = |run: f64, item: f64| (run + item - idiosyncratic).max(run).max(item);
    let total = combine(run, item);
    let mut starred = vec![0.0; n];
    let mut changes = Vec::with_capacity(BOOTSTRAP_DRAWS);
    let mut ratios: Vec<f64> = Vec::with_capacity(BOOTSTRAP_DRAWS);
    for replicate in 0..BOOTSTRAP_DRAWS as u64 {
        let mut stream = Stream::new(seed, "crossed bootstrap", replicate);
        for (s, e) in starred.iter_mut().zip(&scaled) {
            *s = if stream.next_u64() >> 63 == 0 { *e } else { -e };
        }
        let mean = starred.iter().sum::<f64>() / n as f64;
        let tilt: f64 = starred.iter().zip(&weights).map(|(e, w)| e * w).sum();
        let rss: f64 = (starred.iter().zip(&weights))
            .map(|(e, w)| (e - mean - tilt * w * spread).powi(2))
            .sum();
        // No draw moves what `extra` stands for: in the t of a draw it would only make that smaller.
        let run_star = rss / (n as f64 - 2.0) / spread;
        let (mut change, mut item_star) = (tilt, 0.0);
        for influence in &influences {
            let g = influence.len();
            let (mut sum, mut square) = (0.0, 0.0);
            for _ in 0..g {
                let value = influence[stream.index(g as u64) as usize];
                sum += value;
                square += value * value;
            }
            change += sum;
            let g = g as f64;
            item_star += g / (g - 1.0) * (square - sum * sum / g).max(0.0);
        }
        changes.push(change);
        let error = combine(run_star, item_star).sqrt();
        ratios.push(if change == 0.0 { 0.0 } else { change / error });
    }
    let mean = compensated_sum(changes.iter().map(|c| c / changes.len() as f64));
    let square = compensated_sum(changes.iter().map(|c| (c - mean).powi(2)));
    ratios.sort_by(f64::total_cmp);
    let tail = 0.5 * (1.0 - level);
    let end = |p: f64| {
        let quantile = sample_quantile(&ratios, p);
        SimulatedQuantile {
            value: slope.value - quantile.value * total.sqrt(),
            monte_carlo_error: quantile.monte_carlo_error * total.sqrt(),
            draws: quantile.draws,
        }
    };
    Ok(CrossedBootstrap {
        lower: end(1.0 - tail),
        upper: end(tail),
        standard_deviation: (square / (changes.len() as f64 - 1.0)).sqrt(),
    })
}

/// The values about their mean, and the sum of their squares.
fn centred(what: &str, values: &[f64]) -> Result<(Vec<f64>, f64), FitError> {
    check_count(what, values.len(), 1)?;
    check_finite(what, values)?;
    let n = values.len() as f64;
    let mean = compensated_sum(values.iter().map(|v| v / n));
    let centred: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let square = dot(&centred, &centred);
    check_finite(what, &[square])?;
    Ok((centred, square))
}

#[cfg(test)]
mod tests {
    use super::super::quantile::t_critical;
    use super::*;

    const X: [f64; 7] = [-2.0, -1.3, -0.6, 0.1, 0.9, 1.4, 1.5];
    const Y: [f64; 7] = [0.2, 0.1, 0.5, 0.4, 0.9, 0.7, 1.3];

    #[test]
    fn streams_are_pinned() {
        // Published numbers depend on these bits.
        let mut stream = Stream::new(DEFAULT_SEED, "pin", 3);
        let found: Vec<u64> = (0..3).map(|_| stream.next_u64()).collect();
        assert_eq!(found, PINNED, "{found:x?}");
    }
    const PINNED: [u64; 3] = [
        704_569_143_003_501_533,
        17_686_490_166_608_547_617,
        17_514_592_863_188_612_774,
    ];

    #[test]
    fn an_index_is_uniform() {
        let mut counts = [0_u32; 6];
        let mut stream = Stream::new(1, "die", 0);
        for _ in 0..60_000 {
            counts[stream.index(6) as usize] += 1;
        }
        assert!(
            counts.iter().all(|c| c.abs_diff(10_000) < 400),
            "{counts:?}"
        );
        assert_eq!(stream.index(1), 0);
        assert_eq!(stream.index(0), 0);
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut stream = Stream::new(2, "moments", 0);
        let normals: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean: f64 = normals.iter().sum::<f64>() / 20_000.0;
        let square: f64 = normals.iter().map(|z| z * z).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.04);
        let chi: f64 = (0..5_000).map(|_| stream.chi2(5.0)).sum::<f64>() / 5_000.0;
        assert!((chi - 5.0).abs() < 0.2);
    }

    #[test]
    fn every_order_is_visited_once() {
        let mut seen = std::cell::RefCell::new(Vec::new());
        permutation(5, 0, "orders", |order| {
            seen.borrow_mut().push(order.to_vec());
            0.0
        });
        let orders = seen.get_mut();
        orders.remove(0); // the call that measures the data
        orders.sort();
        orders.dedup();
        assert_eq!(orders.len(), 120);
    }

    #[test]
    fn enumeration_and_drawing_agree() {
        // Twelve points are drawn; padding seven points to twelve cannot be exact, so compare the
        // drawn p-value of a null series with its binomial error instead.
        let x: Vec<f64> = (0..12).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| (x * 2.4).sin()).collect();
        let drawn = permutation_test(&x, &y, 5).unwrap();
        assert!(!drawn.exact && drawn.total == 99_999);
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
            let p = factorial(6)
                / counts.iter().map(|c| factorial(*c)).product::<f64>()
                / 6_f64.powi(6);
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
        assert!(test.exact && test.total == 7_776 && test.p_value < 0.05);
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
}
