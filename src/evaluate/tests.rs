//! Evaluations of a model whose answers give any slip away.

mod packing;
mod replicas;
mod results;
mod windows;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use super::{Evaluation, Settings};
use crate::distribution::{Content, Item, Items};
use crate::error::Error;
use crate::model::{Batch, Model};
use crate::scorer::Likelihoods;

/// A model that answers with a hash of the whole path and the token, so that any slip in packing,
/// sharing or reordering changes an answer. It counts the tokens it computes.
struct Hash {
    context: usize,
    prefix_cost: Option<f64>,
    enough_tokens: Option<usize>,
    computed: AtomicUsize,
    batches: AtomicUsize,
    /// Tokens of the largest batch, including the cached prefix.
    largest: AtomicUsize,
}

impl Hash {
    fn new(context: usize) -> Self {
        Self {
            context,
            prefix_cost: None,
            enough_tokens: None,
            computed: 0.into(),
            batches: 0.into(),
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
        self.batches.fetch_add(1, Relaxed);
        self.largest
            .fetch_max(tokens + kept.ceil() as usize, Relaxed);
    }

    fn answer(path: &[u32], token: u32) -> f64 {
        let mut hasher = DefaultHasher::new();
        (path, token).hash(&mut hasher);
        -((hasher.finish() % 10_007) as f64) / 1e3 - 0.01
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

    fn with_prefix(&self, prefix: &[u32]) -> Result<Box<dyn Model + '_>, Error> {
        assert!(!prefix.is_empty() && self.prefix_cost.is_some());
        self.count(prefix.len(), 0);
        Ok(Box::new(After(self, prefix.to_vec())))
    }

    fn prefix_cost(&self) -> Option<f64> {
        self.prefix_cost
    }

    fn enough_tokens(&self) -> Option<usize> {
        self.enough_tokens
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

/// The model after a prefix.
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

fn run(model: &Hash, items: Vec<Item>, settings: &Settings) -> Vec<Likelihoods> {
    let items = Items::new("test", items).unwrap();
    let evaluation = Evaluation::new(model).settings(*settings);
    evaluation.log_likelihoods(&items).unwrap()
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
