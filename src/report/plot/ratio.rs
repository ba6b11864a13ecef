//! One law: the errors of both sides, and their ratio with everything that is known about it.

use super::PlotError;
use super::canvas::{BAND, Canvas, Header, MARGIN, drawing};
use super::curves;
use super::frame::{Frame, axis_label};
use super::key::{self, Sample};
use super::marks::{Marker, said};
use super::metrics;
use super::pair::{Pair, side_by_side};
use super::palette::Ink;
use super::span::Span;
use super::style::Style;
use super::text::{interval_of, minus, power_of_ten, signed};
use crate::fit::{Analysis, RelativeLaw};
use crate::report::format::{flag_name, number, p_phrase};

impl Style {
    /// The errors of both distributions against scale with their power laws, and beside them the ratio
    /// G with the fitted law, `γ` at `F0`, the interval at each scale, the band over all scales, parity
    /// where it is near, and the verdict.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the law has no readings.
    pub fn ratio(&self, analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
        self.check()?;
        if law.readings.is_empty() {
            return Err(PlotError::Nothing {
                what: "readings".to_owned(),
            });
        }
        let (treatment, baseline) = (self.name(&law.treatment), self.name(&law.baseline));
        let short = |name: &str| metrics::fit(name, 380.0, 24.0, false);
        let title = format!(
            "{}: {} relative to {}",
            short(self.name(&law.corpus)),
            short(treatment),
            short(baseline)
        );
        let of_pairs = is_of_pairs(analysis, law);
        let names = [short(treatment), short(baseline)];
        let entries = entries(law, [&names[0], &names[1]]);
        let width = self.page().map_or(1500.0, |p| p.0);
        let header = Header::new(self, &title, &notes(law), width);
        let x = scales(law).padded(0.04);
        let pair = Pair {
            x,
            left: error_range(analysis, law),
            right: range(law).padded(0.06),
            below: key::height(&entries, MARGIN, width - MARGIN) + 110.0,
        };
        let (frames, height) = side_by_side(self, &header, width, &pair);
        let label = axis_label(analysis);
        Ok(drawing(self, (width, height), &header, |c| {
            let [left, right] = &frames;
            left.scale_axis(c, &label);
            left.value_axis(
                c,
                if of_pairs {
                    "ratio of each pair"
                } else {
                    "error E"
                },
            );
            errors(c, left, analysis, law);
            right.scale_axis(c, &label);
            let ratio = format!("G = E({}) / E({})", short(treatment), short(baseline));
            right.value_axis(
                c,
                if of_pairs {
                    "G = ratio of both pairs"
                } else {
                    &ratio
                },
            );
            ratios(c, right, law);
            let bottom = left.bottom.max(right.bottom);
            key::draw(c, &entries, (MARGIN, width - MARGIN), bottom + 96.0);
        }))
    }
}

/// True for a contrast of two pairs, each side of which is a ratio.
fn is_of_pairs(analysis: &Analysis, law: &RelativeLaw) -> bool {
    analysis.contrasts.iter().any(|c| {
        c.levels.is_some()
            && c.law.corpus == law.corpus
            && c.law.treatment == law.treatment
            && c.law.baseline == law.baseline
    })
}

/// The lines under the title.
fn notes(law: &RelativeLaw) -> Vec<String> {
    let d = &law.delta_beta;
    let percent = minus(format!("{:+.2}", law.percent_per_decade.value));
    let mut notes = vec![
        format!(
            "{} · Δβ = {} {} per nat · {percent}\u{a0}% per decade",
            said(law),
            signed(d.value),
            interval_of(d.lower, d.upper),
        ),
        format!(
            "γ = {} at F₀ = {} · {}, by Holm {} · {} readings",
            number(law.gamma.value),
            power_of_ten(law.reference_flops.log10()),
            p_phrase(d.p_value),
            p_phrase(law.multiplicity.holm_p),
            law.readings.len(),
        ),
    ];
    if !law.flags.is_empty() {
        let names: Vec<String> = law.flags.iter().map(|f| flag_name(*f)).collect();
        notes.push(format!("flags: {}", names.join(", ")));
    }
    notes
}

/// The scales of readings and band, in log10.
pub(super) fn scales(law: &RelativeLaw) -> Span {
    let band = law.band().into_iter().map(|b| b.scale.log10());
    Span::of(law.readings.iter().map(|r| r.scale.log10()).chain(band))
}

/// Range of the errors with their laws, in natural logarithms.
fn error_range(analysis: &Analysis, law: &RelativeLaw) -> Span {
    let points = curves::errors(law).concat();
    let lines = [&law.treatment, &law.baseline]
        .into_iter()
        .filter_map(|name| curves::absolute(analysis, &law.corpus, name))
        .flat_map(|l| curves::absolute_line(l, scales(law)));
    Span::of(points.into_iter().chain(lines).map(|p| p.1)).padded(0.06)
}

/// Range of `ln G`.
fn range(law: &RelativeLaw) -> Span {
    let band = law.band();
    let band = band.iter();
    let pointwise = band.clone().flat_map(|b| [b.lower.ln(), b.upper.ln()]);
    let inner = Span::of(law.readings.iter().map(|r| r.log_ratio).chain(pointwise));
    let outer = Span::of(band.flat_map(|b| [b.simultaneous_lower.ln(), b.simultaneous_upper.ln()]));
    // Simultaneous bands may be far wider than the data: they widen the frame at most by half.
    let room = 0.5 * inner.length();
    let mut y = Span {
        low: outer.low.max(inner.low - room).min(inner.low),
        high: outer.high.min(inner.high + room).max(inner.high),
    };
    // Parity belongs in the picture when it is near: within a quarter of it, since further away it
    // would leave as much of the frame bare.
    if y.low > 0.0 && y.low < 0.25 * y.length() {
        y.low = 0.0;
    } else if y.high < 0.0 && -y.high < 0.25 * y.length() {
        y.high = 0.0;
    }
    y
}

/// The errors of both sides and their power laws.
fn errors(c: &mut Canvas<'_>, frame: &Frame, analysis: &Analysis, law: &RelativeLaw) {
    let sides = curves::errors(law);
    let names = [&law.treatment, &law.baseline];
    for ((points, name), (ink, marker)) in sides.iter().zip(names).zip(SIDES) {
        if let Some(absolute) = curves::absolute(analysis, &law.corpus, name) {
            let [a, b] = curves::absolute_line(absolute, scales(law));
            let line = frame.straight(a, b);
            c.group("law", |c| c.line(&line, ink, 3.0));
        }
        curves::points(c, frame, points, (marker, 9.0, ink));
    }
}

/// Colour and marker of the treatment and of the baseline.
const SIDES: [(Ink, Marker); 2] = [
    (Ink::Vermilion, Marker::Circle),
    (Ink::FrameGrey, Marker::Square),
];

/// Band, parity, law and readings, in this order from the back.
fn ratios(c: &mut Canvas<'_>, frame: &Frame, law: &RelativeLaw) {
    let band = law.band();
    curves::area(c, frame, &band, Ink::Sky, 0.35);
    let edges = [
        curves::edge(&band, |b| b.simultaneous_lower),
        curves::edge(&band, |b| b.simultaneous_upper),
    ];
    c.group("simultaneous", |c| {
        for edge in edges {
            c.dashed(&frame.clipped(&edge), Ink::Blue, 2.0, BAND);
        }
    });
    frame.parity(c);
    curves::line(c, frame, &band, Ink::Blue, 4.0);
    let marker = (Marker::Circle, 9.0, Ink::Vermilion);
    curves::points(c, frame, &curves::ratios(law), marker);
    curves::level(c, frame, law, Ink::Black, 11.0);
}

/// The entries of the key.
fn entries<'a>(law: &RelativeLaw, [treatment, baseline]: [&'a str; 2]) -> Vec<(Sample, &'a str)> {
    let mut entries = vec![
        (Sample::Marker(SIDES[0].1, 9.0, SIDES[0].0), treatment),
        (Sample::Marker(SIDES[1].1, 9.0, SIDES[1].0), baseline),
        (Sample::Line(Ink::Blue, 4.0), "law"),
        (Sample::Band(Ink::Sky), "interval at each scale"),
        (Sample::Dashes(Ink::Blue, 2.0), "band over all scales"),
        (Sample::Marker(Marker::Star, 11.0, Ink::Black), "γ at F₀"),
    ];
    if range(law).padded(0.06).holds(0.0) {
        entries.push((Sample::Dots(Ink::Black), "parity, G = 1"));
    }
    entries
}
