//! Tables whose rows a program hands over.

use std::io;

use super::{Rows, Source, fill, io_error};
use crate::ladder::LadderError;
use crate::ladder::record::Batch;

/// The table of these rows.
pub(super) fn table(
    name: &str,
    columns: Vec<String>,
    rows: impl Iterator<Item = io::Result<Vec<String>>> + 'static,
) -> Source<'static> {
    let header = columns.iter().map(|column| column.trim()).collect();
    Source {
        by_row: true,
        rows: Box::new(Given {
            rows,
            columns: columns.len(),
            name: name.to_owned(),
            row: 0,
        }),
        ..Source::empty(name, header)
    }
}

struct Given<R> {
    rows: R,
    columns: usize,
    name: String,
    /// Number of the row last read, from 1.
    row: u64,
}

impl<R: Iterator<Item = io::Result<Vec<String>>>> Rows for Given<R> {
    fn read(&mut self, rows: &mut Batch) -> Result<bool, LadderError> {
        let Some(fields) = self.rows.next() else {
            return Ok(false);
        };
        self.row += 1;
        let fields = fields.map_err(|e| io_error(&self.name, &e))?;
        if fields.len() != self.columns {
            return Err(LadderError::Malformed {
                table: self.name.clone(),
                line: None,
                message: format!(
                    "row {}: {} fields for {} columns",
                    self.row,
                    fields.len(),
                    self.columns
                ),
            });
        }
        fill(rows, self.row, fields.iter().map(String::as_str));
        Ok(true)
    }
}
