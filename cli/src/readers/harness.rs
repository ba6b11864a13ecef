//! Losses from the logs of lm-evaluation-harness.
//!
//! [`Logs`] reads a folder as `lm_eval run --output_path --log_samples` writes it and compares what it
//! reads with the harness's own numbers; [`Samples`] reads one sample file.
//!
//! Sample files are `samples_<task>_<date>.jsonl`, written by `lm_eval run --log_samples` of version
//! 0.4.13. The forms of earlier versions, a list of `arguments` and numbers that are not strings, are
//! read too.
//!
//! One line is one document: `doc_id`, `doc`, `target`, `arguments` (context and continuation of each
//! request), `filtered_resps` (log-likelihood of each), `filter`, `doc_hash` and the metrics. The files
//! do not record the compute of a run, so runs are added to the builder first.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use relscale::ladder::{LadderBuilder, LadderError};

mod documents;
mod group;
pub(in crate::readers) mod json;
pub(in crate::readers) mod logs;
mod metric;
mod results;

pub use logs::{Document, Logs, Scored, Selection};
pub use results::Model;

/// Loss of a document.
///
/// Non-exhaustive: the harness has further kinds of tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// `loglikelihood_rolling` tasks: bits per byte of the text, weighted by bytes.
    TextBitsPerByte,
    /// `multiple_choice` tasks: bits per byte of the correct answer without its leading space, weighted
    /// by bytes.
    AnswerBitsPerByte,
    /// `multiple_choice` tasks: `−ln` of the probability of the correct answer among the choices, in
    /// nats per document. Chance level is `ln k` for k choices.
    ChoiceNats,
    /// `multiple_choice` tasks: squared error of the probabilities of the choices
    /// ([`Brier`](relscale::scorer::Brier)).
    ChoiceBrier,
    /// `−ln` of the probability of the correct answer, in nats per document. Tasks of one
    /// `loglikelihood` request per document, such as LAMBADA, have it too.
    AnswerNats,
    /// 1 if the most likely tokens are not those of the correct answer, else 0: one minus the accuracy
    /// of a task of one `loglikelihood` request per document.
    GreedyError,
}

/// Run, distribution and loss of one sample file.
///
/// Exhaustive: callers build it by its fields.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    /// Name of the run, which the builder must have already.
    pub run: &'a str,
    /// Name of the distribution, usually that of the task.
    pub distribution: &'a str,
    /// Loss of a document.
    pub measure: Measure,
    /// Field of `doc` that names the cluster (a subject, an author); `None` makes each document a
    /// cluster.
    pub cluster_field: Option<&'a str>,
    /// Name of the file, for errors.
    pub file: &'a str,
}

impl Samples<'_> {
    /// Adds every document of a file and returns their number. If a document occurs with several
    /// `filter`s, the first one counts.
    ///
    /// # Errors
    /// A [`LadderError`] with the line: text that is not JSON, missing fields, a document that occurs
    /// twice, numbers outside their domain.
    ///
    /// # Examples
    /// ```
    /// use relscale_cli::readers::harness::{Measure, Samples};
    /// use relscale::ladder::{Ladder, Run, Scale};
    ///
    /// let line = r#"{"doc_id": 0, "doc": {}, "target": "1", "filter": "none",
    ///     "arguments": {"gen_args_0": {"arg_0": "2 + 2 =", "arg_1": " 5"},
    ///                   "gen_args_1": {"arg_0": "2 + 2 =", "arg_1": " 4"}},
    ///     "filtered_resps": [["-2.0", "False"], ["-1.0", "True"]]}"#.replace('\n', " ");
    /// let mut builder = Ladder::builder();
    /// builder.run(Run::new("small", Scale { params: 1e8, tokens: 2e9, flops: 1e18 }).corpus("web"))?;
    /// let samples = Samples {
    ///     run: "small",
    ///     distribution: "sums",
    ///     measure: Measure::AnswerBitsPerByte,
    ///     cluster_field: None,
    ///     file: "samples_sums.jsonl",
    /// };
    /// assert_eq!(samples.read(line.as_bytes(), &mut builder)?, 1);
    /// let error = builder.build()?.error("small", "sums").unwrap();
    /// assert!((error - 1.0 / std::f64::consts::LN_2).abs() < 1e-12);
    /// # Ok::<(), relscale::ladder::LadderError>(())
    /// ```
    pub fn read(
        &self,
        reader: impl Read,
        builder: &mut LadderBuilder,
    ) -> Result<usize, LadderError> {
        let mut seen: HashMap<String, (String, u64)> = HashMap::new();
        for (n, text) in BufReader::new(reader).lines().enumerate() {
            let line = n as u64 + 1;
            let malformed = |message: String| LadderError::Malformed {
                table: self.file.into(),
                line: Some(line),
                message,
            };
            let text = text.map_err(|e| malformed(e.to_string()))?;
            // A byte-order mark is no part of the text.
            let text = text.trim_start_matches('\u{feff}');
            if text.trim().is_empty() {
                continue;
            }
            let sample: Value = json::parse(text).map_err(|e| malformed(e.to_string()))?;
            let id = document_id(&sample)
                .ok_or_else(|| malformed("neither doc_hash nor doc_id".into()))?;
            let filter = sample.get("filter").and_then(Value::as_str);
            let filter = filter.unwrap_or("").to_owned();
            if let Some((first_filter, first)) = seen.get(&id) {
                if *first_filter == filter {
                    return Err(LadderError::DuplicateRow {
                        table: self.file.into(),
                        line,
                        first: *first,
                        run: self.run.into(),
                        distribution: self.distribution.into(),
                    });
                }
                continue;
            }
            let cluster = self.cluster(&sample, &id).map_err(malformed)?;
            seen.insert(id, (filter, line));
            let (loss, weight) = self.measure.of(&sample).map_err(malformed)?;
            builder
                .score(self.run, self.distribution, &cluster, loss, weight)
                .map_err(|source| LadderError::Row {
                    table: self.file.into(),
                    line,
                    source: Box::new(source),
                })?;
        }
        Ok(seen.len())
    }

    /// Cluster of a document.
    fn cluster(&self, sample: &Value, id: &str) -> Result<String, String> {
        let Some(field) = self.cluster_field else {
            return Ok(id.to_owned());
        };
        match sample.get("doc").and_then(|d| d.get(field)) {
            Some(Value::String(s)) => Ok(s.clone()),
            Some(value) => Ok(value.to_string()),
            None => Err(format!("doc has no field {field:?}")),
        }
    }
}

/// Number of a document with its hash, or the one of the two that the file has.
///
/// The number alone tells the documents of a task apart: equal documents have equal hashes (six
/// subjects of MMLU repeat a question). The hash keeps those of several tasks apart that share a
/// distribution.
fn document_id(sample: &Value) -> Option<String> {
    let hash = sample.get("doc_hash").and_then(Value::as_str);
    let number = sample.get("doc_id").map(Value::to_string);
    match (number, hash) {
        (Some(number), Some(hash)) => Some(format!("{number} {hash}")),
        (number, hash) => number.or_else(|| hash.map(String::from)),
    }
}

impl Measure {
    /// Loss and weight of one line.
    fn of(self, sample: &Value) -> Result<(f64, f64), String> {
        let responses = sample
            .get("filtered_resps")
            .and_then(Value::as_array)
            .ok_or("no array filtered_resps")?;
        let likelihoods: Vec<f64> = responses
            .iter()
            .map(|r| r.as_array().and_then(|a| a.first()).unwrap_or(r))
            .map(|r| number(r).ok_or_else(|| format!("log-likelihood {r} is not a number")))
            .collect::<Result<_, _>>()?;
        if self == Self::TextBitsPerByte {
            let [total] = likelihoods.as_slice() else {
                return Err(format!("{} responses to one text", likelihoods.len()));
            };
            // The metrics hold the pair (log-likelihood, bytes). Without them, the target is the text.
            let counted = ["bits_per_byte", "byte_perplexity"]
                .iter()
                .find_map(|m| sample.get(m)?.as_array()?.get(1).and_then(number));
            let text = sample.get("target").and_then(Value::as_str);
            let bytes = counted
                .or(text.map(|t| t.len() as f64))
                .ok_or("no byte count")?;
            return per_byte(*total, bytes);
        }
        let asked = asked(sample, likelihoods.len());
        let likelihoods = &likelihoods[..asked];
        // A task of one request has its text as target.
        let gold = match likelihoods {
            [_] => 0,
            _ => gold(sample, likelihoods)?,
        };
        let own = likelihoods[gold];
        if self == Self::AnswerNats {
            return Ok((-own, 1.0));
        }
        if self == Self::GreedyError {
            let greedy = responses[gold].get(1).and_then(flag);
            let greedy = greedy.ok_or("no greedy match in filtered_resps")?;
            return Ok((if greedy { 0.0 } else { 1.0 }, 1.0));
        }
        if self == Self::AnswerBitsPerByte {
            let answer =
                continuation(sample, gold).ok_or("no continuation of the correct answer")?;
            return per_byte(own, answer.trim_start().len() as f64);
        }
        // Relative to the best choice, so that no exponential overflows.
        let best = likelihoods
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = likelihoods.iter().map(|l| libm::exp(l - best)).sum();
        if self == Self::ChoiceBrier {
            let miss = |(i, l): (usize, &f64)| {
                libm::exp(l - best) / total - f64::from(u8::from(i == gold))
            };
            let misses = likelihoods.iter().enumerate().map(miss);
            return Ok((misses.map(|m| m * m).sum(), 1.0));
        }
        Ok((libm::log(total) + best - own, 1.0))
    }
}

/// Number of responses to the question. With mutual information, as many follow to the choices alone.
fn asked(sample: &Value, responses: usize) -> usize {
    let metrics = sample.get("metrics").and_then(Value::as_array);
    let mutual = metrics.is_some_and(|all| all.iter().any(|m| m == "acc_mutual_info"));
    let context = |n: usize| {
        let arguments = sample.get("arguments")?;
        let request = (arguments.get(format!("gen_args_{n}"))).or_else(|| arguments.get(n))?;
        request.get("arg_0").or_else(|| request.get(0))?.as_str()
    };
    let half = responses / 2;
    let alone = half > 0
        && (0..half).all(|n| context(n).is_some_and(|c| !c.is_empty()))
        && (half..responses).all(|n| context(n) == Some(""));
    if responses.is_multiple_of(2) && (mutual || alone) {
        half
    } else {
        responses
    }
}

/// Words about a document with more than one correct choice.
const SEVERAL: &str = "several choices";

/// The continuation of a request, in either form of `arguments`.
fn continuation(sample: &Value, n: usize) -> Option<&str> {
    let arguments = sample.get("arguments")?;
    let request = arguments
        .get(format!("gen_args_{n}"))
        .or_else(|| arguments.get(n))?;
    request.get("arg_1").or_else(|| request.get(1))?.as_str()
}

/// Index of the correct choice of a document with these log-likelihoods.
///
/// `target` is the index or the text of the choice; a whole number is read as the index, as the harness
/// does, unless the accuracy in the file says otherwise. Where the contexts differ and not the choices
/// (WinoGrande), `target` is the one choice, and the accuracy tells which of two contexts is right.
fn gold(sample: &Value, likelihoods: &[f64]) -> Result<usize, String> {
    let target = sample.get("target").ok_or("no target")?;
    let choices = likelihoods.len();
    // These metrics hold the index beside the predictions.
    let recorded = ["brier_score", "likelihood", "f1", "mcc"];
    let recorded = recorded
        .iter()
        .find_map(|m| sample.get(m)?.as_array()?.first());
    if recorded.or(Some(target)).is_some_and(several) {
        return Err(format!(
            "target {target} is {SEVERAL}; a log loss is of one"
        ));
    }
    let whole = |v: &Value| {
        let index = number(v).filter(|t| *t >= 0.0 && t.fract() == 0.0 && *t < choices as f64);
        index.map(|t| t as usize)
    };
    let right = match sample.get("acc").map(|acc| (acc, number(acc))) {
        None => None,
        Some((_, Some(acc))) if acc == 0.0 || acc == 1.0 => Some(acc == 1.0),
        Some((acc, _)) => return Err(format!("`acc` is {acc}, not that of one correct choice")),
    };
    let best = likelihoods
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    let agrees = |g: &usize| right != Some(true) || likelihoods[*g] == best;
    let agrees = |g: &usize| {
        let sole = likelihoods.iter().filter(|l| **l == best).count() == 1;
        agrees(g) && !(right == Some(false) && sole && likelihoods[*g] == best)
    };
    if let Some(index) = recorded
        .and_then(whole)
        .or_else(|| whole(target))
        .filter(agrees)
    {
        return Ok(index);
    }
    let text = target.as_str().unwrap_or("").trim();
    let same = |n: &usize| continuation(sample, *n).is_some_and(|c| c.trim() == text);
    let by_text: Vec<usize> = (0..choices).filter(same).filter(agrees).collect();
    match by_text.as_slice() {
        [one] => Ok(*one),
        // Equal requests: whichever is right, the loss is the same.
        [one, rest @ ..] if rest.iter().all(|n| likelihoods[*n] == likelihoods[*one]) => Ok(*one),
        [] if whole(target).is_some() => Err(format!(
            "target {target} contradicts `acc` and the log-likelihoods"
        )),
        [] => Err(format!("target {target} is not the index of a choice")),
        _ => Err(format!(
            "target {target} is the text of {} choices",
            by_text.len()
        )),
    }
}

/// If true, a target is a list, also one that was written as text.
fn several(target: &Value) -> bool {
    target.is_array()
        || target
            .as_str()
            .is_some_and(|t| t.trim_start().starts_with('['))
}

/// A truth value, which newer versions write as text.
fn flag(value: &Value) -> Option<bool> {
    match value.as_str() {
        Some("True") => Some(true),
        Some("False") => Some(false),
        _ => value.as_bool(),
    }
}

fn per_byte(log_likelihood: f64, bytes: f64) -> Result<(f64, f64), String> {
    if bytes > 0.0 {
        Ok((-log_likelihood / (bytes * std::f64::consts::LN_2), bytes))
    } else {
        Err("no bytes to score".into())
    }
}

fn number(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_str()?.trim().parse().ok())
}
