//! Runs that spoil a law: named, and weighted down on request.

use relscale::fit::simulate::{Scenario, Simulation};
use relscale::fit::{DesignChoice, Flag, Options, RelativeLaw, analyze};
use relscale::ladder::{Ladder, Run, Scale};

/// The losses of one run, changed.
#[derive(Debug, Clone, Copy)]
struct Spoilt {
    /// Budget, and place of the run among its sizes.
    at: (usize, usize),
    /// Factor of the treatment's loss.
    treatment: f64,
    /// Factor of every loss.
    all: f64,
}

/// A simulated ladder with some of its runs spoilt, and the names of those.
fn ladder(scenario: Scenario, replicate: u64, spoilt: &[Spoilt]) -> (Ladder, Vec<String>) {
    let ladder = Simulation::scenario(scenario).ladder(replicate).unwrap();
    let mut budgets: Vec<f64> = ladder.runs().iter().map(|r| r.budget).collect();
    budgets.dedup();
    let of = |s: &Spoilt| {
        let own = ladder.runs().iter().filter(|r| r.budget == budgets[s.at.0]);
        own.map(|r| r.id.clone()).nth(s.at.1).unwrap()
    };
    let names: Vec<String> = spoilt.iter().map(of).collect();
    let mut builder = Ladder::builder();
    for run in ladder.runs() {
        builder.run(run.clone()).unwrap();
    }
    builder.flop_convention(ladder.flop_convention());
    for scores in ladder.scores() {
        for cell in scores.cells() {
            let id = &ladder.runs()[cell.run].id;
            let mut loss = cell.loss / cell.weight;
            if let Some(k) = names.iter().position(|n| n == id) {
                loss *= spoilt[k].all;
                if scores.name() == "treatment" {
                    loss *= spoilt[k].treatment;
                }
            }
            let cluster = &scores.clusters()[cell.cluster];
            builder
                .score(id, scores.name(), cluster, loss, cell.weight)
                .unwrap();
        }
    }
    (builder.build().unwrap(), names)
}

fn options() -> Options {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    options
}

fn law(ladder: &Ladder, options: &Options) -> RelativeLaw {
    analyze(ladder, options).unwrap().laws.remove(0)
}

/// A run at the second budget, near the optimum, whose ratio is 4 % off.
const OUTLIER: Spoilt = Spoilt {
    at: (1, 5),
    treatment: 1.04,
    all: 1.0,
};
/// A run that diverged: every loss up by a half, the treatment's a tenth more.
const DIVERGED: Spoilt = Spoilt {
    at: (4, 6),
    treatment: 1.1,
    all: 1.5,
};

#[test]
fn the_run_that_spoils_a_law_is_named() {
    let clean = law(&ladder(Scenario::Plain, 1, &[]).0, &options());
    assert_eq!(clean.diagnostics.outlying_runs, []);
    for spoilt in [OUTLIER, DIVERGED] {
        let (ladder, names) = ladder(Scenario::Plain, 1, &[spoilt]);
        let found = law(&ladder, &options());
        assert!(
            found.flags.contains(&Flag::OutlyingRun),
            "{:?}",
            found.flags
        );
        let run = &found.diagnostics.outlying_runs[0];
        assert_eq!((&run.run, run.in_aggregate), (&names[0], false));
        let without = run.delta_beta.unwrap();
        assert!(without.standard_error < found.delta_beta.standard_error);
        // A diverged run is unusual in its level too.
        let aggregate = found
            .diagnostics
            .outlying_runs
            .iter()
            .any(|o| o.in_aggregate);
        assert_eq!(aggregate, spoilt.all > 1.0);
        let text = analyze(&ladder, &options()).unwrap().details();
        assert!(
            text.contains(&format!("{}, studentised", names[0])),
            "{text}"
        );
    }
}

#[test]
fn two_spoilt_runs_are_both_named() {
    let (ladder, names) = ladder(Scenario::Plain, 3, &[OUTLIER, DIVERGED]);
    let found = law(&ladder, &options());
    for name in &names {
        assert!(
            found
                .diagnostics
                .outlying_runs
                .iter()
                .any(|o| o.run == *name)
        );
    }
}

#[test]
fn an_outlying_rung_is_named() {
    let rungs = |spoil: f64| {
        let mut builder = Ladder::builder();
        for j in 0..10_i32 {
            let flops = 1e18 * 3_f64.powi(j);
            let params = (flops / 120.0).sqrt();
            let id = format!("r{j}");
            let tokens = flops / 6.0 / params;
            let scale = Scale {
                params,
                tokens,
                flops,
            };
            builder.run(Run::new(&id, scale).corpus("c")).unwrap();
            let noise = 0.001 * (f64::from(j * j) * 2.7).sin();
            let ratio = 1.2 * (0.01 * f64::from(j) + noise).exp();
            let ratio = if j == 6 { ratio * spoil } else { ratio };
            builder.score(&id, "baseline", "", 2.0, 1.0).unwrap();
            builder.score(&id, "t", "", 2.0 * ratio, 1.0).unwrap();
        }
        builder.build().unwrap()
    };
    let mut options = Options::new("baseline");
    options.design = DesignChoice::Rungs;
    assert_eq!(law(&rungs(1.0), &options).diagnostics.outlying_runs, []);
    let found = law(&rungs(1.02), &options).diagnostics.outlying_runs;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].run, "r6");
    options.robust = true;
    let error = analyze(&rungs(1.0), &options).unwrap_err().to_string();
    assert!(error.contains("robust"), "{error}");
}

#[test]
fn robust_readings_resist_a_spoilt_run() {
    let mut robust = options();
    robust.robust = true;
    let clean = law(&ladder(Scenario::Plain, 1, &[]).0, &options());
    for spoilt in [OUTLIER, DIVERGED] {
        let (ladder, _) = ladder(Scenario::Plain, 1, &[spoilt]);
        let (plain, resistant) = (law(&ladder, &options()), law(&ladder, &robust));
        let off = |l: &RelativeLaw| (l.delta_beta.value - clean.delta_beta.value).abs();
        assert!(off(&resistant) < 0.5 * off(&plain), "{spoilt:?}");
        let width = |l: &RelativeLaw| l.delta_beta.upper - l.delta_beta.lower;
        assert!(width(&resistant) < 0.6 * width(&plain), "{spoilt:?}");
    }
    // Laws of the ladder, unchanged by units, by exchange of the sides, by order.
    let (ladder, _) = ladder(Scenario::Plain, 1, &[OUTLIER]);
    let one = law(&ladder, &robust);
    let mut swapped = robust.clone();
    swapped.baseline = "treatment".into();
    let swapped = law(&ladder, &swapped);
    assert!((one.delta_beta.value + swapped.delta_beta.value).abs() < 1e-12);
    assert!((one.delta_beta.standard_error / swapped.delta_beta.standard_error - 1.0).abs() < 1e-9);
}

/// Coverage and mean half-width of the plain and the robust interval, and the share of ladders in which
/// a run is named, over ladders that are clean, have one outlier, one diverged run or t5 noise.
#[test]
#[ignore = "minutes of simulation: cargo test --release --test statistics -- --ignored --nocapture robustness"]
fn robust_intervals_cover() {
    const REPLICATES: u64 = 1000;
    println!(
        "| scenario | plain coverage % | half-width x1e3 | robust coverage % | half-width x1e3 | \
         a run named % |\n|---|---:|---:|---:|---:|---:|"
    );
    let mut robust = options();
    robust.robust = true;
    for (name, scenario, spoilt) in [
        ("A clean", Scenario::Plain, None),
        ("A one outlier", Scenario::Plain, Some(OUTLIER)),
        ("A diverged run", Scenario::Plain, Some(DIVERGED)),
        ("C t5 noise, 3x", Scenario::HeavyTails, None),
        ("H t5, quartic", Scenario::HeldOut, None),
        ("H one outlier", Scenario::HeldOut, Some(OUTLIER)),
    ] {
        let truth = Simulation::scenario(scenario).exponent(0, 1).unwrap();
        let (mut inside, mut half, mut named) = ([0.0; 2], [0.0; 2], 0.0);
        for replicate in 0..REPLICATES {
            // The place varies, so that not one leverage is tried.
            let spoilt: Vec<Spoilt> = (spoilt.into_iter())
                .map(|s: Spoilt| Spoilt {
                    at: ((replicate % 7) as usize, (replicate / 7 % 7) as usize),
                    ..s
                })
                .collect();
            let (ladder, _) = ladder(scenario, replicate, &spoilt);
            for (k, o) in [&options(), &robust].into_iter().enumerate() {
                let law = law(&ladder, o);
                let d = law.delta_beta;
                inside[k] += f64::from(u8::from(d.lower <= truth && truth <= d.upper));
                half[k] += 0.5 * (d.upper - d.lower);
                if k == 0 {
                    named += f64::from(u8::from(law.flags.contains(&Flag::OutlyingRun)));
                }
            }
        }
        let n = REPLICATES as f64;
        let [plain, resistant] = inside.map(|i| 100.0 * i / n);
        let [wide, narrow] = half.map(|h| 1e3 * h / n);
        println!(
            "| {name} | {plain:.1} | {wide:.2} | {resistant:.1} | {narrow:.2} | {:.1} |",
            100.0 * named / n
        );
        assert!(resistant >= 93.0, "{name}: {resistant}");
        assert!(spoilt.is_none() || narrow < wide, "{name}");
    }
}

#[test]
fn the_wild_bootstrap_agrees_with_the_formula_and_repeats_itself() {
    let mut wild = options();
    wild.wild_bootstrap = true;
    assert!(
        law(&ladder(Scenario::Plain, 1, &[]).0, &options())
            .alternatives
            .wild_bootstrap
            .is_none()
    );
    let truth = Simulation::scenario(Scenario::Plain)
        .exponent(0, 1)
        .unwrap();
    let (mut inside, mut ratio) = (0, 0.0);
    for replicate in 0..24 {
        let law = law(&ladder(Scenario::Plain, replicate, &[]).0, &wild);
        let found = law.alternatives.wild_bootstrap.unwrap();
        let (d, a) = (found.delta_beta, found.analytic);
        assert!(found.draws >= 950 && found.p_value > 0.0 && found.p_value <= 1.0);
        assert_eq!(d.value, a.value);
        inside += u32::from(d.lower <= truth && truth <= d.upper);
        ratio += (d.upper - d.lower) / (a.upper - a.lower) / 24.0;
        if replicate == 0 {
            let again = self::law(&ladder(Scenario::Plain, 0, &[]).0, &wild);
            assert_eq!(again.alternatives.wild_bootstrap.unwrap(), found);
        }
    }
    // Binomial: 24 intervals of 95 % hold 20 or more in 99 of 100 cases.
    assert!(inside >= 20, "{inside}");
    assert!((0.6..1.7).contains(&ratio), "{ratio}");
}

#[test]
fn a_spoilt_run_does_not_widen_the_robust_laws_of_others() {
    // Ten treatments, alike but for their noise, so that their variances are moderated.
    let family = |spoil: f64| {
        let (one, names) = ladder(Scenario::Plain, 1, &[OUTLIER]);
        let mut builder = Ladder::builder();
        for run in one.runs() {
            builder.run(run.clone()).unwrap();
        }
        let mut add = |run: &str, name: &str, loss: f64| {
            builder.score(run, name, "", loss, 1.0).unwrap();
        };
        for (k, run) in one.runs().iter().enumerate() {
            for name in ["baseline", "aggregate"] {
                add(&run.id, name, one.error(&run.id, name).unwrap());
            }
            for t in 0..10 {
                let noise = 2e-3 * (1.7 * k as f64 * (t as f64 + 1.0) + t as f64).sin();
                let off = if run.id == names[0] && t == 0 {
                    spoil
                } else {
                    1.0
                };
                let loss = one.error(&run.id, "baseline").unwrap() * (0.1 + noise).exp() * off;
                add(&run.id, &format!("t{t}"), loss);
            }
        }
        builder.build().unwrap()
    };
    let mut robust = options();
    robust.robust = true;
    let widths = |ladder: &Ladder| -> Vec<f64> {
        let laws = analyze(ladder, &robust).unwrap().laws;
        laws.iter()
            .map(|l| l.delta_beta.upper - l.delta_beta.lower)
            .collect()
    };
    let (clean, spoilt) = (widths(&family(1.0)), widths(&family(1.1)));
    assert_eq!(clean.len(), 10);
    for (c, s) in clean.iter().zip(&spoilt) {
        assert!(s / c < 1.25, "{clean:?} {spoilt:?}");
    }
}
