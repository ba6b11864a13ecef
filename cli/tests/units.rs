//! Studies cut into units: the table is that of one machine, whatever the cut and whatever happens.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use relscale::Error;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::ladder::{Ladder, RunTable};
use relscale::log::{Key, Log, Table, checkpoint_hash, export_csv};
use relscale::model::{Batch, Model, Transformer};
use relscale::scorer::{Scorer, by_name};
use relscale::tokenizer::Tokenizer;
use relscale_cli::units::{
    Source, SourceKind, Study, StudyPlan, Unit, UnitError, UnitState, Worker,
};
use relscale_cpu::Cpu;

/// A folder that is removed with its contents.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("relscale-units-{}-{n}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// Says something irrational of every token, another thing for every checkpoint.
struct Oracle(f64);

impl Oracle {
    fn load(checkpoint: &Path) -> Result<Box<dyn Model>, Error> {
        let hash = checkpoint_hash(checkpoint)?;
        let seed = u32::from_str_radix(&hash[..6], 16).unwrap();
        Ok(Box::new(Self(f64::from(seed))))
    }
}

impl Model for Oracle {
    fn vocab_size(&self) -> usize {
        1000
    }

    fn context_len(&self) -> usize {
        64
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        let tokens = batch.tokens();
        let said = |row: usize, token: u32| {
            -((f64::from(tokens[row] * 31 + token) + self.0) / 7.0 + 0.1).sqrt()
        };
        let targets = batch.targets().iter();
        Ok(targets.map(|t| said(t.row, t.token)).collect())
    }
}

/// A study of two checkpoints on texts, a corpus and questions, in `folder`.
fn study(folder: &Path, unit_flops: f64) -> Study {
    let mut runs = "run,corpus,budget,flops,params,tokens,seed,checkpoint\n".to_owned();
    for (i, run) in ["b/1", "a 2"].iter().enumerate() {
        let file = folder.join(format!("{i}.gguf"));
        fs::write(file, run).unwrap();
        runs += &format!(
            "{run},web,1e18,{}e13,{},2e9,{i},{i}.gguf\n",
            1.2 * (i + 1) as f64,
            1000 * (i + 1)
        );
    }
    fs::write(folder.join("runs.csv"), runs).unwrap();
    let write = |name: &str, line: &dyn Fn(usize) -> String, count: usize| {
        let lines: String = (0..count).map(|i| line(i) + "\n").collect();
        fs::write(folder.join(name), lines).unwrap();
    };
    let tokens = |i: usize| {
        let tokens: Vec<usize> = (0..2 + i * 5 % 9).map(|t| (i * 7 + t) % 1000).collect();
        format!(
            r#"{{"id": {i}, "cluster": "c{}", "tokens": {tokens:?}}}"#,
            i % 3
        )
    };
    write("tokens.jsonl", &tokens, 23);
    let questions = |i: usize| {
        let (context, second) = ([i, i + 1], [i + 2, 5]);
        format!(
            r#"{{"id": "q{i}", "context_tokens": {context:?}, "choices_tokens": [[{i}], {second:?}],
                "gold": 1}}"#
        )
        .replace('\n', " ")
    };
    write("questions.jsonl", &questions, 8);
    let source = |file: &str, scorers: &[&str]| Source {
        path: folder.join(file),
        kind: SourceKind::Items,
        scorers: scorers.iter().map(ToString::to_string).collect(),
        unconditional: None,
    };
    Study {
        runs: folder.join("runs.csv"),
        distributions: vec![
            source("tokens.jsonl", &["nats_per_token"]),
            source("questions.jsonl", &["brier", "choice_log_loss"]),
        ],
        scoring: Settings {
            bos: Bos::First(1),
            context: Some(32),
            batch_tokens: 8,
            ..Settings::default()
        },
        backend: "oracle f64".to_owned(),
        unit_flops,
    }
}

/// The table of one machine that has a log for every run and distribution.
fn single(folder: &Path, study: &Study, load: &dyn Fn(&Path) -> Box<dyn Model>) -> Vec<u8> {
    let table = RunTable::from_csv(&study.runs).unwrap();
    let mut logs = Vec::new();
    for (number, trained) in table.runs.iter().enumerate() {
        let model = load(&trained.checkpoint);
        for source in &study.distributions {
            for items in source.load("").unwrap() {
                // One scorer, as a table has; others make no difference to it.
                let scorer = by_name(&source.scorers[0]).unwrap();
                let scorers: [&dyn Scorer; 1] = [&*scorer];
                let hash = checkpoint_hash(&trained.checkpoint).unwrap();
                let key = Key::new(hash, "one", &items, &scorers, &study.scoring).unwrap();
                let path = folder.join(format!("single-{number}-{}", items.name()));
                let mut log = Log::open(&path, &key).unwrap();
                let tokenizer = Tokenizer::load(&trained.checkpoint).ok();
                let mut evaluation = Evaluation::new(&*model)
                    .scorers(&scorers)
                    .settings(study.scoring);
                if let Some(tokenizer) = &tokenizer {
                    evaluation = evaluation.tokenizer(tokenizer);
                }
                log.score(&evaluation, &items).unwrap();
                assert_eq!(log.table().records().len(), items.len());
                drop(log);
                logs.push((
                    number,
                    scorer.name().to_owned(),
                    Table::read(&path).unwrap(),
                ));
            }
        }
    }
    // The tables of several scorers are one after the other, with one header.
    let mut all = Vec::new();
    for (number, scorer, log) in &logs {
        let path = folder.join("single.csv");
        let run = &table.runs[*number].run;
        export_csv(&path, &[(run, log)], scorer, table.flop_convention).unwrap();
        let text = fs::read(&path).unwrap();
        let header = text.iter().position(|b| *b == b'\n').unwrap() + 1;
        let from = if all.is_empty() { 0 } else { header };
        all.extend_from_slice(&text[from..]);
    }
    all
}

fn oracle(path: &Path) -> Box<dyn Model> {
    Oracle::load(path).unwrap()
}

fn run(plan: &StudyPlan, unit: &Unit) -> Result<bool, UnitError> {
    Worker::new(plan, Oracle::load).run(unit, &|_| {})
}

fn log_of(folder: &Path, unit: &Unit) -> PathBuf {
    folder.join("logs").join(unit.name() + ".jsonl")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_split_on_any_machines_is_the_table_of_one(
        exponent in 4.0..7.0f64,
        machines in 1..5usize,
        order in any::<u64>(),
        cuts in prop::collection::vec(any::<u32>(), 6),
    ) {
        let folder = Folder::new();
        let study = study(&folder.0, 10f64.powf(exponent));
        let want = single(&folder.0, &study, &oracle);
        let shared = folder.0.join("shared");
        let plan = StudyPlan::create(&shared, &study, &mut |_| {}).unwrap();
        prop_assert_eq!(&StudyPlan::read(&shared).unwrap(), &plan);

        // Every unit is in one shard; a machine has a folder of its own, and its own order.
        let shards: Vec<&[Unit]> =
            (0..machines).map(|k| plan.shard(k, machines).unwrap()).collect();
        prop_assert_eq!(shards.concat(), plan.units());
        let mut cuts = cuts.into_iter();
        for (machine, shard) in shards.iter().enumerate() {
            let own = folder.0.join(format!("machine-{machine}"));
            fs::create_dir_all(&own).unwrap();
            // The same plan: paths outside the folder are absolute.
            fs::copy(shared.join("plan.json"), own.join("plan.json")).unwrap();
            let plan = StudyPlan::read(&own).unwrap();
            let mut units: Vec<&Unit> = shard.iter().collect();
            units.sort_by_key(|unit| unit.items.start as u64 ^ order);
            let mut worker = Worker::new(&plan, Oracle::load);
            for unit in units {
                // Killed while it was at it: a log cut at some byte, where this machine left it.
                if let Some(cut) = cuts.next() {
                    let done = log_of(&own, unit);
                    prop_assert!(run(&plan, unit).unwrap());
                    let bytes = fs::read(&done).unwrap();
                    let cut = cut as usize % bytes.len();
                    fs::write(done.with_extension("part"), &bytes[..cut]).unwrap();
                    fs::remove_file(&done).unwrap();
                }
                prop_assert!(worker.run(unit, &|_| ()).unwrap());
                // Finishing is idempotent.
                prop_assert!(!worker.run(unit, &|_| ()).unwrap());
                let (from, to) = (log_of(&own, unit), log_of(&shared, unit));
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::copy(from, to).unwrap();
            }
        }
        prop_assert!(plan.states().unwrap().iter().all(|s| *s == UnitState::Done));
        let out = folder.0.join("merged.csv");
        plan.merge(&out, None).unwrap();
        prop_assert_eq!(
            String::from_utf8(fs::read(&out).unwrap()).unwrap(),
            String::from_utf8(want).unwrap()
        );
    }
}

/// A plan whose units are all finished but those of `leave`.
fn finished(folder: &Folder, leave: &[usize]) -> (PathBuf, StudyPlan) {
    let shared = folder.0.join("shared");
    let plan = StudyPlan::create(&shared, &study(&folder.0, 3e4), &mut |_| {}).unwrap();
    assert!(plan.units().len() > 8, "{}", plan.units().len());
    let mut worker = Worker::new(&plan, Oracle::load);
    for (number, unit) in plan.units().iter().enumerate() {
        if !leave.contains(&number) {
            assert!(worker.run(unit, &|_| {}).unwrap());
        }
    }
    drop(worker);
    (shared, plan)
}

/// The message of a merge that names `unit`.
fn refused(folder: &Folder, plan: &StudyPlan, unit: &Unit) -> String {
    let out = folder.0.join("merged.csv");
    let e = plan.merge(&out, None).unwrap_err();
    assert!(!out.exists());
    match &e {
        UnitError::Unit { unit: name, .. } => assert_eq!(*name, unit.name(), "{e}"),
        e => panic!("{e}"),
    }
    e.to_string()
}

#[test]
fn a_unit_that_is_missing_is_named() {
    let folder = Folder::new();
    let (_, plan) = finished(&folder, &[2, 5]);
    let message = refused(&folder, &plan, &plan.units()[2]);
    assert!(
        message.contains("not finished, nor are 1 others"),
        "{message}"
    );
    assert_eq!(plan.states().unwrap()[2], UnitState::Open);
    run(&plan, &plan.units()[2]).unwrap();
    refused(&folder, &plan, &plan.units()[5]);
    run(&plan, &plan.units()[5]).unwrap();
    plan.merge(folder.0.join("merged.csv"), None).unwrap();
}

#[test]
fn a_unit_in_the_place_of_another_is_refused() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[]);
    let (one, two) = (&plan.units()[0], &plan.units()[1]);
    assert_eq!((&one.run, &one.distribution), (&two.run, &two.distribution));
    // Doubled: the first unit stands for the second too.
    fs::copy(log_of(&shared, one), log_of(&shared, two)).unwrap();
    let message = refused(&folder, &plan, two);
    assert!(message.contains("`range` differs"), "{message}");
    assert!(run(&plan, two).is_err());
    assert!(matches!(
        plan.states().unwrap()[1],
        UnitState::Failed { .. }
    ));
    // Of another checkpoint.
    let last = &plan.units()[plan.units().len() - 1];
    let same = |u: &&Unit| u.run != last.run && u.distribution == last.distribution;
    let other = plan.units().iter().find(same).unwrap();
    fs::remove_file(log_of(&shared, two)).unwrap();
    assert!(run(&plan, two).unwrap());
    fs::copy(log_of(&shared, other), log_of(&shared, last)).unwrap();
    let message = refused(&folder, &plan, last);
    assert!(message.contains("`checkpoint` differs"), "{message}");
}

#[test]
fn a_log_that_belongs_to_no_unit_is_refused() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[]);
    let first = log_of(&shared, &plan.units()[0]);
    let stray = first.with_file_name("1-2.jsonl");
    fs::copy(&first, &stray).unwrap();
    let e = plan.merge(folder.0.join("merged.csv"), None).unwrap_err();
    let e = e.to_string();
    assert!(e.contains("1-2.jsonl") && e.contains("no unit"), "{e}");
}

#[test]
fn items_that_are_damaged_missing_or_of_the_wrong_name_are_refused() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[]);
    let unit = &plan.units()[0];
    let path = log_of(&shared, unit);
    let bytes = fs::read(&path).unwrap();
    // A flipped bit in the middle, and a record less.
    let mut damaged = bytes.clone();
    let middle = bytes.iter().position(|b| *b == b'\n').unwrap() + 10;
    damaged[middle] ^= 1;
    fs::write(&path, &damaged).unwrap();
    assert!(refused(&folder, &plan, unit).contains("damaged"));
    let last = bytes[..bytes.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap();
    fs::write(&path, &bytes[..=last]).unwrap();
    assert!(refused(&folder, &plan, unit).contains("records; remove it"));
    // A whole log with the right key, of an item that the distribution does not have.
    fs::remove_file(&path).unwrap();
    run(&plan, unit).unwrap();
    let there = Table::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut log = Log::open(&path, there.key()).unwrap();
    for (number, (id, record)) in there.records().iter().enumerate() {
        let id = if number == 0 { "stranger" } else { id };
        log.append(id, record.clone()).unwrap();
    }
    drop(log);
    let message = refused(&folder, &plan, unit);
    let first = there.records().keys().next().unwrap();
    assert!(
        message.contains(&format!("item `{first}` is missing")),
        "{message}"
    );
}

#[test]
fn what_changed_since_the_plan_is_refused_by_unit_and_remembered() {
    let folder = Folder::new();
    let (shared, plan) = finished(&folder, &[0, 1]);
    let (one, two) = (&plan.units()[0], &plan.units()[1]);
    let field = |e: &UnitError| match e {
        UnitError::Unit { unit, source } => match source {
            Error::Key { field, .. } => (unit.clone(), field.clone()),
            e => panic!("{e}"),
        },
        e => panic!("{e}"),
    };
    let checkpoint = folder.0.join("0.gguf");
    let original = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, "trained again").unwrap();
    let e = run(&plan, one).unwrap_err();
    assert_eq!(field(&e), (one.name(), "checkpoint".to_owned()));
    match &plan.states().unwrap()[0] {
        UnitState::Failed { message } => assert!(message.contains("0.gguf"), "{message}"),
        state => panic!("{state:?}"),
    }
    fs::write(&checkpoint, original).unwrap();
    assert!(run(&plan, one).unwrap());
    assert_eq!(plan.states().unwrap()[0], UnitState::Done);

    let tokens = folder.0.join("tokens.jsonl");
    let original = fs::read_to_string(&tokens).unwrap();
    fs::write(&tokens, original.replace("\"c1\"", "\"c7\"")).unwrap();
    let e = run(&plan, two).unwrap_err();
    assert_eq!(field(&e).1, "distribution_hash");
    // One record is there from a process that was killed.
    fs::write(&tokens, original).unwrap();
    assert!(run(&plan, two).unwrap());
    let done = log_of(&shared, two);
    let bytes = fs::read(&done).unwrap();
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
    let second = ends.map(|(i, _)| i).nth(1).unwrap();
    fs::remove_file(&done).unwrap();
    fs::write(done.with_extension("part"), &bytes[..second + 4]).unwrap();
    assert_eq!(plan.states().unwrap()[1], UnitState::Started { records: 1 });

    // While one process has it, another is refused, and that is no failure of the unit.
    let key = Key::read(done.with_extension("part")).unwrap();
    let held = Log::open(done.with_extension("part"), &key).unwrap();
    let e = run(&plan, two).unwrap_err().to_string();
    assert!(
        e.contains(&two.name()) && e.contains("another writer"),
        "{e}"
    );
    assert_eq!(plan.states().unwrap()[1], UnitState::Started { records: 1 });
    drop(held);
    assert!(run(&plan, two).unwrap());
    assert_eq!(fs::read(&done).unwrap(), bytes);
}

#[test]
fn neighbours_share_a_checkpoint_and_what_is_finished_loads_none() {
    let folder = Folder::new();
    let (_, plan) = finished(&folder, &[]);
    let again = folder.0.join("again");
    let plan_again = StudyPlan::create(&again, &study(&folder.0, 3e4), &mut |_| {}).unwrap();
    assert_eq!(plan.units(), plan_again.units());
    for (plan, loads) in [(&plan_again, 2), (&plan_again, 0), (&plan, 0)] {
        let count = Cell::new(0);
        let mut worker = Worker::new(plan, |path: &Path| {
            count.set(count.get() + 1);
            Oracle::load(path)
        });
        for unit in plan.units() {
            assert_eq!(worker.run(unit, &|_| {}).unwrap(), loads > 0);
        }
        drop(worker);
        assert_eq!(count.get(), loads);
    }
}

#[test]
fn plans_are_the_same_and_a_folder_holds_one() {
    let folder = Folder::new();
    let shared = folder.0.join("shared");
    let mut seen = Vec::new();
    let plan = StudyPlan::create(&shared, &study(&folder.0, 1e5), &mut |run| {
        seen.push(run.id.clone());
    })
    .unwrap();
    assert_eq!(seen, ["b/1", "a 2"]);
    let bytes = fs::read(shared.join("plan.json")).unwrap();
    StudyPlan::create(&shared, &study(&folder.0, 1e5), &mut |_| {}).unwrap();
    assert_eq!(fs::read(shared.join("plan.json")).unwrap(), bytes);
    let e = StudyPlan::create(&shared, &study(&folder.0, 2e5), &mut |_| {}).unwrap_err();
    assert!(e.to_string().contains("another plan"), "{e}");

    // Costs are 2·N·T; larger units are fewer.
    let tokens: f64 = plan
        .units()
        .iter()
        .filter(|u| u.run == "b/1")
        .map(|u| u.flops)
        .sum();
    let tokens = tokens / 2.0 / 1000.0;
    let count = |i: usize| 2 + i * 5 % 9;
    let want = (0..23).map(count).sum::<usize>() + 8 * (2 + 3);
    assert_eq!(tokens, want as f64);
    assert!(
        plan.units()
            .iter()
            .all(|u| u.flops <= 1e5 + 2.0 * 2000.0 * 10.0)
    );
    assert!(plan.named(&["b%2F1/tokens/0-1000"]).is_err());
    let name = plan.units()[3].name();
    assert_eq!(plan.named(&[name]).unwrap(), [&plan.units()[3]]);
    assert!(plan.shard(2, 2).is_err());
    // More shards than units: some have none.
    let all: usize = (0..100).map(|k| plan.shard(k, 100).unwrap().len()).sum();
    assert_eq!(all, plan.units().len());

    // The folder may be moved with what is in it.
    let inside = folder.0.join("inside");
    fs::create_dir_all(&inside).unwrap();
    let study = study(&inside, 1e5);
    StudyPlan::create(&inside, &study, &mut |_| {}).unwrap();
    let text = fs::read_to_string(inside.join("plan.json")).unwrap();
    assert!(!text.contains(inside.to_str().unwrap()), "{text}");
    let moved = folder.0.join("moved");
    fs::rename(&inside, &moved).unwrap();
    let plan = StudyPlan::read(&moved).unwrap();
    assert!(run(&plan, &plan.units()[0]).unwrap());
}

#[test]
fn plans_that_are_edited_wrongly_are_refused_by_unit() {
    let folder = Folder::new();
    let shared = folder.0.join("shared");
    let plan = StudyPlan::create(&shared, &study(&folder.0, 3e4), &mut |_| {}).unwrap();
    let path = shared.join("plan.json");
    let json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let refused = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut json = json.clone();
        change(&mut json);
        fs::write(&path, json.to_string()).unwrap();
        let e = StudyPlan::read(&shared).unwrap_err().to_string();
        assert!(e.contains("plan.json") && e.contains(expected), "{e}");
    };
    let second = plan.units()[1].name();
    let third = plan.units()[2].name();
    let units = |json: &mut serde_json::Value| json["units"].as_array_mut().unwrap().clone();
    let with = |json: &mut serde_json::Value, units: Vec<serde_json::Value>| {
        json["units"] = units.into();
    };
    refused(
        &|json| {
            let mut units = units(json);
            units.insert(1, units[1].clone());
            with(json, units);
        },
        &format!("unit `{second}` stands where one that begins with item"),
    );
    refused(
        &|json| {
            let mut units = units(json);
            units.remove(1);
            with(json, units);
        },
        &format!("unit `{third}` stands where"),
    );
    refused(
        &|json| {
            let mut units = units(json);
            units.pop();
            with(json, units);
        },
        "no unit has item",
    );
    refused(
        &|json| {
            let mut units = units(json);
            units.push(units[0].clone());
            with(json, units);
        },
        "one too many",
    );
    refused(
        &|json| json["units"][1]["flops"] = (-1).into(),
        "`flops` is -1",
    );
    refused(
        &|json| json["relscale_plan"] = 2.into(),
        "`relscale_plan` is 2",
    );
    refused(&|json| json["surprise"] = 2.into(), "surprise");
    refused(
        &|json| json["sources"][0]["scorers"][0] = "accuracy".into(),
        "accuracy",
    );
    refused(
        &|json| json["distributions"][1]["name"] = "tokens".into(),
        "comes twice",
    );
    refused(
        &|json| json["runs"][1]["run"]["id"] = "b/1".into(),
        "added twice",
    );
}

#[test]
fn studies_that_cannot_be_planned_are_refused() {
    let folder = Folder::new();
    let shared = folder.0.join("shared");
    let good = study(&folder.0, 1e5);
    let refused = |change: &dyn Fn(&mut Study), expected: &[&str]| {
        let mut study = good.clone();
        change(&mut study);
        let e = StudyPlan::create(&shared, &study, &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(expected.iter().all(|text| e.contains(text)), "{e}");
        assert!(!shared.exists());
    };
    refused(&|s| s.unit_flops = 0.0, &["unit_flops"]);
    refused(&|s| s.unit_flops = f64::NAN, &["unit_flops"]);
    refused(&|s| s.distributions.clear(), &["distributions"]);
    refused(
        &|s| s.distributions[0].scorers.clear(),
        &["tokens.jsonl", "scorers"],
    );
    refused(
        &|s| s.distributions[0].scorers[0] = "accuracy".into(),
        &["tokens.jsonl", "`accuracy` is none of"],
    );
    // Would fail on every machine.
    refused(
        &|s| s.distributions[0].scorers[0] = "brier".into(),
        &["tokens.jsonl", "`tokens`", "no choices"],
    );
    refused(
        &|s| s.distributions[1].scorers[0] = "error_rate_unconditional".into(),
        &["questions.jsonl", "unconditional"],
    );
    refused(
        &|s| s.distributions[1] = s.distributions[0].clone(),
        &["`tokens`", "a name that another has"],
    );
    refused(&|s| s.runs = "/nowhere.csv".into(), &["/nowhere.csv"]);
    fs::write(folder.0.join("empty.jsonl"), "").unwrap();
    let empty = folder.0.join("empty.jsonl");
    refused(
        &|s| s.distributions[1].path = empty.clone(),
        &["empty.jsonl", "no items"],
    );
    fs::remove_file(folder.0.join("1.gguf")).unwrap();
    refused(&|_| {}, &["1.gguf"]);
}

#[test]
fn files_of_studies_name_every_kind() {
    let folder = Folder::new();
    let text = r#"{
        "runs": "runs.csv", "unit_flops": 1e15,
        "scoring": {"bos": {"every_window": 256}, "context": 256},
        "distributions": [
            {"kind": "items", "path": "a.jsonl", "scorers": ["bits_per_byte"]},
            {"kind": "plain", "path": "b", "scorers": ["bits_per_byte"]},
            {"kind": "matched", "path": "/c.jsonl", "scorers": ["bits_per_byte"]},
            {"kind": {"corpus": {"text": "body"}}, "path": "d", "scorers": ["nats_per_byte"]},
            {"kind": {"regions": {}}, "path": "e", "scorers": ["nats_per_byte"]},
            {"kind": {"multiple_choice": {"cluster": "subject"}}, "path": "f",
             "scorers": ["error_rate_unconditional"], "unconditional": "Answer:"},
            {"kind": {"mmlu": {"shots": 0, "prompt": "letter"}}, "path": "g", "scorers": ["brier"]},
            {"kind": {"behaviours": {}}, "path": "h", "scorers": ["matching_probability"]}
        ]}"#;
    let path = folder.0.join("study.json");
    fs::write(&path, text).unwrap();
    let study = Study::read(&path).unwrap();
    assert_eq!(
        (study.runs, study.backend.as_str()),
        (folder.0.join("runs.csv"), "cpu f32")
    );
    assert_eq!(study.scoring.bos, Bos::EveryWindow(256));
    assert_eq!(study.scoring.batch_tokens, Settings::default().batch_tokens);
    assert_eq!(study.distributions[1].path, folder.0.join("b"));
    assert_eq!(study.distributions[2].path, Path::new("/c.jsonl"));
    match &study.distributions[6].kind {
        SourceKind::Mmlu(options) => assert_eq!((options.shots, options.description), (0, true)),
        kind => panic!("{kind:?}"),
    }
    for (from, to, expected) in [
        ("\"unit_flops\": 1e15,", "", "unit_flops"),
        ("\"shots\"", "\"shot\"", "shot"),
        ("\"plain\"", "\"plane\"", "plane"),
        ("every_window", "every", "every"),
        ("\"context\": 256", "\"contxt\": 256", "contxt"),
    ] {
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let e = Study::read(&path).unwrap_err().to_string();
        assert!(e.contains("study.json") && e.contains(expected), "{e}");
    }
}

/// Two checkpoints of the suite on texts and on questions that need a tokenizer, with the kernels of
/// the processor.
#[test]
fn real_checkpoints_in_pieces_give_the_bytes_of_one_run() {
    let folder = Folder::new();
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite");
    let runs = fs::read_to_string(suite.join("ladder.csv")).unwrap();
    let rows: String = runs.lines().take(3).map(|l| l.to_owned() + "\n").collect();
    let rows = rows.replace("checkpoints/", &format!("{}/checkpoints/", suite.display()));
    fs::write(folder.0.join("runs.csv"), rows).unwrap();
    let texts = fs::read_to_string(suite.join("texts/english-help.jsonl")).unwrap();
    let texts: String = texts.lines().take(6).map(|l| l.to_owned() + "\n").collect();
    fs::write(folder.0.join("help.jsonl"), texts).unwrap();
    fs::create_dir_all(folder.0.join("mmlu/test")).unwrap();
    let questions = "Where is the atlas?,Foot,Hand,Neck,Hip,C\nAnd the femur?,A leg,B,C,D,A\n";
    fs::write(folder.0.join("mmlu/test/anatomy_test.csv"), questions).unwrap();
    let text = r#"{"runs": "runs.csv", "unit_flops": 2e6,
        "scoring": {"bos": {"every_window": 256}, "context": 256, "truncate": true},
        "distributions": [
            {"kind": "items", "path": "help.jsonl", "scorers": ["bits_per_byte"]},
            {"kind": {"mmlu": {"shots": 0}}, "path": "mmlu", "scorers": ["choice_log_loss"]}
        ]}"#;
    fs::write(folder.0.join("study.json"), text).unwrap();
    let study = Study::read(folder.0.join("study.json")).unwrap();

    let load = |path: &Path| -> Result<Box<dyn Model>, Error> {
        Ok(Box::new(Transformer::load(path, Cpu::with_threads(2)?)?))
    };
    let want = single(&folder.0, &study, &|path| {
        // Another number of threads, and nothing else is the same.
        Box::new(Transformer::load(path, Cpu::with_threads(1).unwrap()).unwrap())
    });
    let plan = StudyPlan::create(folder.0.join("plan"), &study, &mut |_| {}).unwrap();
    assert!(plan.units().len() >= 10, "{}", plan.units().len());
    let mut worker = Worker::new(&plan, load);
    for unit in plan.units().iter().rev() {
        assert!(worker.run(unit, &|_| {}).unwrap());
    }
    let out = folder.0.join("merged.csv");
    plan.merge(&out, None).unwrap();
    let got = fs::read(&out).unwrap();
    assert_eq!(
        String::from_utf8(got.clone()).unwrap(),
        String::from_utf8(want).unwrap()
    );
    let ladder = Ladder::from_csv(got.as_slice(), "merged").unwrap();
    assert_eq!(ladder.runs().len(), 2);
    let e = plan.merge(&out, Some("bits_per_byte")).unwrap_err();
    assert!(e.to_string().contains("choice_log_loss"), "{e}");
}

#[test]
fn a_log_of_a_range_scores_the_range_and_no_more() {
    let folder = Folder::new();
    let study = study(&folder.0, 1e5);
    let items: Items = study.distributions[0].load("").unwrap().remove(0);
    let scorer = by_name("nats_per_token").unwrap();
    let scorers: [&dyn Scorer; 1] = [&*scorer];
    let key = Key::new("a", "b", &items, &scorers, &study.scoring).unwrap();
    for range in [0..0, 5..24, 24..25] {
        assert!(key.clone().with_range(range).is_err());
    }
    let part = key.clone().with_range(3..7).unwrap();
    let path = folder.0.join("log");
    let mut log = Log::open(&path, &part).unwrap();
    let model = Oracle(1.0);
    let evaluation = Evaluation::new(&model)
        .scorers(&scorers)
        .settings(study.scoring);
    log.score(&evaluation, &items).unwrap();
    assert!(log.table().is_complete());
    let ids: Vec<&String> = log.table().records().keys().collect();
    assert_eq!(ids, ["3", "4", "5", "6"]);
    drop(log);
    assert_eq!(Key::read(&path).unwrap(), part);
    // Neither the whole nor another part opens it, nor this part the whole.
    for other in [key.clone(), key.clone().with_range(3..8).unwrap()] {
        let e = Log::open(&path, &other).unwrap_err();
        assert!(
            matches!(&e, Error::Key { field, .. } if field == "range"),
            "{e}"
        );
    }
    let whole = folder.0.join("whole");
    drop(Log::open(&whole, &key).unwrap());
    assert!(!fs::read_to_string(&whole).unwrap().contains("range"));
    let e = Log::open(&whole, &part).unwrap_err();
    assert!(
        matches!(&e, Error::Key { field, .. } if field == "range"),
        "{e}"
    );
    assert_eq!(items.len(), 23);
}
