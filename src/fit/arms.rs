//! Training corpora as arms: one distribution compared between corpora.

use super::between::Pairing;
use super::claim::Claim;
use super::contrast::{self, FittedContrast, Part};
use super::diagnostics::curvature;
use super::error::FitError;
use super::estimate::Coefficient;
use super::families::{DecisionLevel, adjust_equivalence, same_family};
use super::flags::plan_flags;
use super::logarithm::{exp, is_representable, range};
use super::options::Options;
use super::question::Question;
use super::relative_law::percent_per_decade;
use super::result::{ArmLaw, ArmReading, Equivalence, GapEquivalence, Verdict};
use super::stats::multiplicity::{Correction, adjust};
use super::verdict::{Flag, LineEstimates};
use super::view::CorpusView;

/// An arm, the distribution compared, and its law.
type Found<'q> = (&'q str, Option<&'q str>, Result<ArmLaw, FitError>);

/// The laws of each distribution between the baseline corpus of the options and every other one.
pub(crate) fn laws<'q>(views: &[CorpusView<'q>], question: &'q Question<'_>) -> Vec<Found<'q>> {
    let Some(name) = &question.options.corpus_baseline else {
        return Vec::new();
    };
    let Some(baseline) = views.iter().find(|v| v.corpus.name == *name) else {
        let reason = "the baseline corpus cannot be analysed itself".into();
        return vec![(name, None, Err(FitError::Unsupported { reason }))];
    };
    let mut found: Vec<Found<'q>> = Vec::new();
    for arm in views.iter().filter(|v| v.corpus.name != *name) {
        for d in question.compared() {
            // A rate is a count of its own runs and has no logarithm to subtract.
            if !question.is_error_rate(d) {
                let law = arm_law(arm, baseline, d, question.options);
                found.push((arm.corpus.name, Some(question.name(d)), law));
            }
        }
    }
    found
}

/// The law of `distribution` in the corpus `arm` over that in the corpus `baseline`. Its verdict is
/// open until [`decide`] has seen its family.
fn arm_law(
    arm: &CorpusView<'_>,
    baseline: &CorpusView<'_>,
    distribution: usize,
    options: &Options,
) -> Result<ArmLaw, FitError> {
    let pairing = Pairing::new(arm, baseline, options)?;
    let part = |view, sign: f64| Part {
        view,
        terms: vec![(distribution, sign)],
    };
    let parts = [part(arm, 1.0), part(baseline, -1.0)];
    let fitted = contrast::fit_parts(&parts, Some(&pairing), options)?;
    let estimate = |k| fitted.estimate(k, options.items, options.alpha);
    let (level, slope) = (estimate(Coefficient::Level), estimate(Coefficient::Slope));
    let numbers = [level.value, slope.lower, slope.value, slope.upper];
    if !numbers.into_iter().all(is_representable) {
        return Err(FitError::Unsupported {
            reason: "the errors of two corpora are too far apart for a finite result".into(),
        });
    }
    let x = pairing.x();
    let line = LineEstimates {
        level,
        slope,
        cross: Some(fitted.covariance(options.items).cross),
    };
    Ok(ArmLaw {
        corpus: arm.corpus.name.into(),
        baseline_corpus: baseline.corpus.name.into(),
        distribution: arm.corpus.name_of(distribution).into(),
        design: arm.plan.design,
        reference_flops: exp(pairing.origin),
        delta_beta: slope,
        gamma: level.interval().map(exp),
        percent_per_decade: slope.interval().map(percent_per_decade),
        equivalence: Equivalence::of(&slope, options),
        gap: GapEquivalence::of(&line.ends(range(x), options.alpha), options),
        verdict: Verdict::Inconclusive,
        sentence: String::new(),
        flags: flags([arm, baseline], &pairing, &fitted, options)?,
        decision: slope.interval(),
        family_size: 1,
        holm_p: 1.0,
        readings: readings(&pairing, &fitted),
    })
}

fn readings(pairing: &Pairing, fitted: &FittedContrast) -> Vec<ArmReading> {
    let residuals = fitted.fit.residuals();
    let each = pairing.x().iter().zip(&fitted.readings).zip(residuals);
    each.map(|((x, &log_ratio), &residual)| ArmReading {
        scale: exp(pairing.origin + x),
        log_ratio,
        residual,
    })
    .collect()
}

/// Reservations of either corpus, and of the line through their difference.
fn flags(
    views: [&CorpusView<'_>; 2],
    pairing: &Pairing,
    fitted: &FittedContrast,
    options: &Options,
) -> Result<Vec<Flag>, FitError> {
    let curved = curvature(&pairing.regression, &fitted.readings, options)?.questioned;
    let own = [
        (curved, Flag::PowerLawQuestioned),
        (fitted.lacks_item_variance, Flag::NoItemVariance),
    ];
    let of_views = views.into_iter().flat_map(|view| plan_flags(view, options));
    let raised = of_views.chain(own);
    let mut flags: Vec<Flag> = raised.filter(|f| f.0).map(|f| f.1).collect();
    flags.sort_unstable();
    flags.dedup();
    Ok(flags)
}

/// Sorts the laws, adjusts them for their number and decides. A family is the laws of one corpus.
pub(crate) fn decide(laws: &mut [ArmLaw], options: &Options, scale: &str) -> Result<(), FitError> {
    laws.sort_by(|a, b| (&a.corpus, &a.distribution).cmp(&(&b.corpus, &b.distribution)));
    let together = |a: &ArmLaw, b: &ArmLaw| same_family(&a.corpus, &b.corpus, options);
    for family in laws.chunk_by_mut(together) {
        let p: Vec<f64> = family.iter().map(|l| l.delta_beta.p_value).collect();
        let holm = adjust(&p, Correction::Holm)?;
        adjust_equivalence(family.iter_mut().map(|l| (&mut l.equivalence, &mut l.gap)))?;
        let family_size = family.len();
        for (law, (&p, &holm_p)) in family.iter_mut().zip(p.iter().zip(&holm)) {
            let level = DecisionLevel {
                p,
                holm_p,
                family: family_size,
            };
            let alpha = level.alpha(options.alpha);
            law.decision = law.delta_beta.at_level(1.0 - alpha);
            (law.family_size, law.holm_p) = (family_size, holm_p);
            let sides = [&law.corpus, &law.baseline_corpus]
                .map(|corpus| format!("{} in {corpus}", law.distribution));
            (law.verdict, law.sentence) = Claim::of_arm(law, &sides).decide(options, scale);
        }
    }
    Ok(())
}
