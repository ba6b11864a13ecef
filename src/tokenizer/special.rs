//! Special tokens that are written in a text.

use tokenizers::{AddedVocabulary, NormalizerWrapper, OffsetReferential, OffsetType};

use super::library::Library;

/// Finds special tokens in texts that are encoded without regard to them.
#[derive(Debug)]
pub(super) struct SpecialTokens {
    vocabulary: AddedVocabulary,
    /// The first bytes of all special tokens: a text with none of them has no special token, and is
    /// not searched.
    first: [bool; 256],
}

impl SpecialTokens {
    /// The special tokens of a tokenizer; `None` if it has none.
    pub(super) fn of(tokenizer: &Library) -> Option<Self> {
        let mut vocabulary = tokenizer.get_added_vocabulary().clone();
        vocabulary.set_encode_special_tokens(false);
        let mut first = [false; 256];
        let special = vocabulary.get_added_tokens_decoder().values();
        for token in special.filter(|token| token.special) {
            if let Some(byte) = token.content.bytes().next() {
                first[usize::from(byte)] = true;
            }
        }
        (first.contains(&true)).then_some(Self { vocabulary, first })
    }

    /// The first special token that is written in the text.
    pub(super) fn find(&self, text: &str) -> Option<u32> {
        if !text.bytes().any(|byte| self.first[usize::from(byte)]) {
            return None;
        }
        let cut = (self.vocabulary).extract_and_normalize(None::<&NormalizerWrapper>, text);
        let splits = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let mut tokens = splits
            .iter()
            .flat_map(|(_, _, tokens)| tokens.iter().flatten());
        let special = |id: u32| {
            let token = self.vocabulary.get_added_tokens_decoder().get(&id);
            token.is_some_and(|token| token.special)
        };
        tokens.find(|token| special(token.id)).map(|token| token.id)
    }
}
