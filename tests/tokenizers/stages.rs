//! Stages of a `tokenizer.json` in any order, over any text.

use proptest::prelude::*;
use relscale::tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::Folder;

/// Texts with what stages look for: spaces, marks, digits, letters of several bytes, and letters that a
/// normal form joins, cuts or moves.
fn text() -> impl Strategy<Value = String> {
    let letters = prop_oneof![
        any::<char>().prop_map(String::from),
        "[ab '0-9A\n▁é中ﬁŉİᾳ\u{301}\u{323}\u{ac00}\u{1100}\u{1161}\u{feff}\u{ad}]{1,4}",
        Just("  ".to_owned()),
        Just("<x>".to_owned()),
    ];
    prop::collection::vec(letters, 0..12).prop_map(|parts| parts.concat())
}

fn pattern() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::sample::select(vec!["a", " ", "", "é", "▁"]).prop_map(|s| json!({"String": s})),
        prop::sample::select(vec![
            "a",
            "^",
            "$",
            " {2,}",
            r"\s+",
            r"\b",
            "a*",
            "[^a]+",
            r"\s+(?!\S)|\s+",
            r"(?<=a)b",
            r"(?=a)",
            ".",
            r"\p{L}+|\p{N}{1,3}",
            r"a\K",
            "(a)|b",
            "(?i:a)",
            r"\d{1,3}(?=(?:\d{3})*\b)",
            "a++|b?+",
        ])
        .prop_map(|s| json!({"Regex": s})),
    ]
}

fn normalizer() -> impl Strategy<Value = Value> {
    let plain = [
        "NFC",
        "NFD",
        "NFKC",
        "NFKD",
        "Lowercase",
        "Nmt",
        "StripAccents",
        "ByteLevel",
    ];
    let short = prop::sample::select(vec!["", "a", "▁", "éx"]);
    let flags = || any::<[bool; 4]>();
    let one = prop_oneof![
        3 => prop::sample::select(plain.to_vec()).prop_map(|kind| json!({"type": kind})),
        1 => flags().prop_map(|[a, b, ..]| json!({"type": "Strip", "strip_left": a, "strip_right": b})),
        1 => flags().prop_map(|[a, b, c, d]| json!({"type": "BertNormalizer", "clean_text": a,
            "handle_chinese_chars": b, "strip_accents": c, "lowercase": d})),
        1 => short.clone().prop_map(|s| json!({"type": "Prepend", "prepend": s})),
        3 => (pattern(), short)
            .prop_map(|(p, s)| json!({"type": "Replace", "pattern": p, "content": s})),
    ];
    prop::collection::vec(one, 0..4)
        .prop_map(|stages| json!({"type": "Sequence", "normalizers": stages}))
}

fn pre_tokenizer() -> impl Strategy<Value = Value> {
    let plain = [
        "Whitespace",
        "WhitespaceSplit",
        "BertPreTokenizer",
        "UnicodeScripts",
    ];
    let behavior = prop::sample::select(vec![
        "Removed",
        "Isolated",
        "MergedWithPrevious",
        "MergedWithNext",
        "Contiguous",
    ]);
    let scheme = prop::sample::select(vec!["first", "never", "always"]);
    let one = prop_oneof![
        1 => prop::sample::select(plain.to_vec()).prop_map(|kind| json!({"type": kind})),
        1 => behavior.clone().prop_map(|b| json!({"type": "Punctuation", "behavior": b})),
        1 => any::<bool>().prop_map(|b| json!({"type": "Digits", "individual_digits": b})),
        1 => (0..3).prop_map(|n| json!({"type": "FixedLength", "length": n})),
        1 => Just(json!({"type": "CharDelimiterSplit", "delimiter": "a"})),
        1 => any::<[bool; 2]>().prop_map(|[a, b]| json!({"type": "ByteLevel", "add_prefix_space": a,
            "trim_offsets": true, "use_regex": b})),
        1 => (scheme, any::<bool>()).prop_map(|(s, b)| json!({"type": "Metaspace", "replacement": "▁",
            "prepend_scheme": s, "split": b})),
        3 => (pattern(), behavior, any::<bool>()).prop_map(|(p, b, invert)| {
            json!({"type": "Split", "pattern": p, "behavior": b, "invert": invert})
        }),
    ];
    prop::collection::vec(one, 0..4)
        .prop_map(|stages| json!({"type": "Sequence", "pretokenizers": stages}))
}

fn model() -> impl Strategy<Value = Value> {
    let flags = any::<[bool; 3]>();
    prop_oneof![
        flags.prop_map(|[fuse, bytes, whole]| json!({"type": "BPE", "unk_token": "<x>",
            "fuse_unk": fuse, "byte_fallback": bytes, "ignore_merges": whole,
            "vocab": {"a": 0, "b": 1, "ab": 2, "<x>": 3, "<0xC3>": 4, "<0xA9>": 5, "▁": 6, "▁a": 7},
            "merges": [["a", "b"], ["▁", "a"]]})),
        any::<bool>().prop_map(|bytes| json!({"type": "Unigram", "unk_id": 0, "byte_fallback": bytes,
            "vocab": [["<x>", 0.0], ["a", -1.0], ["ab", -1e308], ["", 1e308], ["éa", -2.0], ["▁", 0.5]]})),
        Just(json!({"type": "WordLevel", "unk_token": "<x>", "vocab": {"<x>": 0, "a": 5, "ab": 2}})),
    ]
}

fn added() -> impl Strategy<Value = Value> {
    let content = prop::sample::select(vec!["<x>", "a", " ", "  ", "é", "A", "a ", "\u{301}"]);
    let token = (content, any::<[bool; 5]>()).prop_map(|(content, [word, left, right, normal, special])| {
        json!({"id": 9, "content": content, "single_word": word, "lstrip": left, "rstrip": right,
            "normalized": normal, "special": special})
    });
    prop::collection::vec(token, 0..3).prop_map(Value::from)
}

proptest! {
    #[test]
    fn no_accepted_stages_panic(
        (normalizer, pre_tokenizer) in (normalizer(), pre_tokenizer()),
        (model, added) in (model(), added()),
        special in any::<bool>(),
        texts in prop::collection::vec(text(), 1..6),
    ) {
        let folder = Folder::new();
        let file = json!({"version": "1.0", "added_tokens": added, "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "model": model});
        folder.write("tokenizer.json", file.to_string());
        if let Ok(tokenizer) = Tokenizer::load(folder.path()) {
            let tokenizer = tokenizer.with_special_tokens_parsed(special);
            for text in &texts {
                if let Ok(encoding) = tokenizer.encode(text) {
                    prop_assert!(encoding.first_token_bytes <= text.len());
                    prop_assert!(encoding.dropped_bytes <= text.len());
                }
                tokenizer.encode_pair("a b", text).ok();
            }
        }
    }
}
