//! Scales other than training compute, by name.

use relscale::fit::{Contrast, Design, Options, analyze};
use relscale::ladder::{FlopConvention, Ladder, LadderError, Run, Scale};

/// Test-time tokens per answer of one model, and its losses on two benchmarks.
fn table() -> String {
    let mut table = "corpus,run,test_time_tokens,distribution,loss\n".to_owned();
    for i in 0..6 {
        let tokens = 100.0 * 4_f64.powi(i);
        for (name, exponent) in [("easy", 0.05), ("hard", 0.02), ("odd", 0.03)] {
            let wobble = 1.0 + 1e-4 * f64::from(7 * i).sin();
            let loss = 2.0 * wobble * tokens.powf(-exponent);
            table += &format!("7b,r{i},{tokens},{name},{loss}\n");
        }
    }
    table
}

fn ladder() -> Ladder {
    Ladder::from_csv_along(table().as_bytes(), "t.csv", "test_time_tokens").unwrap()
}

#[test]
fn a_scale_by_name_reaches_sentences_tables_and_json() {
    let ladder = ladder();
    assert_eq!(ladder.scale_name(), Some("test time tokens"));
    assert_eq!(ladder.flop_convention(), FlopConvention::Other);
    let mut options = Options::new("easy");
    options.contrasts = vec![Contrast::new("hard", "odd")];
    let analysis = analyze(&ladder, &options).unwrap();
    assert_eq!(analysis.corpora[0].design, Design::Rungs);
    let law = &analysis.laws[0];
    assert!((law.delta_beta.value - 0.03).abs() < 1e-4);
    assert_eq!(law.readings[0].scale.round(), 100.0);
    for sentence in [&law.sentence, &analysis.contrasts[0].sentence] {
        assert!(
            sentence.contains("per decade of test time tokens"),
            "{sentence}"
        );
    }
    let text = analysis.details();
    assert!(text.contains(", scale: test time tokens"), "{text}");
    assert!(!text.contains("compute"), "{text}");
    let json = serde_json::to_value(analysis.summary()).unwrap();
    assert_eq!(json["scale_name"], "test time tokens");
    assert_eq!(analysis.scale_in_words(), "test time tokens");
}

#[test]
fn the_law_is_that_of_the_same_numbers_as_flops() {
    let mut builder = Ladder::builder();
    let named = ladder();
    for run in named.runs() {
        let scale = Scale {
            params: run.params,
            tokens: run.tokens,
            flops: run.flops,
        };
        builder.run(Run::new(&run.id, scale).corpus("7b")).unwrap();
    }
    builder.flop_convention(FlopConvention::Other);
    for scores in named.scores() {
        for c in scores.cells() {
            let run = &named.runs()[c.run].id;
            builder.score(run, scores.name(), "", c.loss, 1.0).unwrap();
        }
    }
    let options = Options::new("easy");
    let one = analyze(&named, &options).unwrap();
    let two = analyze(&builder.build().unwrap(), &options).unwrap();
    for (a, b) in one.laws.iter().zip(&two.laws) {
        assert_eq!(
            (a.delta_beta, a.gamma, a.verdict),
            (b.delta_beta, b.gamma, b.verdict)
        );
        let compute = a.sentence.replace("test time tokens", "compute");
        assert_eq!(compute, b.sentence);
    }
}

#[test]
fn a_named_scale_survives_a_file() {
    let ladder = ladder();
    let mut file = Vec::new();
    ladder.write_csv(&mut file).unwrap();
    let read = Ladder::from_csv(file.as_slice(), "t.csv").unwrap();
    assert_eq!(read.scale_name(), Some("test time tokens"));
    assert_eq!(read.runs(), ladder.runs());

    let text = String::from_utf8(file).unwrap();
    let mixed = text.replacen("test time tokens", "shots", 2);
    let error = Ladder::from_csv(mixed.as_bytes(), "t.csv").unwrap_err();
    assert!(
        matches!(
            error,
            LadderError::Conflict {
                column: "scale_name",
                ..
            }
        ),
        "{error:?}"
    );
    // Tables of compute have no such column.
    let mut builder = Ladder::builder();
    let scale = Scale {
        params: 1e8,
        tokens: 1e9,
        flops: 6e17,
    };
    builder.run(Run::new("r", scale)).unwrap();
    builder.score("r", "a", "", 1.0, 1.0).unwrap();
    let mut file = Vec::new();
    builder.build().unwrap().write_csv(&mut file).unwrap();
    assert!(!String::from_utf8(file).unwrap().contains("scale_name"));
}

#[test]
fn scales_that_are_missing_or_not_positive_are_refused_by_name() {
    let read = |text: &str, scale: &str| {
        let error = Ladder::from_csv_along(text.as_bytes(), "t.csv", scale).unwrap_err();
        error.to_string()
    };
    let good = table();
    let error = read(&good, "shots");
    assert!(error.contains("0 columns are named \"shots\""), "{error}");
    assert!(error.contains("corpus, run, test_time_tokens"), "{error}");
    for bad in ["0", "-1", "x", "inf", "NaN", ""] {
        let text = good.replacen(",100,", &format!(",{bad},"), 1);
        let error = read(&text, "test_time_tokens");
        let expected =
            format!("t.csv, line 2: test_time_tokens is {bad:?}, expected a number above 0");
        assert!(error.contains(&expected), "{error}");
    }
    let moved = good.replacen(",100,hard", ",200,hard", 1);
    let error = read(&moved, "test_time_tokens");
    let expected = "t.csv, line 3: test_time_tokens of run \"r0\" differs from line 2";
    assert!(error.contains(expected), "{error}");
    let twice = good.replacen("corpus,", "test_time_tokens,", 1);
    let error = read(&twice, "test_time_tokens");
    assert!(error.contains("no column named \"corpus\""), "{error}");
    let mut builder = Ladder::builder();
    let scale = Scale {
        params: 1.0,
        tokens: 1.0,
        flops: 0.5,
    };
    builder.run(Run::new("r", scale)).unwrap();
    builder.score("r", "a", "", 1.0, 1.0).unwrap();
    builder.scale_name("");
    let error = builder.build().unwrap_err();
    assert_eq!(error, LadderError::EmptyName { what: "scale" });
}

#[test]
fn several_models_at_one_value_are_to_be_corpora() {
    let mut text = "corpus,run,shots,params,tokens,distribution,loss\n".to_owned();
    for i in 0..5 {
        for (k, params) in ["1e9", "3e9", "7e9"].iter().enumerate() {
            for name in ["a", "b"] {
                let (shots, loss) = (1 << i, 1.0 + 0.1 * f64::from(i) + 0.01 * k as f64);
                text += &format!("c,r{i}-{k},{shots},{params},1e12,{name},{loss}\n");
            }
        }
    }
    let ladder = Ladder::from_csv_along(text.as_bytes(), "t.csv", "shots").unwrap();
    let error = analyze(&ladder, &Options::new("a"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("holds runs of several sizes"), "{error}");
    assert!(
        error.contains("give each model a corpus of its own"),
        "{error}"
    );
}
