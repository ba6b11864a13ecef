//! The score log: an append-only file of one record an item, so that a killed run resumes.
//!
//! A log is a file of JSON lines. The first line holds the [`Key`]: which checkpoint scored which
//! distribution, how, on what. Every further line is one item with a loss and a weight by every
//! scorer, written in the shortest decimals that read back to the same bits. Each line ends in a
//! checksum of the key and of itself, so that a line of another log does not pass for one of this.
//!
//! - **Killed at any byte**, a log loses at most the line being written: the next [`Log::open`]
//!   cuts a last line off that is not whole. A damaged line before it is an error that names it.
//! - **Another key** is an error that names the field: stale results cannot be mixed in.
//! - **A part** of the items may have a log of its own, whose key has their places
//!   ([`Key::with_range`]); [`units`](crate::units) makes such logs and puts them together.
//! - **One writer at a time**: an empty file `<log>.lock` beside the log is locked while it is open
//!   for writing. It stays there. Readers need no lock.
//! - **Durability**: [`Log::append`] hands the whole line to the system before it returns, so that
//!   the end of the process loses nothing. For the end of the machine there is [`Log::sync`];
//!   [`Log::score`] calls it once a second and at the end.
//!
//! # Examples
//! ```
//! use relscale::distribution::{Content, Item, Items};
//! use relscale::evaluate::Options;
//! use relscale::log::{Key, Log, Record, Table};
//! use relscale::scorer::{BitsPerByte, Score};
//!
//! let item = Item { id: "a".into(), cluster: "a".into(), content: Content::Text("Hello".into()) };
//! let texts = Items::new("texts", vec![item])?;
//! let key = Key::new("some model", "cpu f32", &texts, &[&BitsPerByte], &Options::default())?;
//!
//! let path = std::env::temp_dir().join("relscale-doc-log.jsonl");
//! # std::fs::remove_file(&path).ok();
//! let mut log = Log::open(&path, &key)?;
//! let score = Score { loss: 9.3, weight: 4.0 };
//! log.append("a", Record { cluster: "a".into(), scores: vec![score], warnings: vec![] })?;
//! drop(log);
//!
//! let table = Table::read(&path)?;
//! assert_eq!(table.scores("bits_per_byte").unwrap()[0].score, score);
//! # Ok::<(), relscale::Error>(())
//! ```

mod export;
mod key;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::distribution::Distribution;
use crate::error::Error;
use crate::evaluate::{Options, Progress, log_likelihoods_each};
use crate::ladder::{LadderBuilder, Run};
use crate::model::Model;
use crate::scorer::{ItemScore, Score, Scorer, cluster_totals};
use crate::tokenizer::Tokenizer;

pub use export::export_csv;
#[cfg(feature = "parquet")]
pub use export::export_parquet;
pub use export::{LongTable, write_csv};
pub use key::{Key, checkpoint_hash, distribution_hash};

/// The lock of a writer, given back when it is dropped.
///
/// Closing the file would do, were it not for a child process that is being started meanwhile: until
/// it runs its own program it holds a copy of every open file, and with it the lock.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Where the system refuses, closing the file still does it.
        let _ = self.0.unlock();
    }
}

/// What a log says of one item.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The item's cluster.
    pub cluster: String,
    /// Its score by every scorer, in the order of [`Key::scorers`].
    pub scores: Vec<Score>,
    /// What was done to it that its author may not expect.
    pub warnings: Vec<String>,
}

/// The records of a log by item.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    key: Key,
    records: BTreeMap<String, Record>,
}

impl Table {
    /// Reads a log without locking it; a last line that is not whole is left out.
    ///
    /// # Errors
    /// A file that is not a log, or the first damaged or repeated line, by number.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        crate::checkpoint::file_size(path)?;
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let (table, _) = scan(path, file)?;
        table.ok_or_else(|| not_whole(path))
    }

    /// What the records have in common.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The records by item.
    #[must_use]
    pub fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    /// Whether every item of the distribution, or of the key's range of it, has a record.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.records.len() == self.key.places().len()
    }

    /// The scores of one scorer, in the order of the item ids; `None` where the log has no such
    /// scorer.
    #[must_use]
    pub fn scores(&self, scorer: &str) -> Option<Vec<ItemScore>> {
        self.place_of(scorer).ok().map(|at| self.scores_at(at))
    }

    fn scores_at(&self, at: usize) -> Vec<ItemScore> {
        let scores = self.records.iter().map(|(id, record)| ItemScore {
            id: id.clone(),
            cluster: record.cluster.clone(),
            score: record.scores[at],
        });
        scores.collect()
    }

    /// Adds the scores of `run` to a ladder, a row a cluster.
    ///
    /// # Errors
    /// A scorer that the log does not have, or whatever [`LadderBuilder::score`] refuses.
    pub fn add_to(
        &self,
        builder: &mut LadderBuilder,
        run: &Run,
        scorer: &str,
    ) -> Result<(), Error> {
        let at = self.place_of(scorer)?;
        let scores = self.scores_at(at);
        for (cluster, total) in cluster_totals(&scores) {
            let (name, loss) = (&self.key.distribution, total.loss / total.weight);
            builder
                .score(&run.id, name, &cluster, loss, total.weight)
                .map_err(|e| Error::Option {
                    option: "run",
                    message: e.to_string(),
                })?;
        }
        Ok(())
    }

    /// The place of a scorer's scores in those of a record.
    fn place_of(&self, scorer: &str) -> Result<usize, Error> {
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

    /// A table without records.
    pub fn empty(key: Key) -> Self {
        Self {
            key,
            records: BTreeMap::new(),
        }
    }

    /// Adds the records of a log of other items.
    pub fn join(&mut self, other: Self) {
        self.records.extend(other.records);
    }
}

/// A log open for writing.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    /// Locked for as long as it lives.
    _lock: Lock,
    table: Table,
    /// Seed of the checksums.
    seed: String,
    /// Bytes of whole lines.
    len: u64,
    broken: bool,
}

impl Log {
    /// Creates a log, or opens one with the same key to go on.
    ///
    /// A last line that is not whole, whatever the byte it was cut at, is removed.
    ///
    /// # Errors
    /// A file that is not a log, another key, a damaged or repeated line before the last, another
    /// writer ([`io::ErrorKind::WouldBlock`]), or whatever the system refuses.
    pub fn open(path: impl AsRef<Path>, key: &Key) -> Result<Self, Error> {
        let path = path.as_ref();
        let io = |e| Error::io(path, e);
        if path.exists() {
            crate::checkpoint::file_size(path)?;
        }
        let lock_path = beside(path, ".lock");
        let lock = Lock(
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&lock_path)
                .map_err(|e| Error::io(&lock_path, e))?,
        );
        match lock.0.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = "another writer has the log open";
                return Err(io(io::Error::new(io::ErrorKind::WouldBlock, reason)));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(&lock_path, e)),
        }
        let file = OpenOptions::new()
            .create(true)
            .read(true)
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
        };
        match table {
            Some(table) => {
                table.key.expect(key, path)?;
                log.table = table;
                if log.file.metadata().map_err(io)?.len() > len {
                    log.file.set_len(len).map_err(io)?;
                }
            }
            None => {
                log.file.set_len(0).map_err(io)?;
                log.len = 0;
                log.write(&header)?;
                log.sync()?;
                sync_folder(path);
            }
        }
        Ok(log)
    }

    /// What is in it.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Adds the record of an item.
    ///
    /// # Errors
    /// An item that has a record, a number of scores other than that of the scorers, a loss or
    /// weight that is not finite, or a failing write, after which the log is as it was before.
    pub fn append(&mut self, id: &str, record: Record) -> Result<(), Error> {
        if self.table.records.contains_key(id) {
            return Err(Error::item(id, "the log has a record of it"));
        }
        check(&record, &self.table.key).map_err(|m| Error::item(id, m))?;
        let line = record_line(&self.path, id, &record, &self.seed)?;
        self.write(&line)?;
        self.table.records.insert(id.to_owned(), record);
        Ok(())
    }

    /// Waits until everything appended is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|e| Error::io(&self.path, e))
    }

    /// Scores the items that have no record (those of the key's range, where it has one), each
    /// appended as soon as its batch is computed: a process that is killed loses the batch in flight
    /// (with [replicas](Model::replicas), those of all and what waits for them), and nothing that is
    /// recorded is computed
    /// again.
    ///
    /// # Errors
    /// A distribution, scorers, options or a tokenizer's way with special tokens other than those of
    /// the key, by field; whatever the evaluation, a scorer or [`Log::append`] refuses.
    pub fn score(
        &mut self,
        model: &dyn Model,
        tokenizer: Option<&Tokenizer>,
        distribution: &dyn Distribution,
        scorers: &[&dyn Scorer],
        options: &Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let (checkpoint, backend) = (&self.table.key.checkpoint, &self.table.key.backend);
        let parsed = tokenizer.is_some_and(Tokenizer::parses_special_tokens);
        let key = Key::new(checkpoint, backend, distribution, scorers, options)?;
        let mut key = key.with_special_tokens_parsed(parsed);
        key.range.clone_from(&self.table.key.range);
        self.table.key.expect(&key, &self.path)?;
        let places = key.places();
        if places.end > distribution.len() {
            let message = format!("the log is of the items {places:?}");
            return Err(Error::format(&self.path, message));
        }
        let mut open = Vec::new();
        for index in places {
            if !self
                .table
                .records
                .contains_key(&distribution.item(index)?.id)
            {
                open.push(index);
            }
        }
        let mut synced = Instant::now();
        let mut sink = |_, answer: crate::scorer::Likelihoods| {
            let scores: Result<Vec<Score>, Error> =
                scorers.iter().map(|scorer| scorer.score(&answer)).collect();
            let record = Record {
                cluster: answer.cluster,
                scores: scores?,
                warnings: answer.warnings.iter().map(ToString::to_string).collect(),
            };
            self.append(&answer.id, record)?;
            if synced.elapsed() > Duration::from_secs(1) {
                self.sync()?;
                synced = Instant::now();
            }
            Ok(())
        };
        log_likelihoods_each(
            model,
            tokenizer,
            distribution,
            &open,
            options,
            &mut sink,
            progress,
        )?;
        self.sync()
    }

    /// Closes the log, its records rewritten in the order of their ids: two logs of the same scores
    /// become the same bytes, however often each was interrupted.
    ///
    /// The new file replaces the old one at once or not at all.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn compact(self) -> Result<(), Error> {
        self.compact_to(&self.path)
    }

    /// Closes the log as [`Log::compact`] does, at another path, where a file that is there is
    /// replaced: what is found there is always whole.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn move_to(self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.compact_to(path.as_ref())?;
        fs::remove_file(&self.path).map_err(|e| Error::io(&self.path, e))
    }

    fn compact_to(&self, path: &Path) -> Result<(), Error> {
        let io = |e| Error::io(path, e);
        let (header, seed) = header_line(path, &self.table.key)?;
        replace(path, |file| {
            let mut out = BufWriter::new(file);
            out.write_all(header.as_bytes()).map_err(io)?;
            for (id, record) in &self.table.records {
                let line = record_line(path, id, record, &seed)?;
                out.write_all(line.as_bytes()).map_err(io)?;
            }
            out.flush().map_err(io)
        })
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

fn check(record: &Record, key: &Key) -> Result<(), String> {
    let (scores, scorers) = (record.scores.len(), key.scorers.len());
    if scores != scorers {
        return Err(format!("{scores} scores of {scorers} scorers"));
    }
    for (score, scorer) in record.scores.iter().zip(&key.scorers) {
        if !score.loss.is_finite() || !score.weight.is_finite() {
            let (loss, weight) = (score.loss, score.weight);
            return Err(format!("`{scorer}` has the loss {loss} of weight {weight}"));
        }
    }
    Ok(())
}

/// `path` with `suffix` after its name.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Writes a file beside `path` that takes its place once it is whole and on the disk. What is there
/// and is no file, such as a pipe, is written to as it is.
fn replace<E: From<Error>>(
    path: &Path,
    write: impl FnOnce(&File) -> Result<(), E>,
) -> Result<(), E> {
    // The file a link points to is what the caller means, not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if target.exists() && !target.is_file() {
        let file = OpenOptions::new().write(true).open(&target);
        return write(&file.map_err(|e| Error::io(path, e))?);
    }
    let temporary = beside(&target, ".tmp");
    let io = |e| Error::io(&temporary, e);
    let file = File::create(&temporary).map_err(io)?;
    let done = write(&file).and_then(|()| {
        file.sync_all().map_err(io)?;
        fs::rename(&temporary, &target).map_err(|e| Error::io(path, e).into())
    });
    if done.is_ok() {
        sync_folder(&target);
    } else {
        // A full disk needs the room.
        fs::remove_file(&temporary).ok();
    }
    done
}

/// Makes the name of a new file durable where the system has a way to; a failure costs nothing but
/// that.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        folder.sync_all().ok();
    }
}

/// How every log begins.
const MARKER: &[u8] = b"{\"relscale_score_log\":1,";
/// Longest line read; a record is far shorter.
const MAX_LINE: u64 = 16 << 20;
/// Digits of a checksum, 64 bits.
const DIGITS: usize = 16;

#[derive(Serialize, Deserialize)]
struct Header {
    relscale_score_log: u32,
    key: Key,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    id: std::borrow::Cow<'a, str>,
    cluster: std::borrow::Cow<'a, str>,
    scores: Vec<(f64, f64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<std::borrow::Cow<'a, str>>,
}

/// The first line, and the seed of the checksums of the others, which is its own checksum.
fn header_line(path: &Path, key: &Key) -> Result<(String, String), Error> {
    let header = Header {
        relscale_score_log: 1,
        key: key.clone(),
    };
    let body = serde_json::to_string(&header).map_err(|e| Error::format(path, e))?;
    let line = seal(body, "");
    let seed = line[line.len() - 3 - DIGITS..][..DIGITS].to_owned();
    Ok((line, seed))
}

fn record_line(path: &Path, id: &str, record: &Record, seed: &str) -> Result<String, Error> {
    let line = Line {
        id: id.into(),
        cluster: record.cluster.as_str().into(),
        scores: record.scores.iter().map(|s| (s.loss, s.weight)).collect(),
        warnings: record.warnings.iter().map(|w| w.as_str().into()).collect(),
    };
    let body = serde_json::to_string(&line).map_err(|e| Error::format(path, e))?;
    Ok(seal(body, seed))
}

/// Adds the checksum to an object: `{…}` to `{…,"check":"0123456789abcdef"}` and a line feed.
fn seal(mut object: String, seed: &str) -> String {
    object.pop();
    let check = checksum(object.as_bytes(), seed);
    object + ",\"check\":\"" + &check + "\"}\n"
}

/// First 64 bits of the SHA-256 of the seed and the line up to its checksum.
fn checksum(body: &[u8], seed: &str) -> String {
    let hash = Sha256::new()
        .chain_update(seed)
        .chain_update(body)
        .finalize();
    key::hex(&hash[..DIGITS / 2])
}

/// The checksum of a line without its line feed, where it is right.
fn verified<'a>(line: &'a [u8], seed: &str) -> Option<&'a [u8]> {
    let rest = line.strip_suffix(b"\"}")?;
    let at = rest.len().checked_sub(DIGITS)?;
    let body = rest[..at].strip_suffix(b",\"check\":\"")?;
    (rest[at..] == *checksum(body, seed).as_bytes()).then_some(&rest[at..])
}

/// The records of a log and the length of its whole lines; no table where not even the first line
/// is whole.
fn scan(path: &Path, file: File) -> Result<(Option<Table>, u64), Error> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let last = next_line(path, &mut reader, &mut line, 1)?;
    let Some((key, seed)) = header(path, &line, last)? else {
        return Ok((None, 0));
    };
    let mut table = Table::empty(key);
    let mut len = line.len() as u64;
    let mut lines: HashMap<String, usize> = HashMap::new();
    let mut done = last;
    let mut number = 1;
    while !done {
        number += 1;
        done = next_line(path, &mut reader, &mut line, number)?;
        let whole = line
            .strip_suffix(b"\n")
            .filter(|l| verified(l, &seed).is_some());
        let Some(whole) = whole else {
            if done {
                break;
            }
            return Err(damaged(path, number, "its checksum does not fit"));
        };
        let found: Line<'_> =
            serde_json::from_slice(whole).map_err(|e| damaged(path, number, &e.to_string()))?;
        let score = |&(loss, weight): &(f64, f64)| Score { loss, weight };
        let record = Record {
            cluster: found.cluster.into_owned(),
            scores: found.scores.iter().map(score).collect(),
            warnings: found.warnings.into_iter().map(Into::into).collect(),
        };
        check(&record, &table.key).map_err(|m| damaged(path, number, &m))?;
        let id = found.id.into_owned();
        if let Some(before) = lines.insert(id.clone(), number) {
            return Err(Error::Line {
                path: path.to_owned(),
                line: number,
                message: format!("item `{id}` is also on line {before}"),
            });
        }
        table.records.insert(id, record);
        len += line.len() as u64;
    }
    Ok((Some(table), len))
}

/// Reads a line with its line feed, and says whether it is the last.
fn next_line(
    path: &Path,
    reader: &mut BufReader<File>,
    line: &mut Vec<u8>,
    number: usize,
) -> Result<bool, Error> {
    let io = |e| Error::io(path, e);
    line.clear();
    reader
        .by_ref()
        .take(MAX_LINE)
        .read_until(b'\n', line)
        .map_err(io)?;
    if line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n') {
        return Err(damaged(path, number, "it is too long"));
    }
    Ok(reader.fill_buf().map_err(io)?.is_empty())
}

/// The key in the first line and the seed of the checksums of the others; none where it is not
/// whole and the last.
fn header(path: &Path, line: &[u8], last: bool) -> Result<Option<(Key, String)>, Error> {
    let begins = line.starts_with(MARKER) || MARKER.starts_with(line);
    if !begins {
        return Err(Error::format(path, "is not a score log of this version"));
    }
    let whole = line.strip_suffix(b"\n").and_then(|l| verified(l, ""));
    let Some(seed) = whole.and_then(|check| std::str::from_utf8(check).ok()) else {
        if last {
            return Ok(None);
        }
        return Err(damaged(path, 1, "its checksum does not fit"));
    };
    let header: Header =
        serde_json::from_slice(line).map_err(|e| damaged(path, 1, &e.to_string()))?;
    Ok(Some((header.key, seed.to_owned())))
}

fn read_key(path: &Path) -> Result<Key, Error> {
    crate::checkpoint::file_size(path)?;
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut line = Vec::new();
    let last = next_line(path, &mut BufReader::new(file), &mut line, 1)?;
    let header = header(path, &line, last)?;
    header.map_or_else(|| Err(not_whole(path)), |(key, _)| Ok(key))
}

fn not_whole(path: &Path) -> Error {
    Error::format(path, "a score log whose first line is not whole")
}

fn damaged(path: &Path, line: usize, message: &str) -> Error {
    Error::Line {
        path: path.to_owned(),
        line,
        message: format!("the line is damaged: {message}"),
    }
}
