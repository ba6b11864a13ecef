//! Items to token paths: where windows start, where a beginning-of-sequence token stands.

use std::borrow::Cow;

use super::{Bos, Options};
use crate::distribution::{Content, Item};
use crate::error::Error;
use crate::model::Model;
use crate::scorer::{Length, Likelihoods, Sequence, Warning};
use crate::tokenizer::Tokenizer;

/// Input tokens from a root on, of which the last ones are scored by what follows each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) item: usize,
    pub(super) sequence: usize,
    /// Place of the first answer in its sequence.
    pub(super) first: usize,
    pub(super) inputs: Vec<u32>,
    /// What follows each of the last `targets.len()` inputs.
    pub(super) targets: Vec<u32>,
}

impl Path {
    /// The place for its answers in those of the item, whose sequences are counted through to the
    /// unconditional ones.
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
    /// Whether windows after the first have it too.
    every_window: bool,
    context: usize,
    stride: usize,
    limit: usize,
    truncate: bool,
}

/// A choice in tokens after its context.
struct Choice<'a> {
    context: Cow<'a, [u32]>,
    tokens: Cow<'a, [u32]>,
    bytes: Option<usize>,
    length: Option<Length>,
}

impl Windows {
    pub(super) fn new(
        model: &dyn Model,
        tokenizer: Option<&Tokenizer>,
        options: &Options,
    ) -> Result<Self, Error> {
        let limit = model.context_len();
        let context = options.context.unwrap_or(limit);
        let stride = options.stride.unwrap_or(context);
        let error = |option, message: String| Err(Error::Option { option, message });
        if options.max_tokens == 0 {
            return error("max_tokens", "at least 1".to_owned());
        }
        if context == 0 || context > limit {
            return error(
                "context",
                format!("{context} is not in 1..={limit}, the model's"),
            );
        }
        if stride == 0 || stride > context {
            return error(
                "stride",
                format!("{stride} is not in 1..={context}, the context"),
            );
        }
        let (bos, every_window) = match options.bos {
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
            truncate: options.truncate,
        })
    }

    /// An item's paths, grouped by what shares a prefix, and a place for its answers.
    pub(super) fn prepare<'a>(
        &self,
        item: &'a Item,
        tokenizer: Option<&Tokenizer>,
        index: usize,
    ) -> Result<(Likelihoods, Vec<Vec<Path>>), Error> {
        let tokenizer = || tokenizer.ok_or_else(|| Error::item(&item.id, "text needs a tokenizer"));
        let named = |e: Error| Error::item(&item.id, e);
        let mut answer = Likelihoods {
            id: item.id.clone(),
            cluster: item.cluster.clone(),
            ..Likelihoods::default()
        };
        let groups = match &item.content {
            Content::Text(text) => {
                let encoding = tokenizer()?.encode(text).map_err(named)?;
                // Without a token before it the first one is not scored, nor are its bytes.
                let first = encoding.tokens.first().copied();
                let unscored = if self.bos.is_none() || self.bos == first {
                    encoding.first_token_bytes
                } else {
                    0
                };
                let bytes = Some(text.len() - unscored.min(text.len()));
                self.rolling(&encoding.tokens, bytes, index, &mut answer)?
            }
            Content::Tokens(tokens) => self.rolling(tokens, None, index, &mut answer)?,
            Content::Choices {
                context,
                choices,
                gold,
                unconditional,
            } => {
                answer.gold = Some(*gold);
                let tokenizer = tokenizer()?;
                let mut encode = |context: &str, warn: bool| {
                    let mut asked = Vec::with_capacity(choices.len());
                    for (choice, text) in choices.iter().enumerate() {
                        let pair = tokenizer.encode_pair(context, text).map_err(named)?;
                        if warn && pair.spanned > 0 {
                            let bytes = pair.spanned;
                            let warning = Warning::TokenSpansCut { choice, bytes };
                            answer.warnings.push(warning);
                        }
                        asked.push(Choice {
                            context: Cow::Owned(pair.context),
                            tokens: Cow::Owned(pair.continuation),
                            bytes: Some(pair.bytes),
                            length: Some(Length::of(text)),
                        });
                    }
                    Ok(asked)
                };
                let asked = encode(context, true)?;
                let unconditional = match unconditional {
                    Some(context) => encode(context, false)?,
                    None => Vec::new(),
                };
                self.choices(asked, unconditional, index, &mut answer)?
            }
            Content::ChoicesTokens {
                context,
                choices,
                gold,
                unconditional,
            } => {
                answer.gold = Some(*gold);
                let after = |context: &'a [u32]| {
                    let choice = |tokens: &'a Vec<u32>| Choice {
                        context: Cow::Borrowed(context),
                        tokens: Cow::Borrowed(tokens),
                        bytes: None,
                        length: None,
                    };
                    choices.iter().map(choice).collect()
                };
                let unconditional = unconditional.as_deref().map_or_else(Vec::new, after);
                self.choices(after(context), unconditional, index, &mut answer)?
            }
        };
        Ok((answer, groups))
    }

    /// The paths of every choice, and those of every choice without the question.
    fn choices(
        &self,
        asked: Vec<Choice<'_>>,
        unconditional: Vec<Choice<'_>>,
        index: usize,
        answer: &mut Likelihoods,
    ) -> Result<Vec<Vec<Path>>, Error> {
        let mut groups = Vec::new();
        let mut place = 0;
        for (choices, asked) in [(asked, true), (unconditional, false)] {
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

    /// Input tokens of a context and a choice, and how many of the context's were dropped.
    fn inputs(&self, choice: &Choice<'_>, id: &str) -> Result<(Vec<u32>, usize), Error> {
        let (context, tokens) = (&choice.context, &choice.tokens);
        let mut inputs = Vec::with_capacity(context.len() + tokens.len());
        // A context that starts with the token already has it.
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
        // At least one token stands before the choice's own.
        let mut dropped = excess;
        match self.bos {
            Some(bos) if self.every_window && excess > 0 => inputs[0] = bos,
            // What was put before the context is not one of its own tokens.
            _ => dropped = dropped.saturating_sub(usize::from(added.is_some())),
        }
        Ok((inputs, dropped))
    }

    fn rolling(
        &self,
        tokens: &[u32],
        bytes: Option<usize>,
        index: usize,
        answer: &mut Likelihoods,
    ) -> Result<Vec<Vec<Path>>, Error> {
        // A text that starts with the token already has it.
        let prefix = self.bos.filter(|bos| tokens.first() != Some(bos));
        let mut text = Vec::with_capacity(tokens.len() + 1);
        text.extend(prefix);
        text.extend_from_slice(tokens);
        if text.len() < 2 {
            let message = "one token without a beginning-of-sequence token: nothing to score";
            return Err(Error::item(&answer.id, message));
        }
        let mut paths = Vec::new();
        let mut done = 1;
        while done < text.len() {
            let fresh = if done == 1 { self.context } else { self.stride };
            let end = (done + fresh).min(text.len());
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
        let log_likelihoods = vec![0.0; text.len() - 1];
        answer.sequences.push(Sequence {
            log_likelihoods,
            bytes,
            length: None,
        });
        Ok(paths)
    }
}
