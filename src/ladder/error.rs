//! Reasons to refuse a ladder.

use std::fmt;

use super::nearest::nearest;
use super::run::{GREATEST_FLOPS_RATIO, LEAST_FLOPS_RATIO};

/// The reason why a ladder was refused. Every variant names the run, the distribution or the line.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LadderError {
    /// The file could not be read as a table or as JSON.
    Malformed {
        /// Name of the table.
        table: String,
        /// Line, counted from 1, where it is known.
        line: Option<u64>,
        /// The complaint.
        message: String,
    },
    /// The table lacks a column.
    MissingColumn {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: &'static str,
        /// The columns there are.
        found: Vec<String>,
    },
    /// A column whose name is nearly that of one that is read: it would be ignored in silence.
    MisspeltColumn {
        /// Name of the table.
        table: String,
        /// Name of the column.
        column: String,
        /// The name that is read.
        meant: &'static str,
    },
    /// A field that does not parse or is outside its domain.
    Field {
        /// Name of the table.
        table: String,
        /// Line, counted from 1.
        line: u64,
        /// Name of the column.
        column: &'static str,
        /// The text found.
        value: String,
        /// Description of the values that are accepted.
        expected: &'static str,
    },
    /// A row that repeats an earlier one.
    DuplicateRow {
        /// Name of the table.
        table: String,
        /// Line, counted from 1.
        line: u64,
        /// Line of the first such row.
        first: u64,
        /// The run.
        run: String,
        /// The distribution.
        distribution: String,
    },
    /// Two rows that describe one run, or the whole ladder, differently.
    Conflict {
        /// Name of the table.
        table: String,
        /// Line of the second description, counted from 1.
        line: u64,
        /// Line of the first.
        first: u64,
        /// The run.
        run: String,
        /// The column that differs.
        column: &'static str,
    },
    /// An error in a row, with its line.
    Row {
        /// Name of the table.
        table: String,
        /// Line, counted from 1.
        line: u64,
        /// The error.
        source: Box<LadderError>,
    },
    /// A run, corpus or distribution without a name.
    EmptyName {
        /// `run`, `corpus` or `distribution`.
        what: &'static str,
    },
    /// A run was added twice.
    DuplicateRun {
        /// The run.
        run: String,
    },
    /// A score for a run that was not added.
    UnknownRun {
        /// The run.
        run: String,
    },
    /// A number of a run that is not finite and positive.
    RunField {
        /// The run.
        run: String,
        /// The field.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// FLOPs that cannot be those of training this many parameters on this many tokens.
    Flops {
        /// The run.
        run: String,
        /// Its FLOPs.
        flops: f64,
        /// Its parameters.
        params: f64,
        /// Its training tokens.
        tokens: f64,
    },
    /// A loss or weight outside its domain.
    ScoreField {
        /// The run.
        run: String,
        /// The distribution.
        distribution: String,
        /// The field.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A chance level or scorer of a distribution without scores.
    UnknownDistribution {
        /// The distribution.
        distribution: String,
    },
    /// A chance level that is not finite and positive.
    Chance {
        /// The distribution.
        distribution: String,
        /// Its chance level.
        value: f64,
    },
    /// Losses of one distribution by two scorers.
    MixedScorers {
        /// The distribution.
        distribution: String,
        /// The scorer stated first, empty where rows state none.
        first: String,
        /// The other one.
        second: String,
    },
    /// The error of a run on a distribution is too large or too small to be a number.
    NotPositive {
        /// The run.
        run: String,
        /// The distribution.
        distribution: String,
        /// Its error.
        value: f64,
    },
    /// Nothing in the ladder.
    Empty {
        /// The missing kind.
        what: &'static str,
    },
    /// Reading or writing failed.
    Io {
        /// The message of the operating system.
        message: String,
    },
}

impl fmt::Display for LadderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place() {
            Some((table, Some(line))) => write!(f, "{table}, line {line}: ")?,
            Some((table, None)) => write!(f, "{table}: ")?,
            None => {}
        }
        self.complaint(f)
    }
}

impl LadderError {
    /// The line, if the error is of a line of `table`.
    pub(super) fn line_in(&self, table: &str) -> Option<u64> {
        let (named, line) = self.place()?;
        line.filter(|_| named == table)
    }

    /// The message without table and line.
    pub(super) fn without_place(&self) -> String {
        struct Complaint<'a>(&'a LadderError);
        impl fmt::Display for Complaint<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.complaint(f)
            }
        }
        Complaint(self).to_string()
    }

    /// The table, and the line where there is one.
    fn place(&self) -> Option<(&str, Option<u64>)> {
        match self {
            Self::Malformed { table, line, .. } => Some((table, *line)),
            Self::MissingColumn { table, .. } => Some((table, None)),
            Self::MisspeltColumn { table, .. } => Some((table, Some(1))),
            Self::Field { table, line, .. }
            | Self::DuplicateRow { table, line, .. }
            | Self::Conflict { table, line, .. }
            | Self::Row { table, line, .. } => Some((table, Some(*line))),
            _ => None,
        }
    }

    fn complaint(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { message, .. } | Self::Io { message } => f.write_str(message),
            Self::MissingColumn { column, found, .. } => missing_column(f, column, found),
            Self::MisspeltColumn { column, meant, .. } => write!(
                f,
                "a column {column:?} is not read; name it {meant:?} if that is meant, or something \
                 less like it"
            ),
            Self::Field {
                column,
                value,
                expected,
                ..
            } => {
                write!(f, "{column} is {value:?}, expected {expected}")
            }
            Self::DuplicateRow {
                first,
                run,
                distribution,
                ..
            } => write!(
                f,
                "repeats line {first} (run {run:?}, distribution {distribution:?})"
            ),
            Self::Conflict {
                first, run, column, ..
            } => {
                write!(f, "{column} of run {run:?} differs from line {first}")
            }
            Self::Row { source, .. } => write!(f, "{source}"),
            Self::EmptyName { what } => write!(f, "a {what} has no name"),
            Self::DuplicateRun { run } => write!(f, "run {run:?} was added twice"),
            Self::UnknownRun { run } => write!(f, "run {run:?} was scored but never added"),
            Self::RunField { run, what, value } => {
                write!(
                    f,
                    "{what} of run {run:?} is {value}, expected a positive number"
                )
            }
            Self::Flops {
                run,
                flops,
                params,
                tokens,
            } => write!(
                f,
                "run {run:?} has {flops:e} FLOPs for {params:e} parameters and {tokens:e} tokens, \
                 {:.1e} per parameter and token (training: about 6; accepted: {LEAST_FLOPS_RATIO} \
                 to {GREATEST_FLOPS_RATIO}); if the axis is not training compute, the FLOP \
                 convention is \"other\"",
                flops / params / tokens
            ),
            Self::ScoreField {
                run,
                distribution,
                what,
                value,
            } => write!(
                f,
                "{what} of run {run:?} on {distribution:?} is {value}, outside its domain"
            ),
            Self::UnknownDistribution { distribution } => write!(
                f,
                "a chance level or scorer is stated for {distribution:?}, which has no scores"
            ),
            Self::Chance {
                distribution,
                value,
            } => write!(
                f,
                "the chance level of {distribution:?} is {value}, and must be finite and above 0"
            ),
            Self::MixedScorers {
                distribution,
                first,
                second,
            } => mixed_scorers(f, distribution, first, second),
            Self::NotPositive {
                run,
                distribution,
                value,
            } => write!(
                f,
                "the error of run {run:?} on {distribution:?} is {value}, outside the range of numbers"
            ),
            Self::Empty { what } => write!(f, "the ladder has no {what}"),
        }
    }
}

fn missing_column(f: &mut fmt::Formatter<'_>, column: &str, found: &[String]) -> fmt::Result {
    write!(f, "no column named {column:?}; the first line has ")?;
    match found {
        [] => f.write_str("none"),
        // A spreadsheet of a country with decimal commas.
        [all] if all.contains([';', '\t']) => {
            write!(f, "{all:?}, which is not separated by commas")
        }
        found => f.write_str(&found.join(", ")),
    }?;
    match nearest(column, found.iter().map(String::as_str)) {
        Some(near) => write!(
            f,
            "; did you mean {near:?}? Rename it, or map it ({column}={near})"
        ),
        None => Ok(()),
    }
}

fn mixed_scorers(
    f: &mut fmt::Formatter<'_>,
    distribution: &str,
    first: &str,
    second: &str,
) -> fmt::Result {
    let named = |scorer: &str| match scorer {
        "" => "no named scorer".to_owned(),
        scorer => format!("{scorer:?}"),
    };
    let (first, second) = (named(first), named(second));
    write!(
        f,
        "losses of {distribution:?} are by {first} and by {second}; numbers of two scorers are two \
         distributions, which need two names"
    )
}

impl std::error::Error for LadderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Row { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
