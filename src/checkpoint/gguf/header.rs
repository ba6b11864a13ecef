//! The header of a GGUF file as a stream of numbers, texts and values.
//!
//! Every count and length is checked against what is left of the file before anything of that size
//! is allocated.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::value::{Numbers, Value, number, width};
use crate::error::Error;

/// Largest accepted header: ten times the vocabulary, scores and merges of the largest models.
const MAX_HEADER_BYTES: u64 = 128 << 20;
/// Type of a text.
const TEXT: u32 = 8;
/// Type of an array.
const ARRAY: u32 = 9;

/// A reader of a file from its start, which knows how much of it is left.
pub(super) struct Header<'a> {
    path: &'a Path,
    input: BufReader<File>,
    /// Bytes left of the file, or of the largest accepted header.
    left: u64,
    /// Bytes read.
    pub(super) read: u64,
}

impl<'a> Header<'a> {
    /// A reader of `file`, which has `size` bytes.
    pub(super) fn new(path: &'a Path, file: File, size: u64) -> Self {
        Self {
            path,
            input: BufReader::new(file),
            // Every read is charged to this budget, so a header that claims more is refused before
            // memory is taken.
            left: size.min(MAX_HEADER_BYTES),
            read: 0,
        }
    }
}

impl Header<'_> {
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::format(self.path, format!("GGUF header: {message}"))
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: u64, what: &str) -> Result<Vec<u8>, Error> {
        if length > self.left {
            let left = self.left;
            return Err(self.error(format!("{what} of {length} bytes where {left} are left")));
        }
        // Grows with what is really read: the file may have become shorter since its size was asked
        // for.
        let mut bytes = Vec::new();
        (&mut self.input)
            .take(length)
            .read_to_end(&mut bytes)
            .map_err(|e| Error::io(self.path, e))?;
        if bytes.len() as u64 != length {
            return Err(self.error(format!("the file ends in {what}")));
        }
        self.left -= length;
        self.read += length;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32, Error> {
        let bytes = self.bytes(4, what)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64, Error> {
        let mut wide = [0u8; 8];
        wide.copy_from_slice(&self.bytes(8, what)?);
        Ok(u64::from_le_bytes(wide))
    }

    pub(super) fn text(&mut self, what: &str) -> Result<String, Error> {
        let length = self.u64(what)?;
        let bytes = self.bytes(length, what)?;
        String::from_utf8(bytes).map_err(|_| self.error(format!("{what} is not UTF-8")))
    }

    /// A count of entries that take at least `least` bytes each.
    pub(super) fn count(&mut self, least: u64, what: &str) -> Result<u64, Error> {
        let count = self.u64(what)?;
        // An honest file has at least these bytes left. Without the check a count of 2^60 would be
        // a loop of years.
        if count
            .checked_mul(least)
            .is_none_or(|bytes| bytes > self.left)
        {
            let left = self.left;
            return Err(self.error(format!("{what}: {count}, but only {left} bytes are left")));
        }
        Ok(count)
    }

    /// A value with its type.
    pub(super) fn value(&mut self, key: &str) -> Result<Value, Error> {
        let kind = self.u32(key)?;
        if let Some(width) = width(kind) {
            return Ok(number(kind, &self.bytes(width as u64, key)?));
        }
        match kind {
            TEXT => Ok(Value::Text(self.text(key)?)),
            ARRAY => {
                let kind = self.u32(key)?;
                if kind == TEXT {
                    // A text takes at least the eight bytes of its length.
                    let count = self.count(8, key)?;
                    let texts = (0..count).map(|_| self.text(key)).collect::<Result<_, _>>();
                    return texts.map(Value::Texts);
                }
                // Arrays of arrays are not read: no key of a language model has one, and nesting
                // would need a bound.
                let Some(width) = width(kind) else {
                    return Err(self.error(format!(
                        "`{key}` is an array of type {kind}; arrays of numbers and of strings \
                         are read"
                    )));
                };
                let count = self.count(width as u64, key)?;
                let bytes = self.bytes(count * width as u64, key)?;
                // Kept as bytes: a `Value` per number would take 24 bytes for one.
                Ok(Value::Numbers(Numbers { kind, bytes }))
            }
            _ => Err(self.error(format!("`{key}` has the unknown type {kind}"))),
        }
    }
}
