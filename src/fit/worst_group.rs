//! The worst of many distributions, followed along the scale with a correction for being a maximum.

use super::contrast::{self, FittedContrast, Influence};
use super::error::FitError;
use super::estimate::{Coefficient, Interval, LineCovariance};
use super::exponents::complete;
use super::logarithm::{exp, range};
use super::options::{ItemSampling, Options, WorstOf};
use super::question::Question;
use super::relative_law::percent_per_decade;
use super::result::{WorstAt, WorstGroup, WorstReading};
use super::stats::checks::check_count;
use super::stats::correlation::shrunk_correlation;
use super::stats::resample::{Combination, JointErrors};
use super::view::CorpusView;

/// Share of `alpha` for leaving out distributions that are not the worst. A tenth costs little where
/// none can be left out and narrows the intervals where most can (Romano, Shaikh & Wolf 2014).
const SELECTION: f64 = 0.1;

impl WorstOf {
    /// Positions of the distributions of which the worst is asked for.
    pub(crate) fn members(self, question: &Question<'_>) -> Vec<usize> {
        match self {
            Self::Treatments => question.treatments.clone(),
            Self::Groups => question.group_positions().collect(),
        }
    }
}

/// The worst of the treatments or groups of one corpus.
pub(crate) fn worst_group(
    view: &CorpusView<'_>,
    question: &Question<'_>,
    of: WorstOf,
) -> Result<WorstGroup, FitError> {
    let members = complete(view, &of.members(question));
    let what = format!(
        "distributions for the worst of corpus {:?}",
        view.corpus.name
    );
    check_count(&what, members.len(), 2)?;
    let ends = Ends::new(view, &members, question)?;
    let alpha = question.options.alpha;
    let candidates = ends.candidates(SELECTION * alpha)?;
    let level = 1.0 - (1.0 - SELECTION) * alpha;
    let [bottom, top] = ends.largest(&candidates, level)?;
    let change = ends.change(&candidates, [&bottom, &top], level)?;
    let scales = view.plan.scales();
    let readings = (0..scales.len()).map(|j| {
        let of = |k: usize| ends.fits[k].readings[j];
        let worst = first_largest(members.len(), of);
        WorstReading {
            scale: scales[j],
            distribution: view.corpus.name_of(members[worst]).into(),
            ratio: exp(of(worst)),
        }
    });
    let at = |end: usize, ratio: Interval, scale: f64| {
        let mut order = candidates[end].clone();
        let value = |k: usize| ends.value(k, end);
        order.sort_by(|&a, &b| value(b).total_cmp(&value(a)).then(a.cmp(&b)));
        let name = |k: &usize| view.corpus.name_of(members[*k]).to_owned();
        WorstAt {
            scale,
            distribution: order.first().map(name).unwrap_or_default(),
            fitted: exp(order.first().map_or(f64::NAN, |&k| value(k))),
            ratio: ratio.map(exp),
            candidates: order.iter().map(name).collect(),
        }
    };
    let [low, high] = range(&view.plan.x).map(|x| exp(view.plan.origin + x));
    let mut worst = WorstGroup {
        corpus: view.corpus.name.into(),
        baseline: view.corpus.name_of(question.baseline).into(),
        distributions: members.len(),
        bottom: at(0, bottom, low),
        top: at(1, top, high),
        percent_per_decade: change.map(|c| percent_per_decade(c / ends.span)),
        readings: readings.collect(),
        sentence: String::new(),
    };
    worst.sentence = worst.words(question.options);
    Ok(worst)
}

/// `ln G` of every distribution at both ends of the ladder, with the joint distribution of its errors.
///
/// Estimate `2k` is distribution `k` at the bottom, `2k + 1` at the top.
struct Ends {
    fits: Vec<FittedContrast>,
    values: Vec<f64>,
    errors: JointErrors,
    /// `ln` of the largest over the smallest scale.
    span: f64,
}

impl Ends {
    fn new(
        view: &CorpusView<'_>,
        members: &[usize],
        question: &Question<'_>,
    ) -> Result<Self, FitError> {
        let options = question.options;
        let terms = |d: usize| [(d, 1.0), (question.baseline, -1.0)];
        let fits: Result<Vec<FittedContrast>, FitError> = members
            .iter()
            .map(|&d| contrast::fit(view, &terms(d), options))
            .collect();
        let fits = fits?;
        let items: Vec<Option<Influence>> = members
            .iter()
            .map(|&d| view.pooled(&view.influences(&terms(d))))
            .collect();
        let x = range(&view.plan.x);
        let covariance = covariance(view, &fits, &items, x, options);
        let df = |f: &FittedContrast| {
            let of = |k| f.variance(k, options.items).1;
            of(Coefficient::Level).min(of(Coefficient::Slope))
        };
        // The joint distribution has one number of degrees of freedom, and fewer are wider.
        let df = fits.iter().map(df).fold(f64::INFINITY, f64::min);
        let at = |f: &FittedContrast| x.map(|x| f.level + x * f.slope);
        Ok(Self {
            values: fits.iter().flat_map(at).collect(),
            errors: JointErrors::new(&covariance, df, options.seed)?,
            fits,
            span: x[1] - x[0],
        })
    }

    fn value(&self, distribution: usize, end: usize) -> f64 {
        self.values[2 * distribution + end]
    }

    /// Per end, the distributions that are not shown to lie below another one, at level `alpha` for all
    /// comparisons of both ends together.
    fn candidates(&self, alpha: f64) -> Result<[Vec<usize>; 2], FitError> {
        let n = self.fits.len();
        let above = |d: usize, e: usize, end: usize| vec![(2 * d + end, 1.0), (2 * e + end, -1.0)];
        let all: Vec<Combination> = [0, 1]
            .into_iter()
            .flat_map(|end| (0..n).map(move |d| (end, d)))
            .flat_map(|(end, d)| (0..n).filter(move |&e| e != d).map(move |e| (end, d, e)))
            .map(|(end, d, e)| above(d, e, end))
            .collect();
        let critical = self.errors.critical(&all, 1.0 - alpha, false)?;
        let below = |e: usize, d: usize, end: usize| {
            let difference = self.value(d, end) - self.value(e, end);
            difference > critical * self.errors.standard_error(&above(d, e, end))
        };
        Ok([0, 1].map(|end| {
            let may = |e: &usize| !(0..n).any(|d| below(*e, d, end));
            (0..n).filter(may).collect()
        }))
    }

    /// The largest `ln G` at both ends: corrected for the median of the largest error, with intervals
    /// at `level` that hold for both ends at once.
    fn largest(&self, candidates: &[Vec<usize>; 2], level: f64) -> Result<[Interval; 2], FitError> {
        let of = |end: usize| -> Vec<Combination> {
            let at = |k: &usize| vec![(2 * k + end, 1.0)];
            candidates[end].iter().map(at).collect()
        };
        let both = [of(0), of(1)];
        let critical = self.errors.critical(&both.concat(), level, true)?;
        let largest = |end: usize| -> Result<Interval, FitError> {
            // One candidate is no maximum, and the median of its error zero.
            let median = match both[end].len() {
                1 => 0.0,
                _ => self.errors.critical(&both[end], 0.5, false)?,
            };
            let shifted = |k: f64| {
                let of = |c: &Combination| self.values[c[0].0] + k * self.errors.standard_error(c);
                both[end].iter().map(of).fold(f64::NEG_INFINITY, f64::max)
            };
            Ok(Interval {
                value: shifted(-median),
                lower: shifted(-critical),
                upper: shifted(critical),
            })
        };
        Ok([largest(0)?, largest(1)?])
    }

    /// `max_d min_e (ln G_d(top) − ln G_e(bottom))` over the candidates.
    fn change(
        &self,
        candidates: &[Vec<usize>; 2],
        [bottom, top]: [&Interval; 2],
        level: f64,
    ) -> Result<Interval, FitError> {
        let pair = |d: usize, e: usize| vec![(2 * d + 1, 1.0), (2 * e, -1.0)];
        let pairs = candidates[1].iter().map(|&d| {
            let of = candidates[0].iter().map(move |&e| pair(d, e));
            of.collect::<Vec<Combination>>()
        });
        let pairs: Vec<Vec<Combination>> = pairs.collect();
        let critical = self.errors.critical(&pairs.concat(), level, true)?;
        let shifted = |k: f64| {
            let of = |c: &Combination| {
                let value: f64 = c.iter().map(|(i, c)| c * self.values[*i]).sum();
                value + k * self.errors.standard_error(c)
            };
            let least = |row: &Vec<Combination>| row.iter().map(of).fold(f64::INFINITY, f64::min);
            pairs.iter().map(least).fold(f64::NEG_INFINITY, f64::max)
        };
        let (lower, upper) = (shifted(-critical), shifted(critical));
        Ok(Interval {
            // Corrected at both ends; inside the interval by definition, which noise may miss.
            value: (top.value - bottom.value).clamp(lower, upper),
            lower,
            upper,
        })
    }
}

/// Covariance of `ln G` of all distributions at both ends.
fn covariance(
    view: &CorpusView<'_>,
    fits: &[FittedContrast],
    items: &[Option<Influence>],
    x: [f64; 2],
    options: &Options,
) -> Vec<Vec<f64>> {
    let residuals: Vec<&[f64]> = fits.iter().map(|f| f.fit.residuals()).collect();
    let df = fits.first().map_or(1, |f| f.fit.df()).max(1) as f64;
    let runs = shrunk_correlation(&residuals, df);
    let n = fits.len();
    let mut all = vec![vec![0.0; 2 * n]; 2 * n];
    for d in 0..n {
        for e in 0..=d {
            let both = if d == e {
                fits[d].covariance(options.items)
            } else {
                let run = geometric_mean(run_part(&fits[d]), run_part(&fits[e])).scaled(runs[d][e]);
                let item = match (options.items, &items[d], &items[e]) {
                    (ItemSampling::Population, Some(a), Some(b)) => a.with(b, Some(&view.weights)),
                    _ => None,
                };
                item.map_or(run, |(item, noise)| run.plus(item).plus(noise.scaled(-1.0)))
            };
            for (i, &one) in x.iter().enumerate() {
                for (j, &two) in x.iter().enumerate() {
                    let v = both.level + both.cross * (one + two) + both.slope * one * two;
                    (all[2 * d + i][2 * e + j], all[2 * e + j][2 * d + i]) = (v, v);
                }
            }
        }
    }
    all
}

fn run_part(f: &FittedContrast) -> LineCovariance {
    f.run.plus(f.frontier).plus(f.specification)
}

/// Element by element, the covariance of two lines whose errors are the same but for their size.
fn geometric_mean(a: LineCovariance, b: LineCovariance) -> LineCovariance {
    let of = |a: f64, b: f64| match a * b {
        same if same > 0.0 => same.sqrt().copysign(a),
        _ => 0.0,
    };
    LineCovariance {
        level: of(a.level, b.level),
        cross: of(a.cross, b.cross),
        slope: of(a.slope, b.slope),
    }
}

/// The first of `0..n` with the largest value.
fn first_largest(n: usize, value: impl Fn(usize) -> f64) -> usize {
    (1..n).fold(0, |best, k| if value(k) > value(best) { k } else { best })
}

impl WorstGroup {
    fn words(&self, options: &Options) -> String {
        let at = |w: &WorstAt| {
            let others = w.candidates.len() - 1;
            let not_alone = match w.candidates.get(1..) {
                None | Some([]) => String::new(),
                Some([other]) => format!(", {other} not excluded"),
                Some(_) => format!(", {others} others not excluded"),
            };
            let r = w.ratio;
            format!(
                "{:.3} [{:.3}, {:.3}] ({}{not_alone})",
                r.value, r.lower, r.upper, w.distribution
            )
        };
        let p = self.percent_per_decade;
        let fate = if p.lower > 0.0 {
            "rises"
        } else if p.upper < 0.0 {
            "falls"
        } else {
            "is not shown to rise or fall"
        };
        format!(
            "The largest of {} ratios to {} is {} at the bottom of the ladder and {} at the top. It \
             {fate}: by {:+.2} % per decade ({} % interval {:+.2} to {:+.2} %, corrected for being \
             the largest).",
            self.distributions,
            self.baseline,
            at(&self.bottom),
            at(&self.top),
            p.value,
            options.level_percent(),
            p.lower,
            p.upper
        )
    }
}
