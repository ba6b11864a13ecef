//! Quantiles of simulated draws.

use serde::{Deserialize, Serialize};

/// A quantile found by simulation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
// Exhaustive: a number, its error and the effort behind it say all there is.
pub struct SimulatedQuantile {
    /// The quantile.
    pub value: f64,
    /// Its Monte Carlo standard error.
    pub monte_carlo_error: f64,
    /// Draws made.
    pub draws: usize,
}

/// The p-quantile of sorted draws, the ⌈p·(B + 1)⌉-th of B, with the standard error that the
/// binomial count below it implies.
pub(super) fn sample_quantile(sorted: &[f64], p: f64) -> SimulatedQuantile {
    let draws = sorted.len();
    let rank = p * (draws as f64 + 1.0);
    let at = |rank: f64| sorted[(rank.ceil().max(1.0) as usize - 1).min(draws - 1)];
    // Half the distance between the order statistics one binomial deviation apart: no density
    // needed.
    let spread = (draws as f64 * p * (1.0 - p)).sqrt();
    SimulatedQuantile {
        // (B + 1)·p is a whole number for the usual p; keep rounding from lifting it to the next.
        value: at(rank - 1e-9),
        monte_carlo_error: 0.5 * (at(rank + spread) - at(rank - spread)),
        draws,
    }
}
