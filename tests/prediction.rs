//! Predictions of scales that were not fitted.

use relscale::fit::simulate::{Shape, Simulation, Truth};
use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::{Ladder, Run, Scale};

fn analysis(simulation: &Simulation, replicate: u64) -> Analysis {
    let mut options = Options::new("baseline");
    options.treatments = vec!["treatment".into()];
    analyze(&simulation.ladder(replicate).unwrap(), &options).unwrap()
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
    treatment.data_per_param = 0.01;
    treatment.size_noise = size_noise;
    let baseline = Truth::new("baseline", 0.0, 0.05);
    s.distributions = vec![treatment, baseline];
    s.distributions.iter_mut().for_each(|t| t.noise = 0.0015);
    s
}

/// Share of the held-out sizes inside their intervals, and of exponents inside theirs.
fn coverage(simulation: &Simulation, replicates: u64) -> [f64; 2] {
    let (mut inside, mut all, mut exponents) = (0.0, 0.0, 0.0);
    let truth = simulation.exponent(0, 1).unwrap();
    for replicate in 0..replicates {
        let analysis = analysis(simulation, replicate);
        let law = &analysis.laws[0];
        for holdout in &law.diagnostics.backtest.holdouts {
            all += 1.0;
            inside += f64::from(u8::from(holdout.inside));
        }
        let d = law.delta_beta;
        exponents += f64::from(u8::from(d.lower <= truth && truth <= d.upper));
    }
    [inside / all, exponents / replicates as f64]
}

#[test]
fn held_out_sizes_lie_in_their_intervals() {
    for size_noise in [0.0, 0.004] {
        let [sizes, exponents] = coverage(&grid(size_noise), 200);
        println!("size noise {size_noise}: {sizes:.3} of sizes, {exponents:.3} of exponents");
        // A size has five readings that share its effect, and three holdings-out share sizes: the
        // error of the share is about 0.02.
        assert!(sizes > 0.93 && exponents > 0.92, "{sizes}, {exponents}");
        // With an effect of sizes the intervals are exact; without one they know that there is none
        // only by what the sizes show.
        assert!(size_noise == 0.0 || exponents < 0.985, "{exponents}");
    }
}

#[test]
fn exponent_prediction_and_backtest_have_one_variance() {
    // The largest size is predicted from the others as `predict` would from a ladder without it.
    let whole = analysis(&grid(0.004), 3);
    let law = &whole.laws[0];
    let largest = law.readings.iter().map(|r| r.params).fold(0.0, f64::max);
    let mut builder = Ladder::builder();
    for (i, r) in law.readings.iter().enumerate() {
        if r.params > 0.99 * largest {
            continue;
        }
        let id = format!("run-{i}");
        let scale = Scale {
            params: r.params,
            tokens: r.scale / (6.0 * r.params),
            flops: r.scale,
        };
        builder.run(Run::new(&id, scale)).unwrap();
        let scores = [
            ("treatment", r.treatment_error),
            ("baseline", r.baseline_error),
        ];
        for (name, loss) in scores {
            builder.score(&id, name, "", loss, 1.0).unwrap();
        }
    }
    let mut options = Options::new("baseline");
    options.specification_term = false;
    options.tokens_per_param = Some(40.0);
    let part = analyze(&builder.build().unwrap(), &options).unwrap();
    let line = &part.laws[0].line;
    let holdouts = &law.diagnostics.backtest.holdouts;
    let at_forty = holdouts
        .iter()
        .find(|h| h.fitted == 25 && (h.scale / (6.0 * 9e18 * 40.0) - 1.0).abs() < 1e-9)
        .unwrap();
    let predicted = line.predict(at_forty.scale).ratio;
    for (one, two) in [
        (predicted.value, at_forty.predicted.value),
        (predicted.lower, at_forty.predicted.lower),
        (predicted.upper, at_forty.predicted.upper),
    ] {
        assert!((one.ln() - two).abs() < 1e-9, "{predicted:?} {at_forty:?}");
    }
    let d = part.laws[0].delta_beta;
    assert!((line.slope_variance.sqrt() / d.standard_error - 1.0).abs() < 1e-12);
    // Three degrees of freedom: five sizes, two parameters of a line.
    assert_eq!((d.df, line.df), (3.0, 3.0));
}
