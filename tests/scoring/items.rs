//! Items files and tokenizers: what is read, and what is refused by line.

use crate::common::{self, folder::Folder};

use std::sync::OnceLock;

use proptest::prelude::*;
use relscale::Error;
use relscale::distribution::{Content, Distribution, Items};
use relscale::tokenizer::Tokenizer;

#[test]
fn all_forms_are_read() {
    let folder = Folder::new();
    let path = folder.write(
        "mixed.jsonl",
        concat!(
            r#"{"id": "a", "cluster": "c", "text": "Hello"}"#,
            "\n\n",
            r#"{"id": 7, "tokens": [1, 2]}"#,
            "\r\n",
            r#"{"id": "q", "cluster": 3, "context": "", "choices": ["x", "y"], "gold": 1}"#,
            "\n",
            r#"{"id": "t", "context_tokens": [1], "choices_tokens": [[2], [3, 4]], "gold": 0}"#,
            "\n",
            r#"{"id": "w", "contexts": ["A", ""], "choices": [" x", "x"], "gold": 1}"#,
        )
        .as_bytes(),
    );
    let items = Items::from_jsonl(&path).unwrap();
    assert_eq!((items.name(), items.len()), ("mixed", 5));
    let item = |i| items.item(i).unwrap().into_owned();
    assert_eq!(item(0).content, Content::Text("Hello".to_owned()));
    // An item without a cluster is a cluster of its own.
    assert_eq!((item(1).id.as_str(), item(1).cluster.as_str()), ("7", "7"));
    assert_eq!(item(2).cluster, "3");
    assert!(matches!(
        item(3).content,
        Content::ChoicesTokens { gold: 0, .. }
    ));
    // Every context stands before the choice of its place.
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    let pairs = vec![pair("A", " x"), pair("", "x")];
    assert_eq!(item(4).content, Content::Pairs { pairs, gold: 1 });
    assert!(items.item(5).is_err());
}

#[test]
fn a_line_that_cannot_be_used_is_named() {
    let folder = Folder::new();
    let good = r#"{"id": "a", "text": "Hello"}"#;
    for (bad, reason) in [
        (&b"{\"id\": \"b\", \"text\": \"\xff\"}"[..], "UTF-8"),
        (b"{\"id\": \"b\", \"text\": ", "EOF"),
        (b"[1, 2]", "expected"),
        (br#"{"text": "no id"}"#, "id"),
        (br#"{"id": "a", "text": "twice"}"#, "line 1"),
        (br#"{"id": "b", "text": ""}"#, "empty"),
        (br#"{"id": "b", "tokens": []}"#, "no tokens"),
        (br#"{"id": "b", "tokens": [-1]}"#, "-1"),
        (br#"{"id": "b", "tokens": [4294967296]}"#, "4294967296"),
        (br#"{"id": "b", "text": "x", "tokens": [1]}"#, "exactly one"),
        (br#"{"id": "b"}"#, "exactly one"),
        (
            br#"{"id": "b", "context": "x", "choices": ["y"]}"#,
            "exactly one",
        ),
        (
            br#"{"id": "b", "context": "x", "choices": [], "gold": 0}"#,
            "gold is 0",
        ),
        (
            br#"{"id": "b", "context": "x", "choices": ["y"], "gold": 1}"#,
            "gold is 1",
        ),
        (
            br#"{"id": "b", "context": "x", "choices": ["y", ""], "gold": 0}"#,
            "choice 1",
        ),
        (
            br#"{"id": "b", "contexts": ["x"], "choices": ["y", "z"], "gold": 0}"#,
            "1 contexts for 2 choices",
        ),
        (
            br#"{"id": "b", "contexts": ["x"], "context": "x", "choices": ["y"], "gold": 0}"#,
            "exactly one",
        ),
        (
            br#"{"id": "b", "contexts": ["x"], "choices": ["y"], "gold": 0, "unconditional": ""}"#,
            "exactly one",
        ),
        (
            br#"{"id": "b", "contexts": ["x"], "choices_tokens": [[1]], "gold": 0}"#,
            "exactly one",
        ),
        (
            br#"{"id": "b", "contexts": ["x"], "choices": ["y"]}"#,
            "exactly one",
        ),
        (
            br#"{"id": "b", "contexts": ["x"], "choices": [""], "gold": 0}"#,
            "choice 0",
        ),
        (
            br#"{"id": "b", "text": "x", "year": 1999}"#,
            "unknown field `year`",
        ),
        (
            br#"{"id": "b", "context": "x", "choices": ["y"], "gold": 0, "unconditonal": ""}"#,
            "unknown field `unconditonal`",
        ),
    ] {
        let path = folder.write("items.jsonl", [good.as_bytes(), b"\n", bad, b"\n"].concat());
        match Items::from_jsonl(&path) {
            Err(Error::Line {
                path: p,
                line: 2,
                message,
            }) => {
                assert_eq!(p, path);
                assert!(
                    message.contains(reason),
                    "{message} does not speak of {reason}"
                );
            }
            other => panic!("{}: {other:?}", String::from_utf8_lossy(bad)),
        }
    }
    assert!(matches!(
        Items::from_jsonl(folder.file("none.jsonl")),
        Err(Error::Io { .. })
    ));
}

/// A word-level byte-pair tokenizer with the merges `a b`, `Ġ a` and `Ġ ab`, and a special token.
const TOKENIZER: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null, "normalizer": null,
  "added_tokens": [{"id": 11, "content": "<end>", "single_word": false, "lstrip": false,
    "rstrip": false, "normalized": false, "special": true}],
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
    "use_regex": true},
  "post_processor": null, "decoder": null,
  "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
    "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
    "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġa": 4, "Ġab": 5, "<": 6, ">": 7, "e": 8,
      "n": 10, "d": 9},
    "merges": [["a", "b"], ["Ġ", "a"], ["Ġ", "ab"]]}
}"#;

#[test]
fn contexts_and_continuations_are_cut_where_the_tokens_allow() {
    let folder = Folder::new();
    folder.write("tokenizer.json", TOKENIZER.as_bytes());
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    let encode = |text: &str| tokenizer.encode(text).unwrap();
    assert_eq!(encode("ab ab").tokens, [3, 5]);
    assert_eq!(
        (
            encode("ab a").first_token_bytes,
            encode("").first_token_bytes
        ),
        (2, 0)
    );
    // Special tokens in a text are text.
    assert_eq!(encode("<end>").tokens, [6, 8, 10, 9, 7]);

    let pair = |context: &str, continuation: &str| {
        let pair = tokenizer.encode_pair(context, continuation).unwrap();
        (pair.context, pair.continuation, pair.bytes, pair.spanned)
    };
    assert_eq!(pair("ab", " ab"), (vec![3], vec![5], 3, 0));
    // The space goes with the continuation, wherever it was written.
    assert_eq!(pair("ab ", "ab"), (vec![3], vec![5], 3, 0));
    // ⟨ab⟩ spans the cut between `a` and `b`: it is scored as a whole.
    assert_eq!(pair("a", "b"), (vec![], vec![3], 2, 1));
    assert_eq!(pair("ab a", "b"), (vec![3], vec![5], 3, 2));
    assert_eq!(pair("", "ab"), (vec![], vec![3], 2, 0));
    assert!(tokenizer.encode_pair("ab", "").is_err());

    // Unless they are asked for.
    let parsed = tokenizer.with_special_tokens_parsed(true);
    assert_eq!(parsed.encode("<end>ab").unwrap().tokens, [11, 3]);
}

proptest! {
    #[test]
    fn every_byte_of_a_pair_is_counted_once(
        context in "[ab<>end é\n]{0,12}",
        continuation in "[ab<>end é\n]{1,8}",
    ) {
        static BOTH: OnceLock<[Tokenizer; 2]> = OnceLock::new();
        let both = BOTH.get_or_init(|| {
            let folder = Folder::new();
            folder.write("tokenizer.json", TOKENIZER.as_bytes());
            [Tokenizer::bytes(), Tokenizer::load(folder.path()).unwrap()]
        });
        for tokenizer in both {
            let whole = tokenizer.encode(&format!("{context}{continuation}")).unwrap().tokens;
            // The byte-pair tokenizer has no token for `é` and line breaks, and drops them.
            let Ok(pair) = tokenizer.encode_pair(&context, &continuation) else {
                prop_assert!(whole.is_empty());
                continue;
            };
            prop_assert!(!pair.continuation.is_empty());
            prop_assert_eq!(&[pair.context, pair.continuation].concat(), &whole);
            let trailing = context.len() - context.trim_end().len();
            // Bytes that have no token do not count.
            let all = continuation.len() + trailing + pair.spanned;
            prop_assert!(pair.bytes <= all && all <= pair.bytes + pair.dropped_bytes);
            let text = format!("{context}{continuation}");
            let without: usize = text.matches(['é', '\n']).map(str::len).sum();
            prop_assert!(pair.dropped_bytes <= without);
            prop_assert!(pair.dropped_bytes == 0 || whole.len() < text.len());
            // White space may stand on either side of the cut.
            let moved = tokenizer
                .encode_pair(context.trim_end(), &format!("{}{continuation}", &context[context.trim_end().len()..]))
                .unwrap();
            prop_assert_eq!(pair.bytes, moved.bytes);
        }
    }
}

#[test]
fn a_tokenizer_that_is_not_one_is_named() {
    let folder = Folder::new();
    let error = Tokenizer::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json"), "{error}");
    folder.write("tokenizer_config.json", br#"{"tokenizer_class": "Other"}"#);
    assert!(matches!(
        Tokenizer::load(folder.path()),
        Err(Error::Format { .. })
    ));
    folder.write(
        "tokenizer_config.json",
        br#"{"tokenizer_class": "ByteTokenizer"}"#,
    );
    assert_eq!(
        Tokenizer::load(folder.path())
            .unwrap()
            .encode("é")
            .unwrap()
            .tokens,
        [0xc3, 0xa9]
    );
    let json = folder.write("tokenizer.json", b"{}");
    match Tokenizer::load(folder.path()) {
        Err(Error::Format { path, .. }) => assert_eq!(path, json),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_beginning_of_sequence_token_is_that_of_the_checkpoint() {
    let folder = Folder::new();
    folder.write("tokenizer.json", TOKENIZER.as_bytes());
    let bos = || {
        let tokenizer = Tokenizer::load(folder.path()).unwrap();
        (tokenizer.bos(), tokenizer.adds_bos())
    };
    let config = |text: &str| folder.write("tokenizer_config.json", text.as_bytes());
    assert_eq!(bos(), (None, false));
    folder.write("config.json", br#"{"bos_token_id": 7}"#);
    assert_eq!(bos(), (Some(7), false));
    folder.write(
        "special_tokens_map.json",
        br#"{"bos_token": {"content": "<end>"}}"#,
    );
    assert_eq!(bos(), (Some(11), false));
    config(r#"{"bos_token": "a", "add_bos_token": true}"#);
    assert_eq!(bos(), (Some(0), true));
    config(r#"{"bos_token": null, "add_bos_token": true}"#);
    assert_eq!(bos(), (None, false));
    for bad in [r#"{"bos_token": "zz"}"#, r#"{"add_bos_token": 1}"#] {
        let path = config(bad);
        match Tokenizer::load(folder.path()) {
            Err(Error::Config { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{other:?}"),
        }
    }
    // What the post-processor does, unless the settings say otherwise.
    let template = r#""post_processor": {"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<end>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {"<end>": {"id": "<end>", "ids": [11], "tokens": ["<end>"]}}}"#;
    let with = TOKENIZER.replace(r#""post_processor": null"#, template);
    folder.write("tokenizer.json", with.as_bytes());
    config(r#"{"bos_token": "<end>"}"#);
    assert_eq!(bos(), (Some(11), true));
    config(r#"{"bos_token": "a"}"#);
    assert_eq!(bos(), (Some(0), false));
    config(r#"{"bos_token": "<end>", "add_bos_token": false}"#);
    assert_eq!(bos(), (Some(11), false));
    // Without the token, the text as before.
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!(tokenizer.encode("ab").unwrap().tokens, [3]);
}

#[test]
fn a_byte_tokenizer_can_have_a_token_to_begin_with() {
    let folder = Folder::new();
    let config =
        br#"{"tokenizer_class": "ByteTokenizer", "bos_token_id": 256, "add_bos_token": true}"#;
    folder.write("tokenizer_config.json", config);
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.adds_bos()), (Some(256), true));
    // A byte tokenizer has no other use for it, so it is put before texts unless that is denied.
    folder.write(
        "tokenizer_config.json",
        br#"{"tokenizer_class": "ByteTokenizer", "bos_token_id": 3}"#,
    );
    let tokenizer = Tokenizer::load(folder.path()).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.adds_bos()), (Some(3), true));
    assert_eq!(Tokenizer::bytes().bos(), None);
}

mod material {
    use super::*;

    #[test]
    #[ignore = "reads test material that is not part of the repository"]
    fn a_real_tokenizer_splits_digits_and_keeps_spaces() {
        let tokenizer = Tokenizer::load(common::material("tokenizers/smollm2")).unwrap();
        let tokens = |text: &str| tokenizer.encode(text).unwrap().tokens;
        assert_eq!(tokens("2024").len(), 4);
        let pair = tokenizer
            .encode_pair("The capital of France is", " Paris")
            .unwrap();
        assert_eq!((pair.bytes, pair.spanned), (6, 0));
        assert_eq!(
            [pair.context, pair.continuation].concat(),
            tokens("The capital of France is Paris")
        );
    }
}
