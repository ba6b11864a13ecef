//! Any bytes as a file of items: they are read or refused, never panic, and never give an item that
//! cannot be scored.
//!
//! The first byte picks the reader. The rest is the file.
#![no_main]

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::Error;
use relscale::distribution::{Content, Distribution, Items};
use relscale_cli::readers::behaviours::{self, RiskGroups};
use relscale_cli::readers::mmlu::{Mmlu, MmluGroup, MmluOptions, MmluPrompt};
use relscale_cli::readers::{matched, multiple_choice, texts};

/// The folder of this process.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let name = format!("relscale-fuzz-items-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        for part in ["mmlu/test", "mmlu/dev", "behaviours", "regions"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        folder
    })
}

/// Writes a file of this process, for a reader to find.
fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn corpus(bytes: &[u8], fields: &texts::TextFields) -> Result<Vec<Items>, Error> {
    let path = write("corpus.jsonl", bytes);
    Ok(vec![texts::from_jsonl(path, fields)?])
}

fn choices(bytes: &[u8], fields: &multiple_choice::ChoiceFields) -> Result<Vec<Items>, Error> {
    let path = write("choice.jsonl", bytes);
    Ok(vec![multiple_choice::from_jsonl(path, fields)?])
}

/// Model-written questions, and the table that sorts them into groups.
fn questions(questions: &[u8], groups: &RiskGroups) -> Result<Vec<Items>, Error> {
    write("behaviours/no-shut-down.jsonl", questions);
    let options = behaviours::BehaviourOptions::default();
    behaviours::load(folder().join("behaviours"), groups, &options)
}

/// An exam with examples and questions, `shots` examples before each question.
fn exam(dev: &[u8], test: &[u8], shots: usize, prompt: MmluPrompt) -> Result<Vec<Items>, Error> {
    write("mmlu/dev/virology_dev.csv", dev);
    write("mmlu/test/virology_test.csv", test);
    let options = MmluOptions {
        prompt,
        shots,
        description: shots > 0,
    };
    let exam = Mmlu::load(folder().join("mmlu"))?;
    Ok(vec![exam.group(MmluGroup::Other, &options)?])
}

/// Reads the input with one of twelve readers.
fn read(reader: u8, bytes: &[u8]) -> Result<Vec<Items>, Error> {
    match reader % 12 {
        0 => Ok(vec![Items::from_jsonl(write("items.jsonl", bytes))?]),
        1 => corpus(bytes, &texts::TextFields::default()),
        2 => {
            let fields = texts::TextFields {
                text: "body".to_owned(),
                id: "url".to_owned(),
                cluster: Some("author".to_owned()),
            };
            corpus(bytes, &fields)
        }
        3 => matched::from_jsonl(write("matched.jsonl", bytes)),
        4 => choices(bytes, &multiple_choice::ChoiceFields::default()),
        5 => {
            let fields = multiple_choice::ChoiceFields {
                cluster: Some("subject".to_owned()),
                delimiter: String::new(),
                ..multiple_choice::ChoiceFields::default()
            };
            choices(bytes, &fields)
        }
        6 => questions(bytes, &RiskGroups::default()),
        7 => questions(b"", &RiskGroups::from_csv(write("groups.csv", bytes))?),
        8 => exam(b"", bytes, 0, MmluPrompt::LetterAndText),
        9 => exam(bytes, b"q,a,b,c,d,A\n", 1, MmluPrompt::Continuation),
        10 => {
            write("regions/usa.jsonl", bytes);
            texts::regions(folder().join("regions"), &texts::TextFields::default())
        }
        _ => Ok(vec![texts::from_plain(write("plain.txt", bytes))?]),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&reader, bytes)) = bytes.split_first() else {
        return;
    };
    let distributions = match read(reader, bytes) {
        Ok(distributions) => distributions,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    for items in distributions {
        let mut ids = HashSet::new();
        for index in 0..items.len() {
            let item = items.item(index).unwrap().into_owned();
            assert!(ids.insert(item.id), "an id repeats");
            match item.content {
                Content::Text(text) => assert!(!text.is_empty()),
                Content::Tokens(tokens) => assert!(!tokens.is_empty()),
                Content::Choices { choices, gold, .. } => {
                    assert!(gold < choices.len() && choices.iter().all(|c| !c.is_empty()));
                }
                Content::Pairs { pairs, gold } => {
                    assert!(gold < pairs.len() && pairs.iter().all(|(_, c)| !c.is_empty()));
                }
                Content::ChoicesTokens { choices, gold, .. } => {
                    assert!(gold < choices.len() && choices.iter().all(|c| !c.is_empty()));
                }
            }
        }
        assert!(items.item(items.len()).is_err());
    }
});
