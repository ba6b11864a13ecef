//! Exponents against a covariate of the treatments.

use super::PlotError;
use super::canvas::{Canvas, Header, Side, TICK, drawing};
use super::frame::{Frame, exponents};
use super::marks::{shown, verdict_style};
use super::metrics;
use super::palette::Ink;
use super::span::Span;
use super::style::Style;
use super::text::{interval_of, signed};
use crate::fit::{Analysis, CovariateSlope, RelativeLaw};
use crate::report::format::p_phrase;

impl Style {
    /// Δβ of the treatments of `corpus` against their covariate, with intervals and the fitted slope.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when fewer than two treatments have a covariate.
    pub fn covariate(
        &self,
        analysis: &Analysis,
        corpus: &str,
        label: &str,
    ) -> Result<String, PlotError> {
        self.check()?;
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
        let short = |name: &str| metrics::fit(self.name(name), 400.0, 32.0, true);
        let baseline = short(&analysis.options.baseline);
        let title = format!("{}: exponents against {baseline}", short(corpus));
        let (width, asked) = self.page().unwrap_or((1300.0, None));
        let header = Header::new(self, &title, &notes(slope), width);
        let top = header.height();
        let height = asked.map_or(640.0, |h| h - top - 110.0).max(240.0);
        let frame = Frame {
            left: 170.0,
            right: width - 60.0,
            top,
            bottom: top + height,
            x: Span::of(points.iter().map(|p| p.0)).padded(0.08),
            y: range(&points),
        };
        Ok(drawing(self, (width, frame.bottom + 110.0), &header, |c| {
            frame.exponent_x_axis(c, label);
            exponent_axis(c, &frame);
            fitted_line(c, &frame, &points, slope.fixed.value);
            for (z, law) in &points {
                let (ink, marker) = verdict_style(shown(law));
                let ink = c.style.ink(&law.treatment, ink);
                let d = &law.delta_beta;
                // An infinite end stops at the frame.
                let bar = frame.clipped(&[(*z, d.lower), (*z, d.upper)]);
                c.group("law", |c| {
                    c.line(&bar, ink, 3.0);
                    c.marker(marker, frame.at(*z, d.value), 10.0, ink);
                });
            }
            name_points(c, &frame, &points);
        }))
    }
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

/// Range of the exponents: all of them, and their intervals up to as far again.
fn range(points: &[(f64, &RelativeLaw)]) -> Span {
    let values = points.iter().map(|(_, l)| l.delta_beta.value);
    // Zero always shows: the sign of an exponent is the first thing looked for.
    let inner = Span::of(values.chain([0.0]));
    let ends = points
        .iter()
        .flat_map(|(_, l)| [l.delta_beta.lower, l.delta_beta.upper]);
    let outer = Span::of(ends);
    let room = inner.length();
    Span {
        low: outer.low.max(inner.low - room).min(inner.low),
        high: outer.high.min(inner.high + room).max(inner.high),
    }
    .padded(0.05)
}

/// The y axis, with a line at zero.
fn exponent_axis(c: &mut Canvas<'_>, frame: &Frame) {
    frame.y_ticks(c, &exponents(frame.y, 7.0), TICK);
    frame.y_label(c, "Δβ per nat", 38.0);
    let zero = frame.path(&[(frame.x.low, 0.0), (frame.x.high, 0.0)]);
    c.group("zero", |c| c.line(&zero, Ink::Black, 1.0));
}

/// The fitted slope through the mean of the points, which are sorted by their covariate.
fn fitted_line(c: &mut Canvas<'_>, frame: &Frame, points: &[(f64, &RelativeLaw)], slope: f64) {
    let n = points.len() as f64;
    let mean_z = points.iter().map(|p| p.0).sum::<f64>() / n;
    let mean = points.iter().map(|p| p.1.delta_beta.value).sum::<f64>() / n;
    let at = |z: f64| (z, mean + slope * (z - mean_z));
    let line = frame.straight(at(points[0].0), at(points[points.len() - 1].0));
    c.group("slope", |c| {
        c.dashed(&line, Ink::FrameGrey, 3.0, (14.0, 8.0))
    });
}

/// Names the points from the top down: a name that would touch one before it moves down.
fn name_points(c: &mut Canvas<'_>, frame: &Frame, points: &[(f64, &RelativeLaw)]) {
    let mut names: Vec<((f64, f64), &str)> = points
        .iter()
        .map(|(z, law)| {
            let place = frame.at(*z, law.delta_beta.value);
            (place, c.style.name(&law.treatment))
        })
        .collect();
    names.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let mut placed: Vec<(f64, f64, f64)> = Vec::new();
    c.group("names", |c| {
        for ((x, mut y), text) in names {
            let text = metrics::fit(text, 320.0, TICK, false);
            let width = metrics::width(&text, TICK, false);
            // On the side of the point where the page has room.
            let (left, side) = match x + 18.0 + width <= frame.right - 6.0 {
                true => (x + 18.0, Side::Left),
                false => (x - 18.0 - width, Side::Right),
            };
            let right = left + width;
            for &(l, r, before) in &placed {
                // A line of text is as high as its size. In order from the top, so one pass is enough.
                if left < r && l < right && y < before + 1.1 * TICK {
                    y = before + 1.1 * TICK;
                }
            }
            placed.push((left, right, y));
            let at = if side == Side::Left { left } else { right };
            c.text(&text, (at, y), TICK, side, false);
        }
    });
}
