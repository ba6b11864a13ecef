//! Intervals of data coordinates and their ticks.

/// An interval of data coordinates.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Span {
    pub(super) fn of(values: impl Iterator<Item = f64>) -> Self {
        // One infinite end of an interval would leave no scale for the rest.
        let span = values.filter(|v| v.is_finite()).fold(
            Self {
                low: f64::INFINITY,
                high: f64::NEG_INFINITY,
            },
            |s, v| Self {
                low: s.low.min(v),
                high: s.high.max(v),
            },
        );
        if span.low <= span.high {
            span
        } else {
            Self {
                low: 0.0,
                high: 0.0,
            }
        }
    }

    pub(super) fn length(self) -> f64 {
        self.high - self.low
    }

    pub(super) fn holds(self, v: f64) -> bool {
        self.low <= v && v <= self.high
    }

    /// Wider by `share` on both sides; a point becomes an interval.
    pub(super) fn padded(self, share: f64) -> Self {
        // A single value, or values equal to rounding, would divide by zero.
        let pad = if self.length() > 1e-12 * (1.0 + self.low.abs()) {
            share * self.length()
        } else {
            0.05 * (1.0 + self.low.abs())
        };
        Self {
            low: self.low - pad,
            high: self.high + pad,
        }
    }

    /// At most about `count` round numbers inside.
    pub(super) fn ticks(self, count: f64) -> Vec<f64> {
        let raw = self.length() / count;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            // Rounding of a power of ten must not lift a fitting step to the next.
            .find(|s| *s >= raw * (1.0 - 1e-9))
            .unwrap_or(10.0 * power);
        // A span of zero or infinite length.
        if !(step > 0.0 && step.is_finite()) {
            return vec![self.low];
        }
        let first = (self.low / step - 1e-9).ceil();
        // No axis has fifty ticks; the bound ends the loop where a step is lost in rounding.
        (0..50)
            .map(|k| (first + f64::from(k)) * step)
            .take_while(|v| *v <= self.high + 1e-9 * step)
            // `ceil` of a small negative number is −0, which would be printed as -0.000.
            .map(|v| if v.abs() < 1e-9 * step { 0.0 } else { v })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Span;
    use crate::report::plot::text::digits_for;

    #[test]
    fn ticks_are_round_and_few() {
        let span = Span {
            low: 1.163,
            high: 1.214,
        };
        let ticks = span.ticks(7.0);
        assert!(ticks.len() >= 3 && ticks.len() <= 8, "{ticks:?}");
        assert_eq!(digits_for(&ticks), 2);
        for odd in [(0.0, 0.0), (f64::NAN, 1.0), (-1e300, 1e300), (5.0, 4.0)] {
            let _ = Span {
                low: odd.0,
                high: odd.1,
            }
            .ticks(5.0);
        }
    }
}
