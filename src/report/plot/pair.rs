//! Two frames: beside each other on a wide page, one below the other on a narrow one.

use super::canvas::Header;
use super::frame::Frame;
use super::span::Span;
use super::style::Style;

/// Contents of a pair of frames.
pub(super) struct Pair {
    /// Scales of both.
    pub(super) x: Span,
    /// Values of the left one.
    pub(super) left: Span,
    /// Values of the right one.
    pub(super) right: Span,
    /// Height of axis and key below.
    pub(super) below: f64,
}

/// Room for the labels of a y axis.
const BESIDE: f64 = 160.0;
/// Room for the end of the last tick label on the right.
const AFTER: f64 = 44.0;
/// Room for an x axis between frames that stand one below the other.
const BETWEEN: f64 = 120.0;

/// Places both frames; returns them and the height of the page.
pub(super) fn side_by_side(
    style: &Style,
    header: &Header,
    width: f64,
    pair: &Pair,
) -> ([Frame; 2], f64) {
    let top = header.height();
    let asked = style
        .page()
        .and_then(|p| p.1)
        .map(|h| h - top - pair.below - 20.0);
    // Narrower ones have no room for three tick labels each.
    let stacked = width < 1000.0;
    let height = match (asked, stacked) {
        (Some(all), true) => ((all - BETWEEN) / 2.0).max(200.0),
        (Some(all), false) => all.max(200.0),
        (None, true) => 0.62 * (width - BESIDE - AFTER),
        // About as tall as wide.
        (None, false) => 0.9 * (width / 2.0 - BESIDE - AFTER),
    };
    let frame = |left: f64, right: f64, top: f64, y: Span| Frame {
        left,
        right,
        top,
        bottom: top + height,
        x: pair.x,
        y,
    };
    let frames = if stacked {
        let below = top + height + BETWEEN;
        [
            frame(BESIDE, width - AFTER, top, pair.left),
            frame(BESIDE, width - AFTER, below, pair.right),
        ]
    } else {
        let middle = width / 2.0;
        [
            frame(BESIDE, middle - AFTER, top, pair.left),
            frame(middle + BESIDE, width - AFTER, top, pair.right),
        ]
    };
    let bottom = frames[1].bottom + pair.below + 20.0;
    (frames, bottom)
}
