//! Any bytes as a file of items are read or refused: never a panic, never an item that cannot be
//! scored.
//!
//! The first byte picks the reader, the rest is the file.
#![no_main]

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use relscale::Error;
use relscale::distribution::{Content, Distribution, Items};
use relscale_cli::readers::behaviours::{self, Groups};
use relscale_cli::readers::mmlu::{Group, Mmlu, Options, Prompt};
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

/// Writes the input where the reader looks for it, and reads it.
fn read(reader: u8, bytes: &[u8]) -> Result<Vec<Items>, Error> {
    let dir = folder();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let mmlu = |shots, prompt| {
        let options = Options {
            prompt,
            shots,
            description: shots > 0,
        };
        Ok::<_, relscale::Error>(vec![
            Mmlu::load(dir.join("mmlu"))?.group(Group::Other, &options)?,
        ])
    };
    Ok(match reader % 12 {
        0 => vec![Items::from_jsonl(write("items.jsonl", bytes))?],
        1 => vec![texts::from_jsonl(
            write("corpus.jsonl", bytes),
            &texts::Fields::default(),
        )?],
        2 => {
            let fields = texts::Fields {
                text: "body".to_owned(),
                id: "url".to_owned(),
                cluster: Some("author".to_owned()),
            };
            vec![texts::from_jsonl(write("corpus.jsonl", bytes), &fields)?]
        }
        3 => matched::from_jsonl(write("matched.jsonl", bytes))?,
        4 => {
            let fields = multiple_choice::Fields::default();
            vec![multiple_choice::from_jsonl(
                write("choice.jsonl", bytes),
                &fields,
            )?]
        }
        5 => {
            let fields = multiple_choice::Fields {
                cluster: Some("subject".to_owned()),
                delimiter: String::new(),
                ..multiple_choice::Fields::default()
            };
            vec![multiple_choice::from_jsonl(
                write("choice.jsonl", bytes),
                &fields,
            )?]
        }
        6 => {
            write("behaviours/no-shut-down.jsonl", bytes);
            let options = behaviours::Options::default();
            behaviours::load(dir.join("behaviours"), &Groups::default(), &options)?
        }
        7 => {
            write("behaviours/no-shut-down.jsonl", b"");
            let table = Groups::from_csv(write("groups.csv", bytes))?;
            let options = behaviours::Options::default();
            behaviours::load(dir.join("behaviours"), &table, &options)?
        }
        8 => {
            write("mmlu/dev/virology_dev.csv", b"");
            write("mmlu/test/virology_test.csv", bytes);
            mmlu(0, Prompt::LetterAndText)?
        }
        9 => {
            write("mmlu/dev/virology_dev.csv", bytes);
            write("mmlu/test/virology_test.csv", b"q,a,b,c,d,A\n");
            mmlu(1, Prompt::Continuation)?
        }
        10 => {
            write("regions/usa.jsonl", bytes);
            texts::regions(dir.join("regions"), &texts::Fields::default())?
        }
        _ => {
            let path = write("covariates.csv", bytes);
            for value in texts::covariate(path, "users")?.values() {
                assert!(value.is_finite());
            }
            vec![texts::from_plain(write("plain.txt", bytes))?]
        }
    })
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
            assert!(ids.insert(item.id), "an id comes twice");
            match item.content {
                Content::Text(text) => assert!(!text.is_empty()),
                Content::Tokens(tokens) => assert!(!tokens.is_empty()),
                Content::Choices { choices, gold, .. } => {
                    assert!(gold < choices.len() && choices.iter().all(|c| !c.is_empty()));
                }
                Content::ChoicesTokens { choices, gold, .. } => {
                    assert!(gold < choices.len() && choices.iter().all(|c| !c.is_empty()));
                }
            }
        }
        assert!(items.item(items.len()).is_err());
    }
});
