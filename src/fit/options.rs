//! Options of an analysis. Every one of them is stored in the result.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::error::FitError;

/// How scales are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DesignChoice {
    /// Decided by corpus from the shape of the ladder; the result says how.
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

/// The scale along which losses fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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

/// How the clusters of a distribution make one error. They are different estimands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Averaging {
    /// Ratio of sums, `Σ loss·weight / Σ weight`.
    #[default]
    Micro,
    /// Mean over clusters of the error of each.
    Macro,
}

/// Where on the size profile of a budget an IsoFLOP ladder is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OptimumRule {
    /// Cubic of the paired log-ratio within a factor 8 of the best size, at the smoothed frontier.
    #[default]
    Smoothed,
    /// The run with the least aggregate loss.
    BestRun,
    /// Quadratics through every size, at the vertex of the aggregate loss in that budget.
    Parabola,
}

/// The variance of the fitted line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VarianceForm {
    /// Equal variances, t with `J − p` degrees of freedom. On a grid never less than CR2 by size, with
    /// as many degrees of freedom as sizes less two: what a size has of its own does not average out
    /// over its training lengths.
    #[default]
    Ols,
    /// HC2 with Satterthwaite degrees of freedom. Readings that belong to one training run are
    /// always a cluster (CR2), whatever the form chosen here.
    Hc2,
    /// HC3, t with `J − p` degrees of freedom.
    Hc3,
}

/// What the items of a benchmark stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Items {
    /// A sample of clusters from a population: the interval holds for other items too.
    #[default]
    Population,
    /// Everything there is: the interval holds for this benchmark only.
    Fixed,
}

/// Weights of the readings in the fitted line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Weighting {
    /// Equal weights.
    #[default]
    Equal,
    /// Inverse design variances of the readings, where they differ by more than a factor 3.
    Design,
}

/// Options of [`analyze`](super::analyze).
///
/// Start from [`Options::new`] and set fields:
///
/// ```
/// let mut options = relscale::fit::Options::new("usa");
/// options.margin_percent = 1.0;
/// assert_eq!(options.alpha, 0.05);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Options {
    /// The distribution that all others are compared with.
    pub baseline: String,
    /// The distributions compared with it; empty for all others except the aggregate.
    pub treatments: Vec<String>,
    /// The distribution whose loss picks the compute-optimal size; `None` for the mean of the log
    /// errors of all distributions, which is flagged because it contains the tested ones.
    pub aggregate: Option<String>,
    /// How scales are compared.
    pub design: DesignChoice,
    /// The scale.
    pub axis: Axis,
    /// How clusters are averaged.
    pub averaging: Averaging,
    /// Where IsoFLOP profiles are read.
    pub optimum: OptimumRule,
    /// The variance of the fitted line.
    pub variance: VarianceForm,
    /// Weights of the readings.
    pub weighting: Weighting,
    /// Whether items are a sample.
    pub items: Items,
    /// Distributions whose clusters are named `stratum/cluster`, the strata being part of what the
    /// distribution is (the subjects of a domain, say): clusters are a sample within their stratum,
    /// and the strata are fixed. Clusters without a `/` are one stratum.
    pub stratified: Vec<String>,
    /// Whether the squared difference between two read-offs enters the variance.
    pub specification_term: bool,
    /// Whether variances of eight or more treatments are moderated towards a common one
    /// (Smyth 2004); only with [`VarianceForm::Ols`], and not on grids.
    pub moderation: bool,
    /// Smallest change of the ratio that matters, in percent per decade of compute.
    pub margin_percent: f64,
    /// Level of tests; intervals have level `1 − alpha`.
    pub alpha: f64,
    /// Tokens per parameter at which grids are read; `None` for the geometric mean of the runs.
    pub tokens_per_param: Option<f64>,
    /// Loss of a model that knows nothing, by distribution (`ln k` nats for a choice of `k`).
    pub chance: BTreeMap<String, f64>,
    /// Distributions whose chance level lies within what models do rather than at its worst (the
    /// probability of the answer that matches a behaviour): they leave it upwards or downwards, all
    /// others downwards only. Not for error rates.
    pub chance_either_side: BTreeSet<String>,
    /// Distributions whose loss is an error rate: a share of items between zero and one, with the number
    /// of items as weight. Their laws come from a quasi-binomial regression of counts with a logarithmic
    /// link and stand in [`Analysis::counts`](super::Analysis::counts); `chance` is the rate of a guess, `1 − 1/k`.
    pub error_rates: BTreeSet<String>,
    /// Whether a mixed model with a random effect of the budget is fitted beside each law, where ten
    /// budgets or more and seed replicates allow it.
    pub mixed_model: bool,
    /// A covariate of distributions whose slope on the exponents is wanted.
    pub covariate: BTreeMap<String, f64>,
    /// Threshold of Huber's loss for the surfaces L(N, D), in nats of the log loss (1e-3 in Hoffmann
    /// et al. 2022); `None` for least squares.
    pub surface_huber: Option<f64>,
    /// Scales at which the ratio is predicted.
    pub predict_at: Vec<f64>,
    /// Whether every law gets a studentised bootstrap interval of runs crossed with clusters of
    /// items (9,999 draws), as a second opinion on its interval.
    pub crossed_bootstrap: bool,
    /// Whether every law gets an interval that holds for all laws at once by the distribution of the
    /// largest |t| (9,999 draws), never wider than Šidák's but for the error of the draws.
    pub max_t: bool,
    /// Seed of the draws: of both options above, and where an enumeration is too long.
    pub seed: u64,
}

impl Options {
    /// The defaults, with a baseline.
    #[must_use]
    pub fn new(baseline: impl Into<String>) -> Self {
        Self {
            baseline: baseline.into(),
            ..Self::default()
        }
    }

    /// The margin of equivalence as an exponent, `ln(1 + margin_percent/100) / ln 10`.
    #[must_use]
    pub fn margin(&self) -> f64 {
        libm::log1p(self.margin_percent / 100.0) / std::f64::consts::LN_10
    }

    pub(crate) fn check(&self) -> Result<(), FitError> {
        let domain = |what: &str, value: f64| {
            Err(FitError::Domain {
                what: what.into(),
                value,
            })
        };
        if !(self.alpha > 0.0 && self.alpha <= 0.5) {
            return domain("alpha (0.05 for 95 % intervals, 0.5 at most)", self.alpha);
        }
        if !(self.margin_percent > 0.0 && self.margin_percent.is_finite()) {
            return domain("margin_percent (more than 0)", self.margin_percent);
        }
        for &value in self.tokens_per_param.iter().chain(&self.predict_at) {
            if !(value.is_normal() && value > 0.0) {
                return domain("predict_at or tokens_per_param (more than 0)", value);
            }
        }
        if let Some(value) = self.surface_huber
            && !(value.is_normal() && value > 0.0)
        {
            return domain("surface_huber", value);
        }
        for &value in self.chance.values() {
            if !(value.is_normal() && value > 0.0) {
                return domain("a chance level", value);
            }
        }
        for name in &self.error_rates {
            match self.chance.get(name) {
                Some(&value) if value > 1.0 => return domain("the chance level of a rate", value),
                _ => {}
            }
        }
        for &value in self.covariate.values() {
            if !value.is_finite() {
                return domain("a covariate", value);
            }
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            baseline: String::new(),
            treatments: Vec::new(),
            aggregate: None,
            design: DesignChoice::default(),
            axis: Axis::default(),
            averaging: Averaging::default(),
            optimum: OptimumRule::default(),
            variance: VarianceForm::default(),
            weighting: Weighting::default(),
            items: Items::default(),
            stratified: Vec::new(),
            specification_term: true,
            moderation: false,
            margin_percent: 0.5,
            alpha: 0.05,
            tokens_per_param: None,
            chance: BTreeMap::new(),
            chance_either_side: BTreeSet::new(),
            error_rates: BTreeSet::new(),
            mixed_model: false,
            covariate: BTreeMap::new(),
            surface_huber: None,
            predict_at: Vec::new(),
            crossed_bootstrap: false,
            max_t: false,
            seed: super::stats::random::DEFAULT_SEED,
        }
    }
}
