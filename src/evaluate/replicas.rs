//! Batches to answers: by one model, or by copies of it side by side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, SyncSender};
use std::thread;

use super::forest::forest;
use super::packing::Packed;
use super::windows::Path;
use crate::error::Error;
use crate::model::Model;

/// The order in which the targets of a batch's paths were asked for, and the value of each.
pub(super) type Answer = (Vec<usize>, Vec<f64>);

/// An answer with the number of its batch.
type Numbered = (usize, Result<Answer, Error>);

/// Refuses models of different sizes: they cannot be copies of one.
pub(super) fn check(models: &[&dyn Model]) -> Result<(), Error> {
    let sizes = |model: &dyn Model| (model.vocab_size(), model.context_len());
    let first = sizes(models[0]);
    match models.iter().position(|model| sizes(*model) != first) {
        None => Ok(()),
        Some(other) => Err(Error::Option {
            option: "replicas",
            message: format!(
                "replica {other} has vocabulary and context {:?}, replica 0 has {first:?}",
                sizes(models[other])
            ),
        }),
    }
}

/// Hands the answer of each batch to `done`, in the order of the batches.
///
/// # Errors
/// The error of the first batch that a model or `done` fails; that of a backend names the replica.
/// Replicas then end the batch they are at and begin no other.
pub(super) fn answers(
    models: &[&dyn Model],
    batches: &[Packed<'_>],
    done: &mut dyn FnMut(&Packed<'_>, Answer) -> Result<(), Error>,
) -> Result<(), Error> {
    if let [model] = models {
        let mut asked = Asked::new(*model);
        for batch in batches {
            done(batch, asked.answer(batch)?)?;
        }
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        // The receiver lives inside the scope, so that returning early drops it: a replica that
        // cannot send ends. One place per replica lets each compute its next batch while its last
        // one waits, and no more.
        let (send, receive) = mpsc::sync_channel(models.len());
        for (number, model) in models.iter().enumerate() {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || work(*model, number, batches, next, &send));
        }
        // While this sender lived, `recv` would wait for ever after a panic of all replicas.
        drop(send);
        // Answers are passed on in the order of the batches, as with one model: the log has the
        // same bytes with any number of replicas.
        let mut early: BTreeMap<usize, Result<Answer, Error>> = BTreeMap::new();
        for (at, batch) in batches.iter().enumerate() {
            let answer = loop {
                match early.remove(&at) {
                    Some(answer) => break answer,
                    None => match receive.recv() {
                        Ok((number, answer)) => drop(early.insert(number, answer)),
                        // Every replica has ended: one panicked, and the scope will say so.
                        Err(_) => return Err(Error::batch("a replica gave no answer")),
                    },
                }
            };
            done(batch, answer?)?;
        }
        Ok(())
    })
}

/// Computes the next batch until none is left, one fails, or nobody listens any more.
fn work(
    model: &dyn Model,
    number: usize,
    batches: &[Packed<'_>],
    next: &AtomicUsize,
    send: &SyncSender<Numbered>,
) {
    let mut asked = Asked::new(model);
    loop {
        // Only the number is shared; the batches were written before the threads started.
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(batch) = batches.get(at) else {
            return;
        };
        let answer = asked.answer(batch).map_err(|e| named(e, number));
        let failed = answer.is_err();
        // After a failure the run ends, so further batches would be computed in vain.
        if send.send((at, answer)).is_err() || failed {
            return;
        }
    }
}

/// A model and the prefix it has cached.
struct Asked<'a> {
    model: &'a dyn Model,
    cached: Option<(&'a [u32], Box<dyn Model + 'a>)>,
}

impl<'a> Asked<'a> {
    fn new(model: &'a dyn Model) -> Self {
        Self {
            model,
            cached: None,
        }
    }

    fn answer(&mut self, packed: &Packed<'a>) -> Result<Answer, Error> {
        let paths: Vec<&Path> = packed.paths().collect();
        let (batch, order) = forest(&paths, packed.cached)?;
        let values = self.after(packed.prefix())?.log_likelihoods(&batch)?;
        if values.len() != batch.targets().len() {
            return Err(Error::batch(format!(
                "the model answered {} of {} targets",
                values.len(),
                batch.targets().len()
            )));
        }
        Ok((order, values))
    }

    /// The model after a prefix. A cached prefix that differs is dropped first, so that there are
    /// never two in memory.
    fn after(&mut self, prefix: &'a [u32]) -> Result<&dyn Model, Error> {
        let cached = self.cached.take().filter(|(cached, _)| *cached == prefix);
        if prefix.is_empty() {
            return Ok(self.model);
        }
        let cached = match cached {
            Some(cached) => cached,
            None => (prefix, self.model.with_prefix(prefix)?),
        };
        Ok(&*self.cached.insert(cached).1)
    }
}

/// The error of a backend with the number of its replica.
fn named(error: Error, number: usize) -> Error {
    let name = |backend: String| format!("{backend}, replica {number}");
    match error {
        Error::Backend { backend, source } => Error::backend(name(backend), source),
        Error::OutOfMemory {
            backend,
            requested,
            source,
        } => Error::out_of_memory(name(backend), requested, source),
        Error::Unsupported { backend, operation } => Error::Unsupported {
            backend: name(backend),
            operation,
        },
        other => other,
    }
}
