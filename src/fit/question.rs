//! The question of an analysis: the names of the options as positions in the ladder.

use std::collections::BTreeMap;

use crate::ladder::Ladder;

use super::corpus::{Corpus, position};
use super::design::Design;
use super::error::FitError;
use super::options::Options;

/// Options and ladder with every name resolved.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) ladder: &'a Ladder,
    pub(crate) options: &'a Options,
    pub(crate) baseline: usize,
    /// Treatments whose laws are fitted to logarithms, ascending.
    pub(crate) treatments: Vec<usize>,
    /// Treatments whose laws are fitted to counts: those of which one side is an error rate.
    pub(crate) counted: Vec<usize>,
    /// Ladder-wide cluster ids by distribution and cluster.
    pub(crate) cluster_ids: Vec<Vec<usize>>,
}

impl<'a> Question<'a> {
    pub(crate) fn new(ladder: &'a Ladder, options: &'a Options) -> Result<Self, FitError> {
        options.check()?;
        let baseline = position(ladder, &options.baseline)?;
        let aggregate = options.aggregate.as_ref();
        let aggregate = aggregate.map(|a| position(ladder, a)).transpose()?;
        let named = options.chance.keys().chain(options.covariate.keys());
        // Names that the ladder lacks are typing errors, and would silently do nothing.
        for name in named.chain(&options.stratified).chain(&options.error_rates) {
            position(ladder, name)?;
        }
        let all = if options.treatments.is_empty() {
            (0..ladder.scores().len())
                .filter(|&d| d != baseline && Some(d) != aggregate)
                .collect()
        } else {
            named_treatments(ladder, options)?
        };
        if all.is_empty() {
            return Err(FitError::TooFew {
                what: "distributions besides the baseline and the aggregate".into(),
                found: 0,
                needed: 1,
            });
        }
        let mut question = Self {
            ladder,
            options,
            baseline,
            treatments: Vec::new(),
            counted: Vec::new(),
            cluster_ids: cluster_ids(ladder),
        };
        // Either side a rate makes the pair one of counts: a zero on one side has no logarithm.
        (question.counted, question.treatments) = all
            .into_iter()
            .partition(|&t| question.is_error_rate(t) || question.is_error_rate(baseline));
        Ok(question)
    }

    pub(crate) fn name(&self, distribution: usize) -> &'a str {
        self.ladder.scores()[distribution].name()
    }

    pub(crate) fn is_error_rate(&self, distribution: usize) -> bool {
        self.options.error_rates.contains(self.name(distribution))
    }

    /// The distributions of the laws that are fitted to logarithms, with the baseline.
    pub(crate) fn compared(&self) -> Vec<usize> {
        let mut compared = self.treatments.clone();
        if !compared.contains(&self.baseline) {
            compared.push(self.baseline);
        }
        compared
    }
}

fn named_treatments(ladder: &Ladder, options: &Options) -> Result<Vec<usize>, FitError> {
    let found: Result<Vec<_>, _> = options
        .treatments
        .iter()
        .map(|t| position(ladder, t))
        .collect();
    let mut found = found?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Ladder-wide ids of cluster names: a name in two distributions is one cluster. The unnamed cluster
/// of an aggregate row is nobody else's.
fn cluster_ids(ladder: &Ladder) -> Vec<Vec<usize>> {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for s in ladder.scores() {
        for c in s.clusters() {
            ids.insert(c, 0);
        }
    }
    for (i, id) in ids.values_mut().enumerate() {
        *id = i;
    }
    let of = |c: &String| ids.get(c.as_str()).copied().unwrap_or(0);
    ladder
        .scores()
        .iter()
        .map(|s| s.clusters().iter().map(of).collect())
        .collect()
}

/// Positions of the runs that have both distributions, and an aggregate if sizes are picked by it.
pub(crate) fn members(
    corpus: &Corpus<'_>,
    distributions: [usize; 2],
) -> Result<Vec<usize>, FitError> {
    let mut keep: Vec<bool> = (0..corpus.runs.len())
        .map(|r| !corpus.held_out(r))
        .collect();
    let mut need = |values: &[f64]| {
        keep.iter_mut()
            .zip(values)
            .for_each(|(k, v)| *k &= v.is_finite());
    };
    for d in distributions {
        need(&corpus.losses(d)?.log_error);
    }
    if corpus.design == Design::Isoflop {
        need(&corpus.aggregate);
    }
    Ok((0..keep.len()).filter(|&r| keep[r]).collect())
}
