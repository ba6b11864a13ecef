//! The long table of several logs as Parquet, for data frames.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use super::export::{Row, rows};
use super::file::replace;
use super::table::Table;
use crate::error::Error;
use crate::ladder::{FlopConvention, Run};

const SCHEMA: &str = "message scores {
    required binary corpus (UTF8); required binary run (UTF8);
    required double budget; required double flops; required double params;
    required double tokens; optional int64 seed (UINT_64);
    required binary distribution (UTF8); required binary cluster (UTF8);
    required binary item (UTF8); required double loss; required double weight;
    optional binary trajectory (UTF8); required binary flop_convention (UTF8);
    required boolean held_out; optional double epochs;
    required binary scorer (UTF8); optional double chance;
}";
/// Rows encoded at once: a million rows of 18 columns stay below a few hundred megabytes.
const GROUP: usize = 1 << 20;

type Group<'a> = SerializedRowGroupWriter<'a, File>;

/// Writes the table of [`export_csv`](super::export_csv) as a Parquet file with the same columns, not
/// compressed. `seed`, `trajectory` and `epochs` are null for a run without them, and `chance` is null
/// because logs have none. The file replaces `path` at once or not at all.
///
/// # Errors
/// As [`export_csv`](super::export_csv).
pub fn export_parquet(
    path: impl AsRef<Path>,
    logs: &[(&Run, &Table)],
    scorer: &str,
    convention: FlopConvention,
) -> Result<(), Error> {
    let path = path.as_ref();
    let failed = |e: ParquetError| Error::format(path, e);
    let rows = rows(logs, scorer)?;
    let schema = parse_message_type(SCHEMA).map_err(failed)?;
    let properties = Arc::new(WriterProperties::builder().build());
    replace(path, |file| {
        let file = file.try_clone().map_err(|e| Error::io(path, e))?;
        let mut out =
            SerializedFileWriter::new(file, Arc::new(schema), properties).map_err(failed)?;
        for rows in rows.chunks(GROUP) {
            let mut group = out.next_row_group().map_err(failed)?;
            write(&mut group, rows, scorer, convention).map_err(failed)?;
            group.close().map_err(failed)?;
        }
        out.close().map_err(failed)?;
        Ok(())
    })
}

/// Writes the rows, column by column in the order of the schema.
fn write(
    group: &mut Group<'_>,
    rows: &[Row<'_>],
    scorer: &str,
    convention: FlopConvention,
) -> Result<(), ParquetError> {
    let text = |of: &dyn Fn(&Row<'_>) -> ByteArray| rows.iter().map(of).collect::<Vec<_>>();
    let number = |of: &dyn Fn(&Row<'_>) -> f64| rows.iter().map(of).collect::<Vec<_>>();
    column::<ByteArrayType>(group, &text(&|r| r.run.corpus.as_str().into()), None)?;
    column::<ByteArrayType>(group, &text(&|r| r.run.id.as_str().into()), None)?;
    column::<DoubleType>(group, &number(&|r| r.run.budget), None)?;
    column::<DoubleType>(group, &number(&|r| r.run.flops), None)?;
    column::<DoubleType>(group, &number(&|r| r.run.params), None)?;
    column::<DoubleType>(group, &number(&|r| r.run.tokens), None)?;
    // Parquet has no unsigned storage; the schema says `UINT_64`, so readers undo the cast.
    let seeds = rows.iter().map(|r| r.run.seed.map(u64::cast_signed));
    optional::<Int64Type>(group, seeds)?;
    column::<ByteArrayType>(group, &text(&|r| r.distribution.into()), None)?;
    column::<ByteArrayType>(group, &text(&|r| r.cluster.into()), None)?;
    column::<ByteArrayType>(group, &text(&|r| r.item.into()), None)?;
    column::<DoubleType>(group, &number(&|r| r.score.loss / r.score.weight), None)?;
    column::<DoubleType>(group, &number(&|r| r.score.weight), None)?;
    let trajectories = rows.iter().map(|r| r.run.trajectory.as_deref());
    optional::<ByteArrayType>(group, trajectories.map(|t| t.map(ByteArray::from)))?;
    column::<ByteArrayType>(group, &text(&|_| convention.as_str().into()), None)?;
    let held_out: Vec<bool> = rows.iter().map(|r| r.run.held_out).collect();
    column::<BoolType>(group, &held_out, None)?;
    optional::<DoubleType>(group, rows.iter().map(|r| r.run.epochs))?;
    column::<ByteArrayType>(group, &text(&|_| scorer.into()), None)?;
    optional::<DoubleType>(group, rows.iter().map(|_| None))
}

/// Writes a column of which some values may be null.
fn optional<T: DataType>(
    group: &mut Group<'_>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = values.collect();
    let present: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    column::<T>(group, &values, Some(&present))
}

/// Writes the next column: its values that are not null, and for each row whether there is one.
fn column<T: DataType>(
    group: &mut Group<'_>,
    values: &[T::T],
    present: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("a column too many".to_owned()));
    };
    column.typed::<T>().write_batch(values, present, None)?;
    column.close()
}
