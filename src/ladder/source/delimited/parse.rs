//! Rows of one block of lines.

use std::io::Read;

use csv::ByteRecord;

use super::blocks::Block;
use crate::ladder::record::Batch;

/// The form of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) separator: u8,
    pub(super) columns: usize,
}

/// The rows of a block.
#[derive(Debug)]
pub(super) struct Parsed {
    /// With lines counted from 0.
    pub(super) rows: Batch,
    /// The text of the block, unless `rows` hold it.
    text: Option<Vec<u8>>,
    /// Number of lines that the block has.
    pub(super) lines: u64,
    /// The reason why there are no more rows, if it is not the end of the block.
    pub(super) fault: Option<Fault>,
    pub(super) is_last: bool,
}

/// An end of rows before the end of the block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The row that begins at this byte goes on in the next block.
    Unfinished(usize),
    /// A row that is refused, with its line if it is known.
    Refused(Option<u64>, String),
}

impl Parsed {
    /// The text of the block.
    pub(super) fn into_text(self) -> Vec<u8> {
        self.text
            .unwrap_or_else(|| self.rows.into_text().into_bytes())
    }
}

/// Parses a block that begins with a row.
///
/// The `csv` crate says what a row is. A block in which it has nothing to decide (no quotes, no lone
/// carriage returns, UTF-8, the right number of fields) is split here, several times as fast.
pub(super) fn parse(block: Block, shape: Shape) -> Parsed {
    match plain(block.text, shape) {
        Ok((rows, lines)) => Parsed {
            rows,
            text: None,
            lines,
            fault: None,
            is_last: block.is_last,
        },
        Err(text) => exact(text, shape, block.is_last),
    }
}

/// The rows of a block and its number of lines, or its text if it is not plain.
fn plain(text: Vec<u8>, shape: Shape) -> Result<(Batch, u64), Vec<u8>> {
    if text.contains(&b'"') || text.contains(&b'\r') {
        return Err(text);
    }
    let text = String::from_utf8(text).map_err(std::string::FromUtf8Error::into_bytes)?;
    match split(&text, shape) {
        Some((rows, lines)) => Ok((rows.with_text(text), lines)),
        None => Err(text.into_bytes()),
    }
}

/// The fields of a text without quotes by their places, and the number of lines; `None` if a row has too
/// many or too few.
fn split(text: &str, shape: Shape) -> Option<(Batch, u64)> {
    // Fields are seldom shorter than seven bytes, and a row has several.
    let mut rows = Batch::with_capacity(text.len() / 32, text.len() / 8);
    let (mut lines, mut line) = (0, 0);
    let (mut row, mut start, mut fields) = (0, 0, 0);
    let last = (!text.is_empty() && !text.ends_with('\n')).then_some(text.len());
    for end in separators(text.as_bytes(), shape.separator).chain(last) {
        let ends_row = text.as_bytes().get(end) != Some(&shape.separator);
        lines += u64::from(ends_row);
        // Empty lines are no rows, and the line of a row is that after the row before.
        if ends_row && end == row {
            (row, start) = (end + 1, end + 1);
            continue;
        }
        let (from, to) = trimmed(text, start, end);
        rows.push_span(from, to);
        (start, fields) = (end + 1, fields + 1);
        if fields > shape.columns || ends_row && fields < shape.columns {
            return None;
        }
        if ends_row {
            rows.end_row(line);
            (row, line, fields) = (start, lines, 0);
        }
    }
    // Lines end with a newline.
    lines -= u64::from(last.is_some());
    Some((rows, lines))
}

/// Start and end of a field without spaces around it.
fn trimmed(text: &str, start: usize, end: usize) -> (usize, usize) {
    let bytes = &text.as_bytes()[start..end];
    let may_be_space = |byte: Option<&u8>| byte.is_some_and(|b| *b <= b' ' || !b.is_ascii());
    if !may_be_space(bytes.first()) && !may_be_space(bytes.last()) {
        return (start, end);
    }
    let field = text[start..end].trim_start();
    let start = end - field.len();
    (start, start + field.trim_end().len())
}

/// Places of a separator and of newlines.
fn separators(text: &[u8], separator: u8) -> impl Iterator<Item = usize> {
    let (words, rest) = text.as_chunks::<8>();
    let mut end = [0; 8];
    end[..rest.len()].copy_from_slice(rest);
    // The bytes of a word that is filled up with zeros are neither.
    let words = words.iter().copied().chain([end]);
    words.enumerate().flat_map(move |(at, word)| {
        let word = u64::from_le_bytes(word);
        Bits(equal(word, separator) | equal(word, b'\n')).map(move |byte| 8 * at + byte)
    })
}

/// The highest bit of each byte of a word that is `byte`, and no other bit.
fn equal(word: u64, byte: u8) -> u64 {
    const LOW: u64 = u64::MAX / 255 * 0x7f;
    let difference = word ^ (u64::MAX / 255 * u64::from(byte));
    // A byte that is not zero has its highest bit set, or the sum of its other bits and 127 has.
    !(((difference & LOW) + LOW) | difference | LOW)
}

/// The numbers of the bytes with a bit set.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let byte = self.0.trailing_zeros() / 8;
        self.0 &= self.0 - 1;
        Some(byte as usize)
    }
}

/// The rows of a block as the `csv` crate reads them.
fn exact(text: Vec<u8>, shape: Shape, is_last: bool) -> Parsed {
    // A row of zeros before the block stands for what was read before: no byte-order mark is dropped.
    // One after it is a row of its own, unless the block ends within quotes.
    let mut zeros = vec![shape.separator; 2 * shape.columns];
    zeros.iter_mut().step_by(2).for_each(|field| *field = b'0');
    zeros[2 * shape.columns - 1] = b'\n';
    let after = if is_last { &[][..] } else { &zeros };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(shape.separator)
        .flexible(true)
        .from_reader(zeros.as_slice().chain(&text[..]).chain(after));
    let mut rows = Batch::default();
    let (mut row, mut next) = (ByteRecord::new(), ByteRecord::new());
    let mut fault = None;
    // Memory does not fail to be read.
    let mut more = reader.read_byte_record(&mut row).unwrap_or(false);
    while more && fault.is_none() {
        more = reader.read_byte_record(&mut next).unwrap_or(false);
        let (byte, line) = (row.position()).map_or((0, 0), |p| (p.byte() as usize, p.line()));
        let start = byte.saturating_sub(zeros.len());
        if more || is_last {
            let end = next.position().filter(|_| more);
            let end = end.map_or(text.len(), |p| p.byte() as usize - zeros.len());
            // Lines are counted from 1, and the zeros are one.
            let line = line.saturating_sub(2);
            fault = match quotes_fit(&text[start..end.min(text.len())], shape.separator) {
                true => push(&mut rows, &row, shape, line).err(),
                false => Some(Fault::Refused(Some(line), MISQUOTED.to_owned())),
            };
        } else if row.len() != shape.columns || row.iter().any(|field| field != b"0") {
            fault = Some(Fault::Unfinished(start));
        }
        std::mem::swap(&mut row, &mut next);
    }
    Parsed {
        rows,
        lines: text.iter().filter(|&&byte| byte == b'\n').count() as u64,
        text: Some(text),
        fault,
        is_last,
    }
}

/// The message about quotes that take in the rows after them.
pub(super) const MISQUOTED: &str =
    "a field begins with a quote that is not closed at the end of a field";

/// False for quotes that are open at the end, and for a row of several lines with a closing quote in the
/// middle of a field. The `csv` crate reads both: a lone quote then takes in all rows up to the next one.
fn quotes_fit(row: &[u8], separator: u8) -> bool {
    // Most rows beside one with quotes have none.
    if !row.contains(&b'"') {
        return true;
    }
    let is_end = |byte: u8| byte == b'\n' || byte == b'\r';
    let first = row.iter().position(|&byte| !is_end(byte));
    let last = row.iter().rposition(|&byte| !is_end(byte));
    let (Some(first), Some(last)) = (first, last) else {
        return true;
    };
    let row = &row[first..=last];
    let (mut rest, mut closed_within) = (row, false);
    loop {
        if let Some(quoted) = rest.strip_prefix(b"\"") {
            let Some(after) = after_quotes(quoted) else {
                return false;
            };
            let next = after.iter().find(|&&byte| byte != b' ' && byte != b'\t');
            closed_within |= next.is_some_and(|&byte| byte != separator && !is_end(byte));
            rest = after;
        }
        match rest.iter().position(|&byte| byte == separator) {
            Some(at) => rest = &rest[at + 1..],
            None => break,
        }
    }
    !closed_within || !row.iter().any(|&byte| is_end(byte))
}

/// The text behind the quote that closes a field; two quotes stand for one.
fn after_quotes(text: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        let at = from + text[from..].iter().position(|&byte| byte == b'"')?;
        if text.get(at + 1) != Some(&b'"') {
            return Some(&text[at + 1..]);
        }
        from = at + 2;
    }
}

/// Adds a row.
fn push(rows: &mut Batch, row: &ByteRecord, shape: Shape, line: u64) -> Result<(), Fault> {
    if row.len() != shape.columns {
        let message = format!("{} fields, the first line has {}", row.len(), shape.columns);
        return Err(Fault::Refused(Some(line), message));
    }
    for (at, field) in row.iter().enumerate() {
        if std::str::from_utf8(field).is_err() {
            let message = format!("field {} is not UTF-8", at + 1);
            return Err(Fault::Refused(Some(line), message));
        }
    }
    for field in row {
        rows.push(std::str::from_utf8(field).unwrap_or_default().trim());
    }
    rows.end_row(line);
    Ok(())
}
