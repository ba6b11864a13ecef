//! The contribution of the items of both distributions.

use std::collections::BTreeSet;

use crate::fit::comparison::Comparison;
use crate::fit::contrast::without_clusters;
use crate::fit::corpus::stratum_sizes;
use crate::fit::estimate::Coefficient;
use crate::fit::logarithm::range;
use crate::fit::options::Options;
use crate::fit::result::{ClusterRange, ItemReport};
use crate::fit::view::CorpusView;

pub(super) fn item_report(comparison: &Comparison<'_, '_>, options: &Options) -> ItemReport {
    let (view, fitted) = (comparison.view, &comparison.fitted);
    let [treatment, baseline] =
        [comparison.treatment, comparison.baseline].map(|d| Side::new(view, d));
    // Of the variance that was used: with fixed items the share may exceed one.
    let total = fitted.variance(Coefficient::Slope, options.items).0;
    ItemReport {
        treatment_clusters: treatment.clusters,
        baseline_clusters: baseline.clusters,
        treatment_strata: treatment.strata,
        baseline_strata: baseline.strata,
        dropped_clusters: treatment.dropped + baseline.dropped,
        dropped_runs: dropped_runs(comparison),
        treatment_errors_stated: treatment.stated,
        baseline_errors_stated: baseline.stated,
        shared_clusters: treatment.ids.intersection(&baseline.ids).count(),
        effective_clusters: fitted.effective,
        share: if total > 0.0 {
            fitted.item.slope / total
        } else {
            0.0
        },
        leave_one_out: leave_one_out(comparison),
    }
}

/// The items of one side: of one distribution, or of all that a composite is made of.
#[derive(Debug, Default)]
struct Side {
    clusters: usize,
    strata: usize,
    dropped: usize,
    /// If true, the variance of some distribution is that of stated standard errors.
    stated: bool,
    /// Ladder-wide ids of the clusters that carry variance.
    ids: BTreeSet<usize>,
}

impl Side {
    fn new(view: &CorpusView<'_>, distribution: usize) -> Self {
        let mut side = Self::default();
        for d in view.corpus.parts(distribution) {
            let Some(losses) = view.corpus.losses.get(d).and_then(Option::as_ref) else {
                continue;
            };
            let ids = view.influence(d).map_or(&[][..], |i| i.ids());
            let known = ids.iter().filter(|&id| !side.ids.insert(*id)).count();
            side.stated |= view.influence(d).is_some_and(|i| i.ids().is_empty());
            side.dropped += losses.dropped;
            side.clusters += losses.clusters.len() - known;
            // Distributions over the same clusters are one sample, and its strata count once.
            if known == 0 {
                side.strata += stratum_sizes(&losses.strata).len();
            }
        }
        side
    }
}

/// Names of the runs that lack a distribution or the aggregate.
fn dropped_runs(comparison: &Comparison<'_, '_>) -> Vec<String> {
    let corpus = comparison.corpus();
    let used: BTreeSet<usize> = comparison.view.members.iter().copied().collect();
    (0..corpus.runs.len())
        .filter(|r| !used.contains(r) && !corpus.held_out(*r))
        .map(|r| corpus.run_name(r).to_owned())
        .collect()
}

/// The slope without each cluster in turn; `None` without influences.
fn leave_one_out(comparison: &Comparison<'_, '_>) -> Option<ClusterRange> {
    let slope = comparison.fitted.slope;
    let moved = without_clusters(&comparison.view.influences(&comparison.terms()), slope);
    let distance = |m: &(usize, f64)| (m.1 - slope).abs();
    let most = moved
        .iter()
        .max_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    let [lower, upper] = range(&moved.iter().map(|m| m.1).collect::<Vec<_>>());
    let both = [comparison.treatment, comparison.baseline];
    let both = both.map(|d| comparison.corpus().parts(d)).concat();
    Some(ClusterRange {
        lower,
        upper,
        most_influential: comparison.view.cluster_name(&both, most.0).to_owned(),
    })
}
