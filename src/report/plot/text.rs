//! Text of drawings: typeset numbers, shortened names and line breaks.

/// 10^v with a typographic exponent: `10¹⁹`, `3·10¹⁸`.
pub(super) fn power_of_ten(v: f64) -> String {
    if !v.is_finite() {
        return format!("{v}");
    }
    // Scales are exponentials of mean logarithms: 10²¹ comes as 20.999…, which must not become
    // 10.0·10²⁰.
    let mut decade = (v + 1e-6).floor();
    let mut lead = 10_f64.powf(v - decade);
    // It would be printed as 10.0.
    if lead >= 9.95 {
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
    // Half of the last digit that would be printed after it.
    if (lead - 1.0).abs() < 0.005 {
        format!("10{exponent}")
    } else if (lead - lead.round()).abs() < 0.005 {
        format!("{lead:.0}·10{exponent}")
    } else {
        format!("{lead:.1}·10{exponent}")
    }
}

/// At most `limit` characters, the cut shown.
pub(super) fn shorten(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// Lines of at most about `limit` characters, broken at spaces.
pub(super) fn wrap(text: &str, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < limit => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
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
    use super::{power_of_ten, shorten, wrap};

    #[test]
    fn powers_of_ten_read_like_print() {
        assert_eq!(power_of_ten(19.0), "10¹⁹");
        assert_eq!(power_of_ten(3e18_f64.log10()), "3·10¹⁸");
        assert_eq!(power_of_ten(2.54e-4_f64.log10()), "2.5·10⁻⁴");
        assert_eq!(power_of_ten(9.99e5_f64.log10()), "10⁶");
    }

    #[test]
    fn long_text_is_cut_or_wrapped() {
        assert_eq!(shorten("abcdef", 4), "abc…");
        assert_eq!(wrap("a bc def", 5), ["a bc", "def"]);
    }
}
