//! Families of laws: adjustment for their number, and the verdicts that rest on it.

use super::claim::Claim;
use super::error::FitError;
use super::estimate::{Estimate, Interval};
use super::logarithm::exp;
use super::max_t::Family;
use super::options::{FamilyScope, Options};
use super::result::{
    CountsLaw, Equivalence, GapEquivalence, MaxT, Multiplicity, NamedContrast, RelativeLaw,
};
use super::stats::multiplicity::{Correction, adjust, selected_level, simultaneous_level};
use super::verdict::gap_p;

/// Sorts the laws, adjusts them for their number and decides.
pub(crate) fn decide_laws(
    laws: &mut [RelativeLaw],
    family: &Family,
    options: &Options,
    scale: &str,
) -> Result<Option<MaxT>, FitError> {
    if laws.is_empty() {
        return Ok(None);
    }
    // By name: laws arrive grouped by the runs that they share, an order that means nothing to a
    // reader.
    laws.sort_by(|a, b| (&a.corpus, &a.treatment).cmp(&(&b.corpus, &b.treatment)));
    let together = |a: &RelativeLaw, b: &RelativeLaw| same_family(&a.corpus, &b.corpus, options);
    for family in laws.chunk_by_mut(together) {
        adjust_laws(&mut family.iter_mut().collect::<Vec<_>>(), options)?;
    }
    for law in laws.iter_mut() {
        (law.verdict, law.sentence) = Claim::of(law).decide(options, scale);
    }
    if options.max_t {
        family.intervals(laws, options)
    } else {
        Ok(None)
    }
}

/// Adjusts the named contrasts for their number and decides.
///
/// They are a family of their own: comparisons named in advance, of which adding one changes no
/// verdict against the main baseline.
pub(crate) fn decide_contrasts(
    contrasts: &mut [NamedContrast],
    options: &Options,
    scale: &str,
) -> Result<(), FitError> {
    // Within a corpus they arrive grouped by runs and stay in the order of the options.
    contrasts.sort_by(|a, b| a.law.corpus.cmp(&b.law.corpus));
    let together =
        |a: &NamedContrast, b: &NamedContrast| same_family(&a.law.corpus, &b.law.corpus, options);
    for family in contrasts.chunk_by_mut(together) {
        let mut laws: Vec<&mut RelativeLaw> = family.iter_mut().map(|c| &mut c.law).collect();
        adjust_laws(&mut laws, options)?;
    }
    for contrast in contrasts {
        let (verdict, sentence) = Claim::of(&contrast.law).decide(options, scale);
        (contrast.law.verdict, contrast.law.sentence) = (verdict, sentence);
        contrast.sentence = contrast.words(options);
    }
    Ok(())
}

/// If true, laws of the two corpora are adjusted together.
pub(crate) fn same_family(a: &str, b: &str, options: &Options) -> bool {
    options.family == FamilyScope::All || a == b
}

/// Adjusts p-values and intervals for the number of laws.
fn adjust_laws(laws: &mut [&mut RelativeLaw], options: &Options) -> Result<(), FitError> {
    let p: Vec<f64> = laws.iter().map(|l| l.delta_beta.p_value).collect();
    let holm = adjust(&p, Correction::Holm)?;
    let hochberg = adjust(&p, Correction::Hochberg)?;
    let bh = adjust(&p, Correction::BenjaminiHochberg)?;
    let by = adjust(&p, Correction::BenjaminiYekutieli)?;
    // False coverage rate intervals belong to the selection that Benjamini–Hochberg makes; Holm's
    // is another.
    let selected = bh.iter().filter(|q| **q <= options.alpha).count();
    let selected = selected_level(selected, laws.len(), options.alpha)?;
    let simultaneous = simultaneous_level(laws.len(), 1.0 - options.alpha)?;
    let laws_in_family = laws.len();
    for (i, law) in laws.iter_mut().enumerate() {
        let level = DecisionLevel {
            p: p[i],
            holm_p: holm[i],
            family: laws_in_family,
        };
        law.multiplicity = Multiplicity {
            family: options.family,
            family_size: laws_in_family,
            decision: law.delta_beta.at_level(1.0 - level.alpha(options.alpha)),
            holm_p: holm[i],
            hochberg_p: hochberg[i],
            bh_q: bh[i],
            by_q: by[i],
            selected: (bh[i] <= options.alpha).then(|| law.delta_beta.at_level(selected)),
            simultaneous: law.delta_beta.at_level(simultaneous),
            max_t: None,
        };
    }
    adjust_equivalence(laws.iter_mut().map(|l| (&mut l.equivalence, &mut l.gap)))
}

/// Holm-adjusts the tests of equivalence, which are a family of their own.
pub(crate) fn adjust_equivalence<'l>(
    tests: impl Iterator<Item = (&'l mut Equivalence, &'l mut GapEquivalence)>,
) -> Result<(), FitError> {
    let (mut changes, mut gaps): (Vec<_>, Vec<_>) = tests.unzip();
    let p: Vec<f64> = changes.iter().map(|t| t.p_value).collect();
    for (test, holm) in changes.iter_mut().zip(adjust(&p, Correction::Holm)?) {
        test.holm_p = holm;
    }
    let p: Vec<f64> = gaps.iter().map(|t| t.p_value).collect();
    for (test, holm) in gaps.iter_mut().zip(adjust(&p, Correction::Holm)?) {
        test.holm_p = holm;
    }
    Ok(())
}

/// The level at which Holm's procedure decided one test of a family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DecisionLevel {
    pub(crate) p: f64,
    pub(crate) holm_p: f64,
    pub(crate) family: usize,
}

impl DecisionLevel {
    /// `alpha·p/p_Holm`, between `alpha/m` and `alpha` for `m` tests: the interval of level one minus
    /// this excludes the hypothesis exactly where `p_Holm ≤ alpha`.
    pub(crate) fn alpha(self, alpha: f64) -> f64 {
        let least = 1.0 / self.family.max(1) as f64;
        let share = if self.holm_p > 0.0 {
            self.p / self.holm_p
        } else {
            least
        };
        alpha * share.clamp(least, 1.0)
    }
}

impl CountsLaw {
    /// `Δβ` with the interval at the level of the decision.
    pub(crate) fn decision(&self, alpha: f64) -> Interval {
        let level = DecisionLevel {
            p: self.delta_beta.p_value,
            holm_p: self.holm_p,
            family: self.family_size,
        };
        self.delta_beta.at_level(1.0 - level.alpha(alpha))
    }
}

impl Equivalence {
    /// The test of one law against the margin of the options, not yet adjusted.
    pub(crate) fn of(delta_beta: &Estimate, options: &Options) -> Self {
        let margin = options.margin();
        Self {
            margin_percent: options.margin_percent,
            margin,
            p_value: delta_beta.equivalence_p(margin),
            holm_p: 1.0,
        }
    }
}

impl GapEquivalence {
    /// The test of one law by `ln G` at both ends of its ladder, not yet adjusted.
    pub(crate) fn of(ends: &[Estimate; 2], options: &Options) -> Self {
        let margin = options.gap_margin();
        Self {
            margin_percent: options.gap_margin_percent,
            margin,
            ends: ends.map(|e| e.interval().map(exp)),
            p_value: gap_p(ends, margin),
            holm_p: 1.0,
        }
    }
}
