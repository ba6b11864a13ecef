//! What distributions and corpora say together: baseline-free exponents, differences between corpora,
//! heterogeneity, and the slope on a covariate.

use super::contrast::{self, FittedContrast, Influence, Part};
use super::design::Design;
use super::error::FitError;
use super::estimate::{Coefficient, Estimate};
use super::options::Options;
use super::readings::ReadingRegression;
use super::result::{ContrastLaw, CovariateSlope, Heterogeneity};
use super::stats::meta;
use super::stats::multiplicity::{Correction, adjust};
use super::stats::regression::dot;
use super::view::CorpusView;

/// The distributions of a view that all of its runs have.
fn complete(view: &CorpusView<'_>, distributions: &[usize]) -> Vec<usize> {
    let everywhere = |d: &usize| {
        let losses = view.corpus.losses.get(*d).and_then(Option::as_ref);
        losses.is_some_and(|l| view.members.iter().all(|&r| l.log_error[r].is_finite()))
    };
    distributions.iter().copied().filter(everywhere).collect()
}

fn contrast_law(
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
        holm_p: 1.0,
    }
}

pub(crate) fn finish(laws: &mut [ContrastLaw]) -> Result<(), FitError> {
    let p: Vec<f64> = laws.iter().map(|l| l.exponent.p_value).collect();
    for (law, holm) in laws.iter_mut().zip(adjust(&p, Correction::Holm)?) {
        law.holm_p = holm;
    }
    Ok(())
}

/// Exponents of every distribution against the mean of all of them, with the fits behind them.
pub(crate) fn centred(
    view: &CorpusView<'_>,
    distributions: &[usize],
    options: &Options,
) -> Result<Vec<(usize, FittedContrast)>, FitError> {
    let all = complete(view, distributions);
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
    finish(&mut laws)?;
    Ok(laws)
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
    let name = one.corpus.ladder.scores()[treatment].name();
    let label = format!("{name}: {} - {}", one.corpus.name, two.corpus.name);
    let budgets = |v: &CorpusView<'_>| -> Vec<u64> {
        v.plan.groups.iter().map(|g| g.budget.to_bits()).collect()
    };
    if [one, two].iter().any(|v| v.plan.design == Design::Grid)
        || one.plan.design != two.plan.design
        || budgets(one) != budgets(two)
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

/// Tests whether all exponents of a corpus are equal and estimates their spread.
pub(crate) fn heterogeneity(
    view: &CorpusView<'_>,
    fits: &[(usize, FittedContrast)],
    options: &Options,
) -> Result<Heterogeneity, FitError> {
    let effects: Vec<f64> = fits.iter().map(|(_, f)| f.slope).collect();
    let spread: Vec<(f64, f64)> = fits
        .iter()
        .map(|(_, f)| f.variance(Coefficient::Slope, options.items))
        .collect();
    let variances: Vec<f64> = spread.iter().map(|s| s.0).collect();
    let random = meta::random_effects(&effects, &variances, meta::Heterogeneity::Reml)?;
    // Exponents share runs: their covariance is that of the residuals, where there are enough.
    let df = fits.first().map_or(0.0, |(_, f)| f.fit.df() as f64);
    let exact = || -> Result<meta::EqualityTest, FitError> {
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
    };
    let plain = view.plan.main().regression.classical();
    let items = fits.iter().any(|(_, f)| f.item.slope > 0.0);
    let (test, approximate) = match exact() {
        Ok(test) if !items && plain => (test, false),
        _ => {
            let dfs: Vec<f64> = spread.iter().map(|s| s.1).collect();
            (meta::welch_james(&effects, &variances, &dfs)?, true)
        }
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
            options
                .covariate
                .get(scores[*d].name())
                .map(|z| (*d, *z, f))
        })
        .collect();
    if with.len() < 3 {
        return Err(FitError::TooFew {
            what: format!(
                "distributions of corpus {:?} with a covariate",
                view.corpus.name
            ),
            found: with.len(),
            needed: 3,
        });
    }
    let n = with.len() as f64;
    let mean = with.iter().map(|w| w.1).sum::<f64>() / n;
    let z: Vec<f64> = with.iter().map(|w| w.1 - mean).collect();
    let total = dot(&z, &z);
    if !(total > 0.0 && total.is_finite()) {
        return Err(FitError::Singular {
            what: "the slope on the covariate".into(),
        });
    }
    let terms: Vec<(usize, f64)> = with.iter().zip(&z).map(|(w, z)| (w.0, z / total)).collect();
    let fitted = contrast::fit(view, &terms, options)?;
    let ones = vec![1.0; z.len()];
    let effects: Vec<f64> = with.iter().map(|w| w.2.slope).collect();
    let variances: Vec<f64> = with
        .iter()
        .map(|w| w.2.variance(Coefficient::Slope, options.items).0)
        .collect();
    let reml = meta::Heterogeneity::Reml;
    let sample = meta::meta_regression(&[&ones, &z], &effects, &variances, reml).ok();
    let permuted = meta::permute_covariate(&[&ones, &z], &effects, &variances, reml, options.seed);
    Ok(CovariateSlope {
        corpus: view.corpus.name.into(),
        distributions: with.len(),
        fixed: fitted.estimate(Coefficient::Slope, options.items, options.alpha),
        sample: sample
            .and_then(|m| m.coefficients.get(1).copied())
            .map(|e| Estimate::new(e.value, e.standard_error.powi(2), e.df, options.alpha)),
        permutation_p: permuted.ok().map(|t| t.p_value),
    })
}
