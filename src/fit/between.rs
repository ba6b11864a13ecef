//! Differences between corpora of one exponent.

use super::contrast::{self, FittedContrast, Part};
use super::design::Design;
use super::error::FitError;
use super::estimate::Coefficient;
use super::options::Options;
use super::readings::{ReadingRegression, SPREAD};
use super::result::ContrastLaw;
use super::stats::multiplicity::{Correction, adjust};
use super::view::CorpusView;

/// The law of a contrast, alone in its family until [`adjust_family`] has seen the others.
pub(crate) fn contrast_law(
    name: String,
    corpora: &[&str],
    fitted: &FittedContrast,
    options: &Options,
) -> ContrastLaw {
    ContrastLaw {
        name,
        corpora: corpora.iter().map(|c| (*c).to_owned()).collect(),
        exponent: fitted.estimate(Coefficient::Slope, options.items, options.alpha),
        level: fitted
            .estimate(Coefficient::Level, options.items, options.alpha)
            .interval(),
        // A placeholder until the whole family is known; 1 claims nothing if that never comes.
        holm_p: 1.0,
    }
}

/// Sets the Holm-adjusted p-values of the family that `laws` form.
pub(crate) fn adjust_family(laws: &mut [ContrastLaw]) -> Result<(), FitError> {
    let p: Vec<f64> = laws.iter().map(|l| l.exponent.p_value).collect();
    for (law, holm) in laws.iter_mut().zip(adjust(&p, Correction::Holm)?) {
        law.holm_p = holm;
    }
    Ok(())
}

/// Difference of the exponents of `treatment` against `baseline` between two corpora, each read at
/// its own frontier.
pub(crate) fn between(
    one: &CorpusView<'_>,
    two: &CorpusView<'_>,
    treatment: usize,
    baseline: usize,
    options: &Options,
) -> Result<ContrastLaw, FitError> {
    let name = one.corpus.name_of(treatment);
    let label = format!("{name}: {} - {}", one.corpus.name, two.corpus.name);
    let budgets =
        |v: &CorpusView<'_>| -> Vec<f64> { v.plan.groups.iter().map(|g| g.budget).collect() };
    // Labels that are logged FLOPs differ between corpora by what they differ within one.
    let alike = |a: &[f64], b: &[f64]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a / b - 1.0).abs() <= SPREAD)
    };
    if [one, two].iter().any(|v| v.plan.design == Design::Grid)
        || one.plan.design != two.plan.design
        // Matched by label: the readings are subtracted budget by budget, and shocks of a budget
        // cancel.
        || !alike(&budgets(one), &budgets(two))
    {
        return Err(FitError::Unsupported {
            reason: format!(
                "{label}: corpora are compared budget by budget, and these differ in budgets"
            ),
        });
    }
    let x: Vec<f64> = one
        .plan
        .x
        .iter()
        .zip(&two.plan.x)
        // Real FLOPs of two corpora differ within a budget by up to the tolerance of a budget.
        .map(|(a, b)| 0.5 * (a + b))
        .collect();
    let regression = ReadingRegression::new(
        vec![vec![1.0; x.len()], x.clone()],
        one.plan.main().regression.weights.clone(),
        Vec::new(),
        options,
    )?;
    let part = |view, sign: f64| Part {
        view,
        terms: vec![(treatment, sign), (baseline, -sign)],
    };
    let fitted = contrast::fit_parts(
        &[part(one, 1.0), part(two, -1.0)],
        Some(&regression),
        options,
    )?;
    Ok(contrast_law(
        label,
        &[one.corpus.name, two.corpus.name],
        &fitted,
        options,
    ))
}
