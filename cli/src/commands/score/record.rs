//! One line of the output: an item with its log-likelihoods.

use relscale::scorer::{Likelihoods, Sequence};
use serde_json::{Map, Value};

/// A line of the output.
pub(super) type Record = Map<String, Value>;

/// The line of an item.
pub(super) fn record(item: &Likelihoods, per_token: bool) -> Record {
    let mut line = Map::new();
    line.insert("id".to_owned(), item.id.as_str().into());
    line.insert("cluster".to_owned(), item.cluster.as_str().into());
    // A text has one value, an item of choices a list with one value per choice.
    let mut put = |name: &str, values: Vec<Value>| {
        let value = match (item.gold, values) {
            (None, mut one) if one.len() == 1 => one.remove(0),
            (_, list) => list.into(),
        };
        line.insert(name.to_owned(), value);
    };
    let of = |f: &dyn Fn(&Sequence) -> Value| item.sequences.iter().map(f).collect::<Vec<_>>();
    put("log_likelihood", of(&|s| s.log_likelihood().into()));
    put("tokens", of(&|s| s.log_likelihoods.len().into()));
    if item.sequences.iter().all(|s| s.bytes.is_some()) {
        put("bytes", of(&|s| s.bytes.into()));
    }
    if !item.unconditional.is_empty() {
        let sums = item.unconditional.iter().map(|s| s.log_likelihood().into());
        put("unconditional", sums.collect());
    }
    if per_token {
        put(
            "token_log_likelihoods",
            of(&|s| s.log_likelihoods.clone().into()),
        );
    }
    if !item.warnings.is_empty() {
        let warnings = item.warnings.iter().map(|w| w.to_string().into()).collect();
        line.insert("warnings".to_owned(), Value::Array(warnings));
    }
    line
}
