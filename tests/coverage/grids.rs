//! Grids of sizes by training lengths, and trajectories.

use relscale::fit::simulate::{ItemTruth, Shape, Simulation, SurfaceTruth, Truth};
use relscale::fit::{Options, RelativeLaw, analyze};

use super::harness::{HEADER, Interval, Row, least_squares, parallel, print, summary, t_975};

/// A grid of five sizes by five lengths, as public ladders have, or one of its variations.
fn grid(sizes: usize, correlation: Option<f64>, laws: [Truth; 2]) -> Simulation {
    let params: Vec<f64> = [1.0, 1.9, 2.9, 3.9, 6.7]
        .iter()
        .take(sizes)
        .map(|n| 1.9e8 * n)
        .collect();
    let tokens_per_param = vec![10.0, 20.0, 40.0, 100.0, 200.0];
    let mut s = Simulation::default();
    // Only the origin of the scale.
    s.budgets = vec![6.6e19];
    s.shape = match correlation {
        None => Shape::Grid {
            params,
            tokens_per_param,
        },
        Some(correlation) => Shape::Trajectories {
            params,
            tokens_per_param,
            correlation,
        },
    };
    let [mut treatment, mut baseline] = laws;
    (treatment.name, baseline.name) = ("treatment".into(), "baseline".into());
    let noise = if correlation.is_some() { 0.002 } else { 0.0015 };
    (treatment.noise, baseline.noise) = (noise, noise);
    s.distributions[0] = treatment;
    s.distributions[1] = baseline;
    s
}

/// Interval of a grid without sizes as groups: equal variances, t with n − 3 degrees of freedom.
fn ungrouped(law: &RelativeLaw) -> Interval {
    let x: Vec<f64> = law.readings.iter().map(|r| r.scale.ln()).collect();
    let ratio: Vec<f64> = (law.readings.iter())
        .map(|r| (r.scale / (6.0 * r.params * r.params)).ln())
        .collect();
    let y: Vec<f64> = law.readings.iter().map(|r| r.log_ratio).collect();
    let ones = vec![1.0; x.len()];
    let e = least_squares(&[ones, x, ratio], &y)[1];
    let v = law.diagnostics.variance;
    let run = e.standard_error.powi(2) + v.specification;
    let total = (run + v.item - v.idiosyncratic).max(run).max(v.item);
    Interval {
        value: e.value,
        half: t_975(e.df) * total.sqrt(),
    }
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of this file"]
fn grids_cover() {
    let plane = || {
        let with = |t: Truth, d: f64| {
            let mut t = t;
            t.data_per_param = d;
            t
        };
        [
            with(Truth::new("", 0.3, 0.04), 0.01),
            with(Truth::new("", 0.0, 0.05), 0.0),
        ]
    };
    let surface = |floor: f64, level: f64, [w, a, b]: [f64; 3]| {
        let mut t = Truth::new("", level, 0.0);
        t.floor = floor;
        t.surface = Some(SurfaceTruth {
            data_share: w,
            size_exponent: a,
            data_exponent: b,
        });
        t
    };
    let bent = || {
        [
            surface(0.5, 1.0, [0.6, 0.34, 0.28]),
            surface(0.9, 0.6, [0.4, 0.30, 0.32]),
        ]
    };
    let mild = || {
        [
            surface(0.75, 0.9, [0.5, 0.34, 0.28]),
            surface(0.9, 0.8, [0.45, 0.33, 0.29]),
        ]
    };
    let sized = |mut s: Simulation| {
        s.distributions[0].size_noise = 0.002;
        s
    };
    let itemised = |mut s: Simulation| {
        s.distributions[0].items = Some(ItemTruth::new(600, 30));
        s.distributions[1].items = Some(ItemTruth::new(1500, 50));
        s
    };
    let scenarios = [
        ("plane", grid(5, None, plane()), 1000),
        ("mild surfaces", grid(5, None, mild()), 1000),
        ("surfaces", grid(5, None, bent()), 1000),
        ("plane, size effects", sized(grid(5, None, plane())), 1000),
        ("mild, size effects", sized(grid(5, None, mild())), 1000),
        ("surfaces, size effects", sized(grid(5, None, bent())), 1000),
        ("4 sizes, size effects", sized(grid(4, None, plane())), 1000),
        ("trajectories", grid(5, Some(0.7), plane()), 1000),
        ("trajectories, surfaces", grid(5, Some(0.7), bent()), 1000),
        ("plane, items", itemised(grid(5, None, plane())), 400),
        (
            "mild, items, size effects",
            sized(itemised(grid(5, None, mild()))),
            400,
        ),
        (
            "trajectories, items",
            itemised(grid(5, Some(0.7), plane())),
            400,
        ),
    ];
    let mut rows = Vec::new();
    println!("{HEADER}");
    for (name, simulation, replicates) in scenarios {
        let outcomes = parallel(replicates, |i| {
            let ladder = simulation.ladder(i as u64).unwrap();
            let mut options = Options::new("baseline");
            options.treatments = vec!["treatment".into()];
            // The exponent does not depend on these draws.
            options.floor_draws = 0;
            let analysis = analyze(&ladder, &options).unwrap();
            let law = &analysis.laws[0];
            let (d, fixed) = (law.delta_beta, law.alternatives.fixed_items);
            let around = |value: f64, half: f64| Interval { value, half };
            vec![
                ("default", around(d.value, d.upper - d.value)),
                ("equal variances", ungrouped(law)),
                ("fixed items", around(d.value, fixed.upper - fixed.value)),
            ]
        });
        let own = summary(name, simulation.exponent(0, 1).unwrap(), &outcomes);
        print(&own);
        rows.extend(own);
    }
    for r in rows.iter().filter(|r| r.method == "default") {
        assert!(
            r.coverage >= 93.5 - 3.0 * r.se,
            "{}: {}",
            r.scenario,
            r.coverage
        );
    }
    let row = |scenario: &str, method: &str| {
        let found = |r: &&Row| r.scenario == scenario && r.method == method;
        rows.iter().find(found).unwrap()
    };
    // Traps: sizes that are not groups, checkpoints that are not one run, items that are not a sample.
    assert!(row("plane, size effects", "equal variances").coverage < 85.0);
    assert!(row("trajectories", "equal variances").coverage < 85.0);
    assert!(row("plane, items", "fixed items").coverage < 80.0);
}
