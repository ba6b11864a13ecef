//! Pre-tokenizers: they cut a text into words before a model has them.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::SplitPattern;
use tokenizers::{PreTokenizedString, PreTokenizerWrapper, SplitDelimiterBehavior};

use super::search::{Budget, Expression, Matches};

/// Words of GPT-2, into which [`ByteLevel`] cuts a text unless it is told not to.
const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// A pre-tokenizer of a `tokenizer.json`.
///
/// The stages are those of the library, but for their expressions: see [`Expression`].
#[derive(Debug)]
pub(super) enum PreTokenizer {
    Sequence(Vec<PreTokenizer>),
    Split(Split),
    /// Bytes as letters, within the words if there is an expression of them.
    ByteLevel(ByteLevel, Option<Box<Expression>>),
    /// A stage without expressions.
    Plain(Box<PreTokenizerWrapper>),
}

/// Cuts a text at the matches of an expression.
#[derive(Debug)]
pub(super) struct Split {
    expression: Box<Expression>,
    behavior: SplitDelimiterBehavior,
    invert: bool,
}

impl PreTokenizer {
    fn read(stage: Value) -> Result<Self, String> {
        let message = |e: serde_json::Error| e.to_string();
        Ok(match stage["type"].as_str() {
            Some("Sequence") => {
                #[derive(Deserialize)]
                struct Sequence {
                    pretokenizers: Vec<PreTokenizer>,
                }
                let stage: Sequence = serde_json::from_value(stage).map_err(message)?;
                Self::Sequence(stage.pretokenizers)
            }
            Some("Split") if stage["pattern"]["Regex"].is_string() => {
                #[derive(Deserialize)]
                struct Fields {
                    pattern: SplitPattern,
                    behavior: SplitDelimiterBehavior,
                    invert: bool,
                }
                let stage: Fields = serde_json::from_value(stage).map_err(message)?;
                let (SplitPattern::Regex(source) | SplitPattern::String(source)) = stage.pattern;
                Self::Split(Split {
                    expression: Box::new(Expression::new(&source)?),
                    behavior: stage.behavior,
                    invert: stage.invert,
                })
            }
            Some("ByteLevel") => {
                let stage: ByteLevel = serde_json::from_value(stage).map_err(message)?;
                let words = stage
                    .use_regex
                    .then(|| Expression::new(WORDS))
                    .transpose()?;
                Self::ByteLevel(stage, words.map(Box::new))
            }
            _ => Self::Plain(Box::new(serde_json::from_value(stage).map_err(message)?)),
        })
    }

    /// If true, a stage writes every byte as a letter.
    pub(super) fn is_byte_level(&self) -> bool {
        match self {
            Self::ByteLevel(..) => true,
            Self::Sequence(stages) => stages.iter().any(Self::is_byte_level),
            Self::Split(_) | Self::Plain(_) => false,
        }
    }

    fn cut(&self, text: &mut PreTokenizedString, budget: &Budget) -> tokenizers::Result<()> {
        match self {
            Self::Sequence(stages) => stages.iter().try_for_each(|stage| stage.cut(text, budget)),
            Self::Split(split) => {
                let (expression, invert) = (&*split.expression, split.invert);
                text.split(|_, part| {
                    let matches = Matches {
                        expression,
                        budget,
                        invert,
                    };
                    part.split(matches, split.behavior)
                })
            }
            Self::ByteLevel(stage, None) => tokenizers::PreTokenizer::pre_tokenize(stage, text),
            Self::ByteLevel(stage, Some(words)) => {
                let expression = &**words;
                text.split(|_, mut part| {
                    if stage.add_prefix_space && !part.get().starts_with(' ') {
                        part.prepend(" ");
                    }
                    let matches = Matches {
                        expression,
                        budget,
                        invert: false,
                    };
                    part.split(matches, SplitDelimiterBehavior::Isolated)
                })?;
                let letters = ByteLevel::new(false, stage.trim_offsets, false);
                tokenizers::PreTokenizer::pre_tokenize(&letters, text)
            }
            Self::Plain(stage) => tokenizers::PreTokenizer::pre_tokenize(&**stage, text),
        }
    }
}

impl tokenizers::PreTokenizer for PreTokenizer {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> tokenizers::Result<()> {
        self.cut(text, &Budget::new())
    }
}

impl<'de> Deserialize<'de> for PreTokenizer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::read(Value::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use tokenizers::{OffsetReferential, OffsetType, PreTokenizer as _};

    use super::*;

    proptest! {
        #[test]
        fn words_are_those_of_the_library(stage in 0..6usize, text in r"([a'0 é\n中▁]|[0-9]{1,4}|  ){0,16}") {
            let split = |pattern: Value, behavior: &str, invert: bool| {
                json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert})
            };
            let bytes = |words: bool, space: bool| {
                json!({"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": true, "use_regex": words})
            };
            let stages = [
                bytes(true, true),
                bytes(true, false),
                bytes(false, true),
                split(json!({"Regex": r"\d{1,3}(?=(?:\d{3})*\b)"}), "Isolated", false),
                split(json!({"Regex": r"\w+|[^\w\s]+"}), "Removed", true),
                split(json!({"String": " "}), "MergedWithPrevious", false),
            ];
            let all = json!({"type": "Sequence", "pretokenizers": [stages[3], stages[stage], bytes(false, false)]});
            for stage in [&stages[stage], &all] {
                let ours: PreTokenizer = serde_json::from_value(stage.clone()).unwrap();
                let theirs: PreTokenizerWrapper = serde_json::from_value(stage.clone()).unwrap();
                let cut = |stage: &dyn Fn(&mut PreTokenizedString)| {
                    let mut cut = PreTokenizedString::from(text.as_str());
                    stage(&mut cut);
                    let parts = cut.get_splits(OffsetReferential::Original, OffsetType::Byte);
                    let parts = parts.into_iter();
                    parts.map(|(text, range, _)| (text.to_owned(), range)).collect::<Vec<_>>()
                };
                prop_assert_eq!(
                    cut(&|text| ours.pre_tokenize(text).unwrap()),
                    cut(&|text| theirs.pre_tokenize(text).unwrap())
                );
            }
        }
    }
}
