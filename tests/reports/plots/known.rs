//! Generated ladders of known exponents.

use proptest::prelude::*;
use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::{FlopConvention, Ladder, Run, Scale};

/// A ladder of rungs with known exponents.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) rungs: usize,
    pub(crate) low: f64,
    pub(crate) decades: f64,
    /// Exponent and level of each treatment.
    pub(crate) laws: Vec<(f64, f64)>,
    pub(crate) noise: f64,
    pub(crate) convention: FlopConvention,
    pub(crate) scale_name: Option<&'static str>,
}

/// Noise between −1 and 1 that needs no generator.
pub(crate) fn wobble(seed: f64) -> f64 {
    (seed * 12.9898).sin() * 43_758.545_3 % 1.0
}

impl Known {
    pub(crate) fn ladder(&self) -> Ladder {
        let mut builder = Ladder::builder();
        match self.scale_name {
            Some(name) => builder.scale_name(name),
            None => builder.flop_convention(self.convention),
        };
        for i in 0..self.rungs {
            let share = i as f64 / (self.rungs - 1) as f64;
            let flops = 10_f64.powf(self.low + self.decades * share);
            let size = (flops / 6.0).sqrt();
            let scale = Scale {
                params: size,
                tokens: size,
                flops,
            };
            let id = format!("run-{i}");
            builder.run(Run::new(&id, scale).corpus("web")).unwrap();
            for (d, (exponent, level)) in [(0.0, 0.0)].iter().chain(&self.laws).enumerate() {
                for cluster in 0..8 {
                    let seed = (d * 1009 + i * 31 + cluster) as f64;
                    let log = 1.0 + level
                        - (0.05 - exponent) * share * self.decades * std::f64::consts::LN_10
                        + self.noise * wobble(seed + 0.37)
                        + 0.02 * wobble((d * 17 + cluster) as f64);
                    let name = if d == 0 {
                        "base".to_owned()
                    } else {
                        format!("t{d:02}")
                    };
                    let cluster = format!("c{cluster}");
                    builder.score(&id, &name, &cluster, log.exp(), 1.0).unwrap();
                }
            }
        }
        builder.build().unwrap()
    }

    pub(crate) fn analysis(&self) -> Analysis {
        analyze(&self.ladder(), &Options::new("base")).unwrap()
    }
}

pub(crate) fn known() -> impl Strategy<Value = Known> {
    let law = (-0.1..0.1_f64, -0.5..0.5_f64, 0..20_u8).prop_map(|(exponent, level, far)| {
        // One of twenty is far from all others.
        (if far == 0 { 20.0 * exponent } else { exponent }, level)
    });
    let convention = prop_oneof![
        Just(FlopConvention::Unspecified),
        Just(FlopConvention::Training),
        Just(FlopConvention::ForwardOnly),
        Just(FlopConvention::SixNd),
    ];
    (
        5..9_usize,
        8.0..24.0_f64,
        prop_oneof![0.05..0.5_f64, 0.5..6.0_f64],
        proptest::collection::vec(law, 1..14),
        prop_oneof![Just(1e-5), 1e-4..2e-2_f64],
        convention,
        prop_oneof![3 => Just(None), 1 => Just(Some("test-time tokens"))],
    )
        .prop_map(
            |(rungs, low, decades, laws, noise, convention, scale_name)| Known {
                rungs,
                low,
                decades,
                laws,
                noise,
                convention,
                scale_name,
            },
        )
}
