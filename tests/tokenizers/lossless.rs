//! Tokens of byte-level tokenizers, and of pairs with a fallback to bytes, stand for all bytes of a
//! text.

use std::collections::HashMap;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::{fixture, golden};
use relscale::tokenizer::Tokenizer;

/// A tokenizer, and the text of its tokens by id.
struct Pieces {
    tokenizer: Tokenizer,
    texts: HashMap<u32, String>,
}

fn gpt2() -> &'static Pieces {
    static PIECES: OnceLock<Pieces> = OnceLock::new();
    PIECES.get_or_init(|| {
        let folder = fixture("tokenizers/gpt2");
        let vocabulary = std::fs::read(folder.join("vocab.json")).unwrap();
        let ids: HashMap<String, u32> = serde_json::from_slice(&vocabulary).unwrap();
        Pieces {
            tokenizer: Tokenizer::load(folder).unwrap(),
            texts: ids.into_iter().map(|(text, id)| (id, text)).collect(),
        }
    })
}

fn llama() -> &'static Pieces {
    static PIECES: OnceLock<Pieces> = OnceLock::new();
    PIECES.get_or_init(|| {
        let golden = golden(&fixture("tokenizers"));
        let pieces = golden["tokenizers"]["pairs"]["pieces"].as_array().unwrap();
        let texts = pieces.iter().map(|p| p.as_str().unwrap().to_owned());
        Pieces {
            tokenizer: Tokenizer::load(fixture("tokenizers/pairs")).unwrap(),
            texts: (0..).zip(texts).collect(),
        }
    })
}

/// GPT-2's letters for bytes: those that are printable in Latin-1 stand for themselves, the others
/// follow from U+0100 on.
fn bytes_of(letters: &str) -> Vec<u8> {
    let printable = |b: &u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let others: Vec<u8> = (0..=255).filter(|b| !printable(b)).collect();
    let byte = |letter: char| match u32::from(letter) {
        point @ 0..0x100 => point as u8,
        point => others[point as usize - 0x100],
    };
    letters.chars().map(byte).collect()
}

proptest! {
    #[test]
    fn byte_level_tokens_are_the_text(text in any::<String>()) {
        let Pieces { tokenizer, texts } = gpt2();
        let tokens = tokenizer.encode(&text).unwrap().tokens;
        let letters: String = tokens.iter().map(|id| texts[id].as_str()).collect();
        prop_assert_eq!(bytes_of(&letters), text.as_bytes());
    }

    #[test]
    fn pieces_are_the_text_with_a_space_before_it(text in any::<String>()) {
        let Pieces { tokenizer, texts } = llama();
        let tokens = tokenizer.encode(&text).unwrap().tokens;
        let mut bytes = Vec::new();
        for id in &tokens {
            let piece = &texts[id];
            let code = piece.strip_prefix("<0x").and_then(|p| p.strip_suffix('>'));
            match code.map(|code| u8::from_str_radix(code, 16)) {
                Some(Ok(byte)) => bytes.push(byte),
                _ => bytes.extend(piece.replace('▁', " ").bytes()),
            }
        }
        // The mark is a letter of its own right, too, and reads as a space.
        let want = match text.is_empty() {
            true => String::new(),
            false => format!(" {}", text.replace('▁', " ")),
        };
        prop_assert_eq!(bytes, want.into_bytes());
    }
}
