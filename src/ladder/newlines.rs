//! Line ends of any system as `\n`, so that a parser counts lines as editors do.

use std::io::{BufRead, BufReader, Read, Result};

/// Drops the carriage return of each `\r\n`: a CSV parser takes the `\n` after it for the beginning
/// of the next record, and names the line before.
pub(super) struct UnixNewlines<R>(BufReader<R>);

impl<R: Read> UnixNewlines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self(BufReader::new(reader))
    }
}

impl<R: Read> Read for UnixNewlines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut written = 0;
        while written < buffer.len() {
            let Some(&byte) = self.0.fill_buf()?.first() else {
                break;
            };
            self.0.consume(1);
            if byte == b'\r' && self.0.fill_buf()?.first() == Some(&b'\n') {
                continue;
            }
            buffer[written] = byte;
            written += 1;
        }
        Ok(written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pairs_are_replaced() {
        let mut text = String::new();
        let reader = UnixNewlines::new(&b"a\r\n\rb\r\r\nc\r"[..]);
        BufReader::with_capacity(1, reader)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "a\n\rb\r\nc\r");
    }
}
