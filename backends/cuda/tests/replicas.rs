//! Two devices with a copy of one checkpoint each score as one.

mod common;

use std::path::Path;

use common::on_machine;
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::{Options, log_likelihoods};
use relscale::model::{Model, Replicas, Transformer};
use relscale_cuda::{Cuda, Precision};

#[test]
fn two_devices_score_as_one() {
    on_machine(&[("RELSCALE_SIM_DEVICES", "2")], || {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let checkpoint = fixtures.join("checkpoints/qwen3-gqa");
        let load = |device: usize| -> Box<dyn Model> {
            let cuda = Cuda::on_device(device, Precision::F32).unwrap();
            Box::new(Transformer::load(&checkpoint, cuda).unwrap())
        };
        let item = |i: u32| Item {
            id: i.to_string(),
            cluster: i.to_string(),
            content: Content::Tokens((0..4 + i % 3).map(|t| (i * 31 + t * 7) % 149).collect()),
        };
        let items = Items::new("tokens", (0..7).map(item).collect()).unwrap();
        let options = Options {
            max_tokens: 8,
            ..Options::default()
        };
        let score = |model: &dyn Model| {
            let mut batches = 0;
            let answers =
                log_likelihoods(model, None, &items, &options, &mut |_| batches += 1).unwrap();
            (answers, batches)
        };
        let one = score(&*load(0));
        assert!(one.1 >= 3, "{} batches", one.1);
        let two = score(&Replicas::new(vec![load(0), load(1)]).unwrap());
        // To the bit.
        assert_eq!(one, two);
    });
}
