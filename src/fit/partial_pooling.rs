//! Partial pooling: the exponents of the treatments of one corpus drawn towards their mean.

use super::contrast::{self, MOST_DF};
use super::error::FitError;
use super::estimate::{Coefficient, Estimate};
use super::exponents::centred;
use super::question::Question;
use super::result::{PartialPooling, RelativeLaw, ShrunkExponent};
use super::stats::checks::check_count;
use super::stats::meta::shrink;
use super::view::CorpusView;

/// Smallest share of their mean that an own variance may have. Variances on five degrees of freedom
/// scatter by a factor of three; one that comes out near zero would take all of the weight.
const LEAST_SHARE: f64 = 0.1;

/// The exponents `Δβ` of all treatments that every run has, drawn towards their mean. `laws` holds the
/// laws of the treatments by themselves, which the pooled ones are shown beside.
pub(crate) fn partial_pooling(
    view: &CorpusView<'_>,
    laws: &[RelativeLaw],
    question: &Question<'_>,
) -> Result<PartialPooling, FitError> {
    let options = question.options;
    let fits = centred(view, &question.treatments, options)?;
    let what = format!("treatments to pool in corpus {:?}", view.corpus.name);
    check_count(&what, fits.len(), 4)?;
    let n = fits.len() as f64;
    let mut terms: Vec<(usize, f64)> = fits.iter().map(|(d, _)| (*d, 1.0 / n)).collect();
    terms.push((question.baseline, -1.0));
    let mean = contrast::fit(view, &terms, options)?;
    let (own, df): (Vec<f64>, Vec<f64>) = fits
        .iter()
        .map(|(_, f)| f.variance(Coefficient::Slope, options.items))
        .unzip();
    let own = own_variances(&own);
    // What is left of the variance of the mean is the error that all treatments share: that of the
    // baseline, and of runs that move all treatments alike.
    let (of_mean, mean_df) = mean.variance(Coefficient::Slope, options.items);
    let shared = (of_mean - sum(&own) / (n * n)).max(0.0);
    let raw: Vec<f64> = fits.iter().map(|(_, f)| mean.slope + f.slope).collect();
    let found = shrink(&raw, &own, shared)?;
    let of = |variance: f64, value: f64, df: f64| Estimate::new(value, variance, df, options.alpha);
    let treatments = (found.effects.iter().zip(&fits).zip(&df)).map(|((effect, (d, _)), &df)| {
        // Satterthwaite: the shared part is estimated from the mean of all, the rest from one.
        let parts = [(effect.variance - shared, df), (shared, mean_df)];
        let spread: f64 = parts.iter().map(|(v, df)| v * v / df).sum();
        let joint_df = (effect.variance * effect.variance / spread).clamp(1.0, MOST_DF);
        let name = view.corpus.name_of(*d);
        let by_itself = |l: &&RelativeLaw| *l.corpus == *view.corpus.name && *l.treatment == *name;
        let raw = match laws.iter().find(by_itself) {
            Some(law) => law.delta_beta,
            // A law may be refused for what pooling does not need.
            None => contrast::fit(view, &[(*d, 1.0), (question.baseline, -1.0)], options)?
                .estimate(Coefficient::Slope, options.items, options.alpha),
        };
        Ok(ShrunkExponent {
            treatment: name.to_owned(),
            raw,
            delta_beta: of(effect.variance, effect.value, joint_df),
            share: effect.share,
        })
    });
    Ok(PartialPooling {
        corpus: view.corpus.name.into(),
        mean: of(found.mean.1, found.mean.0, mean_df),
        tau: found.tau2.sqrt(),
        shared_error: shared.sqrt(),
        treatments: treatments.collect::<Result<_, FitError>>()?,
    })
}

/// Own variances `w` from those of centred exponents, `v_d = w_d·(1 − 2/D) + Σw/D²`: in these nothing
/// enters that all exponents share, such as the baseline.
fn own_variances(centred: &[f64]) -> Vec<f64> {
    let n = centred.len() as f64;
    let total = sum(centred) / (1.0 - 1.0 / n);
    centred
        .iter()
        .map(|v| (v - total / (n * n)) / (1.0 - 2.0 / n))
        .map(|w| w.max(LEAST_SHARE * total / n))
        .collect()
}

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_variances_are_those_behind_the_centred_ones() {
        let own = [1.0, 2.0, 0.7, 3.0, 1.5];
        let total = sum(&own);
        let centred = own.map(|w| w * (1.0 - 2.0 / 5.0) + total / 25.0);
        for (found, w) in own_variances(&centred).iter().zip(own) {
            assert!((found - w).abs() < 1e-12, "{found} {w}");
        }
        let least = own_variances(&[1.0, 1.0, 1.0, 1e-9]);
        assert!(least.iter().all(|&w| w > 0.05), "{least:?}");
    }
}
