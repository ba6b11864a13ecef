//! Any bytes as a forest of segments with targets: the CPU backend does not panic, and gives every
//! target, bit for bit, what it gives the target's path alone, and the part of it after a prefix that
//! was computed before.
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

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.iter().copied();
    let Some(first) = bytes.next() else { return };
    let model = &models()[usize::from(first % 2)];
    let mut batch = Batch::new();
    // Token paths, kept beside the batch as what it should mean.
    let mut paths: Vec<Vec<u32>> = Vec::new();
    let mut targets: Vec<(Vec<u32>, u32)> = Vec::new();
    let mut total = 0;
    while let Some(op) = bytes.next() {
        let (a, b) = (bytes.next().unwrap_or(0), bytes.next().unwrap_or(0));
        if op % 2 == 0 && targets.len() < 24 {
            // A target, possibly of a segment or an offset that is not there.
            let (segment, token) = (usize::from(op / 2) % (paths.len() + 1), u32::from(b));
            let added = batch.target(segment, usize::from(a), token);
            let path = batch
                .segments()
                .get(segment)
                .filter(|s| usize::from(a) < s.len);
            assert_eq!(added.is_ok(), path.is_some());
            if let Some(s) = path {
                targets.push((
                    paths[segment][..s.position + usize::from(a) + 1].to_vec(),
                    token,
                ));
            }
        } else if total < 600 {
            // A segment, possibly empty, possibly of a parent that is not there.
            let parent = match usize::from(op / 2) % (paths.len() + 2) {
                0 => None,
                p => Some(p - 1),
            };
            let tokens: Vec<u32> = (0..u32::from(a))
                .map(|i| (i * 7 + u32::from(b)) % 64)
                .collect();
            let added = batch.segment(parent, &tokens);
            let fine = !tokens.is_empty() && parent.is_none_or(|p| p < paths.len());
            assert_eq!(added.is_ok(), fine);
            if fine {
                total += tokens.len();
                paths.push([parent.map_or(&[][..], |p| &paths[p]), &tokens].concat());
            }
        }
    }
    let known = |(path, token): &(Vec<u32>, u32)| {
        let vocab = model.vocab_size() as u32;
        *token < vocab && path.iter().all(|&t| t < vocab)
    };
    let fits = targets.iter().all(known)
        && paths.iter().all(|p| p.len() <= model.context_len())
        && paths
            .iter()
            .flatten()
            .all(|&t| (t as usize) < model.vocab_size());
    let scores = model.log_likelihoods(&batch);
    assert_eq!(scores.is_ok(), fits, "{scores:?}");
    let Ok(scores) = scores else { return };
    assert_eq!(scores.len(), targets.len());
    for ((path, token), score) in targets.iter().zip(scores) {
        let mut alone = Batch::new();
        let segment = alone.segment(None, path).unwrap();
        alone.target(segment, path.len() - 1, *token).unwrap();
        let alone = model.log_likelihoods(&alone).unwrap()[0];
        assert!(score.is_finite());
        assert_eq!(score.to_bits(), alone.to_bits(), "{path:?} then {token}");
        // Some place to cut, which differs from path to path.
        let cut = (7 * path.len() + *token as usize) % path.len();
        if cut > 0 {
            let (prefix, rest) = path.split_at(cut);
            let mut after = Batch::new();
            let segment = after.segment(None, rest).unwrap();
            after.target(segment, rest.len() - 1, *token).unwrap();
            let after = model
                .with_prefix(prefix)
                .unwrap()
                .log_likelihoods(&after)
                .unwrap()[0];
            assert_eq!(
                score.to_bits(),
                after.to_bits(),
                "{prefix:?} before {rest:?}"
            );
        }
    }
});
