//! Named contrasts: the laws of pairs, and the levels of differences of pairs in words.

use super::comparison::Comparison;
use super::contrast::{self, FittedContrast};
use super::error::FitError;
use super::estimate::{Coefficient, Estimate, Interval};
use super::logarithm::{exp, range};
use super::options::{Options, difference_label};
use super::question::NamedPair;
use super::relative_law::relative_law;
use super::result::{GapLevel, NamedContrast, RelativeLaw, Verdict};
use super::stats::quantile::t_critical;
use super::stats::regression::{ConfidenceSet, fieller};
use super::view::CorpusView;

/// The law of one named contrast. Its verdict and sentence are open until the contrasts are counted.
pub(crate) fn named_contrast(
    view: &CorpusView<'_>,
    pair: &NamedPair,
    options: &Options,
) -> Result<NamedContrast, FitError> {
    let comparison = Comparison::new(view, pair.treatment, pair.baseline, None, options)?;
    let levels = if view.corpus.is_ratio(pair.treatment) {
        Some(levels(&comparison, options)?)
    } else {
        None
    };
    Ok(NamedContrast {
        name: pair.name.clone(),
        law: relative_law(&comparison, options)?,
        levels,
        sentence: String::new(),
    })
}

/// The gaps of both pairs at the bottom, in the middle and at the top.
fn levels(comparison: &Comparison<'_, '_>, options: &Options) -> Result<[GapLevel; 3], FitError> {
    let plan = &comparison.view.plan;
    let own = |d: usize| contrast::fit(comparison.view, &[(d, 1.0)], options);
    let both = [own(comparison.treatment)?, own(comparison.baseline)?];
    let [low, high] = range(&plan.x);
    // The middle is where γ is quoted: level and slope are uncorrelated there.
    Ok([low, 0.0, high].map(|x| level(&both, &comparison.fitted, x, plan.origin, options)))
}

fn level(
    [one, two]: &[FittedContrast; 2],
    difference: &FittedContrast,
    x: f64,
    origin: f64,
    options: &Options,
) -> GapLevel {
    let [n, d, between] = [one, two, difference].map(|f| at(f, x, options));
    let (v_n, v_d) = (n.standard_error.powi(2), d.standard_error.powi(2));
    // Both pairs share runs, items and often a distribution: their covariance is what the variance
    // of the difference lacks.
    let bound = (v_n * v_d).sqrt();
    let cross = (0.5 * (v_n + v_d - between.standard_error.powi(2))).clamp(-bound, bound);
    let t = t_critical(1.0 - options.alpha, between.df);
    let ratio = n.value / d.value;
    GapLevel {
        scale: exp(origin + x),
        treatment: n.interval().map(exp),
        baseline: d.interval().map(exp),
        closed: Some(1.0 - ratio).filter(|c| c.is_finite()),
        closed_set: one_minus(fieller([n.value, -d.value], [v_n, -cross, v_d], t)),
    }
}

/// `level + x · slope` with the fewer degrees of freedom of the two.
fn at(fitted: &FittedContrast, x: f64, options: &Options) -> Estimate {
    let df = |k| fitted.variance(k, options.items).1;
    Estimate::new(
        fitted.level + x * fitted.slope,
        fitted.covariance(options.items).at(x),
        df(Coefficient::Level).min(df(Coefficient::Slope)),
        options.alpha,
    )
}

/// The set of `1 − r` for a set of `r`.
fn one_minus(set: ConfidenceSet) -> ConfidenceSet {
    match set {
        ConfidenceSet::Bounded { lower, upper } => ConfidenceSet::Bounded {
            lower: 1.0 - upper,
            upper: 1.0 - lower,
        },
        ConfidenceSet::Outside { below, above } => ConfidenceSet::Outside {
            below: 1.0 - above,
            above: 1.0 - below,
        },
        ConfidenceSet::Below { upper } => ConfidenceSet::Above { lower: 1.0 - upper },
        ConfidenceSet::Above { lower } => ConfidenceSet::Below { upper: 1.0 - lower },
        other => other,
    }
}

impl NamedContrast {
    /// The finding in words; the law has its verdict already.
    pub(super) fn words(&self, options: &Options) -> String {
        let Some([low, middle, high]) = &self.levels else {
            return self.law.sentence.clone();
        };
        let (law, at) = (&self.law, "in the middle of the ladder");
        let [first, second] = [&law.treatment, &law.baseline];
        // Contrasts without a name of their own are told by the names of their pairs.
        let named = self.name != difference_label(first, second);
        let ends = format!(
            "{} at the bottom and {} at the top",
            share(low),
            share(high)
        );
        let (text, noun) = match side(middle) {
            Side::Closes if named => {
                let text = format!(
                    "{} closes {} of the gap {at}, {ends}",
                    self.name,
                    share(middle)
                );
                (text, "its advantage")
            }
            Side::Closes => {
                let text = format!(
                    "The gap of {first} is {} smaller than that of {second} {at}, {ends}",
                    share(middle)
                );
                (text, "the difference")
            }
            Side::Opens => {
                let subject = if named { &self.name } else { first };
                let text = format!(
                    "{subject} does not close the gap of {second} but widens it {at}: the share \
                     closed is {} there, {ends}",
                    share(middle)
                );
                (text, "the difference")
            }
            Side::Open => {
                let text = format!(
                    "No part of the gap of {second} is shown to be closed {at}: the share is {} \
                     there, {ends}",
                    share(middle)
                );
                (text, "the difference")
            }
            Side::NoGap => {
                let text = format!(
                    "The share of the gap of {second} that is closed is not known {at}, where its \
                     ratio may be 1: {}",
                    ratio(middle.baseline)
                );
                (text, "the difference")
            }
        };
        format!("{text}; {noun} {}. {}", fate(law, options), law.sentence)
    }
}

/// The sign of a share, as far as it is known.
enum Side {
    Closes,
    Opens,
    Open,
    NoGap,
}

fn side(level: &GapLevel) -> Side {
    match level.closed_set {
        ConfidenceSet::Bounded { lower, .. } if lower > 0.0 => Side::Closes,
        ConfidenceSet::Bounded { upper, .. } if upper < 0.0 => Side::Opens,
        ConfidenceSet::Bounded { .. } => Side::Open,
        _ => Side::NoGap,
    }
}

/// A share with its interval, in percent.
fn share(level: &GapLevel) -> String {
    match (level.closed, level.closed_set) {
        (Some(value), ConfidenceSet::Bounded { lower, upper }) => format!(
            "{:.0} % [{:.0}, {:.0}]",
            100.0 * value,
            100.0 * lower,
            100.0 * upper
        ),
        _ => "an unknown share".into(),
    }
}

fn ratio(i: Interval) -> String {
    format!("{:.3} [{:.3}, {:.3}]", i.value, i.lower, i.upper)
}

/// The fate of the difference along the ladder.
fn fate(law: &RelativeLaw, options: &Options) -> String {
    match law.verdict {
        Verdict::Narrows => "shrinks with scale".into(),
        Verdict::Widens => "grows with scale".into(),
        Verdict::Persists => format!(
            "changes by less than {} % per decade",
            options.margin_percent
        ),
        Verdict::Negligible => format!(
            "changes with scale, but by less than {} % per decade",
            options.margin_percent
        ),
        Verdict::NoGap => format!(
            "is below {} % at both ends of the ladder",
            options.gap_margin_percent
        ),
        Verdict::CrossesParity => "changes its sign between the ends of the ladder".into(),
        Verdict::RatioRises | Verdict::RatioFalls => {
            "changes with scale, and its sign is open in the middle of the ladder".into()
        }
        Verdict::Inconclusive => "is not shown to change with scale, nor to stay".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_minus_the_ratio_of_the_gaps() {
        let set = |lower, upper| ConfidenceSet::Bounded { lower, upper };
        assert_eq!(one_minus(set(0.25, 0.5)), set(0.5, 0.75));
        assert_eq!(
            one_minus(ConfidenceSet::Outside {
                below: 0.25,
                above: 2.0
            }),
            ConfidenceSet::Outside {
                below: -1.0,
                above: 0.75
            }
        );
        for x in [-3.0, 0.2, 0.6, 4.0] {
            for r in [
                ConfidenceSet::Below { upper: 0.5 },
                ConfidenceSet::Above { lower: 0.5 },
                ConfidenceSet::Everything,
                ConfidenceSet::Empty,
            ] {
                assert_eq!(one_minus(r).contains(1.0 - x), r.contains(x), "{r:?} {x}");
            }
        }
    }
}
