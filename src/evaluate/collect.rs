//! Answers of batches, put back together into items.

use super::packing::{Group, Packed, order};
use super::replicas::Answer;
use super::windows::{Path, Windows};
use crate::distribution::Distribution;
use crate::error::Error;
use crate::scorer::Likelihoods;
use crate::tokenizer::Tokenizer;

/// Items that are tokenised between two questions whether to stop: some hundred milliseconds for long texts.
const ASKED: usize = 1024;

/// Items some of whose paths have no answer yet.
pub(super) struct Pending<'a> {
    indices: &'a [usize],
    /// One per index, in their order.
    items: Vec<PendingItem>,
}

struct PendingItem {
    /// Paths without an answer.
    open: usize,
    /// The item's log-likelihoods so far; `None` once they were handed out.
    answer: Option<Likelihoods>,
}

impl<'a> Pending<'a> {
    /// Prepares the items at `indices`: the places for their answers, and the groups of paths to
    /// compute, in the order of computing.
    ///
    /// # Errors
    /// The first item that cannot be read or scored; [`Error::Interrupted`] once `stop` returns true.
    pub(super) fn prepare(
        windows: &Windows,
        tokenizer: Option<&Tokenizer>,
        distribution: &dyn Distribution,
        indices: &'a [usize],
        batch_tokens: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<(Self, Vec<Group>), Error> {
        let mut items = Vec::with_capacity(indices.len());
        // Choices without their question are few tokens and come first: between the questions they
        // would separate those that share a prefix, and last they would delay every item.
        let (mut unconditional, mut conditional) = (Vec::new(), Vec::with_capacity(indices.len()));
        for (place, &index) in indices.iter().enumerate() {
            if place > 0 && place % ASKED == 0 && stop() {
                return Err(Error::Interrupted);
            }
            let item = distribution.item(index)?;
            let (answer, paths) = windows.prepare(&item, tokenizer, place)?;
            let asked = answer.sequences.len();
            items.push(PendingItem {
                open: paths.iter().map(Vec::len).sum(),
                answer: Some(answer),
            });
            let (with, without): (Vec<Group>, Vec<Group>) = paths
                .into_iter()
                .map(Group::new)
                .partition(|group| group.paths.iter().all(|path| path.sequence < asked));
            unconditional.push(without);
            conditional.push(with);
        }
        let mut groups = order(unconditional, batch_tokens);
        groups.extend(order(conditional, batch_tokens));
        Ok((Self { indices, items }, groups))
    }

    /// Fills in the answer of a batch, and hands every item that is now complete to `sink` with its
    /// index.
    ///
    /// # Errors
    /// An item with a value that is not finite; whatever `sink` returns.
    pub(super) fn fill(
        &mut self,
        batch: &Packed<'_>,
        (order, values): Answer,
        sink: &mut dyn FnMut(usize, Likelihoods) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let paths: Vec<&Path> = batch.paths().collect();
        let mut values = values.into_iter();
        for path in order {
            let path = paths[path];
            let Some(answer) = &mut self.items[path.item].answer else {
                return Err(Error::batch("a path of an item that is complete"));
            };
            let slots = path.answers(answer);
            // The number of values was compared with that of the targets: none is left over.
            for (slot, value) in slots.iter_mut().zip(&mut values) {
                *slot = value;
            }
            // A loss of NaN or infinity would poison every mean it enters, and the log refuses it.
            if let Some(value) = slots.iter().find(|value| !value.is_finite()) {
                let message = format!("the model's answer is {value}");
                return Err(Error::item(&answer.id, message));
            }
        }
        // In the order of the batch, not of the forest: items then finish in the order of their
        // groups, however these were packed.
        for path in paths {
            let item = &mut self.items[path.item];
            item.open -= 1;
            if item.open == 0
                && let Some(answer) = item.answer.take()
            {
                sink(self.indices[path.item], answer)?;
            }
        }
        Ok(())
    }
}
