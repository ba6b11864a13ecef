//! Sheets of laws in Markdown, LaTeX and CSV.

use std::fmt::{self, Write};

use crate::fit::Analysis;

use super::format::{Table, flag_name};
use super::sheet::{Audience, Cell, Column, Shape, Sheet, flag_mark, marks};
use super::words::clean;

/// The relative laws as a table in GitHub's Markdown, with the meaning of its letters below.
#[must_use]
pub fn markdown(analysis: &Analysis) -> String {
    Sheet::of(analysis, Audience::Paper).markdown()
}

/// The relative laws as a LaTeX table with the rules of the package `booktabs`.
///
/// Names with letters outside of Latin need a font that has them, and so LuaLaTeX or XeLaTeX.
#[must_use]
pub fn latex(analysis: &Analysis) -> String {
    Sheet::of(analysis, Audience::Paper).latex()
}

/// The relative laws as CSV: one row per law, numbers in full, an interval in three columns.
///
/// Columns end in `_lower` and `_upper` for the ends of an interval. `decision` is `Δβ` at the level of
/// the verdict, the other intervals are of each law alone.
#[must_use]
pub fn csv(analysis: &Analysis) -> String {
    Sheet::of(analysis, Audience::File).csv()
}

impl Sheet {
    /// The table in GitHub's Markdown, with its caption and the meaning of its letters below.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from("|");
        for column in &self.columns {
            let _ = write!(text, " {} |", column.heading);
        }
        text.push_str("\n|");
        for column in &self.columns {
            // Numbers line up at their right ends.
            text.push_str(if is_number(column) { "---:|" } else { "---|" });
        }
        text.push('\n');
        for row in &self.rows {
            text.push('|');
            for cell in row {
                let _ = write!(text, " {} |", readable(cell, self, in_markdown));
            }
            text.push('\n');
        }
        let _ = write!(text, "\n{}\n", in_markdown(&self.caption));
        for (k, flag) in self.flags.iter().enumerate() {
            let meaning = in_markdown(flag.meaning());
            let _ = write!(
                text,
                "\n- {}: {}: {meaning}",
                flag_mark(k),
                flag_name(*flag)
            );
        }
        if !self.flags.is_empty() {
            text.push('\n');
        }
        text
    }

    /// The table in LaTeX, with the rules of the package `booktabs`.
    ///
    /// Names with letters outside of Latin need a font that has them, and so LuaLaTeX or XeLaTeX.
    #[must_use]
    pub fn latex(&self) -> String {
        let align: String = (self.columns.iter())
            .map(|c| if is_number(c) { 'r' } else { 'l' })
            .collect();
        let headings: Vec<&str> = self.columns.iter().map(|c| c.latex).collect();
        let mut text = format!(
            "% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\begin{{tabular}}{{{align}}}\n\
             \\toprule\n{} \\\\\n\\midrule\n",
            headings.join(" & ")
        );
        for row in &self.rows {
            let cells: Vec<String> = (row.iter())
                .map(|cell| match cell {
                    // In math mode, where a hyphen is a minus.
                    Cell::Number { text, .. } => format!("${}$", text.replace('<', "{<}")),
                    Cell::Interval {
                        text: [v, low, high],
                        ..
                    } => format!("${v}$ $[{low}, {high}]$"),
                    cell => readable(cell, self, in_latex),
                })
                .collect();
            let _ = writeln!(text, "{} \\\\", cells.join(" & "));
        }
        let mut notes = in_latex(&self.caption);
        for (k, flag) in self.flags.iter().enumerate() {
            let _ = write!(notes, " {}: {}.", flag_mark(k), in_latex(flag.meaning()));
        }
        let _ = write!(
            text,
            "\\bottomrule\n\\end{{tabular}}\n\\caption{{{notes}}}\n\\end{{table}}\n"
        );
        text
    }

    /// The table as CSV, numbers in full. An interval has two more columns, which end in `_lower` and
    /// `_upper`; what is missing is an empty field.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let mut header: Vec<String> = Vec::new();
        for column in &self.columns {
            header.push(column.key.to_owned());
            if column.shape == Shape::Interval {
                header.extend(["lower", "upper"].map(|end| format!("{}_{end}", column.key)));
            }
        }
        // Writing to memory does not fail, and every row has as many fields as the header.
        let _ = writer.write_record(&header);
        for row in &self.rows {
            let cells = self.columns.iter().zip(row);
            let _ = writer.write_record(cells.flat_map(|(column, cell)| fields(column, cell)));
        }
        let bytes = writer.into_inner().unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl fmt::Display for Sheet {
    /// Aligned columns, and the caption below.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings: Vec<&str> = self.columns.iter().map(|c| c.heading).collect();
        let mut table = Table::new(&headings);
        for row in &self.rows {
            table.row(row.iter().map(|cell| readable(cell, self, clean)).collect());
        }
        writeln!(f, "{}\n{}", table.render(), self.caption)
    }
}

/// The fields of a cell in CSV.
fn fields(column: &Column, cell: &Cell) -> Vec<String> {
    match cell {
        Cell::Text(text) => vec![text.clone()],
        Cell::Number { value, .. } => vec![value.to_string()],
        Cell::Interval { value: i, .. } => {
            [i.value, i.lower, i.upper].map(|v| v.to_string()).to_vec()
        }
        Cell::Flags(flags) => {
            let names = flags.iter().map(|f| flag_name(*f).replace(' ', "_"));
            vec![names.collect::<Vec<_>>().join(" ")]
        }
        Cell::Missing if column.shape == Shape::Interval => vec![String::new(); 3],
        Cell::Missing => vec![String::new()],
    }
}

fn is_number(column: &Column) -> bool {
    matches!(column.shape, Shape::Number | Shape::Interval)
}

/// A cell for a reader, its text through `escape`.
fn readable(cell: &Cell, sheet: &Sheet, escape: fn(&str) -> String) -> String {
    match cell {
        Cell::Text(text) => escape(text),
        Cell::Number { text, .. } => escape(text),
        Cell::Interval {
            text: [v, low, high],
            ..
        } => format!("{v} [{low}, {high}]"),
        Cell::Flags(flags) => marks(flags, &sheet.flags),
        Cell::Missing => "–".to_owned(),
    }
}

/// Text in which no character means anything to Markdown or HTML.
fn in_markdown(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '$' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text in which no character means anything to LaTeX.
fn in_latex(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str(r"\textbackslash{}"),
            '~' => escaped.push_str(r"\textasciitilde{}"),
            '^' => escaped.push_str(r"\textasciicircum{}"),
            '<' => escaped.push_str(r"\textless{}"),
            '>' => escaped.push_str(r"\textgreater{}"),
            '|' => escaped.push_str(r"\textbar{}"),
            '{' | '}' | '$' | '&' | '#' | '_' | '%' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c if c.is_control() => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
