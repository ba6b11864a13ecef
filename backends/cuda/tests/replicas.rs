//! Two devices with a copy of one checkpoint each score as one.

mod common;

use std::cell::Cell;

use common::{fixtures, on_machine};
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::Evaluation;
use relscale::model::Transformer;
use relscale_cuda::{Cuda, Precision};

#[test]
fn two_devices_score_as_one() {
    on_machine(&[("RELSCALE_SIM_DEVICES", "2")], || {
        let checkpoint = fixtures().join("checkpoints/qwen3-gqa");
        let load = |device: usize| {
            let cuda = Cuda::on_device(device, Precision::F32).unwrap();
            Transformer::load(&checkpoint, cuda).unwrap()
        };
        let item = |i: u32| Item {
            id: i.to_string(),
            cluster: i.to_string(),
            content: Content::Tokens((0..4 + i % 3).map(|t| (i * 31 + t * 7) % 149).collect()),
        };
        let items = Items::new("tokens", (0..7).map(item).collect()).unwrap();
        let score = |evaluation: Evaluation<'_>| {
            let batches = Cell::new(0);
            let answers = evaluation
                .batch_tokens(8)
                .progress(|_| batches.set(batches.get() + 1))
                .log_likelihoods(&items)
                .unwrap();
            (answers, batches.get())
        };
        let (first, second) = (load(0), load(1));
        let one = score(Evaluation::new(&first));
        assert!(one.1 >= 3, "{} batches", one.1);
        let two = score(Evaluation::new(&first).replicas([&second]));
        // To the bit.
        assert_eq!(one, two);
    });
}
