//! Files of named fields, in TOML or JSON.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::at;
use crate::json;
use crate::suggest::did_you_mean;

/// Reads the fields of a file. If a field `inside` holds fields itself and `beside` stands next to it, as in a
/// result that repeats its input, they are taken alone.
///
/// # Errors
/// A file that cannot be read, and its line where it is neither TOML nor JSON.
pub(super) fn read_fields(
    path: &Path,
    inside: &str,
    beside: &str,
) -> Result<Map<String, Value>, String> {
    let text = relscale::input::text(path, json::RESULTS).map_err(at(path))?;
    let mut fields = parse(&text).map_err(at(path))?;
    // Without it the other fields are settings too, which must not be passed over.
    if !fields.contains_key(beside) {
        return Ok(fields);
    }
    match fields.remove(inside) {
        Some(Value::Object(inner)) => Ok(inner),
        Some(other) => {
            fields.insert(inside.to_owned(), other);
            Ok(fields)
        }
        None => Ok(fields),
    }
}

/// The value that fields describe.
///
/// # Errors
/// A field that is unknown, missing or of another type: the file, the field and, where one is like it, the
/// field that was meant.
pub(super) fn typed<T: DeserializeOwned>(
    path: &Path,
    fields: Map<String, Value>,
) -> Result<T, String> {
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|e| {
        let (place, mut message) = (e.path().to_string(), e.inner().to_string());
        let meant = meant(&message);
        if !meant.is_empty() {
            // The one name says more than all of them.
            message.truncate(message.find(", expected").unwrap_or(message.len()));
        }
        match place.as_str() {
            "." => format!("{}: {message}{meant}", path.display()),
            place => format!("{}: `{place}`: {message}{meant}", path.display()),
        }
    })
}

/// The fields of a file. No TOML begins with a brace, and all JSON does that holds fields.
fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('{') {
        return json::parse(text).map_err(|e| e.to_string());
    }
    toml::from_str(text).map_err(|e| {
        let line = e
            .span()
            .map_or(1, |at| 1 + text[..at.start].matches('\n').count());
        format!("line {line}: {}", e.message())
    })
}

/// A suggestion for the name that serde does not know. It lists those that it knows, each in backticks.
fn meant(message: &str) -> String {
    if !message.starts_with("unknown field") && !message.starts_with("unknown variant") {
        return String::new();
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(wanted) = names.next() else {
        return String::new();
    };
    did_you_mean(wanted, names)
}
