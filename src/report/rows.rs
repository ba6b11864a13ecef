//! The laws of an analysis as rows, whatever their kind, the worst first.

use crate::fit::{
    Analysis, ArmLaw, CountsLaw, Estimate, Flag, Interval, NamedContrast, RelativeLaw, Verdict,
};

/// The comparison that a law is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LawKind {
    /// A treatment and the baseline.
    Law,
    /// A treatment and the baseline, one of them an error rate.
    ErrorRate,
    /// A named contrast, or a group and the baseline.
    Contrast,
    /// A distribution in two corpora.
    Corpora,
}

impl LawKind {
    /// The name in files: `law`, `error_rate`, `contrast` or `corpora`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Law => "law",
            Self::ErrorRate => "error_rate",
            Self::Contrast => "contrast",
            Self::Corpora => "corpora",
        }
    }
}

/// A relative law of any kind, with what a line of a table says about it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LawRow<'a> {
    /// The comparison.
    pub kind: LawKind,
    /// The corpus; of a law between corpora, the one in the numerator.
    pub corpus: &'a str,
    /// The treatment; of a contrast its name, of a law between corpora the distribution.
    pub name: &'a str,
    /// The distribution in the numerator.
    pub treatment: &'a str,
    /// The distribution in the denominator; of a law between corpora, the corpus there.
    pub baseline: &'a str,
    /// `Δβ` with the interval of the law alone.
    pub delta_beta: &'a Estimate,
    /// `Δβ` with the interval that decides, adjusted for the number of laws.
    pub decision: Interval,
    /// `γ = G` at `reference_flops`.
    pub gamma: Interval,
    /// `F0`, the geometric mean of the scales read.
    pub reference_flops: f64,
    /// `G` at the bottom and at the top of the ladder.
    pub ends: [Interval; 2],
    /// Holm-adjusted p-value.
    pub holm_p: f64,
    /// Number of laws in the family.
    pub family_size: usize,
    /// The decision.
    pub verdict: Verdict,
    /// Reservations to read before quoting the law.
    pub flags: &'a [Flag],
    /// The decision as a sentence with its numbers.
    pub sentence: &'a str,
}

impl<'a> LawRow<'a> {
    fn of(law: &'a RelativeLaw) -> Self {
        Self {
            kind: LawKind::Law,
            corpus: &law.corpus,
            name: &law.treatment,
            treatment: &law.treatment,
            baseline: &law.baseline,
            delta_beta: &law.delta_beta,
            decision: law.multiplicity.decision,
            gamma: law.gamma,
            reference_flops: law.reference_flops,
            ends: law.gap.ends,
            holm_p: law.multiplicity.holm_p,
            family_size: law.multiplicity.family_size,
            verdict: law.verdict,
            flags: &law.flags,
            sentence: &law.sentence,
        }
    }

    fn of_contrast(contrast: &'a NamedContrast) -> Self {
        Self {
            kind: LawKind::Contrast,
            name: &contrast.name,
            sentence: &contrast.sentence,
            ..Self::of(&contrast.law)
        }
    }

    fn of_counts(law: &'a CountsLaw, alpha: f64) -> Self {
        Self {
            kind: LawKind::ErrorRate,
            corpus: &law.corpus,
            name: &law.treatment,
            treatment: &law.treatment,
            baseline: &law.baseline,
            delta_beta: &law.delta_beta,
            decision: law.decision(alpha),
            gamma: law.gamma,
            reference_flops: law.reference_flops,
            ends: law.gap.ends,
            holm_p: law.holm_p,
            family_size: law.family_size,
            verdict: law.verdict,
            flags: &law.flags,
            sentence: &law.sentence,
        }
    }

    fn of_arm(law: &'a ArmLaw) -> Self {
        Self {
            kind: LawKind::Corpora,
            corpus: &law.corpus,
            name: &law.distribution,
            treatment: &law.distribution,
            baseline: &law.baseline_corpus,
            delta_beta: &law.delta_beta,
            decision: law.decision,
            gamma: law.gamma,
            reference_flops: law.reference_flops,
            ends: law.gap.ends,
            holm_p: law.holm_p,
            family_size: law.family_size,
            verdict: law.verdict,
            flags: &law.flags,
            sentence: &law.sentence,
        }
    }

    /// The change of `G` per factor ten in percent, with the interval that decides.
    #[must_use]
    pub fn percent_per_decade(&self) -> Interval {
        self.decision.map(crate::fit::percent_per_decade)
    }

    /// The side of the list on which the verdict puts the law.
    #[must_use]
    pub fn trend(&self) -> Trend {
        match self.verdict {
            Verdict::Widens | Verdict::RatioRises => Trend::Worse,
            Verdict::Narrows | Verdict::RatioFalls => Trend::Better,
            Verdict::CrossesParity if self.delta_beta.value > 0.0 => Trend::Worse,
            Verdict::CrossesParity => Trend::Better,
            Verdict::Inconclusive => Trend::Open,
            Verdict::Persists | Verdict::Negligible | Verdict::NoGap => Trend::Still,
        }
    }

    /// Sorts ascending from the worst law to the best: by trend, then by rate, then by the gap at the
    /// top of the ladder.
    fn rank(&self) -> (Trend, f64) {
        let rate = self.delta_beta.value.abs();
        let trend = self.trend();
        let within = match trend {
            Trend::Worse => -rate,
            Trend::Better => rate,
            Trend::Open | Trend::Still => -libm::log(self.ends[1].value).abs(),
        };
        (trend, within)
    }
}

/// The direction in which a law goes, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Trend {
    /// The gap widens, or the ratio rises past parity or on an open side of it.
    Worse,
    /// Neither a change nor its absence is shown.
    Open,
    /// No change, or one too small to matter.
    Still,
    /// The gap narrows, or the ratio falls past parity or on an open side of it.
    Better,
}

/// All relative laws: corpus by corpus those of treatments and then the contrasts, last those between
/// corpora. Within each the worst comes first.
///
/// Widening gaps stand first, the fastest on top; then those about which nothing is shown, and those that
/// persist, by the gap at the top of the ladder; narrowing ones stand last, the fastest at the end.
#[must_use]
pub fn law_rows(analysis: &Analysis) -> Vec<LawRow<'_>> {
    let alpha = analysis.options.alpha;
    let mut all = Vec::new();
    for corpus in corpora(analysis) {
        let laws = analysis.laws.iter().map(LawRow::of);
        let counts = (analysis.counts.iter()).map(|l| LawRow::of_counts(l, alpha));
        all.extend(sorted(laws.chain(counts).filter(|r| r.corpus == corpus)));
        let contrasts = analysis.contrasts.iter().map(LawRow::of_contrast);
        all.extend(sorted(contrasts.filter(|r| r.corpus == corpus)));
    }
    all.extend(sorted(analysis.arms.iter().map(LawRow::of_arm)));
    all
}

fn sorted<'a>(rows: impl Iterator<Item = LawRow<'a>>) -> Vec<LawRow<'a>> {
    let mut rows: Vec<LawRow<'a>> = rows.collect();
    rows.sort_by(|a, b| {
        let ((x, p), (y, q)) = (a.rank(), b.rank());
        x.cmp(&y).then(p.total_cmp(&q))
    });
    rows
}

/// The corpora that have laws, in the order of the analysis.
pub(super) fn corpora(analysis: &Analysis) -> Vec<&str> {
    let reports = analysis.corpora.iter().map(|c| c.corpus.as_str());
    // A corpus of which only error rates or contrasts could be fitted has no report.
    let counts = analysis.counts.iter().map(|c| c.corpus.as_str());
    let contrasts = analysis.contrasts.iter().map(|c| c.law.corpus.as_str());
    let rates = analysis.rates.iter().map(|r| r.corpus.as_str());
    let mut all: Vec<&str> = Vec::new();
    for corpus in reports.chain(counts).chain(contrasts).chain(rates) {
        if !all.contains(&corpus) {
            all.push(corpus);
        }
    }
    all
}
