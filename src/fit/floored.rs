//! Laws with a floor of the errors that a comparison reads: in the scale, or in sizes and training
//! lengths on a grid.

use super::design::Design;
use super::error::FitError;
use super::logarithm::exp;
use super::options::Axis;
use super::result::FlooredLaw;
use super::stats::laws::{
    FloorCurve, FloorRefit, SurfaceCurve, SurfaceRefit, fit_floor_curve, fit_surface,
};
use super::view::CorpusView;

/// A law with a floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Floored {
    Scale(FloorCurve),
    Surface(SurfaceCurve),
}

/// A point at which a law is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    /// Centred log scale.
    pub(crate) x: f64,
    pub(crate) params: f64,
    pub(crate) tokens: f64,
}

impl Place {
    /// The place of reading `i`: of its first run, where several are read together.
    pub(crate) fn reading(view: &CorpusView<'_>, i: usize) -> Self {
        let run = view.plan.groups[i].members.first().copied();
        Self::run(view, run, view.plan.x[i])
    }

    /// The place at `x` with the size and length of the run at a position of the corpus.
    pub(crate) fn run(view: &CorpusView<'_>, run: Option<usize>, x: f64) -> Self {
        let runs = view.corpus.ladder.runs();
        let run = run
            .and_then(|r| view.corpus.runs.get(r))
            .and_then(|&r| runs.get(r));
        let (params, tokens) = run.map_or((f64::NAN, f64::NAN), |r| (r.params, r.tokens));
        Self { x, params, tokens }
    }

    /// The place at `x` with the tokens per parameter at which the corpus is read.
    pub(crate) fn at(view: &CorpusView<'_>, x: f64, axis: Axis) -> Self {
        let (plan, corpus) = (&view.plan, view.corpus);
        let Some(ratio) = plan.ratio else {
            let (params, tokens) = (f64::NAN, f64::NAN);
            return Self { x, params, tokens };
        };
        let scale = plan.origin + x;
        let log_params = match axis {
            Axis::Params => scale,
            Axis::Tokens => scale - ratio,
            Axis::Flops => {
                // F = k·N·D with the ladder's own k: the geometric mean over its runs.
                let k = |&m: &usize| corpus.log_scale[m] - 2.0 * corpus.size[m] - corpus.ratio[m];
                let runs = view.members.len() as f64;
                let mean = view.members.iter().map(k).sum::<f64>() / runs;
                0.5 * (scale - mean - ratio)
            }
        };
        Self {
            x,
            params: exp(log_params),
            tokens: exp(log_params + ratio),
        }
    }
}

impl Floored {
    /// The law through some of the `readings`, of which `log_errors` are all; `None` if it cannot be
    /// fitted.
    pub(crate) fn fit(
        view: &CorpusView<'_>,
        log_errors: &[f64],
        readings: &[usize],
    ) -> Option<Self> {
        let errors: Vec<f64> = readings.iter().map(|&i| exp(log_errors[i])).collect();
        if view.plan.design == Design::Grid {
            let (n, d) = sizes_and_lengths(view, readings);
            // Without Huber's loss: it competes with a least-squares line.
            return Some(Self::Surface(
                fit_surface(&n, &d, &errors, None).ok()?.curve(),
            ));
        }
        let x: Vec<f64> = readings.iter().map(|&i| view.plan.x[i]).collect();
        Some(Self::Scale(fit_floor_curve(&x, &errors).ok()?))
    }

    pub(crate) fn ln_error(&self, at: &Place) -> f64 {
        match self {
            Self::Scale(law) => law.ln_error(at.x),
            Self::Surface(law) => law.ln_loss(at.params, at.tokens),
        }
    }

    pub(crate) fn floor(&self) -> f64 {
        match self {
            Self::Scale(law) => law.floor,
            Self::Surface(law) => law.floor,
        }
    }

    /// Number of parameters.
    pub(crate) fn parameters(&self) -> usize {
        match self {
            Self::Scale(_) => 3,
            Self::Surface(_) => 5,
        }
    }

    pub(crate) fn report(&self) -> FlooredLaw {
        match *self {
            Self::Scale(law) => FlooredLaw::Scale {
                floor: law.floor,
                amplitude: law.amplitude,
                exponent: law.exponent,
            },
            Self::Surface(law) => FlooredLaw::Surface {
                floor: law.floor,
                a: law.a,
                b: law.b,
                alpha: law.alpha,
                beta: law.beta,
            },
        }
    }
}

fn sizes_and_lengths(view: &CorpusView<'_>, readings: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let at = |i: &usize| Place::reading(view, *i);
    readings
        .iter()
        .map(|i| (at(i).params, at(i).tokens))
        .unzip()
}

/// Refits of a law to redrawn errors of all readings.
#[derive(Debug)]
pub(crate) enum Refit {
    Scale(FloorRefit),
    Surface(SurfaceRefit),
}

impl Refit {
    pub(crate) fn new(view: &CorpusView<'_>, law: &Floored) -> Result<Self, FitError> {
        match law {
            Floored::Scale(law) => Ok(Self::Scale(FloorRefit::new(law, &view.plan.x)?)),
            Floored::Surface(law) => {
                let all: Vec<usize> = (0..view.plan.x.len()).collect();
                let (n, d) = sizes_and_lengths(view, &all);
                Ok(Self::Surface(SurfaceRefit::new(law, [&n, &d])?))
            }
        }
    }

    /// The law fitted to its own errors times e^`noise`.
    pub(crate) fn fit(&self, noise: &[f64]) -> Result<Floored, FitError> {
        match self {
            Self::Scale(refit) => {
                let factors: Vec<f64> = noise.iter().map(|e| exp(*e)).collect();
                Ok(Floored::Scale(refit.fit(&factors)?))
            }
            Self::Surface(refit) => Ok(Floored::Surface(refit.to_noise(noise)?)),
        }
    }
}
