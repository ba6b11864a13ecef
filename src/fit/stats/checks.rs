//! Refusals that every routine shares: lengths, counts and domains of its arguments.

use crate::fit::error::FitError;

/// Refuses the first number of `values` that is NaN or infinite.
pub(crate) fn check_finite(what: &str, values: &[f64]) -> Result<(), FitError> {
    check_each(what, values, f64::is_finite)
}

/// Refuses the first number of `values` that is not positive and finite.
pub(crate) fn check_positive(what: &str, values: &[f64]) -> Result<(), FitError> {
    check_finite(what, values)?;
    check_each(what, values, |v| v > 0.0)
}

/// Refuses `found` unless it equals `needed`.
pub(crate) fn check_length(what: &str, found: usize, needed: usize) -> Result<(), FitError> {
    if found == needed {
        return Ok(());
    }
    Err(FitError::Length {
        what: what.to_owned(),
        found,
        needed,
    })
}

/// Refuses `found` unless it is at least `needed`.
pub(crate) fn check_count(what: &str, found: usize, needed: usize) -> Result<(), FitError> {
    if found >= needed {
        return Ok(());
    }
    Err(FitError::TooFew {
        what: what.to_owned(),
        found,
        needed,
    })
}

/// Refuses a `value` that is not in (0, 1).
pub(crate) fn check_probability(what: &str, value: f64) -> Result<(), FitError> {
    check_domain(what, value, value > 0.0 && value < 1.0)
}

/// Refuses `value` unless `inside` says that it is in its domain.
pub(crate) fn check_domain(what: &str, value: f64, inside: bool) -> Result<(), FitError> {
    if inside {
        return Ok(());
    }
    Err(FitError::Domain {
        what: what.to_owned(),
        value,
    })
}

/// Refuses the first number of `values` that is not in its domain.
pub(crate) fn check_each(
    what: &str,
    values: &[f64],
    inside: impl Fn(f64) -> bool,
) -> Result<(), FitError> {
    match values.iter().position(|v| !inside(*v)) {
        Some(index) => Err(FitError::Domain {
            what: format!("{what}[{index}]"),
            value: values[index],
        }),
        None => Ok(()),
    }
}
