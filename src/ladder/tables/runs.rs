//! Tables of runs that are joined to tables of losses.

use super::layout::{is_read, numbers};
use crate::input::NOT_TEXT;
use crate::ladder::LadderError;
use crate::ladder::column::Column;
use crate::ladder::names::Names;
use crate::ladder::nearest::{alike, nearest};
use crate::ladder::record::Record;
use crate::ladder::source::Source;

/// The columns that describe a run.
const OF_RUNS: [Column; 11] = [
    Column::Corpus,
    Column::Budget,
    Column::Flops,
    Column::Params,
    Column::Tokens,
    Column::Seed,
    Column::Trajectory,
    Column::FlopConvention,
    Column::HeldOut,
    Column::Epochs,
    Column::ScaleName,
];

/// Descriptions of runs, by name.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// Names of the described columns.
    pub(super) columns: Vec<String>,
    names: Names,
    /// Value by column, and place of each description; by the numbers of the names.
    values: Vec<Vec<Value>>,
    /// If true, a run has losses; by the numbers of the names.
    used: Vec<bool>,
    /// Names of the tables.
    tables: Vec<String>,
}

/// A value, empty if no table has it, with the number of its table and its line there.
#[derive(Debug, Clone, Default)]
struct Value {
    text: String,
    table: usize,
    line: u64,
}

impl Runs {
    /// Adds a table of runs. `scale` is the column that is the scale instead of training compute.
    pub(super) fn read(
        &mut self,
        mut source: Source<'static>,
        scale: Option<&str>,
        notes: &mut Vec<String>,
    ) -> Result<(), LadderError> {
        let header = source.header.clone();
        let passed = numbers(&mut source, scale)?;
        let passed: Vec<&str> = passed.into_iter().map(|place| &header[place]).collect();
        if !passed.is_empty() {
            let (table, columns) = (&source.name, passed.join(", "));
            notes.push(format!(
                "{table}: not read: {columns}; name the columns that are losses (distributions)"
            ));
        }
        let malformed = |line, message| LadderError::Malformed {
            table: source.name.clone(),
            line,
            message,
        };
        let Some(run) = header.iter().position(|h| h == Column::Run.name()) else {
            let columns: Vec<&str> = header.iter().collect();
            return Err(malformed(
                Some(1),
                format!(
                    "neither losses nor a column `run` that would join it to them; the first line has {}",
                    columns.join(", ")
                ),
            ));
        };
        // A column that is read elsewhere is none that is misspelt.
        // `epoch` is often the place of a checkpoint in its training run.
        let names = OF_RUNS.iter().filter(|c| **c != Column::Epochs);
        let names = names.map(|c| c.name());
        let missing: Vec<&str> = names.filter(|c| header.iter().all(|h| h != *c)).collect();
        for column in header.iter().filter(|h| !is_read(h, scale)) {
            if let Some(&meant) = missing.iter().find(|c| alike(column, c)) {
                return Err(LadderError::MisspeltColumn {
                    table: source.name.clone(),
                    column: column.to_owned(),
                    meant,
                });
            }
        }
        let described = |h: &str| OF_RUNS.iter().any(|c| c.name() == h) || scale == Some(h);
        let mut places = Vec::new();
        for (place, name) in header.iter().enumerate().filter(|(_, h)| described(h)) {
            let known = self.columns.iter().position(|c| c == name);
            let at = known.unwrap_or_else(|| {
                self.columns.push(name.to_owned());
                self.columns.len() - 1
            });
            places.push((place, at));
        }
        let table = self.tables.len();
        self.tables.push(source.name.clone());
        while let Some(row) = source.next_row()? {
            let result = self.add(row, run, &places, table);
            result.map_err(|e| source.placed(e))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        row: Record<'_>,
        run: usize,
        places: &[(usize, usize)],
        table: usize,
    ) -> Result<(), LadderError> {
        let (name, line) = (row.get(run).unwrap_or_default(), row.line());
        let number = self.names.number(name)? as usize;
        if self.values.len() <= number {
            self.values.push(Vec::new());
            self.used.push(false);
        }
        let values = &mut self.values[number];
        values.resize(self.columns.len(), Value::default());
        for &(place, at) in places {
            let text = row.get(place).unwrap_or_default();
            if text == NOT_TEXT {
                return Err(LadderError::Malformed {
                    table: self.tables[table].clone(),
                    line: Some(line),
                    message: format!("{} is a list or an object", self.columns[at]),
                });
            }
            let known = &values[at];
            if !known.text.is_empty() && !text.is_empty() && !same(&known.text, text) {
                return Err(LadderError::Malformed {
                    table: self.tables[table].clone(),
                    line: Some(line),
                    message: format!(
                        "{} of run {name:?} is {text:?}, and {:?} in line {} of {}",
                        self.columns[at], known.text, known.line, self.tables[known.table]
                    ),
                });
            }
            if !text.is_empty() {
                values[at] = Value {
                    text: text.to_owned(),
                    table,
                    line,
                };
            }
        }
        Ok(())
    }

    /// If true, there is no table of runs.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Number of a run of a table of losses.
    ///
    /// # Errors
    /// A message about a run that is not described.
    pub(super) fn find(&mut self, run: &str) -> Result<u32, String> {
        if let Some(number) = self.names.find(run) {
            self.used[number as usize] = true;
            return Ok(number);
        }
        let near = nearest(run, self.names.iter());
        let hint = near.map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
        Err(format!(
            "run {run:?} is not in {}{hint}",
            self.tables.join(" + ")
        ))
    }

    /// Value of a run in a column, empty if it has none.
    pub(super) fn value(&self, run: Option<u32>, column: usize) -> &str {
        let value = run.and_then(|run| self.values.get(run as usize)?.get(column));
        value.map_or("", |value| &value.text)
    }

    /// The message about a value of a table of losses that differs.
    pub(super) fn conflict(&self, run: u32, column: usize, text: &str) -> Option<String> {
        let known = self.values.get(run as usize)?.get(column)?;
        if known.text.is_empty() || text.is_empty() || same(&known.text, text) {
            return None;
        }
        let (name, table) = (&self.columns[column], &self.tables[known.table]);
        let Value {
            text: other, line, ..
        } = known;
        let run = self.names.name(run);
        Some(format!(
            "{name} of run {run:?} is {text:?}, and {other:?} in line {line} of {table}"
        ))
    }

    /// A note on the runs that have no losses.
    pub(super) fn without_losses(&self) -> Option<String> {
        let runs = self.names.iter().zip(&self.used);
        let mut names = runs.filter_map(|(name, used)| (!used).then_some(name));
        let shown: Vec<&str> = names.by_ref().take(5).collect();
        let more = match names.count() {
            0 => String::new(),
            more => format!(" and {more} others"),
        };
        let tables = self.tables.join(" + ");
        (!shown.is_empty()).then(|| {
            format!(
                "{tables}: no losses of {}{more}, which are left out",
                shown.join(", ")
            )
        })
    }
}

/// If true, two fields are one value: `True` and `true`, `1e8` and `100000000.0`.
fn same(a: &str, b: &str) -> bool {
    let numbers = || a.parse::<f64>().ok().zip(b.parse::<f64>().ok());
    a.eq_ignore_ascii_case(b) || numbers().is_some_and(|(a, b)| a == b)
}
