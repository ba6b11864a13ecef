//! Batches to answers: by one model, or by replicas of it side by side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::forest::{Packed, forest};
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
        for batch in batches {
            done(batch, answer(model, batch)?)?;
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
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(batch) = batches.get(at) else {
                        return;
                    };
                    let answer = answer(&**replica, batch).map_err(|e| named(e, number));
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

fn answer(model: &dyn Model, batch: &Packed<'_>) -> Result<Answer, Error> {
    let paths: Vec<&Path> = batch.paths().collect();
    let (batch, order) = forest(&paths)?;
    let values = model.log_likelihoods(&batch)?;
    if values.len() != batch.targets().len() {
        return Err(Error::batch(format!(
            "the model answered {} of {} targets",
            values.len(),
            batch.targets().len()
        )));
    }
    Ok((order, values))
}

/// The error of a backend with the number of its replica.
fn named(error: Error, number: usize) -> Error {
    match error {
        Error::Backend { backend, message } => Error::Backend {
            backend,
            message: format!("replica {number}: {message}"),
        },
        other => other,
    }
}
