//! Scores a distribution with a model: items to token paths, paths to batches, answers to items.
//!
//! # Agreement with lm-evaluation-harness
//! With [`Bos::First`] and the harness's prefix token, `truncate`, and a whole window as stride,
//! log-likelihoods are those of the harness's `hf` model up to rounding
//! (`cli/tests/harness_agreement/`). What differs, on purpose:
//! - Whether the first token of a text is scored. The harness puts a token before a rolling text
//!   whatever the checkpoint's tokenizer does, and twice where that does it too;
//!   [`Bos::ModelDefault`] does what the tokenizer does.
//! - Windows may overlap ([`Options::stride`]); the harness's never do but for the last.
//! - A token that spans context and choice is scored with the choice
//!   ([`Tokenizer::encode_pair`]); the harness cuts by number of tokens.
//! - [`BitsPerByte`](crate::scorer::BitsPerByte) of a choice counts the bytes its tokens stand for,
//!   its space among them. Accuracies per character and byte count as the harness does, without
//!   that space.
//! - A context that is too long is an error unless [`Options::truncate`] is set.

mod forest;
mod packing;
mod replicas;
mod windows;

use serde::{Deserialize, Serialize};

use crate::distribution::Distribution;
use crate::error::Error;
use crate::model::Model;
use crate::scorer::{ItemScore, Likelihoods, Scorer};
use crate::tokenizer::Tokenizer;
use packing::{Group, order, pack};
use replicas::answers;
use windows::{Path, Windows};

/// How items are cut into sequences and packed into batches.
///
/// None of it but `bos`, `context`, `stride` and `truncate` changes a result; a backend that is reproducible
/// gives the same bits for every `max_tokens`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Most tokens computed at once, less what a prefix takes that is kept beside them (see
    /// [`log_likelihoods`]). A single sequence that is longer is computed alone.
    pub max_tokens: usize,
    /// Whether and where a beginning-of-sequence token is put.
    pub bos: Bos,
    /// Input tokens of a window of running text; the model's context if `None`. A shorter context
    /// than the model's makes models of different contexts comparable.
    pub context: Option<usize>,
    /// Tokens newly scored in every window of a running text after the first; the whole window if
    /// `None`. With less, every token has at least `context − stride` tokens before it.
    pub stride: Option<usize>,
    /// Whether the start of a context is dropped that, with its choice, exceeds the model's
    /// context; the answer carries a [`Warning`](crate::scorer::Warning). Otherwise such an item
    /// is an error. A beginning-of-sequence token of [`Bos::EveryWindow`] stays, one of
    /// [`Bos::First`] is dropped with the rest.
    pub truncate: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_tokens: 8192,
            bos: Bos::default(),
            context: None,
            stride: None,
            truncate: false,
        }
    }
}

/// Where a beginning-of-sequence token is put.
///
/// A text that begins with the token already has it: it is never doubled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bos {
    /// As the checkpoint's own tokenizer does with a text: [`Bos::EveryWindow`] with its token
    /// where it puts one, [`Bos::Never`] where it does not or where there is no tokenizer.
    #[default]
    ModelDefault,
    /// Nowhere: the first token of a text is not scored, nor are its bytes counted.
    Never,
    /// Before the first token of a text or context.
    First(u32),
    /// Before every window of a text, and before every context.
    EveryWindow(u32),
}

/// How far an evaluation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Input tokens done, a prefix shared within a batch, or kept for several, counted once.
    pub tokens: usize,
    /// Input tokens in all.
    pub total: usize,
}

/// The log-likelihoods of every item of a distribution, in its order.
///
/// Items are computed in the order of their tokens, in batches of at most `options.max_tokens`; a
/// prefix that paths of a batch share (few-shot examples, a question) is computed once. `progress` is
/// called after every batch. Where the model has [replicas](Model::replicas), each is given a batch as
/// soon as it is free; the answers are the same.
///
/// # A prefix of many batches
/// A prefix that a full batch shares with the item after it is computed once for all the batches that
/// have it, where the model can keep one ([`Model::after`]) and it is at least a 32nd of `max_tokens`.
/// One is kept at a time (by each replica). What it takes in memory counts as tokens of the batches
/// beside it ([`Model::prefix_cost`]), so that `max_tokens` bounds the memory of both; a prefix that
/// would leave them less than an eighth of it is computed again in every batch, as is one of a model
/// that keeps none.
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
    let indices: Vec<usize> = (0..distribution.len()).collect();
    let mut answers: Vec<Option<Likelihoods>> = vec![None; indices.len()];
    let mut sink = |index: usize, answer| {
        answers[index] = Some(answer);
        Ok(())
    };
    log_likelihoods_each(
        model,
        tokenizer,
        distribution,
        &indices,
        options,
        &mut sink,
        progress,
    )?;
    // Every index was handed to the sink.
    Ok(answers.into_iter().flatten().collect())
}

/// Hands the log-likelihoods of the items `indices` to `sink`, each as soon as the batch that
/// completes it is computed.
///
/// The order is that of computing, the same at every call with the same arguments and for any number
/// of [replicas](Model::replicas), of which those that are ahead wait. An error of
/// `sink` ends the evaluation and is returned. `progress` is called after the sinks of a batch.
///
/// # Errors
/// As [`log_likelihoods`], and whatever `sink` returns. All items are prepared, and refused where
/// they must be, before anything is computed.
pub fn log_likelihoods_each(
    model: &dyn Model,
    tokenizer: Option<&Tokenizer>,
    distribution: &dyn Distribution,
    indices: &[usize],
    options: &Options,
    sink: &mut dyn FnMut(usize, Likelihoods) -> Result<(), Error>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let windows = Windows::new(model, tokenizer, options)?;
    let mut pending = Vec::with_capacity(indices.len());
    // Choices without their question, and everything else: few tokens, which come first, so that they
    // do not stand between questions that share a prefix and items are complete early.
    let (mut unconditional, mut items) = (Vec::new(), Vec::with_capacity(indices.len()));
    for (place, &index) in indices.iter().enumerate() {
        let item = distribution.item(index)?;
        let (answer, paths) = windows.prepare(&item, tokenizer, place)?;
        let left: usize = paths.iter().map(Vec::len).sum();
        let asked = answer.sequences.len();
        pending.push((left, Some(answer)));
        let (asked, without): (Vec<Group>, Vec<Group>) = paths
            .into_iter()
            .map(Group::new)
            .partition(|group| group.paths.iter().all(|path| path.sequence < asked));
        unconditional.push(without);
        items.push(asked);
    }
    let mut groups = order(unconditional, options.max_tokens);
    groups.extend(order(items, options.max_tokens));
    let batches = pack(&groups, options.max_tokens, model.prefix_cost());
    let total = batches.iter().map(|b| b.cost).sum();
    let mut tokens = 0;
    answers(model, &batches, &mut |batch, (order, values)| {
        let paths: Vec<&Path> = batch.paths().collect();
        let mut values = values.into_iter();
        for path in order {
            let path = paths[path];
            let Some(answer) = &mut pending[path.item].1 else {
                return Err(Error::batch("a path of an item that is complete"));
            };
            let slots = path.answers(answer);
            // Every target has a value, as was checked.
            for (slot, value) in slots.iter_mut().zip(&mut values) {
                *slot = value;
            }
            if let Some(value) = slots.iter().find(|value| !value.is_finite()) {
                let message = format!("the model's answer is {value}");
                return Err(Error::item(&answer.id, message));
            }
        }
        for path in paths {
            let (left, answer) = &mut pending[path.item];
            *left -= 1;
            if *left == 0
                && let Some(answer) = answer.take()
            {
                sink(indices[path.item], answer)?;
            }
        }
        tokens += batch.cost;
        progress(Progress { tokens, total });
        Ok(())
    })
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
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use proptest::prelude::*;

    use super::*;
    use crate::distribution::{Content, Item, Items};
    use crate::model::{Batch, Replicas};
    use crate::scorer::{BitsPerByte, NatsPerToken, Sequence, Warning};

    /// Answers with a hash of the whole path and the token, so that any slip in packing, sharing
    /// or reordering changes an answer; counts the tokens it computed.
    struct Hash {
        context: usize,
        prefix_cost: Option<f64>,
        computed: AtomicUsize,
        /// Tokens of the largest batch, with what is kept beside it.
        largest: AtomicUsize,
    }

    impl Hash {
        fn new(context: usize) -> Self {
            Self {
                context,
                prefix_cost: None,
                computed: 0.into(),
                largest: 0.into(),
            }
        }

        fn keeping(context: usize, prefix_cost: f64) -> Self {
            Self {
                prefix_cost: Some(prefix_cost),
                ..Self::new(context)
            }
        }

        fn count(&self, tokens: usize, kept: usize) {
            let kept = kept as f64 * self.prefix_cost.unwrap_or(0.0);
            self.computed.fetch_add(tokens, Relaxed);
            self.largest
                .fetch_max(tokens + kept.ceil() as usize, Relaxed);
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
            self.answers_after(&[], batch)
        }

        fn after(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
            assert!(!prefix.is_empty() && self.prefix_cost.is_some());
            self.count(prefix.len(), 0);
            Ok(Box::new(After(self, prefix.to_vec())))
        }

        fn prefix_cost(&self) -> Option<f64> {
            self.prefix_cost
        }
    }

    impl Hash {
        fn answers_after(&self, prefix: &[u32], batch: &Batch) -> Result<Vec<f64>, Error> {
            crate::backend::check_segments(batch.segments(), batch.tokens().len()).unwrap();
            assert!(prefix.len() + batch.depth() <= self.context);
            self.count(batch.tokens().len(), prefix.len());
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
                [prefix, &path].concat()
            };
            Ok(batch
                .targets()
                .iter()
                .map(|t| Self::answer(&path_to(t.row), t.token))
                .collect())
        }
    }

    /// After a prefix.
    struct After<'a>(&'a Hash, Vec<u32>);

    impl Model for After<'_> {
        fn vocab_size(&self) -> usize {
            self.0.vocab_size()
        }

        fn context_len(&self) -> usize {
            self.0.context - self.1.len()
        }

        fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
            self.0.answers_after(&self.1, batch)
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
                truncate: false,
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
                unconditional: None,
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
        // 30 of context, ⟨502⟩ once, and ⟨504⟩.
        assert_eq!(model.computed.into_inner(), 32);
    }

    /// Inputs of an item's longest path.
    fn longest(item: &Item) -> usize {
        match &item.content {
            Content::Tokens(tokens) => tokens.len() - 1,
            Content::ChoicesTokens {
                context, choices, ..
            } => context.len() + choices[0].len() - 1,
            other => panic!("{other:?}"),
        }
    }

    /// Questions that share few-shot examples, and texts, in an order that separates neighbours.
    fn few_shot(questions: usize) -> Vec<Item> {
        let mut items = Vec::new();
        for q in 0..questions as u32 {
            for subject in 0..3u32 {
                let mut context: Vec<u32> = (0..40).map(|i| i * 7 + subject).collect();
                context.extend((0..9 + q % 7).map(|i| 300 + (i * 31 + q * 17) % 400));
                items.push(Item {
                    id: format!("{subject}/{q}"),
                    cluster: subject.to_string(),
                    content: Content::ChoicesTokens {
                        context,
                        choices: (0..4).map(|c| vec![900 + c, 800 + q, 700]).collect(),
                        gold: 0,
                        unconditional: None,
                    },
                });
            }
            items.push(Item {
                id: format!("text/{q}"),
                cluster: "text".to_owned(),
                content: Content::Tokens((0..100 + q).map(|i| (i * 13 + q) % 900).collect()),
            });
        }
        items
    }

    #[test]
    fn examples_shared_by_many_questions_are_computed_once_a_batch() {
        let items: Vec<Item> = few_shot(50)
            .into_iter()
            .filter(|i| i.cluster != "text")
            .collect();
        let model = Hash::new(64);
        let options = Options {
            max_tokens: 1000,
            ..Options::default()
        };
        let mut last = Progress {
            tokens: 0,
            total: 0,
        };
        let distribution = Items::new("test", items.clone()).unwrap();
        let answers =
            log_likelihoods(&model, None, &distribution, &options, &mut |p| last = p).unwrap();
        assert_eq!(answers.len(), items.len());
        // A question costs at most 15 tokens and two a choice beyond the examples.
        let alone = items.len() * (15 + 8);
        let batches = alone.div_ceil(1000 - 3 * 40) + 1;
        let computed = model.computed.into_inner();
        assert!(computed <= alone + batches * 2 * 40, "{computed}");
        assert_eq!((last.tokens, last.total), (last.total, computed));
    }

    #[test]
    fn a_prefix_of_many_batches_is_computed_once() {
        let items: Vec<Item> = few_shot(50)
            .into_iter()
            .filter(|i| i.cluster != "text")
            .collect();
        let options = Options {
            max_tokens: 150,
            ..Options::default()
        };
        let again = Hash::new(64);
        let want = run(&again, items.clone(), &options);
        let again = again.computed.into_inner();
        for cost in [0.3, 1.0, 2.6] {
            let model = Hash::keeping(64, cost);
            assert!(run(&model, items.clone(), &options) == want);
            // 40 of every question of a subject, but for the batches that hold two subjects.
            let computed = model.computed.into_inner();
            let once = items.len() * (15 + 8) + 3 * 3 * 40;
            assert!(computed <= once && once < again, "{computed} of {again}");
            assert!(model.largest.into_inner() <= 150);
        }
        // Choices that are scored without their question as well do not come between.
        let unconditional = items.iter().cloned().map(|mut item| {
            if let Content::ChoicesTokens { unconditional, .. } = &mut item.content {
                *unconditional = Some(vec![998, 999]);
            }
            item
        });
        let unconditional = Items::new("test", unconditional.collect()).unwrap();
        let model = Hash::keeping(64, 1.0);
        let mut done = Vec::new();
        log_likelihoods_each(
            &model,
            None,
            &unconditional,
            &(0..items.len()).collect::<Vec<_>>(),
            &options,
            &mut |index, answer| {
                assert_eq!(answer.sequences, want[index].sequences);
                done.push(model.computed.load(Relaxed));
                Ok(())
            },
            &mut |_| {},
        )
        .unwrap();
        // ⟨998 999⟩ and of each choice two tokens once a batch at most.
        let computed = model.computed.into_inner();
        let without = items.len() * (2 + 4 * 2);
        assert!(computed <= items.len() * (15 + 8) + 3 * 3 * 40 + without);
        assert!(done[done.len() / 2] < computed / 4 * 3, "{done:?}");
        // What would leave no room is computed again, as is what fits one batch, and what is short.
        for (cost, max_tokens) in [(3.5, 150), (0.3, 20_000), (0.3, 1500)] {
            let model = Hash::keeping(64, cost);
            let options = Options {
                max_tokens,
                ..Options::default()
            };
            assert!(run(&model, items.clone(), &options) == want);
            let without = Hash::new(64);
            run(&without, items.clone(), &options);
            let (with, without) = (model.computed.into_inner(), without.computed.into_inner());
            assert_eq!(with, without, "{cost} {max_tokens}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

        #[test]
        fn keeping_prefixes_changes_no_answer_and_no_bound(
            shape in prop::collection::vec((0..4u32, 0..50usize, 0..30usize, 1..4usize), 1..60),
            max_tokens in 1..400usize,
            cost in 0.05..4.0f64,
            scored in 1..9usize,
        ) {
            let items: Vec<Item> = shape
                .iter()
                .enumerate()
                .map(|(i, &(subject, shared, own, choices))| {
                    let mut context: Vec<u32> = (0..1 + shared as u32).map(|t| 4 * t + subject).collect();
                    context.extend((0..own as u32).map(|t| (t * 37 + i as u32 * 11) % 1000));
                    let content = if own == 7 {
                        Content::Tokens([context, vec![1, 2]].concat())
                    } else {
                        Content::ChoicesTokens {
                            context,
                            choices: (0..choices).map(|c| vec![500 + c as u32; scored]).collect(),
                            gold: 0,
                            unconditional: (i % 5 == 0).then(|| vec![3, 4]),
                        }
                    };
                    Item { id: i.to_string(), cluster: "c".to_owned(), content }
                })
                .collect();
            let options = Options { max_tokens, ..Options::default() };
            let (plain, keeping) = (Hash::new(128), Hash::keeping(128, cost));
            let want = run(&plain, items.clone(), &options);
            let items = Items::new("test", items).unwrap();
            let mut last = Progress { tokens: 0, total: 0 };
            let got = log_likelihoods(&keeping, None, &items, &options, &mut |p| last = p).unwrap();
            prop_assert!(got == want);
            let computed = keeping.computed.load(Relaxed);
            // The estimate counts what an order of items separates.
            prop_assert!(computed <= last.total && last.tokens == last.total);
            // A path may be longer than a batch, and then is one.
            let longest = (0..items.len()).map(|i| longest(&items.item(i).unwrap())).max().unwrap_or(0);
            for model in [plain, keeping] {
                prop_assert!(model.largest.into_inner() <= max_tokens.max(longest));
            }
        }
    }

    /// A replica that is slow, or that fails its batch of this number.
    struct Replica {
        hash: Hash,
        pause: std::time::Duration,
        fails: Option<usize>,
        batches: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    }

    impl Model for Replica {
        fn vocab_size(&self) -> usize {
            self.hash.vocab_size()
        }

        fn context_len(&self) -> usize {
            self.hash.context_len()
        }

        fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
            let number = self
                .batches
                .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::thread::sleep(self.pause);
            if self.fails.is_some_and(|fails| number >= fails) {
                return Err(Error::backend("hash", "no memory"));
            }
            self.hash.log_likelihoods(batch)
        }
    }

    type Counters = Vec<std::sync::Arc<std::sync::atomic::AtomicUsize>>;

    /// Replicas of the pauses in microseconds, and the number of batches each was given.
    fn replicas(of: &[(u64, Option<usize>)]) -> (Replicas, Counters) {
        let mut counters = Counters::new();
        let models = of.iter().map(|&(pause, fails)| {
            let batches = std::sync::Arc::default();
            counters.push(std::sync::Arc::clone(&batches));
            let replica = Replica {
                hash: Hash::new(64),
                pause: std::time::Duration::from_micros(pause),
                fails,
                batches,
            };
            Box::new(replica) as Box<dyn Model>
        });
        let models = models.collect();
        (Replicas::new(models).unwrap(), counters)
    }

    #[test]
    fn replicas_share_the_batches_and_answer_as_one_model() {
        let items = Items::new("test", few_shot(20)).unwrap();
        let indices: Vec<usize> = (0..items.len()).collect();
        let options = Options {
            max_tokens: 150,
            ..Options::default()
        };
        let follow = |model: &dyn Model| {
            let (mut order, mut steps) = (Vec::new(), Vec::new());
            let mut sink = |index: usize, answer: Likelihoods| {
                order.push((index, answer));
                Ok(())
            };
            let mut progress = |p: Progress| steps.push(p);
            log_likelihoods_each(
                model,
                None,
                &items,
                &indices,
                &options,
                &mut sink,
                &mut progress,
            )
            .unwrap();
            (order, steps)
        };
        let whole = follow(&Hash::new(64));
        assert!(whole.1.len() > 20);
        // However fast each is, answers, their order and the progress are those of one model.
        for pauses in [&[0][..], &[0, 0], &[2000, 0], &[0, 300, 900]] {
            let pauses: Vec<_> = pauses.iter().map(|&p| (p, None)).collect();
            let (model, given) = replicas(&pauses);
            assert!(follow(&model) == whole);
            let given: Vec<usize> = given
                .iter()
                .map(|c| c.load(std::sync::atomic::Ordering::SeqCst))
                .collect();
            assert_eq!(given.iter().sum::<usize>(), whole.1.len(), "{given:?}");
        }
    }

    #[test]
    fn the_error_of_a_replica_ends_all_of_them_and_names_it() {
        let items = Items::new("test", few_shot(20)).unwrap();
        let options = Options {
            max_tokens: 150,
            ..Options::default()
        };
        let (model, given) = replicas(&[(200, None), (200, Some(3)), (200, None)]);
        let error = log_likelihoods(&model, None, &items, &options, &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "backend `hash`: replica 1: no memory");
        assert_eq!(given[1].load(std::sync::atomic::Ordering::SeqCst), 4);

        // What the caller refuses ends them too: no replica begins more than it can hand over.
        let (model, given) = replicas(&[(0, None), (0, None)]);
        let indices: Vec<usize> = (0..items.len()).collect();
        let mut sink = |_, answer: Likelihoods| Err(Error::item(answer.id, "is not wanted"));
        let error = log_likelihoods_each(
            &model,
            None,
            &items,
            &indices,
            &options,
            &mut sink,
            &mut |_| {},
        );
        assert!(error.unwrap_err().to_string().contains("is not wanted"));
        let given: usize = given
            .iter()
            .map(|c| c.load(std::sync::atomic::Ordering::SeqCst))
            .sum();
        assert!(given < 20, "{given}");

        assert!(Replicas::new(Vec::new()).is_err());
        let sizes: Vec<Box<dyn Model>> = vec![Box::new(Hash::new(64)), Box::new(Hash::new(32))];
        let error = Replicas::new(sizes).unwrap_err().to_string();
        assert!(
            error.contains("replica 1 has vocabulary and context (1000, 32)"),
            "{error}"
        );
    }

    #[test]
    fn items_come_one_by_one_and_any_selection_agrees_with_the_whole() {
        let items = Items::new("test", few_shot(9)).unwrap();
        let options = Options {
            max_tokens: 150,
            stride: Some(5),
            ..Options::default()
        };
        let model = Hash::new(64);
        let whole = log_likelihoods(&model, None, &items, &options, &mut |_| {}).unwrap();
        for keep in [1, 2, 3, 7] {
            let indices: Vec<usize> = (0..items.len()).rev().filter(|i| i % keep == 0).collect();
            let mut seen = Vec::new();
            let mut sink = |index: usize, answer: Likelihoods| {
                assert_eq!(answer, whole[index]);
                seen.push(index);
                Ok(())
            };
            log_likelihoods_each(
                &model,
                None,
                &items,
                &indices,
                &options,
                &mut sink,
                &mut |_| {},
            )
            .unwrap();
            seen.sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(seen, indices);
        }
        // An error of the sink ends the run.
        let mut count = 0;
        let mut sink = |_: usize, _| {
            count += 1;
            if count == 3 {
                Err(Error::batch("full"))
            } else {
                Ok(())
            }
        };
        let all: Vec<usize> = (0..items.len()).collect();
        let error =
            log_likelihoods_each(&model, None, &items, &all, &options, &mut sink, &mut |_| {})
                .unwrap_err();
        assert!(error.to_string().contains("full"));
        assert_eq!(count, 3);
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
    fn the_default_is_what_the_tokenizer_does() {
        let dir = std::env::temp_dir().join(format!("relscale-{}-bos", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let config = r#"{"tokenizer_class": "ByteTokenizer", "bos_token_id": 999}"#;
        std::fs::write(dir.join("tokenizer_config.json"), config).unwrap();
        let adds = Tokenizer::load(&dir).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let text = Item {
            id: "t".to_owned(),
            cluster: "c".to_owned(),
            content: Content::Text("hello, hello".to_owned()),
        };
        let items = Items::new("test", vec![text]).unwrap();
        let score = |tokenizer: &Tokenizer, bos| {
            let options = Options {
                bos,
                ..Options::default()
            };
            let model = Hash::new(5);
            log_likelihoods(&model, Some(tokenizer), &items, &options, &mut |_| {}).unwrap()
        };
        let explicit = score(&adds, Bos::EveryWindow(999));
        assert_eq!(score(&adds, Bos::default()), explicit);
        assert_eq!(explicit[0].sequences[0].bytes, Some(12));
        let without = score(&Tokenizer::bytes(), Bos::default());
        assert_eq!(without, score(&Tokenizer::bytes(), Bos::Never));
        assert_eq!(without[0].sequences[0].bytes, Some(11));
        // A text that begins with the token: nothing before it, and its bytes are not scored.
        let doubled = score(&adds, Bos::First(u32::from(b'h')));
        assert_eq!(doubled, without);
    }

    #[test]
    fn unconditional_choices_are_scored_after_their_own_context() {
        let item = |id: &str, unconditional: Option<Vec<u32>>| Item {
            id: id.to_owned(),
            cluster: "c".to_owned(),
            content: Content::ChoicesTokens {
                context: (0..20).collect(),
                choices: vec![vec![500, 501], vec![502]],
                gold: 0,
                unconditional,
            },
        };
        let items = vec![
            item("a", Some(vec![])),
            item("b", None),
            item("c", Some(vec![7, 8])),
        ];
        for max_tokens in [1, 8192] {
            let options = Options {
                bos: Bos::EveryWindow(999),
                max_tokens,
                ..Options::default()
            };
            let answers = run(&Hash::new(64), items.clone(), &options);
            for (answer, context) in answers.iter().zip([&[999][..], &[], &[999, 7, 8]]) {
                let asked = [&[999][..], &(0..20).collect::<Vec<_>>()].concat();
                let values = |sequences: &[Sequence]| -> Vec<Vec<f64>> {
                    let values = sequences.iter().map(|s| s.log_likelihoods.clone());
                    values.collect()
                };
                let want = |context: &[u32]| {
                    let second = [context, &[500]].concat();
                    vec![
                        vec![Hash::answer(context, 500), Hash::answer(&second, 501)],
                        vec![Hash::answer(context, 502)],
                    ]
                };
                assert_eq!(values(&answer.sequences), want(&asked));
                let wanted = if context.is_empty() {
                    vec![]
                } else {
                    want(context)
                };
                assert_eq!(values(&answer.unconditional), wanted);
            }
        }
    }

    #[test]
    fn contexts_that_are_too_long_lose_their_start_and_say_so() {
        let long = |context: Vec<u32>, choice: Vec<u32>| Item {
            id: "long".to_owned(),
            cluster: "c".to_owned(),
            content: Content::ChoicesTokens {
                context,
                choices: vec![choice, vec![600]],
                gold: 0,
                unconditional: None,
            },
        };
        let score = |item: Item, bos| {
            let options = Options {
                bos,
                truncate: true,
                ..Options::default()
            };
            run(&Hash::new(8), vec![item], &options).remove(0)
        };
        let warning = |choice, tokens| Warning::ContextTruncated { choice, tokens };
        let first = |answer: &Likelihoods| answer.sequences[0].log_likelihoods[0];
        let context: Vec<u32> = (0..12).collect();
        let choice = vec![500, 501, 502];

        // 12 of context and 2 of the choice in 8.
        let answer = score(long(context.clone(), choice.clone()), Bos::Never);
        assert_eq!(answer.warnings, [warning(0, 6), warning(1, 4)]);
        assert_eq!(first(&answer), Hash::answer(&context[6..], 500));
        // The token before everything goes first, and is not one of the context.
        let answer = score(long(context.clone(), choice.clone()), Bos::First(999));
        assert_eq!(answer.warnings, [warning(0, 6), warning(1, 4)]);
        assert_eq!(first(&answer), Hash::answer(&context[6..], 500));
        let answer = score(long(context.clone(), choice.clone()), Bos::EveryWindow(999));
        assert_eq!(answer.warnings, [warning(0, 7), warning(1, 5)]);
        let kept = [&[999], &context[7..]].concat();
        assert_eq!(first(&answer), Hash::answer(&kept, 500));
        // What fits is left alone.
        let answer = score(long((0..6).collect(), choice), Bos::Never);
        assert_eq!(answer.warnings, []);
        // A choice as long as the context of the model leaves one token before it.
        let answer = score(long(context, (500..508).collect()), Bos::EveryWindow(999));
        assert_eq!(first(&answer), Hash::answer(&[999], 500));
        assert_eq!(answer.warnings[0], warning(0, 12));
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
            unconditional: None,
        };
        fails(choices(vec![]), Bos::Never);
        fails(choices((0..9).collect()), Bos::Never);
        fails(choices((0..8).collect()), Bos::First(5));

        // A choice that is longer than the model's context has no place, truncated or not.
        let item = Item {
            id: "bad".to_owned(),
            cluster: "c".to_owned(),
            content: Content::ChoicesTokens {
                context: vec![1],
                choices: vec![(0..9).collect()],
                gold: 0,
                unconditional: None,
            },
        };
        let items = Items::new("test", vec![item]).unwrap();
        let options = Options {
            truncate: true,
            ..Options::default()
        };
        assert!(log_likelihoods(&model, None, &items, &options, &mut |_| {}).is_err());
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
