//! The columns of a table of laws, once for the screen, Markdown, LaTeX, CSV and web pages.

use crate::fit::{Analysis, Flag, Interval, Verdict};

use super::format::{number, p_value, signed};
use super::rows::{LawKind, LawRow, Trend, law_rows};

/// A table of laws: columns, and one row of cells per law, the worst first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sheet {
    /// Columns, in order.
    pub columns: Vec<Column>,
    /// Rows, each with one cell per column.
    pub rows: Vec<Vec<Cell>>,
    /// The direction of each relative law; empty for laws of single distributions.
    pub trends: Vec<Trend>,
    /// Flags of any law, in the order of their marks.
    pub flags: Vec<Flag>,
    /// The sentence below the table.
    pub caption: String,
}

/// A column of a [`Sheet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// Name in files; an interval has two more columns there, with `_lower` and `_upper` behind the
    /// name.
    pub key: &'static str,
    /// Heading for readers.
    pub heading: &'static str,
    /// The heading in LaTeX.
    pub latex: &'static str,
    /// The kind of its cells.
    pub shape: Shape,
}

/// The kind of the cells of a [`Column`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// [`Cell::Text`].
    Text,
    /// [`Cell::Number`].
    Number,
    /// [`Cell::Interval`].
    Interval,
    /// [`Cell::Flags`].
    Flags,
}

/// A cell of a [`Sheet`]: its value, and for numbers also the text that readers see.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cell {
    /// Text, to be escaped by whoever writes it.
    Text(String),
    /// A number, rounded for readers.
    Number {
        /// The number.
        value: f64,
        /// The same for readers.
        text: String,
    },
    /// A value with its interval, rounded for readers.
    Interval {
        /// Value and ends.
        value: Interval,
        /// The same for readers: value, lower and upper end.
        text: [String; 3],
    },
    /// Flags.
    Flags(Vec<Flag>),
    /// A number that the data do not give.
    Missing,
}

/// Readers for which a sheet is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Audience {
    /// A line of a terminal: few columns, two or three digits.
    Screen,
    /// A table in a paper or on a page.
    Paper,
    /// A program: every number in full.
    File,
}

/// A column, the audiences that see it, and its cell of a law.
struct Definition {
    column: Column,
    audiences: &'static [Audience],
    cell: Maker,
}

/// The cell of a law: its value, and the text of a number for readers.
enum Maker {
    Text(for<'a, 'b> fn(&'b LawRow<'a>) -> &'a str),
    Number(fn(&LawRow<'_>) -> f64, fn(f64) -> String),
    Interval(fn(&LawRow<'_>) -> Interval, fn(f64) -> String),
    Flags,
}

impl Maker {
    const fn shape(&self) -> Shape {
        match self {
            Self::Text(_) => Shape::Text,
            Self::Number(..) => Shape::Number,
            Self::Interval(..) => Shape::Interval,
            Self::Flags => Shape::Flags,
        }
    }

    fn cell(&self, law: &LawRow<'_>) -> Cell {
        match self {
            Self::Text(of) => Cell::Text(of(law).to_owned()),
            Self::Number(of, text) => Cell::Number {
                value: of(law),
                text: text(of(law)),
            },
            Self::Interval(of, text) => {
                let value = of(law);
                Cell::Interval {
                    value,
                    text: [value.value, value.lower, value.upper].map(text),
                }
            }
            Self::Flags => Cell::Flags(law.flags.to_vec()),
        }
    }
}

const fn define(
    [key, heading, latex]: [&'static str; 3],
    audiences: &'static [Audience],
    cell: Maker,
) -> Definition {
    Definition {
        column: Column {
            key,
            heading,
            latex,
            shape: cell.shape(),
        },
        audiences,
        cell,
    }
}

/// A column whose heading is its name.
const fn plain(key: &'static str, audiences: &'static [Audience], cell: Maker) -> Definition {
    define([key; 3], audiences, cell)
}

use Audience::{File, Paper, Screen};
use Maker::{Flags, Number, Text};

/// Every column that any audience sees, in order.
const DEFINITIONS: &[Definition] = &[
    plain("kind", &[File], Text(|r| r.kind.as_str())),
    plain("corpus", &[Paper, File], Text(|r| r.corpus)),
    define(
        ["name", "law", "law"],
        &[Screen, Paper, File],
        Text(|r| r.name),
    ),
    plain("treatment", &[File], Text(|r| r.treatment)),
    define(
        ["baseline", "against", "against"],
        &[Paper, File],
        Text(|r| r.baseline),
    ),
    define(
        ["answer", "verdict", "verdict"],
        &[Screen, Paper],
        Text(|r| in_words(r.verdict)),
    ),
    plain("verdict", &[File], Text(|r| r.verdict.as_str())),
    define(
        ["decided_percent", "% per decade", r"\% per decade"],
        &[Screen, Paper],
        Maker::Interval(|r| r.percent_per_decade(), percent),
    ),
    define(
        ["delta_beta", "Δβ", r"$\Delta\beta$"],
        &[Screen],
        Number(|r| r.delta_beta.value, |v| format!("{v:+.4}")),
    ),
    define(
        ["decided", "Δβ", r"$\Delta\beta$"],
        &[Paper],
        Maker::Interval(|r| r.decision, signed),
    ),
    plain(
        "delta_beta",
        &[File],
        Maker::Interval(|r| r.delta_beta.interval(), number),
    ),
    plain(
        "standard_error",
        &[File],
        Number(|r| r.delta_beta.standard_error, number),
    ),
    plain("df", &[File], Number(|r| r.delta_beta.df, number)),
    plain(
        "p_value",
        &[File],
        Number(|r| r.delta_beta.p_value, p_value),
    ),
    plain(
        "family_size",
        &[File],
        Number(|r| r.family_size as f64, number),
    ),
    plain("decision", &[File], Maker::Interval(|r| r.decision, number)),
    plain(
        "percent_per_decade",
        &[File],
        Maker::Interval(
            |r| (r.delta_beta.interval()).map(crate::fit::percent_per_decade),
            number,
        ),
    ),
    define(
        ["gamma", "γ at F0", r"$\gamma$ at $F_0$"],
        &[Paper, File],
        Maker::Interval(|r| r.gamma, ratio),
    ),
    plain(
        "reference_flops",
        &[File],
        Number(|r| r.reference_flops, number),
    ),
    plain(
        "ratio_bottom",
        &[File],
        Maker::Interval(|r| r.ends[0], ratio),
    ),
    define(
        ["top", "G top", "$G$ top"],
        &[Screen, Paper],
        Number(|r| r.ends[1].value, ratio),
    ),
    plain("ratio_top", &[File], Maker::Interval(|r| r.ends[1], ratio)),
    define(
        ["holm_p", "Holm p", "Holm $p$"],
        &[Paper, File],
        Number(|r| r.holm_p, p_value),
    ),
    define(["flags", "notes", "notes"], &[Screen, Paper, File], Flags),
    plain("sentence", &[File], Text(|r| r.sentence)),
];

/// Three significant digits, as far as an interval supports them.
pub(super) fn percent(v: f64) -> String {
    let digits = if v.abs() < 9.995 { 2 } else { 1 };
    format!("{v:+.digits$}")
}

/// A ratio of errors to three decimals; far from one, to four significant digits.
fn ratio(v: f64) -> String {
    if (0.1..10.0).contains(&v) {
        format!("{v:.3}")
    } else {
        number(v)
    }
}

/// A verdict in words for a line of a table.
#[must_use]
pub(super) fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Narrows => "gap narrows",
        Verdict::Widens => "gap widens",
        Verdict::Persists => "gap persists",
        Verdict::Negligible => "hardly changes",
        Verdict::Inconclusive => "open",
        Verdict::NoGap => "no gap",
        Verdict::CrossesParity => "crosses parity",
        Verdict::RatioRises => "ratio rises",
        Verdict::RatioFalls => "ratio falls",
    }
}

impl Sheet {
    /// All relative laws of `analysis` for `audience`.
    ///
    /// Papers get no column that says the same in every row: the corpus of a ladder with one, and the
    /// baseline where it is that of the options.
    #[must_use]
    pub fn of(analysis: &Analysis, audience: Audience) -> Self {
        let rows = law_rows(analysis);
        let same_baseline = rows
            .iter()
            .all(|r| r.baseline == analysis.options.baseline && r.kind != LawKind::Corpora);
        let same_corpus = rows.iter().all(|r| r.corpus == rows[0].corpus);
        let dull = |key: &str| match key {
            "corpus" => same_corpus,
            "baseline" => same_baseline,
            _ => false,
        };
        let mut sheet = Self::from_rows(&rows, audience, |key| audience == Paper && dull(key));
        sheet.caption = caption(analysis);
        sheet
    }

    /// The given laws without a caption, and without the columns that `dull` names.
    pub(super) fn from_rows(
        rows: &[LawRow<'_>],
        audience: Audience,
        dull: impl Fn(&str) -> bool,
    ) -> Self {
        let chosen: Vec<&Definition> = (DEFINITIONS.iter())
            .filter(|d| d.audiences.contains(&audience) && !dull(d.column.key))
            .collect();
        let mut flags: Vec<Flag> = rows.iter().flat_map(|r| r.flags).copied().collect();
        flags.sort_unstable();
        flags.dedup();
        Self {
            columns: chosen.iter().map(|d| d.column).collect(),
            rows: (rows.iter())
                .map(|r| chosen.iter().map(|d| d.cell.cell(r)).collect())
                .collect(),
            trends: rows.iter().map(LawRow::trend).collect(),
            flags,
            caption: String::new(),
        }
    }
}

fn caption(analysis: &Analysis) -> String {
    let options = &analysis.options;
    format!(
        "Ratio of errors to {}, with {} % intervals at the level of the decision, adjusted for the \
         number of laws (Holm); margin {} % per decade of {}; relscale {}.",
        options.baseline,
        options.level_percent(),
        options.margin_percent,
        analysis.scale_in_words(),
        analysis.version,
    )
}

/// The letters that stand for the flags `own` in the list `all` below a table.
pub(super) fn marks(own: &[Flag], all: &[Flag]) -> String {
    own.iter()
        .filter_map(|flag| all.iter().position(|f| f == flag))
        .map(flag_mark)
        .collect()
}

/// The letter that stands for the flag at `position` of [`Sheet::flags`]; there are fewer flags than letters in both cases.
#[must_use]
pub fn flag_mark(position: usize) -> char {
    let letters = ('a'..='z').chain('A'..='Z');
    letters.clone().nth(position).unwrap_or('*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_keep_three_digits() {
        assert_eq!(percent(28.861), "+28.9");
        assert_eq!(percent(-0.6249), "-0.62");
        assert_eq!(percent(9.996), "+10.0");
    }

    #[test]
    fn every_flag_has_a_letter_of_its_own() {
        let letters: std::collections::BTreeSet<char> = (0..52).map(flag_mark).collect();
        assert_eq!(letters.len(), 52);
        let all = [Flag::FewReadings, Flag::NearFloor];
        assert_eq!(marks(&[Flag::NearFloor], &all), "b");
    }
}
