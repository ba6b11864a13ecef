//! Errors of the estimator.

use std::fmt;

/// Why an analysis, or one of the numerical routines under it, was refused.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FitError {
    /// Too few observations, budgets, sizes or clusters for what was asked.
    TooFew {
        /// What there was too little of, for example `"budgets of corpus dclm"`.
        what: String,
        /// How many there were.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A number was NaN, infinite, or outside its domain.
    Domain {
        /// What the number is.
        what: String,
        /// Its value.
        value: f64,
    },
    /// Two inputs that must have one length do not.
    Length {
        /// What disagreed.
        what: String,
        /// The length found.
        found: usize,
        /// The length needed.
        needed: usize,
    },
    /// The design matrix does not identify what was asked.
    Singular {
        /// What could not be identified.
        what: String,
    },
    /// An iteration or enumeration did not finish.
    NoConvergence {
        /// What did not converge.
        what: String,
    },
    /// A name that the ladder does not contain.
    Unknown {
        /// The kind of thing, for example `"distribution"`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The ladder cannot answer the question asked of it.
    Unsupported {
        /// Why not, in one sentence.
        reason: String,
    },
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew {
                what,
                found,
                needed,
            } => write!(f, "too few {what}: {found} found, {needed} needed"),
            Self::Domain { what, value } => write!(f, "{what} is {value}, outside its domain"),
            Self::Length {
                what,
                found,
                needed,
            } => write!(f, "{what} has length {found}, {needed} needed"),
            Self::Singular { what } => write!(f, "{what} is not identified by this design"),
            Self::NoConvergence { what } => write!(f, "{what} did not converge"),
            Self::Unknown { what, name, known } => {
                write!(f, "no {what} named {name:?} in the ladder")?;
                match known.as_slice() {
                    [] => Ok(()),
                    known => write!(f, ", which has {}", known.join(", ")),
                }
            }
            Self::Unsupported { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for FitError {}
