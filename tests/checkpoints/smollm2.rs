//! A real model end to end: SmolLM2-135M from its GGUF file, against transformers on the same
//! dequantised weights. Opt-in, as the file has 98 MB:
//!
//! ```sh
//! bash tests/smollm2/fetch.sh
//! cargo test --test checkpoints -- --ignored --nocapture smollm2
//! ```
#![cfg(feature = "tokenizers")]

use crate::common;

use std::path::Path;

use relscale::backend::Reference;
use relscale::model::{Batch, Model, Transformer};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;

#[test]
#[ignore = "needs tests/smollm2/fetch.sh"]
fn smollm2_has_the_bits_per_byte_of_transformers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("target/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
    let golden: serde_json::Value = serde_json::from_str(
        &std::fs::read_to_string(root.join("tests/smollm2/golden.json")).unwrap(),
    )
    .unwrap();
    let numbers = |v: &serde_json::Value| -> Vec<f64> {
        let list = v.as_array().unwrap();
        list.iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let text = std::fs::read_to_string(root.join("LICENSE-APACHE")).unwrap();
    let tokenizer = Tokenizer::load(&file).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.adds_bos()), (Some(1), false));
    let tokens = tokenizer.encode(&text).unwrap().tokens;
    let want: Vec<u32> = numbers(&golden["tokens"])
        .iter()
        .map(|&t| t as u32)
        .collect();
    assert_eq!(tokens, want);
    let json = Tokenizer::load(common::material("tokenizers/smollm2")).unwrap();
    assert_eq!(tokens, json.encode(&text).unwrap().tokens);

    let model = Transformer::load(&file, Cpu::new()).unwrap();
    // Both in f32; the same model in f64 says how far each is from the truth.
    let first = numbers(&golden["first_logprobs"]);
    let exact = Transformer::load(&file, Reference::<f64>::new()).unwrap();
    let mut batch = Batch::new();
    common::rolling(&mut batch, &tokens[..=first.len()]);
    let truth = exact.log_likelihoods(&batch).unwrap();
    let ours = common::worst(&model.log_likelihoods(&batch).unwrap(), &truth);
    let theirs = common::worst(&first, &truth);
    println!("first 64 tokens, from f64: ours {ours:.1e}, transformers {theirs:.1e} nats");

    let mut nats = 0.0;
    let windows = tokens.chunks(golden["window"].as_u64().unwrap() as usize);
    for (window, want) in windows.zip(numbers(&golden["window_nats"])) {
        let mut batch = Batch::new();
        common::rolling(&mut batch, window);
        let got = model.log_likelihoods(&batch).unwrap();
        let sum = -got.iter().sum::<f64>();
        assert!((sum - want).abs() < 1e-2, "{sum} nats, not {want}");
        nats += sum;
    }
    let bits = nats / std::f64::consts::LN_2 / text.len() as f64;
    let want = golden["bits_per_byte"].as_f64().unwrap();
    println!("{bits:.6} bits per byte, transformers {want:.6}");
    assert!((bits - want).abs() < 1e-4);
    assert!(ours < 5e-3 && theirs < 5e-3, "{ours:e} {theirs:e}");
}
