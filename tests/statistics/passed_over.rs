//! Dependence between readings, scores that are missing and options that exclude one another: each counts or
//! is named.

use relscale::fit::simulate::{Shape, Simulation};
use relscale::fit::{
    Analysis, Contrast, CovarianceType, DesignChoice, FitError, Flag, Options, RelativeLaw,
    Weighting, WorstOf, analyze,
};
use relscale::ladder::{Ladder, LadderBuilder, Run, Scale};

/// Noise between −1 and 1 that needs no generator.
fn wobble(seed: usize) -> f64 {
    (seed as f64 * 12.9898).sin() * 43_758.545_3 % 1.0
}

fn scale(params: f64, tokens: f64) -> Scale {
    let flops = 6.0 * params * tokens;
    Scale {
        params,
        tokens,
        flops,
    }
}

/// Adds a run with its losses on the baseline and on `others`, as `ln G`.
fn add(builder: &mut LadderBuilder, run: Run, flops: f64, others: &[(&str, f64)]) {
    let id = run.id.clone();
    builder.run(run).unwrap();
    let base = 3.0 * (flops / 1e18).powf(-0.05);
    builder.score(&id, "baseline", "", base, 1.0).unwrap();
    for (name, ratio) in others {
        builder
            .score(&id, name, "", base * ratio.exp(), 1.0)
            .unwrap();
    }
}

fn law(ladder: &Ladder, options: &Options) -> RelativeLaw {
    analyze(ladder, options).unwrap().laws.remove(0)
}

/// Two seeds of one size, each with checkpoints at the budgets that `has` says.
fn seeds(has: impl Fn(usize, usize) -> bool, name: impl Fn(usize, usize) -> String) -> RelativeLaw {
    let mut builder = Ladder::builder();
    for j in 0..10 {
        let s = scale(1e8, 1e9 * 2_f64.powi(j as i32));
        for seed in (0..2).filter(|&seed| has(seed, j)) {
            let run = Run::new(format!("s{seed}-{j}"), s);
            let run = run.budget(s.flops).seed(seed as u64);
            let ratio = 0.2 + 1e-3 * wobble(3 * j + seed);
            let run = run.trajectory(name(seed, j));
            add(&mut builder, run, s.flops, &[("treatment", ratio)]);
        }
    }
    law(&builder.build().unwrap(), &Options::new("baseline"))
}

#[test]
fn means_over_the_checkpoints_of_the_same_seeds_are_not_independent() {
    let told = |law: &RelativeLaw| law.flags.contains(&Flag::OneTrajectory);
    let of_seed = |seed: usize, _: usize| format!("s{seed}");
    assert!(told(&seeds(|_, _| true, of_seed)));
    // One seed lacks two budgets: the other ties them to the rest.
    assert!(told(&seeds(|seed, j| seed == 1 || j > 1, of_seed)));
    // Two seeds without a budget in common are two clusters.
    let apart = seeds(|seed, j| j % 2 == seed, of_seed);
    assert!(!told(&apart));
    assert!(apart.delta_beta.df < 8.0, "{:?}", apart.delta_beta);
    let runs = seeds(|_, _| true, |seed, j| format!("s{seed}-{j}"));
    assert!(!told(&runs) && runs.delta_beta.df == 8.0);
}

/// Five sizes of three seeds, each with checkpoints at six lengths; every size has an effect of its own.
fn grid(name: impl Fn(usize, usize) -> String) -> RelativeLaw {
    let mut builder = Ladder::builder();
    for (k, effect) in [0.02, -0.03, 0.01, 0.03, -0.02].into_iter().enumerate() {
        for seed in 0..3 {
            for j in 0..6 {
                let s = scale(1e8 * 3_f64.powi(k as i32), 1e10 * 2_f64.powi(j));
                let ratio = 0.2 + effect + 1e-3 * wobble(31 * k + 7 * seed + j as usize);
                let run = Run::new(format!("{k}-{seed}-{j}"), s).seed(seed as u64);
                let run = run.trajectory(name(k, seed));
                add(&mut builder, run, s.flops, &[("treatment", ratio)]);
            }
        }
    }
    let mut options = Options::new("baseline");
    options.design = DesignChoice::Grid;
    law(&builder.build().unwrap(), &options)
}

#[test]
fn seeds_of_one_size_share_what_the_size_has_of_its_own() {
    let by_seed = grid(|k, seed| format!("{k}-{seed}")).delta_beta;
    let by_size = grid(|k, _| format!("{k}")).delta_beta;
    assert_eq!(by_seed, by_size);
    assert!(by_seed.df <= 4.0, "{by_seed:?}");
}

#[test]
fn laws_between_corpora_keep_checkpoints_of_one_training_run_together() {
    // Per corpus: if true, runs are checkpoints of three training runs.
    let exponent = |named: [bool; 2]| {
        let mut builder = Ladder::builder();
        for (c, corpus) in ["one", "two"].into_iter().enumerate() {
            for j in 0..9 {
                let s = scale(1e8, 1e9 * 2_f64.powi(j as i32));
                let run = Run::new(format!("{corpus}-{j}"), s).corpus(corpus);
                let run = run.budget(s.flops).seed(j as u64);
                let trajectory = match named[c] {
                    true => format!("{corpus}-t{}", j % 3),
                    false => format!("{corpus}-{j}"),
                };
                let ratio = 0.2 + 0.01 * c as f64 + 1e-3 * wobble(5 * j + c) + 2e-3 * wobble(j % 3);
                let run = run.trajectory(trajectory);
                add(&mut builder, run, s.flops, &[("treatment", ratio)]);
            }
        }
        let analysis = analyze(&builder.build().unwrap(), &Options::new("baseline")).unwrap();
        assert!(analysis.refused.is_empty(), "{:?}", analysis.refused);
        analysis.cross_corpus.last().unwrap().exponent
    };
    let (apart, together) = (exponent([false; 2]), exponent([true; 2]));
    assert_eq!(apart.value, together.value);
    assert_eq!(apart.df, 7.0);
    assert!(together.df < 4.0, "{together:?}");
    // What depends in one corpus depends in the difference.
    for named in [[true, false], [false, true]] {
        assert_eq!(exponent(named).df, together.df);
    }
}

/// Eight rungs; `task` stays at the loss of a guess, and may lack the last run but one.
fn guessing(whole: bool) -> Analysis {
    let mut builder = Ladder::builder();
    for j in 0..8 {
        let s = scale(1e8 * 2_f64.powi(j as i32), 2e9 * 2_f64.powi(j as i32));
        let run = Run::new(format!("r{j}"), s);
        let id = run.id.clone();
        let other = ("other", 0.2 + 1e-3 * wobble(j));
        add(&mut builder, run, s.flops, &[other]);
        if whole || j != 6 {
            let loss = 0.7 * (1.0 + 1e-3 * wobble(17 * j));
            builder.score(&id, "task", "", loss, 1.0).unwrap();
        }
    }
    let mut options = Options::new("baseline");
    options.chance.insert("task".into(), 0.7);
    analyze(&builder.build().unwrap(), &options).unwrap()
}

#[test]
fn a_distribution_at_chance_is_flagged_though_a_run_has_no_score_of_it() {
    for whole in [true, false] {
        let analysis = guessing(whole);
        let task = analysis.laws.iter().find(|l| l.treatment == "task");
        let flags = &task.unwrap().flags;
        assert!(flags.contains(&Flag::PreOnset), "{whole}: {flags:?}");
        assert_eq!(flags.contains(&Flag::DroppedRuns), !whole, "{flags:?}");
        let other = analysis.laws.iter().find(|l| l.treatment == "other");
        assert!(!other.unwrap().flags.contains(&Flag::PreOnset));
    }
}

#[test]
fn a_contrast_of_a_distribution_at_chance_is_flagged_though_a_run_has_no_score_of_it() {
    let mut builder = Ladder::builder();
    for j in 0..8 {
        let s = scale(1e8 * 2_f64.powi(j as i32), 2e9 * 2_f64.powi(j as i32));
        let run = Run::new(format!("r{j}"), s);
        let id = run.id.clone();
        let ratios = [
            ("a", 0.2 + 1e-3 * wobble(j)),
            ("v", 0.1 + 1e-3 * wobble(j + 9)),
        ];
        add(&mut builder, run, s.flops, &ratios);
        if j != 6 {
            let loss = 0.7 * (1.0 + 1e-3 * wobble(17 * j));
            builder.score(&id, "u", "", loss, 1.0).unwrap();
        }
    }
    let mut options = Options::new("baseline");
    options.treatments = vec!["a".into()];
    options.contrasts = vec![Contrast::new("u", "v")];
    options.chance.insert("u".into(), 0.7);
    let analysis = analyze(&builder.build().unwrap(), &options).unwrap();
    let flags = &analysis.contrasts[0].law.flags;
    assert!(flags.contains(&Flag::PreOnset), "{flags:?}");
    assert!(!analysis.laws[0].flags.contains(&Flag::PreOnset));
}

#[test]
fn what_a_table_of_all_distributions_leaves_out_is_named() {
    let mut builder = Ladder::builder();
    for j in 0..8 {
        let s = scale(1e8 * 2_f64.powi(j as i32), 2e9 * 2_f64.powi(j as i32));
        let names = ["a", "b", "c", "d", "e"];
        let ratios = names.iter().enumerate();
        let ratios = ratios.map(|(k, n)| (*n, 0.1 * k as f64 + 1e-3 * wobble(9 * j + k)));
        let ratios: Vec<_> = ratios.filter(|(n, _)| *n != "e" || j != 3).collect();
        add(&mut builder, Run::new(format!("r{j}"), s), s.flops, &ratios);
    }
    let mut options = Options::new("baseline");
    options.worst = Some(WorstOf::Treatments);
    options.partial_pooling = true;
    let analysis = analyze(&builder.build().unwrap(), &options).unwrap();
    assert_eq!(analysis.worst[0].distributions, 4);
    assert_eq!(analysis.partial_pooling[0].treatments.len(), 4);
    let of_e = analysis.refused.iter();
    let of_e = of_e.filter(|r| r.distribution.as_deref() == Some("e"));
    let reasons: Vec<&str> = of_e.map(|r| r.reason.as_str()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(
        reasons[0].contains("the worst") && reasons[1].contains("pooled"),
        "{reasons:?}"
    );
}

#[test]
fn a_bootstrap_of_plain_readings_is_none_of_robust_ones() {
    let mut simulation = Simulation::default();
    simulation.shape = Shape::Isoflop {
        sizes: 7,
        drift: 0.0,
    };
    let ladder = simulation.ladder(1).unwrap();
    for robust in [false, true] {
        let mut options = Options::new("baseline");
        options.aggregate = Some("aggregate".into());
        options.treatments = vec!["treatment".into()];
        (options.wild_bootstrap, options.robust) = (true, robust);
        let law = law(&ladder, &options);
        assert_eq!(law.alternatives.wild_bootstrap.is_none(), robust);
    }
}

#[test]
fn an_exact_test_of_equal_exponents_needs_equal_weights() {
    let approximate = |weighting: Weighting| {
        let mut builder = Ladder::builder();
        for (j, seeds) in [4, 4, 4, 1, 1, 1].into_iter().enumerate() {
            let s = scale(1e8 * 2_f64.powi(j as i32), 2e9 * 2_f64.powi(j as i32));
            for seed in 0..seeds {
                let run = Run::new(format!("r{j}-{seed}"), s).seed(seed);
                let noise = |k| 1e-3 * wobble(11 * j + 5 * seed as usize + k);
                let ratios = [("a", 0.1 + noise(1)), ("b", 0.2 + noise(2))];
                add(&mut builder, run, s.flops, &ratios);
            }
        }
        let mut options = Options::new("baseline");
        options.design = DesignChoice::Rungs;
        options.weighting = weighting;
        let analysis = analyze(&builder.build().unwrap(), &options).unwrap();
        analysis.heterogeneity[0].approximate
    };
    assert!(!approximate(Weighting::Equal));
    assert!(approximate(Weighting::Design));
}

#[test]
fn the_band_is_no_narrower_than_the_interval_of_the_level() {
    let mut builder = Ladder::builder();
    for j in 0..9 {
        let s = scale(1e8 * 2_f64.powi(j as i32), 2e9 * 2_f64.powi(j as i32));
        let id = format!("r{j}");
        builder.run(Run::new(&id, s)).unwrap();
        let base = 3.0 * (s.flops / 1e18).powf(-0.05);
        // Clusters of unlike difficulty, the same in every run: noise of the level alone.
        for (g, level) in [-0.3, 0.1, 0.25, -0.05].into_iter().enumerate() {
            let cluster = format!("c{g}");
            let ratio = 0.2 + level + 1e-3 * wobble(j);
            builder.score(&id, "baseline", &cluster, base, 1.0).unwrap();
            let loss = base * ratio.exp();
            builder
                .score(&id, "treatment", &cluster, loss, 1.0)
                .unwrap();
        }
    }
    let law = law(&builder.build().unwrap(), &Options::new("baseline"));
    let reference = law.line.log_reference.exp();
    let (line, gamma) = (law.line.predict(reference).line, law.gamma);
    assert!(
        line.lower <= gamma.lower * (1.0 + 1e-9),
        "{line:?} {gamma:?}"
    );
    assert!(
        line.upper >= gamma.upper * (1.0 - 1e-9),
        "{line:?} {gamma:?}"
    );
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let ladder = Simulation::default().ladder(0).unwrap();
    let mut options = Options::new("baseline");
    options.chance_either_side.insert("treatmnet".into());
    let error = analyze(&ladder, &options).unwrap_err();
    assert!(matches!(error, FitError::Unknown { .. }), "{error}");
    // 250 draws, the number of such a threshold, have no percentile that far out.
    let mut options = Options::new("baseline");
    (options.alpha, options.floor_draws) = (0.001, 1999);
    options.surface_huber = Some(1e-3);
    let error = analyze(&ladder, &options).unwrap_err().to_string();
    assert!(error.contains("surface_draws"), "{error}");
}

#[test]
fn neighbours_in_one_training_run_stay_in_their_order() {
    // Clusters are the sizes; an autocorrelation is one of checkpoints, and seeds of a size are no series.
    let mut builder = Ladder::builder();
    for k in 0..3 {
        for seed in 0..2 {
            for j in 0..6 {
                let s = scale(1e8 * 3_f64.powi(k), 1e10 * 2_f64.powi(j));
                let run = Run::new(format!("{k}-{seed}-{j}"), s);
                let run = run.trajectory(format!("{k}-{seed}"));
                // Slow within a seed, and the opposite in the other one.
                let slow = [1.0, -1.0][seed] * (f64::from(j) - 2.5).signum();
                let noise = wobble((31 * k + j) as usize + 7 * seed);
                let ratio = 0.2 + 2e-3 * slow + 2e-4 * noise;
                add(&mut builder, run, s.flops, &[("treatment", ratio)]);
            }
        }
    }
    let ladder = builder.build().unwrap();
    let mut options = Options::new("baseline");
    options.design = DesignChoice::Grid;
    let plain = law(&ladder, &options).alternatives.autocorrelated.unwrap();
    // Among seeds at equal scales neighbours would be opposite.
    assert!(plain.rho > 0.2, "{plain:?}");
    options.covariance = CovarianceType::Ar1;
    assert_eq!(law(&ladder, &options).delta_beta, plain.delta_beta);
}
