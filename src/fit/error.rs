//! Errors of the estimator.

use std::fmt;

use super::refusals::RefusedGroup;

/// The reason for which an analysis was refused.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum FitError {
    /// Too few observations, budgets, sizes or clusters for what was asked.
    TooFew {
        /// Name of the quantity, for example `"budgets of corpus dclm"`.
        what: String,
        /// Number found.
        found: usize,
        /// Number needed.
        needed: usize,
    },
    /// A number was NaN, infinite, or outside its domain.
    Domain {
        /// Name of the number.
        what: String,
        /// Value found.
        value: f64,
    },
    /// Two inputs that must have one length do not.
    Length {
        /// Name of the input.
        what: String,
        /// The length found.
        found: usize,
        /// The length needed.
        needed: usize,
    },
    /// The design matrix does not identify what was asked.
    Singular {
        /// Name of the quantity.
        what: String,
    },
    /// An iteration or enumeration did not finish.
    NoConvergence {
        /// Name of the computation.
        what: String,
    },
    /// A name that the ladder does not contain.
    Unknown {
        /// Kind of the name, for example `"distribution"`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// Names in the ladder.
        known: Vec<String>,
    },
    /// Nothing that was asked for can be analysed, for several reasons or in several comparisons.
    NothingLeft {
        /// The first reason.
        first: Box<FitError>,
        /// Every reason, with the number of refusals and a few names.
        reasons: Vec<RefusedGroup>,
    },
    /// The ladder cannot answer the question asked of it.
    Unsupported {
        /// The reason, in one sentence.
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
            Self::NothingLeft { reasons, .. } => {
                f.write_str("nothing can be analysed: ")?;
                for (k, reason) in reasons.iter().enumerate() {
                    let separator = if k == 0 { "" } else { "; " };
                    write!(f, "{separator}{reason}")?;
                }
                Ok(())
            }
            Self::Unsupported { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for FitError {}
