//! From a ladder to an analysis.

use std::collections::BTreeMap;

use crate::ladder::Ladder;

use super::budget_effects::mixed_model;
use super::contrast::{self, Fitted, Part, View, fit_readout};
use super::design::{Corpus, Design, mean_log, position, read_by, stratum_sizes};
use super::diagnostics::{self as diag, Target};
use super::error::FitError;
use super::error_rates::{self, Rates};
use super::frontier::Profile;
use super::inference::Estimate;
use super::joint;
use super::laws::{compare_laws, fit_floor_law, fit_surface};
use super::loss_to_loss::loss_to_loss;
use super::meta::moderate_variances;
use super::multiplicity::{Correction, adjust, selected_level, simultaneous_level};
use super::options::{Items, Options};
use super::result::{
    Analysis, ClusterRange, CorpusReport, Equivalence, FloorReport, FrontierReport, ItemReport,
    ProfilePoint, Reading, Refused, RelativeLaw, TraditionalLaw, Variance,
};
use super::simultaneous::Family;
use super::surface::surface;
use super::verdict::{Evidence, Flag, Verdict, decide};

/// Measures how the gap between the baseline and every treatment evolves along a ladder.
///
/// One entry of [`Analysis::laws`] per corpus × treatment. What cannot be analysed stands in
/// [`Analysis::refused`] with the reason; where nothing can, the reason is the error.
///
/// **Assumptions**: the readings scatter about a power law of the ratio independently from scale to
/// scale; clusters of items are exchangeable within a distribution. The diagnostics of every entry
/// look for the contrary.
///
/// **Reproducibility**: the same ladder and options give the same bits.
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
    options.check()?;
    let names: Vec<&str> = ladder.distributions().collect();
    let baseline = position(ladder, &options.baseline)?;
    let aggregate = options
        .aggregate
        .as_ref()
        .map(|a| position(ladder, a))
        .transpose()?;
    let named = options.chance.keys().chain(options.covariate.keys());
    for name in named.chain(&options.stratified).chain(&options.error_rates) {
        position(ladder, name)?;
    }
    let treatments: Vec<usize> = if options.treatments.is_empty() {
        (0..names.len())
            .filter(|&d| d != baseline && Some(d) != aggregate)
            .collect()
    } else {
        let found: Result<Vec<_>, _> = options
            .treatments
            .iter()
            .map(|t| position(ladder, t))
            .collect();
        let mut found = found?;
        found.sort_unstable();
        found.dedup();
        found
    };
    if treatments.is_empty() {
        return Err(FitError::TooFew {
            what: "distributions besides the baseline and the aggregate".into(),
            found: 0,
            needed: 1,
        });
    }
    // Whatever an error rate takes part in is fitted to counts, the rest to logarithms.
    let rate = |d: &usize| options.error_rates.contains(names[*d]);
    let (counted, treatments): (Vec<usize>, Vec<usize>) = treatments
        .into_iter()
        .partition(|t| rate(t) || rate(&baseline));
    let cluster_ids = cluster_ids(ladder);
    let corpus_names = ladder.corpora();
    let mut refused = Vec::new();
    let mut first_error = None;
    let mut refuse = |corpus: &str, distribution: Option<usize>, error: FitError| {
        refused.push(Refused {
            corpus: corpus.into(),
            distribution: distribution.map(|d| names[d].to_owned()),
            budget: None,
            reason: error.to_string(),
        });
        first_error.get_or_insert(error);
    };

    let mut corpora = Vec::new();
    for name in corpus_names {
        match Corpus::new(ladder, name, options) {
            Ok(c) => corpora.push(c),
            Err(e) => refuse(name, None, e),
        }
    }
    let mut laws = Vec::new();
    let mut traditional = Vec::new();
    let mut reports = Vec::new();
    let mut centred = Vec::new();
    let mut heterogeneity = Vec::new();
    let mut covariate = Vec::new();
    let mut family = Family::default();
    // The view with the most runs of each corpus.
    let mut widest: Vec<View<'_>> = Vec::new();
    let mut compared = treatments.clone();
    let mut counts = Rates::default();
    if !compared.contains(&baseline) {
        compared.push(baseline);
    }
    for corpus in &corpora {
        for (t, error) in error_rates::fit(
            corpus,
            (&counted, baseline),
            &cluster_ids,
            options,
            &mut counts,
        ) {
            refuse(corpus.name, Some(t), error);
        }
        // Comparisons over the same runs share a plan.
        let mut groups: BTreeMap<Vec<usize>, Vec<usize>> = BTreeMap::new();
        for &t in &treatments {
            match members(corpus, &[t, baseline]) {
                Ok(m) => groups.entry(m).or_default().push(t),
                Err(e) => refuse(corpus.name, Some(t), e),
            }
        }
        let mut views: Vec<View<'_>> = Vec::new();
        for (members, group) in groups {
            match View::new(corpus, members, 0..names.len(), &cluster_ids, options) {
                Ok(view) => {
                    let moderated = moderate(&view, &group, baseline, options);
                    for t in group {
                        match law(&view, t, baseline, moderated.get(&t), options) {
                            Ok(l) => {
                                if options.max_t {
                                    family.add(&view, t, baseline);
                                }
                                laws.push(l);
                            }
                            Err(e) => refuse(corpus.name, Some(t), e),
                        }
                    }
                    views.push(view);
                }
                Err(e) => group
                    .iter()
                    .for_each(|&t| refuse(corpus.name, Some(t), e.clone())),
            }
        }
        let Some(view) = views.into_iter().max_by_key(|v| v.members.len()) else {
            continue;
        };
        reports.push(corpus_report(&view, options));
        for (d, name) in names.iter().enumerate().filter(|(d, _)| !rate(d)) {
            if let Ok(l) = single(&view, d, name, options) {
                traditional.push(l);
            }
        }
        let fits = joint::centred(&view, &compared, options)?;
        if fits.len() >= 2 {
            centred.extend(joint::centred_laws(&view, &fits, options)?);
            heterogeneity.extend(joint::heterogeneity(&view, &fits, options).ok());
        }
        if !options.covariate.is_empty() {
            match joint::covariate(&view, &fits, options) {
                Ok(slope) => covariate.push(slope),
                Err(e) => refuse(corpus.name, None, e),
            }
        }
        widest.push(view);
    }
    if laws.is_empty() && counts.laws.is_empty() {
        return Err(first_error.unwrap_or(FitError::TooFew {
            what: "corpora".into(),
            found: 0,
            needed: 1,
        }));
    }
    let mut cross_corpus = Vec::new();
    for (i, one) in widest.iter().enumerate() {
        for two in &widest[i + 1..] {
            for &t in &treatments {
                match joint::between(one, two, t, baseline, options) {
                    Ok(l) => cross_corpus.push(l),
                    Err(e) => refuse(one.corpus.name, Some(t), e),
                }
            }
        }
    }
    joint::finish(&mut cross_corpus)?;
    laws.sort_by(|a, b| (&a.corpus, &a.treatment).cmp(&(&b.corpus, &b.treatment)));
    flag_floors(&mut laws, &traditional, options);
    let mut max_t = None;
    if !laws.is_empty() {
        decide_together(&mut laws, options)?;
        if options.max_t {
            max_t = family.intervals(&mut laws, options)?;
        }
    }
    counts.decide(options)?;
    Ok(Analysis {
        schema: 1,
        version: env!("CARGO_PKG_VERSION").into(),
        ladder: ladder.name().into(),
        flop_convention: ladder.flop_convention(),
        options: options.clone(),
        specification_hash: specification_hash(options),
        laws,
        traditional,
        corpora: reports,
        centred,
        cross_corpus,
        heterogeneity,
        covariate,
        max_t,
        counts: counts.laws,
        rates: counts.rates,
        refused,
    })
}

/// Ladder-wide ids of cluster names: a name in two distributions is one cluster. The unnamed cluster
/// of an aggregate row is nobody else's.
fn cluster_ids(ladder: &Ladder) -> Vec<Vec<usize>> {
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for s in ladder.scores() {
        for c in s.clusters() {
            ids.insert(c, 0);
        }
    }
    for (i, id) in ids.values_mut().enumerate() {
        *id = i;
    }
    let of = |c: &String| ids.get(c.as_str()).copied().unwrap_or(0);
    ladder
        .scores()
        .iter()
        .map(|s| s.clusters().iter().map(of).collect())
        .collect()
}

/// Positions of the runs that have every distribution, and an aggregate where sizes are picked by it.
fn members(corpus: &Corpus<'_>, distributions: &[usize]) -> Result<Vec<usize>, FitError> {
    let mut keep: Vec<bool> = (0..corpus.runs.len())
        .map(|r| !corpus.held_out(r))
        .collect();
    let mut need = |values: &[f64]| {
        keep.iter_mut()
            .zip(values)
            .for_each(|(k, v)| *k &= v.is_finite());
    };
    for &d in distributions {
        need(&corpus.losses(d)?.log_error);
    }
    if corpus.design == Design::Isoflop {
        need(&corpus.aggregate);
    }
    Ok((0..keep.len()).filter(|&r| keep[r]).collect())
}

/// FNV-1a (128 bits) of the version and the options as JSON.
fn specification_hash(options: &Options) -> String {
    let json = serde_json::to_string(options).unwrap_or_default();
    let text = [env!("CARGO_PKG_VERSION"), "\n", &json].concat();
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in text.bytes() {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

/// Largest `|ln G|` and `|ln E|` that a result may hold and still be finite in JSON.
const LARGEST_LOG: f64 = 600.0;

fn law(
    view: &View<'_>,
    treatment: usize,
    baseline: usize,
    moderated: Option<&(f64, f64)>,
    options: &Options,
) -> Result<RelativeLaw, FitError> {
    let (corpus, plan) = (view.corpus, &view.plan);
    let names = corpus.ladder.scores();
    let terms = vec![(treatment, 1.0), (baseline, -1.0)];
    let y = view.scalar(&terms)?;
    let parts = [Part {
        view,
        terms: terms.clone(),
    }];
    let mut fitted = contrast::fit(&parts, None, options)?;
    let loss_to_loss = loss_to_loss(view, treatment, baseline, &fitted, options).ok();
    if let Some(&(sigma2, df)) = moderated {
        fitted.moderate(sigma2, df);
    }
    let main = plan.main();
    let stage = &main.stage;
    let log_t = main.readings(&corpus.losses(treatment)?.log_error);
    let log_b = main.readings(&corpus.losses(baseline)?.log_error);
    let delta_beta = fitted.estimate(1, options.items, options.alpha);
    let delta_beta_fixed_items = fitted.estimate(1, Items::Fixed, options.alpha);
    let level = fitted.estimate(0, options.items, options.alpha);
    let finite = |v: f64| v.is_finite() && v.abs() < LARGEST_LOG;
    let numbers = [
        delta_beta.value,
        delta_beta.lower,
        delta_beta.upper,
        level.value,
        delta_beta.standard_error,
    ];
    if !numbers
        .into_iter()
        .chain(log_t.iter().copied())
        .chain(log_b.iter().copied())
        .all(finite)
    {
        return Err(FitError::Unsupported {
            reason: format!(
                "the errors of {:?} and {:?} in corpus {:?} are too far apart for a finite result",
                names[treatment].name(),
                names[baseline].name(),
                corpus.name
            ),
        });
    }
    let panel = diag::panel(
        plan,
        &y,
        other_optima(view, treatment, baseline, options),
        options,
    )?;
    let curvature = diag::curvature(stage, &fitted.readings, options)?;
    let leave_one_out = diag::leave_one_out(stage, &fitted, &plan.x, options)?;
    let difference = diag::difference(stage, &log_t, &log_b, options)?;
    let resampling = diag::resampling(plan, &fitted, options)?;
    let floors = |seen: &[usize], targets: &[Target]| {
        let t = competing(view, &log_t, seen, targets, options)?;
        let b = competing(view, &log_b, seen, targets, options)?;
        Some(t.iter().zip(&b).map(|(t, b)| t - b).collect())
    };
    let reading = |i: usize| target(view, plan.groups[i].members.first().copied(), plan.x[i]);
    let held_out: Vec<(Target, String, f64)> = (0..corpus.runs.len())
        .filter(|&r| corpus.held_out(r) && y[r].is_finite())
        .map(|r| {
            let x = corpus.log_scale[r] - plan.origin;
            (
                target(view, Some(r), x),
                corpus.run_name(r).to_owned(),
                y[r],
            )
        })
        .collect();
    let backtest = diag::backtest(plan, &fitted, &reading, &held_out, &floors, options);
    let lack_of_fit = diag::lack_of_fit(corpus, main, &y);
    let next_power = diag::next_power(corpus, main, &y);
    let crossed_bootstrap = if options.crossed_bootstrap {
        diag::crossed(view, &terms, &fitted, options)
    } else {
        None
    };
    let items = item_report(view, treatment, baseline, &fitted, options);
    let margin = options.margin();
    let tost = delta_beta.equivalence_p(margin);
    let readings = readings(view, &fitted, &log_t, &log_b);
    let predictions = diag::predictions(&fitted, plan.origin, &plan.x, options);

    let mut flags = Vec::new();
    let mut flag = |raised: bool, f: Flag| {
        if raised {
            flags.push(f);
        }
    };
    flag(plan.x.len() < 5, Flag::FewReadings);
    if let Some(f) = &main.frontier {
        flag(corpus.aggregate_from_tested, Flag::AggregateFromTested);
        flag(f.profiles.contains(&Profile::BestRun), Flag::BestRunReading);
        flag(f.inside.contains(&false), Flag::FrontierOutsideGrid);
    }
    flag(!plan.refused.is_empty(), Flag::BudgetRefused);
    flag(
        options.specification_term && plan.design != Design::Rungs && plan.check.is_none(),
        Flag::NoSpecificationCheck,
    );
    flag(fitted.silent, Flag::NoItemVariance);
    // Every stratum takes one degree of freedom.
    let free = (items.treatment_clusters - items.treatment_strata)
        .min(items.baseline_clusters - items.baseline_strata);
    flag(!fitted.silent && free < 7, Flag::FewClusters);
    flag(items.dropped_clusters > 0, Flag::DroppedClusters);
    flag(!items.dropped_runs.is_empty(), Flag::DroppedRuns);
    flag(curvature.questioned, Flag::PowerLawQuestioned);
    flag(
        [
            lack_of_fit,
            diag::lack_of_fit(corpus, main, &corpus.aggregate),
        ]
        .into_iter()
        .flatten()
        .any(|l| l.p_value < 0.05),
        Flag::LackOfFit,
    );
    flag(
        [
            next_power,
            diag::next_power(corpus, main, &corpus.aggregate),
        ]
        .into_iter()
        .flatten()
        .any(|n| n.p_value < 0.05),
        Flag::NextPower,
    );
    flag(
        delta_beta.p_value <= options.alpha
            && resampling.permutation_p.is_some_and(|p| p > options.alpha),
        Flag::Fragile,
    );
    flag(
        resampling.autocorrelation_p.is_some_and(|p| p <= 0.05),
        Flag::Autocorrelated,
    );
    flag(
        panel
            .iter()
            .any(|r| r.verdict_flips || (r.sign_flips && r.delta_beta.p_value <= options.alpha)),
        Flag::OptimumRuleFlips,
    );
    flag(
        leave_one_out.verdict_stability < 1.0,
        Flag::InfluentialReading,
    );
    flag(difference.discordant, Flag::DifferenceDiscordant);
    flag(
        backtest.holdouts.len() >= 5 && backtest.coverage.is_some_and(|c| c < 0.8),
        Flag::BacktestMisses,
    );
    flag(
        predictions.iter().any(|p| p.beyond_one_ladder),
        Flag::Extrapolated,
    );

    Ok(RelativeLaw {
        corpus: corpus.name.into(),
        treatment: names[treatment].name().into(),
        baseline: names[baseline].name().into(),
        design: plan.design,
        delta_beta,
        delta_beta_fixed_items,
        gamma: level.interval().map(diag::exp),
        percent_per_decade: delta_beta
            .interval()
            .map(|d| 100.0 * libm::expm1((d * std::f64::consts::LN_10).min(700.0))),
        reference_flops: diag::exp(plan.origin),
        holm_p: 1.0,
        hochberg_p: 1.0,
        bh_q: 1.0,
        by_q: 1.0,
        selected: None,
        simultaneous: delta_beta.interval(),
        max_t: None,
        crossed_bootstrap,
        equivalence: Equivalence {
            margin_percent: options.margin_percent,
            margin,
            p_value: tost,
            holm_p: 1.0,
        },
        verdict: Verdict::Inconclusive,
        flags,
        variance: Variance {
            run: fitted.run.slope,
            frontier: fitted.frontier.slope,
            specification: fitted.specification.slope,
            item: fitted.item.slope,
            idiosyncratic: fitted.idiosyncratic.slope,
            total: fitted.variance(1, options.items).0,
        },
        optimum_rules: panel
            .iter()
            .map(|r| (r.rule.clone(), r.delta_beta.value))
            .collect(),
        optimum_panel: panel,
        backtest,
        readings,
        band: diag::band(&fitted, plan.origin, &plan.x, options),
        parity: diag::parity(&fitted, plan.origin, options),
        difference,
        loss_to_loss,
        mixed: mixed_model(view, &y, options),
        semi_log: diag::semi_log(stage, &fitted.readings, options)?,
        local_exponents: diag::local_exponents(plan, &fitted.readings),
        lack_of_fit,
        next_power,
        curvature,
        leave_one_out,
        resampling,
        items,
        predictions,
    })
}

/// Rules of the panel that need another loss: the optimum of each distribution itself, and that of an
/// aggregate without the two compared.
fn other_optima(
    view: &View<'_>,
    treatment: usize,
    baseline: usize,
    options: &Options,
) -> Vec<(String, Fitted)> {
    let (corpus, plan) = (view.corpus, &view.plan);
    let mut extra = Vec::new();
    if plan.design != Design::Isoflop {
        return extra;
    }
    let (Ok(t), Ok(b)) = (corpus.losses(treatment), corpus.losses(baseline)) else {
        return extra;
    };
    let (y_t, y_b) = (&t.log_error, &b.log_error);
    let own_t = read_by(corpus, plan, y_t, options);
    let own_b = read_by(corpus, plan, y_b, options);
    if let (Ok(own_t), Ok(own_b)) = (own_t, own_b)
        && let Ok(fitted) = diag::paired(plan, (&own_t, y_t), (&own_b, y_b))
    {
        extra.push(("own_optimum".to_owned(), fitted));
    }
    let others: Vec<usize> = corpus
        .aggregate_members
        .iter()
        .copied()
        .filter(|&d| d != treatment && d != baseline)
        .collect();
    if corpus.aggregate_from_tested && !others.is_empty() {
        let a = mean_log(&corpus.losses, &others, corpus.runs.len());
        let y: Vec<f64> = y_t.iter().zip(y_b).map(|(t, b)| t - b).collect();
        let read = read_by(corpus, plan, &a, options);
        if let Ok(fitted) = read.and_then(|r| fit_readout(&r, &y)) {
            extra.push(("held_out_aggregate".to_owned(), fitted));
        }
    }
    extra
}

fn item_report(
    view: &View<'_>,
    treatment: usize,
    baseline: usize,
    fitted: &Fitted,
    options: &Options,
) -> ItemReport {
    let corpus = view.corpus;
    let of = |d: usize| corpus.losses.get(d).and_then(Option::as_ref);
    let count = |d: usize| of(d).map_or(0, |l| l.clusters.len());
    let strata = |d: usize| of(d).map_or(0, |l| stratum_sizes(&l.strata).len());
    let dropped = |d: usize| of(d).map_or(0, |l| l.dropped);
    let (t, b) = (view.influence(treatment), view.influence(baseline));
    let shared = match (t, b) {
        (Some(t), Some(b)) => contrast::overlap(t.ids(), b.ids()),
        _ => 0,
    };
    let mut terms = Vec::new();
    terms.extend(t.map(|t| (t, 1.0)));
    terms.extend(b.map(|b| (b, -1.0)));
    let moved = contrast::without_clusters(&terms, fitted.slope);
    let most = moved.iter().max_by(|a, b| {
        (a.1 - fitted.slope)
            .abs()
            .total_cmp(&(b.1 - fitted.slope).abs())
    });
    let leave_one_out = most.map(|&(id, _)| ClusterRange {
        lower: moved.iter().map(|m| m.1).fold(f64::INFINITY, f64::min),
        upper: moved.iter().map(|m| m.1).fold(f64::NEG_INFINITY, f64::max),
        most_influential: view.cluster_name(&[treatment, baseline], id).to_owned(),
    });
    let total = fitted.variance(1, options.items).0;
    let used: std::collections::BTreeSet<usize> = view.members.iter().copied().collect();
    ItemReport {
        treatment_clusters: count(treatment),
        baseline_clusters: count(baseline),
        treatment_strata: strata(treatment),
        baseline_strata: strata(baseline),
        dropped_clusters: dropped(treatment) + dropped(baseline),
        dropped_runs: (0..corpus.runs.len())
            .filter(|r| !used.contains(r) && !corpus.held_out(*r))
            .map(|r| corpus.run_name(r).to_owned())
            .collect(),
        shared_clusters: shared,
        effective_clusters: fitted.effective,
        share: if total > 0.0 {
            fitted.item.slope / total
        } else {
            0.0
        },
        leave_one_out,
    }
}

fn readings(view: &View<'_>, fitted: &Fitted, log_t: &[f64], log_b: &[f64]) -> Vec<Reading> {
    let plan = &view.plan;
    let main = plan.main();
    // Too few readings, or one that a coefficient rests on alone, leave nothing to compare with.
    let influence = fitted.fit.influence().ok();
    let scales = plan.scales();
    (0..fitted.readings.len())
        .map(|j| Reading {
            budget: plan.groups[j].budget,
            scale: scales[j],
            params: diag::exp(main.read_at[j]),
            log_ratio: fitted.readings[j],
            treatment_error: diag::exp(log_t[j]),
            baseline_error: diag::exp(log_b[j]),
            residual: fitted.fit.residuals()[j],
            leverage: fitted.fit.leverages()[j],
            cook: influence.as_ref().map(|i| i.cook[j]),
            dfbetas: influence.as_ref().map(|i| i.dfbetas[j][1]),
        })
        .collect()
}

fn single(
    view: &View<'_>,
    distribution: usize,
    name: &str,
    options: &Options,
) -> Result<TraditionalLaw, FitError> {
    let (corpus, plan) = (view.corpus, &view.plan);
    let errors = &corpus.losses(distribution)?.log_error;
    if !view.members.iter().all(|&r| errors[r].is_finite()) {
        return Err(FitError::Unsupported {
            reason: format!(
                "{name:?} is missing in some runs of corpus {:?}",
                corpus.name
            ),
        });
    }
    let terms = vec![(distribution, 1.0)];
    let fitted = contrast::fit(&[Part { view, terms }], None, options)?;
    let stage = &plan.main().stage;
    let e = fitted.estimate(1, options.items, options.alpha);
    let level = fitted.estimate(0, options.items, options.alpha);
    if ![e.lower, e.upper, level.value]
        .iter()
        .all(|v| v.is_finite() && v.abs() < LARGEST_LOG)
    {
        return Err(FitError::Unsupported {
            reason: format!("the errors of {name:?} are too far apart for a finite result"),
        });
    }
    Ok(TraditionalLaw {
        corpus: corpus.name.into(),
        distribution: name.into(),
        beta: Estimate {
            value: -e.value,
            lower: -e.upper,
            upper: -e.lower,
            ..e
        },
        alpha: level.interval().map(diag::exp),
        reference_flops: diag::exp(plan.origin),
        semi_log: diag::semi_log(stage, &fitted.readings, options)?,
        curvature: diag::curvature(stage, &fitted.readings, options)?,
        errors: fitted.readings.iter().map(|f| diag::exp(*f)).collect(),
        floor: floor(view, &fitted.readings, options),
        chance_distance: chance_distance(&fitted, name, options),
        surface: surface(view, errors, options),
    })
}

/// Residual variances of the treatments of one plan drawn towards a common one, with their degrees
/// of freedom; empty where that was not asked for or is not possible.
fn moderate(
    view: &View<'_>,
    group: &[usize],
    baseline: usize,
    options: &Options,
) -> BTreeMap<usize, (f64, f64)> {
    let mut result = BTreeMap::new();
    if !options.moderation || !view.plan.main().stage.classical() || group.len() < 8 {
        return result;
    }
    let fits: Vec<(usize, Fitted)> = group
        .iter()
        .filter_map(|&t| {
            let y = view.scalar(&[(t, 1.0), (baseline, -1.0)]).ok()?;
            Some((t, fit_readout(view.plan.main(), &y).ok()?))
        })
        .collect();
    let Some(df) = fits.first().map(|(_, f)| f.run_df[1]) else {
        return result;
    };
    let variances: Vec<f64> = fits.iter().map(|(_, f)| f.sigma2).collect();
    if let Ok(m) = moderate_variances(&variances, df) {
        for ((t, _), v) in fits.iter().zip(&m.variances) {
            result.insert(*t, (*v, (df + m.prior_df).min(1e6)));
        }
    }
    result
}

/// What a prediction is made at.
fn target(view: &View<'_>, run: Option<usize>, x: f64) -> Target {
    let runs = view.corpus.ladder.runs();
    let run = run
        .and_then(|r| view.corpus.runs.get(r))
        .and_then(|&r| runs.get(r));
    let (params, tokens) = run.map_or((f64::NAN, f64::NAN), |r| (r.params, r.tokens));
    let terms = match view.plan.ratio {
        Some(reference) => vec![1.0, x, libm::log(tokens / params) - reference],
        None => vec![1.0, x],
    };
    Target {
        x,
        params,
        tokens,
        terms,
    }
}

/// Log errors at `targets` by a law with a floor fitted to the readings `seen`: in the scale, or in
/// sizes and tokens on a grid.
fn competing(
    view: &View<'_>,
    log_errors: &[f64],
    seen: &[usize],
    targets: &[Target],
    options: &Options,
) -> Option<Vec<f64>> {
    let plan = &view.plan;
    let errors: Vec<f64> = seen.iter().map(|&i| diag::exp(log_errors[i])).collect();
    if plan.design == Design::Grid {
        let at = |i: &usize| target(view, plan.groups[*i].members.first().copied(), plan.x[*i]);
        let n: Vec<f64> = seen.iter().map(|i| at(i).params).collect();
        let d: Vec<f64> = seen.iter().map(|i| at(i).tokens).collect();
        let surface = fit_surface(&n, &d, &errors, None).ok()?;
        return Some(
            targets
                .iter()
                .map(|t| surface.ln_loss(t.params, t.tokens))
                .collect(),
        );
    }
    let x: Vec<f64> = seen.iter().map(|&i| plan.x[i]).collect();
    let law = fit_floor_law(&x, &errors, None, 1.0 - options.alpha).ok()?;
    Some(targets.iter().map(|t| law.ln_error(t.x)).collect())
}

/// The law with a floor through the readings of one distribution.
fn floor(view: &View<'_>, readings: &[f64], options: &Options) -> Option<FloorReport> {
    let plan = &view.plan;
    if plan.design == Design::Grid {
        return None;
    }
    let errors: Vec<f64> = readings.iter().map(|f| diag::exp(*f)).collect();
    let c = compare_laws(&plan.x, &errors, 1.0 - options.alpha).ok()?;
    let last = plan.x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let share = c.floor.floor_share(last);
    let both = |i: (Option<f64>, Option<f64>)| [i.0, i.1].map(|v| v.filter(|v| v.is_finite()));
    let numbers = [c.floor.floor, c.floor.amplitude, c.floor.exponent, share];
    numbers.iter().all(|v| v.is_finite()).then(|| FloorReport {
        floor: c.floor.floor,
        floor_interval: both(c.floor.floor_interval),
        amplitude: c.floor.amplitude,
        exponent: c.floor.exponent,
        exponent_interval: both(c.floor.exponent_interval),
        floor_share: share,
        aicc_difference: c.floor_aicc.zip(c.power.aicc).map(|(f, p)| f - p),
        p_value: if c.floor_p_value.is_finite() {
            c.floor_p_value
        } else {
            1.0
        },
    })
}

/// How many readings have left the chance level by more than three standard errors of `ln E`.
fn chance_distance(fitted: &Fitted, name: &str, options: &Options) -> Option<usize> {
    let level = libm::log(*options.chance.get(name)?);
    let error = (fitted.sigma2 + fitted.item.level).sqrt();
    let either_side = options.chance_either_side.contains(name);
    let distance = |f: &f64| match level - f {
        above if either_side => above.abs(),
        below => below,
    };
    let left = fitted.readings.iter().filter(|f| distance(f) > 3.0 * error);
    Some(left.count())
}

/// Flags laws whose errors are still at chance, or already at their floor.
fn flag_floors(laws: &mut [RelativeLaw], traditional: &[TraditionalLaw], options: &Options) {
    let known: BTreeMap<(&str, &str), &TraditionalLaw> = traditional
        .iter()
        .map(|t| ((t.corpus.as_str(), t.distribution.as_str()), t))
        .collect();
    for law in laws {
        let both = [&law.treatment, &law.baseline];
        let of = both.map(|d| known.get(&(law.corpus.as_str(), d.as_str())));
        let needed = law.readings.len().min(4);
        let at_chance = |t: &&&TraditionalLaw| t.chance_distance.is_some_and(|n| n < needed);
        if of.iter().flatten().any(at_chance) {
            law.flags.push(Flag::PreOnset);
        }
        let near = |t: &&&TraditionalLaw| {
            t.floor
                .is_some_and(|f| f.p_value <= options.alpha && f.floor_share > 0.5)
        };
        if of.iter().flatten().any(near) {
            law.flags.push(Flag::NearFloor);
        }
        law.flags.sort_unstable();
    }
}

fn corpus_report(view: &View<'_>, options: &Options) -> CorpusReport {
    let (corpus, plan) = (view.corpus, &view.plan);
    let runs = corpus.ladder.runs();
    CorpusReport {
        surface: surface(view, &corpus.aggregate, options),
        corpus: corpus.name.into(),
        design: plan.design,
        runs: view.members.len(),
        scales: plan.scales(),
        reference_flops: diag::exp(plan.origin),
        aggregate_from_tested: corpus.aggregate_from_tested,
        refused_budgets: plan
            .refused
            .iter()
            .map(|(budget, reason)| Refused {
                corpus: corpus.name.into(),
                distribution: None,
                budget: Some(*budget),
                reason: reason.clone(),
            })
            .collect(),
        frontier: plan.main().frontier.as_ref().map(|f| FrontierReport {
            minima: f.minima.iter().map(|m| diag::exp(*m)).collect(),
            smoothed: plan
                .x
                .iter()
                .map(|&x| diag::exp(f.line.at(x).value))
                .collect(),
            profiles: f.profiles.clone(),
            inside: f.inside.clone(),
            residual_sd: f.line.fit().variance().sqrt(),
            exponent: {
                let e = f.line.slope();
                Estimate::new(e.value, e.standard_error.powi(2), e.df, options.alpha)
            },
            lack_of_fit: diag::lack_of_fit(corpus, plan.main(), &corpus.aggregate),
            next_power: diag::next_power(corpus, plan.main(), &corpus.aggregate),
        }),
        profiles: view
            .members
            .iter()
            .filter(|&&m| corpus.aggregate[m].is_finite())
            .map(|&m| {
                let run = &runs[corpus.runs[m]];
                ProfilePoint {
                    run: run.id.clone(),
                    budget: run.budget,
                    params: run.params,
                    aggregate: diag::exp(corpus.aggregate[m]),
                }
            })
            .collect(),
    }
}

/// Adjusts for the number of laws and decides.
fn decide_together(laws: &mut [RelativeLaw], options: &Options) -> Result<(), FitError> {
    let p: Vec<f64> = laws.iter().map(|l| l.delta_beta.p_value).collect();
    let tost: Vec<f64> = laws.iter().map(|l| l.equivalence.p_value).collect();
    let holm = adjust(&p, Correction::Holm)?;
    let hochberg = adjust(&p, Correction::Hochberg)?;
    let bh = adjust(&p, Correction::BenjaminiHochberg)?;
    let by = adjust(&p, Correction::BenjaminiYekutieli)?;
    let equivalent = adjust(&tost, Correction::Holm)?;
    let selected = bh.iter().filter(|q| **q <= options.alpha).count();
    let selected = selected_level(selected, laws.len(), options.alpha)?;
    let simultaneous = simultaneous_level(laws.len(), 1.0 - options.alpha)?;
    for (i, law) in laws.iter_mut().enumerate() {
        law.holm_p = holm[i];
        law.hochberg_p = hochberg[i];
        law.bh_q = bh[i];
        law.by_q = by[i];
        law.equivalence.holm_p = equivalent[i];
        law.simultaneous = law.delta_beta.at_level(simultaneous);
        if bh[i] <= options.alpha {
            law.selected = Some(law.delta_beta.at_level(selected));
        }
        let level = law.gamma.map(libm::log);
        let x: Vec<f64> = law
            .readings
            .iter()
            .map(|r| libm::log(r.scale / law.reference_flops))
            .collect();
        law.verdict = decide(&Evidence {
            level,
            ends: diag::ends(level.value, law.delta_beta.value, &x),
            slope: law.delta_beta.value,
            differs: holm[i] <= options.alpha,
            equivalent: equivalent[i] <= options.alpha,
        });
    }
    Ok(())
}
