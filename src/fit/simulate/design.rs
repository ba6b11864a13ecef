//! Designs: the sizes and budgets that are trained.

use serde::{Deserialize, Serialize};

use super::Simulation;
use crate::fit::stats::random::Stream;

/// The design of a simulated ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Shape {
    /// Sizes spread over `ln N* − 1.8 … ln N* + 2.0` at every budget.
    Isoflop {
        /// Sizes per budget.
        sizes: usize,
        /// Drift of the sizes off-centre from the first budget to the last, in `ln N`.
        drift: f64,
    },
    /// The compute-optimal size at every budget.
    Rungs,
    /// One size per budget, all trained on the same tokens.
    EqualTokens {
        /// Training tokens.
        tokens: f64,
    },
    /// One size, trained for longer at every budget. Nothing says if these are checkpoints of one run.
    OneSize {
        /// Size in parameters.
        params: f64,
    },
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

impl Simulation {
    /// The configurations of one corpus.
    pub(super) fn design(&self) -> Vec<Cell> {
        // ln N* at the middle of the ladder (66 million) and its growth per nat of compute.
        let optimum = |x: f64| 18.0 + 0.5 * x;
        let x = self.centred_scales();
        match &self.shape {
            Shape::Isoflop { sizes, drift } => self.isoflop(*sizes, *drift, optimum),
            Shape::Rungs => (self.budgets.iter().zip(&x))
                .map(|(&c, &x)| Cell::at(c, libm::exp(optimum(x)), x, 0.0))
                .collect(),
            Shape::EqualTokens { tokens } => self.path(|c| c / (6.0 * tokens), optimum),
            Shape::OneSize { params } => self.path(|_| *params, optimum),
            Shape::Grid {
                params,
                tokens_per_param,
            }
            | Shape::Trajectories {
                params,
                tokens_per_param,
                ..
            } => self.grid(params, tokens_per_param),
        }
    }

    fn isoflop(&self, sizes: usize, drift: f64, optimum: impl Fn(f64) -> f64) -> Vec<Cell> {
        let x = self.centred_scales();
        let span = x.last().copied().unwrap_or(0.0) - x.first().copied().unwrap_or(0.0);
        let mut stream = Stream::new(self.seed, "design", 0);
        let mut cells = Vec::new();
        for (&c, &x) in self.budgets.iter().zip(&x) {
            // Real grids of sizes do not have the optimum in their middle.
            let off =
                stream.uniform() * 0.3 - 0.15 + drift * if span > 0.0 { x / span } else { 0.0 };
            for k in 0..sizes {
                let step = k as f64 / (sizes as f64 - 1.0).max(1.0);
                // From a factor of 6 below the optimum to 7 above: lopsided, as the public ladder's
                // sizes are.
                let z = -1.8 + 3.8 * step + off;
                cells.push(Cell::at(c, libm::exp(optimum(x) + z), x, z));
            }
        }
        cells
    }

    /// One run per budget, of the size that `params` gives for it.
    fn path(&self, params: impl Fn(f64) -> f64, optimum: impl Fn(f64) -> f64) -> Vec<Cell> {
        let x = self.centred_scales();
        let size = |c: f64| libm::log(params(c));
        // ln(D/N) up to a constant, about its mean as in grids.
        let ratio = |c: f64| libm::log(c) - 2.0 * size(c);
        let mean = self.budgets.iter().map(|&c| ratio(c)).sum::<f64>() / x.len().max(1) as f64;
        (self.budgets.iter().zip(&x))
            .map(|(&c, &x)| {
                let mut cell = Cell::at(c, params(c), x, size(c) - optimum(x));
                cell.ratio = ratio(c) - mean;
                cell
            })
            .collect()
    }

    fn grid(&self, params: &[f64], tokens_per_param: &[f64]) -> Vec<Cell> {
        let centre = self.centre();
        let mean = tokens_per_param.iter().map(|r| libm::log(*r)).sum::<f64>()
            / tokens_per_param.len().max(1) as f64;
        let mut cells = Vec::new();
        for (i, &n) in params.iter().enumerate() {
            for &r in tokens_per_param {
                // 6·N·D with D = r·N, the convention that simulated ladders state.
                let flops = 6.0 * n * n * r;
                let x = libm::log(flops) - centre;
                let mut cell = Cell::at(flops, n, x, 0.0);
                cell.ratio = libm::log(r) - mean;
                cell.size_index = i;
                cells.push(cell);
            }
        }
        cells
    }
}

/// One configuration: every corpus and seed trains it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) budget: f64,
    pub(super) params: f64,
    /// `ln C`, centred over the budgets.
    pub(super) x: f64,
    /// `ln N − ln N*(C)`.
    pub(super) z: f64,
    /// `ln(D/N)`, centred over the grid.
    pub(super) ratio: f64,
    /// Place of the size in a grid.
    pub(super) size_index: usize,
}

impl Cell {
    pub(super) fn at(budget: f64, params: f64, x: f64, z: f64) -> Self {
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
