//! Progress of the units of a plan.

use std::fs;
use std::io;

use super::{StudyPlan, Unit};
use relscale::Error;
use relscale::log::{Key, Table};

/// Progress of a unit.
///
/// Exhaustive: a program that shows progress must handle every state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitState {
    /// No item has been scored.
    Open,
    /// Some items have been scored; a process may still be working on the unit.
    Started {
        /// Number of items scored.
        records: usize,
    },
    /// The last attempt ended with an error, or the log does not belong to the plan.
    Failed {
        /// Message of the error.
        message: String,
    },
    /// The log of the unit is complete and has the plan's key.
    Done,
}

/// Bytes that may hold an unfinished first line: the header of a log is shorter than this, and a log
/// below it that cannot be read has just been opened.
const FIRST_LINE: u64 = 4096;

impl StudyPlan {
    /// The progress of every unit, in the order of [`StudyPlan::units`].
    ///
    /// Reads the first line of finished logs and all of unfinished ones.
    ///
    /// # Errors
    /// Failures of the file system.
    pub fn states(&self) -> Result<Vec<UnitState>, Error> {
        self.units().iter().map(|unit| self.state(unit)).collect()
    }

    fn state(&self, unit: &Unit) -> Result<UnitState, Error> {
        let failed = |e: Error| UnitState::Failed {
            message: e.to_string(),
        };
        let (done, part) = (self.file(unit, "jsonl"), self.file(unit, "part"));
        if done.exists() {
            let key = self.unit_key(unit)?;
            let there = Key::read(&done).and_then(|there| there.ensure_equals(&key, &done));
            return Ok(there.map_or_else(failed, |()| UnitState::Done));
        }
        match relscale::input::text(self.file(unit, "error"), 1 << 20) {
            Ok(message) if message.is_empty() => {
                let message = "the reason could not be written; the disk was probably full";
                return Ok(failed(Error::format(self.file(unit, "error"), message)));
            }
            Ok(message) => return Ok(UnitState::Failed { message }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(self.file(unit, "error"), e)),
        }
        if !part.exists() {
            return Ok(UnitState::Open);
        }
        Ok(match Table::read(&part) {
            Ok(table) => UnitState::Started {
                records: table.records().len(),
            },
            // Finished a moment ago, or the first line is being written.
            Err(_) if done.exists() => UnitState::Done,
            Err(_) if fs::metadata(&part).is_ok_and(|m| m.len() < FIRST_LINE) => {
                UnitState::Started { records: 0 }
            }
            Err(e) => failed(e),
        })
    }
}
