//! Keys below a frame: samples of what is drawn, with their words.

use super::canvas::{BAND, Canvas, DOTS, Side, TICK};
use super::marks::Marker;
use super::metrics;
use super::palette::Ink;

/// The drawing beside the words of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sample {
    Marker(Marker, f64, Ink),
    Line(Ink, f64),
    Band(Ink),
    Dashes(Ink, f64),
    Dots(Ink),
    Optimum,
}

impl Sample {
    fn width(self) -> f64 {
        match self {
            Self::Marker(..) => 26.0,
            Self::Optimum => 80.0,
            _ => 52.0,
        }
    }
}

/// From one line of a key to the next.
const STEP: f64 = 36.0;

/// Entries in lines between `left` and `right`, as (x, line) of each.
fn places(entries: &[(Sample, &str)], left: f64, right: f64) -> Vec<(f64, usize)> {
    let (mut x, mut line) = (left, 0);
    entries
        .iter()
        .map(|(sample, words)| {
            let width = sample.width() + 10.0 + metrics::width(words, TICK, false);
            if x > left && x + width > right {
                (x, line) = (left, line + 1);
            }
            let place = (x, line);
            x += width + 36.0;
            place
        })
        .collect()
}

/// Height of the key.
pub(super) fn height(entries: &[(Sample, &str)], left: f64, right: f64) -> f64 {
    let lines = places(entries, left, right).last().map_or(0, |p| p.1 + 1);
    STEP * lines as f64
}

/// Draws the key with its first line at `top`.
pub(super) fn draw(
    c: &mut Canvas<'_>,
    entries: &[(Sample, &str)],
    (left, right): (f64, f64),
    top: f64,
) {
    c.group("key", |c| {
        for ((sample, words), (x, line)) in entries.iter().zip(places(entries, left, right)) {
            let y = top + STEP * (line as f64 + 0.5);
            let end = x + sample.width();
            let across = [(x, y), (end, y)];
            match *sample {
                Sample::Marker(marker, r, ink) => c.marker(marker, (x + 13.0, y), r, ink),
                Sample::Line(ink, width) => c.line(&across, ink, width),
                Sample::Band(ink) => {
                    let (above, below) = (y - 12.0, y + 12.0);
                    let swatch = [(x, above), (end, above), (end, below), (x, below)];
                    c.area(&swatch, ink, 0.35);
                }
                Sample::Dashes(ink, width) => c.dashed(&across, ink, width, BAND),
                Sample::Dots(ink) => c.dashed(&across, ink, 2.0, DOTS),
                Sample::Optimum => {
                    c.dashed(&across, Ink::Black, 3.0, BAND);
                    c.marker(Marker::Star, (x + 40.0, y), 12.0, Ink::Black);
                }
            }
            c.text(words, (end + 10.0, y), TICK, Side::Left, false);
        }
    });
}
