//! Archives `.eval` of inspect_ai: a zip file of the log and its samples, one JSON each.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::DeflateDecoder;
use rawzip::{
    CompressionMethod, FileReader, RECOMMENDED_BUFFER_SIZE, ZipArchive, ZipArchiveEntryWayfinder,
};
use relscale::{Error, input};
use serde_json::{Map, Value};

use crate::readers::harness::json;

/// Name of the log without its samples. It is written when an evaluation ends.
const HEADER: &str = "header.json";
/// Limit of one member, in bytes. A sample with its transcript has a few million.
const LARGEST: u64 = 1 << 28;
/// Limit of all members together per byte of the archive, beyond [`LARGEST`]. Members may share the bytes
/// that they are decompressed from; transcripts compress ten times.
const MOST_PER_BYTE: u64 = 500;
/// Fields of a sample that are read; its transcript is dropped as soon as it is parsed.
const FIELDS: [&str; 6] = ["id", "epoch", "scores", "target", "choices", "metadata"];

/// A member of an archive.
struct Member {
    method: CompressionMethod,
    place: ZipArchiveEntryWayfinder,
}

/// The log in an archive, as the program writes it in JSON: with its samples, or without.
///
/// # Errors
/// A file that is no archive, or that a killed evaluation left behind; a damaged or huge member, by name.
pub(super) fn read(path: &Path, with_samples: bool) -> Result<Value, Error> {
    let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
    if !metadata.is_file() {
        return Err(Error::format(path, "is not a regular file"));
    }
    let mut left = LARGEST.saturating_add(metadata.len().saturating_mul(MOST_PER_BYTE));
    let file = input::file(path).map_err(|e| Error::io(path, e))?;
    let malformed = |e: rawzip::Error| Error::format(path, format!("zip container: {e}"));
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let archive = ZipArchive::from_file(file, &mut buffer).map_err(malformed)?;
    let mut members: BTreeMap<String, Member> = BTreeMap::new();
    let mut order = Vec::new();
    let mut entries = archive.entries(&mut buffer);
    while let Some(entry) = entries.next_entry().map_err(malformed)? {
        let name = String::from_utf8_lossy(entry.file_path().as_bytes()).into_owned();
        let sample = name.starts_with("samples/") && name.ends_with(".json");
        if name != HEADER && !(sample && with_samples) {
            continue;
        }
        let member = Member {
            method: entry.compression_method(),
            place: entry.wayfinder(),
        };
        // A sample that was scored again is there twice; readers of zip files take the last one.
        if members.insert(name.clone(), member).is_none() && sample {
            order.push(name);
        }
    }
    let mut get = |name: &str| -> Result<Option<Value>, Error> {
        let Some(member) = members.get(name) else {
            return Ok(None);
        };
        let named = |what: String| Error::format(path, format!("`{name}`: {what}"));
        let text = text(&archive, member).map_err(|e| named(e.to_string()))?;
        left = (left.checked_sub(text.len() as u64)).ok_or_else(|| {
            named(format!(
                "expands to more than {MOST_PER_BYTE} times the archive"
            ))
        })?;
        let value = json::parse(&text).map_err(|e| named(format!("not JSON, {e}")))?;
        Ok(Some(value))
    };
    let Some(mut log) = get(HEADER)? else {
        let message = "has no `header.json`: the evaluation was not finished";
        return Err(Error::format(path, message));
    };
    if with_samples {
        let mut samples = Vec::with_capacity(order.len());
        for name in &order {
            let Some(Value::Object(mut sample)) = get(name)? else {
                return Err(Error::format(path, format!("`{name}`: not an object")));
            };
            let kept = FIELDS.into_iter();
            let kept = kept.filter_map(|f| Some((f.to_owned(), sample.remove(f)?)));
            samples.push(Value::Object(kept.collect::<Map<_, _>>()));
        }
        log["samples"] = Value::Array(samples);
    }
    Ok(log)
}

/// The text of a member, whose size and checksum are compared with those stated.
fn text(archive: &ZipArchive<FileReader>, member: &Member) -> io::Result<String> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let entry = archive.get_entry(member.place);
    let entry = entry.map_err(|e| invalid(e.to_string()))?;
    let stored = BufReader::new(entry.reader());
    let decoder: Box<dyn Read> = match member.method {
        CompressionMethod::STORE => Box::new(stored),
        CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(stored)),
        CompressionMethod::ZSTD => Box::new(input::reader(stored)?),
        other => {
            return Err(invalid(format!(
                "compressed by {other:?}, which is not read"
            )));
        }
    };
    let mut bytes = Vec::new();
    let mut decoder = entry.verifying_reader(decoder).take(LARGEST + 1);
    decoder.read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(invalid(format!("more than {LARGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|e| invalid(e.utf8_error().to_string()))
}
