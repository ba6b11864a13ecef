//! Scores as a table in Parquet.

use std::fs;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::common::{file, relscale, suite};

#[test]
fn scores_in_parquet_are_those_in_json_lines() {
    let checkpoint = suite("checkpoints/balanced/isoflop-6ep10-d8-L1-B2-balanced");
    let items = file("parquet.jsonl");
    let lines = [
        r#"{"id": "t", "cluster": "c", "text": "One."}"#,
        r#"{"id": "q", "context": "So", "choices": [" a", " bc"], "gold": 1, "unconditional": "A:"}"#,
        r#"{"id": "n", "tokens": [72, 101]}"#,
    ];
    fs::write(&items, lines.join("\n")).unwrap();
    let (json, table) = (file("scores.jsonl"), file("scores.parquet"));
    for out in [&json, &table] {
        let (items, out) = (items.to_str().unwrap(), out.to_str().unwrap());
        let output = relscale(&[
            "score",
            "--checkpoint",
            &checkpoint,
            "--items",
            items,
            "--out",
            out,
        ]);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = fs::read_to_string(json).unwrap();
    let json: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reader = SerializedFileReader::new(fs::File::open(&table).unwrap()).unwrap();
    let rows: Vec<Vec<(String, Field)>> = reader
        .get_row_iter(None)
        .unwrap()
        .map(|row| row.unwrap().into_columns())
        .collect();
    // A row per text and choice.
    let places = [(0, None), (1, Some(0)), (1, Some(1)), (2, None)];
    assert_eq!(rows.len(), places.len());
    for (row, (item, choice)) in rows.iter().zip(places) {
        let field = |name: &str| &row.iter().find(|(column, _)| column == name).unwrap().1;
        let value = |name: &str| match choice {
            Some(choice) => json[item].get(name).map(|list| &list[choice]),
            None => json[item].get(name),
        };
        assert_eq!(
            *field("id"),
            Field::Str(json[item]["id"].as_str().unwrap().into())
        );
        assert_eq!(
            *field("cluster"),
            Field::Str(json[item]["cluster"].as_str().unwrap().into())
        );
        let index = choice.map_or(Field::Null, |c| Field::Long(c as i64));
        assert_eq!(*field("choice"), index);
        for name in ["log_likelihood", "unconditional"] {
            let wanted = value(name).map_or(Field::Null, |v| Field::Double(v.as_f64().unwrap()));
            assert_eq!(*field(name), wanted, "{name}");
        }
        for name in ["tokens", "bytes"] {
            let wanted = value(name).map_or(Field::Null, |v| Field::Long(v.as_i64().unwrap()));
            assert_eq!(*field(name), wanted, "{name}");
        }
        assert_eq!(*field("checkpoint"), Field::Null);
    }
    let refused = relscale(&[
        "score",
        "--checkpoint",
        "a",
        "--items",
        "b",
        "--out",
        "c.parquet",
        "--per-token",
    ]);
    assert_eq!(refused.status.code(), Some(2));
    let message = String::from_utf8_lossy(&refused.stderr);
    assert!(
        message.contains("--per-token") && message.contains("--out FILE.jsonl"),
        "{message}"
    );
}
