//! Line ends of any system as `\n`, so that a parser counts lines as editors do.

/// Drops the carriage return of each `\r\n`: a CSV parser takes the `\n` after it for the beginning
/// of the next record, and names the line before.
pub(super) fn unix_newlines(text: &mut Vec<u8>) {
    // Several times as fast as to look for its place.
    if !text.contains(&b'\r') {
        return;
    }
    let mut kept = 0;
    for at in 0..text.len() {
        if text[at] == b'\r' && text.get(at + 1) == Some(&b'\n') {
            continue;
        }
        text[kept] = text[at];
        kept += 1;
    }
    text.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_are_replaced() {
        for (text, expected) in [
            (&b"a\r\n\rb\r\r\nc\r"[..], &b"a\n\rb\r\nc\r"[..]),
            (b"a\nb", b"a\nb"),
            (b"\r\n\r\n", b"\n\n"),
            (b"", b""),
        ] {
            let mut text = text.to_vec();
            unix_newlines(&mut text);
            assert_eq!(text, expected);
        }
    }
}
