//! The parts of a text that no token stands for.

#[cfg(feature = "tokenizers")]
use super::ends;

/// A part of a text without tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) start: usize,
    /// Number of its bytes, white space aside.
    pub(super) bytes: usize,
}

pub(super) fn dropped_after(gaps: &[Gap], start: usize) -> usize {
    let after = gaps.iter().filter(|gap| gap.start >= start);
    after.map(|gap| gap.bytes).sum()
}

/// The parts of `text` between the ranges of its tokens.
#[cfg(feature = "tokenizers")]
pub(super) fn gaps(text: &str, ranges: &[(usize, usize)]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut covered = 0;
    for &(start, end) in ranges.iter().chain([&(text.len(), text.len())]) {
        if covered < start && start <= text.len() {
            // White space may be folded or cut off, and stands in the token beside it.
            let bytes = match text.get(covered..start) {
                Some(gap) => {
                    let letters = gap.chars().filter(|c| !c.is_whitespace());
                    letters.map(char::len_utf8).sum()
                }
                // The library counts on where it left letters out, and may end inside one.
                None => {
                    let gap = text.as_bytes()[covered..start].iter();
                    gap.filter(|byte| !byte.is_ascii_whitespace()).count()
                }
            };
            if bytes > 0 {
                gaps.push(Gap {
                    start: covered,
                    bytes,
                });
            }
        }
        covered = covered.max(end);
    }
    gaps
}

/// Takes from the `gaps` what exceeds the bytes that a byte-level tokenizer can have lost.
///
/// The library places the tokens behind lost bytes too early, so that too much of the text seems to have
/// none.
#[cfg(feature = "tokenizers")]
pub(super) fn cap(gaps: &mut [Gap], text: &str, tokens: &[String]) {
    let kept: usize = tokens.iter().map(|token| ends::length(token, true)).sum();
    let mut left = text.len().saturating_sub(kept);
    for gap in gaps {
        gap.bytes = gap.bytes.min(left);
        left -= gap.bytes;
    }
}
