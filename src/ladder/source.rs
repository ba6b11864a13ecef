//! The rows of one table as text, whatever the form of the file.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use csv::StringRecord;

use super::LadderError;
use super::newlines::UnixNewlines;
use super::table::malformed;
use crate::input;
#[cfg(feature = "parquet")]
use crate::input::parquet::ParquetRows;

mod given;
mod json;
#[cfg(feature = "parquet")]
mod parquet;

/// Limit of one row, in bytes. A row of a wide table of a thousand distributions has twenty thousand.
const LONGEST_ROW: u64 = 1 << 26;

/// One table.
pub(super) struct Source<'a> {
    /// Name of the table for errors.
    pub(super) name: String,
    pub(super) header: StringRecord,
    /// If true, the table counts rows from 1 and has no lines.
    by_row: bool,
    /// The first row, once it has been looked at.
    first: Option<StringRecord>,
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
    /// Reads the next row with its line; false at the end.
    fn read(&mut self, row: &mut StringRecord) -> Result<bool, LadderError>;
}

impl<'a> Source<'a> {
    /// A table in CSV.
    pub(super) fn csv(source: impl Read + 'a, name: &str) -> Result<Self, LadderError> {
        Self::delimited(source, name, b',')
    }

    /// Opens a file in any form, or standard input for `-`. A name that ends in `.tsv` says that tabs
    /// separate the fields; everything else is told by the content.
    pub(super) fn open(path: &Path) -> Result<Self, LadderError> {
        let name = path.display().to_string();
        if name == "-" {
            return Self::any(io::stdin(), "standard input");
        }
        let failed = |e: io::Error| io_error(&name, &e);
        let file = input::stream(path).map_err(failed)?;
        let lower = name.to_ascii_lowercase();
        if [".tsv", ".tab"].iter().any(|end| {
            [*end, &format!("{end}.gz"), &format!("{end}.zst")]
                .iter()
                .any(|end| lower.ends_with(*end))
        }) {
            return Self::delimited(input::reader(file).map_err(failed)?, &name, b'\t');
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
            _ => Self::delimited(source, name, separator(text)),
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

    fn delimited(source: impl Read + 'a, name: &str, separator: u8) -> Result<Self, LadderError> {
        let source: Box<dyn Read + 'a> = Box::new(source);
        let mut input = csv::ReaderBuilder::new()
            .delimiter(separator)
            // Spreadsheets and hands leave spaces after commas.
            .trim(csv::Trim::All)
            .from_reader(Capped {
                inner: UnixNewlines::new(source),
                left: LONGEST_ROW,
            });
        let header = input.headers().map_err(|e| malformed(name, &e))?.clone();
        Ok(Self {
            name: name.to_owned(),
            header,
            by_row: false,
            first: None,
            rows: Box::new(Delimited {
                input,
                name: name.to_owned(),
            }),
        })
    }

    /// Reads the next row with its line; false at the end.
    pub(super) fn read(&mut self, row: &mut StringRecord) -> Result<bool, LadderError> {
        match self.first.take() {
            Some(first) => *row = first,
            None => return self.rows.read(row),
        }
        Ok(true)
    }

    /// The first row, which is read again afterwards; `None` if there is none. Before any other is read.
    pub(super) fn first(&mut self) -> Result<Option<&StringRecord>, LadderError> {
        let mut row = StringRecord::new();
        if self.first.is_none() && self.rows.read(&mut row)? {
            self.first = Some(row);
        }
        Ok(self.first.as_ref())
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

/// Rows of CSV.
struct Delimited<'a> {
    input: csv::Reader<Capped<UnixNewlines<Box<dyn Read + 'a>>>>,
    name: String,
}

impl Rows for Delimited<'_> {
    fn read(&mut self, row: &mut StringRecord) -> Result<bool, LadderError> {
        self.input.get_mut().left = LONGEST_ROW;
        let read = self.input.read_record(row);
        read.map_err(|e| malformed(&self.name, &e))
    }
}

/// A source of which a row may take so many bytes: without newlines, a row would take them all.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => self.left = left,
            None => {
                let message = format!("a row is longer than {LONGEST_ROW} bytes");
                return Err(input::invalid(message));
            }
        }
        Ok(n)
    }
}

/// Sets the fields and the line of a row.
fn fill<'f>(row: &mut StringRecord, line: u64, fields: impl IntoIterator<Item = &'f str>) {
    row.clear();
    for field in fields {
        row.push_field(field.trim());
    }
    let mut position = csv::Position::new();
    position.set_line(line);
    row.set_position(Some(position));
}

/// The shortest digits that read back to the same number; whole numbers, which may be seeds, as such.
fn number(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-5..1e15).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    }
}
