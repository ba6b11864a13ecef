//! A loss surface fitted again to redrawn losses, from the fit as its start.

use super::nonlinear::{Polished, polish_until};
use super::surface::{SurfaceCurve, SurfaceProblem};
use crate::fit::error::FitError;
use crate::fit::stats::checks::check_length;

/// Steps of a refit, and the least gain of one: along a ridge, which takes hundreds of steps, the surface
/// itself hardly changes.
const EFFORT: (usize, f64) = (30, 1e-6);

/// Refits of a surface to the same sizes and training lengths.
#[derive(Debug)]
pub(crate) struct SurfaceRefit {
    problem: SurfaceProblem,
    centres: [f64; 2],
    /// ln of the fitted losses.
    fitted: Vec<f64>,
    starts: Vec<[f64; 5]>,
}

impl SurfaceRefit {
    /// Refits about `curve` to runs of the given sizes and training lengths.
    ///
    /// # Errors
    /// As [`fit_surface`](super::fit_surface).
    pub(crate) fn new(
        curve: &SurfaceCurve,
        [params, tokens]: [&[f64]; 2],
    ) -> Result<Self, FitError> {
        let pairs = params.iter().zip(tokens);
        let fitted: Vec<f64> = pairs.map(|(n, d)| curve.ln_loss(*n, *d)).collect();
        let losses: Vec<f64> = fitted.iter().map(|l| libm::exp(*l)).collect();
        let (problem, centres) = SurfaceProblem::new(params, tokens, &losses)?;
        Ok(Self {
            fitted,
            starts: starts(curve.centred(centres)),
            problem,
            centres,
        })
    }

    /// The surface fitted to the losses L̂·e^`noise`.
    ///
    /// # Errors
    /// When `noise` is not one per run, or nothing can be fitted.
    pub(crate) fn to_noise(&self, noise: &[f64]) -> Result<SurfaceCurve, FitError> {
        check_length("noise", noise.len(), self.fitted.len())?;
        let problem = SurfaceProblem {
            ln_l: self.fitted.iter().zip(noise).map(|(l, e)| l + e).collect(),
            ..self.problem.clone()
        };
        let fit = refit(&problem, &self.starts, None, EFFORT)?;
        Ok(SurfaceCurve::of(fit, self.centres))
    }
}

/// The best fit from several starts.
pub(super) fn refit(
    problem: &SurfaceProblem,
    starts: &[[f64; 5]],
    huber: Option<f64>,
    effort: (usize, f64),
) -> Result<[f64; 5], FitError> {
    let best: Option<Polished<5>> = (starts.iter())
        .map(|s| polish_until(problem, *s, [true; 5], huber, effort))
        .filter(|p| p.cost.is_finite())
        .min_by(|a, b| a.cost.total_cmp(&b.cost));
    best.map(|fit| fit.parameters)
        .ok_or_else(|| FitError::NoConvergence {
            what: "a redrawn loss surface".to_owned(),
        })
}

/// The fit, and where a term has vanished, a start in which it has not: from nothing a logarithm does
/// not come back.
pub(super) fn starts(parameters: [f64; 5]) -> Vec<[f64; 5]> {
    let largest = parameters[..3]
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    // A thousandth, as in the first search.
    let least = largest - 7.0;
    let mut raised = parameters;
    raised[..3].iter_mut().for_each(|v| *v = v.max(least));
    if raised == parameters {
        vec![parameters]
    } else {
        vec![parameters, raised]
    }
}
