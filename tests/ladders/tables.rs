//! Tables of losses in every form that people have them in.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;
use relscale::fit::Design;
use relscale::fit::strategies;
use relscale::ladder::{Ladder, LadderError, RunTable, Tables};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/tables")
        .join(name)
}

/// A file of this test and process.
fn file(name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("relscale-tables-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn open(paths: &[&Path]) -> Result<Tables, LadderError> {
    paths
        .iter()
        .try_fold(Tables::new(), |tables, path| tables.open(path))
}

fn load(path: &Path) -> Result<(Ladder, Vec<String>), LadderError> {
    open(&[path])?.ladder()
}

/// The message with which a table is refused.
fn refused(name: &str, bytes: impl AsRef<[u8]>) -> String {
    load(&file(name, bytes)).unwrap_err().to_string()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(text).unwrap();
    out.finish().unwrap()
}

fn zstd(text: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
}

const SMALL: &str = "corpus,run,budget,flops,params,tokens,distribution,loss\n\
                     web,a,1e18,1e18,1e8,2e9,news,3\nweb,a,1e18,1e18,1e8,2e9,law,4\n\
                     web,b,1e19,1e19,1e9,2e9,news,2\nweb,b,1e19,1e19,1e9,2e9,law,3.5\n";

#[test]
fn tables_of_pandas_and_polars_are_the_same_ladder() {
    let expected: BTreeMap<String, String> =
        serde_json::from_slice(&fs::read(fixture("expected.json")).unwrap()).unwrap();
    let check = |name: &str, ladder: &Ladder| {
        assert_eq!(ladder.runs().len(), 5, "{name}");
        for (key, hex) in &expected {
            let (run, distribution) = key.split_once(' ').unwrap();
            let loss = ladder.error(run, distribution).unwrap();
            assert_eq!(loss, from_hex(hex), "{name}: {key}");
        }
        let runs = ladder.runs();
        let seeds: Vec<Option<u64>> = runs.iter().map(|r| r.seed).collect();
        assert_eq!(seeds, [Some(0), Some(1), Some(2), None, Some(4)], "{name}");
        let held_out: Vec<bool> = runs.iter().map(|r| r.held_out).collect();
        assert_eq!(held_out, [false, false, false, false, true], "{name}");
        assert_eq!(runs[4].params, 8.1e8, "{name}");
        // pandas writes ten digits to JSON.
        assert!((runs[4].flops / 1.01e22 - 1.0).abs() < 1e-9, "{name}");
        assert_eq!(runs[0].trajectory, None, "{name}");
    };
    for name in [
        "index.csv",
        "tabs.tsv",
        "semicolons.csv",
        "long.csv.gz",
        "long.csv.zst",
        "long.jsonl",
        "long.jsonl.gz",
        "long.jsonl.zst",
        "snappy.parquet",
        "index.parquet",
        "category.parquet",
    ] {
        let (ladder, notes) = load(&fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        check(name, &ladder);
        assert!(notes.is_empty(), "{name}: {notes:?}");
    }
    for name in ["wide.csv", "wide.parquet"] {
        let (ladder, notes) = load(&fixture(name)).unwrap();
        check(name, &ladder);
        let [note] = notes.as_slice() else {
            panic!("{notes:?}")
        };
        assert!(note.contains("columns code, law, news is taken"), "{note}");
        assert!(note.contains("lr, note not"), "{note}");
        let named = open(&[&fixture(name)])
            .unwrap()
            .distributions(["law", "news"]);
        let (ladder, notes) = named.ladder().unwrap();
        assert_eq!(ladder.distributions().collect::<Vec<_>>(), ["law", "news"]);
        assert!(notes.is_empty(), "{notes:?}");
    }
    let joined = open(&[&fixture("losses.csv"), &fixture("runs.jsonl")]).unwrap();
    check("joined", &joined.ladder().unwrap().0);
    let renamed = open(&[&fixture("renamed.csv")]).unwrap();
    let renamed = renamed.column("loss", "bpb").unwrap();
    let renamed = renamed.column("distribution", "domain").unwrap();
    check("renamed", &renamed.ladder().unwrap().0);
}

/// Zstandard inside Parquet is C code, which the library leaves to the program.
#[test]
fn parquet_of_polars_is_read_or_refused_with_a_way_out() {
    match load(&fixture("polars.parquet")) {
        Ok((ladder, _)) => assert_eq!(ladder.runs().len(), 5),
        Err(e) => {
            let message = e.to_string();
            for part in ["polars.parquet", "zstd", "Snappy"] {
                assert!(message.contains(part), "no {part:?} in {message}");
            }
        }
    }
}

/// The number that `float.hex` of Python writes.
fn from_hex(text: &str) -> f64 {
    let (mantissa, exponent) = text.strip_prefix("0x1.").unwrap().split_once('p').unwrap();
    let fraction = u64::from_str_radix(mantissa, 16).unwrap();
    let exponent: i64 = exponent.parse().unwrap();
    f64::from_bits(((exponent + 1023) as u64) << 52 | fraction)
}

/// The rows of a CSV text as JSON lines, numbers as numbers.
fn json_lines(text: &str) -> String {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let mut out = String::new();
    for row in reader.records() {
        let row = row.unwrap();
        let pairs = header.iter().zip(&row).map(|(column, field)| {
            let value = match (field, field.parse::<f64>()) {
                ("", _) => serde_json::Value::Null,
                (_, Ok(number)) if column != "cluster" => number.into(),
                (text, _) => text.into(),
            };
            (column.to_owned(), value)
        });
        let object: serde_json::Map<_, _> = pairs.collect();
        out += &format!("{}\n", serde_json::Value::from(object));
    }
    out
}

/// The rows of a CSV text as Parquet, losses as numbers and everything else as text that may be null.
fn parquet_bytes(text: &str) -> Vec<u8> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let fields = header.iter().map(|name| match name {
        "loss" => "required double loss;".to_owned(),
        name => format!("optional binary {name} (UTF8);"),
    });
    let schema = format!("message t {{ {} }}", fields.collect::<String>());
    let schema = Arc::new(parse_message_type(&schema).unwrap());
    let mut bytes = Vec::new();
    let mut out = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    // Two groups, so that the rows go on in the second.
    for rows in rows.chunks(rows.len().div_ceil(2)) {
        let mut group = out.next_row_group().unwrap();
        for (at, name) in header.iter().enumerate() {
            let mut column = group.next_column().unwrap().unwrap();
            let texts = rows.iter().map(|row| &row[at]);
            if name == "loss" {
                let values: Vec<f64> = texts.map(|t| t.parse().unwrap()).collect();
                column
                    .typed::<DoubleType>()
                    .write_batch(&values, None, None)
                    .unwrap();
            } else {
                let present: Vec<i16> = texts.clone().map(|t| (!t.is_empty()).into()).collect();
                let values = texts.filter(|t| !t.is_empty()).map(ByteArray::from);
                let values: Vec<ByteArray> = values.collect();
                let column = column.typed::<ByteArrayType>();
                column.write_batch(&values, Some(&present), None).unwrap();
            }
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    out.close().unwrap();
    bytes
}

/// The rows with a column per distribution, if every run has one weight.
fn wide(text: &str) -> Option<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let place = |name: &str| header.iter().position(|h| h == name).unwrap();
    let (distribution, loss, cluster) = (place("distribution"), place("loss"), place("cluster"));
    let mut rows: BTreeMap<Vec<String>, BTreeMap<String, String>> = BTreeMap::new();
    let mut names = std::collections::BTreeSet::new();
    for row in reader.records().map(Result::unwrap) {
        if !row[cluster].is_empty() {
            return None;
        }
        let rest = row
            .iter()
            .enumerate()
            .filter(|(i, _)| ![distribution, loss].contains(i));
        let rest: Vec<String> = rest.map(|(_, f)| f.to_owned()).collect();
        names.insert(row[distribution].to_owned());
        let cells = rows.entry(rest).or_default();
        cells.insert(row[distribution].to_owned(), row[loss].to_owned());
    }
    let rest = header
        .iter()
        .enumerate()
        .filter(|(i, _)| ![distribution, loss].contains(i));
    let mut out = csv::Writer::from_writer(Vec::new());
    let columns = rest.map(|(_, h)| h).chain(names.iter().map(String::as_str));
    out.write_record(columns).unwrap();
    for (rest, cells) in rows {
        let cells = names
            .iter()
            .map(|name| cells.get(name).cloned().unwrap_or_default());
        out.write_record(rest.into_iter().chain(cells)).unwrap();
    }
    Some(String::from_utf8(out.into_inner().unwrap()).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_global_rejects: 256, ..ProptestConfig::default() })]

    /// A ladder that is written in any form and read back is the same ladder.
    #[test]
    fn every_form_reads_back_the_same_ladder(
        (_, ladder) in strategies::irregular_ladders(Design::Isoflop),
        tear in 1_usize..200,
    ) {
        let mut csv = Vec::new();
        ladder.write_csv(&mut csv).unwrap();
        let text = String::from_utf8(csv).unwrap();
        let expected = Ladder::from_csv(text.as_bytes(), "csv").unwrap();
        let lines = json_lines(&text);
        let tear = text.len() * tear / 200;
        let (front, back) = text.as_bytes().split_at(tear);
        let mut forms = vec![
            ("tabs", text.replace(',', "\t").into_bytes()),
            ("semicolons", text.replace(',', ";").replace('\n', "\r\n").into_bytes()),
            ("mark", format!("\u{feff}{text}").into_bytes()),
            ("spaces", text.replace(',', ", ").into_bytes()),
            ("gzip", gzip(text.as_bytes())),
            ("members", [gzip(front), gzip(back)].concat()),
            ("zstd", zstd(text.as_bytes())),
            ("frames", [zstd(front), b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(), zstd(back)].concat()),
            ("lines", lines.clone().into_bytes()),
            ("lines with a mark", format!("\u{feff}{lines}").into_bytes()),
            ("lines.gz", gzip(lines.as_bytes())),
            ("parquet", parquet_bytes(&text)),
        ];
        forms.extend(wide(&text).map(|wide| ("wide", wide.into_bytes())));
        for (name, bytes) in forms {
            let tables = Tables::new().add(std::io::Cursor::new(bytes), name).unwrap();
            let (read, _) = tables.ladder().unwrap_or_else(|e| panic!("{name}: {e}"));
            prop_assert_eq!(read.runs(), expected.runs(), "{}", name);
            prop_assert_eq!(read.scores(), expected.scores(), "{}", name);
        }
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let owned = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect::<Vec<_>>();
        let columns = owned(reader.headers().unwrap());
        let rows: Vec<_> = reader.records().map(|row| Ok(owned(&row.unwrap()))).collect();
        let (read, _) = Tables::new().add_rows("rows", columns, rows).ladder().unwrap();
        prop_assert_eq!(read.runs(), expected.runs());
        prop_assert_eq!(read.scores(), expected.scores());
    }

    /// Every row that a program hands over has a field for each column.
    #[test]
    fn a_row_of_another_length_is_refused_by_number(len in 0_usize..8, at in 0_usize..8) {
        let columns = ["run", "params", "tokens", "news", "web"].map(str::to_owned);
        prop_assume!(len != columns.len());
        let rows = (0..8).map(move |row| {
            let mut fields: Vec<String> = ["", "1e8", "2e9", "3.5", "3"].map(Into::into).into();
            fields[0] = format!("r{row}");
            fields.resize(if row == at { len } else { 5 }, "1".into());
            Ok(fields)
        });
        let tables = Tables::new().distributions(["news", "web"]).add_rows("mine", columns, rows);
        let message = tables.ladder().unwrap_err().to_string();
        let expected = format!("row {}: {len} fields for 5 columns", at + 1);
        prop_assert!(message.contains("mine") && message.contains(&expected), "{}", message);
    }

    /// The rows may be cut into any tables, and the runs described apart.
    #[test]
    fn any_cut_into_tables_is_the_same_ladder(
        (_, ladder) in strategies::irregular_ladders(Design::Rungs),
        parts in 1_usize..4,
    ) {
        let mut csv = Vec::new();
        ladder.write_csv(&mut csv).unwrap();
        let text = String::from_utf8(csv).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let of_runs = ["corpus", "budget", "flops", "params", "tokens", "seed", "trajectory",
            "flop_convention", "held_out", "epochs", "run"];
        let writer = |_| csv::Writer::from_writer(Vec::new());
        let mut losses: Vec<csv::Writer<Vec<u8>>> = (0..parts).map(writer).collect();
        let mut runs = csv::Writer::from_writer(Vec::new());
        let cut = |row: &csv::StringRecord, keep: &dyn Fn(&str) -> bool| {
            let kept = header.iter().zip(row.iter()).filter(|(h, _)| keep(h));
            kept.map(|(_, f)| f.to_owned()).collect::<Vec<_>>()
        };
        let is_run = |h: &str| of_runs.contains(&h);
        let is_loss = |h: &str| !of_runs.contains(&h) || h == "run";
        runs.write_record(cut(&header, &is_run)).unwrap();
        for part in &mut losses {
            part.write_record(cut(&header, &is_loss)).unwrap();
        }
        let mut seen = std::collections::BTreeSet::new();
        for (i, row) in reader.records().map(Result::unwrap).enumerate() {
            losses[i % parts].write_record(cut(&row, &is_loss)).unwrap();
            let described = cut(&row, &is_run);
            if seen.insert(described.clone()) {
                runs.write_record(described).unwrap();
            }
        }
        let mut tables = Tables::new();
        for part in losses {
            tables = tables.add(std::io::Cursor::new(part.into_inner().unwrap()), "losses").unwrap();
        }
        let runs = std::io::Cursor::new(runs.into_inner().unwrap());
        let (read, notes) = tables.add(runs, "runs").unwrap().ladder().unwrap();
        let expected = Ladder::from_csv(text.as_bytes(), "csv").unwrap();
        prop_assert_eq!(read.runs(), expected.runs());
        prop_assert_eq!(read.scores(), expected.scores());
        prop_assert!(notes.is_empty(), "{:?}", notes);
    }

    /// A Parquet file with changed bytes is read or refused.
    #[test]
    fn no_changed_byte_of_parquet_panics(at in 0_usize..4096, value: u8) {
        let mut bytes = fs::read(fixture("snappy.parquet")).unwrap();
        let at = at * bytes.len() / 4096;
        bytes[at] = value;
        let tables = Tables::new().add(std::io::Cursor::new(bytes), "changed.parquet");
        if let Err(e) = tables.and_then(Tables::ladder) {
            prop_assert!(e.to_string().starts_with("changed.parquet"), "{}", e);
        }
    }
}

#[test]
fn several_tables_that_contradict_each_other_are_refused_by_name() {
    let losses = "run,distribution,loss\na,news,3\nb,news,2\n";
    let runs =
        "run,corpus,flops,params,tokens,held_out\na,web,1e18,1e8,2e9,\nb,web,1e19,1e9,2e9,True\n";
    let cases = [
        // A value that the losses state otherwise.
        (
            "run,distribution,loss,params\na,news,3,1e8\nb,news,2,1e7\n",
            runs,
            "losses.csv, line 3: params of run \"b\" is \"1e7\", and \"1e9\" in line 3 of ",
        ),
        (
            losses,
            "run,corpus,flops,params,tokens\na,web,1e18,1e8,2e9\nb,web,1e19,1e9,2e9\nb,web,1e19,1e9,3e9\n",
            "runs.csv, line 4: tokens of run \"b\" is \"3e9\", and \"2e9\" in line 3 of ",
        ),
        (
            "run,distribution,loss\na,news,3\nB,news,2\n",
            runs,
            "losses.csv, line 3: run \"B\" is not in ",
        ),
        (
            losses,
            "model,flops\na,1e18\n",
            "neither losses nor a column `run`",
        ),
    ];
    for (losses, runs, part) in cases {
        let (losses, runs) = (file("losses.csv", losses), file("runs.csv", runs));
        let error = open(&[&losses, &runs])
            .unwrap()
            .ladder()
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    // The same spelt otherwise is no contradiction, and an empty field is filled.
    let own = file(
        "own.csv",
        "run,distribution,loss,params,held_out\na,news,3,100000000.0,\nb,news,2,,true\n",
    );
    let described = file("described.csv", format!("{runs}c,web,1e20,1e9,2e10,\n"));
    let (ladder, notes) = open(&[&described, &own]).unwrap().ladder().unwrap();
    assert!(ladder.runs()[1].held_out && ladder.runs()[1].params == 1e9);
    assert!(
        notes.iter().any(|n| n.contains("no losses of c")),
        "{notes:?}"
    );
    assert!(
        notes.iter().any(|n| n.contains("no column `budget`")),
        "{notes:?}"
    );

    let small = file("small.csv", SMALL);
    let error = open(&[&small, &small])
        .unwrap()
        .ladder()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("small.csv, line 2: repeats line 2 of "),
        "{error}"
    );
    let other = file(
        "other.csv",
        SMALL.replace("news", "code").replace("web,b", "net,b"),
    );
    let error = open(&[&small, &other])
        .unwrap()
        .ladder()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("other.csv, line 3: repeats line 3 of "),
        "{error}"
    );
    let other = file(
        "other.csv",
        SMALL
            .replace("news", "code")
            .replace("law", "math")
            .replace("web,b", "net,b"),
    );
    let error = open(&[&small, &other])
        .unwrap()
        .ladder()
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("other.csv, line 4: corpus of run \"b\" differs from line 4 of "),
        "{error}"
    );
}

#[test]
fn what_follows_from_other_columns_is_filled_in_with_a_note() {
    let text = "run,params,tokens,news,law\na,1e8,2e9,3,4\nb,1e9,2e10,2,3.5\n";
    let (ladder, notes) = load(&file("bare.csv", text)).unwrap();
    assert_eq!(ladder.runs()[1].flops, 1.2e20);
    assert_eq!(ladder.flop_convention().as_str(), "6nd");
    for part in [
        "`corpus`",
        "`flops`",
        "`budget`",
        "each of the columns news, law",
    ] {
        assert!(
            notes.iter().any(|n| n.contains(part)),
            "no {part:?} in {notes:?}"
        );
    }
    // A misspelt column is not a missing one.
    let error = refused("misspelt.csv", text.replace("law", "Flops"));
    assert!(
        error.contains("\"Flops\"") && error.contains("\"flops\""),
        "{error}"
    );
    let error = refused("number.csv", text.replace("2e9", "two"));
    assert!(error.contains("line 2: tokens is \"two\""), "{error}");
    let scaled = text
        .replace("run,", "run,shots,")
        .replace("a,", "a,1,")
        .replace("b,", "b,4,");
    let tables = open(&[&file("scaled.csv", scaled)]).unwrap().along("shots");
    let (ladder, _) = tables.ladder().unwrap();
    assert_eq!(
        (ladder.scale_name(), ladder.runs()[1].flops),
        (Some("shots"), 4.0)
    );
    // A loss of training beside the columns that are named is none of a distribution.
    let trained = text.replace("news", "loss");
    let tables = open(&[&file("trained.csv", trained)]).unwrap();
    let (ladder, _) = tables.distributions(["law"]).ladder().unwrap();
    assert_eq!(ladder.distributions().collect::<Vec<_>>(), ["law"]);
    // An empty cell of a wide table was not scored; a text in it is no loss.
    let (ladder, _) = load(&file("gap.csv", text.replace("3,4", "3,nan"))).unwrap();
    assert_eq!(
        (ladder.error("a", "law"), ladder.error("b", "law")),
        (None, Some(3.5))
    );
    let error = refused("text.csv", text.replace("3.5", "low"));
    assert!(
        error.contains("line 3: law is \"low\", expected a loss"),
        "{error}"
    );
}

#[test]
fn nothing_of_a_table_of_runs_is_passed_over() {
    let losses = file("losses.csv", "run,distribution,loss\na,news,3\nb,news,2\n");
    let with = |runs: &str| open(&[&losses, &file("runs.csv", runs)]).unwrap().ladder();
    let whole =
        "run,flops,params,tokens,HELDOUT,final\na,1e18,1e8,2e9,,3.1\nb,1e19,1e9,2e9,True,2.9\n";
    let error = with(whole).unwrap_err().to_string();
    assert!(
        error.contains("\"HELDOUT\"") && error.contains("\"held_out\""),
        "{error}"
    );
    let (ladder, notes) = with(&whole.replace("HELDOUT", "held_out")).unwrap();
    assert!(ladder.runs()[1].held_out);
    assert!(
        notes.iter().any(|n| n.contains("not read: final;")),
        "{notes:?}"
    );
    // A run that the table of runs lacks might be one that is held out.
    let own =
        "run,flops,params,tokens,distribution,loss\na,1e18,1e8,2e9,news,3\nb,1e19,1e9,2e9,news,2\n";
    let own = file("own.csv", own);
    let held_out = file("held-out.csv", "run,held_out\nB,true\na,\n");
    let error = open(&[&own, &held_out])
        .unwrap()
        .ladder()
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 3: run \"b\" is not in"), "{error}");
}

#[test]
fn columns_are_renamed_all_at_once() {
    let text = "run,params,tokens,distribution,id,item,loss\n\
                a,1e8,2e9,news,d1,q1,3\na,1e8,2e9,news,d2,q1,4\na,1e8,2e9,news,d3,q2,5\n";
    let clusters = |columns: [(&str, &str); 2]| {
        let mut tables = open(&[&file("renamed.csv", text)]).unwrap();
        for (column, name) in columns {
            tables = tables.column(column, name).unwrap();
        }
        let (ladder, _) = tables.ladder().unwrap();
        ladder.scores()[0].clusters().to_vec()
    };
    let swapped = clusters([("item", "id"), ("cluster", "item")]);
    assert_eq!(swapped, ["q1", "q2"]);
    assert_eq!(clusters([("cluster", "item"), ("item", "id")]), swapped);
}

#[test]
fn two_columns_of_one_name_and_lists_in_place_of_names_are_refused() {
    let twice = "run,params,tokens,cluster,web,web\na,1e8,2e9,c,3.05,2.9\n";
    let error = refused("twice.csv", twice);
    assert!(
        error.contains("line 1: two columns are named \"web\""),
        "{error}"
    );
    let line = r#"{"run":"a","params":1e8,"tokens":2e9,"loss":3,"loss":4,"distribution":"news"}"#;
    let error = refused("twice.jsonl", line);
    assert!(
        error.contains("line 1: the field \"loss\" comes twice"),
        "{error}"
    );
    for (column, value) in [
        ("corpus", r#"{"name":"web"}"#),
        ("cluster", r#"["law","uk"]"#),
    ] {
        let line = r#"{"run":"a","params":1e8,"tokens":2e9,"loss":3,"distribution":"news","#;
        let error = refused("nested.jsonl", format!("{line}\"{column}\":{value}}}"));
        assert!(error.contains(&format!("line 1: {column} is")), "{error}");
    }
}

#[test]
fn names_that_are_nearly_right_are_suggested() {
    let cases = [
        (SMALL.replace("loss", "Loss"), "did you mean \"Loss\"?"),
        (
            SMALL.replace("distribution", "distributions"),
            "(distribution=distributions)",
        ),
    ];
    for (text, part) in cases {
        let error = refused("near.csv", text);
        assert!(error.contains(part), "no {part:?} in {error}");
    }
    let small = file("small.csv", SMALL);
    let error = open(&[&small])
        .unwrap()
        .distributions(["Loss"])
        .ladder()
        .unwrap_err();
    assert!(
        error.to_string().contains("did you mean \"loss\"?"),
        "{error}"
    );
    let error = open(&[&small]).unwrap().column("loss", "losss");
    let error = error.unwrap().ladder().unwrap_err();
    assert!(
        error.to_string().contains("no column named \"losss\""),
        "{error}"
    );
    for (column, part) in [
        ("weights", "did you mean \"weight\"?"),
        ("bpb", "a table may have"),
    ] {
        let error = Tables::new().column(column, "x").unwrap_err().to_string();
        assert!(error.contains(part), "no {part:?} in {error}");
    }
}

#[test]
fn files_that_are_no_tables_are_refused_with_a_way_out() {
    let lines = json_lines(SMALL);
    let cases: [(&str, Vec<u8>, &str); 16] = [
        ("list.json", b" [{\"run\": 1}]".to_vec(), "lines=True"),
        (
            "columns.json",
            b"{\"run\":{\"0\":\"a\"},\"loss\":{\"0\":3}}".to_vec(),
            "lines=True",
        ),
        ("pretty.json", b"{\n  \"run\": 1\n}".to_vec(), "lines=True"),
        (
            "new.jsonl",
            format!("{lines}{{\"x\": 1}}\n").into_bytes(),
            "line 5: a field \"x\"",
        ),
        (
            "number.jsonl",
            format!("{lines}3\n").into_bytes(),
            "line 5: column",
        ),
        (
            "torn.jsonl",
            format!("{lines}{{\"run\": ").into_bytes(),
            "line 5: column",
        ),
        (
            "nan.jsonl",
            lines.replacen("3.0", "NaN", 1).into_bytes(),
            "NaN is no number of JSON",
        ),
        (
            "torn.csv.gz",
            gzip(SMALL.as_bytes())[..60].to_vec(),
            "torn.csv.gz",
        ),
        (
            "torn.csv.zst",
            zstd(SMALL.as_bytes())[..60].to_vec(),
            "torn.csv.zst",
        ),
        ("magic.zst", vec![0x28, 0xb5, 0x2f, 0xfd], "magic.zst"),
        (
            "t.csv.xz",
            b"\xfd7zXZ\0...".to_vec(),
            "xz, which is not read",
        ),
        (
            "t.csv.bz2",
            b"BZh91AY&SY...".to_vec(),
            "bzip2, which is not read",
        ),
        ("t.xlsx", b"PK\x03\x04...".to_vec(), "save the sheet as CSV"),
        ("cut.parquet", b"PAR1....".to_vec(), "cut.parquet: "),
        (
            "short.csv",
            SMALL.replace(",4\n", "\n").into_bytes(),
            "line 3: 7 fields",
        ),
        ("empty.csv", Vec::new(), "neither a column `loss`"),
    ];
    for (name, bytes, part) in cases {
        let error = refused(name, bytes);
        assert!(
            error.contains(part) && error.contains(name),
            "{name}: no {part:?} in {error}"
        );
    }
    // Rows of Parquet are counted, and have no lines.
    let error = refused(
        "loss.parquet",
        parquet_bytes(&SMALL.replace("web,b,1e19", "web,b,x")),
    );
    assert!(
        error.contains("loss.parquet: row 3: budget is \"x\""),
        "{error}"
    );
    let error = load(&std::env::temp_dir()).unwrap_err().to_string();
    assert!(error.contains("is a folder"), "{error}");
    let error = Tables::new().ladder().unwrap_err().to_string();
    assert!(error.contains("no tables"), "{error}");
}

#[test]
fn files_that_expand_without_end_are_refused_while_they_are_read() {
    // 200 MB of one row in 200 kB, and 100 MB in less.
    let zeros = vec![b'0'; 200 << 20];
    for (name, bytes) in [
        ("zeros.csv.gz", gzip(&zeros)),
        ("zeros.csv.zst", zstd(&zeros[..100 << 20])),
    ] {
        let size = bytes.len();
        assert!(size < 1 << 18, "{name}: {size}");
        let mut reader = relscale::input::reader(bytes.as_slice()).unwrap();
        let error = std::io::copy(&mut reader, &mut std::io::sink()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("more than 500 times"), "{name}: {error}");
        let error = refused(name, &bytes);
        assert!(
            error.contains(name) && error.contains("a row is longer than"),
            "{name}: {error}"
        );
    }
    let line = [&b"{\"loss\": \""[..], &zeros[..65 << 20]].concat();
    let error = refused("zeros.jsonl", line);
    assert!(
        error.contains("zeros.jsonl, line 1: longer than"),
        "{error}"
    );
}

/// Opening a pipe waits for a writer, who may never come.
#[cfg(unix)]
#[test]
fn a_table_of_runs_is_no_pipe() {
    let pipe = file("runs-pipe", "").with_file_name("runs.pipe");
    // Of another process that had the same number.
    fs::remove_file(&pipe).ok();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for table in [
        RunTable::from_csv(&pipe),
        RunTable::from_csv_of_models(&pipe),
    ] {
        let error = table.unwrap_err().to_string();
        assert!(
            error.contains("runs.pipe: is not a regular file"),
            "{error}"
        );
    }
}

#[test]
fn a_table_of_runs_has_any_form() {
    let csv =
        "run,corpus,budget,flops,params,tokens,checkpoint\na,web,1e18,1e18,1e8,2e9,models/a\n";
    for (name, bytes) in [
        ("runs.csv.gz", gzip(csv.as_bytes())),
        ("runs.jsonl", json_lines(csv).into_bytes()),
    ] {
        let path = file(name, bytes);
        let table = RunTable::from_csv(&path).unwrap();
        assert_eq!(table.runs[0].run.params, 1e8, "{name}");
        assert_eq!(
            table.runs[0].checkpoint,
            path.with_file_name("models").join("a")
        );
    }
}
