//! From a ladder to an analysis, step by step.

use std::collections::BTreeMap;

use crate::ladder::Ladder;

use super::absolute_law::absolute_law;
use super::comparison::Comparison;
use super::contrast::{FittedContrast, fit_readout};
use super::corpus::Corpus;
use super::corpus_report::corpus_report;
use super::error::FitError;
use super::error_rates;
use super::exponents;
use super::families::decide_laws;
use super::findings::Findings;
use super::named::named_contrast;
use super::options::Options;
use super::partial_pooling::partial_pooling;
use super::question::{NamedPair, Question, members};
use super::readings::ReadingPlan;
use super::relative_law::relative_law;
use super::result::{Analysis, SCHEMA};
use super::stats::meta::moderate_variances;
use super::threads;
use super::view::CorpusView;
use super::worst_group::worst_group;

/// Measures how the gap between the baseline and every treatment evolves along a ladder.
///
/// One entry of [`Analysis::laws`] per corpus and treatment. Comparisons that cannot be analysed stand
/// in [`Analysis::refused`] with the reason; if none can, the first reason is the error.
///
/// **Assumptions**: the readings scatter about a power law of the ratio independently from scale to
/// scale; clusters of items are exchangeable within a distribution. The diagnostics of every entry
/// look for departures from both.
///
/// **Reproducibility**: the same ladder and options give the same bits, on any number of threads. Laws of
/// single treatments are fitted on all cores.
///
/// # Errors
///
/// Options outside their domain, names that the ladder does not have, or no corpus that can be read.
///
/// # Examples
///
/// ```
/// use relscale::fit::{self, Options, Verdict};
/// use relscale::ladder::{Ladder, Run, Scale};
///
/// let mut builder = Ladder::builder();
/// for (i, wobble) in [1e-4, -2e-4, 1e-4, 1e-4, -1e-4].into_iter().enumerate() {
///     let flops = 1e18 * 10f64.powi(i as i32);
///     let id = format!("run-{i}");
///     builder.run(Run::new(&id, Scale { params: flops.sqrt() / 10.0, tokens: flops.sqrt(), flops }).corpus("web"))?;
///     builder.score(&id, "usa", "", 3.0 * flops.powf(-0.05), 1.0)?;
///     builder.score(&id, "nigeria", "", 4.0 * flops.powf(-0.045 + wobble / 100.0), 1.0)?;
/// }
/// let analysis = fit::analyze(&builder.build()?, &Options::new("usa"))?;
/// let law = &analysis.laws[0];
/// assert!((law.delta_beta.value - 0.005).abs() < 1e-4);
/// assert_eq!(law.verdict, Verdict::Widens);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn analyze(ladder: &Ladder, options: &Options) -> Result<Analysis, FitError> {
    let question = Question::new(ladder, options)?;
    let mut found = Findings::default();
    let corpora = detect_designs(&question, &mut found);
    let mut widest = Vec::new();
    for corpus in &corpora {
        fit_error_rates(corpus, &question, &mut found);
        let (mut views, of_contrasts) = read_and_relate(corpus, &question, &mut found);
        // Laws of a corpus may rest on different runs where scores are missing; the tables about
        // all distributions take the view with most runs.
        let most = (0..views.len()).max_by_key(|&k| views[k].members.len());
        if let Some(most) = most {
            let view = views.swap_remove(most);
            describe_distributions(&view, &question, &mut found);
            contrast_distributions(&view, &question, &mut found)?;
            widest.push(view);
        }
        views.extend(of_contrasts);
        describe_incomplete(views, &question, &mut found);
    }
    found.check_any(question.is_alone())?;
    found.compare_corpora(&widest, &question)?;
    // After all absolute laws are known: a flag of a law rests on those of its two sides.
    found.flag_ranges(options);
    // Last, because Holm's adjustment needs the p-values of every corpus.
    let scale = options.axis.in_words(ladder.scale_name());
    let max_t = decide_laws(&mut found.laws, &found.family, options, scale)?;
    let contrasts = found.decided_contrasts(options, scale)?;
    // A family of its own: laws of counts rest on another model, and must not dilute those of
    // losses.
    found.rates.decide(options, scale)?;
    Ok(Analysis {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        ladder: ladder.name().into(),
        flop_convention: ladder.flop_convention(),
        scale_name: ladder.scale_name().map(str::to_owned),
        options: options.clone(),
        laws: found.laws,
        contrasts,
        worst: found.worst,
        absolute_laws: found.absolute_laws,
        corpora: found.corpora,
        centred: found.centred,
        cross_corpus: found.cross_corpus,
        arms: found.arms,
        heterogeneity: found.heterogeneity,
        partial_pooling: found.partial_pooling,
        covariate: found.covariate,
        max_t,
        counts: found.rates.laws,
        rates: found.rates.rates,
        refused: found.refused,
    })
}

/// Gathers the runs of each corpus and detects its design.
fn detect_designs<'a>(question: &Question<'a>, found: &mut Findings) -> Vec<Corpus<'a>> {
    let mut corpora = Vec::new();
    for name in question.ladder.corpora() {
        let (ladder, composites) = (question.ladder, &question.composites);
        match Corpus::new(ladder, name, composites, question.options) {
            Ok(corpus) => corpora.push(corpus),
            Err(error) => found.refuse(name, None, error),
        }
    }
    corpora
}

/// Fits the laws in which an error rate takes part to counts.
fn fit_error_rates(corpus: &Corpus<'_>, question: &Question<'_>, found: &mut Findings) {
    if question.is_alone()
        && question.is_error_rate(question.baseline)
        && let Err(error) = error_rates::fit_alone(corpus, question, &mut found.rates)
    {
        found.refuse(corpus.name, Some(question.name(question.baseline)), error);
    }
    for &t in &question.counted {
        if let Err(error) = error_rates::fit(corpus, t, question, &mut found.rates) {
            found.refuse(corpus.name, Some(question.name(t)), error);
        }
    }
}

/// Reads the corpus once per set of runs that comparisons share, and fits their laws. Returns the views of
/// treatments, and those of named contrasts alone.
fn read_and_relate<'a>(
    corpus: &'a Corpus<'a>,
    question: &Question<'_>,
    found: &mut Findings,
) -> (Vec<CorpusView<'a>>, Vec<CorpusView<'a>>) {
    // Treatments scored on the same runs share one reading plan, which is the expensive part.
    let mut groups: BTreeMap<Vec<usize>, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for &t in &question.treatments {
        match members(corpus, [t, question.baseline]) {
            Ok(m) => groups.entry(m).or_default().0.push(t),
            Err(error) => found.refuse(corpus.name, Some(question.name(t)), error),
        }
    }
    for (k, pair) in question.contrasts.iter().enumerate() {
        match members(corpus, [pair.treatment, pair.baseline]) {
            Ok(m) => groups.entry(m).or_default().1.push(k),
            Err(error) => found.refuse(corpus.name, Some(&pair.name), error),
        }
    }
    if question.is_alone() && !question.is_error_rate(question.baseline) {
        match members(corpus, [question.baseline; 2]) {
            // Without treatments the view serves the laws of single distributions.
            Ok(m) => {
                groups.entry(m).or_default();
            }
            Err(error) => found.refuse(corpus.name, Some(question.name(question.baseline)), error),
        }
    }
    let (mut views, mut of_contrasts) = (Vec::new(), Vec::new());
    for (members, (treatments, contrasts)) in groups {
        match CorpusView::new(corpus, members, &question.cluster_ids, question.options) {
            Ok(view) => {
                relate(&view, &treatments, question, found);
                name_contrasts(&view, &contrasts, question, found);
                // The tables about all distributions do not change by the contrasts named.
                if !treatments.is_empty() || question.treatments.is_empty() {
                    views.push(view);
                } else {
                    of_contrasts.push(view);
                }
            }
            Err(error) if question.is_alone() => found.refuse(corpus.name, None, error),
            Err(error) => {
                let laws = treatments.iter().map(|&t| question.name(t));
                let pairs = contrasts.iter().map(|&k| &*question.contrasts[k].name);
                for name in laws.chain(pairs) {
                    found.refuse(corpus.name, Some(name), error.clone());
                }
            }
        }
    }
    (views, of_contrasts)
}

/// Fits the contrasts, by their places in the options, that share the runs of one view.
fn name_contrasts(
    view: &CorpusView<'_>,
    contrasts: &[usize],
    question: &Question<'_>,
    found: &mut Findings,
) {
    for &k in contrasts {
        let pair: &NamedPair = &question.contrasts[k];
        let contrast = weighted(view, pair.treatment, pair.baseline, question)
            .and_then(|own| named_contrast(own.as_ref().unwrap_or(view), pair, question.options));
        match contrast {
            Ok(contrast) => {
                let both = [pair.treatment, pair.baseline].map(|d| question.names_of(d));
                let names = both.concat().into_iter().map(str::to_owned).collect();
                found.contrasts.push((k, contrast, names));
            }
            Err(error) => found.refuse(view.corpus.name, Some(&pair.name), error),
        }
    }
}

/// Fits the relative law of each of `treatments` in one view.
fn relate(
    view: &CorpusView<'_>,
    treatments: &[usize],
    question: &Question<'_>,
    found: &mut Findings,
) {
    let (baseline, options) = (question.baseline, question.options);
    let moderated = moderate(view, treatments, baseline, options);
    let laws = threads::map(treatments, |&t| {
        let own = weighted(view, t, baseline, question)?;
        let of = own.as_ref().unwrap_or(view);
        let comparison = Comparison::new(of, t, baseline, moderated.get(&t), options)?;
        let law = relative_law(&comparison, options)?;
        Ok((law, own.filter(|_| options.max_t)))
    });
    for (&t, law) in treatments.iter().zip(laws) {
        match law {
            Ok((law, own)) => {
                found.laws.push(law);
                if options.max_t {
                    found.family.add(own.as_ref().unwrap_or(view), t, baseline);
                }
            }
            Err(error) => found.refuse(view.corpus.name, Some(question.name(t)), error),
        }
    }
}

/// The view by robust readings of the ratio of `treatment` to `baseline`, if the options ask for them.
fn weighted<'a>(
    view: &CorpusView<'a>,
    treatment: usize,
    baseline: usize,
    question: &Question<'_>,
) -> Result<Option<CorpusView<'a>>, FitError> {
    if !question.options.robust {
        return Ok(None);
    }
    let y = view.scalar(&[(treatment, 1.0), (baseline, -1.0)])?;
    let view = view.robust(&y, &question.cluster_ids, question.options)?;
    Ok(Some(view))
}

/// Residual variances of the treatments of one view drawn towards a common one, with their degrees of
/// freedom, by treatment; empty unless the options ask for it and the view allows it.
fn moderate(
    view: &CorpusView<'_>,
    treatments: &[usize],
    baseline: usize,
    options: &Options,
) -> BTreeMap<usize, (f64, f64)> {
    /// Fewer variances do not determine the spread that they are drawn by.
    const FEWEST_TREATMENTS: usize = 8;
    /// Polynomials through fewer sizes err by their form too, which is not noise that treatments can
    /// lend one another: moderated intervals covered 92.6 % at five and six sizes.
    const FEWEST_SIZES: f64 = 7.0;
    let main = view.plan.main();
    // The prior is that of a χ² variance, which robust and clustered variances are not.
    if !options.moderation
        || !main.regression.classical()
        || treatments.len() < FEWEST_TREATMENTS
        || view.plan.sizes_per_reading(&view.corpus.size) < FEWEST_SIZES
    {
        return BTreeMap::new();
    }
    let fits: Vec<(usize, FittedContrast)> = treatments
        .iter()
        .filter_map(|&t| {
            let y = view.scalar(&[(t, 1.0), (baseline, -1.0)]).ok()?;
            // The readings that the laws use: a spoilt run would widen them all by its noise.
            let robust = match options.robust {
                true => Some(view.plan.robust(view.corpus, &y, options).ok()?),
                false => None,
            };
            let main = robust.as_ref().map_or(main, ReadingPlan::main);
            Some((t, fit_readout(main, &y).ok()?))
        })
        .collect();
    let Some(df) = fits.first().map(|(_, f)| f.run_df.slope) else {
        return BTreeMap::new();
    };
    let variances: Vec<f64> = fits.iter().map(|(_, f)| f.sigma2).collect();
    let Ok(m) = moderate_variances(&variances, df) else {
        return BTreeMap::new();
    };
    let moderated_df = (df + m.prior_df).min(super::contrast::MOST_DF);
    fits.iter()
        .zip(&m.variances)
        .map(|((t, _), v)| (*t, (*v, moderated_df)))
        .collect()
}

/// Reports on the corpus and fits the absolute law of every distribution that allows it.
fn describe_distributions(view: &CorpusView<'_>, question: &Question<'_>, found: &mut Findings) {
    found.corpora.push(corpus_report(view, question.options));
    let described = question.described().filter(|&d| !question.is_error_rate(d));
    let described: Vec<usize> = described.collect();
    let laws = threads::map(&described, |&d| absolute_law(view, d, question.options));
    for (d, law) in described.into_iter().zip(laws) {
        match law {
            Ok(law) => found.absolute_laws.push(law),
            // Beside relative laws it is an addition; alone it is what was asked for.
            Err(error) if question.is_alone() => {
                found.refuse(view.corpus.name, Some(question.name(d)), error);
            }
            Err(_) => {}
        }
    }
}

/// Fits the absolute laws of distributions that the widest view lacks runs of, each by the view with most
/// runs that has it whole: for the flags of the laws that rest on `views`.
fn describe_incomplete(
    mut views: Vec<CorpusView<'_>>,
    question: &Question<'_>,
    found: &mut Findings,
) {
    views.sort_by_key(|view| std::cmp::Reverse(view.members.len()));
    for view in &views {
        let known = |d: &usize| {
            let mut laws = found.absolute_laws.iter().chain(&found.incomplete);
            laws.any(|l| l.corpus == view.corpus.name && l.distribution == question.name(*d))
        };
        let others = question.described().filter(|&d| !question.is_error_rate(d));
        let others: Vec<usize> = others.filter(|d| !known(d)).collect();
        let laws = threads::map(&others, |&d| absolute_law(view, d, question.options));
        found.incomplete.extend(laws.into_iter().flatten());
    }
}

/// Compares the distributions of a corpus with their mean, with one another and with the covariate.
fn contrast_distributions(
    view: &CorpusView<'_>,
    question: &Question<'_>,
    found: &mut Findings,
) -> Result<(), FitError> {
    let options = question.options;
    let fits = exponents::centred(view, &question.compared(), options)?;
    if fits.len() >= 2 {
        let laws = exponents::centred_laws(view, &fits, options)?;
        found.centred.extend(laws);
        let spread = exponents::heterogeneity(view, &fits, options).ok();
        found.heterogeneity.extend(spread);
    }
    if let Some(of) = options.worst {
        refuse_incomplete(view, &of.members(question), "the worst", question, found);
        match worst_group(view, question, of) {
            Ok(worst) => found.worst.push(worst),
            Err(error) => found.refuse(view.corpus.name, None, error),
        }
    }
    if options.partial_pooling {
        refuse_incomplete(
            view,
            &question.treatments,
            "the pooled exponents",
            question,
            found,
        );
        match partial_pooling(view, &found.laws, question) {
            Ok(pooled) => found.partial_pooling.push(pooled),
            Err(error) => found.refuse(view.corpus.name, None, error),
        }
    }
    if !options.covariate.is_empty() {
        match exponents::covariate(view, &fits, options) {
            Ok(slope) => found.covariate.push(slope),
            Err(error) => found.refuse(view.corpus.name, None, error),
        }
    }
    Ok(())
}

/// Says which of `asked` are left out of `table`, since a run of the view has no score of them.
fn refuse_incomplete(
    view: &CorpusView<'_>,
    asked: &[usize],
    table: &str,
    question: &Question<'_>,
    found: &mut Findings,
) {
    let complete = exponents::complete(view, asked);
    // Those without any score have no law either, and are refused there.
    let scored = |d: &usize| view.corpus.losses.get(*d).is_some_and(Option::is_some);
    for d in asked.iter().filter(|d| !complete.contains(d) && scored(d)) {
        let reason =
            format!("left out of {table}: not every run that the others rest on has a score");
        let error = FitError::Unsupported { reason };
        found.refuse(view.corpus.name, Some(question.name(*d)), error);
    }
}
