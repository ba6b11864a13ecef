//! Scores of a run that has not ended yet, in a file beside the output.
//!
//! Every item is appended as soon as it is computed, so that an interrupted or killed run loses the
//! batch in flight. The first line pins what was scored, by which checkpoint and how. As in a score log,
//! each line ends in a checksum of the first line's and of its own content: a digit that changed is still
//! valid JSON, and would be taken for a score.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use relscale::Error;
use relscale::log::{Key, is_unfinished, seal, unseal};
use serde::{Deserialize, Serialize};

use super::record::Record;

/// Longest line that is written or read, in bytes: the values of three million tokens fit, and a file
/// without line feeds does not fill the memory.
const MAX_LINE: u64 = 64 << 20;
/// Way out for a part that cannot be gone on from.
const CURE: &str = "remove this file to score from the beginning";

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
    /// Checksum of the first line, which those of the other lines begin with.
    seed: String,
    records: BTreeMap<usize, Record>,
}

impl Part {
    /// Creates a part, or opens an existing one with the same header. A last line that is not whole is
    /// cut off.
    ///
    /// # Errors
    /// A part that another process is writing; another header; a damaged line, an item that is there twice
    /// or not in the distribution, by the number of the line; a part of an earlier version; a file that is
    /// no part.
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
        let found = read(path, &file, header)?;
        let (first, seed) = sealed(path, header, "")?;
        if found.end == 0 {
            refuse_foreign(path, &file, &first)?;
        }
        file.set_len(found.end).map_err(io)?;
        file.seek(SeekFrom::Start(found.end)).map_err(io)?;
        let mut part = Self {
            path: path.to_owned(),
            file,
            seed: found.seed.unwrap_or(seed),
            records: found.records,
        };
        if found.end == 0 {
            part.write(&first)?;
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
        let (text, _) = sealed(&self.path, &line, &self.seed)?;
        // A longer line could not be read back. Its item is computed again if the run is interrupted.
        if text.len() as u64 <= MAX_LINE {
            self.write(&text)?;
        }
        self.records.insert(item, line.record);
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> Result<(), Error> {
        // At once, so that a killed process leaves whole lines but for the last.
        self.file
            .write_all(line)
            .map_err(|e| Error::io(&self.path, e))
    }
}

/// A line as it is written, and its checksum.
fn sealed(path: &Path, line: &impl Serialize, seed: &str) -> Result<(Vec<u8>, String), Error> {
    let object = serde_json::to_string(line).map_err(|e| Error::format(path, e))?;
    let (line, check) = seal(object, seed);
    Ok((line.into_bytes(), check))
}

/// Refuses a file without a whole line unless it is the start of a part: it would be emptied, and may be
/// anything.
fn refuse_foreign(path: &Path, mut file: &File, wanted: &[u8]) -> Result<(), Error> {
    let io = |e| Error::io(path, e);
    let mut there = Vec::new();
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    // All of it: `read` found no line feed in it, and fewer than `MAX_LINE` bytes.
    file.take(MAX_LINE).read_to_end(&mut there).map_err(io)?;
    if is_unfinished(&there, wanted) {
        return Ok(());
    }
    let message = "holds no scores of this run, and scoring would replace it; remove it, or score into \
                   another file";
    Err(Error::format(path, message))
}

/// The contents of a part.
#[derive(Default)]
struct Found {
    records: BTreeMap<usize, Record>,
    /// Checksum of the first line, if that is whole.
    seed: Option<String>,
    /// Length of the whole lines.
    end: u64,
}

/// Reads a part.
///
/// # Errors
/// As [`Part::open`].
fn read(path: &Path, file: &File, wanted: &Header) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let mut limited = reader.by_ref().take(MAX_LINE);
        let length = limited.read_until(b'\n', &mut text);
        let length = length.map_err(|e| Error::io(path, e))? as u64;
        let damaged = |message: String| Error::Line {
            path: path.to_owned(),
            line: number,
            message: format!("{message}; {CURE}"),
        };
        if text.last() != Some(&b'\n') {
            if length == MAX_LINE {
                return Err(damaged(format!("is longer than {MAX_LINE} bytes")));
            }
            // The line that a killed process was at.
            break;
        }
        let unreadable = |e: serde_json::Error| damaged(e.to_string());
        let Some(check) = unseal(&mut text, found.seed.as_deref().unwrap_or_default()) else {
            // Lines of both forms in one file would leave some of them unchecked.
            let is_earlier = number == 1 && serde_json::from_slice::<Header>(&text).is_ok();
            return Err(damaged(match is_earlier {
                true => "was written by an earlier version, without checksums".to_owned(),
                false => "the line is damaged: its checksum does not fit".to_owned(),
            }));
        };
        if found.seed.is_none() {
            let header: Header = serde_json::from_slice(&text).map_err(unreadable)?;
            expect(path, &header, wanted)?;
            found.seed = Some(check);
        } else {
            let line: Line = serde_json::from_slice(&text).map_err(unreadable)?;
            let (item, items) = (line.item, wanted.key.items);
            if item >= items {
                let message = format!("has the item {item}, counted from 0, of {items}");
                return Err(damaged(message));
            }
            if found.records.insert(item, line.record).is_some() {
                return Err(damaged(format!("has the item {item} a second time")));
            }
        }
        found.end += length;
    }
    Ok(found)
}

fn expect(path: &Path, there: &Header, wanted: &Header) -> Result<(), Error> {
    let cure = format!("{CURE}, or score into another one");
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
        let item = |id: &str| Item {
            id: id.into(),
            cluster: id.into(),
            content: Content::Text("text".into()),
        };
        let items = Items::new("texts", ["a", "b", "c"].map(item).into()).unwrap();
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

    /// A part of three items, and its lines with their line feeds.
    fn three(path: &Path) -> Vec<Vec<u8>> {
        let mut part = Part::open(path, &header(false, None)).unwrap();
        for i in 0..3 {
            part.append(i, record(-0.1 - i as f64 / 3.0)).unwrap();
        }
        drop(part);
        let whole = std::fs::read(path).unwrap();
        let lines = whole.split_inclusive(|b| *b == b'\n');
        lines.map(<[u8]>::to_vec).collect()
    }

    /// The message about a part with these lines, which stays as it is.
    #[track_caller]
    fn refused(path: &Path, lines: &[Vec<u8>]) -> String {
        let bytes = lines.concat();
        std::fs::write(path, &bytes).unwrap();
        let error = Part::open(path, &header(false, None)).unwrap_err();
        assert_eq!(std::fs::read(path).unwrap(), bytes);
        error.to_string()
    }

    #[test]
    fn a_part_with_any_byte_changed_is_refused_by_line_or_loses_its_end() {
        let path = file("changed");
        let lines = three(&path);
        let whole = lines.concat();
        let records = Part::open(&path, &header(false, None)).unwrap().records;
        for at in 0..whole.len() {
            // A digit becomes another digit, and other letters become others of their kind.
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let line = 1 + whole[..at].iter().filter(|b| **b == b'\n').count();
            match Part::open(&path, &header(false, None)) {
                // The last line feed: the line is taken for one that was being written.
                Ok(part) => {
                    assert_eq!(at + 1, whole.len());
                    let mut kept = records.clone();
                    kept.remove(&2);
                    assert_eq!(part.records, kept);
                }
                Err(e) => {
                    let message = e.to_string();
                    assert!(message.contains(&format!("line {line}")), "{at}: {message}");
                    assert!(message.contains("remove this file"), "{at}: {message}");
                }
            }
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn lines_that_are_not_of_the_run_are_refused_by_number() {
        let path = file("lines");
        let mut lines = three(&path);
        // The same item again, from the same file.
        lines.push(lines[2].clone());
        let message = refused(&path, &lines);
        for part in ["line 5", "the item 1 a second time", "remove this file"] {
            assert!(message.contains(part), "no {part} in {message}");
        }
        lines.pop();
        // An item that the distribution does not have, with the checksum that it would have.
        let (_, seed) = sealed(&path, &header(false, None), "").unwrap();
        let line = Line {
            item: 3,
            record: record(-0.5),
        };
        lines[2] = sealed(&path, &line, &seed).unwrap().0;
        let message = refused(&path, &lines);
        for part in [
            "line 3",
            "the item 3, counted from 0, of 3",
            "remove this file",
        ] {
            assert!(message.contains(part), "no {part} in {message}");
        }
        // A line of another run.
        let (_, other) = sealed(&path, &header(true, None), "").unwrap();
        let line = Line { item: 1, ..line };
        lines[2] = sealed(&path, &line, &other).unwrap().0;
        let message = refused(&path, &lines);
        assert!(
            message.contains("line 3") && message.contains("checksum"),
            "{message}"
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_first_line_that_ends_in_zeros_is_begun_anew() {
        let path = file("zeros");
        let lines = three(&path);
        for whole in 0..lines[0].len() {
            let mut bytes = lines[0][..whole].to_vec();
            bytes.resize(lines[0].len(), 0);
            std::fs::write(&path, bytes).unwrap();
            drop(Part::open(&path, &header(false, None)).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), lines[0], "{whole}");
        }
        // Anything behind the zeros is somebody's.
        let mut foreign = vec![0; 2 * lines[0].len()];
        foreign.push(b'x');
        assert!(refused(&path, &[foreign]).contains("holds no scores of this run"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_part_without_checksums_is_refused_with_the_way_out() {
        let path = file("earlier");
        let mut first = serde_json::to_vec(&header(false, None)).unwrap();
        first.push(b'\n');
        let line = br#"{"item":0,"record":{"log_likelihood":-0.5}}"#;
        for lines in [
            vec![first.clone()],
            vec![first, [&line[..], b"\n"].concat()],
        ] {
            let message = refused(&path, &lines);
            for part in [
                "an earlier version",
                "remove this file",
                path.to_str().unwrap(),
            ] {
                assert!(message.contains(part), "no {part} in {message}");
            }
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_line_without_end_is_refused_and_one_that_is_too_long_not_written() {
        let path = file("long");
        let lines = three(&path);
        let long = vec![b' '; MAX_LINE as usize + 1];
        let message = refused(&path, &[lines[0].clone(), long]);
        for part in ["line 2", "is longer than", "remove this file"] {
            assert!(message.contains(part), "no {part} in {message}");
        }
        std::fs::write(&path, &lines[0]).unwrap();
        let mut part = Part::open(&path, &header(false, None)).unwrap();
        let mut long = Record::new();
        long.insert("id".into(), "a".repeat(MAX_LINE as usize).into());
        part.append(0, long).unwrap();
        part.append(1, record(-0.5)).unwrap();
        assert_eq!(part.records().len(), 2);
        drop(part);
        let part = Part::open(&path, &header(false, None)).unwrap();
        assert!(part.records().keys().eq(&[1_usize]));
        drop(part);
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
