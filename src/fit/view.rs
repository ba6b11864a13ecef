//! One corpus read over one set of runs, with the item influences of its distributions.

use std::collections::BTreeMap;

use super::contrast::Influence;
use super::corpus::{Corpus, stratum_sizes};
use super::error::FitError;
use super::estimate::PerCoefficient;
use super::options::Options;
use super::readings::ReadingPlan;
use super::stats::sums::dot;

/// One corpus read over one set of runs.
#[derive(Debug)]
pub(crate) struct CorpusView<'a> {
    pub(crate) corpus: &'a Corpus<'a>,
    pub(crate) plan: ReadingPlan,
    /// Positions of the runs used.
    pub(crate) members: Vec<usize>,
    /// Influences by distribution; absent where clusters carry no variance.
    influences: BTreeMap<usize, Influence>,
    /// Weights over runs of level and slope.
    pub(crate) weights: PerCoefficient<Vec<f64>>,
}

impl<'a> CorpusView<'a> {
    /// `cluster_ids[d][g]` names cluster `g` of distribution `d` across the ladder.
    pub(crate) fn new(
        corpus: &'a Corpus<'a>,
        members: Vec<usize>,
        cluster_ids: &[Vec<usize>],
        options: &Options,
    ) -> Result<Self, FitError> {
        let plan = ReadingPlan::new(corpus, &members, options)?;
        Ok(Self::with_plan(corpus, members, plan, cluster_ids))
    }

    /// The same corpus and runs with the runs far from their size profiles weighted down, by the
    /// per-run scalar `y`.
    pub(crate) fn robust(
        &self,
        y: &[f64],
        cluster_ids: &[Vec<usize>],
        options: &Options,
    ) -> Result<Self, FitError> {
        let plan = self.plan.robust(self.corpus, y, options)?;
        let members = self.members.clone();
        Ok(Self::with_plan(self.corpus, members, plan, cluster_ids))
    }

    fn with_plan(
        corpus: &'a Corpus<'a>,
        members: Vec<usize>,
        plan: ReadingPlan,
        cluster_ids: &[Vec<usize>],
    ) -> Self {
        let weights = plan.main().run_weights(corpus.runs.len());
        // Once per view: the projection of every cluster's profile uses it.
        let basis = orthonormal(&plan.run_design);
        let mut influences = BTreeMap::new();
        // Composites have no clusters of their own: their items are those of their distributions.
        for (d, (losses, ids)) in corpus.losses.iter().zip(cluster_ids).enumerate() {
            let of = |l| {
                Influence::new(l, &weights, &basis, ids).or_else(|| Influence::known(l, &weights))
            };
            if let Some(i) = losses.as_ref().and_then(of) {
                influences.insert(d, i);
            }
        }
        Self {
            corpus,
            plan,
            members,
            influences,
            weights,
        }
    }

    pub(crate) fn influence(&self, distribution: usize) -> Option<&Influence> {
        self.influences.get(&distribution)
    }

    /// The influences of the distributions of a contrast that have one, with their coefficients.
    pub(crate) fn influences(&self, terms: &[(usize, f64)]) -> Vec<(&Influence, f64)> {
        let terms = self.corpus.expanded(terms);
        let of = |(d, c): (usize, f64)| Some((self.influence(d)?, c));
        terms.into_iter().filter_map(of).collect()
    }

    /// `Σ c_d ln E_dr` per run; NaN for runs that lack a distribution.
    pub(crate) fn scalar(&self, terms: &[(usize, f64)]) -> Result<Vec<f64>, FitError> {
        let mut y = vec![0.0; self.corpus.runs.len()];
        for &(d, c) in terms {
            for (y, e) in y.iter_mut().zip(&self.corpus.losses(d)?.log_error) {
                *y += c * e;
            }
        }
        Ok(y)
    }

    /// Name of a ladder-wide cluster id among the clusters of some distributions.
    pub(crate) fn cluster_name(&self, distributions: &[usize], id: usize) -> &str {
        let find = |&d: &usize| {
            let g = self.influence(d)?.position(id)?;
            let losses = self.corpus.losses.get(d)?.as_ref()?;
            let scores = self.corpus.ladder.scores().get(d)?;
            scores.clusters().get(*losses.clusters.get(g)?)
        };
        distributions
            .iter()
            .find_map(find)
            .map_or("", String::as_str)
    }

    /// Leave-one-out changes of the slope by independent sample of clusters: the strata of each
    /// distribution, with those that share clusters taken together.
    pub(crate) fn samples(&self, terms: &[(usize, f64)]) -> Vec<Vec<f64>> {
        // Samples are numbered from 0 over all distributions; `root` joins those that share clusters.
        let mut root: Vec<usize> = Vec::new();
        fn find(root: &[usize], mut s: usize) -> usize {
            while root[s] != s {
                s = root[s];
            }
            s
        }
        // Cluster id: the change without it, and its sample.
        let mut changes: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for (d, c) in self.corpus.expanded(terms) {
            let (Some(i), Some(Some(l))) = (self.influence(d), self.corpus.losses.get(d)) else {
                continue;
            };
            let sizes = stratum_sizes(&l.strata);
            let first = root.len();
            root.extend(first..first + sizes.len());
            for ((id, pull), &h) in i.slope_pulls().zip(&l.strata) {
                let n = sizes[h] as f64;
                // Back from the scale of a variance to plain leave-one-out changes, which the
                // bootstrap draws.
                let change = c * pull / ((n - 1.0) / n).sqrt();
                let entry = changes.entry(id).or_insert((0.0, first + h));
                entry.0 += change;
                let (a, b) = (find(&root, entry.1), find(&root, first + h));
                // The smaller number is the root, so that samples keep their order.
                root[a.max(b)] = a.min(b);
            }
        }
        let mut samples: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for (change, sample) in changes.into_values() {
            samples.entry(find(&root, sample)).or_default().push(change);
        }
        samples.into_values().collect()
    }

    /// The influences of a weighted sum of distributions, as those of one.
    pub(crate) fn pooled(&self, terms: &[(&Influence, f64)]) -> Option<Influence> {
        Influence::pooled(terms, &self.weights)
    }
}

/// Orthonormal columns spanning the rows of `design`; empty rows are runs not used.
fn orthonormal(design: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let p = design.iter().map(Vec::len).max().unwrap_or(0);
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(p);
    for k in 0..p {
        let mut v: Vec<f64> = design
            .iter()
            .map(|r| r.get(k).copied().unwrap_or(0.0))
            .collect();
        let before = dot(&v, &v).sqrt();
        // Twice is enough: a second pass takes out the rounding that the first leaves.
        for _ in 0..2 {
            for b in &basis {
                let c = dot(b, &v);
                v.iter_mut().zip(b).for_each(|(v, b)| *v -= c * b);
            }
        }
        let norm = dot(&v, &v).sqrt();
        // A column that the others explain leaves rounding only.
        if norm > 1e-9 * before {
            v.iter_mut().for_each(|v| *v /= norm);
            basis.push(v);
        }
    }
    basis
}
