//! Tables of contrasts between exponents.

use std::fmt;

use super::format::{Table, interval_of, numbers, p_value, signed};
use super::laws;
use super::rows::corpora;
use crate::fit::{Analysis, CorpusReport, Flag, NamedContrast};

/// The named contrasts of one corpus, with their sentences.
pub(super) fn named(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &str,
    flags: &[Flag],
) -> fmt::Result {
    let found = analysis.contrasts.iter();
    let contrasts: Vec<&NamedContrast> = found.filter(|c| c.law.corpus == corpus).collect();
    let Some(first) = contrasts.first() else {
        return Ok(());
    };
    let mut table = Table::new(&[&["contrast"], &laws::COLUMNS[1..]].concat());
    for c in &contrasts {
        let mut row = laws::law_row(&c.law, flags);
        row[0].clone_from(&c.name);
        table.row(row);
    }
    f.write_str(&table.render())?;
    writeln!(
        f,
        "  In words, with the interval that decides (Holm, contrasts of {}: {}):",
        laws::family_name(analysis.options.family),
        first.law.multiplicity.family_size
    )?;
    for c in &contrasts {
        writeln!(f, "    {}", c.sentence)?;
    }
    Ok(())
}

/// The named contrasts of corpora that have no report: those without a treatment beside the baseline.
pub(super) fn without_report(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    flags: &[Flag],
) -> fmt::Result {
    for corpus in corpora(analysis) {
        let of_corpus = |c: &&NamedContrast| c.law.corpus == corpus;
        let reported = analysis.corpora.iter().any(|c| c.corpus == corpus);
        let Some(first) = analysis.contrasts.iter().find(of_corpus) else {
            continue;
        };
        if !reported {
            let (design, readings) = (first.law.design.as_str(), first.law.readings.len());
            writeln!(f, "\nCorpus {corpus}: {design}, {readings} readings")?;
            named(f, analysis, corpus, flags)?;
        }
    }
    Ok(())
}

/// The worst of the treatments or groups of one corpus, in words.
pub(super) fn worst(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    corpus: &CorpusReport,
) -> fmt::Result {
    let found = analysis.worst.iter();
    for worst in found.filter(|w| w.corpus == corpus.corpus) {
        writeln!(f, "  worst: {}", worst.sentence)?;
    }
    Ok(())
}

pub(super) fn tables(f: &mut fmt::Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    for (title, contrasts) in [
        (
            "Exponents against the mean of all distributions",
            &analysis.centred,
        ),
        ("Differences of Δβ between corpora", &analysis.cross_corpus),
    ] {
        if contrasts.is_empty() {
            continue;
        }
        writeln!(f, "\n{title}")?;
        let mut table = Table::new(&["contrast", "corpus", "exponent", "interval", "Holm p"]);
        for c in contrasts {
            table.row(vec![
                c.name.clone(),
                c.corpora.join(" − "),
                signed(c.exponent.value),
                interval_of(c.exponent.lower, c.exponent.upper),
                p_value(c.holm_p),
            ]);
        }
        f.write_str(&table.render())?;
    }
    Ok(())
}

/// Laws between corpora, with their sentences.
pub(super) fn arms(f: &mut fmt::Formatter<'_>, analysis: &Analysis, flags: &[Flag]) -> fmt::Result {
    let Some(first) = analysis.arms.first() else {
        return Ok(());
    };
    writeln!(f, "\nCorpora against {}", first.baseline_corpus)?;
    let mut table = Table::new(&[
        "corpus",
        "distribution",
        "Δβ",
        "interval",
        "%/decade",
        "γ at F0",
        "p",
        "Holm p",
        "verdict",
        "flags",
    ]);
    for law in &analysis.arms {
        let d = &law.delta_beta;
        table.row(vec![
            law.corpus.clone(),
            law.distribution.clone(),
            signed(d.value),
            interval_of(d.lower, d.upper),
            format!("{:+.2}", law.percent_per_decade.value),
            format!("{:.4}", law.gamma.value),
            p_value(d.p_value),
            p_value(law.holm_p),
            law.verdict.as_str().to_owned(),
            numbers(&law.flags, flags),
        ]);
    }
    f.write_str(&table.render())?;
    writeln!(f, "  In words, with the interval that decides:")?;
    for law in &analysis.arms {
        writeln!(f, "    {}", law.sentence)?;
    }
    Ok(())
}
