//! Everything with an interval that is not the exponent of a loss: error rates, held-out sizes, arms,
//! the worst of a group; and the exponents of options that are not on by default.

use relscale::fit::simulate::{Scenario, Shape, Simulation, Truth};
use relscale::fit::{Contrast, DesignChoice, Estimate, Interval, Options, WorstOf, analyze};
use relscale::ladder::Ladder;

use super::harness::parallel;
use super::random::Stream;
use super::rungs::correlated_rungs;

/// Intervals of one estimand: whether each holds the truth, and half its width.
type Held = (bool, f64);

fn held(interval: Interval, truth: f64) -> Held {
    let inside = (interval.lower..=interval.upper).contains(&truth);
    (inside, 0.5 * (interval.upper - interval.lower))
}

fn exponent_held(d: Estimate, truth: f64) -> Held {
    let inside = (d.lower..=d.upper).contains(&truth);
    (inside, 0.5 * (d.upper - d.lower))
}

/// Prints a row and returns its coverage in percent with its Monte Carlo error.
fn row(name: &str, all: &[Held]) -> (f64, f64) {
    let n = all.len() as f64;
    let coverage = 100.0 * all.iter().filter(|h| h.0).count() as f64 / n;
    let half = all.iter().map(|h| h.1).sum::<f64>() / n;
    let half = match half.is_finite() {
        true => format!("{half:.4}"),
        false => "–".to_owned(),
    };
    println!("| {name} | {coverage:.1} | {half} | {} |", all.len());
    (coverage, 100.0 * (0.05_f64 * 0.95 / n).sqrt())
}

/// As [`row`], for estimands whose coverage must not fall below 93.5 %, within Monte Carlo error.
fn covers(name: &str, all: &[Held]) {
    let (coverage, error) = row(name, all);
    assert!(coverage >= 93.5 - 3.0 * error, "{name}: {coverage}");
}

fn header() {
    println!("| estimand | coverage % | mean half-width | intervals |\n|---|---:|---:|---:|");
}

fn columns<const N: usize>(all: &[[Held; N]]) -> [Vec<Held>; N] {
    std::array::from_fn(|k| all.iter().map(|row| row[k]).collect())
}

/// `ln(F/F0)` of the budgets.
fn centred(simulation: &Simulation) -> Vec<f64> {
    let x: Vec<f64> = simulation.budgets.iter().map(|b| b.ln()).collect();
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    x.iter().map(|x| x - mean).collect()
}

/// Error rates of `items` items each, drawn from the losses of a ladder read as probabilities; the
/// aggregate stays a loss.
fn counted(ladder: &Ladder, items: u32, replicate: u64) -> Ladder {
    let mut stream = Stream::new(11, "counts", replicate);
    let mut builder = Ladder::builder();
    for run in ladder.runs() {
        builder.run(run.clone()).unwrap();
        for d in ladder.distributions() {
            let p = ladder.error(&run.id, d).unwrap();
            if d == "aggregate" {
                builder.score(&run.id, d, "", p, 1.0).unwrap();
                continue;
            }
            let wrong = (0..items).filter(|_| stream.uniform() < p).count();
            let rate = wrong as f64 / f64::from(items);
            builder
                .score(&run.id, d, "", rate, f64::from(items))
                .unwrap();
        }
    }
    builder.build().unwrap()
}

/// Rates that fall from about a half, and what each run adds to them.
fn rates(shape: Shape, noise: f64) -> Simulation {
    let mut s = Simulation::default();
    s.shape = shape;
    s.run_noise = 0.0;
    let laws = [
        ("t", -0.9, 0.08),
        ("base", -1.2, 0.05),
        ("aggregate", 0.3, 0.05),
    ];
    s.distributions = laws
        .map(|(name, level, beta)| {
            let mut t = Truth::new(name, level, beta);
            (t.profile, t.noise) = ([0.03, -0.004, 0.0], noise);
            t
        })
        .to_vec();
    s.distributions[2].noise = 0.002;
    s
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn error_rates_cover() {
    header();
    let isoflop = || Shape::Isoflop {
        sizes: 8,
        drift: 0.0,
    };
    for (name, shape, noise) in [
        ("error rates, rungs", Shape::Rungs, 0.0),
        ("error rates, rungs, run noise", Shape::Rungs, 0.03),
        ("error rates, IsoFLOP", isoflop(), 0.0),
        ("error rates, IsoFLOP, run noise", isoflop(), 0.03),
    ] {
        let simulation = rates(shape, noise);
        let truth = simulation.exponent(0, 1).unwrap();
        let all = parallel(1000, |i| {
            let i = i as u64;
            let ladder = counted(&simulation.ladder(i).unwrap(), 1000, i);
            let mut options = Options::new("base");
            options.aggregate = Some("aggregate".into());
            options.treatments = vec!["t".into()];
            options.error_rates = ["t", "base"].map(String::from).into();
            let analysis = analyze(&ladder, &options).unwrap();
            exponent_held(analysis.counts[0].delta_beta, truth)
        });
        covers(name, &all);
    }
}

/// Six sizes by five lengths, with what each size has of its own.
fn grid(size_noise: f64) -> Simulation {
    let mut s = Simulation::default();
    s.budgets = vec![6.6e19];
    s.shape = Shape::Grid {
        params: [1.9, 3.6, 5.5, 7.4, 12.8, 30.0].map(|n| 1e8 * n).to_vec(),
        tokens_per_param: vec![10.0, 20.0, 40.0, 100.0, 200.0],
    };
    let mut treatment = Truth::new("treatment", 0.3, 0.04);
    (treatment.data_per_param, treatment.size_noise) = (0.01, size_noise);
    s.distributions = vec![treatment, Truth::new("baseline", 0.0, 0.05)];
    s.distributions.iter_mut().for_each(|t| t.noise = 0.0015);
    s
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn held_out_sizes_of_grids_are_covered() {
    header();
    for (name, size_noise) in [
        ("held-out sizes of a grid", 0.0),
        ("held-out sizes, size effects", 0.004),
    ] {
        let simulation = grid(size_noise);
        let all = parallel(1000, |i| {
            let mut options = Options::new("baseline");
            options.floor_draws = 0;
            let analysis = analyze(&simulation.ladder(i as u64).unwrap(), &options).unwrap();
            let holdouts = &analysis.laws[0].diagnostics.backtest.holdouts;
            holdouts
                .iter()
                .map(|h| (h.inside, 0.5 * (h.predicted.upper - h.predicted.lower)))
                .collect::<Vec<Held>>()
        });
        covers(name, &all.concat());
    }
}

/// The ladder with the losses of `corpus` turned by `slope` about the reference scale.
fn turned(ladder: &Ladder, corpus: &str, slope: f64) -> Ladder {
    let mut builder = Ladder::builder();
    for run in ladder.runs() {
        builder.run(run.clone()).unwrap();
        let factor = match run.corpus.as_str() == corpus {
            true => (run.flops / 1e19).powf(slope),
            false => 1.0,
        };
        for d in ladder.distributions() {
            let loss = ladder.error(&run.id, d).unwrap() * factor;
            builder.score(&run.id, d, "", loss, 1.0).unwrap();
        }
    }
    builder.build().unwrap()
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn laws_between_corpora_cover() {
    header();
    let isoflop = Shape::Isoflop {
        sizes: 8,
        drift: 0.0,
    };
    let cells = Shape::Grid {
        params: [1e8, 2e8, 4e8, 8e8, 16e8].to_vec(),
        tokens_per_param: vec![10.0, 20.0, 40.0, 80.0],
    };
    for (name, shape) in [
        ("corpora as arms, IsoFLOP", isoflop),
        ("corpora as arms, rungs", Shape::Rungs),
        ("corpora as arms, grid", cells),
    ] {
        let mut simulation = Simulation::default();
        (simulation.shape, simulation.corpora) = (shape, 2);
        let corpora: Vec<String> = (simulation.ladder(0).unwrap().corpora().iter())
            .map(|c| (*c).to_owned())
            .collect();
        let all = parallel(600, |i| {
            let ladder = turned(&simulation.ladder(i as u64).unwrap(), &corpora[1], 0.007);
            let mut options = Options::new("baseline");
            options.aggregate = Some("aggregate".into());
            options.corpus_baseline = Some(corpora[0].clone());
            options.floor_draws = 0;
            let analysis = analyze(&ladder, &options).unwrap();
            let law = (analysis.arms.iter()).find(|l| l.distribution == "treatment");
            exponent_held(law.unwrap().delta_beta, 0.007)
        });
        covers(name, &all);
    }
}

/// Both arms of a client that adaptation helps: ln G′ = .4 − .02 x before and ln G = .25 − .01 x after.
fn adaptation() -> Simulation {
    let mut s = Simulation::default();
    s.shape = Shape::Isoflop {
        sizes: 8,
        drift: 0.0,
    };
    let arms = [
        ("all-before", 0.3, 0.05),
        ("client-before", 0.7, 0.07),
        ("all-after", 0.2, 0.05),
        ("client-after", 0.45, 0.06),
        ("aggregate", 0.3, 0.05),
    ];
    s.distributions = arms
        .map(|(name, level, beta)| {
            let mut t = Truth::new(name, level, beta);
            (t.profile, t.noise) = ([0.03, -0.004, 0.0], 0.002);
            t
        })
        .to_vec();
    s
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn adaptation_is_covered() {
    header();
    let simulation = adaptation();
    let x = centred(&simulation);
    let truth = [x[0], 0.0, x[x.len() - 1]].map(|x| 1.0 - (0.25 - 0.01 * x) / (0.4 - 0.02 * x));
    let mut options = Options::new("all-before");
    options.aggregate = Some("aggregate".into());
    options.floor_draws = 0;
    options.contrasts =
        vec![Contrast::new("client-after", "all-after").minus("client-before", "all-before")];
    let all = parallel(600, |i| {
        let analysis = analyze(&simulation.ladder(i as u64).unwrap(), &options).unwrap();
        let found = &analysis.contrasts[0];
        let levels = found.levels.unwrap();
        // A set of Fieller's has no width where the gap may be none.
        let share = |k: usize| (levels[k].closed_set.contains(truth[k]), f64::NAN);
        let slope = exponent_held(found.law.delta_beta, 0.01);
        [slope, share(0), share(1), share(2)]
    });
    let names = [
        "adaptation, exponent",
        "share of the gap closed, bottom",
        "share closed, middle",
        "share closed, top",
    ];
    for (name, column) in names.iter().zip(columns(&all)) {
        covers(name, &column);
    }
}

/// Eight treatments on rungs with `ln G = level + slope · x`.
fn eight(laws: [(f64, f64); 8]) -> Simulation {
    let mut s = Simulation::default();
    s.shape = Shape::Rungs;
    let truth = |name: String, level: f64, beta: f64| {
        let mut t = Truth::new(name, 1.0 + level, beta);
        t.noise = 0.002;
        t
    };
    s.distributions = (laws.iter().enumerate())
        .map(|(k, (level, slope))| truth(format!("t{k}"), *level, 0.05 - slope))
        .chain([truth("baseline".into(), 0.0, 0.05)])
        .collect();
    s
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn the_worst_of_eight_is_covered() {
    header();
    let each = |f: &dyn Fn(f64) -> (f64, f64)| std::array::from_fn(|k| f(k as f64));
    for (kind, laws) in [
        ("equal", [(0.3, -0.01); 8]),
        ("crossing", each(&|k| (0.3 - 0.002 * k, -0.01 + 0.002 * k))),
        ("apart", each(&|k| (0.3 - 0.05 * k, -0.01))),
    ] {
        let simulation = eight(laws);
        let x = centred(&simulation);
        let largest = |x: f64| laws.iter().map(|l| l.0 + l.1 * x).fold(f64::MIN, f64::max);
        let (low, high) = (largest(x[0]), largest(x[x.len() - 1]));
        let change = 100.0 * (10_f64.powf((high - low) / (x[x.len() - 1] - x[0])) - 1.0);
        let all = parallel(400, |i| {
            let mut options = Options::new("baseline");
            options.worst = Some(WorstOf::Treatments);
            options.floor_draws = 0;
            let analysis = analyze(&simulation.ladder(i as u64).unwrap(), &options).unwrap();
            let w = &analysis.worst[0];
            [
                held(w.bottom.ratio, low.exp()),
                held(w.top.ratio, high.exp()),
                held(w.percent_per_decade, change),
            ]
        });
        for (place, column) in ["bottom", "top", "% per decade"].iter().zip(columns(&all)) {
            covers(&format!("worst of eight, {kind}, {place}"), &column);
        }
    }
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn autocorrelated_rungs() {
    header();
    for rho in [0.0, 0.6] {
        for n in [8, 10, 14, 20] {
            let all = parallel(500, |i| {
                let mut options = Options::new("baseline");
                (options.design, options.floor_draws) = (DesignChoice::Rungs, 0);
                let analysis =
                    analyze(&correlated_rungs("serial", n, rho, i as u64), &options).unwrap();
                let law = &analysis.laws[0];
                // The estimate that `CovarianceType::Ar1` makes the law.
                let beside = law.alternatives.autocorrelated.unwrap().delta_beta;
                [
                    exponent_held(law.delta_beta, 0.0),
                    exponent_held(beside, 0.0),
                ]
            });
            let [plain, serial] = columns(&all);
            row(&format!("{n} rungs, rho {rho}, independent"), &plain);
            let (coverage, error) = row(&format!("{n} rungs, rho {rho}, AR(1)"), &serial);
            // Eight to twenty readings cannot tell a correlation of 0.6 from a slope entirely.
            assert!(coverage >= 91.5 - 3.0 * error, "{n}, {rho}: {coverage}");
        }
    }
}

/// A check of formulas rather than an interval to quote: without the specification term both are short.
#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn the_wild_bootstrap_agrees_with_the_formulas() {
    header();
    for (name, scenario) in [
        ("plain", Scenario::Plain),
        ("heavy tails", Scenario::HeavyTails),
    ] {
        let simulation = Simulation::scenario(scenario);
        let truth = simulation.exponent(0, 1).unwrap();
        let all = parallel(1000, |i| {
            let mut options = Options::new("baseline");
            options.aggregate = Some("aggregate".into());
            (options.wild_bootstrap, options.floor_draws) = (true, 0);
            let analysis = analyze(&simulation.ladder(i as u64).unwrap(), &options).unwrap();
            let wild = analysis.laws[0].alternatives.wild_bootstrap.unwrap();
            [
                held(wild.delta_beta, truth),
                exponent_held(wild.analytic, truth),
            ]
        });
        let [wild, analytic] = columns(&all);
        let (drawn, error) = row(&format!("{name}, wild bootstrap"), &wild);
        let (computed, _) = row(&format!("{name}, its formulas"), &analytic);
        assert!((drawn - computed).abs() <= 4.0 + 3.0 * error, "{name}");
    }
}
