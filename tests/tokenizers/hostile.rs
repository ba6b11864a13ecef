//! Files that no honest program writes: they are refused by file and line or field, or read, and never
//! take much more memory than their size.

use serde_json::json;

use super::{Folder, bounded};
use bounded::{alone, bounded, repeated};

/// A field of a protobuf message: its key and its bytes.
pub(super) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        field.push(length as u8 | 0x80);
        length >>= 7;
    }
    field.push(length as u8);
    [&field, bytes].concat()
}

/// A piece of a SentencePiece model.
pub(super) fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
    let text = field(1, text.as_bytes());
    field(
        1,
        &[
            &text[..],
            &[2 << 3 | 5],
            &score.to_le_bytes(),
            &[3 << 3, kind],
        ]
        .concat(),
    )
}

#[test]
fn vocabularies_and_merges() {
    let _alone = alone();
    let folder = Folder::fixture("gpt2");
    let whole = folder.read("vocab.json");
    for (what, file, word) in [
        (
            "cut off",
            String::from_utf8(whole[..whole.len() / 2].to_vec()).unwrap(),
            "EOF",
        ),
        ("a list", "[1, 2]".to_owned(), "a map from tokens to ids"),
        ("empty", "{}".to_owned(), "no tokens"),
        (
            "an id twice",
            r#"{"a": 0, "b": 0}"#.to_owned(),
            r#""a" and "b" both have the id 0"#,
        ),
        ("a token twice", r#"{"a": 0, "a": 1}"#.to_owned(), "twice"),
        ("a negative id", r#"{"a": -1}"#.to_owned(), "-1"),
        (
            "an id of 2^32",
            r#"{"a": 4294967296}"#.to_owned(),
            "4294967296",
        ),
        ("a fraction", r#"{"a": 0.5}"#.to_owned(), "0.5"),
        (
            "more than one value",
            r#"{"a": 0} {}"#.to_owned(),
            "trailing",
        ),
        (
            "arrays in arrays",
            repeated("", "[", "", 1 << 20),
            "vocab.json",
        ),
        (
            "a token without end",
            repeated(r#"{""#, "a", "", 8 << 20),
            "vocab.json",
        ),
    ] {
        folder.write("vocab.json", file);
        let error = bounded(what, folder.size(), || folder.error());
        assert!(
            error.contains("vocab.json") && error.contains(word),
            "{what}: {error}"
        );
    }
    folder.write(
        "vocab.json",
        r#"{"a": 0, "b": 1, "ab": 4294967295, "": 7, "<|endoftext|>": 3}"#,
    );
    for (what, file, line, word) in [
        ("one part", "#version: 0.2\na\n", 2, "no pair"),
        ("three parts", "a b\na b ab\n", 2, "no pair"),
        ("an empty part", "a b\n b\n", 2, "no pair"),
        ("an unknown part", "a b\na c\n", 2, r#""c" is not in"#),
        ("an unknown whole", "a b\n\nb a\n", 3, r#""ba" is not in"#),
    ] {
        folder.write("merges.txt", file);
        let error = folder.error();
        let place = format!("merges.txt: line {line}:");
        assert!(
            error.contains(&place) && error.contains(word),
            "{what}: {error}"
        );
    }
    folder.write("merges.txt", [0xff, 0xfe]);
    assert!(folder.error().contains("merges.txt"));
    folder.write("merges.txt", repeated("", "a", "", 8 << 20));
    let error = bounded("a line without end", folder.size(), || folder.error());
    assert!(error.len() < 1000 && error.contains("merges.txt: line 1:"));
    // Pairs twice and in a circle of names: merging only ever lengthens a token.
    folder.write("merges.txt", "#version: 0.2\r\na b\r\na b\r\n");
    let tokenizer = folder.load().unwrap();
    assert_eq!(
        tokenizer.encode("abab").unwrap().tokens,
        [u32::MAX, u32::MAX]
    );
}

#[test]
fn models_of_sentence_piece() {
    let _alone = alone();
    let folder = Folder::fixture("pairs");
    let start = [piece("<unk>", 0.0, 2), piece("a", -1.0, 1)].concat();
    let trainer = |fields: &[u8]| [&start[..], &field(2, fields)].concat();
    let normalizer = |fields: &[u8]| [&start[..], &field(3, fields)].concat();
    let nothing = [3 << 3, 2];
    let lengths: Vec<u8> = [&[1 << 3 | 2][..], &[0xff; 9], &[1]].concat();
    let many = |part: &[u8], bytes: usize| part.repeat(bytes / part.len());
    let steps: Vec<u8> = (1..1500)
        .flat_map(|n| piece(&"a".repeat(n), -(n as f32), 1))
        .collect();
    for (what, file, word) in [
        ("empty", Vec::new(), "pieces"),
        ("a text", b"not a model at all".to_vec(), "ModelProto"),
        ("a length of 2^64", lengths, "a length beyond the end"),
        (
            "a number without end",
            many(&[0xff], 1 << 20),
            "more than ten bytes",
        ),
        ("a group", vec![1 << 3 | 3], "kind that does not exist"),
        (
            "a token that is no text",
            field(1, &field(1, &[0xff])),
            "pieces[0]",
        ),
        (
            "a token that is a number",
            field(1, &[1 << 3, 1]),
            "pieces[0]",
        ),
        (
            "an empty token",
            [&start[..], &piece("", 0.0, 1)].concat(),
            "`pieces[2]`: an empty",
        ),
        (
            "a token twice",
            [&start[..], &piece("a", 0.0, 1)].concat(),
            "`pieces[2]`: \"a\" is token 1",
        ),
        ("a score that is no number", piece("a", f32::NAN, 1), "NaN"),
        (
            "tokens without end",
            many(&piece("a", 0.0, 1), 16 << 20),
            "pieces",
        ),
        (
            "tokens that double",
            [&trainer(&nothing)[..], &steps].concat(),
            "pieces",
        ),
        ("characters", trainer(&[3 << 3, 4]), "characters"),
        (
            "an unknown token beyond",
            trainer(&[40 << 3 & 0x7f | 0x80, 2, 9]),
            "unk_id",
        ),
        (
            "a table cut off",
            normalizer(&field(2, &[9, 0, 0, 0, 1])),
            "precompiled_charsmap",
        ),
        (
            "spaces as suffix",
            trainer(&[24 << 3 & 0x7f | 0x80, 1, 1]),
            "spaces",
        ),
    ] {
        folder.write("tokenizer.model", file);
        let error = bounded(what, folder.size(), || folder.error());
        assert!(
            error.contains("tokenizer.model") && error.contains(word),
            "{what}: {error}"
        );
        assert!(error.len() < 1000, "{what}: {error}");
    }
}

#[test]
fn a_model_that_is_cut_or_changed_anywhere_is_an_error_or_read() {
    for name in ["pairs-normalised", "unigrams"] {
        let folder = Folder::fixture(name);
        let whole = folder.read("tokenizer.model");
        let whole = &whole[..];
        for length in (0..whole.len()).step_by(173) {
            folder.write("tokenizer.model", &whole[..length]);
            if let Ok(tokenizer) = folder.load() {
                let _ = tokenizer.encode("a <s> ﬁ ½ 日本");
            }
        }
        // The end has the trainer's settings and the table.
        let places = (0..whole.len())
            .step_by(97)
            .chain(whole.len() - 200..whole.len());
        for place in places {
            for flip in [1, 0x80] {
                let mut changed = whole.to_vec();
                changed[place] ^= flip;
                folder.write("tokenizer.model", changed);
                if let Ok(tokenizer) = folder.load() {
                    let _ = tokenizer.encode("a <s> ﬁ ½ 日本");
                }
            }
        }
    }
}

#[test]
fn tiktoken_files() {
    let _alone = alone();
    let folder = Folder::fixture("qwen");
    let whole = String::from_utf8(folder.read("qwen.tiktoken")).unwrap();
    let count = whole.lines().count();
    for (what, line, word) in [
        (
            "no rank",
            "YWE=".to_owned(),
            "no token in base64 and a rank",
        ),
        ("no base64", "Y!E= 900".to_owned(), "not base64"),
        ("base64 cut off", "YWE 900".to_owned(), "not base64"),
        ("a rank below 0", "YWE= -1".to_owned(), "\"-1\" is no rank"),
        ("a rank of 2^32", "YWE= 4294967296".to_owned(), "no rank"),
        (
            "a rank twice",
            "cXFxcXE= 5".to_owned(),
            "the rank 5 is that of line 6",
        ),
        (
            "a token twice",
            "YQ== 9999".to_owned(),
            "the token is that of line",
        ),
        ("an empty token", " 9999".to_owned(), "empty"),
        (
            "a line without end",
            "a".repeat(4 << 20),
            "no plausible token",
        ),
    ] {
        folder.write("qwen.tiktoken", format!("{whole}{line}\n"));
        let error = bounded(what, folder.size(), || folder.error());
        let place = format!("qwen.tiktoken: line {}:", count + 1);
        assert!(
            error.contains(&place) && error.contains(word),
            "{what}: {error}"
        );
        assert!(error.len() < 1000, "{what}: {error}");
    }
    folder.write("qwen.tiktoken", whole.replace("YQ== ", "YWFhYWFh "));
    let error = folder.error();
    assert!(error.contains("no token for the byte 0x61"), "{error}");
    folder.write("qwen.tiktoken", [0xff; 9]);
    assert!(folder.error().contains("qwen.tiktoken"));
}

#[test]
fn settings_of_every_type() {
    for folder in ["gpt2", "added", "qwen2", "llama", "t5"] {
        let folder = Folder::fixture(folder);
        let class: serde_json::Value =
            serde_json::from_slice(&folder.read("tokenizer_config.json")).unwrap();
        for field in [
            "tokenizer_class",
            "add_prefix_space",
            "legacy",
            "extra_ids",
            "bos_token",
            "pad_token",
            "added_tokens_decoder",
            "additional_special_tokens",
            "extra_special_tokens",
        ] {
            for value in [
                json!(7),
                json!(-1),
                json!("x"),
                json!([[]]),
                json!({"a": []}),
                json!(1e300),
            ] {
                let mut settings = class.clone();
                settings[field] = value.clone();
                folder.write("tokenizer_config.json", settings.to_string());
                // Refused with the field, or read.
                if let Err(e) = folder.load() {
                    assert!(e.to_string().contains(field), "{field} {value}: {e}");
                }
            }
        }
    }
}
