//! The axis of exponents: every estimate lies inside it, however far apart they are.

use super::canvas::{Canvas, TICK};
use super::frame::{self, Frame};
use super::marks::Marker;
use super::metrics;
use super::palette::Ink;
use super::span::Span;
use super::ticks::Ticks;
use crate::fit::Estimate;
use crate::report::format::number;

/// An axis of exponents, linear, or logarithmic away from zero where the estimates are far apart.
pub(super) struct Exponents {
    /// Range of exponents shown.
    span: Span,
    /// Exponent at which the axis turns from linear to logarithmic, if it does.
    turn: Option<f64>,
}

/// Estimates whose largest is so many times the usual one are drawn on a logarithmic axis: on a linear
/// one all others would lie within two markers of zero.
const FAR_APART: f64 = 30.0;

impl Exponents {
    /// The axis for these estimates over a margin.
    pub(super) fn of(estimates: &[&Estimate], margin: f64) -> Self {
        let finite = |v: &f64| v.is_finite();
        let mut ends: Vec<f64> = (estimates.iter())
            .flat_map(|e| [e.lower, e.upper])
            .filter(finite)
            .map(f64::abs)
            .collect();
        ends.sort_by(f64::total_cmp);
        // The ninetieth percentile, because one of ten laws may be hopeless without being news.
        let rank = (9 * ends.len()).div_ceil(10).saturating_sub(1);
        let usual = ends.get(rank).copied();
        // One hopeless interval must not squash the rest: the frame reaches 1.6 times the ninetieth
        // percentile of the ends, and what lies further out ends in an arrow. The estimates
        // themselves are always inside.
        let reach = 1.6 * usual.unwrap_or(0.0);
        let values = estimates.iter().map(|e| e.value).filter(finite);
        // A narrow interval far out is news, and is seen whole.
        let within = |e: &Estimate, v: f64| match e.upper - e.lower <= reach {
            true => v,
            false => v.clamp(-reach, reach),
        };
        let shown = (estimates.iter())
            .flat_map(|e| [within(e, e.lower), within(e, e.upper)])
            .filter(finite)
            .chain(values.clone())
            // The strip of the margin is seen whole, however small the exponents are.
            .chain([-1.2 * margin, 1.2 * margin]);
        let span = Span::of(shown);
        let mut sizes: Vec<f64> = values.map(f64::abs).collect();
        sizes.sort_by(f64::total_cmp);
        let middle = sizes.get(sizes.len() / 2).copied().unwrap_or(0.0);
        let typical = middle.max(margin);
        let largest = sizes.last().copied().unwrap_or(0.0);
        let turn = (largest > FAR_APART * typical).then_some(typical);
        Self { span, turn }
    }

    /// The place of an exponent along the axis.
    fn place(&self, v: f64) -> f64 {
        self.turn.map_or(v, |turn| (v / turn).asinh())
    }

    /// The range of places.
    pub(super) fn span(&self) -> Span {
        Span {
            low: self.place(self.span.low),
            high: self.place(self.span.high),
        }
        .padded(0.05)
    }

    /// Zero, and on a logarithmic axis powers of ten either way.
    fn ticks(&self, frame: &Frame) -> Ticks {
        let Some(turn) = self.turn else {
            // A label and the air beside it take up to 130 units.
            let count = ((frame.right - frame.left) / 130.0).clamp(2.0, 8.0);
            return frame::exponents(frame.x, count);
        };
        let decades = turn.log10().floor() as i32..=300;
        let mut ticks = vec![(0.0, "0".to_owned())];
        for v in decades.map(|d| 10_f64.powi(d)) {
            let digits = (-v.log10().round()).max(0.0) as usize;
            for (sign, v) in [("+", v), ("−", -v)] {
                let tick = (self.place(v), format!("{sign}{:.digits$}", v.abs()));
                // Labels that would touch one nearer to zero are left out.
                let half = |text: &str| 0.5 * metrics::width(text, TICK, false) + 8.0;
                let apart = ticks.iter().all(|(x, text): &(f64, String)| {
                    (frame.x_of(tick.0) - frame.x_of(*x)).abs() > half(&tick.1) + half(text)
                });
                if frame.x.holds(tick.0) && apart {
                    ticks.push(tick);
                }
            }
            if self.place(v) > frame.x.high && self.place(-v) < frame.x.low {
                break;
            }
        }
        ticks
    }

    /// Strip of the margin, border, ticks, label and the line at zero.
    pub(super) fn draw(&self, c: &mut Canvas<'_>, frame: &Frame, margin: f64) {
        let within = |v: f64| self.place(v).clamp(frame.x.low, frame.x.high);
        let [low, high] = [-margin, margin].map(|v| frame.x_of(within(v)));
        let (above, below) = (frame.top, frame.bottom);
        let strip = [(low, above), (high, above), (high, below), (low, below)];
        // First, so that it lies behind everything.
        c.group("margin", |c| c.area(&strip, Ink::Grey, 0.3));
        frame.border(c);
        frame.x_ticks(c, &self.ticks(frame), TICK);
        let label = match self.turn {
            Some(turn) => format!("Δβ per nat (logarithmic beyond ±{})", number(turn)),
            None => "Δβ per nat".to_owned(),
        };
        frame.x_label(c, &label);
        let zero = frame.x_of(0.0);
        c.group("zero", |c| {
            c.line(&[(zero, above), (zero, below)], Ink::Black, 2.0)
        });
    }

    pub(super) fn interval(
        &self,
        c: &mut Canvas<'_>,
        frame: &Frame,
        e: &Estimate,
        y: f64,
        (ink, width): (Ink, f64),
    ) {
        c.interval(
            frame,
            [self.place(e.lower), self.place(e.upper)],
            y,
            ink,
            width,
        );
    }

    /// The marker of the estimate; none where there is no number.
    pub(super) fn value(
        &self,
        c: &mut Canvas<'_>,
        frame: &Frame,
        e: &Estimate,
        y: f64,
        (marker, r, ink): (Marker, f64, Ink),
    ) {
        if e.value.is_finite() {
            c.marker(marker, (frame.x_of(self.place(e.value)), y), r, ink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Exponents;
    use crate::fit::Estimate;

    fn estimate(value: f64, half: f64) -> Estimate {
        Estimate {
            value,
            standard_error: half / 2.0,
            df: 5.0,
            lower: value - half,
            upper: value + half,
            p_value: 0.5,
        }
    }

    #[test]
    fn every_estimate_lies_inside() {
        for far in [0.0, 0.01, 0.11, 1.0, -30.0, 1e6, f64::NAN] {
            let mut all: Vec<Estimate> = (0..9)
                .map(|k| estimate(0.001 * f64::from(k), 0.01))
                .collect();
            all.push(estimate(far, 0.02));
            all.push(estimate(0.0, f64::INFINITY));
            let axis = Exponents::of(&all.iter().collect::<Vec<_>>(), 0.002);
            let span = axis.span();
            assert!(span.low.is_finite() && span.high > span.low);
            for e in all.iter().filter(|e| e.value.is_finite()) {
                let at = (axis.place(e.value) - span.low) / span.length();
                assert!((0.02..=0.98).contains(&at), "{} at {at}", e.value);
            }
            // Neighbours a thousandth apart are told from zero, whatever lies far away.
            let apart = axis.place(0.008) - axis.place(0.0);
            assert!(apart / span.length() > 0.02, "{far}: {apart}");
        }
    }
}
