//! Ladders of coarse sizes, of one distribution, of one training run and of sizes at equal tokens.

use relscale::fit::simulate::{Shape, Simulation};
use relscale::fit::{
    Analysis, Design, FitError, Flag, LadderPath, OptimumRule, Options, RelativeLaw, analyze,
};
use relscale::ladder::{Ladder, Run, Scale};

fn fitted(simulation: &Simulation, replicate: u64, options: &Options) -> Analysis {
    analyze(&simulation.ladder(replicate).unwrap(), options).unwrap()
}

fn shaped(shape: Shape) -> Simulation {
    let mut simulation = Simulation::default();
    simulation.shape = shape;
    simulation
}

fn options() -> Options {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    options
}

/// Mean half-width and coverage over replicates with so many sizes per budget, which lie between a
/// factor of 6 below the optimum and 7 above.
fn width(sizes: usize, replicates: u64, options: &Options) -> (f64, f64) {
    let simulation = shaped(Shape::Isoflop { sizes, drift: 0.0 });
    let truth = simulation.exponent(0, 1).unwrap();
    let (mut half, mut inside) = (0.0, 0.0);
    for replicate in 0..replicates {
        let d = fitted(&simulation, replicate, options).laws[0].delta_beta;
        half += 0.5 * (d.upper - d.lower);
        inside += f64::from(u8::from(d.lower <= truth && truth <= d.upper));
    }
    (half / replicates as f64, inside / replicates as f64)
}

#[test]
fn four_coarse_sizes_are_read_by_a_parabola() {
    let now = options();
    let mut before = options();
    before.optimum = OptimumRule::BestRun;
    let replicates = 100;
    let (four, covered) = width(4, replicates, &now);
    let (five, _) = width(5, replicates, &now);
    let (best_run, _) = width(4, replicates, &before);
    println!(
        "half-widths: {four:.2e} ({covered}) at four sizes, {five:.2e} at five, {best_run:.2e} by best runs"
    );
    assert!(four < 2.0 * five && four < 0.5 * best_run);
    assert!(covered >= 0.9);
}

#[test]
fn a_wide_window_is_told() {
    let simulation = |sizes| shaped(Shape::Isoflop { sizes, drift: 0.0 });
    let flags = |sizes| {
        fitted(&simulation(sizes), 3, &options()).laws[0]
            .flags
            .clone()
    };
    let four = flags(4);
    assert!(four.contains(&Flag::WideWindow), "{four:?}");
    assert!(!four.contains(&Flag::BestRunReading) && !four.contains(&Flag::NoSpecificationCheck));
    for sizes in [7, 9, 12] {
        assert!(!flags(sizes).contains(&Flag::WideWindow), "{sizes}");
    }
}

/// The runs of a ladder with the scores of one distribution.
fn only(ladder: &Ladder, name: &str) -> Ladder {
    let mut builder = Ladder::builder();
    builder.flop_convention(ladder.flop_convention());
    let scores = ladder.distribution(name).unwrap();
    for (r, run) in ladder.runs().iter().enumerate() {
        builder.run(run.clone()).unwrap();
        for cell in scores.run(r) {
            let cluster = &scores.clusters()[cell.cluster];
            builder
                .score(&run.id, name, cluster, cell.loss / cell.weight, cell.weight)
                .unwrap();
        }
    }
    builder.build().unwrap()
}

#[test]
fn a_single_distribution_has_its_own_laws() {
    let grid = Shape::Grid {
        params: vec![1e8, 2e8, 4e8, 8e8],
        tokens_per_param: vec![10.0, 20.0, 40.0, 80.0],
    };
    for (shape, surface) in [
        (Simulation::default().shape, true),
        (Shape::Rungs, false),
        (grid, true),
    ] {
        let simulation = shaped(shape);
        let both = simulation.ladder(0).unwrap();
        let ladder = only(&both, "baseline");
        let alone = analyze(&ladder, &Options::new("baseline")).unwrap();
        assert!(alone.laws.is_empty() && alone.refused.is_empty());
        let [law] = &alone.absolute_laws[..] else {
            panic!("{:?}", alone.absolute_laws);
        };
        let text = alone.details();
        assert!(text.starts_with("Scaling laws\n95 % intervals"), "{text}");
        assert!(
            !text.contains("verdict") && text.contains("baseline"),
            "{text}"
        );
        assert_eq!(law.surface.fitted().is_some(), surface);
        // As beside others, where both are read at the same sizes.
        let mut options = Options::new("baseline");
        options.aggregate = Some("baseline".into());
        options.treatments = vec!["treatment".into()];
        let beside = analyze(&both, &options).unwrap();
        let other = beside
            .absolute_laws
            .iter()
            .find(|l| l.distribution == "baseline");
        assert_eq!(law.beta, other.unwrap().beta);
        let json = serde_json::to_string(&alone).unwrap();
        assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), alone);
        assert!(
            serde_json::to_value(alone.summary()).unwrap()["absolute_laws"][0]["beta"].is_object()
        );
    }
}

#[test]
fn a_single_distribution_that_cannot_be_fitted_is_refused() {
    let mut simulation = shaped(Shape::Rungs);
    simulation.budgets.truncate(2);
    let ladder = only(&simulation.ladder(0).unwrap(), "baseline");
    let error = analyze(&ladder, &Options::new("baseline")).unwrap_err();
    assert!(matches!(error, FitError::TooFew { .. }), "{error:?}");
}

#[test]
fn a_single_error_rate_has_a_law_of_counts() {
    let mut builder = Ladder::builder();
    for j in 0..6 {
        let flops = 1e18 * 4_f64.powi(j);
        let id = format!("run-{j}");
        let scale = Scale {
            params: flops.sqrt() / 10.0,
            tokens: flops.sqrt() / 0.6,
            flops,
        };
        builder.run(Run::new(&id, scale)).unwrap();
        builder
            .score(&id, "quiz", "", 0.5 * 0.8_f64.powi(j), 1000.0)
            .unwrap();
    }
    let mut options = Options::new("quiz");
    options.error_rates.insert("quiz".into());
    let analysis = analyze(&builder.build().unwrap(), &options).unwrap();
    assert!(analysis.laws.is_empty() && analysis.counts.is_empty());
    let beta = analysis.rates[0].beta;
    assert!(
        (beta.value - 0.8_f64.ln().abs() / 4_f64.ln()).abs() < 0.01,
        "{beta:?}"
    );
}

/// One size trained for longer and longer, with the names and marks that `describe` gives.
fn lengths(describe: impl Fn(i32, Run) -> Run) -> RelativeLaw {
    let mut builder = Ladder::builder();
    for j in 0..8 {
        let tokens = 1e9 * 2_f64.powi(j);
        let scale = Scale {
            params: 1e8,
            tokens,
            flops: 6e8 * tokens,
        };
        let run = describe(j, Run::new(format!("run-{j}"), scale));
        let id = run.id.clone();
        builder.run(run).unwrap();
        let wobble = 1e-3 * f64::from(7 * j).sin();
        builder
            .score(&id, "baseline", "", 3.0 * tokens.powf(-0.05), 1.0)
            .unwrap();
        builder
            .score(
                &id,
                "treatment",
                "",
                4.0 * tokens.powf(-0.045) * wobble.exp(),
                1.0,
            )
            .unwrap();
    }
    let analysis = analyze(&builder.build().unwrap(), &Options::new("baseline")).unwrap();
    let corpus = &analysis.corpora[0];
    assert_eq!(
        (corpus.design, corpus.path),
        (Design::Rungs, Some(LadderPath::EqualSize))
    );
    let law = analysis.laws[0].clone();
    for flag in &corpus.flags {
        assert!(law.flags.contains(flag) && analysis.details().contains(flag.meaning()));
    }
    law
}

#[test]
fn checkpoints_of_one_run_are_never_silently_independent() {
    use Flag::{OneTrajectory, UnnamedTrajectory};
    let raised = |law: &RelativeLaw| {
        [UnnamedTrajectory, OneTrajectory].map(|flag| law.flags.contains(&flag))
    };
    let unnamed = lengths(|_, run| run);
    assert_eq!(raised(&unnamed), [true, false]);
    assert_eq!(raised(&lengths(|_, run| run.seed(1))), [true, false]);
    // Runs of their own, by their seeds or by what the table says of each.
    assert_eq!(
        raised(&lengths(|j, run| run.seed(j as u64))),
        [false, false]
    );
    let apart = lengths(|j, run| run.trajectory(format!("t{j}")));
    assert_eq!(raised(&apart), [false, false]);
    // One training run, said so.
    let named = lengths(|_, run| run.trajectory("t"));
    assert_eq!(raised(&named), [false, true]);
    assert_eq!(named.delta_beta, unnamed.delta_beta);
}

#[test]
fn checkpoints_of_several_runs_are_told_by_their_names() {
    let grid = |name: &dyn Fn(i32, f64) -> String| {
        let mut builder = Ladder::builder();
        for (k, params) in [1e8, 2.5e8, 6e8].into_iter().enumerate() {
            for j in 0..5 {
                let tokens = 1e10 * 2_f64.powi(j);
                let id = format!("{params:e}-{}", name(j, tokens));
                let scale = Scale {
                    params,
                    tokens,
                    flops: 6.0 * params * tokens,
                };
                builder.run(Run::new(&id, scale)).unwrap();
                let wobble = 1e-3 * f64::from(7 * j + 3 * k as i32).sin();
                let loss = params.powf(-0.05) + tokens.powf(-0.05);
                builder.score(&id, "baseline", "", loss, 1.0).unwrap();
                builder
                    .score(&id, "treatment", "", loss * (0.3 + wobble).exp(), 1.0)
                    .unwrap();
            }
        }
        let analysis = analyze(&builder.build().unwrap(), &Options::new("baseline")).unwrap();
        assert_eq!(analysis.corpora[0].design, Design::Grid);
        analysis.laws[0].flags.contains(&Flag::UnnamedTrajectory)
    };
    assert!(grid(&|_, tokens| format!("step{}", tokens / 2e6)));
    assert!(!grid(&|j, _| format!("{j}")));
    assert!(!grid(&|j, _| ["a", "b", "c", "d", "e"][j as usize].into()));
}

#[test]
fn sizes_at_equal_tokens_are_named_and_have_a_slope_on_size() {
    let simulation = shaped(Shape::EqualTokens { tokens: 3e11 });
    let truth = simulation.exponent(0, 1).unwrap();
    let analysis = fitted(&simulation, 0, &options());
    let law = &analysis.laws[0];
    assert_eq!(analysis.corpora[0].path, Some(LadderPath::EqualTokens));
    assert!(law.flags.contains(&Flag::EqualTokens));
    // In the convention 6ND compute is proportional to size.
    let slope = law.alternatives.per_log_params.unwrap();
    assert!((slope.value - law.delta_beta.value).abs() < 1e-12);
    assert!((slope.standard_error - law.delta_beta.standard_error).abs() < 1e-12);
    assert!(slope.lower <= truth && truth <= slope.upper);
    let text = analysis.details();
    assert!(text.contains("sizes at equal tokens"), "{text}");
    assert!(
        text.contains("treatment at equal tokens: d ln G / d ln N = "),
        "{text}"
    );

    let rungs = shaped(Shape::Rungs);
    let analysis = fitted(&rungs, 0, &options());
    assert!(!analysis.laws[0].flags.contains(&Flag::EqualTokens));
    assert_eq!(analysis.laws[0].alternatives.per_log_params, None);
}

#[test]
fn a_slope_on_size_is_that_of_the_axis_of_parameters() {
    // FLOPs that are not proportional to size: embeddings are counted with the parameters only.
    let mut builder = Ladder::builder();
    for j in 0..6 {
        let params = 1e8 * 2_f64.powi(j);
        let id = format!("run-{j}");
        let scale = Scale {
            params,
            tokens: 3e11,
            flops: 1.8e12 * (params - 4e7),
        };
        builder.run(Run::new(&id, scale)).unwrap();
        for c in 0..12 {
            let cluster = format!("c{c}");
            let noise = |k: i32| 1.0 + 0.02 * f64::from(31 * c + k * (j + 2)).sin();
            let loss = params.powf(-0.06) * noise(5);
            builder.score(&id, "baseline", &cluster, loss, 1.0).unwrap();
            let loss = params.powf(-0.05) * noise(9);
            builder
                .score(&id, "treatment", &cluster, loss, 1.0)
                .unwrap();
        }
    }
    let ladder = builder.build().unwrap();
    let mut options = Options::new("baseline");
    let law = |options: &Options| analyze(&ladder, options).unwrap().laws[0].clone();
    let slope = law(&options).alternatives.per_log_params.unwrap();
    options.axis = relscale::fit::Axis::Params;
    let whole = law(&options).delta_beta;
    assert!((slope.value - whole.value).abs() < 1e-12);
    let ratio = slope.standard_error / whole.standard_error;
    assert!((ratio - 1.0).abs() < 0.02, "{ratio}");
}
