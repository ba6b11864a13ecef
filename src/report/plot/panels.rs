//! All laws of a corpus in small panels.

use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, drawing, header_height};
use super::frame::{Frame, axis_label};
use super::span::Span;
use super::style::{is_at_chance, said, shown, verdict_style};
use super::text::{shorten, wrap};
use super::{Drawn, PlotError};
use crate::fit::{Analysis, RelativeLaw};
use crate::report::format::signed;

/// Width and height of one panel in pixels.
const PANEL: (i32, i32) = (300, 250);
/// From one panel's corner to the next: the panel, its ticks and its two lines of text.
const STEP: (i32, i32) = (420, 390);

/// The ratios of all treatments of a corpus in small panels. Every panel spans the same range of
/// `ln G`, so that slopes can be compared by eye.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no laws.
pub fn ratios(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    let laws: Vec<&RelativeLaw> = analysis
        .laws
        .iter()
        .filter(|l| l.corpus == corpus && !l.readings.is_empty())
        .collect();
    let Some(first) = laws.first() else {
        return Err(PlotError::Nothing {
            what: "laws of the corpus".to_owned(),
        });
    };
    let half = half_range(&laws);
    let x = Span::of(laws.iter().flat_map(|l| {
        let readings = l.readings.iter().map(|r| r.scale.log10());
        readings.chain(l.band().into_iter().map(|b| b.scale.log10()))
    }))
    // One x for all panels: the eye compares slopes only on one scale.
    .padded(0.04);
    // As wide as tall, up to what fits a page.
    let columns = (1..4).find(|n| n * n >= laws.len()).unwrap_or(4);
    let rows = laws.len().div_ceil(columns) as i32;
    let width = (columns as i32 * STEP.0 + 60).max(1100);
    let notes = format!(
        "G = E / E of {} against {}; line: G = γ·F^Δβ, shaded: its {:.0} % interval; every panel \
         spans the same factor of G; dotted: G = 1",
        shorten(&first.baseline, 30),
        axis_label(analysis),
        100.0 * (1.0 - analysis.options.alpha)
    );
    // Letters of a note are up to 14 pixels wide.
    let notes = wrap(&notes, ((width - 80) / 14) as usize);
    let first_row = header_height(notes.len()) + 70;
    drawing(width, first_row + rows * STEP.1 - 20, |c| {
        // 54 bold characters fill the narrowest page, 1,100 pixels.
        let title = shorten(&format!("{corpus}: how the gaps evolve"), 54);
        c.header(&title, &notes)?;
        for (k, law) in laws.iter().enumerate() {
            let span = Span::of(law.readings.iter().map(|r| r.log_ratio));
            let middle = (span.low + span.high) / 2.0;
            let left = 110 + (k % columns) as i32 * STEP.0;
            let top = first_row + (k / columns) as i32 * STEP.1;
            let frame = Frame {
                left,
                right: left + PANEL.0,
                top,
                bottom: top + PANEL.1,
                x,
                y: Span {
                    low: middle - half,
                    high: middle + half,
                },
            };
            panel(c, &frame, law)?;
        }
        Ok(())
    })
}

/// Half the range of `ln G` that every panel spans. All readings are shown; an interval far wider
/// than they are leaves the panel.
fn half_range(laws: &[&RelativeLaw]) -> f64 {
    // Ratios within 2 % of each other still get an axis with ticks apart.
    let longest = |of: &dyn Fn(&RelativeLaw) -> Span| {
        laws.iter().map(|l| of(l).length()).fold(0.02, f64::max)
    };
    let readings = |law: &RelativeLaw| Span::of(law.readings.iter().map(|r| r.log_ratio));
    let with_band = |law: &RelativeLaw| {
        let band = law.band();
        let band = band.iter().flat_map(|b| [b.lower.ln(), b.upper.ln()]);
        Span::of(law.readings.iter().map(|r| r.log_ratio).chain(band))
    };
    // A tenth more than half, so that markers stay off the edge.
    0.55 * longest(&with_band).min(2.0 * longest(&readings))
}

fn panel(c: &mut Canvas<'_>, frame: &Frame, law: &RelativeLaw) -> Drawn {
    let at_chance = is_at_chance(law);
    let (colour, marker) = verdict_style(shown(law));
    let name = shorten(&law.treatment, 24);
    c.text(&name, (frame.left, frame.top - 48), 24, HPos::Left, true)?;
    // An exponent there would be read as a finding.
    let note = match at_chance {
        true => format!("{}: no law", said(law)),
        false => format!("Δβ = {} · {}", signed(law.delta_beta.value), said(law)),
    };
    c.text(&note, (frame.left, frame.top - 20), 20, HPos::Left, false)?;
    let band = law.band();
    if !at_chance {
        let lower = band.iter().map(|b| (b.scale.log10(), b.lower.ln()));
        let upper = band.iter().map(|b| (b.scale.log10(), b.upper.ln()));
        let mut area: Vec<(f64, f64)> = lower.chain(upper.rev()).collect();
        // The logarithm of a lower end that underflowed to zero.
        area.retain(|p| p.1.is_finite());
        c.area(&frame.clipped(&area), colour, 0.25)?;
    }
    frame.parity(c)?;
    if let [first, .., last] = band.as_slice()
        && !at_chance
    {
        let ends = [first, last].map(|b| (b.scale.log10(), b.ratio.ln()));
        c.line(&frame.clipped(&ends), colour, 3)?;
    }
    for r in &law.readings {
        c.marker(marker, frame.at(r.scale.log10(), r.log_ratio), 7, colour)?;
    }
    frame.small_axes(c)
}
