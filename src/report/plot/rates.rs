//! The error rates of a corpus in small panels.

use plotters::style::BLACK;
use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, drawing, header_height};
use super::frame::{Frame, axis_label};
use super::span::Span;
use super::style::{BLUE, GREY, Marker, VERMILION};
use super::text::{shorten, wrap};
use super::{Drawn, PlotError};
use crate::fit::{Analysis, Flag, RateLaw, RateReading};
use crate::report::format::signed;

/// Width and height of one panel in pixels.
const PANEL: (i32, i32) = (300, 250);
/// From one panel's corner to the next: the panel, its ticks and its two lines of text.
const STEP: (i32, i32) = (420, 390);

/// The error rates of `corpus` against scale in small panels, with their fitted rates and the rate of
/// a guess. Rates of zero have no logarithm and stand at the lower edge as rings.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no error rates.
pub fn rates(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    let of_corpus = |r: &&RateLaw| r.corpus == corpus && !r.readings.is_empty();
    let laws: Vec<&RateLaw> = analysis.rates.iter().filter(of_corpus).collect();
    if laws.is_empty() {
        return Err(PlotError::Nothing {
            what: format!("error rates of corpus {corpus}"),
        });
    }
    let readings = laws.iter().flat_map(|l| &l.readings);
    // One x for all panels: the eye compares slopes only on one scale.
    let x = Span::of(readings.map(|r| r.scale.log10())).padded(0.04);
    // As wide as tall, up to what fits a page.
    let columns = (1..4).find(|n| n * n >= laws.len()).unwrap_or(4);
    let rows = laws.len().div_ceil(columns) as i32;
    let width = (columns as i32 * STEP.0 + 60).max(1100);
    let notes = format!(
        "share of wrong answers against {}; points: runs or budgets, rings: no error; grey: fitted; \
         dotted: by guessing",
        axis_label(analysis)
    );
    // Letters of a note are up to 14 pixels wide.
    let notes = wrap(&notes, ((width - 80) / 14) as usize);
    let first_row = header_height(notes.len()) + 70;
    drawing(width, first_row + rows * STEP.1 - 20, |c| {
        // 54 bold characters fill the narrowest page, 1,100 pixels.
        let title = shorten(&format!("{corpus}: error rates"), 54);
        c.header(&title, &notes)?;
        for (k, law) in laws.iter().enumerate() {
            let left = 110 + (k % columns) as i32 * STEP.0;
            let top = first_row + (k / columns) as i32 * STEP.1;
            let frame = Frame {
                left,
                right: left + PANEL.0,
                top,
                bottom: top + PANEL.1,
                x,
                y: range(law),
            };
            panel(c, &frame, law)?;
        }
        Ok(())
    })
}

/// Logarithms of the rates, fitted rates and the rate of a guess.
fn range(law: &RateLaw) -> Span {
    let rates = law.readings.iter().flat_map(|r| [r.rate, r.fitted]);
    let logs = rates.chain(law.ceiling).map(f64::ln);
    Span::of(logs.filter(|v| v.is_finite())).padded(0.08)
}

fn panel(c: &mut Canvas<'_>, frame: &Frame, law: &RateLaw) -> Drawn {
    let name = shorten(&law.distribution, 24);
    c.text(&name, (frame.left, frame.top - 48), 24, HPos::Left, true)?;
    let at_chance = law.flags.contains(&Flag::PreOnset);
    let note = match at_chance {
        // An exponent there would be read as a finding.
        true => "at chance: no law".to_owned(),
        false => format!("β = {} · φ = {:.1}", signed(law.beta.value), law.dispersion),
    };
    c.text(&note, (frame.left, frame.top - 20), 20, HPos::Left, false)?;
    if let Some(ceiling) = law.ceiling {
        let y = ceiling.ln();
        let ends = [(frame.x.low, y), (frame.x.high, y)];
        c.dashed(&frame.clipped(&ends), BLACK, 2, 3, 7)?;
    }
    let at = |r: &RateReading| r.scale.log10();
    let fitted: Vec<(f64, f64)> = (law.readings.iter())
        .map(|r| (at(r), r.fitted.ln()))
        .collect();
    c.line(&frame.clipped(&fitted), GREY, 3)?;
    for r in &law.readings {
        if r.rate > 0.0 {
            let place = frame.at(at(r), r.rate.ln());
            c.marker(
                Marker::Circle,
                place,
                7,
                if at_chance { GREY } else { BLUE },
            )?;
        } else {
            c.marker(Marker::Ring, frame.at(at(r), frame.y.low), 7, VERMILION)?;
        }
    }
    frame.small_axes(c)
}
