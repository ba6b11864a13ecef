//! Lines of a log.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::key::Key;
use super::sealed::{is_unfinished, seal, unseal};
use super::table::{Record, Table};
use crate::error::Error;
use crate::input;
use crate::scorer::Score;

/// The first bytes of every log.
// The version stands before everything else, so that a log of another version is named as one even
// if its fields differ.
const MARKER: &[u8] = b"{\"relscale_score_log\":1,";
/// Longest line read, in bytes. A record takes a few hundred; the bound keeps a file without line
/// feeds from filling the memory.
const MAX_LINE: u64 = 16 << 20;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    relscale_score_log: u32,
    key: Key,
}

/// Every further line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    id: Cow<'a, str>,
    cluster: Cow<'a, str>,
    /// Loss and weight, one pair per scorer.
    scores: Vec<(f64, f64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Cow<'a, str>>,
}

/// A line of findings about model and tokenizer.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Warnings {
    warnings: Vec<String>,
}

/// A line of the devices that score the items of the records after it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Devices {
    devices: Vec<String>,
}

/// The first bytes of a line of findings. Records begin with their id.
const WARNINGS: &[u8] = b"{\"warnings\":";
/// The first bytes of a line of devices.
const DEVICES: &[u8] = b"{\"devices\":";

/// The first line of a log, and its checksum, which seeds those of the other lines.
pub(super) fn header_line(path: &Path, key: &Key) -> Result<(String, String), Error> {
    let header = Header {
        relscale_score_log: 1,
        key: key.clone(),
    };
    let body = serde_json::to_string(&header).map_err(|e| Error::format(path, e))?;
    let (line, seed) = seal(body, "");
    match too_long(&line) {
        None => Ok((line, seed)),
        Some(message) => Err(Error::format(path, format!("the key: {message}"))),
    }
}

/// The line of a record.
pub(super) fn record_line(
    path: &Path,
    id: &str,
    record: &Record,
    seed: &str,
) -> Result<String, Error> {
    let line = Line {
        id: id.into(),
        cluster: record.cluster.as_str().into(),
        scores: record.scores.iter().map(|s| (s.loss, s.weight)).collect(),
        warnings: record.warnings.iter().map(|w| w.as_str().into()).collect(),
    };
    let body = serde_json::to_string(&line).map_err(|e| Error::format(path, e))?;
    let (line, _) = seal(body, seed);
    match too_long(&line) {
        None => Ok(line),
        Some(message) => Err(Error::item(id.get(..100).unwrap_or(id), message)),
    }
}

/// The message about a line that could not be read back, which would make the whole log unreadable.
fn too_long(line: &str) -> Option<String> {
    let (bytes, most) = (line.len() as u64, MAX_LINE - 1);
    (bytes > most).then(|| format!("its record takes {bytes} bytes, and a log has {most} per line"))
}

/// The line of findings about model and tokenizer.
pub(super) fn warnings_line<'a>(
    path: &Path,
    warnings: impl IntoIterator<Item = &'a String>,
    seed: &str,
) -> Result<String, Error> {
    let line = Warnings {
        warnings: warnings.into_iter().cloned().collect(),
    };
    list_line(path, "findings at load", &line, seed)
}

/// The line of devices.
pub(super) fn devices_line<'a>(
    path: &Path,
    devices: impl IntoIterator<Item = &'a String>,
    seed: &str,
) -> Result<String, Error> {
    let line = Devices {
        devices: devices.into_iter().cloned().collect(),
    };
    list_line(path, "devices", &line, seed)
}

/// A line beside the records, which `what` names in errors.
fn list_line(path: &Path, what: &str, line: &impl Serialize, seed: &str) -> Result<String, Error> {
    let body = serde_json::to_string(line).map_err(|e| Error::format(path, e))?;
    let (line, _) = seal(body, seed);
    match too_long(&line) {
        None => Ok(line),
        Some(message) => Err(Error::format(path, format!("{what}: {message}"))),
    }
}

/// Refuses a record that a log with this key cannot hold.
pub(super) fn check(record: &Record, key: &Key) -> Result<(), String> {
    let (scores, scorers) = (record.scores.len(), key.scorers.len());
    if scores != scorers {
        return Err(format!("{scores} scores of {scorers} scorers"));
    }
    for (score, scorer) in record.scores.iter().zip(&key.scorers) {
        // A mean is a quotient by the weights.
        if !score.loss.is_finite() || !score.weight.is_finite() || score.weight <= 0.0 {
            let (loss, weight) = (score.loss, score.weight);
            return Err(format!("`{scorer}` has the loss {loss} of weight {weight}"));
        }
    }
    Ok(())
}

/// Reads the records of a log, and the length of its whole lines. No table means that not even the
/// first line is whole.
///
/// # Errors
/// A file that is no log; the first damaged line, or else the first with a repeated item, by number.
pub(super) fn scan(path: &Path, file: File) -> Result<(Option<Table>, u64), Error> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut line = Vec::new();
    let mut last = next_line(path, &mut reader, &mut line, 1)?;
    let mut len = line.len() as u64;
    let Some((key, seed)) = header(path, &mut line, last)? else {
        return Ok((None, 0));
    };
    let mut table = Table::empty(key);
    let mut records = Vec::new();
    let mut number = 1;
    while !last {
        number += 1;
        last = next_line(path, &mut reader, &mut line, number)?;
        let bytes = line.len() as u64;
        if unseal(&mut line, &seed).is_none() {
            if last {
                // The line a killed writer was at.
                break;
            }
            return Err(damaged(path, number, "its checksum does not fit"));
        }
        // Parsed only after the checksum: a flipped bit can leave valid JSON with another number.
        len += bytes;
        let whole = &line;
        if whole.starts_with(WARNINGS) {
            table.warn(parsed::<Warnings>(path, whole, number)?.warnings);
            continue;
        }
        if whole.starts_with(DEVICES) {
            table.add_devices(parsed::<Devices>(path, whole, number)?.devices);
            continue;
        }
        let (id, record) = parse(path, whole, number, table.key())?;
        records.push((id, number, record));
    }
    table.fill(distinct(path, records)?);
    Ok((Some(table), len))
}

/// Records in the order of their ids, each with its id and the number of its line, which must differ in id.
fn distinct(
    path: &Path,
    mut records: Vec<(String, usize, Record)>,
) -> Result<impl Iterator<Item = (String, Record)>, Error> {
    // Sorting once costs less than a look-up per record. It is stable, so that equal ids stay in order.
    records.sort_by(|a, b| a.0.cmp(&b.0));
    let repeated = records.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    if let Some([before, again]) = repeated.min_by_key(|pair| pair[1].1) {
        let message = format!("item `{}` is also on line {}", again.0, before.1);
        return Err(error(path, again.1, message));
    }
    Ok(records.into_iter().map(|(id, _, record)| (id, record)))
}

/// A line whose checksum is right.
fn parsed<'a, T: Deserialize<'a>>(path: &Path, line: &'a [u8], number: usize) -> Result<T, Error> {
    serde_json::from_slice(line).map_err(|e| error(path, number, e.to_string()))
}

/// The record of a line whose checksum is right.
fn parse(path: &Path, line: &[u8], number: usize, key: &Key) -> Result<(String, Record), Error> {
    let found: Line<'_> = parsed(path, line, number)?;
    let score = |&(loss, weight): &(f64, f64)| Score { loss, weight };
    let record = Record {
        cluster: found.cluster.into_owned(),
        scores: found.scores.iter().map(score).collect(),
        warnings: found.warnings.into_iter().map(Into::into).collect(),
    };
    check(&record, key).map_err(|message| damaged(path, number, &message))?;
    Ok((found.id.into_owned(), record))
}

/// Reads a line with its line feed; true if it is the last.
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
        // `read_until` alone would fill the memory with a file that has no line feed.
        .take(MAX_LINE)
        .read_until(b'\n', line)
        .map_err(io)?;
    if line.len() as u64 == MAX_LINE && line.last() != Some(&b'\n') {
        return Err(damaged(path, number, "it is too long"));
    }
    // Looks ahead instead of counting bytes, because the file may be growing.
    Ok(reader.fill_buf().map_err(io)?.is_empty())
}

/// The key in the first line, and the seed of the other lines' checksums; `None` if the first line
/// is the last and not whole.
fn header(path: &Path, line: &mut Vec<u8>, last: bool) -> Result<Option<(Key, String)>, Error> {
    // The second case is a writer that was killed within the marker, or an empty file.
    if !line.starts_with(MARKER) && !is_unfinished(line, MARKER) {
        return Err(Error::format(path, "is not a score log of this version"));
    }
    let Some(seed) = unseal(line, "") else {
        if last {
            return Ok(None);
        }
        return Err(damaged(path, 1, "its checksum does not fit"));
    };
    let header: Header = serde_json::from_slice(line).map_err(|e| error(path, 1, e.to_string()))?;
    Ok(Some((header.key, seed)))
}

/// The key of the log `path`.
pub(super) fn read_key(path: &Path) -> Result<Key, Error> {
    crate::checkpoint::file_size(path)?;
    let file = input::file(path).map_err(|e| Error::io(path, e))?;
    let mut line = Vec::new();
    let last = next_line(path, &mut BufReader::new(file), &mut line, 1)?;
    let header = header(path, &mut line, last)?;
    header.map_or_else(|| Err(not_whole(path)), |(key, _)| Ok(key))
}

pub(super) fn not_whole(path: &Path) -> Error {
    Error::format(path, "a score log whose first line is not whole")
}

fn damaged(path: &Path, line: usize, message: &str) -> Error {
    error(path, line, format!("the line is damaged: {message}"))
}

fn error(path: &Path, line: usize, message: String) -> Error {
    Error::Line {
        path: path.to_owned(),
        line,
        message,
    }
}
