//! The design of a corpus, detected by the shape of its runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ladder::Ladder;

/// The design by which a corpus was fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Design {
    /// Several sizes at every budget.
    Isoflop,
    /// One size at every budget.
    Rungs,
    /// Sizes crossed with training lengths.
    Grid,
}

impl Design {
    /// `isoflop`, `rungs` or `grid`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Isoflop => "isoflop",
            Self::Rungs => "rungs",
            Self::Grid => "grid",
        }
    }
}

/// Relative difference up to which two parameter counts are one: rounding of a count written as text.
const SAME_SIZE: f64 = 1e-9;

/// Relative difference up to which two training lengths are one: whole batches and rounded token
/// counts make lengths differ by a few per mille, a further length is at least several percent longer.
const SAME_LENGTH: f64 = 0.02;

/// Detects the design of `runs` (indices into the ladder) with the `labels` of their budgets.
///
/// IsoFLOP if at least three budgets hold at least three sizes each and together half of the pairs of
/// budget and size, whatever the number of seeds; a grid if at least
/// two sizes were trained for several lengths; rungs otherwise.
pub(crate) fn detect(ladder: &Ladder, runs: &[usize], labels: &[f64]) -> Design {
    let all = ladder.runs();
    let mut budgets: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut sizes: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    // Held-out runs lie beyond the ladder and are often of another shape.
    for (&r, label) in runs.iter().zip(labels).filter(|(r, _)| !all[**r].held_out) {
        let run = &all[r];
        // By bits, because the label stands for a group of budgets, not for a measurement.
        budgets.entry(label.to_bits()).or_default().push(run.params);
        sizes
            .entry(run.params.to_bits())
            .or_default()
            .push(run.tokens);
    }
    let distinct = |v: &Vec<f64>, tolerance: f64| {
        let mut v = v.clone();
        v.sort_by(f64::total_cmp);
        v.dedup_by(|a, b| (*a / *b - 1.0).abs() <= tolerance);
        v.len()
    };
    let widths: Vec<usize> = budgets.values().map(|v| distinct(v, SAME_SIZE)).collect();
    let wide: Vec<usize> = widths.iter().copied().filter(|&k| k >= 3).collect();
    let (covered, cells): (usize, usize) = (wide.iter().sum(), widths.iter().sum());
    // Three sizes have an interior minimum, three budgets a line with a residual. A grid whose lengths
    // meet at a few FLOP counts by accident has most of its runs elsewhere.
    if wide.len() >= 3 && 2 * covered >= cells {
        Design::Isoflop
    } else if sizes.len() >= 2
        && sizes
            .values()
            .filter(|v| distinct(v, SAME_LENGTH) >= 2)
            .count()
            >= 2
    {
        Design::Grid
    } else {
        Design::Rungs
    }
}
