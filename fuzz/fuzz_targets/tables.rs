//! Any bytes as tables of losses: they are read or refused, never panic, and never give a cell that is no
//! number.
//!
//! The first byte chooses what is said about the tables, the next two the length of the first of two. Their
//! forms (CSV, JSON lines, Parquet, compressed) are told by the bytes themselves.
#![no_main]

use std::io::Cursor;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use relscale::ladder::{Ladder, LadderError, Tables};

/// Reads the two tables (or one, if the first fills the input) as one ladder.
fn read(said: u8, first: &[u8], second: &[u8]) -> Result<Ladder, LadderError> {
    let mut tables = Tables::new();
    if said & 1 > 0 {
        tables = tables.along("budget");
    }
    if said & 2 > 0 {
        tables = tables.distributions(["news", "law"]);
    }
    if said & 4 > 0 {
        tables = tables.column("loss", "bpb")?;
    }
    let name = if said & 8 > 0 {
        "losses.tsv"
    } else {
        "losses.csv"
    };
    tables = tables.add(Cursor::new(first.to_vec()), name)?;
    if !second.is_empty() {
        tables = tables.add(Cursor::new(second.to_vec()), "runs.csv")?;
    }
    Ok(tables.ladder()?.0)
}

/// Leaves panics of the Parquet library to the reader, which makes errors of them. The fuzzer's own hook
/// would end the process before; one that leaves the target still ends it.
fn let_panics_unwind() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            if panic
                .location()
                .is_some_and(|at| !at.file().contains("registry"))
            {
                eprintln!("{panic}");
            }
        }));
    });
}

fuzz_target!(|bytes: &[u8]| {
    let_panics_unwind();
    let [said, low, high, rest @ ..] = bytes else {
        return;
    };
    let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
    let (first, second) = rest.split_at(length);
    match read(*said, first, second) {
        Ok(ladder) => {
            for scores in ladder.scores() {
                for cell in scores.cells() {
                    assert!(cell.loss.is_finite() && cell.loss >= 0.0);
                    assert!(cell.weight.is_finite() && cell.weight > 0.0 && cell.rows > 0);
                }
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
