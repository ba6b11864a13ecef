//! Tables of normalisation and `tekken.json`: places in the original text, and files that lie.

use serde_json::{Value, json};

use super::{Folder, bounded};
use bounded::{alone, bounded};

/// The committed models have the rules of `make_tokenizers.py`; `½` becomes `1⁄2`.
#[test]
fn ends_of_tokens_are_places_of_the_original_text() {
    for name in ["pairs-normalised", "unigrams-normalised"] {
        let tokenizer = Folder::fixture(name).load().unwrap();
        // Of the first token, which stands for the space before the text and the letters after it.
        for (text, length) in [("½ a", 2), ("\u{3000}½", 5), ("e\u{301}", 3)] {
            let first = tokenizer.encode(text).unwrap().first_token_bytes;
            assert!(first <= length, "{name} {text:?}: {first}");
        }
        // A continuation counts its own bytes, whatever the context became.
        for (context, continuation) in [
            ("½ ½ e\u{301}", " the"),
            ("a\u{200b}\u{200b}", " law"),
            ("ﬁ ① ½", " ½"),
        ] {
            let pair = tokenizer.encode_pair(context, continuation).unwrap();
            assert_eq!(
                pair.bytes,
                continuation.len() + pair.spanned,
                "{name} {context:?}"
            );
            assert_eq!(pair.spanned, 0, "{name} {context:?}");
        }
    }
}

/// Reads the tokenizer.json of the fixture, changes it and writes it.
fn change(folder: &Folder, change: impl FnOnce(&mut Value)) {
    let mut json: Value = serde_json::from_slice(&folder.read("tokenizer.json")).unwrap();
    change(&mut json);
    folder.write("tokenizer.json", json.to_string());
}

#[test]
fn a_table_in_tokenizer_json_is_checked_before_the_library_has_it() {
    let _alone = alone();
    let folder = Folder::fixture("t5-json");
    let encoded = |folder: &Folder| folder.load().unwrap().encode("ﬁ ½ e\u{301}").unwrap();
    let plain = encoded(&folder);
    // In a sequence, as XLM-R and ALBERT have it.
    change(&folder, |json| {
        let table = json["normalizer"].take();
        assert_eq!(table["type"], "Precompiled");
        let spaces = json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "});
        json["normalizer"] = json!({"type": "Sequence", "normalizers": [table, spaces]});
    });
    assert_eq!(encoded(&folder), plain);
    change(&folder, |json| json["normalizer"] = Value::Null);
    assert_ne!(encoded(&folder).tokens, plain.tokens);

    let table = |bytes: &[u8]| base64::encode(bytes);
    let trie =
        |length: u32, units: usize| [&length.to_le_bytes()[..], &vec![0; units], b"a\0"].concat();
    for (what, value, word) in [
        ("no text", json!(7), "not base64"),
        ("no base64", json!("!"), "not base64"),
        ("nothing", json!(""), "less than four bytes"),
        ("a length beyond", json!("/////w=="), "4294967295"),
        (
            "a trie of one unit",
            json!(table(&trie(4, 4))),
            "out of itself",
        ),
        (
            "a trie of 8 MB",
            json!(table(&trie(8 << 20, 8 << 20))),
            "above",
        ),
    ] {
        change(&folder, |json| {
            json["normalizer"] = json!({"type": "Precompiled", "precompiled_charsmap": value});
        });
        let error = bounded(what, folder.size(), || folder.error());
        assert!(
            error.contains("`normalizer`") && error.contains(word),
            "{what}: {error}"
        );
    }
}

#[test]
fn tekken_files_that_lie_are_refused_by_field() {
    let _alone = alone();
    let folder = Folder::fixture("tekken");
    let tokenizer = folder.load().unwrap();
    assert_eq!(tokenizer.bos(), Some(1));
    assert!(tokenizer.adds_bos());
    let tokens =
        |tokenizer: relscale::tokenizer::Tokenizer| tokenizer.encode("a</s>[INST]").unwrap().tokens;
    assert!(tokens(tokenizer).iter().all(|id| *id >= 30));
    let parsed = folder.load().unwrap().with_special_tokens_parsed(true);
    assert_eq!(tokens(parsed)[1..], [2, 3]);

    let whole: Value = serde_json::from_slice(&folder.read("tekken.json")).unwrap();
    let special =
        |rank: u32, name: &str| json!([{"rank": rank, "token_str": name, "is_control": true}]);
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(&str, Change<'_>, &str); 14] = [
        (
            "other words",
            &|f| f["config"]["pattern"] = json!("x+"),
            "config.pattern",
        ),
        (
            "endless words",
            &|f| f["config"]["pattern"] = json!("x".repeat(1 << 20)),
            "config.pattern",
        ),
        (
            "too large",
            &|f| f["config"]["default_vocab_size"] = json!(1u64 << 40),
            "default_vocab_size",
        ),
        (
            "too small",
            &|f| f["config"]["default_vocab_size"] = json!(3),
            "default_vocab_size",
        ),
        (
            "few special",
            &|f| f["config"]["default_num_special_tokens"] = json!(3),
            "default_num_special",
        ),
        (
            "many special",
            &|f| f["config"]["default_num_special_tokens"] = json!(1u64 << 40),
            "default_num_special",
        ),
        ("a gap", &|f| f["vocab"][9]["rank"] = json!(10), "vocab[9]"),
        (
            "no base64",
            &|f| f["vocab"][300]["token_bytes"] = json!("Y!"),
            "vocab[300]",
        ),
        (
            "empty",
            &|f| f["vocab"][300]["token_bytes"] = json!(""),
            "vocab[300]",
        ),
        (
            "twice",
            &|f| f["vocab"][300] = json!({"rank": 300, "token_bytes": "YQ=="}),
            "token 97",
        ),
        (
            "a lost byte",
            &|f| f["vocab"][97]["token_bytes"] = json!("YWFhYWFh"),
            "byte 0x61",
        ),
        (
            "a word",
            &|f| f["special_tokens"] = special(0, "word"),
            "special_tokens",
        ),
        (
            "a rank",
            &|f| f["special_tokens"] = special(4, "<s>"),
            "special_tokens",
        ),
        (
            "a filler",
            &|f| f["special_tokens"] = special(0, "<SPECIAL_5>"),
            "comes twice",
        ),
    ];
    for (what, edit, word) in cases {
        let mut file = whole.clone();
        edit(&mut file);
        folder.write("tekken.json", file.to_string());
        let error = bounded(what, folder.size(), || folder.error());
        assert!(
            error.contains("tekken.json") && error.contains(word),
            "{what}: {error}"
        );
        assert!(error.len() < 1000, "{what}: {error}");
    }
    let text = whole.to_string();
    for length in (0..text.len()).step_by(997) {
        folder.write("tekken.json", &text[..length]);
        assert!(folder.error().contains("tekken.json"));
    }
}
