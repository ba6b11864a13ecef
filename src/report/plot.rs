//! SVG drawings of an analysis: the ratio against compute beside the errors, size profiles with the
//! frontier, error rates, a forest of exponents, the panel of optimum rules, and all laws of a corpus as
//! one figure for a paper.
//!
//! Every function draws in the default [`Style`]; its methods draw in any other. Layout is by hand with
//! the widths of a wide font, because the viewer chooses the font: every label has a place that its
//! neighbours do not reach. Marker shapes and dashes repeat what colours say, so that a drawing
//! survives a black-and-white printer.

use std::collections::BTreeSet;
use std::fmt;

use super::rows::corpora;
use crate::fit::{Analysis, CorpusReport, RelativeLaw};

mod canvas;
mod covariate;
mod curves;
mod exponents;
mod figure;
mod forest;
mod frame;
mod grid;
mod key;
mod marks;
mod metrics;
mod pair;
mod palette;
mod panels;
mod profiles;
mod rates;
mod ratio;
mod span;
mod style;
mod svg;
mod text;
mod ticks;

pub use palette::Palette;
pub use style::{Label, Size, Style, Unit};

/// The reason why a drawing was not made.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PlotError {
    /// The analysis holds nothing of this kind.
    Nothing {
        /// The missing kind.
        what: String,
    },
    /// No page has this size.
    Size {
        /// The size.
        size: Size,
    },
}

impl fmt::Display for PlotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing { what } => write!(f, "nothing to draw: no {what}"),
            Self::Size { size } => {
                write!(f, "a page of {size} cannot be drawn: give 1 to 100 inches")
            }
        }
    }
}

impl std::error::Error for PlotError {}

/// Every drawing that `analysis` allows, as [`Style::all`] names them.
///
/// # Errors
/// Those of [`Style::all`].
pub fn all(analysis: &Analysis) -> Result<Vec<(String, String)>, PlotError> {
    Style::default().all(analysis)
}

/// [`Style::ratio`] in the default style.
///
/// # Errors
/// Those of [`Style::ratio`].
pub fn ratio(analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
    Style::default().ratio(analysis, law)
}

/// [`Style::ratios`] in the default style.
///
/// # Errors
/// Those of [`Style::ratios`].
pub fn ratios(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    Style::default().ratios(analysis, corpus)
}

/// [`Style::figure`] in the default style.
///
/// # Errors
/// Those of [`Style::figure`].
pub fn figure(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    Style::default().figure(analysis, corpus)
}

/// [`Style::profiles`] in the default style.
///
/// # Errors
/// Those of [`Style::profiles`].
pub fn profiles(corpus: &CorpusReport) -> Result<String, PlotError> {
    Style::default().profiles(corpus)
}

/// [`Style::forest`] in the default style.
///
/// # Errors
/// Those of [`Style::forest`].
pub fn forest(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    Style::default().forest(analysis, corpus)
}

/// [`Style::contrasts`] in the default style.
///
/// # Errors
/// Those of [`Style::contrasts`].
pub fn contrasts(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    Style::default().contrasts(analysis, corpus)
}

/// [`Style::rules`] in the default style.
///
/// # Errors
/// Those of [`Style::rules`].
pub fn rules(analysis: &Analysis, law: &RelativeLaw) -> Result<String, PlotError> {
    Style::default().rules(analysis, law)
}

/// [`Style::rates`] in the default style.
///
/// # Errors
/// Those of [`Style::rates`].
pub fn rates(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    Style::default().rates(analysis, corpus)
}

/// [`Style::rates_forest`] in the default style.
///
/// # Errors
/// Those of [`Style::rates_forest`].
pub fn rates_forest(analysis: &Analysis, corpus: &str) -> Result<String, PlotError> {
    Style::default().rates_forest(analysis, corpus)
}

/// [`Style::covariate`] in the default style.
///
/// # Errors
/// Those of [`Style::covariate`].
pub fn covariate(analysis: &Analysis, corpus: &str, label: &str) -> Result<String, PlotError> {
    Style::default().covariate(analysis, corpus, label)
}

impl Style {
    /// Every drawing that `analysis` allows, as (file name, SVG text): `ratio-…` and `rules-…` per law,
    /// `figure-…`, `ratios-…`, `profiles-…` and `forest-…` per corpus, `contrasts-…` and `contrast-…`
    /// where contrasts are named, `covariate-…` where there is one, `rates-…`, `rates-forest-…` and
    /// `rate-ratio-…` where there are error rates.
    ///
    /// # Errors
    /// [`PlotError::Size`] when no page has the size of the style.
    pub fn all(&self, analysis: &Analysis) -> Result<Vec<(String, String)>, PlotError> {
        let mut files = Files::default();
        for report in &analysis.corpora {
            let corpus = report.corpus.as_str();
            files.add(&["figure", corpus], self.figure(analysis, corpus))?;
            files.add(&["profiles", corpus], self.profiles(report))?;
            files.add(&["forest", corpus], self.forest(analysis, corpus))?;
            files.add(&["ratios", corpus], self.ratios(analysis, corpus))?;
            files.add(&["contrasts", corpus], self.contrasts(analysis, corpus))?;
            let covariate = self.covariate(analysis, corpus, "covariate");
            files.add(&["covariate", corpus], covariate)?;
        }
        // Corpora with nothing but contrasts have no report.
        for corpus in corpora(analysis) {
            if analysis.corpora.iter().all(|c| c.corpus != corpus) {
                files.add(&["contrasts", corpus], self.contrasts(analysis, corpus))?;
            }
        }
        let corpora: BTreeSet<&str> = analysis.rates.iter().map(|r| r.corpus.as_str()).collect();
        for corpus in corpora {
            files.add(&["rates", corpus], self.rates(analysis, corpus))?;
            let forest = self.rates_forest(analysis, corpus);
            files.add(&["rates-forest", corpus], forest)?;
        }
        for law in &analysis.counts {
            let parts = ["rate-ratio", &law.corpus, &law.treatment];
            files.add(&parts, self.rate_ratio(analysis, law))?;
        }
        for law in &analysis.laws {
            let parts = |kind| [kind, law.corpus.as_str(), law.treatment.as_str()];
            files.add(&parts("ratio"), self.ratio(analysis, law))?;
            files.add(&parts("rules"), self.rules(analysis, law))?;
        }
        for c in &analysis.contrasts {
            let parts = ["contrast", &c.law.corpus, &c.name];
            files.add(&parts, self.ratio(analysis, &c.law))?;
        }
        Ok(files.made)
    }

    /// The figure of every corpus, as (file name, SVG text).
    ///
    /// # Errors
    /// [`PlotError::Size`] when no page has the size of the style.
    pub fn figures(&self, analysis: &Analysis) -> Result<Vec<(String, String)>, PlotError> {
        let mut files = Files::default();
        for report in &analysis.corpora {
            let corpus = report.corpus.as_str();
            files.add(&["figure", corpus], self.figure(analysis, corpus))?;
        }
        Ok(files.made)
    }
}

/// Drawings by the names of their files.
#[derive(Default)]
struct Files {
    made: Vec<(String, String)>,
    names: BTreeSet<String>,
}

impl Files {
    fn add(&mut self, parts: &[&str], svg: Result<String, PlotError>) -> Result<(), PlotError> {
        match svg {
            Ok(svg) => {
                let name = self.free(file_name(parts));
                self.made.push((name, svg));
                Ok(())
            }
            // Rungs have no profiles, and single rules no panel: a drawing that cannot exist is no
            // failure.
            Err(PlotError::Nothing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The name, or another like it: names that differ only in what a file name cannot hold, or in case,
    /// which some file systems ignore, must not overwrite each other.
    fn free(&mut self, name: String) -> String {
        let stem = name.trim_end_matches(".svg").to_owned();
        let mut free = name;
        let mut count = 1;
        while !self.names.insert(free.to_lowercase()) {
            count += 1;
            free = format!("{stem}-{count}.svg");
        }
        free
    }
}

/// Bytes of one part of a file name: file systems stop at 255, and a name has two long parts.
const LONGEST_PART: usize = 110;

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
        .map(|part| {
            let mut left = LONGEST_PART;
            let fits = |c: &char| {
                left = left.saturating_sub(c.len_utf8());
                left > 0
            };
            part.chars().map(safe).take_while(fits).collect()
        })
        .collect();
    format!("{}.svg", name.join("-"))
}

#[cfg(test)]
mod tests {
    use super::{Files, file_name};

    #[test]
    fn file_names_hold_no_separators() {
        assert_eq!(file_name(&["ratio", "a/b", "c d"]), "ratio-a_b-c_d.svg");
        let long = "日".repeat(200);
        assert!(file_name(&["rules", &long, &long]).len() <= 240);
    }

    #[test]
    fn no_file_overwrites_another() {
        let mut files = Files::default();
        for name in ["a b", "a/b", "A/B", "a_b-2", "a:b"] {
            files.add(&["ratio", name], Ok(String::new())).unwrap();
        }
        let mut names: Vec<String> = files.made.into_iter().map(|f| f.0.to_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 5);
    }
}
