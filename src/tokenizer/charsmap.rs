//! The table by which a SentencePiece model normalises texts: a trie of byte strings, and what each
//! becomes.

use std::collections::VecDeque;
use std::str;

use serde_json::{Value as Json, json};

/// Longest accepted replacement of a character. The longest of compatibility forms has 33 bytes.
const MAX_REPLACEMENT: usize = 64;
/// Largest accepted trie. Those of SentencePiece's own rules have a quarter of a megabyte, and the check
/// visits every unit 255 times.
const MAX_TRIE_BYTES: usize = 4 << 20;

/// A checked table.
#[derive(Debug)]
pub(super) struct Charsmap {
    /// Units of a double array (Darts-clone).
    trie: Vec<u32>,
    /// Replacements, each ended by a zero.
    replacements: String,
    /// Tokens whose text stays as it is, longest first.
    kept: Vec<String>,
    /// Upper bound on the factor by which the table lengthens a text.
    lengthening: f64,
}

/// A text after its normalisation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Normalised {
    pub(super) text: String,
    /// For each byte of `text`, the byte of the original at which what it stands for ends.
    ends: Vec<usize>,
}

impl Normalised {
    /// The byte of the original text at which the first `end` bytes of the normalised one end.
    pub(super) fn end(&self, end: usize) -> usize {
        let last = end.checked_sub(1);
        last.and_then(|last| self.ends.get(last)).map_or(0, |e| *e)
    }
}

/// The parts of a unit, as Darts-clone packs them.
fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xff)
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) as usize) << ((unit & 1 << 9) >> 6)
}

fn has_leaf(unit: u32) -> bool {
    unit >> 8 & 1 == 1
}

fn value(unit: u32) -> usize {
    (unit & !(1 << 31)) as usize
}

impl Charsmap {
    /// Reads a table: the length of a trie, the trie, and the replacements.
    ///
    /// The library trusts every offset, so all that can be reached are checked.
    ///
    /// # Errors
    /// A message about the fault.
    pub(super) fn read(table: &[u8]) -> Result<Self, String> {
        let (length, rest) = table
            .split_first_chunk()
            .ok_or("a table of less than four bytes")?;
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 || !length.is_multiple_of(4) || length > rest.len() {
            let rest = rest.len();
            return Err(format!("a trie of {length} bytes in a table of {rest}"));
        }
        if length > MAX_TRIE_BYTES {
            return Err(format!("a trie of {length} bytes, above {MAX_TRIE_BYTES}"));
        }
        let replacements =
            str::from_utf8(&rest[length..]).map_err(|_| "replacements that are not UTF-8")?;
        let longest = replacements.split('\0').map(str::len).max().unwrap_or(0);
        if longest > MAX_REPLACEMENT {
            return Err(format!("a replacement of {longest} bytes"));
        }
        let units = rest[..length].chunks_exact(4);
        let units = units.map(|unit| u32::from_le_bytes(unit.try_into().unwrap_or_default()));
        let mut map = Self {
            trie: units.collect(),
            replacements: replacements.to_owned(),
            kept: Vec::new(),
            lengthening: 1.0,
        };
        map.lengthening = map.check()?;
        Ok(map)
    }

    /// Leaves the texts of these tokens as they are.
    pub(super) fn keeping(mut self, tokens: impl Iterator<Item = String>) -> Self {
        self.kept = tokens.filter(|token| !token.is_empty()).collect();
        self.kept.sort_by_key(|token| usize::MAX - token.len());
        self
    }

    /// Upper bound on the factor by which the table lengthens a text.
    pub(super) fn lengthening(&self) -> f64 {
        self.lengthening
    }

    /// Walks the trie, shortest strings first, and returns the factor of [`lengthening`](Self::lengthening).
    fn check(&self) -> Result<f64, String> {
        let outside = || "a trie that leads out of itself".to_owned();
        let unit = |at: usize| self.trie.get(at).copied().ok_or_else(outside);
        let mut factor = 1.0f64;
        let mut seen = vec![false; self.trie.len()];
        let root = offset(unit(0)?);
        let mut queue = VecDeque::from([(root, 0u32)]);
        while let Some((node, depth)) = queue.pop_front() {
            // A library looks where every byte leads before it compares the byte.
            unit(node | 0xff)?;
            if std::mem::replace(&mut seen[node], true) {
                continue;
            }
            for byte in 1..=255u32 {
                let at = node ^ byte as usize;
                let next = unit(at)?;
                if label(next) != byte {
                    continue;
                }
                let child = at ^ offset(next);
                if has_leaf(next) {
                    let replacement = self.replacement(value(unit(child)?));
                    let replacement =
                        replacement.ok_or("a trie that leads out of the replacements")?;
                    factor = factor.max(replacement.len() as f64 / f64::from(depth + 1));
                }
                queue.push_back((child, depth + 1));
            }
        }
        Ok(factor)
    }

    /// The replacement that begins at a byte.
    fn replacement(&self, at: usize) -> Option<&str> {
        self.replacements.get(at..)?.split('\0').next()
    }

    /// The longest string of the table that `text` begins with: its length, and what it becomes.
    fn longest(&self, text: &[u8]) -> Option<(usize, &str)> {
        let mut node = offset(*self.trie.first()?);
        let mut found = None;
        for (place, &byte) in text.iter().enumerate() {
            let at = node ^ usize::from(byte);
            let unit = *self.trie.get(at)?;
            // A leaf stands in the place of a zero.
            if byte == 0 || label(unit) != u32::from(byte) {
                break;
            }
            node = at ^ offset(unit);
            if has_leaf(unit) {
                found = Some((place + 1, value(*self.trie.get(node)?)));
            }
        }
        let (length, at) = found?;
        Some((length, self.replacement(at)?))
    }

    /// Normalises a text as the library of SentencePiece does: at each place the longest string of the
    /// table is replaced, and a letter that begins none stays.
    pub(super) fn normalise(&self, text: &str) -> Normalised {
        let mut normal = String::with_capacity(text.len());
        let mut ends = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(letter) = text[at..].chars().next() {
            let rest = &text[at..];
            let kept = self.kept.iter().find(|token| rest.starts_with(&***token));
            let found = match kept {
                Some(_) => None,
                // Strings of the table are whole letters; one of a hostile table may not be.
                None => (self.longest(rest.as_bytes()))
                    .filter(|(length, _)| rest.is_char_boundary(*length)),
            };
            match found {
                Some((length, replacement)) => {
                    at += length;
                    normal.push_str(replacement);
                    ends.resize(normal.len(), at);
                }
                None => {
                    let length = kept.map_or(letter.len_utf8(), String::len);
                    normal.push_str(&rest[..length]);
                    ends.extend(at + 1..=at + length);
                    at += length;
                }
            }
        }
        Normalised { text: normal, ends }
    }
}

/// The table as a normaliser of the `tokenizers` library, which replaces by whole graphemes.
pub(super) fn json(table: &[u8]) -> Json {
    json!({"type": "Precompiled", "precompiled_charsmap": base64::encode(table)})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of one-byte and longer strings; each byte of a string has a block of 256 units.
    fn table(rules: &[(&str, &str)]) -> Vec<u8> {
        let mut trie = vec![0u32; 256];
        let mut replacements = String::new();
        // The root leads to the first block, and every node to one of its own.
        trie[0] = 256 << 10;
        trie.resize(512, 0);
        let mut blocks: Vec<(Vec<u8>, usize)> = vec![(Vec::new(), 1)];
        for (from, to) in rules {
            let at = replacements.len() as u32;
            replacements.push_str(to);
            replacements.push('\0');
            for end in 1..=from.len() {
                let (before, path) = (&from.as_bytes()[..end - 1], &from.as_bytes()[..end]);
                let find = |path: &[u8], blocks: &[(Vec<u8>, usize)]| {
                    blocks.iter().find(|b| b.0 == path).map(|b| b.1)
                };
                let parent = find(before, &blocks).unwrap();
                let place = parent * 256 + usize::from(path[end - 1]);
                if find(path, &blocks).is_none() {
                    let block = trie.len() / 256;
                    blocks.push((path.to_vec(), block));
                    trie.resize(trie.len() + 256, 0);
                    // The place of the child is found by exclusive or with the parent's.
                    trie[place] = u32::from(path[end - 1]) | (((block * 256) ^ place) as u32) << 10;
                }
                if end == from.len() {
                    let block = find(path, &blocks).unwrap();
                    trie[place] |= 1 << 8;
                    trie[block * 256] = at | 1 << 31;
                }
            }
        }
        let length = (trie.len() * 4) as u32;
        let units = trie.iter().flat_map(|unit| unit.to_le_bytes());
        [
            &length.to_le_bytes()[..],
            &units.collect::<Vec<u8>>(),
            replacements.as_bytes(),
        ]
        .concat()
    }

    #[test]
    fn the_longest_string_is_replaced_and_its_place_kept() {
        let rules = [
            ("e", "E"),
            ("e\u{301}", "é"),
            ("½", "1⁄2"),
            ("\u{200b}", ""),
        ];
        let map = Charsmap::read(&table(&rules)).unwrap();
        assert_eq!(map.lengthening(), 2.5);
        let normal = map.normalise("xe\u{301}e½\u{200b}y");
        assert_eq!(normal.text, "xéE1⁄2y");
        let ends: Vec<usize> = (0..=normal.text.len()).map(|end| normal.end(end)).collect();
        // x; é of e and its mark; E; the five bytes of ½; what became nothing goes with y.
        assert_eq!(ends, [0, 1, 4, 4, 5, 7, 7, 7, 7, 7, 11]);
        // The library of the same table takes the shortest string and drops the rest of a grapheme.
        let map = map.keeping(["e½".to_owned(), "e".to_owned()].into_iter());
        assert_eq!(map.normalise("e½e\u{301}").text, "e½e\u{301}");
        for text in ["", "\0", "a\0e"] {
            assert_eq!(map.normalise(text).text, text);
        }
    }

    #[test]
    fn tables_that_lead_out_of_themselves_are_refused() {
        let good = table(&[("e", "E"), ("½", "1⁄2")]);
        let units = u32::from_le_bytes(good[..4].try_into().unwrap()) as usize / 4;
        let changed = |at: usize, unit: u32| {
            let mut bytes = good.clone();
            bytes[4 + 4 * at..][..4].copy_from_slice(&unit.to_le_bytes());
            Charsmap::read(&bytes)
        };
        let far = (units as u32) << 10;
        assert!(changed(0, far).unwrap_err().contains("out of itself"));
        let place = 256 + usize::from(b'e');
        let unit = u32::from(b'e') | 1 << 8;
        let lost = changed(place, unit | far << 1).unwrap_err();
        assert!(lost.contains("out of itself"), "{lost}");
        // The leaf of `e` is the first unit of its block, the third.
        let lost = changed(512, 1 << 31 | 9999).unwrap_err();
        assert!(lost.contains("out of the replacements"), "{lost}");
        // A node that is its own child ends.
        let own = changed(place, unit ^ (place as u32 ^ 256) << 10).unwrap();
        assert!(own.normalise("eee").text.len() < 10);
    }

    #[test]
    fn tables_that_lie_about_their_lengths_are_refused() {
        let table = |length: u32, trie: &[u8], text: &str| {
            [&length.to_le_bytes()[..], trie, text.as_bytes()].concat()
        };
        let check = |bytes: &[u8]| Charsmap::read(bytes).map(|map| map.lengthening());
        assert_eq!(check(&table(1024, &[0; 1024], "ab\0c\0")), Ok(1.0));
        for (fault, bytes) in [
            ("less than four", vec![1, 2, 3]),
            ("a trie of 0", table(0, &[], "")),
            ("a trie of 3", table(3, &[0; 4], "")),
            ("a trie of 4294967292", table(u32::MAX - 3, &[0; 4], "a")),
            ("65 bytes", table(4, &[0; 4], &"a".repeat(65))),
            ("out of itself", table(4, &[0; 4], "")),
            ("above 4194304", table(8 << 20, &vec![0; 8 << 20], "")),
            ("UTF-8", [&table(4, &[0; 4], "")[..], &[0xff]].concat()),
        ] {
            let message = check(&bytes).unwrap_err();
            assert!(message.contains(fault), "{message}");
        }
    }
}
