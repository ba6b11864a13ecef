//! Rows of Parquet files as the values that JSON lines have.

use std::fs::File;
use std::path::Path;

use parquet::record::{Field, Row};
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};

use crate::error::Error;
use crate::input::parquet::{ParquetRows, shown};

/// Calls `read` with the number (from 1) and the value of every row; the columns are the fields. Nulls are
/// fields that are not there.
pub(super) fn each_row<T: DeserializeOwned, E: std::fmt::Display>(
    path: &Path,
    file: File,
    mut read: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), Error> {
    let io = |e| Error::io(path, e);
    let mut rows = ParquetRows::of_file(file).map_err(io)?;
    for number in 1.. {
        let Some(row) = rows.next().map_err(io)? else {
            break;
        };
        let error = |message: String| Error::Format {
            path: path.to_owned(),
            message: format!("row {number}: {message}"),
        };
        let mut bytes = 0;
        let value = object(&row, &mut bytes);
        rows.charge(bytes).map_err(io)?;
        let value = serde_json::from_value(value).map_err(|e| error(e.to_string()))?;
        read(number, value).map_err(|e| error(e.to_string()))?;
    }
    Ok(())
}

/// A row, or an object in one; adds its size to `bytes`.
fn object(row: &Row, bytes: &mut usize) -> Value {
    let fields = row.get_column_iter().filter(|(_, f)| **f != Field::Null);
    let fields = fields.map(|(name, field)| {
        *bytes += name.len();
        (name.clone(), value(field, bytes))
    });
    Value::Object(fields.collect::<Map<String, Value>>())
}

fn value(field: &Field, bytes: &mut usize) -> Value {
    // A value takes as much at the least.
    *bytes += size_of::<Value>();
    match field {
        Field::Null => Value::Null,
        Field::Bool(yes) => Value::Bool(*yes),
        Field::Byte(n) => Value::from(*n),
        Field::Short(n) => Value::from(*n),
        Field::Int(n) => Value::from(*n),
        Field::Long(n) => Value::from(*n),
        Field::UByte(n) => Value::from(*n),
        Field::UShort(n) => Value::from(*n),
        Field::UInt(n) => Value::from(*n),
        Field::ULong(n) => Value::from(*n),
        Field::Float(x) => Number::from_f64((*x).into()).map_or(Value::Null, Value::Number),
        Field::Double(x) => Number::from_f64(*x).map_or(Value::Null, Value::Number),
        Field::Str(text) => {
            *bytes += text.len();
            Value::String(text.clone())
        }
        Field::Group(row) => object(row, bytes),
        Field::ListInternal(list) => {
            Value::Array(list.elements().iter().map(|f| value(f, bytes)).collect())
        }
        // Text that was stored without saying that it is text. Other bytes are no value of an item.
        Field::Bytes(raw) => {
            *bytes += raw.data().len();
            match std::str::from_utf8(raw.data()) {
                Ok(text) => Value::String(text.to_owned()),
                Err(_) => Value::Object(Map::new()),
            }
        }
        // Dates, decimals and maps, which no reader of items asks for.
        other => Value::String(shown(other)),
    }
}
