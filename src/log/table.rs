//! The records of a log, in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::format::{not_whole, scan};
use super::key::Key;
use crate::error::Error;
use crate::input;
use crate::ladder::{LadderBuilder, LadderError, Run};
use crate::scorer::{ItemScore, Score, cluster_totals};

/// The record of one item.
// Exhaustive, so that scores from another program can be appended to a log.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The item's cluster.
    pub cluster: String,
    /// One score per scorer, in the order of [`Key::scorers`].
    pub scores: Vec<Score>,
    /// Non-fatal adjustments made while scoring the item.
    pub warnings: Vec<String>,
}

/// The records of a log, by item.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    key: Key,
    // Ordered by id: exports and compacted logs then do not depend on the order of scoring.
    records: BTreeMap<String, Record>,
    warnings: BTreeSet<String>,
    devices: BTreeSet<String>,
    /// If true, exports take the records that are there.
    partial: bool,
}

impl Table {
    /// Reads a log without locking it. A last line that is not whole is left out.
    ///
    /// # Errors
    /// A file that is no log; the first damaged line, or else the first with a repeated item, by number.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        crate::checkpoint::file_size(path)?;
        let file = input::file(path).map_err(|e| Error::io(path, e))?;
        let (table, _) = scan(path, file)?;
        table.ok_or_else(|| not_whole(path))
    }

    /// A table without records.
    #[must_use]
    pub fn empty(key: Key) -> Self {
        Self {
            key,
            records: BTreeMap::new(),
            warnings: BTreeSet::new(),
            devices: BTreeSet::new(),
            partial: false,
        }
    }

    /// The same table for exports that take the records that are there. Without this, a table whose
    /// items are not all scored is refused: the mean of some of them is not the error of the
    /// distribution.
    #[must_use]
    pub fn accept_incomplete(mut self) -> Self {
        self.partial = true;
        self
    }

    /// Refuses a table that lacks records, unless that was asked for.
    pub(super) fn ensure_complete(&self, run: &str) -> Result<(), Error> {
        if self.partial || self.is_complete() {
            return Ok(());
        }
        Err(Error::Option {
            option: "logs",
            message: format!(
                "the log of run `{run}` on `{}` has records of {} of {} items; score the others first, \
                 or ask for a table of some items (accept_incomplete)",
                self.key.distribution,
                self.records.len(),
                self.key.places().len()
            ),
        })
    }

    /// The key that all records have in common.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The records, by item id.
    #[must_use]
    pub fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    /// Non-fatal findings about the model and the tokenizer that scored the items
    /// ([`Evaluation::warnings`](crate::evaluate::Evaluation::warnings)).
    #[must_use]
    pub fn warnings(&self) -> &BTreeSet<String> {
        &self.warnings
    }

    /// The devices that scored the items, with their drivers, where results may depend on them
    /// ([`Evaluation::devices`](crate::evaluate::Evaluation::devices)); none in a log of the CPU backend, or
    /// of a version that did not record them.
    ///
    /// They are no part of the [key](Self::key): several devices may score the parts of a distribution. What
    /// is more than rounding between two of them (precision, kernels, versions) is in the key.
    #[must_use]
    pub fn devices(&self) -> &BTreeSet<String> {
        &self.devices
    }

    /// True if every item of the distribution, or of the key's range of it, has a record.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.records.len() == self.key.places().len()
    }

    /// The scores by one scorer, in the order of the item ids.
    ///
    /// # Errors
    /// A scorer that the log does not have; the message lists those it has.
    pub fn scores(&self, scorer: &str) -> Result<Vec<ItemScore>, Error> {
        let at = self.column(scorer)?;
        let scores = self.records.iter().map(|(id, record)| ItemScore {
            id: id.clone(),
            cluster: record.cluster.clone(),
            score: record.scores[at],
        });
        Ok(scores.collect())
    }

    /// Adds the scores of `run` by one scorer to a ladder, one row per cluster, and states the scorer.
    ///
    /// # Errors
    /// A scorer that the log does not have; a log that lacks items and was not told to
    /// [accept that](Self::accept_incomplete); whatever [`LadderBuilder::score`] and
    /// [`LadderBuilder::scorer`] refuse.
    pub fn add_to(
        &self,
        builder: &mut LadderBuilder,
        run: &Run,
        scorer: &str,
    ) -> Result<(), Error> {
        self.ensure_complete(&run.id)?;
        let scores = self.scores(scorer)?;
        let refused = |e: LadderError| Error::Option {
            option: "run",
            message: e.to_string(),
        };
        // Clusters and not items, because the estimator resamples clusters: a ladder of items would
        // be larger and no different.
        for (cluster, total) in cluster_totals(&scores) {
            let (name, loss) = (&self.key.distribution, total.loss / total.weight);
            builder
                .score(&run.id, name, &cluster, loss, total.weight)
                .map_err(refused)?;
        }
        if !scores.is_empty() {
            builder
                .scorer(&self.key.distribution, scorer)
                .map_err(refused)?;
        }
        Ok(())
    }

    /// The place of a scorer's scores in those of a record.
    pub(super) fn column(&self, scorer: &str) -> Result<usize, Error> {
        let at = self.key.scorers.iter().position(|s| s == scorer);
        at.ok_or_else(|| Error::Option {
            option: "scorer",
            message: format!(
                "the log of `{}` has {}, not `{scorer}`",
                self.key.distribution,
                self.key.scorers.join(", ")
            ),
        })
    }

    /// Adds a record.
    pub(super) fn insert(&mut self, id: String, record: Record) {
        self.records.insert(id, record);
    }

    /// Takes the records of a table that has none yet; their ids differ.
    pub(super) fn fill(&mut self, records: impl Iterator<Item = (String, Record)>) {
        debug_assert!(self.records.is_empty());
        self.records = records.collect();
    }

    /// Adds findings about model and tokenizer.
    pub(super) fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        self.warnings.extend(warnings);
    }

    /// Adds devices that scored items.
    pub(super) fn add_devices(&mut self, devices: impl IntoIterator<Item = String>) {
        self.devices.extend(devices);
    }

    /// Adds the records, warnings and devices of another table; records of items that have one already
    /// replace it.
    pub fn join(&mut self, other: Self) {
        self.warnings.extend(other.warnings);
        self.devices.extend(other.devices);
        if self.records.is_empty() {
            self.records = other.records;
        } else {
            self.records.extend(other.records);
        }
    }
}
