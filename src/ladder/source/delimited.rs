//! Tables whose fields are separated by a character.
//!
//! A table of millions of rows is read in blocks that end with lines. Threads parse them, and the rows are
//! used in the order of the table, so that the result and the first error are those of one thread. A block
//! is taken to begin with a row: where the one before turns out to end within quotes, both are parsed again
//! as one.

use std::collections::VecDeque;
use std::io::{self, Read};

use csv::StringRecord;

use super::{LONGEST_ROW, Rows, Source};
use crate::input::invalid;
use crate::ladder::LadderError;
use crate::ladder::record::Batch;
use crate::threads::cores;

mod blocks;
mod newlines;
mod parse;
#[cfg(test)]
mod tests;
mod workers;

use blocks::{Block, Blocks, too_long};
use parse::{Fault, Parsed, Shape, parse};
use workers::{Pending, Workers};

/// Bytes of a block: its fields stay in the second-level cache from the thread that parses them to the
/// one that uses them.
const BLOCK: usize = 1 << 18;
/// Most threads that parse: so many keep up with the one that uses the rows.
const MOST_THREADS: usize = 4;

/// The table in a source.
pub(super) fn table<'a>(
    source: impl Read + 'a,
    name: &str,
    separator: u8,
) -> Result<Source<'a>, LadderError> {
    // One thread reads and uses the rows.
    table_on(
        (cores() - 1).min(MOST_THREADS),
        BLOCK,
        source,
        name,
        separator,
    )
}

/// As [`table`], on so many threads besides this one, in blocks of about so many bytes.
fn table_on<'a>(
    threads: usize,
    block: usize,
    source: impl Read + 'a,
    name: &str,
    separator: u8,
) -> Result<Source<'a>, LadderError> {
    let mut blocks = Blocks::new(source, block);
    let (header, rest) = header(&mut blocks, name, separator)?;
    let shape = Shape {
        separator,
        columns: header.fields.len(),
    };
    Ok(Source {
        rows: Box::new(Delimited {
            name: name.to_owned(),
            shape,
            blocks,
            threads,
            workers: None,
            begun: VecDeque::from([Ok(Pending::Here(parse(rest, shape)))]),
            line: header.end,
            fault: None,
        }),
        ..Source::empty(name, header.fields)
    })
}

/// The first row, with the line after it.
struct Header {
    fields: StringRecord,
    end: u64,
}

/// The first row, and what follows it in its block.
fn header(
    blocks: &mut Blocks<'_>,
    name: &str,
    separator: u8,
) -> Result<(Header, Block), LadderError> {
    let malformed = |line, message| LadderError::Malformed {
        table: name.to_owned(),
        line,
        message,
    };
    let (mut text, mut is_last) = (Vec::new(), false);
    loop {
        // Twice as much each time, so that a row over many blocks is not parsed once for each.
        let goal = 2 * text.len();
        while !is_last && text.len() <= goal {
            let next = blocks.next().map_err(|e| malformed(None, e.to_string()))?;
            is_last = next.as_ref().is_none_or(|block| block.is_last);
            text.extend(next.unwrap_or_default().text);
        }
        // Another row must follow, unless quotes are open or all lines are empty.
        let after = if is_last { &b""[..] } else { b"0\n" };
        let mut input = csv::ReaderBuilder::new()
            .delimiter(separator)
            // Spreadsheets and hands leave spaces after commas.
            .trim(csv::Trim::All)
            .from_reader(text.as_slice().chain(after));
        let fields = input.headers().cloned();
        let (byte, end) = (input.position().byte(), input.position().line());
        let Some(rest) = text.get(byte as usize..) else {
            if text.len() as u64 > LONGEST_ROW {
                return Err(malformed(None, too_long()));
            }
            continue;
        };
        let rest = Block {
            text: rest.to_vec(),
            is_last,
        };
        return match fields {
            Ok(fields) => Ok((Header { fields, end }, rest)),
            Err(e) => Err(malformed(
                e.position().map(csv::Position::line),
                match e.kind() {
                    csv::ErrorKind::Utf8 { err, .. } => {
                        format!("field {} is not UTF-8", err.field() + 1)
                    }
                    _ => e.to_string(),
                },
            )),
        };
    }
}

/// The rows after the header.
struct Delimited<'a> {
    name: String,
    shape: Shape,
    blocks: Blocks<'a>,
    threads: usize,
    /// Started for the second block.
    workers: Option<Workers>,
    /// The blocks that were read and not used, in their order.
    begun: VecDeque<io::Result<Pending>>,
    /// Line with which the next block begins.
    line: u64,
    /// The error that comes after the rows of the last block.
    fault: Option<LadderError>,
}

impl Rows for Delimited<'_> {
    fn read(&mut self, rows: &mut Batch) -> Result<bool, LadderError> {
        loop {
            if let Some(fault) = self.fault.take() {
                return Err(fault);
            }
            let next = self
                .next()
                .map(|next| next.map(|parsed| self.whole(parsed)));
            let parsed = match next {
                None => return Ok(false),
                Some(Ok(parsed)) => parsed,
                Some(Err(e)) => return Err(self.malformed(None, e.to_string())),
            };
            let first = self.line;
            self.line += parsed.lines;
            if let Some(Fault::Refused(line, message)) = parsed.fault {
                self.fault = Some(self.malformed(line.map(|line| first + line), message));
            }
            *rows = parsed.rows;
            rows.move_lines(first);
            if rows.len() > 0 {
                return Ok(true);
            }
        }
    }
}

impl Delimited<'_> {
    /// The next block, while threads parse those after it.
    fn next(&mut self) -> Option<io::Result<Parsed>> {
        self.read_ahead();
        let parsed = self.begun.pop_front()?;
        Some(parsed.and_then(|parsed| {
            let gone = || invalid("the thread that parsed its rows is gone");
            parsed.wait().ok_or_else(gone)
        }))
    }

    fn read_ahead(&mut self) {
        let ahead = self.workers.as_ref().map_or(1, Workers::ahead);
        while self.begun.len() < ahead && !matches!(self.begun.back(), Some(Err(_))) {
            let block = match self.blocks.next() {
                Ok(None) => return,
                Ok(Some(block)) => block,
                Err(e) => {
                    self.begun.push_back(Err(e));
                    return;
                }
            };
            let workers = self
                .workers
                .get_or_insert_with(|| Workers::start(self.threads));
            self.begun.push_back(Ok(workers.parse(block, self.shape)));
        }
    }

    /// A block with those after it into which its last row goes on.
    fn whole(&mut self, mut parsed: Parsed) -> Parsed {
        while let Some(Fault::Unfinished(row)) = parsed.fault {
            let mut failure = None;
            let mut text = parsed.into_text();
            if (text.len() - row) as u64 > LONGEST_ROW {
                parsed = parse(
                    Block {
                        text,
                        is_last: false,
                    },
                    self.shape,
                );
                parsed.fault = Some(Fault::Refused(None, too_long()));
                return parsed;
            }
            // Twice as much, so that a row over many blocks is not parsed once for each.
            let (goal, mut is_last) = (2 * text.len(), false);
            while text.len() < goal && !is_last && failure.is_none() {
                match self.next() {
                    None => is_last = true,
                    Some(Err(e)) => failure = Some(e),
                    Some(Ok(more)) => {
                        is_last = more.is_last;
                        text.extend(more.into_text());
                    }
                }
            }
            parsed = parse(Block { text, is_last }, self.shape);
            if let Some(e) = failure {
                // The rows before are there, and the last one never will be.
                parsed.fault = parsed.fault.filter(|f| !matches!(f, Fault::Unfinished(_)));
                self.begun.push_front(Err(e));
            }
        }
        parsed
    }

    fn malformed(&self, line: Option<u64>, message: String) -> LadderError {
        LadderError::Malformed {
            table: self.name.clone(),
            line,
            message,
        }
    }
}
