//! Places in a text where tokens end, exact where tokens split a character.
//!
//! The `tokenizers` library widens the range of every token to whole characters. Byte-level pairs and
//! byte fallback cut characters into bytes, so several tokens in a row would claim the same
//! character: the first token of `中` would count three bytes for its one, and a cut inside a
//! character would look like one at its end.

use tokenizers::NormalizerWrapper;

use super::library::Library;
use super::pre_tokenizer::PreTokenizer;

/// The byte of the text at which each token ends.
///
/// `ranges` are those of the library, and `tokens` the tokens as the vocabulary writes them. If the
/// lengths of the tokens that share characters do not add up to those characters, because a normaliser
/// rewrote them, the ranges of the library stay.
pub(super) fn ends(ranges: &[(usize, usize)], tokens: &[String], byte_level: bool) -> Vec<usize> {
    let mut ends: Vec<usize> = ranges.iter().map(|range| range.1).collect();
    let mut first = 0;
    while first < ranges.len() {
        let shared = |i: &usize| ranges[i + 1].0 < ranges[*i].1;
        let last = (first..ranges.len() - 1)
            .find(|i| !shared(i))
            .unwrap_or(ranges.len() - 1);
        if last > first {
            share(
                &mut ends[first..=last],
                ranges[first].0,
                &tokens[first..=last],
                byte_level,
            );
        }
        first = last + 1;
    }
    ends
}

/// Corrects the ends of tokens in a row that share characters, the first of which begins at `start`.
fn share(ends: &mut [usize], start: usize, tokens: &[String], byte_level: bool) {
    let mut bytes: Vec<usize> = tokens
        .iter()
        .map(|token| length(token, byte_level))
        .collect();
    let whole = ends.iter().max().map_or(0, |end| end - start);
    let total: usize = bytes.iter().sum();
    // A space that the tokenizer put before the text is none of its bytes.
    let marked = tokens.first().is_some_and(|t| t.starts_with(['Ġ', '▁']));
    if marked && total == whole + 1 {
        bytes[0] -= 1;
    } else if total != whole {
        return;
    }
    let mut end = start;
    for (place, bytes) in ends.iter_mut().zip(bytes) {
        end += bytes;
        *place = end;
    }
}

/// Number of bytes of text that a token of the vocabulary stands for.
pub(super) fn length(token: &str, byte_level: bool) -> usize {
    let hex = |code: &str| code.len() == 2 && u8::from_str_radix(code, 16).is_ok();
    let byte = token.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
    if byte.is_some_and(hex) {
        1
    } else if byte_level {
        // One letter per byte.
        token.chars().count()
    } else {
        // The mark stands for a space.
        token.len() - 2 * token.matches('▁').count()
    }
}

/// True if the tokenizer writes every byte as a letter.
pub(super) fn is_byte_level(tokenizer: &Library) -> bool {
    fn normalizer(stage: &NormalizerWrapper) -> bool {
        match stage {
            NormalizerWrapper::ByteLevel(_) => true,
            NormalizerWrapper::Sequence(stages) => stages.as_ref().iter().any(normalizer),
            _ => false,
        }
    }
    let pre_tokenizer = tokenizer.get_pre_tokenizer();
    pre_tokenizer.is_some_and(PreTokenizer::is_byte_level)
        || tokenizer.get_normalizer().is_some_and(|n| normalizer(&n.0))
}
