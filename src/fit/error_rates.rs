//! Laws of error rates: counts instead of logarithms, over the runs of a corpus.
//!
//! Rungs and grids are one regression of counts on the scale, with the dispersion between runs as
//! its variance; the residuals of two distributions in one run may be correlated. On an IsoFLOP
//! ladder the profile of every budget is a regression of counts, read at the frontier, and the line
//! through the readings has the variance of any other law. Items are a delete-one-cluster jackknife
//! of the whole fit; since noise of items in runs is part of both variances, their sum errs on the
//! wide side.

mod checks;
mod equation;
mod line;
mod readings;
mod side;

use self::line::ErrorLine;
use self::side::{Data, Side};
use super::claim::Claim;
use super::corpus::Corpus;
use super::design::Design;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate};
use super::families::{adjust_equivalence, same_family};
use super::flags::FEWEST_CLUSTER_DF;
use super::logarithm::{LARGEST_LOG, exp, range};
use super::options::Options;
use super::question::Question;
use super::readings::ReadingPlan;
use super::result::{CountsLaw, Curvature, Equivalence, GapEquivalence, RateLaw};
use super::stats::multiplicity::{Correction, adjust};
use super::verdict::{Flag, LineEstimates, Verdict};

/// The laws of all corpora so far.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) laws: Vec<CountsLaw>,
    pub(crate) rates: Vec<RateLaw>,
}

impl Rates {
    /// Sorts the laws, adjusts them for their number and decides.
    pub(crate) fn decide(&mut self, options: &Options, scale: &str) -> Result<(), FitError> {
        let by_name = |a: &CountsLaw, b: &CountsLaw| {
            (&a.corpus, &a.treatment).cmp(&(&b.corpus, &b.treatment))
        };
        // After the verdicts: `ends` follows the order in which laws were added.
        self.laws.sort_by(by_name);
        let together = |a: &CountsLaw, b: &CountsLaw| same_family(&a.corpus, &b.corpus, options);
        for family in self.laws.chunk_by_mut(together) {
            decide_family(family, &self.rates, options, scale)?;
        }
        Ok(())
    }

    fn get(&self, corpus: &str, distribution: &str) -> Option<&RateLaw> {
        self.rates
            .iter()
            .find(|r| r.corpus == corpus && r.distribution == distribution)
    }
}

/// Adjusts the laws of one family for their number and decides.
fn decide_family(
    laws: &mut [CountsLaw],
    known: &[RateLaw],
    options: &Options,
    scale: &str,
) -> Result<(), FitError> {
    let p: Vec<f64> = laws.iter().map(|l| l.delta_beta.p_value).collect();
    let holm = adjust(&p, Correction::Holm)?;
    let tests = laws.iter_mut();
    adjust_equivalence(tests.map(|l| (&mut l.equivalence, &mut l.gap)))?;
    let family_size = laws.len();
    for (law, &holm) in laws.iter_mut().zip(&holm) {
        (law.family_size, law.holm_p) = (family_size, holm);
        let rates = [&law.treatment, &law.baseline].into_iter().filter_map(|d| {
            known
                .iter()
                .find(|r| r.corpus == law.corpus && r.distribution == *d)
        });
        // Of a guess no change can be shown, whatever the counts do.
        (law.verdict, law.sentence) = match rates.into_iter().find_map(without_law) {
            Some(reason) => (
                Verdict::Inconclusive,
                format!(
                    "{} against {}: no finding, because {reason}.",
                    law.treatment, law.baseline
                ),
            ),
            None => Claim::of_counts(law).decide(options, scale),
        };
    }
    Ok(())
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
        if s.data.is_some() && rates.get(corpus.name, question.name(d)).is_none() {
            let law = rate_law(corpus, &plan, &members, question.name(d), s, options)?;
            rates.rates.push(law);
        }
    }
    let both = ErrorLine::new(&plan, &t, Some(&b), options)?;
    let delta_beta = both.estimate(Coefficient::Slope, options);
    let level = both.estimate(Coefficient::Level, options);
    check_finite(&[delta_beta, level], question.name(treatment))?;
    let line = LineEstimates {
        level,
        slope: delta_beta,
        // The regressions of counts keep no covariance.
        cross: None,
    };
    let ends = line.ends(range(&plan.x), options.alpha);
    let curvature = checks::curvature(&plan, &t, Some(&b), options)?;
    let leave_one_out = checks::leave_one_out(&plan, &t, &b, options)?;
    let own = [treatment, baseline].map(|d| rates.get(corpus.name, question.name(d)));
    let mut flags: Vec<Flag> = (own.into_iter().flatten())
        .flat_map(|r| r.flags.iter().copied())
        // A bend that both rates have is none of their ratio, and the law of the baseline may rest on
        // the runs of another pair.
        .filter(|f| *f != Flag::PowerLawQuestioned && !OF_DATA.contains(f))
        .chain(data_flags(corpus, &members, &[&t, &b]))
        .chain(curvature.questioned.then_some(Flag::PowerLawQuestioned))
        .chain((leave_one_out.verdict_stability < 1.0).then_some(Flag::InfluentialReading))
        .collect();
    flags.sort_unstable();
    flags.dedup();
    let readings = readings::of_ratio(corpus, &plan, &t, &b);
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
        family_size: 1,
        holm_p: 1.0,
        equivalence: Equivalence::of(&delta_beta, options),
        pre_onset: [&t, &b]
            .into_iter()
            .filter_map(|s| s.data.as_ref())
            .any(|c| c.pre_onset),
        gap: GapEquivalence::of(&ends, options),
        flags,
        verdict: Verdict::Inconclusive,
        sentence: String::new(),
        readings,
        curvature,
        leave_one_out,
    });
    Ok(())
}

/// Adds the law of the baseline, an error rate without any other distribution beside it.
pub(crate) fn fit_alone(
    corpus: &Corpus<'_>,
    question: &Question<'_>,
    rates: &mut Rates,
) -> Result<(), FitError> {
    let (b, options) = (question.baseline, question.options);
    let members = members(corpus, [b, b]);
    let plan = ReadingPlan::new(corpus, &members, options)?;
    let side = Side::new(corpus, &plan, b, &question.cluster_ids[b], options)?;
    let law = rate_law(corpus, &plan, &members, question.name(b), &side, options)?;
    rates.rates.push(law);
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
    members: &[usize],
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
    let curvature = checks::curvature(plan, side, None, options)?;
    let mut flags = rate_flags(data, &slope.negated(), &curvature);
    flags.extend(data_flags(corpus, members, &[side]));
    flags.sort_unstable();
    Ok(RateLaw {
        flags,
        readings: readings::of_rate(corpus, plan, side),
        curvature,
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

/// The reservations about clusters and runs.
const OF_DATA: [Flag; 4] = [
    Flag::NoItemVariance,
    Flag::FewClusters,
    Flag::DroppedClusters,
    Flag::DroppedRuns,
];

/// Those that hold of the runs at `members` on `sides`, as for laws of losses.
fn data_flags(corpus: &Corpus<'_>, members: &[usize], sides: &[&Side]) -> Vec<Flag> {
    let clusters = || sides.iter().map(|s| &s.clusters);
    let silent = clusters().any(|c| c.silent);
    let few = clusters().any(|c| c.df < FEWEST_CLUSTER_DF);
    let runs = (0..corpus.runs.len()).filter(|&m| !corpus.held_out(m));
    let raised = [
        silent,
        !silent && few,
        clusters().any(|c| c.dropped > 0),
        members.len() < runs.count(),
    ];
    (raised.into_iter().zip(OF_DATA))
        .filter_map(|(raised, flag)| raised.then_some(flag))
        .collect()
}

/// The reservations of one rate with the exponent `beta`, in no order.
fn rate_flags(data: &Data, beta: &Estimate, curvature: &Curvature) -> Vec<Flag> {
    [
        (data.pre_onset, Flag::PreOnset),
        (
            data.ceiling.is_none() && beta.lower <= 0.0,
            Flag::ChanceUnknown,
        ),
        (curvature.questioned, Flag::PowerLawQuestioned),
        (data.overdispersed, Flag::Overdispersed),
    ]
    .into_iter()
    .filter_map(|(raised, flag)| raised.then_some(flag))
    .collect()
}

/// The reason why nothing can be said of a rate, if there is one: it is that of a guess, or may be.
fn without_law(rate: &RateLaw) -> Option<String> {
    let name = &rate.distribution;
    if rate.flags.contains(&Flag::ChanceUnknown) {
        return Some(format!(
            "the error rate of {name} does not fall (β {:+.4} [{:+.4}, {:+.4}]) and its chance level \
             is not given",
            rate.beta.value, rate.beta.lower, rate.beta.upper
        ));
    }
    let ceiling = rate
        .ceiling
        .filter(|_| rate.pre_onset && rate.beta.lower <= 0.0)?;
    Some(format!(
        "the error rate of {name} is at chance ({:.3} in the middle of the ladder, {ceiling:.3} by \
         guessing)",
        rate.alpha.value
    ))
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
