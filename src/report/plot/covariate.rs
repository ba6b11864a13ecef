//! Exponents against a covariate of the treatments.

use plotters::style::BLACK;
use plotters::style::text_anchor::HPos;

use super::canvas::{Canvas, drawing, header_height};
use super::frame::Frame;
use super::span::Span;
use super::style::{FRAME_GREY, shown, verdict_style};
use super::text::{digits_for, shorten};
use super::{Drawn, PlotError};
use crate::fit::{Analysis, CovariateSlope, RelativeLaw};
use crate::report::format::{interval_of, p_phrase, signed};

/// Δβ of the treatments of `corpus` against their covariate, with intervals and the fitted slope.
///
/// # Errors
/// [`PlotError::Nothing`] when fewer than two treatments have a covariate.
pub fn covariate(analysis: &Analysis, corpus: &str, label: &str) -> Result<String, PlotError> {
    let mut points: Vec<(f64, &RelativeLaw)> = analysis
        .laws
        .iter()
        .filter(|l| l.corpus == corpus && l.delta_beta.value.is_finite())
        .filter_map(|l| Some((*analysis.options.covariate.get(&l.treatment)?, l)))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let slope = analysis.covariate.iter().find(|s| s.corpus == corpus);
    let (Some(slope), true) = (slope, points.len() >= 2) else {
        return Err(PlotError::Nothing {
            what: format!("covariate in corpus {corpus}"),
        });
    };
    let notes = notes(slope);
    let top = header_height(notes.len());
    let ends = points.iter().flat_map(|(_, l)| {
        let d = &l.delta_beta;
        // Zero always shows: the sign of an exponent is the first thing looked for.
        [d.lower, d.upper, d.value, 0.0]
    });
    let mut x = Span::of(points.iter().map(|p| p.0)).padded(0.08);
    // Labels stand to the right of their points.
    // A fifth more holds about a dozen characters; longer names run into the margin.
    x.high += 0.2 * x.length();
    let frame = Frame {
        left: 170,
        right: 1200,
        top,
        bottom: top + 640,
        x,
        y: Span::of(ends).padded(0.05),
    };
    let title = format!("{corpus}: exponents against {}", analysis.options.baseline);
    drawing(1300, frame.bottom + 110, |c| {
        c.header(&shorten(&title, 76), &notes)?;
        frame.linear_x_axis(c, label)?;
        exponent_axis(c, &frame)?;
        fitted_line(c, &frame, &points, slope.fixed.value)?;
        for (z, law) in &points {
            let (colour, marker) = verdict_style(shown(law));
            let d = &law.delta_beta;
            // An infinite end stops at the frame.
            let bar = frame.clipped(&[(*z, d.lower), (*z, d.upper)]);
            c.line(&bar, colour, 3)?;
            c.marker(marker, frame.at(*z, d.value), 10, colour)?;
        }
        name_points(c, &frame, &points)
    })
}

/// The lines under the title.
fn notes(slope: &CovariateSlope) -> Vec<String> {
    let mut notes = vec![format!(
        "slope {} {} for these distributions",
        signed(slope.fixed.value),
        interval_of(slope.fixed.lower, slope.fixed.upper)
    )];
    if let Some(sample) = slope.sample {
        notes.push(format!(
            "slope {} {} with distributions as a sample{}",
            signed(sample.value),
            interval_of(sample.lower, sample.upper),
            slope
                .permutation_p
                .map_or(String::new(), |p| format!("; permutation {}", p_phrase(p)))
        ));
    }
    notes
}

/// The y axis, with a line at zero.
fn exponent_axis(c: &mut Canvas<'_>, frame: &Frame) -> Drawn {
    let ticks = frame.y.ticks(7.0);
    let digits = digits_for(&ticks);
    for v in &ticks {
        let (_, y) = frame.at(frame.x.low, *v);
        c.line(&[(frame.left - 10, y), (frame.left, y)], FRAME_GREY, 2)?;
        let text = format!("{v:+.digits$}");
        c.text(&text, (frame.left - 18, y), 22, HPos::Right, false)?;
    }
    c.sideways("Δβ per nat", (38, (frame.top + frame.bottom) / 2), 24)?;
    let zero = [(frame.x.low, 0.0), (frame.x.high, 0.0)];
    c.line(&frame.path(&zero), BLACK, 1)
}

/// The fitted slope through the mean of the points, which are sorted by their covariate.
fn fitted_line(
    c: &mut Canvas<'_>,
    frame: &Frame,
    points: &[(f64, &RelativeLaw)],
    slope: f64,
) -> Drawn {
    let n = points.len() as f64;
    let mean_z = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean = points.iter().map(|p| p.1.delta_beta.value).sum::<f64>() / n;
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let line = [first, last].map(|z| (z, mean + slope * (z - mean_z)));
    c.dashed(&frame.clipped(&line), FRAME_GREY, 3, 14, 8)
}

/// Names the points from the top down: a name that would touch one before it moves down.
fn name_points(c: &mut Canvas<'_>, frame: &Frame, points: &[(f64, &RelativeLaw)]) -> Drawn {
    let mut names: Vec<((i32, i32), &str)> = points
        .iter()
        .map(|(z, law)| (frame.at(*z, law.delta_beta.value), law.treatment.as_str()))
        .collect();
    names.sort_by_key(|l| l.0.1);
    let mut placed: Vec<(i32, i32, i32)> = Vec::new();
    for ((x, mut y), text) in names {
        let text = shorten(text, 24);
        let (left, right) = (x + 18, x + 18 + 13 * text.chars().count() as i32);
        for &(l, r, before) in &placed {
            // 24 pixels are the height of a line of size 22. In order from the top, so one pass is
            // enough.
            if left < r && l < right && y < before + 24 {
                y = before + 24;
            }
        }
        placed.push((left, right, y));
        c.text(&text, (left, y), 22, HPos::Left, false)?;
    }
    Ok(())
}
