//! Any bytes as a GGUF file: they load or are refused, as a model and as a tokenizer, and never panic.
//!
//! The first byte tells what follows: edits of one of five real files (an offset in two bytes and a
//! value each), so that the fuzzer reaches beyond the header, or a whole file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::backend::Reference;
use relscale::model::{Batch, Model, Transformer};
use relscale::tokenizer::Tokenizer;

const FILES: [&[u8]; 5] = [
    include_bytes!("../../tests/fixtures/gguf/llama-q4_0.gguf"),
    include_bytes!("../../tests/fixtures/gguf/llama-q8_0.gguf"),
    include_bytes!("../../tests/fixtures/gguf/gemma2.gguf"),
    include_bytes!("../../tests/fixtures/gguf/tokenizers/llama-bpe.gguf"),
    include_bytes!("../../tests/fixtures/gguf/tokenizers/sentencepiece.gguf"),
];

/// The file of this process.
fn path() -> &'static PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        let name = format!("relscale-fuzz-{}.gguf", std::process::id());
        std::env::temp_dir().join(name)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else {
        return;
    };
    let path = path();
    match FILES.get(usize::from(kind)) {
        Some(file) => {
            let mut file = file.to_vec();
            for edit in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % file.len();
                file[at] = edit[2];
            }
            fs::write(path, file).unwrap();
        }
        None => fs::write(path, rest).unwrap(),
    }
    match Transformer::load(path, Reference::<f32>::new()) {
        Ok(model) => {
            let mut batch = Batch::new();
            let tokens = [0, 1 % model.vocab_size() as u32];
            let segment = batch.segment(None, &tokens).unwrap();
            batch.target(segment, 0, 0).unwrap();
            let _ = model.log_likelihoods(&batch);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match Tokenizer::load(path) {
        Ok(tokenizer) => {
            let _ = tokenizer.encode("It's 2024:  naïve\n🙂 <s>");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
