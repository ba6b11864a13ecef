//! The parts of a law in a frame: band, line and readings, and the errors behind them.

use super::canvas::Canvas;
use super::frame::Frame;
use super::marks::Marker;
use super::palette::Ink;
use super::span::Span;
use super::svg::Point;
use crate::fit::{AbsoluteLaw, Analysis, BandPoint, RelativeLaw};

/// One edge of the band as (log10 scale, ln G), without ends that are no numbers.
pub(super) fn edge(band: &[BandPoint], of: impl Fn(&BandPoint) -> f64) -> Vec<Point> {
    band.iter()
        .map(|b| (b.scale.log10(), of(b).ln()))
        .filter(|p| p.1.is_finite())
        .collect()
}

/// The interval at each scale as an area.
pub(super) fn area(c: &mut Canvas<'_>, frame: &Frame, band: &[BandPoint], ink: Ink, opacity: f64) {
    let mut area = edge(band, |b| b.lower);
    area.extend(edge(band, |b| b.upper).into_iter().rev());
    let area = frame.clipped(&area);
    c.group("band", |c| c.area(&area, ink, opacity));
}

/// The law, which is straight in these coordinates: its ends are all of it.
pub(super) fn line(c: &mut Canvas<'_>, frame: &Frame, band: &[BandPoint], ink: Ink, width: f64) {
    if let [first, .., last] = edge(band, |b| b.ratio).as_slice() {
        let ends = frame.straight(*first, *last);
        c.group("law", |c| c.line(&ends, ink, width));
    }
}

/// Points of (log10 scale, natural logarithm).
pub(super) fn points(
    c: &mut Canvas<'_>,
    frame: &Frame,
    points: &[Point],
    marker: (Marker, f64, Ink),
) {
    c.group("readings", |c| {
        for (x, y) in points.iter().filter(|p| p.0.is_finite() && p.1.is_finite()) {
            c.marker(marker.0, frame.at(*x, *y), marker.1, marker.2);
        }
    });
}

/// The readings of the ratio.
pub(super) fn ratios(law: &RelativeLaw) -> Vec<Point> {
    law.readings
        .iter()
        .map(|r| (r.scale.log10(), r.log_ratio))
        .collect()
}

/// The errors of both sides at the readings, treatment first.
pub(super) fn errors(law: &RelativeLaw) -> [Vec<Point>; 2] {
    let side = |of: &dyn Fn(&crate::fit::Reading) -> f64| {
        let readings = law.readings.iter();
        readings.map(|r| (r.scale.log10(), of(r).ln())).collect()
    };
    [side(&|r| r.treatment_error), side(&|r| r.baseline_error)]
}

/// The power law of one distribution of a corpus, if it was fitted.
pub(super) fn absolute<'a>(
    analysis: &'a Analysis,
    corpus: &str,
    name: &str,
) -> Option<&'a AbsoluteLaw> {
    let mut laws = analysis.absolute_laws.iter();
    laws.find(|l| l.corpus == corpus && l.distribution == name)
}

/// The power law `ln E = ln α − β ln(F/F0)` between the ends of `x`, which is in log10.
pub(super) fn absolute_line(law: &AbsoluteLaw, x: Span) -> [Point; 2] {
    let at = |x: f64| {
        let along = x * std::f64::consts::LN_10 - law.reference_flops.ln();
        (x, law.alpha.value.ln() - law.beta.value * along)
    };
    [at(x.low), at(x.high)]
}

/// The level `γ` at `F0` with its interval.
pub(super) fn level(c: &mut Canvas<'_>, frame: &Frame, law: &RelativeLaw, ink: Ink, r: f64) {
    let x = law.reference_flops.log10();
    let g = &law.gamma;
    let at = (x, g.value.ln());
    if !(frame.x.holds(at.0) && frame.y.holds(at.1)) {
        return;
    }
    let bar = frame.clipped(&[(x, g.lower.ln()), (x, g.upper.ln())]);
    c.group("level", |c| {
        c.line(&bar, ink, 2.0);
        c.marker(Marker::Star, frame.at(at.0, at.1), r, ink);
    });
}
