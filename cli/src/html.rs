//! A report as one HTML page that needs nothing else: answer, drawings, table, methods.

use std::fmt::Write;

use relscale::fit::Analysis;
use relscale::report::plot::{self, PlotError};
use relscale::report::{self, Audience, Cell, Column, Shape, Sheet, Trend, flag_mark, flag_name};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/sort.js");

/// The page of `analysis`; `inputs` are names and SHA-256 of the tables that were read.
///
/// # Errors
/// A drawing that failed.
pub fn page(analysis: &Analysis, inputs: &[(String, String)]) -> Result<String, PlotError> {
    let title = match analysis.ladder.as_str() {
        "" => "Relative scaling laws".to_owned(),
        ladder => format!("Relative scaling laws of {ladder}"),
    };
    let title = escaped(&title);
    let mut html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n\
         <p class=\"faint\">Baseline {}; margin {} % per decade; relscale {}</p>\n",
        escaped(&analysis.options.baseline),
        analysis.options.margin_percent,
        escaped(&analysis.version),
    );
    words(&mut html, analysis);
    drawings(&mut html, analysis)?;
    let sheet = Sheet::of(analysis, Audience::Paper);
    if !sheet.rows.is_empty() {
        table(&mut html, analysis, &sheet);
    }
    notes(&mut html, &sheet);
    refused(&mut html, analysis);
    let _ = write!(
        html,
        "<section aria-labelledby=\"methods\">\n<h2 id=\"methods\">Methods</h2>\n<p>{}</p>\n\
         </section>\n</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escaped(&report::methods(analysis, inputs)),
    );
    Ok(html)
}

fn words(html: &mut String, analysis: &Analysis) {
    html.push_str("<section aria-labelledby=\"answer\">\n<h2 id=\"answer\">Answer</h2>\n<ul>\n");
    let worst = analysis.worst.iter().map(|w| w.sentence.clone());
    for sentence in report::answer(analysis).into_iter().chain(worst) {
        let _ = writeln!(html, "<li>{}</li>", escaped(&sentence));
    }
    html.push_str("</ul>\n</section>\n");
}

/// Forests and ratios of every corpus in full, everything else behind a click.
fn drawings(html: &mut String, analysis: &Analysis) -> Result<(), PlotError> {
    let (first, rest): (Vec<_>, Vec<_>) =
        plot::all(analysis)?.into_iter().partition(|(name, _)| {
            ["forest-", "ratios-", "rates-"]
                .iter()
                .any(|k| name.starts_with(k))
        });
    if first.is_empty() && rest.is_empty() {
        return Ok(());
    }
    html.push_str("<section aria-labelledby=\"drawings\">\n<h2 id=\"drawings\">Drawings</h2>\n");
    let figure = |html: &mut String, (name, svg): &(String, String)| {
        let caption = escaped(name.trim_end_matches(".svg"));
        let _ = write!(
            html,
            "<figure>\n<div class=\"box\" tabindex=\"0\" role=\"group\" aria-label=\"{caption}\">{svg}</div>\n\
             <figcaption>{caption}</figcaption>\n</figure>\n"
        );
    };
    first.iter().for_each(|f| figure(html, f));
    if !rest.is_empty() {
        let _ = writeln!(
            html,
            "<details>\n<summary>{} more drawings</summary>",
            rest.len()
        );
        rest.iter().for_each(|f| figure(html, f));
        html.push_str("</details>\n");
    }
    html.push_str("</section>\n");
    Ok(())
}

fn table(html: &mut String, analysis: &Analysis, sheet: &Sheet) {
    let _ = write!(
        html,
        "<section aria-labelledby=\"laws\">\n<h2 id=\"laws\">Laws</h2>\n\
         <div class=\"box\" tabindex=\"0\" role=\"group\" aria-label=\"Table of laws\">\n<table>\n\
         <caption>{} % intervals, adjusted for the number of laws (Holm). The worst law comes first; \
         a heading sorts by its column.</caption>\n<thead><tr>\n",
        analysis.options.level_percent(),
    );
    for column in &sheet.columns {
        let _ = writeln!(
            html,
            "<th scope=\"col\" aria-sort=\"none\"{}><button type=\"button\">{}</button></th>",
            class(column),
            escaped(column.heading)
        );
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for (cells, trend) in sheet.rows.iter().zip(&sheet.trends) {
        let tone = match trend {
            Trend::Worse => "worse",
            Trend::Better => "better",
            _ => "still",
        };
        let _ = writeln!(html, "<tr class=\"{tone}\">");
        for (cell, column) in cells.iter().zip(&sheet.columns) {
            let _ = writeln!(html, "{}", data(cell, column, sheet));
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

fn class(column: &Column) -> &'static str {
    match column.shape {
        Shape::Number | Shape::Interval => " class=\"number\"",
        _ => "",
    }
}

/// A cell; numbers carry their full value for sorting.
fn data(cell: &Cell, column: &Column, sheet: &Sheet) -> String {
    let class = class(column);
    match cell {
        Cell::Number { value, text } => {
            format!("<td{class} data-value=\"{value}\">{}</td>", escaped(text))
        }
        Cell::Interval {
            value,
            text: [v, low, high],
        } => format!(
            "<td{class} data-value=\"{}\">{v} <span class=\"faint\">[{low}, {high}]</span></td>",
            value.value
        ),
        Cell::Flags(own) => {
            let marks = own.iter().filter_map(|flag| {
                let k = sheet.flags.iter().position(|f| f == flag)?;
                let mark = flag_mark(k);
                let meaning = escaped(flag.meaning());
                Some(format!(
                    "<a href=\"#note-{mark}\" title=\"{meaning}\">{mark}</a>"
                ))
            });
            format!("<td>{}</td>", marks.collect::<Vec<_>>().join(" "))
        }
        Cell::Text(text) if column.key == "name" => {
            format!("<th scope=\"row\">{}</th>", escaped(text))
        }
        Cell::Text(text) => format!("<td class=\"{}\">{}</td>", column.key, escaped(text)),
        _ => "<td></td>".to_owned(),
    }
}

/// The meaning of the letters and the verdicts.
fn notes(html: &mut String, sheet: &Sheet) {
    html.push_str("<section aria-labelledby=\"notes\">\n<h2 id=\"notes\">Notes</h2>\n<dl>\n");
    for (k, flag) in sheet.flags.iter().enumerate() {
        let mark = flag_mark(k);
        let _ = writeln!(
            html,
            "<dt id=\"note-{mark}\">{mark}: {}</dt><dd>{}</dd>",
            escaped(&flag_name(*flag)),
            escaped(flag.meaning())
        );
    }
    for (word, meaning) in VERDICTS {
        let _ = writeln!(html, "<dt>{word}</dt><dd>{meaning}</dd>");
    }
    html.push_str("</dl>\n</section>\n");
}

/// Verdicts as the table has them.
const VERDICTS: [(&str, &str); 9] = [
    ("gap widens", "The ratio moves away from one."),
    ("gap narrows", "The ratio moves towards one."),
    ("gap persists", "Any change is smaller than the margin."),
    (
        "hardly changes",
        "The ratio changes, by less than the margin.",
    ),
    (
        "no gap",
        "The ratio is within the margin of the gap around one at both ends of the ladder.",
    ),
    (
        "crosses parity",
        "The ratio lies on opposite sides of one at the two ends of the ladder.",
    ),
    (
        "ratio rises",
        "The ratio rises; on which side of one it lies is open.",
    ),
    (
        "ratio falls",
        "The ratio falls; on which side of one it lies is open.",
    ),
    ("open", "Neither a change nor its absence is shown."),
];

fn refused(html: &mut String, analysis: &Analysis) {
    let groups = analysis.refusals();
    if groups.is_empty() {
        return;
    }
    html.push_str(
        "<section aria-labelledby=\"refused\">\n<h2 id=\"refused\">Not analysed</h2>\n<ul>\n",
    );
    for group in groups {
        let _ = writeln!(html, "<li>{}</li>", escaped(&group.to_string()));
    }
    html.push_str("</ul>\n</section>\n");
}

/// Text in which no character means anything to HTML, between tags and in quoted attributes.
fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // HTML has no place for them.
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use relscale::fit::{Options, analyze};
    use relscale::ladder::Ladder;

    use super::*;

    /// Names of strangers are text wherever the page has them.
    #[test]
    fn no_name_is_markup() {
        let name = "<script>alert(1)</script>\"'&";
        let mut table = String::from("corpus,run,budget,flops,params,tokens,distribution,loss\n");
        for k in 0..6 {
            let scale = 10_f64.powi(k + 18);
            let quoted = name.replace('"', "\"\"");
            let loss = 3.0 * scale.powf(-0.02);
            let row = format!("c,r{k},{scale:e},{scale:e},1e8,{:e}", scale / 6e8);
            table += &format!(
                "{row},base,{loss}\n{row},\"{quoted}\",{}\n",
                loss * scale.powf(0.01)
            );
        }
        let ladder = Ladder::from_csv(table.as_bytes(), "<b>ladder</b>").unwrap();
        let analysis = analyze(&ladder, &Options::new("base")).unwrap();
        let page = page(&analysis, &[("<i>".to_owned(), "00".to_owned())]).unwrap();
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert_eq!(page.matches("<script").count(), 1);
        assert!(!page.contains("<b>") && !page.contains("<i>"));
        for outside in ["http:", "https:", "url(", "@import", "src="] {
            let own = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(outside), "{outside}");
        }
    }
}
