//! Common parts of tables: the places of their columns, rows that know their line.

use super::column::Column;
use super::nearest::alike;
use super::record::Record;
use super::{FlopConvention, LadderError, Run, Scale};

/// The columns that describe the run of a row besides its name, and those that all rows have alike.
const DESCRIPTION: [Column; 11] = [
    Column::Corpus,
    Column::Budget,
    Column::Flops,
    Column::Params,
    Column::Tokens,
    Column::Seed,
    Column::Trajectory,
    Column::FlopConvention,
    Column::HeldOut,
    Column::ScaleName,
    Column::Epochs,
];

/// Indices of the columns in one table, by [`Column`]; `None` for those the table leaves out.
#[derive(Debug)]
pub(super) struct Places {
    at: [Option<usize>; Column::ALL.len()],
    /// Name of the column that stands for FLOPs and budgets.
    scale: Option<String>,
}

impl Places {
    pub(super) fn has(&self, column: Column) -> bool {
        self.at[column as usize].is_some()
    }

    /// If true, a column that the caller named stands for FLOPs and budgets.
    pub(super) fn is_along(&self) -> bool {
        self.scale.is_some()
    }

    /// Takes the column `scale` for FLOPs and budgets.
    pub(super) fn along(
        mut self,
        scale: &str,
        header: &csv::StringRecord,
        table: &str,
    ) -> Result<Self, LadderError> {
        let found = header.iter().filter(|h| *h == scale).count();
        if found != 1 {
            let columns: Vec<&str> = header.iter().collect();
            return Err(LadderError::Malformed {
                table: table.into(),
                line: Some(1),
                message: format!(
                    "{found} columns are named {scale:?}, the scale; the first line has {}",
                    columns.join(", ")
                ),
            });
        }
        let at = header.iter().position(|h| h == scale);
        for column in [Column::Flops, Column::Budget] {
            self.at[column as usize] = at;
        }
        self.scale = Some(scale.into());
        Ok(self)
    }
}

/// Finds the columns of a table, of which `required` must be there. Of the `optional` ones, one that is
/// missing must not be there under a name that is nearly its own.
pub(super) fn find(
    header: &csv::StringRecord,
    table: &str,
    required: &[Column],
    optional: &[Column],
) -> Result<Places, LadderError> {
    let places = Places {
        at: Column::ALL.map(|column| header.iter().position(|h| h == column.name())),
        scale: None,
    };
    if let Some(column) = required.iter().find(|column| !places.has(**column)) {
        return Err(LadderError::MissingColumn {
            table: table.into(),
            column: column.name(),
            found: header.iter().map(Into::into).collect(),
        });
    }
    let read = || required.iter().chain(optional);
    for column in read() {
        // The second would be ignored, and it may be the one that is meant.
        if header.iter().filter(|h| *h == column.name()).count() > 1 {
            return Err(LadderError::Malformed {
                table: table.into(),
                line: Some(1),
                message: format!("two columns are named {:?}", column.name()),
            });
        }
    }
    // Required columns that are misspelt are missing, which is said above; an optional one would be
    // ignored without a word.
    // `epoch` is often the place of a checkpoint in its training run, and `score` a number beside the
    // loss, which are no misspellings.
    let free = [Column::Epochs, Column::Scorer];
    let spelt = |column: &&Column| !places.has(**column) && !free.contains(*column);
    for meant in optional.iter().filter(spelt) {
        let other = |h: &&str| read().all(|column| column.name() != *h);
        if let Some(column) = header.iter().filter(other).find(|h| alike(h, meant.name())) {
            return Err(LadderError::MisspeltColumn {
                table: table.into(),
                column: column.into(),
                meant: meant.name(),
            });
        }
    }
    Ok(places)
}

/// A line of one of several tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Number of tables before.
    table: usize,
    line: u64,
}

/// One row of a table.
pub(super) struct Row<'a> {
    pub(super) table: &'a str,
    /// Names of the tables before.
    pub(super) earlier: &'a [String],
    pub(super) places: &'a Places,
    pub(super) record: Record<'a>,
}

impl Row<'_> {
    pub(super) fn line(&self) -> u64 {
        self.record.line()
    }

    pub(super) fn place(&self) -> Place {
        self.place_of(self.line())
    }

    /// A line of the table of this row.
    pub(super) fn place_of(&self, line: u64) -> Place {
        Place {
            table: self.earlier.len(),
            line,
        }
    }

    /// The table of a place, if it is not that of this row.
    fn other_table(&self, place: Place) -> Option<&str> {
        self.earlier.get(place.table).map(String::as_str)
    }

    fn malformed(&self, message: String) -> LadderError {
        LadderError::Malformed {
            table: self.table.into(),
            line: Some(self.line()),
            message,
        }
    }

    /// The error of a row that repeats an earlier one.
    pub(super) fn repeats(&self, first: Place) -> LadderError {
        let (run, distribution) = (self.text(Column::Run), self.text(Column::Distribution));
        let line = first.line;
        match self.other_table(first) {
            None => LadderError::DuplicateRow {
                table: self.table.into(),
                line: self.line(),
                first: line,
                run: run.into(),
                distribution: distribution.into(),
            },
            Some(other) => self.malformed(format!(
                "repeats line {line} of {other} (run {run:?}, distribution {distribution:?})"
            )),
        }
    }

    /// The field, `""` where there is none.
    pub(super) fn text(&self, column: Column) -> &str {
        let found = self.places.at[column as usize].and_then(|i| self.record.get(i));
        found.unwrap_or("")
    }

    /// The fields that describe the run of this row and the scale.
    pub(super) fn description(&self) -> impl Iterator<Item = &str> {
        let there = DESCRIPTION
            .iter()
            .filter(|column| self.places.has(**column));
        there.map(|column| self.text(*column))
    }

    pub(super) fn unexpected(&self, column: Column, expected: &'static str) -> LadderError {
        LadderError::Field {
            table: self.table.into(),
            line: self.line(),
            column: column.name(),
            value: self.text(column).into(),
            expected,
        }
    }

    pub(super) fn number(&self, column: Column) -> Result<f64, LadderError> {
        let value = self.text(column).parse();
        value.map_err(|_| self.unexpected(column, "a number"))
    }

    /// `error` with the table and the line before it.
    pub(super) fn within(&self, error: LadderError) -> LadderError {
        LadderError::Row {
            table: self.table.into(),
            line: self.line(),
            source: Box::new(error),
        }
    }

    fn convention(&self) -> Result<FlopConvention, LadderError> {
        let column = Column::FlopConvention;
        match self.text(column) {
            "" => Ok(FlopConvention::Unspecified),
            other => FlopConvention::from_name(other).ok_or_else(|| {
                self.unexpected(column, "unspecified, training, forward_only, 6nd or other")
            }),
        }
    }

    /// The FLOP convention of the table, which must be that of the line that stated it `first`.
    pub(super) fn convention_as(
        &self,
        first: &mut Option<(FlopConvention, Place)>,
    ) -> Result<FlopConvention, LadderError> {
        let stated = self.convention()?;
        let (convention, place) = *first.get_or_insert((stated, self.place()));
        if convention == stated {
            return Ok(convention);
        }
        Err(self.conflict(place, self.text(Column::Run), Column::FlopConvention))
    }

    /// The error of a run that the row at `first` describes differently.
    pub(super) fn conflict(&self, first: Place, run: &str, column: Column) -> LadderError {
        let (column, line) = (column.name(), first.line);
        match self.other_table(first) {
            None => LadderError::Conflict {
                table: self.table.into(),
                line: self.line(),
                first: line,
                run: run.into(),
                column,
            },
            Some(other) => self.malformed(format!(
                "{column} of run {run:?} differs from line {line} of {other}"
            )),
        }
    }

    /// The quantity of a scale that the caller named, which must be positive.
    fn scale(&self, name: &str) -> Result<f64, LadderError> {
        let text = self.text(Column::Flops);
        match text.parse::<f64>() {
            Ok(value) if value.is_normal() && value > 0.0 => Ok(value),
            _ => Err(self.malformed(format!(
                "{name} is {text:?}, expected a number above 0: a scale has a logarithm"
            ))),
        }
    }

    /// The error of a run that the row at `first` puts at another value of the scale that the caller
    /// named.
    pub(super) fn other_scale(&self, first: Place, run: &str) -> LadderError {
        let scale = self.places.scale.as_deref().unwrap_or_default();
        let of = (self.other_table(first)).map_or_else(String::new, |table| format!(" of {table}"));
        let line = first.line;
        self.malformed(format!(
            "{scale} of run {run:?} differs from line {line}{of}"
        ))
    }

    /// The run of this row. The builder of the ladder checks its numbers.
    pub(super) fn run(&self) -> Result<Run, LadderError> {
        let (budget, flops) = match &self.places.scale {
            Some(name) => (self.scale(name)?, self.scale(name)?),
            None => (self.number(Column::Budget)?, self.number(Column::Flops)?),
        };
        // Along another scale, a table without sizes is one of a single model.
        let size = |column| match &self.places.scale {
            Some(_) if !self.places.has(column) => Ok(1.0),
            _ => self.number(column),
        };
        let scale = Scale {
            params: size(Column::Params)?,
            tokens: size(Column::Tokens)?,
            flops,
        };
        let mut run = Run::new(self.text(Column::Run), scale)
            .corpus(self.text(Column::Corpus))
            .budget(budget);
        if !self.text(Column::Seed).is_empty() {
            // pandas writes an integer column with gaps as "0.0".
            let whole = self
                .text(Column::Seed)
                .trim_end_matches('0')
                .strip_suffix('.');
            let seed = whole.unwrap_or(self.text(Column::Seed)).parse();
            let seed = seed.map_err(|_| self.unexpected(Column::Seed, "a non-negative integer"))?;
            run = run.seed(seed);
        }
        if !self.text(Column::Epochs).is_empty() {
            run = run.epochs(self.number(Column::Epochs)?);
        }
        if !self.text(Column::Trajectory).is_empty() {
            run = run.trajectory(self.text(Column::Trajectory));
        }
        match self.text(Column::HeldOut).to_ascii_lowercase().as_str() {
            // Anything else is refused: `no` or `FALSE` read as true would hide a run from the fit.
            "" | "0" | "false" => {}
            "1" | "true" => run = run.held_out(),
            _ => return Err(self.unexpected(Column::HeldOut, "true, false or nothing")),
        }
        Ok(run)
    }
}
