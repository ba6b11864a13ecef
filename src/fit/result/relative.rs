//! The relative law of one treatment: what one quotes on top, what stands behind it below.

use serde::{Deserialize, Serialize};

use crate::fit::estimate::LineCovariance;
use crate::fit::logarithm::exp;
use crate::fit::options::FamilyScope;
use crate::fit::stats::quantile::{f_quantile, t_critical};

use super::{Alternatives, ConfidenceSet, Design, Diagnostics, Estimate, Flag, Interval, Verdict};

/// The relative scaling law `G(F) = E_t/E_b = γ (F/F0)^Δβ` of one treatment in one corpus.
///
/// The first fields are what one quotes. [`multiplicity`](Self::multiplicity) holds what the number
/// of laws changes, [`diagnostics`](Self::diagnostics) what speaks for and against the law, and
/// [`alternatives`](Self::alternatives) the same comparison by other estimators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RelativeLaw {
    /// The corpus.
    pub corpus: String,
    /// The distribution in the numerator.
    pub treatment: String,
    /// The distribution in the denominator.
    pub baseline: String,
    /// The design by which scales were compared.
    pub design: Design,
    /// `F0`, the geometric mean of the scales read.
    pub reference_flops: f64,
    /// `Δβ = β_b − β_t = d ln G / d ln F`, per nat of the axis.
    pub delta_beta: Estimate,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// Change of `G` per factor ten, in percent, `100 (10^Δβ − 1)`.
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
    /// The scales at which `G = 1` cannot be excluded.
    pub parity: Parity,
    /// Predictions at the scales of [`Options::predict_at`](crate::fit::Options::predict_at).
    pub predictions: Vec<Prediction>,
    /// p-values and intervals adjusted for the number of laws.
    pub multiplicity: Multiplicity,
    /// The fitted line with its covariance, for bands and predictions at any scale.
    pub line: FittedLine,
    /// The readings that the line goes through.
    pub readings: Vec<Reading>,
    /// Sources of the variance, and checks of the line and of the readings.
    pub diagnostics: Diagnostics,
    /// The same comparison by other estimators and in other forms.
    pub alternatives: Alternatives,
}

impl RelativeLaw {
    /// The fitted ratio with its bands, at 41 scales from end to end of the ladder.
    #[must_use]
    pub fn band(&self) -> Vec<BandPoint> {
        self.line.band()
    }
}

/// Two one-sided tests of `|Δβ| < margin`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Equivalence {
    /// The margin in percent of `G` per decade.
    pub margin_percent: f64,
    /// The same as an exponent.
    pub margin: f64,
    /// The larger of the two one-sided p-values.
    pub p_value: f64,
    /// Holm-adjusted p-value over the laws of the family.
    pub holm_p: f64,
}

/// The test of a gap `|ln G|` below a margin at both ends of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GapEquivalence {
    /// The margin in percent of `G`.
    pub margin_percent: f64,
    /// The same in `|ln G|`.
    pub margin: f64,
    /// `G` at the smallest and at the largest scale, with intervals.
    pub ends: [Interval; 2],
    /// p-value, at most `alpha` exactly where both whole intervals lie inside the margin.
    pub p_value: f64,
    /// Holm-adjusted p-value.
    pub holm_p: f64,
}

/// The test of `Δβ = 0` and its interval, adjusted for the number of laws of a family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Multiplicity {
    /// The family of laws that the adjustment is for.
    pub family: FamilyScope,
    /// Number of laws in the family.
    pub family_size: usize,
    /// Interval of `delta_beta` at the level of the decision: it excludes zero exactly where `holm_p`
    /// is at most `alpha`.
    pub decision: Interval,
    /// Holm-adjusted p-value, which decides the verdict.
    pub holm_p: f64,
    /// Hochberg-adjusted p-value.
    pub hochberg_p: f64,
    /// Benjamini–Hochberg q-value.
    pub bh_q: f64,
    /// Benjamini–Yekutieli q-value.
    pub by_q: f64,
    /// FCR-adjusted interval of `delta_beta`; `None` where Benjamini–Hochberg does not select the law.
    pub selected: Option<Interval>,
    /// Interval of `delta_beta` that holds for all laws of the family at once (Šidák).
    pub simultaneous: Interval,
    /// The same for all laws of the analysis by the distribution of the largest |t|, if
    /// [`Options::max_t`](crate::fit::Options::max_t) asks for it.
    pub max_t: Option<Interval>,
}

impl Multiplicity {
    /// The values of a law that is the only one.
    pub(crate) fn alone(delta_beta: &Estimate) -> Self {
        Self {
            family: FamilyScope::default(),
            family_size: 1,
            decision: delta_beta.interval(),
            holm_p: 1.0,
            hochberg_p: 1.0,
            bh_q: 1.0,
            by_q: 1.0,
            selected: None,
            simultaneous: delta_beta.interval(),
            max_t: None,
        }
    }
}

/// One reading of the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Reading {
    /// Label of the budget.
    pub budget: f64,
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// Size read, in parameters.
    pub params: f64,
    /// `ln G`.
    pub log_ratio: f64,
    /// Error of the treatment there.
    pub treatment_error: f64,
    /// Error of the baseline there.
    pub baseline_error: f64,
    /// Distance from the fitted line, in `ln G`.
    pub residual: f64,
    /// Leverage.
    pub leverage: f64,
    /// Cook's distance; `None` where a coefficient rests on one reading alone.
    pub cook: Option<f64>,
    /// Standardised change of `Δβ` without this reading; `None` as for `cook`.
    pub dfbetas: Option<f64>,
}

/// The line `ln G = level + slope · ln(F/F0)` with the covariance that the intervals of the law use.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FittedLine {
    /// `ln γ`, the fitted `ln G` at `F0`.
    pub level: f64,
    /// `Δβ`.
    pub slope: f64,
    /// Variance of `level`.
    pub level_variance: f64,
    /// Covariance of `level` and `slope`.
    pub covariance: f64,
    /// Variance of `slope`.
    pub slope_variance: f64,
    /// Variance of a new reading about the line; on grids, of a new size.
    pub residual_variance: f64,
    /// Degrees of freedom of points of the line: the fewer of those of `level` and `slope`.
    pub df: f64,
    /// `ln F0`.
    pub log_reference: f64,
    /// Smallest and largest `ln(F/F0)` read.
    pub range: [f64; 2],
    /// Confidence level of intervals and bands, `1 − alpha`.
    pub confidence: f64,
}

/// Points of a drawn band: on logarithmic axes a curve through 41 shows no corners.
const BAND_POINTS: u32 = 41;

impl FittedLine {
    fn variances(&self) -> LineCovariance {
        LineCovariance {
            level: self.level_variance,
            cross: self.covariance,
            slope: self.slope_variance,
        }
    }

    /// The fitted ratio with its bands, at 41 scales from end to end of the ladder.
    #[must_use]
    pub fn band(&self) -> Vec<BandPoint> {
        let v = self.variances();
        let t = t_critical(self.confidence, self.df);
        // Working and Hotelling: two parameters, so F with 2 degrees of freedom; t per scale would
        // hold at one scale only.
        let wide = (2.0 * f_quantile(self.confidence, 2.0, self.df)).sqrt();
        let [low, high] = self.range;
        (0..BAND_POINTS)
            .map(|i| {
                let at = low + (high - low) * f64::from(i) / f64::from(BAND_POINTS - 1);
                let m = self.level + self.slope * at;
                let se = v.at(at).sqrt();
                BandPoint {
                    scale: exp(self.log_reference + at),
                    ratio: exp(m),
                    lower: exp(m - t * se),
                    upper: exp(m + t * se),
                    simultaneous_lower: exp(m - wide * se),
                    simultaneous_upper: exp(m + wide * se),
                }
            })
            .collect()
    }

    /// The ratio predicted at `scale`, in the unit of the axis.
    ///
    /// A scale that is not positive and finite gives NaN.
    #[must_use]
    pub fn predict(&self, scale: f64) -> Prediction {
        let v = self.variances();
        let t = t_critical(self.confidence, self.df);
        let at = libm::log(scale) - self.log_reference;
        let m = self.level + self.slope * at;
        let around = |variance: f64| Interval {
            value: exp(m),
            lower: exp(m - t * variance.sqrt()),
            upper: exp(m + t * variance.sqrt()),
        };
        // A new reading scatters about the line as the old ones do.
        let new = around(v.at(at) + self.residual_variance);
        Prediction::new(scale, at, self.range, new, around(v.at(at)))
    }
}

/// The fitted ratio at one scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct BandPoint {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// `G`.
    pub ratio: f64,
    /// Lower end of the interval at this scale alone.
    pub lower: f64,
    /// Upper end of the interval at this scale alone.
    pub upper: f64,
    /// Lower end of the band that holds at all scales at once (Working and Hotelling).
    pub simultaneous_lower: f64,
    /// Upper end of that band.
    pub simultaneous_upper: f64,
}

/// A prediction of the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Prediction {
    /// Scale, in the unit of the axis.
    pub scale: f64,
    /// `G` with the interval of a new reading.
    pub ratio: Interval,
    /// `G` with the interval of the fitted law.
    pub line: Interval,
    /// Decades beyond the ladder; 0 inside.
    pub decades_beyond: f64,
    /// If true, the scale lies further out than the ladder is long: the interval holds only if the
    /// law does.
    pub beyond_one_ladder: bool,
}

impl Prediction {
    /// The prediction at `scale`, at the centred log scale `at` of a ladder over `range`.
    pub(crate) fn new(
        scale: f64,
        at: f64,
        [low, high]: [f64; 2],
        ratio: Interval,
        line: Interval,
    ) -> Self {
        let beyond = (at - high).max(low - at).max(0.0);
        Self {
            scale,
            ratio,
            line,
            decades_beyond: beyond / std::f64::consts::LN_10,
            // Relative to the ladder: a decade beyond two decades is bolder than beyond six.
            beyond_one_ladder: beyond > high - low,
        }
    }
}

/// The scales at which `G = 1` cannot be excluded (Fieller).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Parity {
    /// `log10` of the scale at which the line meets parity; `None` for a flat line.
    pub log10_scale: Option<f64>,
    /// Set of `log10` scales compatible with parity: a bounded interval only where the exponent
    /// differs from zero.
    pub set: ConfidenceSet,
}
