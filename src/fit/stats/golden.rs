//! The statistical routines against numbers computed by statsmodels, scipy and R.
//!
//! `golden/README.md` says how the files were made.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

mod blup;
mod laws;
mod r;
mod robust;
mod statsmodels;

/// Relative error allowed wherever the reference itself is exact to rounding.
const TIGHT: f64 = 1e-10;

/// A file of reference numbers that remembers which of them were asked for: the test fails on a
/// number that it neither compares nor names as not computed here.
struct Golden {
    name: &'static str,
    leaves: BTreeMap<String, Value>,
    seen: BTreeSet<String>,
    worst: BTreeMap<String, (f64, String)>,
    failures: Vec<String>,
}

impl Golden {
    fn new(name: &'static str, text: &str) -> Self {
        let root: Value = serde_json::from_str(text).expect("the reference file is JSON");
        let mut leaves = BTreeMap::new();
        flatten(&root, String::new(), &mut leaves);
        Self {
            name,
            leaves,
            seen: BTreeSet::new(),
            worst: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// A number at `path`.
    fn number(&mut self, path: &str) -> f64 {
        self.seen.insert(path.to_owned());
        self.leaves
            .get(path)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("{}: no number at {path}", self.name))
    }

    /// The numbers path.0, path.1, …
    fn numbers(&mut self, path: &str) -> Vec<f64> {
        let mut found = Vec::new();
        while self.leaves.contains_key(&format!("{path}.{}", found.len())) {
            found.push(self.number(&format!("{path}.{}", found.len())));
        }
        assert!(!found.is_empty(), "{}: no numbers at {path}", self.name);
        found
    }

    /// Marks everything at and below `path`: provenance, or what this library does not compute.
    fn not_compared(&mut self, path: &str) {
        let below = format!("{path}.");
        let keys: Vec<String> = self
            .leaves
            .keys()
            .filter(|k| *k == path || k.starts_with(&below))
            .cloned()
            .collect();
        assert!(!keys.is_empty(), "{}: nothing at {path}", self.name);
        self.seen.extend(keys);
    }

    /// Compares one number, relatively (absolutely where the reference is zero).
    fn close(&mut self, group: &str, path: &str, found: f64, tolerance: f64) {
        let wanted = self.number(path);
        let scale = if wanted == 0.0 { 1.0 } else { wanted.abs() };
        let error = (found - wanted).abs() / scale;
        let worst = self.worst.entry(group.to_owned()).or_default();
        if error >= worst.0 || error.is_nan() {
            *worst = (error, path.to_owned());
        }
        if error.is_nan() || error > tolerance {
            self.failures.push(format!(
                "{path}: {found:e}, wanted {wanted:e}, off by {error:.1e}"
            ));
        }
    }

    fn close_all(&mut self, group: &str, path: &str, found: &[f64], tolerance: f64) {
        for (k, value) in found.iter().enumerate() {
            self.close(group, &format!("{path}.{k}"), *value, tolerance);
        }
    }

    fn finish(self) {
        for (group, (error, path)) in &self.worst {
            println!(
                "{}: {group}: worst relative error {error:.1e} at {path}",
                self.name
            );
        }
        let unknown: Vec<&String> = self
            .leaves
            .keys()
            .filter(|k| !self.seen.contains(*k))
            .collect();
        assert!(
            unknown.is_empty(),
            "{}: not compared: {unknown:?}",
            self.name
        );
        assert!(
            self.failures.is_empty(),
            "{}: {:#?}",
            self.name,
            self.failures
        );
    }
}

fn flatten(value: &Value, path: String, leaves: &mut BTreeMap<String, Value>) {
    let join = |key: &str| {
        if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(k, v)| flatten(v, join(k), leaves)),
        Value::Array(list) => {
            for (k, v) in list.iter().enumerate() {
                flatten(v, join(&k.to_string()), leaves);
            }
        }
        leaf => {
            leaves.insert(path, leaf.clone());
        }
    }
}
