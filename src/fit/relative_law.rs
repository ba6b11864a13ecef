//! The relative law of one comparison: headline, line, readings, diagnostics and alternatives.

use super::alternatives::alternatives;
use super::comparison::Comparison;
use super::contrast::FittedContrast;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate};
use super::flags::flags;
use super::logarithm::{exp, range};
use super::options::Options;
use super::result::{
    Diagnostics, Equivalence, FittedLine, GapEquivalence, Multiplicity, Parity, Prediction,
    Reading, RelativeLaw, Verdict,
};
use super::stats::quantile::t_critical;
use super::stats::regression::{ConfidenceSet, fieller};
use super::verdict::LineEstimates;

/// The law of one comparison. Its verdict is open until the laws of the analysis are counted.
pub(crate) fn relative_law(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Result<RelativeLaw, FitError> {
    let alternatives = alternatives(comparison, options)?;
    let diagnostics = Diagnostics::of(comparison, options)?;
    let line = line(comparison, options);
    let predictions: Vec<Prediction> = options
        .predict_at
        .iter()
        .map(|&scale| line.predict(scale))
        .collect();
    let flags = flags(
        comparison,
        &diagnostics,
        &alternatives,
        &predictions,
        options,
    );
    let delta_beta = comparison.delta_beta;
    Ok(RelativeLaw {
        corpus: comparison.corpus().name.into(),
        treatment: comparison.name(comparison.treatment).into(),
        baseline: comparison.name(comparison.baseline).into(),
        design: comparison.view.plan.design,
        reference_flops: exp(comparison.view.plan.origin),
        delta_beta,
        gamma: comparison.level.interval().map(exp),
        percent_per_decade: delta_beta.interval().map(percent_per_decade),
        equivalence: Equivalence::of(&delta_beta, options),
        gap: GapEquivalence::of(&ends(comparison, options), options),
        // Until all laws are known: a verdict rests on p-values adjusted for their number.
        verdict: Verdict::Inconclusive,
        sentence: String::new(),
        flags,
        parity: parity(comparison, options),
        predictions,
        multiplicity: Multiplicity::alone(&delta_beta),
        line,
        readings: readings(comparison),
        diagnostics,
        alternatives,
    })
}

/// `ln G` at both ends of the ladder.
fn ends(comparison: &Comparison<'_, '_>, options: &Options) -> [Estimate; 2] {
    let line = LineEstimates {
        level: comparison.level,
        slope: comparison.delta_beta,
        cross: Some(comparison.fitted.covariance(options.items).cross),
    };
    line.ends(range(&comparison.view.plan.x), options.alpha)
}

/// `100 (10^Δβ − 1)`, cut off where the power would overflow.
pub(crate) fn percent_per_decade(delta_beta: f64) -> f64 {
    // e^709.8 overflows, and JSON has no infinity.
    100.0 * libm::expm1((delta_beta * std::f64::consts::LN_10).min(700.0))
}

fn line(comparison: &Comparison<'_, '_>, options: &Options) -> FittedLine {
    let (plan, fitted) = (&comparison.view.plan, &comparison.fitted);
    let v = fitted.covariance(options.items);
    FittedLine {
        level: fitted.level,
        slope: fitted.slope,
        level_variance: v.level,
        covariance: v.cross,
        slope_variance: v.slope,
        residual_variance: fitted.sigma2,
        df: line_df(fitted, options),
        log_reference: plan.origin,
        range: range(&plan.x),
        confidence: 1.0 - options.alpha,
    }
}

/// Degrees of freedom of points of the line, which rest on level and slope: the fewer of both.
fn line_df(fitted: &FittedContrast, options: &Options) -> f64 {
    let of = |k| fitted.variance(k, options.items).1;
    of(Coefficient::Level).min(of(Coefficient::Slope))
}

/// Fieller's set of the scales with `G = 1`.
fn parity(comparison: &Comparison<'_, '_>, options: &Options) -> Parity {
    let (fitted, origin) = (&comparison.fitted, comparison.view.plan.origin);
    let v = fitted.covariance(options.items);
    let t = t_critical(1.0 - options.alpha, line_df(fitted, options));
    // A slope of zero has no crossing: the quotient is not finite and is left out.
    let at = -fitted.level / fitted.slope;
    let set = fieller([fitted.level, fitted.slope], [v.level, v.cross, v.slope], t);
    Parity {
        log10_scale: at
            .is_finite()
            .then(|| (origin + at) / std::f64::consts::LN_10),
        set: in_decades(set.shifted(origin)),
    }
}

fn in_decades(set: ConfidenceSet) -> ConfidenceSet {
    let k = std::f64::consts::LN_10;
    match set {
        ConfidenceSet::Bounded { lower, upper } => ConfidenceSet::Bounded {
            lower: lower / k,
            upper: upper / k,
        },
        ConfidenceSet::Outside { below, above } => ConfidenceSet::Outside {
            below: below / k,
            above: above / k,
        },
        ConfidenceSet::Below { upper } => ConfidenceSet::Below { upper: upper / k },
        ConfidenceSet::Above { lower } => ConfidenceSet::Above { lower: lower / k },
        other => other,
    }
}

fn readings(comparison: &Comparison<'_, '_>) -> Vec<Reading> {
    let (plan, fitted) = (&comparison.view.plan, &comparison.fitted);
    let main = plan.main();
    // Too few readings, or one on which a coefficient rests alone, leave nothing to compare with.
    let influence = fitted.fit.influence().ok();
    let slope = Coefficient::Slope.column();
    let scales = plan.scales();
    (0..fitted.readings.len())
        .map(|j| Reading {
            budget: plan.groups[j].budget,
            scale: scales[j],
            params: exp(main.read_at[j]),
            log_ratio: fitted.readings[j],
            treatment_error: exp(comparison.log_treatment[j]),
            baseline_error: exp(comparison.log_baseline[j]),
            residual: fitted.fit.residuals()[j],
            leverage: fitted.fit.leverages()[j],
            cook: influence.as_ref().map(|i| i.cook[j]),
            dfbetas: influence.as_ref().map(|i| i.dfbetas[j][slope]),
        })
        .collect()
}
