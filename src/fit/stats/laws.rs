//! Parametric laws of one distribution: power, floor, and the surface L(N, D).
//!
//! Every law is fitted to logarithmic residuals ln E − ln Ê, the scale on which noise between
//! runs is roughly constant. Nonlinear fits are deterministic: linear parameters are eliminated
//! (variable projection, non-negative least squares) and the rest searched on a grid, then every
//! local minimum of the grid is polished by Levenberg–Marquardt with analytic derivatives, so
//! there are no random starts to agree or disagree.

mod design;
mod floor;
mod floor_profile;
mod intervals;
mod nonlinear;
mod pair;
mod points;
mod refit;
pub(crate) mod shapes;
mod sigmoid;
#[cfg(test)]
mod simulated;
mod surface;
mod surface_draws;
mod surface_refit;
#[cfg(test)]
mod tests;

pub(crate) use design::check_surface_design;
#[cfg(test)]
pub(crate) use floor::fit_floor_law;
pub(crate) use floor::{FloorCurve, compare_laws, fit_floor_curve};
pub(crate) use floor_profile::FloorProfile;
pub(crate) use intervals::{Allocation, SurfaceIntervals};
pub(crate) use pair::{PairCovariance, PairDraw, PairNoise};
pub(crate) use refit::FloorRefit;
pub(crate) use sigmoid::{curve as sigmoid, fit_sigmoid};
pub(crate) use surface::{LossSurface, SurfaceCurve, fit_surface};
pub(crate) use surface_draws::SurfaceDraws;
pub(crate) use surface_refit::SurfaceRefit;

/// ln(e^a + e^b).
fn ln_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        return high;
    }
    high + (low - high).exp().ln_1p()
}
