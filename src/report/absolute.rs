//! Tables of power laws, one row per distribution: the text of one corpus, and a sheet of all.

use std::fmt;

use super::format::{Table, interval_of, number, open_interval, p_value, signed};
use super::sheet::{Audience, Cell, Column, Shape, Sheet};
use crate::fit::{AbsoluteLaw, Analysis, ConfidenceSet, CorpusReport, FloorReport, Interval};

pub(super) fn table(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let mut table = Table::new(&[
        "distribution",
        "β",
        "interval",
        "α at F0",
        "floor",
        "curved",
        "κ",
    ]);
    let laws = analysis.absolute_laws.iter();
    for law in laws.filter(|l| l.corpus == corpus.corpus) {
        let floor = law.floor.as_ref().map_or("-".to_owned(), |floor| {
            format!(
                "{} {}",
                number(floor.floor),
                open_interval(floor.floor_interval)
            )
        });
        table.row(vec![
            law.distribution.clone(),
            number(law.beta.value),
            interval_of(law.beta.lower, law.beta.upper),
            number(law.alpha.value),
            floor,
            if law.curvature.questioned { "yes" } else { "" }.to_owned(),
            kappa(analysis, law),
        ]);
    }
    f.write_str(&table.render())
}

/// κ of a distribution against the baseline, with its set.
fn kappa(analysis: &Analysis, law: &AbsoluteLaw) -> String {
    let found = (analysis.laws.iter())
        .find(|l| l.corpus == law.corpus && l.treatment == law.distribution)
        .and_then(|l| l.alternatives.loss_to_loss);
    let Some((kappa, set)) = found.and_then(|l| Some((l.kappa?, l.set))) else {
        return String::new();
    };
    match set {
        ConfidenceSet::Bounded { lower, upper } => {
            format!("{kappa:.4} [{lower:.4}, {upper:.4}]")
        }
        _ => format!("{kappa:.4} (unbounded)"),
    }
}

/// Columns with their headings for readers and for LaTeX; papers get those that have them.
const COLUMNS: [(&str, Option<[&str; 2]>, Shape); 13] = [
    ("corpus", Some(["corpus"; 2]), Shape::Text),
    ("distribution", Some(["distribution"; 2]), Shape::Text),
    ("beta", Some(["β", r"$\beta$"]), Shape::Interval),
    ("standard_error", None, Shape::Number),
    ("df", None, Shape::Number),
    ("p_value", None, Shape::Number),
    (
        "alpha",
        Some(["α at F0", r"$\alpha$ at $F_0$"]),
        Shape::Interval,
    ),
    ("reference_flops", None, Shape::Number),
    ("floor", Some(["floor"; 2]), Shape::Number),
    ("floor_lower", None, Shape::Number),
    ("floor_upper", None, Shape::Number),
    ("curvature", None, Shape::Number),
    (
        "curvature_p_value",
        Some(["curvature p", "curvature $p$"]),
        Shape::Number,
    ),
];

/// The cells of a law, in the order of [`COLUMNS`].
fn cells(law: &AbsoluteLaw) -> [Cell; COLUMNS.len()] {
    let text = |text: &str| Cell::Text(text.to_owned());
    let beta = law.beta;
    let floor = |of: fn(&FloorReport) -> Option<f64>| given(law.floor.as_ref().and_then(of));
    let curvature = law.curvature.coefficient;
    [
        text(&law.corpus),
        text(&law.distribution),
        with_interval(beta.interval(), signed),
        given(Some(beta.standard_error)),
        given(Some(beta.df)),
        given(Some(beta.p_value)),
        with_interval(law.alpha, number),
        given(Some(law.reference_flops)),
        floor(|f| Some(f.floor)),
        floor(|f| f.floor_interval[0]),
        floor(|f| f.floor_interval[1]),
        given(curvature.map(|c| c.value)),
        curvature.map_or(Cell::Missing, |c| Cell::Number {
            value: c.p_value,
            text: p_value(c.p_value),
        }),
    ]
}

fn given(value: Option<f64>) -> Cell {
    value.map_or(Cell::Missing, |value| Cell::Number {
        value,
        text: number(value),
    })
}

fn with_interval(value: Interval, text: fn(f64) -> String) -> Cell {
    let text = [value.value, value.lower, value.upper].map(text);
    Cell::Interval { value, text }
}

impl Sheet {
    /// The power law `E = α·(F/F0)^−β` of every distribution for `audience`, in the order of the analysis.
    ///
    /// Screens get the columns of papers. A paper gets no column of corpora for a ladder with one.
    #[must_use]
    pub fn absolute(analysis: &Analysis, audience: Audience) -> Self {
        let laws = &analysis.absolute_laws;
        let one_corpus = laws.iter().all(|l| l.corpus == laws[0].corpus);
        let shown = |(key, headings, _): &(&str, Option<[&str; 2]>, Shape)| {
            audience == Audience::File || headings.is_some() && !(*key == "corpus" && one_corpus)
        };
        let columns = COLUMNS.iter().filter(|c| shown(c));
        Self {
            columns: columns
                .map(|&(key, headings, shape)| {
                    let [heading, latex] = headings.unwrap_or([key; 2]);
                    Column {
                        key,
                        heading,
                        latex,
                        shape,
                    }
                })
                .collect(),
            rows: (laws.iter())
                .map(|law| {
                    let cells = COLUMNS.iter().zip(cells(law));
                    cells
                        .filter(|(c, _)| shown(c))
                        .map(|(_, cell)| cell)
                        .collect()
                })
                .collect(),
            trends: Vec::new(),
            flags: Vec::new(),
            caption: format!(
                "Power law of each distribution along {}, with {} % intervals of each law alone; \
                 relscale {}.",
                analysis.scale_in_words(),
                analysis.options.level_percent(),
                analysis.version,
            ),
        }
    }
}
