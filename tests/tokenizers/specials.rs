//! Special tokens that only the program of a model names.

use super::Folder;

#[test]
fn t5_has_a_hundred_tokens_behind_its_vocabulary_unless_the_settings_say_otherwise() {
    let folder = Folder::fixture("t5");
    let ids = |folder: &Folder| {
        let tokenizer = folder.load().unwrap().with_special_tokens_parsed(true);
        ["<extra_id_0>", "<extra_id_99>"].map(|text| tokenizer.encode(text).unwrap().tokens)
    };
    // As transformers 5.23 has it: the last has the lowest id, and no space stands before either.
    assert_eq!(ids(&folder), [[1099], [1000]]);

    let none = r#"{"tokenizer_class": "T5Tokenizer", "extra_ids": 0}"#;
    folder.write("tokenizer_config.json", none);
    assert!(ids(&folder).iter().all(|tokens| tokens.len() > 1));
}

/// The ids are those that Meta's release of Llama 3 and its `tokenizer.json` have.
#[test]
fn llama_3_has_its_special_tokens_behind_its_ranks() {
    let bytes = || 0..=255u8;
    let two = bytes().flat_map(|a| bytes().map(move |b| vec![a, b]));
    let three = bytes().flat_map(|a| bytes().map(move |b| vec![a, b, b'x']));
    let tokens = bytes().map(|a| vec![a]).chain(two).chain(three);
    let lines = (tokens.take(128_000).enumerate())
        .map(|(rank, token)| format!("{} {rank}\n", base64::encode(token)));
    let folder = Folder::new();
    folder.write("config.json", r#"{"model_type": "llama"}"#);
    folder.write("tokenizer.model", lines.collect::<String>());
    let tokenizer = folder.load().unwrap().with_special_tokens_parsed(true);
    assert_eq!(tokenizer.bos(), Some(128_000));
    for (name, id) in [
        ("begin_of_text", 128_000),
        ("end_of_text", 128_001),
        ("reserved_special_token_3", 128_005),
        ("start_header_id", 128_006),
        ("end_header_id", 128_007),
        ("reserved_special_token_4", 128_008),
        ("eot_id", 128_009),
        ("reserved_special_token_5", 128_010),
        ("reserved_special_token_250", 128_255),
    ] {
        let tokens = tokenizer.encode(&format!("<|{name}|>")).unwrap().tokens;
        assert_eq!(tokens.last(), Some(&id), "{name}");
    }
}
