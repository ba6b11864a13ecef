//! Logs that are damaged at every byte, mixed up, locked, or no logs at all.

use super::*;

use std::io::ErrorKind;

use proptest::prelude::*;
use relscale::log::Record;
use relscale::scorer::Score;
use sha2::{Digest, Sha256};

#[test]
fn a_bit_flipped_anywhere_is_named_or_cut_off() {
    let items = texts(4);
    let (raw, compact) = whole(&items);
    let last = raw[..raw.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap()
        + 1;
    let folder = Folder::new();
    let path = folder.file("log");
    for at in 0..raw.len() {
        for bit in 0..8 {
            let mut damaged = raw.clone();
            damaged[at] ^= 1 << bit;
            fs::write(&path, &damaged).unwrap();
            let line = raw[..at].iter().filter(|b| **b == b'\n').count() + 1;
            // Without the line feed before it the last line is one with its neighbour.
            match finish(&path, &items) {
                Ok(_) => {
                    assert!(at + 1 >= last, "byte {at}, bit {bit}");
                    assert_eq!(fs::read(&path).unwrap(), compact);
                }
                Err(Error::Line {
                    path: file,
                    line: named,
                    ..
                }) => {
                    assert_eq!(file, path);
                    assert_eq!(named, line, "byte {at}, bit {bit}");
                    // Refused, and left as it was.
                    assert_eq!(fs::read(&path).unwrap(), damaged);
                }
                // The first bytes say what the file is.
                Err(Error::Format { path: file, .. }) => {
                    assert_eq!(file, path);
                    assert!(at < 24, "byte {at}, bit {bit}");
                }
                Err(e) => panic!("byte {at}, bit {bit}: {e}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_scores_are_read_back_to_the_bit(
        rows in prop::collection::btree_map(
            any::<String>(),
            (any::<String>(), prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
             prop::num::f64::POSITIVE, prop::collection::vec(any::<String>(), 0..2)),
            0..8,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let folder = Folder::new();
        let path = folder.file("log");
        let key = key(&texts(8));
        let record = |(cluster, loss, weight, warnings): &(String, f64, f64, Vec<String>)| Record {
            cluster: cluster.clone(),
            scores: vec![Score { loss: *loss, weight: *weight }],
            warnings: warnings.clone(),
        };
        // Interrupted at several bytes, each time going on with what is missing.
        for cut in &cuts {
            let mut log = Log::open(&path, &key).unwrap();
            for (id, row) in &rows {
                if !log.table().records().contains_key(id) {
                    log.append(id, record(row)).unwrap();
                }
            }
            drop(log);
            let bytes = fs::read(&path).unwrap();
            let table = Table::read(&path).unwrap();
            prop_assert_eq!(table.records().len(), rows.len());
            for (id, row) in &rows {
                let read = &table.records()[id];
                prop_assert_eq!(read, &record(row));
                prop_assert_eq!(read.scores[0].loss.to_bits(), row.1.to_bits());
                prop_assert_eq!(read.scores[0].weight.to_bits(), row.2.to_bits());
            }
            fs::write(&path, &bytes[..cut.index(bytes.len())]).unwrap();
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), marked: bool) {
        let folder = Folder::new();
        let path = folder.file("log");
        let start: &[u8] = if marked { b"{\"relscale_score_log\":1," } else { b"" };
        let bytes = [start, bytes.as_slice()].concat();
        fs::write(&path, &bytes).unwrap();
        Table::read(&path).unwrap_err();
        if Log::open(&path, &key(&texts(1))).is_ok() {
            // Only a first line that was not finished is written anew.
            const MARKER: &[u8] = b"{\"relscale_score_log\":1,";
            let feed = bytes.iter().position(|b| *b == b'\n');
            let cut = bytes.starts_with(MARKER) && feed.is_none_or(|at| at + 1 == bytes.len());
            prop_assert!(cut || MARKER.starts_with(bytes.as_slice()));
        }
    }
}

#[test]
fn fields_that_a_log_does_not_have_are_refused() {
    let folder = Folder::new();
    let path = folder.file("log");
    let items = texts(2);
    let (raw, _) = whole(&items);
    let text = String::from_utf8(raw).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // Lines are sealed as a later version would: a field more, and a checksum that fits.
    let seal = |line: &str, added: &str, seed: &str| {
        let body = &line[..line.rfind(",\"check\"").unwrap()];
        let body = added.replace('…', body);
        let hash = Sha256::new()
            .chain_update(seed)
            .chain_update(&body)
            .finalize();
        let check: String = hash[..8].iter().map(|b| format!("{b:02x}")).collect();
        (format!("{body},\"check\":\"{check}\"}}"), check)
    };
    let (same, seed) = seal(lines[0], "…", "");
    assert_eq!(same, lines[0]);
    let write = |lines: &[&str]| fs::write(&path, lines.join("\n") + "\n").unwrap();
    let refused = |line: usize| {
        let e = Table::read(&path).unwrap_err();
        assert!(
            matches!(e, Error::Line { line: at, .. } if at == line),
            "{e}"
        );
        assert!(e.to_string().contains("unknown field `more`"), "{e}");
    };
    let (record, _) = seal(lines[1], "…,\"more\":1", &seed);
    write(&[lines[0], &record, lines[2]]);
    refused(2);
    let (header, _) = seal(lines[0], "…,\"more\":1", "");
    write(&[&header]);
    refused(1);
    let (key, _) = seal(
        &lines[0].replace("\"key\":{", "\"key\":{\"more\":1,"),
        "…",
        "",
    );
    write(&[&key]);
    refused(1);
}

#[test]
fn a_line_of_another_log_does_not_pass() {
    let items = texts(2);
    let folder = Folder::new();
    let (one, two) = (folder.file("one"), folder.file("two"));
    finish(&one, &items).unwrap();
    let mut other = key(&items);
    other.checkpoint = "another".into();
    drop(Log::open(&two, &other).unwrap());
    let line = fs::read_to_string(&one)
        .unwrap()
        .lines()
        .nth(1)
        .unwrap()
        .to_owned();
    let mixed = fs::read_to_string(&two).unwrap() + &line + "\n" + &line + "\n";
    fs::write(&two, mixed).unwrap();
    let e = Table::read(&two).unwrap_err();
    assert!(matches!(e, Error::Line { line: 2, .. }), "{e}");
}

#[test]
fn an_item_is_recorded_once() {
    let items = texts(2);
    let folder = Folder::new();
    let path = folder.file("log");
    finish(&path, &items).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().nth(2).unwrap();
    fs::write(&path, format!("{text}{line}\n")).unwrap();
    for e in [
        Table::read(&path).unwrap_err(),
        finish(&path, &items).unwrap_err(),
    ] {
        assert!(matches!(e, Error::Line { line: 4, .. }), "{e}");
        assert!(e.to_string().contains("also on line 3"), "{e}");
    }
    // Of two repeated items the one whose second line comes first, and a damaged line before either.
    let [one, two] = [1, 2].map(|n| text.lines().nth(n).unwrap());
    fs::write(&path, format!("{text}{two}\n{one}\n")).unwrap();
    let e = Table::read(&path).unwrap_err();
    assert!(matches!(e, Error::Line { line: 4, .. }), "{e}");
    fs::write(&path, format!("{text}{two}\n{}\n{one}\n", &one[1..])).unwrap();
    let e = Table::read(&path).unwrap_err();
    assert!(matches!(e, Error::Line { line: 5, .. }), "{e}");

    fs::write(&path, &text).unwrap();
    let mut log = Log::open(&path, &key(&items)).unwrap();
    let id = items.item(0).unwrap().id.clone();
    let record = log.table().records()[&id].clone();
    assert!(
        log.append(&id, record.clone())
            .unwrap_err()
            .to_string()
            .contains("a record of it")
    );
    let bad = |scores| Record {
        scores,
        ..record.clone()
    };
    assert!(log.append("new", bad(vec![])).is_err());
    for loss in [f64::NAN, f64::INFINITY] {
        assert!(
            log.append("new", bad(vec![Score { loss, weight: 1.0 }]))
                .is_err()
        );
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn two_writers_are_refused_and_readers_are_not() {
    let folder = Folder::new();
    let path = folder.file("log");
    let key = key(&texts(1));
    let log = Log::open(&path, &key).unwrap();
    match Log::open(&path, &key).unwrap_err() {
        Error::Io { path: file, source } => {
            assert_eq!(
                (file.as_path(), source.kind()),
                (path.as_path(), ErrorKind::WouldBlock)
            );
        }
        e => panic!("{e}"),
    }
    assert!(Table::read(&path).is_ok());
    drop(log);
    assert!(Log::open(&path, &key).is_ok());
}

#[test]
fn files_that_are_no_logs_are_left_alone() {
    let folder = Folder::new();
    let path = folder.file("notes.txt");
    for text in [
        "my notes, one line",
        "a\nb\n",
        "{\"relscale_score_log\":2,\"key\":{}}\n",
    ] {
        fs::write(&path, text).unwrap();
        assert!(matches!(
            Log::open(&path, &key(&texts(1))),
            Err(Error::Format { .. })
        ));
        assert!(matches!(Table::read(&path), Err(Error::Format { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    assert!(Log::open(folder.path(), &key(&texts(1))).is_err());
    let gone = folder.file("gone/log");
    assert!(matches!(
        Log::open(&gone, &key(&texts(1))),
        Err(Error::Io { .. })
    ));
    assert!(matches!(Table::read(&gone), Err(Error::Io { .. })));
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_named_and_still_read() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new();
    let items = texts(3);
    let path = folder.file("log");
    finish(&path, &items).unwrap();
    let set = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    assert!(Table::read(&path).unwrap().is_complete());
    let new = folder.file("new");
    let opened = Log::open(&new, &key(&items));
    let privileged = fs::File::create(folder.file("probe")).is_ok();
    set(0o755);
    // Permissions do not bind the superuser.
    if !privileged {
        assert!(matches!(opened, Err(Error::Io { path, .. }) if path.starts_with(folder.path())));
        assert!(!new.exists());
    }
    // What binds everybody: a folder where the lock should be.
    fs::create_dir(folder.file("other.lock")).unwrap();
    let e = Log::open(folder.file("other"), &key(&items)).unwrap_err();
    assert!(e.to_string().contains("other.lock"), "{e}");
}
