//! Ticks of logarithmic axes.

use super::metrics;
use super::span::Span;
use super::text::{digits_for, power_of_ten, scientific};

/// Ticks as (log10 of the value, label).
pub(super) type Ticks = Vec<(f64, String)>;

/// Ticks along a logarithmic axis of scales: powers of ten where there are three or more, then
/// multiples of them, then evenly spaced values for axes of much less than a decade.
///
/// `span` is in log10 and `room` the length of the axis.
pub(super) fn of_scales(span: Span, room: f64, size: f64) -> Ticks {
    let fits = |ticks: &Ticks| apart_along(ticks, span, room, size);
    let decades =
        [1, 2, 3, 5, 10, 20, 50, 100, 200].map(|every| powers(span, &[1.0], every, power_of_ten));
    let multiples = [&[1.0, 3.0][..], &[1.0, 2.0, 5.0]].map(|m| powers(span, m, 1, power_of_ten));
    let even = [6.0, 5.0, 4.0, 3.0, 2.0, 1.0].map(|count| evenly(span, count));
    best(decades.into_iter().chain(multiples).chain(even), fits)
}

/// Ticks along a logarithmic axis of ratios or losses, which runs upwards: round values evenly spaced
/// where they have room, multiples of powers of ten otherwise.
pub(super) fn of_values(span: Span, room: f64, size: f64) -> Ticks {
    // A line and a half from one label to the next.
    let fits = |ticks: &Ticks| {
        let y = |v: f64| room * (v - span.low) / span.length();
        ticks
            .windows(2)
            .all(|w| y(w[1].0) - y(w[0].0) >= 1.5 * size)
    };
    let even = [7.0, 5.0, 4.0, 3.0, 2.0].map(|count| evenly(span, count));
    let multiples = [&[1.0, 2.0, 5.0][..], &[1.0, 3.0]].map(|m| powers(span, m, 1, plain));
    let decades =
        [1, 2, 3, 5, 10, 20, 50, 100, 200].map(|every| powers(span, &[1.0], every, plain));
    // Evenly spaced values that span more than a factor of ten crowd at one end and are bare at the
    // other.
    let wide = span.length() > 1.0;
    let even = even.into_iter().filter(|_| !wide);
    best(even.chain(multiples).chain(decades), fits)
}

/// The first of three ticks or more that have room, or else the most of those that have.
fn best(candidates: impl Iterator<Item = Ticks>, fits: impl Fn(&Ticks) -> bool) -> Ticks {
    let mut most = Ticks::new();
    for ticks in candidates.filter(|t| fits(t)) {
        if ticks.len() >= 3 {
            return ticks;
        }
        if ticks.len() > most.len() {
            most = ticks;
        }
    }
    most
}

/// True if no label touches its neighbour on an axis from left to right.
fn apart_along(ticks: &Ticks, span: Span, room: f64, size: f64) -> bool {
    ticks.windows(2).all(|pair| {
        let x = |v: f64| room * (v - span.low) / span.length();
        let half = |t: &str| 0.5 * metrics::width(t, size, false);
        // Two thirds of an em between labels.
        x(pair[1].0) - half(&pair[1].1) >= x(pair[0].0) + half(&pair[0].1) + 0.67 * size
    })
}

/// Multiples of every so many powers of ten.
fn powers(span: Span, multiples: &[f64], every: i32, label: impl Fn(f64) -> String) -> Ticks {
    // No axis of finite numbers has more decades.
    let bound = |v: f64| v.clamp(-400.0, 400.0) as i32;
    (bound(span.low.floor())..=bound(span.high.floor()))
        .filter(|decade| decade % every == 0)
        .flat_map(|decade| multiples.iter().map(move |m| f64::from(decade) + m.log10()))
        .filter(|v| span.holds(*v))
        .map(|v| (v, label(v)))
        .collect()
}

/// A value in decimals where those are short, as a power of ten otherwise.
fn plain(log: f64) -> String {
    if !(-4.0..5.0).contains(&log) {
        return power_of_ten(log);
    }
    // As many decimals as the first digit needs.
    let digits = (-(log + 1e-6).floor()).max(0.0) as usize;
    format!("{:.digits$}", 10_f64.powf(log))
}

/// About `count` evenly spaced round values.
fn evenly(span: Span, count: f64) -> Ticks {
    // Beyond these a value or its quotient by the count is no longer a number.
    if span.low < -300.0 || span.high > 300.0 {
        return Ticks::new();
    }
    let values = Span {
        low: 10_f64.powf(span.low),
        high: 10_f64.powf(span.high),
    };
    let ticks = values.ticks(count);
    let large = !(-4.0..5.0).contains(&span.low) || !(-4.0..5.0).contains(&span.high);
    let digits = match large {
        // Decimals of the lead, not of the value.
        true => {
            // Of the largest: 1.1·10¹⁷ needs a decimal that 9·10¹⁶ does not.
            let last = ticks.last().copied().unwrap_or(1.0);
            let unit = 10_f64.powf((last.log10() + 1e-6).floor());
            digits_for(&ticks.iter().map(|t| t / unit).collect::<Vec<_>>())
        }
        false => digits_for(&ticks),
    };
    ticks
        .into_iter()
        .filter(|v| *v > 0.0)
        .map(|v| {
            let label = match large {
                true => scientific(v.log10(), Some(digits)),
                false => format!("{v:.digits$}"),
            };
            (v.log10(), label)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{of_scales, of_values};
    use crate::report::plot::span::Span;

    fn labels(ticks: &[(f64, String)]) -> Vec<&str> {
        ticks.iter().map(|t| t.1.as_str()).collect()
    }

    fn span(low: f64, high: f64) -> Span {
        Span {
            low: low.log10(),
            high: high.log10(),
        }
    }

    #[test]
    fn scales_of_any_length_have_ticks_apart() {
        let few = of_scales(span(8e17, 1.2e21), 1000.0, 22.0);
        assert_eq!(labels(&few), ["10¹⁸", "10¹⁹", "10²⁰", "10²¹"]);
        let tens = of_scales(span(6e10, 6e12), 1000.0, 22.0);
        assert_eq!(labels(&tens), ["10¹¹", "3·10¹¹", "10¹²", "3·10¹²"]);
        let narrow = of_scales(span(1e18, 1.32e18), 1000.0, 22.0);
        assert!(narrow.len() >= 3, "{narrow:?}");
        assert_eq!(narrow[0].1, "1.0·10¹⁸");
        let across = of_scales(span(8.9e16, 1.24e17), 300.0, 18.0);
        assert_eq!(labels(&across), ["1.0·10¹⁷", "1.2·10¹⁷"]);
        let narrower = of_scales(span(1e18, 1.001e18), 1000.0, 22.0);
        let mut distinct = labels(&narrower);
        distinct.dedup();
        assert!(
            distinct.len() == narrower.len() && distinct.len() >= 2,
            "{narrower:?}"
        );
        assert!(of_scales(span(1e-300, 1e300), 300.0, 18.0).len() >= 3);
        assert_eq!(
            labels(&of_scales(span(60.0, 190.0), 300.0, 18.0)),
            ["100", "150"]
        );
    }

    #[test]
    fn values_of_any_length_have_ticks_apart() {
        assert_eq!(
            labels(&of_values(span(0.9, 2.3), 600.0, 22.0)),
            ["1.0", "1.2", "1.4", "1.6", "1.8", "2.0", "2.2"]
        );
        let wide = of_values(span(1e-5, 1e3), 600.0, 22.0);
        assert!(
            wide.len() >= 4 && labels(&wide).contains(&"0.1"),
            "{wide:?}"
        );
        for (low, high) in [(0.999, 1.001), (1e-9, 1e9), (0.2, 40.0), (3.0, 3.0001)] {
            for room in [200.0, 600.0] {
                let ticks = of_values(span(low, high), room, 18.0);
                assert!(ticks.len() >= 2, "{low} to {high}: {ticks:?}");
            }
        }
    }
}
