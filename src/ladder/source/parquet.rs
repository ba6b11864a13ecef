//! Tables in Parquet.

use std::io;

use parquet::record::Field;

use super::{Rows, Source, fill, io_error, number};
use crate::input::NOT_TEXT;
use crate::input::parquet::{ParquetRows, shown};
use crate::ladder::LadderError;
use crate::ladder::record::Batch;

/// The table of these rows.
pub(super) fn table(
    rows: io::Result<ParquetRows>,
    name: &str,
) -> Result<Source<'static>, LadderError> {
    let rows = rows.map_err(|e| io_error(name, &e))?;
    let header = rows.columns.iter().map(|column| column.trim()).collect();
    Ok(Source {
        by_row: true,
        rows: Box::new(Records {
            rows,
            name: name.to_owned(),
            row: 0,
        }),
        ..Source::empty(name, header)
    })
}

struct Records {
    rows: ParquetRows,
    name: String,
    row: u64,
}

impl Rows for Records {
    fn read(&mut self, rows: &mut Batch) -> Result<bool, LadderError> {
        let failed = |e: io::Error| io_error(&self.name, &e);
        let Some(next) = self.rows.next().map_err(failed)? else {
            return Ok(false);
        };
        self.row += 1;
        let fields: Vec<String> = next.get_column_iter().map(|(_, f)| text(f)).collect();
        let bytes = fields.iter().map(|field| field.len() + 1).sum();
        self.rows.charge(bytes).map_err(failed)?;
        fill(rows, self.row, fields.iter().map(String::as_str));
        Ok(true)
    }
}

/// A value as a CSV file has it.
fn text(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        Field::Double(value) => number(*value),
        // The digits of the short number, as a CSV file has them: 0.1, not 0.10000000149.
        Field::Float(value) => value.to_string(),
        // Text that was stored without saying that it is text.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => text.to_owned(),
            // With marks in place of its bytes, two names might be one.
            Err(_) => NOT_TEXT.to_owned(),
        },
        other => shown(other),
    }
}
