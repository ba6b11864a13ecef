//! A paragraph on the method of an analysis, ready for a paper.

use std::fmt::Write;

use crate::fit::{
    Analysis, CorpusReport, CovarianceType, Design, FamilyScope, Flag, ItemSampling, OptimumRule,
    Options, RelativeLaw,
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
    let designs = designs(analysis);
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

/// The designs by which laws of losses were read.
fn designs(analysis: &Analysis) -> Vec<Design> {
    let reports = analysis.corpora.iter().map(|c| c.design);
    // A corpus of which only contrasts could be fitted has no report.
    let contrasts = analysis.contrasts.iter().map(|c| c.law.design);
    reports.chain(contrasts).collect()
}

/// The assumption about the scatter of runs in each corpus, each once.
fn covariance(analysis: &Analysis) -> String {
    let of = |design: Design, checkpoints: bool| match analysis.options.covariance {
        CovarianceType::Ar1 => "errors correlated along the scale",
        // Checkpoints form clusters whatever else is chosen.
        _ if checkpoints && design == Design::Grid => "CR2 variances by training run or size",
        _ if checkpoints => "CR2 variances by training run",
        CovarianceType::Ols if design == Design::Grid => {
            "equal variances with a random effect of the size"
        }
        CovarianceType::Ols => "equal variances",
        CovarianceType::Hc2 => "HC2 variances",
        CovarianceType::Hc3 => "HC3 variances",
    };
    let reports = analysis.corpora.iter();
    let mut all: Vec<&str> = Vec::new();
    for words in reports.map(|c| of(c.design, c.reading_clusters.is_some())) {
        if !all.contains(&words) {
            all.push(words);
        }
    }
    if all.is_empty() {
        let design = designs(analysis).first().copied();
        all.push(of(design.unwrap_or(Design::Rungs), false));
    }
    all.join(" or ")
}

/// The terms for what a second rule of reading says, each with a comma before it.
fn specification(analysis: &Analysis) -> String {
    let designs = designs(analysis);
    let contrasts = analysis.contrasts.iter().map(|c| &c.law);
    let laws: Vec<&RelativeLaw> = analysis.laws.iter().chain(contrasts).collect();
    let checked = |design: Design| {
        let mut of_design = laws.iter().filter(|l| l.design == design).peekable();
        // Where no law says that there was no second rule, there was one.
        of_design.peek().is_none()
            || of_design.any(|l| !l.flags.contains(&Flag::NoSpecificationCheck))
    };
    // Rungs are the runs themselves, with no other way to read them.
    [
        (Design::Isoflop, ", the choice of the reading rule"),
        (Design::Grid, ", the quadratic terms left out"),
    ]
    .into_iter()
    .filter(|(design, _)| analysis.options.specification_term && designs.contains(design))
    .filter(|(design, _)| checked(*design))
    .map(|(_, words)| words)
    .collect()
}

/// The parts of the variance.
fn intervals(analysis: &Analysis) -> String {
    let options = &analysis.options;
    let (covariance, specification) = (covariance(analysis), specification(analysis));
    let items = match options.items {
        ItemSampling::Population => "and the sampling of items (jackknife over clusters)",
        ItemSampling::Fixed => "but not the sampling of items",
    };
    // Rungs and grids have no frontier.
    let frontier = match analysis.corpora.iter().any(|c| c.frontier.is_some()) {
        true => ", the error of the frontier",
        false => "",
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
