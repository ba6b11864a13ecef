//! SVG drawings of an analysis: the ratio against compute, size profiles with the frontier, a
//! forest of exponents, and the panel of optimum rules.
//!
//! Colours are those of Okabe and Ito, distinguishable with every common colour blindness; marker
//! shapes and dashes repeat what they say, so that a drawing survives a black-and-white printer.
//! Layout is by hand on plotters' drawing primitives, because text cannot be measured without a
//! font: every label has a place that its neighbours do not reach.
//!
//! # References
//! M. Okabe, K. Ito (2008), *Color Universal Design*.

use std::collections::BTreeSet;
use std::fmt;

use crate::fit::Analysis;

mod canvas;
mod covariate;
mod forest;
mod frame;
mod panels;
mod profiles;
mod rates;
mod ratio;
mod span;
mod style;
mod text;

pub use covariate::covariate;
pub use forest::{contrasts, forest, rates_forest, rules};
pub use panels::ratios;
pub use profiles::profiles;
pub use rates::rates;
pub use ratio::ratio;

/// The reason why a drawing was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlotError {
    /// The analysis holds nothing of this kind.
    Nothing {
        /// The missing kind.
        what: String,
    },
    /// The drawing library failed.
    Backend {
        /// Its message.
        reason: String,
    },
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { what } => write!(f, "nothing to draw: no {what}"),
            Self::Backend { reason } => write!(f, "the drawing failed: {reason}"),
        }
    }
}

impl std::error::Error for PlotError {}

type Drawn = Result<(), PlotError>;

/// Every drawing that `analysis` allows, as (file name, SVG text): `ratio-…` and `rules-…` per law,
/// `ratios-…`, `profiles-…` and `forest-…` per corpus, `contrasts-…` and `contrast-…` where contrasts
/// are named, `rates-…` and `rates-forest-…` where there are
/// error rates.
///
/// # Errors
/// [`PlotError::Backend`] when the drawing library fails.
pub fn all(analysis: &Analysis) -> Result<Vec<(String, String)>, PlotError> {
    let mut files = Vec::new();
    let mut add = |parts: &[&str], svg: Result<String, PlotError>| match svg {
        Ok(svg) => {
            files.push((file_name(parts), svg));
            Ok(())
        }
        // Rungs have no profiles, and single rules no panel: a drawing that cannot exist is no
        // failure.
        Err(PlotError::Nothing { .. }) => Ok(()),
        Err(error) => Err(error),
    };
    for corpus in &analysis.corpora {
        add(&["profiles", &corpus.corpus], profiles(corpus))?;
        add(
            &["forest", &corpus.corpus],
            forest(analysis, &corpus.corpus),
        )?;
        add(
            &["ratios", &corpus.corpus],
            ratios(analysis, &corpus.corpus),
        )?;
        add(
            &["contrasts", &corpus.corpus],
            contrasts(analysis, &corpus.corpus),
        )?;
    }
    let corpora: BTreeSet<&str> = analysis.rates.iter().map(|r| r.corpus.as_str()).collect();
    for corpus in corpora {
        add(&["rates", corpus], rates(analysis, corpus))?;
        add(&["rates-forest", corpus], rates_forest(analysis, corpus))?;
    }
    for law in &analysis.laws {
        add(
            &["ratio", &law.corpus, &law.treatment],
            ratio(analysis, law),
        )?;
        add(
            &["rules", &law.corpus, &law.treatment],
            rules(analysis, law),
        )?;
    }
    for c in &analysis.contrasts {
        let parts = ["contrast", &c.law.corpus, &c.name];
        add(&parts, ratio(analysis, &c.law))?;
    }
    // Names that differ only in what a file name cannot hold must not overwrite each other.
    for k in 1..files.len() {
        let (before, from) = files.split_at_mut(k);
        if before.iter().any(|b| b.0 == from[0].0) {
            from[0].0 = format!("{}-{k}.svg", from[0].0.trim_end_matches(".svg"));
        }
    }
    Ok(files)
}

fn file_name(parts: &[&str]) -> String {
    let safe = |c: char| {
        // Slashes, colons and blanks in names would make folders or trouble shells.
        if c.is_alphanumeric() || "._+-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: Vec<String> = parts
        .iter()
        // File systems stop at 255 bytes; two names of 80 ASCII characters stay below.
        .map(|part| part.chars().map(safe).take(80).collect())
        .collect();
    format!("{}.svg", name.join("-"))
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn file_names_hold_no_separators() {
        assert_eq!(file_name(&["ratio", "a/b", "c d"]), "ratio-a_b-c_d.svg");
    }
}
