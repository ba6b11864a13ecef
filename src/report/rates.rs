//! Laws of error rates and between them.

use std::fmt;

use super::format::{Table, interval_of, number, numbers, p_value, signed};
use crate::fit::{Analysis, Flag};

/// Laws of error rates and between them; nothing where none are declared.
pub(super) fn tables(
    f: &mut fmt::Formatter<'_>,
    analysis: &Analysis,
    flags: &[Flag],
) -> fmt::Result {
    if analysis.counts.is_empty() && analysis.rates.is_empty() {
        return Ok(());
    }
    write!(
        f,
        "\nError rates, fitted to counts\n{}{}",
        own(analysis, flags).render(),
        relative(analysis, flags).render()
    )?;
    for law in &analysis.counts {
        writeln!(f, "    {}", law.sentence)?;
    }
    Ok(())
}

fn own(analysis: &Analysis, flags: &[Flag]) -> Table {
    let mut table = Table::new(&[
        "error rate",
        "corpus",
        "β",
        "interval",
        "rate at F0",
        "by guessing",
        "dispersion",
        "runs without errors",
        "flags",
    ]);
    for law in &analysis.rates {
        table.row(vec![
            law.distribution.clone(),
            law.corpus.clone(),
            number(law.beta.value),
            interval_of(law.beta.lower, law.beta.upper),
            number(law.alpha.value),
            law.ceiling.map_or_else(|| "?".to_owned(), number),
            format!("{:.2}", law.dispersion),
            format!("{} of {}", law.zeros, law.runs),
            numbers(&law.flags, flags),
        ]);
    }
    table
}

fn relative(analysis: &Analysis, flags: &[Flag]) -> Table {
    let mut table = Table::new(&[
        "treatment",
        "corpus",
        "Δβ",
        "interval",
        "γ at F0",
        "p",
        "Holm p",
        "verdict",
        "flags",
    ]);
    for law in &analysis.counts {
        table.row(vec![
            law.treatment.clone(),
            law.corpus.clone(),
            signed(law.delta_beta.value),
            interval_of(law.delta_beta.lower, law.delta_beta.upper),
            format!("{:.4}", law.gamma.value),
            p_value(law.delta_beta.p_value),
            p_value(law.holm_p),
            law.verdict.as_str().to_owned(),
            numbers(&law.flags, flags),
        ]);
    }
    table
}
