//! Changes by the settings of a folder: the class, the beginning-of-sequence token, added tokens.

use serde_json::json;

use super::{Folder, fixture};
use relscale::log::checkpoint_hash;
use relscale::tokenizer::Tokenizer;

#[test]
fn texts_begin_with_the_token_that_the_files_name() {
    for (name, bos, added) in [
        ("gpt2", Some(0), false),
        ("opt", Some(2), true),
        ("neox", Some(0), false),
        ("qwen2", None, false),
        ("llama", Some(1), true),
        ("gemma", Some(2), true),
        ("t5", None, false),
        ("pairs", Some(1), true),
        ("unigrams", None, false),
        ("llama3", None, false),
        ("qwen", None, false),
    ] {
        let tokenizer = Tokenizer::load(fixture("tokenizers").join(name)).unwrap();
        assert_eq!(
            (tokenizer.bos(), tokenizer.adds_bos()),
            (bos, added),
            "{name}"
        );
    }
    // Without the flag texts begin with it as in training; `transformers` 5 says otherwise.
    let folder = Folder::fixture("llama");
    folder.write(
        "tokenizer_config.json",
        r#"{"tokenizer_class": "LlamaTokenizer"}"#,
    );
    let tokenizer = folder.load().unwrap();
    assert!(tokenizer.adds_bos());
    assert!(
        tokenizer.warnings()[0].contains("add_bos_token"),
        "{:?}",
        tokenizer.warnings()
    );
    let settings = json!({"tokenizer_class": "LlamaTokenizer", "add_bos_token": false});
    folder.write("tokenizer_config.json", settings.to_string());
    let tokenizer = folder.load().unwrap();
    assert!(!tokenizer.adds_bos() && tokenizer.warnings().is_empty());
}

#[test]
fn what_other_programs_read_otherwise_is_a_warning() {
    let warnings = |name: &str| {
        let tokenizer = Tokenizer::load(fixture("tokenizers").join(name)).unwrap();
        tokenizer.warnings().join("; ")
    };
    for name in [
        "gpt2", "opt", "neox", "qwen2", "llama", "gemma", "t5", "llama3", "qwen",
    ] {
        assert_eq!(warnings(name), "", "{name}");
    }
    assert!(warnings("pairs").contains("LlamaTokenizer"));

    let folder = Folder::fixture("llama");
    let settings = |more: serde_json::Value| {
        let mut settings = json!({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true});
        let fields = more.as_object().unwrap().clone();
        settings.as_object_mut().unwrap().extend(fields);
        folder.write("tokenizer_config.json", settings.to_string());
        folder.load().unwrap().warnings().join("; ")
    };
    assert_eq!(settings(json!({})), "");
    let prefix = settings(json!({"add_prefix_space": false}));
    assert!(prefix.contains("add_dummy_prefix true"), "{prefix}");
    folder.write("config.json", r#"{"model_type": "mistral"}"#);
    let mistral = settings(json!({}));
    assert!(mistral.contains("mistral"), "{mistral}");

    // Rules of the model that `transformers` leaves out for the class.
    let folder = Folder::fixture("pairs-normalised");
    let class = json!({"tokenizer_class": "LlamaTokenizer", "add_bos_token": true});
    folder.write("tokenizer_config.json", class.to_string());
    let rules = folder.load().unwrap().warnings().join("; ");
    assert!(rules.contains("precompiled_charsmap"), "{rules}");
    assert!(rules.contains("remove_extra_whitespaces"), "{rules}");
    assert!(rules.contains("no token for the byte 0x00"), "{rules}");

    let folder = Folder::fixture("gpt2");
    folder.write("config.json", r#"{"model_type": "starcoder2"}"#);
    let digits = folder.load().unwrap().warnings().join("; ");
    assert!(digits.contains("digits"), "{digits}");
    let vocabulary = String::from_utf8(folder.read("vocab.json")).unwrap();
    let lacking = vocabulary.replace("\"~\":", "\"~~~~\":");
    assert_ne!(lacking, vocabulary);
    folder.write("vocab.json", lacking);
    folder.write("merges.txt", "");
    let bytes = folder.load().unwrap().warnings().join("; ");
    assert!(bytes.contains("no token for the byte 0x7e;"), "{bytes}");
}

#[test]
fn the_class_may_stand_in_any_settings() {
    let folder = Folder::fixture("qwen2");
    let want = folder.load().unwrap().encode("ﬁve 1234 don't").unwrap();
    folder.write("tokenizer_config.json", "{}");
    assert_eq!(
        folder.load().unwrap().encode("ﬁve 1234 don't").unwrap(),
        want
    );
    let class = r#"{"model_type": "other", "tokenizer_class": "Qwen2TokenizerFast"}"#;
    folder.write("config.json", class);
    assert_eq!(
        folder.load().unwrap().encode("ﬁve 1234 don't").unwrap(),
        want
    );
}

#[test]
fn classes_and_files_that_do_not_fit_are_refused_by_name() {
    for (folder, class, model, words) in [
        (
            "gpt2",
            "RobertaTokenizer",
            "gpt2",
            &["RobertaTokenizer", "tokenizer_class"][..],
        ),
        (
            "gpt2",
            "LlamaTokenizer",
            "llama",
            &["vocab.json and merges.txt", "Llama", "llama"],
        ),
        (
            "gpt2",
            "PreTrainedTokenizerFast",
            "granite",
            &["vocab.json", "granite"],
        ),
        ("llama", "GPT2Tokenizer", "gpt2", &["SentencePiece", "Gpt2"]),
        (
            "unigrams",
            "LlamaTokenizer",
            "llama",
            &["unigrams", "model_type", "Llama"],
        ),
        ("llama", "T5Tokenizer", "t5", &["pairs", "T5"]),
        (
            "qwen",
            "GPTNeoXTokenizer",
            "gpt_neox",
            &["qwen.tiktoken", "NeoX"],
        ),
        (
            "qwen",
            "PreTrainedTokenizerFast",
            "dbrx",
            &["qwen.tiktoken", "dbrx"],
        ),
    ] {
        let folder = Folder::fixture(folder);
        folder.write(
            "tokenizer_config.json",
            json!({"tokenizer_class": class}).to_string(),
        );
        folder.write("config.json", json!({"model_type": model}).to_string());
        let error = folder.error();
        assert!(error.contains("save_pretrained"), "{error}");
        for word in words {
            assert!(error.contains(word), "{error} has no {word}");
        }
    }
    let folder = Folder::fixture("qwen");
    folder.write("other.tiktoken", folder.read("qwen.tiktoken"));
    let error = folder.error();
    assert!(
        error.contains("other.tiktoken") && error.contains("qwen.tiktoken"),
        "{error}"
    );
}

#[test]
fn added_tokens_whose_ids_contradict_the_vocabulary_are_named() {
    let folder = Folder::fixture("added");
    let count = serde_json::from_slice::<serde_json::Value>(&folder.read("vocab.json"));
    let count = count.unwrap().as_object().unwrap().len();
    for (added, word) in [
        (json!({"<x>": count + 1}), "<x>"),
        (json!({"<x>": 3}), "<x>"),
        (json!({"<|endoftext|>": count}), "<|endoftext|>"),
        (json!({"<x>": -1}), "-1"),
        (json!({"<x>": 1e300}), "e+300"),
        (json!(["<x>"]), "no map"),
    ] {
        folder.write("added_tokens.json", added.to_string());
        let error = folder.error();
        assert!(
            error.contains("added_tokens.json") && error.contains(word),
            "{error}"
        );
    }
    folder.write("added_tokens.json", json!({"<x>": count}).to_string());
    let tokenizer = folder.load().unwrap();
    assert_eq!(tokenizer.encode("<x>").unwrap().tokens, [count as u32]);

    let folder = Folder::fixture("qwen2");
    for (decoder, word) in [
        (json!({"7": {"content": "<x>"}}), "added_tokens_decoder.7"),
        (json!({"x": {"content": "<x>"}}), "added_tokens_decoder.x"),
        (json!({"9": {"lstrip": true}}), "added_tokens_decoder.9"),
    ] {
        let settings =
            json!({"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": decoder});
        folder.write("tokenizer_config.json", settings.to_string());
        let error = folder.error();
        assert!(error.contains(word), "{error}");
    }
    // Ids with a gap: the library counts tokens, and would use an id twice.
    let folder = Folder::fixture("gpt2");
    let text = String::from_utf8(folder.read("vocab.json")).unwrap();
    let last = format!(": {}", count - 1);
    folder.write("vocab.json", text.replace(&last, &format!(": {count}")));
    folder.write("added_tokens.json", json!({"<x>": count}).to_string());
    let error = folder.error();
    assert!(error.contains("share the id"), "{error}");
}

#[test]
fn the_files_are_part_of_the_hash() {
    let folder = Folder::fixture("gpt2");
    folder.write("model.safetensors", "w");
    let first = checkpoint_hash(folder.path()).unwrap();
    folder.write("merges.txt", "");
    let second = checkpoint_hash(folder.path()).unwrap();
    assert_ne!(second, first);
    // With a tokenizer.json they are not read.
    folder.write("tokenizer.json", "{}");
    let json = checkpoint_hash(folder.path()).unwrap();
    folder.write("vocab.json", "{}");
    assert_eq!(checkpoint_hash(folder.path()).unwrap(), json);
}
