//! The answer of an analysis in sentences.

use crate::fit::{Analysis, Verdict};

use super::rows::{LawKind, LawRow};

/// Names that a sentence lists before it counts the rest.
const NAMED: usize = 6;

/// Names without a number of their own that a sentence lists; more of them are counted.
const NAMED_BARE: usize = 3;

/// The laws `rows` in words, one sentence per verdict, in the order of the rows. Every law is named or
/// counted once.
pub(super) fn answer(analysis: &Analysis, rows: &[LawRow<'_>]) -> Vec<String> {
    let mut order: Vec<Verdict> = Vec::new();
    for row in rows {
        if !order.contains(&row.verdict) {
            order.push(row.verdict);
        }
    }
    let shown = order.iter().map(|verdict| {
        let of: Vec<&LawRow<'_>> = rows.iter().filter(|r| r.verdict == *verdict).collect();
        of
    });
    let mut unit = format!(" % per decade of {}", analysis.scale_in_words());
    let mut sentences = Vec::new();
    for of in shown {
        sentences.push(sentence(analysis, &of, rows.len(), &mut unit));
    }
    sentences
}

/// The sentence of the laws `of` with one verdict, among `all` laws. The unit is said in full once.
fn sentence(analysis: &Analysis, of: &[&LawRow<'_>], all: usize, unit: &mut String) -> String {
    let options = &analysis.options;
    let to = side(of);
    let bare = || names(of, all);
    match of[0].verdict {
        Verdict::Widens => format!("The gap{to} widens for {}.", changes(of, unit)),
        Verdict::Narrows => format!("The gap{to} narrows for {}.", changes(of, unit)),
        Verdict::CrossesParity => {
            format!("The ratio{to} crosses parity for {}.", changes(of, unit))
        }
        Verdict::RatioRises => format!(
            "The ratio{to} rises for {}, on a side of parity that is open.",
            changes(of, unit)
        ),
        Verdict::RatioFalls => format!(
            "The ratio{to} falls for {}, on a side of parity that is open.",
            changes(of, unit)
        ),
        Verdict::Inconclusive => {
            format!("Neither a change nor its absence is shown for {}.", bare())
        }
        Verdict::Persists => format!(
            "The gap{to} persists for {}: any change is less than {} % per decade.",
            bare(),
            options.margin_percent
        ),
        Verdict::Negligible => format!(
            "The ratio{to} changes for {}, but by less than {} % per decade.",
            bare(),
            options.margin_percent
        ),
        Verdict::NoGap => format!(
            "There is no gap{to} for {}: the ratio is within {} % of parity at both ends of the \
             ladder.",
            bare(),
            options.gap_margin_percent
        ),
    }
}

/// The common baseline of the laws; nothing for contrasts, whose names tell their sides.
fn side(of: &[&LawRow<'_>]) -> String {
    let first = of[0];
    let common = (of.iter()).all(|r| r.baseline == first.baseline);
    match first.kind {
        LawKind::Contrast => String::new(),
        _ if common => format!(" to {}", clean(first.baseline)),
        _ => String::new(),
    }
}

/// Names with their changes: `a (+3.2 % per decade of compute), b (+1.1 %) and c (+0.9 %)`.
fn changes(of: &[&LawRow<'_>], unit: &mut String) -> String {
    let mut listed = Vec::new();
    for row in of.iter().take(NAMED) {
        let percent = super::sheet::percent(row.percent_per_decade().value);
        listed.push(format!("{} ({percent}{unit})", label(row)));
        " %".clone_into(unit);
    }
    if of.len() > NAMED {
        listed.push(format!("{} more", of.len() - NAMED));
    }
    joined(&listed)
}

/// Names, or their number where there are many.
fn names(of: &[&LawRow<'_>], all: usize) -> String {
    if of.len() <= NAMED_BARE {
        let listed: Vec<String> = of.iter().map(|r| label(r)).collect();
        return joined(&listed);
    }
    format!("{} of {all} laws", of.len())
}

fn label(row: &LawRow<'_>) -> String {
    match row.kind {
        LawKind::Corpora => format!("{} in {}", clean(row.name), clean(row.corpus)),
        _ => clean(row.name),
    }
}

fn joined(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A name without control characters: one from a stranger's table must not move the cursor of a
/// terminal or break a line.
pub(super) fn clean(name: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().map(visible).collect()
}
