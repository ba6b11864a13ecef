//! A loss surface fitted to redrawn runs: errors and intervals without a linearisation.
//!
//! # References
//! - B. Efron, R. J. Tibshirani (1993), *An Introduction to the Bootstrap*, §9.5 (resampling cases).
//! - T. Besiroglu et al. (2024), arXiv:2404.10102 (of the runs of a surface).

use super::intervals::Trajectories;
use super::surface::{LossSurface, SurfaceCurve, SurfaceProblem, check_huber};
use super::surface_refit::{refit, starts};
use crate::fit::error::FitError;
use crate::fit::stats::checks::check_probability;
use crate::fit::stats::random::Stream;

/// Steps of a refit, and the least gain of one: with Huber's loss most residuals lie where it is
/// linear, and steps are short.
const EFFORT: (usize, f64) = (300, 1e-9);

/// Surfaces fitted to runs that were drawn with replacement.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SurfaceDraws {
    curves: Vec<SurfaceCurve>,
}

impl SurfaceDraws {
    /// `draws` refits of `surface`, which was fitted to the same `data` (sizes, training lengths,
    /// losses) with the same `huber`. Checkpoints of one training run, by `trajectories`, are drawn
    /// together.
    ///
    /// **Reproducibility**: draws depend on `seed` and on the order of the runs.
    ///
    /// # Errors
    /// As [`fit_surface`](super::fit_surface), and when a refit does not converge: the draws left would
    /// be the easy ones.
    pub(crate) fn new(
        surface: &LossSurface,
        data: [&[f64]; 3],
        trajectories: Option<&[usize]>,
        huber: Option<f64>,
        (draws, seed): (u32, u64),
    ) -> Result<Self, FitError> {
        check_huber(huber)?;
        let [params, tokens, losses] = data;
        let (problem, centres) = SurfaceProblem::new(params, tokens, losses)?;
        let runs = Trajectories::new(trajectories, losses.len())?;
        let members: Vec<Vec<usize>> = match &runs {
            Some(runs) => runs.members(),
            None => (0..losses.len()).map(|i| vec![i]).collect(),
        };
        let starts = starts(surface.curve().centred(centres));
        let curves: Result<Vec<SurfaceCurve>, FitError> = (0..u64::from(draws))
            .map(|replicate| {
                let mut stream = Stream::new(seed, "surface", replicate);
                let number = members.len() as u64;
                let drawn: Vec<usize> = (0..number)
                    .flat_map(|_| members[stream.index(number) as usize].clone())
                    .collect();
                let fit = refit(&problem.of_runs(&drawn), &starts, huber, EFFORT)?;
                Ok(SurfaceCurve::of(fit, centres))
            })
            .collect();
        Ok(Self { curves: curves? })
    }

    /// Standard deviation over the draws; `None` where that is not finite.
    pub(crate) fn error(&self, of: impl Fn(&SurfaceCurve) -> f64) -> Option<f64> {
        let values: Vec<f64> = self.curves.iter().map(of).collect();
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        Some((square / (n - 1.0)).sqrt()).filter(|e| e.is_finite())
    }

    /// Percentiles over the draws; `None` where one is not finite.
    ///
    /// # Errors
    /// When `level` is outside (0, 1).
    pub(crate) fn interval(
        &self,
        level: f64,
        of: impl Fn(&SurfaceCurve) -> f64,
    ) -> Result<Option<[f64; 2]>, FitError> {
        check_probability("confidence level", level)?;
        let mut values: Vec<f64> = self.curves.iter().map(of).collect();
        if values.iter().any(|v| v.is_nan()) {
            return Ok(None);
        }
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let rank = (0.5 * (1.0 - level) * (n + 1) as f64).round().max(1.0) as usize;
        let ends = values.get(rank - 1).zip(values.get(n.wrapping_sub(rank)));
        Ok(ends
            .map(|(l, u)| [*l, *u])
            .filter(|ends| ends.iter().all(|v| v.is_finite())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fit::stats::laws::fit_surface;
    use crate::fit::stats::random::Stream;

    /// A ladder of the shape of Hoffmann et al.: 240 runs over three decades of compute, with heavy
    /// tails.
    fn ladder(seed: u64) -> [Vec<f64>; 3] {
        let mut stream = Stream::new(seed, "chinchilla", 0);
        let (mut n, mut d, mut l) = (vec![], vec![], vec![]);
        for i in 0..240 {
            let flops = 6e18 * 10_f64.powf(2.5 * f64::from(i % 12) / 11.0);
            let params = (flops / 120.0).sqrt() * 10_f64.powf(1.2 * (stream.uniform() - 0.5));
            let tokens = flops / 6.0 / params;
            let loss = 1.8 + 482.0 / params.powf(0.348) + 2085.0 / tokens.powf(0.366);
            // One run in ten scatters six times as far.
            let sd = if stream.index(10) == 0 { 0.02 } else { 3.5e-3 };
            n.push(params);
            d.push(tokens);
            l.push(loss * (sd * stream.normal()).exp());
        }
        [n, d, l]
    }

    #[test]
    fn errors_of_huber_fits_are_those_of_repeated_ladders() {
        let huber = Some(1e-3);
        let fits: Vec<SurfaceCurve> = (0..100)
            .map(|seed| {
                let [n, d, l] = ladder(seed);
                fit_surface(&n, &d, &l, huber).unwrap().curve()
            })
            .collect();
        let repeated = SurfaceDraws { curves: fits };
        let mut ratio = [0.0; 2];
        for seed in 0..5 {
            let [n, d, l] = ladder(seed);
            let data = [n.as_slice(), &d, &l];
            let surface = fit_surface(&n, &d, &l, huber).unwrap();
            let draws = SurfaceDraws::new(&surface, data, None, huber, (250, seed)).unwrap();
            let of: [fn(&SurfaceCurve) -> f64; 2] = [|c| c.alpha, |c| c.beta];
            for (ratio, of) in ratio.iter_mut().zip(of) {
                *ratio += draws.error(of).unwrap() / repeated.error(of).unwrap() / 5.0;
            }
            let [low, high] = draws.interval(0.95, |c| c.alpha).unwrap().unwrap();
            assert!(low < surface.alpha && surface.alpha < high);
        }
        println!(
            "bootstrap errors over true ones: α {:.3}, β {:.3}",
            ratio[0], ratio[1]
        );
        // A standard deviation of 100 fits is known to 7 %, that of 250 draws of one ladder to 5 %.
        assert!(ratio.iter().all(|r| (0.8..1.25).contains(r)), "{ratio:?}");
    }

    #[test]
    fn draws_are_those_of_their_seed_and_keep_training_runs_together() {
        let [n, d, l] = ladder(3);
        let data = [n.as_slice(), &d, &l];
        let surface = fit_surface(&n, &d, &l, None).unwrap();
        let of = |trajectories: Option<&[usize]>, seed| {
            SurfaceDraws::new(&surface, data, trajectories, None, (40, seed)).unwrap()
        };
        assert_eq!(of(None, 1), of(None, 1));
        assert_ne!(of(None, 1), of(None, 2));
        // One run per training run is the same as none named; twelve runs in all are fewer.
        let own: Vec<usize> = (0..240).collect();
        assert_eq!(of(Some(&own), 1), of(None, 1));
        let twelve: Vec<usize> = (0..240).map(|i| i % 12).collect();
        assert_ne!(of(Some(&twelve), 1), of(None, 1));
        assert!(of(None, 1).interval(1.0, |c| c.alpha).is_err());
    }
}
