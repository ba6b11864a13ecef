//! Values of options that are checked while they are parsed.

use clap::builder::RangedU64ValueParser;

/// A number of things, at least one.
pub(super) fn count() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

/// A finite number above 0.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let number = number.filter(|x| x.is_finite() && *x > 0.0);
    number.ok_or_else(|| "not a number above 0".to_owned())
}

/// A finite number that is not negative.
pub(super) fn non_negative(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let number = number.filter(|x| x.is_finite() && *x >= 0.0);
    number.ok_or_else(|| "not a number from 0 on".to_owned())
}
