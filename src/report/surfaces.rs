//! The table of surfaces `L(N, D)` of one corpus.

use std::fmt;

use super::format::{Table, number};
use crate::fit::{Analysis, CorpusReport, SurfaceAllocation, SurfaceReport};

/// Surfaces of one corpus, the aggregate first; nothing where none is identified.
pub(super) fn table(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let mut table = Table::new(&[
        "L(N, D)",
        "E",
        "α",
        "β",
        "N* ~ C^a",
        "N* at F0",
        "D*/N* at F0",
        "N* at largest",
        "certificate",
    ]);
    // The aggregate has its row, also where it is a distribution of the ladder.
    let aggregate = analysis.options.aggregate.as_ref();
    let own = (analysis.absolute_laws.iter())
        .filter(|l| l.corpus == corpus.corpus && Some(&l.distribution) != aggregate)
        .map(|l| (l.distribution.as_str(), &l.surface));
    for (name, surface) in std::iter::once(("(aggregate)", &corpus.surface)).chain(own) {
        if let Some(surface) = surface.fitted() {
            table.row(row(name, surface));
        }
    }
    f.write_str(&table.render())
}

fn row(name: &str, s: &SurfaceReport) -> Vec<String> {
    let params = |a: Option<SurfaceAllocation>| {
        a.map_or("-".to_owned(), |a| with(a.params, a.params_interval))
    };
    vec![
        name.to_owned(),
        // At its lower bound the floor is nought in all but name.
        match s.floor_interval {
            _ if !s.floor_identified => format!("{} (not identified)", number(s.floor)),
            None if s.floor < 1e-9 => "0".to_owned(),
            ends => with(s.floor, ends),
        },
        with_error(s.alpha, s.alpha_error),
        with_error(s.beta, s.beta_error),
        with(s.params_exponent, s.params_exponent_interval),
        params(s.reference),
        s.reference
            .map_or("-".to_owned(), |a| number(a.tokens_per_param)),
        params(s.largest),
        certificate(s),
    ]
}

/// A value with its standard error, if it has one.
fn with_error(value: f64, error: Option<f64>) -> String {
    match error {
        Some(error) => format!("{} ± {}", number(value), number(error)),
        None => number(value),
    }
}

/// A value with its interval, if it has one.
fn with(value: f64, ends: Option<[f64; 2]>) -> String {
    match ends {
        Some([low, high]) => format!("{} [{}, {}]", number(value), number(low), number(high)),
        None => number(value),
    }
}

/// Reasons to doubt that the fit is the optimum and identified, or `ok`.
fn certificate(s: &SurfaceReport) -> String {
    let mut doubts: Vec<String> = s
        .at_bound
        .iter()
        .map(|name| format!("{name} at its bound"))
        .collect();
    if !s.floor_identified {
        doubts.push("floor not identified".to_owned());
    }
    // Ten times below the bound at which intervals are refused: doubtful before it is hopeless.
    if s.condition.is_none_or(|c| c > 1e6) {
        doubts.push("ill-conditioned".to_owned());
    }
    // A cosine of 1e-6 is far above the 1e-14 at which polishing stops, and far below any visible
    // misfit.
    if s.gradient > 1e-6 {
        doubts.push(format!("gradient {:.0e}", s.gradient));
    }
    if doubts.is_empty() {
        doubts.push("ok".to_owned());
    }
    doubts.join(", ")
}
