//! Surfaces, loss-to-loss, counts and mixed models against numbers by scipy and statsmodels, and the
//! laws that they must obey. The script that made the numbers stands beside them in `tests/data/laws`.

use std::fs::File;
use std::path::Path;

use proptest::prelude::*;
use relscale::fit::counts::fit_counts;
use relscale::fit::laws::{SurfaceIntervals, check_surface_design, fit_surface};
use relscale::fit::mixed::random_effects;
use relscale::fit::resample::Stream;
use relscale::fit::strategies::ladders;
use relscale::fit::{
    Analysis, ConfidenceSet, Design, DesignChoice, FitError, ItemSampling, Options, SurfaceFit,
    analyze,
};
use relscale::ladder::{Ladder, Run, Scale};
use serde_json::Value;

mod common;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/laws/golden.json");
    serde_json::from_reader(File::open(path).unwrap()).unwrap()
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

fn check_surface(name: &str, data: [&[f64]; 3], huber: Option<f64>, fit: &Value, tolerance: f64) {
    let surface = fit_surface(data[0], data[1], data[2], huber).unwrap();
    for (key, found) in [
        ("floor", surface.floor),
        ("a", surface.a),
        ("b", surface.b),
        ("alpha", surface.alpha),
        ("beta", surface.beta),
        ("params_exponent", surface.params_exponent()),
    ] {
        close(
            &format!("{name} {key}"),
            found,
            number(fit, &format!("/{key}")),
            tolerance,
        );
    }
    // A least cost is flat: it agrees more closely than the parameters, and is never higher.
    let wanted = number(fit, "/cost");
    close(&format!("{name} cost"), surface.cost, wanted, 1e-9);
    assert!(surface.cost <= wanted * (1.0 + 1e-12));
    assert!(surface.certificate.gradient < 1e-6, "{surface:?}");
    if huber.is_some() {
        return;
    }
    let intervals = SurfaceIntervals::new(&surface, data, None, None, 0.95).unwrap();
    let allocation = intervals.allocation(&surface, 1e21, 6.0).unwrap();
    let n = number(fit, "/params_at_1e21");
    close(&format!("{name} N*"), allocation.params, n, tolerance);
    for (key, found) in [
        ("floor_interval", intervals.floor),
        ("alpha_interval", intervals.alpha),
        ("beta_interval", intervals.beta),
        ("params_exponent_interval", intervals.params_exponent),
        ("params_at_1e21_interval", allocation.params_interval),
    ] {
        let found = found.unwrap();
        let wanted = numbers(fit, &format!("/{key}"));
        close(
            &format!("{name} {key} lower"),
            found.lower,
            wanted[0],
            10.0 * tolerance,
        );
        close(
            &format!("{name} {key} upper"),
            found.upper,
            wanted[1],
            10.0 * tolerance,
        );
    }
}

#[test]
fn surfaces_are_those_of_an_independent_fit() {
    let golden = golden();
    for (name, tolerance) in [("synthetic", 1e-6), ("synthetic_huber", 1e-5)] {
        let at = |key: &str| numbers(&golden, &format!("/{name}/{key}"));
        let (n, d, y) = (at("params"), at("tokens"), at("losses"));
        let huber = golden
            .pointer(&format!("/{name}/huber"))
            .and_then(Value::as_f64);
        let fit = golden.pointer(&format!("/{name}/fit")).unwrap();
        check_surface(name, [&n, &d, &y], huber, fit, tolerance);
    }
}

#[test]
#[ignore = "reads test material that is not part of the repository"]
fn surfaces_of_a_real_ladder_are_those_of_an_independent_fit() {
    let path = common::material("ladders/olmo-ladder.csv");
    let golden = golden();
    for column in [
        "c4_en-validation",
        "pile-validation",
        "dolma_stack-validation",
    ] {
        let mut table = csv::Reader::from_path(&path).unwrap();
        let header = table.headers().unwrap().clone();
        let position = |name: &str| header.iter().position(|h| h == name).unwrap();
        let wanted = [position("N"), position("tokens"), position(column)];
        let (mut n, mut d, mut y) = (vec![], vec![], vec![]);
        for record in table.records() {
            let record = record.unwrap();
            if record[0].starts_with("peteish") {
                continue;
            }
            // The table leaves the size of the 3B models out.
            n.push(record[wanted[0]].parse().unwrap_or(3_169_537_280.0));
            d.push(record[wanted[1]].parse().unwrap());
            y.push(record[wanted[2]].parse().unwrap());
        }
        let fit = golden.pointer(&format!("/olmo/{column}")).unwrap();
        check_surface(column, [&n, &d, &y], None, fit, 1e-5);
    }
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
fn intervals_of_a_surface_cover() {
    const REPLICATES: u64 = 400;
    for (budgets, decades, sd) in [(7, 2.0, 2e-3), (5, 1.5, 5e-3), (9, 3.0, 1e-2)] {
        let mut hits = [0_u32; 6];
        let mut missing = 0;
        for replicate in 0..REPLICATES {
            let mut stream = Stream::new(7, "surface", replicate);
            let [n, d, y] = simulated(budgets, decades, sd, &mut stream);
            let surface = fit_surface(&n, &d, &y, None).unwrap();
            let i = SurfaceIntervals::new(&surface, [&n, &d, &y], None, None, 0.95).unwrap();
            let a = i.allocation(&surface, 1e21, 6.0).unwrap();
            let truth = 1e21_f64 / 6.0;
            let best = ((0.34 * 406.4 / (0.28 * 410.7)) * truth.powf(0.28)).powf(1.0 / 0.62);
            for (hit, (found, truth)) in hits.iter_mut().zip([
                (i.floor, 1.69),
                (i.a, 406.4),
                (i.alpha, 0.34),
                (i.beta, 0.28),
                (i.params_exponent, 0.28 / 0.62),
                (a.params_interval, best),
            ]) {
                match found {
                    Some(f) => *hit += u32::from(f.lower <= truth && truth <= f.upper),
                    None => missing += 1,
                }
            }
        }
        let share = hits.map(|h| 100.0 * f64::from(h) / REPLICATES as f64);
        println!(
            "{budgets} budgets over {decades} decades, noise {sd}: coverage of E {:.1}, A {:.1}, \
             α {:.1}, β {:.1}, a {:.1}, N* {:.1} %; {missing} without an interval",
            share[0], share[1], share[2], share[3], share[4], share[5]
        );
        // Nominally 95; the Monte Carlo error of a share is 1.1 and linearised intervals lose a little.
        assert!(share.iter().all(|s| (90.0..=98.5).contains(s)), "{share:?}");
        assert!(missing < 20, "{missing}");
    }
}

#[test]
fn designs_that_do_not_identify_a_surface_are_refused() {
    let flops: Vec<f64> = (0..9).map(|j| 1e18 * 3_f64.powi(j)).collect();
    let n: Vec<f64> = flops.iter().map(|c| (c / 120.0).sqrt()).collect();
    let d: Vec<f64> = n.iter().map(|n| 20.0 * n).collect();
    let error = check_surface_design(&n, &d).unwrap_err();
    assert!(matches!(error, FitError::Singular { .. }), "{error}");
    let two_sizes: Vec<f64> = (0..9).map(|j| if j < 4 { 1e8 } else { 2e8 }).collect();
    let error = check_surface_design(&two_sizes, &d).unwrap_err();
    assert!(error.to_string().contains("sizes"), "{error}");
    let error = check_surface_design(&n[..5], &d[..5]).unwrap_err();
    assert!(
        matches!(error, FitError::TooFew { found: 5, .. }),
        "{error}"
    );
    let [n, d, _] = simulated(5, 2.0, 0.0, &mut Stream::new(1, "design", 0));
    assert!(check_surface_design(&n, &d).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_surface_does_not_depend_on_units_or_order(
        seed in 0_u64..1000,
        loss_unit in 0.1_f64..10.0,
        params_unit in 1e-3_f64..1e3,
        tokens_unit in 1e-3_f64..1e3,
    ) {
        let [n, d, y] = simulated(5, 2.0, 1e-3, &mut Stream::new(seed, "units", 0));
        let scale = |v: &[f64], k: f64| v.iter().rev().map(|v| k * v).collect::<Vec<f64>>();
        let (n2, d2, y2) = (scale(&n, params_unit), scale(&d, tokens_unit), scale(&y, loss_unit));
        let one = fit_surface(&n, &d, &y, None).unwrap();
        let two = fit_surface(&n2, &d2, &y2, None).unwrap();
        let same = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-5;
        prop_assert!(same(two.alpha, one.alpha) && same(two.beta, one.beta), "{one:?} {two:?}");
        prop_assert!(same(two.floor, loss_unit * one.floor));
        prop_assert!(same(two.a, loss_unit * one.a * params_unit.powf(one.alpha)));
        prop_assert!(same(two.b, loss_unit * one.b * tokens_unit.powf(one.beta)));
        let level = 0.95;
        let i = SurfaceIntervals::new(&one, [&n, &d, &y], None, None, level).unwrap();
        let k = SurfaceIntervals::new(&two, [&n2, &d2, &y2], None, None, level).unwrap();
        let (a, b) = (i.alpha.unwrap(), k.alpha.unwrap());
        prop_assert!(same(a.lower, b.lower) && same(a.upper, b.upper));
        // Compute is counted in parameters times tokens.
        let one = i.allocation(&one, 1e21, 6.0).unwrap();
        let two = k.allocation(&two, 1e21 * params_unit * tokens_unit, 6.0).unwrap();
        prop_assert!(same(two.params, params_unit * one.params));
        let (a, b) = (one.params_interval.unwrap(), two.params_interval.unwrap());
        prop_assert!(same(b.lower, params_unit * a.lower) && same(b.upper, params_unit * a.upper));
        prop_assert!(same(6.0 * one.params * one.tokens, 1e21));
        // A wider level holds a narrower one; one run to a cluster is no cluster.
        let trajectories: Vec<usize> = (0..n.len()).collect();
        let surface = fit_surface(&n, &d, &y, None).unwrap();
        let wide =
            SurfaceIntervals::new(&surface, [&n, &d, &y], Some(&trajectories), None, 0.99).unwrap();
        prop_assert!(wide.beta.unwrap().lower < i.beta.unwrap().lower);
        prop_assert_eq!(wide.df, i.df);
    }
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
    let direct = fit_surface(&n, &d, &y, None).unwrap();
    close("α", surface.alpha, direct.alpha, 1e-9);
    let at = surface.largest.unwrap();
    let (params, _) = direct.allocation(at.flops, 6.0).unwrap();
    close("N* at the largest scale", at.params, params, 1e-6);
    assert!(surface.reference.unwrap().params < at.params);
    let ends = at.params_interval.unwrap();
    assert!(ends[0] < at.params && at.params < ends[1]);
    assert!(analysis.corpora[0].surface.fitted().is_some());
    let text = analysis.to_string();
    assert!(
        text.contains("N* at F0") && text.contains("(aggregate)"),
        "{text}"
    );
    round_trip(&analysis);
    // A distribution that is the aggregate has no second surface.
    let mut named = options.clone();
    named.aggregate = Some("base".to_owned());
    let named = analyze(&ladder, &named).unwrap().to_string();
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
    let mean = flops.iter().map(|c| c.ln()).sum::<f64>() / flops.len() as f64;
    let x: Vec<f64> = flops.iter().map(|c| c.ln() - mean).collect();
    let mut losses = Vec::new();
    for name in ["treatment", "baseline"] {
        let wrong = at(&format!("{name}/wrong"));
        let fit = fit_counts(&[&[1.0; 12], &x], &wrong, &items).unwrap();
        let wanted = |key: &str| number(&golden, &format!("/counts/{name}/{key}"));
        close(
            &format!("{name} level"),
            fit.coefficients[0],
            wanted("level"),
            1e-9,
        );
        close(
            &format!("{name} slope"),
            fit.coefficients[1],
            wanted("slope"),
            1e-9,
        );
        close(
            &format!("{name} φ"),
            fit.dispersion,
            wanted("dispersion"),
            1e-8,
        );
        let (level, slope) = (fit.coefficient(0), fit.coefficient(1));
        close(
            &format!("{name} se level"),
            level.standard_error,
            wanted("level_error"),
            1e-8,
        );
        close(
            &format!("{name} se slope"),
            slope.standard_error,
            wanted("slope_error"),
            1e-8,
        );
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
    let text = analysis.to_string();
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
            prop_assert!(!analysis.to_string().contains("NaN"));
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
fn mixed_models_are_those_of_statsmodels() {
    let golden = golden();
    for case in ["effects", "none"] {
        let at = |key: &str| numbers(&golden, &format!("/mixed/{case}/{key}"));
        let (x, y) = (at("x"), at("y"));
        let group: Vec<usize> = at("group").iter().map(|g| *g as usize).collect();
        let one = vec![1.0; x.len()];
        let fit = random_effects(&[&one, &x], &y, &group).unwrap();
        let wanted = |key: &str| number(&golden, &format!("/mixed/{case}/{key}"));
        let slope = fit.coefficients[1];
        close(&format!("{case} slope"), slope.value, wanted("slope"), 1e-4);
        close(
            &format!("{case} run"),
            fit.run_variance,
            wanted("run_variance"),
            1e-4,
        );
        close(
            &format!("{case} budget"),
            fit.budget_variance,
            wanted("budget_variance"),
            1e-4,
        );
        // Where the budget effect is nearly nothing, statsmodels' standard error is 1.9 % larger than
        // that of the dense matrices at the same variances: the matrices decide.
        if case == "effects" {
            close(
                "se, statsmodels",
                slope.standard_error,
                wanted("slope_error"),
                1e-4,
            );
        }
        let dense = |key: &str| wanted(&format!("dense/{key}"));
        close(
            &format!("{case} se"),
            slope.standard_error,
            dense("slope_error"),
            1e-5,
        );
        close(&format!("{case} df"), slope.df, dense("df"), 1e-4);
        close(
            &format!("{case} budget, dense"),
            fit.budget_variance,
            dense("budget_variance"),
            1e-4,
        );
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
