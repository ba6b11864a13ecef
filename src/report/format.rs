//! Numbers and aligned columns of the tables.

use std::fmt::Write;

use crate::fit::Flag;

/// The name of a flag as files have it, with spaces.
#[must_use]
pub fn flag_name(flag: Flag) -> String {
    match serde_json::to_value(flag) {
        // Through the serialised name, so that table and file cannot drift apart.
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => format!("{flag:?}"),
    }
}

/// The numbers of the flags `own` in the list `all` below the tables.
pub(super) fn numbers(own: &[Flag], all: &[Flag]) -> String {
    let numbers: Vec<String> = own
        .iter()
        .filter_map(|flag| all.iter().position(|f| f == flag))
        // By number: the names of five flags would be wider than the rest of the table.
        .map(|k| (k + 1).to_string())
        .collect();
    numbers.join(" ")
}

/// A p-value to four decimals.
pub(super) fn p_value(p: f64) -> String {
    if p < 1e-4 {
        "<.0001".to_owned()
    } else {
        format!("{p:.4}")
    }
}

/// A p-value in a sentence.
pub(super) fn p_phrase(p: f64) -> String {
    if p < 1e-4 {
        "p < .0001".to_owned()
    } else {
        format!("p = {p:.4}")
    }
}

/// A number to four significant digits.
pub(super) fn number(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&size) {
        // Four significant digits: more than any interval here supports. Outside this range plain
        // decimals would be mostly zeros.
        let digits = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{v:.digits$}")
    } else {
        format!("{v:.3e}")
    }
}

/// An exponent: sign and five decimals.
pub(super) fn signed(v: f64) -> String {
    // Five decimals: the margin of equivalence is 0.00217, and standard errors reach 1e-4.
    format!("{v:+.5}")
}

/// An interval of which an end may be unknown.
pub(super) fn open_interval(ends: [Option<f64>; 2]) -> String {
    let end = |e: Option<f64>| e.map_or("?".to_owned(), number);
    format!("[{}, {}]", end(ends[0]), end(ends[1]))
}

pub(super) fn interval_of(lower: f64, upper: f64) -> String {
    format!("[{}, {}]", signed(lower), signed(upper))
}

/// Left-aligned columns.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|h| (*h).to_owned()).collect()],
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Nothing for a table without rows.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        if self.rows.len() < 2 {
            return text;
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|k| {
                let cells = self.rows.iter().filter_map(|r| r.get(k));
                // Characters, not bytes: headings hold β, γ and %.
                cells.map(|c| c.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, " {cell:<width$} ");
            }
            // Trailing blanks would show up as changes whenever one cell gets wider.
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(number(0.0), "0");
        assert_eq!(number(1.23456), "1.235");
        assert_eq!(number(0.012_345_6), "0.01235");
        assert_eq!(number(12_345.6), "12346");
        assert_eq!(number(1.5e-9), "1.500e-9");
        assert_eq!(number(f64::NAN), "NaN");
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["a", "Δβ"]);
        assert_eq!(table.render(), "");
        table.row(vec!["long name".into(), "1".into()]);
        assert_eq!(table.render(), "  a          Δβ\n  long name  1\n");
    }
}
