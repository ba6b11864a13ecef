//! The printed table of a part.

use relscale::fit::{Analysis, Flag, RelativeLaw};

use super::parts::Part;

/// The laws of a part as text.
pub(super) fn table(part: &Part, analysis: &Analysis) -> String {
    let corpus = &analysis.corpora[0];
    let scale = |s: Option<&f64>| s.map_or("-".to_owned(), |s| format!("{s:.0e}"));
    let mut text = format!("\n{}: {}\n  {}\n", part.title, part.unit, part.sample);
    let chance: Vec<f64> = analysis.options.chance.values().copied().collect();
    if let Some(level) = chance
        .first()
        .filter(|l| chance.iter().all(|c| (c - **l).abs() < 1e-9))
    {
        text += &format!("  a model that knows nothing has {level:.3}\n");
    }
    text += &row([
        "",
        &scale(corpus.scales.first()),
        &scale(corpus.scales.last()),
        "γ",
        "Δβ",
        "95% interval",
        "the gap",
    ]);
    let (first, last) = ends(analysis, &part.baseline);
    text += &row([&part.baseline, &first, &last, "1", "", "", "baseline"]);
    let mut seen: Vec<Flag> = Vec::new();
    for law in &analysis.laws {
        text += &law_row(analysis, law, &mut seen);
    }
    for (i, flag) in seen.iter().enumerate() {
        text += &format!("  [{}] {}\n", i + 1, flag.meaning());
    }
    for slope in &analysis.covariate {
        let s = slope.sample.as_ref().unwrap_or(&slope.fixed);
        text += &format!(
            "  slope of the exponents on the covariate: {:+.2e} [{:+.2e}, {:+.2e}]\n",
            s.value, s.lower, s.upper
        );
    }
    for refused in &analysis.refused {
        let what = refused.distribution.as_deref().unwrap_or("-");
        text += &format!("  {what} left out: {}\n", refused.reason);
    }
    text
}

fn row([name, first, last, gamma, slope, interval, gap]: [&str; 7]) -> String {
    let line =
        format!("  {name:<34} {first:>7} {last:>7} {gamma:>6} {slope:>8}  {interval:<18} {gap}");
    format!("{}\n", line.trim_end())
}

/// Errors of a distribution at the smallest and the largest budget.
fn ends(analysis: &Analysis, name: &str) -> (String, String) {
    let law = analysis
        .absolute_laws
        .iter()
        .find(|t| t.distribution == name);
    let errors = law.map_or(&[][..], |t| &t.errors);
    let of = |e: Option<&f64>| e.map_or("-".to_owned(), |e| format!("{e:.3}"));
    (of(errors.first()), of(errors.last()))
}

/// The row of a law. Flags are numbered in the order of their first appearance, kept in `seen`.
fn law_row(analysis: &Analysis, law: &RelativeLaw, seen: &mut Vec<Flag>) -> String {
    let (first, last) = ends(analysis, &law.treatment);
    let (mut gamma, mut slope) = (String::new(), String::new());
    let (mut interval, mut gap) = (String::new(), "at chance: no law".to_owned());
    // An exponent at chance level would be read as a finding.
    if !law.flags.contains(&Flag::PreOnset) {
        let d = &law.delta_beta;
        gamma = format!("{:.3}", law.gamma.value);
        slope = format!("{:+.4}", d.value);
        interval = format!("[{:+.4}, {:+.4}]", d.lower, d.upper);
        gap = law.verdict.as_str().replace('_', " ");
    }
    let mut numbers = Vec::new();
    for flag in &law.flags {
        let at = seen.iter().position(|s| s == flag).unwrap_or_else(|| {
            seen.push(*flag);
            seen.len() - 1
        });
        numbers.push(at + 1);
    }
    numbers.sort_unstable();
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    if !numbers.is_empty() {
        gap += &format!(" [{}]", numbers.join(", "));
    }
    row([
        &law.treatment,
        &first,
        &last,
        &gamma,
        &slope,
        &interval,
        &gap,
    ])
}
