//! Linear combinations of log errors that stand beside the distributions of a ladder.

use super::{Corpus, Losses};

/// A linear combination of log errors, `Σ c_d ln E_d`, read like one more distribution.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Composite {
    pub(crate) name: String,
    /// Distributions of the ladder and their coefficients, ascending, none of them zero.
    pub(crate) terms: Vec<(usize, f64)>,
    /// If true, the logarithm of a ratio of errors rather than that of an error: it has neither a
    /// floor nor an optimal size of its own.
    pub(crate) ratio: bool,
}

impl Composite {
    /// Its log errors; `None` where a distribution has none. Items are left to the terms, whose
    /// clusters may be shared.
    pub(super) fn losses(&self, of: &[Option<Losses>], runs: usize) -> Option<Losses> {
        let mut log_error = vec![0.0; runs];
        let mut dropped = 0;
        for &(d, c) in &self.terms {
            let term = of.get(d)?.as_ref()?;
            for (sum, e) in log_error.iter_mut().zip(&term.log_error) {
                *sum += c * e;
            }
            dropped += term.dropped;
        }
        Some(Losses {
            // Sampling errors of a composite are those of its distributions.
            known: None,
            log_error,
            clusters: Vec::new(),
            weights: Vec::new(),
            strata: Vec::new(),
            without: Vec::new(),
            dropped,
        })
    }
}

/// Terms with the coefficients of one distribution added up, ascending; those that cancel are left
/// out.
pub(crate) fn merged(terms: impl IntoIterator<Item = (usize, f64)>) -> Vec<(usize, f64)> {
    let mut sums: Vec<(usize, f64)> = Vec::new();
    for (d, c) in terms {
        match sums.iter_mut().find(|s| s.0 == d) {
            Some(sum) => sum.1 += c,
            None => sums.push((d, c)),
        }
    }
    // Shares of one group cancel to rounding: 1/3 + 1/3 + 1/3 − 1.
    sums.retain(|s| s.1.abs() > 1e-12);
    sums.sort_unstable_by_key(|s| s.0);
    sums
}

impl Corpus<'_> {
    fn composite(&self, distribution: usize) -> Option<&Composite> {
        let own = self.ladder.scores().len();
        distribution
            .checked_sub(own)
            .and_then(|k| self.composites.get(k))
    }

    /// Name of a distribution or composite.
    pub(crate) fn name_of(&self, distribution: usize) -> &str {
        match self.composite(distribution) {
            Some(c) => &c.name,
            None => (self.ladder.scores().get(distribution)).map_or("", |s| s.name()),
        }
    }

    /// If true, the logarithm of a ratio of errors.
    pub(crate) fn is_ratio(&self, distribution: usize) -> bool {
        self.composite(distribution).is_some_and(|c| c.ratio)
    }

    /// Terms over distributions of the ladder alone.
    pub(crate) fn expanded(&self, terms: &[(usize, f64)]) -> Vec<(usize, f64)> {
        if terms.iter().all(|t| self.composite(t.0).is_none()) {
            // In the order given, so that sums over them keep their bits.
            return terms.to_vec();
        }
        merged(terms.iter().flat_map(|&(d, c)| match self.composite(d) {
            Some(sum) => sum.terms.iter().map(|t| (t.0, c * t.1)).collect(),
            None => vec![(d, c)],
        }))
    }

    /// Distributions of the ladder that `distribution` is made of.
    pub(crate) fn parts(&self, distribution: usize) -> Vec<usize> {
        let terms = self.expanded(&[(distribution, 1.0)]);
        terms.into_iter().map(|t| t.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::merged;

    #[test]
    fn coefficients_of_one_distribution_add_up_and_cancel() {
        let third = 1.0 / 3.0;
        assert_eq!(
            merged([(2, 1.0), (0, -1.0), (2, 0.5)]),
            [(0, -1.0), (2, 1.5)]
        );
        assert_eq!(merged([(1, third), (1, third), (1, third), (1, -1.0)]), []);
    }
}
