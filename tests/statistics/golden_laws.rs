//! Surfaces, loss-to-loss, counts and mixed models of whole ladders, against numbers by scipy and
//! statsmodels and the laws that they must obey. `src/fit/stats/golden` says how the numbers were made.

use proptest::prelude::*;
use relscale::fit::strategies::ladders;
use relscale::fit::{
    Analysis, ConfidenceSet, Design, DesignChoice, FitError, ItemSampling, Options, SurfaceFit,
    analyze,
};
use relscale::ladder::{Ladder, Run, Scale};
use serde_json::Value;

use crate::random::Stream;

fn golden() -> Value {
    serde_json::from_str(include_str!("../../src/fit/stats/golden/laws.json")).unwrap()
}

fn number(value: &Value, path: &str) -> f64 {
    value
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number at {path}"))
}

fn numbers(value: &Value, path: &str) -> Vec<f64> {
    let list = value.pointer(path).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("no list at {path}"));
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn close(what: &str, found: f64, wanted: f64, tolerance: f64) {
    let error = (found - wanted).abs() / wanted.abs().max(1e-300);
    println!("{what}: {found:e}, off by {error:.1e}");
    assert!(
        error <= tolerance,
        "{what}: {found:e}, wanted {wanted:e}, off by {error:.1e}"
    );
}

/// An IsoFLOP ladder of `budgets` × seven sizes with noise of one standard deviation `sd`.
fn simulated(budgets: i32, decades: f64, sd: f64, stream: &mut Stream) -> [Vec<f64>; 3] {
    let (mut n, mut d, mut y) = (vec![], vec![], vec![]);
    for j in 0..budgets {
        let flops = 6e18 * 10_f64.powf(decades * f64::from(j) / f64::from(budgets - 1));
        let centre = 0.6 * (flops / 120.0).sqrt();
        for k in -3..=3 {
            let params = centre * 2_f64.powf(0.75 * f64::from(k));
            let tokens = flops / 6.0 / params;
            let loss = 1.69 + 406.4 / params.powf(0.34) + 410.7 / tokens.powf(0.28);
            n.push(params);
            d.push(tokens);
            y.push(loss * (sd * stream.normal()).exp());
        }
    }
    [n, d, y]
}

#[test]
fn every_law_of_an_isoflop_ladder_has_a_surface_and_rungs_say_why_not() {
    let mut builder = Ladder::builder();
    let [n, d, y] = simulated(6, 2.0, 1e-3, &mut Stream::new(3, "ladder", 0));
    for (i, ((n, d), y)) in n.iter().zip(&d).zip(&y).enumerate() {
        let id = format!("r{i}");
        let budget = (i / 7) as f64 + 1.0;
        builder
            .run(
                Run::new(
                    &id,
                    Scale {
                        params: *n,
                        tokens: *d,
                        flops: 6.0 * n * d,
                    },
                )
                .corpus("c")
                .budget(budget),
            )
            .unwrap();
        builder.score(&id, "base", "", *y, 1.0).unwrap();
        builder
            .score(&id, "other", "", 2.0 * y.powf(1.1), 1.0)
            .unwrap();
    }
    let ladder = builder.build().unwrap();
    let mut options = Options::new("base");
    let analysis = analyze(&ladder, &options).unwrap();
    let base = analysis
        .absolute_laws
        .iter()
        .find(|t| t.distribution == "base")
        .unwrap();
    let surface = base.surface.fitted().unwrap();
    assert_eq!(surface.runs, 42);
    assert!((surface.flops_per_param_token - 6.0).abs() < 1e-9);
    close("α", surface.alpha, 0.34, 0.05);
    let at = surface.largest.unwrap();
    // αA/N^α = βB/D^β at the optimum.
    let by_params = surface.alpha * surface.a * at.params.powf(-surface.alpha);
    let by_tokens = surface.beta * surface.b * at.tokens.powf(-surface.beta);
    close("N* at the largest scale", by_params, by_tokens, 1e-9);
    close("C", 6.0 * at.params * at.tokens, at.flops, 1e-9);
    assert!(surface.reference.unwrap().params < at.params);
    let ends = at.params_interval.unwrap();
    assert!(ends[0] < at.params && at.params < ends[1]);
    assert!(analysis.corpora[0].surface.fitted().is_some());
    let text = analysis.details();
    assert!(
        text.contains("N* at F0") && text.contains("(aggregate)"),
        "{text}"
    );
    round_trip(&analysis);
    // A distribution that is the aggregate has no second surface.
    let mut named = options.clone();
    named.aggregate = Some("base".to_owned());
    let named = analyze(&ladder, &named).unwrap().details();
    let rows = |text: &str| {
        text.lines()
            .filter(|l| l.trim_start().starts_with("base "))
            .count()
    };
    assert_eq!(rows(&named) + 1, rows(&text), "{named}");
    options.surface_huber = Some(1e-3);
    let robust = analyze(&ladder, &options).unwrap();
    assert_ne!(robust.options, analysis.options);
    assert_ne!(
        robust.absolute_laws[0].surface,
        analysis.absolute_laws[0].surface
    );

    let rungs = rungs(&[1e18, 1e19, 1e20, 1e21], &[("a", &[3.0, 2.8, 2.5, 2.4])]);
    let SurfaceFit::Refused { reason } = &analyze(&rungs, &Options::new("base"))
        .unwrap()
        .absolute_laws[0]
        .surface
    else {
        panic!("a surface from four runs");
    };
    assert!(reason.contains("too few"), "{reason}");
}

/// No NaN and no infinity, which JSON would lose; digits may round.
fn round_trip(analysis: &Analysis) {
    let json = serde_json::to_string(analysis).unwrap();
    let back: Analysis = serde_json::from_str(&json).unwrap();
    assert_eq!(back.counts.len(), analysis.counts.len());
    assert_eq!(back.absolute_laws.len(), analysis.absolute_laws.len());
    for (a, b) in back.absolute_laws.iter().zip(&analysis.absolute_laws) {
        assert_eq!(a.surface.fitted().is_some(), b.surface.fitted().is_some());
    }
}

/// One run per budget with the losses given, beside a baseline of a known law.
fn rungs(flops: &[f64], losses: &[(&str, &[f64])]) -> Ladder {
    let mut builder = Ladder::builder();
    for (i, c) in flops.iter().enumerate() {
        let id = format!("r{i}");
        builder
            .run(
                Run::new(
                    &id,
                    Scale {
                        params: c.sqrt() / 10.0,
                        tokens: c.sqrt(),
                        flops: *c,
                    },
                )
                .corpus("c"),
            )
            .unwrap();
        for (name, values) in losses {
            builder.score(&id, name, "", values[i], 1.0).unwrap();
        }
        if losses.iter().all(|l| l.0 != "base") {
            let loss = 3.0 * (c / 1e20).powf(-0.05);
            builder.score(&id, "base", "", loss, 1.0).unwrap();
        }
    }
    builder.build().unwrap()
}

#[test]
fn loss_to_loss_is_the_instrumental_estimate_with_fiellers_set() {
    let golden = golden();
    for case in ["bounded", "unbounded"] {
        let at = |key: &str| numbers(&golden, &format!("/loss_to_loss/{case}/{key}"));
        let (t, b) = (at("treatment"), at("baseline"));
        let ladder = rungs(&at("flops"), &[("base", &b), ("t", &t)]);
        let analysis = analyze(&ladder, &Options::new("base")).unwrap();
        let found = analysis.laws[0].alternatives.loss_to_loss.unwrap();
        let kappa = number(&golden, &format!("/loss_to_loss/{case}/kappa"));
        close(&format!("{case} κ"), found.kappa.unwrap(), kappa, 1e-9);
        let two_stage = number(&golden, &format!("/loss_to_loss/{case}/two_stage"));
        close(
            &format!("{case} two stages"),
            found.kappa.unwrap(),
            two_stage,
            1e-9,
        );
        assert_eq!(found.df, 5.0);
        if case == "bounded" {
            let ConfidenceSet::Bounded { lower, upper } = found.set else {
                panic!("{found:?}");
            };
            let roots = at("roots");
            close("κ lower", lower, roots[0], 1e-8);
            close("κ upper", upper, roots[1], 1e-8);
            // The reverse question has the reciprocal answer.
            let swapped = analyze(&ladder, &Options::new("t")).unwrap();
            let other = swapped.laws[0].alternatives.loss_to_loss.unwrap();
            close("1/κ", other.kappa.unwrap(), 1.0 / kappa, 1e-9);
            let ConfidenceSet::Bounded { lower, upper } = other.set else {
                panic!("{other:?}");
            };
            close("1/κ lower", lower, 1.0 / roots[1], 1e-8);
            close("1/κ upper", upper, 1.0 / roots[0], 1e-8);
            // κ is free of units.
            let scaled: Vec<f64> = t.iter().map(|v| 8.0 * v).collect();
            let far: Vec<f64> = at("flops").iter().map(|c| c * 3.0).collect();
            let scaled = rungs(&far, &[("base", &b), ("t", &scaled)]);
            let scaled = analyze(&scaled, &Options::new("base")).unwrap();
            close(
                "κ",
                scaled.laws[0]
                    .alternatives
                    .loss_to_loss
                    .unwrap()
                    .kappa
                    .unwrap(),
                kappa,
                1e-9,
            );
        } else {
            assert_eq!(found.set, ConfidenceSet::Everything);
        }
    }
}

#[test]
fn counts_are_those_of_statsmodels() {
    let golden = golden();
    let at = |key: &str| numbers(&golden, &format!("/counts/{key}"));
    let (flops, items) = (at("flops"), at("items"));
    let mut losses = Vec::new();
    for name in ["treatment", "baseline"] {
        let wrong = at(&format!("{name}/wrong"));
        losses.push(
            wrong
                .iter()
                .zip(&items)
                .map(|(w, m)| w / m)
                .collect::<Vec<f64>>(),
        );
    }
    assert!(losses[0].contains(&0.0), "the data must contain a zero");
    // The same from a table, as a user would.
    let mut csv = String::from("corpus,run,budget,flops,params,tokens,distribution,loss,weight\n");
    for (i, c) in flops.iter().enumerate() {
        for (name, loss) in [("treatment", &losses[0]), ("baseline", &losses[1])] {
            csv += &format!(
                "c,r{i},{c},{c},{},1e9,{name},{},{}\n",
                c / 6e9,
                loss[i],
                items[i]
            );
        }
    }
    let ladder = Ladder::from_csv(csv.as_bytes(), "counts.csv").unwrap();
    let mut options = Options::new("baseline");
    options.design = DesignChoice::Rungs;
    let refused = analyze(&ladder, &options).unwrap_err().to_string();
    assert!(
        refused.contains("\"r11\"") && refused.contains("zero"),
        "{refused}"
    );
    options.error_rates = ["treatment", "baseline"].map(String::from).into();
    options.chance.insert("treatment".into(), 0.75);
    let analysis = analyze(&ladder, &options).unwrap();
    assert!(analysis.laws.is_empty() && analysis.counts.len() == 1);
    let law = &analysis.counts[0];
    let wanted = |key: &str| number(&golden, &format!("/counts/{key}"));
    close("Δβ", law.delta_beta.value, wanted("delta"), 1e-9);
    close(
        "se Δβ",
        law.delta_beta.standard_error,
        wanted("delta_error"),
        1e-8,
    );
    close("ln γ", law.gamma.value.ln(), wanted("log_gamma"), 1e-9);
    assert_eq!(law.delta_beta.df, 10.0);
    assert_eq!(law.holm_p, law.delta_beta.p_value);
    assert_eq!(law.item_variance, None);
    let rate = analysis
        .rates
        .iter()
        .find(|r| r.distribution == "treatment")
        .unwrap();
    assert_eq!((rate.runs, rate.zeros, rate.pre_onset), (12, 1, false));
    assert_eq!(
        (rate.below_ceiling, rate.above_ceiling),
        (Some(12), Some(0))
    );
    close("β", rate.beta.value, -wanted("treatment/slope"), 1e-9);
    let bent: Value =
        serde_json::from_str(include_str!("../../src/fit/stats/golden/robust.json")).unwrap();
    for (path, curvature) in [("treatment/", &rate.curvature), ("", &law.curvature)] {
        let c = curvature.coefficient.unwrap();
        let wanted = |key: &str| number(&bent, &format!("/bent_counts/{path}{key}"));
        close("square", c.value, wanted("square"), 1e-7);
        close("se square", c.standard_error, wanted("square_error"), 1e-7);
    }
    let text = analysis.details();
    assert!(
        text.contains("1 of 12") && text.contains("counts"),
        "{text}"
    );
    round_trip(&analysis);
    // Treatment and baseline exchanged.
    options.baseline = "treatment".into();
    let swapped = analyze(&ladder, &options).unwrap();
    close(
        "−Δβ",
        -swapped.counts[0].delta_beta.value,
        law.delta_beta.value,
        1e-12,
    );
    close(
        "p",
        swapped.counts[0].delta_beta.p_value,
        law.delta_beta.p_value,
        1e-9,
    );
}

#[test]
fn what_is_no_error_rate_is_refused_by_name() {
    let flops = [1e18, 1e19, 1e20, 1e21, 1e22];
    let ladder = rungs(&flops, &[("acc", &[0.6, 0.4, 0.3, 1.2, 0.1])]);
    let mut options = Options::new("base");
    options.error_rates.insert("acc".into());
    let error = analyze(&ladder, &options).unwrap_err().to_string();
    assert!(
        error.contains("\"r3\"") && error.contains("error rate"),
        "{error}"
    );
    options.error_rates.insert("nothing".into());
    assert!(matches!(
        analyze(&ladder, &options),
        Err(FitError::Unknown { .. })
    ));
    options.error_rates.remove("nothing");
    options.chance.insert("acc".into(), 1.5);
    assert!(matches!(
        analyze(&ladder, &options),
        Err(FitError::Domain { .. })
    ));
    // Signed metrics never enter a ladder.
    let mut builder = Ladder::builder();
    builder
        .run(
            Run::new(
                "r",
                Scale {
                    params: 1.0,
                    tokens: 1.0,
                    flops: 1.0,
                },
            )
            .corpus("c"),
        )
        .unwrap();
    assert!(builder.score("r", "signed", "", -0.1, 1.0).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the design, rates give finite numbers or a typed error, and a ratio to a loss that is
    /// no rate is fitted too.
    #[test]
    fn rates_of_any_design_are_finite_or_refused(
        (_, ladder) in prop_oneof![
            ladders(Design::Isoflop), ladders(Design::Rungs), ladders(Design::Grid)
        ],
        only_baseline in any::<bool>(),
    ) {
        let mut builder = Ladder::builder();
        for run in ladder.runs() {
            builder.run(run.clone()).unwrap();
        }
        for scores in ladder.scores() {
            for cell in scores.cells() {
                let rate = (0.1 * cell.loss / cell.weight).min(1.0);
                let cluster = &scores.clusters()[cell.cluster];
                let items = 50.0;
                let rate = if scores.name() == "aggregate" {
                    rate
                } else {
                    (rate * items).round() / items
                };
                let id = &ladder.runs()[cell.run].id;
                builder.score(id, scores.name(), cluster, rate, items).unwrap();
            }
        }
        let rates = builder.build().unwrap();
        let mut options = Options::new("baseline");
        options.aggregate = Some("aggregate".into());
        options.mixed_model = true;
        let names = rates.distributions().filter(|n| *n != "aggregate");
        options.error_rates = names
            .filter(|n| !only_baseline || *n == "baseline")
            .map(String::from)
            .collect();
        if let Ok(analysis) = analyze(&rates, &options) {
            prop_assert!(!analysis.counts.is_empty());
            round_trip(&analysis);
            for law in &analysis.counts {
                let d = law.delta_beta;
                prop_assert!(d.lower <= d.value && d.value <= d.upper && d.df >= 1.0);
                prop_assert!(law.run_variance >= 0.0);
            }
            prop_assert!(!analysis.details().contains("NaN"));
        }
    }
}

/// Counts of a known law over a ladder of eleven budgets, one run or seven sizes each.
fn counted(isoflop: bool, items: u64, stream: &mut Stream) -> Ladder {
    let mut builder = Ladder::builder();
    for j in 0..11_i32 {
        let x = f64::from(j - 5) * 0.7;
        let flops = 1e20 * x.exp();
        let sizes = if isoflop { -3..=3 } else { 0..=0 };
        for k in sizes {
            let z = 0.4 * f64::from(k);
            let params = (0.5 * flops.ln() - 2.0 + z).exp();
            let id = format!("r{j}-{k}");
            builder
                .run(
                    Run::new(
                        &id,
                        Scale {
                            params,
                            tokens: flops / 6.0 / params,
                            flops,
                        },
                    )
                    .corpus("c"),
                )
                .unwrap();
            for (name, level, beta) in [("base", 0.2_f64, 0.30), ("t", 0.15, 0.20)] {
                // Few errors where one run is all there is.
                let level = if isoflop { level } else { 0.4 * level };
                let rate = (level.ln() - beta * x + 0.1 * z * z).exp();
                // Ten clusters, each a sum of independent items.
                for g in 0..10 {
                    let mut wrong = 0.0;
                    for _ in 0..items / 10 {
                        wrong += f64::from(u8::from(stream.uniform() < rate));
                    }
                    let n = (items / 10) as f64;
                    builder
                        .score(&id, name, &g.to_string(), wrong / n, n)
                        .unwrap();
                }
            }
            let aggregate = (1.0 - 0.05 * x + 0.03 * z * z).exp();
            builder.score(&id, "text", "", aggregate, 1.0).unwrap();
        }
    }
    builder.build().unwrap()
}

#[test]
fn intervals_of_counts_cover() {
    const REPLICATES: u64 = 200;
    let mut options = Options::new("base");
    options.treatments = vec!["t".into()];
    options.aggregate = Some("text".into());
    options.error_rates = ["base", "t"].map(String::from).into();
    for (isoflop, items) in [(false, 60), (true, 400)] {
        let (mut fixed, mut population, mut zeros, mut sum) = (0, 0, 0, 0.0);
        for replicate in 0..REPLICATES {
            let ladder = counted(isoflop, items, &mut Stream::new(11, "counts", replicate));
            let analysis = analyze(&ladder, &options).unwrap();
            let law = &analysis.counts[0];
            let d = law.delta_beta;
            population += u32::from(d.lower <= 0.1 && 0.1 <= d.upper);
            sum += d.value;
            options.items = ItemSampling::Fixed;
            let d = analyze(&ladder, &options).unwrap().counts[0].delta_beta;
            options.items = ItemSampling::Population;
            fixed += u32::from(d.lower <= 0.1 && 0.1 <= d.upper);
            zeros += analysis.rates.iter().map(|r| r.zeros).sum::<usize>();
            assert!(law.item_variance.is_some());
        }
        let n = REPLICATES as f64;
        let (fixed, population) = (
            100.0 * f64::from(fixed) / n,
            100.0 * f64::from(population) / n,
        );
        println!(
            "isoflop {isoflop}: coverage {fixed:.1} % (items fixed), {population:.1} % (sampled), \
             mean Δβ {:.4}, {zeros} runs without errors",
            sum / n
        );
        assert!(isoflop || zeros > 100, "{zeros}");
        // Noise of items in runs counts twice in the second: it is wide by construction.
        assert!(fixed >= 91.0 && population >= fixed, "{fixed} {population}");
        assert!((sum / n - 0.1).abs() < 0.02, "{}", sum / n);
    }
}

#[test]
fn a_mixed_model_stands_beside_the_law_where_seeds_allow_it() {
    let ladder = |budgets: i32, seeds: u64, isoflop: bool| {
        let mut stream = Stream::new(5, "mixed", 0);
        let mut builder = Ladder::builder();
        for j in 0..budgets {
            let x = f64::from(j) * 0.6;
            let flops = 1e18 * x.exp();
            let shock = 2e-3 * stream.normal();
            for k in if isoflop { -3..=3 } else { 0..=0 } {
                let z = 0.5 * f64::from(k);
                let params = (0.5 * flops.ln() - 2.0 + z).exp();
                for seed in 0..seeds {
                    let id = format!("r{j}-{k}-{seed}");
                    let run = Run::new(
                        &id,
                        Scale {
                            params,
                            tokens: flops / 6.0 / params,
                            flops,
                        },
                    )
                    .corpus("c");
                    builder.run(run.seed(seed)).unwrap();
                    let base = 1.0 - 0.05 * x + 0.03 * z * z;
                    let own = 0.2 + 0.01 * x + shock + 1e-3 * stream.normal();
                    builder.score(&id, "base", "", base.exp(), 1.0).unwrap();
                    builder
                        .score(&id, "t", "", (base + own).exp(), 1.0)
                        .unwrap();
                }
            }
        }
        builder.build().unwrap()
    };
    let mut options = Options::new("base");
    let fit =
        |ladder: &Ladder, options: &Options| analyze(ladder, options).unwrap().laws[0].clone();
    assert!(
        fit(&ladder(12, 3, false), &options)
            .alternatives
            .mixed_model
            .is_none()
    );
    options.mixed_model = true;
    let law = fit(&ladder(12, 3, false), &options);
    let mixed = law.alternatives.mixed_model.unwrap();
    assert_eq!((mixed.runs, mixed.budgets), (36, 12));
    // Balanced rungs: the same estimate, standard error and degrees of freedom as their means.
    close("Δβ", mixed.delta_beta.value, law.delta_beta.value, 1e-9);
    close(
        "se",
        mixed.delta_beta.standard_error,
        law.delta_beta.standard_error,
        1e-5,
    );
    close("df", mixed.delta_beta.df, law.delta_beta.df, 1e-4);
    assert!(
        mixed.budget_sd > 1e-3 && mixed.budget_sd < 4e-3,
        "{mixed:?}"
    );
    assert!(mixed.run_sd > 7e-4 && mixed.run_sd < 1.4e-3, "{mixed:?}");
    let isoflop = fit(&ladder(12, 2, true), &options);
    let mixed = isoflop.alternatives.mixed_model.unwrap();
    assert_eq!(mixed.budgets, 12);
    assert!(
        (mixed.delta_beta.value - isoflop.delta_beta.value).abs() < 1e-3,
        "{mixed:?}"
    );
    assert!(mixed.budget_sd > 1e-3 && mixed.run_sd < 1.4e-3, "{mixed:?}");
    // Too few budgets, or no replicates.
    assert!(
        fit(&ladder(9, 3, false), &options)
            .alternatives
            .mixed_model
            .is_none()
    );
    assert!(
        fit(&ladder(12, 1, false), &options)
            .alternatives
            .mixed_model
            .is_none()
    );
}
