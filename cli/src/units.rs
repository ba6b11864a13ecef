//! Work units: a study cut into pieces that any number of machines score.
//!
//! A [`Study`] names a table of runs, distributions and scorers. [`StudyPlan::create`] cuts it into
//! [`Unit`]s, each some items of one distribution scored with one checkpoint, and pins the inputs by
//! their hashes. A [`Worker`] scores units, each into a [log](relscale::log) of its own.
//! [`StudyPlan::states`] reports the progress of every unit. [`StudyPlan::merge`] checks that every
//! item was scored exactly once and writes the long table.
//!
//! - **The same bytes.** Where scores are reproducible to the bit, as on the CPU backend, the merged
//!   table does not depend on the cut, the machines or the number of interruptions. It equals the
//!   table that [`log::export_csv`](relscale::log::export_csv) writes from whole logs on one machine.
//! - **Safe to kill.** An interrupted unit resumes from its last record, in any process that sees the
//!   folder. The log of a finished unit appears as a whole, and the unit is not scored again.
//! - **One process per unit.** A second process is refused while the first one holds the lock of the
//!   log ([`io::ErrorKind::WouldBlock`](std::io::ErrorKind::WouldBlock)), so the folder needs a file
//!   system with locks. Without locks (a mounted object store), give each machine its own folder with
//!   the same `plan.json`, and copy the finished logs, `logs/**/*.jsonl`, into one folder.
//! - **Nothing foreign.** A checkpoint, distribution, log, backend or version of this crate other than
//!   the planned one is an error that names the unit and the field.
//!
//! The folder of a plan holds `plan.json` and, in `logs/`, three files per unit: `<name>.part` (with
//! its `.lock`) while the unit is scored, `<name>.jsonl` once it is finished, and `<name>.error` with
//! the message if it failed.
//!
//! The command `relscale study` runs all of this; `cli/cluster/` runs it on Slurm and Ray.

mod create;
mod cut;
mod error;
mod merge;
mod plan;
mod preset;
mod source;
mod state;
mod study;
mod unit;
mod worker;

pub use error::UnitError;
pub use plan::StudyPlan;
pub use preset::CaseStudy;
pub use source::{Source, SourceKind};
pub use state::UnitState;
pub use study::Study;
pub use unit::Unit;
pub use worker::Worker;
