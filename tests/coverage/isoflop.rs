//! IsoFLOP ladders of the library's own simulation, read by several methods.

use relscale::fit::simulate::{Scenario, Shape, Simulation};
use relscale::fit::{Analysis, Options, Verdict, analyze};
use relscale::ladder::Ladder;

use super::harness::{
    HEADER, ITEM_REPLICATES, Interval, Named, REPLICATES, Row, least_squares, parallel, print,
    summary, t_975,
};

/// One replicate: an interval by every method, and the verdict.
struct Outcome {
    intervals: Vec<Named>,
    verdict: Verdict,
}

/// The tempting estimator: one size profile for all budgets, read at the same frontier.
fn pooled_shape(ladder: &Ladder, analysis: &Analysis) -> Interval {
    let smoothed = &analysis.corpora[0].frontier.as_ref().unwrap().smoothed;
    let scales = &analysis.corpora[0].scales;
    let j = scales.len();
    let mut y = Vec::new();
    let mut columns = vec![Vec::new(); j + 3];
    for run in ladder.runs() {
        let budget = scales
            .iter()
            .position(|s| (s / run.flops - 1.0).abs() < 1e-6)
            .unwrap();
        let n = (run.params / smoothed[budget]).ln();
        y.push(
            (ladder.error(&run.id, "treatment").unwrap()
                / ladder.error(&run.id, "baseline").unwrap())
            .ln(),
        );
        for (k, c) in columns.iter_mut().enumerate() {
            c.push(match k {
                k if k < j => f64::from(u8::from(k == budget)),
                k => n.powi((k - j) as i32 + 1),
            });
        }
    }
    let readings: Vec<f64> = least_squares(&columns, &y)[..j]
        .iter()
        .map(|c| c.value)
        .collect();
    let x: Vec<f64> = scales.iter().map(|s| s.ln()).collect();
    let slope = least_squares(&[vec![1.0; j], x], &readings)[1];
    Interval {
        value: slope.value,
        half: t_975(slope.df) * slope.standard_error,
    }
}

fn outcome(simulation: &Simulation, replicate: usize) -> Outcome {
    let ladder = simulation.ladder(replicate as u64).unwrap();
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    // The exponent does not depend on these draws.
    options.floor_draws = 0;
    let analysis = analyze(&ladder, &options).unwrap();
    let law = &analysis.laws[0];
    let v = law.diagnostics.variance;
    let d = law.delta_beta;
    let fixed = law.alternatives.fixed_items;
    let t = t_975(fixed.df);
    let best = law
        .alternatives
        .rules
        .iter()
        .find(|r| r.rule == "best_run")
        .unwrap()
        .delta_beta;
    let narrow = law
        .alternatives
        .rules
        .iter()
        .find(|r| r.rule == "narrow")
        .unwrap()
        .delta_beta;
    let around = |value: f64, half: f64| Interval { value, half };
    let mut intervals = vec![
        ("default", around(d.value, d.upper - d.value)),
        (
            "default, no V_spec",
            around(fixed.value, t * (v.run + v.frontier).sqrt()),
        ),
        (
            "fixed items",
            around(fixed.value, fixed.upper - fixed.value),
        ),
        (
            "narrow quadratic",
            around(narrow.value, narrow.upper - narrow.value),
        ),
        ("best run, t", around(best.value, best.upper - best.value)),
        (
            "best run, z",
            around(best.value, 1.959_963_984_540_054 * best.standard_error),
        ),
    ];
    intervals.push(("pooled shape, t", pooled_shape(&ladder, &analysis)));
    Outcome {
        intervals,
        verdict: law.verdict,
    }
}

fn study(name: &str, simulation: &Simulation, replicates: usize) -> (Vec<Row>, Vec<Verdict>) {
    let outcomes = parallel(replicates, |i| outcome(simulation, i));
    let verdicts = outcomes.iter().map(|o| o.verdict).collect();
    let intervals: Vec<Vec<Named>> = outcomes.into_iter().map(|o| o.intervals).collect();
    let truth = simulation.exponent(0, 1).unwrap();
    (summary(name, truth, &intervals), verdicts)
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of this file"]
fn intervals_cover() {
    let budgets = |j: usize| -> Vec<f64> {
        (0..j)
            .map(|i| 1e18 * 10f64.powf(2.0 * i as f64 / (j as f64 - 1.0)))
            .collect()
    };
    let plain = |s: Scenario| Simulation::scenario(s);
    let mut five = plain(Scenario::Plain);
    five.budgets = budgets(5);
    let mut nine = plain(Scenario::Plain);
    nine.budgets = budgets(9);
    let six = |s: Scenario| {
        let mut simulation = plain(s);
        if let Shape::Isoflop { sizes, .. } = &mut simulation.shape {
            *sizes = 6;
        }
        simulation
    };
    let mut held_back = plain(Scenario::HeldOut);
    held_back.shape = Shape::Isoflop {
        sizes: 9,
        drift: -1.0,
    };
    let mut held_six = plain(Scenario::HeldOut);
    held_six.budgets = budgets(6);
    let mut held_eight = plain(Scenario::HeldOut);
    held_eight.budgets = budgets(8);
    let scenarios = [
        ("A plain", plain(Scenario::Plain), REPLICATES),
        ("C t5, 3x hetero", plain(Scenario::HeavyTails), REPLICATES),
        ("D budget shock", plain(Scenario::BudgetShock), REPLICATES),
        ("E drifting grid", plain(Scenario::DriftingGrid), REPLICATES),
        ("F shape drift", plain(Scenario::ShapeDrift), REPLICATES),
        ("F+E", plain(Scenario::BothDrifts), REPLICATES),
        ("A, J=5", five, REPLICATES),
        ("A, J=9", nine, REPLICATES),
        ("A, K=6", six(Scenario::Plain), REPLICATES),
        ("E, K=6", six(Scenario::DriftingGrid), REPLICATES),
        ("F, K=6", six(Scenario::ShapeDrift), REPLICATES),
        ("H, K=6", six(Scenario::HeldOut), REPLICATES),
        ("H drift +1", plain(Scenario::HeldOut), REPLICATES),
        ("H drift -1", held_back, REPLICATES),
        ("H, J=6", held_six, REPLICATES),
        ("H, J=8", held_eight, REPLICATES),
        ("B items", plain(Scenario::Items), ITEM_REPLICATES),
        (
            "B2 homogeneous",
            plain(Scenario::HomogeneousItems),
            ITEM_REPLICATES,
        ),
    ];
    let mut rows = Vec::new();
    println!("{HEADER}");
    for (name, simulation, replicates) in scenarios {
        let (own, _) = study(name, &simulation, replicates);
        print(&own);
        rows.extend(own);
    }
    let row = |scenario: &str, method: &str| {
        rows.iter()
            .find(|r| r.scenario == scenario && r.method == method)
            .unwrap()
    };
    // The default covers everywhere: the shortest intervals that hold 93.5 % on ladders nobody chose
    // them on, within Monte Carlo error.
    for r in rows.iter().filter(|r| r.method == "default") {
        assert!(
            r.coverage >= 93.5 - 3.0 * r.se,
            "{}: {}",
            r.scenario,
            r.coverage
        );
        if !r.scenario.starts_with('H') {
            assert!(
                r.bias.abs() < 0.15e-3 + 3.0 * r.sd * r.se / 21.8,
                "{}: bias {}",
                r.scenario,
                r.bias
            );
        }
    }
    assert!(row("D budget shock", "default, no V_spec").coverage >= 93.5);
    let best = row("A plain", "best run, t").coverage;
    assert!((93.4..=96.6).contains(&best), "OLS t: {best}");
    // Traps: what must fail, fails.
    assert!(row("F shape drift", "pooled shape, t").coverage < 1.0);
    assert!(row("A plain", "best run, z").coverage < 92.0);
    assert!(row("B items", "fixed items").coverage < 50.0);
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of this file"]
fn a_gap_that_persists_is_seldom_called_a_change() {
    let mut simulation = Simulation::scenario(Scenario::Plain);
    simulation.distributions[0].beta = simulation.distributions[1].beta;
    let (_, verdicts) = study("null", &simulation, REPLICATES);
    let mut counts = std::collections::BTreeMap::new();
    for v in &verdicts {
        *counts.entry(v.as_str()).or_insert(0) += 1;
    }
    println!("{counts:?}");
    let wrong = verdicts
        .iter()
        .filter(|v| {
            matches!(
                v,
                Verdict::Narrows
                    | Verdict::Widens
                    | Verdict::RatioRises
                    | Verdict::RatioFalls
                    | Verdict::CrossesParity
                    | Verdict::Negligible
            )
        })
        .count();
    assert!(wrong as f64 <= 0.06 * verdicts.len() as f64, "{counts:?}");
}
