//! The loss surface of a corpus: the runs that enter, the compute that is shared out, and the report.

use super::error::FitError;
use super::estimate::Interval;
use super::options::{Axis, Options};
use super::result::{SurfaceAllocation, SurfaceFit, SurfaceReport};
use super::stats::laws::{
    Allocation, Surface, SurfaceIntervals, check_surface_design, fit_surface,
};
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
    let members: Vec<usize> = view
        .members
        .iter()
        .copied()
        .filter(|&m| log_errors[m].is_finite())
        .collect();
    let all = view.corpus.ladder.runs();
    let of = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
        members.iter().map(|&m| f(view.corpus.runs[m])).collect()
    };
    let (params, tokens) = (of(&|r| all[r].params), of(&|r| all[r].tokens));
    check_surface_design(&params, &tokens)?;
    let losses: Vec<f64> = members.iter().map(|&m| libm::exp(log_errors[m])).collect();
    let huber = options.surface_huber;
    let surface = fit_surface(&params, &tokens, &losses, huber)?;
    let intervals = SurfaceIntervals::new(
        &surface,
        [&params, &tokens, &losses],
        Some(&trajectories(view, &members)),
        huber,
        1.0 - options.alpha,
    )?;
    let ln_flops = of(&|r| libm::log(all[r].flops));
    let compute = Compute::new(view, &ln_flops, [&params, &tokens], options.axis);
    report(&surface, &intervals, &compute, members.len())
}

/// Training run of each of `members`, numbered from 0: its checkpoints are one cluster.
fn trajectories(view: &CorpusView<'_>, members: &[usize]) -> Vec<usize> {
    let mut names: Vec<&str> = Vec::new();
    members
        .iter()
        .map(|&m| {
            let run = &view.corpus.ladder.runs()[view.corpus.runs[m]];
            let name = run.trajectory.as_deref().unwrap_or(&run.id);
            names.iter().position(|n| *n == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            })
        })
        .collect()
}

/// The compute that allocations share out.
struct Compute {
    /// FLOPs per parameter and token in this ladder's own convention.
    cost: f64,
    /// `ln C` of the reference scale and of the largest run.
    reference: f64,
    largest: f64,
}

impl Compute {
    fn new(
        view: &CorpusView<'_>,
        ln_flops: &[f64],
        [params, tokens]: [&[f64]; 2],
        axis: Axis,
    ) -> Self {
        let n = ln_flops.len() as f64;
        let ln_cost = (ln_flops.iter().zip(params).zip(tokens))
            .map(|((c, n), d)| c - libm::log(*n) - libm::log(*d))
            .sum::<f64>()
            / n;
        Self {
            cost: libm::exp(ln_cost),
            reference: match axis {
                Axis::Flops => view.plan.origin,
                Axis::Params | Axis::Tokens => ln_flops.iter().sum::<f64>() / n,
            },
            largest: ln_flops.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

fn report(
    surface: &Surface,
    intervals: &SurfaceIntervals,
    compute: &Compute,
    runs: usize,
) -> Result<SurfaceReport, FitError> {
    let at = |ln_c: f64| {
        let allocation = intervals.allocation(surface, libm::exp(ln_c), compute.cost);
        report_allocation(&allocation.ok()?)
    };
    let certificate = surface.certificate.clone();
    let numbers = [
        surface.floor,
        surface.a,
        surface.b,
        surface.alpha,
        surface.beta,
        compute.cost,
        intervals.residual_sd,
        certificate.gradient,
    ];
    if !numbers.iter().all(|v| v.is_finite()) {
        return Err(FitError::Unsupported {
            reason: "the parameters of the loss surface are too large for a finite result"
                .to_owned(),
        });
    }
    Ok(SurfaceReport {
        runs,
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
        flops_per_param_token: compute.cost,
        reference: at(compute.reference),
        largest: at(compute.largest),
        gradient: certificate.gradient,
        condition: Some(certificate.condition).filter(|c| c.is_finite()),
        starts: certificate.starts,
        agreeing: certificate.agreeing,
        at_bound: certificate.at_bound,
    })
}

/// Both ends, if they are numbers: the exponential of a wide interval need not be.
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
