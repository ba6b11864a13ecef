//! Any bytes as tables of losses: they are read or refused, never panic, and never give a cell that is no
//! number.
//!
//! The first byte chooses what is said about the tables, the next two the length of the first of two. Their
//! forms (CSV, JSON lines, Parquet, compressed) are told by the bytes themselves.
#![no_main]

#[path = "common/panics.rs"]
mod panics;

use std::io::Cursor;

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

fuzz_target!(|bytes: &[u8]| {
    panics::let_panics_unwind();
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
