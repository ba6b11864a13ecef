//! Files from strangers for the readers of benchmarks: they are read or refused with an error that
//! names them, and never allocate more than a multiple of their own size.

#[path = "../../tests/common/bounded.rs"]
mod bounded;
#[path = "../../tests/common/folder.rs"]
mod folder;

use std::fs;
use std::path::Path;

use bounded::{alone, bounded, hostile_lines, repeated};
use folder::Folder;
use relscale::Error;
use relscale::ladder::{Ladder, Run, Scale};
use relscale_cli::readers::harness::{Measure, Samples};
use relscale_cli::readers::{matched, multiple_choice, texts};

fn lines(path: &Path, what: &str) {
    let size = fs::metadata(path).unwrap().len() as usize;
    let results = [
        bounded(what, size, || matched::from_jsonl(path).map(drop)),
        bounded(what, size, || {
            multiple_choice::from_jsonl(path, &multiple_choice::ChoiceFields::default()).map(drop)
        }),
        bounded(what, size, || {
            texts::from_jsonl(path, &texts::TextFields::default()).map(drop)
        }),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        // Where nothing is read, nothing was there.
        let named = matches!(
            error,
            Error::Line { line: 1 | 2, .. } | Error::Format { .. }
        );
        assert!(named, "{what}: {error}");
    }
}

#[test]
fn items_in_lines() {
    let _alone = alone();
    let folder = Folder::new();
    hostile_lines(|what, text| lines(&folder.write("items.jsonl", text), what));
}

#[test]
fn samples_of_the_harness() {
    let _alone = alone();
    let mb = 1 << 20;
    let rest = r#""doc": {}, "filter": "none", "target": "0", "doc_id": 0"#;
    for (what, line) in [
        ("arrays in arrays", repeated(r#"{"doc_id": "#, "[", "", mb)),
        ("a line without end", "a".repeat(8 * mb)),
        (
            "lists for an id",
            repeated(r#"{"doc_id": ["#, "[],", "[]]}", mb),
        ),
        (
            "responses without end",
            format!(
                "{{{rest}, {}",
                repeated(r#""filtered_resps": ["#, "0,", "0]}", mb)
            ),
        ),
        (
            "no number",
            format!(r#"{{{rest}, "filtered_resps": ["nan", "inf"]}}"#),
        ),
        (
            "a target beyond the responses",
            r#"{"doc_id": 0, "target": 1e18, "filtered_resps": ["0", "0"]}"#.to_owned(),
        ),
    ] {
        for measure in [
            Measure::ChoiceNats,
            Measure::AnswerBitsPerByte,
            Measure::TextBitsPerByte,
        ] {
            let mut builder = Ladder::builder();
            builder
                .run(
                    Run::new(
                        "r",
                        Scale {
                            params: 1.0,
                            tokens: 1.0,
                            flops: 1.0,
                        },
                    )
                    .corpus("c"),
                )
                .unwrap();
            let samples = Samples {
                run: "r",
                distribution: "d",
                measure,
                cluster_field: None,
                file: "samples.jsonl",
            };
            let result = bounded(what, line.len(), || {
                samples.read(line.as_bytes(), &mut builder)
            });
            match result {
                Err(e) => assert!(e.to_string().contains("samples.jsonl"), "{what}: {e}"),
                Ok(_) => assert_eq!(what, "responses without end"),
            }
        }
    }
}
