//! Rows of Arrow streams as the text that the crate's tables read.

use std::io;

use arrow_array::cast::AsArray;
use arrow_array::ffi_stream::{FFI_ArrowArrayStream, RecordBatchStreamReader};
use arrow_array::types::{
    ArrowTemporalType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchReader};
use arrow_schema::{DataType, TimeUnit};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

/// A table that Python handed over: names of the columns, and rows batch by batch.
pub(crate) struct Stream(RecordBatchStreamReader);

impl Stream {
    /// Takes the stream of an object with the method `__arrow_c_stream__`.
    pub(crate) fn of(table: &Bound<'_, PyAny>) -> PyResult<Self> {
        let capsule = table.call_method0("__arrow_c_stream__")?;
        let capsule = capsule.cast::<PyCapsule>()?;
        let stream = capsule.pointer_checked(Some(c"arrow_array_stream"))?;
        let stream: *mut FFI_ArrowArrayStream = stream.as_ptr().cast();
        // SAFETY: a capsule of this name holds a live `ArrowArrayStream` (the Arrow PyCapsule interface),
        // and the interpreter lock keeps others off it. Its content is moved out and a released stream
        // left behind, which the destructor of the capsule expects.
        let reader = unsafe { RecordBatchStreamReader::from_raw(stream) };
        reader
            .map(Self)
            .map_err(|e| PyTypeError::new_err(e.to_string()))
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        let schema = self.0.schema();
        schema.fields().iter().map(|f| f.name().clone()).collect()
    }

    /// The rows, one batch in memory at a time.
    pub(crate) fn rows(self) -> impl Iterator<Item = io::Result<Vec<String>>> {
        self.0.flat_map(|batch| {
            let (batch, error) = match batch {
                Ok(batch) => (Some(batch), None),
                Err(e) => (None, Some(Err(io::Error::other(e.to_string())))),
            };
            error
                .into_iter()
                .chain(batch.into_iter().flat_map(of_batch))
        })
    }
}

fn of_batch(batch: RecordBatch) -> impl Iterator<Item = io::Result<Vec<String>>> {
    let columns: Vec<Column> = batch.columns().iter().map(Column::of).collect();
    (0..batch.num_rows()).map(move |row| Ok(columns.iter().map(|c| c.text(row)).collect()))
}

/// A column of one batch.
enum Column {
    Plain(ArrayRef),
    /// Categories: the place of each row's value, `None` for a missing one, and the values.
    Category(Vec<Option<usize>>, ArrayRef),
}

impl Column {
    fn of(array: &ArrayRef) -> Self {
        let DataType::Dictionary(..) = array.data_type() else {
            return Self::Plain(array.clone());
        };
        let dictionary = array.as_any_dictionary();
        // Once per batch: asking for one key computes all of them. Without values there are no keys.
        let keys = match dictionary.values().is_empty() {
            true => vec![None; array.len()],
            false => (dictionary.normalized_keys().into_iter().enumerate())
                .map(|(row, key)| array.is_valid(row).then_some(key))
                .collect(),
        };
        Self::Category(keys, dictionary.values().clone())
    }

    fn text(&self, row: usize) -> String {
        match self {
            Self::Plain(array) => text(array, row),
            Self::Category(keys, values) => {
                let key = keys.get(row).copied().flatten();
                key.map_or_else(String::new, |key| text(values, key))
            }
        }
    }
}

/// A value as a CSV file has it, empty where there is none.
fn text(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return String::new();
    }
    macro_rules! shown {
        ($type:ty) => {
            column.as_primitive::<$type>().value(row).to_string()
        };
    }
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).to_owned(),
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Float64 => number(column.as_primitive::<Float64Type>().value(row)),
        // The digits of the short number, as a CSV file has them: 0.1, not 0.10000000149.
        DataType::Float32 => shown!(Float32Type),
        DataType::Float16 => shown!(Float16Type),
        DataType::Int64 => shown!(Int64Type),
        DataType::Int32 => shown!(Int32Type),
        DataType::Int16 => shown!(Int16Type),
        DataType::Int8 => shown!(Int8Type),
        DataType::UInt64 => shown!(UInt64Type),
        DataType::UInt32 => shown!(UInt32Type),
        DataType::UInt16 => shown!(UInt16Type),
        DataType::UInt8 => shown!(UInt8Type),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Decimal32(..) => column.as_primitive::<Decimal32Type>().value_as_string(row),
        DataType::Decimal64(..) => column.as_primitive::<Decimal64Type>().value_as_string(row),
        DataType::Decimal128(..) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => column.as_primitive::<Decimal256Type>().value_as_string(row),
        // As Parquet has them, by whose reader files of the same tables are read.
        DataType::Date32 => moment::<Date32Type>(column, row, DATE),
        DataType::Date64 => moment::<Date64Type>(column, row, DATE),
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => moment::<TimestampSecondType>(column, row, MILLIS),
            TimeUnit::Millisecond => moment::<TimestampMillisecondType>(column, row, MILLIS),
            TimeUnit::Microsecond => moment::<TimestampMicrosecondType>(column, row, MICROS),
            TimeUnit::Nanosecond => moment::<TimestampNanosecondType>(column, row, NANOS),
        },
        DataType::Time32(TimeUnit::Second) => time::<Time32SecondType>(column, row, "%T%.3f"),
        DataType::Time32(_) => time::<Time32MillisecondType>(column, row, "%T%.3f"),
        DataType::Time64(TimeUnit::Microsecond) => {
            time::<Time64MicrosecondType>(column, row, "%T%.6f")
        }
        DataType::Time64(_) => time::<Time64NanosecondType>(column, row, "%T%.9f"),
        // Parquet has no durations: their numbers are stored.
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => shown!(DurationSecondType),
            TimeUnit::Millisecond => shown!(DurationMillisecondType),
            TimeUnit::Microsecond => shown!(DurationMicrosecondType),
            TimeUnit::Nanosecond => shown!(DurationNanosecondType),
        },
        // A missing column of all rows; `is_null` is false for this type.
        DataType::Null => String::new(),
        // As for lists in Parquet: no column that is read has such values.
        _ => "(nested)".to_owned(),
    }
}

/// A day, and moments to the digits of their units. All of them are in UTC, whatever zone is to be shown.
const DATE: &str = "%Y-%m-%d";
const MILLIS: &str = "%Y-%m-%d %T%.3f +00:00";
const MICROS: &str = "%Y-%m-%d %T%.6f +00:00";
const NANOS: &str = "%Y-%m-%d %T%.9f +00:00";

/// A date or a moment, its number beyond the calendar.
fn moment<T: ArrowTemporalType>(column: &ArrayRef, row: usize, form: &str) -> String
where
    i64: From<T::Native>,
{
    let values = column.as_primitive::<T>();
    let number = || i64::from(values.value(row)).to_string();
    let moment = values.value_as_datetime(row);
    moment.map_or_else(number, |moment| moment.format(form).to_string())
}

/// A time of day, its number beyond midnight.
fn time<T: ArrowTemporalType>(column: &ArrayRef, row: usize, form: &str) -> String
where
    i64: From<T::Native>,
{
    let values = column.as_primitive::<T>();
    let number = || i64::from(values.value(row)).to_string();
    let time = values.value_as_time(row);
    time.map_or_else(number, |time| time.format(form).to_string())
}

/// The shortest digits that read back to the same number; whole numbers, which may be seeds or names of
/// runs, as such.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-5..1e15).contains(&size) => format!("{value:e}"),
        _ => value.to_string(),
    }
}
