//! Tables of contrasts between exponents.

use std::fmt;

use super::format::{Table, interval_of, p_value, signed};
use crate::fit::Analysis;

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
