//! Options of an analysis. The result stores every one of them.

mod check;
mod named;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ladder::{Ladder, Scores};

pub use self::named::{Contrast, Group, Pair, WorstOf};
pub(crate) use self::named::{difference_label, pair_label};

/// Design by which scales are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DesignChoice {
    /// Chosen per corpus by the shape of the ladder; the result names the choice.
    #[default]
    Auto,
    /// Several sizes at every budget: read at the compute-optimal size.
    Isoflop,
    /// One size at every budget: the run itself is the reading.
    Rungs,
    /// Sizes crossed with training lengths (or checkpoints): regression with a data-per-parameter
    /// term, read at a stated ratio.
    Grid,
}

/// The laws whose number the verdicts are adjusted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FamilyScope {
    /// The laws of one corpus.
    #[default]
    Corpus,
    /// All laws of the analysis.
    All,
}

/// The scale along which losses fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Axis {
    /// The `flops` of the runs (or whatever positive quantity stands there).
    #[default]
    Flops,
    /// Parameters.
    Params,
    /// Training tokens.
    Tokens,
}

impl Axis {
    /// The scale in words; `name` is that of a ladder whose `flops` are another quantity.
    pub(crate) fn in_words(self, name: Option<&str>) -> &str {
        match self {
            Self::Flops => name.unwrap_or("compute"),
            Self::Params => "parameters",
            Self::Tokens => "training tokens",
        }
    }
}

/// Average of the clusters of a distribution. The two are different estimands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Averaging {
    /// Ratio of sums, `Σ loss·weight / Σ weight`.
    #[default]
    Micro,
    /// Mean over clusters of each cluster's error.
    Macro,
}

/// Point on the size profile of a budget at which an IsoFLOP ladder is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OptimumRule {
    /// Cubic of the paired log ratio within a factor of 8 of the best size, at the smoothed frontier.
    #[default]
    Smoothed,
    /// The run with the least aggregate loss.
    BestRun,
    /// Quadratics through every size, at the vertex of the aggregate loss in that budget.
    Parabola,
}

/// Covariance type of the fitted line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CovarianceType {
    /// Equal variances, t with `J − p` degrees of freedom for `J` readings and `p` terms. On a grid
    /// every size has a random effect, which does not average out over its training lengths: two
    /// variance components, with two degrees of freedom fewer than sizes.
    #[default]
    Ols,
    /// HC2 with Satterthwaite degrees of freedom. Readings from one training run always form a cluster
    /// (CR2), whatever type is chosen here but [`Ar1`](Self::Ar1).
    Hc2,
    /// HC3, t with `J − p` degrees of freedom.
    Hc3,
    /// Errors of neighbouring scales are correlated, `ρ^|i−j|`, in the order of the scales or of the
    /// checkpoints of each training run. The variance is averaged over `ρ`, uniform on (−1, 1) and
    /// weighted by its restricted likelihood; t with `J − p` degrees of freedom. Eight readings or
    /// more on one line, or checkpoints of training runs.
    Ar1,
}

/// Population that the items of a benchmark stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ItemSampling {
    /// A sample of clusters from a population: the interval holds for other items too.
    #[default]
    Population,
    /// The whole population: the interval holds for this benchmark only.
    Fixed,
}

/// Weights of the readings in the fitted line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Weighting {
    /// Equal weights.
    #[default]
    Equal,
    /// Inverse design variances of the readings, where they differ by more than a factor of 3.
    Design,
}

/// Options of [`analyze`](super::analyze).
///
/// Start from [`Options::new`] and set fields. In files only `baseline` is required, and an unknown
/// field is an error.
///
/// # Examples
/// ```
/// use relscale::fit::Options;
///
/// let mut options = Options::new("usa");
/// options.margin_percent = 1.0;
/// assert_eq!(options.alpha, 0.05);
///
/// let read: Options = serde_json::from_str(r#"{"baseline": "usa", "margin_percent": 1.0}"#)?;
/// assert_eq!(read, options);
/// assert!(serde_json::from_str::<Options>(r#"{"baseline": "usa", "margin_pct": 1.0}"#).is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The distribution with which all others are compared.
    pub baseline: String,
    /// The distributions compared with it; empty for all others except the aggregate.
    #[serde(default)]
    pub treatments: Vec<String>,
    /// Comparisons beside those with the main baseline. In each corpus they form a family of their own
    /// for Holm's adjustment: adding one changes no other verdict.
    #[serde(default)]
    pub contrasts: Vec<Contrast>,
    /// Groups of distributions by name (domains, risk clusters). A group has its own absolute law, is
    /// compared with the main baseline among the contrasts, and may be a side of other contrasts.
    #[serde(default)]
    pub groups: BTreeMap<String, Group>,
    /// The distributions among which the largest ratio to the baseline is followed along the ladder,
    /// corrected for being the largest of many; `None` for no such result.
    #[serde(default)]
    pub worst: Option<WorstOf>,
    /// The training corpus with which the others are compared: every distribution gets a law between it
    /// and each other corpus ([`Analysis::arms`](super::Analysis::arms)). `None` for no such laws.
    #[serde(default)]
    pub corpus_baseline: Option<String>,
    /// The distribution whose loss picks the compute-optimal size; `None` for the mean of the log
    /// errors of all distributions, which is flagged because it contains the tested ones.
    #[serde(default)]
    pub aggregate: Option<String>,
    /// Design by which scales are compared.
    #[serde(default)]
    pub design: DesignChoice,
    /// The scale.
    #[serde(default)]
    pub axis: Axis,
    /// Average of the clusters of a distribution. An error rate with several clusters is a sum over them,
    /// and refused with [`Averaging::Macro`].
    #[serde(default)]
    pub averaging: Averaging,
    /// Point at which IsoFLOP profiles are read.
    #[serde(default)]
    pub optimum: OptimumRule,
    /// Covariance type of the fitted line. Laws of error rates follow it on IsoFLOP ladders only: on
    /// rungs and grids their variance is that of the regression of counts, by training run (or size, where
    /// one has several) where readings are checkpoints.
    #[serde(default)]
    pub covariance: CovarianceType,
    /// Weights of the readings.
    #[serde(default)]
    pub weighting: Weighting,
    /// Population that the items stand for.
    #[serde(default)]
    pub items: ItemSampling,
    /// Distributions whose clusters are named `stratum/cluster`, with strata that are part of the
    /// distribution (the subjects of a domain, say): clusters are a sample within their stratum, and
    /// the strata are fixed. Clusters without a `/` form one stratum. Not for error rates.
    #[serde(default)]
    pub stratified: Vec<String>,
    /// If true, the squared difference between two rules of reading enters the variance.
    #[serde(default = "default_specification_term")]
    pub specification_term: bool,
    /// If true, the runs of an IsoFLOP ladder that lie far from their size profile count less in the
    /// relative laws (Huber's weights, with the noise of all budgets). Other designs are refused.
    #[serde(default)]
    pub robust: bool,
    /// If true, the variances of eight or more treatments are moderated towards a common one
    /// (Smyth 2004); only with [`CovarianceType::Ols`], not on grids, and not where the budgets of an
    /// IsoFLOP ladder hold fewer than seven sizes.
    #[serde(default = "default_moderation")]
    pub moderation: bool,
    /// Smallest change of the ratio that matters, in percent per decade of compute.
    #[serde(default = "default_margin_percent")]
    pub margin_percent: f64,
    /// Largest gap that does not matter, in percent of `G`: between `G = 1/(1 + m)` and `G = 1 + m`.
    #[serde(default = "default_gap_margin_percent")]
    pub gap_margin_percent: f64,
    /// The family of laws that p-values, verdicts and simultaneous intervals are adjusted for.
    #[serde(default)]
    pub family: FamilyScope,
    /// Level of tests; intervals have level `1 − alpha`.
    #[serde(default = "default_alpha")]
    pub alpha: f64,
    /// Tokens per parameter at which grids are read; `None` for the geometric mean of the runs.
    #[serde(default)]
    pub tokens_per_param: Option<f64>,
    /// Loss of a model that knows nothing, per distribution (`ln k` nats for a choice of `k`); overrides
    /// the chance level that the ladder states.
    #[serde(default)]
    pub chance: BTreeMap<String, f64>,
    /// Distributions whose chance level lies within the range of what models reach rather than at its
    /// worst end (the probability of the answer that matches a behaviour): they leave chance upwards
    /// or downwards, all others downwards only. Not for error rates.
    #[serde(default)]
    pub chance_either_side: BTreeSet<String>,
    /// Distributions whose loss is an error rate: a share of items between zero and one, with the
    /// number of items as weight. Their laws are quasi-binomial regressions of counts with a
    /// logarithmic link and stand in [`Analysis::counts`](super::Analysis::counts); `chance` is the
    /// error rate of a guess, `1 − 1/k`.
    #[serde(default)]
    pub error_rates: BTreeSet<String>,
    /// If true, distributions of different scorers ([`Scores::scorer`]) are compared, whose losses have
    /// different units; without it they are refused by name. Distributions without a stated scorer are
    /// compared with all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub across_scorers: bool,
    /// If true, a mixed model with a random effect of the budget is fitted beside each law, where ten
    /// budgets or more and seed replicates allow it.
    #[serde(default)]
    pub mixed_model: bool,
    /// Value of a covariate for each distribution, on which the exponents are regressed.
    #[serde(default)]
    pub covariate: BTreeMap<String, f64>,
    /// Threshold of Huber's loss for the surfaces L(N, D), in nats of the log loss (1e-3 in Hoffmann
    /// et al. 2022); `None` for least squares.
    #[serde(default)]
    pub surface_huber: Option<f64>,
    /// Number of redrawn sets of runs behind the intervals of the surfaces: percentiles of a bootstrap
    /// of runs (of training runs, where runs are checkpoints). 0 linearises; `None` is 250 with
    /// Huber's loss, which a linearisation does not serve, and 0 with least squares.
    #[serde(default)]
    pub surface_draws: Option<u32>,
    /// If true, the exponents of four or more treatments of a corpus are drawn towards their mean, to
    /// rank and display them; no verdict rests on it.
    #[serde(default)]
    pub partial_pooling: bool,
    /// Scales at which the ratio is predicted.
    #[serde(default)]
    pub predict_at: Vec<f64>,
    /// If true, each law gets a studentised bootstrap interval of runs crossed with clusters of items
    /// (9,999 draws), as a second opinion on its interval.
    #[serde(default)]
    pub crossed_bootstrap: bool,
    /// If true, each law gets an interval and a p-value by 999 wild draws of the runs through the whole
    /// pipeline: optima, frontier and readings are found again in each. Not on grids, with robust readings or
    /// another optimum rule than the default.
    #[serde(default)]
    pub wild_bootstrap: bool,
    /// If true, each law gets an interval that holds for all laws of all corpora at once, whatever
    /// [`family`](Self::family) is, by the distribution of the largest |t| (9,999 draws): never wider than
    /// Šidák's for as many laws but for the error of the draws.
    #[serde(default)]
    pub max_t: bool,
    /// Number of redrawn pairs behind the intervals of the ratio of two laws with floors
    /// ([`FloorRatio`](super::FloorRatio)), a multiple of 200 less one for whole ranks of percentiles; 0
    /// leaves the ratio out.
    #[serde(default = "default_floor_draws")]
    pub floor_draws: u32,
    /// Seed of random draws: of the options above, and wherever an enumeration is too long.
    #[serde(default = "default_seed")]
    pub seed: u64,
}

// Without the term, intervals of strongly asymmetric profiles covered 85 % instead of 95 % in
// simulations held out from the choice of the method.
fn default_specification_term() -> bool {
    true
}

// With twelve treatments the intervals of simulated ladders were 8 to 13 % shorter at the same coverage.
fn default_moderation() -> bool {
    true
}

// An exponent of 0.0022, the smallest change that seven budgets over two decades detect with 80 %
// power. A margin is set before the data are seen, so that there has to be a default.
fn default_margin_percent() -> f64 {
    0.5
}

// Two decades, the span of a usual ladder, of changes that `margin_percent` calls too small to matter.
fn default_gap_margin_percent() -> f64 {
    1.0
}

// 200·α/2 is a whole number at the usual levels, so that no percentile is interpolated. The error of an
// end is a tenth of the half-width, for a third of the time of an analysis.
fn default_floor_draws() -> u32 {
    199
}

fn default_alpha() -> f64 {
    0.05
}

fn default_seed() -> u64 {
    super::stats::random::DEFAULT_SEED
}

impl Options {
    /// The defaults, with a baseline.
    ///
    /// There is no `Default`: every analysis needs a baseline.
    #[must_use]
    pub fn new(baseline: impl Into<String>) -> Self {
        Self {
            baseline: baseline.into(),
            treatments: Vec::new(),
            contrasts: Vec::new(),
            groups: BTreeMap::new(),
            worst: None,
            corpus_baseline: None,
            aggregate: None,
            design: DesignChoice::default(),
            axis: Axis::default(),
            averaging: Averaging::default(),
            optimum: OptimumRule::default(),
            covariance: CovarianceType::default(),
            weighting: Weighting::default(),
            items: ItemSampling::default(),
            stratified: Vec::new(),
            specification_term: default_specification_term(),
            robust: false,
            moderation: default_moderation(),
            margin_percent: default_margin_percent(),
            gap_margin_percent: default_gap_margin_percent(),
            family: FamilyScope::default(),
            alpha: default_alpha(),
            tokens_per_param: None,
            chance: BTreeMap::new(),
            chance_either_side: BTreeSet::new(),
            error_rates: BTreeSet::new(),
            across_scorers: false,
            mixed_model: false,
            covariate: BTreeMap::new(),
            surface_huber: None,
            surface_draws: None,
            partial_pooling: false,
            predict_at: Vec::new(),
            crossed_bootstrap: false,
            wild_bootstrap: false,
            max_t: false,
            floor_draws: default_floor_draws(),
            seed: default_seed(),
        }
    }

    /// The margin of equivalence as an exponent, `ln(1 + margin_percent/100) / ln 10`.
    #[must_use]
    pub fn margin(&self) -> f64 {
        // Per nat of compute, as exponents are; a user thinks in percent per decade.
        libm::log1p(self.margin_percent / 100.0) / std::f64::consts::LN_10
    }

    /// Level of intervals in percent, `100·(1 − alpha)`, as texts print it: 95, 97.5 or 99.9.
    #[must_use]
    pub fn level_percent(&self) -> f64 {
        percent_inside(self.alpha)
    }

    /// The margin of the gap in `|ln G|`, `ln(1 + gap_margin_percent/100)`.
    #[must_use]
    pub fn gap_margin(&self) -> f64 {
        libm::log1p(self.gap_margin_percent / 100.0)
    }

    /// Chance level of a distribution, if it is known.
    pub(crate) fn chance_of(&self, ladder: &Ladder, name: &str) -> Option<f64> {
        let own = self.chance.get(name).copied();
        own.or(ladder.distribution(name).and_then(Scores::chance))
    }
}

/// The level in percent of an interval with the share `outside` outside of it.
///
/// Rounded to the decimals that a reader may have given, so that 0.07 prints 93 and not 92.99999999999999.
pub(crate) fn percent_inside(outside: f64) -> f64 {
    (100.0 * (1.0 - outside) * 1e10).round() / 1e10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_has_the_decimals_of_its_alpha() {
        for (alpha, printed) in [
            (0.05, "95"),
            (0.025, "97.5"),
            (0.001, "99.9"),
            (0.07, "93"),
            (0.1, "90"),
            (0.0001, "99.99"),
            (1.0 / 3.0, "66.6666666667"),
        ] {
            let mut options = Options::new("web");
            options.alpha = alpha;
            assert_eq!(options.level_percent().to_string(), printed);
        }
        assert_eq!(percent_inside(2.0 * 0.05).to_string(), "90");
        assert_eq!(percent_inside(2.0 * 0.025).to_string(), "95");
    }

    #[test]
    fn a_file_needs_the_baseline_only() {
        let read: Options = serde_json::from_str(r#"{"baseline": "usa"}"#).unwrap();
        assert_eq!(read, Options::new("usa"));
        let error = serde_json::from_str::<Options>("{}").unwrap_err();
        assert!(error.to_string().contains("baseline"), "{error}");
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        for field in ["margin_pct", "Alpha", "baselines"] {
            let json = format!(r#"{{"baseline": "usa", "{field}": 5}}"#);
            let error = serde_json::from_str::<Options>(&json).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn options_survive_a_file() {
        let mut options = Options::new("usa");
        options.margin_percent = 1.0;
        options.specification_term = false;
        options.items = ItemSampling::Fixed;
        options.chance.insert("choice".into(), 1.5);
        let json = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<Options>(&json).unwrap(), options);
    }
}
