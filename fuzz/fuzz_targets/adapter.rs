//! Any bytes as a LoRA adapter on a real base: it loads or is refused, and never panics.
//!
//! The first byte tells what follows: `adapter_config.json`, edits of the matrices of one of three real
//! adapters (an offset in two bytes and a value each), or the header of a safetensors file.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::backend::Reference;
use relscale::checkpoint::Checkpoint;
use relscale::model::{Batch, Model, Transformer};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");
/// Adapters, with the files of their matrices and their bases.
const ADAPTERS: [(&str, &str, &str); 3] = [
    (
        "patterns",
        "adapter_model.safetensors",
        "checkpoints/llama-plain",
    ),
    (
        "gpt2",
        "adapter_model.safetensors",
        "architectures/gpt2-gelu",
    ),
    ("whole", "adapter_model.bin", "checkpoints/llama-plain"),
];

/// The folder of this process for one of the adapters.
fn folder(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let all = FOLDER.get_or_init(|| {
        let name = format!("relscale-fuzz-adapter-{}", std::process::id());
        std::env::temp_dir().join(name)
    });
    let folder = all.join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, rest)) = bytes.split_first() else {
        return;
    };
    let (name, file, base) = ADAPTERS[usize::from(kind) % ADAPTERS.len()];
    let folder = folder(name);
    let fixture = |file: &str| fs::read(format!("{FIXTURES}/adapters/{name}/{file}")).unwrap();
    let (mut config, mut matrices) = (fixture("adapter_config.json"), fixture(file));
    match usize::from(kind) / ADAPTERS.len() {
        0 => config = rest.to_vec(),
        1 => {
            for edit in rest.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % matrices.len();
                matrices[at] = edit[2];
            }
        }
        // Numbers follow that are more than enough for small matrices.
        _ => matrices = [&(rest.len() as u64).to_le_bytes(), rest, &[0; 4096]].concat(),
    }
    fs::write(folder.join("adapter_config.json"), config).unwrap();
    fs::write(folder.join(file), matrices).unwrap();
    let checkpoint = Checkpoint::from(&folder).with_base(format!("{FIXTURES}/{base}"));
    match Transformer::load(checkpoint, Reference::<f32>::new()) {
        Ok(model) => {
            let mut batch = Batch::new();
            let segment = batch.segment(None, &[0, 1]).unwrap();
            batch.target(segment, 0, 0).unwrap();
            // Finite weights may still overflow, so the answer may be an error.
            let _ = model.log_likelihoods(&batch);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
