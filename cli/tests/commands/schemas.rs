//! The schemas of `relscale schema` hold what the program writes and reads, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::suite;

/// A file of this test and process.
fn file(name: &str) -> String {
    let folder = std::env::temp_dir().join(format!("relscale-schemas-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder.join(name).to_str().unwrap().to_owned()
}

fn relscale(arguments: &[&str]) -> Vec<u8> {
    let mut program = Command::new(env!("CARGO_BIN_EXE_relscale"));
    let output = program.args(arguments).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {message}");
    output.stdout
}

fn validator(name: &str) -> Validator {
    let schema: Value = serde_json::from_slice(&relscale(&["schema", name])).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    assert!(
        schema["title"].is_string() && schema["description"].is_string(),
        "{name}"
    );
    let text = schema.to_string();
    for rust in ["](", "```", "[`"] {
        assert!(!text.contains(rust), "{name}: {rust}");
    }
    Validator(schema)
}

fn holds(name: &str, value: &Value) {
    let errors = validator(name).errors(value);
    assert!(errors.is_empty(), "{name}: {}", errors.join("\n"));
}

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn lines(path: impl AsRef<Path>) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A schema, with the part of the standard (2020-12) that the schemas of this program use. A keyword that it
/// does not know ends the test: nothing passes unseen. (The common validator crates bring fifty packages.)
struct Validator(Value);

/// Keywords that say something to people and not to a validator; the formats are those of numbers in Rust.
const SILENT: [&str; 6] = [
    "$schema",
    "$defs",
    "title",
    "description",
    "default",
    "format",
];

impl Validator {
    fn is_valid(&self, value: &Value) -> bool {
        self.errors(value).is_empty()
    }

    fn errors(&self, value: &Value) -> Vec<String> {
        let mut errors = vec![];
        self.check(&self.0, value, "", &mut errors);
        errors
    }

    fn fits(&self, schema: &Value, value: &Value) -> bool {
        let mut errors = vec![];
        self.check(schema, value, "", &mut errors);
        errors.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, errors: &mut Vec<String>) {
        let Value::Object(keywords) = schema else {
            if schema == &Value::Bool(false) {
                errors.push(format!("{at}: not allowed"));
            }
            return;
        };
        for (keyword, rule) in keywords {
            let fitting = |rules: &Value| {
                let rules = rules.as_array().unwrap().iter();
                rules.filter(|rule| self.fits(rule, value)).count()
            };
            let fits = match keyword.as_str() {
                "type" => match rule {
                    Value::Array(types) => types.iter().any(|t| is_of(value, t)),
                    one => is_of(value, one),
                },
                "const" => rule == value,
                "enum" => rule.as_array().unwrap().contains(value),
                "anyOf" => fitting(rule) > 0,
                "oneOf" => fitting(rule) == 1,
                "minimum" => value.as_f64().is_none_or(|x| x >= rule.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|x| x <= rule.as_f64().unwrap()),
                "minItems" => value
                    .as_array()
                    .is_none_or(|a| a.len() as u64 >= rule.as_u64().unwrap()),
                "maxItems" => value
                    .as_array()
                    .is_none_or(|a| a.len() as u64 <= rule.as_u64().unwrap()),
                "uniqueItems" => value
                    .as_array()
                    .is_none_or(|a| a.iter().enumerate().all(|(i, x)| !a[..i].contains(x))),
                "required" => value.as_object().is_none_or(|object| {
                    let names = rule.as_array().unwrap().iter();
                    names
                        .map(|n| n.as_str().unwrap())
                        .all(|n| object.contains_key(n))
                }),
                "$ref" => {
                    let place = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    let target = self.0.pointer(place).expect(place);
                    self.check(target, value, at, errors);
                    continue;
                }
                "allOf" => {
                    for part in rule.as_array().unwrap() {
                        self.check(part, value, at, errors);
                    }
                    continue;
                }
                "items" | "prefixItems" | "properties" | "additionalProperties" => {
                    self.children(keyword, keywords, value, at, errors);
                    continue;
                }
                silent if SILENT.contains(&silent) => continue,
                unknown => panic!("the keyword {unknown} is not known here"),
            };
            if !fits {
                let shown: String = value.to_string().chars().take(80).collect();
                errors.push(format!("{at}: {keyword} is {rule}, not {shown}"));
            }
        }
    }

    /// The rules for the parts of a list or an object.
    fn children(
        &self,
        keyword: &str,
        keywords: &serde_json::Map<String, Value>,
        value: &Value,
        at: &str,
        errors: &mut Vec<String>,
    ) {
        let rule = &keywords[keyword];
        match (keyword, value) {
            ("items", Value::Array(parts)) => {
                let first = keywords.get("prefixItems").and_then(Value::as_array);
                let skipped = first.map_or(0, Vec::len);
                for (i, part) in parts.iter().enumerate().skip(skipped) {
                    self.check(rule, part, &format!("{at}/{i}"), errors);
                }
            }
            ("prefixItems", Value::Array(parts)) => {
                for (i, (rule, part)) in rule.as_array().unwrap().iter().zip(parts).enumerate() {
                    self.check(rule, part, &format!("{at}/{i}"), errors);
                }
            }
            ("properties", Value::Object(parts)) => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(part) = parts.get(name) {
                        self.check(rule, part, &format!("{at}/{name}"), errors);
                    }
                }
            }
            ("additionalProperties", Value::Object(parts)) => {
                let named = keywords.get("properties").and_then(Value::as_object);
                for (name, part) in parts {
                    if named.is_none_or(|named| !named.contains_key(name)) {
                        self.check(rule, part, &format!("{at}/{name}"), errors);
                    }
                }
            }
            _ => {}
        }
    }
}

fn is_of(value: &Value, wanted: &Value) -> bool {
    match wanted.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    }
}

#[test]
fn results_are_what_their_schemas_say() {
    let scores = suite("scores.csv");
    // Everything that adds to a result.
    let fit = [
        "fit",
        "--scores",
        &scores,
        "--baseline",
        "english-help",
        "--aggregate",
        "aggregate",
        "--contrast",
        "x=go-code:rust-code",
        "--group",
        "code=go-code,rust-code,python-code",
        "--worst",
        "groups",
        "--partial-pooling",
        "--max-t",
        "--predict-at",
        "1e11,1e13",
        "--crossed-bootstrap",
    ];
    let laws = file("laws.json");
    relscale(&[&fit[..], &["--json", &laws]].concat());
    holds("laws", &read(&laws));
    holds("options", &read(&laws)["options"]);
    let analysis = file("analysis.json");
    relscale(&[&fit[..], &["--json", &analysis, "--details"]].concat());
    holds("analysis", &read(&analysis));
    let folder = file("demo");
    relscale(&["demo", "--out", &folder]);
    holds("laws", &read(Path::new(&folder).join("laws.json")));
    holds("analysis", &read(Path::new(&folder).join("analysis.json")));
    let plan = file("plan.json");
    relscale(&["plan", "--json", &plan, "--target-delta-beta", "0.003"]);
    holds("plan", &read(&plan));
    holds("recipe", &read(&plan)["recipe"]);
    for scenario in ["plain", "items", "held-out"] {
        let truth = file("truth.json");
        let table = file("simulated.csv");
        relscale(&[
            "simulate",
            "--scenario",
            scenario,
            "--out",
            &table,
            "--truth",
            &truth,
        ]);
        holds("truth", &read(&truth));
        holds("simulation", &read(&truth)["simulation"]);
    }
}

#[test]
fn items_and_scores_are_what_their_schemas_say() {
    let items = file("items.jsonl");
    let forms = [
        json!({"id": 1, "text": "A text.", "cluster": "c"}),
        json!({"id": "q", "context": "One and one is", "choices": [" two", " three"], "gold": 0}),
        json!({"id": "u", "context": "So", "choices": [" a", " b"], "gold": 1, "unconditional": "Answer:"}),
        json!({"id": "p", "contexts": ["One", "Two"], "choices": [" a", " b"], "gold": 1}),
        json!({"id": "t", "tokens": [72, 101, 108]}),
    ];
    let text: Vec<String> = forms.iter().map(Value::to_string).collect();
    fs::write(&items, text.join("\n")).unwrap();
    let item = validator("item");
    for form in &forms {
        assert!(item.is_valid(form), "{form}");
    }
    for form in lines(suite("texts/english-help.jsonl")) {
        assert!(item.is_valid(&form), "{form}");
    }
    for wrong in [
        json!({"text": "no id"}),
        json!({"id": "a"}),
        json!({"id": "a", "text": "t", "tokens": [1]}),
        json!({"id": "a", "text": "t", "weight": 1}),
        json!({"id": "a", "context": "c", "choices": ["x"]}),
        json!({"id": "a", "tokens": [-1]}),
    ] {
        assert!(!item.is_valid(&wrong), "{wrong}");
        // The reader agrees.
        let file = file("wrong.jsonl");
        fs::write(&file, wrong.to_string()).unwrap();
        assert!(
            relscale::distribution::Items::from_jsonl(&file).is_err(),
            "{wrong}"
        );
    }
    let [one, two] = [8, 12].map(|d| {
        suite(&format!(
            "checkpoints/balanced/isoflop-6ep10-d{d}-L1-B2-balanced"
        ))
    });
    let out = file("scores.jsonl");
    relscale(&[
        "score",
        "--checkpoint",
        &one,
        "--checkpoint",
        &two,
        "--items",
        &items,
        "--out",
        &out,
        "--per-token",
    ]);
    let scores = lines(&out);
    assert_eq!(scores.len(), 2 * forms.len());
    scores.iter().for_each(|line| holds("score", line));
    relscale(&[
        "score",
        "--checkpoint",
        &one,
        "--items",
        &items,
        "--out",
        &out,
    ]);
    lines(&out).iter().for_each(|line| holds("score", line));
}

#[test]
fn studies_are_what_their_schemas_say() {
    let folder = PathBuf::from(file("study"));
    fs::create_dir_all(&folder).unwrap();
    let ladder = fs::read_to_string(suite("ladder.csv")).unwrap();
    let rows: Vec<&str> = ladder.lines().take(2).collect();
    let rows = rows
        .join("\n")
        .replace("checkpoints/", &suite("checkpoints/"));
    fs::write(folder.join("runs.csv"), rows).unwrap();
    let study = json!({
        "runs": "runs.csv", "backend": "cpu f32", "unit_flops": 1e15,
        "scoring": {"bos": {"every_window": 256}, "context": 256},
        "distributions": [{"kind": "items", "path": suite("texts/english-help.jsonl"),
                           "scorers": ["bits_per_byte"]}],
    });
    holds("study", &study);
    for (wrong, at) in [("unit_flop", json!(1e15)), ("backend", json!(3))] {
        let mut study = study.clone();
        study[wrong] = at;
        assert!(!validator("study").is_valid(&study), "{wrong}");
    }
    let path = folder.join("study.json");
    fs::write(&path, study.to_string()).unwrap();
    let plan = folder.join("plan");
    relscale(&[
        "study",
        "plan",
        path.to_str().unwrap(),
        plan.to_str().unwrap(),
    ]);
    holds("study-plan", &read(plan.join("plan.json")));

    relscale(&["study", "run", plan.to_str().unwrap(), "--shard", "0/1"]);
    let logs = logs(&plan.join("logs"));
    assert!(!logs.is_empty());
    for log in logs {
        let lines = lines(log);
        lines.iter().for_each(|line| holds("log", line));
        let mut record = lines[1].clone();
        record.as_object_mut().unwrap().remove("cluster");
        assert!(!validator("log").is_valid(&record));
    }
}

/// The score logs under a folder.
fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => logs(&path),
        false => vec![path],
    };
    let mut found: Vec<PathBuf> = entries.flat_map(of).collect();
    found.retain(|path| path.extension().is_some_and(|e| e == "jsonl"));
    found
}

#[test]
fn options_that_the_program_refuses_do_not_fit_their_schema() {
    let options = validator("options");
    assert!(options.is_valid(&json!({"baseline": "web"})));
    assert!(options.is_valid(&json!({"baseline": "web", "groups": {"g": {"a": 1.0}, "h": ["b"]}})));
    for wrong in [
        json!({}),
        json!({"baseline": "web", "margin": 1}),
        json!({"baseline": "web", "design": "rung"}),
        json!({"baseline": "web", "alpha": "0.05"}),
        json!({"baseline": "web", "contrasts": [{"treatment": "a", "base": "b"}]}),
    ] {
        assert!(!options.is_valid(&wrong), "{wrong}");
        let read = serde_json::from_value::<relscale::fit::Options>(wrong.clone());
        assert!(read.is_err(), "{wrong}");
    }
}
