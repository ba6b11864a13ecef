//! Size profiles: the aggregate loss against model size, and the frontier.

use super::PlotError;
use super::canvas::{BAND, Canvas, Header, MARGIN, Side, TICK, drawing};
use super::frame::Frame;
use super::key::{self, Sample};
use super::marks::{Marker, series};
use super::metrics;
use super::palette::Ink;
use super::span::Span;
use super::style::Style;
use super::svg::Point;
use super::text::power_of_ten;
use crate::fit::LinearFit;
use crate::fit::{CorpusReport, FrontierReport, ProfilePoint};

impl Style {
    /// The aggregate loss against model size at every budget, the polynomials that find the minima,
    /// and the smoothed frontier.
    ///
    /// # Errors
    /// [`PlotError::Nothing`] when the corpus has no frontier.
    pub fn profiles(&self, corpus: &CorpusReport) -> Result<String, PlotError> {
        self.check()?;
        let Some(frontier) = &corpus.frontier else {
            return Err(PlotError::Nothing {
                what: "frontier".to_owned(),
            });
        };
        let profiles = Profiles::new(corpus, frontier);
        if profiles.curves.is_empty() {
            return Err(PlotError::Nothing {
                what: "profiles".to_owned(),
            });
        }
        let (width, asked) = self.page().unwrap_or((1500.0, None));
        let name = metrics::fit(self.name(&corpus.corpus), 500.0, 32.0, true);
        let title = format!("{name}: loss profiles and the compute-optimal frontier");
        let header = Header::new(self, &title, &[note(corpus, frontier, &profiles)], width);
        let top = header.height() + 20.0;
        let below = 116.0 + key::height(&ENTRIES, MARGIN, width - MARGIN);
        let height = asked.map_or(0.48 * width, |h| h - top - below).max(240.0);
        let points = corpus.profiles.iter();
        let losses = points.clone().map(|p| p.aggregate.ln());
        let shown = losses.chain(profiles.losses());
        let frame = Frame {
            left: 160.0,
            // The column of the budgets: a marker and a power of ten.
            right: width - 190.0,
            top,
            bottom: top + height,
            x: Span::of(points.map(|p| p.params.log10())).padded(0.04),
            y: Span::of(shown).padded(0.06),
        };
        let page = (width, frame.bottom + below);
        Ok(drawing(self, page, &header, |c| {
            frame.scale_axis(c, "parameters N");
            frame.value_axis(c, "aggregate loss");
            profiles.draw(c, &frame);
            key::draw(c, &ENTRIES, (MARGIN, width - MARGIN), frame.bottom + 96.0);
        }))
    }
}

/// The line under the title.
fn note(corpus: &CorpusReport, frontier: &FrontierReport, profiles: &Profiles<'_>) -> String {
    format!(
        "N* ~ F^{:.3} [{:.3}, {:.3}] · scatter of minima {:.3} nats · {} runs at {} budgets",
        frontier.exponent.value,
        frontier.exponent.lower,
        frontier.exponent.upper,
        frontier.residual_sd,
        corpus.profiles.len(),
        profiles.curves.len(),
    )
}

/// The runs of one budget, their polynomial and its place at the smoothed optimum.
struct Profile<'a> {
    budget: f64,
    points: Vec<&'a ProfilePoint>,
    curve: Option<Curve>,
    optimum: Option<Point>,
}

/// The profiles of a corpus by budget, in ascending order: colour and marker of a budget are then the
/// same in every drawing of a ladder.
struct Profiles<'a> {
    curves: Vec<Profile<'a>>,
}

impl<'a> Profiles<'a> {
    fn new(corpus: &'a CorpusReport, frontier: &FrontierReport) -> Self {
        let mut budgets: Vec<f64> = corpus.profiles.iter().map(|p| p.budget).collect();
        budgets.sort_by(f64::total_cmp);
        budgets.dedup();
        let profile = |budget: f64| {
            let of_budget = |p: &&ProfilePoint| p.budget == budget;
            let mut points: Vec<&ProfilePoint> = corpus.profiles.iter().filter(of_budget).collect();
            points.sort_by(|a, b| a.params.total_cmp(&b.params));
            let curve = profile_curve(&points);
            let size = optimum(corpus, frontier, budget).map(f64::log10);
            let optimum = size.zip(curve.as_ref()).map(|(x, c)| (x, c.at(x)));
            Profile {
                budget,
                points,
                curve,
                optimum,
            }
        };
        Self {
            curves: budgets.into_iter().map(profile).collect(),
        }
    }

    /// The logarithms of the losses along the curves.
    fn losses(&self) -> impl Iterator<Item = f64> + '_ {
        let curves = self.curves.iter().filter_map(|p| p.curve.as_ref());
        curves.flat_map(|c| c.points()).map(|p| p.1)
    }

    fn draw(&self, c: &mut Canvas<'_>, frame: &Frame) {
        for (k, profile) in self.curves.iter().enumerate() {
            let (ink, marker) = series(k);
            c.group("profile", |c| {
                if let Some(curve) = &profile.curve {
                    c.line(&frame.clipped(&curve.points()), ink, 2.0);
                }
                for p in &profile.points {
                    let at = frame.at(p.params.log10(), p.aggregate.ln());
                    c.marker(marker, at, 7.0, ink);
                }
            });
        }
        let optima: Vec<Point> = self.curves.iter().filter_map(|p| p.optimum).collect();
        let line = frame.clipped(&optima);
        c.group("frontier", |c| {
            c.dashed(&line, Ink::Black, 3.0, BAND);
            for (x, y) in optima {
                if frame.y.holds(y) && frame.x.holds(x) {
                    c.marker(Marker::Star, frame.at(x, y), 12.0, Ink::Black);
                }
            }
        });
        self.name_budgets(c, frame);
    }

    /// Names budgets beside the last points of their profiles, pushed apart where those meet.
    fn name_budgets(&self, c: &mut Canvas<'_>, frame: &Frame) {
        const STEP: f64 = 30.0;
        let ends = self.curves.iter().enumerate().filter_map(|(k, p)| {
            let last = p.points.last()?;
            Some((frame.y_of(last.aggregate.ln()), k, p.budget))
        });
        let mut names: Vec<(f64, usize, f64)> = ends.collect();
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        // More budgets than lines: every so many of them has a name.
        let room = ((frame.bottom - frame.top) / STEP).floor().max(1.0) as usize;
        let every = names.len().div_ceil(room).max(1);
        let mut names: Vec<_> = names.into_iter().step_by(every).collect();
        let mut free = frame.top + 12.0;
        for name in &mut names {
            name.0 = name.0.max(free);
            free = name.0 + STEP;
        }
        // Those that would run off the frame move up, each only as far as it must.
        let mut floor = frame.bottom - 4.0;
        for name in names.iter_mut().rev() {
            name.0 = name.0.min(floor);
            floor = name.0 - STEP;
        }
        c.group("budgets", |c| {
            let head = (frame.right + 20.0, frame.top - 22.0);
            c.text("budget", head, TICK, Side::Left, false);
            for (y, k, budget) in names {
                let (ink, marker) = series(k);
                c.marker(marker, (frame.right + 30.0, y), 7.0, ink);
                let text = power_of_ten(budget.log10());
                c.text(&text, (frame.right + 48.0, y), TICK, Side::Left, false);
            }
        });
    }
}

/// The smoothed compute-optimal size at a budget, if the frontier read it.
fn optimum(corpus: &CorpusReport, frontier: &FrontierReport, budget: f64) -> Option<f64> {
    // A scale is the mean over the runs of a budget, which may differ by a few per cent.
    corpus
        .scales
        .iter()
        .zip(&frontier.smoothed)
        .find(|(scale, _)| (**scale / budget).ln().abs() < 0.05)
        .map(|(_, size)| *size)
}

/// The entries of the key.
const ENTRIES: [(Sample, &str); 3] = [
    (
        Sample::Marker(Marker::Circle, 7.0, Ink::Blue),
        "run (colour and shape by budget)",
    ),
    (Sample::Line(Ink::Blue, 2.0), "local polynomial"),
    (Sample::Optimum, "smoothed optimum"),
];

/// A polynomial through the middle of one profile, in log10 N and ln loss.
struct Curve {
    coefficients: Vec<f64>,
    centre: f64,
    low: f64,
    high: f64,
}

impl Curve {
    fn at(&self, x: f64) -> f64 {
        let u = x - self.centre;
        self.coefficients
            .iter()
            .rev()
            .fold(0.0, |sum, c| sum * u + c)
    }

    fn points(&self) -> Vec<(f64, f64)> {
        // A curve through 49 points shows no corners.
        (0..=48)
            .map(|k| self.low + (self.high - self.low) * f64::from(k) / 48.0)
            .map(|x| (x, self.at(x)))
            .collect()
    }
}

/// The polynomial that the frontier uses: a cubic through six sizes or more within a factor 8 of
/// the best, a quadratic through four or five.
fn profile_curve(points: &[&ProfilePoint]) -> Option<Curve> {
    let best = points
        .iter()
        .min_by(|a, b| a.aggregate.total_cmp(&b.aggregate))?;
    let near: Vec<(f64, f64)> = points
        .iter()
        // The window of the read-off, with its allowance for sizes in steps of two.
        .filter(|p| (p.params / best.params).ln().abs() <= 8.0_f64.ln() + 1e-9)
        .map(|p| (p.params.log10(), p.aggregate.ln()))
        .collect();
    let mut sizes: Vec<f64> = near.iter().map(|p| p.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    let degree = match sizes.len() {
        0..4 => return None,
        4 | 5 => 2,
        _ => 3,
    };
    // Cubes of log10 N near 8 are nearly collinear.
    let centre = sizes.iter().sum::<f64>() / sizes.len() as f64;
    let columns: Vec<Vec<f64>> = (0..=degree)
        .map(|k| near.iter().map(|p| (p.0 - centre).powi(k)).collect())
        .collect();
    let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let losses: Vec<f64> = near.iter().map(|p| p.1).collect();
    let fit = LinearFit::new(&columns, &losses).ok()?;
    Some(Curve {
        coefficients: fit.coefficients().to_vec(),
        centre,
        low: sizes[0],
        high: sizes[sizes.len() - 1],
    })
}
