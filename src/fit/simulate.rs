//! Ladders of known truth, to test the estimator and any pipeline around it.
//!
//! A [`Simulation`] states laws ([`Truth`]), a design ([`Shape`]) and every component of noise that
//! real ladders have shown; [`Simulation::ladder`] draws one ladder, and [`Simulation::exponent`] is
//! what an estimator should find in it. Size profiles, drifts and noise of [`Scenario`] are calibrated
//! on a public IsoFLOP ladder of 255 models; the coverage tests of this crate use them.
//!
//! Along the compute-optimal frontier, with `x = ln C` centred over the budgets and
//! `z = ln N − ln N*(C)`,
//!
//! ```text
//! ln E_d = ln(floor_d + e^(level_d − β_d x)) + k2_d (1 + a_d x)(z − s_d − t_d x)² + k3_d (…)³ + k4_d (…)⁴
//!        + u_run + v_(d,run) + w_(d,budget)
//! ```

use serde::{Deserialize, Serialize};

use crate::ladder::{FlopConvention, Ladder, LadderError, Run};

use super::error::FitError;
use super::stats::random::Stream;
use super::stats::regression::Line;

/// Laws of one distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Truth {
    /// Name of the distribution.
    pub name: String,
    /// `ln` of the reducible error at the middle of the ladder.
    pub level: f64,
    /// Exponent of the reducible error.
    pub beta: f64,
    /// Irreducible error.
    pub floor: f64,
    /// Effect of `ln(D/N)` in grids and trajectories, on `ln E`.
    pub data_per_param: f64,
    /// The reducible error as a surface in grids and trajectories, instead of `beta`.
    pub surface: Option<Surface>,
    /// Standard deviation of a shock that all runs of a size share on this distribution, in grids and
    /// trajectories.
    pub size_noise: f64,
    /// Quadratic, cubic and quartic coefficient of the size profile.
    pub profile: [f64; 3],
    /// Where the profile has its minimum, relative to the frontier, in `ln N`.
    pub shift: f64,
    /// Drift of that with `x`.
    pub shift_drift: f64,
    /// Relative drift of the quadratic coefficient with `x`.
    pub curvature_drift: f64,
    /// Standard deviation of the noise of a run on this distribution alone.
    pub noise: f64,
    /// Standard deviation of a shock that all runs of a budget share on this distribution.
    pub budget_noise: f64,
    /// Items; `None` for one aggregate without item noise.
    pub items: Option<ItemTruth>,
}

impl Truth {
    /// A law without profile, noise or items.
    #[must_use]
    pub fn new(name: impl Into<String>, level: f64, beta: f64) -> Self {
        Self {
            name: name.into(),
            level,
            beta,
            ..Self::default()
        }
    }
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            name: "distribution".into(),
            level: 0.0,
            beta: 0.05,
            floor: 0.0,
            data_per_param: 0.0,
            surface: None,
            size_noise: 0.0,
            profile: [0.028, 0.0, 0.0],
            shift: 0.0,
            shift_drift: 0.0,
            curvature_drift: 0.0,
            noise: 0.0,
            budget_noise: 0.0,
            items: None,
        }
    }
}

/// Reducible error `e^level [(1 − w) (N/N0)^−a + w (D/D0)^−b]` over sizes N and tokens D: no plane in
/// `ln N` and `ln D`, whatever the floor. N0 and D0 belong to the origin of `x` and of `ln(D/N)`.
///
/// # Examples
///
/// ```
/// use relscale::fit::simulate::{Shape, Simulation, Surface};
///
/// let mut s = Simulation::default();
/// s.shape = Shape::Grid { params: vec![1e8, 4e8], tokens_per_param: vec![10.0, 40.0] };
/// s.distributions[0].surface =
///     Some(Surface { data_share: 0.5, size_exponent: 0.08, data_exponent: 0.08 });
/// // Where N and D grow alike, each nat of compute is half a nat of either; the baseline has 0.05.
/// assert!((s.exponent(0, 1)? - (0.05 - 0.08 / 2.0)).abs() < 1e-12);
/// # Ok::<(), relscale::fit::FitError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// `w`, the share of the data term at the origin.
    pub data_share: f64,
    /// `a`.
    pub size_exponent: f64,
    /// `b`.
    pub data_exponent: f64,
}

/// Items of a distribution: multiplicative difficulties, slopes of their own, and noise by run.
/// Every replicate draws new items, the same for all runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ItemTruth {
    /// Number of items, at least as many as clusters.
    pub items: usize,
    /// Number of clusters.
    pub clusters: usize,
    /// Standard deviation of log difficulty between clusters and between items.
    pub difficulty: [f64; 2],
    /// Standard deviation of slopes between clusters and between items, per nat of compute.
    pub slope: [f64; 2],
    /// Standard deviation of item-by-run noise, relative.
    pub noise: f64,
    /// Strata of equally many items; clusters are then named `stratum/cluster`. None: 0 or 1.
    #[serde(default)]
    pub strata: usize,
    /// Half the range of the slopes of the strata, which are the same in every replicate, spread evenly
    /// about 0.
    #[serde(default)]
    pub stratum_slope: f64,
}

impl ItemTruth {
    /// Items with the spread of natural-language benchmarks.
    #[must_use]
    pub fn new(items: usize, clusters: usize) -> Self {
        Self {
            items,
            clusters,
            difficulty: [0.3, 0.4],
            slope: [0.015, 0.04],
            noise: 0.10,
            strata: 1,
            stratum_slope: 0.0,
        }
    }
}

/// The design of a simulated ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Shape {
    /// Sizes spread over `ln N* − 1.8 … ln N* + 2.0` at every budget.
    Isoflop {
        /// Sizes per budget.
        sizes: usize,
        /// How far the sizes drift off-centre from the first budget to the last, in `ln N`.
        drift: f64,
    },
    /// The compute-optimal size at every budget.
    Rungs,
    /// Every size trained for every number of tokens per parameter.
    Grid {
        /// Sizes in parameters.
        params: Vec<f64>,
        /// Tokens per parameter.
        tokens_per_param: Vec<f64>,
    },
    /// One training run per size, with checkpoints that share part of their noise.
    Trajectories {
        /// Sizes in parameters.
        params: Vec<f64>,
        /// Tokens per parameter at the checkpoints.
        tokens_per_param: Vec<f64>,
        /// Correlation of the noise of neighbouring checkpoints.
        correlation: f64,
    },
}

/// A ladder of known truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
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
            run_noise: 0.003,
            shared: 0.7,
            tails: None,
            noise_ends: [1.0, 1.0],
            noise_by_size: 0.0,
            seed: 7,
        }
    }
}

/// Scenarios under which intervals should cover, with `treatment`, `baseline` and `aggregate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Scenario {
    /// Normal run noise.
    Plain,
    /// Items are a sample.
    Items,
    /// Items are a sample whose slopes do not differ.
    HomogeneousItems,
    /// Student's t with 5 degrees of freedom, three times the noise at the small end.
    HeavyTails,
    /// A shock on the treatment by budget.
    BudgetShock,
    /// Sizes drift off-centre over the budgets.
    DriftingGrid,
    /// Curvature of the profile drifts with scale.
    ShapeDrift,
    /// Both drifts.
    BothDrifts,
    /// Strong quartic, optima drifting apart, larger models noisier, heavy tails, nine sizes.
    HeldOut,
}

impl Simulation {
    /// One of the calibrated scenarios.
    #[must_use]
    pub fn scenario(scenario: Scenario) -> Self {
        let mut s = Self::default();
        let drifting = Shape::Isoflop {
            sizes: 12,
            drift: 1.5,
        };
        match scenario {
            Scenario::Plain => {}
            Scenario::Items | Scenario::HomogeneousItems => {
                let mut of = |at: usize, items: usize, clusters: usize| {
                    let mut truth = ItemTruth::new(items, clusters);
                    if scenario == Scenario::HomogeneousItems {
                        truth.slope = [0.0, 0.0];
                    }
                    s.distributions[at].items = Some(truth);
                };
                of(0, 600, 30);
                of(1, 1500, 50);
            }
            Scenario::HeavyTails => {
                s.tails = Some(5);
                s.noise_ends = [1.6, 1.6 / 3.0];
            }
            Scenario::BudgetShock => s.distributions[0].budget_noise = 0.002,
            Scenario::DriftingGrid => s.shape = drifting,
            Scenario::ShapeDrift | Scenario::BothDrifts => {
                s.distributions[0].shift = 0.0;
                s.distributions[0].curvature_drift = 0.12;
                s.distributions[2].curvature_drift = 0.06;
                if scenario == Scenario::BothDrifts {
                    s.shape = drifting;
                }
            }
            Scenario::HeldOut => {
                s.shape = Shape::Isoflop {
                    sizes: 9,
                    drift: 1.0,
                };
                s.tails = Some(5);
                s.noise_by_size = 0.25;
                for (d, k4) in s.distributions.iter_mut().zip([0.0020, 0.0012, 0.0014]) {
                    d.profile[2] = k4;
                }
                s.distributions[0].shift_drift = 0.03;
                s.distributions[1].shift_drift = -0.03;
            }
        }
        s
    }

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
    /// frontier; for grids and trajectories, over the scales of the runs at the mean of `ln(D/N)`.
    ///
    /// # Errors
    ///
    /// Fewer than three budgets, or no such distributions.
    pub fn exponent(&self, treatment: usize, baseline: usize) -> Result<f64, FitError> {
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
            cells.iter_mut().for_each(|c| c.ratio = 0.0);
            let x: Vec<f64> = cells.iter().map(|c| c.x).collect();
            let y: Vec<f64> = cells
                .iter()
                .map(|c| self.log_error_in(treatment, c) - self.log_error_in(baseline, c))
                .collect();
            return Ok(Line::new(&x, &y)?.slope().value);
        }
        let x = self.centred_scales();
        let ratio =
            |x: &f64| self.log_error(treatment, *x, 0.0) - self.log_error(baseline, *x, 0.0);
        let y: Vec<f64> = x.iter().map(ratio).collect();
        Ok(Line::new(&x, &y)?.slope().value)
    }

    /// One run of noise with unit variance.
    fn draw(&self, stream: &mut Stream) -> f64 {
        let normal = stream.normal();
        match self.tails {
            Some(df) if df > 2 => {
                let square: f64 = (0..df).map(|_| stream.normal().powi(2)).sum();
                let n = df as f64;
                normal / (square / n).sqrt() / (n / (n - 2.0)).sqrt()
            }
            _ => normal,
        }
    }

    /// The runs of one corpus: budget, tokens, parameters, `x`, `z` and name of the trajectory.
    fn design(&self) -> Vec<Cell> {
        let x = self.centred_scales();
        let span = x.last().copied().unwrap_or(0.0) - x.first().copied().unwrap_or(0.0);
        let optimum = |x: f64| 18.0 + 0.5 * x;
        let mut cells = Vec::new();
        let mut stream = Stream::new(self.seed, "design", 0);
        match &self.shape {
            Shape::Isoflop { sizes, drift } => {
                for (&c, &x) in self.budgets.iter().zip(&x) {
                    let off = stream.uniform() * 0.3 - 0.15
                        + drift * if span > 0.0 { x / span } else { 0.0 };
                    for k in 0..*sizes {
                        let step = k as f64 / (*sizes as f64 - 1.0).max(1.0);
                        let z = -1.8 + 3.8 * step + off;
                        cells.push(Cell::at(c, libm::exp(optimum(x) + z), x, z));
                    }
                }
            }
            Shape::Rungs => {
                for (&c, &x) in self.budgets.iter().zip(&x) {
                    cells.push(Cell::at(c, libm::exp(optimum(x)), x, 0.0));
                }
            }
            Shape::Grid {
                params,
                tokens_per_param,
            }
            | Shape::Trajectories {
                params,
                tokens_per_param,
                ..
            } => {
                let centre = self.centre();
                let mean = tokens_per_param.iter().map(|r| libm::log(*r)).sum::<f64>()
                    / tokens_per_param.len().max(1) as f64;
                for (i, &n) in params.iter().enumerate() {
                    for &r in tokens_per_param {
                        let flops = 6.0 * n * n * r;
                        let x = libm::log(flops) - centre;
                        let mut cell = Cell::at(flops, n, x, 0.0);
                        cell.ratio = libm::log(r) - mean;
                        cell.size_index = i;
                        cells.push(cell);
                    }
                }
            }
        }
        cells
    }

    /// Draws one ladder. The design is the same in every replicate; noise and items are new.
    ///
    /// **Reproducibility**: the same simulation and replicate give the same bits.
    ///
    /// # Errors
    ///
    /// A design without runs, or numbers that no ladder accepts.
    pub fn ladder(&self, replicate: u64) -> Result<Ladder, LadderError> {
        let mut builder = Ladder::builder();
        builder
            .name("simulated")
            .flop_convention(FlopConvention::SixNd);
        let cells = self.design();
        let low = cells.iter().map(|c| c.x).fold(f64::INFINITY, f64::min);
        let high = cells.iter().map(|c| c.x).fold(f64::NEG_INFINITY, f64::max);
        let along = |x: f64| {
            if high > low {
                (x - low) / (high - low)
            } else {
                0.0
            }
        };
        let [start, end] = self.noise_ends;
        let scale = |c: &Cell| {
            start * libm::pow(end / start, along(c.x)) * libm::exp(self.noise_by_size * c.z)
        };
        let memory = match self.shape {
            Shape::Trajectories { correlation, .. } => correlation,
            _ => 0.0,
        };
        let mut stream = Stream::new(self.seed, "noise", replicate);
        // Noise of one corpus: u per run, then v per run and distribution. Checkpoints follow one
        // another, so that each keeps part of the last one's.
        let mut previous: Vec<f64> = Vec::new();
        let mut carry = |slot: usize, fresh: f64, restart: bool| {
            if previous.len() <= slot {
                previous.resize(slot + 1, 0.0);
            }
            let value = if restart || memory == 0.0 {
                fresh
            } else {
                memory * previous[slot] + (1.0 - memory * memory).sqrt() * fresh
            };
            previous[slot] = value;
            value
        };
        let common: Vec<f64> = cells.iter().map(|_| self.draw(&mut stream)).collect();
        let items: Vec<Option<Drawn>> = self
            .distributions
            .iter()
            .enumerate()
            .map(|(d, t)| t.items.map(|i| Drawn::new(&i, self.seed, d, replicate)))
            .collect();
        let sizes = cells.iter().map(|c| c.size_index + 1).max().unwrap_or(0);
        for corpus in 0..self.corpora {
            // By distribution and size.
            let by_size: Vec<Vec<f64>> = self
                .distributions
                .iter()
                .enumerate()
                .map(|(d, t)| {
                    let purpose = format!("sizes of {d} in {corpus}");
                    let mut stream = Stream::new(self.seed, &purpose, replicate);
                    (0..sizes).map(|_| t.size_noise * stream.normal()).collect()
                })
                .collect();
            let corpus_name = format!("corpus-{corpus}");
            let mut shock_budget = f64::NAN;
            let mut shocks = vec![0.0; self.distributions.len()];
            for (k, cell) in cells.iter().enumerate() {
                if cell.budget != shock_budget {
                    shock_budget = cell.budget;
                    for (shock, t) in shocks.iter_mut().zip(&self.distributions) {
                        *shock = if t.budget_noise > 0.0 {
                            t.budget_noise * stream.normal()
                        } else {
                            0.0
                        };
                    }
                }
                for seed in 0..self.seeds {
                    let id = format!("{corpus_name}-{k:04}-{seed}");
                    let tokens = cell.budget / (6.0 * cell.params);
                    let mut run = Run::new(
                        &id,
                        &corpus_name,
                        cell.budget,
                        cell.budget,
                        cell.params,
                        tokens,
                    )
                    .with_seed(seed as u64);
                    if matches!(self.shape, Shape::Trajectories { .. }) {
                        run =
                            run.with_trajectory(format!("{corpus_name}-size-{}", cell.size_index));
                    }
                    builder.run(run)?;
                    let restart = k == 0 || cells[k - 1].size_index != cell.size_index;
                    let own = self.draw(&mut stream);
                    let fresh = if self.corpora > 1 {
                        self.shared.sqrt() * common[k] + (1.0 - self.shared).sqrt() * own
                    } else {
                        own
                    };
                    let u = self.run_noise * carry(0, fresh, restart);
                    for (d, t) in self.distributions.iter().enumerate() {
                        let v = t.noise * carry(d + 1, self.draw(&mut stream), restart);
                        let value = self.log_error_in(d, cell)
                            + (u + v) * scale(cell)
                            + shocks[d]
                            + by_size[d][cell.size_index];
                        let level = libm::exp(value);
                        match &items[d] {
                            None => {
                                builder.score(&id, &t.name, "", level, 1.0)?;
                            }
                            Some(drawn) => {
                                drawn.score(&mut builder, &id, t, level, cell.x, &mut stream)?
                            }
                        }
                    }
                }
            }
        }
        builder.build()
    }
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    budget: f64,
    params: f64,
    x: f64,
    z: f64,
    ratio: f64,
    size_index: usize,
}

impl Cell {
    fn at(budget: f64, params: f64, x: f64, z: f64) -> Self {
        Self {
            budget,
            params,
            x,
            z,
            ratio: 0.0,
            size_index: 0,
        }
    }
}

/// The items of one replicate.
struct Drawn {
    /// Cluster, difficulty and slope of each item, sorted by cluster.
    items: Vec<(usize, f64, f64)>,
    noise: f64,
    strata: usize,
}

impl Drawn {
    fn new(truth: &ItemTruth, seed: u64, distribution: usize, replicate: u64) -> Self {
        let mut s = Stream::new(seed, &format!("items {distribution}"), replicate);
        let clusters = truth.clusters.max(1);
        // Cluster sizes are uneven, as documents and subjects are.
        let share: Vec<f64> = (0..clusters).map(|_| libm::exp(0.5 * s.normal())).collect();
        // Cluster c belongs to stratum c modulo their number; items take turns over strata.
        let strata = truth.strata.clamp(1, clusters);
        let totals: Vec<f64> = (0..strata)
            .map(|h| share.iter().skip(h).step_by(strata).sum())
            .collect();
        let tilt = |h: usize| match strata {
            1 => 0.0,
            n => truth.stratum_slope * (2.0 * h as f64 / (n as f64 - 1.0) - 1.0),
        };
        let effect: Vec<(f64, f64)> = (0..clusters)
            .map(|_| {
                (
                    truth.difficulty[0] * s.normal(),
                    truth.slope[0] * s.normal(),
                )
            })
            .collect();
        let bias = 0.5 * truth.difficulty.iter().map(|d| d * d).sum::<f64>();
        let mut items: Vec<(usize, f64, f64)> = (0..truth.items.max(clusters))
            .map(|i| {
                let cluster = if i < clusters {
                    i
                } else {
                    let own = i % strata;
                    let mut left = s.uniform() * totals[own];
                    let found = share.iter().skip(own).step_by(strata).position(|p| {
                        left -= p;
                        left < 0.0
                    });
                    let last = (clusters - 1 - own) / strata;
                    own + strata * found.unwrap_or(last)
                };
                let (hard, slope) = effect[cluster];
                let log = hard + truth.difficulty[1] * s.normal() - bias;
                let slope = slope + tilt(cluster % strata) + truth.slope[1] * s.normal();
                (cluster, libm::exp(log), slope)
            })
            .collect();
        items.sort_by_key(|i| i.0);
        Self {
            items,
            noise: truth.noise,
            strata,
        }
    }

    fn score(
        &self,
        builder: &mut crate::ladder::LadderBuilder,
        run: &str,
        truth: &Truth,
        level: f64,
        x: f64,
        stream: &mut Stream,
    ) -> Result<(), LadderError> {
        for cluster in self.items.chunk_by(|a, b| a.0 == b.0) {
            let mut sum = 0.0;
            for (_, difficulty, slope) in cluster {
                let noise = if self.noise > 0.0 {
                    self.noise * stream.normal()
                } else {
                    0.0
                };
                // A loss is not negative, however steep the item.
                sum += level * difficulty * (1.0 + slope * x + noise).max(0.0);
            }
            let n = cluster.len() as f64;
            let id = cluster.first().map_or(0, |c| c.0);
            let name = match self.strata {
                1 => format!("{}-{id:04}", truth.name),
                n => format!("{}-{}/{id:04}", truth.name, id % n),
            };
            builder.score(run, &truth.name, &name, sum / n, n)?;
        }
        Ok(())
    }
}
