//! The part of an analysis that one quotes, for small files.

use serde::Serialize;

use crate::fit::options::Options;
use crate::ladder::FlopConvention;

use super::{
    AbsoluteLaw, Analysis, ArmLaw, CountsLaw, Design, Equivalence, Estimate, Flag, GapEquivalence,
    GapLevel, Interval, Multiplicity, NamedContrast, Parity, PartialPooling, Prediction, RateLaw,
    Refused, RelativeLaw, Verdict, WorstGroup,
};

/// The part of an [`Analysis`] that one quotes: estimates, intervals, verdicts and flags, without
/// readings, diagnostics and alternatives.
///
/// Field names are those of [`Analysis`]. It is a view and not an option, because flags, tables and
/// drawings need the details whether or not a file keeps them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Summary<'a> {
    /// Version of this layout.
    pub schema: u32,
    /// Version of the crate that made the analysis.
    pub version: &'a str,
    /// Name of the ladder.
    pub ladder: &'a str,
    /// Convention by which the ladder counts FLOPs.
    pub flop_convention: FlopConvention,
    /// Name of the scale of the ladder, where it is not training compute.
    pub scale_name: Option<&'a str>,
    /// Options of the analysis.
    pub options: &'a Options,
    /// Relative laws, one per corpus and treatment.
    pub laws: Vec<RelativeLawSummary<'a>>,
    /// Contrasts that the options name, and groups against the main baseline.
    pub contrasts: Vec<NamedContrastSummary<'a>>,
    /// The worst of all treatments or groups, if the options ask for it.
    pub worst: &'a [WorstGroup],
    /// Absolute laws, one per corpus and distribution or group.
    pub absolute_laws: Vec<AbsoluteLawSummary<'a>>,
    /// Exponents drawn towards their mean, if the options ask for them.
    pub partial_pooling: &'a [PartialPooling],
    /// Laws of each distribution between corpora.
    pub arms: &'a [ArmLaw],
    /// Laws between distributions of which one at least is an error rate.
    pub counts: Vec<CountsLawSummary<'a>>,
    /// Power laws of the error rates themselves.
    pub rates: Vec<RateLawSummary<'a>>,
    /// Comparisons and corpora that could not be analysed.
    pub refused: &'a [Refused],
}

/// The part of a [`RelativeLaw`] that one quotes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RelativeLawSummary<'a> {
    /// The corpus.
    pub corpus: &'a str,
    /// The distribution in the numerator.
    pub treatment: &'a str,
    /// The distribution in the denominator.
    pub baseline: &'a str,
    /// The design by which scales were compared.
    pub design: Design,
    /// `F0`, the geometric mean of the scales read.
    pub reference_flops: f64,
    /// `Δβ`, per nat of the axis.
    pub delta_beta: Estimate,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// Change of `G` per factor ten, in percent.
    pub percent_per_decade: Interval,
    /// Test that the change is smaller than the margin.
    pub equivalence: Equivalence,
    /// Test that `G` lies within a margin of 1 at both ends of the ladder.
    pub gap: GapEquivalence,
    /// The decision.
    pub verdict: Verdict,
    /// The decision as a sentence with its numbers.
    pub sentence: &'a str,
    /// Reservations to read before quoting the law.
    pub flags: &'a [Flag],
    /// The scales at which `G = 1` cannot be excluded.
    pub parity: Parity,
    /// Predictions at the scales of the options.
    pub predictions: &'a [Prediction],
    /// p-values and intervals adjusted for the number of laws.
    pub multiplicity: Multiplicity,
}

/// The part of a [`NamedContrast`] that one quotes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct NamedContrastSummary<'a> {
    /// Name of the contrast.
    pub name: &'a str,
    /// The law of the ratio of both sides.
    pub law: RelativeLawSummary<'a>,
    /// The gaps of both pairs of a difference at the bottom, in the middle and at the top.
    pub levels: Option<&'a [GapLevel; 3]>,
    /// The finding in words.
    pub sentence: &'a str,
}

/// The part of an [`AbsoluteLaw`] that one quotes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct AbsoluteLawSummary<'a> {
    /// The corpus.
    pub corpus: &'a str,
    /// The distribution.
    pub distribution: &'a str,
    /// `β`, positive where the loss falls.
    pub beta: Estimate,
    /// `α`, the error at the reference scale.
    pub alpha: Interval,
    /// The reference scale.
    pub reference_flops: f64,
}

/// The part of a [`CountsLaw`] that one quotes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CountsLawSummary<'a> {
    /// The corpus.
    pub corpus: &'a str,
    /// The distribution in the numerator.
    pub treatment: &'a str,
    /// The distribution in the denominator.
    pub baseline: &'a str,
    /// The design by which scales were compared.
    pub design: Design,
    /// The reference scale.
    pub reference_flops: f64,
    /// `Δβ = β_b − β_t`.
    pub delta_beta: Estimate,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// Number of laws of counts in the family.
    pub family_size: usize,
    /// Holm-adjusted p-value over that family.
    pub holm_p: f64,
    /// Test that the change is smaller than the margin.
    pub equivalence: Equivalence,
    /// Test that `G` lies within a margin of 1 at both ends of the ladder.
    pub gap: GapEquivalence,
    /// The decision.
    pub verdict: Verdict,
    /// The decision as a sentence with its numbers.
    pub sentence: &'a str,
    /// Reservations to read before quoting the law.
    pub flags: &'a [Flag],
    /// If true, a rate is still at its ceiling.
    pub pre_onset: bool,
}

/// The part of a [`RateLaw`] that one quotes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RateLawSummary<'a> {
    /// The corpus.
    pub corpus: &'a str,
    /// The distribution.
    pub distribution: &'a str,
    /// `β`, positive where errors become rarer.
    pub beta: Estimate,
    /// The error rate at the reference scale.
    pub alpha: Interval,
    /// The reference scale.
    pub reference_flops: f64,
    /// `φ`, the dispersion between runs; 1 is binomial noise.
    pub dispersion: f64,
    /// Number of runs.
    pub runs: usize,
    /// Number of runs without a single error.
    pub zeros: usize,
    /// Error rate of a guess, if it is known.
    pub ceiling: Option<f64>,
    /// Reservations to read before quoting the rate.
    pub flags: &'a [Flag],
}

impl Analysis {
    /// The part that one quotes: a tenth of the size of the whole, or less.
    ///
    /// # Examples
    /// ```
    /// use relscale::fit::{self, Options};
    /// use relscale::ladder::{Ladder, Run, Scale};
    ///
    /// let mut builder = Ladder::builder();
    /// for i in 0..5 {
    ///     let flops = 1e18 * 10f64.powi(i);
    ///     let id = format!("run-{i}");
    ///     builder.run(Run::new(&id, Scale { params: flops.sqrt() / 10.0, tokens: flops.sqrt(), flops }).corpus("web"))?;
    ///     builder.score(&id, "usa", "", 3.0 * flops.powf(-0.05), 1.0)?;
    ///     builder.score(&id, "nigeria", "", 4.0 * flops.powf(-0.045), 1.0)?;
    /// }
    /// let analysis = fit::analyze(&builder.build()?, &Options::new("usa"))?;
    /// let json = serde_json::to_value(analysis.summary())?;
    /// assert_eq!(json["laws"][0]["treatment"], "nigeria");
    /// assert!(json["laws"][0]["diagnostics"].is_null());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn summary(&self) -> Summary<'_> {
        Summary {
            schema: self.schema,
            version: &self.version,
            ladder: &self.ladder,
            flop_convention: self.flop_convention,
            scale_name: self.scale_name.as_deref(),
            options: &self.options,
            laws: self.laws.iter().map(RelativeLaw::summary).collect(),
            contrasts: self.contrasts.iter().map(NamedContrast::summary).collect(),
            worst: &self.worst,
            absolute_laws: self
                .absolute_laws
                .iter()
                .map(AbsoluteLaw::summary)
                .collect(),
            partial_pooling: &self.partial_pooling,
            arms: &self.arms,
            counts: self.counts.iter().map(CountsLaw::summary).collect(),
            rates: self.rates.iter().map(RateLaw::summary).collect(),
            refused: &self.refused,
        }
    }
}

impl RelativeLaw {
    fn summary(&self) -> RelativeLawSummary<'_> {
        RelativeLawSummary {
            corpus: &self.corpus,
            treatment: &self.treatment,
            baseline: &self.baseline,
            design: self.design,
            reference_flops: self.reference_flops,
            delta_beta: self.delta_beta,
            gamma: self.gamma,
            percent_per_decade: self.percent_per_decade,
            equivalence: self.equivalence,
            gap: self.gap,
            verdict: self.verdict,
            sentence: &self.sentence,
            flags: &self.flags,
            parity: self.parity,
            predictions: &self.predictions,
            multiplicity: self.multiplicity,
        }
    }
}

impl NamedContrast {
    fn summary(&self) -> NamedContrastSummary<'_> {
        NamedContrastSummary {
            name: &self.name,
            law: self.law.summary(),
            levels: self.levels.as_ref(),
            sentence: &self.sentence,
        }
    }
}

impl CountsLaw {
    fn summary(&self) -> CountsLawSummary<'_> {
        CountsLawSummary {
            corpus: &self.corpus,
            treatment: &self.treatment,
            baseline: &self.baseline,
            design: self.design,
            reference_flops: self.reference_flops,
            delta_beta: self.delta_beta,
            gamma: self.gamma,
            family_size: self.family_size,
            holm_p: self.holm_p,
            equivalence: self.equivalence,
            gap: self.gap,
            verdict: self.verdict,
            sentence: &self.sentence,
            flags: &self.flags,
            pre_onset: self.pre_onset,
        }
    }
}

impl RateLaw {
    fn summary(&self) -> RateLawSummary<'_> {
        RateLawSummary {
            corpus: &self.corpus,
            distribution: &self.distribution,
            beta: self.beta,
            alpha: self.alpha,
            reference_flops: self.reference_flops,
            dispersion: self.dispersion,
            runs: self.runs,
            zeros: self.zeros,
            ceiling: self.ceiling,
            flags: &self.flags,
        }
    }
}

impl AbsoluteLaw {
    fn summary(&self) -> AbsoluteLawSummary<'_> {
        AbsoluteLawSummary {
            corpus: &self.corpus,
            distribution: &self.distribution,
            beta: self.beta,
            alpha: self.alpha,
            reference_flops: self.reference_flops,
        }
    }
}
