//! Studies of the paper, for any ladder.

use std::path::{Path, PathBuf};

use super::{Source, SourceKind, Study};
use crate::readers::behaviours::BehaviourOptions;
use crate::readers::mmlu::MmluOptions;
use crate::readers::texts::TextFields;
use relscale::evaluate::Settings;

/// The three case studies of *Relative Scaling Laws for LLMs*, each a study of its own, because their
/// losses have different units.
///
/// # References
/// Held et al. (2025), arXiv:2510.24626.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the paper has three")]
pub enum CaseStudy {
    /// MMLU by group of subjects.
    Domains,
    /// Texts of regions where English is spoken.
    English,
    /// Model-written behaviours by group of risk.
    Risk,
}

impl CaseStudy {
    /// All of them, in the order of the paper.
    pub const ALL: [Self; 3] = [Self::Domains, Self::English, Self::Risk];

    /// Name of the study's file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Domains => "domains",
            Self::English => "english",
            Self::Risk => "risk",
        }
    }

    /// The distribution that the others are compared with, as in the paper.
    #[must_use]
    pub fn baseline(self) -> &'static str {
        match self {
            Self::Domains => "stem",
            Self::English => "USA",
            Self::Risk => "self-improvement",
        }
    }

    /// The study of the runs in `runs` on the data in `data`, a folder as its reader takes it
    /// ([`SourceKind`]).
    #[must_use]
    pub fn study(self, runs: &Path, data: PathBuf, backend: &str) -> Study {
        let (kind, scorers): (_, &[&str]) = match self {
            Self::Domains => (
                SourceKind::Mmlu(MmluOptions::default()),
                &["choice_log_loss", "error_rate_per_byte"],
            ),
            Self::English => (
                SourceKind::Regions(TextFields::default()),
                &["bits_per_byte"],
            ),
            Self::Risk => (
                SourceKind::Behaviours(BehaviourOptions::default()),
                &["matching_probability_per_byte"],
            ),
        };
        let source = Source {
            path: data,
            kind,
            scorers: scorers.iter().map(|name| (*name).to_owned()).collect(),
            unconditional: None,
        };
        Study {
            runs: runs.to_owned(),
            base: None,
            distributions: vec![source],
            scoring: Settings {
                // Five questions before the one that is asked do not fit into every context.
                truncate: matches!(self, Self::Domains),
                ..Settings::default()
            },
            special_tokens: false,
            backend: backend.to_owned(),
            // Minutes on a node, so that starting costs little and an eviction loses little.
            unit_flops: 1e15,
        }
    }
}
