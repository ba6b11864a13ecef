//! Tables of laws in Markdown, LaTeX and CSV.

use std::fmt::Write;

use crate::fit::Analysis;

use super::format::flag_name;
use super::sheet::{Audience, Cell, Column, Shape, Sheet, flag_mark, marks};

/// The relative laws as a table in GitHub's Markdown, with the meaning of its letters below.
#[must_use]
pub fn markdown(analysis: &Analysis) -> String {
    let sheet = Sheet::of(analysis, Audience::Paper);
    let mut text = String::from("|");
    for column in &sheet.columns {
        let _ = write!(text, " {} |", column.heading);
    }
    text.push_str("\n|");
    for column in &sheet.columns {
        // Numbers line up at their right ends.
        text.push_str(if is_number(column) { "---:|" } else { "---|" });
    }
    text.push('\n');
    for row in &sheet.rows {
        text.push('|');
        for cell in row {
            let _ = write!(text, " {} |", readable(cell, &sheet, in_markdown));
        }
        text.push('\n');
    }
    let _ = write!(text, "\n{}\n", in_markdown(&caption(analysis)));
    for (k, flag) in sheet.flags.iter().enumerate() {
        let meaning = in_markdown(flag.meaning());
        let _ = write!(
            text,
            "\n- {}: {}: {meaning}",
            flag_mark(k),
            flag_name(*flag)
        );
    }
    if !sheet.flags.is_empty() {
        text.push('\n');
    }
    text
}

/// The relative laws as a LaTeX table with the rules of the package `booktabs`.
///
/// Names with letters outside of Latin need a font that has them, and so LuaLaTeX or XeLaTeX.
#[must_use]
pub fn latex(analysis: &Analysis) -> String {
    let sheet = Sheet::of(analysis, Audience::Paper);
    let align: String = (sheet.columns.iter())
        .map(|c| if is_number(c) { 'r' } else { 'l' })
        .collect();
    let headings: Vec<&str> = sheet.columns.iter().map(|c| c.latex).collect();
    let mut text = format!(
        "% \\usepackage{{booktabs}}\n\\begin{{table}}\n\\centering\n\\begin{{tabular}}{{{align}}}\n\
         \\toprule\n{} \\\\\n\\midrule\n",
        headings.join(" & ")
    );
    for row in &sheet.rows {
        let cells: Vec<String> = (row.iter())
            .map(|cell| match cell {
                // In math mode, where a hyphen is a minus.
                Cell::Number { text, .. } => format!("${}$", text.replace('<', "{<}")),
                Cell::Interval {
                    text: [v, low, high],
                    ..
                } => format!("${v}$ $[{low}, {high}]$"),
                cell => readable(cell, &sheet, in_latex),
            })
            .collect();
        let _ = writeln!(text, "{} \\\\", cells.join(" & "));
    }
    let mut notes = in_latex(&caption(analysis));
    for (k, flag) in sheet.flags.iter().enumerate() {
        let _ = write!(notes, " {}: {}.", flag_mark(k), in_latex(flag.meaning()));
    }
    let _ = write!(
        text,
        "\\bottomrule\n\\end{{tabular}}\n\\caption{{{notes}}}\n\\end{{table}}\n"
    );
    text
}

/// The relative laws as CSV: one row per law, numbers in full, an interval in three columns.
///
/// Columns end in `_lower` and `_upper` for the ends of an interval. `decision` is `Δβ` at the level of
/// the verdict, the other intervals are of each law alone.
#[must_use]
pub fn csv(analysis: &Analysis) -> String {
    let sheet = Sheet::of(analysis, Audience::File);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<String> = Vec::new();
    for column in &sheet.columns {
        header.push(column.key.to_owned());
        if column.shape == Shape::Interval {
            header.extend(["lower", "upper"].map(|end| format!("{}_{end}", column.key)));
        }
    }
    // Writing to memory does not fail, and every row has as many fields as the header.
    let _ = writer.write_record(&header);
    for row in &sheet.rows {
        let mut record: Vec<String> = Vec::new();
        for cell in row {
            match cell {
                Cell::Text(text) => record.push(text.clone()),
                Cell::Number { value, .. } => record.push(value.to_string()),
                Cell::Interval { value: i, .. } => {
                    record.extend([i.value, i.lower, i.upper].map(|v| v.to_string()));
                }
                Cell::Flags(flags) => {
                    let names: Vec<String> = flags
                        .iter()
                        .map(|f| flag_name(*f).replace(' ', "_"))
                        .collect();
                    record.push(names.join(" "));
                }
            }
        }
        let _ = writer.write_record(&record);
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
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
    }
}

/// The sentence under a table.
fn caption(analysis: &Analysis) -> String {
    let options = &analysis.options;
    format!(
        "Ratio of errors to {}, with {:.0} % intervals at the level of the decision, adjusted for the \
         number of laws (Holm); margin {} % per decade of {}; relscale {}.",
        options.baseline,
        100.0 * (1.0 - options.alpha),
        options.margin_percent,
        analysis.scale_in_words(),
        analysis.version,
    )
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
