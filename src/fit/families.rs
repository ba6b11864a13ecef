//! Families of laws: adjustment for their number, and the verdicts that rest on it.

use super::error::FitError;
use super::estimate::Estimate;
use super::max_t::Family;
use super::options::Options;
use super::result::{Equivalence, Interval, MaxT, Multiplicity, RelativeLaw, Verdict};
use super::stats::multiplicity::{Correction, adjust, selected_level, simultaneous_level};
use super::verdict::{Evidence, decide, ends};

/// Sorts the laws, adjusts them for their number and decides.
pub(crate) fn decide_laws(
    laws: &mut [RelativeLaw],
    family: &Family,
    options: &Options,
) -> Result<Option<MaxT>, FitError> {
    if laws.is_empty() {
        return Ok(None);
    }
    // By name: laws arrive grouped by the runs that they share, an order that means nothing to a
    // reader.
    laws.sort_by(|a, b| (&a.corpus, &a.treatment).cmp(&(&b.corpus, &b.treatment)));
    adjust_laws(laws, options)?;
    for law in laws.iter_mut() {
        let level = law.gamma.map(libm::log);
        let at = |scale: f64| libm::log(scale / law.reference_flops);
        let x: Vec<f64> = law.readings.iter().map(|r| at(r.scale)).collect();
        let range = super::logarithm::range(&x);
        law.verdict = verdict(
            level,
            &law.delta_beta,
            range,
            law.multiplicity.holm_p,
            &law.equivalence,
            options,
        );
    }
    if options.max_t {
        family.intervals(laws, options)
    } else {
        Ok(None)
    }
}

/// Adjusts p-values and intervals for the number of laws.
fn adjust_laws(laws: &mut [RelativeLaw], options: &Options) -> Result<(), FitError> {
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
    for (i, law) in laws.iter_mut().enumerate() {
        law.multiplicity = Multiplicity {
            holm_p: holm[i],
            hochberg_p: hochberg[i],
            bh_q: bh[i],
            by_q: by[i],
            selected: (bh[i] <= options.alpha).then(|| law.delta_beta.at_level(selected)),
            simultaneous: law.delta_beta.at_level(simultaneous),
            max_t: None,
        };
    }
    adjust_equivalence(laws.iter_mut().map(|l| &mut l.equivalence))
}

/// Holm-adjusts the tests of equivalence, which are a family of their own.
pub(crate) fn adjust_equivalence<'l>(
    tests: impl Iterator<Item = &'l mut Equivalence>,
) -> Result<(), FitError> {
    let tests: Vec<&mut Equivalence> = tests.collect();
    let p: Vec<f64> = tests.iter().map(|t| t.p_value).collect();
    for (test, holm) in tests.into_iter().zip(adjust(&p, Correction::Holm)?) {
        test.holm_p = holm;
    }
    Ok(())
}

/// The verdict of a law with adjusted p-values; `range` holds the centred log scales at both ends.
pub(crate) fn verdict(
    level: Interval,
    delta_beta: &Estimate,
    range: [f64; 2],
    holm_p: f64,
    equivalence: &Equivalence,
    options: &Options,
) -> Verdict {
    decide(&Evidence {
        level,
        ends: ends(level.value, delta_beta.value, range),
        slope: delta_beta.value,
        differs: holm_p <= options.alpha,
        equivalent: equivalence.holm_p <= options.alpha,
    })
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
