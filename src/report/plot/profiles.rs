//! Size profiles: the aggregate loss against model size, and the frontier.

use plotters::style::text_anchor::HPos;
use plotters::style::{BLACK, RGBColor};

use super::canvas::{Canvas, drawing, header_height};
use super::frame::Frame;
use super::span::Span;
use super::style::{Marker, series};
use super::text::{power_of_ten, shorten};
use super::{Drawn, PlotError};
use crate::fit::LinearFit;
use crate::fit::{CorpusReport, FrontierReport, ProfilePoint};

/// The aggregate loss against model size at every budget, the polynomials that find the minima,
/// and the smoothed frontier.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no frontier.
pub fn profiles(corpus: &CorpusReport) -> Result<String, PlotError> {
    let Some(frontier) = &corpus.frontier else {
        return Err(PlotError::Nothing {
            what: "frontier".to_owned(),
        });
    };
    let mut budgets: Vec<f64> = corpus.profiles.iter().map(|p| p.budget).collect();
    // In ascending order: colour and marker of a budget are then the same in every drawing of a
    // ladder.
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    if budgets.is_empty() {
        return Err(PlotError::Nothing {
            what: "profiles".to_owned(),
        });
    }
    let title = format!(
        "{}: loss profiles and the compute-optimal frontier",
        corpus.corpus
    );
    let notes = vec![format!(
        "N* ~ F^{:.3} [{:.3}, {:.3}] · scatter of minima {:.3} nats · {} runs at {} budgets",
        frontier.exponent.value,
        frontier.exponent.lower,
        frontier.exponent.upper,
        frontier.residual_sd,
        corpus.profiles.len(),
        budgets.len(),
    )];
    let top = header_height(notes.len());
    let losses = corpus.profiles.iter().map(|p| p.aggregate.ln());
    let frame = Frame {
        left: 170,
        right: 1270,
        top,
        bottom: top + 720,
        x: Span::of(corpus.profiles.iter().map(|p| p.params.log10())).padded(0.04),
        y: Span::of(losses).padded(0.06),
    };
    drawing(1500, frame.bottom + 170, |c| {
        c.header(&shorten(&title, 84), &notes)?;
        frame.log_x_axis(c, "parameters N")?;
        frame.ratio_y_axis(c, "aggregate loss")?;
        let mut labels = Vec::new();
        let mut optima = Vec::new();
        for (k, budget) in budgets.iter().enumerate() {
            let (label, curve) = profile(c, &frame, corpus, *budget, k)?;
            labels.extend(label);
            if let (Some(size), Some(curve)) = (optimum(corpus, frontier, *budget), curve) {
                optima.push((size.log10(), curve.at(size.log10())));
            }
        }
        c.dashed(&frame.clipped(&optima), BLACK, 3, 12, 8)?;
        for (x, y) in &optima {
            if frame.y.holds(*y) && frame.x.holds(*x) {
                c.marker(Marker::Star, frame.at(*x, *y), 12, BLACK)?;
            }
        }
        label_budgets(c, &frame, labels)?;
        legend(c, &frame)
    })
}

/// A budget beside the last point of its profile.
struct Label {
    y: i32,
    text: String,
    colour: RGBColor,
    marker: Marker,
}

/// Draws the profile of one budget.
fn profile(
    c: &mut Canvas<'_>,
    frame: &Frame,
    corpus: &CorpusReport,
    budget: f64,
    k: usize,
) -> Result<(Option<Label>, Option<Curve>), PlotError> {
    let (colour, marker) = series(k);
    let mut points: Vec<&ProfilePoint> = corpus
        .profiles
        .iter()
        .filter(|p| p.budget == budget)
        .collect();
    points.sort_by(|a, b| a.params.total_cmp(&b.params));
    let curve = profile_curve(&points);
    if let Some(curve) = &curve {
        c.line(&frame.path(&curve.points()), colour, 2)?;
    }
    let place = |p: &ProfilePoint| frame.at(p.params.log10(), p.aggregate.ln());
    for p in &points {
        c.marker(marker, place(p), 7, colour)?;
    }
    let label = points.last().map(|last| Label {
        y: place(last).1,
        text: power_of_ten(budget.log10()),
        colour,
        marker,
    });
    Ok((label, curve))
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

/// Labels budgets beside their curves, pushed apart where the curves meet.
fn label_budgets(c: &mut Canvas<'_>, frame: &Frame, mut labels: Vec<Label>) -> Drawn {
    labels.sort_by_key(|l| l.y);
    let mut free = frame.top + 12;
    for label in &mut labels {
        label.y = label.y.max(free);
        free = label.y + 30;
    }
    // Many budgets that end together would run off the page; the whole column moves up instead.
    let overflow = (free - 30 - frame.bottom).max(0);
    let head = (frame.right + 20, frame.top - 22);
    c.text("budget", head, 22, HPos::Left, false)?;
    for label in &labels {
        let y = label.y - overflow;
        c.marker(label.marker, (frame.right + 30, y), 7, label.colour)?;
        c.text(&label.text, (frame.right + 48, y), 22, HPos::Left, false)?;
    }
    Ok(())
}

fn legend(c: &mut Canvas<'_>, frame: &Frame) -> Drawn {
    let row = frame.bottom + 130;
    c.marker(Marker::Circle, (frame.left + 20, row), 7, series(0).0)?;
    let x = c.legend(frame.left + 40, row, "run (shape by budget)")?;
    c.line(&[(x, row), (x + 50, row)], series(0).0, 2)?;
    let x = c.legend(x + 60, row, "local polynomial")?;
    c.dashed(&[(x, row), (x + 80, row)], BLACK, 3, 12, 8)?;
    c.marker(Marker::Star, (x + 40, row), 12, BLACK)?;
    c.legend(x + 90, row, "smoothed optimum")?;
    Ok(())
}

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
        // Coordinates are whole pixels: more points would show their rounding.
        (0..=24)
            .map(|k| self.low + (self.high - self.low) * f64::from(k) / 24.0)
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
