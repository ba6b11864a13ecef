//! The estimator: relative scaling laws with honest uncertainty.
//!
//! [`analyze`] takes a [`Ladder`] and [`Options`] and returns an [`Analysis`]: for every corpus and
//! treatment the law `G(F) = E_t(F)/E_b(F) = γ·(F/F0)^Δβ` with an interval, a verdict and the
//! diagnostics that tell how far to trust it.
//!
//! # The method in short
//!
//! 1. **Design.** The runs of a corpus form an IsoFLOP ladder, rungs or a grid.
//! 2. **Readings.** Per run, `y = ln E_t − ln E_b`: the effects of a run on both distributions cancel.
//!    Per budget, a cubic of `y` in `ln N` is read at the compute-optimal size of an aggregate loss,
//!    smoothed over budgets. (Rungs are read as they are; grids add a data-per-parameter term.)
//! 3. **Law.** The readings are regressed on `ln F`: the slope is `Δβ`, the level is `ln γ` at `F0`, the
//!    geometric mean of the scales. The variance adds the scatter of readings, the error of the
//!    frontier, the disagreement of a second rule of reading and the sampling of items, crossed with
//!    the runs: the same items are left out of every run at once.
//! 4. **Diagnostics.** Curvature, influence, permutations, backtests and the same comparison by other
//!    estimators raise the flags of the law.
//! 5. **Families and verdict.** p-values and intervals are adjusted for the number of laws of a corpus;
//!    the test of zero and the tests of equivalence together decide.
//!
//! Beside it stand, per distribution, the power law, the law with a floor and the surface
//! `L(N, D) = E + A/N^α + B/D^β` with its compute-optimal allocation (where sizes and training lengths
//! identify it); per treatment the loss-to-loss exponent `κ = β_t/β_b` with Fieller's set. An error
//! rate (`1 − accuracy`), declared in [`Options::error_rates`], is fitted to counts with a logarithmic
//! link instead, so that runs without an error are data.
//!
//! Strata of items ([`Options::stratified`]), a bootstrap of runs crossed with items
//! ([`Options::crossed_bootstrap`]), a wild bootstrap of the whole
//! pipeline ([`Options::wild_bootstrap`]) and intervals for all laws at once ([`Options::max_t`]) are options.
//! On grids the scatter is at least that between sizes: the effect of a size does not average out over
//! its training lengths.
//!
//! # The result
//!
//! The fields of a [`RelativeLaw`] that one quotes stand on top; [`Multiplicity`], [`Diagnostics`] and
//! [`Alternatives`] are nested below. Serialised, an [`Analysis`] holds everything behind the tables;
//! [`Analysis::summary`] holds what one quotes, in a tenth of the space.
//!
//! # References
//!
//! Held, Hall, Liang & Yang (2025), *Relative Scaling Laws for LLMs*, arXiv:2510.24626.

mod absolute_law;
mod accuracy;
mod alternatives;
mod analyze;
mod arms;
mod between;
mod claim;
mod comparison;
mod contrast;
mod corpus;
mod corpus_report;
mod design;
mod diagnostics;
mod error;
mod error_rates;
mod estimate;
mod exponents;
mod families;
mod findings;
mod flags;
mod floor_ratio;
mod floored;
mod logarithm;
mod loss_to_loss;
mod max_t;
mod mixed_model;
mod named;
mod options;
mod partial_pooling;
mod path;
pub mod power;
mod question;
mod readings;
mod refusals;
mod relative_law;
mod result;
mod scorers;
mod shapes;
pub mod simulate;
mod stats;
#[cfg(feature = "proptest")]
pub mod strategies;
mod surface;
#[cfg(test)]
mod tests;
mod threads;
mod verdict;
mod view;
mod wild;
mod worst_group;

pub use accuracy::{AccuracyCurve, AccuracyPrediction, accuracy_curve};
pub use analyze::analyze;
pub use error::FitError;
pub use exponents::{MetaRegression, meta_regression};
pub use options::{
    Averaging, Axis, Contrast, CovarianceType, DesignChoice, FamilyScope, Group, ItemSampling,
    OptimumRule, Options, Pair, Weighting, WorstOf,
};
pub use refusals::RefusedGroup;
pub(crate) use relative_law::percent_per_decade;
pub use result::*;
#[cfg(feature = "plot")]
pub(crate) use stats::regression::LinearFit;

#[cfg(doc)]
use crate::ladder::Ladder;
