//! Rows of any text, in blocks of any size and on any number of threads, beside those of the `csv` crate.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};

use proptest::prelude::*;

use super::table_on;
use crate::input::invalid;
use crate::ladder::{Ladder, LadderError, Tables};

/// Lines with their fields, and the error after them.
type Found = (Vec<(u64, Vec<String>)>, Option<(Option<u64>, String)>);

/// The rows by the `csv` crate alone.
fn expected(text: &[u8]) -> Found {
    let mut text = text.to_vec();
    super::newlines::unix_newlines(&mut text);
    let mut input = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_slice());
    let error = |e: csv::Error| {
        let message = match e.kind() {
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("{len} fields, the first line has {expected_len}"),
            csv::ErrorKind::Utf8 { err, .. } => format!("field {} is not UTF-8", err.field() + 1),
            _ => e.to_string(),
        };
        (e.position().map(csv::Position::line), message)
    };
    let mut rows = Vec::new();
    if let Err(e) = input.headers() {
        return (rows, Some(error(e)));
    }
    let mut record = csv::StringRecord::new();
    loop {
        let start = input.position().clone();
        let read = input.read_record(&mut record);
        let row = &text[start.byte() as usize..input.position().byte() as usize];
        if !is_well_quoted(row) {
            let message = super::parse::MISQUOTED.to_owned();
            return (rows, Some((Some(start.line()), message)));
        }
        match read {
            Ok(true) => {
                let line = record.position().unwrap().line();
                rows.push((line, record.iter().map(Into::into).collect()));
            }
            Ok(false) => return (rows, None),
            Err(e) => return (rows, Some(error(e))),
        }
    }
}

/// By a table of states, one byte after another.
fn is_well_quoted(row: &[u8]) -> bool {
    #[derive(PartialEq)]
    enum At {
        Start,
        Plain,
        Quoted,
        Closed,
        /// Spaces after the quote; another quote is a letter then.
        Spaced,
    }
    let is_end = |b: &u8| b"\r\n".contains(b);
    let start = row.iter().take_while(|b| is_end(b)).count();
    let end = row.iter().rev().take_while(|b| is_end(b)).count();
    let row = &row[start..start.max(row.len() - end)];
    let (mut at, mut within) = (At::Start, false);
    for &byte in row {
        at = match (at, byte) {
            (At::Quoted, b'"') => At::Closed,
            (At::Quoted, _) | (At::Start | At::Closed, b'"') => At::Quoted,
            (_, b',') => At::Start,
            (At::Closed | At::Spaced, b' ' | b'\t') => At::Spaced,
            (At::Closed | At::Spaced, b'\r' | b'\n') => At::Plain,
            (At::Closed | At::Spaced, _) => {
                within = true;
                At::Plain
            }
            _ => At::Plain,
        };
    }
    let lines = row.iter().any(|b| b"\r\n".contains(b));
    at != At::Quoted && !(within && lines)
}

/// The rows by this module.
fn found(text: impl Read, threads: usize, block: usize) -> Found {
    let mut rows = Vec::new();
    let error = |e: LadderError| match e {
        LadderError::Malformed { line, message, .. } => (line, message),
        e => panic!("{e}"),
    };
    let mut source = match table_on(threads, block, text, "t", b',') {
        Ok(source) => source,
        Err(e) => return (rows, Some(error(e))),
    };
    loop {
        match source.next_row() {
            Ok(Some(row)) => {
                let fields = (0..).map_while(|at| row.get(at));
                rows.push((row.line(), fields.map(Into::into).collect()));
            }
            Ok(None) => return (rows, None),
            Err(e) => return (rows, Some(error(e))),
        }
    }
}

/// Bytes of tables as people keep them, and as nobody does.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let field = prop_oneof![
        20 => "[a-c1-9.]{0,6}".prop_map(String::into_bytes),
        2 => "[ \u{a0}é]{0,2}[a-c]{0,2}[ \t\u{a0}]{0,2}".prop_map(String::into_bytes),
        2 => "\"[a-c, \n\r]{0,8}\"".prop_map(String::into_bytes),
        1 => "[a-c\"\r\u{feff}]{0,3}".prop_map(String::into_bytes),
    ];
    let end = prop_oneof![
        10 => Just("\n"), 4 => Just("\r\n"), 1 => Just("\n\n"), 1 => Just("\r\n\r\n"), 1 => Just("\r"),
        1 => Just(","), 1 => Just(""),
    ];
    let row = (prop::collection::vec(field, 3), end)
        .prop_map(|(fields, end)| [fields.join(&b','), end.as_bytes().to_vec()].concat());
    let rows = prop::collection::vec(row, 0..12).prop_map(|rows| rows.concat());
    let broken = prop::option::weighted(0.1, any::<prop::sample::Index>());
    (any::<bool>(), rows, broken).prop_map(|(mark, rows, broken)| {
        let mut text = if mark {
            b"\xef\xbb\xbf".to_vec()
        } else {
            vec![]
        };
        text.extend(rows);
        if let Some(at) = broken.filter(|_| !text.is_empty()) {
            let at = at.index(text.len());
            text[at] = 0xff;
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn blocks_and_threads_change_no_row_and_no_error(
        text in text(),
        block in 1_usize..80,
        threads in 0_usize..4,
    ) {
        prop_assert_eq!(found(text.as_slice(), threads, block), expected(&text));
    }

    /// A failure comes after the rows that are whole.
    #[test]
    fn a_failure_comes_after_the_rows_before_it(
        text in text(),
        block in 1_usize..80,
        threads in 0_usize..4,
    ) {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(invalid("broken"))
            }
        }
        let (rows, error) = found(Cursor::new(&text).chain(Broken), threads, block);
        let (all, refused) = expected(&text);
        prop_assert!(all.starts_with(&rows));
        // Of rows that end with a carriage return alone, those after the last newline may be left out.
        if !text.contains(&b'\r') && !text.contains(&b'"') {
            prop_assert!(all.len() - rows.len() <= 1, "{:?} of {:?}", rows, all);
        }
        match error {
            Some((None, message)) => prop_assert_eq!(message, "broken"),
            error => prop_assert_eq!(error, refused),
        }
    }
}

#[test]
fn a_row_after_empty_lines_has_the_line_after_the_row_before() {
    for block in 1..12 {
        let (rows, error) = found(&b"a\n1\n\n\r\n2\n"[..], 1, block);
        let lines: Vec<u64> = rows.iter().map(|row| row.0).collect();
        assert_eq!((lines, error), (vec![2, 3], None), "{block}");
    }
}

#[test]
fn a_row_over_many_blocks_is_one_row() {
    let long = "x,\n".repeat(5_000);
    let text = format!("a,b\n1,2\n\"{long}\",3\n4,5\n6\n");
    for threads in [0, 2] {
        let (rows, error) = found(text.as_bytes(), threads, 64);
        let lines: Vec<u64> = rows.iter().map(|row| row.0).collect();
        assert_eq!(lines, [2, 3, 5_004]);
        assert_eq!(rows[1].1, [long.trim(), "3"]);
        let message = "1 fields, the first line has 2".to_owned();
        assert_eq!(error, Some((Some(5_005), message)));
    }
}

#[test]
fn a_lone_quote_takes_in_no_rows() {
    let refused = |line| Some((Some(line), super::parse::MISQUOTED.to_owned()));
    for (text, error) in [
        // To the end of the table.
        ("a,b\n1,2\n3,\"lone\n5,6\n7,8\n", refused(3)),
        // To the next lone quote.
        ("a,b\n1,2\n3,\"lone\n5,6\n7,\"lone\n9,9\n", refused(3)),
        ("a,b\n1,\"two\nlines\"\n2,\"\"\"word\"\" \" \n", None),
        ("a,b\n1,5\" disk\n2,\"a\" disk\n", None),
    ] {
        for block in 1..20 {
            let (rows, found) = found(text.as_bytes(), 1, block);
            assert_eq!(found, error, "{text:?}");
            assert_eq!(rows.len(), if error.is_some() { 1 } else { 2 }, "{text:?}");
        }
    }
}

/// The ladder of a text in blocks, or the error.
fn ladder(text: &str, threads: usize, block: usize) -> Result<Ladder, LadderError> {
    let source = table_on(threads, block, Cursor::new(text.to_owned()), "t", b',')?;
    let tables = Tables::of_source(source);
    tables.ladder().map(|(ladder, _)| ladder)
}

/// A row of a random table: run, distribution, item, cluster, and if fields are quoted.
type Row = (usize, usize, usize, usize, bool);

/// The table of these rows, of which the first has line 2.
fn table_of(header: &str, rows: &[Row]) -> String {
    let mut text = format!("corpus,run,budget,flops,params,tokens,distribution,{header},loss\n");
    for &(run, distribution, item, cluster, quoted) in rows {
        let quote = if quoted { "\"" } else { "" };
        // One number in two ways.
        let tokens = if item == 1 { "2e9" } else { "2000000000" };
        let loss = loss(item);
        text += &format!(
            "web,r{run},1e18,1e18,1e8,{tokens},{quote}d{distribution}{quote},i{item},c{cluster}, {loss}\n"
        );
    }
    text
}

fn loss(item: usize) -> f64 {
    1.0 + item as f64 / 7.0
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Shuffled rows, some of them twice, some quoted.
    #[test]
    fn blocks_and_threads_change_no_ladder(
        rows in prop::collection::vec((0..3_usize, 0..2_usize, 0..60_usize, 0..3_usize, any::<bool>()), 1..40),
        header in prop::sample::select(vec!["item,cluster", "item,note", "note,cluster"]),
        block in 1_usize..200,
        threads in 0_usize..4,
    ) {
        let text = table_of(header, &rows);
        let found = ladder(&text, threads, block);
        prop_assert_eq!(&found, &Ladder::from_csv(text.as_bytes(), "t"));
        // Said once more, in a few lines.
        let (mut first, mut sums) = (HashMap::new(), BTreeMap::<_, Vec<f64>>::new());
        for (line, &(run, distribution, item, cluster, _)) in (2..).zip(&rows) {
            let within = if header == "note,cluster" { cluster } else { 0 };
            if let Some(before) = first.insert((run, distribution, item, within), line) {
                let Err(LadderError::DuplicateRow { line: second, first, .. }) = found else {
                    return Err(TestCaseError::fail(format!("{found:?}")));
                };
                prop_assert_eq!((first, second), (before, line));
                return Ok(());
            }
            let cluster = if header == "item,note" { format!("i{item}") } else { format!("c{cluster}") };
            let key = (format!("d{distribution}"), format!("r{run}"), cluster);
            sums.entry(key).or_default().push(loss(item));
        }
        let found = found.unwrap();
        let mut cells = BTreeMap::new();
        for scores in found.scores() {
            for cell in scores.cells() {
                let (run, cluster) = (&found.runs()[cell.run].id, &scores.clusters()[cell.cluster]);
                let key = (scores.name().to_owned(), run.clone(), cluster.clone());
                prop_assert_eq!((cell.rows as f64, cell.variance), (cell.weight, None));
                prop_assert_eq!(cells.insert(key, (cell.rows, cell.loss)), None);
            }
        }
        prop_assert!(cells.keys().eq(sums.keys()));
        for ((rows, loss), losses) in cells.values().zip(sums.values()) {
            prop_assert_eq!(*rows, losses.len() as u64);
            prop_assert!((loss - losses.iter().sum::<f64>()).abs() < 1e-12 * loss);
        }
    }
}
