//! Every field of the options by its flag and by the file.

use std::collections::BTreeSet;

use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::commands::fit::FitArguments;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    fit: FitArguments,
}

fn options(flags: &[&str]) -> Value {
    let words = ["fit", "--scores", "losses.csv"].iter().chain(flags);
    let program = Program::try_parse_from(words).unwrap();
    let options = program.fit.estimator.options();
    let options = options.unwrap_or_else(|e| panic!("{flags:?}: {e:?}"));
    serde_json::to_value(options).unwrap()
}

/// Every field of the options with a value other than the default and the flags that set it; none
/// for fields that only a file sets.
fn fields() -> Vec<(&'static str, Value, &'static [&'static str])> {
    vec![
        ("baseline", json!("b"), &["--baseline", "b"]),
        (
            "treatments",
            json!(["c", "d"]),
            &["--treatment", "c", "--treatment", "d"],
        ),
        (
            "contrasts",
            json!([{"name": "x", "treatment": "c", "baseline": "d"}]),
            &["--contrast", "x=c:d"],
        ),
        ("groups", json!({"g": ["c", "d"]}), &["--group", "g=c,d"]),
        ("worst", json!("groups"), &["--worst", "groups"]),
        (
            "corpus_baseline",
            json!("dclm"),
            &["--corpus-baseline", "dclm"],
        ),
        ("aggregate", json!("all"), &["--aggregate", "all"]),
        ("design", json!("grid"), &["--design", "grid"]),
        ("axis", json!("params"), &["--axis", "params"]),
        ("averaging", json!("macro"), &["--averaging", "macro"]),
        ("optimum", json!("best_run"), &[]),
        ("covariance", json!("hc3"), &["--covariance", "hc3"]),
        ("weighting", json!("design"), &[]),
        ("items", json!("fixed"), &["--items", "fixed"]),
        ("stratified", json!(["c"]), &["--stratified", "c"]),
        ("specification_term", json!(false), &[]),
        ("robust", json!(true), &["--robust"]),
        ("moderation", json!(false), &[]),
        ("margin_percent", json!(2.0), &["--margin-percent", "2"]),
        (
            "gap_margin_percent",
            json!(3.0),
            &["--gap-margin-percent", "3"],
        ),
        ("family", json!("all"), &["--family", "all"]),
        ("alpha", json!(0.1), &["--alpha", "0.1"]),
        (
            "tokens_per_param",
            json!(20.0),
            &["--tokens-per-param", "20"],
        ),
        ("chance", json!({"c": 0.75}), &["--chance", "c=0.75"]),
        ("chance_either_side", json!(["c"]), &[]),
        ("error_rates", json!(["c"]), &["--error-rate", "c"]),
        ("across_scorers", json!(true), &["--across-scorers"]),
        ("mixed_model", json!(true), &["--mixed-model"]),
        ("covariate", json!({"c": 1.5}), &["--covariate", COVARIATE]),
        ("surface_huber", json!(0.001), &["--surface-huber", "1e-3"]),
        ("surface_draws", json!(99), &["--surface-draws", "99"]),
        ("partial_pooling", json!(true), &["--partial-pooling"]),
        (
            "predict_at",
            json!([1e22, 1e23]),
            &["--predict-at", "1e22,1e23"],
        ),
        ("crossed_bootstrap", json!(true), &["--crossed-bootstrap"]),
        ("wild_bootstrap", json!(true), &["--wild-bootstrap"]),
        ("max_t", json!(true), &["--max-t"]),
        ("floor_draws", json!(0), &["--floor-draws", "0"]),
        ("seed", json!(11), &["--seed", "11"]),
    ]
}

/// A table whose column `value` gives `c` the covariate 1.5.
const COVARIATE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/covariate.csv:value"
);

/// The names of all fields: serde lists them when it refuses another.
fn names() -> BTreeSet<String> {
    let error = serde_json::from_value::<Options>(json!({"": 0})).unwrap_err();
    let message = error.to_string();
    let listed = message.split_once("expected one of ").unwrap().1;
    listed
        .split('`')
        .skip(1)
        .step_by(2)
        .map(Into::into)
        .collect()
}

#[test]
fn every_field_is_set_by_the_file_and_by_its_flag() {
    let fields = fields();
    let listed: BTreeSet<String> = fields.iter().map(|f| f.0.to_owned()).collect();
    assert_eq!(listed, names());
    let path = std::env::temp_dir().join(format!("relscale-fields-{}.json", std::process::id()));
    let file = path.to_str().unwrap();
    let write = |options: &Value| std::fs::write(&path, options.to_string()).unwrap();
    for (field, value, flags) in fields {
        // One field, by the file and by the flag; all others keep their defaults.
        let mut wanted = options(&["--baseline", "a"]);
        assert!(field == "baseline" || wanted[field] != value, "{field}");
        wanted[field] = value.clone();
        let mut written = json!({"baseline": "a"});
        written[field] = value.clone();
        write(&written);
        assert_eq!(options(&["--options", file]), wanted, "{field} of a file");
        if flags.is_empty() {
            continue;
        }
        let first: &[&str] = if field == "baseline" {
            &[]
        } else {
            &["--baseline", "a"]
        };
        assert_eq!(
            options(&[first, flags].concat()),
            wanted,
            "{field} by {flags:?}"
        );
        // The flag overrides what the file says.
        let mut other = wanted.clone();
        other[field] = serde_json::to_value(Options::new("z")).unwrap()[field].clone();
        if other[field].is_null() && field == "across_scorers" {
            other[field] = json!(false);
        }
        write(&other);
        let both = [&["--options", file], flags].concat();
        assert_eq!(options(&both), wanted, "{flags:?} over a file");
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn lists_of_flags_replace_those_of_the_file() {
    let path = std::env::temp_dir().join(format!("relscale-lists-{}.toml", std::process::id()));
    std::fs::write(
        &path,
        "baseline = \"a\"\ntreatments = [\"b\", \"c\"]\nalpha = 0.1\n",
    )
    .unwrap();
    let file = path.to_str().unwrap();
    let both = options(&["--options", file, "--treatment", "d"]);
    assert_eq!(both["treatments"], json!(["d"]));
    assert_eq!(both["alpha"], json!(0.1));
    std::fs::remove_file(path).unwrap();
}
