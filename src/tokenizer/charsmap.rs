//! The table by which a SentencePiece model normalises texts.

use std::str;

use serde_json::{Value as Json, json};

/// Longest accepted replacement of a character. The longest of compatibility forms has 33 bytes.
const MAX_REPLACEMENT: usize = 64;

/// Checks a table before the library sees it, which trusts its lengths: the length of a trie, the trie,
/// and the replacements, each ended by a zero.
///
/// # Errors
/// A message about the fault.
pub(super) fn check(table: &[u8]) -> Result<(), String> {
    let (length, rest) = table
        .split_first_chunk()
        .ok_or("a table of less than four bytes")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 || !length.is_multiple_of(4) || length > rest.len() {
        let rest = rest.len();
        return Err(format!("a trie of {length} bytes in a table of {rest}"));
    }
    let replacements =
        str::from_utf8(&rest[length..]).map_err(|_| "replacements that are not UTF-8")?;
    let longest = replacements.split('\0').map(str::len).max().unwrap_or(0);
    if longest > MAX_REPLACEMENT {
        return Err(format!("a replacement of {longest} bytes"));
    }
    Ok(())
}

/// The table as a normaliser of the library.
pub(super) fn json(table: &[u8]) -> Json {
    json!({"type": "Precompiled", "precompiled_charsmap": base64::encode(table)})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_lie_about_their_lengths_are_refused() {
        let table = |length: u32, trie: &[u8], text: &str| {
            [&length.to_le_bytes()[..], trie, text.as_bytes()].concat()
        };
        assert_eq!(check(&table(4, &[0; 4], "ab\0c\0")), Ok(()));
        for (fault, bytes) in [
            ("less than four", vec![1, 2, 3]),
            ("a trie of 0", table(0, &[], "")),
            ("a trie of 3", table(3, &[0; 4], "")),
            ("a trie of 4294967292", table(u32::MAX - 3, &[0; 4], "a")),
            ("65 bytes", table(4, &[0; 4], &"a".repeat(65))),
            ("UTF-8", [&table(4, &[0; 4], "")[..], &[0xff]].concat()),
        ] {
            let message = check(&bytes).unwrap_err();
            assert!(message.contains(fault), "{message}");
        }
    }
}
