//! The errors of one distribution over the runs of one corpus, whole and without each cluster.

use std::collections::BTreeMap;

use crate::fit::options::Averaging;
use crate::fit::stats::labels;
use crate::ladder::{Cell, Scores};

/// Errors of one distribution over the runs of one corpus.
#[derive(Debug, Clone)]
pub(crate) struct Losses {
    /// `ln E` per run of the corpus; NaN where the run was not scored.
    pub(crate) log_error: Vec<f64>,
    /// Indices into the clusters of the ladder's distribution: those scored alike in all runs.
    pub(crate) clusters: Vec<usize>,
    /// Weight of each cluster, mean over runs.
    pub(crate) weights: Vec<f64>,
    /// Stratum of each cluster, counted from 0; no stratum has a single cluster.
    pub(crate) strata: Vec<usize>,
    /// `ln E` without cluster `g`, for which the rest of its stratum stands in, at `g * runs + r`;
    /// empty with fewer than two clusters or where an error vanishes.
    pub(crate) without: Vec<f64>,
    /// Sampling standard error of `ln E` per run, as the ladder states it, where fewer than two clusters
    /// could show it; NaN where the run was not scored.
    pub(crate) known: Option<Vec<f64>>,
    /// Clusters left out because some run lacks them or has another number of rows.
    pub(crate) dropped: usize,
}

impl Losses {
    /// The errors of `scores` over `runs` (indices into the ladder); `None` where no cluster was scored
    /// alike in all of them, or where an error has no logarithm.
    pub(super) fn new(
        scores: &Scores,
        runs: &[usize],
        averaging: Averaging,
        stratified: bool,
    ) -> Option<Self> {
        let by_run: Vec<_> = runs.iter().map(|&r| scores.run(r)).collect();
        let (clusters, dropped) = complete_clusters(&by_run);
        if clusters.is_empty() {
            return None;
        }
        let strata = if stratified {
            let names = scores.clusters();
            let names: Vec<&str> = clusters.iter().map(|&c| names[c].as_str()).collect();
            strata_of(&names)
        } else {
            vec![0; clusters.len()]
        };
        Self {
            log_error: vec![f64::NAN; runs.len()],
            weights: vec![0.0; clusters.len()],
            without: Vec::new(),
            known: known_errors(&by_run, &clusters),
            clusters,
            strata,
            dropped,
        }
        .filled(&by_run, averaging)
    }

    /// Fills in the errors of every run, whole and without each cluster.
    fn filled(mut self, by_run: &[&[Cell]], averaging: Averaging) -> Option<Self> {
        let (n, g) = (by_run.len(), self.clusters.len());
        let scored = by_run.iter().filter(|c| !c.is_empty()).count() as f64;
        let sizes = stratum_sizes(&self.strata);
        let mut without = vec![f64::NAN; if g > 1 { n * g } else { 0 }];
        let mut usable = true;
        for (r, cells) in by_run.iter().enumerate().filter(|(_, c)| !c.is_empty()) {
            let kept = pick(cells, &self.clusters);
            for (w, k) in self.weights.iter_mut().zip(&kept) {
                // Divided first: a sum of large weights over runs could overflow.
                *w += k.1 / scored;
            }
            // Both averages are a ratio of sums of per-cluster pairs.
            let pairs: Vec<Pair> = match averaging {
                Averaging::Micro => kept,
                // A mean over clusters is a ratio of sums with weights of one, so one jackknife
                // serves both.
                Averaging::Macro => kept.iter().map(|k| (k.0 / k.1, 1.0)).collect(),
            };
            self.log_error[r] = log_ratio(sum_pairs(pairs.iter().copied()))?;
            if without.is_empty() {
                continue;
            }
            for (i, rest) in leave_one_out(&pairs, &self.strata, &sizes)
                .into_iter()
                .enumerate()
            {
                let value = log_ratio(rest);
                usable &= value.is_some();
                without[i * n + r] = value.unwrap_or(f64::NAN);
            }
        }
        // An error that vanishes without one cluster has no logarithm: no influence can be had.
        self.without = if usable { without } else { Vec::new() };
        Some(self)
    }
}

/// Relative standard errors of the only cluster by run; `None` with more, or where a run states none.
fn known_errors(by_run: &[&[Cell]], clusters: &[usize]) -> Option<Vec<f64>> {
    let [only] = clusters else {
        return None;
    };
    let of = |cells: &&[Cell]| match cells.iter().find(|c| c.cluster == *only) {
        // The error of a logarithm: d ln E = dE/E.
        Some(c) => Some(c.variance?.sqrt() / c.loss).filter(|e| e.is_finite()),
        None => Some(f64::NAN),
    };
    by_run.iter().map(of).collect()
}

/// Loss and weight of the wanted clusters of one run; both lists ascend.
fn pick(cells: &[Cell], clusters: &[usize]) -> Vec<Pair> {
    let mut own = cells.iter().peekable();
    clusters
        .iter()
        .filter_map(|&want| {
            while own.next_if(|c| c.cluster < want).is_some() {}
            own.next_if(|c| c.cluster == want)
                .map(|c| (c.loss, c.weight))
        })
        .collect()
}

fn log_ratio(sums: Pair) -> Option<f64> {
    Some(libm::log(sums.0 / sums.1)).filter(|v| v.is_finite())
}

/// Stratum of each cluster by its name. A single cluster says nothing about the spread of its
/// stratum: such strata are pooled, and a lone one joins the smallest of the others.
fn strata_of(names: &[&str]) -> Vec<usize> {
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (g, name) in names.iter().enumerate() {
        let stratum = name.split_once('/').map_or("", |(stratum, _)| stratum);
        members.entry(stratum).or_default().push(g);
    }
    // Pooling single strata keeps them in the variance; dropping them would make it too small.
    let (single, mut several): (Vec<_>, Vec<_>) = members.into_values().partition(|m| m.len() == 1);
    let pooled = single.concat();
    match several.iter_mut().min_by_key(|m| m.len()) {
        Some(smallest) if pooled.len() == 1 => smallest.extend(pooled),
        _ if pooled.is_empty() => (),
        _ => several.push(pooled),
    }
    let mut of = vec![0; names.len()];
    for (h, members) in several.iter().enumerate() {
        members.iter().for_each(|&g| of[g] = h);
    }
    of
}

/// Number of clusters in each stratum.
pub(crate) fn stratum_sizes(strata: &[usize]) -> Vec<usize> {
    let mut sizes = vec![0; labels::count(strata)];
    strata.iter().for_each(|&h| sizes[h] += 1);
    sizes
}

type Pair = (f64, f64);

fn sum_pairs(pairs: impl Iterator<Item = Pair>) -> Pair {
    pairs.fold((0.0, 0.0), |t, p| (t.0 + p.0, t.1 + p.1))
}

/// `whole − part`, added up anew by `anew` where subtraction would lose digits because the part is
/// most of the whole.
fn without(whole: Pair, part: Pair, anew: impl FnOnce() -> Pair) -> Pair {
    // Above a half, a subtraction loses more than one bit.
    if part.0 > 0.5 * whole.0 || part.1 > 0.5 * whole.1 {
        anew()
    } else {
        (whole.0 - part.0, whole.1 - part.1)
    }
}

/// The two sums of a run without each cluster in turn, the others of its stratum weighted up to stand
/// in for it. With one stratum that changes nothing of the ratio and is left out.
fn leave_one_out(pairs: &[Pair], strata: &[usize], sizes: &[usize]) -> Vec<Pair> {
    let total = sum_pairs(pairs.iter().copied());
    let of = |keep: &dyn Fn(usize) -> bool| {
        sum_pairs((0..pairs.len()).filter(|&i| keep(i)).map(|i| pairs[i]))
    };
    if sizes.len() < 2 {
        return (0..pairs.len())
            .map(|g| without(total, pairs[g], || of(&|i| i != g)))
            .collect();
    }
    let mut within = vec![(0.0, 0.0); sizes.len()];
    for (p, &h) in pairs.iter().zip(strata) {
        within[h] = (within[h].0 + p.0, within[h].1 + p.1);
    }
    let outside: Vec<Pair> = (0..sizes.len())
        .map(|h| without(total, within[h], || of(&|i| strata[i] != h)))
        .collect();
    (0..pairs.len())
        .map(|g| {
            let h = strata[g];
            let rest = without(within[h], pairs[g], || of(&|i| strata[i] == h && i != g));
            let n = sizes[h] as f64;
            let k = n / (n - 1.0);
            (outside[h].0 + k * rest.0, outside[h].1 + k * rest.1)
        })
        .collect()
}

/// Clusters present with one number of rows in every scored run, and how many are not.
pub(crate) fn complete_clusters(by_run: &[&[Cell]]) -> (Vec<usize>, usize) {
    let scored = by_run.iter().filter(|c| !c.is_empty()).count();
    let mut seen: BTreeMap<usize, (usize, u64, bool)> = BTreeMap::new();
    for cells in by_run {
        for c in *cells {
            let e = seen.entry(c.cluster).or_insert((0, c.rows, true));
            e.0 += 1;
            e.2 &= e.1 == c.rows;
        }
    }
    // Clusters that some runs lack would move their errors by a change of items, not of models.
    let complete = |n: &(usize, u64, bool)| n.0 == scored && n.2;
    let clusters: Vec<usize> = seen
        .iter()
        .filter(|(_, n)| complete(n))
        .map(|(&g, _)| g)
        .collect();
    let dropped = seen.len() - clusters.len();
    (clusters, dropped)
}
