//! The score log: cut at every byte, damaged at every byte, killed, locked, mixed up.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use relscale::Error;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::ladder::{FlopConvention, Ladder, Run, Scale};
use relscale::log::{Key, Log, Record, Table, checkpoint_hash, distribution_hash, export_csv};
use relscale::model::{Batch, Model};
use relscale::scorer::{NatsPerToken, Score, Scorer};
use sha2::{Digest, Sha256};

/// A folder that is removed with its contents.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("relscale-log-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Says something irrational of every token and counts what it is asked.
#[derive(Default)]
struct Oracle {
    targets: AtomicUsize,
    pause: std::time::Duration,
    device: Option<&'static str>,
}

impl Model for Oracle {
    fn vocab_size(&self) -> usize {
        1000
    }

    fn context_len(&self) -> usize {
        64
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        self.targets
            .fetch_add(batch.targets().len(), Ordering::Relaxed);
        std::thread::sleep(self.pause);
        let tokens = batch.tokens();
        let answer = |row: usize, token: u32| -(f64::from(tokens[row] + token) / 7.0 + 0.1).sqrt();
        Ok(batch
            .targets()
            .iter()
            .map(|t| answer(t.row, t.token))
            .collect())
    }

    fn device(&self) -> Option<String> {
        self.device.map(str::to_owned)
    }
}

fn texts(count: u32) -> Items {
    let item = |i: u32| Item {
        // Ids and clusters that JSON has to escape.
        id: format!("t\"{i}\n\u{e9}"),
        cluster: format!("c\\{}", i % 3),
        content: Content::Tokens((0..3 + i % 5).map(|t| (i * 7 + t) % 1000).collect()),
    };
    Items::new("texts", (0..count).map(item).collect()).unwrap()
}

/// One item per batch, so that a kill can come after every append.
const SETTINGS: Settings = Settings {
    batch_tokens: 1,
    bos: Bos::First(1),
    context: Some(32),
    stride: None,
    truncate: false,
};
const SCORERS: &[&dyn Scorer] = &[&NatsPerToken];

fn key(items: &dyn Distribution) -> Key {
    Key::new("a model", "oracle f64", items, SCORERS, &SETTINGS).unwrap()
}

fn evaluation(model: &Oracle) -> Evaluation<'_> {
    Evaluation::new(model).scorers(SCORERS).settings(SETTINGS)
}

/// Opens, scores what is missing, and says how many targets were computed.
fn finish(path: &Path, items: &Items) -> Result<usize, Error> {
    let model = Oracle::default();
    let mut log = Log::open(path, &key(items))?;
    log.score(&evaluation(&model), items)?;
    assert!(log.table().is_complete());
    log.compact()?;
    Ok(model.targets.into_inner())
}

fn targets(items: &Items, keep: impl Fn(&str) -> bool) -> usize {
    (0..items.len())
        .map(|i| items.item(i).unwrap().into_owned())
        .filter(|item| keep(&item.id))
        .map(|item| match item.content {
            Content::Tokens(tokens) => tokens.len(),
            _ => 0,
        })
        .sum()
}

/// The log of an uninterrupted run, before and after compacting.
fn whole(items: &Items) -> (Vec<u8>, Vec<u8>) {
    let folder = Folder::new();
    let path = folder.file("log");
    let mut log = Log::open(&path, &key(items)).unwrap();
    log.score(&evaluation(&Oracle::default()), items).unwrap();
    let raw = fs::read(&path).unwrap();
    log.compact().unwrap();
    (raw, fs::read(&path).unwrap())
}

#[test]
fn devices_are_recorded_and_not_compared() {
    let (items, folder) = (texts(6), Folder::new());
    let path = folder.file("log");
    let on = |device| Oracle {
        device: Some(device),
        ..Oracle::default()
    };
    // Half of the items on one device, the others on two.
    let (first, second, third) = (on("A, driver 1"), on("B, driver 1"), on("A, driver 2"));
    let mut log = Log::open(&path, &key(&items)).unwrap();
    let half = evaluation(&first).stop_when(|| first.targets.load(Ordering::Relaxed) > 8);
    log.score(&half, &items).unwrap_err();
    assert!(!log.table().is_complete());
    drop(log);
    let mut log = Log::open(&path, &key(&items)).unwrap();
    let others: [Box<dyn Model>; 1] = [Box::new(&third)];
    log.score(&evaluation(&second).replicas(&others), &items)
        .unwrap();
    assert!(log.table().is_complete());
    // With nothing to score, no device is recorded.
    log.score(&evaluation(&on("C")), &items).unwrap();
    let all = ["A, driver 1", "A, driver 2", "B, driver 1"].map(str::to_owned);
    let is_all = |table: &Table| table.devices().iter().eq(&all);
    assert!(is_all(log.table()) && is_all(&Table::read(&path).unwrap()));
    let text = fs::read_to_string(&path).unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with(r#"{"devices":["#));
    assert_eq!(lines.count(), 2);
    log.compact().unwrap();
    let compact = Table::read(&path).unwrap();
    assert!(is_all(&compact));

    // Scores are those of a log without devices, which is read as one of an earlier version.
    let (_, plain) = whole(&items);
    let before = folder.file("before");
    fs::write(&before, plain).unwrap();
    let mut joined = Table::read(&before).unwrap();
    assert!(joined.devices().is_empty());
    assert_eq!(joined.records(), compact.records());
    joined.join(compact);
    assert!(is_all(&joined));
}

#[test]
fn an_evaluation_that_is_stopped_keeps_its_batches_and_resumes_to_the_same_bytes() {
    let items = texts(12);
    let (_, compact) = whole(&items);
    for stop in 0..=items.len() {
        let folder = Folder::new();
        let path = folder.file("log");
        let (model, asked) = (Oracle::default(), AtomicUsize::new(0));
        let stopped =
            evaluation(&model).stop_when(|| asked.fetch_add(1, Ordering::Relaxed) == stop);
        let mut log = Log::open(&path, &key(&items)).unwrap();
        let result = log.score(&stopped, &items);
        // After the last batch there is nothing to stop.
        if stop < items.len() {
            assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
        } else {
            result.unwrap();
        }
        assert_eq!(log.table().records().len(), stop);
        drop(log);
        let kept = Table::read(&path).unwrap();
        let before = targets(&items, |id| kept.records().contains_key(id));
        assert_eq!(
            finish(&path, &items).unwrap(),
            targets(&items, |_| true) - before
        );
        assert_eq!(fs::read(&path).unwrap(), compact);
    }
}

#[test]
fn an_evaluation_is_stopped_while_it_tokenises() {
    let items = texts(3000);
    let (model, asked) = (Oracle::default(), AtomicUsize::new(0));
    let evaluation = evaluation(&model).stop_when(|| asked.fetch_add(1, Ordering::Relaxed) == 1);
    let result = evaluation.log_likelihoods(&items);
    assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    // After 1,024 and after 2,048 items, and nothing was computed.
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert_eq!(model.targets.load(Ordering::Relaxed), 0);
}

#[test]
fn a_log_cut_at_any_byte_resumes_to_the_same_bytes() {
    let items = texts(12);
    let (raw, compact) = whole(&items);
    assert_eq!(raw.iter().filter(|b| **b == b'\n').count(), 13);
    let folder = Folder::new();
    let path = folder.file("log");
    for cut in 0..=raw.len() {
        fs::write(&path, &raw[..cut]).unwrap();
        let lines = raw[..cut].iter().filter(|b| **b == b'\n').count();
        let kept = if lines == 0 {
            Vec::new()
        } else {
            let table = Table::read(&path).unwrap();
            assert_eq!(table.records().len(), lines - 1, "cut at {cut}");
            table.records().keys().cloned().collect()
        };
        let computed = finish(&path, &items).unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
        // What is whole is not computed again.
        assert_eq!(
            computed,
            targets(&items, |id| !kept.iter().any(|k| k == id))
        );
        assert!(fs::read(&path).unwrap() == compact, "cut at {cut}");
    }
}

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
fn another_key_is_refused_by_field() {
    let folder = Folder::new();
    let path = folder.file("log");
    let items = texts(3);
    let mine = key(&items);
    drop(Log::open(&path, &mine).unwrap());
    let refused = |key: &Key, field: &str| match Log::open(&path, key).unwrap_err() {
        Error::Key {
            path: file,
            field: named,
            message,
        } => {
            assert_eq!(
                (file.as_path(), named.as_str()),
                (path.as_path(), field),
                "{message}"
            );
        }
        e => panic!("{e}"),
    };
    let scored =
        |settings: &Settings| Key::new("a model", "oracle f64", &items, SCORERS, settings).unwrap();
    let changed = |change: &dyn Fn(&mut Key)| {
        let mut key = mine.clone();
        change(&mut key);
        key
    };
    refused(&changed(&|k| k.checkpoint = "b".into()), "checkpoint");
    refused(&changed(&|k| k.backend = "cpu".into()), "backend");
    refused(&changed(&|k| k.version = "9".into()), "version");
    refused(
        &mine.clone().with_special_tokens_parsed(true),
        "special_tokens_parsed",
    );
    refused(&changed(&|k| k.scorers = vec!["brier".into()]), "scorers");
    refused(
        &scored(&Settings {
            bos: Bos::EveryWindow(1),
            ..SETTINGS
        }),
        "bos",
    );
    refused(
        &scored(&Settings {
            bos: Bos::First(2),
            ..SETTINGS
        }),
        "bos",
    );
    refused(
        &scored(&Settings {
            context: None,
            ..SETTINGS
        }),
        "context",
    );
    refused(
        &scored(&Settings {
            stride: Some(8),
            ..SETTINGS
        }),
        "stride",
    );
    refused(
        &scored(&Settings {
            truncate: true,
            ..SETTINGS
        }),
        "truncate",
    );
    refused(&key(&texts(4)), "distribution_hash");
    refused(&key(&texts(3).named("other")), "distribution");
    // What changes no result is no part of the key.
    assert!(
        Log::open(
            &path,
            &scored(&Settings {
                batch_tokens: 999,
                ..SETTINGS
            })
        )
        .is_ok()
    );

    // Scoring something else into a log that is open is refused too.
    let mut log = Log::open(&path, &mine).unwrap();
    let model = Oracle::default();
    let other = evaluation(&model).stride(8);
    let e = log.score(&other, &items).unwrap_err();
    assert!(
        matches!(&e, Error::Key { field, .. } if field == "stride"),
        "{e}"
    );
    assert_eq!(log.table().records().len(), 0);
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
fn a_key_says_in_words_how_sequences_begin() {
    let items = texts(1);
    for (bos, text) in [
        (Bos::ModelDefault, "model_default"),
        (Bos::Never, "never"),
        (Bos::First(7), "first 7"),
        (Bos::EveryWindow(u32::MAX), "every_window 4294967295"),
    ] {
        let settings = Settings { bos, ..SETTINGS };
        let key = Key::new("m", "b", &items, SCORERS, &settings).unwrap();
        let json = serde_json::to_value(&key).unwrap();
        assert_eq!(json["bos"], text);
        assert_eq!(serde_json::from_value::<Key>(json).unwrap(), key);
    }
    let mut json = serde_json::to_value(key(&items)).unwrap();
    for text in [
        "",
        "first",
        "first -1",
        "first 4294967296",
        "always 1",
        "never 1",
    ] {
        json["bos"] = text.into();
        let e = serde_json::from_value::<Key>(json.clone()).unwrap_err();
        assert!(e.to_string().contains("every_window <id>"), "{e}");
    }
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
    assert!(Log::open(&folder.0, &key(&texts(1))).is_err());
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
    let set = |mode| fs::set_permissions(&folder.0, fs::Permissions::from_mode(mode)).unwrap();
    set(0o555);
    assert!(Table::read(&path).unwrap().is_complete());
    let new = folder.file("new");
    let opened = Log::open(&new, &key(&items));
    let privileged = fs::File::create(folder.file("probe")).is_ok();
    set(0o755);
    // Permissions do not bind the superuser.
    if !privileged {
        assert!(matches!(opened, Err(Error::Io { path, .. }) if path.starts_with(&folder.0)));
        assert!(!new.exists());
    }
    // What binds everybody: a folder where the lock should be.
    fs::create_dir(folder.file("other.lock")).unwrap();
    let e = Log::open(folder.file("other"), &key(&items)).unwrap_err();
    assert!(e.to_string().contains("other.lock"), "{e}");
}

const CHILD: &str = "RELSCALE_LOG_CHILD";

/// Not a test by itself: what `a_process_killed_hard_loses_nothing` runs in a process of its own.
#[test]
fn child_that_scores() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let items = texts(200);
    let model = Oracle {
        pause: std::time::Duration::from_millis(5),
        ..Oracle::default()
    };
    let mut log = Log::open(path, &key(&items)).unwrap();
    log.score(&evaluation(&model), &items).unwrap();
}

#[test]
fn a_process_killed_hard_loses_nothing() {
    let items = texts(200);
    let (_, compact) = whole(&items);
    let folder = Folder::new();
    let path = folder.file("log");
    let records = || Table::read(&path).map_or(0, |t| t.records().len());
    let mut kills = 0;
    for round in 0..20 {
        let before = records();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::child_that_scores", "--test-threads", "1"])
            .env(CHILD, &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Killed somewhere after it has added a few records.
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if records() > before + 20 + round {
                child.kill().unwrap();
                kills += 1;
                break child.wait().unwrap();
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        };
        // On a busy machine the last child may have come to the end before it was killed.
        assert!(records() > before || before == items.len());
        if status.success() {
            break;
        }
    }
    assert!(kills >= 3, "{kills}");
    // Nothing is left to do but to close.
    assert_eq!(finish(&path, &items).unwrap(), 0);
    assert_eq!(fs::read(&path).unwrap(), compact);
}

#[test]
fn a_checkpoint_is_its_bytes() {
    let folder = Folder::new();
    let dir = folder.file("checkpoint");
    fs::create_dir(&dir).unwrap();
    let e = checkpoint_hash(&dir).unwrap_err();
    assert!(e.to_string().contains("safetensors"), "{e}");
    fs::write(dir.join("config.json"), "{}").unwrap();
    fs::write(dir.join("model.safetensors"), "weights").unwrap();
    let first = checkpoint_hash(&dir).unwrap();
    // sha256 of 11 as u64, "config.json", 2 as u64, "{}", 17, "model.safetensors", 7, "weights",
    // numbers in little-endian order; by hashlib.
    assert_eq!(
        first,
        "e77516c2eac2628d1878e9393c422c81d92a3ee7233a3d6db214f859379163ec"
    );
    // Weights that are not read may come and go, as the README may.
    for other in [
        "README.md",
        "consolidated.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "model-q8.gguf",
    ] {
        fs::write(dir.join(other), "no part of it").unwrap();
        assert_eq!(checkpoint_hash(&dir).unwrap(), first, "{other}");
    }
    let mut seen = vec![first];
    for (file, text) in [
        ("model.safetensors", "weighty"),
        ("config.json", "{ }"),
        ("tokenizer.json", "{}"),
    ] {
        fs::write(dir.join(file), text).unwrap();
        let hash = checkpoint_hash(&dir).unwrap();
        assert!(!seen.contains(&hash), "{file}");
        seen.push(hash);
    }
    // A checkpoint that is one file.
    let file = checkpoint_hash(dir.join("config.json")).unwrap();
    assert_eq!(file.len(), 64);
    assert!(checkpoint_hash(folder.file("none")).is_err());
}

#[test]
fn distributions_that_differ_anywhere_have_different_hashes() {
    let item = |id: &str, cluster: &str, content| Item {
        id: id.into(),
        cluster: cluster.into(),
        content,
    };
    let choices =
        |context: &str, choices: &[&str], gold, unconditional: Option<&str>| Content::Choices {
            context: context.into(),
            choices: choices.iter().map(ToString::to_string).collect(),
            gold,
            unconditional: unconditional.map(Into::into),
        };
    let tokens = |context: &[u32], choices: &[&[u32]], gold| Content::ChoicesTokens {
        context: context.into(),
        choices: choices.iter().map(|c| c.to_vec()).collect(),
        gold,
        unconditional: None,
    };
    let all = [
        vec![item("a", "b", Content::Text("c".into()))],
        vec![item("ab", "b", Content::Text("c".into()))],
        vec![item("a", "bc", Content::Text("c".into()))],
        vec![item("a", "b", Content::Text("d".into()))],
        vec![item("a", "b", Content::Tokens(vec![99]))],
        vec![item("a", "b", Content::Tokens(vec![99, 0]))],
        vec![item("a", "b", choices("q", &["x", "y"], 0, None))],
        vec![item("a", "b", choices("q", &["x", "y"], 1, None))],
        vec![item("a", "b", choices("q", &["xy", "y"], 0, None))],
        vec![item("a", "b", choices("qx", &["y", "y"], 0, None))],
        vec![item("a", "b", choices("q", &["x", "y"], 0, Some("")))],
        vec![item("a", "b", choices("q", &["x", "y"], 0, Some("z")))],
        vec![item("a", "b", tokens(&[1], &[&[2], &[3]], 0))],
        vec![item("a", "b", tokens(&[1], &[&[2, 3], &[3]], 0))],
        vec![item("a", "b", tokens(&[1, 2], &[&[2], &[3]], 0))],
        vec![
            item("a", "b", Content::Text("c".into())),
            item("b", "b", Content::Text("c".into())),
        ],
        vec![
            item("b", "b", Content::Text("c".into())),
            item("a", "b", Content::Text("c".into())),
        ],
    ];
    let mut seen = std::collections::BTreeSet::new();
    for items in all {
        let hash = distribution_hash(&Items::new("any", items).unwrap()).unwrap();
        assert_eq!(hash.len(), 64);
        assert!(seen.insert(hash));
    }
    // sha256 of 1 as u64, "a", 1, "b", a zero byte, 1, "c"; by hashlib.
    assert!(seen.contains("bb8524de6ef1f8a68eb403454f789e140177dea574e1fdeee46737489e53396b"));
}

#[test]
fn the_exported_table_is_the_ladder() {
    let folder = Folder::new();
    let runs: Vec<Run> = (0..2)
        .map(|i| {
            Run::new(
                format!("run {i}"),
                Scale {
                    params: 1e8,
                    tokens: 2e9,
                    flops: 1e18,
                },
            )
            .corpus("web")
            .seed(i)
        })
        .collect();
    let tables: Vec<Table> = ["one", "two"]
        .iter()
        .map(|name| {
            let items = texts(12).named(*name);
            let path = folder.file(name);
            finish(&path, &items).unwrap();
            Table::read(&path).unwrap()
        })
        .collect();
    let logs: Vec<(&Run, &Table)> = runs
        .iter()
        .flat_map(|run| tables.iter().map(move |table| (run, table)))
        .collect();
    let csv = folder.file("long.csv");
    export_csv(&csv, &logs, "nats_per_token", FlopConvention::Training).unwrap();
    let ladder = Ladder::from_csv(fs::File::open(&csv).unwrap(), "exported").unwrap();
    assert_eq!(ladder.flop_convention(), FlopConvention::Training);

    let mut builder = Ladder::builder();
    for run in &runs {
        builder.run(run.clone()).unwrap();
        for table in &tables {
            table.add_to(&mut builder, run, "nats_per_token").unwrap();
        }
    }
    let direct = builder.build().unwrap();
    assert_eq!(ladder.runs(), direct.runs());
    for scores in direct.scores() {
        let exported = ladder.distribution(scores.name()).unwrap();
        assert_eq!(exported.clusters(), scores.clusters());
        assert_eq!(exported.clusters().len(), 3);
        let (a, b) = (
            direct.error("run 0", scores.name()),
            ladder.error("run 0", scores.name()),
        );
        assert!((a.unwrap() - b.unwrap()).abs() < 1e-14);
    }
    let e = export_csv(&csv, &logs, "brier", FlopConvention::Training).unwrap_err();
    assert!(e.to_string().contains("brier"), "{e}");
    let e = tables[0].scores("brier").unwrap_err();
    assert!(e.to_string().contains("has nats_per_token"), "{e}");
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_the_same_table() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    use relscale::log::export_parquet;

    let folder = Folder::new();
    let items = texts(7);
    let path = folder.file("log");
    finish(&path, &items).unwrap();
    let table = Table::read(&path).unwrap();
    let seeded = Run::new(
        "a",
        Scale {
            params: 1e8,
            tokens: 2e9,
            flops: 1.1e18,
        },
    )
    .corpus("web")
    .budget(1e18)
    .seed(u64::MAX);
    let branch = Run::new(
        "b",
        Scale {
            params: 1e8,
            tokens: 2e9,
            flops: 1.1e18,
        },
    )
    .corpus("web")
    .budget(1e18)
    .trajectory("t");
    let logs = [(&seeded, &table), (&branch, &table)];
    let out = folder.file("long.parquet");
    export_parquet(&out, &logs, "nats_per_token", FlopConvention::SixNd).unwrap();

    let reader = SerializedFileReader::new(fs::File::open(&out).unwrap()).unwrap();
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 14);
    let scores = table.scores("nats_per_token").unwrap();
    for (i, row) in rows.iter().enumerate() {
        let field = |name: &str| {
            row.get_column_iter()
                .find(|c| c.0 == name)
                .unwrap()
                .1
                .clone()
        };
        let score = &scores[i % 7];
        assert_eq!(field("item"), Field::Str(score.id.clone()));
        assert_eq!(field("cluster"), Field::Str(score.cluster.clone()));
        assert_eq!(
            field("loss"),
            Field::Double(score.score.loss / score.score.weight)
        );
        assert_eq!(field("weight"), Field::Double(score.score.weight));
        assert_eq!(field("flops"), Field::Double(1.1e18));
        assert_eq!(field("flop_convention"), Field::Str("6nd".into()));
        let (seed, trajectory) = if i < 7 {
            (Field::ULong(u64::MAX), Field::Null)
        } else {
            (Field::Null, Field::Str("t".into()))
        };
        assert_eq!((field("seed"), field("trajectory")), (seed, trajectory));
    }
}
