//! The question of an analysis: the names of the options as positions in the ladder.

use std::collections::BTreeMap;

use crate::ladder::Ladder;

use super::corpus::{Composite, Corpus, merged, position};
use super::design::Design;
use super::error::FitError;
use super::options::{Averaging, Contrast, Options, pair_label};
use super::scorers::check_scorers;

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
    /// Groups, and the pairs of differences; numbered after the distributions of the ladder.
    pub(crate) composites: Vec<Composite>,
    /// Number of composites that are groups, which come first.
    groups: usize,
    /// Comparisons beside those with the main baseline.
    pub(crate) contrasts: Vec<NamedPair>,
    /// Ladder-wide cluster ids by distribution and cluster.
    pub(crate) cluster_ids: Vec<Vec<usize>>,
}

/// A comparison by name, with its sides as positions of distributions or composites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPair {
    pub(crate) name: String,
    pub(crate) treatment: usize,
    pub(crate) baseline: usize,
}

impl<'a> Question<'a> {
    pub(crate) fn new(ladder: &'a Ladder, options: &'a Options) -> Result<Self, FitError> {
        options.check()?;
        let baseline = position(ladder, &options.baseline)?;
        let aggregate = options.aggregate.as_ref();
        let aggregate = aggregate.map(|a| position(ladder, a)).transpose()?;
        let named = (options.chance.keys())
            .chain(options.covariate.keys())
            .chain(&options.chance_either_side);
        // Names that the ladder lacks are typing errors, and would silently do nothing.
        for name in named.chain(&options.stratified).chain(&options.error_rates) {
            position(ladder, name)?;
        }
        check_rates(ladder, options)?;
        check_arms(ladder, options)?;
        check_scorers(ladder, options)?;
        let all = if options.treatments.is_empty() {
            (0..ladder.scores().len())
                .filter(|&d| d != baseline && Some(d) != aggregate)
                .collect()
        } else {
            named_treatments(ladder, options)?
        };
        let mut question = Self {
            ladder,
            options,
            baseline,
            treatments: Vec::new(),
            counted: Vec::new(),
            composites: Vec::new(),
            groups: 0,
            contrasts: Vec::new(),
            cluster_ids: cluster_ids(ladder),
        };
        // Either side a rate makes the pair one of counts: a zero on one side has no logarithm.
        (question.counted, question.treatments) = all
            .into_iter()
            .partition(|&t| question.is_error_rate(t) || question.is_error_rate(baseline));
        question.add_groups()?;
        for contrast in &options.contrasts {
            question.add_contrast(contrast)?;
        }
        question.add_contrasts_of_groups();
        Ok(question)
    }

    fn add_groups(&mut self) -> Result<(), FitError> {
        for (name, group) in &self.options.groups {
            if position(self.ladder, name).is_ok() {
                return Err(FitError::Unsupported {
                    reason: format!("group {name:?} has the name of a distribution"),
                });
            }
            let mut terms = Vec::new();
            for (member, share) in group.shares() {
                terms.push((position(self.ladder, member)?, share));
            }
            self.composites.push(Composite {
                name: name.clone(),
                terms: self.terms_of(&format!("group {name:?}"), terms)?,
                ratio: false,
            });
        }
        self.groups = self.composites.len();
        Ok(())
    }

    fn add_contrast(&mut self, contrast: &Contrast) -> Result<(), FitError> {
        let name = contrast.label();
        let (t, b) = (&contrast.treatment, &contrast.baseline);
        let sides = match &contrast.minus {
            None => [self.side(t)?, self.side(b)?],
            Some(p) => [self.pair(t, b)?, self.pair(&p.treatment, &p.baseline)?],
        };
        let [treatment, baseline] = sides;
        let terms = [(treatment, 1.0), (baseline, -1.0)];
        let terms = self.terms_of(&format!("contrast {name:?}"), terms.to_vec())?;
        if terms.is_empty() {
            return Err(FitError::Unsupported {
                reason: format!("the sides of contrast {name:?} are the same: it is zero"),
            });
        }
        self.contrasts.push(NamedPair {
            name,
            treatment,
            baseline,
        });
        Ok(())
    }

    /// Every group against the main baseline, unless that comparison was asked for.
    fn add_contrasts_of_groups(&mut self) {
        // A rate has no logarithm, so that groups of losses have nothing in common with it.
        if self.is_error_rate(self.baseline) {
            return;
        }
        let first = self.ladder.scores().len();
        for group in self.group_positions() {
            let asked = |c: &NamedPair| (c.treatment, c.baseline) == (group, self.baseline);
            let itself = self.composites[group - first].terms == [(self.baseline, 1.0)];
            if itself || self.contrasts.iter().any(asked) {
                continue;
            }
            let name = pair_label(self.name(group), self.name(self.baseline));
            self.contrasts.push(NamedPair {
                name,
                treatment: group,
                baseline: self.baseline,
            });
        }
    }

    /// Position of a distribution or group.
    fn side(&self, name: &str) -> Result<usize, FitError> {
        let groups = &self.composites[..self.groups];
        match groups.iter().position(|g| g.name == name) {
            Some(k) => Ok(self.ladder.scores().len() + k),
            None if groups.is_empty() => position(self.ladder, name),
            None => position(self.ladder, name).map_err(|_| FitError::Unknown {
                what: "distribution or group",
                name: name.into(),
                known: (self.ladder.distributions())
                    .chain(groups.iter().map(|g| g.name.as_str()))
                    .map(Into::into)
                    .collect(),
            }),
        }
    }

    /// Position of the composite that is the ratio of two sides.
    fn pair(&mut self, treatment: &str, baseline: &str) -> Result<usize, FitError> {
        let name = pair_label(treatment, baseline);
        let terms = vec![(self.side(treatment)?, 1.0), (self.side(baseline)?, -1.0)];
        let terms = self.terms_of(&format!("pair {name:?}"), terms)?;
        let found = (self.composites.iter()).position(|c| c.ratio && c.name == name);
        let at = found.unwrap_or_else(|| {
            let ratio = true;
            self.composites.push(Composite { name, terms, ratio });
            self.composites.len() - 1
        });
        Ok(self.ladder.scores().len() + at)
    }

    /// Terms over distributions, of which none may be an error rate.
    fn terms_of(
        &self,
        what: &str,
        terms: Vec<(usize, f64)>,
    ) -> Result<Vec<(usize, f64)>, FitError> {
        let own = self.ladder.scores().len();
        let of = |(d, c): (usize, f64)| match d.checked_sub(own) {
            Some(k) => (self.composites[k].terms.iter())
                .map(|t| (t.0, c * t.1))
                .collect(),
            None => vec![(d, c)],
        };
        let terms = merged(terms.into_iter().flat_map(of));
        match terms.iter().find(|t| self.is_error_rate(t.0)) {
            None => Ok(terms),
            Some(t) => Err(FitError::Unsupported {
                reason: format!(
                    "{what} contains the error rate {:?}, which is fitted to counts: contrasts and \
                     groups are of losses",
                    self.name(t.0)
                ),
            }),
        }
    }

    /// Distributions of the ladder and groups: those that have an absolute law.
    pub(crate) fn described(&self) -> std::ops::Range<usize> {
        0..self.ladder.scores().len() + self.groups
    }

    /// Groups, as positions of composites.
    pub(crate) fn group_positions(&self) -> std::ops::Range<usize> {
        let first = self.ladder.scores().len();
        first..first + self.groups
    }

    /// Names of the distributions that a side of a law is made of.
    pub(crate) fn names_of(&self, distribution: usize) -> Vec<&str> {
        let own = self.ladder.scores().len();
        match distribution.checked_sub(own) {
            Some(k) => (self.composites[k].terms.iter())
                .map(|t| self.name(t.0))
                .collect(),
            None => vec![self.name(distribution)],
        }
    }

    /// If true, the baseline is the only distribution: it has its own laws, and no relative one.
    pub(crate) fn is_alone(&self) -> bool {
        self.treatments.is_empty() && self.counted.is_empty() && self.contrasts.is_empty()
    }

    /// Name of a distribution or composite.
    pub(crate) fn name(&self, distribution: usize) -> &str {
        let own = self.ladder.scores().len();
        match distribution.checked_sub(own) {
            Some(k) => &self.composites[k].name,
            None => self.ladder.scores()[distribution].name(),
        }
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

/// Refuses error rates whose numbers of items are not known, chance levels that are no share, and
/// options that laws of counts cannot follow.
fn check_rates(ladder: &Ladder, options: &Options) -> Result<(), FitError> {
    for name in &options.error_rates {
        let scores = &ladder.scores()[position(ladder, name)?];
        if let Some(run) = scores.unweighted() {
            // Taken as one item, a rate of a thousand would weigh as little as a single answer.
            return Err(FitError::Unsupported {
                reason: format!(
                    "the error rate {name:?} has rows without a weight (run {run:?}): the weight of a \
                     rate is its number of items"
                ),
            });
        }
        // The options check their own; this is one of the ladder.
        if let Some(value) = options.chance_of(ladder, name).filter(|c| *c > 1.0) {
            return Err(FitError::Domain {
                what: format!("the chance level of the error rate {name:?}"),
                value,
            });
        }
        // Counts add up over clusters: beside a mean over clusters they would be another estimand.
        if options.averaging == Averaging::Macro && scores.clusters().len() > 1 {
            return Err(FitError::Unsupported {
                reason: format!(
                    "averaging = macro is not for the error rate {name:?}, whose counts are summed \
                     over its clusters"
                ),
            });
        }
        if options.stratified.contains(name) {
            return Err(FitError::Unsupported {
                reason: format!(
                    "stratified names the error rate {name:?}: the clusters of a rate are one sample"
                ),
            });
        }
    }
    Ok(())
}

/// Refuses a baseline corpus that the ladder lacks, or that has no other to compare with.
fn check_arms(ladder: &Ladder, options: &Options) -> Result<(), FitError> {
    let Some(name) = &options.corpus_baseline else {
        return Ok(());
    };
    let corpora = ladder.corpora();
    if !corpora.contains(&name.as_str()) {
        return Err(FitError::Unknown {
            what: "corpus",
            name: name.clone(),
            known: corpora.into_iter().map(Into::into).collect(),
        });
    }
    if corpora.len() < 2 {
        return Err(FitError::TooFew {
            what: format!("corpora besides the baseline corpus {name:?}"),
            found: 0,
            needed: 1,
        });
    }
    Ok(())
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

/// Ladder-wide ids of cluster names: a name in two distributions is one cluster, and so is the empty
/// name, that of rows without a cluster.
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
