//! Rows of small CSV tables, each with its line.

use csv::{ErrorKind, Position, StringRecord};

/// The rows that `reader` has yet to read of the table `text`, each with its line, counted from 1; for a row
/// that cannot be read, its line and the reason. The header, if there is one, must have been read.
///
/// # Errors
/// A row with another number of fields than the first, unless the reader is flexible; a field that is not
/// UTF-8.
pub(crate) fn rows<'a>(
    reader: csv::Reader<&'a [u8]>,
    text: &'a [u8],
) -> impl Iterator<Item = Result<(usize, StringRecord), (usize, String)>> + 'a {
    reader.into_records().map(|row| match row {
        Ok(row) => Ok((line(row.position(), text), row)),
        Err(e) => Err((line(e.position(), text), reason(e.kind()))),
    })
}

/// Line of the row that begins at a position of the reader.
///
/// The reader gives the end of the row before, which is too low where lines end in CR LF, and where there are
/// empty ones.
fn line(position: Option<&Position>, text: &[u8]) -> usize {
    let (byte, line) = position.map_or((0, 1), |p| (p.byte() as usize, p.line() as usize));
    let rest = text.get(byte..).unwrap_or_default();
    // The mark at the start is part of no row.
    let rest = rest.strip_prefix("\u{feff}".as_bytes()).unwrap_or(rest);
    let breaks = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    line + breaks.filter(|b| **b == b'\n').count()
}

/// The reason without the reader's own line number.
pub(crate) fn reason(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => {
            let s = if *len == 1 { "" } else { "s" };
            format!("{len} field{s}; the first row has {expected_len}")
        }
        ErrorKind::Utf8 { err, .. } => format!("field {} is not UTF-8", err.field() + 1),
        ErrorKind::Deserialize { err, .. } => match err.field() {
            Some(field) => format!("field {}: {}", field + 1, err.kind()),
            None => err.kind().to_string(),
        },
        kind => format!("{kind:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_whatever_ends_them() {
        let table = "a,b\n1,2\n\n\"3\n3\",4\n5\n\n6,7\n";
        for end in ["\n", "\r\n"] {
            let text = table.replace('\n', end);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            assert_eq!(reader.headers().unwrap(), ["a", "b"].as_slice());
            let lines: Vec<_> = rows(reader, text.as_bytes())
                .map(|row| row.map(|(line, _)| line))
                .collect();
            let short = "1 field; the first row has 2".to_owned();
            assert_eq!(lines, [Ok(2), Ok(4), Err((6, short)), Ok(8)], "{end:?}");
        }
    }

    #[test]
    fn a_field_that_is_not_utf_8_is_named() {
        let text = b"a,b\r\n1,\xff\r\n";
        let mut reader = csv::Reader::from_reader(&text[..]);
        assert_eq!(reader.headers().unwrap(), ["a", "b"].as_slice());
        let found: Vec<_> = rows(reader, text).collect();
        assert_eq!(found, [Err((2, "field 2 is not UTF-8".to_owned()))]);
    }
}
