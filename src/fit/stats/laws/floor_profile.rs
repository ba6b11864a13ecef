//! The profile interval of the floor of a loss surface, within what a floor can be.
//!
//! # References
//! - D. M. Bates, D. G. Watts (1988), *Nonlinear Regression Analysis*, §6.1 (profile intervals).

use super::nonlinear::{Polished, Problem, polish_until};
use super::surface::{LossSurface, SurfaceProblem};
use crate::fit::error::FitError;

/// Steps and least gain of one fit of the profile: ends are reported to four digits.
const EFFORT: (usize, f64) = (60, 1e-7);

/// Width of ln E at which the search for an end stops.
const PRECISION: f64 = 1e-4;

/// The interval {E: RSS(E) ≤ RSS·(1 + t²·κ/(n − p))}, clipped to \[0, smallest loss\].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FloorProfile {
    /// Its ends.
    pub(crate) interval: [f64; 2],
    /// If false, it is the whole of what a floor can be.
    pub(crate) identified: bool,
}

impl FloorProfile {
    /// The profile of `surface`, the least-squares fit to `data` (sizes, training lengths, losses).
    /// `excess` is t²·κ/(n − p): κ is the variance of ln E with dependent runs over that without.
    ///
    /// # Errors
    /// As [`fit_surface`](super::fit_surface).
    pub(crate) fn new(
        surface: &LossSurface,
        [params, tokens, losses]: [&[f64]; 3],
        excess: f64,
    ) -> Result<Self, FitError> {
        let (problem, centres) = SurfaceProblem::new(params, tokens, losses)?;
        let parameters = surface.curve().centred(centres);
        let profile = Profile {
            threshold: 0.5 * problem.rss(&parameters) * (1.0 + excess),
            problem: &problem,
        };
        let ln_smallest = problem.ln_l.iter().copied().fold(f64::INFINITY, f64::min);
        // A floor of e^-20 of the loss is none, as where parameters are at a bound.
        let ln_none = ln_smallest - 20.0;
        let estimate = parameters[0].clamp(ln_none, ln_smallest);
        // The ends of the range first: where the floor is not identified, two fits say so.
        let lower = if profile.holds(f64::NEG_INFINITY, &parameters).is_some() {
            0.0
        } else {
            profile.end([estimate, ln_none], &parameters).exp()
        };
        let upper = if profile.holds(ln_smallest, &parameters).is_some() {
            ln_smallest.exp()
        } else {
            profile.end([estimate, ln_smallest], &parameters).exp()
        };
        Ok(Self {
            interval: [lower, upper],
            identified: lower > 0.0 || upper < ln_smallest.exp(),
        })
    }
}

struct Profile<'a> {
    problem: &'a SurfaceProblem,
    threshold: f64,
}

impl Profile<'_> {
    /// The parameters of the fit with ln E held, if it lies within the contour.
    fn holds(&self, ln_e: f64, near: &[f64; 5]) -> Option<[f64; 5]> {
        let mut start = *near;
        start[0] = ln_e;
        let fit: Polished<5> = polish_until(
            self.problem,
            start,
            [false, true, true, true, true],
            None,
            EFFORT,
        );
        // NaN is outside.
        (fit.cost <= self.threshold).then_some(fit.parameters)
    }

    /// ln E at which the profile leaves the contour between the estimate `from` and `to`, which lies
    /// outside.
    fn end(&self, [from, to]: [f64; 2], at_estimate: &[f64; 5]) -> f64 {
        let sign = if to > from { 1.0 } else { -1.0 };
        let (mut inside, mut outside) = (from, to);
        let mut near = *at_estimate;
        // Outwards with doubling steps from 5 %, each fit from the last, then halving.
        let mut step = 0.05;
        while (outside - inside).abs() > PRECISION {
            let next = if step > 0.0 && step < (outside - inside).abs() {
                inside + sign * step
            } else {
                0.5 * (inside + outside)
            };
            match self.holds(next, &near) {
                Some(parameters) => {
                    (inside, near) = (next, parameters);
                    step *= 2.0;
                }
                None => {
                    outside = next;
                    // From now on the bracket is halved.
                    step = 0.0;
                }
            }
        }
        0.5 * (inside + outside)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::stats::laws::{SurfaceIntervals, fit_surface};
    use crate::fit::stats::quantile::t_critical;
    use crate::fit::stats::random::Stream;

    fn ladder(floor: f64, sd: f64, seed: u64) -> [Vec<f64>; 3] {
        let mut stream = Stream::new(seed, "profile", 0);
        let (mut n, mut d, mut l) = (vec![], vec![], vec![]);
        for i in 0..6 {
            for j in 0..6 {
                let (params, tokens) = (5e7 * 2_f64.powi(i), 1e9 * 2.5_f64.powi(j));
                let loss = floor + 406.4 / params.powf(0.34) + 410.7 / tokens.powf(0.28);
                n.push(params);
                d.push(tokens);
                l.push(loss * (sd * stream.normal()).exp());
            }
        }
        [n, d, l]
    }

    fn profile([n, d, l]: &[Vec<f64>; 3]) -> (LossSurface, FloorProfile, Option<[f64; 2]>) {
        let data = [n.as_slice(), d, l];
        let surface = fit_surface(n, d, l, None).unwrap();
        let excess = t_critical(0.95, 31.0).powi(2) / 31.0;
        let linear = SurfaceIntervals::new(&surface, data, None, None, 0.95).unwrap();
        let profile = FloorProfile::new(&surface, data, excess).unwrap();
        (surface, profile, linear.floor)
    }

    #[test]
    fn where_the_floor_is_known_well_both_intervals_agree() {
        let (surface, profile, linear) = profile(&ladder(1.69, 5e-4, 1));
        let linear = linear.unwrap();
        let width = linear[1] - linear[0];
        assert!(width < 0.1 * surface.floor, "{linear:?}");
        for (a, b) in profile.interval.iter().zip(linear) {
            assert!((a - b).abs() < 0.05 * width, "{profile:?} {linear:?}");
        }
        assert!(profile.identified);
    }

    #[test]
    fn the_interval_stays_within_what_a_floor_can_be_and_covers() {
        let (mut inside, mut open) = (0, 0);
        for seed in 0..60 {
            let data = ladder(0.3, 0.02, seed);
            let smallest = data[2].iter().copied().fold(f64::INFINITY, f64::min);
            let (_, profile, _) = profile(&data);
            let [low, high] = profile.interval;
            assert!((0.0..=high).contains(&low) && high <= smallest * (1.0 + 1e-12));
            inside += usize::from(low <= 0.3 && 0.3 <= high);
            open += usize::from(low == 0.0);
        }
        assert!(
            inside >= 53 && open >= 10,
            "{inside} inside, {open} open below"
        );
    }

    #[test]
    fn ten_noisy_runs_do_not_identify_a_floor() {
        let found = (0..20).any(|seed| {
            let data = ladder(0.3, 0.2, seed).map(|v| v.into_iter().step_by(3).collect());
            let (_, profile, _) = profile(&data);
            assert!(profile.identified || profile.interval[0] == 0.0);
            !profile.identified
        });
        assert!(found);
    }
}
