//! The error of a study cut into units.

use std::fmt;

use relscale::Error;

/// Failure of one unit, or of a study as a whole.
///
/// Exhaustive: there is no third case.
#[derive(Debug)]
pub enum UnitError {
    /// A unit could not be scored, or its log is not the planned one.
    Unit {
        /// Name of the unit.
        unit: String,
        /// Reason.
        source: Error,
    },
    /// The plan or the table failed as a whole.
    Study(Error),
}

impl From<Error> for UnitError {
    fn from(error: Error) -> Self {
        Self::Study(error)
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit { unit, source } => write!(f, "unit `{unit}`: {source}"),
            Self::Study(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for UnitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unit { source, .. } => Some(source),
            Self::Study(error) => error.source(),
        }
    }
}
