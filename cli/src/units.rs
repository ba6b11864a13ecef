//! Work units: a study cut into pieces that any number of machines score, and put together again.
//!
//! A [`Study`] names a table of runs, distributions and scorers. [`Plan::create`] cuts it into
//! [`Unit`]s, each some items of a distribution scored with one checkpoint, and pins what is scored
//! by hashes. A [`Worker`] scores units, each into a [log](relscale::log) of its own;
//! [`Plan::states`] says how far all have come; [`Plan::merge`] checks that every item is there
//! exactly once and writes the long table.
//!
//! - **The same bytes.** Where scores are reproducible to the bit, as on the CPU backend, the table
//!   does not depend on how the work was cut, where it was done and how often it was interrupted:
//!   it is that of [`log::export_csv`](relscale::log::export_csv) over whole logs on one machine.
//! - **Killed at any moment**, a unit goes on where it was when it is run again, by whatever process
//!   sees the folder. A finished unit is a file that appears whole, and is not scored again.
//! - **One process a unit.** A second one is refused while the first holds the lock of the log
//!   ([`io::ErrorKind::WouldBlock`]): the folder needs a file system with locks. Without them (a
//!   mounted object store) give each machine a folder of its own with the same `plan.json`, and
//!   copy the finished logs, `logs/**/*.jsonl`, into one folder.
//! - **Nothing foreign.** A checkpoint, a distribution, a log, a backend or a version of this crate
//!   other than the plan's is an error that names the unit and the field.
//!
//! The folder of a plan holds `plan.json` and, in `logs/`, for every unit `<name>.part` while it is
//! scored (with its `.lock`), `<name>.jsonl` when it is finished, and `<name>.error` with the
//! message when it failed.
//!
//! `relscale study` is all of it as a program; `cli/cluster/` runs it on Slurm and Ray.

mod error;
mod plan;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::distribution::{Content, Distribution, Items};
use relscale::evaluate::{Evaluation, Progress};
use relscale::log::{Key, Log, LongTable, Table, checkpoint_hash, distribution_hash};
use relscale::model::Model;
use relscale::scorer::Scorer;
use relscale::tokenizer::Tokenizer;

pub use error::UnitError;
pub use plan::{Plan, Study, Unit};
pub use source::{Kind, Source};

/// How far a unit has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nobody has begun.
    Open,
    /// Some of its items have a record; a process may be at it or not.
    Started {
        /// How many.
        records: usize,
    },
    /// The last attempt ended with an error, or what is there does not belong to the plan.
    Failed {
        /// What it said.
        message: String,
    },
    /// The log of the unit is there, with the plan's key.
    Done,
}

/// Scores units of a plan one after the other; what neighbours share is loaded once.
pub struct Worker<'a> {
    plan: &'a Plan,
    load: Load<'a>,
    loaded: Option<Loaded>,
    /// The distributions of a source.
    sources: BTreeMap<usize, Vec<Items>>,
}

/// Loads the model of a checkpoint.
type Load<'a> = Box<dyn FnMut(&Path) -> Result<Box<dyn Model>, Error> + 'a>;

struct Loaded {
    run: String,
    model: Box<dyn Model>,
    tokenizer: Option<Tokenizer>,
}

impl std::fmt::Debug for Worker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let run = self.loaded.as_ref().map(|l| &l.run);
        f.debug_struct("Worker")
            .field("run", &run)
            .finish_non_exhaustive()
    }
}

impl<'a> Worker<'a> {
    /// A worker that loads models with `load`, on the plan's backend.
    pub fn new(
        plan: &'a Plan,
        load: impl FnMut(&Path) -> Result<Box<dyn Model>, Error> + 'a,
    ) -> Self {
        Self {
            plan,
            load: Box::new(load),
            loaded: None,
            sources: BTreeMap::new(),
        }
    }

    /// Scores a unit, or goes on with it; says whether there was anything to do.
    ///
    /// # Errors
    /// An [`UnitError::Unit`]: a checkpoint or distribution that is not the plan's, another process at
    /// it, whatever loading and scoring refuse. All but the second is also written to the unit's
    /// file `.error`.
    pub fn run(&mut self, unit: &Unit, progress: &dyn Fn(Progress)) -> Result<bool, UnitError> {
        let message = self.plan.file(unit, "error");
        match self.attempt(unit, progress) {
            Ok(scored) => {
                // There is none, nearly always.
                fs::remove_file(message).ok();
                Ok(scored)
            }
            Err(e) => {
                let busy = matches!(&e, Error::Io { source, .. }
                    if source.kind() == io::ErrorKind::WouldBlock);
                if !busy {
                    // The error is returned; that it cannot be written too is no further one.
                    fs::write(message, e.to_string()).ok();
                }
                Err(unit.error(e))
            }
        }
    }

    fn attempt(&mut self, unit: &Unit, progress: &dyn Fn(Progress)) -> Result<bool, Error> {
        let key = self.plan.unit_key(unit)?;
        let done = self.plan.file(unit, "jsonl");
        if finished(&done, &key)? {
            return Ok(false);
        }
        if let Some(folder) = done.parent() {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
        }
        let part = self.plan.file(unit, "part");
        let mut log = Log::open(&part, &key)?;
        // What an earlier attempt said is not so any more.
        fs::remove_file(self.plan.file(unit, "error")).ok();
        // Another process may have finished it before the lock was ours.
        if finished(&done, &key)? {
            fs::remove_file(&part).map_err(|e| Error::io(&part, e))?;
            return Ok(false);
        }
        let distribution = self.plan.distribution(&unit.distribution)?;
        let source = &self.plan.sources[distribution.source];
        let place = self.items(unit)?;
        self.load(unit)?;
        let (Some(loaded), Some(items)) = (&self.loaded, self.sources.get(&distribution.source))
        else {
            return Err(Error::format(&part, "what was loaded is not there"));
        };
        let scorers = source.scorers()?;
        let scorers: Vec<&dyn Scorer> = scorers.iter().map(|scorer| &**scorer).collect();
        let mut evaluation = Evaluation::new(&*loaded.model)
            .scorers(&scorers)
            .settings(self.plan.scoring)
            .progress(progress);
        if let Some(tokenizer) = &loaded.tokenizer {
            evaluation = evaluation.tokenizer(tokenizer);
        }
        log.score(&evaluation, &items[place])?;
        log.move_to(&done)?;
        Ok(true)
    }

    /// Reads the distribution of a unit where it is not there yet; its place in its source.
    fn items(&mut self, unit: &Unit) -> Result<usize, Error> {
        let wanted = self.plan.distribution(&unit.distribution)?;
        let source = &self.plan.sources[wanted.source];
        let path = self.plan.folder.join(&source.path);
        if !self.sources.contains_key(&wanted.source) {
            let found = source.load(&self.plan.folder)?;
            let of = |d: &&plan::PlannedDistribution| d.source == wanted.source;
            for distribution in self.plan.distributions.iter().filter(of) {
                checked(&found, distribution, &path)?;
            }
            self.sources.insert(wanted.source, found);
        }
        let found = self.sources.get(&wanted.source);
        place_of(found.map_or(&[], Vec::as_slice), wanted, &path)
    }

    /// Loads the checkpoint of a unit where it is not the one that is there.
    fn load(&mut self, unit: &Unit) -> Result<(), Error> {
        let planned = self.plan.run(&unit.run)?;
        let path = self.plan.folder.join(&planned.checkpoint);
        if self.loaded.as_ref().is_none_or(|l| l.run != unit.run) {
            // Two models may be more than the memory holds.
            self.loaded = None;
            let hash = checkpoint_hash(&path)?;
            if hash != planned.checkpoint_hash {
                return Err(not_planned(
                    &path,
                    "checkpoint",
                    &planned.checkpoint_hash,
                    &hash,
                ));
            }
            self.loaded = Some(Loaded {
                run: unit.run.clone(),
                model: (self.load)(&path)?,
                tokenizer: None,
            });
        }
        let source = self.plan.distribution(&unit.distribution)?.source;
        let sources = self.sources.get(&source);
        let text = sources.is_some_and(|found| found.iter().any(is_text));
        if let Some(loaded) = &mut self.loaded
            && loaded.tokenizer.is_none()
            && text
        {
            loaded.tokenizer = Some(Tokenizer::load(&path)?);
        }
        Ok(())
    }
}

/// Whether something in it has to be tokenised.
fn is_text(items: &Items) -> bool {
    let text = |content: &Content| matches!(content, Content::Text(_) | Content::Choices { .. });
    (0..items.len()).any(|i| items.item(i).is_ok_and(|item| text(&item.content)))
}

/// The place of a distribution of the plan among those of its source.
fn place_of(
    found: &[Items],
    wanted: &plan::PlannedDistribution,
    path: &Path,
) -> Result<usize, Error> {
    let place = found.iter().position(|items| items.name() == wanted.name);
    place.ok_or_else(|| {
        let message = format!("the distribution `{}` is not there any more", wanted.name);
        Error::format(path, message)
    })
}

/// The same for a source that was just read: the distribution must not have changed.
fn checked(
    found: &[Items],
    wanted: &plan::PlannedDistribution,
    path: &Path,
) -> Result<usize, Error> {
    let place = place_of(found, wanted, path)?;
    let (planned, there) = (wanted.items.to_string(), found[place].len().to_string());
    if there != planned {
        return Err(not_planned(path, "items", &planned, &there));
    }
    let hash = distribution_hash(&found[place])?;
    if hash != wanted.hash {
        return Err(not_planned(path, "distribution_hash", &wanted.hash, &hash));
    }
    Ok(place)
}

fn not_planned(path: &Path, field: &str, wanted: &str, found: &str) -> Error {
    Error::Key {
        path: path.to_owned(),
        field: field.to_owned(),
        message: format!("the plan has {wanted}, here it is {found}"),
    }
}

/// Whether the log of a unit is there.
///
/// # Errors
/// A log that is damaged, of another key, or not complete.
fn finished(path: &Path, key: &Key) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(false);
    }
    read_finished(path, key).map(|_| true)
}

fn read_finished(path: &Path, key: &Key) -> Result<Table, Error> {
    let table = Table::read(path)?;
    table.key().ensure_equals(key, path)?;
    if !table.is_complete() {
        let message = format!(
            "{} records; remove it to score it again",
            table.records().len()
        );
        return Err(Error::format(path, message));
    }
    Ok(table)
}

impl Plan {
    /// How far every unit has come, in the order of [`Plan::units`].
    ///
    /// Reads the first line of finished logs, and the whole of those that are not.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn states(&self) -> Result<Vec<State>, Error> {
        self.units().iter().map(|unit| self.state(unit)).collect()
    }

    fn state(&self, unit: &Unit) -> Result<State, Error> {
        let failed = |e: Error| State::Failed {
            message: e.to_string(),
        };
        let (done, part) = (self.file(unit, "jsonl"), self.file(unit, "part"));
        if done.exists() {
            let key = self.unit_key(unit)?;
            let there = Key::read(&done).and_then(|there| there.ensure_equals(&key, &done));
            return Ok(there.map_or_else(failed, |()| State::Done));
        }
        match fs::read_to_string(self.file(unit, "error")) {
            Ok(message) => return Ok(State::Failed { message }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(self.file(unit, "error"), e)),
        }
        if !part.exists() {
            return Ok(State::Open);
        }
        Ok(match Table::read(&part) {
            Ok(table) => State::Started {
                records: table.records().len(),
            },
            // Finished a moment ago, or the first line is being written.
            Err(_) if done.exists() => State::Done,
            Err(_) if fs::metadata(&part).is_ok_and(|m| m.len() < FIRST_LINE) => {
                State::Started { records: 0 }
            }
            Err(e) => failed(e),
        })
    }

    /// Puts the logs of all units together and writes the long table to `path`: the bytes of
    /// [`log::export_csv`](relscale::log::export_csv) over whole logs, run by run in the order of the
    /// table of runs, and distribution by distribution in that of the study.
    ///
    /// `scorer` names the score; where it is `None` it is the first one of every distribution.
    /// The table appears whole or not at all. Memory is that of one run on one distribution.
    ///
    /// # Errors
    /// A unit that is not finished, of another key, damaged, or whose items are not those of the
    /// plan, as [`UnitError::Unit`]; a log in the folder that is of no unit of the plan; a distribution
    /// that is not the plan's; a scorer that a distribution does not have; a failing write.
    pub fn merge(&self, path: impl AsRef<Path>, scorer: Option<&str>) -> Result<(), UnitError> {
        let path = path.as_ref();
        self.refuse_missing()?;
        self.refuse_foreign()?;
        let ids = self.ids()?;
        LongTable::write(path, self.flop_convention, |out| -> Result<(), UnitError> {
            let mut units = self.units().iter();
            for run in &self.runs {
                for (distribution, ids) in self.distributions.iter().zip(&ids) {
                    let key = self.key(run, distribution);
                    let mut whole = Table::empty(key);
                    // The units of a plan stand in this order and have every item once.
                    let mut at = 0;
                    while at < distribution.items
                        && let Some(unit) = units.next()
                    {
                        whole.join(self.part(unit, ids).map_err(|e| unit.error(e))?);
                        at = unit.items.end;
                    }
                    let first = &self.sources[distribution.source].scorers[0];
                    out.add(&run.run, &whole, scorer.unwrap_or(first))?;
                }
            }
            Ok(())
        })
    }

    /// The log of a finished unit, with the items of the plan and no others.
    fn part(&self, unit: &Unit, ids: &[String]) -> Result<Table, Error> {
        let path = self.file(unit, "jsonl");
        let table = read_finished(&path, &self.unit_key(unit)?)?;
        // A complete log has as many records as there are items, each once.
        let missing = ids[unit.items.clone()]
            .iter()
            .find(|id| !table.records().contains_key(*id));
        match missing {
            None => Ok(table),
            Some(id) => Err(Error::format(&path, format!("item `{id}` is missing"))),
        }
    }

    fn refuse_missing(&self) -> Result<(), UnitError> {
        let missing = |unit: &&Unit| !self.file(unit, "jsonl").exists();
        let mut units = self.units().iter().filter(missing);
        let Some(first) = units.next() else {
            return Ok(());
        };
        let message = match units.count() {
            0 => "the unit is not finished".to_owned(),
            n => format!("the unit is not finished, nor are {n} others"),
        };
        Err(first.error(Error::format(self.file(first, "jsonl"), message)))
    }

    fn refuse_foreign(&self) -> Result<(), Error> {
        let files = self.units().iter().map(|unit| self.file(unit, "jsonl"));
        let known: BTreeSet<PathBuf> = files.collect();
        let mut open = vec![self.logs()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder).map_err(|e| Error::io(&folder, e))? {
                let path = entry.map_err(|e| Error::io(&folder, e))?.path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|e| e == "jsonl") && !known.contains(&path) {
                    return Err(Error::format(path, "a log that is of no unit of the plan"));
                }
            }
        }
        Ok(())
    }

    /// The ids of the items of every distribution.
    fn ids(&self) -> Result<Vec<Vec<String>>, Error> {
        let mut all = Vec::with_capacity(self.distributions.len());
        let mut loaded: Option<(usize, Vec<Items>)> = None;
        for distribution in &self.distributions {
            let number = distribution.source;
            let source = &self.sources[number];
            let found = match loaded.take() {
                Some((of, found)) if of == number => found,
                _ => source.load(&self.folder)?,
            };
            let place = checked(&found, distribution, &self.folder.join(&source.path))?;
            let items = &found[place];
            let id = |i: usize| items.item(i).map(|item| item.id.clone());
            all.push((0..items.len()).map(id).collect::<Result<_, _>>()?);
            loaded = Some((number, found));
        }
        Ok(all)
    }
}

/// A log that is shorter may not have its first line yet.
const FIRST_LINE: u64 = 4096;
