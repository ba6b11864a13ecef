//! Scores of a table of runs, each run and distribution through a log of its own.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::path::{Component, Path};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Progress, Settings};
use relscale::ladder::TrainedRun;
use relscale::log::{Key, Log, Table};
use relscale::output::create_folder;
use relscale::scorer::Scorer;
use relscale::tokenizer::Tokenizer;

use crate::engine::Engine;
use crate::hub::{Hub, Known};
use crate::interrupt;
use crate::names::file_name;
use crate::output::{detail, progress, warn, warning};

/// A distribution to score, with the name of its log.
///
/// Exhaustive: callers build it by its fields.
#[expect(missing_debug_implementations, reason = "scorers have no Debug")]
pub struct Task<'a> {
    /// Name of the log, without its extension.
    pub log: String,
    /// Items to score.
    pub items: &'a Items,
    /// Scorers of every record.
    pub scorers: &'a [&'a dyn Scorer],
}

/// Logs by run and name of the log.
pub type Tables = BTreeMap<(String, String), Table>;

type Failure = Box<dyn Error + Send + Sync>;

/// Scores the items that have no record yet in `logs/<run>/<task>.jsonl`; special tokens written in a
/// text are ordinary text.
///
/// `workers` runs are scored at a time. If `parsed` is true, special tokens written in a text become
/// their ids. A run whose logs are complete is not loaded. A checkpoint of
/// the hub is downloaded once it is needed, from the hub of the engine. Returns all logs and the number of
/// items scored by this call.
///
/// # Errors
/// A run whose name is not that of a folder; a log of another key; a failure of loading, scoring or
/// writing; [`relscale::Error::Interrupted`] if the user asks to stop ([`interrupt::watch`]). All workers
/// end before the first error is returned.
pub fn score(
    runs: &[TrainedRun],
    tasks: &[Task<'_>],
    logs: &Path,
    settings: &Settings,
    parsed: bool,
    engine: &Engine,
    workers: usize,
) -> Result<(Tables, usize), Failure> {
    for TrainedRun { run, .. } in runs {
        refuse_path(&run.id)?;
    }
    // Time goes with the parameters, so that the bar counts them and not runs.
    let length = runs.iter().map(|r| r.run.params as u64).sum();
    let bar = progress(length, "{percent}% {msg}");
    // Largest first: a small run left for the end keeps fewer workers idle.
    let mut order: Vec<&TrainedRun> = runs.iter().collect();
    order.sort_by(|a, b| b.run.params.total_cmp(&a.run.params));
    let queue = Mutex::new(VecDeque::from(order));
    let found = Mutex::new((Tables::new(), 0));
    let work = || -> Result<(), Failure> {
        loop {
            interrupt::check()?;
            let next = queue.lock().map_err(poisoned)?.pop_front();
            let Some(next) = next else {
                return Ok(());
            };
            bar.set_message(next.run.id.clone());
            let (open, scored) = score_run(next, tasks, logs, settings, parsed, engine, &bar)?;
            let mut found = found.lock().map_err(poisoned)?;
            found.1 += scored;
            for (log, task) in open.iter().zip(tasks) {
                let name = (next.run.id.clone(), task.log.clone());
                found.0.insert(name, log.table().clone());
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.clamp(1, runs.len().max(1)))
            .map(|_| scope.spawn(work))
            .collect();
        let all = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(_) => Err("a worker panicked".into()),
        });
        // Collected twice, so that every worker is waited for before the first error is returned.
        all.collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<(), _>>()
    })?;
    bar.finish_and_clear();
    found.into_inner().map_err(poisoned)
}

/// Names the base of every adapter among `runs` that has none yet: `base` is its folder, or one of
/// bases ([`Checkpoint::with_base`](relscale::checkpoint::Checkpoint::with_base)).
///
/// # Errors
/// No adapter without a base among the runs; an adapter of a kind that is not read; one of `hub` that
/// is not there.
pub fn name_base(runs: &mut [TrainedRun], base: &Path, hub: &Hub) -> Result<(), relscale::Error> {
    let mut named = 0;
    for trained in runs.iter_mut().filter(|trained| trained.base.is_none()) {
        if hub.is_adapter(&trained.checkpoint)? {
            trained.base = Some(base.to_owned());
            named += 1;
        }
    }
    if named > 0 {
        return Ok(());
    }
    Err(relscale::Error::Option {
        option: "base",
        message:
            "no run without a base has an adapter (adapter_config.json) as its checkpoint; leave \
                  the option out"
                .to_owned(),
    })
}

/// The name of a run becomes a folder of logs: `../x` would write elsewhere.
fn refuse_path(id: &str) -> Result<(), Failure> {
    let mut parts = Path::new(id).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(()),
        _ => Err(format!("run `{id}`: not the name of a folder; rename the run").into()),
    }
}

fn poisoned<T>(error: PoisonError<T>) -> Failure {
    error.to_string().into()
}

/// Completes the logs of one run; returns them and the number of items scored.
fn score_run(
    trained: &TrainedRun,
    tasks: &[Task<'_>],
    logs: &Path,
    settings: &Settings,
    parsed: bool,
    engine: &Engine,
    bar: &ProgressBar,
) -> Result<(Vec<Log>, usize), Failure> {
    let run = &trained.run;
    let pinned = engine.hub().pin_run(trained)?;
    let known = Known::of(engine.hub(), &pinned, &logs.join(file_name(&run.id)))?;
    let mut open = Vec::new();
    for task in tasks {
        let folder = logs.join(file_name(&run.id));
        let path = folder.join(format!("{}.jsonl", file_name(&task.log)));
        if let Some(folder) = path.parent() {
            create_folder(folder).map_err(|e| relscale::Error::io(folder, e))?;
        }
        let key = Key::new(
            &known.hash,
            engine.name(),
            task.items,
            task.scorers,
            settings,
        )?
        .with_special_tokens_parsed(parsed)
        .with_backend_version(engine.version());
        open.push(Log::open(&path, &key).map_err(|e| match e {
            relscale::Error::Key { .. } => format!("{e} (with another --out)").into(),
            e => Failure::from(e),
        })?);
    }
    let records =
        |open: &[Log]| -> usize { open.iter().map(|log| log.table().records().len()).sum() };
    let before = records(&open);
    let moves = moves(run.params, tasks, bar);
    let items: usize = tasks.iter().map(|task| task.items.len()).sum();
    detail(&format!("{}: {before} of {items} items are scored", run.id));
    if !open.iter().all(|log| log.table().is_complete()) {
        let (held, pin) = known.on_disk(engine.hub(), &pinned)?;
        let checkpoint = held.checkpoint();
        let model = engine.load(checkpoint.clone(), settings.batch_tokens)?;
        let tokenizer = Tokenizer::load(checkpoint.clone())?.with_special_tokens_parsed(parsed);
        pin.ensure_unchanged()?;
        warn(
            &trained.checkpoint,
            &model.evaluation().tokenizer(&tokenizer).warnings(),
        );
        for ((log, task), moved) in open.iter_mut().zip(tasks).zip(moves.iter()) {
            let evaluation = model
                .evaluation()
                .tokenizer(&tokenizer)
                .scorers(task.scorers)
                .settings(*settings)
                .progress(|p| moved.to(p))
                .stop_when(interrupt::requested);
            log.score(&evaluation, task.items)?;
        }
    }
    moves.iter().for_each(Moved::to_end);
    for log in &open {
        let records = log.table().records().values();
        let warned = records.filter(|r| !r.warnings.is_empty()).count();
        if warned > 0 {
            let (run, name) = (&run.id, &log.table().key().distribution);
            warning(&format!(
                "{run}: {warned} items of `{name}` have warnings, which stand in the log"
            ));
        }
    }
    let scored = records(&open) - before;
    Ok((open, scored))
}

/// The part of a progress bar that is one task of one run.
struct Moved<'a> {
    bar: &'a ProgressBar,
    share: u64,
    so_far: Cell<u64>,
}

impl Moved<'_> {
    fn to(&self, progress: Progress) {
        let part = progress.tokens as f64 / progress.total.max(1) as f64;
        let now = (self.share as f64 * part) as u64;
        self.bar.inc(now.saturating_sub(self.so_far.replace(now)));
    }

    fn to_end(&self) {
        self.bar.inc(self.share.saturating_sub(self.so_far.get()));
    }
}

/// The parts of the bar for the tasks of a run with `params` parameters, by their numbers of items.
fn moves<'a>(params: f64, tasks: &[Task<'_>], bar: &'a ProgressBar) -> Vec<Moved<'a>> {
    let items: usize = tasks.iter().map(|task| task.items.len()).sum();
    let share = |task: &Task<'_>| params * task.items.len() as f64 / items.max(1) as f64;
    let moved = |task| Moved {
        bar,
        share: share(task) as u64,
        so_far: Cell::new(0),
    };
    tasks.iter().map(moved).collect()
}
