//! Scores as a table in Parquet: a row per text, and per choice of a question.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;
use relscale::Error;
use relscale::output::NewFile;
use serde_json::Value;

use super::record::Record;

/// `choice` is the index of a choice, and null for a text. `checkpoint` is null where there is one
/// checkpoint; `warnings` has one line per warning of the item.
const SCHEMA: &str = "message scores {
    optional binary checkpoint (UTF8); required binary id (UTF8); required binary cluster (UTF8);
    optional int64 choice; optional double log_likelihood; required int64 tokens;
    optional int64 bytes; optional double unconditional; optional binary warnings (UTF8);
}";
/// Rows encoded at once: a million rows of nine columns stay below a few hundred megabytes.
const GROUP: usize = 1 << 20;

/// One sequence of a record.
struct Row<'a> {
    record: &'a Record,
    choice: Option<usize>,
}

impl Row<'_> {
    /// The value of a field: that of the choice, where the field is a list.
    fn value(&self, field: &str) -> Option<&Value> {
        let value = self.record.get(field)?;
        match self.choice {
            Some(choice) => value.get(choice),
            None => Some(value),
        }
    }

    fn text(&self, field: &str) -> Option<ByteArray> {
        self.record.get(field)?.as_str().map(ByteArray::from)
    }

    fn count(&self, field: &str) -> Option<i64> {
        self.value(field)?.as_i64()
    }

    fn number(&self, field: &str) -> Option<f64> {
        self.value(field)?.as_f64()
    }

    fn warnings(&self) -> Option<ByteArray> {
        let all = self.record.get("warnings")?.as_array()?;
        let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
        Some(ByteArray::from(all.join("\n").as_str()))
    }
}

/// Writes the table.
///
/// # Errors
/// A failing write.
pub(super) fn write(records: &[Record], path: &Path) -> Result<(), Error> {
    let failed = |e: ParquetError| Error::format(path, e);
    let rows: Vec<Row<'_>> = records.iter().flat_map(rows).collect();
    let schema = parse_message_type(SCHEMA).map_err(failed)?;
    let properties = Arc::new(WriterProperties::builder().build());
    let io = |e| Error::io(path, e);
    let new = NewFile::create(path).map_err(io)?;
    let file = new.file().try_clone().map_err(io)?;
    let mut out = SerializedFileWriter::new(file, Arc::new(schema), properties).map_err(failed)?;
    for rows in rows.chunks(GROUP) {
        let mut group = out.next_row_group().map_err(failed)?;
        write_group(&mut group, rows).map_err(failed)?;
        group.close().map_err(failed)?;
    }
    out.close().map_err(failed)?;
    new.publish().map_err(io)
}

fn rows(record: &Record) -> Vec<Row<'_>> {
    match record.get("tokens").and_then(Value::as_array) {
        Some(choices) => (0..choices.len())
            .map(|choice| Row {
                record,
                choice: Some(choice),
            })
            .collect(),
        None => vec![Row {
            record,
            choice: None,
        }],
    }
}

/// Writes the columns in the order of the schema.
fn write_group(
    group: &mut SerializedRowGroupWriter<'_, File>,
    rows: &[Row<'_>],
) -> Result<(), ParquetError> {
    let empty = || ByteArray::from("");
    let required = |field: &str| -> Vec<Option<ByteArray>> {
        let texts = rows
            .iter()
            .map(|r| Some(r.text(field).unwrap_or_else(empty)));
        texts.collect()
    };
    let counts = |field: &str| rows.iter().map(|r| r.count(field)).collect::<Vec<_>>();
    let numbers = |field: &str| rows.iter().map(|r| r.number(field)).collect::<Vec<_>>();
    let named = rows.iter().map(|r| r.text("checkpoint")).collect();
    column::<ByteArrayType>(group, named, true)?;
    column::<ByteArrayType>(group, required("id"), false)?;
    column::<ByteArrayType>(group, required("cluster"), false)?;
    let choices = rows.iter().map(|r| r.choice.map(|c| c as i64)).collect();
    column::<Int64Type>(group, choices, true)?;
    column::<DoubleType>(group, numbers("log_likelihood"), true)?;
    let tokens = rows.iter().map(|r| Some(r.count("tokens").unwrap_or(0)));
    column::<Int64Type>(group, tokens.collect(), false)?;
    column::<Int64Type>(group, counts("bytes"), true)?;
    column::<DoubleType>(group, numbers("unconditional"), true)?;
    let warnings = rows.iter().map(Row::warnings).collect();
    column::<ByteArrayType>(group, warnings, true)
}

/// Writes the next column; in an optional one, values may be missing.
fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: Vec<Option<T::T>>,
    optional: bool,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("a column too many".to_owned()));
    };
    let present: Vec<i16> = values.iter().map(|value| value.is_some().into()).collect();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    let present = optional.then_some(present.as_slice());
    column.typed::<T>().write_batch(&values, present, None)?;
    column.close()
}
