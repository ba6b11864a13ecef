//! Named contrasts, differences of pairs and groups.

use std::path::Path;

use relscale::fit::simulate::{Scenario, Shape, Simulation, Truth};
use relscale::fit::{
    Analysis, ConfidenceSet, Contrast, FamilyScope, Group, NamedContrast, Options, Verdict, analyze,
};
use relscale::ladder::{Ladder, Run, Scale};

fn options() -> Options {
    let mut options = Options::new("baseline");
    options.treatments = vec!["treatment".into()];
    options.aggregate = Some("aggregate".into());
    options
}

fn contrast<'a>(analysis: &'a Analysis, name: &str) -> &'a NamedContrast {
    let found = analysis.contrasts.iter().find(|c| c.name == name);
    found.unwrap_or_else(|| panic!("no contrast {name:?} in {:?}", analysis.refused))
}

fn with(contrasts: &[Contrast]) -> Options {
    let mut options = options();
    options.contrasts = contrasts.to_vec();
    options
}

/// `scores` copied under another name, with the same clusters.
fn copied(ladder: &Ladder, from: &str, to: &str) -> Ladder {
    let mut builder = Ladder::builder();
    for run in ladder.runs() {
        builder.run(run.clone()).unwrap();
    }
    for scores in ladder.scores() {
        let names = [scores.name(), if scores.name() == from { to } else { "" }];
        for name in names.into_iter().filter(|n| !n.is_empty()) {
            for cell in scores.cells() {
                let cluster = &scores.clusters()[cell.cluster];
                let run = &ladder.runs()[cell.run].id;
                let loss = cell.loss / cell.weight;
                builder
                    .score(run, name, cluster, loss, cell.weight)
                    .unwrap();
            }
        }
    }
    builder.build().unwrap()
}

#[test]
fn a_pair_with_the_main_baseline_is_the_law_itself() {
    for scenario in [Scenario::Plain, Scenario::Items, Scenario::HeldOut] {
        let ladder = Simulation::scenario(scenario).ladder(1).unwrap();
        let plain = analyze(&ladder, &options()).unwrap();
        let named = with(&[Contrast::new("treatment", "baseline")]);
        let analysis = analyze(&ladder, &named).unwrap();
        // No law moves by a contrast that is named, and the contrast is the same law to the last bit.
        assert_eq!(analysis.laws, plain.laws);
        assert_eq!(analysis.absolute_laws, plain.absolute_laws);
        let same = contrast(&analysis, "treatment : baseline");
        assert_eq!(same.law, plain.laws[0]);
        assert_eq!(same.sentence, plain.laws[0].sentence);
        assert_eq!(same.levels, None);
        let text = analysis.details();
        assert!(text.contains("contrasts of this corpus: 1"), "{text}");
        let json = serde_json::to_value(analysis.summary()).unwrap();
        assert_eq!(json["contrasts"][0]["law"]["treatment"], "treatment");
        let read: Analysis =
            serde_json::from_str(&serde_json::to_string(&analysis).unwrap()).unwrap();
        assert_eq!(read.contrasts, analysis.contrasts);
    }
}

#[test]
fn exponents_of_contrasts_add_up() {
    let ladder = Simulation::scenario(Scenario::Items).ladder(2).unwrap();
    let named = with(&[
        Contrast::new("treatment", "aggregate"),
        Contrast::new("aggregate", "baseline"),
        Contrast::new("baseline", "treatment"),
        Contrast::new("treatment", "aggregate")
            .minus("baseline", "aggregate")
            .named("difference"),
    ]);
    let analysis = analyze(&ladder, &named).unwrap();
    let main = analysis.laws[0].delta_beta;
    let of = |name: &str| contrast(&analysis, name).law.delta_beta;
    let [first, second] = ["treatment : aggregate", "aggregate : baseline"].map(of);
    assert!((first.value + second.value - main.value).abs() < 1e-14);
    let reversed = of("baseline : treatment");
    assert!((reversed.value + main.value).abs() < 1e-15);
    assert!((reversed.standard_error / main.standard_error - 1.0).abs() < 1e-12);
    // The aggregate cancels, and with it its items: the difference is the pair itself.
    let difference = contrast(&analysis, "difference");
    assert!((difference.law.delta_beta.value - main.value).abs() < 1e-14);
    let error = difference.law.delta_beta.standard_error;
    assert!((error / main.standard_error - 1.0).abs() < 1e-9, "{error}");
    assert_eq!(difference.law.multiplicity.family_size, 4);
}

#[test]
fn a_group_of_one_is_its_member_and_copies_count_once() {
    let ladder = Simulation::scenario(Scenario::Items).ladder(3).unwrap();
    let ladder = copied(&ladder, "treatment", "copy");
    let mut options = options();
    let names = |n: &[&str]| Group::Equal(n.iter().map(|n| (*n).into()).collect());
    options.groups.insert("one".into(), names(&["treatment"]));
    options
        .groups
        .insert("both".into(), names(&["treatment", "copy"]));
    let uneven = [("treatment".to_owned(), 5.0), ("copy".to_owned(), 2.0)];
    options
        .groups
        .insert("uneven".into(), Group::Weighted(uneven.into()));
    let analysis = analyze(&ladder, &options).unwrap();
    let law = &analysis.laws[0];
    for group in ["one", "both", "uneven"] {
        let own = contrast(&analysis, &format!("{group} : baseline"));
        let (a, b) = (own.law.delta_beta, law.delta_beta);
        assert!((a.value - b.value).abs() < 1e-14, "{group}");
        // The same clusters are one sample, left out of both members at once.
        let items = [&own.law, law].map(|l| l.diagnostics.variance.item);
        assert!(
            (items[0] / items[1] - 1.0).abs() < 1e-9,
            "{group} {items:?}"
        );
        assert!((a.standard_error / b.standard_error - 1.0).abs() < 1e-9);
        let counts = own.law.diagnostics.items.treatment_clusters;
        assert_eq!(counts, law.diagnostics.items.treatment_clusters, "{group}");
        let find = |name: &str| {
            let of = |l: &&relscale::fit::AbsoluteLaw| l.distribution == name;
            analysis.absolute_laws.iter().find(of).unwrap().beta
        };
        let (a, b) = (find(group), find("treatment"));
        assert!((a.value - b.value).abs() < 1e-14);
        assert!((a.standard_error / b.standard_error - 1.0).abs() < 1e-9);
    }
}

#[test]
fn a_group_is_the_weighted_mean_of_log_errors() {
    let ladder = Simulation::scenario(Scenario::Plain).ladder(4).unwrap();
    let mut options = options();
    options.treatments = vec!["treatment".into(), "aggregate".into()];
    let weights = [("treatment".to_owned(), 3.0), ("aggregate".to_owned(), 1.0)];
    options
        .groups
        .insert("mean".into(), Group::Weighted(weights.into()));
    options.contrasts = vec![Contrast::new("treatment", "mean")];
    let analysis = analyze(&ladder, &options).unwrap();
    let of = |t: &str| {
        let law = analysis.laws.iter().find(|l| l.treatment == t).unwrap();
        (law.delta_beta.value, law.gamma.value.ln())
    };
    let (t, a) = (of("treatment"), of("aggregate"));
    let mean = &contrast(&analysis, "mean : baseline").law;
    assert!((mean.delta_beta.value - (0.75 * t.0 + 0.25 * a.0)).abs() < 1e-14);
    assert!((mean.gamma.value.ln() - (0.75 * t.1 + 0.25 * a.1)).abs() < 1e-13);
    let own = &contrast(&analysis, "treatment : mean").law;
    assert!((own.delta_beta.value - 0.25 * (t.0 - a.0)).abs() < 1e-14);
}

/// Five rungs with `ln(before gap) = .4 − .02 x`, of which adaptation closes the share `closed`.
fn arms(closed: f64) -> Ladder {
    let mut builder = Ladder::builder();
    for i in 0..7 {
        let flops = 1e18 * 10_f64.powf(0.5 * f64::from(i));
        let x = 0.5 * (f64::from(i) - 3.0) * std::f64::consts::LN_10;
        let id = format!("r{i}");
        let scale = Scale {
            params: 1e8,
            tokens: flops / 6e8,
            flops,
        };
        builder.run(Run::new(&id, scale)).unwrap();
        let noise = |k: i32| 1e-5 * f64::from(13 * i + 7 * k).sin();
        let gap = 0.4 - 0.02 * x;
        for (name, log) in [
            ("all-before", 1.0 - 0.05 * x + noise(1)),
            ("client-before", 1.0 - 0.05 * x + gap + noise(2)),
            ("all-after", 0.9 - 0.05 * x + noise(3)),
            (
                "client-after",
                0.9 - 0.05 * x + (1.0 - closed) * gap + noise(4),
            ),
        ] {
            builder.score(&id, name, "", log.exp(), 1.0).unwrap();
        }
    }
    builder.build().unwrap()
}

fn adaptation(name: Option<&str>) -> Options {
    let mut options = Options::new("all-before");
    let contrast = Contrast::new("client-after", "all-after").minus("client-before", "all-before");
    options.contrasts = vec![match name {
        Some(name) => contrast.named(name),
        None => contrast,
    }];
    options
}

#[test]
fn an_arm_is_told_by_the_share_of_the_gap_that_it_closes() {
    let analysis = analyze(&arms(0.38), &adaptation(Some("adaptation"))).unwrap();
    let found = contrast(&analysis, "adaptation");
    let levels = found.levels.unwrap();
    for level in levels {
        let closed = level.closed.unwrap();
        assert!((closed - 0.38).abs() < 2e-4, "{closed}");
        let ConfidenceSet::Bounded { lower, upper } = level.closed_set else {
            panic!("{:?}", level.closed_set);
        };
        // Noise of 1e-5 in each of four errors, over a gap of .33 to .47.
        assert!(lower - 1e-4 < 0.38 && 0.38 < upper + 1e-4 && upper - lower < 1e-3);
        let share = 1.0 - level.treatment.value.ln() / level.baseline.value.ln();
        assert!((share - closed).abs() < 1e-12);
    }
    // ln G − ln G′ = −.38 (.4 − .02 x): the advantage shrinks.
    assert!((found.law.delta_beta.value - 0.38 * 0.02).abs() < 1e-5);
    assert_eq!(found.law.verdict, Verdict::Narrows);
    assert_eq!(found.law.treatment, "client-after : all-after");
    let start = "adaptation closes 38 % [38, 38] of the gap in the middle of the ladder, \
                 38 % [38, 38] at the bottom and 38 % [38, 38] at the top; its advantage shrinks \
                 with scale. The ratio of client-after : all-after to client-before : all-before rises";
    assert!(found.sentence.starts_with(start), "{}", found.sentence);
    assert!(analysis.details().contains(start));

    let files: Vec<String> = relscale::report::plot::all(&analysis)
        .unwrap()
        .into_iter()
        .map(|f| f.0)
        .collect();
    for file in ["contrasts-default.svg", "contrast-default-adaptation.svg"] {
        assert!(files.contains(&file.to_owned()), "{files:?}");
    }

    let unnamed = analyze(&arms(0.38), &adaptation(None)).unwrap();
    let found = contrast(
        &unnamed,
        "(client-after : all-after) - (client-before : all-before)",
    );
    let start = "The gap of client-after : all-after is 38 % [38, 38] smaller than that of \
                 client-before : all-before in the middle";
    assert!(found.sentence.starts_with(start), "{}", found.sentence);

    let wider = analyze(&arms(-0.25), &adaptation(Some("adaptation"))).unwrap();
    let found = contrast(&wider, "adaptation");
    let start = "adaptation does not close the gap of client-before : all-before but widens it";
    assert!(found.sentence.starts_with(start), "{}", found.sentence);
    let none = analyze(&arms(0.0), &adaptation(Some("adaptation"))).unwrap();
    let found = contrast(&none, "adaptation");
    let start = "No part of the gap of client-before : all-before is shown to be closed";
    assert!(found.sentence.starts_with(start), "{}", found.sentence);
}

#[test]
fn a_difference_of_pairs_agrees_with_statsmodels() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/contrasts");
    let ladder = Ladder::load_csv(folder.join("arms.csv")).unwrap();
    let text = std::fs::read_to_string(folder.join("arms.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let analysis = analyze(&ladder, &adaptation(Some("adaptation"))).unwrap();
    let found = contrast(&analysis, "adaptation");
    let near = |value: f64, golden: &serde_json::Value| {
        let golden = golden.as_f64().unwrap();
        assert!((value / golden - 1.0).abs() < 1e-9, "{value} {golden}");
    };
    let law = &found.law;
    near(law.delta_beta.value, &golden["delta_beta"]);
    near(law.delta_beta.standard_error, &golden["standard_error"]);
    near(law.delta_beta.p_value, &golden["p_value"]);
    near(law.delta_beta.lower, &golden["interval"][0]);
    near(law.delta_beta.upper, &golden["interval"][1]);
    near(law.gamma.value, &golden["gamma"]);
    for (place, level) in found.levels.unwrap().iter().enumerate() {
        let ConfidenceSet::Bounded { lower, upper } = level.closed_set else {
            panic!("{level:?}");
        };
        let all = [level.closed.unwrap(), lower, upper];
        for (k, value) in all.into_iter().enumerate() {
            near(value, &golden["closed"][place][k]);
        }
    }
}

/// Both arms of a client that adaptation helps, read at the compute-optimal sizes.
fn noisy_arms() -> Simulation {
    let mut s = Simulation::default();
    s.shape = Shape::Isoflop {
        sizes: 7,
        drift: 0.0,
    };
    let arm = |name: &str, level: f64, beta: f64| {
        let mut t = Truth::new(name, level, beta);
        t.profile = [0.03, -0.004, 0.0];
        t.noise = 0.002;
        t
    };
    // ln G′ = .4 − .02 x before and ln G = .25 − .01 x after.
    s.distributions = vec![
        arm("all-before", 0.3, 0.05),
        arm("client-before", 0.7, 0.07),
        arm("all-after", 0.2, 0.05),
        arm("client-after", 0.45, 0.06),
        arm("aggregate", 0.3, 0.05),
    ];
    s
}

#[test]
fn shares_and_exponents_of_arms_cover() {
    let simulation = noisy_arms();
    let x: Vec<f64> = simulation.budgets.iter().map(|b| b.ln()).collect();
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let places = [x[0] - mean, 0.0, x[x.len() - 1] - mean];
    let truth = places.map(|x| 1.0 - (0.25 - 0.01 * x) / (0.4 - 0.02 * x));
    let mut options = adaptation(Some("adaptation"));
    options.aggregate = Some("aggregate".into());
    let (mut closed, mut slope) = ([0.0; 3], 0.0);
    let replicates = 120;
    for replicate in 0..replicates {
        let analysis = analyze(&simulation.ladder(replicate).unwrap(), &options).unwrap();
        let found = contrast(&analysis, "adaptation");
        let levels = found.levels.unwrap();
        for (k, level) in levels.iter().enumerate() {
            closed[k] += f64::from(level.closed_set.contains(truth[k]));
        }
        let d = found.law.delta_beta;
        slope += f64::from(d.lower <= 0.01 && 0.01 <= d.upper);
    }
    let n = replicates as f64;
    println!("closed {:?}, exponent {}", closed.map(|c| c / n), slope / n);
    // The standard error of 95 % is 2 % in 120 replicates.
    assert!(closed.iter().all(|&c| c / n > 0.91) && slope / n > 0.91);
}

#[test]
fn a_share_of_no_gap_is_not_known() {
    let mut options = adaptation(Some("adaptation"));
    // all-before and all-after differ by a constant; a distribution against itself plus noise has
    // no gap to close.
    let ladder = copied(&arms(0.3), "all-before", "twin");
    options.contrasts = vec![
        Contrast::new("client-after", "all-after")
            .minus("twin", "all-before")
            .named("nothing"),
    ];
    let analysis = analyze(&ladder, &options).unwrap();
    let found = contrast(&analysis, "nothing");
    assert!(found.levels.unwrap().iter().all(|l| l.closed.is_none()));
    let start = "The share of the gap of twin : all-before that is closed is not known";
    assert!(found.sentence.starts_with(start), "{}", found.sentence);
}

#[test]
fn contrasts_are_a_family_per_corpus_or_one() {
    let mut simulation = Simulation::scenario(Scenario::Plain);
    simulation.corpora = 2;
    let ladder = simulation.ladder(5).unwrap();
    let mut named = with(&[
        Contrast::new("treatment", "aggregate"),
        Contrast::new("aggregate", "baseline"),
    ]);
    for (family, size) in [(FamilyScope::Corpus, 2), (FamilyScope::All, 4)] {
        named.family = family;
        let analysis = analyze(&ladder, &named).unwrap();
        assert_eq!(analysis.contrasts.len(), 4);
        for c in &analysis.contrasts {
            let m = &c.law.multiplicity;
            assert_eq!(m.family_size, size);
            assert!(m.holm_p >= c.law.delta_beta.p_value);
            assert_eq!(m.holm_p <= 0.05, m.decision.lower * m.decision.upper > 0.0);
        }
        let names: Vec<&str> = analysis.contrasts.iter().map(|c| &*c.name).collect();
        let both = ["treatment : aggregate", "aggregate : baseline"];
        assert_eq!(names, [both, both].concat());
    }
}

#[test]
fn names_that_the_ladder_lacks_and_empty_comparisons_are_refused() {
    let ladder = arms(0.3);
    let of = |contrasts: &[Contrast], groups: &[(&str, &[&str])], rates: &[&str]| {
        let mut options = Options::new("all-before");
        options.contrasts = contrasts.to_vec();
        for (name, members) in groups {
            let members = members.iter().map(|m| (*m).into()).collect();
            options.groups.insert((*name).into(), Group::Equal(members));
        }
        options.error_rates = rates.iter().map(|r| (*r).into()).collect();
        analyze(&ladder, &options).unwrap_err().to_string()
    };
    let pair = Contrast::new;
    for (text, parts) in [
        (
            of(&[pair("client", "all-after")], &[], &[]),
            "no distribution named \"client\" in the ladder, which has all-after",
        ),
        (
            of(&[pair("x", "g")], &[("g", &["all-after"])], &[]),
            "no distribution or group named \"x\"",
        ),
        (
            of(&[pair("all-after", "all-after")], &[], &[]),
            "compares \"all-after\" with itself",
        ),
        (
            of(&[], &[("g", &["client"])], &[]),
            "no distribution named \"client\"",
        ),
        (
            of(&[], &[("all-after", &["client-after"])], &[]),
            "group \"all-after\" has the name of a distribution",
        ),
        (
            of(&[pair("g", "all-after")], &[("g", &["all-after"])], &[]),
            "the sides of contrast \"g : all-after\" are the same",
        ),
        (
            of(&[pair("client-after", "all-after")], &[], &["client-after"]),
            "contains the error rate \"client-after\"",
        ),
    ] {
        assert!(text.contains(parts), "{text}");
    }
}
