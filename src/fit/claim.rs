//! The claim of one law: its verdict among the laws of its family, and the sentence that says it.

use super::estimate::{Estimate, Interval};
use super::families::DecisionLevel;
use super::options::{Options, percent_inside};
use super::relative_law::percent_per_decade;
use super::result::{ArmLaw, CountsLaw, Equivalence, GapEquivalence, RelativeLaw, Verdict};
use super::verdict::{Evidence, decide};

/// Facts behind a verdict and its sentence, for a law of either kind.
pub(crate) struct Claim<'l> {
    treatment: &'l str,
    baseline: &'l str,
    delta_beta: &'l Estimate,
    gamma: Interval,
    equivalence: &'l Equivalence,
    gap: &'l GapEquivalence,
    holm_p: f64,
    family: usize,
}

impl<'l> Claim<'l> {
    pub(crate) fn of(law: &'l RelativeLaw) -> Self {
        Self {
            treatment: &law.treatment,
            baseline: &law.baseline,
            delta_beta: &law.delta_beta,
            gamma: law.gamma,
            equivalence: &law.equivalence,
            gap: &law.gap,
            holm_p: law.multiplicity.holm_p,
            family: law.multiplicity.family_size,
        }
    }

    /// The claim of a law between corpora, whose `sides` name the distribution with its corpus.
    pub(crate) fn of_arm(law: &'l ArmLaw, sides: &'l [String; 2]) -> Self {
        Self {
            treatment: &sides[0],
            baseline: &sides[1],
            delta_beta: &law.delta_beta,
            gamma: law.gamma,
            equivalence: &law.equivalence,
            gap: &law.gap,
            holm_p: law.holm_p,
            family: law.family_size,
        }
    }

    pub(crate) fn of_counts(law: &'l CountsLaw) -> Self {
        Self {
            treatment: &law.treatment,
            baseline: &law.baseline,
            delta_beta: &law.delta_beta,
            gamma: law.gamma,
            equivalence: &law.equivalence,
            gap: &law.gap,
            holm_p: law.holm_p,
            family: law.family_size,
        }
    }

    /// The verdict, and the sentence for it with the scale in words.
    pub(crate) fn decide(&self, options: &Options, scale: &str) -> (Verdict, String) {
        let verdict = decide(&Evidence {
            level: self.gamma.map(libm::log),
            ends: self.gap.ends.map(|g| g.map(libm::log)),
            slope: self.delta_beta.value,
            differs: self.holm_p <= options.alpha,
            equivalent: self.equivalence.holm_p <= options.alpha,
            no_gap: self.gap.holm_p <= options.alpha,
        });
        (verdict, self.sentence(verdict, options, scale))
    }

    fn sentence(&self, verdict: Verdict, options: &Options, scale: &str) -> String {
        let ratio = format!("ratio of {} to {}", self.treatment, self.baseline);
        let per = format!("per decade of {scale}");
        let percent = percent_per_decade(self.delta_beta.value);
        let interval = self.interval(1.0, self.delta_beta.p_value, self.holm_p, options);
        let verb = if percent < 0.0 { "falls" } else { "rises" };
        let change = format!("The {ratio} {verb} by {:.2} % {per}", percent.abs());
        let margin = options.margin_percent;
        let [low, high] = self.gap.ends.map(quoted);
        match verdict {
            Verdict::Narrows => {
                format!("{change} ({interval}): the gap narrows{}.", self.passing())
            }
            Verdict::Widens => format!("{change} ({interval}): the gap widens{}.", self.passing()),
            Verdict::CrossesParity => format!(
                "{change} ({interval}) and crosses parity: it is {low} at the bottom of the ladder \
                 and {high} at the top."
            ),
            Verdict::RatioRises | Verdict::RatioFalls => format!(
                "{change} ({interval}); its side of parity is open: it is {} in the middle of the \
                 ladder.",
                quoted(self.gamma)
            ),
            Verdict::Negligible => {
                format!("{change} ({interval}), which is less than the margin of {margin} %.")
            }
            Verdict::Persists => {
                let test = self.equivalence;
                let interval = self.interval(2.0, test.p_value, test.holm_p, options);
                format!(
                    "The {ratio} changes by less than {margin} % {per}: by {percent:+.2} % \
                     ({interval})."
                )
            }
            Verdict::NoGap => format!(
                "The {ratio} is within {} % of parity at both ends of the ladder: it is {low} at \
                 the bottom and {high} at the top.",
                options.gap_margin_percent
            ),
            Verdict::Inconclusive => format!(
                "Neither a change of the {ratio} nor its absence is shown: {percent:+.2} % {per} \
                 ({interval})."
            ),
        }
    }

    /// The interval that belongs to a test with `tails·alpha` outside, in percent per decade.
    fn interval(&self, tails: f64, p: f64, holm_p: f64, options: &Options) -> String {
        let level = DecisionLevel {
            p,
            holm_p,
            family: self.family,
        };
        let interval = (self.delta_beta)
            .at_level(1.0 - tails * level.alpha(options.alpha))
            .map(percent_per_decade);
        let adjusted = match self.family {
            1 => String::new(),
            laws => format!(", adjusted for {laws} laws"),
        };
        format!(
            "{} % interval {:+.2} to {:+.2} %{adjusted}",
            percent_inside(tails * options.alpha),
            interval.lower,
            interval.upper
        )
    }

    /// A reminder where the line passes parity though the intervals at its ends do not show it.
    fn passing(&self) -> &'static str {
        let [low, high] = self.gap.ends;
        if (low.value < 1.0) == (high.value < 1.0) {
            ""
        } else {
            " from end to end, and the fitted ratio passes 1 in between"
        }
    }
}

/// A ratio and its interval.
fn quoted(ratio: Interval) -> String {
    format!(
        "{:.3} [{:.3}, {:.3}]",
        ratio.value, ratio.lower, ratio.upper
    )
}
