//! Items to token paths: the start of each window, the place of a beginning-of-sequence token.

use std::borrow::Cow;

use super::{Bos, Settings};
use crate::distribution::{Content, Item};
use crate::error::Error;
use crate::model::Model;
use crate::scorer::{Length, Likelihoods, Sequence, Warning};
use crate::tokenizer::Tokenizer;

/// Input tokens of one pass from its root. Each of the last ones is scored by the token after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) item: usize,
    pub(super) sequence: usize,
    /// Place of its first answer in the sequence.
    pub(super) first: usize,
    pub(super) inputs: Vec<u32>,
    /// The token after each of the last `targets.len()` inputs.
    pub(super) targets: Vec<u32>,
}

impl Path {
    /// The places of its answers in the item. Sequences are numbered through: those after the
    /// question first, then the unconditional ones.
    pub(super) fn answers<'a>(&self, item: &'a mut Likelihoods) -> &'a mut [f64] {
        let asked = item.sequences.len();
        let sequence = match self.sequence.checked_sub(asked) {
            None => &mut item.sequences[self.sequence],
            Some(place) => &mut item.unconditional[place],
        };
        &mut sequence.log_likelihoods[self.first..][..self.targets.len()]
    }
}

/// Window rules of one evaluation.
pub(super) struct Windows {
    /// The beginning-of-sequence token, if any.
    bos: Option<u32>,
    /// If true, windows after the first begin with the token too.
    every_window: bool,
    context: usize,
    stride: usize,
    limit: usize,
    truncate: bool,
    vocab: usize,
}

/// A choice in tokens after its context.
struct Choice<'a> {
    context: Cow<'a, [u32]>,
    tokens: Cow<'a, [u32]>,
    bytes: Option<usize>,
    length: Option<Length>,
}

/// The choices of an item: after the question, and after the unconditional context if there is one.
struct Choices<'a> {
    asked: Vec<Choice<'a>>,
    unconditional: Vec<Choice<'a>>,
}

impl<'a> Choices<'a> {
    /// Tokenises choices in text. A token that spans the cut is a warning, the first time only: the
    /// unconditional context repeats it.
    fn encode(
        tokenizer: &Tokenizer,
        context: &str,
        choices: &[String],
        unconditional: Option<&str>,
        answer: &mut Likelihoods,
    ) -> Result<Self, Error> {
        let texts = std::iter::once(context).chain(choices.iter().map(String::as_str));
        warn_of_special_tokens(tokenizer, texts, answer);
        let mut encode = |context: &str, warn: bool| {
            let choices = choices.iter().map(|text| (context, text.as_str()));
            encoded(tokenizer, choices, warn, answer)
        };
        Ok(Self {
            asked: encode(context, true)?,
            unconditional: match unconditional {
                Some(context) => encode(context, false)?,
                None => Vec::new(),
            },
        })
    }

    /// Tokenises choices each of which has a context of its own.
    fn encode_pairs(
        tokenizer: &Tokenizer,
        pairs: &[(String, String)],
        answer: &mut Likelihoods,
    ) -> Result<Self, Error> {
        let texts = pairs.iter().flat_map(|(a, b)| [a.as_str(), b.as_str()]);
        warn_of_special_tokens(tokenizer, texts, answer);
        let pairs = pairs.iter().map(|(a, b)| (a.as_str(), b.as_str()));
        Ok(Self {
            asked: encoded(tokenizer, pairs, true, answer)?,
            unconditional: Vec::new(),
        })
    }

    /// Choices in token ids.
    fn borrow(
        context: &'a [u32],
        choices: &'a [Vec<u32>],
        unconditional: Option<&'a [u32]>,
    ) -> Self {
        let after = |context: &'a [u32]| {
            let choice = |tokens: &'a Vec<u32>| Choice {
                context: Cow::Borrowed(context),
                tokens: Cow::Borrowed(tokens),
                bytes: None,
                length: None,
            };
            choices.iter().map(choice).collect()
        };
        Self {
            asked: after(context),
            unconditional: unconditional.map_or_else(Vec::new, after),
        }
    }
}

/// Tokenises contexts and choices. A token that spans the cut is a warning if `warn` is true.
fn encoded<'a, 'b>(
    tokenizer: &Tokenizer,
    pairs: impl Iterator<Item = (&'b str, &'b str)>,
    warn: bool,
    answer: &mut Likelihoods,
) -> Result<Vec<Choice<'a>>, Error> {
    let mut choices = Vec::new();
    let (mut dropped, mut unknown) = (0, 0);
    for (choice, (context, text)) in pairs.enumerate() {
        let pair = tokenizer.encode_pair(context, text);
        let pair = pair.map_err(|e| Error::item(&answer.id, e))?;
        if warn && pair.spanned > 0 {
            let bytes = pair.spanned;
            answer
                .warnings
                .push(Warning::TokenSpansCut { choice, bytes });
        }
        dropped = dropped.max(pair.dropped_bytes);
        unknown = unknown.max(pair.unknown_bytes);
        choices.push(Choice {
            context: Cow::Owned(pair.context),
            tokens: Cow::Owned(pair.continuation),
            bytes: Some(pair.bytes),
            length: Some(Length::of(text)),
        });
    }
    // Once: every choice repeats the context, and the unconditional context the choices.
    if warn {
        warn_of_gaps(dropped, unknown, answer);
    }
    Ok(choices)
}

/// Adds warnings if the tokenizer dropped bytes of a text, or has unknown tokens for them.
fn warn_of_gaps(dropped: usize, unknown: usize, answer: &mut Likelihoods) {
    let all = [
        (dropped, Warning::TextDropped { bytes: dropped }),
        (unknown, Warning::TextUnknown { bytes: unknown }),
    ];
    let some = all.into_iter().filter(|(bytes, _)| *bytes > 0);
    answer.warnings.extend(some.map(|(_, warning)| warning));
}

/// Adds a warning if a special token is written in one of the texts; only the first is named.
fn warn_of_special_tokens<'a>(
    tokenizer: &Tokenizer,
    texts: impl IntoIterator<Item = &'a str>,
    answer: &mut Likelihoods,
) {
    let mut texts = texts.into_iter();
    if let Some(token) = texts.find_map(|text| tokenizer.special_token_as_text(text)) {
        answer.warnings.push(Warning::SpecialTokenAsText { token });
    }
}

impl Windows {
    pub(super) fn new(
        model: &dyn Model,
        tokenizer: Option<&Tokenizer>,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let limit = model.context_len();
        let (context, stride) = settings.window(limit)?;
        let (bos, every_window) = match settings.bos {
            Bos::ModelDefault => {
                let adds = tokenizer.filter(|tokenizer| tokenizer.adds_bos());
                (adds.and_then(Tokenizer::bos), true)
            }
            Bos::Never => (None, false),
            Bos::First(bos) => (Some(bos), false),
            Bos::EveryWindow(bos) => (Some(bos), true),
        };
        Ok(Self {
            bos,
            every_window,
            context,
            stride,
            limit,
            truncate: settings.truncate,
            vocab: model.vocab_size(),
        })
    }

    /// The places for an item's answers, and its paths, grouped by shared prefix.
    pub(super) fn prepare(
        &self,
        item: &Item,
        tokenizer: Option<&Tokenizer>,
        index: usize,
    ) -> Result<(Likelihoods, Vec<Vec<Path>>), Error> {
        // Items of a distribution of the caller's own may never have been checked, and one without
        // choices would have no answer.
        item.check()?;
        let tokenizer = || tokenizer.ok_or_else(|| Error::item(&item.id, "text needs a tokenizer"));
        let mut answer = Likelihoods {
            id: item.id.clone(),
            cluster: item.cluster.clone(),
            ..Likelihoods::default()
        };
        let groups = match &item.content {
            Content::Text(text) => self.text(text, tokenizer()?, index, &mut answer)?,
            Content::Tokens(tokens) => self.rolling(tokens, None, index, &mut answer)?,
            Content::Choices {
                context,
                choices,
                gold,
                unconditional,
            } => {
                answer.gold = Some(*gold);
                let unconditional = unconditional.as_deref();
                let choices =
                    Choices::encode(tokenizer()?, context, choices, unconditional, &mut answer)?;
                self.choices(choices, index, &mut answer)?
            }
            Content::Pairs { pairs, gold } => {
                answer.gold = Some(*gold);
                let choices = Choices::encode_pairs(tokenizer()?, pairs, &mut answer)?;
                self.choices(choices, index, &mut answer)?
            }
            Content::ChoicesTokens {
                context,
                choices,
                gold,
                unconditional,
            } => {
                answer.gold = Some(*gold);
                let choices = Choices::borrow(context, choices, unconditional.as_deref());
                self.choices(choices, index, &mut answer)?
            }
        };
        self.refuse_unknown(&groups, &item.id)?;
        Ok((answer, groups))
    }

    /// Refuses tokens that the model does not have, by the item: the model knows batches only.
    fn refuse_unknown(&self, groups: &[Vec<Path>], id: &str) -> Result<(), Error> {
        let paths = groups.iter().flatten();
        let mut tokens = paths.flat_map(|path| path.inputs.iter().chain(&path.targets));
        match tokens.find(|&&token| token as usize >= self.vocab) {
            None => Ok(()),
            Some(token) => {
                let message = format!("token {token} is outside the vocabulary of {}", self.vocab);
                Err(Error::item(id, message))
            }
        }
    }

    /// The windows of a text.
    fn text(
        &self,
        text: &str,
        tokenizer: &Tokenizer,
        index: usize,
        answer: &mut Likelihoods,
    ) -> Result<Vec<Vec<Path>>, Error> {
        let encoding = tokenizer.encode(text);
        let encoding = encoding.map_err(|e| Error::item(&answer.id, e))?;
        warn_of_special_tokens(tokenizer, [text], answer);
        // Without a token before it the first one is not scored, so its bytes do not count.
        let first = encoding.tokens.first().copied();
        let unscored = if self.bos.is_none() || self.bos == first {
            encoding.first_token_bytes
        } else {
            0
        };
        warn_of_gaps(encoding.dropped_bytes, encoding.unknown_bytes, answer);
        // A tokenizer whose normaliser lengthens the text may report an end beyond it.
        let bytes = text.len().saturating_sub(unscored);
        // What has no token has no loss, and its bytes would lower that of the others.
        let dropped = match unscored {
            0 => encoding.dropped_bytes,
            end => encoding.dropped_after(end),
        };
        let bytes = bytes.saturating_sub(dropped);
        self.rolling(&encoding.tokens, Some(bytes), index, answer)
    }

    /// The paths of all choices after the question, and of all choices without it.
    fn choices(
        &self,
        choices: Choices<'_>,
        index: usize,
        answer: &mut Likelihoods,
    ) -> Result<Vec<Vec<Path>>, Error> {
        let mut groups = Vec::new();
        let mut place = 0;
        for (choices, asked) in [(choices.asked, true), (choices.unconditional, false)] {
            let mut paths = Vec::with_capacity(choices.len());
            for (number, choice) in choices.into_iter().enumerate() {
                let (inputs, dropped) = self.inputs(&choice, &answer.id)?;
                if dropped > 0 && asked {
                    answer.warnings.push(Warning::ContextTruncated {
                        choice: number,
                        tokens: dropped,
                    });
                }
                let sequence = Sequence {
                    log_likelihoods: vec![0.0; choice.tokens.len()],
                    bytes: choice.bytes,
                    length: choice.length,
                };
                if asked {
                    answer.sequences.push(sequence);
                } else {
                    answer.unconditional.push(sequence);
                }
                paths.push(Path {
                    item: index,
                    sequence: place,
                    first: 0,
                    inputs,
                    targets: choice.tokens.into_owned(),
                });
                place += 1;
            }
            if !paths.is_empty() {
                groups.push(paths);
            }
        }
        Ok(groups)
    }

    /// Input tokens of a context and a choice, and the number of the context's tokens dropped.
    fn inputs(&self, choice: &Choice<'_>, id: &str) -> Result<(Vec<u32>, usize), Error> {
        let (context, tokens) = (&choice.context, &choice.tokens);
        let mut inputs = Vec::with_capacity(context.len() + tokens.len());
        // The token is never doubled.
        let added = self.bos.filter(|bos| context.first() != Some(bos));
        inputs.extend(added);
        inputs.extend_from_slice(context);
        if inputs.is_empty() {
            let message = "an empty context needs a beginning-of-sequence token";
            return Err(Error::item(id, message));
        }
        inputs.extend_from_slice(&tokens[..tokens.len().saturating_sub(1)]);
        let excess = inputs.len().saturating_sub(self.limit);
        if tokens.is_empty() || tokens.len() > self.limit || (excess > 0 && !self.truncate) {
            let (n, limit) = (inputs.len(), self.limit);
            let message = format!(
                "{n} tokens of context and choice exceed the context of {limit} (`truncate` drops \
                 the start of the context)"
            );
            return Err(Error::item(id, message));
        }
        inputs.drain(..excess);
        // A choice is at most as long as the limit and its last token is no input, so at least one
        // token stays before it.
        let mut dropped = excess;
        match self.bos {
            // The token takes the place of a token of the context, which makes up for the added one
            // that was drained.
            Some(bos) if self.every_window && excess > 0 => inputs[0] = bos,
            // The added token is none of the context's own.
            _ => dropped = dropped.saturating_sub(usize::from(added.is_some())),
        }
        Ok((inputs, dropped))
    }

    /// The windows of a running text in tokens, each a group of one path.
    fn rolling(
        &self,
        tokens: &[u32],
        bytes: Option<usize>,
        index: usize,
        answer: &mut Likelihoods,
    ) -> Result<Vec<Vec<Path>>, Error> {
        // The token is never doubled.
        let prefix = self.bos.filter(|bos| tokens.first() != Some(bos));
        let mut text = Vec::with_capacity(tokens.len() + 1);
        text.extend(prefix);
        text.extend_from_slice(tokens);
        if text.len() < 2 {
            let message = "one token without a beginning-of-sequence token: nothing to score";
            return Err(Error::item(&answer.id, message));
        }
        let mut paths = Vec::new();
        // The first token of all has nothing before it and is never a target.
        let mut done = 1;
        while done < text.len() {
            // The first window has no context to keep, so all of it is new.
            let fresh = if done == 1 { self.context } else { self.stride };
            let end = (done + fresh).min(text.len());
            // `end - 1`, because the last token of a window is a target and no input.
            let start = (end - 1).saturating_sub(self.context);
            let mut inputs = text[start..end - 1].to_vec();
            if let (Some(bos), true) = (self.bos, self.every_window && start > 0) {
                inputs[0] = bos;
            }
            paths.push(vec![Path {
                item: index,
                sequence: 0,
                first: done - 1,
                inputs,
                targets: text[done..end].to_vec(),
            }]);
            done = end;
        }
        answer.sequences.push(Sequence {
            log_likelihoods: vec![0.0; text.len() - 1],
            bytes,
            length: None,
        });
        Ok(paths)
    }
}
