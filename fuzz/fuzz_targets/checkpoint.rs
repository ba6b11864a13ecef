//! Any bytes as a checkpoint folder: they load or are refused, never panic, and never allocate more
//! than the length of the files.
//!
//! The input is three parts, each after its length in two bytes: `config.json`, the index of the
//! shards (none if empty) and the header of a safetensors file. The rest is the file's data. An
//! empty configuration or header stands for that of a real checkpoint, so that the fuzzer reaches
//! beyond them.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::backend::Reference;
use relscale::model::{Batch, Model, Transformer};

const FIXTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/fixtures/checkpoints/llama-plain"
);

/// The folder of this process.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let name = format!("relscale-fuzz-checkpoint-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    })
}

/// The next part of the input, and what follows it.
fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.split_first_chunk::<2>() {
        Some((len, rest)) => rest.split_at(rest.len().min(u16::from_le_bytes(*len).into())),
        None => (&[], &[]),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (config, rest) = part(bytes);
    let (index, rest) = part(rest);
    let (header, data) = part(rest);
    let dir = folder();
    let fixture = |name: &str| fs::read(format!("{FIXTURE}/{name}")).unwrap();
    let config = if config.is_empty() {
        fixture("config.json")
    } else {
        config.to_vec()
    };
    fs::write(dir.join("config.json"), config).unwrap();
    let index_path = dir.join("model.safetensors.index.json");
    let _ = fs::remove_file(&index_path);
    if !index.is_empty() {
        fs::write(&index_path, index).unwrap();
    }
    let file = if header.is_empty() {
        // The real file with edits: an offset in four bytes and a value each.
        let mut file = fixture("model.safetensors");
        for edit in data.chunks_exact(5) {
            let at = u32::from_le_bytes([edit[0], edit[1], edit[2], edit[3]]) as usize % file.len();
            file[at] = edit[4];
        }
        file
    } else {
        [&(header.len() as u64).to_le_bytes(), header, data].concat()
    };
    fs::write(dir.join("model.safetensors"), file).unwrap();
    match Transformer::load(dir, Reference::<f32>::new()) {
        Ok(model) => {
            let mut batch = Batch::new();
            let segment = batch
                .segment(None, &[0, 1 % model.vocab_size() as u32])
                .unwrap();
            batch.target(segment, 0, 0).unwrap();
            // Finite weights may still overflow, so the answer may be an error.
            let _ = model.log_likelihoods(&batch);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
