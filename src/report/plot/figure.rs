//! A figure for a paper: absolute curves, ratio curves, and the exponents with their intervals, which
//! serve as the key.

use super::PlotError;
use super::canvas::{Canvas, DOTS, Header, SMALL, Side, TICK, drawing};
use super::curves;
use super::exponents::Exponents;
use super::frame::{Frame, axis_label};
use super::marks::{Marker, is_at_chance, said, series};
use super::metrics;
use super::pair::{Pair, side_by_side};
use super::palette::Ink;
use super::ratio::scales;
use super::span::Span;
use super::style::Style;
use super::svg::Point;
use super::text::{interval_of, power_of_ten, signed};
use crate::fit::{Analysis, Estimate, RelativeLaw};
use crate::report::format::number;

/// Width of a page of two columns, 6.75 inches, in units of a drawing.
const TWO_COLUMNS: f64 = 1667.0;
/// From one line of exponents to the next.
const STEP: f64 = 34.0;
/// Below this width the numbers have no room beside the intervals.
const NARROW: f64 = 1000.0;

impl Style {
    /// All laws of a corpus as one figure: the errors of every distribution with their power laws on
    /// the left, their ratios to the baseline with fitted lines, intervals and `γ` at `F0` on the right,
    /// both on logarithmic axes, and the exponents with their intervals below. On a page for one column
    /// all stand one below the other.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the corpus has no laws.
    ///
    /// # References
    /// W. Held, D. Hall, P. Liang, D. Yang (2025), *Relative Scaling Laws for LLMs*,
    /// [arXiv:2510.24626](https://arxiv.org/abs/2510.24626), whose figures show laws in this way.
    pub fn figure(&self, analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
        self.check()?;
        let mut laws: Vec<&RelativeLaw> = analysis
            .laws
            .iter()
            .filter(|l| l.corpus == corpus && !l.readings.is_empty())
            .collect();
        let Some(first) = laws.first().copied() else {
            return Err(PlotError::Nothing {
                what: format!("laws of corpus {corpus}"),
            });
        };
        self.sort(&mut laws, |l| &l.treatment);
        let lines: Vec<Line<'_>> = (laws.iter().enumerate())
            .map(|(k, law)| Line::new(self, k, law))
            .collect();
        let width = self.page().map_or(TWO_COLUMNS, |p| p.0);
        let baseline = metrics::fit(self.name(&first.baseline), 420.0, 24.0, false);
        let notes = note(analysis, first);
        let name = metrics::fit(self.name(corpus), 700.0, 32.0, true);
        let title = format!("{name}: relative to {baseline}");
        let header = Header::new(self, &title, &[notes], width);
        let rows = STEP * (lines.len() + 1) as f64;
        let pair = Pair {
            x: Span::of(laws.iter().flat_map(|l| [scales(l).low, scales(l).high])).padded(0.04),
            left: error_range(analysis, &laws),
            right: ratio_range(&laws),
            // Axis of the frames, rows, and the axis of the exponents.
            below: 110.0 + rows + 110.0,
        };
        let (frames, height) = side_by_side(self, &header, width, &pair);
        let label = axis_label(analysis);
        Ok(drawing(self, (width, height), &header, |c| {
            let [left, right] = &frames;
            c.group("absolute", |c| {
                left.scale_axis(c, &label);
                left.value_axis(c, "error E");
                errors(c, left, analysis, &lines);
            });
            c.group("relative", |c| {
                right.scale_axis(c, &label);
                right.value_axis(c, &format!("G = E / E({baseline})"));
                ratios(c, right, &lines);
            });
            let top = left.bottom.max(right.bottom) + 110.0;
            c.group("exponents", |c| exponents(c, top, &lines, &baseline));
        }))
    }
}

/// One law with the colour and marker that it has everywhere in the figure.
struct Line<'a> {
    law: &'a RelativeLaw,
    name: &'a str,
    ink: Ink,
    marker: Marker,
    at_chance: bool,
}

impl<'a> Line<'a> {
    fn new(style: &'a Style, k: usize, law: &'a RelativeLaw) -> Self {
        let (ink, marker) = series(k);
        Self {
            law,
            name: style.name(&law.treatment),
            ink: style.ink(&law.treatment, ink),
            marker,
            at_chance: is_at_chance(law),
        }
    }
}

/// Colour and marker of the baseline.
const BASELINE: (Ink, Marker) = (Ink::Black, Marker::Star);

fn note(analysis: &Analysis, first: &RelativeLaw) -> String {
    format!(
        "lines: power laws of the errors, and G = γ·(F/F₀)^Δβ with its {}\u{a0}% interval; ticks: γ at \
         F₀ = {}",
        analysis.options.level_percent(),
        power_of_ten(first.reference_flops.log10())
    )
}

/// Range of the errors of all distributions, in natural logarithms.
fn error_range(analysis: &Analysis, laws: &[&RelativeLaw]) -> Span {
    let points = laws.iter().flat_map(|l| curves::errors(l).concat());
    let lines = laws.iter().flat_map(|l| {
        [&l.treatment, &l.baseline]
            .into_iter()
            .filter_map(|name| curves::absolute(analysis, &l.corpus, name))
            .flat_map(|a| curves::absolute_line(a, scales(l)))
    });
    Span::of(points.chain(lines).map(|p| p.1)).padded(0.05)
}

/// Range of the ratios, in natural logarithms: readings, lines, and intervals up to as far again.
fn ratio_range(laws: &[&RelativeLaw]) -> Span {
    let readings = laws.iter().flat_map(|l| curves::ratios(l));
    let bands: Vec<_> = laws.iter().flat_map(|l| l.band()).collect();
    let lines = bands.iter().map(|b| b.ratio.ln());
    // Every ratio is to the baseline, whose own is one.
    let inner = Span::of(readings.map(|p| p.1).chain(lines).chain([0.0]));
    let room = 0.5 * inner.length().max(0.02);
    let outer = Span::of(bands.iter().flat_map(|b| [b.lower.ln(), b.upper.ln()]));
    Span {
        low: outer.low.max(inner.low - room).min(inner.low),
        high: outer.high.min(inner.high + room).max(inner.high),
    }
    .padded(0.05)
}

fn errors(c: &mut Canvas<'_>, frame: &Frame, analysis: &Analysis, lines: &[Line<'_>]) {
    let one = |c: &mut Canvas<'_>,
               law: &RelativeLaw,
               name: &str,
               points: &[Point],
               mark: (Marker, f64, Ink)| {
        if let Some(absolute) = curves::absolute(analysis, &law.corpus, name) {
            let [a, b] = curves::absolute_line(absolute, scales(law));
            let line = frame.straight(a, b);
            c.group("law", |c| c.line(&line, mark.2, 2.5));
        }
        curves::points(c, frame, points, mark);
    };
    // Laws of a corpus may rest on different runs: the longest has the most of the baseline.
    if let Some(longest) = lines.iter().max_by_key(|l| l.law.readings.len()) {
        let [_, baseline] = curves::errors(longest.law);
        let (ink, marker) = BASELINE;
        one(
            c,
            longest.law,
            &longest.law.baseline,
            &baseline,
            (marker, 10.0, ink),
        );
    }
    for line in lines {
        let [treatment, _] = curves::errors(line.law);
        let mark = (line.marker, 6.5, line.ink);
        one(c, line.law, &line.law.treatment, &treatment, mark);
    }
}

fn ratios(c: &mut Canvas<'_>, frame: &Frame, lines: &[Line<'_>]) {
    // Many areas over each other would turn the frame grey.
    let opacity = (0.8 / lines.len() as f64).clamp(0.06, 0.22);
    for line in lines.iter().filter(|l| !l.at_chance) {
        curves::area(c, frame, &line.law.band(), line.ink, opacity);
    }
    frame.parity(c);
    if let Some(first) = lines.first() {
        let x = first.law.reference_flops.log10();
        let reference = frame.path(&[(x, frame.y.low), (x, frame.y.high)]);
        c.group("reference", |c| {
            c.dashed(&reference, Ink::Grey, 1.5, DOTS);
            let place = (frame.x_of(x), frame.top - 14.0);
            c.text("F₀", place, SMALL, Side::Centre, false);
        });
    }
    for line in lines {
        // A line there would be read as a finding.
        if !line.at_chance {
            curves::line(c, frame, &line.law.band(), line.ink, 2.5);
        }
        let mark = (line.marker, 6.5, line.ink);
        curves::points(c, frame, &curves::ratios(line.law), mark);
        if !line.at_chance {
            level(c, frame, line);
        }
    }
}

/// `γ` at `F0`, as a short tick on the line.
fn level(c: &mut Canvas<'_>, frame: &Frame, line: &Line<'_>) {
    let at = (line.law.reference_flops.log10(), line.law.gamma.value.ln());
    if frame.y.holds(at.1) {
        let (x, y) = frame.at(at.0, at.1);
        c.group("level", |c| {
            c.line(&[(x - 8.0, y), (x + 8.0, y)], Ink::Black, 2.0)
        });
    }
}

/// One line per law: marker and name, exponent with its interval, and the numbers.
fn exponents(c: &mut Canvas<'_>, top: f64, lines: &[Line<'_>], baseline: &str) {
    let widest = |of: &dyn Fn(&Line<'_>) -> String| {
        let widths = lines.iter().map(|l| metrics::width(&of(l), TICK, false));
        widths.fold(metrics::width(baseline, TICK, false).min(200.0), f64::max)
    };
    let narrow = c.width < NARROW;
    let most = if narrow { 0.4 * c.width } else { 420.0 };
    let names = widest(&|l| l.name.to_owned()).min(most);
    let left = 40.0 + 36.0 + names + 20.0;
    let numbers = if narrow {
        0.0
    } else {
        widest(&numbers_of) + 20.0
    };
    let estimates: Vec<&Estimate> = lines.iter().map(|l| &l.law.delta_beta).collect();
    let margin = lines.first().map_or(0.0, |l| l.law.equivalence.margin);
    let axis = Exponents::of(&estimates, margin);
    let frame = Frame {
        left,
        right: c.width - 40.0 - numbers,
        top,
        bottom: top + STEP * (lines.len() + 1) as f64,
        x: axis.span(),
        y: Span {
            low: 0.0,
            high: 1.0,
        },
    };
    axis.draw(c, &frame, margin);
    let y = top + 0.5 * STEP;
    name(c, y, (baseline, names), BASELINE, 10.0);
    // At the side that has room: where every exponent is far below zero, zero is at the right edge.
    let (zero, word) = (frame.x_of(0.0), "baseline");
    let end = zero + 14.0 + metrics::width(word, SMALL, false);
    let (x, side) = match end > c.width {
        false => (zero + 14.0, Side::Left),
        true => (zero - 14.0, Side::Right),
    };
    c.text(word, (x, y), SMALL, side, false);
    for (k, line) in lines.iter().enumerate() {
        let y = top + STEP * (k as f64 + 1.5);
        c.group("law", |c| {
            let (ink, marker) = (line.ink, line.marker);
            name(c, y, (line.name, names), (ink, marker), 8.0);
            let d = &line.law.delta_beta;
            if !line.at_chance {
                axis.interval(c, &frame, d, y, (ink, 3.0));
                axis.value(c, &frame, d, y, (marker, 8.0, ink));
            }
            if !narrow {
                let place = (frame.right + 20.0, y);
                c.text(&numbers_of(line), place, TICK, Side::Left, false);
            }
        });
    }
}

/// Marker and name at the left of a line, the name cut to its room.
fn name(
    c: &mut Canvas<'_>,
    y: f64,
    (text, room): (&str, f64),
    (ink, marker): (Ink, Marker),
    r: f64,
) {
    c.marker(marker, (52.0, y), r, ink);
    let text = metrics::fit(text, room, TICK, false);
    c.text(&text, (76.0, y), TICK, Side::Left, false);
}

/// The numbers of a law: level, exponent and verdict.
fn numbers_of(line: &Line<'_>) -> String {
    let (law, d) = (line.law, &line.law.delta_beta);
    match line.at_chance {
        true => format!("γ {} · {}", number(law.gamma.value), said(law)),
        false => format!(
            "γ {} · {} {} · {}",
            number(law.gamma.value),
            signed(d.value),
            interval_of(d.lower, d.upper),
            said(law)
        ),
    }
}
