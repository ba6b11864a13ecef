//! Drawing primitives in pixels.

use std::fmt;

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    BLACK, Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
    WHITE,
};

use super::frame::Frame;
use super::style::Marker;
use super::{Drawn, PlotError};

/// Height of a title with `lines` lines under it.
pub(super) fn header_height(lines: usize) -> i32 {
    // The title ends at 60, a note takes 32, and some air is left above the frame.
    92 + 32 * lines as i32
}

fn failed(error: impl fmt::Display) -> PlotError {
    PlotError::Backend {
        reason: error.to_string(),
    }
}

/// Makes an SVG of the given size.
pub(super) fn drawing(
    width: i32,
    height: i32,
    draw: impl FnOnce(&mut Canvas<'_>) -> Drawn,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        // A negative size would wrap to four billion pixels.
        let size = (width.max(1) as u32, height.max(1) as u32);
        let mut canvas = Canvas {
            backend: SVGBackend::with_string(&mut svg, size),
        };
        canvas
            .backend
            // SVG is transparent, and black text on the dark page of a viewer cannot be read.
            .draw_rect((0, 0), (width, height), &WHITE, true)
            .map_err(failed)?;
        draw(&mut canvas)?;
        canvas.backend.present().map_err(failed)?;
    }
    Ok(svg)
}

/// Corners of a filled marker about its centre; none for the markers that are strokes or circles.
/// Sizes are chosen so that all look equally large.
fn outline(marker: Marker, r: i32) -> Vec<(i32, i32)> {
    // A triangle or diamond of the radius of a disc has less area and looks smaller.
    let (less, more, most) = (r - 1, r + 1, r + 2);
    match marker {
        Marker::Square => vec![(-less, -less), (less, -less), (less, less), (-less, less)],
        Marker::Up => vec![(-more, more - 2), (0, -more), (more, more - 2)],
        Marker::Down => vec![(-more, 2 - more), (0, more), (more, 2 - more)],
        Marker::Diamond => vec![(-most, 0), (0, -most), (most, 0), (0, most)],
        Marker::Star => (0..10)
            .map(|k| {
                let angle = std::f64::consts::PI * (f64::from(k) / 5.0 - 0.5);
                let reach = f64::from(r) * if k % 2 == 0 { 1.0 } else { 0.45 };
                (
                    (reach * angle.cos()).round() as i32,
                    (reach * angle.sin()).round() as i32,
                )
            })
            .collect(),
        Marker::Circle | Marker::Ring | Marker::Cross | Marker::Plus => Vec::new(),
    }
}

pub(super) struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

impl Canvas<'_> {
    pub(super) fn header(&mut self, title: &str, notes: &[String]) -> Drawn {
        self.text(title, (40, 44), 32, HPos::Left, true)?;
        for (k, note) in notes.iter().enumerate() {
            self.text(note, (40, 88 + 32 * k as i32), 24, HPos::Left, false)?;
        }
        Ok(())
    }

    pub(super) fn line(&mut self, points: &[(i32, i32)], colour: RGBColor, width: u32) -> Drawn {
        let style = ShapeStyle {
            color: colour.to_rgba(),
            filled: false,
            stroke_width: width,
        };
        self.backend
            .draw_path(points.iter().copied(), &style)
            .map_err(failed)
    }

    /// A line of dashes of `on` pixels and gaps of `off`, measured along it.
    pub(super) fn dashed(
        &mut self,
        points: &[(i32, i32)],
        colour: RGBColor,
        width: u32,
        on: i32,
        off: i32,
    ) -> Drawn {
        let (on, off) = (f64::from(on), f64::from(off));
        let mut drawing_dash = true;
        let mut left = on;
        let mut dash: Vec<(i32, i32)> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let (x0, y0) = (f64::from(pair[0].0), f64::from(pair[0].1));
            let (dx, dy) = (f64::from(pair[1].0) - x0, f64::from(pair[1].1) - y0);
            let length = dx.hypot(dy);
            let mut at = 0.0;
            // The rest of a dash carries over to the next segment: bands are many short ones, which
            // would all be solid.
            while length - at > left {
                at += left;
                let share = at / length;
                let here = (
                    (x0 + share * dx).round() as i32,
                    (y0 + share * dy).round() as i32,
                );
                if drawing_dash {
                    dash.push(here);
                    self.line(&dash, colour, width)?;
                }
                drawing_dash = !drawing_dash;
                left = if drawing_dash { on } else { off };
                dash = vec![here];
            }
            left -= length - at;
            if drawing_dash {
                dash.push(pair[1]);
            }
        }
        if drawing_dash && dash.len() > 1 {
            self.line(&dash, colour, width)?;
        }
        Ok(())
    }

    pub(super) fn area(&mut self, points: &[(i32, i32)], colour: RGBColor, opacity: f64) -> Drawn {
        self.backend
            .fill_polygon(points.iter().copied(), &colour.mix(opacity))
            .map_err(failed)
    }

    pub(super) fn marker(
        &mut self,
        marker: Marker,
        (x, y): (i32, i32),
        r: i32,
        colour: RGBColor,
    ) -> Drawn {
        let at = |points: &[(i32, i32)]| -> Vec<(i32, i32)> {
            points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect()
        };
        match marker {
            Marker::Circle => self.disc((x, y), r, colour),
            Marker::Ring => {
                let style = ShapeStyle {
                    color: colour.to_rgba(),
                    filled: false,
                    stroke_width: 3,
                };
                // White inside, so that lines behind do not fill a ring.
                self.disc((x, y), r, WHITE)?;
                let circle = self.backend.draw_circle((x, y), r as u32, &style, false);
                circle.map_err(failed)
            }
            Marker::Cross => {
                self.line(&at(&[(-r, -r), (r, r)]), colour, 4)?;
                self.line(&at(&[(-r, r), (r, -r)]), colour, 4)
            }
            Marker::Plus => {
                self.line(&at(&[(-r, 0), (r, 0)]), colour, 4)?;
                self.line(&at(&[(0, -r), (0, r)]), colour, 4)
            }
            Marker::Square | Marker::Up | Marker::Down | Marker::Diamond | Marker::Star => {
                self.area(&at(&outline(marker, r)), colour, 1.0)
            }
        }
    }

    fn disc(&mut self, at: (i32, i32), r: i32, colour: RGBColor) -> Drawn {
        self.backend
            .draw_circle(at, r as u32, &colour, true)
            .map_err(failed)
    }

    /// A horizontal interval with ticks at its ends, or arrows where it leaves the frame.
    pub(super) fn interval(
        &mut self,
        frame: &Frame,
        lower: f64,
        upper: f64,
        y: i32,
        colour: RGBColor,
        width: u32,
    ) -> Drawn {
        // A pixel of NaN is zero: the interval would be drawn at the edge of the frame.
        if lower.is_nan() || upper.is_nan() || lower > frame.x.high || upper < frame.x.low {
            return Ok(());
        }
        let x = |v: f64| frame.at(v.clamp(frame.x.low, frame.x.high), 0.0).0;
        let (left, right) = (x(lower), x(upper));
        self.line(&[(left, y), (right, y)], colour, width)?;
        for (end, at, sign) in [(lower, left, 1), (upper, right, -1)] {
            if frame.x.holds(end) {
                self.line(&[(at, y - 7), (at, y + 7)], colour, 3)?;
            } else {
                // An arrow instead of a tick: the end lies outside, and a tick would give it a
                // value.
                let head = [(at, y), (at + 14 * sign, y - 8), (at + 14 * sign, y + 8)];
                self.area(&head, colour, 1.0)?;
            }
        }
        Ok(())
    }

    pub(super) fn text(
        &mut self,
        text: &str,
        at: (i32, i32),
        size: i32,
        side: HPos,
        bold: bool,
    ) -> Drawn {
        let style = if bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        self.styled(text, at, size, side, style, FontTransform::None)
    }

    pub(super) fn sideways(&mut self, text: &str, at: (i32, i32), size: i32) -> Drawn {
        let turned = FontTransform::Rotate270;
        self.styled(text, at, size, HPos::Center, FontStyle::Normal, turned)
    }

    pub(super) fn styled(
        &mut self,
        text: &str,
        at: (i32, i32),
        size: i32,
        side: HPos,
        style: FontStyle,
        transform: FontTransform,
    ) -> Drawn {
        // The backend divides the size by 1.24 to approximate a font's full height.
        let font = FontDesc::new(FontFamily::SansSerif, 1.24 * f64::from(size), style);
        let style = TextStyle::from(font.transform(transform))
            .color(&BLACK)
            .pos(Pos::new(side, VPos::Center));
        self.backend.draw_text(text, &style, at).map_err(failed)
    }

    /// Text of a legend starting at `x`; returns where the next entry may start.
    pub(super) fn legend(&mut self, x: i32, y: i32, text: &str) -> Result<i32, PlotError> {
        self.text(text, (x, y), 22, HPos::Left, false)?;
        // Twelve pixels a character at size 22 hold for common fonts; 40 separate the entries.
        Ok(x + text.chars().count() as i32 * 12 + 40)
    }
}
