//! A wild bootstrap of the whole pipeline: runs and budgets are drawn anew, optima and frontier found
//! again, and the readings fitted again.
//!
//! The residuals of a run about its size profiles, in the ratio and in the aggregate loss together, keep
//! or change their sign (Rademacher); the distance of a budget from the line is multiplied by one of
//! Webb's six points. Of that distance, what the noise of runs explains is left out, since the runs
//! bring it anew. Nothing is assumed about the shape of the noise, nor that the error of the frontier
//! is small.
//!
//! # References
//! - E. Mammen (1993), *Annals of Statistics* 21:255 (the wild bootstrap).
//! - M. D. Webb (2023), *Canadian Journal of Economics* 56:839 (six points for few clusters).
//! - A. C. Cameron, J. B. Gelbach, D. L. Miller (2008), *Review of Economics and Statistics* 90:414.

use super::comparison::Comparison;
use super::contrast::fit_readout;
use super::corpus::Corpus;
use super::design::Design;
use super::estimate::{Coefficient, Interval};
use super::options::{OptimumRule, Options};
use super::readings::{ReadingPlan, read_by};
use super::result::WildBootstrap;
use super::stats::random::Stream;
use super::stats::regression::LinearFit;

/// Draws: with one more, the ends of 95 and 99 % intervals are order statistics.
const DRAWS: usize = 999;
/// Largest share of draws without a frontier: a bootstrap of the rest would be of easier ladders.
const MOST_FAILED: f64 = 0.05;
/// Leverage beyond which a residual is not blown up: it rests on one run, whatever its noise is.
const HIGHEST_LEVERAGE: f64 = 0.99;

/// The bootstrap of one comparison; `None` on grids, where checkpoints share a training run, with robust
/// readings or another rule of reading than the default, and where too many draws have no frontier.
pub(crate) fn wild_bootstrap(
    comparison: &Comparison<'_, '_>,
    options: &Options,
) -> Option<WildBootstrap> {
    let plan = &comparison.view.plan;
    let single = plan.main().regression.clusters().is_empty();
    // Draws are read by least squares: about the slope of robust readings they would lie off centre.
    let plainly = options.optimum == OptimumRule::Smoothed && !options.robust;
    if plan.design == Design::Grid || !single || !plainly {
        return None;
    }
    let noise = Noise::new(comparison)?;
    let whole = fit_readout(plan.main(), &comparison.y).ok()?;
    let estimate = whole.plain_estimate(Coefficient::Slope, options.alpha);
    let mut distances: Vec<f64> = (0..DRAWS)
        .filter_map(|k| {
            let mut stream = Stream::new(options.seed, "wild pipeline", k as u64);
            let (y, aggregate) = noise.draw(&mut stream);
            let again = refit(comparison.corpus(), plan, &y, &aggregate, options)?;
            let t = (again.0 - estimate.value) / again.1;
            t.is_finite().then_some(t.abs())
        })
        .collect();
    let draws = distances.len();
    if (DRAWS - draws) as f64 > MOST_FAILED * DRAWS as f64 {
        return None;
    }
    distances.sort_by(f64::total_cmp);
    let observed = (estimate.value / estimate.standard_error).abs();
    let beyond = distances.iter().filter(|d| **d >= observed).count();
    let rank = ((1.0 - options.alpha) * (draws + 1) as f64).ceil() as usize;
    let half = distances.get(rank.checked_sub(1)?)? * estimate.standard_error;
    half.is_finite().then(|| WildBootstrap {
        delta_beta: Interval {
            value: estimate.value,
            lower: estimate.value - half,
            upper: estimate.value + half,
        },
        p_value: (beyond + 1) as f64 / (draws + 1) as f64,
        analytic: estimate,
        draws,
    })
}

/// Slope and standard error of `y` read at the optima of `aggregate`.
fn refit(
    corpus: &Corpus<'_>,
    plan: &ReadingPlan,
    y: &[f64],
    aggregate: &[f64],
    options: &Options,
) -> Option<(f64, f64)> {
    let fitted = match plan.design {
        Design::Isoflop => fit_readout(&read_by(corpus, plan, aggregate, options).ok()?, y),
        _ => fit_readout(plan.main(), y),
    };
    let slope = fitted
        .ok()?
        .plain_estimate(Coefficient::Slope, options.alpha);
    Some((slope.value, slope.standard_error))
}

/// The ladder without noise, and its noise by run and by budget.
struct Noise {
    y: Vec<f64>,
    aggregate: Vec<f64>,
    /// Residuals of each run about its size profiles, as they would be without their leverage.
    own: Vec<[f64; 2]>,
    /// Runs of each budget, and its distance from the line.
    budgets: Vec<(Vec<usize>, f64)>,
}

impl Noise {
    fn new(comparison: &Comparison<'_, '_>) -> Option<Self> {
        let (corpus, plan) = (comparison.corpus(), &comparison.view.plan);
        let main = plan.main();
        let fit = main.regression.fit(&main.readings(&comparison.y)).ok()?;
        let mut noise = Self {
            y: comparison.y.clone(),
            aggregate: corpus.aggregate.clone(),
            own: vec![[0.0; 2]; comparison.y.len()],
            budgets: Vec::new(),
        };
        let (mut rss, mut df) = (0.0, 0);
        for profile in &main.profiles {
            let Some(poly) = &profile.poly else { continue };
            let pick = |v: &[f64]| -> Vec<f64> { profile.members.iter().map(|&m| v[m]).collect() };
            let columns = poly.powers(&pick(&corpus.size));
            let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
            for (k, values) in [&comparison.y, &corpus.aggregate].into_iter().enumerate() {
                let own = LinearFit::new(&columns, &pick(values)).ok()?;
                if k == 0 {
                    rss += own.rss();
                    df += own.df();
                }
                for (i, &m) in profile.members.iter().enumerate() {
                    let e = own.residuals()[i];
                    noise.own[m][k] = e / free(own.leverages()[i]);
                    let smooth = if k == 0 {
                        &mut noise.y
                    } else {
                        &mut noise.aggregate
                    };
                    smooth[m] -= e;
                }
            }
        }
        let run_variance = if df > 0 { rss / df as f64 } else { 0.0 };
        let spread: Vec<f64> = (main.rows.iter())
            .map(|row| row.iter().map(|(_, v)| v * v).sum())
            .collect();
        let explained = run_variance * spread.iter().sum::<f64>() / spread.len() as f64;
        let total = fit.variance();
        // What the runs do not explain is the budget's own; on rungs a run is its budget.
        let share = match main.profiles.is_empty() || total <= 0.0 {
            true => 1.0,
            false => (1.0 - explained / total).max(0.0).sqrt(),
        };
        for (j, group) in plan.groups.iter().enumerate() {
            let e = fit.residuals()[j];
            group.members.iter().for_each(|&m| noise.y[m] -= e);
            let scale = share / free(fit.leverages()[j]);
            noise.budgets.push((group.members.clone(), scale * e));
        }
        Some(noise)
    }

    /// Ratios and aggregate losses of one draw.
    fn draw(&self, stream: &mut Stream) -> (Vec<f64>, Vec<f64>) {
        let (mut y, mut aggregate) = (self.y.clone(), self.aggregate.clone());
        for (members, distance) in &self.budgets {
            let shock = webb(stream.uniform()) * distance;
            for &m in members {
                // One sign for both: a run that is unusual in one is often so in the other.
                let sign = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
                y[m] += shock + sign * self.own[m][0];
                aggregate[m] += sign * self.own[m][1];
            }
        }
        (y, aggregate)
    }
}

/// `√(1 − h)`, by which least squares shrinks a residual.
fn free(leverage: f64) -> f64 {
    (1.0 - leverage.min(HIGHEST_LEVERAGE)).sqrt()
}

/// One of ±√½, ±1, ±√(3/2), by a number between 0 and 1.
fn webb(uniform: f64) -> f64 {
    let points = [1.5, 1.0, 0.5].map(f64::sqrt);
    let k = ((6.0 * uniform) as usize).min(5);
    if k < 3 { -points[k] } else { points[5 - k] }
}
