//! All laws of a corpus in small panels.

use super::PlotError;
use super::canvas::{Canvas, Header, LABEL, SMALL, Side, drawing};
use super::curves;
use super::frame::{Frame, axis_label};
use super::grid::Grid;
use super::marks::{is_at_chance, said, shown, verdict_style};
use super::metrics;
use super::ratio::scales;
use super::span::Span;
use super::style::Style;
use super::text::signed;
use crate::fit::{Analysis, RelativeLaw};

impl Style {
    /// The ratios of all treatments of a corpus in small panels. Every panel spans the same range of
    /// `ln G`, so that slopes can be compared by eye, unless one law is far steeper than the others.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the corpus has no laws.
    pub fn ratios(&self, analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
        self.check()?;
        let mut laws: Vec<&RelativeLaw> = analysis
            .laws
            .iter()
            .filter(|l| l.corpus == corpus && !l.readings.is_empty())
            .collect();
        let Some(first) = laws.first() else {
            return Err(PlotError::Nothing {
                what: "laws of the corpus".to_owned(),
            });
        };
        let baseline = metrics::fit(self.name(&first.baseline), 400.0, LABEL, false);
        self.sort(&mut laws, |l| &l.treatment);
        let halves = half_ranges(&laws);
        let alike = halves.windows(2).all(|w| w[0] == w[1]);
        // One x for all panels: the eye compares slopes only on one scale.
        let x = laws.iter().map(|l| scales(l));
        let x = Span::of(x.flat_map(|s| [s.low, s.high])).padded(0.04);
        let grid = Grid::of(laws.len());
        let notes = format!(
            "G = E / E of {baseline} against {}; line: G = γ·(F/F₀)^Δβ, shaded: its {}\u{a0}% interval; \
             every panel spans {} of G; dotted: G = 1",
            axis_label(analysis),
            analysis.options.level_percent(),
            if alike {
                "the same factor"
            } else {
                "its own range"
            }
        );
        let name = metrics::fit(self.name(corpus), 500.0, 32.0, true);
        let title = format!("{name}: how the gaps evolve");
        let header = Header::new(self, &title, &[notes], grid.width());
        let first_row = header.height() + 70.0;
        let page = (grid.width(), first_row + grid.height());
        Ok(drawing(self, page, &header, |c| {
            for (k, (law, half)) in laws.iter().zip(&halves).enumerate() {
                let span = Span::of(law.readings.iter().map(|r| r.log_ratio));
                let middle = (span.low + span.high) / 2.0;
                let y = Span {
                    low: middle - half,
                    high: middle + half,
                };
                panel(c, &grid.frame(k, first_row, x, y), law);
            }
        }))
    }
}

/// Half the range of `ln G` that each panel spans. All readings are shown; an interval far wider than
/// they are leaves the panel.
fn half_ranges(laws: &[&RelativeLaw]) -> Vec<f64> {
    let readings = |law: &RelativeLaw| Span::of(law.readings.iter().map(|r| r.log_ratio)).length();
    let with_band = |law: &RelativeLaw| {
        let band = law.band();
        let band = band.iter().flat_map(|b| [b.lower.ln(), b.upper.ln()]);
        Span::of(law.readings.iter().map(|r| r.log_ratio).chain(band)).length()
    };
    // A tenth more than half, so that markers stay off the edge. Ratios within 2 % of each other still
    // get an axis with ticks apart.
    let half = |longest: f64, band: f64| 0.55 * band.min(3.0 * longest).max(0.02);
    let each: Vec<(f64, f64)> = laws.iter().map(|l| (readings(l), with_band(l))).collect();
    let longest = each.iter().fold(0.0_f64, |m, e| m.max(e.0));
    let band = each.iter().fold(0.0_f64, |m, e| m.max(e.1));
    let mut lengths: Vec<f64> = each.iter().map(|e| e.0).collect();
    lengths.sort_by(f64::total_cmp);
    // Where one law is twenty times as steep as the usual one, a common range would show the others as
    // one flat line.
    match longest > 20.0 * lengths[lengths.len() / 2].max(0.02) {
        true => each.iter().map(|e| half(e.0, e.1)).collect(),
        false => vec![half(longest, band); laws.len()],
    }
}

fn panel(c: &mut Canvas<'_>, frame: &Frame, law: &RelativeLaw) {
    let at_chance = is_at_chance(law);
    let (ink, marker) = verdict_style(shown(law));
    // An exponent there would be read as a finding.
    let note = match at_chance {
        true => format!("{}: no law", said(law)),
        false => format!("Δβ = {} · {}", signed(law.delta_beta.value), said(law)),
    };
    c.group("panel", |c| {
        caption(c, frame, c.style.name(&law.treatment), &note);
        let band = law.band();
        if !at_chance {
            curves::area(c, frame, &band, ink, 0.25);
        }
        frame.parity(c);
        if !at_chance {
            curves::line(c, frame, &band, ink, 3.0);
        }
        curves::points(c, frame, &curves::ratios(law), (marker, 7.0, ink));
        frame.small_axes(c, SMALL);
    });
}

/// Name and note above a small panel.
pub(super) fn caption(c: &mut Canvas<'_>, frame: &Frame, name: &str, note: &str) {
    // Up to the next panel or the edge of the page.
    let room = (frame.right - frame.left + 100.0).min(c.width - frame.left - 16.0);
    let name = metrics::fit(name, room, LABEL, true);
    c.text(
        &name,
        (frame.left, frame.top - 48.0),
        LABEL,
        Side::Left,
        true,
    );
    let note = metrics::fit(note, room, 20.0, false);
    c.text(
        &note,
        (frame.left, frame.top - 20.0),
        20.0,
        Side::Left,
        false,
    );
}
