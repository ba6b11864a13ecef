//! Any bytes as a forest of segments with targets: the CPU backend does not panic. It gives every
//! target, bit for bit, what the target's path gives alone and after a prefix computed before.
//!
//! The first byte picks the model. Each three bytes after it add a segment (odd first byte: its
//! parent, its length, its first token) or a target (even: its segment, its offset, its token).
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::Cpu;

fn models() -> &'static [Transformer<Cpu>; 2] {
    static MODELS: OnceLock<[Transformer<Cpu>; 2]> = OnceLock::new();
    MODELS.get_or_init(|| {
        ["llama-gqa-tied-bf16", "qwen3-gqa"].map(|name| {
            let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/checkpoints");
            let cpu = Cpu::with_threads(1).unwrap();
            Transformer::load(format!("{fixtures}/{name}"), cpu).unwrap()
        })
    })
}

/// A batch and, beside it, its meaning as plain sequences.
#[derive(Default)]
struct Forest {
    batch: Batch,
    /// The tokens from the root to the end of each segment.
    paths: Vec<Vec<u32>>,
    /// The tokens up to each target, and the target's token.
    targets: Vec<(Vec<u32>, u32)>,
}

impl Forest {
    fn read(mut bytes: impl Iterator<Item = u8>) -> Self {
        let (mut forest, mut total) = (Self::default(), 0);
        while let Some(op) = bytes.next() {
            let (a, b) = (bytes.next().unwrap_or(0), bytes.next().unwrap_or(0));
            // Limits keep one input fast.
            if op % 2 == 0 && forest.targets.len() < 24 {
                forest.add_target(usize::from(op / 2), usize::from(a), u32::from(b));
            } else if total < 600 {
                total += forest.add_segment(usize::from(op / 2), a, b);
            }
        }
        forest
    }

    /// A target, possibly of a segment or an offset that is not there.
    fn add_target(&mut self, segment: usize, offset: usize, token: u32) {
        let segment = segment % (self.paths.len() + 1);
        let added = self.batch.target(segment, offset, token);
        let there = self.batch.segments().get(segment);
        let there = there.filter(|s| offset < s.len);
        assert_eq!(added.is_ok(), there.is_some());
        if let Some(s) = there {
            let path = self.paths[segment][..s.position + offset + 1].to_vec();
            self.targets.push((path, token));
        }
    }

    /// A segment, possibly empty, possibly of a parent that is not there. Returns its length.
    fn add_segment(&mut self, parent: usize, len: u8, first: u8) -> usize {
        let parent = match parent % (self.paths.len() + 2) {
            0 => None,
            p => Some(p - 1),
        };
        let tokens: Vec<u32> = (0..u32::from(len))
            .map(|i| (i * 7 + u32::from(first)) % 64)
            .collect();
        let added = self.batch.segment(parent, &tokens);
        let fine = !tokens.is_empty() && parent.is_none_or(|p| p < self.paths.len());
        assert_eq!(added.is_ok(), fine);
        if !fine {
            return 0;
        }
        let path = [parent.map_or(&[][..], |p| &self.paths[p]), &tokens].concat();
        self.paths.push(path);
        tokens.len()
    }

    /// Returns true if the model can score the batch.
    fn fits(&self, model: &dyn Model) -> bool {
        let known = |token: &u32| (*token as usize) < model.vocab_size();
        self.paths.iter().flatten().all(known)
            && self.targets.iter().all(|(_, token)| known(token))
            && self.paths.iter().all(|p| p.len() <= model.context_len())
    }
}

/// The log-likelihood of `token` after `path`.
fn score(model: &dyn Model, path: &[u32], token: u32) -> f64 {
    let mut batch = Batch::new();
    let segment = batch.segment(None, path).unwrap();
    batch.target(segment, path.len() - 1, token).unwrap();
    model.log_likelihoods(&batch).unwrap()[0]
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let model = &models()[usize::from(first % 2)];
    let forest = Forest::read(rest.iter().copied());
    let scores = model.log_likelihoods(&forest.batch);
    assert_eq!(scores.is_ok(), forest.fits(model), "{scores:?}");
    let Ok(scores) = scores else { return };
    assert_eq!(scores.len(), forest.targets.len());
    for ((path, token), together) in forest.targets.iter().zip(scores) {
        let (path, token) = (path.as_slice(), *token);
        assert!(together.is_finite());
        let alone = score(model, path, token);
        assert_eq!(together.to_bits(), alone.to_bits(), "{path:?} then {token}");
        // A place to cut that differs from path to path.
        let cut = (7 * path.len() + token as usize) % path.len();
        if cut > 0 {
            let (prefix, rest) = path.split_at(cut);
            let after = score(&model.with_prefix(prefix).unwrap(), rest, token);
            assert_eq!(
                together.to_bits(),
                after.to_bits(),
                "{prefix:?} before {rest:?}"
            );
        }
    }
});
