//! The score log: the devices that it records and the tables that are made of it.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::folder::Folder;
use relscale::Error;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::ladder::{FlopConvention, Ladder, Run, Scale};
use relscale::log::{Key, Log, LongTable, Table, export_csv};
use relscale::model::{Batch, Model};
use relscale::scorer::{ItemScore, NatsPerToken, Score, Scorer};

mod damage;
mod keys;
mod resume;

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

#[test]
fn items_that_no_table_may_have_are_refused_by_name() {
    let folder = Folder::new();
    let csv = folder.file("long.csv");
    let scale = Scale {
        params: 1e8,
        tokens: 2e9,
        flops: 1e18,
    };
    let (run, other) = (Run::new("a", scale), Run::new("b", scale));
    let item = |loss: f64, weight: f64| ItemScore {
        id: "item 7".into(),
        cluster: "c".into(),
        score: Score { loss, weight },
    };
    let convention = FlopConvention::Training;
    // After an item that is right, of each run, or of another distribution.
    let written = |bad: &ItemScore, distribution: &str| {
        LongTable::write(&csv, convention, |table| -> Result<(), Error> {
            for run in [&run, &other] {
                table.add_item(run, "d", &item(1.5, 2.0), "brier", Some(0.5))?;
            }
            table.add_item(&run, distribution, bad, "brier", Some(0.5))
        })
    };
    for (loss, weight) in [
        (1.0, 0.0),
        (0.0, 0.0),
        (1.0, -2.0),
        (-1.0, -2.0),
        (-1.0, 2.0),
        (1.0, 1e-320),
        (1.0, f64::NAN),
        (1.0, f64::INFINITY),
        (f64::NAN, 1.0),
        (f64::INFINITY, 1.0),
        (1e300, 1e-300),
    ] {
        let e = written(&item(loss, weight), "e").unwrap_err();
        assert!(
            matches!(&e, Error::Item { id, .. } if id == "item 7"),
            "{e}"
        );
        assert!(e.to_string().contains("`brier` has the loss"), "{e}");
        assert!(!csv.exists(), "{loss} {weight}");
    }
    let e = written(&item(1.0, 1.0), "d").unwrap_err();
    assert!(
        matches!(&e, Error::Item { id, .. } if id == "item 7"),
        "{e}"
    );
    assert!(e.to_string().contains("run `a` has it twice on `d`"), "{e}");
    written(&item(0.0, 1.0), "e").unwrap();

    // Items and a log of one run on one distribution would count twice too.
    let items = texts(3).named("d");
    let path = folder.file("log");
    finish(&path, &items).unwrap();
    let log = Table::read(&path).unwrap();
    for log_first in [true, false] {
        let both = LongTable::write(&csv, convention, |table| -> Result<(), Error> {
            if log_first {
                table.add(&run, &log, "nats_per_token")?;
            }
            table.add_item(&run, "d", &item(1.0, 1.0), "nats_per_token", None)?;
            table.add(&run, &log, "nats_per_token")
        });
        let e = both.unwrap_err().to_string();
        assert!(e.contains("run `a` has two logs of `d`"), "{e}");
    }
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_holds_the_same_table() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;
    use relscale::ladder::Tables;
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
    .epochs(1.5)
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
        let epochs = if i < 7 {
            Field::Double(1.5)
        } else {
            Field::Null
        };
        assert_eq!((field("epochs"), field("chance")), (epochs, Field::Null));
    }

    let csv = folder.file("long.csv");
    export_csv(&csv, &logs, "nats_per_token", FlopConvention::SixNd).unwrap();
    let text = fs::read_to_string(&csv).unwrap();
    let header = text.lines().next().unwrap().split(',');
    let names = rows[0].get_column_iter().map(|c| c.0.as_str());
    assert!(header.eq(names));
    // And the reader takes the one for the other.
    let read = |path: &Path| Tables::new().open(path).unwrap().ladder().unwrap().0;
    let (parquet, csv) = (read(&out), read(&csv));
    assert_eq!(parquet.runs(), csv.runs());
    for run in ["a", "b"] {
        let error = csv.error(run, "texts");
        assert!(error.is_some());
        assert_eq!(parquet.error(run, "texts"), error);
    }
}
