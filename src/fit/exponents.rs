//! The exponents of all distributions as a sample: against their mean, their spread, their slope on a
//! covariate.

use serde::{Deserialize, Serialize};

use super::between::{adjust_family, contrast_law};
use super::contrast::{self, FittedContrast, Influence};
use super::error::FitError;
use super::estimate::{Coefficient, Estimate};
use super::options::Options;
use super::result::{ContrastLaw, CovariateSlope, Heterogeneity};
use super::stats::checks::{check_count, check_probability};
use super::stats::meta::{self, EqualityTest};
use super::stats::sums::dot;
use super::view::CorpusView;

/// The distributions of a view that all of its runs have.
pub(crate) fn complete(view: &CorpusView<'_>, distributions: &[usize]) -> Vec<usize> {
    let everywhere = |d: &usize| {
        let losses = view.corpus.losses.get(*d).and_then(Option::as_ref);
        losses.is_some_and(|l| view.members.iter().all(|&r| l.log_error[r].is_finite()))
    };
    distributions.iter().copied().filter(everywhere).collect()
}

/// Exponents of every distribution against the mean of all of them, with the fits behind them.
pub(crate) fn centred(
    view: &CorpusView<'_>,
    distributions: &[usize],
    options: &Options,
) -> Result<Vec<(usize, FittedContrast)>, FitError> {
    let all = complete(view, distributions);
    // Against the mean of itself a distribution is zero.
    if all.len() < 2 {
        return Ok(Vec::new());
    }
    // The mean is one more distribution: its influences are summed once, not once per contrast.
    let share = 1.0 / all.len() as f64;
    let mean: Vec<f64> = view.scalar(&all.iter().map(|&d| (d, share)).collect::<Vec<_>>())?;
    let influences: Vec<(&Influence, f64)> = all
        .iter()
        .filter_map(|&d| view.influence(d))
        .map(|i| (i, share))
        .collect();
    let silent = influences.len() < all.len();
    let pooled = view.pooled(&influences);
    all.iter()
        .map(|&d| {
            let own = view.scalar(&[(d, 1.0)])?;
            let y: Vec<f64> = own.iter().zip(&mean).map(|(o, m)| o - m).collect();
            let mut terms: Vec<(&Influence, f64)> = Vec::new();
            terms.extend(view.influence(d).map(|i| (i, 1.0)));
            terms.extend(pooled.as_ref().map(|i| (i, -1.0)));
            Ok((d, contrast::fit_scalar(view, &y, &terms, silent, options)?))
        })
        .collect()
}

pub(crate) fn centred_laws(
    view: &CorpusView<'_>,
    fits: &[(usize, FittedContrast)],
    options: &Options,
) -> Result<Vec<ContrastLaw>, FitError> {
    let scores = view.corpus.ladder.scores();
    let mut laws: Vec<ContrastLaw> = fits
        .iter()
        .map(|(d, f)| contrast_law(scores[*d].name().into(), &[view.corpus.name], f, options))
        .collect();
    adjust_family(&mut laws)?;
    Ok(laws)
}

/// Tests whether all exponents of a corpus are equal and estimates their spread.
pub(crate) fn heterogeneity(
    view: &CorpusView<'_>,
    fits: &[(usize, FittedContrast)],
    options: &Options,
) -> Result<Heterogeneity, FitError> {
    let effects: Vec<f64> = fits.iter().map(|(_, f)| f.slope).collect();
    let (variances, dfs): (Vec<f64>, Vec<f64>) = fits
        .iter()
        .map(|(_, f)| f.variance(Coefficient::Slope, options.items))
        .unzip();
    // The covariance between exponents is left out here: τ describes their spread and decides
    // nothing.
    let random = meta::random_effects(&effects, &variances)?;
    // Items, weights and unequal variances are in no covariance of residuals.
    let regression = &view.plan.main().regression;
    let plain = regression.classical() && regression.plain();
    let items = fits.iter().any(|(_, f)| f.item.slope > 0.0);
    // Hotelling's test knows that exponents share runs; Welch and James' does not, and is marked as
    // approximate.
    let (test, approximate) = match equal_by_residuals(view, fits, options) {
        Ok(test) if !items && plain => (test, false),
        _ => (meta::welch_james(&effects, &variances, &dfs)?, true),
    };
    Ok(Heterogeneity {
        corpus: view.corpus.name.into(),
        distributions: fits.len(),
        q: test.q,
        p_value: test.p_value,
        tau: random.tau2.sqrt(),
        i_squared: random.i2,
        approximate,
    })
}

/// The test of equality with the covariance that exponents have by sharing runs: that of the
/// residuals. An error where there are too few readings to estimate it.
fn equal_by_residuals(
    view: &CorpusView<'_>,
    fits: &[(usize, FittedContrast)],
    options: &Options,
) -> Result<EqualityTest, FitError> {
    let df = fits.first().map_or(0.0, |(_, f)| f.fit.df() as f64);
    // Raw exponents, since centred ones sum to zero and their covariance has no inverse; equality
    // is the same hypothesis.
    let raw: Result<Vec<FittedContrast>, FitError> = fits
        .iter()
        .map(|&(d, _)| contrast::fit(view, &[(d, 1.0)], options))
        .collect();
    let raw = raw?;
    let slopes: Vec<f64> = raw.iter().map(|f| f.slope).collect();
    let weights = view.plan.main().regression.weights_of(Coefficient::Slope);
    let unscaled = dot(weights, weights);
    let covariance: Vec<Vec<f64>> = raw
        .iter()
        .map(|a| {
            let with =
                |b: &FittedContrast| dot(a.fit.residuals(), b.fit.residuals()) / df * unscaled;
            raw.iter().map(with).collect()
        })
        .collect();
    meta::equality_test(&slopes, &covariance, df)
}

/// Slope of exponents on the covariate of the options.
pub(crate) fn covariate(
    view: &CorpusView<'_>,
    fits: &[(usize, FittedContrast)],
    options: &Options,
) -> Result<CovariateSlope, FitError> {
    let scores = view.corpus.ladder.scores();
    let with: Vec<(usize, f64, &FittedContrast)> = fits
        .iter()
        .filter_map(|(d, f)| {
            let z = options.covariate.get(scores[*d].name())?;
            Some((*d, *z, f))
        })
        .collect();
    let what = format!(
        "distributions of corpus {:?} with a covariate",
        view.corpus.name
    );
    // Two distributions lie on any slope.
    check_count(&what, with.len(), 3)?;
    let n = with.len() as f64;
    let mean = with.iter().map(|w| w.1).sum::<f64>() / n;
    let z: Vec<f64> = with.iter().map(|w| w.1 - mean).collect();
    let total = dot(&z, &z);
    if !(total > 0.0 && total.is_finite()) {
        return Err(FitError::Singular {
            what: "the slope on the covariate".into(),
        });
    }
    // The slope on the covariate is itself a contrast: shared runs and items are then accounted for
    // exactly.
    let terms: Vec<(usize, f64)> = with.iter().zip(&z).map(|(w, z)| (w.0, z / total)).collect();
    let fitted = contrast::fit(view, &terms, options)?;
    let effects: Vec<f64> = with.iter().map(|w| w.2.slope).collect();
    let variance = |f: &FittedContrast| f.variance(Coefficient::Slope, options.items).0;
    let variances: Vec<f64> = with.iter().map(|w| variance(w.2)).collect();
    let sample = meta_regression(&effects, &variances, &z, options.alpha).ok();
    let permuted = meta::permute_covariate(&z, &effects, &variances, options.seed);
    Ok(CovariateSlope {
        corpus: view.corpus.name.into(),
        distributions: with.len(),
        fixed: fitted.estimate(Coefficient::Slope, options.items, options.alpha),
        sample: sample.map(|m| m.slope),
        permutation_p: permuted.ok().map(|t| t.p_value),
    })
}

/// A random-effects regression of effects on one covariate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MetaRegression {
    /// Change of the effect per unit of the covariate, with Knapp and Hartung's standard error.
    pub slope: Estimate,
    /// τ, the standard deviation of effects about the line that sampling does not explain.
    pub tau: f64,
}

/// Regresses effects from several studies on a covariate: yᵢ = a + b·zᵢ + uᵢ + εᵢ, Var uᵢ = τ²,
/// Var εᵢ = vᵢ.
///
/// `effects` are the yᵢ (relative exponents, say), `variances` their known vᵢ and `covariate` the zᵢ.
/// τ² is estimated by restricted maximum likelihood; the interval of the slope is at level
/// 1 − `alpha` with t on k − 2 degrees of freedom.
///
/// # Errors
/// When lengths differ, there are fewer than three effects, a number is not finite, a variance is
/// not positive, the covariate is constant, `alpha` is outside (0, 1), or τ² cannot be bracketed.
///
/// # Examples
/// ```
/// use relscale::fit::meta_regression;
/// let (effects, variances) = ([0.010, 0.021, 0.029, 0.041], [1e-6; 4]);
/// let fit = meta_regression(&effects, &variances, &[1.0, 2.0, 3.0, 4.0], 0.05)?;
/// assert!((fit.slope.value - 0.0101).abs() < 1e-9 && fit.slope.p_value < 0.01);
/// # Ok::<(), relscale::fit::FitError>(())
/// ```
///
/// # References
/// G. Knapp, J. Hartung (2003), *Statistics in Medicine* 22:2693.
pub fn meta_regression(
    effects: &[f64],
    variances: &[f64],
    covariate: &[f64],
    alpha: f64,
) -> Result<MetaRegression, FitError> {
    check_probability("alpha", alpha)?;
    let fit = meta::meta_regression(covariate, effects, variances)?;
    let slope = fit.coefficients[1];
    Ok(MetaRegression {
        slope: Estimate::new(slope.value, slope.standard_error.powi(2), slope.df, alpha),
        tau: fit.tau2.sqrt(),
    })
}
