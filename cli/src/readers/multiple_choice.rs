//! Multiple choice in the forms of lm-evaluation-harness.
//!
//! A line may have one of three forms:
//! - a document with a query, choices and the index or text of the correct one, in fields named by
//!   [`ChoiceFields`] (`{"query", "choices", "gold"}` by default);
//! - a document in the task's rendered form, `{"doc_to_text", "doc_to_choice", "doc_to_target"}`;
//! - a sample written by `--log_samples`, `{"doc_id", "arguments", "target", …}`. Its requests already
//!   are contexts and continuations, so exactly those of the harness are scored again.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Ids, name, stem};
use relscale::Error;
use relscale::distribution::jsonl::each_line;
use relscale::distribution::{Content, Item, Items};

/// Names of the fields of a document, and the delimiter of its choices.
///
/// Exhaustive: it mirrors the fields of a study's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChoiceFields {
    /// Field of the context.
    pub query: String,
    /// Field of the list of choices.
    pub choices: String,
    /// Field of the correct choice, given as its index or text.
    pub gold: String,
    /// Field of the id; a line without it has its number as id.
    pub id: String,
    /// Field that dependent documents share (a subject); `None` makes each document a cluster.
    pub cluster: Option<String>,
    /// Text between the context and a choice (`target_delimiter` in the harness).
    pub delimiter: String,
}

impl Default for ChoiceFields {
    /// `query`, `choices`, `gold`, `id` and a space.
    fn default() -> Self {
        Self {
            query: "query".to_owned(),
            choices: "choices".to_owned(),
            gold: "gold".to_owned(),
            id: "id".to_owned(),
            cluster: None,
            delimiter: " ".to_owned(),
        }
    }
}

/// Reads a file of multiple-choice documents; the distribution is named after the file.
///
/// # Errors
/// A file that cannot be read or has no documents; the first line that has none of the three forms, by
/// number.
///
/// # Examples
/// ```
/// use relscale_cli::readers::multiple_choice::{self, ChoiceFields};
/// use relscale::distribution::{Content, Distribution};
///
/// let path = std::env::temp_dir().join("relscale-doc-choice.jsonl");
/// std::fs::write(&path, r#"{"query": "2 + 2 =", "choices": ["5", "4"], "gold": "4"}"#)?;
/// let sums = multiple_choice::from_jsonl(&path, &ChoiceFields::default())?;
/// let item = sums.item(0)?;
/// let Content::Choices { choices, gold, .. } = &item.content else { panic!() };
/// assert_eq!((choices[0].as_str(), *gold), (" 5", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_jsonl(path: impl AsRef<Path>, fields: &ChoiceFields) -> Result<Items, Error> {
    let path = path.as_ref();
    let mut items = Vec::new();
    let mut seen = Ids::default();
    each_line(path, |number, line: Map<String, Value>| {
        let item = item(&line, fields, number)?;
        seen.insert(&item.id, number)?;
        item.check().map_err(|e| e.to_string())?;
        items.push(item);
        Ok::<(), String>(())
    })?;
    if items.is_empty() {
        return Err(Error::format(path, "no documents"));
    }
    Items::new(stem(path), items)
}

fn item(line: &Map<String, Value>, fields: &ChoiceFields, number: usize) -> Result<Item, String> {
    let sample = line.contains_key("arguments");
    let id = if sample { "doc_id" } else { &fields.id };
    let id = name(line, id)?.unwrap_or_else(|| number.to_string());
    let cluster = match &fields.cluster {
        None => id.clone(),
        Some(field) => {
            // The harness keeps the document's own fields under `doc`.
            let doc = line.get("doc").and_then(Value::as_object);
            let doc = doc.filter(|_| sample).unwrap_or(line);
            name(doc, field)?.ok_or_else(|| format!("no `{field}`"))?
        }
    };
    let content = if sample {
        requests(line)?
    } else if line.contains_key("doc_to_text") {
        let names = ["doc_to_text", "doc_to_choice", "doc_to_target"];
        document(line, names, &fields.delimiter)?
    } else {
        let names = [&fields.query, &fields.choices, &fields.gold].map(String::as_str);
        document(line, names, &fields.delimiter)?
    };
    Ok(Item {
        id,
        cluster,
        content,
    })
}

/// A query, its choices and the correct one.
fn document(
    line: &Map<String, Value>,
    [query, choices, gold]: [&str; 3],
    delimiter: &str,
) -> Result<Content, String> {
    let context = match line.get(query) {
        Some(Value::String(context)) => context.clone(),
        _ => return Err(format!("no `{query}` that is a string")),
    };
    let list = line.get(choices).and_then(Value::as_array);
    let list: Option<Vec<&str>> = list.and_then(|l| l.iter().map(Value::as_str).collect());
    let Some(list) = list else {
        return Err(format!("no `{choices}` that is a list of strings"));
    };
    if let Some(empty) = list.iter().position(|choice| choice.is_empty()) {
        return Err(format!("choice {empty} is empty"));
    }
    let gold = target(line.get(gold), &list).map_err(|m| format!("`{gold}`: {m}"))?;
    Ok(Content::Choices {
        context,
        choices: list.iter().map(|c| format!("{delimiter}{c}")).collect(),
        gold,
        unconditional: None,
    })
}

/// The requests of a sample, each with a context and a continuation: a list, or an object with the
/// fields `gen_args_<n>`.
fn requests(line: &Map<String, Value>) -> Result<Content, String> {
    let pair = |request: &Value| -> Option<(String, String)> {
        let part = |list: usize, name: &str| {
            let part = request.get(list).or_else(|| request.get(name))?;
            part.as_str().map(str::to_owned)
        };
        Some((part(0, "arg_0")?, part(1, "arg_1")?))
    };
    let pairs: Option<Vec<_>> = match &line["arguments"] {
        Value::Array(list) => list.iter().map(pair).collect(),
        Value::Object(object) => (0..object.len())
            .map(|n| pair(object.get(&format!("gen_args_{n}"))?))
            .collect(),
        _ => None,
    };
    let pairs = pairs.ok_or("`arguments` is not a list of contexts and continuations")?;
    // The harness writes an unconditional request as one with an empty context.
    let unconditional = pairs.iter().any(|(context, _)| context.is_empty())
        && pairs.iter().any(|(context, _)| !context.is_empty());
    let asked: Vec<(String, String)> = pairs
        .into_iter()
        .filter(|(context, _)| !unconditional || !context.is_empty())
        .collect();
    let Some((context, _)) = asked.first().cloned() else {
        return Err("`arguments` is empty".to_owned());
    };
    let texts: Vec<&str> = asked
        .iter()
        .map(|(_, choice)| choice.trim_start())
        .collect();
    let gold = match texts.as_slice() {
        // A single request (LAMBADA) has its text as target.
        [_] => 0,
        _ => sample_target(line.get("target"), &texts).map_err(|m| format!("`target`: {m}"))?,
    };
    if asked.iter().any(|(other, _)| *other != context) {
        if unconditional {
            let message = "requests without a context beside requests with different contexts";
            return Err(message.to_owned());
        }
        return Ok(Content::Pairs { pairs: asked, gold });
    }
    Ok(Content::Choices {
        context,
        choices: asked.into_iter().map(|(_, choice)| choice).collect(),
        gold,
        unconditional: unconditional.then(String::new),
    })
}

/// Index of the correct choice of a sample. As in the harness, a whole number is the index even if a
/// choice is that number: 75 questions of MMLU have the answer `2` at another place than 2.
fn sample_target(gold: Option<&Value>, choices: &[&str]) -> Result<usize, String> {
    let digits = gold
        .and_then(Value::as_str)
        .and_then(|text| text.trim().parse().ok());
    match digits {
        Some(index) if index < choices.len() => Ok(index),
        _ => target(gold, choices),
    }
}

/// Index of the correct choice, given as an index or as the text of the choice.
fn target(gold: Option<&Value>, choices: &[&str]) -> Result<usize, String> {
    let k = choices.len();
    let index = match gold {
        Some(Value::Number(n)) => n.as_u64().and_then(|n| usize::try_from(n).ok()),
        Some(Value::String(text)) => {
            let text = text.as_str();
            let exact = choices.iter().position(|choice| *choice == text);
            let index = text.trim().parse().ok().filter(|index| *index < k);
            if let (Some(exact), Some(index)) = (exact, index)
                && exact != index
            {
                return Err(format!(
                    "\"{text}\" is the text of choice {exact} and could be the index of choice \
                     {index}; write the index as a number"
                ));
            }
            exact.or(index)
        }
        _ => return Err("missing".to_owned()),
    };
    index
        .filter(|index| *index < k)
        .ok_or_else(|| format!("{} is not one of {k} choices", gold.unwrap_or(&Value::Null)))
}
