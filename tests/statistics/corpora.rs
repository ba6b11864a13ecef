//! Several training corpora: one line per reason of refusal, comparisons between them, epochs.

use relscale::fit::simulate::{Shape, Simulation};
use relscale::fit::{Analysis, FitError, Flag, Options, Verdict, analyze};
use relscale::ladder::{Ladder, LadderError, Run, Scale};

fn run(id: &str, corpus: &str, params: f64, tokens: f64) -> Run {
    let scale = Scale {
        params,
        tokens,
        flops: 6.0 * params * tokens,
    };
    Run::new(id, scale).corpus(corpus)
}

/// Five rungs in each of `corpora`, whose budgets lie `offset(corpus)` apart from the others'.
fn rungs(corpora: usize, distributions: &[&str], offset: impl Fn(usize) -> f64) -> Ladder {
    let mut builder = Ladder::builder();
    for c in 0..corpora {
        for j in 0..5 {
            let params = 1e7 * 2_f64.powi(j) * offset(c);
            let id = format!("run-{c}-{j}");
            builder
                .run(run(&id, &format!("corpus-{c}"), params, 20.0 * params))
                .unwrap();
            for (d, name) in distributions.iter().enumerate() {
                let noise = 1e-3 * f64::from(7 * j + 3 * d as i32 + c as i32).sin();
                let exponent = -0.05 - 0.01 * d as f64 - 0.02 * c as f64;
                let loss = 3.0 * (params / 4e7).powf(exponent) * (0.1 * c as f64 + noise).exp();
                builder.score(&id, name, "", loss, 1.0).unwrap();
            }
        }
    }
    builder.build().unwrap()
}

#[test]
fn refusals_of_many_corpora_take_one_line_per_reason() {
    let names: Vec<String> = (0..6).map(|d| format!("d{d}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ladder = rungs(8, &names, |c| 1.3_f64.powi(c as i32));
    let analysis = analyze(&ladder, &Options::new("d0")).unwrap();
    // 28 pairs of corpora, 5 treatments.
    assert_eq!(analysis.refused.len(), 140);
    let groups = analysis.refusals();
    assert_eq!(groups.len(), 1);
    assert_eq!((groups[0].count, groups[0].examples.len()), (140, 3));
    let text = analysis.details();
    let (_, after) = text.split_once("Not analysed\n").unwrap();
    assert_eq!(
        after,
        "  140 times: corpora are compared reading by reading, and … and … differ in budgets \
         (corpus-0 d1, corpus-0 d2, corpus-0 d3, …)\n"
    );
    let json = serde_json::to_value(&analysis).unwrap();
    assert_eq!(json["refused"].as_array().unwrap().len(), 140);
    assert!(
        json["refused"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("\"corpus-1\"")
    );
}

#[test]
fn an_error_has_every_reason_once() {
    // Two budgets in each of three corpora, and one where a distribution is not scored.
    let mut builder = Ladder::builder();
    for c in 0..4 {
        for j in 0..2 {
            let id = format!("run-{c}-{j}");
            let params = 1e7 * 3_f64.powi(j);
            builder
                .run(run(&id, &format!("corpus-{c}"), params, 2e9))
                .unwrap();
            builder.score(&id, "web", "", 3.0, 1.0).unwrap();
            for name in ["code", "law"] {
                if c < 3 {
                    builder.score(&id, name, "", 3.0, 1.0).unwrap();
                }
            }
        }
    }
    let error = analyze(&builder.build().unwrap(), &Options::new("web")).unwrap_err();
    let FitError::NothingLeft { first, reasons } = &error else {
        panic!("{error:?}");
    };
    assert!(matches!(**first, FitError::TooFew { .. }), "{first:?}");
    assert_eq!(reasons.iter().map(|r| r.count).sum::<usize>(), 8);
    assert_eq!(reasons.len(), 2, "{error}");
    let text = error.to_string();
    for part in [
        "6 times: too few budgets",
        "corpus-0 code",
        "2 times: corpus",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

fn with_corpora(shape: Shape, corpora: usize) -> Simulation {
    let mut simulation = Simulation::default();
    (simulation.shape, simulation.corpora) = (shape, corpora);
    simulation
}

fn grid(params: &[f64]) -> Shape {
    Shape::Grid {
        params: params.to_vec(),
        tokens_per_param: vec![10.0, 20.0, 40.0],
    }
}

fn options() -> Options {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".into());
    options
}

#[test]
fn grids_with_the_same_cells_are_compared_and_others_refused() {
    let simulation = with_corpora(grid(&[1e8, 2e8, 4e8, 8e8]), 3);
    let analysis = analyze(&simulation.ladder(0).unwrap(), &options()).unwrap();
    assert_eq!(analysis.cross_corpus.len(), 3);
    assert!(analysis.refused.is_empty(), "{:?}", analysis.refused);

    // Under one law, an interval of 95 % misses zero in about one of twenty ladders.
    let misses = (0..60).filter(|&r| {
        let simulation = with_corpora(grid(&[1e8, 2e8, 4e8, 8e8]), 2);
        let analysis = analyze(&simulation.ladder(r).unwrap(), &options()).unwrap();
        analysis.cross_corpus[0].exponent.p_value < 0.05
    });
    let misses = misses.count();
    println!("{misses} of 60 differences between equal corpora have p < .05");
    assert!(misses <= 9);

    let other = with_corpora(grid(&[1e8, 2e8, 4e8, 9e8]), 1)
        .ladder(0)
        .unwrap();
    let one = with_corpora(grid(&[1e8, 2e8, 4e8, 8e8]), 1)
        .ladder(0)
        .unwrap();
    let both = joined(&[(&one, "one"), (&other, "other")]);
    let analysis = analyze(&both, &options()).unwrap();
    assert!(analysis.cross_corpus.is_empty());
    let reason = &analysis.refused[0].reason;
    assert!(
        reason.ends_with("differ in sizes and training lengths"),
        "{reason}"
    );
}

/// Ladders as corpora of one.
fn joined(ladders: &[(&Ladder, &str)]) -> Ladder {
    let mut builder = Ladder::builder();
    for (ladder, corpus) in ladders {
        for run in ladder.runs() {
            let mut run = run.clone();
            (run.id, run.corpus) = (format!("{corpus}-{}", run.id), (*corpus).into());
            builder.run(run).unwrap();
        }
        for scores in ladder.scores() {
            for cell in scores.cells() {
                let id = format!("{corpus}-{}", ladder.runs()[cell.run].id);
                let cluster = &scores.clusters()[cell.cluster];
                builder
                    .score(
                        &id,
                        scores.name(),
                        cluster,
                        cell.loss / cell.weight,
                        cell.weight,
                    )
                    .unwrap();
            }
        }
    }
    builder.build().unwrap()
}

#[test]
fn one_test_set_and_three_corpora_need_no_pivot() {
    let ladder = rungs(3, &["news"], |_| 1.0);
    let mut options = Options::new("news");
    options.corpus_baseline = Some("corpus-0".into());
    let analysis = analyze(&ladder, &options).unwrap();
    assert!(analysis.laws.is_empty() && analysis.refused.is_empty());
    assert_eq!(analysis.absolute_laws.len(), 3);
    let [one, two] = &analysis.arms[..] else {
        panic!("{:?}", analysis.arms);
    };
    assert_eq!(
        (&*one.corpus, &*one.baseline_corpus),
        ("corpus-1", "corpus-0")
    );
    // Per nat of compute, 120 N².
    assert!(
        (one.delta_beta.value + 0.01).abs() < 1e-3,
        "{:?}",
        one.delta_beta
    );
    assert!(
        (two.delta_beta.value + 0.02).abs() < 1e-3,
        "{:?}",
        two.delta_beta
    );
    assert!((one.gamma.value / 0.1_f64.exp() - 1.0).abs() < 1e-3);
    assert_eq!(one.verdict, Verdict::Narrows);
    assert!(
        one.sentence
            .starts_with("The ratio of news in corpus-1 to news in corpus-0 falls by 2.3"),
        "{}",
        one.sentence
    );
    let text = analysis.details();
    assert!(
        text.contains("Corpora against corpus-0") && text.contains(&one.sentence),
        "{text}"
    );
    let json = serde_json::to_string(&analysis).unwrap();
    assert_eq!(serde_json::from_str::<Analysis>(&json).unwrap(), analysis);
    let summary = serde_json::to_value(analysis.summary()).unwrap();
    assert_eq!(summary["arms"][0]["distribution"], "news");
}

#[test]
fn arms_are_every_distribution_and_a_family_per_corpus() {
    let simulation = with_corpora(Simulation::default().shape, 3);
    let ladder = simulation.ladder(1).unwrap();
    let mut options = options();
    options.corpus_baseline = Some("corpus-1".into());
    let analysis = analyze(&ladder, &options).unwrap();
    let names: Vec<(&str, &str)> = analysis
        .arms
        .iter()
        .map(|l| (&*l.corpus, &*l.distribution))
        .collect();
    assert_eq!(
        names,
        [
            ("corpus-0", "baseline"),
            ("corpus-0", "treatment"),
            ("corpus-2", "baseline"),
            ("corpus-2", "treatment")
        ]
    );
    for law in &analysis.arms {
        assert_eq!((law.family_size, law.readings.len()), (2, 7));
        // Corpora under one law.
        assert!(
            law.delta_beta.lower < 0.0 && 0.0 < law.delta_beta.upper,
            "{law:?}"
        );
        let residuals: f64 = law.readings.iter().map(|r| r.residual).sum();
        assert!(residuals.abs() < 1e-12);
    }
}

#[test]
fn a_baseline_corpus_must_be_there_with_another() {
    let refused = |ladder: &Ladder, name: &str| {
        let mut options = Options::new("news");
        options.corpus_baseline = Some(name.into());
        analyze(ladder, &options).unwrap_err().to_string()
    };
    let text = refused(&rungs(2, &["news", "law"], |_| 1.0), "corpus-7");
    assert!(
        text.contains("no corpus named \"corpus-7\"") && text.contains("corpus-0, corpus-1"),
        "{text}"
    );
    let text = refused(&rungs(1, &["news", "law"], |_| 1.0), "corpus-0");
    assert!(
        text.contains("too few corpora besides the baseline corpus"),
        "{text}"
    );

    let apart = rungs(2, &["news"], |c| 1.0 + c as f64);
    let mut options = Options::new("news");
    options.corpus_baseline = Some("corpus-0".into());
    let analysis = analyze(&apart, &options).unwrap();
    assert!(analysis.arms.is_empty());
    assert!(
        analysis.refused[0].reason.ends_with("differ in budgets"),
        "{:?}",
        analysis.refused
    );
}

fn table(epochs: &[&str]) -> Result<Ladder, LadderError> {
    let mut text = "corpus,run,budget,flops,params,tokens,distribution,loss,epochs\n".to_owned();
    for (j, epochs) in epochs.iter().enumerate() {
        let params = 1e7 * 2_f64.powi(j as i32);
        let (tokens, flops) = (20.0 * params, 120.0 * params * params);
        for (name, loss) in [("web", 3.0), ("code", 2.0)] {
            let loss = loss * params.powf(-0.05);
            text += &format!("c,r{j},{flops},{flops},{params},{tokens},{name},{loss},{epochs}\n");
        }
    }
    Ladder::from_csv(text.as_bytes(), "inline")
}

#[test]
fn epochs_are_read_written_told_and_flagged() {
    let ladder = table(&["1", "", "2.5", "4", "8"]).unwrap();
    let epochs: Vec<Option<f64>> = ladder.runs().iter().map(|r| r.epochs).collect();
    assert_eq!(epochs, [Some(1.0), None, Some(2.5), Some(4.0), Some(8.0)]);
    let mut written = Vec::new();
    ladder.write_csv(&mut written).unwrap();
    let back = Ladder::from_csv(&written[..], "inline").unwrap();
    assert_eq!(back.runs(), ladder.runs());

    let analysis = analyze(&ladder, &Options::new("web")).unwrap();
    assert_eq!(analysis.corpora[0].epochs, Some([1.0, 8.0]));
    assert!(analysis.laws[0].flags.contains(&Flag::RepeatedData));
    let text = analysis.details();
    assert!(
        text.contains("1 to 8 epochs") && text.contains("repeated data"),
        "{text}"
    );

    let once = analyze(
        &table(&["1", "0.5", "1", "1", "1"]).unwrap(),
        &Options::new("web"),
    )
    .unwrap();
    assert!(!once.laws[0].flags.contains(&Flag::RepeatedData));
    let mut plain = Vec::new();
    table(&[""; 5]).unwrap().write_csv(&mut plain).unwrap();
    assert!(!String::from_utf8(plain).unwrap().contains("epochs"));
}

#[test]
fn epochs_that_are_no_number_of_passes_are_refused() {
    for (bad, part) in [
        ("0", "epochs"),
        ("-1", "epochs"),
        ("x", "a number"),
        ("NaN", "epochs"),
    ] {
        let error = table(&["1", bad, "1"]).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains('4'), "{error}");
    }
    // The column of another program: the place of a checkpoint.
    let text = "corpus,run,budget,flops,params,tokens,distribution,loss,epoch\n\
                c,r,1e18,1e18,1e8,1e9,web,3,last\n";
    let ladder = Ladder::from_csv(text.as_bytes(), "inline").unwrap();
    assert_eq!(ladder.runs()[0].epochs, None);
}
