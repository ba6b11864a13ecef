//! Exact enumerations of small resampling distributions, and seeded draws where they are large.
//!
//! With J ≤ 10 budgets the pairs bootstrap has C(2J − 1, J) ≤ 92,378 distinct resamples, J ≤ 9
//! points have J! ≤ 362,880 orders and J ≤ 16 points have 2^J ≤ 65,536 sign patterns. These are
//! enumerated, so results carry no Monte Carlo error and need no seed. Beyond that, tests draw 99,999
//! times from seeded streams, p = (b + 1)/(B + 1), and bootstraps 9,999 times.

mod crossed;
mod joint;
mod max_t;
mod pairs;
mod permutation;
mod simulated;
#[cfg(test)]
mod tests;
mod wild;

pub use crossed::CrossedBootstrap;
pub(crate) use crossed::crossed_bootstrap;
pub(crate) use joint::{Combination, JointErrors};
pub(crate) use max_t::max_t_critical;
pub(crate) use pairs::pairs_bootstrap;
#[cfg(test)]
pub(super) use pairs::{bias_correction, jackknife_acceleration, resampled_slopes};
pub(crate) use permutation::{autocorrelation, permutation, permutation_test};
pub use simulated::SimulatedQuantile;
pub(crate) use wild::wild_test;

/// Draws of a test where enumeration is not possible: (B + 1)·α is an integer for the usual α.
const TEST_DRAWS: usize = 99_999;
/// Draws of a bootstrap distribution where enumeration is not possible.
const BOOTSTRAP_DRAWS: usize = 9_999;
/// "At least as extreme as observed", allowing for rounding.
const AS_EXTREME: f64 = 1.0 - 1e-12;

/// A p-value by resampling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ResamplingTest {
    /// Of the c resamples at least as extreme as the data among n: c/n when exact,
    /// (c + 1)/(n + 1) otherwise.
    pub(crate) p_value: f64,
    /// True if all resamples there are were looked at.
    pub(crate) exact: bool,
}

impl ResamplingTest {
    fn new(count: u64, total: u64, exact: bool) -> Self {
        let p_value = if exact {
            count as f64 / total as f64
        } else {
            // The data count as one more draw: a p-value of zero cannot come from finitely many
            // draws.
            (count as f64 + 1.0) / (total as f64 + 1.0)
        };
        Self { p_value, exact }
    }
}
