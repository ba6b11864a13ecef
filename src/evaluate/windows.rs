//! Items to token paths: where windows start, where a beginning-of-sequence token stands.

use super::{Bos, Options};
use crate::distribution::{Content, Item};
use crate::error::Error;
use crate::model::Model;
use crate::scorer::{Likelihoods, Sequence};
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

/// Window rules of one evaluation.
pub(super) struct Windows {
    bos: Bos,
    context: usize,
    stride: usize,
    limit: usize,
}

impl Windows {
    pub(super) fn new(model: &dyn Model, options: &Options) -> Result<Self, Error> {
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
        Ok(Self {
            bos: options.bos,
            context,
            stride,
            limit,
        })
    }

    /// An item's paths, grouped by what shares a prefix, and a place for its answers.
    pub(super) fn prepare(
        &self,
        item: &Item,
        tokenizer: Option<&Tokenizer>,
        index: usize,
    ) -> Result<(Likelihoods, Vec<Vec<Path>>), Error> {
        let tokenizer = || tokenizer.ok_or_else(|| Error::item(&item.id, "text needs a tokenizer"));
        let named = |e: Error| Error::item(&item.id, e);
        let mut answer = Likelihoods {
            id: item.id.clone(),
            cluster: item.cluster.clone(),
            gold: None,
            sequences: Vec::new(),
        };
        let groups = match &item.content {
            Content::Text(text) => {
                let encoding = tokenizer()?.encode(text).map_err(named)?;
                // Without a token before it the first one is not scored, nor are its bytes.
                let unscored = if self.bos == Bos::Never {
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
                ..
            } => {
                let mut paths = Vec::with_capacity(choices.len());
                for choice in choices {
                    let (context, tokens) =
                        tokenizer()?.encode_pair(context, choice).map_err(named)?;
                    let bytes = Some(choice.len());
                    paths.push(self.choice(&context, &tokens, bytes, index, &mut answer)?);
                }
                answer.gold = Some(*gold);
                vec![paths]
            }
            Content::ChoicesTokens {
                context,
                choices,
                gold,
                ..
            } => {
                let mut paths = Vec::with_capacity(choices.len());
                for choice in choices {
                    paths.push(self.choice(context, choice, None, index, &mut answer)?);
                }
                answer.gold = Some(*gold);
                vec![paths]
            }
        };
        Ok((answer, groups))
    }

    fn choice(
        &self,
        context: &[u32],
        choice: &[u32],
        bytes: Option<usize>,
        index: usize,
        answer: &mut Likelihoods,
    ) -> Result<Path, Error> {
        let mut inputs = Vec::with_capacity(context.len() + choice.len());
        match self.bos {
            // A context that starts with the token already has it.
            Bos::First(bos) | Bos::EveryWindow(bos) if context.first() != Some(&bos) => {
                inputs.push(bos);
            }
            _ => {}
        }
        inputs.extend_from_slice(context);
        if inputs.is_empty() {
            let message = "an empty context needs a beginning-of-sequence token";
            return Err(Error::item(&answer.id, message));
        }
        inputs.extend_from_slice(&choice[..choice.len().saturating_sub(1)]);
        if choice.is_empty() || inputs.len() > self.limit {
            let (n, limit) = (inputs.len(), self.limit);
            let message = format!("{n} tokens of context and choice exceed the context of {limit}");
            return Err(Error::item(&answer.id, message));
        }
        answer.sequences.push(Sequence {
            log_likelihoods: vec![0.0; choice.len()],
            bytes,
        });
        Ok(Path {
            item: index,
            sequence: answer.sequences.len() - 1,
            first: 0,
            inputs,
            targets: choice.to_vec(),
        })
    }

    fn rolling(
        &self,
        tokens: &[u32],
        bytes: Option<usize>,
        index: usize,
        answer: &mut Likelihoods,
    ) -> Result<Vec<Vec<Path>>, Error> {
        let (prefix, every) = match self.bos {
            Bos::Never => (None, false),
            Bos::First(bos) => (Some(bos), false),
            Bos::EveryWindow(bos) => (Some(bos), true),
        };
        // A text that starts with the token already has it.
        let prefix = prefix.filter(|bos| tokens.first() != Some(bos));
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
            if every && start > 0 {
                inputs[0] = text[0];
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
        });
        Ok(paths)
    }
}
