//! Tables of runs that are joined to tables of losses.

use std::collections::{HashMap, HashSet};

use csv::StringRecord;

use crate::ladder::LadderError;
use crate::ladder::nearest::nearest;
use crate::ladder::source::Source;
use crate::ladder::table::Column;

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
    /// Value by column, and place of each description.
    values: HashMap<String, Vec<Value>>,
    /// Names of the tables.
    tables: Vec<String>,
    order: Vec<String>,
    used: HashSet<String>,
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
    ) -> Result<(), LadderError> {
        let header = source.header.clone();
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
        let mut row = StringRecord::new();
        while source.read(&mut row)? {
            let line = row.position().map_or(0, csv::Position::line);
            let result = self.add(&row, run, &places, table, line);
            result.map_err(|e| source.placed(e))?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        row: &StringRecord,
        run: usize,
        places: &[(usize, usize)],
        table: usize,
        line: u64,
    ) -> Result<(), LadderError> {
        let name = row.get(run).unwrap_or_default();
        if !self.values.contains_key(name) {
            self.order.push(name.to_owned());
        }
        let values = self.values.entry(name.to_owned()).or_default();
        values.resize(self.columns.len(), Value::default());
        for &(place, at) in places {
            let text = row.get(place).unwrap_or_default();
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

    /// Finds a run of a table of losses.
    ///
    /// # Errors
    /// A message about a run that is not described.
    pub(super) fn find(&mut self, run: &str) -> Result<(), String> {
        if self.values.contains_key(run) {
            if !self.used.contains(run) {
                self.used.insert(run.to_owned());
            }
            return Ok(());
        }
        let near = nearest(run, self.order.iter().map(String::as_str));
        let hint = near.map_or_else(String::new, |n| format!("; did you mean {n:?}?"));
        Err(format!(
            "run {run:?} is not in {}{hint}",
            self.tables.join(" + ")
        ))
    }

    /// Value of a run in a column, empty if it has none.
    pub(super) fn value(&self, run: &str, column: usize) -> &str {
        let value = self.values.get(run).and_then(|values| values.get(column));
        value.map_or("", |value| &value.text)
    }

    /// The message about a value of a table of losses that differs.
    pub(super) fn conflict(&self, run: &str, column: usize, text: &str) -> Option<String> {
        let known = self.values.get(run)?.get(column)?;
        if known.text.is_empty() || text.is_empty() || same(&known.text, text) {
            return None;
        }
        let (name, table) = (&self.columns[column], &self.tables[known.table]);
        let Value {
            text: other, line, ..
        } = known;
        Some(format!(
            "{name} of run {run:?} is {text:?}, and {other:?} in line {line} of {table}"
        ))
    }

    /// A note on the runs that have no losses.
    pub(super) fn without_losses(&self) -> Option<String> {
        let mut names = self.order.iter().filter(|run| !self.used.contains(*run));
        let shown: Vec<&str> = names.by_ref().take(5).map(String::as_str).collect();
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
    let numbers = a.parse::<f64>().ok().zip(b.parse::<f64>().ok());
    a.eq_ignore_ascii_case(b) || numbers.is_some_and(|(a, b)| a == b)
}
