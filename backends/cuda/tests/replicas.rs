//! Several devices, or several batches under way on one, score as one device with one batch.

mod common;

use std::cell::Cell;

use common::{device, fixtures, on_device, on_machine};
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::Evaluation;
use relscale::model::Transformer;
use relscale::scorer::Likelihoods;
use relscale_cuda::{Cuda, Precision};

fn load(cuda: Cuda) -> Transformer<Cuda> {
    Transformer::load(fixtures().join("checkpoints/qwen3-gqa"), cuda).unwrap()
}

/// Log-likelihoods of seven items, and the number of batches.
fn score(evaluation: Evaluation<'_>) -> (Vec<Likelihoods>, u32) {
    let item = |i: u32| Item {
        id: i.to_string(),
        cluster: i.to_string(),
        content: Content::Tokens((0..4 + i % 3).map(|t| (i * 31 + t * 7) % 149).collect()),
    };
    let items = Items::new("tokens", (0..7).map(item).collect()).unwrap();
    let batches = Cell::new(0);
    let answers = evaluation
        .batch_tokens(8)
        .progress(|_| batches.set(batches.get() + 1))
        .log_likelihoods(&items)
        .unwrap();
    (answers, batches.get())
}

#[test]
fn two_devices_score_as_one() {
    on_machine(&[("RELSCALE_SIM_DEVICES", "2")], || {
        let [first, second] = [0, 1].map(|i| load(Cuda::on_device(i, Precision::F32).unwrap()));
        let one = score(Evaluation::new(&first));
        assert!(one.1 >= 3, "{} batches", one.1);
        let two = score(Evaluation::new(&first).replicas([&second]));
        // To the bit.
        assert_eq!(one, two);
    });
}

/// A model that is its own replica: the host prepares a batch while the device computes another.
#[test]
fn two_batches_under_way_score_as_one_after_the_other() {
    on_device(|| {
        for precision in [Precision::F32, Precision::Bf16] {
            let model = load(device(precision));
            let one = score(Evaluation::new(&model));
            let two = score(Evaluation::new(&model).replicas([&model, &model]));
            assert_eq!(one, two, "{precision:?}");
        }
    });
}
