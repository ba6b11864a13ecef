//! Results of the contrasts that an analysis names.

use serde::{Deserialize, Serialize};

use super::{ConfidenceSet, Interval, RelativeLaw};

/// A named contrast: its law, and for differences of pairs the levels of both pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedContrast {
    /// Name of the contrast.
    pub name: String,
    /// The law of the ratio of both sides. Its family for Holm's adjustment is that of the contrasts
    /// of the corpus. For a difference of pairs each side is itself a ratio: `treatment` and
    /// `baseline` name pairs, and "the gap" of the verdict is the logarithm of their ratio.
    pub law: RelativeLaw,
    /// The gaps of both pairs at the bottom, in the middle and at the top of the ladder; `None` for a
    /// comparison of two distributions.
    pub levels: Option<[GapLevel; 3]>,
    /// The finding in words, for quoting.
    pub sentence: String,
}

/// The ratios of both pairs of a difference at one scale, and the share of the second gap that the
/// first one lacks: `1 − ln G / ln G′`.
///
/// # References
/// E. C. Fieller (1954), *Journal of the Royal Statistical Society B* 16:175.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GapLevel {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// `G` of the first pair.
    pub treatment: Interval,
    /// `G′` of the second pair.
    pub baseline: Interval,
    /// Share of the gap that is closed; negative where the gap is wider, `None` where `ln G′` is zero.
    pub closed: Option<f64>,
    /// Fieller's set for that share: bounded only where `G′` differs from 1.
    pub closed_set: ConfidenceSet,
}
