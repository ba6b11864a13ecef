//! Matched pairs: the same sentences in several forms (dialects, languages, spellings).
//!
//! A line of the file is `{"id", "<form>": "<text>", …}` with the same forms on every line. Each form
//! is a distribution with one item per sentence. The cluster of an item is its sentence, which is the
//! same in every form, so that differences between forms are paired.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Ids, name};
use relscale::Error;
use relscale::distribution::jsonl::each_line;
use relscale::distribution::{Content, Item, Items};

/// Reads the forms of a file of matched texts, in alphabetical order.
///
/// Fields other than `id` that are not strings are ignored.
///
/// # Errors
/// A file that cannot be read or has no lines; the first line, by number, that lacks an id, repeats
/// one, has an empty text or has other forms than the first line.
///
/// # Examples
/// ```
/// use relscale::distribution::Distribution;
/// use relscale_cli::readers::matched;
///
/// let path = std::env::temp_dir().join("relscale-doc-matched.jsonl");
/// std::fs::write(&path, r#"{"id": 7, "gb": "I have got it.", "us": "I have gotten it."}"#)?;
/// let forms = matched::from_jsonl(&path)?;
/// assert_eq!([forms[0].name(), forms[1].name()], ["gb", "us"]);
/// assert_eq!(forms[0].item(0)?.cluster, forms[1].item(0)?.cluster);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_jsonl(path: impl AsRef<Path>) -> Result<Vec<Items>, Error> {
    let path = path.as_ref();
    let mut forms: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    let mut seen = Ids::default();
    let mut first = true;
    each_line(path, |number, line: Map<String, Value>| {
        let id = name(&line, "id")?.ok_or("no `id`")?;
        seen.insert(&id, number)?;
        for (form, text) in &line {
            let Value::String(text) = text else { continue };
            if form == "id" {
                continue;
            }
            if text.is_empty() {
                return Err(format!("`{form}` is empty"));
            }
            if !first && !forms.contains_key(form) {
                return Err(format!("`{form}` is not on the first line"));
            }
            forms.entry(form.clone()).or_default().push(Item {
                id: id.clone(),
                cluster: id.clone(),
                content: Content::Text(text.clone()),
            });
        }
        first = false;
        let missing = |form: &&String| !line.get(*form).is_some_and(Value::is_string);
        match forms.keys().find(missing) {
            Some(form) => Err(format!("`{form}` is missing")),
            None => Ok(()),
        }
    })?;
    if forms.is_empty() {
        return Err(Error::format(path, "no texts"));
    }
    forms
        .into_iter()
        .map(|(form, items)| Items::new(form, items))
        .collect()
}
