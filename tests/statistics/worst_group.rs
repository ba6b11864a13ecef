//! The worst of many distributions: known truths, coverage and refusals.

use relscale::fit::simulate::{ItemTruth, Shape, Simulation, Truth};
use relscale::fit::{Group, Options, WorstGroup, WorstOf, analyze};
use relscale::ladder::Ladder;

/// Treatments with `ln G = level + slope · x` and noise `noise` in every error.
fn simulation(laws: &[(f64, f64)], noise: f64) -> Simulation {
    let mut s = Simulation::default();
    s.shape = Shape::Rungs;
    let truth = |name: String, level: f64, beta: f64| {
        let mut t = Truth::new(name, 1.0 + level, beta);
        t.noise = noise;
        t
    };
    let treated = laws.iter().enumerate();
    s.distributions = treated
        .map(|(k, (level, slope))| truth(format!("t{k}"), *level, 0.05 - slope))
        .chain([truth("baseline".into(), 0.0, 0.05)])
        .collect();
    s
}

fn worst(ladder: &Ladder) -> WorstGroup {
    let mut options = Options::new("baseline");
    options.worst = Some(WorstOf::Treatments);
    analyze(ladder, &options).unwrap().worst.remove(0)
}

/// `ln(F/F0)` at both ends of the ladder.
fn ends(simulation: &Simulation) -> [f64; 2] {
    let x: Vec<f64> = simulation.budgets.iter().map(|b| b.ln()).collect();
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    [x[0] - mean, x[x.len() - 1] - mean]
}

/// The true largest `ln G` at both ends, and its change in percent per decade.
fn truth(simulation: &Simulation, laws: &[(f64, f64)]) -> [f64; 3] {
    let x = ends(simulation);
    let largest = |x: f64| {
        let at = |l: &(f64, f64)| l.0 + l.1 * x;
        laws.iter().map(at).fold(f64::NEG_INFINITY, f64::max)
    };
    let [low, high] = x.map(largest);
    let slope = (high - low) / (x[1] - x[0]);
    [low, high, 100.0 * (10_f64.powf(slope) - 1.0)]
}

/// Shares of intervals that hold at the bottom, at the top and for the change; then the bias of the
/// corrected and of the plain largest at the top, in units of the plain one's spread.
fn coverage(laws: &[(f64, f64)], replicates: u64) -> ([f64; 3], [f64; 2]) {
    let simulation = simulation(laws, 0.002);
    let [low, high, change] = truth(&simulation, laws);
    let mut inside = [0.0; 3];
    let (mut corrected, mut plain) = (Vec::new(), Vec::new());
    for replicate in 0..replicates {
        let w = worst(&simulation.ladder(replicate).unwrap());
        let has = |i: &relscale::fit::Interval, v: f64| f64::from(i.lower <= v && v <= i.upper);
        inside[0] += has(&w.bottom.ratio, low.exp());
        inside[1] += has(&w.top.ratio, high.exp());
        inside[2] += has(&w.percent_per_decade, change);
        corrected.push(w.top.ratio.value.ln() - high);
        plain.push(w.top.fitted.ln() - high);
    }
    let n = replicates as f64;
    let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
    let m = mean(&plain);
    let sd = mean(&plain.iter().map(|p| (p - m).powi(2)).collect::<Vec<_>>()).sqrt();
    (inside.map(|i| i / n), [mean(&corrected) / sd, m / sd])
}

#[test]
fn intervals_of_the_worst_cover() {
    let equal = [(0.3, -0.01); 8];
    let crossing: Vec<(f64, f64)> = (0..8)
        .map(|k| (0.3 - 0.002 * f64::from(k), -0.01 + 0.002 * f64::from(k)))
        .collect();
    let apart: Vec<(f64, f64)> = (0..8).map(|k| (0.3 - 0.05 * f64::from(k), -0.01)).collect();
    for (name, laws) in [
        ("equal", &equal[..]),
        ("crossing", &crossing),
        ("apart", &apart),
    ] {
        let (inside, bias) = coverage(laws, 100);
        println!("{name}: bottom, top, change {inside:?}; bias corrected, plain {bias:?}");
        // 100 replicates: the standard error of 95 % is 2.2 %.
        assert!(inside.iter().all(|&i| i > 0.90), "{name} {inside:?}");
    }
    // Of eight equal ratios the largest is too large by more than its spread; corrected it is not.
    let (_, [corrected, plain]) = coverage(&equal, 60);
    assert!(
        plain > 0.8 && corrected.abs() < 0.5 * plain,
        "{corrected} {plain}"
    );
}

#[test]
fn the_worst_at_both_ends_is_named() {
    let laws = [(0.40, -0.03), (0.30, 0.01), (0.10, 0.0)];
    let simulation = simulation(&laws, 0.0005);
    let found = worst(&simulation.ladder(1).unwrap());
    let [low, high, change] = truth(&simulation, &laws);
    assert_eq!(
        (found.bottom.distribution.as_str(), found.distributions),
        ("t0", 3)
    );
    // At the top .40 − .03 · 2.3 = .33 and .30 + .01 · 2.3 = .32: t0 still, t1 close behind.
    assert!((found.bottom.ratio.value.ln() - low).abs() < 0.003);
    assert!((found.top.ratio.value.ln() - high).abs() < 0.003);
    assert!((found.percent_per_decade.value - change).abs() < 0.3);
    assert_eq!(found.bottom.candidates, ["t0"]);
    assert!(!found.top.candidates.contains(&"t2".to_owned()));
    assert_eq!(found.readings.len(), 7);
    assert_eq!(found.readings[0].distribution, "t0");
    assert!(
        found
            .sentence
            .contains("The largest of 3 ratios to baseline is")
    );
    assert!(
        found.sentence.contains("It falls: by"),
        "{}",
        found.sentence
    );
}

#[test]
fn order_and_units_do_not_matter() {
    let laws = [(0.3, -0.01), (0.31, -0.012), (0.2, 0.0)];
    let ladder = simulation(&laws, 0.002).ladder(2).unwrap();
    let mut builder = Ladder::builder();
    for run in ladder.runs().iter().rev() {
        builder.run(run.clone()).unwrap();
    }
    for scores in ladder.scores().iter().rev() {
        for cell in scores.cells() {
            let run = &ladder.runs()[cell.run].id;
            // Bits for nats.
            let loss = cell.loss / cell.weight / std::f64::consts::LN_2;
            builder
                .score(run, scores.name(), "", loss, cell.weight)
                .unwrap();
        }
    }
    let (one, two) = (worst(&ladder), worst(&builder.build().unwrap()));
    assert_eq!(one.top.candidates, two.top.candidates);
    let (a, b) = (one.percent_per_decade, two.percent_per_decade);
    for (a, b) in [(a.value, b.value), (a.lower, b.lower), (a.upper, b.upper)] {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

#[test]
fn groups_with_items_are_followed_too() {
    let laws = [(0.3, -0.01), (0.32, -0.012), (0.1, 0.0), (0.15, 0.0)];
    let mut simulation = simulation(&laws, 0.001);
    for d in &mut simulation.distributions {
        d.items = Some(ItemTruth::new(200, 20));
    }
    let ladder = simulation.ladder(3).unwrap();
    let mut options = Options::new("baseline");
    options.worst = Some(WorstOf::Groups);
    let names = |n: [&str; 2]| Group::Equal(n.map(String::from).to_vec());
    options.groups.insert("bad".into(), names(["t0", "t1"]));
    options.groups.insert("good".into(), names(["t2", "t3"]));
    let analysis = analyze(&ladder, &options).unwrap();
    let found = &analysis.worst[0];
    assert_eq!(found.bottom.distribution, "bad");
    assert!(found.top.ratio.lower < found.top.ratio.upper);
    let text = analysis.details();
    assert!(text.contains("worst: The largest of 2 ratios"), "{text}");
    let json = serde_json::to_value(analysis.summary()).unwrap();
    assert_eq!(json["worst"][0]["bottom"]["distribution"], "bad");

    options.groups.remove("good");
    let analysis = analyze(&ladder, &options).unwrap();
    assert!(analysis.worst.is_empty());
    let reason = &analysis.refused[0].reason;
    assert!(reason.contains("1 found, 2 needed"), "{reason}");
}
