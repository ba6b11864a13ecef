//! The planner against an independent table of the suite's 85 configurations, and its laws.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use relscale::fit::power::{PlannedLadder, Search};
use relscale::isoflop::{Bracket, PlannedRun, Recipe, Widths, write_csv};
use relscale::ladder::FlopConvention;

/// `tests/data/isoflop/plan.csv`, printed by the Python script beside it.
fn golden() -> Vec<Vec<f64>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/isoflop/plan.csv");
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .skip(1)
        .map(|l| l.split(',').map(|f| f.parse().unwrap()).collect())
        .collect()
}

fn fields(r: &PlannedRun) -> [f64; 13] {
    [
        r.budget,
        f64::from(r.hidden),
        f64::from(r.layers),
        f64::from(r.heads),
        f64::from(r.mlp),
        r.batch as f64,
        r.steps as f64,
        r.tokens as f64,
        r.lr,
        r.beta2,
        r.params as f64,
        r.forward_flops,
        r.training_flops,
    ]
}

#[test]
fn the_suite_of_the_paper_is_reproduced_exactly() {
    let runs = Recipe::relative_scaling_laws().runs().unwrap();
    let golden = golden();
    let shapes = |r: &[PlannedRun]| r.iter().map(|r| (r.budget, r.hidden)).collect::<Vec<_>>();
    let wanted: Vec<_> = golden.iter().map(|g| (g[0], g[1] as u32)).collect();
    assert_eq!(shapes(&runs), wanted);
    assert_eq!(runs.len(), 85);
    assert_eq!(golden.len(), 85);
    for (run, want) in runs.iter().zip(&golden) {
        for (place, (got, want)) in fields(run).into_iter().zip(want).enumerate() {
            // Learning rate, β₂ and FLOPs round differently; the rest are integers.
            let bound = if (8..10).contains(&place) || place > 10 {
                4e-16
            } else {
                0.0
            };
            assert!(
                (got - want).abs() <= bound * want,
                "{run:?}: column {place} is {got}, not {want}"
            );
        }
    }
    let count = |b: f64| runs.iter().filter(|r| r.budget == b).count();
    let budgets = [1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20];
    assert_eq!(budgets.map(count), [5, 10, 15, 10, 15, 15, 15]);
    // Smallest and largest model of the suite.
    let params = |f: fn(u64, u64) -> u64| runs.iter().map(|r| r.params).reduce(f).unwrap();
    assert_eq!(params(u64::min), 156_508_160);
    assert!((params(u64::max) as f64 / 11.79e9 - 1.0).abs() < 5e-4);
}

#[test]
fn csv_has_the_columns_and_reads_back_equal() {
    let runs = Recipe::relative_scaling_laws().runs().unwrap();
    let mut csv = Vec::new();
    write_csv(&runs, &mut csv).unwrap();
    let text = String::from_utf8(csv).unwrap();
    assert_eq!(
        text.lines().next().unwrap(),
        "budget,hidden,layers,heads,mlp,batch,steps,tokens,lr,beta2,params,forward_flops,\
         training_flops"
    );
    for (line, run) in text.lines().skip(1).zip(&runs) {
        let back: Vec<f64> = line.split(',').map(|f| f.parse().unwrap()).collect();
        assert_eq!(back, fields(run));
    }
    assert_eq!(text.lines().count(), 86);
}

#[test]
fn the_advisor_gives_a_suite_that_can_be_trained() {
    let plan = PlannedLadder {
        lowest_flops: 1e18,
        highest_flops: 1e20,
        budgets: 7,
        sizes: 12,
        seeds: 1,
        budget_noise: 0.0005,
        run_noise: 0.003,
        frontier_error: 0.0,
        cluster_noise: 0.0,
        clusters: 0,
    };
    let cheapest = plan
        .cheapest(&Search {
            target: 0.0015,
            margin: 0.00217,
            budgets: 5..=9,
            sizes: 5..=8,
            seeds: 1..=3,
        })
        .unwrap()
        .unwrap();
    // Cheaper in every single respect misses the target.
    for fewer in [
        PlannedLadder {
            budgets: cheapest.budgets - 1,
            ..cheapest
        },
        PlannedLadder {
            sizes: cheapest.sizes - 1,
            ..cheapest
        },
        PlannedLadder {
            seeds: cheapest.seeds - 1,
            ..cheapest
        },
    ] {
        let inside = fewer.budgets >= 5 && fewer.sizes >= 5 && fewer.seeds >= 1;
        assert!(!inside || fewer.forecast(0.00217).unwrap().minimum_detectable > 0.0015);
    }
    let optimum = Bracket {
        params: 5e8,
        flops: 1e19,
        exponent: 0.5,
        sizes: 0,
        span: 8.0,
    };
    let recipe = Recipe::relative_scaling_laws().for_ladder(&cheapest, optimum);
    let mut recipe = Recipe {
        tolerance: 0.02,
        batch_min: 1,
        ..recipe
    };
    recipe.widths = vec![Widths {
        highest_budget: None,
        first: 256,
        last: 4096,
        step: 128,
    }];
    let runs = recipe.runs().unwrap();
    assert_eq!(runs.len() as u32, cheapest.budgets * cheapest.sizes);
    assert!((recipe.budgets[0] / 1e18 - 1.0).abs() < 1e-12);
    assert!((recipe.budgets.last().unwrap() / 1e20 - 1.0).abs() < 1e-12);
}

#[test]
fn what_makes_no_sense_is_named() {
    let base = Recipe::relative_scaling_laws;
    let fails = |recipe: Recipe, field: &str| {
        let error = recipe.runs().unwrap_err();
        assert_eq!(error.field, field, "{error}");
    };
    fails(
        Recipe {
            budgets: vec![],
            ..base()
        },
        "budgets",
    );
    fails(
        Recipe {
            budgets: vec![f64::NAN],
            ..base()
        },
        "budgets",
    );
    fails(
        Recipe {
            budgets: vec![1e300],
            ..base()
        },
        "budgets",
    );
    fails(
        Recipe {
            budgets: vec![1e3],
            ..base()
        },
        "budgets",
    );
    fails(
        Recipe {
            budgets: vec![1e19, 1e18, 1e19],
            ..base()
        },
        "budgets",
    );
    fails(
        Recipe {
            tolerance: 1.0,
            ..base()
        },
        "tolerance",
    );
    fails(
        Recipe {
            convention: FlopConvention::Other,
            ..base()
        },
        "convention",
    );
    fails(
        Recipe {
            widths: vec![],
            ..base()
        },
        "widths",
    );
    let widths = |first, last, step| {
        vec![Widths {
            highest_budget: None,
            first,
            last,
            step,
        }]
    };
    fails(
        Recipe {
            widths: widths(0, 10, 1),
            ..base()
        },
        "widths",
    );
    fails(
        Recipe {
            widths: widths(8, 10, 0),
            ..base()
        },
        "widths",
    );
    // More sizes than are tried in all.
    fails(
        Recipe {
            widths: widths(1, 1 << 20, 1),
            ..base()
        },
        "widths",
    );
    fails(
        Recipe {
            widths: widths(385, 385, 1),
            ..base()
        },
        "widths",
    );
    fails(
        Recipe {
            head_dim: 0,
            ..base()
        },
        "head_dim",
    );
    fails(
        Recipe {
            lr_max: -1.0,
            ..base()
        },
        "lr_max",
    );
    fails(
        Recipe {
            layer_offset: 1e9,
            ..base()
        },
        "layer_offset",
    );
    let bracket = |params, sizes| {
        Some(Bracket {
            params,
            flops: 1e19,
            exponent: 0.5,
            sizes,
            span: 8.0,
        })
    };
    fails(
        Recipe {
            bracket: bracket(5e8, 2),
            ..base()
        },
        "bracket.sizes",
    );
    fails(
        Recipe {
            bracket: bracket(1.0, 5),
            ..base()
        },
        "bracket.sizes",
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    /// Every run keeps to its rules, whatever the recipe.
    #[test]
    fn runs_keep_to_the_rules(
        exponent in 12.0..21.0_f64,
        head_power in 3u32..8,
        vocab in 1u32..200_000,
        sequence in 1u32..9000,
        tied: bool,
        six_nd: bool,
        tolerance in 0.001..0.2_f64,
    ) {
        let head_dim = 1 << head_power;
        let recipe = Recipe {
            budgets: vec![10f64.powf(exponent)],
            convention: if six_nd { FlopConvention::SixNd } else { FlopConvention::Training },
            widths: vec![Widths { highest_budget: None, first: head_dim, last: 2048, step: head_dim }],
            head_dim,
            vocab,
            sequence,
            tied_embeddings: tied,
            layer_offset: 10.0,
            batch_min: 1,
            tolerance,
            ..Recipe::relative_scaling_laws()
        };
        let Ok(runs) = recipe.runs() else { return Ok(()) };
        for pair in runs.windows(2) {
            prop_assert!(pair[0].params < pair[1].params);
        }
        for run in &runs {
            let spent = if six_nd { run.six_nd() } else { run.training_flops };
            prop_assert!((spent / run.budget - 1.0).abs() <= tolerance * (1.0 + 1e-9));
            prop_assert!(run.lr <= recipe.lr_max && run.batch.is_power_of_two());
            prop_assert_eq!(run.tokens, run.batch * run.steps * u64::from(sequence));
            prop_assert_eq!(run.heads * head_dim, run.hidden);
            let spent = run.hours(1e15, 0.5) * 0.5 * 1e15 * 3600.0;
            prop_assert!((spent / run.training_flops - 1.0).abs() < 1e-14);
        }
    }
}
