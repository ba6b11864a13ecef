//! Copies of a model side by side.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Hash, few_shot};
use crate::distribution::{Distribution, Items};
use crate::error::Error;
use crate::evaluate::Evaluation;
use crate::model::{Batch, Model};
use crate::scorer::Likelihoods;

/// A copy that pauses in every batch, or fails from its batch of a number on.
struct Replica {
    hash: Hash,
    pause: Duration,
    fails: Option<usize>,
    batches: Arc<AtomicUsize>,
}

impl Model for Replica {
    fn vocab_size(&self) -> usize {
        self.hash.vocab_size()
    }

    fn context_len(&self) -> usize {
        self.hash.context_len()
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        let number = self.batches.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(self.pause);
        if self.fails.is_some_and(|fails| number >= fails) {
            return Err(Error::backend("hash", "no memory"));
        }
        self.hash.log_likelihoods(batch)
    }
}

/// Copies that pause for so many microseconds per batch and may fail, and the number of batches each
/// was given.
fn copies(of: &[(u64, Option<usize>)]) -> (Vec<Replica>, Vec<Arc<AtomicUsize>>) {
    let copies = of.iter().map(|&(pause, fails)| {
        let batches = Arc::default();
        let replica = Replica {
            hash: Hash::new(64),
            pause: Duration::from_micros(pause),
            fails,
            batches: Arc::clone(&batches),
        };
        (replica, batches)
    });
    copies.unzip()
}

fn evaluation(models: &[Replica]) -> Evaluation<'_> {
    Evaluation::new(&models[0])
        .replicas(&models[1..])
        .batch_tokens(150)
}

fn sum(given: &[Arc<AtomicUsize>]) -> usize {
    given.iter().map(|c| c.load(Ordering::SeqCst)).sum()
}

#[test]
fn replicas_share_the_batches_and_answer_as_one_model() {
    let items = Items::new("test", few_shot(20)).unwrap();
    let indices: Vec<usize> = (0..items.len()).collect();
    let follow = |evaluation: Evaluation<'_>| {
        let steps = RefCell::new(Vec::new());
        let mut order = Vec::new();
        evaluation
            .progress(|progress| steps.borrow_mut().push(progress))
            .for_each(&items, &indices, |index, answer| {
                order.push((index, answer));
                Ok(())
            })
            .unwrap();
        (order, steps.into_inner())
    };
    let whole = follow(Evaluation::new(&Hash::new(64)).batch_tokens(150));
    assert!(whole.1.len() > 20);
    // However fast each is, answers, their order and the progress are those of one model.
    for pauses in [&[0][..], &[0, 0], &[2000, 0], &[0, 300, 900]] {
        let pauses: Vec<_> = pauses.iter().map(|&pause| (pause, None)).collect();
        let (models, given) = copies(&pauses);
        assert!(follow(evaluation(&models)) == whole);
        assert_eq!(sum(&given), whole.1.len(), "{given:?}");
    }
}

#[test]
fn the_error_of_a_replica_ends_all_of_them_and_names_it() {
    let items = Items::new("test", few_shot(20)).unwrap();
    // The one that fails is the fastest by far: on a busy machine the others would else be done before it.
    let (models, given) = copies(&[(20_000, None), (0, Some(3)), (20_000, None)]);
    let error = evaluation(&models).log_likelihoods(&items).unwrap_err();
    assert_eq!(error.to_string(), "backend `hash, replica 1`: no memory");
    assert_eq!(given[1].load(Ordering::SeqCst), 4);

    // An error of the sink ends them too: no replica begins more than it can hand over.
    let (models, given) = copies(&[(0, None), (0, None)]);
    let indices: Vec<usize> = (0..items.len()).collect();
    let error = evaluation(&models).for_each(&items, &indices, |_, answer: Likelihoods| {
        Err(Error::item(answer.id, "is not wanted"))
    });
    assert!(error.unwrap_err().to_string().contains("is not wanted"));
    assert!(sum(&given) < 20, "{given:?}");
}

#[test]
fn copies_of_other_sizes_are_refused() {
    let items = Items::new("test", few_shot(1)).unwrap();
    let evaluation = |context| {
        let other = Hash::new(context);
        Evaluation::new(&Hash::new(64))
            .replicas([&other])
            .log_likelihoods(&items)
    };
    assert!(evaluation(64).is_ok());
    let error = evaluation(32).unwrap_err().to_string();
    assert_eq!(
        error,
        "option `replicas`: replica 1 has vocabulary and context (1000, 32), replica 0 has (1000, 64)"
    );
}
