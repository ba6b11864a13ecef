//! A source in blocks that end with a line.

use std::io::{self, Read};

use super::newlines::unix_newlines;
use crate::input;
use crate::ladder::source::LONGEST_ROW;

/// Whole lines with `\n` at their ends.
#[derive(Debug, Default)]
pub(super) struct Block {
    pub(super) text: Vec<u8>,
    /// If true, the source ends with this block, which may end within a line.
    pub(super) is_last: bool,
}

/// The blocks of a source.
pub(super) struct Blocks<'a> {
    source: Box<dyn Read + 'a>,
    /// Number of bytes that are read at a time.
    size: usize,
    /// The beginning of the line with which the last block would have ended.
    begun: Vec<u8>,
    end: Option<io::Result<()>>,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(source: impl Read + 'a, size: usize) -> Self {
        Self {
            source: Box::new(source),
            size,
            begun: Vec::new(),
            end: None,
        }
    }

    /// The next block; `None` at the end. What stands before a failure to read is a block as well.
    pub(super) fn next(&mut self) -> io::Result<Option<Block>> {
        match self.end.take() {
            None => {}
            Some(end) => {
                self.end = Some(Ok(()));
                return end.map(|()| None);
            }
        }
        let mut text = std::mem::take(&mut self.begun);
        loop {
            // As much as there is, so that a long line is not looked through again and again.
            let more = self.size.max(text.len());
            let more = more.min((LONGEST_ROW as usize + 1).saturating_sub(text.len()));
            text.reserve_exact(more);
            let read = (&mut self.source).take(more as u64).read_to_end(&mut text);
            let read = read.and_then(|n| match end_of_lines(&text) {
                None if n == more && text.len() as u64 > LONGEST_ROW => {
                    Err(input::invalid(too_long()))
                }
                _ => Ok(n),
            });
            match (read, end_of_lines(&text)) {
                (Ok(n), _) if n < more => {
                    self.end = Some(Ok(()));
                    let is_last = true;
                    return Ok((!text.is_empty()).then(|| block(text, is_last)));
                }
                (Ok(_), None) => {}
                (Err(e), None) => {
                    self.end = Some(Ok(()));
                    return Err(e);
                }
                (read, Some(cut)) => {
                    self.begun = text.split_off(cut);
                    self.end = read.err().map(Err);
                    return Ok(Some(block(text, false)));
                }
            }
        }
    }
}

/// The message about a row that would take all the memory.
pub(super) fn too_long() -> String {
    format!("a row is longer than {LONGEST_ROW} bytes")
}

fn block(mut text: Vec<u8>, is_last: bool) -> Block {
    unix_newlines(&mut text);
    Block { text, is_last }
}

/// End of the last line that is whole and not empty: empty lines stay before the row that follows them,
/// as a row has the line after the row before. A carriage return alone ends a line too, where no newline
/// does.
fn end_of_lines(text: &[u8]) -> Option<usize> {
    let ends_row = |row: &[u8]| {
        row.last()
            .is_some_and(|byte| !matches!(byte, b'\r' | b'\n'))
    };
    let newline = |&at: &usize| {
        let row = &text[..at];
        text[at] == b'\n' && ends_row(row.strip_suffix(b"\r").unwrap_or(row))
    };
    let alone = |&at: &usize| {
        // The last byte may be the first half of `\r\n`.
        let next = text.get(at + 1).is_some_and(|next| *next != b'\n');
        text[at] == b'\r' && next && ends_row(&text[..at])
    };
    let places = || (0..text.len()).rev();
    let found = places().find(newline).or_else(|| places().find(alone));
    found.map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &[u8], size: usize) -> Vec<(String, bool)> {
        let mut blocks = Blocks::new(text, size);
        let next = || blocks.next().unwrap();
        let blocks = std::iter::from_fn(next);
        let text = |b: Block| (String::from_utf8(b.text).unwrap(), b.is_last);
        blocks.map(text).collect()
    }

    #[test]
    fn blocks_end_with_lines() {
        let line = |text: &str| (text.to_owned(), false);
        let last = |text: &str| (text.to_owned(), true);
        let text = b"ab\r\nc\n\nlonger\r\nd";
        let expected = [line("ab\n"), line("c\n"), last("\nlonger\nd")];
        assert_eq!(blocks(text, 4), expected);
        assert_eq!(blocks(text, 100), [last("ab\nc\n\nlonger\nd")]);
        assert_eq!(blocks(b"a\rb\rc", 2), [line("a\r"), last("b\rc")]);
        assert_eq!(blocks(b"a\n\n\n", 1), [line("a\n"), last("\n\n")]);
        assert_eq!(blocks(b"", 2), []);
    }

    #[test]
    fn lines_before_a_failure_are_read() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(input::invalid("broken"))
            }
        }
        let mut blocks = Blocks::new(b"a\nb\nc".chain(Broken), 100);
        assert_eq!(blocks.next().unwrap().unwrap().text, b"a\nb\n");
        assert_eq!(blocks.next().unwrap_err().to_string(), "broken");
        assert!(blocks.next().unwrap().is_none());
    }
}
