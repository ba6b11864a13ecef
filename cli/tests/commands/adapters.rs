//! LoRA adapters in every command that scores: one item file, a ladder and a study of both arms, before
//! and after adaptation.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use relscale::checkpoint::Checkpoint;
use relscale::distribution::Items;
use relscale::evaluate::Evaluation;
use relscale::model::Transformer;
use relscale::scorer::BitsPerByte;
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;

use crate::common::{copy, relscale};

/// The output of a command that succeeds.
#[track_caller]
fn done(arguments: &[&str]) -> String {
    let output = relscale(arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

/// The message of a command that is refused.
#[track_caller]
fn refused(arguments: &[&str], parts: &[&str]) {
    let output = relscale(arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{arguments:?}");
    for part in parts {
        assert!(message.contains(part), "no {part:?} in {message}");
    }
}

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A base with a tokenizer, an adapter, distributions, and a folder that is removed at the end.
struct Place {
    folder: PathBuf,
    /// Folder of bases: the base is `somebody/base` in it, as the adapter has it.
    bases: PathBuf,
    base: PathBuf,
    adapter: PathBuf,
    texts: PathBuf,
}

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("relscale-cli-adapters-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let (bases, adapter) = (folder.join("bases"), folder.join("adapter"));
        let (base, texts) = (bases.join("somebody/base"), folder.join("texts"));
        copy(&fixture("checkpoints/llama-plain"), &base);
        copy(&fixture("adapters/patterns"), &adapter);
        fs::write(base.join("tokenizer.json"), tokenizer()).unwrap();
        fs::create_dir_all(&texts).unwrap();
        for (name, seed) in [("plain", 3), ("odd", 7)] {
            let lines = (0..6u32).map(|line| {
                let words = (0..30).map(|word| letter((line * 31 + word * word * seed) % 95));
                format!("{{\"text\": {:?}}}\n", words.collect::<String>())
            });
            fs::write(
                texts.join(format!("{name}.jsonl")),
                lines.collect::<String>(),
            )
            .unwrap();
        }
        Self {
            folder,
            bases,
            base,
            adapter,
            texts,
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Bits per byte of each distribution, by the library.
    fn bits(&self, checkpoint: &Checkpoint) -> BTreeMap<String, f64> {
        let model = Transformer::load(checkpoint, Cpu::new()).unwrap();
        let tokenizer = Tokenizer::load(checkpoint).unwrap();
        let evaluation = Evaluation::new(&model)
            .tokenizer(&tokenizer)
            .scorers(&[&BitsPerByte]);
        let of = |name: &str| {
            let items = Items::from_jsonl(self.items(name)).unwrap();
            let scores = evaluation.run(&items).unwrap();
            let scored = scores.of("bits_per_byte").unwrap();
            let all: f64 = scored.iter().map(|s| s.score.loss).sum();
            let weight: f64 = scored.iter().map(|s| s.score.weight).sum();
            (name.to_owned(), all / weight)
        };
        ["plain", "odd"].map(of).into()
    }

    /// The file of a distribution, with the ids that items must have.
    fn items(&self, name: &str) -> PathBuf {
        let from = fs::read_to_string(self.texts.join(format!("{name}.jsonl"))).unwrap();
        let lines = from.lines().enumerate();
        let lines =
            lines.map(|(i, line)| line.replacen('{', &format!("{{\"id\": \"{i}\", "), 1) + "\n");
        let folder = self.file("items");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.jsonl"));
        fs::write(&path, lines.collect::<String>()).unwrap();
        path
    }

    /// A table of both arms; `base` is the field of the adapter's row.
    fn runs(&self, name: &str, base: Option<&str>) -> PathBuf {
        let column = base.map_or("", |_| ",base");
        let mut rows = format!("run,corpus,budget,flops,params,tokens,checkpoint{column}\n");
        for scale in 1..=4 {
            let flops = 10f64.powi(12 + scale);
            let numbers = format!("{flops:e},{flops:e},1e6,{:e}", flops / 6e6);
            let (before, after) = match base {
                None => (String::new(), String::new()),
                Some(base) => (",".to_owned(), format!(",{base}")),
            };
            let (whole, adapter) = ("bases/somebody/base", "adapter");
            rows += &format!("before-{scale},before,{numbers},{whole}{before}\n");
            rows += &format!("after-{scale},after,{numbers},{adapter}{after}\n");
        }
        let path = self.file(name);
        fs::write(&path, rows).unwrap();
        path
    }

    /// The losses of a long table of the two arms are those of the library.
    fn check(&self, table: &Path) {
        let adapted = Checkpoint::from(&self.adapter).with_base(&self.base);
        let (before, after) = (self.bits(&(&self.base).into()), self.bits(&adapted));
        let mut reader = csv(table);
        let columns = reader.remove(0);
        let place = |name: &str| columns.iter().position(|c| c == name).unwrap();
        let (corpus, distribution, loss, weight) = (
            place("corpus"),
            place("distribution"),
            place("loss"),
            place("weight"),
        );
        let mut sums: BTreeMap<(String, String), (f64, f64)> = BTreeMap::new();
        for row in reader {
            let number = |at: usize| row[at].parse::<f64>().unwrap();
            let sum = sums.entry((row[corpus].clone(), row[distribution].clone()));
            let sum = sum.or_default();
            sum.0 += number(loss) * number(weight);
            sum.1 += number(weight);
        }
        assert_eq!(sums.len(), 4);
        for ((corpus, distribution), (sum, weight)) in sums {
            let arm = if corpus == "after" { &after } else { &before };
            let right = arm[&distribution];
            assert!(
                (sum / weight - right).abs() < 1e-9,
                "{corpus} {distribution}"
            );
            let moved = (before[&distribution] - after[&distribution]).abs();
            assert!(moved > 0.01, "{distribution} moved by {moved}");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Rows of a table without quotes.
fn csv(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let row = |line: &str| line.split(',').map(str::to_owned).collect();
    text.lines().map(row).collect()
}

/// A printable letter of ASCII, of 95.
fn letter(number: u32) -> char {
    char::from_u32(32 + number).unwrap()
}

/// A token per printable letter, without merges.
fn tokenizer() -> String {
    let vocabulary: serde_json::Map<String, serde_json::Value> = (0..95)
        .map(|id| (letter(id).to_string(), id.into()))
        .collect();
    serde_json::json!({"version": "1.0", "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []}})
    .to_string()
}

#[test]
fn score_takes_an_adapter_on_its_base_or_on_one_of_several() {
    let place = Place::new("score");
    let items = place.items("plain");
    let score = |checkpoint: &Path, more: &[&str]| -> f64 {
        let out = place.file("out.jsonl");
        let arguments = [
            "score",
            "--checkpoint",
            text(checkpoint),
            "--items",
            text(&items),
        ];
        done(&[&arguments[..], &["--out", text(&out)], more].concat());
        let lines = fs::read_to_string(out).unwrap();
        let of = |line: &str, field: &str| -> f64 {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line[field].as_f64().unwrap()
        };
        let sum = |field: &str| lines.lines().map(|line| of(line, field)).sum::<f64>();
        -sum("log_likelihood") / std::f64::consts::LN_2 / sum("bytes")
    };
    let adapted = Checkpoint::from(&place.adapter).with_base(&place.base);
    let (before, after) = (
        place.bits(&(&place.base).into())["plain"],
        place.bits(&adapted)["plain"],
    );
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
    close(score(&place.base, &[]), before);
    close(score(&place.adapter, &["--base", text(&place.base)]), after);
    close(
        score(&place.adapter, &["--base", text(&place.bases)]),
        after,
    );
    // As in the cache of the hub.
    let hub = place.file("hub");
    let cached = hub.join("models--somebody--base");
    copy(&place.base, &cached.join("snapshots/0a1b"));
    fs::create_dir_all(cached.join("refs")).unwrap();
    fs::write(cached.join("refs/main"), "0a1b").unwrap();
    close(score(&place.adapter, &["--base", text(&hub)]), after);

    // Both arms at once: the base is that of the adapter only.
    let out = place.file("both.jsonl");
    let arms = [
        "score",
        "--checkpoint",
        text(&place.base),
        "--checkpoint",
        text(&place.adapter),
    ];
    let rest = [
        "--base",
        text(&place.base),
        "--items",
        text(&items),
        "--out",
        text(&out),
    ];
    done(&[&arms[..], &rest].concat());
    let lines = fs::read_to_string(out).unwrap();
    for (arm, right) in [(&place.base, before), (&place.adapter, after)] {
        let named = |line: &&serde_json::Value| line["checkpoint"] == text(arm);
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let sum = |field: &str| -> f64 {
            let lines = lines.iter().filter(named);
            lines.map(|line| line[field].as_f64().unwrap()).sum()
        };
        close(
            -sum("log_likelihood") / std::f64::consts::LN_2 / sum("bytes"),
            right,
        );
    }

    let out = place.file("none.jsonl");
    let score = |checkpoint: &Path, more: &[&str], parts: &[&str]| {
        let arguments = [
            "score",
            "--checkpoint",
            text(checkpoint),
            "--items",
            text(&items),
        ];
        refused(
            &[&arguments[..], &["--out", text(&out)], more].concat(),
            parts,
        );
    };
    score(&place.adapter, &[], &["`somebody/base`", "--base DIR"]);
    score(
        &place.adapter,
        &["--base", text(&place.texts)],
        &["texts", "`somebody/base`", "config.json"],
    );
    score(
        &place.base,
        &["--base", text(&place.base)],
        &["holds no adapter"],
    );
}

/// A ladder writes its losses before it fits them; these have no laws.
#[test]
fn a_ladder_scores_both_arms() {
    let place = Place::new("ladder");
    let ladder = |runs: &Path, out: &Path, more: &[&str]| {
        let arguments = [
            "ladder",
            "--runs",
            text(runs),
            "--texts",
            text(&place.texts),
        ];
        let rest = ["--baseline", "plain", "--out", text(out)];
        relscale(&[&arguments[..], &rest, more].concat())
    };
    let column = place.runs("column.csv", Some("bases/somebody/base"));
    let bases = place.runs("bases.csv", Some("bases"));
    let without = place.runs("without.csv", None);
    for (number, (runs, more)) in [
        (&column, &[][..]),
        (&bases, &[]),
        (&without, &["--base", text(&place.base)]),
        (&without, &["--base", text(&place.bases)]),
    ]
    .into_iter()
    .enumerate()
    {
        let out = place.file(&format!("out-{number}"));
        let output = ladder(runs, &out, more);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        let fitted = output.status.success() || message.contains("not fitted");
        assert!(fitted, "{message}");
        place.check(&out.join("scores.csv"));
        // The table that was written scores the same again, from another folder.
        let again = ladder(&out.join("runs.csv"), &out, &[]);
        assert_eq!(again.status.code(), output.status.code());
    }
    refused(
        &[
            "ladder",
            "--runs",
            text(&column),
            "--list",
            "--base",
            "bases",
        ],
        &[
            "base",
            "no run without a base has an adapter",
            "leave the option out",
        ],
    );
    let listed = [
        "ladder",
        "--runs",
        text(&without),
        "--list",
        "--base",
        text(&place.base),
    ];
    let listed = done(&listed);
    let named = listed
        .lines()
        .filter(|line| line.ends_with("somebody/base"));
    // Four adapters; the whole models end with an empty field.
    assert_eq!(named.count(), 4, "{listed}");
}

#[test]
fn a_study_plans_and_scores_both_arms() {
    let place = Place::new("study");
    let plain = place.items("plain");
    let odd = place.items("odd");
    place.runs("column.csv", Some("bases/somebody/base"));
    place.runs("without.csv", None);
    for (name, runs, base) in [
        ("column", "column.csv", ""),
        ("one", "without.csv", "\"base\": \"bases/somebody/base\","),
        ("several", "without.csv", "\"base\": \"bases\","),
    ] {
        let (study, folder) = (place.file(&format!("{name}.json")), place.file(name));
        let source = |path: &Path| {
            format!("{{\"kind\": \"items\", \"path\": {path:?}, \"scorers\": [\"bits_per_byte\"]}}")
        };
        let described = format!(
            "{{\"runs\": \"{runs}\", {base} \"unit_flops\": 1e18, \"distributions\": [{}, {}]}}",
            source(&plain),
            source(&odd)
        );
        fs::write(&study, described).unwrap();
        done(&["study", "plan", text(&study), text(&folder)]);
        done(&["study", "run", text(&folder), "--shard", "0/1"]);
        let table = folder.join("losses.csv");
        done(&["study", "merge", text(&folder), "--out", text(&table)]);
        place.check(&table);
    }
    // An adapter that changed after the plan is not scored.
    let folder = place.file("changed");
    done(&[
        "study",
        "plan",
        text(&place.file("one.json")),
        text(&folder),
    ]);
    let config = place.base.join("config.json");
    let changed = fs::read_to_string(&config).unwrap() + " ";
    fs::write(config, changed).unwrap();
    refused(
        &["study", "run", text(&folder), "--shard", "0/1"],
        &["checkpoint", "the plan has"],
    );
}
