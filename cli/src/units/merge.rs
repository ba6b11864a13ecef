//! The table of a finished study.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::worker::{checked, read_finished};
use super::{StudyPlan, Unit, UnitError};
use relscale::Error;
use relscale::distribution::{Distribution, Items};
use relscale::log::{LongTable, Table};

impl StudyPlan {
    /// Joins the logs of all units and writes the long table to `path`.
    ///
    /// Runs are in the order of the table of runs, distributions in that of the study. The bytes are
    /// those of [`log::export_csv`](relscale::log::export_csv) over whole logs. The table appears as a
    /// whole or not at all. Memory holds one run on one distribution at a time.
    ///
    /// `scorer` names the score to write; `None` stands for the first scorer of every distribution.
    /// Returns the devices that scored the items, where results may depend on them
    /// ([`Table::devices`]).
    ///
    /// # Errors
    /// As [`UnitError::Unit`], a unit that is unfinished, damaged, of another key, or whose items are
    /// not the planned ones. As [`UnitError::Study`], a log that belongs to no unit, a distribution
    /// that differs from the planned one, a scorer that a distribution lacks, or a failing write.
    pub fn merge(
        &self,
        path: impl AsRef<Path>,
        scorer: Option<&str>,
    ) -> Result<BTreeSet<String>, UnitError> {
        let path = path.as_ref();
        self.refuse_missing()?;
        self.refuse_foreign()?;
        let ids = self.item_ids()?;
        let mut devices = BTreeSet::new();
        LongTable::write(path, self.flop_convention, |out| -> Result<(), UnitError> {
            let mut units = self.units().iter();
            for run in &self.runs {
                for (distribution, ids) in self.distributions.iter().zip(&ids) {
                    let key = self.key(run, distribution);
                    let mut whole = Table::empty(key);
                    // The units of a plan are in this order and cover every item once.
                    let mut at = 0;
                    while at < distribution.items
                        && let Some(unit) = units.next()
                    {
                        whole.join(self.part(unit, ids).map_err(|e| unit.error(e))?);
                        at = unit.items.end;
                    }
                    let first = &self.sources[distribution.source].scorers[0];
                    out.add(&run.run, &whole, scorer.unwrap_or(first))?;
                    devices.extend(whole.devices().iter().cloned());
                }
            }
            Ok(())
        })?;
        Ok(devices)
    }

    /// The log of a finished unit, which must hold the planned items and no others.
    fn part(&self, unit: &Unit, ids: &[String]) -> Result<Table, Error> {
        let path = self.file(unit, "jsonl");
        let table = read_finished(&path, &self.unit_key(unit)?)?;
        // A complete log has one record per item, so a foreign item implies a missing one.
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
                    return Err(Error::format(
                        path,
                        "belongs to no unit of the plan; move it out of the folder",
                    ));
                }
            }
        }
        Ok(())
    }

    /// The item ids of every distribution.
    fn item_ids(&self) -> Result<Vec<Vec<String>>, Error> {
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
