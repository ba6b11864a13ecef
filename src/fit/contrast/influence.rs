//! The influence of clusters of items on level and slope: a jackknife through the weights of runs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::fit::corpus::{Losses, stratum_sizes};
use crate::fit::estimate::{Coefficient, LineCovariance, PerCoefficient};
use crate::fit::stats::sums::dot;

/// Influence of the clusters of one distribution on level and slope, for one plan of reading.
#[derive(Debug, Clone)]
pub(crate) struct Influence {
    /// Ladder-wide cluster ids, ascending.
    ids: Vec<usize>,
    /// Leave-one-out values of level and slope about their mean over the stratum, times `√((G−1)/G)`
    /// with the `G` clusters of the stratum.
    pull: PerCoefficient<Vec<f64>>,
    /// Leave-one-out change of the slope, not centred: `δ(−g) − δ`.
    shift: Vec<f64>,
    /// Item-by-run residuals times `√((G−1)/G) / √(1−h_r)`, at `g * runs + r`.
    noise: Vec<f64>,
    pub(super) item: LineCovariance,
    pub(super) idiosyncratic: LineCovariance,
    /// Effective number of clusters, one more than the degrees of freedom.
    pub(crate) effective: f64,
}

/// Effective number of clusters behind a variance that is stated: as many as degrees of freedom count.
pub(crate) const KNOWN: f64 = super::MOST_DF;

/// Strata of the clusters of one distribution.
struct Strata<'l> {
    of: &'l [usize],
    sizes: Vec<f64>,
    /// `√((G−1)/G)` per stratum.
    scale: Vec<f64>,
}

impl<'l> Strata<'l> {
    fn new(losses: &'l Losses) -> Self {
        let sizes: Vec<f64> = stratum_sizes(&losses.strata)
            .into_iter()
            .map(|n| n as f64)
            .collect();
        Self {
            of: &losses.strata,
            scale: sizes.iter().map(|n| ((n - 1.0) / n).sqrt()).collect(),
            sizes,
        }
    }

    /// Mean over the clusters of each stratum.
    fn means(&self, values: impl Iterator<Item = f64>) -> Vec<f64> {
        let mut sums = vec![0.0; self.sizes.len()];
        for (v, &h) in values.zip(self.of) {
            sums[h] += v;
        }
        sums.iter().zip(&self.sizes).map(|(s, n)| s / n).collect()
    }

    /// Effective number of clusters with weights `w`: `2 / (1/G + Σw⁴/(Σw²)²)` in one stratum, and one
    /// more than the sum of the degrees of freedom over several.
    fn effective(&self, weights: &[f64]) -> f64 {
        // Relative weights: fourth powers of large normalisers would overflow.
        let mut high = vec![0.0_f64; self.sizes.len()];
        for (w, &h) in weights.iter().zip(self.of) {
            high[h] = high[h].max(*w);
        }
        let mut second = vec![0.0; self.sizes.len()];
        let mut fourth = vec![0.0; self.sizes.len()];
        for (w, &h) in weights.iter().zip(self.of) {
            second[h] += (w / high[h]).powi(2);
            fourth[h] += (w / high[h]).powi(4);
        }
        1.0 + (0..self.sizes.len())
            .map(|h| 2.0 / (1.0 / self.sizes[h] + fourth[h] / (second[h] * second[h])) - 1.0)
            .sum::<f64>()
    }
}

impl Influence {
    /// The influences of the clusters of `losses`, read by the run weights `weights`; item-by-run noise
    /// is taken around the orthonormal `basis` over runs. `None` with fewer than two clusters.
    pub(crate) fn new(
        losses: &Losses,
        weights: &PerCoefficient<Vec<f64>>,
        basis: &[Vec<f64>],
        ids: &[usize],
    ) -> Option<Self> {
        let runs = losses.log_error.len();
        // One cluster left out leaves nothing.
        if losses.without.is_empty() || losses.clusters.len() < 2 {
            return None;
        }
        // Runs outside the windows have weight zero, but the noise is taken around all of the
        // basis.
        let weighs = |r: usize| weights.level[r] != 0.0 || weights.slope[r] != 0.0;
        let used: Vec<usize> = (0..runs)
            .filter(|&r| weighs(r) || basis.iter().any(|b| b[r] != 0.0))
            .collect();
        let strata = Strata::new(losses);
        let level = changes(losses, &used, &weights.level);
        let shift = changes(losses, &used, &weights.slope);
        let influence = Self {
            ids: losses.clusters.iter().map(|&c| ids[c]).collect(),
            pull: PerCoefficient {
                level: pulls(&level, &strata),
                slope: pulls(&shift, &strata),
            },
            shift,
            noise: noise(losses, &used, basis, &strata),
            item: LineCovariance::default(),
            idiosyncratic: LineCovariance::default(),
            // Unequal clusters make a variance less certain than their number says: one of a
            // thousand may hold half of the items.
            effective: strata.effective(&losses.weights),
        };
        Some(influence.with_own_variances(weights))
    }

    /// The sampling variance of `losses` by standard errors that the ladder states; `None` without any.
    ///
    /// The errors of two runs over the same items are correlated, by an unknown amount. What they share
    /// moves all runs at once, `(Σ W_r σ_r)²`, and what each run has of its own adds up, `Σ W_r² σ_r²`,
    /// and is part of the scatter of readings, too. Both are counted in full: more than any correlation
    /// gives.
    pub(crate) fn known(losses: &Losses, weights: &PerCoefficient<Vec<f64>>) -> Option<Self> {
        let errors = losses.known.as_ref()?;
        let products = |w: &[f64]| -> Vec<f64> {
            let used = w.iter().zip(errors).filter(|(w, _)| **w != 0.0);
            used.map(|(w, e)| w * e).collect()
        };
        let (level, slope) = (products(&weights.level), products(&weights.slope));
        let sum = |v: &[f64]| v.iter().sum::<f64>();
        let shared = LineCovariance::outer(PerCoefficient {
            level: sum(&level),
            slope: sum(&slope),
        });
        let each = |one: &[f64], two: &[f64]| -> f64 {
            let product = |r: usize| one[r] * two[r] * errors[r] * errors[r];
            let used = (0..errors.len()).filter(|&r| one[r] != 0.0 && two[r] != 0.0);
            used.map(product).sum()
        };
        let own = LineCovariance {
            level: each(&weights.level, &weights.level),
            cross: each(&weights.level, &weights.slope),
            slope: each(&weights.slope, &weights.slope),
        };
        let item = shared.plus(own);
        [item.level, item.slope]
            .iter()
            .all(|v| v.is_finite())
            .then(|| Self {
                ids: Vec::new(),
                pull: PerCoefficient::default(),
                shift: Vec::new(),
                noise: Vec::new(),
                item,
                idiosyncratic: own,
                // A stated variance is taken as known.
                effective: KNOWN,
            })
    }

    /// The influences of a weighted sum of distributions, as those of one.
    pub(crate) fn pooled(
        terms: &[(&Self, f64)],
        weights: &PerCoefficient<Vec<f64>>,
    ) -> Option<Self> {
        let runs = weights.level.len();
        let mut ids: Vec<usize> = terms.iter().flat_map(|t| t.0.ids.iter().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let n = ids.len();
        let effective = terms.iter().map(|t| t.0.effective).reduce(f64::min)?;
        let mut sum = Self {
            pull: PerCoefficient::from_fn(|_| vec![0.0; n]),
            shift: vec![0.0; n],
            noise: vec![0.0; n * runs],
            item: LineCovariance::default(),
            idiosyncratic: LineCovariance::default(),
            effective,
            ids,
        };
        for (i, c) in terms {
            for (g, &id) in i.ids.iter().enumerate() {
                let Some(at) = sum.position(id) else {
                    continue;
                };
                sum.pull.level[at] += c * i.pull.level[g];
                sum.pull.slope[at] += c * i.pull.slope[g];
                sum.shift[at] += c * i.shift[g];
                // The sum over distributions is taken before squaring, since their clusters are
                // left out together.
                let (to, from) = (at * runs, g * runs);
                for r in 0..runs {
                    sum.noise[to + r] += c * i.noise[from + r];
                }
            }
        }
        let mut sum = sum.with_own_variances(weights);
        // Stated errors have no clusters that could be shared.
        for (i, c) in terms.iter().filter(|t| t.0.ids.is_empty()) {
            sum.item = sum.item.plus(i.item.scaled(c * c));
            sum.idiosyncratic = sum.idiosyncratic.plus(i.idiosyncratic.scaled(c * c));
        }
        Some(sum)
    }

    pub(crate) fn ids(&self) -> &[usize] {
        &self.ids
    }

    /// Position of a ladder-wide cluster id.
    pub(crate) fn position(&self, id: usize) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Cluster ids with their pulls on the slope.
    pub(crate) fn slope_pulls(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.ids
            .iter()
            .copied()
            .zip(self.pull.slope.iter().copied())
    }

    /// Covariance of item and of item-by-run contributions with another distribution, through the
    /// clusters that both have; `None` without any.
    pub(crate) fn with(
        &self,
        other: &Self,
        weights: Option<&PerCoefficient<Vec<f64>>>,
    ) -> Option<(LineCovariance, LineCovariance)> {
        let mut item = LineCovariance::default();
        let mut noise = LineCovariance::default();
        let shared = shared(&self.ids, &other.ids);
        for &(i, j) in &shared {
            let (a, b) = (self.at(i), other.at(j));
            item = item.plus(LineCovariance {
                level: a.level * b.level,
                cross: 0.5 * (a.level * b.slope + a.slope * b.level),
                slope: a.slope * b.slope,
            });
            if let Some(PerCoefficient { level, slope }) = weights {
                let runs = level.len();
                let rows = (&self.noise[i * runs..], &other.noise[j * runs..]);
                for r in 0..runs {
                    let e = rows.0[r] * rows.1[r];
                    noise.level += e * level[r] * level[r];
                    noise.cross += e * level[r] * slope[r];
                    noise.slope += e * slope[r] * slope[r];
                }
            }
        }
        (!shared.is_empty()).then_some((item, noise))
    }

    fn at(&self, g: usize) -> PerCoefficient<f64> {
        PerCoefficient::from_fn(|k: Coefficient| self.pull[k][g])
    }

    /// Sets the own variances from pulls and noise.
    fn with_own_variances(mut self, weights: &PerCoefficient<Vec<f64>>) -> Self {
        if let Some((item, noise)) = self.with(&self, Some(weights)) {
            self.item = item;
            self.idiosyncratic = noise;
        }
        self
    }
}

/// Rows of `ln E` without each cluster, over the runs of the corpus.
fn rows(losses: &Losses) -> impl Iterator<Item = &[f64]> {
    losses.without.chunks_exact(losses.log_error.len())
}

/// Change of the coefficient with run weights `w` when each cluster is left out.
fn changes(losses: &Losses, used: &[usize], w: &[f64]) -> Vec<f64> {
    rows(losses)
        .map(|row| {
            // Against the full-sample error first: the mean over clusters then loses no digits.
            used.iter()
                .map(|&r| w[r] * (row[r] - losses.log_error[r]))
                .sum()
        })
        .collect()
}

/// Changes about their mean over the stratum, scaled to a jackknife variance.
fn pulls(changes: &[f64], strata: &Strata<'_>) -> Vec<f64> {
    let mean = strata.means(changes.iter().copied());
    changes
        .iter()
        .zip(strata.of)
        .map(|(p, &h)| (p - mean[h]) * strata.scale[h])
        .collect()
}

/// Item-by-run noise: the remainder of each cluster's profile over the runs `used`, at
/// `g * runs + r`.
fn noise(losses: &Losses, used: &[usize], basis: &[Vec<f64>], strata: &Strata<'_>) -> Vec<f64> {
    let runs = losses.log_error.len();
    let run_means: Vec<Vec<f64>> = used
        .iter()
        .map(|&r| strata.means(rows(losses).map(|row| row[r] - losses.log_error[r])))
        .collect();
    let columns: Vec<Vec<f64>> = basis
        .iter()
        .map(|b| used.iter().map(|&r| b[r]).collect())
        .collect();
    let gap: Vec<f64> = (0..used.len())
        .map(|i| 1.0 - columns.iter().map(|b| b[i] * b[i]).sum::<f64>())
        // A run on which the basis rests alone has no residual.
        // The bound is that of the regressions' leverages.
        .map(|v| if v > 1e-8 { 1.0 / v.sqrt() } else { 0.0 })
        .collect();
    let mut noise = vec![0.0; losses.clusters.len() * runs];
    for (i, (row, &h)) in rows(losses).zip(strata.of).enumerate() {
        let raw: Vec<f64> = used
            .iter()
            .zip(&run_means)
            .map(|(&r, m)| row[r] - losses.log_error[r] - m[h])
            .collect();
        // Around the line and the profile: what a cluster has in common along them is its
        // influence, not noise.
        let mut e = raw.clone();
        for b in &columns {
            let c = dot(b, &raw);
            e.iter_mut().zip(b).for_each(|(e, b)| *e -= c * b);
        }
        for (k, &r) in used.iter().enumerate() {
            noise[i * runs + r] = e[k] * gap[k] * strata.scale[h];
        }
    }
    noise
}

/// Positions in two ascending lists of the ids that both have.
fn shared(a: &[usize], b: &[usize]) -> Vec<(usize, usize)> {
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        match x.cmp(y) {
            Ordering::Less => i += 1,
            Ordering::Greater => j += 1,
            Ordering::Equal => {
                pairs.push((i, j));
                i += 1;
                j += 1;
            }
        }
    }
    pairs
}

/// Slopes without one cluster, in ascending order of cluster id.
pub(crate) fn without_clusters(terms: &[(&Influence, f64)], slope: f64) -> Vec<(usize, f64)> {
    let mut shift: BTreeMap<usize, f64> = BTreeMap::new();
    for (i, c) in terms {
        for (&id, s) in i.ids.iter().zip(&i.shift) {
            *shift.entry(id).or_default() += c * s;
        }
    }
    shift.into_iter().map(|(id, s)| (id, slope + s)).collect()
}
