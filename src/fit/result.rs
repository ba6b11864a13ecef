//! The result of an analysis. Field names are stable within one [`Analysis::schema`]; every option is
//! part of the result.

mod absolute;
mod alternatives;
mod arms;
mod corpus;
mod counts;
mod diagnostics;
mod family;
mod floor_ratio;
mod named;
mod relative;
mod shapes;
mod summary;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::ladder::FlopConvention;

pub use self::absolute::{AbsoluteLaw, FloorReport, SurfaceAllocation, SurfaceFit, SurfaceReport};
pub use self::alternatives::{
    Alternatives, DifferenceLaw, LossToLoss, MixedReport, RuleResult, SemiLog, SerialReport,
    WildBootstrap,
};
pub use self::arms::{ArmLaw, ArmReading};
pub use self::corpus::{CorpusReport, FrontierReport, ProfilePoint};
pub use self::counts::{CountsLaw, CountsReading, RateLaw, RateReading};
pub use self::diagnostics::{
    Backtest, ClusterRange, Curvature, Diagnostics, Holdout, ItemReport, LackOfFit, LeaveOneOut,
    NextPower, OutlyingRun, Resampling, VarianceComponents,
};
pub use self::family::{
    ContrastLaw, CovariateSlope, Heterogeneity, MaxT, PartialPooling, ShrunkExponent,
};
pub use self::floor_ratio::{FloorRatio, FlooredLaw, RatioLimit};
pub use self::named::{GapLevel, NamedContrast, WorstAt, WorstGroup, WorstReading};
pub use self::relative::{
    BandPoint, Equivalence, FittedLine, GapEquivalence, Multiplicity, Parity, Prediction, Reading,
    RelativeLaw,
};
pub use self::shapes::{RatioShape, RefusedShape, ShapeComparison, ShapeResult};
pub use self::summary::{
    AbsoluteLawSummary, CountsLawSummary, NamedContrastSummary, RateLawSummary, RelativeLawSummary,
    Summary,
};
pub use super::design::Design;
pub use super::estimate::{Estimate, Interval};
use super::options::Options;
pub use super::path::LadderPath;
pub use super::readings::ProfileFit;
pub use super::stats::regression::ConfidenceSet;
pub use super::stats::resample::{CrossedBootstrap, SimulatedQuantile};
pub use super::verdict::{Flag, Verdict};

/// Version of the layout of [`Analysis`] and [`Summary`].
pub const SCHEMA: u32 = 2;

/// The result of [`analyze`](super::analyze).
///
/// Serialised, it holds everything behind the table of the report, including each reading and each
/// diagnostic. [`Analysis::summary`] serialises what one quotes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Analysis {
    /// Version of this layout; another one is refused on reading.
    #[serde(deserialize_with = "this_schema")]
    pub schema: u32,
    /// Version of the crate that made the analysis.
    pub version: String,
    /// Name of the ladder.
    pub ladder: String,
    /// Convention by which the ladder counts FLOPs.
    pub flop_convention: FlopConvention,
    /// Name of the scale of the ladder, where it is not training compute.
    pub scale_name: Option<String>,
    /// Options of the analysis.
    pub options: Options,
    /// Relative laws, one per corpus and treatment, in that order.
    pub laws: Vec<RelativeLaw>,
    /// Contrasts that the options name, and groups against the main baseline, per corpus.
    pub contrasts: Vec<NamedContrast>,
    /// The worst of all treatments or groups, per corpus, if the options ask for it.
    pub worst: Vec<WorstGroup>,
    /// Absolute laws, one per corpus and distribution or group.
    pub absolute_laws: Vec<AbsoluteLaw>,
    /// Corpora, one entry each.
    pub corpora: Vec<CorpusReport>,
    /// Exponents against the mean of all distributions, per corpus: no baseline enters.
    pub centred: Vec<ContrastLaw>,
    /// Differences of `delta_beta` between corpora, per pair and treatment.
    pub cross_corpus: Vec<ContrastLaw>,
    /// Laws of each distribution between the baseline corpus and every other one, if
    /// [`Options::corpus_baseline`] names it.
    #[serde(default)]
    pub arms: Vec<ArmLaw>,
    /// Spread of the distributions of each corpus.
    pub heterogeneity: Vec<Heterogeneity>,
    /// Exponents drawn towards their mean, per corpus, if the options ask for them.
    pub partial_pooling: Vec<PartialPooling>,
    /// Slope of the exponents on the covariate, per corpus.
    pub covariate: Vec<CovariateSlope>,
    /// Critical value behind the intervals [`Multiplicity::max_t`], if the options ask for them.
    pub max_t: Option<MaxT>,
    /// Laws between distributions of which one at least is an error rate, per corpus and treatment.
    pub counts: Vec<CountsLaw>,
    /// Power laws of the error rates themselves, per corpus and distribution.
    pub rates: Vec<RateLaw>,
    /// Comparisons and corpora that could not be analysed.
    pub refused: Vec<Refused>,
}

impl Analysis {
    /// The scale in words, for axes and sentences: `"compute"`, `"parameters"`, `"training tokens"` or
    /// the name that the ladder gives it.
    #[must_use]
    pub fn scale_in_words(&self) -> &str {
        self.options.axis.in_words(self.scale_name.as_deref())
    }
}

/// Reads the version of a layout and refuses any but this one.
fn this_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    // Refused rather than read: fields of another schema may bear the same name and mean something
    // else.
    match u32::deserialize(deserializer)? {
        SCHEMA => Ok(SCHEMA),
        other => Err(de::Error::custom(format_args!(
            "this analysis has schema {other}, this version of relscale reads schema {SCHEMA}"
        ))),
    }
}

/// Something left out of an analysis, with the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Refused {
    /// The corpus.
    pub corpus: String,
    /// The distribution, if one was left out.
    pub distribution: Option<String>,
    /// The budget, if one was left out.
    pub budget: Option<f64>,
    /// The reason, in one sentence.
    pub reason: String,
}
