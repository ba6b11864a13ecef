//! The loss surface of a corpus: which runs enter, what compute is shared out, what is reported.

use super::error::FitError;
use super::options::{Axis, Options};
use super::result::{SurfaceAllocation, SurfaceFit, SurfaceReport};
use super::stats::labels;
use super::stats::laws::{
    Allocation, FloorProfile, LossSurface, SurfaceCurve, SurfaceDraws, SurfaceIntervals,
    check_surface_design, fit_surface,
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
        let name = |&m: &usize| all[corpus.runs[m]].training_run();
        let trajectories = labels::by_key(members.iter().map(name));
        Self {
            params: of(&|r| all[r].params),
            tokens: of(&|r| all[r].tokens),
            losses: members.iter().map(|&m| libm::exp(log_errors[m])).collect(),
            ln_flops: of(&|r| libm::log(all[r].flops)),
            trajectories,
        }
    }

    /// Sizes, training lengths and losses.
    fn columns(&self) -> [&[f64]; 3] {
        [&self.params, &self.tokens, &self.losses]
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
        data.columns(),
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
    let (floor_interval, floor_identified) = floor_interval(&surface, &intervals, &data, huber)?;
    let [alpha_error, beta_error, params_exponent_error] = intervals.errors;
    let report = SurfaceReport {
        runs: data.losses.len(),
        floor: surface.floor,
        floor_interval,
        floor_identified,
        a: surface.a,
        a_interval: finite(intervals.a),
        b: surface.b,
        b_interval: finite(intervals.b),
        alpha: surface.alpha,
        alpha_interval: finite(intervals.alpha),
        alpha_error,
        beta: surface.beta,
        beta_interval: finite(intervals.beta),
        beta_error,
        params_exponent: surface.params_exponent(),
        params_exponent_interval: finite(intervals.params_exponent),
        params_exponent_error,
        draws: 0,
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
    let report = match options.redrawn_surfaces() {
        0 => report,
        draws => redrawn(report, &surface, &data, (draws, options))?,
    };
    check_report(report)
}

impl Options {
    /// Number of redrawn surfaces behind intervals; 0 for linearised ones.
    pub(crate) fn redrawn_surfaces(&self) -> u32 {
        /// As many as give a standard error to 5 %.
        const DRAWS: u32 = 250;
        // At a threshold of 1e-3 a linearisation rests on the few residuals within it: on 240 published
        // runs of Chinchilla, its error of α was 67 % too large and that of β 25 % too small.
        let default = self.surface_huber.map_or(0, |_| DRAWS);
        self.surface_draws.unwrap_or(default)
    }
}

/// The interval of the floor within \[0, smallest loss\], and if it is less than all of that.
fn floor_interval(
    surface: &LossSurface,
    intervals: &SurfaceIntervals,
    data: &Data,
    huber: Option<f64>,
) -> Result<(Option<[f64; 2]>, bool), FitError> {
    /// Ratio of the ends up to which the linearised interval is that of the profile.
    const WELL_KNOWN: f64 = 1.2;
    let known = |[lower, upper]: &[f64; 2]| upper / lower < WELL_KNOWN;
    if let Some(interval) = intervals.floor.filter(known) {
        return Ok((Some(interval), true));
    }
    let smallest = data.losses.iter().copied().fold(f64::INFINITY, f64::min);
    // The contour of Huber's loss has no known level.
    if huber.is_some() {
        let clipped = intervals.floor.map(|[l, u]| [l, u.min(smallest)]);
        let open = |[l, u]: [f64; 2]| l < 1e-9 * smallest && u >= smallest;
        return Ok((clipped, !clipped.is_none_or(open)));
    }
    let profile = FloorProfile::new(surface, data.columns(), intervals.floor_excess)?;
    Ok((finite(Some(profile.interval)), profile.identified))
}

/// The report with errors and intervals from redrawn runs.
fn redrawn(
    mut report: SurfaceReport,
    surface: &LossSurface,
    data: &Data,
    (draws, options): (u32, &Options),
) -> Result<SurfaceReport, FitError> {
    let trajectories = Some(data.trajectories.as_slice());
    let huber = options.surface_huber;
    let seed = options.seed;
    let drawn = SurfaceDraws::new(surface, data.columns(), trajectories, huber, (draws, seed))?;
    let level = 1.0 - options.alpha;
    let smallest = data.losses.iter().copied().fold(f64::INFINITY, f64::min);
    report.draws = draws;
    report.alpha_error = drawn.error(|c| c.alpha);
    report.beta_error = drawn.error(|c| c.beta);
    report.params_exponent_error = drawn.error(SurfaceCurve::params_exponent);
    report.floor_interval = drawn.interval(level, |c| c.floor.min(smallest))?;
    // A floor of a billionth of the loss is none.
    let open = |[l, u]: [f64; 2]| l < 1e-9 * smallest && u >= smallest * (1.0 - 1e-9);
    report.floor_identified = !report.floor_interval.is_none_or(open);
    report.a_interval = drawn.interval(level, |c| c.a)?;
    report.b_interval = drawn.interval(level, |c| c.b)?;
    report.alpha_interval = drawn.interval(level, |c| c.alpha)?;
    report.beta_interval = drawn.interval(level, |c| c.beta)?;
    report.params_exponent_interval = drawn.interval(level, SurfaceCurve::params_exponent)?;
    let cost = report.flops_per_param_token;
    for allocation in [&mut report.reference, &mut report.largest] {
        if let Some(a) = allocation.as_mut() {
            let flops = a.flops;
            // A draw without one of the terms has no optimum.
            let size = |c: &SurfaceCurve| c.allocation(flops, cost).map_or(f64::NAN, |n| n.0);
            a.params_interval = drawn.interval(level, size)?;
            let product = flops / cost;
            a.tokens_interval = a.params_interval.map(|[l, u]| [product / u, product / l]);
        }
    }
    Ok(report)
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
