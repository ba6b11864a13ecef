//! Batches to answers: by one model, or by replicas of it side by side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::forest::forest;
use super::packing::Packed;
use super::windows::Path;
use crate::error::Error;
use crate::model::Model;

/// The order in which the targets of a batch's paths were asked for, and the value of each.
type Answer = (Vec<usize>, Vec<f64>);

/// Hands the answer of each batch to `done`, in the order of the batches.
///
/// # Errors
/// That of the first batch which the model or `done` fails; of a backend with the number of the
/// replica. Replicas then end the batch they have and begin no other.
pub(super) fn answers(
    model: &dyn Model,
    batches: &[Packed<'_>],
    done: &mut dyn FnMut(&Packed<'_>, Answer) -> Result<(), Error>,
) -> Result<(), Error> {
    let replicas = model.replicas();
    if replicas.is_empty() {
        let mut asked = Asked::new(model);
        for batch in batches {
            done(batch, asked.answer(batch)?)?;
        }
        return Ok(());
    }
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        // Within the scope, so that an error ends it: what cannot be sent ends a replica.
        let (send, receive) = mpsc::sync_channel(replicas.len());
        for (number, replica) in replicas.iter().enumerate() {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                let mut asked = Asked::new(&**replica);
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(batch) = batches.get(at) else {
                        return;
                    };
                    let answer = asked.answer(batch).map_err(|e| named(e, number));
                    let failed = answer.is_err();
                    if send.send((at, answer)).is_err() || failed {
                        return;
                    }
                }
            });
        }
        drop(send);
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

/// A model and the prefix that it was last asked after.
struct Asked<'a> {
    model: &'a dyn Model,
    kept: Option<(&'a [u32], Box<dyn Model + 'a>)>,
}

impl<'a> Asked<'a> {
    fn new(model: &'a dyn Model) -> Self {
        Self { model, kept: None }
    }

    fn answer(&mut self, packed: &Packed<'a>) -> Result<Answer, Error> {
        let paths: Vec<&Path> = packed.paths().collect();
        let (batch, order) = forest(&paths, packed.kept)?;
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

    /// The model after a prefix. What was kept of another is given up first, so that there are never
    /// two.
    fn after(&mut self, prefix: &'a [u32]) -> Result<&dyn Model, Error> {
        let kept = self.kept.take().filter(|(kept, _)| *kept == prefix);
        if prefix.is_empty() {
            return Ok(self.model);
        }
        let kept = match kept {
            Some(kept) => kept,
            None => (prefix, self.model.with_prefix(prefix)?),
        };
        Ok(&*self.kept.insert(kept).1)
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
        other => other,
    }
}
