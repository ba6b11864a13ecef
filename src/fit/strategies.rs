//! Proptest strategies for laws and for ladders of every design (feature `proptest`).
//!
//! A ladder is always drawn from a [`Simulation`], and the simulation is what shrinks: towards fewer
//! budgets, sizes and clusters, flatter laws and less noise. Every step of the way is a valid ladder.

use proptest::prelude::*;

use crate::ladder::Ladder;

use super::result::Design;
use super::simulate::{ItemTruth, Shape, Simulation, Truth};

/// Laws with exponents and size profiles as real distributions have them.
pub fn truths(name: &'static str) -> impl Strategy<Value = Truth> {
    (-0.5..0.5, 0.0..0.1, 0.02..0.04, -0.004..0.0, -0.3..0.3).prop_map(
        move |(level, beta, k2, k3, shift)| Truth {
            profile: [k2, k3, 0.0],
            shift,
            ..Truth::new(name, level, beta)
        },
    )
}

/// Laws with a floor, `floor + e^(level − βx)`.
pub fn floored_truths(name: &'static str) -> impl Strategy<Value = Truth> {
    (truths(name), 0.0..2.0).prop_map(|(t, floor)| Truth { floor, ..t })
}

fn shapes(design: Design) -> BoxedStrategy<Shape> {
    let params = |n: usize| {
        (0..n)
            .map(|i| 1e8 * 2.5_f64.powi(i as i32))
            .collect::<Vec<f64>>()
    };
    let ratios = |n: usize| {
        (0..n)
            .map(|i| 10.0 * 2.0_f64.powi(i as i32))
            .collect::<Vec<f64>>()
    };
    match design {
        Design::Isoflop => (6_usize..12, -0.5..0.5)
            .prop_map(|(sizes, drift)| Shape::Isoflop { sizes, drift })
            .boxed(),
        Design::Rungs => prop_oneof![
            Just(Shape::Rungs),
            (1e9..1e12).prop_map(|tokens| Shape::EqualTokens { tokens }),
            (1e7..1e9).prop_map(|params| Shape::OneSize { params }),
        ]
        .boxed(),
        Design::Grid => (3_usize..6, 3_usize..5, proptest::option::of(0.0..0.9))
            .prop_map(move |(n, m, correlation)| match correlation {
                None => Shape::Grid {
                    params: params(n),
                    tokens_per_param: ratios(m),
                },
                Some(correlation) => Shape::Trajectories {
                    params: params(n),
                    tokens_per_param: ratios(m),
                    correlation,
                },
            })
            .boxed(),
    }
}

/// Simulations of one design with the distributions `treatment`, `baseline`, `other` and `aggregate`,
/// one or two corpora, with and without items.
pub fn simulations(design: Design) -> impl Strategy<Value = Simulation> {
    let laws = (truths("treatment"), truths("baseline"), truths("other"));
    let noise = (0.0..0.002, 0.0..0.002, 1_usize..3);
    let items = proptest::option::of(2_usize..10);
    (
        shapes(design),
        4_usize..8,
        0.2..0.5,
        laws,
        noise,
        items,
        any::<u64>(),
    )
        .prop_map(
            |(shape, budgets, step, (treatment, baseline, other), (u, v, corpora), items, seed)| {
                let aggregate = Truth {
                    profile: [0.03, -0.003, 0.0],
                    ..Truth::new("aggregate", 0.1, 0.05)
                };
                let mut s = Simulation {
                    budgets: (0..budgets)
                        .map(|i| 1e18 * 10_f64.powf(step * i as f64))
                        .collect(),
                    shape,
                    distributions: vec![treatment, baseline, other, aggregate],
                    corpora,
                    run_noise: u,
                    seed,
                    ..Simulation::default()
                };
                for d in s.distributions.iter_mut().take(3) {
                    d.noise = v;
                    d.data_per_param = 0.02;
                    d.items = items.map(|clusters| ItemTruth::new(2 * clusters, clusters));
                }
                s
            },
        )
}

/// Simulations of one design as programs log their ladders: several seeds, coarse sizes, budgets that
/// are FLOPs off by up to 0.8 %, and up to a tenth of the runs missing.
pub fn irregular_simulations(design: Design) -> impl Strategy<Value = Simulation> {
    let departures = (4_usize..12, 1_usize..4, 0.0..0.008, 0.0..0.1);
    (simulations(design), departures).prop_map(|(mut s, (coarse, seeds, jitter, missing))| {
        if let Shape::Isoflop { sizes, .. } = &mut s.shape {
            *sizes = coarse;
        }
        (s.seeds, s.flops_jitter, s.missing) = (seeds, jitter, missing);
        s
    })
}

/// Ladders drawn from [`irregular_simulations`].
pub fn irregular_ladders(design: Design) -> impl Strategy<Value = (Simulation, Ladder)> {
    irregular_simulations(design).prop_filter_map("every simulation makes a ladder", |s| {
        s.ladder(0).ok().map(|l| (s, l))
    })
}

/// Ladders of one design, each with the simulation that it was drawn from.
pub fn ladders(design: Design) -> impl Strategy<Value = (Simulation, Ladder)> {
    simulations(design).prop_filter_map("every simulation makes a ladder", |s| {
        s.ladder(0).ok().map(|l| (s, l))
    })
}
