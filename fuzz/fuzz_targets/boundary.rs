//! Any context and continuation, cut by any of several tokenizers: the tokens are those of the
//! whole text, the continuation is never empty, every byte is counted once; and any text in any
//! windows has every token scored once.
//!
//! The input is a tokenizer, window options and two texts (the second after a NUL).
#![no_main]

use std::fs;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::Error;
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::model::{Batch, Model};
use relscale::tokenizer::Tokenizer;
use serde_json::{Value, json};

/// Says the same of everything.
struct Flat(usize);

impl Model for Flat {
    fn vocab_size(&self) -> usize {
        1000
    }

    fn context_len(&self) -> usize {
        self.0
    }

    fn log_likelihoods(&self, batch: &Batch) -> Result<Vec<f64>, Error> {
        assert!(batch.depth() <= self.0);
        Ok(vec![-1.0; batch.targets().len()])
    }
}

/// The id of the special token `<end>`.
const END: u32 = 999;

/// The characters that stand for bytes in byte-level vocabularies.
fn byte_characters() -> Vec<String> {
    let mut next = 256;
    let mut character = |byte: u32| match byte {
        33..=126 | 161..=172 | 174..=255 => byte,
        _ => {
            next += 1;
            next - 1
        }
    };
    let all = (0..256).map(&mut character);
    all.map(|c| char::from_u32(c).unwrap().to_string())
        .collect()
}

fn tokenizer_json(kind: usize) -> Value {
    let special = json!({"id": END, "content": "<end>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true});
    let (pre, normalizer, symbols, byte_fallback) = match kind {
        // As GPT-2 and Llama 3.
        0 => {
            let pre = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": true});
            (pre, Value::Null, byte_characters(), false)
        }
        // As Llama 2: a marker for every space, bytes where there is no character.
        1 => {
            let mut symbols: Vec<String> = (0..=255).map(|b| format!("<0x{b:02X}>")).collect();
            symbols.extend("▁abcdefghijklmnopqrstuvwxyz.,:?é".chars().map(String::from));
            let pre = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first",
                "split": false});
            (pre, Value::Null, symbols, true)
        }
        // A normalizer that changes lengths and drops characters it does not know.
        _ => {
            let symbols = "▁abcdefghijklmnopqrstuvwxyz".chars().map(String::from);
            let pre = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
                "split": true});
            let normalizer = json!({"type": "Sequence", "normalizers": [
                {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"},
                {"type": "Strip", "strip_left": true, "strip_right": true}]});
            (pre, normalizer, symbols.collect(), false)
        }
    };
    let space = symbols
        .iter()
        .find(|s| *s == "▁" || *s == "Ġ")
        .unwrap()
        .clone();
    let mut vocab: Vec<String> = symbols;
    let mut merges = Vec::new();
    for (a, b) in [
        ("a", "b"),
        ("e", "r"),
        ("ab", "er"),
        (" ", "a"),
        (" ", "ab"),
        ("a", "a"),
        (" ", " "),
    ] {
        let (a, b) = (a.replace(' ', &space), b.replace(' ', &space));
        vocab.push(format!("{a}{b}"));
        merges.push(json!([a, b]));
    }
    // The id of an added token that the vocabulary does not have is its place after the last.
    while vocab.len() < END as usize {
        vocab.push(format!("\u{e000}{}", vocab.len()));
    }
    let vocab: serde_json::Map<String, Value> = vocab
        .into_iter()
        .enumerate()
        .map(|(i, v)| (v, i.into()))
        .collect();
    json!({"version": "1.0", "truncation": null, "padding": null, "normalizer": normalizer,
        "added_tokens": [special], "pre_tokenizer": pre, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": byte_fallback, "vocab": vocab, "merges": merges}})
}

fn tokenizers() -> &'static [Tokenizer] {
    static ALL: OnceLock<Vec<Tokenizer>> = OnceLock::new();
    ALL.get_or_init(|| {
        let dir =
            std::env::temp_dir().join(format!("relscale-fuzz-boundary-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut all = vec![Tokenizer::bytes()];
        for kind in 0..3 {
            fs::write(dir.join("tokenizer.json"), tokenizer_json(kind).to_string()).unwrap();
            all.push(Tokenizer::load(&dir).unwrap());
        }
        let parsed = Tokenizer::load(&dir)
            .unwrap()
            .with_special_tokens_parsed(true);
        assert_eq!(parsed.encode("<end>").unwrap().tokens, [END]);
        all
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[kind, window, stride, flags], bytes)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    // Long texts find nothing that short ones do not.
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(512)]);
    let (context, continuation) = text.split_once('\0').unwrap_or(("", &text));
    let tokenizer = &tokenizers()[usize::from(kind) % tokenizers().len()];

    let whole = format!("{context}{continuation}");
    let encoding = tokenizer.encode(&whole).unwrap();
    assert!(!encoding.tokens.contains(&END));
    assert!(encoding.first_token_bytes <= whole.len());
    match tokenizer.encode_pair(context, continuation) {
        Ok(pair) => {
            assert!(!pair.continuation.is_empty());
            assert_eq!([pair.context, pair.continuation].concat(), encoding.tokens);
            let trailing = context.len() - context.trim_end().len();
            assert_eq!(pair.bytes, continuation.len() + trailing + pair.spanned);
            assert!(pair.bytes <= whole.len());
        }
        Err(_) => assert!(continuation.is_empty() || encoding.tokens.is_empty()),
    }

    let model = Flat(1 + usize::from(window) % 32);
    let bos = match flags % 3 {
        0 => Bos::Never,
        1 => Bos::First(END),
        _ => Bos::EveryWindow(END),
    };
    let settings = Settings {
        bos,
        stride: Some(1 + usize::from(stride) % model.0),
        batch_tokens: 1 + usize::from(flags / 3) % 40,
        truncate: flags & 128 != 0,
        ..Settings::default()
    };
    let mut items = vec![Content::Text(whole.clone())];
    if !continuation.is_empty() {
        items.push(Content::Choices {
            context: context.to_owned(),
            choices: vec![continuation.to_owned(), " b".to_owned()],
            gold: 0,
            unconditional: (flags & 64 != 0).then(|| "a:".to_owned()),
        });
    }
    for content in items {
        let item = Item {
            id: "i".to_owned(),
            cluster: "c".to_owned(),
            content,
        };
        let Ok(items) = Items::new("fuzz", vec![item]) else {
            return;
        };
        let evaluation = Evaluation::new(&model)
            .tokenizer(tokenizer)
            .settings(settings);
        match evaluation.log_likelihoods(&items) {
            Ok(answers) => {
                let answer = &answers[0];
                // Each target was answered: no place is left at zero.
                let sequences = answer.sequences.iter().chain(&answer.unconditional);
                for sequence in sequences {
                    assert!(!sequence.log_likelihoods.is_empty());
                    assert!(sequence.log_likelihoods.iter().all(|v| *v == -1.0));
                }
                let sequence = &answer.sequences[0];
                if answer.gold.is_none() {
                    let unscored = usize::from(bos == Bos::Never);
                    assert_eq!(
                        sequence.log_likelihoods.len() + unscored,
                        encoding.tokens.len()
                    );
                    let unscored = unscored * encoding.first_token_bytes;
                    assert_eq!(sequence.bytes, Some(whole.len() - unscored));
                }
            }
            Err(error) => assert!(error.to_string().contains("`i`")),
        }
    }
});
