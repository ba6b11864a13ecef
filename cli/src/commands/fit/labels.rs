//! Files of labels: how drawings name, order and colour what an analysis names.

use std::collections::BTreeMap;
use std::path::Path;

use relscale::input;
use relscale::report::plot::Label;
use serde::Deserialize;

use crate::commands::CommandError;
use crate::readers::rows::{reason, rows};

/// Larger files are no lists of names: tables of losses given by mistake.
const MOST_BYTES: u64 = 1 << 20;

/// Reads the labels by name.
///
/// A CSV has the columns `name` and `label`, and `order` and `colour` where wanted; without `order` its
/// rows are in order. A TOML file has one entry per name, `name = "label"` or `[name]` with the keys
/// `label`, `order` and `colour`.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Label>, CommandError> {
    let refused = |reason: String| CommandError::from(format!("{}: {reason}", path.display()));
    let file = input::file(path).map_err(|e| refused(e.to_string()))?;
    let size = file.metadata().map_err(|e| refused(e.to_string()))?.len();
    if size > MOST_BYTES {
        return Err(refused(format!(
            "{size} bytes are too many for a file of labels: give a CSV with the columns name,label or a \
             TOML file"
        )));
    }
    let text = input::text(path, MOST_BYTES).map_err(|e| refused(e.to_string()))?;
    let text = text.trim_start_matches('\u{feff}');
    let is_toml = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("toml"));
    match is_toml {
        true => from_toml(text),
        false => from_csv(text),
    }
    .map_err(refused)
}

/// One row of a CSV.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    label: String,
    #[serde(default)]
    order: Option<i64>,
    #[serde(default, alias = "color")]
    colour: Option<String>,
}

fn from_csv(text: &str) -> Result<BTreeMap<String, Label>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|e| e.to_string())?;
    let ordered = headers.iter().any(|h| h == "order");
    let mut labels = BTreeMap::new();
    let headers = headers.clone();
    let refused = |line: usize, reason: &str| {
        format!("line {line}: {reason}: the columns are name,label,order,colour")
    };
    for (k, row) in rows(reader, text.as_bytes()).enumerate() {
        let (line, row) = row.map_err(|(line, message)| refused(line, &message))?;
        let row: Row = row
            .deserialize(Some(&headers))
            .map_err(|e| refused(line, &reason(e.kind())))?;
        let mut label = label(&row.label, row.colour.as_deref())
            .map_err(|reason| format!("line {line}: {reason}"))?;
        label.order = match ordered {
            true => row.order,
            false => i64::try_from(k).ok(),
        };
        if labels.insert(row.name.clone(), label).is_some() {
            return Err(format!("line {line}: {:?} has a label already", row.name));
        }
    }
    Ok(labels)
}

/// One entry of a TOML file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Entry {
    Text(String),
    Full(Full),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Full {
    label: String,
    order: Option<i64>,
    #[serde(alias = "color")]
    colour: Option<String>,
}

fn from_toml(text: &str) -> Result<BTreeMap<String, Label>, String> {
    let entries: BTreeMap<String, Entry> = toml::from_str(text).map_err(|e| {
        let reason = e.to_string();
        format!(
            "{}: an entry is name = \"label\", or [name] with label, order and colour",
            reason.trim()
        )
    })?;
    let read = |(name, entry): (String, Entry)| {
        let made = match entry {
            Entry::Text(text) => label(&text, None),
            Entry::Full(full) => label(&full.label, full.colour.as_deref()).map(|mut l| {
                l.order = full.order;
                l
            }),
        };
        let made = made.map_err(|reason| format!("{name:?}: {reason}"))?;
        Ok((name, made))
    };
    entries.into_iter().map(read).collect()
}

fn label(text: &str, colour: Option<&str>) -> Result<Label, String> {
    if text.is_empty() {
        return Err("the label is empty".to_owned());
    }
    let mut label = Label::new(text);
    label.colour = match colour {
        None | Some("") => None,
        Some(colour) => Some(rgb(colour)?),
    };
    Ok(label)
}

/// Reads `#0072b2`.
fn rgb(text: &str) -> Result<[u8; 3], String> {
    let refused = || format!("{text:?} is no colour: give it as #0072b2");
    let digits = text.strip_prefix('#').unwrap_or(text);
    if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(refused());
    }
    let value = u32::from_str_radix(digits, 16).map_err(|_| refused())?;
    let [_, r, g, b] = value.to_be_bytes();
    Ok([r, g, b])
}

#[cfg(test)]
mod tests {
    use super::{from_csv, from_toml};

    #[test]
    fn both_forms_say_the_same() {
        let csv =
            from_csv("name,label,order,colour\nger,German,2,#0072b2\nfra,French,,\n").unwrap();
        let toml = from_toml(
            "fra = \"French\"\n[ger]\nlabel = \"German\"\norder = 2\ncolor = \"0072B2\"\n",
        );
        assert_eq!(csv, toml.unwrap());
        assert_eq!(csv["ger"].colour, Some([0, 0x72, 0xb2]));
        assert_eq!(csv["fra"].order, None);
    }

    #[test]
    fn rows_are_in_order() {
        let csv = from_csv("name,label\nz,Z\na,A\n").unwrap();
        assert!(csv["z"].order < csv["a"].order);
    }

    #[test]
    fn what_is_no_label_is_refused_with_its_place() {
        for (text, part) in [
            ("name,label\na,\n", "line 2: the label is empty"),
            ("name,label\r\n\r\na,\r\n", "line 3: the label is empty"),
            (
                "name,label,order\na,A,first\n",
                "line 2: field 3: invalid digit found in string: the columns are",
            ),
            (
                "name,label,colour\na,A,red\n",
                "line 2: \"red\" is no colour: give it as #0072b2",
            ),
            (
                "name,label\na,A\na,B\n",
                "line 3: \"a\" has a label already",
            ),
            (
                "name,label,size\na,A,3\n",
                "the columns are name,label,order,colour",
            ),
            (
                "corpus,run\na,A\n",
                "the columns are name,label,order,colour",
            ),
            (
                "name,label,order\na,A,first\n",
                "the columns are name,label,order,colour",
            ),
        ] {
            let error = from_csv(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        for (text, part) in [
            ("a = 3", "an entry is name"),
            ("[a]\nlabel = \"A\"\nsize = 3", "an entry is name"),
            (
                "[a]\nlabel = \"A\"\ncolour = \"#12345\"",
                "\"a\": \"#12345\" is no colour",
            ),
            ("a = ", "an entry is name"),
        ] {
            let error = from_toml(text).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
