//! A paragraph on the method of an analysis, ready for a paper.

use std::fmt::Write;

use crate::fit::{
    Analysis, CorpusReport, CovarianceType, Design, FamilyScope, ItemSampling, OptimumRule, Options,
};

use super::rows::{LawKind, law_rows};
use super::screen::{scale, scale_unit};
use super::words::clean;

/// Work that a report of laws has to cite: the paper whose method this is, and this software.
#[must_use]
pub fn references(version: &str) -> [String; 2] {
    [
        "W. Held, D. Hall, P. Liang, D. Yang (2025). Relative Scaling Laws for LLMs. \
         arXiv:2510.24626."
            .to_owned(),
        format!("The relscale authors. relscale, version {version}. Software."),
    ]
}

/// The methods of `analysis` in one paragraph: design, estimator, intervals, adjustment, margins,
/// options that differ from the defaults, and versions.
///
/// `inputs` are the names of the tables that were read, each with the SHA-256 of its bytes in
/// hexadecimal.
#[must_use]
pub fn methods(analysis: &Analysis, inputs: &[(String, String)]) -> String {
    let rows = law_rows(analysis);
    let options = &analysis.options;
    let mut text = format!(
        "We fitted relative scaling laws (Held et al. 2025), G(F) = E_t(F)/E_b(F) = γ (F/F0)^Δβ, with \
         relscale {}. E is the error on a treatment t or on the baseline b ({}), F is {}, and F0 is the \
         geometric mean of the scales read.",
        analysis.version,
        clean(&options.baseline),
        clean(analysis.scale_in_words()),
    );
    for corpus in &analysis.corpora {
        let _ = write!(text, " {}", design(analysis, corpus));
    }
    let _ = write!(text, " {}", reading(analysis));
    let _ = write!(text, " {}", intervals(analysis));
    if rows.iter().any(|r| r.kind == LawKind::ErrorRate) {
        text.push_str(
            " Error rates were fitted to counts by quasi-binomial regression with a logarithmic link.",
        );
    }
    let family = match options.family {
        FamilyScope::All => "all corpora",
        FamilyScope::Corpus => "a corpus",
    };
    let sizes: Vec<usize> = rows.iter().map(|r| r.family_size).collect();
    let _ = write!(
        text,
        " p-values were adjusted by Holm's method over the laws of {family}{}; a verdict rests on an \
         adjusted p-value of at most {}. A change of less than {} % per decade, and a ratio within {} % \
         of one at both ends of the ladder, were tested by two one-sided tests.",
        match (sizes.iter().min(), sizes.iter().max()) {
            (Some(one), Some(same)) if one == same => format!(" ({one})"),
            (Some(least), Some(most)) => format!(" ({least} to {most})"),
            _ => String::new(),
        },
        options.alpha,
        options.margin_percent,
        options.gap_margin_percent,
    );
    let changed = changed_options(options);
    if !changed.is_empty() {
        let _ = write!(
            text,
            " Options other than the defaults: {}.",
            changed.join(", ")
        );
    }
    for (name, digest) in inputs {
        let _ = write!(text, " Input: {} (SHA-256 {digest}).", clean(name));
    }
    for reference in references(&analysis.version) {
        let _ = write!(text, " {reference}");
    }
    text
}

/// Runs, budgets and scales of a corpus.
fn design(analysis: &Analysis, corpus: &CorpusReport) -> String {
    let least = corpus.scales.iter().copied().fold(f64::NAN, f64::min);
    let most = corpus.scales.iter().copied().fold(f64::NAN, f64::max);
    let shape = match corpus.design {
        Design::Isoflop => "an IsoFLOP ladder",
        Design::Rungs => "a ladder of one size per scale",
        Design::Grid => "a grid of sizes and training lengths",
    };
    format!(
        "Corpus {}: {shape} of {} runs at {} scales from {} to {} {}.",
        clean(&corpus.corpus),
        corpus.runs,
        corpus.scales.len(),
        scale(least),
        scale(most),
        scale_unit(analysis),
    )
}

/// The way from runs to the points of the line.
fn reading(analysis: &Analysis) -> String {
    let options = &analysis.options;
    let designs: Vec<Design> = analysis.corpora.iter().map(|c| c.design).collect();
    let mut text = String::new();
    if designs.contains(&Design::Isoflop) {
        let picked = match &options.aggregate {
            Some(name) => format!("the loss on {}", clean(name)),
            None => "the mean log error of all distributions".to_owned(),
        };
        text += &match options.optimum {
            OptimumRule::Smoothed => format!(
                "Each budget was read at its compute-optimal size: polynomials of the log of {picked} \
                 in log size within a factor of 8 of the best run gave the minima, a line through them \
                 the frontier, and polynomials of the paired log ratio the readings at the frontier. "
            ),
            OptimumRule::BestRun => {
                format!("Each budget was read at the run with the least of {picked}. ")
            }
            OptimumRule::Parabola => {
                format!("Each budget was read at the vertex of a parabola through {picked}. ")
            }
        };
    }
    if designs.contains(&Design::Grid) {
        text += "Grids were regressed run by run on log scale and log tokens per parameter. ";
    }
    if designs.contains(&Design::Rungs) {
        text += "Runs of one scale were averaged. ";
    }
    text + "Δβ is the slope of a line through the log ratios, by least squares."
}

/// The parts of the variance.
fn intervals(analysis: &Analysis) -> String {
    let options = &analysis.options;
    let covariance = match options.covariance {
        CovarianceType::Ols => "equal variances",
        CovarianceType::Hc2 => "HC2 variances",
        CovarianceType::Hc3 => "HC3 variances",
        CovarianceType::Ar1 => "errors correlated along the scale",
    };
    let items = match options.items {
        ItemSampling::Population => "and the sampling of items (jackknife over clusters)",
        ItemSampling::Fixed => "but not the sampling of items",
    };
    // Rungs and grids have neither a frontier nor a rule by which it is read.
    let is_read = analysis.corpora.iter().any(|c| c.design == Design::Isoflop);
    let frontier = match analysis.corpora.iter().any(|c| c.frontier.is_some()) {
        true => ", the error of the frontier",
        false => "",
    };
    let specification = if options.specification_term && is_read {
        ", the choice of the reading rule"
    } else {
        ""
    };
    format!(
        "Intervals have level {} % by Student's t and account for the scatter of runs \
         ({covariance}){frontier}{specification} {items}.",
        options.level_percent(),
    )
}

/// `name = value` of each option that differs from its default; the baseline has none.
fn changed_options(options: &Options) -> Vec<String> {
    let own = serde_json::to_value(options).unwrap_or_default();
    let default = serde_json::to_value(Options::new(&options.baseline)).unwrap_or_default();
    let fields = own.as_object().into_iter().flatten();
    fields
        .filter(|(name, value)| default.get(name.as_str()) != Some(value))
        .map(|(name, value)| format!("{name} = {}", clean(&value.to_string())))
        .collect()
}
