//! SVG drawings of an analysis: the ratio against compute, size profiles with the frontier, a
//! forest of exponents, and the panel of optimum rules.
//!
//! Colours are those of Okabe and Ito, distinguishable with every common colour blindness; marker
//! shapes and dashes repeat what they say, so that a drawing survives a black-and-white printer.
//! Layout is by hand on plotters' drawing primitives, because text cannot be measured without a
//! font: every label has a place that its neighbours do not reach.
//!
//! # References
//! M. Okabe, K. Ito (2008), *Color Universal Design*.

use std::fmt;

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{
    BLACK, Color, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle,
    WHITE,
};

use super::{flag_name, interval_of, number, p_phrase, signed};
use crate::fit::LinearFit;
use crate::fit::{
    Analysis, Axis, CorpusReport, Estimate, Flag, ProfilePoint, RelativeLaw, Verdict,
};

/// Why a drawing was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlotError {
    /// The analysis holds nothing of this kind.
    Nothing {
        /// What there is none of.
        what: String,
    },
    /// The drawing library failed.
    Backend {
        /// What it said.
        reason: String,
    },
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { what } => write!(f, "nothing to draw: no {what}"),
            Self::Backend { reason } => write!(f, "the drawing failed: {reason}"),
        }
    }
}

impl std::error::Error for PlotError {}

type Drawn = Result<(), PlotError>;

/// Every drawing that `analysis` allows, as (file name, SVG text): `ratio-…` and `rules-…` per law,
/// `ratios-…`, `profiles-…` and `forest-…` per corpus.
///
/// # Errors
/// [`PlotError::Backend`] when the drawing library fails.
pub fn all(analysis: &Analysis) -> Result<Vec<(String, String)>, PlotError> {
    let mut files = Vec::new();
    let mut add = |parts: &[&str], svg: Result<String, PlotError>| match svg {
        Ok(svg) => {
            files.push((file_name(parts), svg));
            Ok(())
        }
        Err(PlotError::Nothing { .. }) => Ok(()),
        Err(error) => Err(error),
    };
    for corpus in &analysis.corpora {
        add(&["profiles", &corpus.corpus], profiles(corpus))?;
        add(
            &["forest", &corpus.corpus],
            forest(analysis, &corpus.corpus),
        )?;
        add(
            &["ratios", &corpus.corpus],
            ratios(analysis, &corpus.corpus),
        )?;
    }
    for law in &analysis.laws {
        add(
            &["ratio", &law.corpus, &law.treatment],
            ratio(analysis, law),
        )?;
        add(
            &["rules", &law.corpus, &law.treatment],
            rules(analysis, law),
        )?;
    }
    // Names that differ only in what a file name cannot hold must not overwrite each other.
    for k in 1..files.len() {
        let (before, from) = files.split_at_mut(k);
        if before.iter().any(|b| b.0 == from[0].0) {
            from[0].0 = format!("{}-{k}.svg", from[0].0.trim_end_matches(".svg"));
        }
    }
    Ok(files)
}

fn file_name(parts: &[&str]) -> String {
    let safe = |c: char| {
        if c.is_alphanumeric() || "._+-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: Vec<String> = parts
        .iter()
        .map(|part| part.chars().map(safe).take(80).collect())
        .collect();
    format!("{}.svg", name.join("-"))
}

/// The ratio G against scale with the fitted law, its interval at each scale, the band over all
/// scales, parity where it is near, and the verdict.
///
/// # Errors
/// [`PlotError::Nothing`] when the law has no readings.
pub fn ratio(analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
    let readings = &law.readings;
    let values = || {
        let band = law.band.iter();
        readings
            .iter()
            .map(|r| r.log_ratio)
            .chain(band.flat_map(|b| [b.lower.ln(), b.upper.ln()]))
            .filter(|v| v.is_finite())
    };
    let scales = || {
        let band = law.band.iter().map(|b| b.scale.log10());
        readings.iter().map(|r| r.scale.log10()).chain(band)
    };
    if readings.is_empty() {
        return Err(PlotError::Nothing {
            what: "readings".to_owned(),
        });
    }
    // Simultaneous bands may be far wider than the data: they widen the frame at most by half.
    let inner = Span::of(values());
    let outer = Span::of(law.band.iter().flat_map(|b| {
        [b.simultaneous_lower.ln(), b.simultaneous_upper.ln()]
            .into_iter()
            .filter(|v| v.is_finite())
    }));
    let room = 0.5 * inner.length();
    let mut y = Span {
        low: outer.low.max(inner.low - room).min(inner.low),
        high: outer.high.min(inner.high + room).max(inner.high),
    };
    // Parity belongs in the picture when it is close to it.
    if y.low > 0.0 && y.low < 0.6 * y.length() {
        y.low = 0.0;
    } else if y.high < 0.0 && -y.high < 0.6 * y.length() {
        y.high = 0.0;
    }

    let d = &law.delta_beta;
    let title = shorten(
        &format!(
            "{}: {} relative to {}",
            law.corpus, law.treatment, law.baseline
        ),
        84,
    );
    let mut notes = vec![
        format!(
            "{} · Δβ = {} {} per nat · {:+.2} % per decade",
            said(law),
            signed(d.value),
            interval_of(d.lower, d.upper),
            law.percent_per_decade.value,
        ),
        format!(
            "γ = {} at {} · {}, by Holm {} · {} readings",
            number(law.gamma.value),
            power_of_ten(law.reference_flops.log10()),
            p_phrase(d.p_value),
            p_phrase(law.holm_p),
            readings.len(),
        ),
    ];
    if !law.flags.is_empty() {
        let names: Vec<String> = law.flags.iter().map(|f| flag_name(*f)).collect();
        notes.extend(wrap(&format!("flags: {}", names.join(", ")), 110));
    }
    let top = header_height(notes.len());
    let frame = Frame {
        left: 170,
        right: 1460,
        top,
        bottom: top + 660,
        x: Span::of(scales()).padded(0.04),
        y: y.padded(0.06),
    };
    drawing(1500, frame.bottom + 170, |c| {
        c.header(&title, &notes)?;
        frame.log_x_axis(c, axis_label(analysis.options.axis))?;
        frame.ratio_y_axis(
            c,
            &format!(
                "G = E({}) / E({})",
                shorten(&law.treatment, 24),
                shorten(&law.baseline, 24)
            ),
        )?;
        let ends = |f: &dyn Fn(&crate::fit::BandPoint) -> f64| -> Vec<(f64, f64)> {
            law.band
                .iter()
                .map(|b| (b.scale.log10(), f(b).ln()))
                .filter(|p| p.1.is_finite())
                .collect()
        };
        let mut area = ends(&|b| b.lower);
        area.extend(ends(&|b| b.upper).into_iter().rev());
        c.area(&frame.path(&area), SKY, 0.35)?;
        for edge in [
            ends(&|b| b.simultaneous_lower),
            ends(&|b| b.simultaneous_upper),
        ] {
            c.dashed(&frame.clipped(&edge), BLUE, 2, 12, 8)?;
        }
        if frame.y.holds(0.0) {
            let line = [(frame.x.low, 0.0), (frame.x.high, 0.0)];
            c.dashed(&frame.path(&line), BLACK, 2, 3, 7)?;
        }
        // Straight in these coordinates, so its ends are all of it.
        let law_line = ends(&|b| b.ratio);
        if let [first, .., last] = law_line.as_slice() {
            c.line(&frame.path(&[*first, *last]), BLUE, 4)?;
        }
        for r in readings {
            c.marker(
                Marker::Circle,
                frame.at(r.scale.log10(), r.log_ratio),
                9,
                VERMILION,
            )?;
        }
        let row = frame.bottom + 130;
        let mut x = frame.left;
        c.marker(Marker::Circle, (x + 20, row), 9, VERMILION)?;
        x = c.legend(x + 40, row, "reading")?;
        c.line(&[(x, row), (x + 50, row)], BLUE, 4)?;
        x = c.legend(x + 60, row, "law")?;
        c.area(
            &[
                (x, row - 12),
                (x + 50, row - 12),
                (x + 50, row + 12),
                (x, row + 12),
            ],
            SKY,
            0.35,
        )?;
        x = c.legend(x + 60, row, "interval at each scale")?;
        c.dashed(&[(x, row), (x + 52, row)], BLUE, 2, 12, 8)?;
        x = c.legend(x + 60, row, "band over all scales")?;
        if frame.y.holds(0.0) {
            c.dashed(&[(x, row), (x + 52, row)], BLACK, 2, 3, 7)?;
            c.legend(x + 60, row, "parity, G = 1")?;
        }
        Ok(())
    })
}

/// The ratios of all treatments of a corpus in small panels. Every panel spans the same range of
/// `ln G`, so that slopes can be compared by eye.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no laws.
pub fn ratios(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    const PANEL: (i32, i32) = (300, 250);
    const STEP: (i32, i32) = (420, 390);
    let laws: Vec<&RelativeLaw> = analysis
        .laws
        .iter()
        .filter(|l| l.corpus == corpus && !l.readings.is_empty())
        .collect();
    let Some(first) = laws.first() else {
        return Err(PlotError::Nothing {
            what: "laws of the corpus".to_owned(),
        });
    };
    let values = |law: &RelativeLaw| {
        let band = law
            .band
            .iter()
            .flat_map(|b| [b.lower.ln(), b.upper.ln()])
            .collect::<Vec<_>>();
        Span::of(law.readings.iter().map(|r| r.log_ratio).chain(band))
    };
    // Readings are all shown; an interval far wider than they are leaves the panel.
    let longest =
        |of: &dyn Fn(&RelativeLaw) -> f64| laws.iter().map(|l| of(l)).fold(0.02, f64::max);
    let data = longest(&|l| Span::of(l.readings.iter().map(|r| r.log_ratio)).length());
    let half = 0.55 * longest(&|l| values(l).length()).min(2.0 * data);
    let x = Span::of(laws.iter().flat_map(|l| {
        let readings = l.readings.iter().map(|r| r.scale.log10());
        readings.chain(l.band.iter().map(|b| b.scale.log10()))
    }))
    .padded(0.04);
    // As wide as tall, up to what fits a page.
    let columns = (1..4).find(|n| n * n >= laws.len()).unwrap_or(4);
    let rows = laws.len().div_ceil(columns) as i32;
    let width = (columns as i32 * STEP.0 + 60).max(1100);
    let notes = format!(
        "G = E / E of {} against {}; line: G = γ·F^Δβ, shaded: its {:.0} % interval; every panel \
         spans the same factor of G; dotted: G = 1",
        shorten(&first.baseline, 30),
        axis_label(analysis.options.axis),
        100.0 * (1.0 - analysis.options.alpha)
    );
    // Letters of a note are up to 14 pixels wide.
    let notes = wrap(&notes, ((width - 80) / 14) as usize);
    let top = header_height(notes.len()) + 70;
    drawing(width, top + rows * STEP.1 - 20, |c| {
        let title = shorten(&format!("{corpus}: how the gaps evolve"), 54);
        c.header(&title, &notes)?;
        for (k, law) in laws.iter().enumerate() {
            let span = Span::of(law.readings.iter().map(|r| r.log_ratio));
            let middle = (span.low + span.high) / 2.0;
            let left = 110 + (k % columns) as i32 * STEP.0;
            let top = top + (k / columns) as i32 * STEP.1;
            let frame = Frame {
                left,
                right: left + PANEL.0,
                top,
                bottom: top + PANEL.1,
                x,
                y: Span {
                    low: middle - half,
                    high: middle + half,
                },
            };
            let at_chance = is_at_chance(law);
            let (colour, marker) = verdict_style(shown(law));
            let name = shorten(&law.treatment, 24);
            c.text(&name, (left, top - 48), 24, HPos::Left, true)?;
            // An exponent there would be read as a finding.
            let note = match at_chance {
                true => format!("{}: no law", said(law)),
                false => format!("Δβ = {} · {}", signed(law.delta_beta.value), said(law)),
            };
            c.text(&note, (left, top - 20), 20, HPos::Left, false)?;
            let mut area: Vec<(f64, f64)> = law
                .band
                .iter()
                .map(|b| (b.scale.log10(), b.lower.ln()))
                .collect();
            area.extend(
                law.band
                    .iter()
                    .rev()
                    .map(|b| (b.scale.log10(), b.upper.ln())),
            );
            area.retain(|p| p.1.is_finite());
            if !at_chance {
                c.area(&frame.clipped(&area), colour, 0.25)?;
            }
            if frame.y.holds(0.0) {
                let parity = [(frame.x.low, 0.0), (frame.x.high, 0.0)];
                c.dashed(&frame.path(&parity), BLACK, 2, 3, 7)?;
            }
            if let [first, .., last] = law.band.as_slice()
                && !at_chance
            {
                let ends = [first, last].map(|b| (b.scale.log10(), b.ratio.ln()));
                c.line(&frame.clipped(&ends), colour, 3)?;
            }
            for r in &law.readings {
                c.marker(marker, frame.at(r.scale.log10(), r.log_ratio), 7, colour)?;
            }
            frame.small_axes(c)?;
        }
        Ok(())
    })
}

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
    budgets.sort_by(f64::total_cmp);
    budgets.dedup();
    if budgets.is_empty() {
        return Err(PlotError::Nothing {
            what: "profiles".to_owned(),
        });
    }
    let mut title = format!(
        "{}: loss profiles and the compute-optimal frontier",
        corpus.corpus
    );
    title = shorten(&title, 84);
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
    let spread = corpus.profiles.iter().map(|p| p.aggregate.ln());
    let frame = Frame {
        left: 170,
        right: 1270,
        top,
        bottom: top + 720,
        x: Span::of(corpus.profiles.iter().map(|p| p.params.log10())).padded(0.04),
        y: Span::of(spread).padded(0.06),
    };
    drawing(1500, frame.bottom + 170, |c| {
        c.header(&title, &notes)?;
        frame.log_x_axis(c, "parameters N")?;
        frame.ratio_y_axis(c, "aggregate loss")?;
        let mut labels = Vec::new();
        let mut optimum = Vec::new();
        for (k, budget) in budgets.iter().enumerate() {
            let (colour, marker) = series(k);
            let mut points: Vec<&ProfilePoint> = corpus
                .profiles
                .iter()
                .filter(|p| p.budget == *budget)
                .collect();
            points.sort_by(|a, b| a.params.total_cmp(&b.params));
            let curve = profile_curve(&points);
            if let Some(curve) = &curve {
                c.line(&frame.path(&curve.points()), colour, 2)?;
            }
            for p in &points {
                c.marker(
                    marker,
                    frame.at(p.params.log10(), p.aggregate.ln()),
                    7,
                    colour,
                )?;
            }
            if let Some(last) = points.last() {
                let at = frame.at(last.params.log10(), last.aggregate.ln());
                labels.push((at.1, power_of_ten(budget.log10()), colour, marker));
            }
            // Frontiers list the budgets that were read, in the order of their scales.
            let read = corpus
                .scales
                .iter()
                .zip(&frontier.smoothed)
                .find(|(scale, _)| (**scale / budget).ln().abs() < 0.05);
            if let (Some((_, size)), Some(curve)) = (read, &curve) {
                optimum.push((size.log10(), curve.at(size.log10())));
            }
        }
        c.dashed(&frame.clipped(&optimum), BLACK, 3, 12, 8)?;
        for (x, y) in &optimum {
            if frame.y.holds(*y) && frame.x.holds(*x) {
                c.marker(Marker::Star, frame.at(*x, *y), 12, BLACK)?;
            }
        }
        // Budgets are labelled beside their curves, pushed apart where the curves meet.
        labels.sort_by_key(|l| l.0);
        let mut free = frame.top + 12;
        let heights: Vec<i32> = labels
            .iter()
            .map(|l| {
                let y = l.0.max(free);
                free = y + 30;
                y
            })
            .collect();
        let overflow = (free - 30 - frame.bottom).max(0);
        c.text(
            "budget",
            (frame.right + 20, frame.top - 22),
            22,
            HPos::Left,
            false,
        )?;
        for (label, y) in labels.iter().zip(heights) {
            let y = y - overflow;
            c.marker(label.3, (frame.right + 30, y), 7, label.2)?;
            c.text(&label.1, (frame.right + 48, y), 22, HPos::Left, false)?;
        }
        let row = frame.bottom + 130;
        c.marker(Marker::Circle, (frame.left + 20, row), 7, series(0).0)?;
        let x = c.legend(frame.left + 40, row, "run (shape by budget)")?;
        c.line(&[(x, row), (x + 50, row)], series(0).0, 2)?;
        let x = c.legend(x + 60, row, "local polynomial")?;
        c.dashed(&[(x, row), (x + 80, row)], BLACK, 3, 12, 8)?;
        c.marker(Marker::Star, (x + 40, row), 12, BLACK)?;
        c.legend(x + 90, row, "smoothed optimum")?;
        Ok(())
    })
}

/// Δβ of every treatment of `corpus` with its interval, over the margin of equivalence.
///
/// # Errors
/// [`PlotError::Nothing`] when the corpus has no laws.
pub fn forest(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    let laws: Vec<&RelativeLaw> = analysis
        .laws
        .iter()
        .filter(|l| l.corpus == corpus)
        .collect();
    let Some(first) = laws.first() else {
        return Err(PlotError::Nothing {
            what: format!("laws of corpus {corpus}"),
        });
    };
    let rows: Vec<Row> = laws
        .iter()
        .map(|law| Row {
            label: law.treatment.clone(),
            estimate: law.delta_beta,
            inner: Some(law.delta_beta_fixed_items),
            verdict: shown(law),
            note: match is_at_chance(law) {
                true => said(law).to_owned(),
                false => format!("{} · {}", said(law), p_phrase(law.holm_p)),
            },
            strong: false,
        })
        .collect();
    row_plot(
        &format!("{corpus}: relative exponents against {}", first.baseline),
        &[
            "Δβ > 0: the ratio grows with scale; verdicts are about the gap |ln G|".to_owned(),
            "thin: interval over items and runs; thick: these items; shaded: margin; p by Holm"
                .to_owned(),
        ],
        &rows,
        first.equivalence.margin,
    )
}

/// Δβ of the treatments of `corpus` against their covariate, with intervals and the fitted slope.
///
/// # Errors
/// [`PlotError::Nothing`] when fewer than two treatments have a covariate.
pub fn covariate(analysis: &Analysis, corpus: &str, label: &str) -> Result<String, PlotError> {
    let mut points: Vec<(f64, &RelativeLaw)> = analysis
        .laws
        .iter()
        .filter(|l| l.corpus == corpus && l.delta_beta.value.is_finite())
        .filter_map(|l| Some((*analysis.options.covariate.get(&l.treatment)?, l)))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let slope = analysis.covariate.iter().find(|s| s.corpus == corpus);
    let (Some(slope), true) = (slope, points.len() >= 2) else {
        return Err(PlotError::Nothing {
            what: format!("covariate in corpus {corpus}"),
        });
    };
    let mut notes = vec![format!(
        "slope {} {} for these distributions",
        signed(slope.fixed.value),
        interval_of(slope.fixed.lower, slope.fixed.upper)
    )];
    if let Some(sample) = slope.sample {
        notes.push(format!(
            "slope {} {} with distributions as a sample{}",
            signed(sample.value),
            interval_of(sample.lower, sample.upper),
            slope
                .permutation_p
                .map_or(String::new(), |p| format!("; permutation {}", p_phrase(p)))
        ));
    }
    let top = header_height(notes.len());
    let ends = points.iter().flat_map(|(_, l)| {
        [
            l.delta_beta.lower,
            l.delta_beta.upper,
            l.delta_beta.value,
            0.0,
        ]
    });
    let mut x = Span::of(points.iter().map(|p| p.0)).padded(0.08);
    // Labels stand to the right of their points.
    x.high += 0.2 * x.length();
    let frame = Frame {
        left: 170,
        right: 1200,
        top,
        bottom: top + 640,
        x,
        y: Span::of(ends).padded(0.05),
    };
    let title = format!("{corpus}: exponents against {}", analysis.options.baseline);
    drawing(1300, frame.bottom + 110, |c| {
        c.header(&shorten(&title, 76), &notes)?;
        frame.linear_x_axis(c, label)?;
        let ticks = frame.y.ticks(7.0);
        let digits = digits_for(&ticks);
        for v in &ticks {
            let (_, y) = frame.at(frame.x.low, *v);
            c.line(&[(frame.left - 10, y), (frame.left, y)], FRAME_GREY, 2)?;
            let text = format!("{v:+.digits$}");
            c.text(&text, (frame.left - 18, y), 22, HPos::Right, false)?;
        }
        c.sideways("Δβ per nat", (38, (frame.top + frame.bottom) / 2), 24)?;
        c.line(
            &frame.path(&[(frame.x.low, 0.0), (frame.x.high, 0.0)]),
            BLACK,
            1,
        )?;
        let n = points.len() as f64;
        let mean_z = points.iter().map(|p| p.0).sum::<f64>() / n;
        let mean = points.iter().map(|p| p.1.delta_beta.value).sum::<f64>() / n;
        let (first, last) = (points[0].0, points[points.len() - 1].0);
        let line = [first, last].map(|z| (z, mean + slope.fixed.value * (z - mean_z)));
        c.dashed(&frame.clipped(&line), FRAME_GREY, 3, 14, 8)?;
        // Labels, from the top: one that would touch its predecessor moves down.
        let mut labels: Vec<((i32, i32), &str)> = Vec::new();
        for (z, law) in &points {
            let (colour, marker) = verdict_style(shown(law));
            let d = &law.delta_beta;
            let bar = frame.clipped(&[(*z, d.lower), (*z, d.upper)]);
            c.line(&bar, colour, 3)?;
            let at = frame.at(*z, d.value);
            c.marker(marker, at, 10, colour)?;
            labels.push((at, law.treatment.as_str()));
        }
        labels.sort_by_key(|l| l.0.1);
        let mut placed: Vec<(i32, i32, i32)> = Vec::new();
        for ((x, y), text) in labels {
            let text = shorten(text, 24);
            let (left, right) = (x + 18, x + 18 + 13 * text.chars().count() as i32);
            let mut y = y;
            for &(l, r, before) in &placed {
                if left < r && l < right && y < before + 24 {
                    y = before + 24;
                }
            }
            placed.push((left, right, y));
            c.text(&text, (left, y), 22, HPos::Left, false)?;
        }
        Ok(())
    })
}

/// Δβ of one law under every rule of reading the optimum, with what flips.
///
/// # Errors
/// [`PlotError::Nothing`] when the law has no panel.
pub fn rules(analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
    if law.optimum_panel.len() < 2 {
        return Err(PlotError::Nothing {
            what: "other rules of reading".to_owned(),
        });
    }
    let rows: Vec<Row> = law
        .optimum_panel
        .iter()
        .map(|rule| {
            let mut note = verdict_name(rule.verdict).to_owned();
            if rule.main {
                note.push_str(" (headline rule)");
            }
            if rule.sign_flips {
                note.push_str(" · SIGN FLIPS");
            } else if rule.verdict_flips {
                note.push_str(" · VERDICT FLIPS");
            }
            Row {
                label: rule.rule.replace('_', " "),
                estimate: rule.delta_beta,
                inner: None,
                verdict: rule.verdict,
                note,
                strong: rule.main,
            }
        })
        .collect();
    row_plot(
        &format!(
            "{}: {} relative to {}, by rule of reading",
            law.corpus, law.treatment, law.baseline
        ),
        &[format!(
            "{:.0} % intervals from runs and frontier only; shaded: margin of equivalence",
            100.0 * (1.0 - analysis.options.alpha)
        )],
        &rows,
        law.equivalence.margin,
    )
}

/// One line of a forest.
struct Row {
    label: String,
    estimate: Estimate,
    inner: Option<Estimate>,
    verdict: Verdict,
    note: String,
    strong: bool,
}

fn row_plot(title: &str, notes: &[String], rows: &[Row], margin: f64) -> Result<String, PlotError> {
    const STEP: i32 = 40;
    let widest = |f: &dyn Fn(&Row) -> usize| rows.iter().map(f).max().unwrap_or(0) as i32;
    // 0.58 em per character is wide for every common sans-serif.
    let label = (widest(&|r| r.label.chars().count().min(40)) * 13 + 40).max(140);
    let note = widest(&|r| r.note.chars().count()) * 13 + 20;
    let numbers = 31 * 13 + 20;
    let top = header_height(notes.len()) + 30;
    // One hopeless interval must not squash the rest: the frame reaches 1.6 times the ninetieth
    // percentile of the ends, and what lies outside ends in an arrow.
    let mut ends: Vec<f64> = rows
        .iter()
        .flat_map(|r| {
            [
                r.estimate.lower.abs(),
                r.estimate.upper.abs(),
                r.estimate.value.abs(),
            ]
        })
        .filter(|v| v.is_finite())
        .collect();
    ends.sort_by(f64::total_cmp);
    let usual = ends
        .get(ends.len().saturating_sub(1) * 9 / 10)
        .copied()
        .unwrap_or(0.0);
    let reach = (1.6 * usual)
        .min(ends.last().copied().unwrap_or(0.0))
        .max(1.5 * margin);
    let sided = |f: &dyn Fn(f64, f64) -> f64, start: f64| {
        rows.iter()
            .flat_map(|r| [r.estimate.lower, r.estimate.upper])
            .filter(|v| v.is_finite())
            .map(|v| v.clamp(-reach, reach))
            .fold(start, f)
    };
    let frame = Frame {
        left: label,
        right: label + 620,
        top,
        bottom: top + STEP * rows.len() as i32 + 10,
        x: Span {
            low: sided(&f64::min, -1.2 * margin),
            high: sided(&f64::max, 1.2 * margin),
        }
        .padded(0.04),
        y: Span {
            low: 0.0,
            high: 1.0,
        },
    };
    let width = (frame.right + 20 + numbers + note).max(title.chars().count() as i32 * 18 + 60);
    drawing(width, frame.bottom + 110, |c| {
        c.header(title, notes)?;
        let head = frame.top - 20;
        c.text(
            "Δβ per nat [interval]",
            (frame.right + 20, head),
            20,
            HPos::Left,
            false,
        )?;
        c.text(
            "verdict",
            (frame.right + 20 + numbers, head),
            20,
            HPos::Left,
            false,
        )?;
        let x = |v: f64| frame.at(v, 0.0).0;
        let (low, high) = (x((-margin).max(frame.x.low)), x(margin.min(frame.x.high)));
        c.area(
            &[
                (low, frame.top),
                (high, frame.top),
                (high, frame.bottom),
                (low, frame.bottom),
            ],
            GREY,
            0.3,
        )?;
        frame.linear_x_axis(c, "Δβ per nat")?;
        c.line(&[(x(0.0), frame.top), (x(0.0), frame.bottom)], BLACK, 2)?;
        for (k, row) in rows.iter().enumerate() {
            let y = frame.top + STEP * k as i32 + STEP / 2 + 5;
            let (colour, marker) = verdict_style(row.verdict);
            c.text(
                &shorten(&row.label, 40),
                (label - 18, y),
                22,
                HPos::Right,
                row.strong,
            )?;
            let e = &row.estimate;
            c.interval(&frame, e.lower, e.upper, y, colour, 3)?;
            if let Some(inner) = &row.inner {
                c.interval(&frame, inner.lower, inner.upper, y, colour, 8)?;
            }
            if frame.x.holds(e.value) {
                c.marker(marker, (x(e.value), y), 10, colour)?;
            }
            let numbers_at = (frame.right + 20, y);
            let text = format!("{} {}", signed(e.value), interval_of(e.lower, e.upper));
            c.text(&text, numbers_at, 22, HPos::Left, row.strong)?;
            c.text(
                &row.note,
                (frame.right + 20 + numbers, y),
                22,
                HPos::Left,
                row.strong,
            )?;
        }
        Ok(())
    })
}

// Okabe and Ito's colours, and a grey for areas.
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const SKY: RGBColor = RGBColor(86, 180, 233);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const PURPLE: RGBColor = RGBColor(204, 121, 167);
const GREY: RGBColor = RGBColor(150, 150, 150);
const FRAME_GREY: RGBColor = RGBColor(90, 90, 90);

#[derive(Debug, Clone, Copy)]
enum Marker {
    Circle,
    Ring,
    Square,
    Up,
    Down,
    Diamond,
    Cross,
    Plus,
    Star,
}

/// Colour and shape of the k-th series.
fn series(k: usize) -> (RGBColor, Marker) {
    const COLOURS: [RGBColor; 6] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY];
    const MARKERS: [Marker; 8] = [
        Marker::Circle,
        Marker::Square,
        Marker::Up,
        Marker::Diamond,
        Marker::Down,
        Marker::Ring,
        Marker::Cross,
        Marker::Plus,
    ];
    (COLOURS[k % COLOURS.len()], MARKERS[k % MARKERS.len()])
}

fn verdict_style(verdict: Verdict) -> (RGBColor, Marker) {
    match verdict {
        Verdict::Widens => (VERMILION, Marker::Up),
        Verdict::Narrows => (BLUE, Marker::Down),
        Verdict::Persists => (GREEN, Marker::Square),
        Verdict::Negligible => (SKY, Marker::Diamond),
        Verdict::CrossesParity => (PURPLE, Marker::Cross),
        Verdict::NoGap => (FRAME_GREY, Marker::Plus),
        Verdict::Inconclusive => (FRAME_GREY, Marker::Ring),
    }
}

/// Whether an error of the law is no better than a guess: whatever was fitted, there is no law.
fn is_at_chance(law: &RelativeLaw) -> bool {
    law.flags.contains(&Flag::PreOnset)
}

/// The verdict whose colour and marker the law has.
fn shown(law: &RelativeLaw) -> Verdict {
    match is_at_chance(law) {
        true => Verdict::Inconclusive,
        false => law.verdict,
    }
}

/// What a drawing says of the law.
fn said(law: &RelativeLaw) -> &'static str {
    match is_at_chance(law) {
        true => "at chance",
        false => verdict_name(law.verdict),
    }
}

fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NoGap => "no gap",
        Verdict::CrossesParity => "crosses parity",
        other => other.as_str(),
    }
}

fn axis_label(axis: Axis) -> &'static str {
    match axis {
        Axis::Flops => "compute F (FLOPs)",
        Axis::Params => "parameters",
        Axis::Tokens => "training tokens",
    }
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

/// An interval of data coordinates.
#[derive(Debug, Clone, Copy)]
struct Span {
    low: f64,
    high: f64,
}

impl Span {
    fn of(values: impl Iterator<Item = f64>) -> Self {
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

    fn length(self) -> f64 {
        self.high - self.low
    }

    fn holds(self, v: f64) -> bool {
        self.low <= v && v <= self.high
    }

    /// Wider by `share` on both sides; a point becomes an interval.
    fn padded(self, share: f64) -> Self {
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
    fn ticks(self, count: f64) -> Vec<f64> {
        let raw = self.length() / count;
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|s| *s >= raw * (1.0 - 1e-9))
            .unwrap_or(10.0 * power);
        if !(step > 0.0 && step.is_finite()) {
            return vec![self.low];
        }
        let first = (self.low / step - 1e-9).ceil();
        (0..50)
            .map(|k| (first + f64::from(k)) * step)
            .take_while(|v| *v <= self.high + 1e-9 * step)
            .map(|v| if v.abs() < 1e-9 * step { 0.0 } else { v })
            .collect()
    }
}

/// The plotting area in pixels and in data.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
    x: Span,
    y: Span,
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> (i32, i32) {
        let share = |v: f64, s: Span| ((v - s.low) / s.length()).clamp(-10.0, 11.0);
        let width = f64::from(self.right - self.left);
        let height = f64::from(self.bottom - self.top);
        (
            self.left + (share(x, self.x) * width).round() as i32,
            self.bottom - (share(y, self.y) * height).round() as i32,
        )
    }

    fn path(&self, points: &[(f64, f64)]) -> Vec<(i32, i32)> {
        points.iter().map(|(x, y)| self.at(*x, *y)).collect()
    }

    /// The points inside the frame, those outside moved to its edge.
    fn clipped(&self, points: &[(f64, f64)]) -> Vec<(i32, i32)> {
        points
            .iter()
            .map(|(x, y)| {
                self.at(
                    x.clamp(self.x.low, self.x.high),
                    y.clamp(self.y.low, self.y.high),
                )
            })
            .collect()
    }

    fn border(&self, c: &mut Canvas<'_>) -> Drawn {
        let corners = [
            (self.left, self.top),
            (self.right, self.top),
            (self.right, self.bottom),
            (self.left, self.bottom),
            (self.left, self.top),
        ];
        c.line(&corners, FRAME_GREY, 2)
    }

    fn x_ticks(&self, c: &mut Canvas<'_>, label: &str, ticks: &[(f64, String)]) -> Drawn {
        self.border(c)?;
        for (v, text) in ticks {
            let (x, _) = self.at(*v, 0.0);
            c.line(&[(x, self.bottom), (x, self.bottom + 10)], FRAME_GREY, 2)?;
            c.text(text, (x, self.bottom + 30), 22, HPos::Center, false)?;
        }
        let middle = (self.left + self.right) / 2;
        c.text(label, (middle, self.bottom + 74), 24, HPos::Center, false)
    }

    /// Powers of ten, or round multiples where the axis spans less than two.
    fn log_x_axis(&self, c: &mut Canvas<'_>, label: &str) -> Drawn {
        let decades: Vec<f64> = (self.x.low.ceil() as i32..=self.x.high.floor() as i32)
            .map(f64::from)
            .collect();
        let multiples: &[f64] = match decades.len() {
            0..=1 => &[1.0, 2.0, 3.0, 5.0],
            2 => &[1.0, 3.0],
            _ => &[1.0],
        };
        let every = decades.len().div_ceil(10).max(1) as i32;
        let mut ticks = Vec::new();
        for decade in self.x.low.floor() as i32..=self.x.high.floor() as i32 {
            if decade % every != 0 {
                continue;
            }
            for m in multiples {
                let v = f64::from(decade) + m.log10();
                if self.x.holds(v) {
                    ticks.push((v, power_of_ten(v)));
                }
            }
        }
        self.x_ticks(c, label, &ticks)
    }

    fn linear_x_axis(&self, c: &mut Canvas<'_>, label: &str) -> Drawn {
        let values = self.x.ticks(5.0);
        let digits = digits_for(&values);
        let ticks: Vec<(f64, String)> = values
            .iter()
            .map(|v| (*v, format!("{v:+.digits$}")))
            .map(|(v, text)| (v, if v == 0.0 { "0".to_owned() } else { text }))
            .collect();
        self.x_ticks(c, label, &ticks)
    }

    /// The ratios along the y axis, which holds their natural logarithms; kept finite.
    fn ratios(&self) -> Span {
        let ratio = |log: f64| log.clamp(-690.0, 690.0).exp();
        Span {
            low: ratio(self.y.low),
            high: ratio(self.y.high),
        }
    }

    /// The axes of a small panel: powers of ten below, three or four values of the ratio beside.
    fn small_axes(&self, c: &mut Canvas<'_>) -> Drawn {
        self.border(c)?;
        for decade in self.x.low.ceil() as i32..=self.x.high.floor() as i32 {
            let v = f64::from(decade);
            let (x, _) = self.at(v, 0.0);
            c.line(&[(x, self.bottom), (x, self.bottom + 7)], FRAME_GREY, 2)?;
            c.text(
                &power_of_ten(v),
                (x, self.bottom + 24),
                18,
                HPos::Center,
                false,
            )?;
        }
        let values = self.ratios();
        let ticks = values.ticks(5.0);
        let digits = digits_for(&ticks);
        for v in ticks.iter().filter(|v| **v > 0.0) {
            let (_, y) = self.at(self.x.low, v.ln());
            c.line(&[(self.left - 7, y), (self.left, y)], FRAME_GREY, 2)?;
            c.text(
                &format!("{v:.digits$}"),
                (self.left - 12, y),
                18,
                HPos::Right,
                false,
            )?;
        }
        Ok(())
    }

    /// A logarithmic axis (y holds natural logarithms) ticked at round values.
    fn ratio_y_axis(&self, c: &mut Canvas<'_>, label: &str) -> Drawn {
        let values = self.ratios();
        // Very many decades get every so many of them.
        let mut every = 1;
        let ticks = if values.high > 20.0 * values.low {
            // Several decades: round multiples of powers of ten.
            let low = values.low.log10().floor() as i32;
            let high = values.high.log10().ceil() as i32;
            every = ((high - low) / 8).max(1);
            let multiples: &[f64] = if every == 1 { &[1.0, 3.0] } else { &[1.0] };
            (low..=high)
                .filter(|d| d % every == 0)
                .flat_map(|d| multiples.iter().map(move |m| m * 10_f64.powi(d)))
                .filter(|v| values.holds(*v))
                .collect()
        } else {
            values.ticks(7.0)
        };
        let digits = digits_for(&ticks);
        for v in ticks.iter().filter(|v| **v > 0.0) {
            let (_, y) = self.at(self.x.low, v.ln());
            c.line(&[(self.left - 10, y), (self.left, y)], FRAME_GREY, 2)?;
            let text = if every == 1 {
                format!("{v:.digits$}")
            } else {
                power_of_ten(v.log10())
            };
            c.text(&text, (self.left - 18, y), 22, HPos::Right, false)?;
        }
        c.sideways(label, (38, (self.top + self.bottom) / 2), 24)
    }
}

/// Decimals that tell neighbouring ticks apart.
fn digits_for(ticks: &[f64]) -> usize {
    let step = ticks
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(f64::INFINITY, f64::min);
    if step.is_finite() && step > 0.0 {
        (-(step * 1.000_001).log10().floor()).clamp(0.0, 9.0) as usize
    } else {
        4
    }
}

/// 10^v with a typographic exponent: `10¹⁹`, `3·10¹⁸`.
fn power_of_ten(v: f64) -> String {
    if !v.is_finite() {
        return format!("{v}");
    }
    let mut decade = (v + 1e-6).floor();
    let mut lead = 10_f64.powf(v - decade);
    if lead >= 9.95 {
        (lead, decade) = (1.0, decade + 1.0);
    }
    let exponent: String = format!("{decade}")
        .chars()
        .map(|c| match c {
            '0' => '⁰',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            _ => '⁻',
        })
        .collect();
    if (lead - 1.0).abs() < 0.005 {
        format!("10{exponent}")
    } else if (lead - lead.round()).abs() < 0.005 {
        format!("{lead:.0}·10{exponent}")
    } else {
        format!("{lead:.1}·10{exponent}")
    }
}

/// At most `limit` characters, the cut shown.
fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Lines of at most about `limit` characters, broken at spaces.
fn wrap(text: &str, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Height of a title with `lines` lines under it.
fn header_height(lines: usize) -> i32 {
    92 + 32 * lines as i32
}

fn failed(error: impl fmt::Display) -> PlotError {
    PlotError::Backend {
        reason: error.to_string(),
    }
}

/// Makes an SVG of the given size.
fn drawing(
    width: i32,
    height: i32,
    draw: impl FnOnce(&mut Canvas<'_>) -> Drawn,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let size = (width.max(1) as u32, height.max(1) as u32);
        let mut canvas = Canvas {
            backend: SVGBackend::with_string(&mut svg, size),
        };
        canvas
            .backend
            .draw_rect((0, 0), (width, height), &WHITE, true)
            .map_err(failed)?;
        draw(&mut canvas)?;
        canvas.backend.present().map_err(failed)?;
    }
    Ok(svg)
}

struct Canvas<'a> {
    backend: SVGBackend<'a>,
}

impl Canvas<'_> {
    fn header(&mut self, title: &str, notes: &[String]) -> Drawn {
        self.text(title, (40, 44), 32, HPos::Left, true)?;
        for (k, note) in notes.iter().enumerate() {
            self.text(note, (40, 88 + 32 * k as i32), 24, HPos::Left, false)?;
        }
        Ok(())
    }

    fn line(&mut self, points: &[(i32, i32)], colour: RGBColor, width: u32) -> Drawn {
        let style = ShapeStyle {
            color: colour.to_rgba(),
            filled: false,
            stroke_width: width,
        };
        self.backend
            .draw_path(points.iter().copied(), &style)
            .map_err(failed)
    }

    /// A line of dashes of `on` pixels and gaps of `off`, measured along it.
    fn dashed(
        &mut self,
        points: &[(i32, i32)],
        colour: RGBColor,
        width: u32,
        on: i32,
        off: i32,
    ) -> Drawn {
        let (on, off) = (f64::from(on), f64::from(off));
        let mut drawing_dash = true;
        let mut left = on;
        let mut dash: Vec<(i32, i32)> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let (x0, y0) = (f64::from(pair[0].0), f64::from(pair[0].1));
            let (dx, dy) = (f64::from(pair[1].0) - x0, f64::from(pair[1].1) - y0);
            let length = dx.hypot(dy);
            let mut at = 0.0;
            while length - at > left {
                at += left;
                let share = at / length;
                let here = (
                    (x0 + share * dx).round() as i32,
                    (y0 + share * dy).round() as i32,
                );
                if drawing_dash {
                    dash.push(here);
                    self.line(&dash, colour, width)?;
                }
                drawing_dash = !drawing_dash;
                left = if drawing_dash { on } else { off };
                dash = vec![here];
            }
            left -= length - at;
            if drawing_dash {
                dash.push(pair[1]);
            }
        }
        if drawing_dash && dash.len() > 1 {
            self.line(&dash, colour, width)?;
        }
        Ok(())
    }

    fn area(&mut self, points: &[(i32, i32)], colour: RGBColor, opacity: f64) -> Drawn {
        self.backend
            .fill_polygon(points.iter().copied(), &colour.mix(opacity))
            .map_err(failed)
    }

    fn marker(&mut self, marker: Marker, (x, y): (i32, i32), r: i32, colour: RGBColor) -> Drawn {
        let polygon = |points: &[(i32, i32)]| -> Vec<(i32, i32)> {
            points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect()
        };
        match marker {
            Marker::Circle => self
                .backend
                .draw_circle((x, y), r as u32, &colour, true)
                .map_err(failed),
            Marker::Ring => {
                let style = ShapeStyle {
                    color: colour.to_rgba(),
                    filled: false,
                    stroke_width: 3,
                };
                self.backend
                    .draw_circle((x, y), r as u32, &WHITE, true)
                    .map_err(failed)?;
                self.backend
                    .draw_circle((x, y), r as u32, &style, false)
                    .map_err(failed)
            }
            Marker::Square => {
                let s = r - 1;
                self.area(&polygon(&[(-s, -s), (s, -s), (s, s), (-s, s)]), colour, 1.0)
            }
            Marker::Up => {
                let s = r + 1;
                self.area(&polygon(&[(-s, s - 2), (0, -s), (s, s - 2)]), colour, 1.0)
            }
            Marker::Down => {
                let s = r + 1;
                self.area(&polygon(&[(-s, 2 - s), (0, s), (s, 2 - s)]), colour, 1.0)
            }
            Marker::Diamond => {
                let s = r + 2;
                self.area(&polygon(&[(-s, 0), (0, -s), (s, 0), (0, s)]), colour, 1.0)
            }
            Marker::Cross => {
                self.line(&polygon(&[(-r, -r), (r, r)]), colour, 4)?;
                self.line(&polygon(&[(-r, r), (r, -r)]), colour, 4)
            }
            Marker::Plus => {
                self.line(&polygon(&[(-r, 0), (r, 0)]), colour, 4)?;
                self.line(&polygon(&[(0, -r), (0, r)]), colour, 4)
            }
            Marker::Star => {
                let points: Vec<(i32, i32)> = (0..10)
                    .map(|k| {
                        let angle = std::f64::consts::PI * (f64::from(k) / 5.0 - 0.5);
                        let reach = f64::from(r) * if k % 2 == 0 { 1.0 } else { 0.45 };
                        (
                            x + (reach * angle.cos()).round() as i32,
                            y + (reach * angle.sin()).round() as i32,
                        )
                    })
                    .collect();
                self.area(&points, colour, 1.0)
            }
        }
    }

    /// A horizontal interval with ticks at its ends, or arrows where it leaves the frame.
    fn interval(
        &mut self,
        frame: &Frame,
        lower: f64,
        upper: f64,
        y: i32,
        colour: RGBColor,
        width: u32,
    ) -> Drawn {
        if lower.is_nan() || upper.is_nan() || lower > frame.x.high || upper < frame.x.low {
            return Ok(());
        }
        let x = |v: f64| frame.at(v.clamp(frame.x.low, frame.x.high), 0.0).0;
        let (left, right) = (x(lower), x(upper));
        self.line(&[(left, y), (right, y)], colour, width)?;
        for (end, at, sign) in [(lower, left, 1), (upper, right, -1)] {
            if frame.x.holds(end) {
                self.line(&[(at, y - 7), (at, y + 7)], colour, 3)?;
            } else {
                let head = [(at, y), (at + 14 * sign, y - 8), (at + 14 * sign, y + 8)];
                self.area(&head, colour, 1.0)?;
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str, at: (i32, i32), size: i32, side: HPos, bold: bool) -> Drawn {
        let style = if bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        self.styled(text, at, size, side, style, FontTransform::None)
    }

    fn sideways(&mut self, text: &str, at: (i32, i32), size: i32) -> Drawn {
        let turned = FontTransform::Rotate270;
        self.styled(text, at, size, HPos::Center, FontStyle::Normal, turned)
    }

    fn styled(
        &mut self,
        text: &str,
        at: (i32, i32),
        size: i32,
        side: HPos,
        style: FontStyle,
        transform: FontTransform,
    ) -> Drawn {
        // The backend divides the size by 1.24 to approximate a font's full height.
        let font = FontDesc::new(FontFamily::SansSerif, 1.24 * f64::from(size), style);
        let style = TextStyle::from(font.transform(transform))
            .color(&BLACK)
            .pos(Pos::new(side, VPos::Center));
        self.backend.draw_text(text, &style, at).map_err(failed)
    }

    /// Text of a legend starting at `x`; returns where the next entry may start.
    fn legend(&mut self, x: i32, y: i32, text: &str) -> Result<i32, PlotError> {
        self.text(text, (x, y), 22, HPos::Left, false)?;
        Ok(x + text.chars().count() as i32 * 12 + 40)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_ten_read_like_print() {
        assert_eq!(power_of_ten(19.0), "10¹⁹");
        assert_eq!(power_of_ten(3e18_f64.log10()), "3·10¹⁸");
        assert_eq!(power_of_ten(2.54e-4_f64.log10()), "2.5·10⁻⁴");
        assert_eq!(power_of_ten(9.99e5_f64.log10()), "10⁶");
    }

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

    #[test]
    fn long_text_is_cut_or_wrapped() {
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(wrap("a bc def", 5), ["a bc", "def"]);
        assert_eq!(file_name(&["ratio", "a/b", "c d"]), "ratio-a_b-c_d.svg");
    }
}
