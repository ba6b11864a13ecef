//! Tables and drawings of whole analyses: complete, inside the page, no label over another.
//!
//! `RELSCALE_PLOTS=DIR cargo test --test reports report` keeps the drawings for looking at.

use relscale::fit::{Analysis, Contrast, DesignChoice, Flag, Options, analyze};
use relscale::ladder::{Ladder, Run, Scale};
use relscale::report::{self, LawKind, Screen, plot};

/// Noise between −1 and 1 that needs no generator.
fn wobble(seed: f64) -> f64 {
    (seed * 12.9898).sin() * 43_758.545_3 % 1.0
}

/// An IsoFLOP ladder of two corpora: seven budgets, nine sizes, `distributions` with ten clusters.
fn isoflop(distributions: usize) -> Ladder {
    let mut csv =
        String::from("corpus,run,budget,flops,params,tokens,distribution,cluster,loss,weight\n");
    for (c, corpus) in ["comma", "dclm"].iter().enumerate() {
        for (j, flops) in [1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20_f64]
            .iter()
            .enumerate()
        {
            let x = (flops / 1e19).ln();
            for k in 0..9 {
                let z = -1.8 + 0.45 * f64::from(k);
                let params = (17.5 + 0.5 * x + z).exp();
                let tokens = flops / (6.0 * params);
                let run = format!("{corpus}-{j}-{k}");
                let shared = 0.002 * wobble((c * 1000 + j * 37 + k as usize) as f64 + 0.3);
                for d in 0..=distributions {
                    let beta = 0.05 - 0.0012 * (d as f64 - 4.0);
                    let bend = 0.03 * (z - 0.1 * d as f64 / 5.0).powi(2) - 0.004 * z.powi(3);
                    for g in 0..10 {
                        let own = 0.0008
                            * wobble((d * 7919 + g * 104_729 + j * 31 + k as usize * 3) as f64)
                            + 0.0006 * d as f64 * wobble((d * 31 + j) as f64 + 0.7)
                            + 0.006 * x * wobble((d * 5 + g) as f64 + 0.1);
                        let hard = 0.05 * wobble((d * 17 + g) as f64);
                        let loss =
                            (0.9 + 0.02 * d as f64 + hard - beta * x + bend + shared + own).exp();
                        let name = match d {
                            0 => "baseline".to_owned(),
                            1 => "aggregate".to_owned(),
                            _ => format!("region-{d:02}"),
                        };
                        csv.push_str(&format!(
                            "{corpus},{run},{flops:e},{flops:e},{params},{tokens},{name},{g},{loss},1\n"
                        ));
                    }
                }
            }
        }
    }
    Ladder::from_csv(csv.as_bytes(), "synthetic").unwrap()
}

fn analysis(distributions: usize) -> Analysis {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".to_owned());
    analyze(&isoflop(distributions), &options).unwrap()
}

/// (left, top, right, bottom) of each text element, its characters taken as 0.5 em wide, the mean of Arial.
fn boxes(svg: &str) -> Vec<(String, [f64; 4])> {
    let mut found = Vec::new();
    for element in svg.split("<text ").skip(1) {
        let attribute = |name: &str| -> String {
            let from = element.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
            element[from..].split('"').next().unwrap().to_owned()
        };
        let number = |name: &str| attribute(name).parse::<f64>().unwrap();
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
        let text = element
            .split('>')
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap()
            .trim();
        let text = text
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        let length = text.chars().count() as f64 * size * 0.5;
        let (left, right) = match attribute("text-anchor").as_str() {
            "start" => (0.0, length),
            "end" => (-length, 0.0),
            _ => (-0.5 * length, 0.5 * length),
        };
        let half = 0.5 * size;
        // Upright text gives its baseline, text that runs upwards turns about its middle.
        let bounds = if element.contains("rotate(270") {
            let middle = y - 0.36 * size;
            [x - half, middle - right, x + half, middle - left]
        } else {
            let middle = y - 0.36 * size;
            [x + left, middle - half, x + right, middle + half]
        };
        found.push((text, bounds));
    }
    found
}

fn check(name: &str, svg: &str) {
    assert!(
        svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
        "{name}"
    );
    assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{name}");
    let size = |attribute: &str| -> f64 {
        let from = svg.find(&format!("{attribute}=\"")).unwrap() + attribute.len() + 2;
        svg[from..].split('"').next().unwrap().parse().unwrap()
    };
    let (width, height) = (size("width"), size("height"));
    let boxes = boxes(svg);
    assert!(boxes.len() > 8, "{name}");
    for (i, (text, b)) in boxes.iter().enumerate() {
        assert!(
            b[0] >= 0.0 && b[1] >= 0.0 && b[2] <= width && b[3] <= height,
            "{name}: {text:?} leaves the page: {b:?} of {width} x {height}"
        );
        for (other, o) in &boxes[..i] {
            let apart = b[2] <= o[0] || o[2] <= b[0] || b[3] <= o[1] || o[3] <= b[1];
            assert!(apart, "{name}: {text:?} lies over {other:?}");
        }
    }
}

#[test]
fn drawings_are_legible() {
    let analysis = analysis(9);
    let drawings = plot::all(&analysis).unwrap();
    // Per corpus: figure, profiles, forest, ratios and a ratio and a rule panel for each of eight regions.
    assert_eq!(drawings.len(), 2 * (4 + 2 * 8));
    if let Ok(folder) = std::env::var("RELSCALE_PLOTS") {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, svg) in &drawings {
            std::fs::write(std::path::Path::new(&folder).join(name), svg).unwrap();
        }
        std::fs::write(
            std::path::Path::new(&folder).join("table.txt"),
            analysis.details(),
        )
        .unwrap();
    }
    for (name, svg) in &drawings {
        check(name, svg);
    }
    assert!(plot::forest(&analysis, "no such corpus").is_err());
}

#[test]
fn a_few_panels_are_as_legible_as_many() {
    for distributions in [2, 3, 4] {
        let analysis = analysis(distributions);
        let svg = plot::ratios(&analysis, "dclm").unwrap();
        check(&format!("{distributions} panels"), &svg);
        if let Ok(folder) = std::env::var("RELSCALE_PLOTS") {
            std::fs::create_dir_all(&folder).unwrap();
            let name = format!("few-{distributions}.svg");
            std::fs::write(std::path::Path::new(&folder).join(name), &svg).unwrap();
        }
    }
}

#[test]
fn a_law_at_chance_is_drawn_as_none() {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".to_owned());
    // No reading of this region is far below it; all of the other are.
    options.chance.insert("region-02".to_owned(), 0.3);
    options.chance.insert("region-03".to_owned(), 30.0);
    let at_chance = |options: &Options| {
        let analysis = analyze(&isoflop(3), options).unwrap();
        let chosen: Vec<String> = (analysis.laws.iter())
            .filter(|l| l.corpus == "dclm" && l.flags.contains(&Flag::PreOnset))
            .map(|l| l.treatment.clone())
            .collect();
        (chosen, analysis)
    };
    let (chosen, analysis) = at_chance(&options);
    assert_eq!(chosen, ["region-02"]);
    let drawn = plot::ratios(&analysis, "dclm").unwrap();
    assert_eq!(drawn.matches("at chance: no law").count(), 1);
    assert_eq!(drawn.matches("Δβ = ").count(), 1);
    check("ratios", &drawn);
    let drawn = plot::forest(&analysis, "dclm").unwrap();
    assert_eq!(drawn.matches("at chance").count(), 1);
    check("forest", &drawn);
    let law = analysis.laws.iter().find(|l| l.treatment == "region-02");
    let drawn = plot::ratio(&analysis, law.unwrap()).unwrap();
    assert_eq!(drawn.matches("at chance ·").count(), 1);

    // A probability that has risen far above a guess has left it as well.
    options.chance_either_side.insert("region-02".to_owned());
    assert!(at_chance(&options).0.is_empty());
    // About the guess it has not.
    let errors = &analysis
        .absolute_laws
        .iter()
        .find(|t| t.distribution == "region-02");
    let level = errors.unwrap().errors.iter().product::<f64>();
    let count = errors.unwrap().errors.len() as f64;
    options
        .chance
        .insert("region-02".to_owned(), level.powf(1.0 / count));
    let (_, analysis) = at_chance(&options);
    let law = analysis
        .absolute_laws
        .iter()
        .find(|t| t.distribution == "region-02")
        .unwrap();
    // Those on both sides count, and some are on each.
    assert!(law.readings_past_chance.unwrap() < law.errors.len());
}

#[test]
fn the_table_names_every_law_and_verdict() {
    let analysis = analysis(5);
    let text = analysis.details();
    for law in &analysis.laws {
        assert!(text.contains(&law.treatment) && text.contains(law.verdict.as_str()));
    }
    for part in [
        "margin",
        "corpus comma",
        "corpus dclm",
        "Holm p",
        "Backtest",
    ] {
        assert!(
            text.to_lowercase().contains(&part.to_lowercase()),
            "no {part} in\n{text}"
        );
    }
    assert!(!text.contains("NaN"), "{text}");
    // A reading may be predicted three times.
    let count: usize = (analysis.laws.iter())
        .map(|l| l.diagnostics.backtest.holdouts.len())
        .sum();
    let line = format!("Backtest over {count} predictions of held-out readings");
    assert!(text.contains(&line), "no {line} in\n{text}");
    // Every flag that is set is explained, and only those.
    let set: std::collections::BTreeSet<_> = analysis.laws.iter().flat_map(|l| &l.flags).collect();
    assert!(!set.is_empty());
    for flag in &set {
        assert!(text.contains(flag.meaning()), "no {flag:?} in\n{text}");
    }
    let legend = text.split("\nFlags\n").nth(1).unwrap();
    let explained = legend.lines().take_while(|l| l.starts_with("  ")).count();
    assert_eq!(explained, set.len(), "{text}");
}

#[test]
fn misfits_and_second_intervals_have_lines_of_their_own() {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".to_owned());
    (options.crossed_bootstrap, options.max_t) = (true, true);
    let analysis = analyze(&isoflop(3), &options).unwrap();
    let text = analysis.details();
    for part in [
        "crossed bootstrap",
        "error of ends",
        "Largest |t| of 4 laws",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let bent = |l: &&relscale::fit::RelativeLaw| {
        l.diagnostics.next_power.is_some_and(|n| n.p_value < 0.05)
    };
    for law in analysis.laws.iter().filter(bent) {
        let line = format!("next power of {}:", law.treatment);
        assert!(text.contains(&line), "no {line} in\n{text}");
    }
}

#[test]
fn exponents_are_drawn_against_their_covariate() {
    let ladder = isoflop(8);
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".to_owned());
    for d in 2..=8 {
        options
            .covariate
            .insert(format!("region-{d:02}"), f64::from(d));
    }
    let analysis = analyze(&ladder, &options).unwrap();
    let svg = plot::covariate(&analysis, "dclm", "users").unwrap();
    for d in 2..=8 {
        assert!(svg.contains(&format!("region-{d:02}")));
    }
    let slope = analysis.covariate.iter().find(|s| s.corpus == "dclm");
    // The synthetic exponents rise by 0.0012 from one distribution to the next.
    assert!(
        (slope.unwrap().fixed.value - 0.0012).abs() < 3e-4,
        "{slope:?}"
    );
    check("covariate", &svg);
    options.covariate.clear();
    let without = analyze(&ladder, &options).unwrap();
    assert!(matches!(
        plot::covariate(&without, "dclm", "users"),
        Err(plot::PlotError::Nothing { .. })
    ));
}

/// A table on which an axis had an infinite number of decades: one loss of 9·10⁴⁸.
#[test]
fn a_loss_far_from_all_others_is_drawn() {
    let text = include_str!("../data/report/far-loss.csv");
    let ladder = Ladder::from_csv(text.as_bytes(), "far-loss.csv").unwrap();
    let mut drawn = 0;
    for baseline in ["d0", "d1"] {
        for treatment in ["d0", "d1"] {
            let mut options = Options::new(baseline);
            options.treatments = vec![treatment.to_owned()];
            for scales in [vec![], vec![1e21]] {
                options.predict_at = scales;
                if let Ok(analysis) = analyze(&ladder, &options) {
                    let files = plot::all(&analysis).unwrap();
                    drawn += files.len();
                    assert!(files.iter().all(|(_, svg)| svg.len() < 1_000_000));
                }
            }
        }
    }
    assert!(drawn > 0);
}

/// Six rungs in each of `corpora`, with the losses or rates `loss(distribution, j)` of its distributions.
fn rungs(corpora: &[(&str, &[&str])], loss: impl Fn(&str, i32) -> f64) -> Ladder {
    let mut builder = Ladder::builder();
    for (corpus, distributions) in corpora {
        for j in 0..6 {
            let flops = 1e18 * 4_f64.powi(j);
            let params = (flops / 120.0).sqrt();
            let scale = Scale {
                params,
                tokens: flops / 6.0 / params,
                flops,
            };
            let id = format!("{corpus}-{j}");
            builder.run(Run::new(&id, scale).corpus(*corpus)).unwrap();
            for name in *distributions {
                builder.score(&id, name, "", loss(name, j), 1000.0).unwrap();
            }
        }
    }
    builder.build().unwrap()
}

#[test]
fn contrasts_of_a_corpus_without_treatments_are_in_every_report() {
    let ladder = rungs(
        &[
            ("comma", &["law", "medicine", "web"]),
            ("dclm", &["law", "medicine"]),
        ],
        |name, j| {
            let rate = if name == "law" { 0.09 } else { 0.05 };
            let noise = 1e-3 * wobble(f64::from(j) + f64::from(name.as_bytes()[0]) / 7.0);
            (1.0 - rate * f64::from(j) + noise).exp()
        },
    );
    let mut options = Options::new("web");
    options.contrasts = vec![Contrast::new("law", "medicine")];
    let analysis = analyze(&ladder, &options).unwrap();
    assert_eq!(analysis.contrasts.len(), 2);
    // The corpus has no law against the baseline, and so no report of its own.
    assert!(analysis.corpora.iter().all(|c| c.corpus == "comma"));
    let rows = report::law_rows(&analysis);
    let found = |corpus: &str| {
        let of = rows.iter().filter(|r| r.corpus == corpus);
        of.filter(|r| r.kind == LawKind::Contrast).count()
    };
    assert_eq!((found("comma"), found("dclm")), (1, 1));
    let mut contrasts = analysis.contrasts.iter();
    let contrast = contrasts.find(|c| c.law.corpus == "dclm").unwrap();
    let details = analysis.details();
    let (_, own) = details
        .split_once("\nCorpus dclm: rungs, 6 readings\n")
        .unwrap();
    assert!(own.contains(&contrast.sentence), "{details}");
    let screen = Screen::new(&analysis).to_string();
    let (_, own) = screen.split_once("\nCorpus dclm\n").unwrap();
    assert!(own.contains("law : medicine"), "{screen}");
    assert!(report::csv(&analysis).contains("contrast,dclm,"));
    for table in [report::markdown(&analysis), report::latex(&analysis)] {
        let body = table.lines().filter(|l| l.contains("law : medicine"));
        assert_eq!(body.filter(|l| l.contains("dclm")).count(), 1, "{table}");
    }
    let drawings = plot::all(&analysis).unwrap();
    for name in ["contrasts-comma.svg", "contrasts-dclm.svg"] {
        assert!(drawings.iter().any(|d| d.0 == name), "no {name}");
    }
}

#[test]
fn a_distribution_alone_has_its_exponent_on_the_screen() {
    let said = |rate: bool, step: f64| {
        let ladder = rungs(&[("c", &["quiz"])], |_, j| {
            let noise = 1e-3 * wobble(f64::from(j) + 0.3);
            0.3 * (step * f64::from(j) + noise).exp()
        });
        let mut options = Options::new("quiz");
        options.design = DesignChoice::Rungs;
        if rate {
            options.error_rates.insert("quiz".to_owned());
        }
        let analysis = analyze(&ladder, &options).unwrap();
        Screen::new(&analysis).to_string().replace("\n  ", " ")
    };
    // The step of a rung is ln 4 of compute.
    for (rate, step, sentence) in [
        (
            true,
            -0.2,
            "The error rate of quiz falls with exponent 0.14",
        ),
        (true, 0.1, "The error rate of quiz rises with exponent 0.07"),
        (false, -0.2, "The loss on quiz falls with exponent 0.14"),
        (false, 0.1, "The loss on quiz rises with exponent 0.07"),
    ] {
        let screen = said(rate, step);
        assert!(screen.contains("Corpus c"), "{screen}");
        assert!(screen.contains(sentence), "no {sentence:?} in\n{screen}");
    }
}

/// Five sizes by five lengths; with `trajectory`, the lengths of one size are one training run.
fn grid(trajectory: bool) -> Ladder {
    let mut builder = Ladder::builder();
    for k in 0..5 {
        for i in 0..5 {
            let params = 1e8 * 3_f64.powi(k);
            let tokens = params * 10.0 * 2_f64.powi(i);
            let scale = Scale {
                params,
                tokens,
                flops: 6.0 * params * tokens,
            };
            let id = format!("size-{k}-{i}");
            let mut run = Run::new(&id, scale).corpus("c");
            if trajectory {
                run = run.trajectory(format!("size-{k}"));
            }
            builder.run(run).unwrap();
            let x = 2.0 * f64::from(k) * 3_f64.ln() + f64::from(i) * 2_f64.ln();
            for (d, name) in ["web", "law"].into_iter().enumerate() {
                let noise = 1e-3 * wobble(f64::from(20 * k + 4 * i) + d as f64 + 0.1);
                let loss = (1.0 - (0.05 + 0.01 * d as f64) * x + noise).exp();
                builder.score(&id, name, "", loss, 1.0).unwrap();
            }
        }
    }
    builder.build().unwrap()
}

#[test]
fn the_methods_of_a_grid_are_those_that_were_used() {
    let of = |trajectory: bool, change: &dyn Fn(&mut Options)| {
        let mut options = Options::new("web");
        options.design = DesignChoice::Grid;
        options.floor_draws = 0;
        change(&mut options);
        let analysis = analyze(&grid(trajectory), &options).unwrap();
        report::methods(&analysis, &[])
    };
    let plain = of(false, &|_| ());
    for part in [
        "(equal variances with a random effect of the size)",
        ", the quadratic terms left out ",
    ] {
        assert!(plain.contains(part), "no {part:?} in {plain}");
    }
    assert!(!plain.contains("reading rule"), "{plain}");
    let without = of(false, &|o| o.specification_term = false);
    assert!(!without.contains("quadratic"), "{without}");
    let clustered = of(true, &|_| ());
    assert!(
        clustered.contains("(CR2 variances by training run or size)"),
        "{clustered}"
    );
}
