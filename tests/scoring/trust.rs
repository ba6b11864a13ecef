//! Attacks that once led to a wrong table without a word: each is refused by name, or counted.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{fixture, folder::Folder};
use relscale::Error;
use relscale::backend::{Backend, Overflow, Reference};
use relscale::distribution::{Content, Item, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::ladder::{FlopConvention, Run, Scale};
use relscale::log::{CheckpointPin, Key, Log, Record, Table, checkpoint_hash, export_csv};
use relscale::model::Transformer;
use relscale::scorer::{BitsPerByte, NatsPerToken, Score, Warning};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::{Cpu, Precision};
use serde_json::{Value, json};

fn items(count: usize) -> Items {
    let item = |i: usize| Item {
        id: i.to_string(),
        cluster: "x".into(),
        content: Content::Tokens(vec![1, 2]),
    };
    Items::new("d", (0..count).map(item).collect()).unwrap()
}

fn key(items: &Items) -> Key {
    Key::new(
        "m",
        "cpu f32",
        items,
        &[&NatsPerToken],
        &Settings::default(),
    )
    .unwrap()
}

fn record(weight: f64) -> Record {
    Record {
        cluster: "x".into(),
        scores: vec![Score { loss: 1.0, weight }],
        warnings: Vec::new(),
    }
}

const SCALE: Scale = Scale {
    params: 1e8,
    tokens: 1e9,
    flops: 6e17,
};

fn run() -> Run {
    Run::new("r", SCALE)
}

// Checkpoints ----------------------------------------------------------------------------------

#[test]
fn a_checkpoint_that_changes_after_its_hash_is_named() {
    let name = "checkpoints/llama-gqa-tied-bf16";
    let change = |file: &str, change: &dyn Fn(&Path)| {
        let folder = Folder::copy(&fixture(name));
        let pin = CheckpointPin::of(folder.path()).unwrap();
        assert_eq!(pin.hash().unwrap(), checkpoint_hash(folder.path()).unwrap());
        pin.ensure_unchanged().unwrap();
        change(&folder.file(file));
        let message = pin.ensure_unchanged().unwrap_err().to_string();
        assert!(
            message.contains(file) && message.contains("changed"),
            "{message}"
        );
    };
    // Another byte in the place of one, written at once: the size stays.
    let flip = |path: &Path| {
        let mut bytes = fs::read(path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(path, bytes).unwrap();
    };
    change("model.safetensors", &flip);
    change("config.json", &flip);
    // Put back before anybody looks again: what was loaded between is not known.
    change("model.safetensors", &|path| {
        let bytes = fs::read(path).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(path, b"other").unwrap();
        fs::write(path, bytes).unwrap();
    });
    // A tokenizer that was not there.
    change("tokenizer.json", &|path| {
        fs::write(path, "{}").unwrap();
    });
    change("model.safetensors", &|path| {
        fs::rename(path, path.with_extension("old")).unwrap();
        fs::copy(path.with_extension("old"), path).unwrap();
    });
}

#[test]
fn a_change_within_one_tick_of_the_clock_is_found_by_the_content() {
    let folder = Folder::copy(&fixture("checkpoints/llama-gqa-tied-bf16"));
    let path = folder.file("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    let mut found = 0;
    for round in 0..20u8 {
        fs::write(&path, &bytes).unwrap();
        let pin = CheckpointPin::of(folder.path()).unwrap();
        pin.hash().unwrap();
        let mut other = bytes.clone();
        let last = other.len() - 1;
        other[last] ^= 1 + round;
        // No pause: times may be equal.
        fs::write(&path, other).unwrap();
        found += usize::from(pin.ensure_unchanged().is_err());
    }
    assert_eq!(found, 20);
}

// Logs -----------------------------------------------------------------------------------------

#[test]
fn records_that_could_not_be_read_back_are_not_written() {
    let (folder, items) = (Folder::new(), items(3));
    let path = folder.file("log.jsonl");
    let mut log = Log::open(&path, &key(&items)).unwrap();
    for weight in [0.0, -3.0, f64::NAN] {
        let message = log.append("0", record(weight)).unwrap_err().to_string();
        assert!(message.contains("weight"), "{message}");
    }
    let long = "i".repeat(17 << 20);
    let message = log.append(&long, record(1.0)).unwrap_err().to_string();
    assert!(
        message.contains("bytes") && message.len() < 500,
        "{message}"
    );
    let mut warned = record(1.0);
    warned.warnings = vec!["w".repeat(17 << 20)];
    assert!(log.append("0", warned).is_err());
    log.append("0", record(1.0)).unwrap();
    drop(log);
    assert_eq!(Table::read(&path).unwrap().records().len(), 1);
    let mut log = Log::open(&path, &key(&items)).unwrap();
    assert!(log.append("1", record(1.0)).is_ok());
}

#[test]
fn records_of_foreign_items_are_refused() {
    let (folder, three) = (Folder::new(), items(3));
    let path = folder.file("log.jsonl");
    let log = Log::open(&path, &key(&three)).unwrap();
    let mut log = log.with_items(&three).unwrap();
    let message = log.append("nobody", record(1.0)).unwrap_err().to_string();
    assert!(message.contains("nobody"), "{message}");
    drop(log);
    // Without the items, their number is the bound.
    let mut log = Log::open(&path, &key(&three)).unwrap();
    for id in ["nobody", "0", "1"] {
        log.append(id, record(1.0)).unwrap();
    }
    assert!(log.append("2", record(1.0)).is_err());
    assert!(log.with_items(&items(2)).is_err());
    let log = Log::open(&path, &key(&three)).unwrap();
    let message = log.with_items(&three).unwrap_err().to_string();
    assert!(message.contains("nobody"), "{message}");
}

#[test]
fn tables_of_some_items_are_written_only_if_asked_for() {
    let (folder, items) = (Folder::new(), items(3));
    let mut log = Log::open(folder.file("log.jsonl"), &key(&items)).unwrap();
    log.append("0", record(1.0)).unwrap();
    let table = log.table().clone();
    let run = run();
    let export = |tables: &[(&Run, &Table)]| {
        let convention = FlopConvention::Unspecified;
        export_csv(folder.file("out.csv"), tables, "nats_per_token", convention)
    };
    let message = export(&[(&run, &table)]).unwrap_err().to_string();
    assert!(message.contains("1 of 3 items"), "{message}");
    assert!(!folder.file("out.csv").exists());
    let table = table.accept_incomplete();
    export(&[(&run, &table)]).unwrap();
    let message = export(&[(&run, &table), (&run, &table)]).unwrap_err();
    assert!(message.to_string().contains("two logs"), "{message}");
}

#[test]
fn versions_and_runs_are_part_of_the_key_and_the_message_says_what_to_update() {
    let (folder, items) = (Folder::new(), items(3));
    let path = folder.file("log.jsonl");
    let mine = key(&items)
        .with_backend_version("relscale-cpu 0.1.0, kernels 1")
        .with_run(&run());
    drop(Log::open(&path, &mine).unwrap());
    let refused = |key: &Key| Log::open(&path, key).unwrap_err().to_string();
    let newer = mine
        .clone()
        .with_backend_version("relscale-cpu 0.2.0, kernels 2");
    let message = refused(&newer);
    assert!(
        message.contains("kernels 1") && message.contains("install"),
        "{message}"
    );
    for other in [
        run().budget(1e19),
        run().seed(1),
        run().corpus("c"),
        run().held_out(),
    ] {
        assert!(refused(&mine.clone().with_run(&other)).contains("`run`"));
    }
    drop(Log::open(&path, &mine).unwrap());
    // A log that was written before these fields were.
    fs::remove_file(&path).unwrap();
    drop(Log::open(&path, &key(&items)).unwrap());
    let message = refused(&mine);
    assert!(message.contains("earlier version"), "{message}");
}

#[test]
fn names_that_read_as_more_than_a_name_do_not_make_two_runs_one() {
    let named = |id: &str, corpus: &str| Run::new(id, SCALE).corpus(corpus);
    let key = |run: &Run| key(&items(1)).with_run(run).run;
    for (one, other) in [
        (named("a of b", "c"), named("a", "b of c")),
        (
            named("a b\" of \"c d", "e f"),
            named("a b", "c d\" of \"e f"),
        ),
        (
            named("a", "b").trajectory("t, held out"),
            named("a", "b").trajectory("t").held_out(),
        ),
    ] {
        assert_ne!(key(&one), key(&other));
    }
}

#[cfg(unix)]
#[test]
fn links_in_the_place_of_logs_are_not_followed() {
    let (folder, items) = (Folder::new(), items(3));
    let other = folder.write("other", "");
    for name in ["log.jsonl", "log.jsonl.lock"] {
        std::os::unix::fs::symlink(&other, folder.file(name)).unwrap();
        let message = Log::open(folder.file("log.jsonl"), &key(&items)).unwrap_err();
        assert!(message.to_string().contains("symbolic link"), "{message}");
        fs::remove_file(folder.file(name)).unwrap();
    }
    assert_eq!(fs::read(&other).unwrap(), b"");
}

// Models ---------------------------------------------------------------------------------------

/// The error of scoring twenty tokens.
fn error_of<B: Backend>(dir: &Path, backend: B) -> Option<Error> {
    let model = Transformer::load(dir, backend).unwrap();
    let tokens = (0..20).map(|i| i * 7 % 40).collect();
    let item = Item {
        id: "a".into(),
        cluster: "a".into(),
        content: Content::Tokens(tokens),
    };
    let evaluation = Evaluation::new(&model).bos(Bos::Never);
    evaluation
        .log_likelihoods(&Items::new("d", vec![item]).unwrap())
        .err()
}

#[test]
fn an_infinite_sum_of_squares_is_an_error_of_its_layer() {
    let dir = fixture("attacks/overflow");
    let cpu = || Cpu::with_threads(2).unwrap();
    let all = [
        error_of(&dir, Reference::<f32>::new()),
        error_of(&dir, cpu()),
        error_of(&dir, cpu().with_instructions("scalar").unwrap()),
        error_of(&dir, cpu().with_precision(Precision::Bf16)),
    ];
    for error in all {
        let Some(Error::Backend { source, .. }) = error else {
            panic!("{error:?}");
        };
        assert!(source.is::<Overflow>(), "{source}");
        assert!(source.to_string().starts_with("layer 0: "), "{source}");
    }
    assert!(error_of(&dir, Reference::<f64>::new()).is_none());
}

#[test]
fn a_token_outside_the_vocabulary_is_named_with_its_item() {
    let dir = fixture("checkpoints/llama-gqa-tied-bf16");
    let model = Transformer::load(&dir, Cpu::with_threads(1).unwrap()).unwrap();
    let item = |id: &str, token: u32| Item {
        id: id.into(),
        cluster: id.into(),
        content: Content::Tokens(vec![1, token, 2]),
    };
    let items = Items::new("d", vec![item("good", 3), item("bad", 1_000_000)]).unwrap();
    let error = Evaluation::new(&model).log_likelihoods(&items).unwrap_err();
    assert!(
        matches!(&error, Error::Item { id, .. } if id == "bad"),
        "{error}"
    );
    assert!(
        error.to_string().contains("outside the vocabulary"),
        "{error}"
    );
}

#[test]
fn every_file_that_weights_are_read_from_is_part_of_the_hash() {
    // Shards of another ending, beside weights that nothing reads.
    let folder = Folder::copy(&fixture("checkpoints/llama-gqa-tied-bf16"));
    fs::rename(folder.file("model.safetensors"), folder.file("shard.dat")).unwrap();
    fs::copy(folder.file("shard.dat"), folder.file("other.safetensors")).unwrap();
    folder.write(
        "model.safetensors.index.json",
        r#"{"weight_map": {"model.norm.weight": "shard.dat"}}"#,
    );
    let error = Transformer::load(folder.path(), Reference::<f32>::new()).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("`shard.dat`, which is no .safetensors file"),
        "{message}"
    );
    // GGUF is read whatever the case of its ending.
    let folder = Folder::new();
    folder.write("model.GGUF", "one");
    folder.write("other.safetensors", "not read");
    let before = checkpoint_hash(folder.path()).unwrap();
    folder.write("model.GGUF", "two");
    assert_ne!(checkpoint_hash(folder.path()).unwrap(), before);
    // Every shard that the index names, and the index.
    let folder = Folder::new();
    folder.write(
        "model.safetensors.index.json",
        r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#,
    );
    folder.write("one.safetensors", "one");
    let error = checkpoint_hash(folder.path()).unwrap_err().to_string();
    assert!(error.contains("two.safetensors"), "{error}");
    folder.write("two.safetensors", "two");
    let mut seen = vec![checkpoint_hash(folder.path()).unwrap()];
    for file in [
        "one.safetensors",
        "two.safetensors",
        "model.safetensors.index.json",
    ] {
        let text = fs::read_to_string(folder.file(file)).unwrap() + " ";
        folder.write(file, &text);
        let hash = checkpoint_hash(folder.path()).unwrap();
        assert!(!seen.contains(&hash), "{file}");
        seen.push(hash);
    }
    folder.write("three.safetensors", "not read");
    assert_eq!(checkpoint_hash(folder.path()).unwrap(), seen[3]);
}

#[test]
fn fields_that_come_twice_in_a_line_are_refused() {
    let folder = Folder::new();
    let row = |loss: &str| {
        format!(
            r#"{{"corpus":"web","run":"a","flops":1e18,"params":1e8,"tokens":2e9,"distribution":"d",{loss}}}"#
        ) + "\n"
    };
    for twice in [
        r#""loss":3,"loss":2"#,
        r#""loss":3," loss":2"#,
        r#""loss":3,"l\u006fss":2"#,
    ] {
        let path = folder.write("losses.jsonl", row(r#""loss":3"#) + &row(twice));
        let tables = relscale::ladder::Tables::new().open(&path);
        let error = tables
            .and_then(relscale::ladder::Tables::ladder)
            .unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("line 2") && message.contains("comes twice"),
            "{message}"
        );
    }
    let path = folder.write(
        "items.jsonl",
        "{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"b\",\"text\":\"y\",\"text\":\"z\"}\n",
    );
    let message = Items::from_jsonl(&path).unwrap_err().to_string();
    assert!(
        message.contains("line 2") && message.contains("twice"),
        "{message}"
    );
}

// Tokenizers -----------------------------------------------------------------------------------

/// A tokenizer of letters with some fields replaced.
fn tokenizer(changes: Value) -> Value {
    let letters = (b'a'..=b'z').chain([b' ']).enumerate();
    let mut vocab: serde_json::Map<String, Value> = letters
        .map(|(id, letter)| (char::from(letter).to_string(), id.into()))
        .collect();
    vocab.insert("[UNK]".into(), 27.into());
    let mut file = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": vocab, "merges": [], "unk_token": "[UNK]"}});
    for (field, value) in changes.as_object().unwrap() {
        file[field] = value.clone();
    }
    file
}

fn load(file: &str) -> Result<Tokenizer, Error> {
    let folder = Folder::new();
    folder.write("tokenizer.json", file);
    Tokenizer::load(folder.path())
}

fn added(content: &str, normalized: bool) -> Value {
    json!([{"id": 100, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": normalized, "special": false}])
}

/// The field that a tokenizer is refused by, and the number of panics on the way.
fn refused(file: &str) -> (Option<String>, usize) {
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    static ONCE: std::sync::Once = std::sync::Once::new();
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = ALONE.lock();
    // A caught panic would still be one under `panic = "abort"`.
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::Relaxed);
            before(info);
        }));
    });
    let before = PANICS.load(Ordering::Relaxed);
    let field = match load(file) {
        Err(Error::Config { field, .. }) => Some(field),
        Err(error) => Some(error.to_string()),
        Ok(tokenizer) => {
            for text in ["abc", "a  b a", "a   ", ""] {
                tokenizer.encode(text).ok();
            }
            None
        }
    };
    (field, PANICS.load(Ordering::Relaxed) - before)
}

#[test]
fn tokenizers_that_take_more_than_time_in_proportion_to_the_text_are_refused() {
    let word_piece = json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 1_000_000_000, "vocab": {"a": 0, "##a": 1, "[UNK]": 2}});
    let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let prepend = json!({"type": "Prepend", "prepend": "a".repeat(1 << 20)});
    let many: Vec<Value> = (0..100)
        .map(|_| json!({"type": "Prepend", "prepend": "a"}))
        .collect();
    let unigram: Vec<Value> = [json!(["<unk>", 0.0])]
        .into_iter()
        .chain(
            (1..1200usize)
                .step_by(100)
                .map(|n| json!(["a".repeat(n), -1.0])),
        )
        .collect();
    let cases = [
        ("model.type", json!({"model": word_piece})),
        (
            "added_tokens",
            json!({"added_tokens": added(&"a".repeat(40_000), false)}),
        ),
        ("normalizer", json!({"normalizer": prepend})),
        (
            "normalizer",
            json!({"normalizer": {"type": "Sequence", "normalizers": many}}),
        ),
        (
            "pre_tokenizer",
            json!({"pre_tokenizer": split(r"(?:(?=(?:.(?!\x00))*(?:.(?!\x00))*\x00)|).|\n")}),
        ),
        (
            "model.vocab",
            json!({"model": {"type": "Unigram", "unk_id": 0, "vocab": unigram, "byte_fallback": false}}),
        ),
    ];
    for (field, changes) in cases {
        let start = std::time::Instant::now();
        let found = refused(&tokenizer(changes).to_string());
        assert_eq!(found, (Some(field.to_owned()), 0));
        assert!(
            start.elapsed().as_secs_f64() < 5.0,
            "{field}: {:?}",
            start.elapsed()
        );
    }
    assert_eq!(refused(&tokenizer(json!({})).to_string()), (None, 0));
    let gpt2 = r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    let fine = tokenizer(json!({"pre_tokenizer": split(gpt2), "added_tokens": added("<x>", true)}));
    assert_eq!(refused(&fine.to_string()), (None, 0));
}

#[test]
fn tokenizers_that_the_library_panics_on_are_refused_before_it_sees_them() {
    let strip = json!({"type": "Strip", "strip_left": true, "strip_right": true});
    let zero = json!({"type": "FixedLength", "length": 0});
    let nested = json!({"type": "Sequence", "pretokenizers": [zero]});
    let split = |regex: &str| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let replace = |pattern: Value| json!({"type": "Replace", "pattern": pattern, "content": "x"});
    // The next stage looks for the place of what the first put before the text.
    let lowered =
        |first: Value| json!({"type": "Sequence", "normalizers": [first, {"type": "Lowercase"}]});
    // " " is found within the white space that "a" has swallowed, and would end before it begins.
    let token = |content: &str, left: bool, right: bool| {
        json!({"id": 0, "content": content, "single_word": false, "lstrip": left, "rstrip": right,
            "normalized": false, "special": false})
    };
    for (field, changes) in [
        ("pre_tokenizer", json!({"pre_tokenizer": zero})),
        ("pre_tokenizer", json!({"pre_tokenizer": nested})),
        // The library also reads stages as lists of their fields.
        (
            "pre_tokenizer",
            json!({"pre_tokenizer": ["FixedLength", 0]}),
        ),
        (
            "normalizer",
            json!({"normalizer": [{"String": "a"}, "b".repeat(1 << 20)]}),
        ),
        (
            "normalizer",
            json!({"normalizer": {"pattern": {"String": "a"}, "content": "b"}}),
        ),
        ("normalizer", json!({"normalizer": {"type": "Precompiled"}})),
        (
            "normalizer",
            json!({"normalizer": lowered(replace(json!({"Regex": "^"})))}),
        ),
        (
            "normalizer",
            json!({"normalizer": lowered(replace(json!({"Regex": r"\b"})))}),
        ),
        (
            "normalizer",
            json!({"normalizer": lowered(replace(json!({"String": ""})))}),
        ),
        (
            "normalizer",
            json!({"normalizer": lowered(replace(json!({"Regex": "(?=a)"})))}),
        ),
        (
            "normalizer",
            json!({"normalizer": lowered(json!({"type": "Prepend", "prepend": ""}))}),
        ),
        (
            "pre_tokenizer",
            json!({"pre_tokenizer": split(r"(?<=a\K)b")}),
        ),
        (
            "pre_tokenizer",
            json!({"pre_tokenizer": split(r"(a)\k<9223372036854775807>")}),
        ),
        (
            "added_tokens",
            json!({"normalizer": strip, "added_tokens": added(" ", true)}),
        ),
        (
            "added_tokens",
            json!({"added_tokens": [token("a", false, true), token(" ", true, false)]}),
        ),
    ] {
        let found = refused(&tokenizer(changes.clone()).to_string());
        assert_eq!(found, (Some(field.to_owned()), 0), "{changes}");
    }
    // What is close to them and fine.
    let letters = lowered(replace(json!({"Regex": " {2,}"})));
    let fine = tokenizer(json!({"normalizer": letters, "added_tokens": [token("a", true, true)]}));
    assert_eq!(refused(&fine.to_string()), (None, 0));
    let huge = tokenizer(json!({"decoder": {"type": "CTC", "pad_token": "p", "x": 12_345}}));
    let (error, panics) = refused(&huge.to_string().replace("12345", "1e999"));
    assert_eq!(panics, 0);
    assert!(error.unwrap().contains("number out of range"));
}

#[test]
fn a_search_that_is_given_up_is_an_error_and_not_one_long_word() {
    let words = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let tokenizer = load(&tokenizer(json!({"pre_tokenizer": words})).to_string()).unwrap();
    let spaces = |count: usize| " ".repeat(count) + "a b";
    assert_eq!(
        tokenizer.encode(&spaces(100_000)).unwrap().tokens.len(),
        100_003
    );
    let error = tokenizer
        .encode(&spaces(1_100_000))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("tokenizer.json") && error.contains("backtracks too much"),
        "{error}"
    );
}

#[test]
fn text_that_the_tokenizer_drops_is_counted_and_its_bytes_are_not() {
    // Without an unknown token, letters that the vocabulary lacks vanish.
    let bare = json!({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [], "unk_token": null});
    let tokenizer = load(&tokenizer(json!({"model": bare})).to_string()).unwrap();
    let text = "abrownafox";
    let encoding = tokenizer.encode(text).unwrap();
    assert_eq!((encoding.tokens.len(), encoding.dropped_bytes), (3, 7));
    assert_eq!(tokenizer.encode("abba").unwrap().dropped_bytes, 0);
    let pair = tokenizer.encode_pair("ab", "xxa").unwrap();
    assert_eq!((pair.dropped_bytes, pair.bytes), (2, 1));

    let dir = fixture("checkpoints/llama-gqa-tied-bf16");
    let model = Transformer::load(&dir, Cpu::with_threads(1).unwrap()).unwrap();
    let item = |id: &str, content: Content| Item {
        id: id.into(),
        cluster: id.into(),
        content,
    };
    let question = Content::Choices {
        context: "ab".into(),
        choices: vec!["axyzb".into(), "b".into()],
        gold: 0,
        unconditional: None,
    };
    let all = vec![
        item("text", Content::Text(text.into())),
        item("question", question),
    ];
    let evaluation = Evaluation::new(&model)
        .tokenizer(&tokenizer)
        .scorers(&[&BitsPerByte])
        .bos(Bos::First(1));
    let found = evaluation
        .log_likelihoods(&Items::new("d", all).unwrap())
        .unwrap();
    let dropped = |bytes| vec![Warning::TextDropped { bytes }];
    assert_eq!(found[0].warnings, dropped(7));
    assert_eq!(found[0].sequences[0].bytes, Some(3));
    assert_eq!(found[1].warnings, dropped(3));
    assert_eq!(found[1].sequences[0].bytes, Some(2));
}

#[test]
fn text_that_the_vocabulary_lacks_is_counted() {
    // One unknown token stands for any number of letters: per byte, the loss would be as low as one likes.
    let fused = json!({"type": "BPE", "vocab": {"a": 0, "[UNK]": 1}, "merges": [], "unk_token": "[UNK]",
        "fuse_unk": true});
    let unigram = json!({"type": "Unigram", "unk_id": 1, "byte_fallback": false,
        "vocab": [["a", -1.0], ["[UNK]", 0.0]]});
    for model in [fused, unigram] {
        let tokenizer = load(&tokenizer(json!({"model": model})).to_string()).unwrap();
        let encoding = tokenizer.encode("a中文中文a").unwrap();
        assert_eq!(encoding.tokens, [0, 1, 0]);
        assert_eq!((encoding.unknown_bytes, encoding.dropped_bytes), (12, 0));
        assert_eq!(tokenizer.encode("aaa").unwrap().unknown_bytes, 0);
        let pair = tokenizer.encode_pair("a", "é").unwrap();
        assert_eq!(pair.unknown_bytes, 2);
        let dir = fixture("checkpoints/llama-gqa-tied-bf16");
        let model = Transformer::load(&dir, Cpu::with_threads(1).unwrap()).unwrap();
        let item = Item {
            id: "x".into(),
            cluster: "x".into(),
            content: Content::Text("a中文中文a".into()),
        };
        let evaluation = Evaluation::new(&model)
            .tokenizer(&tokenizer)
            .scorers(&[&BitsPerByte])
            .bos(Bos::First(1));
        let found = evaluation.log_likelihoods(&Items::new("d", vec![item]).unwrap());
        let unknown = vec![Warning::TextUnknown { bytes: 12 }];
        assert_eq!(found.unwrap()[0].warnings, unknown);
    }
}

#[test]
fn added_tokens_with_other_ids_than_their_file_says_are_a_warning() {
    let tokenizer = load(&tokenizer(json!({"added_tokens": added("<x>", false)})).to_string());
    let tokenizer = tokenizer.unwrap();
    let warning = "\"<x>\" has the id 100 in tokenizer.json and 28 in the vocabulary";
    assert!(
        tokenizer.warnings()[0].contains(warning),
        "{:?}",
        tokenizer.warnings()
    );
    let mut same = added("<x>", false);
    same[0]["id"] = json!(28);
    let tokenizer = load(&self::tokenizer(json!({"added_tokens": same})).to_string()).unwrap();
    assert!(tokenizer.warnings().is_empty());
}
