//! The plotting area: data to pixels, and its axes.

use plotters::style::BLACK;
use plotters::style::text_anchor::HPos;

use super::Drawn;
use super::canvas::Canvas;
use super::span::Span;
use super::style::FRAME_GREY;
use super::text::{digits_for, power_of_ten};
use crate::fit::{Analysis, Axis};

/// The plotting area in pixels and in data.
pub(super) struct Frame {
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) top: i32,
    pub(super) bottom: i32,
    pub(super) x: Span,
    pub(super) y: Span,
}

impl Frame {
    pub(super) fn at(&self, x: f64, y: f64) -> (i32, i32) {
        // Ten frames away is out of sight; an unclamped number would overflow a pixel's 32 bits.
        let share = |v: f64, s: Span| ((v - s.low) / s.length()).clamp(-10.0, 11.0);
        let width = f64::from(self.right - self.left);
        let height = f64::from(self.bottom - self.top);
        (
            self.left + (share(x, self.x) * width).round() as i32,
            self.bottom - (share(y, self.y) * height).round() as i32,
        )
    }

    pub(super) fn path(&self, points: &[(f64, f64)]) -> Vec<(i32, i32)> {
        points.iter().map(|(x, y)| self.at(*x, *y)).collect()
    }

    /// The points inside the frame, those outside moved to its edge.
    pub(super) fn clipped(&self, points: &[(f64, f64)]) -> Vec<(i32, i32)> {
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

    /// A dotted line at parity, `ln G = 0`, where the frame holds it.
    pub(super) fn parity(&self, c: &mut Canvas<'_>) -> Drawn {
        if !self.y.holds(0.0) {
            return Ok(());
        }
        let line = [(self.x.low, 0.0), (self.x.high, 0.0)];
        c.dashed(&self.path(&line), BLACK, 2, 3, 7)
    }

    pub(super) fn border(&self, c: &mut Canvas<'_>) -> Drawn {
        let corners = [
            (self.left, self.top),
            (self.right, self.top),
            (self.right, self.bottom),
            (self.left, self.bottom),
            (self.left, self.top),
        ];
        c.line(&corners, FRAME_GREY, 2)
    }

    pub(super) fn x_ticks(
        &self,
        c: &mut Canvas<'_>,
        label: &str,
        ticks: &[(f64, String)],
    ) -> Drawn {
        self.border(c)?;
        for (v, text) in ticks {
            let (x, _) = self.at(*v, 0.0);
            c.line(&[(x, self.bottom), (x, self.bottom + 10)], FRAME_GREY, 2)?;
            c.text(text, (x, self.bottom + 30), 22, HPos::Center, false)?;
        }
        let middle = (self.left + self.right) / 2;
        c.text(label, (middle, self.bottom + 74), 24, HPos::Center, false)
    }

    /// Powers of ten, or round multiples where the axis spans less than two.
    pub(super) fn log_x_axis(&self, c: &mut Canvas<'_>, label: &str) -> Drawn {
        let decades: Vec<f64> = (self.x.low.ceil() as i32..=self.x.high.floor() as i32)
            .map(f64::from)
            .collect();
        let multiples: &[f64] = match decades.len() {
            0..=1 => &[1.0, 2.0, 3.0, 5.0],
            2 => &[1.0, 3.0],
            _ => &[1.0],
        };
        // More than ten labels touch each other.
        let every = decades.len().div_ceil(10).max(1) as i32;
        let mut ticks = Vec::new();
        for decade in self.x.low.floor() as i32..=self.x.high.floor() as i32 {
            if decade % every != 0 {
                continue;
            }
            for m in multiples {
                let v = f64::from(decade) + m.log10();
                if self.x.holds(v) {
                    ticks.push((v, power_of_ten(v)));
                }
            }
        }
        self.x_ticks(c, label, &ticks)
    }

    pub(super) fn linear_x_axis(&self, c: &mut Canvas<'_>, label: &str) -> Drawn {
        let values = self.x.ticks(5.0);
        let digits = digits_for(&values);
        let ticks: Vec<(f64, String)> = values
            .iter()
            .map(|v| (*v, format!("{v:+.digits$}")))
            // "+0.000" reads like a positive exponent that was rounded.
            .map(|(v, text)| (v, if v == 0.0 { "0".to_owned() } else { text }))
            .collect();
        self.x_ticks(c, label, &ticks)
    }

    /// The ratios along the y axis, which holds their natural logarithms; kept finite.
    pub(super) fn ratios(&self) -> Span {
        // Inside e^±700, so that ratios and their quotients by twenty stay finite.
        let ratio = |log: f64| log.clamp(-690.0, 690.0).exp();
        Span {
            low: ratio(self.y.low),
            high: ratio(self.y.high),
        }
    }

    /// The axes of a small panel: powers of ten below, three or four values of the ratio beside.
    pub(super) fn small_axes(&self, c: &mut Canvas<'_>) -> Drawn {
        self.border(c)?;
        for decade in self.x.low.ceil() as i32..=self.x.high.floor() as i32 {
            let v = f64::from(decade);
            let (x, _) = self.at(v, 0.0);
            c.line(&[(x, self.bottom), (x, self.bottom + 7)], FRAME_GREY, 2)?;
            c.text(
                &power_of_ten(v),
                (x, self.bottom + 24),
                18,
                HPos::Center,
                false,
            )?;
        }
        let values = self.ratios();
        let ticks = values.ticks(5.0);
        let digits = digits_for(&ticks);
        for v in ticks.iter().filter(|v| **v > 0.0) {
            let (_, y) = self.at(self.x.low, v.ln());
            c.line(&[(self.left - 7, y), (self.left, y)], FRAME_GREY, 2)?;
            c.text(
                &format!("{v:.digits$}"),
                (self.left - 12, y),
                18,
                HPos::Right,
                false,
            )?;
        }
        Ok(())
    }

    /// A logarithmic axis (y holds natural logarithms) ticked at round values.
    pub(super) fn ratio_y_axis(&self, c: &mut Canvas<'_>, label: &str) -> Drawn {
        let values = self.ratios();
        // Very many decades get every so many of them.
        let mut every = 1;
        // Beyond a factor of twenty, evenly spaced values crowd at the top of a logarithmic axis.
        let ticks = if values.high > 20.0 * values.low {
            // Several decades: round multiples of powers of ten.
            let low = values.low.log10().floor() as i32;
            let high = values.high.log10().ceil() as i32;
            // About eight labels, as many as the height holds with room between.
            every = ((high - low) / 8).max(1);
            let multiples: &[f64] = if every == 1 { &[1.0, 3.0] } else { &[1.0] };
            (low..=high)
                .filter(|d| d % every == 0)
                .flat_map(|d| multiples.iter().map(move |m| m * 10_f64.powi(d)))
                .filter(|v| values.holds(*v))
                .collect()
        } else {
            values.ticks(7.0)
        };
        let digits = digits_for(&ticks);
        for v in ticks.iter().filter(|v| **v > 0.0) {
            let (_, y) = self.at(self.x.low, v.ln());
            c.line(&[(self.left - 10, y), (self.left, y)], FRAME_GREY, 2)?;
            let text = if every == 1 {
                format!("{v:.digits$}")
            } else {
                power_of_ten(v.log10())
            };
            c.text(&text, (self.left - 18, y), 22, HPos::Right, false)?;
        }
        c.sideways(label, (38, (self.top + self.bottom) / 2), 24)
    }
}

/// The scale as the label of an axis.
pub(super) fn axis_label(analysis: &Analysis) -> &str {
    match (analysis.options.axis, &analysis.scale_name) {
        (Axis::Flops, None) => "compute F (FLOPs)",
        _ => analysis.scale_in_words(),
    }
}
