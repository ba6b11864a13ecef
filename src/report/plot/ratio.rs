//! One law: the ratio against scale.

use plotters::style::BLACK;

use super::canvas::{Canvas, drawing, header_height};
use super::frame::{Frame, axis_label};
use super::span::Span;
use super::style::{BLUE, Marker, SKY, VERMILION, said};
use super::text::{power_of_ten, shorten, wrap};
use super::{Drawn, PlotError};
use crate::fit::{Analysis, BandPoint, RelativeLaw};
use crate::report::format::{flag_name, interval_of, number, p_phrase, signed};

/// The ratio G against scale with the fitted law, its interval at each scale, the band over all
/// scales, parity where it is near, and the verdict.
///
/// # Errors
/// [`PlotError::Nothing`] when the law has no readings.
pub fn ratio(analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
    if law.readings.is_empty() {
        return Err(PlotError::Nothing {
            what: "readings".to_owned(),
        });
    }
    let title = shorten(
        &format!(
            "{}: {} relative to {}",
            law.corpus, law.treatment, law.baseline
        ),
        84,
    );
    let notes = notes(law);
    let top = header_height(notes.len());
    let band = law.band();
    let band = band.iter().map(|b| b.scale.log10());
    let scales = law.readings.iter().map(|r| r.scale.log10()).chain(band);
    let frame = Frame {
        left: 170,
        right: 1460,
        top,
        bottom: top + 660,
        x: Span::of(scales).padded(0.04),
        y: range(law).padded(0.06),
    };
    drawing(1500, frame.bottom + 170, |c| {
        c.header(&title, &notes)?;
        frame.log_x_axis(c, axis_label(analysis))?;
        frame.ratio_y_axis(
            c,
            &format!(
                "G = E({}) / E({})",
                shorten(&law.treatment, 24),
                shorten(&law.baseline, 24)
            ),
        )?;
        curves(c, &frame, law)?;
        legend(c, &frame)
    })
}

/// The lines under the title.
fn notes(law: &RelativeLaw) -> Vec<String> {
    let d = &law.delta_beta;
    let mut notes = vec![
        format!(
            "{} · Δβ = {} {} per nat · {:+.2} % per decade",
            said(law),
            signed(d.value),
            interval_of(d.lower, d.upper),
            law.percent_per_decade.value,
        ),
        format!(
            "γ = {} at {} · {}, by Holm {} · {} readings",
            number(law.gamma.value),
            power_of_ten(law.reference_flops.log10()),
            p_phrase(d.p_value),
            p_phrase(law.multiplicity.holm_p),
            law.readings.len(),
        ),
    ];
    if !law.flags.is_empty() {
        let names: Vec<String> = law.flags.iter().map(|f| flag_name(*f)).collect();
        // 110 characters of size 24 fit into the 1,500 pixels of the page.
        notes.extend(wrap(&format!("flags: {}", names.join(", ")), 110));
    }
    notes
}

/// Range of `ln G`.
fn range(law: &RelativeLaw) -> Span {
    let band = law.band();
    let band = band.iter();
    let pointwise = band.clone().flat_map(|b| [b.lower.ln(), b.upper.ln()]);
    let inner = Span::of(law.readings.iter().map(|r| r.log_ratio).chain(pointwise));
    let outer = Span::of(band.flat_map(|b| [b.simultaneous_lower.ln(), b.simultaneous_upper.ln()]));
    // Simultaneous bands may be far wider than the data: they widen the frame at most by half.
    let room = 0.5 * inner.length();
    let mut y = Span {
        low: outer.low.max(inner.low - room).min(inner.low),
        high: outer.high.min(inner.high + room).max(inner.high),
    };
    // Parity belongs in the picture when it is close to it.
    // Within 0.6 frames: further away it would squash the readings into half of the picture.
    if y.low > 0.0 && y.low < 0.6 * y.length() {
        y.low = 0.0;
    } else if y.high < 0.0 && -y.high < 0.6 * y.length() {
        y.high = 0.0;
    }
    y
}

/// Band, parity, law and readings, in this order from the back.
fn curves(c: &mut Canvas<'_>, frame: &Frame, law: &RelativeLaw) -> Drawn {
    let band = law.band();
    let edge = |f: &dyn Fn(&BandPoint) -> f64| -> Vec<(f64, f64)> {
        band.iter()
            .map(|b| (b.scale.log10(), f(b).ln()))
            .filter(|p| p.1.is_finite())
            .collect()
    };
    let mut area = edge(&|b| b.lower);
    area.extend(edge(&|b| b.upper).into_iter().rev());
    // Not clipped: the range of y holds the pointwise band.
    c.area(&frame.path(&area), SKY, 0.35)?;
    for edge in [
        edge(&|b| b.simultaneous_lower),
        edge(&|b| b.simultaneous_upper),
    ] {
        c.dashed(&frame.clipped(&edge), BLUE, 2, 12, 8)?;
    }
    frame.parity(c)?;
    // The law is straight in these coordinates: its ends are all of it.
    if let [first, .., last] = edge(&|b| b.ratio).as_slice() {
        c.line(&frame.path(&[*first, *last]), BLUE, 4)?;
    }
    for r in &law.readings {
        let at = frame.at(r.scale.log10(), r.log_ratio);
        c.marker(Marker::Circle, at, 9, VERMILION)?;
    }
    Ok(())
}

fn legend(c: &mut Canvas<'_>, frame: &Frame) -> Drawn {
    let row = frame.bottom + 130;
    let mut x = frame.left;
    c.marker(Marker::Circle, (x + 20, row), 9, VERMILION)?;
    x = c.legend(x + 40, row, "reading")?;
    c.line(&[(x, row), (x + 50, row)], BLUE, 4)?;
    x = c.legend(x + 60, row, "law")?;
    let (above, below) = (row - 12, row + 12);
    let swatch = [(x, above), (x + 50, above), (x + 50, below), (x, below)];
    c.area(&swatch, SKY, 0.35)?;
    x = c.legend(x + 60, row, "interval at each scale")?;
    c.dashed(&[(x, row), (x + 52, row)], BLUE, 2, 12, 8)?;
    x = c.legend(x + 60, row, "band over all scales")?;
    if frame.y.holds(0.0) {
        c.dashed(&[(x, row), (x + 52, row)], BLACK, 2, 3, 7)?;
        c.legend(x + 60, row, "parity, G = 1")?;
    }
    Ok(())
}
