//! Sample files of lm-evaluation-harness, as that program wrote them (`tests/data/harness`).

use relscale::ladder::{Ladder, LadderBuilder, LadderError, Run, Scale};
use relscale_cli::readers::harness::{Measure, Samples};

fn read(
    builder: &mut LadderBuilder,
    run: &str,
    task: &str,
    measure: Measure,
) -> Result<usize, LadderError> {
    let name = format!("{run}-samples_{task}.jsonl");
    let path = format!("{}/tests/data/harness/{name}", env!("CARGO_MANIFEST_DIR"));
    let samples = Samples {
        run,
        distribution: task,
        measure,
        cluster_field: (measure != Measure::TextBitsPerByte).then_some("subject"),
        file: &name,
    };
    samples.read(std::fs::File::open(path).unwrap(), builder)
}

fn builder() -> LadderBuilder {
    let mut b = Ladder::builder();
    b.run(
        Run::new(
            "small",
            Scale {
                params: 1e4,
                tokens: 1e4,
                flops: 6e8,
            },
        )
        .corpus("random"),
    )
    .unwrap();
    b.run(
        Run::new(
            "large",
            Scale {
                params: 1e5,
                tokens: 1e4,
                flops: 6e9,
            },
        )
        .corpus("random"),
    )
    .unwrap();
    b
}

#[test]
fn text_has_the_bits_per_byte_that_the_harness_printed() {
    let mut b = builder();
    for run in ["small", "large"] {
        assert_eq!(
            read(&mut b, run, "tiny_text", Measure::TextBitsPerByte).unwrap(),
            3
        );
    }
    let ladder = b.build().unwrap();
    // The harness printed byte perplexities of 14.4305 and 14.1815.
    for (run, perplexity) in [("small", 14.4305_f64), ("large", 14.1815)] {
        let bits = ladder.error(run, "tiny_text").unwrap();
        assert!((bits - perplexity.log2()).abs() < 1e-5, "{bits}");
    }
}

#[test]
fn answers_are_clustered_by_subject() {
    let mut b = builder();
    for run in ["small", "large"] {
        assert_eq!(
            read(&mut b, run, "tiny_mc", Measure::ChoiceNats).unwrap(),
            6
        );
    }
    let ladder = b.build().unwrap();
    let scores = ladder.distribution("tiny_mc").unwrap();
    assert_eq!(scores.clusters(), ["abstract_algebra", "anatomy"]);
    assert!(
        scores
            .cells()
            .iter()
            .all(|c| c.rows == 3 && c.weight == 3.0)
    );

    let mut b = builder();
    read(&mut b, "small", "tiny_mc", Measure::AnswerBitsPerByte).unwrap();
    let cells = b.build().unwrap();
    // "4" is the first right answer: one byte, −21.60381507873535 nats.
    let first = &cells.distribution("tiny_mc").unwrap().cells()[0];
    assert!(first.loss > 21.6038 / std::f64::consts::LN_2 && first.weight < 100.0);
}

#[test]
fn a_file_read_twice_and_broken_lines_are_refused_by_line() {
    let samples = Samples {
        run: "small",
        distribution: "d",
        measure: Measure::ChoiceNats,
        cluster_field: None,
        file: "f.jsonl",
    };
    let line = r#"{"doc_id": 7, "target": 0, "filtered_resps": [[-1.0, false], [-2.0, true]]}"#;
    for (text, word) in [
        (format!("{line}\n{line}\n"), "line 2"),
        (format!("{line}\n{{\n"), "line 2"),
        (line.replace("\"target\": 0", "\"target\": 5"), "target 5"),
        (line.replace("-1.0", "\"x\""), "log-likelihood"),
        ("{}".to_owned(), "doc_id"),
    ] {
        let error = samples
            .read(text.as_bytes(), &mut builder())
            .unwrap_err()
            .to_string();
        assert!(error.contains("f.jsonl") && error.contains(word), "{error}");
    }
    let mut b = builder();
    assert_eq!(samples.read(line.as_bytes(), &mut b).unwrap(), 1);
    let nats = b.build().unwrap().error("small", "d").unwrap();
    assert!((nats - (1.0 + (-1.0_f64).exp()).ln()).abs() < 1e-15);
}

/// The error of a log that people have.
fn error_of(name: &str, measure: Measure) -> Result<(usize, f64), LadderError> {
    let path = format!("{}/tests/data/cases/{name}", env!("CARGO_MANIFEST_DIR"));
    read_text(&std::fs::read_to_string(path).unwrap(), measure)
}

fn read_text(text: &str, measure: Measure) -> Result<(usize, f64), LadderError> {
    let samples = Samples {
        run: "small",
        distribution: "d",
        measure,
        cluster_field: None,
        file: "f.jsonl",
    };
    let mut builder = builder();
    let documents = samples.read(text.as_bytes(), &mut builder)?;
    Ok((documents, builder.build()?.error("small", "d").unwrap()))
}

/// `−ln` of the share of the first of these log-likelihoods.
fn nats(all: &[f64]) -> f64 {
    all.iter().map(|l| l.exp()).sum::<f64>().ln() - all[0]
}

#[test]
fn logs_that_people_have_give_what_the_harness_gives() {
    let close = |got: Result<(usize, f64), LadderError>, documents: usize, wanted: f64| {
        let (found, error) = got.unwrap();
        assert_eq!(found, documents);
        assert!((error - wanted).abs() < 1e-12, "{error} is not {wanted}");
    };
    // The index decides, although another choice has that text.
    let numeric = [
        nats(&[-1.0, -5.0, -4.0, -3.0]),
        nats(&[-1.0, -5.0, -4.0, -3.0]),
    ];
    let mean = (numeric[0] + numeric[1]) / 2.0;
    close(
        error_of("harness_numeric.jsonl", Measure::ChoiceNats),
        2,
        mean,
    );
    // Equal documents are two.
    let two = nats(&[-1.0, -2.0]);
    close(
        error_of("harness_duphash.jsonl", Measure::ChoiceNats),
        2,
        two,
    );
    close(error_of("harness_wino.jsonl", Measure::ChoiceNats), 1, two);
    close(
        error_of("harness_lambada.jsonl", Measure::AnswerNats),
        1,
        8.48,
    );
    close(
        error_of("harness_lambada.jsonl", Measure::GreedyError),
        1,
        1.0,
    );
    let bits = 8.48 / (5.0 * std::f64::consts::LN_2);
    close(
        error_of("harness_lambada.jsonl", Measure::AnswerBitsPerByte),
        1,
        bits,
    );
}

#[test]
fn responses_without_the_question_are_no_choices() {
    let line = r#"{"doc_id": 0, "target": "1", "metrics": ["acc", "acc_mutual_info"],
        "filtered_resps": [["-3", "False"], ["-1", "True"], ["-0.1", "True"], ["-0.2", "False"]]}"#
        .replace('\n', " ");
    let (_, error) = read_text(&line, Measure::ChoiceNats).unwrap();
    assert!((error - nats(&[-1.0, -3.0])).abs() < 1e-12);
    // By the requests, where the metrics are not named; a byte-order mark before them.
    let line = r#"{"doc_id": 0, "target": 1, "arguments": [["q", " a"], ["q", " b"], ["", " a"], ["", " b"]],
        "filtered_resps": [[-3, false], [-1, true], [-0.1, true], [-0.2, false]]}"#
        .replace('\n', " ");
    let (_, error) = read_text(&format!("\u{feff}{line}"), Measure::ChoiceNats).unwrap();
    assert!((error - nats(&[-1.0, -3.0])).abs() < 1e-12);
}
