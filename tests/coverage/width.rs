//! Coverage and width on ladders that the library's simulation does not make.
//!
//! The interval was chosen on the first table. The second was looked at once, afterwards.

use relscale::fit::{Options, analyze};

use super::generators::{Bowl, Budgets, CHOSEN_ON, Kind, Noise};
use super::harness::{REPLICATES, parallel};

/// Counts over all treatments of all replicates of one kind.
struct Width {
    coverage: f64,
    half: f64,
    error: f64,
    /// Unadjusted p-values, sorted.
    p: Vec<f64>,
}

impl Width {
    fn of(kind: &Kind) -> Self {
        let rows = parallel(REPLICATES / kind.treatments.min(4), |i| {
            let drawn = kind.draw(i as u64);
            let mut options = Options::new("baseline");
            options.aggregate = Some("aggregate".into());
            options.floor_draws = 0;
            options.treatments = drawn.truths.iter().map(|t| t.0.clone()).collect();
            // A ladder may have too few bracketed budgets, and is then refused rather than fitted.
            let Ok(analysis) = analyze(&drawn.ladder, &options) else {
                return Vec::new();
            };
            let of = |law: &relscale::fit::RelativeLaw| {
                let truth = drawn
                    .truths
                    .iter()
                    .find(|t| t.0 == law.treatment)
                    .unwrap()
                    .1;
                let d = law.delta_beta;
                (d.value - truth, d.upper - d.value, d.p_value)
            };
            analysis.laws.iter().map(of).collect()
        });
        let all: Vec<(f64, f64, f64)> = rows.into_iter().flatten().collect();
        let n = all.len() as f64;
        let mut p: Vec<f64> = all.iter().map(|a| a.2).collect();
        p.sort_by(f64::total_cmp);
        Self {
            coverage: 100.0 * all.iter().filter(|a| a.0.abs() <= a.1).count() as f64 / n,
            half: 1e3 * all.iter().map(|a| a.1).sum::<f64>() / n,
            error: 1e3 * (all.iter().map(|a| a.0 * a.0).sum::<f64>() / n).sqrt(),
            p,
        }
    }

    /// Share of p-values below `level`, in percent.
    fn rejects(&self, level: f64) -> f64 {
        100.0 * self.p.partition_point(|p| *p < level) as f64 / self.p.len() as f64
    }
}

fn table(kinds: &[(&str, Kind)]) -> Vec<Width> {
    println!("| ladder | coverage % | mean half-width x1e3 | RMS error x1e3 | laws |");
    println!("|---|---:|---:|---:|---:|");
    let row = |(name, kind): &(&str, Kind)| {
        let w = Width::of(kind);
        println!(
            "| {name} | {:.1} | {:.2} | {:.3} | {} |",
            w.coverage,
            w.half,
            w.error,
            w.p.len()
        );
        w
    };
    kinds.iter().map(row).collect()
}

fn with(change: impl Fn(&mut Kind)) -> Kind {
    let mut kind = CHOSEN_ON;
    change(&mut kind);
    kind
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn intervals_are_no_wider_than_they_need() {
    let kinds = [
        ("plain", CHOSEN_ON),
        ("budget shock .002", with(|k| k.shock = 0.002)),
        ("optimum drifts twice as fast", with(|k| k.drift = 0.12)),
        ("5 and 6 sizes", with(|k| k.sizes = [5, 7])),
        ("12 treatments", with(|k| k.treatments = 12)),
        (
            "12 treatments, 5 and 6 sizes",
            with(|k| (k.treatments, k.sizes) = (12, [5, 7])),
        ),
    ];
    let widths = table(&kinds);
    for ((name, _), w) in kinds.iter().zip(&widths) {
        assert!(
            (92.0..=98.5).contains(&w.coverage),
            "{name}: {}",
            w.coverage
        );
    }
    assert!(widths[0].half <= 1.3, "{}", widths[0].half);
    assert!(widths[4].half <= 1.15, "{}", widths[4].half);
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn ladders_that_the_interval_was_not_chosen_on() {
    let kind =
        |bowl, noise, budgets| with(|k| (k.bowl, k.noise, k.budgets) = (bowl, noise, budgets));
    let drifting = Kind {
        drift: 0.12,
        ..kind(Bowl::LogCosh, Noise::StudentFive, Budgets::Irregular(12))
    };
    let shocked = Kind {
        shock: 0.002,
        ..kind(Bowl::Quartic, Noise::Skewed, Budgets::Irregular(5))
    };
    let many = Kind {
        treatments: 12,
        ..kind(Bowl::TwoPowers, Noise::Laplace, Budgets::Irregular(6))
    };
    let kinds = [
        (
            "two powers, Laplace, 7",
            kind(Bowl::TwoPowers, Noise::Laplace, Budgets::Seven),
        ),
        (
            "log cosh, skewed, 9 irregular",
            kind(Bowl::LogCosh, Noise::Skewed, Budgets::Irregular(9)),
        ),
        (
            "two powers, Laplace, 4 irregular",
            kind(Bowl::TwoPowers, Noise::Laplace, Budgets::Irregular(4)),
        ),
        ("quartic, skewed, 5 irregular, shocks", shocked),
        ("log cosh, t5, 12 irregular, fast drift", drifting),
        ("two powers, Laplace, 6 irregular, 12 treatments", many),
    ];
    for ((name, _), w) in kinds.iter().zip(table(&kinds)) {
        assert!(w.coverage >= 91.0, "{name}: {}", w.coverage);
    }
}

#[test]
#[ignore = "minutes of simulation; the command is at the top of main.rs"]
fn p_values_are_uniform_where_nothing_changes() {
    let w = Width::of(&with(|k| k.null = true));
    println!("| p below | share % |\n|---:|---:|");
    for level in [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9] {
        println!("| {level} | {:.1} |", w.rejects(level));
    }
    if let Ok(path) = std::env::var("RELSCALE_P_VALUES_SVG") {
        std::fs::write(path, picture(&w.p)).unwrap();
    }
    let five = w.rejects(0.05);
    assert!((2.0..=6.5).contains(&five), "{five}");
}

/// The share of p-values below each p, beside the diagonal that exact tests have.
fn picture(p: &[f64]) -> String {
    const SIDE: f64 = 320.0;
    const EDGE: f64 = 44.0;
    let x = |v: f64| EDGE + SIDE * v;
    let y = |v: f64| 12.0 + SIDE * (1.0 - v);
    let n = p.len() as f64;
    let mut line = String::new();
    // Two hundred points draw the curve as smoothly as all of them.
    for i in (0..p.len()).step_by((p.len() / 200).max(1)) {
        line += &format!("{:.1},{:.1} ", x(p[i]), y((i + 1) as f64 / n));
    }
    let mut ticks = String::new();
    for v in [0.0, 0.25, 0.5, 0.75, 1.0] {
        ticks += &format!(
            "<text x='{:.1}' y='{:.1}' text-anchor='middle'>{v}</text>\n\
             <text x='{:.1}' y='{:.1}' text-anchor='end'>{v}</text>\n",
            x(v),
            y(0.0) + 16.0,
            EDGE - 6.0,
            y(v) + 4.0
        );
    }
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 400 384' font-family='sans-serif' \
         font-size='11' role='img'>\n<title>p-values where nothing changes</title>\n\
         <rect width='400' height='384' fill='white'/>\n{ticks}\
         <rect x='{EDGE}' y='12' width='{SIDE}' height='{SIDE}' fill='none' stroke='#999'/>\n\
         <line x1='{:.1}' y1='{:.1}' x2='{:.1}' y2='{:.1}' stroke='#999' stroke-dasharray='4 3'/>\n\
         <polyline fill='none' stroke='#0072b2' stroke-width='2' points='{line}'/>\n\
         <text x='{:.1}' y='374' text-anchor='middle'>p-value</text>\n\
         <text transform='translate(12 {:.1}) rotate(-90)' text-anchor='middle'>share of ladders below</text>\n\
         </svg>\n",
        x(0.0),
        y(0.0),
        x(1.0),
        y(1.0),
        x(0.5),
        y(0.5)
    )
}
