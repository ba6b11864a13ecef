//! The rows of one table as text, whatever the form of the file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use csv::StringRecord;

use super::LadderError;
use super::record::{Batch, Record};
use crate::input;
#[cfg(feature = "parquet")]
use crate::input::parquet::ParquetRows;

mod delimited;
mod given;
mod json;
#[cfg(feature = "parquet")]
mod parquet;

/// Limit of one row, in bytes. A row of a wide table of a thousand distributions has twenty thousand.
const LONGEST_ROW: u64 = 1 << 26;

/// Name of standard input for errors.
const STANDARD_INPUT: &str = "standard input";

/// One table.
pub(super) struct Source<'a> {
    /// Name of the table for errors.
    pub(super) name: String,
    pub(super) header: StringRecord,
    /// If true, the table counts rows from 1 and has no lines.
    by_row: bool,
    /// The rows that were read last, and the number of those that were used.
    batch: Batch,
    used: usize,
    rows: Box<dyn Rows + 'a>,
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Source");
        shown
            .field("name", &self.name)
            .field("header", &self.header);
        shown.finish_non_exhaustive()
    }
}

/// Rows after the header.
trait Rows {
    /// Reads the next row, or several, in place of those in `rows`; false at the end.
    fn read(&mut self, rows: &mut Batch) -> Result<bool, LadderError>;
}

/// No rows.
struct Nothing;

impl Rows for Nothing {
    fn read(&mut self, _: &mut Batch) -> Result<bool, LadderError> {
        Ok(false)
    }
}

impl<'a> Source<'a> {
    /// A table in CSV.
    pub(super) fn csv(source: impl Read + 'a, name: &str) -> Result<Self, LadderError> {
        delimited::table(source, name, b',')
    }

    /// Opens a file or a pipe in any form, or standard input for `-`. A name that ends in `.tsv` says
    /// that tabs separate the fields; everything else is told by the content.
    pub(super) fn open(path: &Path) -> Result<Self, LadderError> {
        match is_standard_input(path) {
            true => Self::any(io::stdin(), STANDARD_INPUT),
            false => Self::of(input::stream(path), path),
        }
    }

    /// As [`open`](Self::open), without pipes: a study may name one, which would wait for a writer.
    pub(super) fn open_file(path: &Path) -> Result<Self, LadderError> {
        match is_standard_input(path) {
            true => Self::any(io::stdin(), STANDARD_INPUT),
            false => Self::of(input::file(path), path),
        }
    }

    /// The table in `file`, which was opened at `path`.
    fn of(file: io::Result<File>, path: &Path) -> Result<Self, LadderError> {
        let name = path.display().to_string();
        let failed = |e: io::Error| io_error(&name, &e);
        let file = file.map_err(failed)?;
        let lower = name.to_ascii_lowercase();
        if [".tsv", ".tab"].iter().any(|end| {
            [*end, &format!("{end}.gz"), &format!("{end}.zst")]
                .iter()
                .any(|end| lower.ends_with(*end))
        }) {
            return delimited::table(input::reader(file).map_err(failed)?, &name, b'\t');
        }
        #[cfg(feature = "parquet")]
        if input::parquet::is_parquet_file(&file).map_err(failed)? {
            return parquet::table(ParquetRows::of_file(file), &name);
        }
        Self::any(file, &name)
    }

    /// A table in the form that its first bytes say.
    pub(super) fn any(source: impl Read + 'a, name: &str) -> Result<Self, LadderError> {
        let failed = |e: io::Error| io_error(name, &e);
        let source = input::reader(source).map_err(failed)?;
        let (head, source) = input::peek(source).map_err(failed)?;
        #[cfg(feature = "parquet")]
        if input::parquet::is_parquet(&head) {
            return parquet::table(ParquetRows::of_stream(source), name);
        }
        let text = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&head);
        match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => json::open(source, name),
            Some(b'[') => Err(io_error(name, &input::invalid(json::NO_LINES))),
            _ => delimited::table(source, name, separator(text)),
        }
    }

    /// A table whose rows a program hands over.
    pub(super) fn given(
        name: &str,
        columns: Vec<String>,
        rows: impl Iterator<Item = io::Result<Vec<String>>> + 'static,
    ) -> Source<'static> {
        given::table(name, columns, rows)
    }

    /// A table with these columns and no rows.
    fn empty(name: &str, header: StringRecord) -> Self {
        Self {
            name: name.to_owned(),
            header,
            by_row: false,
            batch: Batch::default(),
            used: 0,
            rows: Box::new(Nothing),
        }
    }

    /// The next row; `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Record<'_>>, LadderError> {
        if !self.is_ahead()? {
            return Ok(None);
        }
        self.used += 1;
        Ok(Some(self.batch.row(self.used - 1)))
    }

    /// The row that comes next; `None` at the end.
    pub(super) fn peek(&mut self) -> Result<Option<Record<'_>>, LadderError> {
        let is_ahead = self.is_ahead()?;
        Ok(is_ahead.then(|| self.batch.row(self.used)))
    }

    /// If true, a row that was read has not been used.
    fn is_ahead(&mut self) -> Result<bool, LadderError> {
        if self.used < self.batch.len() {
            return Ok(true);
        }
        self.used = 0;
        self.batch.clear();
        self.rows.read(&mut self.batch)
    }

    /// `error` with "row" for "line", where that is what the table counts.
    pub(super) fn placed(&self, error: LadderError) -> LadderError {
        match error.line_in(&self.name) {
            Some(line) if self.by_row => LadderError::Malformed {
                table: self.name.clone(),
                line: None,
                message: format!("row {line}: {}", error.without_place()),
            },
            _ => error,
        }
    }
}

/// If true, the path is `-`.
fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The error of a table that cannot be read.
fn io_error(name: &str, error: &io::Error) -> LadderError {
    LadderError::Io {
        message: format!("{name}: {error}"),
    }
}

/// The separator of the first line: tabs or semicolons where it has no comma.
fn separator(head: &[u8]) -> u8 {
    let end = head.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
    let line = &head[..end.unwrap_or(head.len())];
    let other = [b'\t', b';'].into_iter().find(|byte| line.contains(byte));
    other.filter(|_| !line.contains(&b',')).unwrap_or(b',')
}

/// Makes a row of the fields, the only one of `rows`.
fn fill<'f>(rows: &mut Batch, line: u64, fields: impl IntoIterator<Item = &'f str>) {
    rows.clear();
    for field in fields {
        rows.push(field.trim());
    }
    rows.end_row(line);
}

/// The shortest digits that read back to the same number; whole numbers, which may be seeds, as such.
fn number(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-5..1e15).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    }
}
