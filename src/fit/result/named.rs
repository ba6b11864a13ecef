//! Results of the contrasts that an analysis names.

use serde::{Deserialize, Serialize};

use super::{ConfidenceSet, Interval, RelativeLaw};

/// A named contrast: its law, and for differences of pairs the levels of both pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// The largest ratio to the baseline among many distributions, followed along the scale.
///
/// The largest of many estimates is too large on average, and the largest at two scales need not be
/// the same one. With `L_d ≤ ln G_d ≤ U_d` for all candidates at once (largest |t| of their joint
/// distribution), `max L_d` and `max U_d` hold for the largest. The change from bottom to top is
/// `max_d min_e (ln G_d(top) − ln G_e(bottom))` over the candidates at both ends, and has its interval
/// in the same way from the intervals of all pairs. Candidates are the distributions that are not shown
/// to lie below another one at level `alpha/10`; the intervals have level `1 − 0.9 alpha` among them.
/// Point estimates subtract the median of the largest error, `max_d (ln G_d − k·SE_d)`, so that they
/// are too large no more often than too small.
///
/// # References
///
/// V. Chernozhukov, S. Lee, A. M. Rosen (2013), *Econometrica* 81:667 (median correction); J. P. Romano,
/// A. M. Shaikh, M. Wolf (2014), *Econometrica* 82:1979 (two steps); J. C. Hsu (1996), *Multiple
/// Comparisons*, ch. 4.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WorstGroup {
    /// The corpus.
    pub corpus: String,
    /// The distribution in the denominators.
    pub baseline: String,
    /// Number of distributions among which the worst is sought.
    pub distributions: usize,
    /// The worst at the bottom of the ladder.
    pub bottom: WorstAt,
    /// The worst at the top of the ladder.
    pub top: WorstAt,
    /// Change of the largest ratio from bottom to top, in percent per factor ten.
    pub percent_per_decade: Interval,
    /// The worst at each scale, as read.
    pub readings: Vec<WorstReading>,
    /// The finding in words, for quoting.
    pub sentence: String,
}

/// The worst distribution at one end of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WorstAt {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// The distribution with the largest fitted ratio.
    pub distribution: String,
    /// That ratio, which being the largest is too large on average.
    pub fitted: f64,
    /// The largest ratio, corrected, with an interval that holds for whichever is the worst.
    pub ratio: Interval,
    /// Distributions that may be the worst, the largest fitted ratio first.
    pub candidates: Vec<String>,
}

/// The largest ratio among the readings of one scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WorstReading {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// The distribution.
    pub distribution: String,
    /// Its ratio to the baseline.
    pub ratio: f64,
}

/// The ratios of both pairs of a difference at one scale, and the share of the second gap that the
/// first one lacks: `1 − ln G / ln G′`.
///
/// # References
/// E. C. Fieller (1954), *Journal of the Royal Statistical Society B* 16:175.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
