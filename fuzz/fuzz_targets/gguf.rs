//! Any bytes as a GGUF file: they load or are refused, as a model and as a tokenizer, and never panic.
//!
//! The first byte tells what follows: edits of one of five real files (an offset in two bytes and a
//! value each), so that the fuzzer reaches beyond the header, edits of one of the parts of two models in
//! several files, or a whole file.
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

/// The parts of a model whose tensors are spread over the files, and of one whose first file has the
/// metadata only.
const PARTS: [[&[u8]; 3]; 2] = [
    [
        include_bytes!("../../tests/fixtures/gguf/splits/tensors/llama-00001-of-00003.gguf"),
        include_bytes!("../../tests/fixtures/gguf/splits/tensors/llama-00002-of-00003.gguf"),
        include_bytes!("../../tests/fixtures/gguf/splits/tensors/llama-00003-of-00003.gguf"),
    ],
    [
        include_bytes!("../../tests/fixtures/gguf/splits/metadata/llama-00001-of-00003.gguf"),
        include_bytes!("../../tests/fixtures/gguf/splits/metadata/llama-00002-of-00003.gguf"),
        include_bytes!("../../tests/fixtures/gguf/splits/metadata/llama-00003-of-00003.gguf"),
    ],
];

/// A real file with edits.
fn edited(file: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for edit in edits.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % file.len();
        file[at] = edit[2];
    }
    file
}

/// The first of the parts of this process, after they are written; edits are those of one part.
fn parts(kind: usize, edits: &[u8]) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("relscale-fuzz-parts-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = |part: usize| folder.join(format!("llama-{part:05}-of-00003.gguf"));
    for (number, part) in PARTS[kind / 3].iter().enumerate() {
        let edits = if number == kind % 3 { edits } else { &[] };
        fs::write(path(number + 1), edited(part, edits)).unwrap();
    }
    path(1)
}

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
    let mut path = path().clone();
    match usize::from(kind) {
        kind @ 0..5 => fs::write(&path, edited(FILES[kind], rest)).unwrap(),
        kind @ 5..11 => path = parts(kind - 5, rest),
        _ => fs::write(&path, rest).unwrap(),
    }
    match Transformer::load(&path, Reference::<f32>::new()) {
        Ok(model) => {
            let mut batch = Batch::new();
            let tokens = [0, 1 % model.vocab_size() as u32];
            let segment = batch.segment(None, &tokens).unwrap();
            batch.target(segment, 0, 0).unwrap();
            let _ = model.log_likelihoods(&batch);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match Tokenizer::load(&path) {
        Ok(tokenizer) => {
            let _ = tokenizer.encode("It's 2024:  naïve\n🙂 <s>");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
