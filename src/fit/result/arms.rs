//! Laws between training corpora.

use serde::{Deserialize, Serialize};

use super::{Design, Equivalence, Estimate, Flag, GapEquivalence, Interval, Verdict};

/// The relative law of one distribution between two training corpora,
/// `G(F) = E_d(corpus)/E_d(baseline corpus) = γ (F/F0)^Δβ`.
///
/// Each corpus is read at its own frontier. Readings are paired by budget (of grids, by size and
/// training length), so that what two runs of one configuration share cancels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ArmLaw {
    /// The corpus in the numerator.
    pub corpus: String,
    /// The corpus in the denominator, [`Options::corpus_baseline`](crate::fit::Options::corpus_baseline).
    pub baseline_corpus: String,
    /// The distribution that both were tested on.
    pub distribution: String,
    /// The design by which scales were compared.
    pub design: Design,
    /// `F0`, the geometric mean of the scales read.
    pub reference_flops: f64,
    /// `Δβ = β_baseline − β_corpus`, per nat of the axis.
    pub delta_beta: Estimate,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// Change of `G` per factor ten, in percent.
    pub percent_per_decade: Interval,
    /// Test that the change is smaller than the margin.
    pub equivalence: Equivalence,
    /// Test that `G` lies within a margin of 1 at both ends of the ladder.
    pub gap: GapEquivalence,
    /// The decision, adjusted for the number of laws.
    pub verdict: Verdict,
    /// The decision as a sentence with its numbers, for quoting.
    pub sentence: String,
    /// Reservations to read before quoting the law, in ascending order.
    pub flags: Vec<Flag>,
    /// Interval of `delta_beta` at the level of the decision.
    pub decision: Interval,
    /// Number of laws in the family: the distributions compared, or all laws between corpora.
    pub family_size: usize,
    /// Holm-adjusted p-value over that family.
    pub holm_p: f64,
    /// The readings that the line goes through.
    pub readings: Vec<ArmReading>,
}

/// One reading of the ratio between two corpora.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ArmReading {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// `ln G`.
    pub log_ratio: f64,
    /// Distance from the fitted line, in `ln G`.
    pub residual: f64,
}
