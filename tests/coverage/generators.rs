//! IsoFLOP ladders made without the library: profiles, noise and budgets that its own simulation does
//! not have.

use relscale::ladder::{Ladder, Run, Scale};

/// Loss over `z = ln N − ln N*`, in nats above the minimum of the budget.
#[derive(Clone, Copy)]
pub(super) enum Bowl {
    /// `k₂v² + k₃v³ + k₄v⁴`, flatter towards large models.
    Quartic,
    /// `e^{−pv}/p + e^{qv}/q`, the section of a sum of two power laws at fixed compute.
    TwoPowers,
    /// `ln cosh v`: a parabola inside, straight lines outside.
    LogCosh,
}

impl Bowl {
    /// At `v` from the minimum; `steep` tells the treatment from the baseline.
    fn at(self, v: f64, steep: f64) -> f64 {
        match self {
            Bowl::Quartic => steep * (0.029 * v * v - 0.0043 * v.powi(3) + 0.00062 * v.powi(4)),
            Bowl::TwoPowers => {
                let (p, q) = (0.34, 0.28);
                let sum = (-p * v).exp() / p + (q * v).exp() / q - 1.0 / p - 1.0 / q;
                steep * 0.095 * sum
            }
            Bowl::LogCosh => steep * 0.07 * v.cosh().ln(),
        }
    }
}

/// Noise of unit scale.
#[derive(Clone, Copy)]
pub(super) enum Noise {
    StudentFive,
    Laplace,
    /// An exponential less its mean: a run fails by more than it succeeds.
    Skewed,
}

/// Budgets in FLOPs.
#[derive(Clone, Copy)]
pub(super) enum Budgets {
    /// 1e18 to 1e20 in steps of about three, as published ladders have.
    Seven,
    /// So many over 2.3 decades, at irregular steps drawn for every ladder.
    Irregular(usize),
}

/// A kind of ladder.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) bowl: Bowl,
    pub(super) noise: Noise,
    pub(super) budgets: Budgets,
    /// Fewest sizes per budget, and one more than the most.
    pub(super) sizes: [usize; 2],
    /// Largest drift of the treatment's optimum, in nats of `N` per nat of compute.
    pub(super) drift: f64,
    /// Standard deviation of what a budget shares.
    pub(super) shock: f64,
    pub(super) treatments: usize,
    /// If true, every treatment keeps its gap.
    pub(super) null: bool,
}

/// The generator that the interval was chosen on: quartic profiles, t₅ noise, drifting optima.
pub(super) const CHOSEN_ON: Kind = Kind {
    bowl: Bowl::Quartic,
    noise: Noise::StudentFive,
    budgets: Budgets::Seven,
    sizes: [7, 12],
    drift: 0.06,
    shock: 0.0,
    treatments: 1,
    null: false,
};

/// A ladder and the exponent of each treatment against `baseline`.
pub(super) struct Draw {
    pub(super) ladder: Ladder,
    pub(super) truths: Vec<(String, f64)>,
}

struct Arm {
    name: String,
    /// Exponent without the drift of the optimum.
    slope: f64,
    drift: f64,
}

/// Distance of the treatment's optimum from the aggregate's, in `ln N`.
const SHIFT: f64 = 0.15;
/// Curvature of the treatment's profile relative to the aggregate's.
const STEEP: f64 = 1.14;

impl Kind {
    pub(super) fn draw(&self, seed: u64) -> Draw {
        let mut r = Random::new(seed);
        let flops = self.flops(&mut r);
        let middle = flops.iter().map(|c| c.ln()).sum::<f64>() / flops.len() as f64;
        let x: Vec<f64> = flops.iter().map(|c| c.ln() - middle).collect();
        let sizes = r.between(self.sizes[0], self.sizes[1]);
        let beta = r.uniform(0.04, 0.07);
        let offset = r.uniform(-0.4, 0.4);
        let arms: Vec<Arm> = (0..self.treatments)
            .map(|t| self.arm(t, &x, &mut r))
            .collect();
        let mut builder = Ladder::builder();
        for (j, (&c, &xj)) in flops.iter().zip(&x).enumerate() {
            let shocks: Vec<f64> = arms.iter().map(|_| self.shock * r.normal()).collect();
            for k in 0..sizes {
                let z = -1.9 + 3.8 * k as f64 / (sizes - 1) as f64 + offset + r.uniform(-0.1, 0.1);
                let params = (0.5 * (c / 120.0).ln() + z).exp();
                let id = format!("{j}-{k}");
                let scale = Scale {
                    params,
                    tokens: c / 6.0 / params,
                    flops: c,
                };
                builder.run(Run::new(&id, scale).budget(c)).unwrap();
                // Small models at few tokens scatter less than large ones.
                let spread = 1.0 + 0.6 * z.max(0.0);
                let shared = 0.003 * spread * self.noise.draw(&mut r);
                let mut own = |sd: f64| sd * spread * self.noise.draw(&mut r) + shared;
                let mut add = |name: &str, log_loss: f64| {
                    builder.score(&id, name, "", log_loss.exp(), 1.0).unwrap();
                };
                let base = 3f64.ln() - beta * xj + self.bowl.at(z + 0.1, 0.97) + own(0.001);
                add("baseline", base);
                for (arm, shock) in arms.iter().zip(&shocks) {
                    let bowl = self.bowl.at(z - SHIFT - arm.drift * xj, STEEP);
                    let law = 3.4f64.ln() - (beta - arm.slope) * xj;
                    add(&arm.name, law + bowl + own(0.0018) + shock);
                }
                let mean = 3.1f64.ln() - 0.05 * xj + self.bowl.at(z, 1.0) + own(0.0005);
                add("aggregate", mean);
            }
        }
        let truth = |a: &Arm| (a.name.clone(), a.slope + self.tilt(a.drift, &x));
        Draw {
            truths: arms.iter().map(truth).collect(),
            ladder: builder.build().unwrap(),
        }
    }

    fn flops(&self, r: &mut Random) -> Vec<f64> {
        match self.budgets {
            Budgets::Seven => vec![1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20],
            Budgets::Irregular(n) => {
                let steps: Vec<f64> = (1..n).map(|_| r.uniform(0.4, 1.6)).collect();
                let all: f64 = steps.iter().sum();
                let mut at = 0.0;
                let mut flops = vec![1e18];
                for s in steps {
                    at += 2.3 * s / all;
                    flops.push(1e18 * 10f64.powf(at));
                }
                flops
            }
        }
    }

    fn arm(&self, number: usize, x: &[f64], r: &mut Random) -> Arm {
        let drift = r.uniform(-self.drift, self.drift);
        let slope = r.uniform(-0.01, 0.01);
        Arm {
            name: format!("treatment-{number:02}"),
            slope: if self.null {
                -self.tilt(drift, x)
            } else {
                slope
            },
            drift,
        }
    }

    /// Exponent that the drift of the optimum adds along the aggregate's frontier.
    fn tilt(&self, drift: f64, x: &[f64]) -> f64 {
        let at = |x: &f64| x * self.bowl.at(-SHIFT - drift * x, STEEP);
        x.iter().map(at).sum::<f64>() / x.iter().map(|x| x * x).sum::<f64>()
    }
}

impl Noise {
    fn draw(self, r: &mut Random) -> f64 {
        match self {
            Noise::StudentFive => {
                let square: f64 = (0..5).map(|_| r.normal().powi(2)).sum();
                r.normal() / (square / 5.0).sqrt()
            }
            Noise::Laplace => {
                let size = -r.unit().ln();
                if r.unit() < 0.5 { -size } else { size }
            }
            Noise::Skewed => -r.unit().ln() - 1.0,
        }
    }
}

/// SplitMix64, so that the ladders are the same on every machine and need no dependency.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // Half a step off zero: the logarithm of zero is no number.
        ((z >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    fn between(&mut self, low: usize, end: usize) -> usize {
        low + (self.unit() * (end - low) as f64) as usize
    }
}
