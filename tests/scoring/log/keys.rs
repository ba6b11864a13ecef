//! Keys of logs, and the hashes of checkpoints and distributions in them.

use super::*;

use relscale::log::{checkpoint_hash, distribution_hash};

#[test]
fn another_key_is_refused_by_field() {
    let folder = Folder::new();
    let path = folder.file("log");
    let items = texts(3);
    let mine = key(&items);
    drop(Log::open(&path, &mine).unwrap());
    let refused = |key: &Key, field: &str| match Log::open(&path, key).unwrap_err() {
        Error::Key {
            path: file,
            field: named,
            message,
        } => {
            assert_eq!(
                (file.as_path(), named.as_str()),
                (path.as_path(), field),
                "{message}"
            );
        }
        e => panic!("{e}"),
    };
    let scored =
        |settings: &Settings| Key::new("a model", "oracle f64", &items, SCORERS, settings).unwrap();
    let changed = |change: &dyn Fn(&mut Key)| {
        let mut key = mine.clone();
        change(&mut key);
        key
    };
    refused(&changed(&|k| k.checkpoint = "b".into()), "checkpoint");
    refused(&changed(&|k| k.backend = "cpu".into()), "backend");
    refused(&changed(&|k| k.version = "9".into()), "version");
    refused(
        &mine.clone().with_special_tokens_parsed(true),
        "special_tokens_parsed",
    );
    refused(&changed(&|k| k.scorers = vec!["brier".into()]), "scorers");
    refused(
        &scored(&Settings {
            bos: Bos::EveryWindow(1),
            ..SETTINGS
        }),
        "bos",
    );
    refused(
        &scored(&Settings {
            bos: Bos::First(2),
            ..SETTINGS
        }),
        "bos",
    );
    refused(
        &scored(&Settings {
            context: None,
            ..SETTINGS
        }),
        "context",
    );
    refused(
        &scored(&Settings {
            stride: Some(8),
            ..SETTINGS
        }),
        "stride",
    );
    refused(
        &scored(&Settings {
            truncate: true,
            ..SETTINGS
        }),
        "truncate",
    );
    refused(&key(&texts(4)), "distribution_hash");
    refused(&key(&texts(3).named("other")), "distribution");
    // What changes no result is no part of the key.
    assert!(
        Log::open(
            &path,
            &scored(&Settings {
                batch_tokens: 999,
                ..SETTINGS
            })
        )
        .is_ok()
    );

    // Scoring something else into a log that is open is refused too.
    let mut log = Log::open(&path, &mine).unwrap();
    let model = Oracle::default();
    let other = evaluation(&model).stride(8);
    let e = log.score(&other, &items).unwrap_err();
    assert!(
        matches!(&e, Error::Key { field, .. } if field == "stride"),
        "{e}"
    );
    assert_eq!(log.table().records().len(), 0);
}

#[test]
fn a_key_says_in_words_how_sequences_begin() {
    let items = texts(1);
    for (bos, text) in [
        (Bos::ModelDefault, "model_default"),
        (Bos::Never, "never"),
        (Bos::First(7), "first 7"),
        (Bos::EveryWindow(u32::MAX), "every_window 4294967295"),
    ] {
        let settings = Settings { bos, ..SETTINGS };
        let key = Key::new("m", "b", &items, SCORERS, &settings).unwrap();
        let json = serde_json::to_value(&key).unwrap();
        assert_eq!(json["bos"], text);
        assert_eq!(serde_json::from_value::<Key>(json).unwrap(), key);
    }
    let mut json = serde_json::to_value(key(&items)).unwrap();
    for text in [
        "",
        "first",
        "first -1",
        "first 4294967296",
        "always 1",
        "never 1",
    ] {
        json["bos"] = text.into();
        let e = serde_json::from_value::<Key>(json.clone()).unwrap_err();
        assert!(e.to_string().contains("every_window <id>"), "{e}");
    }
}

#[test]
fn a_checkpoint_is_its_bytes() {
    let folder = Folder::new();
    let dir = folder.file("checkpoint");
    fs::create_dir(&dir).unwrap();
    let e = checkpoint_hash(&dir).unwrap_err();
    assert!(e.to_string().contains("safetensors"), "{e}");
    fs::write(dir.join("config.json"), "{}").unwrap();
    fs::write(dir.join("model.safetensors"), "weights").unwrap();
    let first = checkpoint_hash(&dir).unwrap();
    // sha256 of 11 as u64, "config.json", 2 as u64, "{}", 17, "model.safetensors", 7, "weights",
    // numbers in little-endian order; by hashlib.
    assert_eq!(
        first,
        "e77516c2eac2628d1878e9393c422c81d92a3ee7233a3d6db214f859379163ec"
    );
    // Weights that are not read may come and go, as the README may.
    for other in [
        "README.md",
        "consolidated.safetensors",
        "model-2.safetensors",
        "model.safetensors.index.json",
        "model-q8.gguf",
    ] {
        fs::write(dir.join(other), "no part of it").unwrap();
        assert_eq!(checkpoint_hash(&dir).unwrap(), first, "{other}");
    }
    let mut seen = vec![first];
    for (file, text) in [
        ("model.safetensors", "weighty"),
        ("config.json", "{ }"),
        ("tokenizer.json", "{}"),
    ] {
        fs::write(dir.join(file), text).unwrap();
        let hash = checkpoint_hash(&dir).unwrap();
        assert!(!seen.contains(&hash), "{file}");
        seen.push(hash);
    }
    // A checkpoint that is one file.
    let file = checkpoint_hash(dir.join("config.json")).unwrap();
    assert_eq!(file.len(), 64);
    assert!(checkpoint_hash(folder.file("none")).is_err());
}

#[test]
fn distributions_that_differ_anywhere_have_different_hashes() {
    let item = |id: &str, cluster: &str, content| Item {
        id: id.into(),
        cluster: cluster.into(),
        content,
    };
    let choices =
        |context: &str, choices: &[&str], gold, unconditional: Option<&str>| Content::Choices {
            context: context.into(),
            choices: choices.iter().map(ToString::to_string).collect(),
            gold,
            unconditional: unconditional.map(Into::into),
        };
    let tokens = |context: &[u32], choices: &[&[u32]], gold| Content::ChoicesTokens {
        context: context.into(),
        choices: choices.iter().map(|c| c.to_vec()).collect(),
        gold,
        unconditional: None,
    };
    let all = [
        vec![item("a", "b", Content::Text("c".into()))],
        vec![item("ab", "b", Content::Text("c".into()))],
        vec![item("a", "bc", Content::Text("c".into()))],
        vec![item("a", "b", Content::Text("d".into()))],
        vec![item("a", "b", Content::Tokens(vec![99]))],
        vec![item("a", "b", Content::Tokens(vec![99, 0]))],
        vec![item("a", "b", choices("q", &["x", "y"], 0, None))],
        vec![item("a", "b", choices("q", &["x", "y"], 1, None))],
        vec![item("a", "b", choices("q", &["xy", "y"], 0, None))],
        vec![item("a", "b", choices("qx", &["y", "y"], 0, None))],
        vec![item("a", "b", choices("q", &["x", "y"], 0, Some("")))],
        vec![item("a", "b", choices("q", &["x", "y"], 0, Some("z")))],
        vec![item("a", "b", tokens(&[1], &[&[2], &[3]], 0))],
        vec![item("a", "b", tokens(&[1], &[&[2, 3], &[3]], 0))],
        vec![item("a", "b", tokens(&[1, 2], &[&[2], &[3]], 0))],
        vec![
            item("a", "b", Content::Text("c".into())),
            item("b", "b", Content::Text("c".into())),
        ],
        vec![
            item("b", "b", Content::Text("c".into())),
            item("a", "b", Content::Text("c".into())),
        ],
    ];
    let mut seen = std::collections::BTreeSet::new();
    for items in all {
        let hash = distribution_hash(&Items::new("any", items).unwrap()).unwrap();
        assert_eq!(hash.len(), 64);
        assert!(seen.insert(hash));
    }
    // sha256 of 1 as u64, "a", 1, "b", a zero byte, 1, "c"; by hashlib.
    assert!(seen.contains("bb8524de6ef1f8a68eb403454f789e140177dea574e1fdeee46737489e53396b"));
}
