//! Tables in JSON lines: one object per row.

use std::fmt;
use std::io::{BufRead, Read};

use csv::StringRecord;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{LONGEST_ROW, Rows, Source, fill, io_error, number};
use crate::input::NOT_TEXT;
use crate::ladder::LadderError;
use crate::ladder::names::repeated;
use crate::ladder::record::Batch;

/// The message about JSON of which an object is not a row.
pub(super) const NO_LINES: &str = "is JSON, but not one object per line; pandas writes such lines with \
     to_json(path, orient=\"records\", lines=True), and `jq -c '.[]'` makes them of a list";

/// The table whose columns are the fields of the first line.
pub(super) fn open<'a>(source: impl BufRead + 'a, name: &str) -> Result<Source<'a>, LadderError> {
    let mut lines = Lines {
        source,
        name: name.to_owned(),
        line: 0,
        bytes: Vec::new(),
        first: None,
        header: StringRecord::new(),
    };
    let first = lines.next()?;
    if let Some(Object(fields)) = &first {
        // The default of pandas: an object of columns, each an object of rows.
        if fields.iter().all(|(_, value)| *value == Value::Nested) {
            return Err(lines.malformed(NO_LINES.to_owned()));
        }
        let names: Vec<&str> = fields.iter().map(|(field, _)| field.trim()).collect();
        // The second would be ignored, and it may be the one that is meant.
        if let Some(name) = repeated(names.iter().copied()) {
            return Err(lines.malformed(format!("the field {name:?} comes twice")));
        }
        lines.header = names.into_iter().collect();
    }
    lines.first = first;
    let header = lines.header.clone();
    Ok(Source {
        rows: Box::new(lines),
        ..Source::empty(name, header)
    })
}

struct Lines<R> {
    source: R,
    name: String,
    /// Number of the line last read, from 1.
    line: u64,
    bytes: Vec<u8>,
    /// The first line, which was read for its fields.
    first: Option<Object>,
    header: StringRecord,
}

impl<R: BufRead> Lines<R> {
    /// The next object, past empty lines.
    fn next(&mut self) -> Result<Option<Object>, LadderError> {
        loop {
            self.bytes.clear();
            self.line += 1;
            let mut one = (&mut self.source).take(LONGEST_ROW + 1);
            let length = one.read_until(b'\n', &mut self.bytes);
            let length = length.map_err(|e| io_error(&self.name, &e))?;
            if length == 0 {
                return Ok(None);
            }
            if length as u64 > LONGEST_ROW {
                return Err(self.malformed(format!("longer than {LONGEST_ROW} bytes")));
            }
            let text = std::str::from_utf8(&self.bytes);
            let text = text.map_err(|e| self.malformed(format!("not UTF-8: {e}")))?;
            let text = match self.line {
                1 => text.strip_prefix('\u{feff}').unwrap_or(text),
                _ => text,
            };
            if text.trim().is_empty() {
                continue;
            }
            let object = serde_json::from_str(text).map_err(|e| self.refused(text, &e))?;
            return Ok(Some(object));
        }
    }

    fn refused(&self, text: &str, error: &serde_json::Error) -> LadderError {
        let column = error.column();
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or(&what);
        let rest = text.get(column.saturating_sub(1)..).unwrap_or("");
        self.malformed(if rest.starts_with('N') {
            format!("column {column}: NaN is no number of JSON; write null for a missing one")
        } else if error.is_eof() && self.line == 1 {
            NO_LINES.to_owned()
        } else {
            format!("column {column}: {what}")
        })
    }

    fn malformed(&self, message: String) -> LadderError {
        LadderError::Malformed {
            table: self.name.clone(),
            line: Some(self.line),
            message,
        }
    }
}

impl<R: BufRead> Rows for Lines<R> {
    fn read(&mut self, rows: &mut Batch) -> Result<bool, LadderError> {
        let object = match self.first.take() {
            Some(first) => Some(first),
            None => self.next()?,
        };
        let Some(Object(fields)) = object else {
            return Ok(false);
        };
        let mut values = vec![""; self.header.len()];
        let mut seen = vec![false; self.header.len()];
        for (at, (field, value)) in fields.iter().enumerate() {
            let field = field.trim();
            // Most lines have the fields in the order of the first.
            let place = match self.header.get(at) == Some(field) {
                true => Some(at),
                false => self.header.iter().position(|h| h == field),
            };
            let Some(place) = place else {
                return Err(self.malformed(format!(
                    "a field {field:?} that the first line lacks; give it there, as null if it has no \
                     value"
                )));
            };
            if std::mem::replace(&mut seen[place], true) {
                return Err(self.malformed(format!("the field {field:?} comes twice")));
            }
            match value {
                Value::Null => {}
                Value::Text(text) => values[place] = text,
                // Refused in a column that is read.
                Value::Nested => values[place] = NOT_TEXT,
            }
        }
        fill(rows, self.line, values);
        Ok(true)
    }
}

/// The fields of a line, in their order.
struct Object(Vec<(String, Value)>);

/// A value as a table has it.
#[derive(Debug, PartialEq)]
enum Value {
    Null,
    Text(String),
    /// A list or an object.
    Nested,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Text(number(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    // Passed over without being kept: a list may be long.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Nested)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Nested)
    }
}
