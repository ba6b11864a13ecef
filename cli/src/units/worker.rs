//! Scoring units.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::plan::PinnedDistribution;
use super::{StudyPlan, Unit, UnitError};
use relscale::Error;
use relscale::checkpoint::Checkpoint;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Evaluation, Progress};
use relscale::log::{CheckpointPin, Key, Log, Table, distribution_hash};
use relscale::model::Model;
use relscale::output;
use relscale::scorer::Scorer;
use relscale::tokenizer::Tokenizer;

use crate::hub::{Held, Hub};
use crate::interrupt;
use crate::output::warn;

/// Scores units of a plan one by one and loads a checkpoint shared by consecutive units once.
pub struct Worker<'a> {
    plan: &'a StudyPlan,
    load: Load<'a>,
    hub: Hub,
    loaded: Option<Loaded>,
    /// Distributions by index of their source.
    sources: BTreeMap<usize, Vec<Items>>,
}

/// A function that loads the model of a checkpoint.
type Load<'a> = Box<dyn FnMut(&Checkpoint) -> Result<Box<dyn Model>, Error> + 'a>;

struct Loaded {
    run: String,
    /// Keeps the files of the checkpoint, whose tokenizer may be read later.
    held: Held,
    /// The checkpoint as it was hashed.
    pin: CheckpointPin,
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
        plan: &'a StudyPlan,
        load: impl FnMut(&Checkpoint) -> Result<Box<dyn Model>, Error> + 'a,
    ) -> Self {
        Self {
            plan,
            load: Box::new(load),
            hub: Hub::default(),
            loaded: None,
            sources: BTreeMap::new(),
        }
    }

    /// Takes checkpoints of the hub (`hf://…`) from `hub`, which may have a disk budget.
    #[must_use]
    pub fn with_hub(mut self, hub: Hub) -> Self {
        self.hub = hub;
        self
    }

    /// Scores a unit from its last record on; returns `false` if it was finished already.
    ///
    /// # Errors
    /// A [`UnitError::Unit`]: a checkpoint or distribution that differs from the planned one, another
    /// process working on the unit, a failure of loading or scoring, or [`Error::Interrupted`] if the
    /// user asks to stop ([`interrupt::watch`]). All but the second and the last are also written to the
    /// unit's `.error` file.
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
                // Neither is a failure of the unit.
                if !busy && !matches!(e, Error::Interrupted) {
                    leave(&message, &e.to_string());
                }
                Err(unit.error(e))
            }
        }
    }

    fn attempt(&mut self, unit: &Unit, progress: &dyn Fn(Progress)) -> Result<bool, Error> {
        self.plan.ensure_version()?;
        let key = self.plan.unit_key(unit)?;
        let done = self.plan.file(unit, "jsonl");
        if finished(&done, &key)? {
            return Ok(false);
        }
        if let Some(folder) = done.parent() {
            output::create_folder(folder).map_err(|e| Error::io(folder, e))?;
        }
        let part = self.plan.file(unit, "part");
        let mut log = Log::open(&part, &key)?;
        // The message of an earlier attempt no longer applies.
        fs::remove_file(self.plan.file(unit, "error")).ok();
        // Another process may have finished the unit before this one took the lock.
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
            .progress(progress)
            .stop_when(interrupt::requested);
        if let Some(tokenizer) = &loaded.tokenizer {
            evaluation = evaluation.tokenizer(tokenizer);
        }
        log.score(&evaluation, &items[place])?;
        log.move_to(&done)?;
        Ok(true)
    }

    /// Reads the source of a unit unless it is loaded; returns the index of the distribution in it.
    fn items(&mut self, unit: &Unit) -> Result<usize, Error> {
        let wanted = self.plan.distribution(&unit.distribution)?;
        let source = &self.plan.sources[wanted.source];
        let path = self.plan.folder.join(&source.path);
        if !self.sources.contains_key(&wanted.source) {
            let found = source.load(&self.plan.folder)?;
            let of = |d: &&PinnedDistribution| d.source == wanted.source;
            for distribution in self.plan.distributions.iter().filter(of) {
                checked(&found, distribution, &path)?;
            }
            self.sources.insert(wanted.source, found);
        }
        let found = self.sources.get(&wanted.source);
        place_of(found.map_or(&[], Vec::as_slice), wanted, &path)
    }

    /// Loads the checkpoint of a unit unless it is loaded.
    fn load(&mut self, unit: &Unit) -> Result<(), Error> {
        let planned = self.plan.run(&unit.run)?;
        if self.loaded.as_ref().is_none_or(|l| l.run != unit.run) {
            // Dropped first: two models may not fit in memory together.
            self.loaded = None;
            let held = self.plan.hold(planned, &self.hub)?;
            let checkpoint = held.checkpoint();
            let path = checkpoint.path();
            let pin = CheckpointPin::of(checkpoint)?;
            let hash = pin.hash()?;
            if hash != planned.checkpoint_hash {
                return Err(not_planned(
                    path,
                    "checkpoint",
                    &planned.checkpoint_hash,
                    &hash,
                ));
            }
            let model = (self.load)(checkpoint)?;
            pin.ensure_unchanged()?;
            warn(path, model.warnings());
            self.loaded = Some(Loaded {
                run: unit.run.clone(),
                held,
                pin,
                model,
                tokenizer: None,
            });
        }
        let source = self.plan.distribution(&unit.distribution)?.source;
        let sources = self.sources.get(&source);
        let text = sources.is_some_and(|found| found.iter().any(is_text));
        // The key of the log says how special tokens are treated, whatever the items are.
        let needed = text || self.plan.special_tokens;
        if let Some(loaded) = &mut self.loaded
            && loaded.tokenizer.is_none()
            && needed
        {
            let checkpoint = loaded.held.checkpoint();
            let tokenizer = Tokenizer::load(checkpoint.clone())?;
            // It may be loaded long after the model.
            loaded.pin.ensure_unchanged()?;
            warn(checkpoint.path(), tokenizer.warnings());
            let parsed = self.plan.special_tokens;
            loaded.tokenizer = Some(tokenizer.with_special_tokens_parsed(parsed));
        }
        Ok(())
    }
}

/// Leaves the reason of a failure in a file. The error is returned as well; that it cannot be written is no
/// further one.
fn leave(path: &Path, message: &str) {
    if output::write(path, message).is_err() {
        // An empty file needs no room on a full disk, and says that there was a failure.
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)
            .ok();
    }
}

/// True if some item has to be tokenised.
fn is_text(items: &Items) -> bool {
    (0..items.len()).any(|i| items.item(i).is_ok_and(|item| item.content.is_text()))
}

/// The index of a planned distribution among those of its source.
fn place_of(found: &[Items], wanted: &PinnedDistribution, path: &Path) -> Result<usize, Error> {
    let place = found.iter().position(|items| items.name() == wanted.name);
    place.ok_or_else(|| {
        let message = format!("the distribution `{}` is not there any more", wanted.name);
        Error::format(path, message)
    })
}

/// As [`place_of`], for a source that was just read; the distribution must not have changed.
pub(super) fn checked(
    found: &[Items],
    wanted: &PinnedDistribution,
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

/// True if the finished log of a unit exists. A log that is damaged, incomplete or of another key is
/// an error.
fn finished(path: &Path, key: &Key) -> Result<bool, Error> {
    if !path.exists() {
        return Ok(false);
    }
    read_finished(path, key).map(|_| true)
}

pub(super) fn read_finished(path: &Path, key: &Key) -> Result<Table, Error> {
    let table = Table::read(path)?;
    table.key().ensure_equals(key, path)?;
    if !table.is_complete() {
        let message = format!(
            "{} records; remove the file to score the unit again",
            table.records().len()
        );
        return Err(Error::format(path, message));
    }
    Ok(table)
}
