//! Coverage of the intervals under known truth. Ignored by default; run with
//!
//! ```text
//! cargo test --release --test coverage -- --ignored --nocapture
//! ```
//!
//! Every row is `REPLICATES` ladders (fewer where items are simulated one by one), analysed in full.
//! The numbers do not depend on the number of threads.

use nalgebra::{DMatrix, DVector};
use relscale::fit::simulate::{ItemTruth, Scenario, Shape, Simulation, SurfaceTruth, Truth};
use relscale::fit::{Analysis, Options, RelativeLaw, Verdict, analyze};
use relscale::ladder::Ladder;
use statrs::distribution::{ContinuousCDF, StudentsT};

const REPLICATES: usize = 2000;
const ITEM_REPLICATES: usize = 1000;

#[derive(Clone, Copy)]
struct Interval {
    value: f64,
    half: f64,
}

type Named = (&'static str, Interval);

/// One replicate: an interval by every method, and the verdict.
struct Outcome {
    intervals: Vec<Named>,
    verdict: Verdict,
}

fn parallel<T: Send>(n: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut all: Vec<(usize, T)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = Vec::new();
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        if i >= n {
                            break own;
                        }
                        own.push((i, f(i)));
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect()
    });
    all.sort_by_key(|(i, _)| *i);
    all.into_iter().map(|(_, t)| t).collect()
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

/// A least-squares coefficient with its classical standard error.
#[derive(Clone, Copy)]
struct Coefficient {
    value: f64,
    standard_error: f64,
    df: f64,
}

/// Least squares by singular values, independent of the library's.
fn least_squares(columns: &[Vec<f64>], y: &[f64]) -> Vec<Coefficient> {
    let (n, p) = (y.len(), columns.len());
    let x = DMatrix::from_fn(n, p, |i, k| columns[k][i]);
    let y = DVector::from_column_slice(y);
    let inverse = x.clone().pseudo_inverse(1e-12).unwrap();
    let b = &inverse * &y;
    let df = (n - p) as f64;
    let variance = (&y - &x * &b).norm_squared() / df;
    let coefficient = |k: usize| Coefficient {
        value: b[k],
        standard_error: (variance * inverse.row(k).norm_squared()).sqrt(),
        df,
    };
    (0..p).map(coefficient).collect()
}

/// The 97.5 % quantile of Student's t.
fn t_975(df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).unwrap().inverse_cdf(0.975)
}

fn outcome(simulation: &Simulation, replicate: usize) -> Outcome {
    let ladder = simulation.ladder(replicate as u64).unwrap();
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
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

struct Row {
    scenario: String,
    method: &'static str,
    bias: f64,
    sd: f64,
    coverage: f64,
    half: f64,
    se: f64,
}

fn study(name: &str, simulation: &Simulation, replicates: usize) -> (Vec<Row>, Vec<Verdict>) {
    let outcomes = parallel(replicates, |i| outcome(simulation, i));
    let verdicts = outcomes.iter().map(|o| o.verdict).collect();
    let intervals: Vec<Vec<Named>> = outcomes.into_iter().map(|o| o.intervals).collect();
    let truth = simulation.exponent(0, 1).unwrap();
    (summary(name, truth, &intervals), verdicts)
}

fn summary(name: &str, truth: f64, outcomes: &[Vec<Named>]) -> Vec<Row> {
    let n = outcomes.len() as f64;
    (0..outcomes[0].len())
        .map(|m| {
            let all: Vec<Interval> = outcomes.iter().map(|o| o[m].1).collect();
            let mean = all.iter().map(|i| i.value).sum::<f64>() / n;
            let var = all.iter().map(|i| (i.value - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let hit = all
                .iter()
                .filter(|i| (i.value - truth).abs() <= i.half)
                .count() as f64
                / n;
            Row {
                scenario: name.to_owned(),
                method: outcomes[0][m].0,
                bias: mean - truth,
                sd: var.sqrt(),
                coverage: 100.0 * hit,
                half: all.iter().map(|i| i.half).sum::<f64>() / n,
                se: 100.0 * (0.05_f64 * 0.95 / n).sqrt(),
            }
        })
        .collect()
}

fn print(rows: &[Row]) {
    for r in rows {
        println!(
            "| {} | {} | {:+.2} | {:.2} | {:.1} | {:.2} |",
            r.scenario,
            r.method,
            1e3 * r.bias,
            1e3 * r.sd,
            r.coverage,
            1e3 * r.half
        );
    }
}

const HEADER: &str = "| scenario | method | bias x1e3 | SD x1e3 | coverage % | mean half-width x1e3 |\n\
                      |---|---|---:|---:|---:|---:|";

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
    // The default covers everywhere, within Monte Carlo error.
    for r in rows.iter().filter(|r| r.method == "default") {
        assert!(
            r.coverage >= 95.0 - 3.0 * r.se,
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
            r.coverage >= 95.0 - 3.0 * r.se,
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

#[test]
#[ignore = "minutes of simulation; the command is at the top of this file"]
fn strata_cover() {
    let mut simulation = Simulation::scenario(Scenario::Items);
    if let Some(items) = &mut simulation.distributions[0].items {
        (items.strata, items.stratum_slope) = (6, 0.04);
    }
    if let Some(items) = &mut simulation.distributions[1].items {
        (items.strata, items.stratum_slope) = (5, 0.04);
    }
    let outcomes = parallel(ITEM_REPLICATES, |i| {
        let ladder = simulation.ladder(i as u64).unwrap();
        let mut options = Options::new("baseline");
        options.aggregate = Some("aggregate".into());
        let mut of = |stratified: &[&str]| {
            options.stratified = stratified.iter().map(|s| (*s).to_owned()).collect();
            let d = analyze(&ladder, &options).unwrap().laws[0].delta_beta;
            Interval {
                value: d.value,
                half: d.upper - d.value,
            }
        };
        vec![
            ("clusters within strata", of(&["treatment", "baseline"])),
            ("strata ignored", of(&[])),
        ]
    });
    let rows = summary("strata", simulation.exponent(0, 1).unwrap(), &outcomes);
    println!("{HEADER}");
    print(&rows);
    assert!(rows[0].coverage >= 95.0 - 3.0 * rows[0].se);
    // What strata differ by is no error: the interval that counts it is longer for nothing.
    assert!(rows[0].half < 0.9 * rows[1].half);
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of this file"]
fn optional_intervals_cover() {
    // Six treatments that share a baseline.
    let mut simulation = Simulation::scenario(Scenario::Plain);
    for k in 2..7 {
        let mut t = simulation.distributions[0].clone();
        t.name = format!("treatment-{k}");
        t.beta -= 0.002 * f64::from(k);
        simulation.distributions.push(t);
    }
    let itemised = Simulation::scenario(Scenario::Items);
    println!("{HEADER}");
    let mut crossed_rows = Vec::new();
    for (name, s, replicates) in [("A plain", &simulation, 1000), ("B items", &itemised, 500)] {
        let truth = |t: &str| {
            let at = s.distributions.iter().position(|d| d.name == t).unwrap();
            s.exponent(at, 1).unwrap()
        };
        let outcomes = parallel(replicates, |i| {
            let mut options = Options::new("baseline");
            options.aggregate = Some("aggregate".into());
            (options.crossed_bootstrap, options.max_t) = (true, true);
            let analysis = analyze(&s.ladder(i as u64).unwrap(), &options).unwrap();
            let all = |f: &dyn Fn(&RelativeLaw) -> (f64, f64)| {
                let inside = |l: &RelativeLaw| {
                    let (lower, upper) = f(l);
                    (lower..=upper).contains(&truth(&l.treatment))
                };
                analysis.laws.iter().all(inside)
            };
            let max_t = all(&|l| l.multiplicity.max_t.map(|i| (i.lower, i.upper)).unwrap());
            let sidak = all(&|l| {
                (
                    l.multiplicity.simultaneous.lower,
                    l.multiplicity.simultaneous.upper,
                )
            });
            let first = analysis
                .laws
                .iter()
                .find(|l| l.treatment == "treatment")
                .unwrap();
            let b = first.alternatives.crossed_bootstrap.unwrap();
            let crossed = Interval {
                value: 0.5 * (b.lower.value + b.upper.value),
                half: 0.5 * (b.upper.value - b.lower.value),
            };
            let ratio = |i: relscale::fit::Interval| i.upper - i.lower;
            let width =
                ratio(first.multiplicity.max_t.unwrap()) / ratio(first.multiplicity.simultaneous);
            (crossed, max_t, sidak, width)
        });
        let crossed: Vec<Vec<Named>> = outcomes
            .iter()
            .map(|o| vec![("crossed bootstrap", o.0)])
            .collect();
        let rows = summary(name, truth("treatment"), &crossed);
        print(&rows);
        crossed_rows.extend(rows);
        let n = outcomes.len() as f64;
        let percent = |inside: usize| 100.0 * inside as f64 / n;
        let (max_t, sidak) = (
            percent(outcomes.iter().filter(|o| o.1).count()),
            percent(outcomes.iter().filter(|o| o.2).count()),
        );
        let width = outcomes.iter().map(|o| o.3).sum::<f64>() / n;
        println!(
            "{name}: all laws inside at once: max |t| {max_t:.1} %, Sidak {sidak:.1} %; width {width:.3}"
        );
        assert!(
            max_t >= 95.0 - 300.0 * (0.0475 / n).sqrt(),
            "{name}: {max_t}"
        );
    }
    for r in &crossed_rows {
        assert!(
            r.coverage >= 95.0 - 3.0 * r.se,
            "{}: {}",
            r.scenario,
            r.coverage
        );
    }
}
