//! Scores of a run that has not ended yet, in a file beside the output.
//!
//! Every item is appended as soon as it is computed, so that an interrupted or killed run loses the
//! batch in flight. The first line pins what was scored, by which checkpoint and how.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::log::Key;
use serde::{Deserialize, Serialize};

use super::record::Record;

/// Everything on which the lines of a part rest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) key: Key,
    pub(super) per_token: bool,
}

/// The line of an item.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    item: usize,
    record: Record,
}

/// A part, open for writing and locked.
#[derive(Debug)]
pub(super) struct Part {
    path: PathBuf,
    file: File,
    records: BTreeMap<usize, Record>,
}

impl Part {
    /// Creates a part, or opens an existing one with the same header. A last line that is not whole is
    /// cut off.
    ///
    /// # Errors
    /// A part that another process is writing; another header; a damaged line; a file that is no part.
    pub(super) fn open(path: &Path, header: &Header) -> Result<Self, Error> {
        let io = |e| Error::io(path, e);
        // A stranger may have placed it, and it may point anywhere.
        if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(Error::format(path, "is no regular file; remove it"));
        }
        let mut options = OpenOptions::new();
        let mut file = options
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::format(path, "another process is writing this file"));
            }
            Err(TryLockError::Error(e)) => return Err(io(e)),
        }
        let (records, end) = read(path, &file, header)?;
        if end == 0 {
            refuse_foreign(path, &file, header)?;
        }
        file.set_len(end).map_err(io)?;
        file.seek(SeekFrom::Start(end)).map_err(io)?;
        let mut part = Self {
            path: path.to_owned(),
            file,
            records,
        };
        if end == 0 {
            part.write(header)?;
        }
        Ok(part)
    }

    /// The lines so far, by the places of their items.
    pub(super) fn records(&self) -> &BTreeMap<usize, Record> {
        &self.records
    }

    /// Adds the line of the item at the place `item`.
    ///
    /// # Errors
    /// Whatever the system refuses.
    pub(super) fn append(&mut self, item: usize, record: Record) -> Result<(), Error> {
        let line = Line { item, record };
        self.write(&line)?;
        self.records.insert(item, line.record);
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), Error> {
        let text = bytes(&self.path, line)?;
        // At once, so that a killed process leaves whole lines but for the last.
        self.file
            .write_all(&text)
            .map_err(|e| Error::io(&self.path, e))
    }
}

/// A line as it is written.
fn bytes(path: &Path, line: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec(line).map_err(|e| Error::format(path, e))?;
    text.push(b'\n');
    Ok(text)
}

/// Refuses a file without a whole line unless it is the start of a part: it would be emptied, and may be
/// anything.
fn refuse_foreign(path: &Path, mut file: &File, header: &Header) -> Result<(), Error> {
    let io = |e| Error::io(path, e);
    let (wanted, mut there) = (bytes(path, header)?, Vec::new());
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    let limit = wanted.len() as u64 + 1;
    file.take(limit).read_to_end(&mut there).map_err(io)?;
    if wanted.starts_with(&there) {
        return Ok(());
    }
    let message = "holds no scores of this run, and scoring would replace it; remove it, or score into \
                   another file";
    Err(Error::format(path, message))
}

/// The lines of a part and the length of those that are whole.
fn read(
    path: &Path,
    file: &File,
    wanted: &Header,
) -> Result<(BTreeMap<usize, Record>, u64), Error> {
    let mut records = BTreeMap::new();
    let (mut end, mut number) = (0, 0);
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    loop {
        text.clear();
        let length = reader
            .read_until(b'\n', &mut text)
            .map_err(|e| Error::io(path, e))?;
        if text.last() != Some(&b'\n') {
            return Ok((records, end));
        }
        number += 1;
        let damaged = |e: serde_json::Error| Error::Line {
            path: path.to_owned(),
            line: number,
            message: format!("{e}; remove this file to score from the beginning"),
        };
        if number == 1 {
            let header: Header = serde_json::from_slice(&text).map_err(damaged)?;
            expect(path, &header, wanted)?;
        } else {
            let line: Line = serde_json::from_slice(&text).map_err(damaged)?;
            records.insert(line.item, line.record);
        }
        end += length as u64;
    }
}

fn expect(path: &Path, there: &Header, wanted: &Header) -> Result<(), Error> {
    let cure = "remove this file to score from the beginning, or score into another one";
    if there.per_token != wanted.per_token {
        return Err(Error::Key {
            path: path.to_owned(),
            field: "per_token".to_owned(),
            message: format!("it was {}; {cure}", there.per_token),
        });
    }
    there
        .key
        .ensure_equals(&wanted.key, path)
        .map_err(|e| match e {
            Error::Key {
                path,
                field,
                message,
            } => {
                let message = message.split(';').next().unwrap_or_default();
                let message = format!("{message}; {cure}");
                Error::Key {
                    path,
                    field,
                    message,
                }
            }
            e => e,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use relscale::distribution::{Content, Item, Items};
    use relscale::evaluate::Settings;

    fn header(per_token: bool, context: Option<usize>) -> Header {
        let item = Item {
            id: "a".into(),
            cluster: "a".into(),
            content: Content::Text("text".into()),
        };
        let items = Items::new("texts", vec![item]).unwrap();
        let settings = Settings {
            context,
            ..Settings::default()
        };
        let key = Key::new("model", "cpu f32", &items, &[], &settings).unwrap();
        Header { key, per_token }
    }

    fn record(value: f64) -> Record {
        let mut record = Record::new();
        record.insert("log_likelihood".into(), value.into());
        record
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("relscale-part-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_part_cut_at_any_byte_keeps_its_whole_lines() {
        let path = file("cut");
        let mut part = Part::open(&path, &header(false, None)).unwrap();
        for i in 0..3 {
            part.append(i, record(-0.1 - i as f64 / 3.0)).unwrap();
        }
        drop(part);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut part = Part::open(&path, &header(false, None)).unwrap();
            let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
            assert_eq!(part.records().len(), lines.saturating_sub(1), "{cut}");
            for i in 0..3 {
                if !part.records().contains_key(&i) {
                    part.append(i, record(-0.1 - i as f64 / 3.0)).unwrap();
                }
            }
            drop(part);
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{cut}");
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn another_run_or_writer_is_refused_by_name() {
        let path = file("other");
        let part = Part::open(&path, &header(false, None)).unwrap();
        let refused = |header: &Header| Part::open(&path, header).unwrap_err().to_string();
        assert!(refused(&header(false, None)).contains("another process"));
        drop(part);
        for (header, field) in [
            (header(true, None), "per_token"),
            (header(false, Some(8)), "context"),
        ] {
            let message = refused(&header);
            for part in [field, "remove this file", path.to_str().unwrap()] {
                assert!(message.contains(part), "no {part} in {message}");
            }
        }
        std::fs::write(&path, b"no json\n").unwrap();
        assert!(refused(&header(false, None)).contains("line 1"));
        // Without the end of a line, as a file of something else may be.
        for foreign in ["precious", "{\"key\": 1}"] {
            std::fs::write(&path, foreign).unwrap();
            assert!(refused(&header(false, None)).contains("remove it"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), foreign);
        }
        std::fs::remove_file(path).unwrap();
    }
}
