//! Error rates with binomial intervals: of a corpus in small panels, and of a pair with their ratio.

use statrs::distribution::{ContinuousCDF, Normal};

use super::PlotError;
use super::canvas::{Canvas, DOTS, Header, MARGIN, SMALL, drawing};
use super::frame::{Frame, axis_label};
use super::grid::Grid;
use super::key::{self, Sample};
use super::marks::{Marker, verdict_name};
use super::metrics;
use super::pair::{Pair, side_by_side};
use super::palette::Ink;
use super::panels::caption;
use super::span::Span;
use super::style::Style;
use super::svg::Point;
use super::text::{interval_of, power_of_ten, signed};
use crate::fit::{Analysis, CountsLaw, Flag, RateLaw, RateReading};
use crate::report::format::{number, p_phrase};

impl Style {
    /// The error rates of `corpus` against scale in small panels, with Wilson's intervals of the runs,
    /// the fitted rates and the rate of a guess. Rates of zero have no logarithm and stand at the lower
    /// edge as rings.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the corpus has no error rates.
    ///
    /// # References
    /// E. B. Wilson (1927), *Journal of the American Statistical Association* 22:209.
    pub fn rates(&self, analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
        self.check()?;
        let of_corpus = |r: &&RateLaw| r.corpus == corpus && !r.readings.is_empty();
        let mut laws: Vec<&RateLaw> = analysis.rates.iter().filter(of_corpus).collect();
        if laws.is_empty() {
            return Err(PlotError::Nothing {
                what: format!("error rates of corpus {corpus}"),
            });
        }
        self.sort(&mut laws, |l| &l.distribution);
        let readings = laws.iter().flat_map(|l| &l.readings);
        // One x for all panels: the eye compares slopes only on one scale.
        let x = Span::of(readings.map(|r| r.scale.log10())).padded(0.04);
        let grid = Grid::of(laws.len());
        let level = 1.0 - analysis.options.alpha;
        let notes = format!(
            "share of wrong answers against {}; points: runs or budgets, with the binomial {}\u{a0}% \
             interval of a run; rings: no error; grey: fitted; dotted: by guessing",
            axis_label(analysis),
            analysis.options.level_percent()
        );
        let name = metrics::fit(self.name(corpus), 600.0, 32.0, true);
        let header = Header::new(
            self,
            &format!("{name}: error rates"),
            &[notes],
            grid.width(),
        );
        let first_row = header.height() + 70.0;
        let page = (grid.width(), first_row + grid.height());
        Ok(drawing(self, page, &header, |c| {
            for (k, law) in laws.iter().enumerate() {
                let y = range(&[(*law).into()], level).padded(0.08);
                panel(c, &grid.frame(k, first_row, x, y), law, level);
            }
        }))
    }

    /// The error rates of both distributions of one law, with Wilson's intervals, and beside them their
    /// ratio with the fitted law. Readings without an error on one side have no ratio.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when no reading has a ratio.
    pub fn rate_ratio(&self, analysis: &Analysis, law: &CountsLaw) -> Result<String, PlotError> {
        self.check()?;
        let points: Vec<Point> = (law.readings.iter())
            .filter_map(|r| Some((r.scale.log10(), r.log_ratio?)))
            .collect();
        if points.is_empty() {
            return Err(PlotError::Nothing {
                what: "ratios of error rates".to_owned(),
            });
        }
        let short = |name: &str| metrics::fit(self.name(name), 380.0, 24.0, false);
        let (treatment, baseline) = (short(&law.treatment), short(&law.baseline));
        let title = format!("{}: {treatment} relative to {baseline}", short(&law.corpus));
        let width = self.page().map_or(1500.0, |p| p.0);
        let header = Header::new(self, &title, &ratio_notes(law), width);
        let sides = [&law.treatment, &law.baseline].map(|name| side(analysis, law, name));
        let level = 1.0 - analysis.options.alpha;
        let fitted: Vec<Point> = (law.readings.iter())
            .map(|r| (r.scale.log10(), r.fitted))
            .collect();
        let right = Span::of(points.iter().chain(&fitted).map(|p| p.1)).padded(0.08);
        let entries = entries([&treatment, &baseline], right.holds(0.0));
        let pair = Pair {
            x: Span::of(law.readings.iter().map(|r| r.scale.log10())).padded(0.04),
            left: range(&sides, level).padded(0.06),
            right,
            below: key::height(&entries, MARGIN, width - MARGIN) + 110.0,
        };
        let (frames, height) = side_by_side(self, &header, width, &pair);
        let label = axis_label(analysis);
        Ok(drawing(self, (width, height), &header, |c| {
            let [left, right] = &frames;
            left.scale_axis(c, &label);
            left.value_axis(c, "error E");
            for (side, (ink, marker)) in sides.iter().zip(SIDES) {
                rate(c, left, side, level, (marker, 9.0, ink));
            }
            right.scale_axis(c, &label);
            right.value_axis(c, &format!("G = E({treatment}) / E({baseline})"));
            right.parity(c);
            let line = right.clipped(&fitted);
            c.group("law", |c| c.line(&line, Ink::Blue, 4.0));
            super::curves::points(c, right, &points, (Marker::Circle, 9.0, Ink::Vermilion));
            let bottom = left.bottom.max(right.bottom);
            key::draw(c, &entries, (MARGIN, width - MARGIN), bottom + 96.0);
        }))
    }
}

/// Colour and marker of the treatment and of the baseline.
const SIDES: [(Ink, Marker); 2] = [
    (Ink::Vermilion, Marker::Circle),
    (Ink::FrameGrey, Marker::Square),
];

/// The entries of the key of a pair.
fn entries([treatment, baseline]: [&str; 2], parity: bool) -> Vec<(Sample, &str)> {
    let side = |k: usize| Sample::Marker(SIDES[k].1, 9.0, SIDES[k].0);
    let none = Sample::Marker(Marker::Ring, 9.0, Ink::Vermilion);
    let mut entries = vec![
        (side(0), treatment),
        (side(1), baseline),
        (none, "no error"),
        (Sample::Line(Ink::Blue, 4.0), "law"),
    ];
    if parity {
        entries.push((Sample::Dots(Ink::Black), "parity, G = 1"));
    }
    entries
}

/// The lines under the title of a pair.
fn ratio_notes(law: &CountsLaw) -> Vec<String> {
    let d = &law.delta_beta;
    vec![
        format!(
            "{} · Δβ = {} {} per nat",
            verdict_name(law.verdict),
            signed(d.value),
            interval_of(d.lower, d.upper),
        ),
        format!(
            "γ = {} at F₀ = {} · {}, by Holm {} · {} readings",
            number(law.gamma.value),
            power_of_ten(law.reference_flops.log10()),
            p_phrase(d.p_value),
            p_phrase(law.holm_p),
            law.readings.len(),
        ),
    ]
}

/// One error rate, or other loss, as it is drawn.
struct Rate {
    readings: Vec<Shown>,
    ceiling: Option<f64>,
}

/// One reading of a rate.
struct Shown {
    x: f64,
    rate: f64,
    fitted: Option<f64>,
    items: Option<f64>,
}

impl From<&RateLaw> for Rate {
    fn from(law: &RateLaw) -> Self {
        let shown = |r: &RateReading| Shown {
            x: r.scale.log10(),
            rate: r.rate,
            fitted: Some(r.fitted),
            items: r.items,
        };
        Self {
            readings: law.readings.iter().map(shown).collect(),
            ceiling: law.ceiling,
        }
    }
}

/// One side of a law: its own law of rates where it is an error rate, the errors read otherwise.
fn side(analysis: &Analysis, law: &CountsLaw, name: &str) -> Rate {
    let mut rates = analysis.rates.iter();
    if let Some(rate) = rates.find(|r| r.corpus == law.corpus && r.distribution == name) {
        return rate.into();
    }
    let treatment = name == law.treatment;
    let readings = law.readings.iter().map(|r| Shown {
        x: r.scale.log10(),
        rate: if treatment {
            r.treatment_error
        } else {
            r.baseline_error
        },
        fitted: None,
        items: None,
    });
    Rate {
        readings: readings.collect(),
        ceiling: None,
    }
}

/// Wilson's interval of a share `p` of `n` items at a confidence level.
fn wilson(p: f64, n: f64, level: f64) -> [f64; 2] {
    let z = Normal::standard().inverse_cdf(0.5 + 0.5 * level);
    let z2 = z * z / n;
    let centre = (p + 0.5 * z2) / (1.0 + z2);
    let half = z / (1.0 + z2) * (p * (1.0 - p) / n + 0.25 * z2 / n).sqrt();
    // At no error the lower end is zero but for rounding.
    let low = if p == 0.0 { 0.0 } else { centre - half };
    [low.max(0.0), (centre + half).min(1.0)]
}

/// Logarithms of the rates with their intervals, fitted rates and the rate of a guess.
fn range(rates: &[Rate], level: f64) -> Span {
    let mut values = Vec::new();
    for rate in rates {
        values.extend(rate.ceiling);
        for r in &rate.readings {
            values.extend([Some(r.rate), r.fitted].into_iter().flatten());
            if let Some(items) = r.items {
                let [low, high] = wilson(r.rate, items, level);
                values.push(high);
                // Below one error in ten times the items a lower end says nothing more, and would
                // squash the rest.
                values.push(low.max(0.1 / items));
            }
        }
    }
    // A rate of zero has no logarithm.
    Span::of(values.into_iter().map(f64::ln))
}

fn panel(c: &mut Canvas<'_>, frame: &Frame, law: &RateLaw, level: f64) {
    let at_chance = law.flags.contains(&Flag::PreOnset);
    let note = match at_chance {
        // An exponent there would be read as a finding.
        true => "at chance: no law".to_owned(),
        false => format!("β = {} · φ = {:.1}", signed(law.beta.value), law.dispersion),
    };
    c.group("panel", |c| {
        caption(c, frame, c.style.name(&law.distribution), &note);
        let ink = if at_chance { Ink::Grey } else { Ink::Blue };
        rate(c, frame, &law.into(), level, (Marker::Circle, 7.0, ink));
        frame.small_axes(c, SMALL);
    });
}

/// The rate of a guess, the fitted rates, intervals and readings, in this order from the back.
fn rate(c: &mut Canvas<'_>, frame: &Frame, rate: &Rate, level: f64, mark: (Marker, f64, Ink)) {
    let (marker, r, ink) = mark;
    if let Some(ceiling) = rate.ceiling.map(f64::ln).filter(|y| frame.y.holds(*y)) {
        let ends = frame.path(&[(frame.x.low, ceiling), (frame.x.high, ceiling)]);
        c.group("guess", |c| c.dashed(&ends, Ink::Black, 2.0, DOTS));
    }
    let fitted: Vec<Point> = (rate.readings.iter())
        .filter_map(|s| Some((s.x, s.fitted?.ln())))
        .collect();
    let line = frame.clipped(&fitted);
    c.group("law", |c| c.line(&line, Ink::Grey, 3.0));
    c.group("intervals", |c| {
        for s in &rate.readings {
            let Some(items) = s.items else { continue };
            let [low, high] = wilson(s.rate, items, level).map(f64::ln);
            let bar = frame.clipped(&[(s.x, low.max(frame.y.low)), (s.x, high)]);
            c.line(&bar, ink, 2.0);
        }
    });
    c.group("readings", |c| {
        for s in &rate.readings {
            if s.rate > 0.0 {
                c.marker(marker, frame.at(s.x, s.rate.ln()), r, ink);
            } else {
                c.marker(Marker::Ring, frame.at(s.x, frame.y.low), r, Ink::Vermilion);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::wilson;

    #[test]
    fn intervals_are_those_of_statsmodels() {
        // statsmodels 0.15: proportion_confint(count, n, alpha, method="wilson").
        for (count, n, level, [low, high]) in [
            (0.0, 50.0, 0.95, [0.0, 0.071_347_599_133_358_74]),
            (
                3.0,
                50.0,
                0.95,
                [0.020_614_970_348_973_943, 0.162_170_916_888_381_68],
            ),
            (
                25.0,
                50.0,
                0.9,
                [0.386_715_859_686_505_35, 0.613_284_140_313_494_7],
            ),
        ] {
            let found = wilson(count / n, n, level);
            assert!((found[0] - low).abs() < 1e-9, "{found:?}");
            assert!((found[1] - high).abs() < 1e-9, "{found:?}");
        }
        assert!((wilson(1.0, 10.0, 0.95)[1] - 1.0).abs() < 1e-12);
    }
}
