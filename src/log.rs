//! The score log: an append-only file with one record per item, so that a killed run resumes.
//!
//! A log is a file of JSON lines. The first line holds the [`Key`]: the checkpoint, the distribution,
//! the scorers, the settings and the backend. Every further line holds one item's loss and weight by
//! every scorer, in the shortest decimals that read back to the same bits, or the
//! [warnings](Evaluation::warnings) about model and tokenizer, or the [devices](Evaluation::devices) that
//! score the items after it. Each line ends in a checksum of the key and of the line, so that a line of
//! another log is refused.
//!
//! - **Killed at any byte**, a log loses at most the line being written: the next [`Log::open`] cuts
//!   off a last line that is not whole. A damaged line before it is an error that names the line.
//! - **Another key** is an error that names the field: stale results cannot be mixed in.
//! - **Parts.** A range of the items may have a log of its own ([`Key::with_range`]).
//! - **One writer at a time.** An empty file `<log>.lock` beside the log is locked while the log is
//!   open for writing. The file stays there. Readers need no lock.
//! - **Durability.** [`Log::append`] hands the whole line to the system before it returns, so the end
//!   of the process loses nothing. Against the end of the machine there is [`Log::sync`];
//!   [`Log::score`] calls it once per second and at the end.
//!
//! # Examples
//! ```
//! use relscale::distribution::{Content, Item, Items};
//! use relscale::evaluate::Settings;
//! use relscale::log::{Key, Log, Record, Table};
//! use relscale::scorer::{BitsPerByte, Score};
//!
//! let item = Item { id: "a".into(), cluster: "a".into(), content: Content::Text("Hello".into()) };
//! let texts = Items::new("texts", vec![item])?;
//! let key = Key::new("some model", "cpu f32", &texts, &[&BitsPerByte], &Settings::default())?;
//!
//! let path = std::env::temp_dir().join("relscale-doc-log.jsonl");
//! # std::fs::remove_file(&path).ok();
//! let mut log = Log::open(&path, &key)?;
//! let score = Score { loss: 9.3, weight: 4.0 };
//! log.append("a", Record { cluster: "a".into(), scores: vec![score], warnings: vec![] })?;
//! drop(log);
//!
//! let table = Table::read(&path)?;
//! assert_eq!(table.scores("bits_per_byte")?[0].score, score);
//! # Ok::<(), relscale::Error>(())
//! ```

mod compact;
mod export;
mod file;
mod format;
mod hash;
mod key;
#[cfg(feature = "parquet")]
mod parquet;
mod pin;
mod sealed;
mod table;

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::distribution::Distribution;
use crate::error::Error;
use crate::evaluate::Evaluation;
use crate::output::sync_folder;
use crate::scorer::Likelihoods;
use file::{Lock, refuse_link};
use format::{check, devices_line, header_line, record_line, scan, warnings_line};

pub use export::{LongTable, export_csv};

pub use hash::{checkpoint_hash, distribution_hash, file_hash};
pub use key::Key;
#[cfg(feature = "parquet")]
pub use parquet::export_parquet;
pub use pin::CheckpointPin;
pub use sealed::{is_unfinished, seal, unseal};
pub use table::{Record, Table};

/// Longest time that appended records may wait to reach the disk while [`Log::score`] runs: little
/// work to lose with the machine, and too seldom to slow down small models.
const SYNC: Duration = Duration::from_secs(1);

/// A log open for writing.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Held until the log is dropped.
    _lock: Lock,
    table: Table,
    /// Seed of the checksums.
    seed: String,
    /// Length of the whole lines, in bytes.
    len: u64,
    /// True once a line was written in part and could not be cut off.
    broken: bool,
    /// Ids that records may have, if they are known.
    known: Option<HashSet<String>>,
}

impl Log {
    /// Creates a log, or opens an existing one with the same key to resume it.
    ///
    /// A last line that is not whole, whatever the byte it was cut at, is removed; so is a first one of zeros,
    /// which a power cut may leave.
    ///
    /// # Errors
    /// A file that is no log, another key, a damaged or repeated line before the last, another
    /// writer ([`WouldBlock`](std::io::ErrorKind::WouldBlock)), or whatever the system refuses.
    pub fn open(path: impl AsRef<Path>, key: &Key) -> Result<Self, Error> {
        let path = path.as_ref();
        let io = |e| Error::io(path, e);
        refuse_link(path)?;
        // A pipe or a device would hold up the opening below.
        if path.exists() {
            crate::checkpoint::file_size(path)?;
        }
        // Before the first read: a log that another process is writing has a last line that is not
        // whole, and it would be cut off here.
        let lock = Lock::of(path)?;
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            // The system then writes at the end, wherever reading has left the position.
            .append(true)
            .open(path)
            .map_err(io)?;
        let (table, len) = scan(path, file.try_clone().map_err(io)?)?;
        let (header, seed) = header_line(path, key)?;
        let mut log = Self {
            path: path.to_owned(),
            file,
            _lock: lock,
            table: Table::empty(key.clone()),
            seed,
            len,
            broken: false,
            known: None,
        };
        match table {
            Some(table) => {
                // Before the file is changed: a log of another key must stay as it is.
                table.key().ensure_equals(key, path)?;
                log.table = table;
                if log.file.metadata().map_err(io)?.len() > len {
                    log.file.set_len(len).map_err(io)?;
                }
            }
            None => {
                // An empty file, or a first line that its writer was killed at.
                log.file.set_len(0).map_err(io)?;
                log.len = 0;
                log.write(&header)?;
                log.sync()?;
                // A synced file whose name is not on the disk is lost with the machine.
                sync_folder(path);
            }
        }
        Ok(log)
    }

    /// The same log, which from now on refuses records of items that `distribution` does not have.
    ///
    /// [`Log::score`] needs no such help: it appends items of its distribution only.
    ///
    /// # Errors
    /// A distribution other than the key's, a record that is of none of its items (of those in the
    /// key's range), or an item that cannot be read.
    pub fn with_items(mut self, distribution: &dyn Distribution) -> Result<Self, Error> {
        let mine = self.table.key();
        let hash = distribution_hash(distribution)?;
        if hash != mine.distribution_hash {
            return Err(Error::Key {
                path: self.path.clone(),
                field: "distribution_hash".to_owned(),
                message: format!("the log has {}, not {hash}", mine.distribution_hash),
            });
        }
        self.open_items(distribution)?;
        let ids = mine
            .places()
            .map(|at| Ok(distribution.item(at)?.id.clone()));
        self.known = Some(ids.collect::<Result<_, Error>>()?);
        Ok(self)
    }

    /// The key and the records so far.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Adds the record of an item.
    ///
    /// # Errors
    /// An item that has a record, or that the distribution does not have ([`Log::with_items`]; without
    /// it, a record more than there are items); a number of scores that differs from that of the
    /// scorers; a loss or weight that is not finite, a weight that is not above 0; a record of more
    /// than 16 MB; or a failing write. The log is then as it was before.
    pub fn append(&mut self, id: &str, record: Record) -> Result<(), Error> {
        if self.table.records().contains_key(id) {
            return Err(Error::item(id, "the log has a record of it"));
        }
        let items = self.table.key().places().len();
        let is_foreign = match &self.known {
            Some(known) => !known.contains(id),
            None => self.table.records().len() >= items,
        };
        if is_foreign {
            let message = format!("is none of the {items} items of the log");
            return Err(Error::item(id.get(..100).unwrap_or(id), message));
        }
        // What the next `open` would refuse must not be written: it would make the whole log
        // unreadable.
        check(&record, self.table.key()).map_err(|m| Error::item(id, m))?;
        let line = record_line(&self.path, id, &record, &self.seed)?;
        self.write(&line)?;
        // After the write, so that the table never has a record that the file lacks.
        self.table.insert(id.to_owned(), record);
        Ok(())
    }

    /// Waits until everything appended is on the disk.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, e))
    }

    /// Scores the items that have no record yet (those of the key's range, if it has one).
    ///
    /// The log records the devices and their drivers, where results may depend on them, and does not compare
    /// them: it may be resumed on another one ([`Table::devices`]).
    ///
    /// Each item is appended as soon as its batch is computed. A process that is killed loses the
    /// batch in flight (with [replicas](Evaluation::replicas), one per replica and those waiting for
    /// their turn); nothing that is recorded is computed again.
    ///
    /// # Errors
    /// A distribution, scorers, settings or a tokenizer's treatment of special tokens that differ
    /// from the key, by field; whatever the evaluation, a scorer or [`Log::append`] refuses.
    ///
    /// # Examples
    /// ```no_run
    /// # use relscale::backend::Reference;
    /// use relscale::distribution::Items;
    /// use relscale::evaluate::{Evaluation, Settings};
    /// use relscale::log::{Key, Log, checkpoint_hash};
    /// use relscale::model::Transformer;
    /// use relscale::scorer::BitsPerByte;
    /// use relscale::tokenizer::Tokenizer;
    ///
    /// let texts = Items::from_jsonl("texts.jsonl")?;
    /// let settings = Settings::default();
    /// let hash = checkpoint_hash("checkpoint")?;
    /// let key = Key::new(hash, "reference f32", &texts, &[&BitsPerByte], &settings)?;
    /// let mut log = Log::open("texts.log", &key)?;
    ///
    /// let model = Transformer::load("checkpoint", Reference::<f32>::new())?;
    /// let tokenizer = Tokenizer::load("checkpoint")?;
    /// let evaluation = Evaluation::new(&model)
    ///     .tokenizer(&tokenizer)
    ///     .scorers(&[&BitsPerByte])
    ///     .settings(settings);
    /// log.score(&evaluation, &texts)?;
    /// # Ok::<(), relscale::Error>(())
    /// ```
    pub fn score(
        &mut self,
        evaluation: &Evaluation<'_>,
        distribution: &dyn Distribution,
    ) -> Result<(), Error> {
        // Before anything is computed: a mismatch found after hours would have wasted them.
        self.expect(evaluation, distribution)?;
        let open = self.open_items(distribution)?;
        if !open.is_empty() {
            self.warn(evaluation.warnings())?;
            self.add_devices(evaluation.devices())?;
        }
        let mut synced = Instant::now();
        let scored = evaluation.for_each(distribution, &open, |_, answer: Likelihoods| {
            let scores = evaluation.score(&answer)?;
            let record = Record {
                cluster: answer.cluster,
                scores,
                warnings: answer.warnings.iter().map(ToString::to_string).collect(),
            };
            self.append(&answer.id, record)?;
            if synced.elapsed() > SYNC {
                self.sync()?;
                synced = Instant::now();
            }
            Ok(())
        });
        // Whoever stops an evaluation may switch the machine off next.
        self.sync()?;
        scored
    }

    /// Adds findings about model and tokenizer, each once.
    fn warn(&mut self, mut warnings: Vec<String>) -> Result<(), Error> {
        warnings.retain(|warning| !self.table.warnings().contains(warning));
        if !warnings.is_empty() {
            let line = warnings_line(&self.path, &warnings, &self.seed)?;
            self.write(&line)?;
            self.table.warn(warnings);
        }
        Ok(())
    }

    /// Adds the devices that score what follows, each once.
    fn add_devices(&mut self, mut devices: Vec<String>) -> Result<(), Error> {
        devices.retain(|device| !self.table.devices().contains(device));
        if !devices.is_empty() {
            let line = devices_line(&self.path, &devices, &self.seed)?;
            self.write(&line)?;
            self.table.add_devices(devices);
        }
        Ok(())
    }

    /// Refuses an evaluation or a distribution that differs from the key.
    fn expect(
        &self,
        evaluation: &Evaluation<'_>,
        distribution: &dyn Distribution,
    ) -> Result<(), Error> {
        let mine = self.table.key();
        let (scorers, settings, parsed) = evaluation.identity();
        let (checkpoint, backend) = (mine.checkpoint.as_str(), mine.backend.as_str());
        let key = Key::new(checkpoint, backend, distribution, scorers, settings)?;
        // Checkpoint, backend and run cannot be asked of an evaluation, so those of the log are
        // taken; whoever opened it vouches for them.
        let mut key = key.with_special_tokens_parsed(parsed);
        key.backend_version.clone_from(&mine.backend_version);
        key.run.clone_from(&mine.run);
        key.range.clone_from(&mine.range);
        mine.ensure_equals(&key, &self.path)
    }

    /// Places of the items that the log is of and that have no record.
    fn open_items(&self, distribution: &dyn Distribution) -> Result<Vec<usize>, Error> {
        let places = self.table.key().places();
        if places.end > distribution.len() {
            let message = format!("the log is of the items {places:?}");
            return Err(Error::format(&self.path, message));
        }
        let (mut open, mut scored) = (Vec::new(), HashSet::new());
        for index in places {
            let item = distribution.item(index)?;
            match self.table.records().get_key_value(&item.id) {
                Some((id, _)) => scored.insert(id),
                None => {
                    open.push(index);
                    true
                }
            };
        }
        let mut ids = self.table.records().keys();
        match ids.find(|id| !scored.contains(id)) {
            None => Ok(open),
            Some(id) => Err(Error::format(
                &self.path,
                format!("the record of `{id}` is of no item of the distribution"),
            )),
        }
    }

    /// Writes a whole line or nothing.
    fn write(&mut self, line: &str) -> Result<(), Error> {
        let io = |e| Error::io(&self.path, e);
        if self.broken {
            let message = "an earlier write failed half-way; open the log again";
            return Err(Error::format(&self.path, message));
        }
        if let Err(e) = self.file.write_all(line.as_bytes()) {
            // The half that was written would spoil the next line.
            self.broken = self.file.set_len(self.len).is_err();
            return Err(io(e));
        }
        self.len += line.len() as u64;
        Ok(())
    }
}
