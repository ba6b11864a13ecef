//! Verdicts and flags: the sentence that an exponent and its uncertainty support.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::estimate::{Estimate, Interval};
use super::logarithm::range;
use super::options::Options;

/// The fate of the gap `|ln G|` along the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The gap shrinks, and a change by more than the margin is not excluded.
    Narrows,
    /// The gap grows, and a change by more than the margin is not excluded.
    Widens,
    /// The gap changes by less than the margin, and no change is not excluded.
    Persists,
    /// The gap changes, but by less than the margin.
    Negligible,
    /// Neither a change nor its absence is shown.
    Inconclusive,
    /// No gap is shown in the middle of the ladder that could change.
    NoGap,
    /// The exponent differs from zero and the ratio passes one within the ladder.
    CrossesParity,
}

impl Verdict {
    /// Name in files, for example `crosses_parity`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Narrows => "narrows",
            Self::Widens => "widens",
            Self::Persists => "persists",
            Self::Negligible => "negligible",
            Self::Inconclusive => "inconclusive",
            Self::NoGap => "no_gap",
            Self::CrossesParity => "crosses_parity",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A reservation to read before quoting a law.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Flag {
    /// Fewer than five readings: no useful inference.
    FewReadings,
    /// The loss that picks the size contains the tested distributions.
    AggregateFromTested,
    /// A budget had too few sizes for a polynomial and was read at its best run.
    BestRunReading,
    /// A budget had no interior minimum and was left out.
    BudgetRefused,
    /// The smoothed frontier leaves the sizes trained at a budget.
    FrontierOutsideGrid,
    /// No second read-off was possible: the interval has no specification term.
    NoSpecificationCheck,
    /// A distribution has fewer than two clusters: items contribute nothing to the interval.
    NoItemVariance,
    /// Fewer than eight clusters: their variance is a guess.
    FewClusters,
    /// Some clusters were not scored alike in all runs and were left out.
    DroppedClusters,
    /// Some runs were not scored on both distributions and were left out.
    DroppedRuns,
    /// A loss has not left its chance level: a power law means nothing yet.
    PreOnset,
    /// A loss is mostly floor at the end of the ladder: convergence may be an approach to the floors.
    NearFloor,
    /// `ln G` is curved.
    PowerLawQuestioned,
    /// Seed replicates show that the size profiles of `ln G` or of the aggregate are not the
    /// polynomials from which they are read.
    LackOfFit,
    /// The size profiles of `ln G` or of the aggregate have a power of `ln N` beyond the polynomials
    /// from which they are read.
    NextPower,
    /// The t test rejects and the permutation test does not.
    Fragile,
    /// Another rule of reading gives another sign or verdict.
    OptimumRuleFlips,
    /// Leaving one reading out changes the verdict.
    InfluentialReading,
    /// The difference and the ratio move in opposite directions.
    DifferenceDiscordant,
    /// Residuals of neighbouring scales are correlated.
    Autocorrelated,
    /// More than a fifth of the readings held out fall outside their prediction intervals: the line
    /// does not carry as far as its interval says.
    BacktestMisses,
    /// A prediction lies further out than the ladder is long.
    Extrapolated,
}

impl Flag {
    /// The reservation in a few words.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::FewReadings => "fewer than five readings: no useful inference",
            Self::AggregateFromTested => {
                "the loss that picks the size contains the tested distributions"
            }
            Self::BestRunReading => "a budget had too few sizes and was read at its best run",
            Self::BudgetRefused => "a budget without an interior minimum was left out",
            Self::FrontierOutsideGrid => "the frontier leaves the sizes trained at some budget",
            Self::NoSpecificationCheck => {
                "no second read-off was possible: the interval leaves out that error"
            }
            Self::NoItemVariance => {
                "fewer than two clusters: the interval holds for these items only"
            }
            Self::FewClusters => "fewer than eight clusters: their variance is a guess",
            Self::DroppedClusters => "clusters not scored alike in all runs were left out",
            Self::DroppedRuns => "runs not scored on both distributions were left out",
            Self::PreOnset => "a loss has not left chance: a power law means nothing yet",
            Self::NearFloor => "a loss is mostly floor: gaps may only approach those of the floors",
            Self::PowerLawQuestioned => "ln G is curved in the log scale",
            Self::LackOfFit => "size profiles differ from their polynomials by more than seeds do",
            Self::NextPower => "size profiles have a power of ln N beyond their polynomials",
            Self::Fragile => "the t test rejects and the permutation test does not",
            Self::OptimumRuleFlips => "another rule of reading gives another sign or verdict",
            Self::InfluentialReading => "leaving one reading out changes the verdict",
            Self::DifferenceDiscordant => {
                "the ratio and the difference move in opposite directions"
            }
            Self::Autocorrelated => "residuals of neighbouring scales are correlated",
            Self::BacktestMisses => {
                "over a fifth of the held-out readings miss their prediction intervals"
            }
            Self::Extrapolated => "a prediction lies further out than the ladder is long",
        }
    }
}

/// The evidence that a verdict rests on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence {
    /// `ln G` at the middle of the ladder, with its interval.
    pub(crate) level: Interval,
    /// Fitted `ln G` at the ends of the ladder.
    pub(crate) ends: (f64, f64),
    pub(crate) slope: f64,
    /// If true, the exponent differs from zero.
    pub(crate) differs: bool,
    /// If true, the exponent is inside the margin.
    pub(crate) equivalent: bool,
}

pub(crate) fn decide(e: &Evidence) -> Verdict {
    let crosses = (e.ends.0 < 0.0 && e.ends.1 > 0.0) || (e.ends.0 > 0.0 && e.ends.1 < 0.0);
    // First: a ratio that passes one within the ladder has a level near one, and "no gap" would
    // hide it.
    if e.differs && crosses {
        return Verdict::CrossesParity;
    }
    if e.level.lower <= 0.0 && e.level.upper >= 0.0 {
        return Verdict::NoGap;
    }
    match (e.differs, e.equivalent) {
        // The gap is |ln G|: a falling ratio narrows it above parity and widens it below.
        (true, false) if e.level.value * e.slope < 0.0 => Verdict::Narrows,
        (true, false) => Verdict::Widens,
        // Only with the equivalence test: a slope that is not significant is no evidence of
        // persistence.
        (false, true) => Verdict::Persists,
        (true, true) => Verdict::Negligible,
        (false, false) => Verdict::Inconclusive,
    }
}

/// The verdict by an exponent and a level alone, without adjustment for other tests.
pub(crate) fn unadjusted(
    level: &Estimate,
    slope: &Estimate,
    x: &[f64],
    options: &Options,
) -> Verdict {
    decide(&Evidence {
        level: level.interval(),
        ends: ends(level.value, slope.value, range(x)),
        slope: slope.value,
        differs: slope.p_value <= options.alpha,
        equivalent: slope.equivalence_p(options.margin()) <= options.alpha,
    })
}

/// Fitted values at both ends of the ladder.
pub(crate) fn ends(level: f64, slope: f64, [low, high]: [f64; 2]) -> (f64, f64) {
    (level + slope * low, level + slope * high)
}
