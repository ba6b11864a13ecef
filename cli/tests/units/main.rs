//! Studies cut into units: the table is that of one machine, whatever the cut and whatever happens.

#[path = "../../../tests/common/folder.rs"]
mod folder;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use folder::Folder;
use proptest::prelude::*;
use relscale::Error;
use relscale::checkpoint::Checkpoint;
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

#[cfg(target_os = "linux")]
mod calls;
mod merge;
mod plan;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
mod race;
mod trust;
mod work;

/// A folder in memory where there is one: what is synchronised there takes no time.
#[cfg(target_os = "linux")]
fn in_memory() -> Folder {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        Folder::below(memory)
    } else {
        Folder::new()
    }
}

/// Says something irrational of every token, another thing for every checkpoint.
struct Oracle(f64);

impl Oracle {
    fn load(checkpoint: &Checkpoint) -> Result<Box<dyn Model>, Error> {
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

/// A study of two checkpoints on texts and questions, whose files are written to `folder`.
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
    described(folder, unit_flops)
}

/// The study whose files are in `folder`.
fn described(folder: &Path, unit_flops: f64) -> Study {
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
        base: None,
        special_tokens: false,
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
fn single(folder: &Path, study: &Study, load: &dyn Fn(&Checkpoint) -> Box<dyn Model>) -> Vec<u8> {
    let table = RunTable::from_csv(&study.runs).unwrap();
    let mut logs = Vec::new();
    for (number, trained) in table.runs.iter().enumerate() {
        let model = load(&trained.into());
        for source in &study.distributions {
            for items in source.load("").unwrap() {
                // One scorer, as a table has; others make no difference to it.
                let scorer = by_name(&source.scorers[0]).unwrap();
                let scorers: [&dyn Scorer; 1] = [&*scorer];
                let hash = checkpoint_hash(trained).unwrap();
                let key = Key::new(hash, "one", &items, &scorers, &study.scoring).unwrap();
                let path = folder.join(format!("single-{number}-{}", items.name()));
                let mut log = Log::open(&path, &key).unwrap();
                let tokenizer = Tokenizer::load(trained).ok();
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

fn oracle(path: &Checkpoint) -> Box<dyn Model> {
    Oracle::load(path).unwrap()
}

fn run(plan: &StudyPlan, unit: &Unit) -> Result<bool, UnitError> {
    Worker::new(plan, Oracle::load).run(unit, &|_| {})
}

fn log_of(folder: &Path, unit: &Unit) -> PathBuf {
    folder.join("logs").join(unit.name() + ".jsonl")
}

/// A plan whose units are all finished but those of `leave`.
fn finished(folder: &Folder, leave: &[usize]) -> (PathBuf, StudyPlan) {
    let shared = folder.file("shared");
    let plan = StudyPlan::create(&shared, &study(folder.path(), 3e4), &mut |_| {}).unwrap();
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
