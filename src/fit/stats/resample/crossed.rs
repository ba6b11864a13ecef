//! The bootstrap of runs crossed with item clusters.
//!
//! # References
//! P. McCullagh (2000), *Bernoulli* 6:285; A. B. Owen (2007), *Annals of Applied Statistics* 1:386.

use serde::{Deserialize, Serialize};

use super::BOOTSTRAP_DRAWS;
use super::simulated::{SimulatedQuantile, sample_quantile};
use crate::fit::error::FitError;
use crate::fit::stats::checks::{check_count, check_domain, check_probability};
use crate::fit::stats::random::Stream;
use crate::fit::stats::regression::Line;
use crate::fit::stats::sums::{centred, compensated_sum, dot};

/// A crossed bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// Exhaustive: an interval with its spread, built nowhere else.
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
/// (frontier, specification), which is not drawn and widens the interval in proportion.
/// `idiosyncratic` is the item × run noise counted in both. Each of the 9,999 replicates draws
/// signs for the leverage-scaled residuals of the readings and a multinomial number of copies of
/// each cluster, and recomputes both variances.
///
/// # Errors
/// When `level` is outside (0, 1), a number is not finite, a variance is negative, a sample has
/// fewer than two clusters, or a reading alone determines the slope.
pub(crate) fn crossed_bootstrap(
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
        check_domain(what, value, value >= 0.0 && value.is_finite())?;
    }
    let mut runs = Runs::new(line)?;
    let (items, item) = Items::new(clusters)?;
    let slope = line.slope();
    let run = slope.standard_error.powi(2) + extra;
    // The difference of estimates may fall below either term, or below zero; the larger term may
    // not.
    let combine = |run: f64, item: f64| (run + item - idiosyncratic).max(run).max(item);
    let total = combine(run, item);
    let mut changes = Vec::with_capacity(BOOTSTRAP_DRAWS);
    let mut ratios: Vec<f64> = Vec::with_capacity(BOOTSTRAP_DRAWS);
    for replicate in 0..BOOTSTRAP_DRAWS as u64 {
        let mut stream = Stream::new(seed, "crossed bootstrap", replicate);
        // No draw moves what `extra` stands for: in the t of a draw it would only make that smaller.
        let (tilt, run_star) = runs.draw(&mut stream);
        let (change, item_star) = items.draw(tilt, &mut stream);
        changes.push(change);
        let error = combine(run_star, item_star).sqrt();
        // A noiseless ladder draws 0/0, which is no change.
        ratios.push(if change == 0.0 { 0.0 } else { change / error });
    }
    let mean = compensated_sum(changes.iter().map(|c| c / changes.len() as f64));
    let square = compensated_sum(changes.iter().map(|c| (c - mean).powi(2)));
    ratios.sort_by(f64::total_cmp);
    let tail = 0.5 * (1.0 - level);
    let end = |p: f64| {
        // Studentised: percentiles of the changes cover 80 to 90 % with seven readings.
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

/// The contribution of the runs to a draw.
struct Runs {
    /// Residuals over √(1 − hᵢ).
    scaled: Vec<f64>,
    /// Weights of the readings in the slope.
    weights: Vec<f64>,
    /// Σ(x − x̄)².
    spread: f64,
    starred: Vec<f64>,
}

impl Runs {
    fn new(line: &Line) -> Result<Self, FitError> {
        let fit = line.fit();
        fit.influence()?; // refuses leverage one
        let weights = fit.weights_of(&[0.0, 1.0])?;
        let scaled: Vec<f64> = (fit.residuals().iter().zip(fit.leverages()))
            // Residuals are smaller than errors by √(1 − h); without the factor intervals are too
            // narrow.
            .map(|(e, h)| e / (1.0 - h).sqrt())
            .collect();
        Ok(Self {
            spread: 1.0 / dot(&weights, &weights),
            starred: vec![0.0; scaled.len()],
            scaled,
            weights,
        })
    }

    /// The slope of residuals with random signs, and its classical variance.
    fn draw(&mut self, stream: &mut Stream) -> (f64, f64) {
        let n = self.scaled.len() as f64;
        for (s, e) in self.starred.iter_mut().zip(&self.scaled) {
            *s = if stream.next_u64() >> 63 == 0 { *e } else { -e };
        }
        let mean = self.starred.iter().sum::<f64>() / n;
        let rows = || self.starred.iter().zip(&self.weights);
        let tilt: f64 = rows().map(|(e, w)| e * w).sum();
        let rss: f64 = rows()
            .map(|(e, w)| (e - mean - tilt * w * self.spread).powi(2))
            .sum();
        (tilt, rss / (n - 2.0) / self.spread)
    }
}

/// Influence of every cluster of every sample on the slope: pseudo-values about their mean, over G.
struct Items(Vec<Vec<f64>>);

impl Items {
    /// The samples of clusters, and the jackknife variance that they give the slope.
    fn new(clusters: &[&[f64]]) -> Result<(Self, f64), FitError> {
        let mut influences = Vec::with_capacity(clusters.len());
        let mut variance = 0.0;
        for sample in clusters {
            check_count("clusters", sample.len(), 2)?;
            let (deviation, square) = centred("a leave-one-cluster-out slope", sample)?;
            let g = sample.len() as f64;
            variance += (g - 1.0) / g * square;
            // Leaving a cluster out moves the slope the other way than a second copy of it would.
            influences.push(deviation.iter().map(|d| -d * (g - 1.0) / g).collect());
        }
        Ok((Self(influences), variance))
    }

    /// `change` with that of resampled clusters, and the variance of the latter.
    fn draw(&self, mut change: f64, stream: &mut Stream) -> (f64, f64) {
        let mut variance = 0.0;
        for influence in &self.0 {
            let g = influence.len();
            let (mut sum, mut square) = (0.0, 0.0);
            for _ in 0..g {
                let value = influence[stream.index(g as u64) as usize];
                sum += value;
                square += value * value;
            }
            change += sum;
            let g = g as f64;
            // A draw of one cluster g times has no spread, and rounding makes it negative.
            variance += g / (g - 1.0) * (square - sum * sum / g).max(0.0);
        }
        (change, variance)
    }
}
