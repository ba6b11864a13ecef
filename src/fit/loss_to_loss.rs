//! Loss-to-loss: the fall of one distribution's log error per fall of another's.

use super::comparison::Comparison;
use super::contrast::{self, FittedContrast};
use super::error::FitError;
use super::estimate::Coefficient;
use super::options::{ItemSampling, Options};
use super::result::LossToLoss;
use super::stats::quantile::t_critical;
use super::stats::regression::fieller;

/// `κ = β_t/β_b` with Fieller's set.
///
/// The scale is the instrument: both exponents are slopes on it, so that noise in the baseline's
/// losses does not bias κ as it would the slope of one loss on the other.
pub(crate) fn loss_to_loss(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Result<LossToLoss, FitError> {
    let (treatment, baseline) = (comparison.treatment, comparison.baseline);
    // A ratio of errors has no law by itself that another one could be measured by.
    if [treatment, baseline]
        .iter()
        .any(|&d| comparison.corpus().is_ratio(d))
    {
        return Err(FitError::Unsupported {
            reason: "loss-to-loss compares errors, not ratios of errors".into(),
        });
    }
    let fit = |terms: &[(usize, f64)]| contrast::fit(comparison.view, terms, options);
    let (t, b) = (fit(&[(treatment, 1.0)])?, fit(&[(baseline, 1.0)])?);
    let forms = [&t, &b, &comparison.unmoderated].map(|f| variance_forms(f, options));
    let kappa = Some(t.slope / b.slope).filter(|k| k.is_finite());
    // Degrees of freedom at the estimate: they vary along the set, and Fieller's method takes one
    // number.
    let df = match kappa {
        Some(k) => {
            fit(&[(treatment, 1.0), (baseline, -k)])?
                .variance(Coefficient::Slope, options.items)
                .1
        }
        None => t.run_variance(Coefficient::Slope).1,
    };
    let critical = t_critical(1.0 - options.alpha, df);
    Ok(LossToLoss {
        kappa,
        set: fieller(
            [t.slope, -b.slope],
            largest_form(forms, kappa.unwrap_or(0.0)),
            critical,
        ),
        df,
    })
}

/// The three variances of which the largest is that of the slope: runs, items, and their sum.
fn variance_forms(f: &FittedContrast, options: &Options) -> [f64; 3] {
    let run = f.run.slope + f.frontier.slope + f.specification.slope;
    match options.items {
        ItemSampling::Fixed => [run, 0.0, run],
        ItemSampling::Population => [
            run,
            f.item.slope,
            run + f.item.slope - f.idiosyncratic.slope,
        ],
    }
}

/// Variance of the treatment's slope, its covariance with the negated slope of the baseline, and the
/// baseline's variance, by the form with the largest variance of `β_t − κ β_b`.
///
/// Every form is quadratic in the contrast: those of treatment, baseline and ratio give the covariance.
fn largest_form([own_t, own_b, own_ratio]: [[f64; 3]; 3], kappa: f64) -> [f64; 3] {
    let cross = |k: usize| {
        let bound = (own_t[k] * own_b[k]).max(0.0).sqrt();
        // The three variances are each the largest of several forms, so the difference may leave
        // the range of a covariance.
        (0.5 * (own_t[k] + own_b[k] - own_ratio[k])).clamp(-bound, bound)
    };
    let form = |k: usize| [own_t[k], -cross(k), own_b[k]];
    let value = |k: usize| {
        let [tt, tb, bb] = form(k);
        tt + 2.0 * kappa * tb + kappa * kappa * bb
    };
    let largest = [1, 2]
        .into_iter()
        .fold(0, |a, b| if value(b) > value(a) { b } else { a });
    form(largest)
}
