//! Loss-to-loss: how fast one distribution's log error falls per fall of another's.

use super::contrast::{self, Fitted, Part, View};
use super::error::FitError;
use super::options::{Items, Options};
use super::result::LossToLoss;
use super::stats::quantile::t_critical;
use super::stats::regression::fieller;

/// `κ = β_t/β_b` with Fieller's set; `ratio` is the fitted contrast `ln E_t − ln E_b`.
///
/// The scale is the instrument: both exponents are slopes on it, so that noise in the baseline's
/// losses does not bias κ as it would the slope of one loss on the other.
pub(crate) fn loss_to_loss(
    view: &View<'_>,
    treatment: usize,
    baseline: usize,
    ratio: &Fitted,
    options: &Options,
) -> Result<LossToLoss, FitError> {
    let fit = |terms: Vec<(usize, f64)>| contrast::fit(&[Part { view, terms }], None, options);
    let (t, b) = (fit(vec![(treatment, 1.0)])?, fit(vec![(baseline, 1.0)])?);
    // Every part of the variance is a quadratic form in the contrast: three contrasts give the
    // covariance of the two slopes.
    let forms = |f: &Fitted| {
        let run = f.run.slope + f.frontier.slope + f.specification.slope;
        match options.items {
            Items::Fixed => [run, 0.0, run],
            Items::Population => [
                run,
                f.item.slope,
                run + f.item.slope - f.idiosyncratic.slope,
            ],
        }
    };
    let (own_t, own_b, own_ratio) = (forms(&t), forms(&b), forms(ratio));
    let kappa = Some(t.slope / b.slope).filter(|k| k.is_finite());
    let at = kappa.unwrap_or(0.0);
    let cross = |k: usize| {
        let bound = (own_t[k] * own_b[k]).max(0.0).sqrt();
        (0.5 * (own_t[k] + own_b[k] - own_ratio[k])).clamp(-bound, bound)
    };
    let form = |k: usize| [own_t[k], -cross(k), own_b[k]];
    let value = |k: usize| {
        let [tt, tb, bb] = form(k);
        tt + 2.0 * at * tb + at * at * bb
    };
    // The largest of the three at the estimate, as in the variance of the exponent.
    let largest = [1, 2]
        .into_iter()
        .fold(0, |a, b| if value(b) > value(a) { b } else { a });
    let df = match kappa {
        Some(k) => {
            fit(vec![(treatment, 1.0), (baseline, -k)])?
                .variance(1, options.items)
                .1
        }
        None => t.run_df[1],
    };
    let critical = t_critical(1.0 - options.alpha, df);
    Ok(LossToLoss {
        kappa,
        set: fieller([t.slope, -b.slope], form(largest), critical),
        df,
    })
}
