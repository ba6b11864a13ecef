//! The loss surface of a corpus: which runs enter, what compute is shared out, what is reported.

use super::error::FitError;
use super::estimate::Interval;
use super::options::{Axis, Options};
use super::result::{SurfaceAllocation, SurfaceFit, SurfaceReport};
use super::stats::laws::{Allocation, SurfaceIntervals, check_surface_design, fit_surface};
use super::view::CorpusView;

/// The surface through the log errors `log_errors` (by position in the corpus) of the runs of `view`.
pub(crate) fn surface(view: &CorpusView<'_>, log_errors: &[f64], options: &Options) -> SurfaceFit {
    match fit(view, log_errors, options) {
        Ok(report) => SurfaceFit::Fitted(Box::new(report)),
        Err(error) => SurfaceFit::Refused {
            reason: error.to_string(),
        },
    }
}

fn fit(
    view: &CorpusView<'_>,
    log_errors: &[f64],
    options: &Options,
) -> Result<SurfaceReport, FitError> {
    let corpus = view.corpus;
    let all = corpus.ladder.runs();
    let members: Vec<usize> = view
        .members
        .iter()
        .copied()
        .filter(|&m| log_errors[m].is_finite())
        .collect();
    let of = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
        members.iter().map(|&m| f(corpus.runs[m])).collect()
    };
    let (params, tokens) = (of(&|r| all[r].params), of(&|r| all[r].tokens));
    check_surface_design(&params, &tokens)?;
    let losses: Vec<f64> = members.iter().map(|&m| libm::exp(log_errors[m])).collect();
    let huber = options.surface_huber;
    let surface = fit_surface(&params, &tokens, &losses, huber)?;
    let mut names: Vec<&str> = Vec::new();
    let trajectories: Vec<usize> = members
        .iter()
        .map(|&m| {
            let run = &all[corpus.runs[m]];
            let name = run.trajectory.as_deref().unwrap_or(&run.id);
            names.iter().position(|n| *n == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        })
        .collect();
    let intervals = SurfaceIntervals::new(
        &surface,
        [&params, &tokens, &losses],
        Some(&trajectories),
        huber,
        1.0 - options.alpha,
    )?;
    // What a parameter and token cost in this ladder's own FLOPs.
    let ln_flops = of(&|r| libm::log(all[r].flops));
    let n = members.len() as f64;
    let ln_cost = (ln_flops.iter().zip(&params).zip(&tokens))
        .map(|((c, n), d)| c - libm::log(*n) - libm::log(*d))
        .sum::<f64>()
        / n;
    let cost = libm::exp(ln_cost);
    let reference = match options.axis {
        Axis::Flops => view.plan.origin,
        Axis::Params | Axis::Tokens => ln_flops.iter().sum::<f64>() / n,
    };
    let largest = ln_flops.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let at = |ln_c: f64| {
        let allocation = intervals.allocation(&surface, libm::exp(ln_c), cost).ok()?;
        report_allocation(&allocation)
    };
    let numbers = [
        surface.floor,
        surface.a,
        surface.b,
        surface.alpha,
        surface.beta,
        cost,
        intervals.residual_sd,
        surface.certificate.gradient,
    ];
    if !numbers.iter().all(|v| v.is_finite()) {
        return Err(FitError::Unsupported {
            reason: "the parameters of the loss surface are too large for a finite result"
                .to_owned(),
        });
    }
    let certificate = surface.certificate.clone();
    Ok(SurfaceReport {
        runs: members.len(),
        floor: surface.floor,
        floor_interval: ends(intervals.floor),
        a: surface.a,
        a_interval: ends(intervals.a),
        b: surface.b,
        b_interval: ends(intervals.b),
        alpha: surface.alpha,
        alpha_interval: ends(intervals.alpha),
        beta: surface.beta,
        beta_interval: ends(intervals.beta),
        params_exponent: surface.params_exponent(),
        params_exponent_interval: ends(intervals.params_exponent),
        df: intervals.df,
        residual_sd: intervals.residual_sd,
        flops_per_param_token: cost,
        reference: at(reference),
        largest: at(largest),
        gradient: certificate.gradient,
        condition: Some(certificate.condition).filter(|c| c.is_finite()),
        starts: certificate.starts,
        agreeing: certificate.agreeing,
        at_bound: certificate.at_bound,
    })
}

/// Both ends, where they are numbers: the exponential of a wide interval need not be.
fn ends(interval: Option<Interval>) -> Option<[f64; 2]> {
    interval
        .map(|i| [i.lower, i.upper])
        .filter(|ends| ends.iter().all(|v| v.is_finite()))
}

fn report_allocation(a: &Allocation) -> Option<SurfaceAllocation> {
    let numbers = [a.flops, a.params, a.tokens, a.tokens / a.params, a.loss];
    numbers
        .iter()
        .all(|v| v.is_finite())
        .then_some(SurfaceAllocation {
            flops: a.flops,
            params: a.params,
            params_interval: ends(a.params_interval),
            tokens: a.tokens,
            tokens_interval: ends(a.tokens_interval),
            tokens_per_param: a.tokens / a.params,
            loss: a.loss,
        })
}
