//! Widths of text without a font at hand.
//!
//! The viewer chooses the font. Widths are those of DejaVu Sans, which is wider than Arial, Helvetica,
//! Liberation and Noto: what has room here has room with them.

/// Advances of U+0020 to U+007E in hundredths of an em, DejaVu Sans 2.37.
#[rustfmt::skip]
const REGULAR: [u8; 95] = [
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79,
    60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35, 63,
    63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
];

/// The same of DejaVu Sans Bold.
#[rustfmt::skip]
const BOLD: [u8; 95] = [
    35, 46, 52, 84, 70, 100, 87, 31, 46, 46, 52, 84, 38, 42, 38, 37, 70, 70, 70, 70, 70, 70, 70, 70,
    70, 70, 40, 40, 84, 84, 84, 58, 100, 77, 76, 73, 83, 68, 68, 82, 84, 37, 37, 77, 64, 100, 84, 85,
    73, 85, 77, 72, 68, 81, 77, 110, 77, 72, 73, 46, 37, 46, 84, 50, 50, 67, 72, 59, 72, 68, 44, 72,
    71, 34, 34, 67, 34, 104, 71, 69, 72, 72, 49, 60, 48, 71, 65, 92, 65, 65, 58, 71, 37, 71, 84,
];

/// Width of one character in em.
fn advance(c: char, bold: bool) -> f64 {
    let table = if bold { &BOLD } else { &REGULAR };
    let heavier = if bold { 1.12 } else { 1.0 };
    match c {
        // It keeps a number and its unit on one line.
        '\u{a0}' => f64::from(table[0]) / 100.0,
        ' '..='~' => f64::from(table[c as usize - 0x20]) / 100.0,
        // Marks that stand on the letter before them, and joiners.
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200f}' | '\u{fe00}'..='\u{fe0f}' => 0.0,
        // Dot and superscripts of typeset numbers.
        '·' => 0.32 * heavier,
        '⁰'..='₎' | '²' | '³' | '¹' => 0.45 * heavier,
        // Letters of three stems, and ligatures.
        'Æ' | 'æ' | 'Œ' | 'œ' | 'Ж' | 'М' | 'Ф' | 'Ш' | 'Щ' | 'Ы' | 'Ю' | 'ж' | 'м' | 'ф' | 'ш'
        | 'щ' | 'ы' | 'ю' | 'Љ' | 'Њ' | 'љ' | 'њ' => 1.19 * heavier,
        // Other Latin, Greek and Cyrillic letters beyond ASCII: as wide as the widest capitals.
        '\u{a1}'..='\u{52f}' => 0.78 * heavier,
        // Hebrew and Arabic.
        '\u{590}'..='\u{7ff}' => 0.78 * heavier,
        // Dashes, quotes, arrows and operators.
        '\u{2010}'..='\u{22ff}' => 0.9 * heavier,
        // Thai, Indic and other alphabets, Chinese, Japanese, Korean and pictures: an em, and some of
        // them more.
        _ => 1.05 * heavier,
    }
}

/// Width of `text` at `size`.
pub(super) fn width(text: &str, size: f64, bold: bool) -> f64 {
    size * text.chars().map(|c| advance(c, bold)).sum::<f64>()
}

/// `text` cut to `room` units, the cut shown.
pub(super) fn fit(text: &str, room: f64, size: f64, bold: bool) -> String {
    if width(text, size, bold) <= room {
        return text.to_owned();
    }
    let mut left = room - size * advance('…', bold);
    let mut kept: String = text
        .chars()
        .take_while(|c| {
            left -= size * advance(*c, bold);
            left >= 0.0
        })
        .collect();
    kept.truncate(kept.trim_end().len());
    kept.push('…');
    kept
}

/// Lines of at most `room` units, broken at spaces; a longer word is cut.
pub(super) fn wrap(text: &str, room: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word = fit(word, room, size, false);
        if let Some(line) = lines.last_mut() {
            let longer = format!("{line} {word}");
            if width(&longer, size, false) <= room {
                *line = longer;
                continue;
            }
        }
        lines.push(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{fit, width, wrap};

    #[test]
    fn widths_add_up() {
        assert!((width("AVA", 10.0, false) - 20.4).abs() < 1e-9);
        assert!(width("AVA", 10.0, true) > width("AVA", 10.0, false));
        assert_eq!(width("", 10.0, false), 0.0);
    }

    #[test]
    fn long_text_is_cut_or_wrapped() {
        for text in [
            "abcdef",
            "日本語のテキスト",
            "WWWWWWWWWWWW",
            "e\u{301}e\u{301}e\u{301}e\u{301}",
        ] {
            for room in [20.0, 35.0, 60.0] {
                let cut = fit(text, room, 12.0, false);
                assert!(width(&cut, 12.0, false) <= room, "{cut}");
                assert!(cut == text || cut.ends_with('…'), "{cut}");
            }
        }
        assert_eq!(wrap("a bc def", 36.0, 12.0), ["a bc", "def"]);
        let lines = wrap("an unbreakableunbreakableunbreakable word", 100.0, 12.0);
        assert!(
            lines.iter().all(|l| width(l, 12.0, false) <= 100.0),
            "{lines:?}"
        );
    }
}
