//! The letters that byte-level tokenizers write for bytes.

/// The letter of a byte: itself where it is printable in Latin-1, one from U+0100 on otherwise. It is
/// the table of GPT-2.
pub(super) fn letter(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&b| !printable(b)).count();
    // At most 68 bytes are not printable.
    char::from_u32(0x100 + before as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// True for a byte that UTF-8 never has.
fn never(byte: u8) -> bool {
    matches!(byte, 0xc0 | 0xc1 | 0xf5..=0xff)
}

/// The bytes of UTF-8 without a token, in words; `None` if every one has a token. `has` is true for a
/// token of the vocabulary.
pub(super) fn missing(has: impl Fn(&str) -> bool) -> Option<String> {
    missing_among(|byte| has(letter(byte).encode_utf8(&mut [0; 4])))
}

/// As [`missing`], of a vocabulary that writes the bytes in another way.
pub(super) fn missing_among(has: impl Fn(u8) -> bool) -> Option<String> {
    let bytes: Vec<u8> = (0..=u8::MAX).filter(|&b| !never(b) && !has(b)).collect();
    let (first, rest) = bytes.split_first()?;
    Some(match rest.len() {
        0 => format!("the byte {first:#04x}"),
        more => format!("the byte {first:#04x} and {more} others"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_the_library() {
        let mut letters: Vec<char> = (0..=u8::MAX).map(letter).collect();
        assert_eq!((letter(b' '), letter(b'\n'), letter(0xad)), ('Ġ', 'Ċ', 'Ń'));
        let library = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        letters.sort_unstable();
        let mut wanted: Vec<char> = library.into_iter().collect();
        wanted.sort_unstable();
        assert_eq!(letters, wanted);
    }

    #[test]
    fn missing_bytes_are_counted() {
        assert_eq!(missing(|_| true), None);
        let all = missing(|token| token != "Ġ").unwrap();
        assert_eq!(all, "the byte 0x20");
        assert!(missing(|_| false).unwrap().ends_with("and 242 others"));
    }
}
