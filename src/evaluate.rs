//! Scores a distribution with a model: items to token paths, paths to batches, answers to items.

mod forest;
mod windows;

use crate::distribution::Distribution;
use crate::error::Error;
use crate::model::Model;
use crate::scorer::{ItemScore, Likelihoods, Scorer};
use crate::tokenizer::Tokenizer;
use forest::{Group, forest, pack, split};
use windows::{Path, Windows};

/// How items are cut into sequences and packed into batches.
///
/// None of it but `bos`, `context` and `stride` changes a result; a backend that is reproducible
/// gives the same bits for every `max_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most tokens computed at once. A single sequence that is longer is computed alone.
    pub max_tokens: usize,
    /// Whether and where a beginning-of-sequence token is put.
    pub bos: Bos,
    /// Input tokens of a window of running text; the model's context if `None`. A shorter context
    /// than the model's makes models of different contexts comparable.
    pub context: Option<usize>,
    /// Tokens newly scored in every window of a running text after the first; the whole window if
    /// `None`. With less, every token has at least `context − stride` tokens before it.
    pub stride: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_tokens: 8192,
            bos: Bos::Never,
            context: None,
            stride: None,
        }
    }
}

/// Where a beginning-of-sequence token is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bos {
    /// Nowhere: the first token of a text is not scored.
    Never,
    /// Before the first token of a text or context.
    First(u32),
    /// Before every window of a text, and before every context.
    EveryWindow(u32),
}

/// How far an evaluation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Input tokens done, shared prefixes counted once an item.
    pub tokens: usize,
    /// Input tokens in all.
    pub total: usize,
}

/// The log-likelihoods of every item of a distribution, in its order.
///
/// Paths are packed longest first into batches of at most `options.max_tokens` tokens; a prefix
/// shared by paths of a batch is computed once. `progress` is called after every batch.
///
/// # Errors
/// An item that needs a tokenizer where none is given, that holds no scorable token, or whose
/// context and choice exceed the model's context: by id. Whatever the model returns.
pub fn log_likelihoods(
    model: &dyn Model,
    tokenizer: Option<&Tokenizer>,
    distribution: &dyn Distribution,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Likelihoods>, Error> {
    let windows = Windows::new(model, options)?;
    let mut answers = Vec::with_capacity(distribution.len());
    let mut groups = Vec::new();
    for index in 0..distribution.len() {
        let item = distribution.item(index)?;
        let (answer, paths) = windows.prepare(&item, tokenizer, index)?;
        answers.push(answer);
        groups.extend(paths.into_iter().map(Group::new));
    }
    let groups = split(groups, options.max_tokens);
    let total = groups.iter().map(|g| g.cost).sum();
    let mut tokens = 0;
    for batch in pack(&groups, options.max_tokens) {
        let paths: Vec<&Path> = batch.iter().flat_map(|g| &g.paths).collect();
        let (batch_tokens, order) = forest(&paths)?;
        let values = model.log_likelihoods(&batch_tokens)?;
        if values.len() != batch_tokens.targets().len() {
            return Err(Error::batch(format!(
                "the model answered {} of {} targets",
                values.len(),
                batch_tokens.targets().len()
            )));
        }
        let mut values = values.into_iter();
        for &path in &order {
            let path = paths[path];
            let sequence = &mut answers[path.item].sequences[path.sequence].log_likelihoods;
            for (slot, value) in sequence[path.first..][..path.targets.len()]
                .iter_mut()
                .zip(&mut values)
            {
                if !value.is_finite() {
                    let id = &answers[path.item].id;
                    return Err(Error::item(id, format!("the model's answer is {value}")));
                }
                *slot = value;
            }
        }
        tokens += batch.iter().map(|g| g.cost).sum::<usize>();
        progress(Progress { tokens, total });
    }
    Ok(answers)
}

/// The scores of every item of a distribution, in its order.
///
/// # Errors
/// As [`log_likelihoods`], and whatever the scorer refuses.
pub fn evaluate(
    model: &dyn Model,
    tokenizer: Option<&Tokenizer>,
    distribution: &dyn Distribution,
    scorer: &dyn Scorer,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<ItemScore>, Error> {
    log_likelihoods(model, tokenizer, distribution, options, progress)?
        .into_iter()
        .map(|item| {
            let score = scorer.score(&item)?;
            Ok(ItemScore {
                id: item.id,
                cluster: item.cluster,
                score,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::{Content, Item, Items};
    use crate::model::Batch;
    use crate::scorer::{BitsPerByte, NatsPerToken};

    /// Answers with a hash of the whole path and the token, so that any slip in packing, sharing
    /// or reordering changes an answer; counts the tokens it computed.
    struct Hash {
        context: usize,
        computed: std::sync::atomic::AtomicUsize,
        largest: std::sync::atomic::AtomicUsize,
    }

    impl Hash {
        fn new(context: usize) -> Self {
            Self {
                context,
                computed: 0.into(),
                largest: 0.into(),
            }
        }

        fn answer(path: &[u32], token: u32) -> f64 {
            let mix = |h: u64, t: u32| (h ^ u64::from(t)).wrapping_mul(0x100_0000_01b3) >> 3;
            -((path.iter().copied().chain([token]).fold(7, mix) % 10_007) as f64) / 1e3 - 0.01
        }
    }

    impl Model for Hash {
        fn vocab_size(&self) -> usize {
            1000
        }

        fn context_len(&self) -> usize {
            self.context
        }

        fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
            use std::sync::atomic::Ordering::Relaxed;
            crate::backend::check_segments(batch.segments(), batch.tokens().len()).unwrap();
            assert!(batch.depth() <= self.context);
            self.computed.fetch_add(batch.tokens().len(), Relaxed);
            self.largest.fetch_max(batch.tokens().len(), Relaxed);
            let path_to = |row: usize| {
                let mut at = batch
                    .segments()
                    .iter()
                    .position(|s| (s.start..s.start + s.len).contains(&row));
                let mut end = row + 1;
                let mut path = Vec::new();
                while let Some(i) = at {
                    let s = &batch.segments()[i];
                    path.splice(0..0, batch.tokens()[s.start..end].iter().copied());
                    at = s.parent;
                    end = at.map_or(0, |p| batch.segments()[p].start + batch.segments()[p].len);
                }
                path
            };
            Ok(batch
                .targets()
                .iter()
                .map(|t| Self::answer(&path_to(t.row), t.token))
                .collect())
        }
    }

    fn tokens(id: usize, tokens: Vec<u32>) -> Item {
        Item {
            id: id.to_string(),
            cluster: "c".to_owned(),
            content: Content::Tokens(tokens),
        }
    }

    fn run(model: &Hash, items: Vec<Item>, options: &Options) -> Vec<Likelihoods> {
        let items = Items::new("test", items).unwrap();
        log_likelihoods(model, None, &items, options, &mut |_| {}).unwrap()
    }

    #[test]
    fn every_token_is_scored_once_with_the_context_promised() {
        let text: Vec<u32> = (0..53).map(|i| i * 17 % 1000).collect();
        for (context, stride, bos) in [
            (64, 64, Bos::Never),
            (10, 10, Bos::Never),
            (10, 3, Bos::Never),
            (10, 1, Bos::First(999)),
            (10, 10, Bos::First(999)),
            (7, 4, Bos::EveryWindow(999)),
            (7, 7, Bos::EveryWindow(999)),
            (1, 1, Bos::First(999)),
        ] {
            let options = Options {
                bos,
                context: Some(context),
                stride: Some(stride),
                max_tokens: 20,
            };
            let answers = run(&Hash::new(64), vec![tokens(0, text.clone())], &options);
            let got = &answers[0].sequences[0].log_likelihoods;
            let mut whole = Vec::new();
            if let Bos::First(b) | Bos::EveryWindow(b) = bos {
                whole.push(b);
            }
            whole.extend(&text);
            assert_eq!(got.len(), whole.len() - 1);
            for (i, got) in got.iter().enumerate() {
                // Which context the window rule gives to token `i + 1`.
                let windows_before = (i + 1).saturating_sub(context).div_ceil(stride);
                let end = (1 + context + windows_before * stride).min(whole.len());
                let start = (end - 1).saturating_sub(context);
                let mut path = whole[start..=i].to_vec();
                if matches!(bos, Bos::EveryWindow(_)) {
                    path[0] = whole[0];
                }
                assert!(path.len() > context - stride || start == 0);
                assert_eq!(
                    *got,
                    Hash::answer(&path, whole[i + 1]),
                    "{context} {stride} {bos:?} {i}"
                );
            }
        }
    }

    #[test]
    fn batches_respect_their_size_and_do_not_change_answers() {
        let items: Vec<Item> = (0..40usize)
            .map(|i| tokens(i, (0..3 + i as u32 % 13).collect()))
            .collect();
        let large = Hash::new(64);
        let want = run(&large, items.clone(), &Options::default());
        for max_tokens in [1, 7, 30] {
            let model = Hash::new(64);
            let got = run(
                &model,
                items.clone(),
                &Options {
                    max_tokens,
                    ..Options::default()
                },
            );
            assert_eq!(got, want);
            assert!(model.largest.into_inner() <= max_tokens.max(14));
        }
        // One batch holds them all, and what is shared stands once.
        assert!(large.computed.into_inner() < items.len() * 14);
    }

    #[test]
    fn choices_share_their_context_and_single_tokens_need_no_row() {
        let context: Vec<u32> = (0..30).collect();
        let choices = vec![vec![500], vec![501], vec![502, 503], vec![502, 504, 505]];
        let item = Item {
            id: "q".to_owned(),
            cluster: "c".to_owned(),
            content: Content::ChoicesTokens {
                context: context.clone(),
                choices,
                gold: 2,
            },
        };
        let model = Hash::new(64);
        let answers = run(&model, vec![item], &Options::default());
        assert_eq!(answers[0].gold, Some(2));
        let path = |more: &[u32]| [context.as_slice(), more].concat();
        let got = &answers[0].sequences;
        assert_eq!(got[1].log_likelihoods, [Hash::answer(&context, 501)]);
        assert_eq!(
            got[3].log_likelihoods,
            [
                Hash::answer(&context, 502),
                Hash::answer(&path(&[502]), 504),
                Hash::answer(&path(&[502, 504]), 505)
            ]
        );
        // 30 of context, 1 for ⟨502⟩, 2 for ⟨502 504⟩.
        assert_eq!(model.computed.into_inner(), 33);
    }

    #[test]
    fn bytes_are_those_of_the_scored_tokens() {
        let text = Item {
            id: "t".to_owned(),
            cluster: "c".to_owned(),
            content: Content::Text("héllo".to_owned()),
        };
        let items = Items::new("test", vec![text]).unwrap();
        let bytes = |bos| {
            let options = Options {
                bos,
                ..Options::default()
            };
            let tokenizer = Tokenizer::bytes();
            let model = Hash::new(64);
            let score = |scorer: &dyn Scorer| {
                evaluate(
                    &model,
                    Some(&tokenizer),
                    &items,
                    scorer,
                    &options,
                    &mut |_| {},
                )
                .unwrap()[0]
                    .score
                    .weight
            };
            (score(&BitsPerByte), score(&NatsPerToken))
        };
        assert_eq!(bytes(Bos::Never), (5.0, 5.0));
        assert_eq!(bytes(Bos::First(999)), (6.0, 6.0));
    }

    #[test]
    fn items_that_cannot_be_scored_are_named() {
        let model = Hash::new(8);
        let fails = |content: Content, bos| {
            let item = Item {
                id: "bad".to_owned(),
                cluster: "c".to_owned(),
                content,
            };
            let items = Items::new("test", vec![item]).unwrap();
            let options = Options {
                bos,
                ..Options::default()
            };
            let error = log_likelihoods(&model, None, &items, &options, &mut |_| {}).unwrap_err();
            assert!(error.to_string().contains("`bad`"), "{error}");
        };
        fails(Content::Text("a".to_owned()), Bos::Never);
        fails(Content::Tokens(vec![1]), Bos::Never);
        let choices = |context| Content::ChoicesTokens {
            context,
            choices: vec![vec![1]],
            gold: 0,
        };
        fails(choices(vec![]), Bos::Never);
        fails(choices((0..9).collect()), Bos::Never);
        fails(choices((0..8).collect()), Bos::First(5));
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        let items = Items::new("test", vec![tokens(0, vec![1, 2])]).unwrap();
        let model = Hash::new(8);
        for (options, name) in [
            (
                Options {
                    max_tokens: 0,
                    ..Options::default()
                },
                "max_tokens",
            ),
            (
                Options {
                    context: Some(0),
                    ..Options::default()
                },
                "context",
            ),
            (
                Options {
                    context: Some(9),
                    ..Options::default()
                },
                "context",
            ),
            (
                Options {
                    stride: Some(0),
                    ..Options::default()
                },
                "stride",
            ),
            (
                Options {
                    stride: Some(9),
                    ..Options::default()
                },
                "stride",
            ),
        ] {
            let error = log_likelihoods(&model, None, &items, &options, &mut |_| {}).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
