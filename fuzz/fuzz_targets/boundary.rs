//! Any context and continuation, cut by any of four tokenizers: the tokens are those of the whole
//! text, the continuation is never empty, and every byte is counted once. In any windows every token
//! of a text is scored once.
//!
//! The first four bytes choose the tokenizer and the window options. Two texts follow, separated by
//! NUL.
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

/// A model of this context length that gives every token a log-likelihood of −1.
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

/// The parts in which the tokenizers differ.
struct Kind {
    pre_tokenizer: Value,
    normalizer: Value,
    symbols: Vec<String>,
    byte_fallback: bool,
}

impl Kind {
    /// As GPT-2 and Llama 3.
    fn byte_level() -> Self {
        Self {
            pre_tokenizer: json!({"type": "ByteLevel", "add_prefix_space": false,
                "trim_offsets": true, "use_regex": true}),
            normalizer: Value::Null,
            symbols: byte_characters(),
            byte_fallback: false,
        }
    }

    /// As Llama 2: a marker for every space, and bytes for characters not in the vocabulary.
    fn marked_spaces() -> Self {
        let mut symbols: Vec<String> = (0..=255).map(|b| format!("<0x{b:02X}>")).collect();
        symbols.extend("▁abcdefghijklmnopqrstuvwxyz.,:?é".chars().map(String::from));
        Self {
            pre_tokenizer: json!({"type": "Metaspace", "replacement": "▁",
                "prepend_scheme": "first", "split": false}),
            normalizer: Value::Null,
            symbols,
            byte_fallback: true,
        }
    }

    /// A normalizer that changes lengths and drops unknown characters.
    fn normalizing() -> Self {
        Self {
            pre_tokenizer: json!({"type": "Metaspace", "replacement": "▁",
                "prepend_scheme": "always", "split": true}),
            normalizer: json!({"type": "Sequence", "normalizers": [
                {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"},
                {"type": "Strip", "strip_left": true, "strip_right": true}]}),
            symbols: "▁abcdefghijklmnopqrstuvwxyz"
                .chars()
                .map(String::from)
                .collect(),
            byte_fallback: false,
        }
    }

    /// The vocabulary with a few merges, and those merges.
    fn vocabulary(&self) -> (serde_json::Map<String, Value>, Vec<Value>) {
        let space = self.symbols.iter().find(|s| *s == "▁" || *s == "Ġ");
        let space = space.unwrap();
        let mut vocab = self.symbols.clone();
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
            let (a, b) = (a.replace(' ', space), b.replace(' ', space));
            vocab.push(format!("{a}{b}"));
            merges.push(json!([a, b]));
        }
        // An added token gets the id after the last one of the vocabulary, so fill up to `END`.
        while vocab.len() < END as usize {
            vocab.push(format!("\u{e000}{}", vocab.len()));
        }
        let ids = vocab.into_iter().enumerate();
        (ids.map(|(i, v)| (v, i.into())).collect(), merges)
    }

    fn tokenizer_json(&self) -> Value {
        let special = json!({"id": END, "content": "<end>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true});
        let (vocab, merges) = self.vocabulary();
        json!({"version": "1.0", "truncation": null, "padding": null,
            "normalizer": self.normalizer, "added_tokens": [special],
            "pre_tokenizer": self.pre_tokenizer, "post_processor": null, "decoder": null,
            "model": {"type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": self.byte_fallback, "vocab": vocab, "merges": merges}})
    }
}

fn tokenizers() -> &'static [Tokenizer] {
    static ALL: OnceLock<Vec<Tokenizer>> = OnceLock::new();
    ALL.get_or_init(|| {
        let dir =
            std::env::temp_dir().join(format!("relscale-fuzz-boundary-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut all = vec![Tokenizer::bytes()];
        for kind in [
            Kind::byte_level(),
            Kind::marked_spaces(),
            Kind::normalizing(),
        ] {
            let json = kind.tokenizer_json().to_string();
            fs::write(dir.join("tokenizer.json"), json).unwrap();
            all.push(Tokenizer::load(&dir).unwrap());
        }
        let parsed = Tokenizer::load(&dir)
            .unwrap()
            .with_special_tokens_parsed(true);
        assert_eq!(parsed.encode("<end>").unwrap().tokens, [END]);
        all
    })
}

/// The pair has the tokens of the whole text, and counts the bytes of its continuation.
fn check_pair(tokenizer: &Tokenizer, context: &str, continuation: &str) {
    let whole = format!("{context}{continuation}");
    let tokens = tokenizer.encode(&whole).unwrap().tokens;
    match tokenizer.encode_pair(context, continuation) {
        Ok(pair) => {
            assert!(!pair.continuation.is_empty());
            assert_eq!([pair.context, pair.continuation].concat(), tokens);
            let trailing = context.len() - context.trim_end().len();
            assert_eq!(pair.bytes, continuation.len() + trailing + pair.spanned);
            assert!(pair.bytes <= whole.len());
        }
        Err(_) => assert!(continuation.is_empty() || tokens.is_empty()),
    }
}

fn options([window, stride, flags]: [u8; 3]) -> (Flat, Settings) {
    let model = Flat(1 + usize::from(window) % 32);
    let bos = match flags % 3 {
        0 => Bos::Never,
        1 => Bos::First(END),
        _ => Bos::EveryWindow(END),
    };
    let options = Settings {
        bos,
        stride: Some(1 + usize::from(stride) % model.0),
        batch_tokens: 1 + usize::from(flags / 3) % 40,
        truncate: flags & 128 != 0,
        ..Settings::default()
    };
    (model, options)
}

/// Every token of an item has the model's −1, and a text counts every byte that is scored.
fn check_item(tokenizer: &Tokenizer, content: Content, settings: [u8; 3]) {
    let (model, options) = options(settings);
    let text = match &content {
        Content::Text(text) => Some(text.clone()),
        _ => None,
    };
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
        .settings(options);
    let answers = match evaluation.log_likelihoods(&items) {
        Ok(answers) => answers,
        Err(error) => return assert!(error.to_string().contains("`i`")),
    };
    let answer = &answers[0];
    // A target without an answer would have been left at zero.
    for sequence in answer.sequences.iter().chain(&answer.unconditional) {
        assert!(!sequence.log_likelihoods.is_empty());
        assert!(sequence.log_likelihoods.iter().all(|v| *v == -1.0));
    }
    if let Some(text) = text {
        let sequence = &answer.sequences[0];
        let encoding = tokenizer.encode(&text).unwrap();
        // Without a BOS the first token has no context to be scored in.
        let unscored = usize::from(options.bos == Bos::Never);
        let scored = sequence.log_likelihoods.len();
        assert_eq!(scored + unscored, encoding.tokens.len());
        let unscored = unscored * encoding.first_token_bytes;
        assert_eq!(sequence.bytes, Some(text.len() - unscored));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[kind, settings @ ..], bytes)) = bytes.split_first_chunk::<4>() else {
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
    check_pair(tokenizer, context, continuation);
    check_item(tokenizer, Content::Text(whole), settings);
    if !continuation.is_empty() {
        let flags = settings[2];
        let choices = Content::Choices {
            context: context.to_owned(),
            choices: vec![continuation.to_owned(), " b".to_owned()],
            gold: 0,
            unconditional: (flags & 64 != 0).then(|| "a:".to_owned()),
        };
        check_item(tokenizer, choices, settings);
    }
});
