//! JSON as Python writes it.

use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::path::Path;

use relscale::{Error, input};
use serde_json::Value;

/// Limit of one line, in bytes. A document with the prompts of a hundred choices has a few million.
const LONGEST_LINE: u64 = 1 << 26;
/// Limit of a file that is one value, in bytes. The results of hundreds of tasks have a few million.
const LONGEST_FILE: u64 = 1 << 28;

/// Opens a regular file, which may be compressed.
fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    input::open(path).map_err(|e| Error::io(path, e))
}

/// The value of a whole file.
pub(in crate::readers) fn read(path: &Path) -> Result<Value, Error> {
    let mut bytes = Vec::new();
    let file = open(path)?;
    let io = |e| Error::io(path, e);
    file.take(LONGEST_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > LONGEST_FILE {
        let message = format!("more than {LONGEST_FILE} bytes are no plausible results");
        return Err(Error::format(path, message));
    }
    let text = String::from_utf8(bytes).map_err(|e| Error::format(path, e.utf8_error()))?;
    parse(&text).map_err(|e| Error::Line {
        path: path.to_owned(),
        line: e.line(),
        message: e.to_string(),
    })
}

/// Calls `read` with the number, from 1, and the value of every line that is not empty.
pub(super) fn each_line(
    path: &Path,
    mut read: impl FnMut(usize, Value) -> Result<(), String>,
) -> Result<(), Error> {
    let mut input = open(path)?;
    let mut bytes = Vec::new();
    for line in 1.. {
        let error = |message: String| Error::Line {
            path: path.to_owned(),
            line,
            message,
        };
        bytes.clear();
        let mut one = input.by_ref().take(LONGEST_LINE + 1);
        let length = one
            .read_until(b'\n', &mut bytes)
            .map_err(|e| Error::io(path, e))?;
        if length == 0 {
            break;
        }
        if length as u64 > LONGEST_LINE {
            return Err(error(format!("longer than {LONGEST_LINE} bytes")));
        }
        let text = std::str::from_utf8(&bytes).map_err(|e| error(format!("not UTF-8: {e}")))?;
        if text.trim_start_matches('\u{feff}').trim().is_empty() {
            continue;
        }
        let value = parse(text).map_err(|e| {
            let cut = if e.is_eof() {
                ": the line is cut off"
            } else {
                ""
            };
            error(format!("not JSON, {e}{cut}"))
        })?;
        read(line, value).map_err(error)?;
    }
    Ok(())
}

/// The value of a JSON text, in which `NaN` and infinities are null.
pub(in crate::readers) fn parse(text: &str) -> Result<Value, serde_json::Error> {
    // A byte-order mark is no part of the text.
    relscale::input::json(&without_nan(text.trim_start_matches('\u{feff}')))
}

/// `NaN`, `Infinity` and `-Infinity` outside strings, which Python writes and JSON lacks, as `null`.
fn without_nan(text: &str) -> Cow<'_, str> {
    if !text.contains("NaN") && !text.contains("Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let (mut rest, mut in_string) = (text, false);
    while let Some(c) = rest.chars().next() {
        let word = ["NaN", "Infinity", "-Infinity"];
        let found = word.iter().find(|w| !in_string && rest.starts_with(**w));
        if let Some(word) = found {
            out.push_str("null");
            rest = &rest[word.len()..];
            continue;
        }
        // An escaped quotation mark does not end the string.
        let escaped = if in_string && c == '\\' {
            rest[1..].chars().next()
        } else {
            None
        };
        in_string ^= c == '"';
        out.push(c);
        rest = &rest[c.len_utf8()..];
        if let Some(c) = escaped {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_python_are_null_outside_strings() {
        let text = r#"{"a": NaN, "NaN \" Infinity": [-Infinity, "x\\", Infinity, -1]}"#;
        let value = parse(text).unwrap();
        assert!(value["a"].is_null());
        assert_eq!(
            value[r#"NaN " Infinity"#].to_string(),
            r#"[null,"x\\",null,-1]"#
        );
        assert!(matches!(without_nan("{}"), Cow::Borrowed(_)));
        assert!(parse("{NaN").is_err());
    }
}
