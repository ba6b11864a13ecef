//! Verdicts and flags: the sentence that an exponent and its uncertainty support.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::estimate::{Estimate, Interval};
use super::logarithm::range;
use super::options::Options;

/// The fate of the ratio `G` and of the gap `|ln G|` along the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The ratio changes towards one: the gap is smaller at the top of the ladder than at its bottom.
    Narrows,
    /// The ratio changes away from one: the gap is larger at the top of the ladder than at its bottom.
    Widens,
    /// The gap changes by less than the margin, and no change is not excluded.
    Persists,
    /// The ratio changes, but by less than the margin.
    Negligible,
    /// Neither a change nor its absence is shown.
    Inconclusive,
    /// The ratio lies within the margin of the gap around one at both ends of the ladder, and no change
    /// is shown.
    NoGap,
    /// The ratio changes, and lies on opposite sides of one at the two ends of the ladder.
    CrossesParity,
    /// The ratio rises, and the side of one on which it lies in the middle of the ladder is not known.
    RatioRises,
    /// The ratio falls, and the side of one on which it lies in the middle of the ladder is not known.
    RatioFalls,
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
            Self::RatioRises => "ratio_rises",
            Self::RatioFalls => "ratio_falls",
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Flag {
    /// Fewer than five readings: no useful inference.
    FewReadings,
    /// The loss that picks the size contains the tested distributions.
    AggregateFromTested,
    /// A budget had too few sizes for a polynomial and was read at its best run.
    BestRunReading,
    /// A budget had fewer than four sizes within a factor of 8 of the best and was read through sizes
    /// further away.
    WideWindow,
    /// A budget had no interior minimum and was left out.
    BudgetRefused,
    /// Runs of one budget differ in scale by more than two percent.
    BudgetSpread,
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
    /// Runs look like checkpoints of one training run that no `trajectory` names, and were fitted as
    /// runs of their own.
    UnnamedTrajectory,
    /// All readings rest on checkpoints of one training run, or of the same few.
    OneTrajectory,
    /// Some runs saw their training data more than once.
    RepeatedData,
    /// All sizes were trained on the same number of tokens: `Δβ` mixes the effect of size with that of
    /// tokens per parameter.
    EqualTokens,
    /// A loss has not left its chance level: a power law means nothing yet.
    PreOnset,
    /// A rate of errors does not fall, and its chance level is not known: it may be that of a guess.
    ChanceUnknown,
    /// A loss is mostly floor at the end of the ladder: convergence may be an approach to the floors.
    NearFloor,
    /// `ln G` is curved.
    PowerLawQuestioned,
    /// The error rates of runs scatter about their law by more than twice what the items explain.
    Overdispersed,
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
    /// More than a fifth of the predictions of held-out readings miss their intervals: the line does not
    /// carry as far as its interval says.
    BacktestMisses,
    /// A prediction lies further out than the ladder is long.
    Extrapolated,
    /// A run is unusual among the runs of its budget and spoils the law; the result names it.
    OutlyingRun,
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
            Self::WideWindow => {
                "a budget was read through sizes beyond a factor of 8 from its best run"
            }
            Self::BudgetRefused => "a budget without an interior minimum was left out",
            Self::BudgetSpread => "runs of one budget differ in scale by more than two percent",
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
            Self::UnnamedTrajectory => {
                "runs look like checkpoints of one training run: name it in `trajectory`"
            }
            Self::OneTrajectory => {
                "all readings come from the same training run or runs: the interval holds for these only"
            }
            Self::RepeatedData => {
                "some runs saw their data more than once: repeated tokens count as new ones"
            }
            Self::EqualTokens => {
                "all sizes saw equal tokens: the exponent mixes size with tokens per parameter"
            }
            Self::PreOnset => "a loss has not left chance: a power law means nothing yet",
            Self::ChanceUnknown => "an error rate does not fall, and its chance level is not known",
            Self::NearFloor => "a loss is mostly floor: gaps may only approach those of the floors",
            Self::PowerLawQuestioned => "ln G is curved in the log scale",
            Self::Overdispersed => {
                "error rates scatter by more than twice what the sampling of items explains"
            }
            Self::LackOfFit => "size profiles differ from their polynomials by more than seeds do",
            Self::NextPower => "size profiles have a power of ln N beyond their polynomials",
            Self::Fragile => "the t test rejects and the permutation test does not",
            Self::OptimumRuleFlips => "another rule of reading gives another sign or verdict",
            Self::InfluentialReading => "leaving one reading out changes the verdict",
            Self::OutlyingRun => "a run far from its neighbours moves or widens the law",
            Self::DifferenceDiscordant => {
                "the ratio and the difference move in opposite directions"
            }
            Self::Autocorrelated => "residuals of neighbouring scales are correlated",
            Self::BacktestMisses => {
                "over a fifth of the predictions of held-out readings miss their intervals"
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
    /// `ln G` at the ends of the ladder, with their intervals.
    pub(crate) ends: [Interval; 2],
    pub(crate) slope: f64,
    /// If true, the exponent differs from zero.
    pub(crate) differs: bool,
    /// If true, the exponent is inside its margin.
    pub(crate) equivalent: bool,
    /// If true, `ln G` is inside the margin of the gap at both ends.
    pub(crate) no_gap: bool,
}

/// A change that is shown comes first, so that no verdict hides it. The level can only say on which
/// side of parity the change takes place.
///
/// The gap `|ln G|` is smaller at the top than at the bottom exactly where the slope and the fitted
/// `ln G` in the middle have opposite signs: `h² − l² = 2·(h − l)·(h + l)/2`.
pub(crate) fn decide(e: &Evidence) -> Verdict {
    if !e.differs {
        return match (e.no_gap, e.equivalent) {
            (true, _) => Verdict::NoGap,
            (false, true) => Verdict::Persists,
            (false, false) => Verdict::Inconclusive,
        };
    }
    if side(&e.ends[0]) * side(&e.ends[1]) < 0.0 {
        return Verdict::CrossesParity;
    }
    if e.equivalent {
        return Verdict::Negligible;
    }
    match side(&e.level) * e.slope {
        towards if towards < 0.0 => Verdict::Narrows,
        away if away > 0.0 => Verdict::Widens,
        _ if e.slope > 0.0 => Verdict::RatioRises,
        _ => Verdict::RatioFalls,
    }
}

/// The side of parity: 1 above, −1 below, 0 where the interval contains it.
fn side(log_ratio: &Interval) -> f64 {
    if log_ratio.lower > 0.0 {
        1.0
    } else if log_ratio.upper < 0.0 {
        -1.0
    } else {
        0.0
    }
}

/// The verdict by an exponent and a level alone, without adjustment for other tests.
pub(crate) fn unadjusted(line: &LineEstimates, x: &[f64], options: &Options) -> Verdict {
    let slope = &line.slope;
    let ends = line.ends(range(x), options.alpha);
    decide(&Evidence {
        level: line.level.interval(),
        ends: ends.map(|e| e.interval()),
        slope: slope.value,
        differs: slope.p_value <= options.alpha,
        equivalent: slope.equivalence_p(options.margin()) <= options.alpha,
        no_gap: gap_p(&ends, options.gap_margin()) <= options.alpha,
    })
}

/// p-value of a ratio outside the margin of the gap at either end: at most `alpha` exactly where both
/// whole `1 − alpha` intervals lie inside.
pub(crate) fn gap_p(ends: &[Estimate; 2], margin: f64) -> f64 {
    let one_sided = ends.map(|e| e.equivalence_p(margin));
    (2.0 * one_sided[0].max(one_sided[1])).min(1.0)
}

/// Level and slope of one line with what ties them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LineEstimates {
    pub(crate) level: Estimate,
    pub(crate) slope: Estimate,
    /// Covariance of level and slope; `None` for the largest that their variances allow.
    pub(crate) cross: Option<f64>,
}

impl LineEstimates {
    /// `ln G` at both ends of the ladder, with the fewer degrees of freedom of level and slope.
    pub(crate) fn ends(&self, range: [f64; 2], alpha: f64) -> [Estimate; 2] {
        let (level, slope) = (&self.level, &self.slope);
        range.map(|x| {
            let (a, b) = (level.standard_error, x * slope.standard_error);
            let cross = self.cross.map_or((a * b).abs(), |c| x * c);
            let variance = a * a + b * b + 2.0 * cross;
            let value = level.value + x * slope.value;
            Estimate::new(value, variance, level.df.min(slope.df), alpha)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(value: f64, half: f64) -> Interval {
        Interval {
            value,
            lower: value - half,
            upper: value + half,
        }
    }

    /// A line from `low` to `high` with half-widths `half` of `ln G`.
    fn line(low: f64, high: f64, half: f64, differs: bool) -> Evidence {
        Evidence {
            level: around(0.5 * (low + high), half),
            ends: [around(low, half), around(high, half)],
            slope: high - low,
            differs,
            equivalent: false,
            no_gap: false,
        }
    }

    #[test]
    fn a_change_with_an_open_side_of_parity_is_not_hidden() {
        // Δβ +.0152 [.0147, .0156] over two decades, γ 1.153 [.85, 1.57].
        let mut e = line(0.142 - 0.035, 0.142 + 0.035, 0.307, true);
        assert_eq!(decide(&e), Verdict::RatioRises);
        e.slope = -e.slope;
        assert_eq!(decide(&e), Verdict::RatioFalls);
        // γ 1.86 [.70, 4.97] without a change is not the absence of a gap either.
        assert_eq!(
            decide(&line(0.62, 0.62, 0.98, false)),
            Verdict::Inconclusive
        );
    }

    #[test]
    fn every_change_has_its_word() {
        for (low, high, word) in [
            (0.3, 0.2, Verdict::Narrows),
            (-0.3, -0.2, Verdict::Narrows),
            (0.2, 0.3, Verdict::Widens),
            (-0.2, -0.3, Verdict::Widens),
            (-0.2, 0.1, Verdict::CrossesParity),
            (0.1, -0.2, Verdict::CrossesParity),
            (-0.02, 0.03, Verdict::RatioRises),
            (0.03, -0.02, Verdict::RatioFalls),
            // Known to be above at the bottom, open at the top: the gap is smaller there either way.
            (0.3, 0.02, Verdict::Narrows),
            (0.3, -0.02, Verdict::Narrows),
        ] {
            assert_eq!(decide(&line(low, high, 0.05, true)), word, "{low} {high}");
            let still = decide(&line(low, high, 0.05, false));
            assert_eq!(still, Verdict::Inconclusive);
        }
    }

    #[test]
    fn no_gap_is_for_intervals_inside_the_margin() {
        let mut options = Options::new("b");
        options.gap_margin_percent = 2.0;
        let verdict = |level: f64, error: f64| {
            let line = LineEstimates {
                level: Estimate::new(level, error * error, 10.0, 0.05),
                slope: Estimate::new(0.0, 1e-8, 10.0, 0.05),
                cross: Some(0.0),
            };
            unadjusted(&line, &[-2.0, 0.0, 2.0], &options)
        };
        assert_eq!(verdict(0.001, 0.001), Verdict::NoGap);
        assert_eq!(verdict(0.001, 0.1), Verdict::Persists);
        assert_eq!(verdict(0.03, 0.001), Verdict::Persists);
        // The whole interval has to lie inside: t(.975; 10) = 2.228, ln 1.02 = .0198.
        assert_eq!(verdict(0.0, 0.0198 / 2.2), Verdict::Persists);
        assert_eq!(verdict(0.0, 0.0198 / 2.25), Verdict::NoGap);
    }

    #[test]
    fn without_a_covariance_the_ends_are_as_wide_as_they_can_be() {
        let mut line = LineEstimates {
            level: Estimate::new(0.1, 0.04, 5.0, 0.05),
            slope: Estimate::new(0.0, 0.01, 9.0, 0.05),
            cross: None,
        };
        let wide = line.ends([-1.0, 2.0], 0.05);
        assert!((wide[0].standard_error - 0.3).abs() < 1e-12);
        assert!((wide[1].standard_error - 0.4).abs() < 1e-12);
        line.cross = Some(0.01);
        let [low, high] = line.ends([-1.0, 2.0], 0.05);
        assert!((low.standard_error.powi(2) - 0.03).abs() < 1e-12);
        assert!((high.standard_error.powi(2) - 0.12).abs() < 1e-12);
        assert_eq!(high.df, 5.0);
    }
}
