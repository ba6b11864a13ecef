//! The loss surface of a corpus: which runs enter, what compute is shared out, what is reported.

use super::error::FitError;
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

/// The runs of a surface, one entry per run.
struct Data {
    params: Vec<f64>,
    tokens: Vec<f64>,
    losses: Vec<f64>,
    ln_flops: Vec<f64>,
    /// Number of the training run that each is a checkpoint of.
    trajectories: Vec<usize>,
}

impl Data {
    fn new(view: &CorpusView<'_>, log_errors: &[f64]) -> Self {
        let corpus = view.corpus;
        let all = corpus.ladder.runs();
        // Members have both distributions of a law, but the aggregate may lack a run.
        let members: Vec<usize> = view
            .members
            .iter()
            .copied()
            .filter(|&m| log_errors[m].is_finite())
            .collect();
        let of = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
            members.iter().map(|&m| f(corpus.runs[m])).collect()
        };
        let mut names: Vec<&str> = Vec::new();
        let trajectories = members
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
        Self {
            params: of(&|r| all[r].params),
            tokens: of(&|r| all[r].tokens),
            losses: members.iter().map(|&m| libm::exp(log_errors[m])).collect(),
            ln_flops: of(&|r| libm::log(all[r].flops)),
            trajectories,
        }
    }

    /// FLOPs per parameter and token in this ladder's own count, the geometric mean over runs.
    fn cost(&self) -> f64 {
        // The ladder's own FLOPs per parameter and token, not 6: an allocation must cost what the
        // ladder would charge.
        let ln_cost = (self.ln_flops.iter().zip(&self.params).zip(&self.tokens))
            .map(|((c, n), d)| c - libm::log(*n) - libm::log(*d))
            .sum::<f64>()
            / self.ln_flops.len() as f64;
        libm::exp(ln_cost)
    }
}

fn fit(
    view: &CorpusView<'_>,
    log_errors: &[f64],
    options: &Options,
) -> Result<SurfaceReport, FitError> {
    let data = Data::new(view, log_errors);
    check_surface_design(&data.params, &data.tokens)?;
    let huber = options.surface_huber;
    let surface = fit_surface(&data.params, &data.tokens, &data.losses, huber)?;
    let intervals = SurfaceIntervals::new(
        &surface,
        [&data.params, &data.tokens, &data.losses],
        Some(&data.trajectories),
        huber,
        1.0 - options.alpha,
    )?;
    let cost = data.cost();
    let reference = match options.axis {
        Axis::Flops => view.plan.origin,
        // The origin of another axis is no compute.
        Axis::Params | Axis::Tokens => {
            data.ln_flops.iter().sum::<f64>() / data.ln_flops.len() as f64
        }
    };
    let largest = data.ln_flops.iter().copied();
    let largest = largest.fold(f64::NEG_INFINITY, f64::max);
    let at = |ln_c: f64| {
        let allocation = intervals.allocation(&surface, libm::exp(ln_c), cost).ok()?;
        report_allocation(&allocation)
    };
    let certificate = surface.certificate.clone();
    let report = SurfaceReport {
        runs: data.losses.len(),
        floor: surface.floor,
        floor_interval: finite(intervals.floor),
        a: surface.a,
        a_interval: finite(intervals.a),
        b: surface.b,
        b_interval: finite(intervals.b),
        alpha: surface.alpha,
        alpha_interval: finite(intervals.alpha),
        beta: surface.beta,
        beta_interval: finite(intervals.beta),
        params_exponent: surface.params_exponent(),
        params_exponent_interval: finite(intervals.params_exponent),
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
    };
    check_report(report)
}

/// Refuses a report with NaN or infinity, which JSON would lose.
fn check_report(report: SurfaceReport) -> Result<SurfaceReport, FitError> {
    let numbers = [
        report.floor,
        report.a,
        report.b,
        report.alpha,
        report.beta,
        report.flops_per_param_token,
        report.residual_sd,
        report.gradient,
    ];
    if numbers.iter().all(|v| v.is_finite()) {
        return Ok(report);
    }
    Err(FitError::Unsupported {
        reason: "the parameters of the loss surface are too large for a finite result".to_owned(),
    })
}

/// Both ends, where they are numbers: the exponential of a wide interval need not be.
fn finite(interval: Option<[f64; 2]>) -> Option<[f64; 2]> {
    interval.filter(|ends| ends.iter().all(|v| v.is_finite()))
}

fn report_allocation(a: &Allocation) -> Option<SurfaceAllocation> {
    let numbers = [a.flops, a.params, a.tokens, a.tokens / a.params, a.loss];
    numbers
        .iter()
        .all(|v| v.is_finite())
        .then_some(SurfaceAllocation {
            flops: a.flops,
            params: a.params,
            params_interval: finite(a.params_interval),
            tokens: a.tokens,
            tokens_interval: finite(a.tokens_interval),
            tokens_per_param: a.tokens / a.params,
            loss: a.loss,
        })
}
