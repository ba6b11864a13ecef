//! Checks of laws of counts: curvature along the scale, the influence of each run, dispersion.

use crate::fit::diagnostics::{curvature as of_readings, leave_readings_out};
use crate::fit::error::FitError;
use crate::fit::estimate::{Coefficient, Estimate};
use crate::fit::flags::QUESTIONED;
use crate::fit::options::Options;
use crate::fit::readings::ReadingPlan;
use crate::fit::result::{Curvature, LeaveOneOut};
use crate::fit::stats::quantile::chi2_quantile;
use crate::fit::verdict::{LineEstimates, Verdict, unadjusted};

use super::equation::{Difference, Equation, clusters, columns};
use super::line::less;
use super::side::{Shape, Side};

/// Dispersion from which runs are flagged as scattering by more than items explain: a standard
/// deviation of twice the binomial one. Training noise alone makes dispersions of one to three on
/// benchmarks of a thousand items; beyond four a wrong mean is the likelier reason.
const LARGEST_DISPERSION: f64 = 4.0;

/// If true, Pearson's χ² over its `df` is large by the convention above, and not by the luck of few
/// runs.
pub(super) fn overdispersed(dispersion: f64, df: usize) -> bool {
    let df = df as f64;
    df > 0.0
        && dispersion > LARGEST_DISPERSION
        && dispersion > chi2_quantile(1.0 - QUESTIONED, df) / df
}

/// The coefficient of the squared log scale in the rate of `t`, or in its ratio to `b`.
pub(super) fn curvature(
    plan: &ReadingPlan,
    t: &Side,
    b: Option<&Side>,
    options: &Options,
) -> Result<Curvature, FitError> {
    if let Shape::Profiles { main, .. } = &t.shape {
        let main = less(main, b.and_then(Side::readings));
        return of_readings(&plan.main().regression, &main.readings, options);
    }
    let runs = plan.runs();
    let mut columns = columns(plan, &runs);
    let last = columns.len();
    let square: Vec<f64> = columns[1].iter().map(|x| x * x).collect();
    columns.push(square);
    // As many runs as terms leave nothing to test by, and rates that bend towards zero or one have
    // no maximum: both are no evidence of a bend.
    let fit = |s: &Side| s.values.fit(&columns).ok().filter(|e| e.df > 0);
    let (own, other) = (fit(t), b.map(fit));
    let coefficient = match (own, other) {
        (None, _) | (_, Some(None)) => None,
        (Some(own), other) => {
            let other = other.flatten();
            let clusters = clusters(plan);
            let pair = Difference::new(&columns, &clusters, &own, other.as_ref());
            let variance = pair.variance(last);
            Some(Estimate::new(
                pair.coefficient(last),
                variance,
                pair.df(),
                options.alpha,
            ))
        }
    };
    Ok(Curvature {
        questioned: coefficient.is_some_and(|c| c.p_value < QUESTIONED),
        coefficient,
        // A quasi-likelihood has no information criterion.
        aicc: [None; 3],
    })
}

/// The law of `t` against `b` without each run, or on an IsoFLOP ladder without each budget.
pub(super) fn leave_one_out(
    plan: &ReadingPlan,
    t: &Side,
    b: &Side,
    options: &Options,
) -> Result<LeaveOneOut, FitError> {
    if let Shape::Profiles { main, .. } = &t.shape {
        let main = less(main, b.readings());
        let regression = &plan.main().regression;
        let fit = regression.fit(&main.readings)?;
        return leave_readings_out(regression, &main.readings, &fit, &plan.x, options);
    }
    let runs = plan.runs();
    let (columns, clusters) = (columns(plan, &runs), clusters(plan));
    let line = |keep: &[usize]| -> Option<LineEstimates> {
        let pick = |v: &[f64]| -> Vec<f64> { keep.iter().map(|&i| v[i]).collect() };
        let columns: Vec<Vec<f64>> = columns.iter().map(|c| pick(c)).collect();
        let own: Vec<usize> = match clusters.is_empty() {
            true => Vec::new(),
            false => keep.iter().map(|&i| clusters[i]).collect(),
        };
        let fit = |s: &Side| s.values.some(keep).fit(&columns).ok();
        let (t, b): (Equation, Equation) = (fit(t)?, fit(b)?);
        if t.df == 0 {
            return None;
        }
        let pair = Difference::new(&columns, &own, &t, Some(&b));
        let of = |k: Coefficient| {
            let k = k.column();
            Estimate::new(
                pair.coefficient(k),
                pair.variance(k),
                pair.df(),
                options.alpha,
            )
        };
        Some(LineEstimates {
            level: of(Coefficient::Level),
            slope: of(Coefficient::Slope),
            cross: None,
        })
    };
    let all: Vec<usize> = (0..runs.len()).collect();
    let Some(whole) = line(&all) else {
        return Err(FitError::Singular {
            what: "a law of counts".into(),
        });
    };
    let verdict = |l: &LineEstimates| -> Verdict { unadjusted(l, &plan.x, options) };
    let expected = verdict(&whole);
    let (mut values, mut same) = (Vec::new(), 0);
    for j in 0..runs.len() {
        let rest: Vec<usize> = all.iter().copied().filter(|&i| i != j).collect();
        let Some(line) = line(&rest) else {
            continue;
        };
        same += usize::from(verdict(&line) == expected);
        values.push(line.slope.value);
    }
    Ok(LeaveOneOut::of(values, same, whole.slope.value))
}
