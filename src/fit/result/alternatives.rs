//! The same comparison by other estimators and in other forms.

use serde::{Deserialize, Serialize};

use super::{
    ConfidenceSet, CrossedBootstrap, Estimate, FloorRatio, Interval, ShapeComparison, Verdict,
};

/// The comparison of a relative law by other estimators and in other forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Alternatives {
    /// `Δβ` over this benchmark only: items are not a sample.
    pub fixed_items: Estimate,
    /// `Δβ` by each rule of reading, with the verdict that it would give.
    pub rules: Vec<RuleResult>,
    /// The law of the difference `E_t − E_b`.
    pub difference: DifferenceLaw,
    /// The form `G = c + s·log10(F/F0)`.
    pub semi_log: SemiLog,
    /// `d ln G / d ln N` through the same readings, where sizes were trained on equal tokens
    /// ([`LadderPath::EqualTokens`](super::LadderPath::EqualTokens)); `None` for other ladders.
    #[serde(default)]
    pub per_log_params: Option<Estimate>,
    /// The ratio of two laws with floors; `None` where one cannot be fitted, or without
    /// [`Options::floor_draws`](crate::fit::Options::floor_draws).
    #[serde(default)]
    pub floor_ratio: Option<FloorRatio>,
    /// Shapes that compete with the power law, with their average; `None` where too few readings are
    /// left.
    #[serde(default)]
    pub shapes: Option<ShapeComparison>,
    /// `κ = β_t/β_b`; `None` where its variance is not defined.
    pub loss_to_loss: Option<LossToLoss>,
    /// `Δβ` with errors that are correlated from scale to scale; `None` with fewer than eight readings
    /// and on grids without training runs.
    pub autocorrelated: Option<SerialReport>,
    /// A mixed model with a random effect of the budget, if
    /// [`Options::mixed_model`](crate::fit::Options::mixed_model) asks for it and the ladder allows it.
    pub mixed_model: Option<MixedReport>,
    /// Wild bootstrap of the whole pipeline, if
    /// [`Options::wild_bootstrap`](crate::fit::Options::wild_bootstrap) asks for it; `None` for grids,
    /// for several checkpoints of one training run and for other rules of reading than the default.
    pub wild_bootstrap: Option<WildBootstrap>,
    /// Studentised bootstrap of `delta_beta`, if
    /// [`Options::crossed_bootstrap`](crate::fit::Options::crossed_bootstrap) asks for it; `None` for
    /// grids, for several checkpoints of one training run and for weighted readings.
    pub crossed_bootstrap: Option<CrossedBootstrap>,
}

/// `Δβ` with the interval of errors that are correlated from one scale (or checkpoint) to the next:
/// that of [`CovarianceType::Ar1`](crate::fit::CovarianceType::Ar1).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SerialReport {
    /// Mean autocorrelation of neighbours by its restricted likelihood.
    pub rho: f64,
    /// `Δβ`.
    pub delta_beta: Estimate,
}

/// `Δβ` by a wild bootstrap of the whole pipeline, with the variance of runs and frontier only.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct WildBootstrap {
    /// `Δβ` with its studentised symmetric interval.
    pub delta_beta: Interval,
    /// Two-sided p-value of no change.
    pub p_value: f64,
    /// The same by formulas: t with the degrees of freedom of the line.
    pub analytic: Estimate,
    /// Draws in which a frontier was found.
    pub draws: usize,
}

/// One rule of reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RuleResult {
    /// Name of the rule.
    pub rule: String,
    /// If true, the law above uses this rule.
    pub main: bool,
    /// `Δβ`, with the variance of runs and frontier only.
    pub delta_beta: Estimate,
    /// If true, `Δβ` has the opposite sign to that of the main rule.
    pub sign_flips: bool,
    /// Verdict by this rule, unadjusted, with the variance of runs and frontier only.
    pub verdict: Verdict,
    /// If true, the verdict differs from that by the main rule, decided in the same way.
    pub verdict_flips: bool,
}

/// The law of the difference `E_t − E_b` beside that of the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DifferenceLaw {
    /// `E_t − E_b` at the reference scale, in the unit of the loss.
    pub value: f64,
    /// `d(E_t − E_b) / d ln F`, a straight line through the readings.
    pub slope: Estimate,
    /// The same slope from the two power laws, `β_b E_b − β_t E_t` at the reference scale.
    pub slope_from_laws: f64,
    /// If true, the absolute difference shrinks while the ratio moves away from one, or the reverse.
    pub discordant: bool,
}

/// A straight line of the ratio itself against `log10 F`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SemiLog {
    /// `G` at the reference scale.
    pub level: f64,
    /// Change of `G` per decade.
    pub slope_per_decade: Estimate,
    /// Share of the variance of `G` explained.
    pub r_squared: f64,
}

/// Loss-to-loss: `ln E_t` falls by `κ` when `ln E_b` falls by one, `κ = β_t/β_b`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LossToLoss {
    /// `κ`, with the scale as instrument; `None` if the baseline is flat.
    pub kappa: Option<f64>,
    /// Fieller's set: a bounded interval only where the baseline's exponent differs from zero.
    pub set: ConfidenceSet,
    /// Degrees of freedom.
    pub df: f64,
}

/// The exponent by a mixed model of runs: budgets and runs have normal random effects (REML).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct MixedReport {
    /// `Δβ` with Satterthwaite's degrees of freedom; neither frontier nor items enter.
    pub delta_beta: Estimate,
    /// Standard deviation of the effect that a budget has on all its runs, in `ln G`.
    pub budget_sd: f64,
    /// Standard deviation of runs within a budget.
    pub run_sd: f64,
    /// Number of runs.
    pub runs: usize,
    /// Number of budgets (sizes × lengths of a grid).
    pub budgets: usize,
}
