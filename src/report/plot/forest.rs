//! Forests: one line per exponent, of the laws of a corpus or of the optimum rules of one law.

use super::PlotError;
use super::canvas::{Canvas, Header, Side, TICK, TITLE, drawing};
use super::exponents::Exponents;
use super::frame::Frame;
use super::marks::{is_at_chance, said, shown, verdict_name, verdict_style};
use super::metrics;
use super::span::Span;
use super::style::Style;
use super::text::{interval_of, signed};
use crate::fit::{Analysis, CountsLaw, Estimate, RelativeLaw, Verdict};
use crate::report::format::p_phrase;

impl Style {
    /// Δβ of every treatment of `corpus` with its interval, over the margin of equivalence.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the corpus has no laws.
    pub fn forest(&self, analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
        let mut laws: Vec<&RelativeLaw> = analysis
            .laws
            .iter()
            .filter(|l| l.corpus == corpus)
            .collect();
        let Some(first) = laws.first() else {
            return Err(PlotError::Nothing {
                what: format!("laws of corpus {corpus}"),
            });
        };
        let (margin, baseline) = (first.equivalence.margin, &first.baseline);
        self.sort(&mut laws, |l| &l.treatment);
        let rows: Vec<Row> = (laws.iter())
            .map(|l| Row::of(self.name(&l.treatment), l))
            .collect();
        let title = format!("relative exponents against {}", self.short(baseline));
        self.rows((corpus, &title), &NOTES.map(str::to_owned), &rows, margin)
    }

    /// Δβ of every named contrast of `corpus` with its interval, over the margin of equivalence.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the corpus has no contrasts.
    pub fn contrasts(&self, analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
        let mut contrasts: Vec<_> = (analysis.contrasts.iter())
            .filter(|c| c.law.corpus == corpus)
            .collect();
        if contrasts.is_empty() {
            return Err(PlotError::Nothing {
                what: format!("contrasts of corpus {corpus}"),
            });
        }
        self.sort(&mut contrasts, |c| &c.name);
        let rows: Vec<Row> = (contrasts.iter())
            .map(|c| Row::of(self.name(&c.name), &c.law))
            .collect();
        let notes = NOTES.map(str::to_owned);
        let title = (corpus, "exponents of the contrasts");
        self.rows(title, &notes, &rows, analysis.options.margin())
    }

    /// Δβ of every law of error rates of `corpus` with its interval, over the margin of equivalence.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the corpus has no laws of error rates.
    pub fn rates_forest(&self, analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
        let of_corpus = |l: &&CountsLaw| l.corpus == corpus;
        let mut laws: Vec<&CountsLaw> = analysis.counts.iter().filter(of_corpus).collect();
        let Some(first) = laws.first() else {
            return Err(PlotError::Nothing {
                what: format!("laws of error rates of corpus {corpus}"),
            });
        };
        let (margin, baseline) = (first.equivalence.margin, &first.baseline);
        self.sort(&mut laws, |l| &l.treatment);
        let rows: Vec<Row> = (laws.iter())
            .map(|l| Row::of_counts(self.name(&l.treatment), l))
            .collect();
        let title = format!("exponents of error rates against {}", self.short(baseline));
        let notes = ["Δβ > 0: the ratio grows with scale; shaded: margin; p by Holm".to_owned()];
        self.rows((corpus, &title), &notes, &rows, margin)
    }

    /// Δβ of one law under every rule of reading the optimum, with what flips.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the law has no panel.
    pub fn rules(&self, analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
        let rules = &law.alternatives.rules;
        if rules.len() < 2 {
            return Err(PlotError::Nothing {
                what: "other rules of reading".to_owned(),
            });
        }
        let row = |rule: &crate::fit::RuleResult| {
            let mut note = verdict_name(rule.verdict).to_owned();
            if rule.main {
                note.push_str(" (headline rule)");
            }
            if rule.sign_flips {
                note.push_str(" · SIGN FLIPS");
            } else if rule.verdict_flips {
                note.push_str(" · VERDICT FLIPS");
            }
            Row {
                label: rule.rule.replace('_', " "),
                estimate: rule.delta_beta,
                inner: None,
                verdict: rule.verdict,
                note,
                strong: rule.main,
            }
        };
        let rows: Vec<Row> = rules.iter().map(row).collect();
        let (treatment, baseline) = (self.short(&law.treatment), self.short(&law.baseline));
        let title = format!("{treatment} relative to {baseline}, by rule of reading");
        let notes = [format!(
            "{}\u{a0}% intervals from runs and frontier only; shaded: margin of equivalence",
            analysis.options.level_percent()
        )];
        self.rows((&law.corpus, &title), &notes, &rows, law.equivalence.margin)
    }

    /// A name cut to what has room in a title beside others.
    fn short(&self, name: &str) -> String {
        metrics::fit(self.name(name), 400.0, TITLE, true)
    }

    fn rows(
        &self,
        (corpus, title): (&str, &str),
        notes: &[String],
        rows: &[Row],
        margin: f64,
    ) -> Result<String, PlotError> {
        self.check()?;
        let title = format!("{}: {title}", self.short(corpus));
        let layout = Layout::new(self, &title, rows);
        let header = Header::new(self, &title, notes, layout.width);
        let top = header.height() + 30.0;
        let estimates: Vec<&Estimate> = rows.iter().map(|r| &r.estimate).collect();
        let axis = Exponents::of(&estimates, margin);
        let frame = Frame {
            left: layout.label,
            right: layout.numbers - 20.0,
            top,
            bottom: top + STEP * rows.len() as f64 + 10.0,
            x: axis.span(),
            y: Span {
                low: 0.0,
                high: 1.0,
            },
        };
        let page = (layout.width, frame.bottom + 110.0);
        Ok(drawing(self, page, &header, |c| {
            c.group("head", |c| {
                let y = frame.top - 20.0;
                let heads = [
                    (layout.numbers, "Δβ per nat [interval]"),
                    (layout.notes, "verdict"),
                ];
                for (x, head) in heads {
                    c.text(head, (x, y), 20.0, Side::Left, false);
                }
            });
            axis.draw(c, &frame, margin);
            for (k, row) in rows.iter().enumerate() {
                layout.row(c, (&frame, &axis), k, row);
            }
        }))
    }
}

/// The lines under the title of a forest of relative laws.
const NOTES: [&str; 2] = [
    "Δβ > 0: the ratio grows with scale; verdicts are about the gap |ln G|",
    "thin: interval over items and runs; thick: these items; shaded: margin; p by Holm",
];

/// One line of a forest.
struct Row {
    label: String,
    estimate: Estimate,
    inner: Option<Estimate>,
    verdict: Verdict,
    note: String,
    strong: bool,
}

impl Row {
    fn of(label: &str, law: &RelativeLaw) -> Self {
        Self {
            label: label.to_owned(),
            estimate: law.delta_beta,
            inner: Some(law.alternatives.fixed_items),
            verdict: shown(law),
            note: match is_at_chance(law) {
                true => said(law).to_owned(),
                false => format!("{} · {}", said(law), p_phrase(law.multiplicity.holm_p)),
            },
            strong: false,
        }
    }

    fn of_counts(label: &str, law: &CountsLaw) -> Self {
        let at_chance = law.pre_onset && law.verdict == Verdict::Inconclusive;
        Self {
            label: label.to_owned(),
            estimate: law.delta_beta,
            inner: None,
            verdict: law.verdict,
            note: match at_chance {
                true => "at chance".to_owned(),
                false => format!("{} · {}", verdict_name(law.verdict), p_phrase(law.holm_p)),
            },
            strong: false,
        }
    }

    fn numbers(&self) -> String {
        let e = &self.estimate;
        format!("{} {}", signed(e.value), interval_of(e.lower, e.upper))
    }
}

/// Units from one line of a forest to the next.
const STEP: f64 = 40.0;

/// Widest label of a line.
const LABELS: f64 = 520.0;

/// The columns of a forest.
struct Layout {
    label: f64,
    numbers: f64,
    notes: f64,
    width: f64,
}

impl Layout {
    fn new(style: &Style, title: &str, rows: &[Row]) -> Self {
        let widest = |text: &dyn Fn(&Row) -> String| {
            let widths = rows
                .iter()
                .map(|r| metrics::width(&text(r), TICK, r.strong));
            widths.fold(0.0, f64::max)
        };
        let label = widest(&|r| r.label.clone()).min(LABELS) + 44.0;
        let label = label.max(140.0);
        // The heads of the columns are wider than short entries.
        let numbers = widest(&Row::numbers).max(250.0) + 30.0;
        let notes = widest(&|r| r.note.clone()).max(90.0) + 24.0;
        let asked = style.page().map_or(0.0, |p| p.0);
        let title = match style.title {
            true => metrics::width(title, TITLE, true).min(1900.0) + 90.0,
            false => 0.0,
        };
        let width = (label + 640.0 + numbers + notes).max(title);
        // A smaller page takes from the frame, down to what shows an interval.
        let width = match asked > 0.0 {
            true => asked.max(label + 320.0 + numbers + notes),
            false => width,
        };
        Self {
            label,
            numbers: width - numbers - notes,
            notes: width - notes,
            width,
        }
    }

    fn row(&self, c: &mut Canvas<'_>, (frame, axis): (&Frame, &Exponents), k: usize, row: &Row) {
        let y = frame.top + STEP * k as f64 + STEP / 2.0 + 5.0;
        let (ink, marker) = verdict_style(row.verdict);
        let label = metrics::fit(&row.label, self.label - 44.0, TICK, row.strong);
        c.group("law", |c| {
            let place = (frame.left - 18.0, y);
            c.text(&label, place, TICK, Side::Right, row.strong);
            axis.interval(c, frame, &row.estimate, y, (ink, 3.0));
            if let Some(inner) = &row.inner {
                axis.interval(c, frame, inner, y, (ink, 8.0));
            }
            axis.value(c, frame, &row.estimate, y, (marker, 10.0, ink));
            c.text(
                &row.numbers(),
                (self.numbers, y),
                TICK,
                Side::Left,
                row.strong,
            );
            c.text(&row.note, (self.notes, y), TICK, Side::Left, row.strong);
        });
    }
}
