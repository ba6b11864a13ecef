//! Laws of error rates: counts instead of logarithms, over the runs of a corpus.
//!
//! Rungs and grids are one regression of counts on the scale, with the dispersion between runs as
//! its variance; the residuals of two distributions in one run may be correlated. On an IsoFLOP
//! ladder the profile of every budget is a regression of counts, read at the frontier, and the line
//! through the readings has the variance of any other law. Items are a delete-one-cluster jackknife
//! of the whole fit; since noise of items in runs is part of both variances, their sum errs on the
//! wide side.

mod line;
mod side;

use self::line::ErrorLine;
use self::side::Side;
use super::corpus::Corpus;
use super::design::Design;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate};
use super::families::{adjust_equivalence, verdict};
use super::logarithm::{LARGEST_LOG, exp, range};
use super::options::Options;
use super::question::Question;
use super::readings::ReadingPlan;
use super::result::{CountsLaw, Equivalence, RateLaw};
use super::stats::multiplicity::{Correction, adjust};
use super::verdict::Verdict;

/// The laws of all corpora so far.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) laws: Vec<CountsLaw>,
    pub(crate) rates: Vec<RateLaw>,
    /// Centred scales at the ends of each law's ladder.
    ends: Vec<[f64; 2]>,
}

impl Rates {
    /// Adjusts for the number of laws, decides, and sorts.
    pub(crate) fn decide(&mut self, options: &Options) -> Result<(), FitError> {
        let p: Vec<f64> = self.laws.iter().map(|l| l.delta_beta.p_value).collect();
        let holm = adjust(&p, Correction::Holm)?;
        adjust_equivalence(self.laws.iter_mut().map(|l| &mut l.equivalence))?;
        for ((law, &holm), &ends) in self.laws.iter_mut().zip(&holm).zip(&self.ends) {
            law.holm_p = holm;
            let level = law.gamma.map(libm::log);
            law.verdict = verdict(
                level,
                &law.delta_beta,
                ends,
                holm,
                &law.equivalence,
                options,
            );
        }
        let by_name = |a: &CountsLaw, b: &CountsLaw| {
            (&a.corpus, &a.treatment).cmp(&(&b.corpus, &b.treatment))
        };
        // After the verdicts: `ends` follows the order in which laws were added.
        self.laws.sort_by(by_name);
        Ok(())
    }

    fn has(&self, corpus: &str, distribution: &str) -> bool {
        self.rates
            .iter()
            .any(|r| r.corpus == corpus && r.distribution == distribution)
    }
}

/// Adds the law of `treatment` against the baseline in one corpus, and the laws of both error rates.
pub(crate) fn fit(
    corpus: &Corpus<'_>,
    treatment: usize,
    question: &Question<'_>,
    rates: &mut Rates,
) -> Result<(), FitError> {
    let (baseline, options) = (question.baseline, question.options);
    let members = members(corpus, [treatment, baseline]);
    let plan = ReadingPlan::new(corpus, &members, options)?;
    let side = |d: usize| Side::new(corpus, &plan, d, &question.cluster_ids[d], options);
    let (t, b) = (side(treatment)?, side(baseline)?);
    // The baseline's own law comes with its first pair.
    for (d, s) in [(treatment, &t), (baseline, &b)] {
        if s.data.is_some() && !rates.has(corpus.name, question.name(d)) {
            let law = rate_law(corpus, &plan, question.name(d), s, options)?;
            rates.rates.push(law);
        }
    }
    let both = ErrorLine::new(&plan, &t, Some(&b), options)?;
    let delta_beta = both.estimate(Coefficient::Slope, options);
    let level = both.estimate(Coefficient::Level, options);
    check_finite(&[delta_beta, level], question.name(treatment))?;
    rates.laws.push(CountsLaw {
        corpus: corpus.name.into(),
        treatment: question.name(treatment).into(),
        baseline: question.name(baseline).into(),
        design: plan.design,
        delta_beta,
        gamma: level.interval().map(exp),
        reference_flops: exp(plan.origin),
        run_variance: both.run.slope,
        item_variance: both.item.map(|v| v.slope),
        holm_p: 1.0,
        equivalence: Equivalence::of(&delta_beta, options),
        pre_onset: [&t, &b]
            .into_iter()
            .filter_map(|s| s.data.as_ref())
            .any(|c| c.pre_onset),
        verdict: Verdict::Inconclusive,
    });
    rates.ends.push(range(&plan.x));
    Ok(())
}

/// Positions of the runs scored on both distributions, and with an aggregate if sizes are picked by it.
fn members(corpus: &Corpus<'_>, distributions: [usize; 2]) -> Vec<usize> {
    let scores = corpus.ladder.scores();
    let scored = |m: usize, d: usize| !scores[d].run(corpus.runs[m]).is_empty();
    (0..corpus.runs.len())
        .filter(|&m| !corpus.held_out(m))
        .filter(|&m| distributions.iter().all(|&d| scored(m, d)))
        // Unlike a loss, a rate needs no finite logarithm: runs without errors stay.
        .filter(|&m| corpus.design != Design::Isoflop || corpus.aggregate[m].is_finite())
        .collect()
}

fn rate_law(
    corpus: &Corpus<'_>,
    plan: &ReadingPlan,
    name: &str,
    side: &Side,
    options: &Options,
) -> Result<RateLaw, FitError> {
    let Some(data) = &side.data else {
        return Err(FitError::Unknown {
            what: "error rate",
            name: name.into(),
            known: options.error_rates.iter().cloned().collect(),
        });
    };
    let own = ErrorLine::new(plan, side, None, options)?;
    let slope = own.estimate(Coefficient::Slope, options);
    let level = own.estimate(Coefficient::Level, options);
    check_finite(&[slope, level], name)?;
    Ok(RateLaw {
        corpus: corpus.name.into(),
        distribution: name.into(),
        beta: slope.negated(),
        alpha: level.interval().map(exp),
        reference_flops: exp(plan.origin),
        dispersion: data.dispersion,
        runs: data.runs,
        zeros: data.zeros,
        ceiling: data.ceiling,
        below_ceiling: data.below_ceiling,
        above_ceiling: data.above_ceiling,
        pre_onset: data.pre_onset,
    })
}

/// Refuses estimates that a result cannot hold.
fn check_finite(estimates: &[Estimate], name: &str) -> Result<(), FitError> {
    let sound = estimates.iter().all(|e| {
        let numbers = [e.value, e.lower, e.upper, e.standard_error, e.df];
        numbers.iter().all(|v| v.is_finite()) && e.value.abs() < LARGEST_LOG
    });
    if sound {
        Ok(())
    } else {
        Err(FitError::Unsupported {
            reason: format!("the counts of {name:?} give no finite result"),
        })
    }
}
