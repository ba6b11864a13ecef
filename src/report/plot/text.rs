//! Typeset numbers.

use crate::report::format;

/// An exponent with sign and five decimals.
pub(super) fn signed(v: f64) -> String {
    minus(format::signed(v))
}

/// An interval of exponents.
pub(super) fn interval_of(lower: f64, upper: f64) -> String {
    minus(format::interval_of(lower, upper))
}

/// A number with the sign for minus in place of the hyphen.
pub(super) fn minus(number: String) -> String {
    number.replace('-', "−")
}

/// 10^v with a typographic exponent: `10¹⁹`, `3·10¹⁸`.
pub(super) fn power_of_ten(v: f64) -> String {
    scientific(v, None)
}

/// 10^v as [`power_of_ten`]; with `digits`, its lead has that many decimals.
pub(super) fn scientific(v: f64, digits: Option<usize>) -> String {
    if !v.is_finite() {
        return minus(format!("{v}"));
    }
    // Scales are exponentials of mean logarithms: 10²¹ comes as 20.999…, which must not become
    // 10.0·10²⁰.
    let mut decade = (v + 1e-6).floor();
    let mut lead = 10_f64.powf(v - decade);
    // It would be printed as 10.0.
    if digits.is_none() && lead >= 9.95 {
        (lead, decade) = (1.0, decade + 1.0);
    }
    let exponent: String = format!("{decade}")
        .chars()
        .map(|c| match c {
            '0' => '⁰',
            '1' => '¹',
            '2' => '²',
            '3' => '³',
            '4' => '⁴',
            '5' => '⁵',
            '6' => '⁶',
            '7' => '⁷',
            '8' => '⁸',
            '9' => '⁹',
            _ => '⁻',
        })
        .collect();
    if let Some(digits) = digits {
        return format!("{lead:.digits$}·10{exponent}");
    }
    // Half of the last digit that would be printed after it.
    if (lead - 1.0).abs() < 0.005 {
        format!("10{exponent}")
    } else if (lead - lead.round()).abs() < 0.005 {
        format!("{lead:.0}·10{exponent}")
    } else {
        format!("{lead:.1}·10{exponent}")
    }
}

/// Decimals that tell neighbouring ticks apart.
pub(super) fn digits_for(ticks: &[f64]) -> usize {
    let step = ticks
        .windows(2)
        .map(|w| (w[1] - w[0]).abs())
        .fold(f64::INFINITY, f64::min);
    if step.is_finite() && step > 0.0 {
        // A difference of ticks 0.1 apart may be 0.0999…, whose logarithm asks for two decimals.
        (-(step * 1.000_001).log10().floor()).clamp(0.0, 9.0) as usize
    } else {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::{power_of_ten, scientific, signed};

    #[test]
    fn powers_of_ten_read_like_print() {
        assert_eq!(power_of_ten(19.0), "10¹⁹");
        assert_eq!(power_of_ten(3e18_f64.log10()), "3·10¹⁸");
        assert_eq!(power_of_ten(2.54e-4_f64.log10()), "2.5·10⁻⁴");
        assert_eq!(power_of_ten(9.99e5_f64.log10()), "10⁶");
        assert_eq!(scientific(1.05e18_f64.log10(), Some(2)), "1.05·10¹⁸");
    }

    #[test]
    fn exponents_have_the_sign_of_print() {
        assert_eq!(signed(-0.01), "−0.01000");
    }
}
