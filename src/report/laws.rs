//! The table of relative laws of one corpus and the notes under it.

use std::fmt::{self, Write};

use super::format::{Table, interval_of, number, numbers, p_phrase, p_value, signed};
use crate::fit::{Analysis, CorpusReport, FamilyScope, Flag, RelativeLaw};

/// Columns of [`law_row`].
pub(super) const COLUMNS: [&str; 10] = [
    "treatment",
    "Δβ",
    "interval",
    "%/decade",
    "γ at F0",
    "p",
    "Holm p",
    "BH q",
    "verdict",
    "flags",
];

/// Relative laws, misfits of their size profiles and the intervals asked for beside the first.
pub(super) fn table(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
    flags: &[Flag],
) -> fmt::Result {
    let laws: Vec<&RelativeLaw> = analysis
        .laws
        .iter()
        .filter(|l| l.corpus == corpus.corpus)
        .collect();
    let mut table = Table::new(&COLUMNS);
    for law in &laws {
        table.row(law_row(law, flags));
    }
    f.write_str(&table.render())?;
    f.write_str(&misfits(&laws, corpus))?;
    f.write_str(&per_size(&laws))?;
    f.write_str(&outlying(&laws))?;
    f.write_str(&wild(&laws))?;
    f.write_str(&second_intervals(&laws))?;
    sentences(f, &laws, analysis.options.family)
}

/// The verdicts in words. The column of intervals is of each law alone, while a decision is one of a
/// family: the line before the sentences says so.
fn sentences(
    f: &mut fmt::Formatter<'_>,
    laws: &[&RelativeLaw],
    family: FamilyScope,
) -> fmt::Result {
    if let Some(first) = laws.first() {
        let of = family_name(family);
        writeln!(
            f,
            "  In words, with the interval that decides (Holm, laws of {of}: {}; the interval in the \
             table is of each law alone):",
            first.multiplicity.family_size
        )?;
    }
    for law in laws {
        writeln!(f, "    {}", law.sentence)?;
    }
    Ok(())
}

/// The laws that one adjustment covers.
pub(super) fn family_name(family: FamilyScope) -> &'static str {
    match family {
        FamilyScope::All => "all corpora",
        _ => "this corpus",
    }
}

/// Flags are given by their number in the list below the tables.
pub(super) fn law_row(law: &RelativeLaw, flags: &[Flag]) -> Vec<String> {
    let d = &law.delta_beta;
    vec![
        law.treatment.clone(),
        signed(d.value),
        interval_of(d.lower, d.upper),
        format!("{:+.2}", law.percent_per_decade.value),
        format!("{:.4}", law.gamma.value),
        p_value(d.p_value),
        p_value(law.multiplicity.holm_p),
        p_value(law.multiplicity.bh_q),
        law.verdict.as_str().to_owned(),
        numbers(&law.flags, flags),
    ]
}

/// Tests that found the size profiles to be other than the fitted polynomials, one line per test.
fn misfits(laws: &[&RelativeLaw], corpus: &CorpusReport) -> String {
    let mut text = String::new();
    let frontier = corpus.frontier.as_ref();
    let of_laws = laws
        .iter()
        .map(|l| (l.treatment.as_str(), l.diagnostics.lack_of_fit));
    let aggregate = frontier.map(|f| ("the aggregate", f.lack_of_fit));
    for (name, test) in of_laws.chain(aggregate) {
        if let Some(t) = test.filter(|t| t.p_value < 0.05) {
            let _ = writeln!(
                text,
                "  lack of fit of {name} against seeds: F({}, {}) = {:.2}, {}",
                t.df,
                t.pure_df,
                t.f,
                p_phrase(t.p_value)
            );
        }
    }
    let of_laws = laws
        .iter()
        .map(|l| (l.treatment.as_str(), l.diagnostics.next_power));
    let aggregate = frontier.map(|f| ("the aggregate", f.next_power));
    for (name, test) in of_laws.chain(aggregate) {
        if let Some(t) = test.filter(|t| t.p_value < 0.05) {
            let _ = writeln!(
                text,
                "  next power of {name}: (ln N)^{} with {}, F({}, {}) = {:.2}, {}",
                t.power,
                number(t.coefficient),
                t.df,
                t.residual_df,
                t.f,
                p_phrase(t.p_value)
            );
        }
    }
    text
}

/// Slopes on size, of ladders whose sizes were trained on equal tokens.
fn per_size(laws: &[&RelativeLaw]) -> String {
    let mut text = String::new();
    for law in laws {
        if let Some(slope) = law.alternatives.per_log_params {
            let _ = writeln!(
                text,
                "  {} at equal tokens: d ln G / d ln N = {} {}",
                law.treatment,
                signed(slope.value),
                interval_of(slope.lower, slope.upper)
            );
        }
    }
    text
}

/// Wild bootstraps of the pipeline, one line per law.
fn wild(laws: &[&RelativeLaw]) -> String {
    let mut text = String::new();
    for law in laws {
        if let Some(w) = &law.alternatives.wild_bootstrap {
            let (d, a) = (w.delta_beta, w.analytic);
            let _ = writeln!(
                text,
                "  wild bootstrap of {}: {}, {} (by formula {}, {}; runs and frontier only)",
                law.treatment,
                interval_of(d.lower, d.upper),
                p_phrase(w.p_value),
                interval_of(a.lower, a.upper),
                p_phrase(a.p_value)
            );
        }
    }
    text
}

/// Runs that differ from their neighbours, one line per law and run.
fn outlying(laws: &[&RelativeLaw]) -> String {
    let mut text = String::new();
    for law in laws {
        for o in law.diagnostics.outlying_runs.iter().filter(|o| o.spoils) {
            let of = if o.in_aggregate {
                " in the aggregate"
            } else {
                ""
            };
            let _ = write!(
                text,
                "  outlying run of {}{of}: {}, studentised residual {:.1}, {} (Bonferroni)",
                law.treatment,
                o.run,
                o.studentised,
                p_phrase(o.p_value)
            );
            let _ = match &o.delta_beta {
                Some(d) => writeln!(
                    text,
                    "; without it Δβ is {} {} by runs alone",
                    signed(d.value),
                    interval_of(d.lower, d.upper)
                ),
                None => writeln!(text),
            };
        }
    }
    text
}

/// Intervals that the options ask for beside the first.
fn second_intervals(laws: &[&RelativeLaw]) -> String {
    let mut table = Table::new(&[
        "treatment",
        "crossed bootstrap",
        "error of ends",
        "largest |t|",
    ]);
    for law in laws {
        if law.alternatives.crossed_bootstrap.is_none() && law.multiplicity.max_t.is_none() {
            continue;
        }
        let none = || "-".to_owned();
        let b = law.alternatives.crossed_bootstrap.as_ref();
        table.row(vec![
            law.treatment.clone(),
            b.map_or_else(none, |b| interval_of(b.lower.value, b.upper.value)),
            b.map_or_else(none, |b| {
                let (low, high) = (b.lower.monte_carlo_error, b.upper.monte_carlo_error);
                format!("{low:.5}, {high:.5}")
            }),
            law.multiplicity
                .max_t
                .map_or_else(none, |i| interval_of(i.lower, i.upper)),
        ]);
    }
    table.render()
}
