//! Drawing primitives: lines, areas, markers, text and keys in the inks of a style.

use super::frame::Frame;
use super::marks::Marker;
use super::metrics;
use super::palette::Ink;
use super::style::Style;
use super::svg::{Point, Setting, Stroke, Svg};

/// Sizes of text.
pub(super) const TITLE: f64 = 32.0;
pub(super) const LABEL: f64 = 24.0;
pub(super) const TICK: f64 = 22.0;
pub(super) const SMALL: f64 = 18.0;

/// Distance of heading and notes from the edges of the page.
pub(super) const MARGIN: f64 = 40.0;

/// Dashes of a band, and dots of parity.
pub(super) const BAND: (f64, f64) = (12.0, 8.0);
pub(super) const DOTS: (f64, f64) = (3.0, 7.0);

/// The side of a text that its place is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Centre,
    Right,
}

/// Heading and notes of a drawing, broken to its width.
#[derive(Debug)]
pub(super) struct Header {
    title: String,
    lines: Vec<String>,
    shown: bool,
}

impl Header {
    pub(super) fn new(style: &Style, title: &str, notes: &[String], width: f64) -> Self {
        let room = width - 2.0 * MARGIN;
        Self {
            title: title.to_owned(),
            lines: notes
                .iter()
                .flat_map(|n| metrics::wrap(n, room, LABEL))
                .collect(),
            shown: style.title,
        }
    }

    /// Height of the heading with its notes and the air below.
    pub(super) fn height(&self) -> f64 {
        match self.shown {
            // The title ends at 60, a note takes 32, and some air is left above the frame.
            true => 92.0 + 32.0 * self.lines.len() as f64,
            // Half a line for the topmost tick label, which reaches above its frame.
            false => 30.0,
        }
    }
}

/// A drawing under construction.
pub(super) struct Canvas<'a> {
    svg: Svg,
    pub(super) style: &'a Style,
    pub(super) width: f64,
}

/// Makes the SVG of a page with a heading.
pub(super) fn drawing<'a>(
    style: &'a Style,
    (width, height): Point,
    header: &Header,
    draw: impl FnOnce(&mut Canvas<'a>),
) -> String {
    let shown = match style.size {
        Some(size) => {
            let own = size.width * height / width;
            // A thousandth of any unit is below what is seen.
            let own = (1000.0 * own).round() / 1000.0;
            [size.width, size.height.unwrap_or(own)].map(|v| format!("{v}{}", size.unit.as_str()))
        }
        None => [width, height].map(|v| format!("{v:.0}")),
    };
    let mut canvas = Canvas {
        svg: Svg::new((width, height), &shown.into(), &header.title),
        style,
        width,
    };
    canvas.header(header);
    draw(&mut canvas);
    canvas.svg.finish()
}

/// Corners of a filled marker about its centre; none for the markers that are strokes or circles.
/// Sizes are chosen so that all look equally large.
fn outline(marker: Marker, r: f64) -> Vec<Point> {
    // A triangle or diamond of the radius of a disc has less area and looks smaller.
    let (less, more, most) = (0.88 * r, 1.15 * r, 1.25 * r);
    match marker {
        Marker::Square => vec![(-less, -less), (less, -less), (less, less), (-less, less)],
        Marker::Up => vec![(-more, r), (0.0, -r), (more, r)],
        Marker::Down => vec![(-more, -r), (0.0, r), (more, -r)],
        Marker::Diamond => vec![(-most, 0.0), (0.0, -most), (most, 0.0), (0.0, most)],
        Marker::Star => (0..10)
            .map(|k| {
                let angle = std::f64::consts::PI * (f64::from(k) / 5.0 - 0.5);
                let reach = r * if k % 2 == 0 { 1.0 } else { 0.45 };
                (reach * angle.cos(), reach * angle.sin())
            })
            .collect(),
        Marker::Circle | Marker::Ring | Marker::Cross | Marker::Plus => Vec::new(),
    }
}

impl Canvas<'_> {
    fn header(&mut self, header: &Header) {
        if !header.shown {
            return;
        }
        let room = self.width - 2.0 * MARGIN;
        let title = metrics::fit(&header.title, room, TITLE, true);
        self.group("title", |c| {
            c.text(&title, (MARGIN, 44.0), TITLE, Side::Left, true);
            for (k, note) in header.lines.iter().enumerate() {
                let y = 88.0 + 32.0 * k as f64;
                c.text(note, (MARGIN, y), LABEL, Side::Left, false);
            }
        });
    }

    /// Draws into a group named by its class.
    pub(super) fn group(&mut self, class: &str, draw: impl FnOnce(&mut Self)) {
        self.svg.open(class);
        draw(self);
        self.svg.close();
    }

    pub(super) fn line(&mut self, points: &[Point], ink: Ink, width: f64) {
        self.stroke(points, ink, width, None);
    }

    /// A line of dashes and gaps of these lengths.
    pub(super) fn dashed(&mut self, points: &[Point], ink: Ink, width: f64, dashes: (f64, f64)) {
        self.stroke(points, ink, width, Some(dashes));
    }

    fn stroke(&mut self, points: &[Point], ink: Ink, width: f64, dashes: Option<(f64, f64)>) {
        let stroke = Stroke {
            colour: &self.style.palette.hex(ink),
            width,
            dashes,
        };
        self.svg.line(points, stroke);
    }

    pub(super) fn area(&mut self, points: &[Point], ink: Ink, opacity: f64) {
        self.svg
            .polygon(points, &self.style.palette.hex(ink), opacity);
    }

    pub(super) fn marker(&mut self, marker: Marker, (x, y): Point, r: f64, ink: Ink) {
        let at = |points: &[Point]| -> Vec<Point> {
            points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect()
        };
        let colour = self.style.palette.hex(ink);
        let stroke = Stroke {
            colour: &colour,
            width: 3.0,
            dashes: None,
        };
        match marker {
            Marker::Circle => self.svg.circle((x, y), r, &colour, None),
            // White inside, so that lines behind do not fill a ring.
            Marker::Ring => self.svg.circle((x, y), r, "#ffffff", Some(stroke)),
            Marker::Cross => {
                self.line(&at(&[(-r, -r), (r, r)]), ink, 4.0);
                self.line(&at(&[(-r, r), (r, -r)]), ink, 4.0);
            }
            Marker::Plus => {
                self.line(&at(&[(-r, 0.0), (r, 0.0)]), ink, 4.0);
                self.line(&at(&[(0.0, -r), (0.0, r)]), ink, 4.0);
            }
            Marker::Square | Marker::Up | Marker::Down | Marker::Diamond | Marker::Star => {
                self.area(&at(&outline(marker, r)), ink, 1.0);
            }
        }
    }

    /// A horizontal interval with ticks at its ends, or arrows where it leaves the frame.
    pub(super) fn interval(
        &mut self,
        frame: &Frame,
        [lower, upper]: [f64; 2],
        y: f64,
        ink: Ink,
        width: f64,
    ) {
        // NaN has no place.
        if lower.is_nan() || upper.is_nan() || lower > frame.x.high || upper < frame.x.low {
            return;
        }
        let x = |v: f64| frame.x_of(v.clamp(frame.x.low, frame.x.high));
        let (left, right) = (x(lower), x(upper));
        self.line(&[(left, y), (right, y)], ink, width);
        for (end, at, sign) in [(lower, left, 1.0), (upper, right, -1.0)] {
            if frame.x.holds(end) {
                self.line(&[(at, y - 7.0), (at, y + 7.0)], ink, 3.0);
            } else {
                // An arrow instead of a tick: the end lies outside, and a tick would give it a
                // value.
                let head = [
                    (at, y),
                    (at + 14.0 * sign, y - 8.0),
                    (at + 14.0 * sign, y + 8.0),
                ];
                self.area(&head, ink, 1.0);
            }
        }
    }

    pub(super) fn text(&mut self, text: &str, at: Point, size: f64, side: Side, bold: bool) {
        let anchor = match side {
            Side::Left => "start",
            Side::Centre => "middle",
            Side::Right => "end",
        };
        let setting = Setting {
            size,
            anchor,
            bold,
            turned: false,
        };
        self.svg.text(text, at, &setting);
    }

    /// Text that runs upwards, its middle at `at`.
    pub(super) fn sideways(&mut self, text: &str, at: Point, size: f64) {
        let setting = Setting {
            size,
            anchor: "middle",
            bold: false,
            turned: true,
        };
        self.svg.text(text, at, &setting);
    }
}
