//! Ladders of known truth, to test the estimator and any pipeline around it.
//!
//! A [`Simulation`] states laws ([`Truth`]), a design ([`Shape`]) and every component of noise that
//! real ladders have shown; [`Simulation::ladder`] draws one ladder, and [`Simulation::exponent`] is
//! the exponent that an estimator should find in it. Size profiles, drifts and noise of [`Scenario`] are calibrated
//! on a public IsoFLOP ladder of 255 models; the coverage tests of this crate use them.
//!
//! Along the compute-optimal frontier, with `x = ln C` centred over the budgets and
//! `z = ln N − ln N*(C)`,
//!
//! ```text
//! ln E_d = ln(floor_d + e^(level_d − β_d x)) + k2_d (1 + a_d x)(z − s_d − t_d x)² + k3_d (…)³ + k4_d (…)⁴
//!        + u_run + v_(d,run) + w_(d,budget)
//! ```

mod check;
mod design;
mod draw;
mod items;
mod scenario;
mod truth;

use serde::{Deserialize, Serialize};

pub use design::Shape;
pub use items::ItemTruth;
pub use scenario::Scenario;
pub use truth::{SurfaceTruth, Truth};

use super::error::FitError;
use super::stats::regression::Line;
use design::Cell;

/// A ladder of known truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Simulation {
    /// Compute budgets; for grids they only set the origin of `x`.
    pub budgets: Vec<f64>,
    /// The design.
    pub shape: Shape,
    /// The laws.
    pub distributions: Vec<Truth>,
    /// Number of corpora, all under the same laws.
    pub corpora: usize,
    /// Replicates of every run that differ by seed.
    pub seeds: usize,
    /// Standard deviation of the noise that a run puts on all distributions.
    pub run_noise: f64,
    /// Share of its variance that a configuration has in common over corpora.
    pub shared: f64,
    /// Degrees of freedom of run noise; `None` for normal. It has unit variance either way.
    pub tails: Option<usize>,
    /// Noise of runs at the first and last budget, relative.
    pub noise_ends: [f64; 2],
    /// Growth of the noise of runs per nat of `ln N` about the frontier.
    pub noise_by_size: f64,
    /// Largest relative distance of the FLOPs of a run, which are its label, from its budget: FLOPs as
    /// programs log them.
    pub flops_jitter: f64,
    /// Share of the runs that are missing.
    pub missing: f64,
    /// Seed of everything.
    pub seed: u64,
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            budgets: vec![1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20],
            shape: Shape::Isoflop {
                sizes: 12,
                drift: 0.0,
            },
            distributions: vec![
                Truth {
                    profile: [0.034, -0.0048, 0.0],
                    // Optima that differ between distributions: what the frontier term of the
                    // variance has to cover.
                    shift: 0.25,
                    noise: 0.002,
                    ..Truth::new("treatment", 0.3, 0.04)
                },
                Truth {
                    profile: [0.028, -0.0039, 0.0],
                    shift: -0.10,
                    noise: 0.001,
                    ..Truth::new("baseline", 0.0, 0.05)
                },
                Truth {
                    profile: [0.028, -0.0039, 0.0],
                    noise: 0.0005,
                    ..Truth::new("aggregate", 0.1, 0.05)
                },
            ],
            corpora: 1,
            seeds: 1,
            // As on the public ladder. What is common to a run cancels in a ratio and leaves the
            // `noise` of the distributions.
            run_noise: 0.003,
            shared: 0.7,
            tails: None,
            noise_ends: [1.0, 1.0],
            noise_by_size: 0.0,
            flops_jitter: 0.0,
            missing: 0.0,
            seed: 7,
        }
    }
}

impl Simulation {
    fn centre(&self) -> f64 {
        let logs: Vec<f64> = self.budgets.iter().map(|c| libm::log(*c)).collect();
        logs.iter().sum::<f64>() / logs.len().max(1) as f64
    }

    /// `ln` of the budgets about their mean.
    fn centred_scales(&self) -> Vec<f64> {
        let centre = self.centre();
        self.budgets
            .iter()
            .map(|c| libm::log(*c) - centre)
            .collect()
    }

    /// `ln E` without noise of distribution `d` at centred log scale `x` and `z = ln N − ln N*`.
    ///
    /// NaN for a distribution that is not there.
    #[must_use]
    pub fn log_error(&self, distribution: usize, x: f64, z: f64) -> f64 {
        let Some(t) = self.distributions.get(distribution) else {
            return f64::NAN;
        };
        let law = if t.floor > 0.0 {
            libm::log(t.floor + libm::exp(t.level - t.beta * x))
        } else {
            t.level - t.beta * x
        };
        let off = z - t.shift - t.shift_drift * x;
        let [k2, k3, k4] = t.profile;
        law + k2 * (1.0 + t.curvature_drift * x) * off * off + k3 * off.powi(3) + k4 * off.powi(4)
    }

    /// `ln E` without noise in one run of a design.
    fn log_error_in(&self, distribution: usize, cell: &Cell) -> f64 {
        let Some(t) = self.distributions.get(distribution) else {
            return f64::NAN;
        };
        let law = match t.surface {
            None => self.log_error(distribution, cell.x, cell.z),
            Some(s) => {
                let (n, d) = (0.5 * (cell.x - cell.ratio), 0.5 * (cell.x + cell.ratio));
                let reducible = (1.0 - s.data_share) * libm::exp(-s.size_exponent * n)
                    + s.data_share * libm::exp(-s.data_exponent * d);
                libm::log(t.floor + libm::exp(t.level) * reducible)
            }
        };
        law + t.data_per_param * cell.ratio
    }

    /// The exponent of `E_treatment / E_baseline` that a least-squares line finds along the noiseless
    /// frontier; along their own path for equal tokens and for one size; for grids and trajectories,
    /// over the scales of the runs at the mean of `ln(D/N)`.
    ///
    /// # Errors
    ///
    /// Fewer than three budgets, no such distributions, or settings that ask for more than can be drawn.
    pub fn exponent(&self, treatment: usize, baseline: usize) -> Result<f64, FitError> {
        self.check().map_err(|message| FitError::Unsupported {
            reason: format!("simulation: {message}"),
        })?;
        let (Some(t), Some(b)) = (
            self.distributions.get(treatment),
            self.distributions.get(baseline),
        ) else {
            return Err(FitError::Unknown {
                what: "distribution",
                name: treatment.max(baseline).to_string(),
                known: self.distributions.iter().map(|d| d.name.clone()).collect(),
            });
        };
        if matches!(self.shape, Shape::Grid { .. } | Shape::Trajectories { .. }) {
            if [t, b].iter().all(|d| d.surface.is_none() && d.floor == 0.0) {
                return Ok(b.beta - t.beta);
            }
            let mut cells = self.design();
            // At the mean ratio, where the estimator quotes the law of a grid.
            cells.iter_mut().for_each(|c| c.ratio = 0.0);
            let x: Vec<f64> = cells.iter().map(|c| c.x).collect();
            let y: Vec<f64> = cells
                .iter()
                .map(|c| self.log_error_in(treatment, c) - self.log_error_in(baseline, c))
                .collect();
            return Ok(Line::new(&x, &y)?.slope().value);
        }
        if matches!(
            self.shape,
            Shape::EqualTokens { .. } | Shape::OneSize { .. }
        ) {
            let along = |c: &Cell| {
                let y = self.log_error_in(treatment, c) - self.log_error_in(baseline, c);
                (c.x, y)
            };
            let (x, y): (Vec<f64>, Vec<f64>) = self.design().iter().map(along).unzip();
            return Ok(Line::new(&x, &y)?.slope().value);
        }
        let x = self.centred_scales();
        let ratio =
            |x: &f64| self.log_error(treatment, *x, 0.0) - self.log_error(baseline, *x, 0.0);
        let y: Vec<f64> = x.iter().map(ratio).collect();
        Ok(Line::new(&x, &y)?.slope().value)
    }
}
