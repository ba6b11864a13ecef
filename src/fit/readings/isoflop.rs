//! IsoFLOP ladders: several sizes per budget, read at the compute-optimal one.

use crate::fit::corpus::Corpus;
use crate::fit::design::Design;
use crate::fit::error::FitError;
use crate::fit::options::{OptimumRule, Options};
use crate::fit::stats::regression::Line;

use super::profile::{Degrees, NARROW, WIDE, best_run};
use super::{
    Frontier, Group, ReadingPlan, ReadingRegression, Readout, SizeProfile, by_budget, centred,
    check_spread, line_columns, reading_weights, too_few,
};

/// A rule for reading the sizes of one budget.
struct Rule {
    name: &'static str,
    /// Window of sizes around the best one, in `ln N`.
    window: f64,
    degrees: Degrees,
    /// If true, minima are smoothed by a line over budgets.
    smooth: bool,
    /// If true, the best run stands in for a vertex outside the window. The check must exist wherever
    /// the main rule does, or a hard profile would shrink the interval.
    falls_back: bool,
}

/// The main rule: asymmetric profiles bias parabolas, a cubic follows them.
const SMOOTHED: Rule = Rule {
    name: "smoothed",
    window: WIDE,
    degrees: Degrees {
        four: 2,
        five: 2,
        more: 3,
    },
    smooth: true,
    falls_back: false,
};
/// The check: a parabola in a window so narrow that asymmetry does not matter.
const CHECK: Rule = Rule {
    name: "narrow",
    window: NARROW,
    degrees: Degrees {
        four: 2,
        five: 2,
        more: 2,
    },
    smooth: true,
    falls_back: true,
};
/// The check where the narrow window holds the sizes of the wide one: cubics through five sizes, which
/// the main rule reads by quadratics.
const CUBIC: Rule = Rule {
    name: "cubic",
    window: WIDE,
    degrees: Degrees {
        four: 2,
        five: 3,
        more: 3,
    },
    smooth: true,
    falls_back: true,
};
/// The check where windows were widened to hold four sizes: cubics through all four. So far from the
/// best size profiles are lopsided, and nothing else shows what that does to a parabola.
const INTERPOLATED: Rule = Rule {
    name: "interpolated",
    window: WIDE,
    degrees: Degrees {
        four: 3,
        five: 3,
        more: 3,
    },
    smooth: true,
    falls_back: true,
};
const BEST: Rule = Rule {
    name: "best_run",
    window: 0.0,
    degrees: Degrees {
        four: 0,
        five: 0,
        more: 0,
    },
    smooth: false,
    falls_back: false,
};
const PARABOLA: Rule = Rule {
    name: "parabola",
    window: f64::INFINITY,
    degrees: Degrees {
        four: 2,
        five: 2,
        more: 2,
    },
    smooth: false,
    falls_back: false,
};

pub(super) fn plan(
    corpus: &Corpus<'_>,
    members: &[usize],
    options: &Options,
) -> Result<ReadingPlan, FitError> {
    let groups = by_budget(corpus, members);
    // Before any minimum: two FLOP conventions in one budget shift it without a trace.
    check_spread(corpus, &groups)?;
    // Refused before centring, so that γ is quoted in the middle of what was read.
    let (kept, refused) = bracketed(corpus, groups);
    // Two readings fit any line exactly and leave nothing to judge it by.
    if kept.len() < 3 {
        let what = "budgets with a bracketed minimum";
        return Err(too_few(corpus, what, kept.len(), 3));
    }
    let (origin, x) = centred(&kept);
    let read = |rule: &Rule| readout(corpus, &kept, &x, &corpus.aggregate, rule, options);
    let mut readouts = vec![read(&SMOOTHED)?];
    // The other rules are reported if they exist; a narrow window or a parabola need not have a minimum
    // where the wide cubic has one.
    readouts.extend(
        [&CHECK, &BEST, &PARABOLA]
            .map(|rule| read(rule).ok())
            .into_iter()
            .flatten(),
    );
    let position = |readouts: &[Readout], name: &str| readouts.iter().position(|r| r.rule == name);
    let mut check = position(&readouts, CHECK.name);
    if check.is_some_and(|c| alike(&readouts[0], &readouts[c])) {
        // A check that reads the same weights agrees by construction and would shrink the interval.
        let widened = readouts[0].profiles.iter().any(|p| p.widened);
        let rule = if widened { &INTERPOLATED } else { &CUBIC };
        let other = read(rule).ok().filter(|r| r.rows != readouts[0].rows);
        check = other.map(|r| {
            readouts.push(r);
            readouts.len() - 1
        });
    }
    let named = |name: &str| {
        position(&readouts, name).ok_or_else(|| FitError::Unsupported {
            reason: format!(
                "corpus {:?} cannot be read by the rule {name:?}",
                corpus.name
            ),
        })
    };
    let (main, check) = match options.optimum {
        OptimumRule::Smoothed => (0, check),
        // The specification term compares two polynomials; other rules have no second form to
        // compare with.
        OptimumRule::BestRun => (named(BEST.name)?, None),
        OptimumRule::Parabola => (named(PARABOLA.name)?, None),
    };
    Ok(ReadingPlan {
        design: Design::Isoflop,
        run_design: run_design(corpus, &kept, &x, readouts[0].frontier.as_ref()),
        groups: kept,
        origin,
        x,
        readouts,
        main,
        check,
        refused,
        ratio: None,
    })
}

/// A smoothed readout with another loss in the role of the aggregate.
pub(crate) fn read_by(
    corpus: &Corpus<'_>,
    plan: &ReadingPlan,
    aggregate: &[f64],
    options: &Options,
) -> Result<Readout, FitError> {
    readout(corpus, &plan.groups, &plan.x, aggregate, &SMOOTHED, options)
}

/// Budgets whose aggregate loss has an interior minimum, and those without one with the reason.
fn bracketed(corpus: &Corpus<'_>, groups: Vec<Group>) -> (Vec<Group>, Vec<(f64, String)>) {
    let mut kept = Vec::new();
    let mut refused = Vec::new();
    for g in groups {
        let profile = size_profile(corpus, &g, &corpus.aggregate, &SMOOTHED);
        match profile.and_then(|p| p.minimum) {
            Some(_) => kept.push(g),
            None => refused.push((
                g.budget,
                "the aggregate loss has no interior minimum over its sizes".to_owned(),
            )),
        }
    }
    (kept, refused)
}

/// If true, two rules read most budgets from the same runs by the same weights: with six sizes or
/// fewer the narrow window may hold the sizes of the wide one, and agrees with it for no other reason.
fn alike(main: &Readout, check: &Readout) -> bool {
    let pairs = main.rows.iter().zip(&check.rows);
    2 * pairs.filter(|(a, b)| a == b).count() > main.rows.len()
}

fn size_profile(corpus: &Corpus<'_>, group: &Group, a: &[f64], rule: &Rule) -> Option<SizeProfile> {
    SizeProfile::new(&group.members, &corpus.size, a, rule.window, rule.degrees)
}

/// Reads every group by one rule with the log aggregate losses `a`.
fn readout(
    corpus: &Corpus<'_>,
    groups: &[Group],
    x: &[f64],
    a: &[f64],
    rule: &Rule,
    options: &Options,
) -> Result<Readout, FitError> {
    let profiles: Vec<SizeProfile> = groups
        .iter()
        .filter_map(|g| size_profile(corpus, g, a, rule))
        .collect();
    let minima: Vec<f64> = profiles
        .iter()
        .zip(groups)
        .filter_map(|(p, g)| match p.minimum {
            None if rule.falls_back => best_run(&g.members, a).map(|best| corpus.size[best]),
            minimum => minimum,
        })
        .collect();
    if minima.len() != groups.len() {
        let what = "bracketed minima";
        return Err(too_few(corpus, what, minima.len(), groups.len()));
    }
    // A straight line in logs: minima scatter by 0.07 to 0.10 nats on a public ladder, which a
    // power law averages.
    let line = Line::new(x, &minima)?;
    let mut rows = Vec::with_capacity(groups.len());
    let mut slopes = Vec::with_capacity(groups.len());
    let mut inside = Vec::with_capacity(groups.len());
    let mut read_at = Vec::with_capacity(groups.len());
    for ((profile, &xj), &own) in profiles.iter().zip(x).zip(&minima) {
        let wanted = if rule.smooth { line.at(xj).value } else { own };
        // A cubic outside its sizes runs away within a step; the edge is read and flagged instead.
        let at = profile.nearest(wanted);
        // Rounding of the line is no departure from the grid.
        inside.push((wanted - at).abs() <= 1e-9);
        let (row, slope) = profile.rows(at)?;
        read_at.push(if profile.poly.is_some() { at } else { own });
        rows.push(row);
        slopes.push(slope);
    }
    Ok(Readout {
        rule: rule.name,
        regression: ReadingRegression::new(
            line_columns(x),
            reading_weights(&rows, options),
            Vec::new(),
            options,
        )?,
        rows,
        slopes,
        read_at,
        frontier: rule.smooth.then_some(Frontier {
            minima,
            inside,
            line,
        }),
        profiles,
    })
}

/// Rows of the regression of runs around which item-by-run noise is taken: a line in the scale and a
/// cubic in the distance from the frontier, if ten runs or more (two per term) determine it.
fn run_design(
    corpus: &Corpus<'_>,
    groups: &[Group],
    x: &[f64],
    frontier: Option<&Frontier>,
) -> Vec<Vec<f64>> {
    let full = groups.iter().map(|g| g.members.len()).sum::<usize>() >= 10;
    let mut rows = vec![Vec::new(); corpus.runs.len()];
    for (g, &xj) in groups.iter().zip(x) {
        for &m in &g.members {
            let n = frontier.map_or(0.0, |f| corpus.size[m] - f.line.at(xj).value);
            rows[m] = if full {
                vec![1.0, xj, n, n * n, n * n * n]
            } else {
                vec![1.0, xj]
            };
        }
    }
    rows
}
