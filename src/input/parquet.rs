//! The rows of Parquet files.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetStatisticsPolicy;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::file::serialized_reader::ReadOptionsBuilder;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use parquet::schema::types::SchemaDescPtr;

use super::{FREE, MOST_PER_BYTE, NOT_TEXT, invalid};

mod schema;

/// First bytes of a Parquet file.
const MAGIC: &[u8] = b"PAR1";
/// Limit of a Parquet file that comes through a pipe, in bytes: its end says what is in it, so that all of
/// it is kept in memory.
const LARGEST_STREAM: u64 = 1 << 30;

/// If true, Parquet begins with these bytes.
pub(crate) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// If true, a regular file is Parquet. Its position is left at the beginning.
pub(crate) fn is_parquet_file(mut file: &File) -> io::Result<bool> {
    use std::io::{Seek, SeekFrom};

    // A pipe has no beginning to go back to.
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(is_parquet(&head))
}

/// The rows of a file, one after another.
pub(crate) struct ParquetRows {
    rows: RowIter<'static>,
    /// Names of the columns.
    pub(crate) columns: Vec<String>,
    /// Bytes that the rows may still take. One encoded byte can stand for any number of rows.
    left: u64,
}

impl ParquetRows {
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Self::open(file, size)
    }

    pub(crate) fn of_stream(source: impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        source.take(LARGEST_STREAM + 1).read_to_end(&mut bytes)?;
        let size = bytes.len() as u64;
        if size > LARGEST_STREAM {
            let message = format!("more than {LARGEST_STREAM} bytes of Parquet; give it as a file");
            return Err(invalid(message));
        }
        Self::open(Bytes::from(bytes), size)
    }

    fn open<R: ChunkReader + 'static>(source: R, size: u64) -> io::Result<Self> {
        let schema = columns(&source, size)?;
        // Statistics are not read: there is more in them to be wrong than of use here.
        let options = ReadOptionsBuilder::new()
            .with_parquet_schema(schema)
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
            .build();
        let reader = guarded(|| SerializedFileReader::new_with_options(source, options))?;
        let metadata = reader.metadata();
        let groups = metadata.row_groups().iter();
        let stated =
            (groups.map(|group| group.total_byte_size().max(0))).fold(0, i64::saturating_add);
        let most = FREE.saturating_add(size.saturating_mul(MOST_PER_BYTE));
        if stated.unsigned_abs() > most {
            return Err(too_much());
        }
        let fields = metadata.file_metadata().schema().get_fields().iter();
        Ok(Self {
            columns: fields.map(|field| field.name().to_owned()).collect(),
            rows: RowIter::from_file_into(Box::new(reader)),
            left: most,
        })
    }

    /// The next row.
    pub(crate) fn next(&mut self) -> io::Result<Option<Row>> {
        let rows = &mut self.rows;
        guarded(|| rows.next().transpose())
    }

    /// Counts the bytes of a row.
    pub(crate) fn charge(&mut self, bytes: usize) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes as u64).ok_or_else(too_much)?;
        Ok(())
    }
}

/// The columns of a file of `size` bytes.
fn columns<R: ChunkReader>(source: &R, size: u64) -> io::Result<SchemaDescPtr> {
    let bytes = |start: u64, count: usize| {
        let bytes = source.get_bytes(start, count);
        bytes.map_err(|e| invalid(e.to_string()))
    };
    let cut = || invalid("is cut off: its end does not say that it is Parquet");
    // The length of the end, and the mark of the beginning again.
    let Some(at) = size.checked_sub(8) else {
        return Err(cut());
    };
    let last = bytes(at, 8)?;
    if last[4..] != *MAGIC {
        return Err(cut());
    }
    let length = u32::from_le_bytes([last[0], last[1], last[2], last[3]]);
    let start = at.checked_sub(length.into()).ok_or_else(cut)?;
    schema::read(&bytes(start, length as usize)?).map_err(invalid)
}

/// A value in text, for columns that are read as text. The library panics on dates and times beyond its
/// calendar, and counts the zeros of a decimal number one by one: those are their numbers, or nothing.
pub(crate) fn shown(field: &Field) -> String {
    // Both sides of its calendar, which has 262,000 years, in days.
    const MOST_DAYS: u64 = 95_000_000;
    const DAY_MILLIS: u64 = 86_400_000;
    match field {
        Field::Date(days) if u64::from(days.unsigned_abs()) > MOST_DAYS => days.to_string(),
        Field::TimestampMillis(time) if time.unsigned_abs() > MOST_DAYS * DAY_MILLIS => {
            time.to_string()
        }
        Field::TimestampMicros(time) if time.unsigned_abs() / 1000 > MOST_DAYS * DAY_MILLIS => {
            time.to_string()
        }
        Field::Decimal(number) if number.scale() > 1000 || number.data().len() > 1000 => {
            "(too many digits)".to_owned()
        }
        Field::Group(_) | Field::ListInternal(_) | Field::MapInternal(_) => NOT_TEXT.to_owned(),
        other => other.to_string(),
    }
}

fn too_much() -> io::Error {
    let message = format!(
        "decodes to more than {MOST_PER_BYTE} times its size; write it as CSV or JSON lines"
    );
    invalid(message)
}

/// Calls the library, which panics on some damaged pages: an index beyond a dictionary, a level beyond its
/// width. That is an error here.
// A second wall. What ends a process whatever is caught (memory, the stack) is examined before, and so is
// what a file may hold that is not damaged (`schema`, `shown`). Pages are decoded by thousands of lines with
// assertions, which no check outside can foresee. Where panics abort, a damaged page ends the process.
fn guarded<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> io::Result<T> {
    let message = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "is damaged: the Parquet library gave up".to_owned(),
    };
    Err(invalid(
        match message.split_once("Disabled feature at compile time: ") {
            None => message,
            Some((_, codec)) => format!(
                "is compressed with {codec}, which this build does not read; Snappy, which pandas takes \
                 by default, is read"
            ),
        },
    ))
}
