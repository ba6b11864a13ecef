//! The contribution of the items of both distributions.

use std::collections::BTreeSet;

use crate::fit::comparison::Comparison;
use crate::fit::contrast::{shared, without_clusters};
use crate::fit::corpus::{Losses, stratum_sizes};
use crate::fit::estimate::Coefficient;
use crate::fit::logarithm::range;
use crate::fit::options::Options;
use crate::fit::result::{ClusterRange, ItemReport};

pub(super) fn item_report(comparison: &Comparison<'_, '_>, options: &Options) -> ItemReport {
    let (view, fitted) = (comparison.view, &comparison.fitted);
    let (treatment, baseline) = (comparison.treatment, comparison.baseline);
    let of = |d: usize| -> Option<&Losses> { view.corpus.losses.get(d)?.as_ref() };
    let count = |d: usize| of(d).map_or(0, |l| l.clusters.len());
    let strata = |d: usize| of(d).map_or(0, |l| stratum_sizes(&l.strata).len());
    let dropped = |d: usize| of(d).map_or(0, |l| l.dropped);
    let shared_clusters = match (view.influence(treatment), view.influence(baseline)) {
        (Some(t), Some(b)) => shared(t.ids(), b.ids()).len(),
        _ => 0,
    };
    // Of the variance that was used: with fixed items the share may exceed one.
    let total = fitted.variance(Coefficient::Slope, options.items).0;
    ItemReport {
        treatment_clusters: count(treatment),
        baseline_clusters: count(baseline),
        treatment_strata: strata(treatment),
        baseline_strata: strata(baseline),
        dropped_clusters: dropped(treatment) + dropped(baseline),
        dropped_runs: dropped_runs(comparison),
        shared_clusters,
        effective_clusters: fitted.effective,
        share: if total > 0.0 {
            fitted.item.slope / total
        } else {
            0.0
        },
        leave_one_out: leave_one_out(comparison),
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
    Some(ClusterRange {
        lower,
        upper,
        most_influential: comparison.view.cluster_name(&both, most.0).to_owned(),
    })
}
