//! The rows of Parquet files.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::Row;
use parquet::record::reader::RowIter;

use super::{FREE, MOST_PER_BYTE, invalid};

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
        let reader = guarded(|| SerializedFileReader::new(source))?;
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

fn too_much() -> io::Error {
    let message = format!(
        "decodes to more than {MOST_PER_BYTE} times its size; write it as CSV or JSON lines"
    );
    invalid(message)
}

/// Calls the library. A damaged file can make it panic, which is an error here.
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
