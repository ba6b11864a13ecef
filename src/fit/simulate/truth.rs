//! The laws of one distribution.

use serde::{Deserialize, Serialize};

use super::ItemTruth;

/// Laws of one distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Truth {
    /// Name of the distribution.
    pub name: String,
    /// `ln` of the reducible error at the middle of the ladder.
    pub level: f64,
    /// Exponent of the reducible error.
    pub beta: f64,
    /// Irreducible error.
    pub floor: f64,
    /// Effect of `ln(D/N)` in grids and trajectories, on `ln E`.
    pub data_per_param: f64,
    /// The reducible error as a surface in grids and trajectories, instead of `beta`.
    pub surface: Option<SurfaceTruth>,
    /// Standard deviation of a shock that all runs of a size share on this distribution, in grids and
    /// trajectories.
    pub size_noise: f64,
    /// Quadratic, cubic and quartic coefficient of the size profile.
    pub profile: [f64; 3],
    /// Minimum of the profile relative to the frontier, in `ln N`.
    pub shift: f64,
    /// Drift of that with `x`.
    pub shift_drift: f64,
    /// Relative drift of the quadratic coefficient with `x`.
    pub curvature_drift: f64,
    /// Standard deviation of the noise of a run on this distribution alone.
    pub noise: f64,
    /// Standard deviation of a shock that all runs of a budget share on this distribution.
    pub budget_noise: f64,
    /// Items; `None` for one aggregate without item noise.
    pub items: Option<ItemTruth>,
}

impl Truth {
    /// A law without profile, noise or items.
    #[must_use]
    pub fn new(name: impl Into<String>, level: f64, beta: f64) -> Self {
        Self {
            name: name.into(),
            level,
            beta,
            ..Self::default()
        }
    }
}

impl Default for Truth {
    fn default() -> Self {
        Self {
            name: "distribution".into(),
            level: 0.0,
            beta: 0.05,
            floor: 0.0,
            data_per_param: 0.0,
            surface: None,
            size_noise: 0.0,
            profile: [0.028, 0.0, 0.0],
            shift: 0.0,
            shift_drift: 0.0,
            curvature_drift: 0.0,
            noise: 0.0,
            budget_noise: 0.0,
            items: None,
        }
    }
}

/// Reducible error `e^level [(1 − w) (N/N0)^−a + w (D/D0)^−b]` over sizes N and tokens D: no plane in
/// `ln N` and `ln D`, whatever the floor. N0 and D0 belong to the origin of `x` and of `ln(D/N)`.
///
/// # Examples
///
/// ```
/// use relscale::fit::simulate::{Shape, Simulation, SurfaceTruth};
///
/// let mut s = Simulation::default();
/// s.shape = Shape::Grid { params: vec![1e8, 4e8], tokens_per_param: vec![10.0, 40.0] };
/// s.distributions[0].surface =
///     Some(SurfaceTruth { data_share: 0.5, size_exponent: 0.08, data_exponent: 0.08 });
/// // Where N and D grow alike, each nat of compute is half a nat of either; the baseline has 0.05.
/// assert!((s.exponent(0, 1)? - (0.05 - 0.08 / 2.0)).abs() < 1e-12);
/// # Ok::<(), relscale::fit::FitError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[allow(
    clippy::exhaustive_structs,
    reason = "callers write it as a literal; the formula has these three numbers"
)]
pub struct SurfaceTruth {
    /// `w`, the share of the data term at the origin.
    pub data_share: f64,
    /// `a`.
    pub size_exponent: f64,
    /// `b`.
    pub data_exponent: f64,
}
