//! The estimator: relative scaling laws with honest uncertainty.
//!
//! [`analyze`] takes a [`Ladder`] and [`Options`] and returns an [`Analysis`]: for every corpus and
//! treatment the law `G(F) = E_t(F)/E_b(F) = γ·(F/F0)^Δβ` with an interval, a verdict and the
//! diagnostics that say how far to trust it.
//!
//! # The method in short
//!
//! 1. Per run, `y = ln E_t − ln E_b`: what a run does to both distributions cancels.
//! 2. Per budget, a cubic of `y` in `ln N` is read at the compute-optimal size of an aggregate loss,
//!    smoothed over budgets. (Ladders with one run per budget skip this; grids add a data-per-parameter
//!    term instead.)
//! 3. The readings are regressed on `ln F`: the slope is `Δβ`, the level is `ln γ` at `F0`, the
//!    geometric mean of the scales.
//! 4. The variance adds the scatter of readings, the error of the frontier, the disagreement of a
//!    second read-off and the sampling of items, crossed with the runs: the same items are left out
//!    of every run at once.
//!
//! Beside it stand, per distribution, the power law, the law with a floor and the surface
//! `L(N, D) = E + A/N^α + B/D^β` with its compute-optimal allocation ([`laws`]; where sizes and
//! training lengths identify it); per treatment the loss-to-loss exponent `κ = β_t/β_b` with
//! Fieller's set. An error rate (`1 − accuracy`), declared in [`Options::error_rates`], is fitted to
//! counts with a logarithmic link instead ([`counts`]), so that runs without an error are data.
//!
//! Strata of items ([`Options::stratified`]), a bootstrap of runs crossed with items
//! ([`Options::crossed_bootstrap`]) and intervals for all laws at once ([`Options::max_t`]) are asked for.
//! On grids the scatter is at least that between sizes: what a size has of its own does not average
//! out over its training lengths.
//!
//! # References
//!
//! Held, Hall, Liang & Yang (2025), *Relative Scaling Laws for LLMs*, arXiv:2510.24626.

mod budget_effects;
mod contrast;
pub mod counts;
mod design;
mod diagnostics;
pub mod error;
mod error_rates;
mod frontier;
mod inference;
pub mod laws;
mod loss_to_loss;
pub mod meta;
pub mod mixed;
pub mod multiplicity;
mod options;
pub mod power;
pub mod quantile;
pub mod regression;
pub mod resample;
mod result;
pub mod simulate;
mod simultaneous;
#[cfg(feature = "proptest")]
pub mod strategies;
mod surface;
mod verdict;

mod analysis;
mod joint;

pub use analysis::analyze;
pub use error::FitError;
pub use options::{
    Averaging, Axis, DesignChoice, Items, OptimumRule, Options, VarianceForm, Weighting,
};
pub use result::*;

#[cfg(doc)]
use crate::ladder::Ladder;
