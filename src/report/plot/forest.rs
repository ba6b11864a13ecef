//! Forests: one line per exponent, of the laws of a corpus or of the optimum rules of one law.

use plotters::style::BLACK;
use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, drawing, header_height};
use super::frame::Frame;
use super::span::Span;
use super::style::{GREY, is_at_chance, said, shown, verdict_name, verdict_style};
use super::text::shorten;
use super::{Drawn, PlotError};
use crate::fit::{Analysis, CountsLaw, Estimate, RelativeLaw, Verdict};
use crate::report::format::{interval_of, p_phrase, signed};

/// Δβ of every treatment of `corpus` with its interval, over the margin of equivalence.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no laws.
pub fn forest(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    let laws: Vec<&RelativeLaw> = analysis
        .laws
        .iter()
        .filter(|l| l.corpus == corpus)
        .collect();
    let Some(first) = laws.first() else {
        return Err(PlotError::Nothing {
            what: format!("laws of corpus {corpus}"),
        });
    };
    let rows: Vec<Row> = laws.iter().map(|l| Row::of(&l.treatment, l)).collect();
    row_plot(
        &format!("{corpus}: relative exponents against {}", first.baseline),
        &NOTES.map(str::to_owned),
        &rows,
        first.equivalence.margin,
    )
}

/// Δβ of every named contrast of `corpus` with its interval, over the margin of equivalence.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no contrasts.
pub fn contrasts(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    let of_corpus = analysis.contrasts.iter().filter(|c| c.law.corpus == corpus);
    let rows: Vec<Row> = of_corpus.map(|c| Row::of(&c.name, &c.law)).collect();
    if rows.is_empty() {
        return Err(PlotError::Nothing {
            what: format!("contrasts of corpus {corpus}"),
        });
    }
    row_plot(
        &format!("{corpus}: exponents of the contrasts"),
        &NOTES.map(str::to_owned),
        &rows,
        analysis.options.margin(),
    )
}

/// The lines under the title of a forest of relative laws.
const NOTES: [&str; 2] = [
    "Δβ > 0: the ratio grows with scale; verdicts are about the gap |ln G|",
    "thin: interval over items and runs; thick: these items; shaded: margin; p by Holm",
];

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
}

/// Δβ of every law of error rates of `corpus` with its interval, over the margin of equivalence.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no laws of error rates.
pub fn rates_forest(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    let of_corpus = |l: &&CountsLaw| l.corpus == corpus;
    let laws: Vec<&CountsLaw> = analysis.counts.iter().filter(of_corpus).collect();
    let Some(first) = laws.first() else {
        return Err(PlotError::Nothing {
            what: format!("laws of error rates of corpus {corpus}"),
        });
    };
    let rows: Vec<Row> = laws
        .iter()
        .map(|law| {
            let at_chance = law.pre_onset && law.verdict == Verdict::Inconclusive;
            Row {
                label: law.treatment.clone(),
                estimate: law.delta_beta,
                inner: None,
                verdict: law.verdict,
                note: match at_chance {
                    true => "at chance".to_owned(),
                    false => {
                        format!("{} · {}", verdict_name(law.verdict), p_phrase(law.holm_p))
                    }
                },
                strong: false,
            }
        })
        .collect();
    row_plot(
        &format!(
            "{corpus}: exponents of error rates against {}",
            first.baseline
        ),
        &["Δβ > 0: the ratio grows with scale; shaded: margin; p by Holm".to_owned()],
        &rows,
        first.equivalence.margin,
    )
}

/// Δβ of one law under every rule of reading the optimum, with what flips.
///
/// # Errors
/// [`PlotError::Nothing`] when the law has no panel.
pub fn rules(analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
    if law.alternatives.rules.len() < 2 {
        return Err(PlotError::Nothing {
            what: "other rules of reading".to_owned(),
        });
    }
    let rows: Vec<Row> = law
        .alternatives
        .rules
        .iter()
        .map(|rule| {
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
        })
        .collect();
    row_plot(
        &format!(
            "{}: {} relative to {}, by rule of reading",
            law.corpus, law.treatment, law.baseline
        ),
        &[format!(
            "{:.0} % intervals from runs and frontier only; shaded: margin of equivalence",
            100.0 * (1.0 - analysis.options.alpha)
        )],
        &rows,
        law.equivalence.margin,
    )
}

/// One line of a forest.
struct Row {
    label: String,
    estimate: Estimate,
    inner: Option<Estimate>,
    verdict: Verdict,
    note: String,
    strong: bool,
}

/// Pixels from one line of a forest to the next.
const STEP: i32 = 40;

/// Room for the numbers of a line: 31 characters.
const NUMBERS: i32 = 31 * 13 + 20;

fn row_plot(title: &str, notes: &[String], rows: &[Row], margin: f64) -> Result<String, PlotError> {
    let widest = |f: &dyn Fn(&Row) -> usize| rows.iter().map(f).max().unwrap_or(0) as i32;
    // 13 pixels are 0.58 em, wide for every common sans-serif.
    let label = (widest(&|r| r.label.chars().count().min(40)) * 13 + 40).max(140);
    let note = widest(&|r| r.note.chars().count()) * 13 + 20;
    let top = header_height(notes.len()) + 30;
    let frame = Frame {
        left: label,
        right: label + 620,
        top,
        bottom: top + STEP * rows.len() as i32 + 10,
        x: range(rows, margin),
        y: Span {
            low: 0.0,
            high: 1.0,
        },
    };
    // 18 pixels per character of the bold title, whose end would be cut off.
    let width = (frame.right + 20 + NUMBERS + note).max(title.chars().count() as i32 * 18 + 60);
    drawing(width, frame.bottom + 110, |c| {
        c.header(title, notes)?;
        let (numbers, verdicts) = (frame.right + 20, frame.right + 20 + NUMBERS);
        let head = frame.top - 20;
        c.text(
            "Δβ per nat [interval]",
            (numbers, head),
            20,
            HPos::Left,
            false,
        )?;
        c.text("verdict", (verdicts, head), 20, HPos::Left, false)?;
        let x = |v: f64| frame.at(v, 0.0).0;
        let (low, high) = (x((-margin).max(frame.x.low)), x(margin.min(frame.x.high)));
        let (above, below) = (frame.top, frame.bottom);
        let strip = [(low, above), (high, above), (high, below), (low, below)];
        // First, so that it lies behind everything.
        c.area(&strip, GREY, 0.3)?;
        frame.linear_x_axis(c, "Δβ per nat")?;
        c.line(&[(x(0.0), above), (x(0.0), below)], BLACK, 2)?;
        for (k, row) in rows.iter().enumerate() {
            draw_row(c, &frame, k, row)?;
        }
        Ok(())
    })
}

/// Range of the exponents that are shown.
fn range(rows: &[Row], margin: f64) -> Span {
    let mut sizes: Vec<f64> = rows
        .iter()
        .map(|r| &r.estimate)
        .flat_map(|e| [e.lower.abs(), e.upper.abs(), e.value.abs()])
        .filter(|v| v.is_finite())
        .collect();
    sizes.sort_by(f64::total_cmp);
    // The ninetieth percentile, because one of ten laws may be hopeless without being news.
    let usual = sizes
        .get(sizes.len().saturating_sub(1) * 9 / 10)
        .copied()
        .unwrap_or(0.0);
    // One hopeless interval must not squash the rest: the frame reaches 1.6 times the ninetieth
    // percentile of the ends, and what lies outside ends in an arrow.
    let reach = (1.6 * usual)
        .min(sizes.last().copied().unwrap_or(0.0))
        // The strip of the margin must be seen whole, however small the exponents are.
        .max(1.5 * margin);
    let end = |f: &dyn Fn(f64, f64) -> f64, start: f64| {
        rows.iter()
            .flat_map(|r| [r.estimate.lower, r.estimate.upper])
            .filter(|v| v.is_finite())
            .map(|v| v.clamp(-reach, reach))
            .fold(start, f)
    };
    Span {
        low: end(&f64::min, -1.2 * margin),
        high: end(&f64::max, 1.2 * margin),
    }
    .padded(0.04)
}

fn draw_row(c: &mut Canvas<'_>, frame: &Frame, k: usize, row: &Row) -> Drawn {
    let y = frame.top + STEP * k as i32 + STEP / 2 + 5;
    let (colour, marker) = verdict_style(row.verdict);
    let label = shorten(&row.label, 40);
    c.text(&label, (frame.left - 18, y), 22, HPos::Right, row.strong)?;
    let e = &row.estimate;
    c.interval(frame, e.lower, e.upper, y, colour, 3)?;
    if let Some(inner) = &row.inner {
        c.interval(frame, inner.lower, inner.upper, y, colour, 8)?;
    }
    // A marker at the edge would give a value that is not there; the arrow and the numbers say it.
    if frame.x.holds(e.value) {
        c.marker(marker, (frame.at(e.value, 0.0).0, y), 10, colour)?;
    }
    let text = format!("{} {}", signed(e.value), interval_of(e.lower, e.upper));
    let numbers = frame.right + 20;
    c.text(&text, (numbers, y), 22, HPos::Left, row.strong)?;
    let note = (numbers + NUMBERS, y);
    c.text(&row.note, note, 22, HPos::Left, row.strong)
}
