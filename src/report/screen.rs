//! The first screen: the answer in words, one line per law, and what to know before quoting it.

use std::fmt::{self, Write};

use crate::fit::{Analysis, CorpusReport, Design, Estimate, Flag};

use super::rows::{LawKind, LawRow, Trend, corpora, law_rows};
use super::sheet::{Audience, Cell, Sheet, flag_mark, marks};
use super::words::{answer, clean};

/// Columns of a terminal whose width is not known.
const USUAL_WIDTH: usize = 80;

/// Columns below which a sentence cannot be read.
const LEAST_WIDTH: usize = 40;

/// Characters that are left of a long name.
const SHORT_NAME: usize = 12;

/// Reasons why something was not analysed that the screen lists.
const REASONS: usize = 4;

/// The first screen of an analysis: lines of parts that a program may colour.
///
/// # Examples
/// ```no_run
/// use relscale::report::{Screen, Tone};
/// # fn of(analysis: &relscale::fit::Analysis) {
/// for line in Screen::on_terminal(analysis, 100).lines {
///     for part in line {
///         let bold = part.tone == Tone::Heading;
///         print!("{}", if bold { part.text.to_uppercase() } else { part.text });
///     }
///     println!();
/// }
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Screen {
    /// Lines, each of parts from left to right.
    pub lines: Vec<Vec<Part>>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The text.
    pub text: String,
    /// Its tone.
    pub tone: Tone,
}

/// Tone of a part of a line, for colours. No tone says anything that the text does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tone {
    /// Running text.
    Plain,
    /// A heading.
    Heading,
    /// A law that gets worse.
    Worse,
    /// A law that gets better.
    Better,
    /// The rest, which may be skipped.
    Faint,
}

impl Screen {
    /// The first screen of `analysis` for a file: sentences of at most 80 columns, and whole names.
    #[must_use]
    pub fn new(analysis: &Analysis) -> Self {
        Self::of(analysis, USUAL_WIDTH, false)
    }

    /// The first screen of `analysis` on a terminal of `width` columns.
    ///
    /// Sentences wrap, and names are shortened where a row would be wider.
    #[must_use]
    pub fn on_terminal(analysis: &Analysis, width: usize) -> Self {
        Self::of(analysis, width.max(LEAST_WIDTH), true)
    }

    fn of(analysis: &Analysis, width: usize, shorten: bool) -> Self {
        let rows = law_rows(analysis);
        let mut flags: Vec<Flag> = rows.iter().flat_map(|r| r.flags).copied().collect();
        flags.extend(analysis.corpora.iter().flat_map(|c| &c.flags));
        flags.extend(analysis.rates.iter().flat_map(|r| &r.flags));
        flags.sort_unstable();
        flags.dedup();
        let mut screen = Writer {
            lines: Vec::new(),
            width,
            shorten,
            flags,
        };
        screen.title(analysis, &rows);
        for corpus in corpora(analysis) {
            screen.corpus(analysis, corpus, &rows);
        }
        let between: Vec<LawRow<'_>> = of_kind(&rows, |r| r.kind == LawKind::Corpora);
        if let Some(first) = between.first() {
            screen.blank();
            let heading = format!("Corpora against {}", clean(first.baseline));
            screen.wrapped(&heading, "", Tone::Heading);
            screen.laws(analysis, &between, |r| {
                format!("{} in {}", clean(r.name), clean(r.corpus))
            });
        }
        screen.notes(analysis);
        screen.refused(analysis);
        Self {
            lines: screen.lines,
        }
    }
}

/// The lines without tones.
impl fmt::Display for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            for part in line {
                f.write_str(&part.text)?;
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

/// The first screen, 80 columns wide. [`Analysis::details`] has everything else.
impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Screen::new(self), f)
    }
}

fn of_kind<'a>(rows: &[LawRow<'a>], wanted: impl Fn(&LawRow<'a>) -> bool) -> Vec<LawRow<'a>> {
    rows.iter().filter(|r| wanted(r)).cloned().collect()
}

/// Lines of the screen while they are written.
struct Writer {
    lines: Vec<Vec<Part>>,
    width: usize,
    /// If true, names are shortened to keep rows on one line.
    shorten: bool,
    /// Flags in the order of their letters.
    flags: Vec<Flag>,
}

impl Writer {
    fn blank(&mut self) {
        self.lines.push(Vec::new());
    }

    fn line(&mut self, text: String, tone: Tone) {
        self.lines.push(vec![Part { text, tone }]);
    }

    /// Text in lines no wider than the screen, all but the first indented as `hang` is long.
    fn wrapped(&mut self, text: &str, hang: &str, tone: Tone) {
        let mut line = String::new();
        for word in text.split(' ') {
            let wide = line.chars().count() + 1 + word.chars().count() > self.width;
            if wide && !line.trim().is_empty() {
                self.line(std::mem::replace(&mut line, hang.to_owned()), tone);
                line.push_str(word);
                continue;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        self.line(line, tone);
    }

    fn title(&mut self, analysis: &Analysis, rows: &[LawRow<'_>]) {
        let laws = if rows.is_empty() {
            "Scaling laws"
        } else {
            "Relative scaling laws"
        };
        let mut title = laws.to_owned();
        if !analysis.ladder.is_empty() {
            let _ = write!(title, " of {}", clean(&analysis.ladder));
        }
        if !rows.is_empty() {
            let _ = write!(title, " against {}", clean(&analysis.options.baseline));
        }
        // Whole: the name of a file is copied from here.
        self.line(title, Tone::Heading);
    }

    /// The contents of a corpus, its answer in words, and its laws.
    fn corpus(&mut self, analysis: &Analysis, corpus: &str, rows: &[LawRow<'_>]) {
        if let Some(report) = analysis.corpora.iter().find(|c| c.corpus == corpus) {
            let line = self.heading(analysis, report);
            self.wrapped(&line, "  ", Tone::Plain);
        } else {
            self.wrapped(&format!("Corpus {}", clean(corpus)), "  ", Tone::Plain);
        }
        let of =
            |kinds: &[LawKind]| of_kind(rows, |r| r.corpus == corpus && kinds.contains(&r.kind));
        let laws = of(&[LawKind::Law, LawKind::ErrorRate]);
        self.laws(analysis, &laws, |r| clean(r.name));
        let contrasts = of(&[LawKind::Contrast]);
        if !contrasts.is_empty() {
            self.blank();
            self.line("Contrasts".to_owned(), Tone::Heading);
            self.laws(analysis, &contrasts, |r| clean(r.name));
        }
        for worst in analysis.worst.iter().filter(|w| w.corpus == corpus) {
            self.blank();
            self.wrapped(&clean(&worst.sentence), "", Tone::Plain);
        }
        if laws.is_empty() && contrasts.is_empty() {
            self.own_laws(analysis, corpus);
        }
    }

    /// Design, runs and scales.
    fn heading(&self, analysis: &Analysis, corpus: &CorpusReport) -> String {
        let least = corpus.scales.iter().copied().fold(f64::NAN, f64::min);
        let most = corpus.scales.iter().copied().fold(f64::NAN, f64::max);
        let design = match corpus.design {
            Design::Isoflop => "IsoFLOP ladder",
            Design::Rungs => "rungs",
            Design::Grid => "grid of sizes and training lengths",
        };
        let mut line = format!(
            "Corpus {}: {design}, {} runs, {} scales from {} to {} {}",
            clean(&corpus.corpus),
            corpus.runs,
            corpus.scales.len(),
            scale(least),
            scale(most),
            scale_unit(analysis),
        );
        if !corpus.refused_budgets.is_empty() {
            let _ = write!(line, "; {} budgets left out", corpus.refused_budgets.len());
        }
        let own = marks(&corpus.flags, &self.flags);
        if !own.is_empty() {
            let _ = write!(line, "; notes {own}");
        }
        line
    }

    /// The answer in words, then one line per law.
    fn laws(
        &mut self,
        analysis: &Analysis,
        rows: &[LawRow<'_>],
        label: impl Fn(&LawRow<'_>) -> String,
    ) {
        if rows.is_empty() {
            return;
        }
        self.blank();
        for sentence in answer(analysis, rows) {
            self.wrapped(&sentence, "  ", Tone::Plain);
        }
        self.blank();
        let sheet = Sheet::from_rows(rows, Audience::Screen, |_| false);
        let cells: Vec<Vec<String>> = (sheet.rows.iter().zip(rows))
            .map(|(cells, row)| {
                let text = |cell: &Cell| match cell {
                    Cell::Text(text) => clean(text),
                    Cell::Number { text, .. } => text.clone(),
                    Cell::Interval {
                        text: [v, low, high],
                        ..
                    } => format!("{v} [{low}, {high}]"),
                    Cell::Flags(own) => marks(own, &self.flags),
                    Cell::Missing => "–".to_owned(),
                };
                let mut cells: Vec<String> = cells.iter().map(text).collect();
                cells[0] = label(row);
                cells
            })
            .collect();
        let headings = sheet.columns.iter().map(|c| c.heading.to_owned()).collect();
        self.table(headings, &cells, &sheet.trends);
    }

    /// Aligned columns; the first is shortened where rows would be wider than the screen.
    fn table(&mut self, mut headings: Vec<String>, rows: &[Vec<String>], trends: &[Trend]) {
        // "law" says nothing that the names below it do not.
        headings[0].clear();
        let length = |text: &String| text.chars().count();
        let mut widths: Vec<usize> = headings.iter().map(length).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(cell));
            }
        }
        let total = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
        let over = if self.shorten {
            total.saturating_sub(self.width)
        } else {
            0
        };
        widths[0] = widths[0].min(widths[0].saturating_sub(over).max(SHORT_NAME));
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, &width)| {
                let cell = shortened(cell, width);
                format!("{cell:<width$}  ")
            });
            padded.collect::<Vec<String>>()
        };
        self.line(line(&headings).concat().trim_end().to_owned(), Tone::Faint);
        for (row, trend) in rows.iter().zip(trends) {
            let tone = match trend {
                Trend::Worse => Tone::Worse,
                Trend::Better => Tone::Better,
                Trend::Open => Tone::Faint,
                Trend::Still => Tone::Plain,
            };
            let cells = line(row);
            let part = |text: &str, tone| Part {
                text: text.to_owned(),
                tone,
            };
            let rest = cells[2..].concat();
            self.lines.push(vec![
                part(&cells[0], Tone::Plain),
                part(&cells[1], tone),
                part(rest.trim_end(), Tone::Plain),
            ]);
        }
    }

    /// Exponents of the distributions themselves, where there is no relative law.
    fn own_laws(&mut self, analysis: &Analysis, corpus: &str) {
        let mut lines = Vec::new();
        for law in analysis.absolute_laws.iter().filter(|l| l.corpus == corpus) {
            let of = format!("The loss on {}", clean(&law.distribution));
            lines.push(format!("{of} {}.", movement(&law.beta)));
        }
        for rate in analysis.rates.iter().filter(|r| r.corpus == corpus) {
            let of = format!("The error rate of {}", clean(&rate.distribution));
            let notes = match marks(&rate.flags, &self.flags) {
                none if none.is_empty() => none,
                own => format!("; notes {own}"),
            };
            lines.push(format!("{of} {}{notes}.", movement(&rate.beta)));
        }
        if !lines.is_empty() {
            self.blank();
        }
        for line in lines {
            self.wrapped(&line, "  ", Tone::Plain);
        }
    }

    /// The meaning of intervals, of `G` and of each letter.
    fn notes(&mut self, analysis: &Analysis) {
        let options = &analysis.options;
        self.blank();
        self.wrapped(
            &format!(
                "[ ]: {} %, Holm-adjusted; G top: ratio at the largest scale; margin {} %/decade",
                options.level_percent(),
                options.margin_percent
            ),
            "",
            Tone::Faint,
        );
        for (k, flag) in self.flags.clone().into_iter().enumerate() {
            let line = format!("{}  {}", flag_mark(k), flag.meaning());
            self.wrapped(&line, "   ", Tone::Plain);
        }
    }

    /// The laws that could not be fitted, by reason.
    fn refused(&mut self, analysis: &Analysis) {
        let groups = analysis.refusals();
        if groups.is_empty() {
            return;
        }
        self.blank();
        self.line("Not analysed".to_owned(), Tone::Heading);
        for group in groups.iter().take(REASONS) {
            self.wrapped(&clean(&group.to_string()), "  ", Tone::Plain);
        }
        if groups.len() > REASONS {
            self.line(
                format!("{} more reasons", groups.len() - REASONS),
                Tone::Plain,
            );
        }
    }
}

/// The direction of a loss with the exponent `beta`, which is positive where it falls.
fn movement(beta: &Estimate) -> String {
    let (word, shown) = match beta.value < 0.0 {
        true => ("rises", beta.negated()),
        false => ("falls", *beta),
    };
    let [value, lower, upper] = [shown.value, shown.lower, shown.upper].map(super::format::number);
    format!("{word} with exponent {value} [{lower}, {upper}]")
}

/// A scale to two digits.
pub(super) fn scale(v: f64) -> String {
    if (0.01..1e5).contains(&v) {
        super::format::number(v)
    } else {
        format!("{v:.1e}")
    }
}

/// The unit of the scale in words.
pub(super) fn scale_unit(analysis: &Analysis) -> String {
    match analysis.scale_in_words() {
        "compute" => "FLOPs".to_owned(),
        other => clean(other),
    }
}

/// Text of at most `width` characters, the last of which says that some are missing.
fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}
