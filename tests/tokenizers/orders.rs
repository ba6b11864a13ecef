//! The order in which pairs are merged, where two orders that programs use differ.

use super::Folder;
use super::hostile::{field, piece};

/// Ids of the pieces of [`model`].
const A: u32 = 2;
const C: u32 = 4;
const BC: u32 = 5;
const AB: u32 = 6;

/// A model of pairs in which `bc` has the lower id and `ab` the higher score.
fn model() -> Vec<u8> {
    let mut bytes = [piece("<unk>", 0.0, 2), piece("▁", -9.0, 1)].concat();
    for (text, score) in [
        ("a", -3.0),
        ("b", -4.0),
        ("c", -5.0),
        ("bc", -2.0),
        ("ab", -1.0),
    ] {
        bytes.extend(piece(text, score, 1));
    }
    let pairs = field(2, &[3 << 3, 2]);
    let no_space_before = field(3, &[3 << 3, 0]);
    [bytes, pairs, no_space_before].concat()
}

#[test]
fn pairs_are_merged_by_score_as_in_sentencepiece_and_by_id_as_in_transformers() {
    let folder = Folder::new();
    folder.write("config.json", "{}");
    folder.write("tokenizer.model", model());
    let tokens = folder.load().unwrap().encode("abc").unwrap().tokens;
    assert_eq!(tokens, [AB, C]);

    let class = r#"{"tokenizer_class": "LlamaTokenizer", "add_bos_token": false}"#;
    folder.write("tokenizer_config.json", class);
    let tokenizer = folder.load().unwrap();
    let tokens = tokenizer.encode("abc").unwrap().tokens;
    assert_eq!(tokens[tokens.len() - 2..], [A, BC]);
    let warnings = tokenizer.warnings().join("; ");
    assert!(
        warnings.contains("order its merges otherwise"),
        "{warnings}"
    );
}

#[test]
fn a_word_that_is_a_token_of_tiktoken_is_whole_though_no_pair_leads_to_it() {
    let folder = Folder::fixture("qwen");
    let ranks = String::from_utf8(folder.read("qwen.tiktoken")).unwrap();
    let line = format!("{} 9999\n", base64::encode("xqzj"));
    folder.write("qwen.tiktoken", ranks + &line);
    let tokens = folder.load().unwrap().encode("xqzj").unwrap().tokens;
    assert_eq!(tokens, [9999]);
}
