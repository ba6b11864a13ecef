//! The plotting area: data to places on the page, and its axes.

use super::canvas::{Canvas, DOTS, LABEL, Side, TICK};
use super::metrics;
use super::palette::Ink;
use super::span::Span;
use super::svg::Point;
use super::text::{digits_for, minus};
use super::ticks::{self, Ticks};
use crate::fit::{Analysis, Axis};
use crate::ladder::FlopConvention;

/// The plotting area on the page and in data.
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) x: Span,
    pub(super) y: Span,
}

impl Frame {
    pub(super) fn x_of(&self, x: f64) -> f64 {
        self.left + share(x, self.x) * (self.right - self.left)
    }

    pub(super) fn y_of(&self, y: f64) -> f64 {
        self.bottom - share(y, self.y) * (self.bottom - self.top)
    }

    pub(super) fn at(&self, x: f64, y: f64) -> Point {
        (self.x_of(x), self.y_of(y))
    }

    pub(super) fn path(&self, points: &[Point]) -> Vec<Point> {
        points.iter().map(|(x, y)| self.at(*x, *y)).collect()
    }

    /// The points inside the frame, those outside moved to its edge.
    pub(super) fn clipped(&self, points: &[Point]) -> Vec<Point> {
        points
            .iter()
            .map(|(x, y)| {
                self.at(
                    x.clamp(self.x.low, self.x.high),
                    y.clamp(self.y.low, self.y.high),
                )
            })
            .collect()
    }

    /// The part of the straight line from `a` to `b` that lies between the lower and the upper edge.
    pub(super) fn straight(&self, a: Point, b: Point) -> Vec<Point> {
        let cut = |v: f64| ((v - a.1) / (b.1 - a.1)).clamp(0.0, 1.0);
        let (mut from, mut to) = (0.0, 1.0);
        if a.1 != b.1 {
            let ends = [cut(self.y.low), cut(self.y.high)];
            (from, to) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
        }
        let at = |t: f64| (a.0 + t * (b.0 - a.0), a.1 + t * (b.1 - a.1));
        self.clipped(&[at(from), at(to)])
    }

    /// A dotted line at parity, `ln G = 0`, where the frame holds it.
    pub(super) fn parity(&self, c: &mut Canvas<'_>) {
        if !self.y.holds(0.0) {
            return;
        }
        let line = self.path(&[(self.x.low, 0.0), (self.x.high, 0.0)]);
        c.group("parity", |c| c.dashed(&line, Ink::Black, 2.0, DOTS));
    }

    pub(super) fn border(&self, c: &mut Canvas<'_>) {
        let corners = [
            (self.left, self.top),
            (self.right, self.top),
            (self.right, self.bottom),
            (self.left, self.bottom),
            (self.left, self.top),
        ];
        c.group("frame", |c| c.line(&corners, Ink::FrameGrey, 2.0));
    }

    pub(super) fn x_ticks(&self, c: &mut Canvas<'_>, ticks: &Ticks, size: f64) {
        let length = 0.45 * size;
        c.group("x-axis", |c| {
            for (v, text) in ticks {
                let x = self.x_of(*v);
                let foot = self.bottom + length;
                c.line(&[(x, self.bottom), (x, foot)], Ink::FrameGrey, 2.0);
                // A long label at the edge of the page is moved inwards, a third of an em from it.
                let half = 0.5 * metrics::width(text, size, false) + 0.33 * size;
                let middle = x.min(c.width - half).max(half);
                let place = (middle, self.bottom + 1.4 * size);
                c.text(text, place, size, Side::Centre, false);
            }
        });
    }

    pub(super) fn y_ticks(&self, c: &mut Canvas<'_>, ticks: &Ticks, size: f64) {
        let length = 0.45 * size;
        c.group("y-axis", |c| {
            for (v, text) in ticks {
                let y = self.y_of(*v);
                let head = self.left - length;
                c.line(&[(head, y), (self.left, y)], Ink::FrameGrey, 2.0);
                let place = (self.left - 0.82 * size, y);
                c.text(text, place, size, Side::Right, false);
            }
        });
    }

    /// The words below the x axis.
    pub(super) fn x_label(&self, c: &mut Canvas<'_>, label: &str) {
        let middle = (self.left + self.right) / 2.0;
        // The label may be wider than its frame, but not than the page.
        let room = 2.0 * middle.min(c.width - middle);
        let label = metrics::fit(label, room, LABEL, false);
        let place = (middle, self.bottom + 74.0);
        c.text(&label, place, LABEL, Side::Centre, false);
    }

    /// The words beside the y axis, `left` of the widest of its tick labels.
    pub(super) fn y_label(&self, c: &mut Canvas<'_>, label: &str, left: f64) {
        let middle = (self.top + self.bottom) / 2.0;
        // Half a title's height above the frame is free.
        let label = metrics::fit(label, self.bottom - self.top + 80.0, LABEL, false);
        c.sideways(&label, (left, middle), LABEL);
    }

    /// Border and axis of a logarithmic scale, which x holds as log10.
    pub(super) fn scale_axis(&self, c: &mut Canvas<'_>, label: &str) {
        self.border(c);
        let ticks = ticks::of_scales(self.x, self.right - self.left, TICK);
        self.x_ticks(c, &ticks, TICK);
        self.x_label(c, label);
    }

    /// Border and axis of exponents.
    pub(super) fn exponent_x_axis(&self, c: &mut Canvas<'_>, label: &str) {
        self.border(c);
        self.x_ticks(c, &exponents(self.x, 5.0), TICK);
        self.x_label(c, label);
    }

    /// Ticks of the y axis, which holds natural logarithms of ratios or losses.
    pub(super) fn value_ticks(&self, size: f64) -> Ticks {
        const LN_10: f64 = std::f64::consts::LN_10;
        let span = Span {
            low: self.y.low / LN_10,
            high: self.y.high / LN_10,
        };
        ticks::of_values(span, self.bottom - self.top, size)
            .into_iter()
            .map(|(v, text)| (v * LN_10, text))
            .collect()
    }

    /// The y axis of ratios or losses.
    pub(super) fn value_axis(&self, c: &mut Canvas<'_>, label: &str) {
        let ticks = self.value_ticks(TICK);
        self.y_ticks(c, &ticks, TICK);
        let widest = (ticks.iter())
            .map(|t| metrics::width(&t.1, TICK, false))
            .fold(0.0, f64::max);
        // Beside the labels, whose width the axis decides: a fixed place would be far from short
        // ones or under long ones.
        self.y_label(c, label, self.left - 18.0 - widest - 28.0);
    }

    /// The axes of a small panel.
    pub(super) fn small_axes(&self, c: &mut Canvas<'_>, size: f64) {
        self.border(c);
        let room = self.right - self.left;
        self.x_ticks(c, &ticks::of_scales(self.x, room, size), size);
        self.y_ticks(c, &self.value_ticks(size), size);
    }
}

/// Place within a span, 0 to 1 inside it.
fn share(v: f64, s: Span) -> f64 {
    // Ten frames away is out of sight, and larger numbers are refused by some viewers.
    ((v - s.low) / s.length()).clamp(-10.0, 11.0)
}

/// Ticks of signed exponents.
pub(super) fn exponents(span: Span, count: f64) -> Ticks {
    let values = span.ticks(count);
    let digits = digits_for(&values);
    let label = |v: f64| match v == 0.0 {
        // "+0.000" reads like a positive exponent that was rounded.
        true => "0".to_owned(),
        false => minus(format!("{v:+.digits$}")),
    };
    values.into_iter().map(|v| (v, label(v))).collect()
}

/// The scale as the label of an axis, with its unit or convention where that is known.
pub(super) fn axis_label(analysis: &Analysis) -> String {
    let words = match (analysis.options.axis, analysis.flop_convention) {
        // The ladder gives its scale a name, which is not compute.
        (Axis::Flops, _) if analysis.scale_name.is_some() => analysis.scale_in_words(),
        (Axis::Flops, FlopConvention::Training) => "training compute F (FLOPs)",
        (Axis::Flops, FlopConvention::ForwardOnly) => "forward compute F (FLOPs)",
        (Axis::Flops, FlopConvention::SixNd) => "training compute F = 6·N·D (FLOPs)",
        (Axis::Flops, FlopConvention::Unspecified) => "compute F (FLOPs)",
        // Whatever stands in the column `flops`: no unit is known.
        (Axis::Flops, _) => "scale F",
        (Axis::Params, _) => "parameters N",
        (Axis::Tokens, _) => "training tokens D",
    };
    words.to_owned()
}
