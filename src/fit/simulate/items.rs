//! Items: their difficulties, their slopes and their noise.

use serde::{Deserialize, Serialize};

use super::Truth;
use crate::fit::stats::random::Stream;
use crate::ladder::{LadderBuilder, LadderError};

/// Items of a distribution: multiplicative difficulties, slopes of their own, and noise by run.
/// Every replicate draws new items, the same for all runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ItemTruth {
    /// Number of items, at least as many as clusters.
    pub items: usize,
    /// Number of clusters.
    pub clusters: usize,
    /// Standard deviation of log difficulty between clusters and between items.
    pub difficulty: [f64; 2],
    /// Standard deviation of slopes between clusters and between items, per nat of compute.
    pub slope: [f64; 2],
    /// Standard deviation of item-by-run noise, relative.
    pub noise: f64,
    /// Strata of equally many items; clusters are then named `stratum/cluster`. None: 0 or 1.
    #[serde(default)]
    pub strata: usize,
    /// Half the range of the slopes of the strata, which are the same in every replicate, spread evenly
    /// about 0.
    #[serde(default)]
    pub stratum_slope: f64,
}

impl ItemTruth {
    /// Items with the spread of natural-language benchmarks.
    #[must_use]
    pub fn new(items: usize, clusters: usize) -> Self {
        Self {
            items,
            clusters,
            // More than a third of the variance lies between clusters, so that a jackknife over
            // single items would be too narrow. The exact values do not matter to the coverage
            // tests.
            difficulty: [0.3, 0.4],
            slope: [0.015, 0.04],
            noise: 0.10,
            strata: 1,
            stratum_slope: 0.0,
        }
    }
}

/// The items of one replicate.
pub(super) struct Drawn {
    /// Cluster, difficulty and slope of each item, sorted by cluster.
    items: Vec<(usize, f64, f64)>,
    noise: f64,
    strata: usize,
}

impl Drawn {
    pub(super) fn new(truth: &ItemTruth, seed: u64, distribution: usize, replicate: u64) -> Self {
        let mut s = Stream::new(seed, &format!("items {distribution}"), replicate);
        let clusters = truth.clusters.max(1);
        // Cluster sizes are uneven, as documents and subjects are.
        let share: Vec<f64> = (0..clusters).map(|_| libm::exp(0.5 * s.normal())).collect();
        // Cluster c belongs to stratum c modulo their number; items take turns over strata.
        let strata = truth.strata.clamp(1, clusters);
        let totals: Vec<f64> = (0..strata)
            .map(|h| share.iter().skip(h).step_by(strata).sum())
            .collect();
        let tilt = |h: usize| match strata {
            1 => 0.0,
            n => truth.stratum_slope * (2.0 * h as f64 / (n as f64 - 1.0) - 1.0),
        };
        let effect: Vec<(f64, f64)> = (0..clusters)
            .map(|_| {
                (
                    truth.difficulty[0] * s.normal(),
                    truth.slope[0] * s.normal(),
                )
            })
            .collect();
        // The mean of e^(s·Z) is e^(s²/2): without it items would raise the level of the law.
        let bias = 0.5 * truth.difficulty.iter().map(|d| d * d).sum::<f64>();
        let pick = |own: usize, share_of_total: f64| {
            let mut left = share_of_total * totals[own];
            let found = share.iter().skip(own).step_by(strata).position(|p| {
                left -= p;
                left < 0.0
            });
            let last = (clusters - 1 - own) / strata;
            own + strata * found.unwrap_or(last)
        };
        let mut items: Vec<(usize, f64, f64)> = (0..truth.items.max(clusters))
            .map(|i| {
                // No cluster is empty.
                let cluster = match i < clusters {
                    true => i,
                    false => pick(i % strata, s.uniform()),
                };
                let (hard, slope) = effect[cluster];
                let log = hard + truth.difficulty[1] * s.normal() - bias;
                let slope = slope + tilt(cluster % strata) + truth.slope[1] * s.normal();
                (cluster, libm::exp(log), slope)
            })
            .collect();
        // A stable sort: items are scored cluster by cluster, and their noise is drawn in this
        // order.
        items.sort_by_key(|i| i.0);
        Self {
            items,
            noise: truth.noise,
            strata,
        }
    }

    /// Scores a run whose error is `level` at centred log scale `x`.
    pub(super) fn score(
        &self,
        builder: &mut LadderBuilder,
        run: &str,
        truth: &Truth,
        (level, x): (f64, f64),
        stream: &mut Stream,
    ) -> Result<(), LadderError> {
        for cluster in self.items.chunk_by(|a, b| a.0 == b.0) {
            let mut sum = 0.0;
            for (_, difficulty, slope) in cluster {
                let noise = if self.noise > 0.0 {
                    self.noise * stream.normal()
                } else {
                    0.0
                };
                // A loss is not negative, however steep the item.
                sum += level * difficulty * (1.0 + slope * x + noise).max(0.0);
            }
            let n = cluster.len() as f64;
            let id = cluster.first().map_or(0, |c| c.0);
            let name = match self.strata {
                1 => format!("{}-{id:04}", truth.name),
                n => format!("{}-{}/{id:04}", truth.name, id % n),
            };
            builder.score(run, &truth.name, &name, sum / n, n)?;
        }
        Ok(())
    }
}
