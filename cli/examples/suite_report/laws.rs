//! The frontier, the absolute laws and the relative laws.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use relscale::fit::{Analysis, Verdict};
use relscale::ladder::Ladder;
use relscale::report::plot;

use crate::{AGGREGATE, BASELINE, Result, Study, flag, interval, name, p};

impl Study {
    pub(crate) fn runs(&mut self, ladder: &Ladder, analysis: &Analysis) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "# Relative scaling laws of the laptop suite\n")?;
        writeln!(
            r,
            "{} runs in {} corpora; byte-level models of {:.0} to {:.0} thousand parameters; \
             losses in bits per byte on {} test distributions. Baseline `{BASELINE}`; sizes are \
             picked by `{AGGREGATE}`, a sample of a mixture apart from the tests and the same for \
             all corpora. Intervals are {:.0}%.\n",
            ladder.runs().len(),
            analysis.corpora.len(),
            ladder
                .runs()
                .iter()
                .map(|r| r.params)
                .fold(f64::INFINITY, f64::min)
                / 1e3,
            ladder.runs().iter().map(|r| r.params).fold(0.0, f64::max) / 1e3,
            ladder.distributions().count() - 1,
            100.0 * (1.0 - analysis.options.alpha),
        )?;
        self.frontiers(analysis)
    }

    fn frontiers(&mut self, analysis: &Analysis) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "## The frontier\n")?;
        writeln!(
            r,
            "| corpus | runs | budgets | N* ~ F^a, a | scatter of minima, nats |"
        )?;
        writeln!(r, "|---|---:|---:|---|---:|")?;
        for c in &analysis.corpora {
            let Some(f) = &c.frontier else { continue };
            writeln!(
                r,
                "| {} | {} | {} | {:.3} [{:.3}, {:.3}] | {:.3} |",
                c.corpus,
                c.runs,
                c.scales.len(),
                f.exponent.value,
                f.exponent.lower,
                f.exponent.upper,
                f.residual_sd
            )?;
        }
        for c in &analysis.corpora {
            for refused in &c.refused_budgets {
                let budget = refused.budget.unwrap_or(f64::NAN);
                writeln!(
                    self.report,
                    "\nLeft out: {} at {budget:.1e}: {}",
                    c.corpus, refused.reason
                )?;
            }
            let caption = format!("Size profiles and frontier, corpus {}", c.corpus);
            self.figure(
                &format!("profiles-{}.svg", c.corpus),
                plot::profiles(c),
                &caption,
            )?;
        }
        Ok(())
    }

    pub(crate) fn absolute(&mut self, analysis: &Analysis) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "## Absolute laws: E = α·(F/F0)^−β\n")?;
        write!(r, "| distribution |")?;
        for c in &analysis.corpora {
            write!(r, " β, {} | α |", c.corpus)?;
        }
        writeln!(r, "\n|---|{}", "---|---:|".repeat(analysis.corpora.len()))?;
        let names: BTreeSet<&str> = analysis
            .absolute_laws
            .iter()
            .map(|t| t.distribution.as_str())
            .collect();
        for distribution in names {
            write!(r, "| {distribution} |")?;
            for c in &analysis.corpora {
                let law = analysis
                    .absolute_laws
                    .iter()
                    .find(|t| t.corpus == c.corpus && t.distribution == distribution);
                match law {
                    Some(t) => write!(r, " {} | {:.3} |", interval(&t.beta), t.alpha.value)?,
                    None => write!(r, " | |")?,
                }
            }
            writeln!(r)?;
        }
        let curved = analysis
            .absolute_laws
            .iter()
            .filter(|t| t.curvature.questioned);
        let curved = curved.count();
        writeln!(
            r,
            "\n{curved} of {} are curved at p < 0.05 (unadjusted): a pure power law is a summary \
             over this range.\n",
            analysis.absolute_laws.len()
        )?;
        Ok(())
    }

    pub(crate) fn relative(&mut self, analysis: &Analysis) -> Result<()> {
        let m = analysis.laws.len();
        let r = &mut self.report;
        writeln!(r, "## Relative laws: G = E/E({BASELINE}) = γ·(F/F0)^Δβ\n")?;
        let holm = analysis
            .laws
            .iter()
            .filter(|l| l.multiplicity.holm_p < 0.05)
            .count();
        let bh = analysis
            .laws
            .iter()
            .filter(|l| l.multiplicity.bh_q < 0.05)
            .count();
        let of = |v: Verdict| analysis.laws.iter().filter(|l| l.verdict == v).count();
        writeln!(
            r,
            "Of {m} exponents {holm} differ from zero after Holm and {bh} by Benjamini–Hochberg at \
             5%. The gap widens in {}, narrows in {}, persists in {}, changes negligibly in {}, \
             crosses parity in {}, is none in {}; the ratio rises or falls with an open side of parity in \
             {}; {} are inconclusive.\n",
            of(Verdict::Widens),
            of(Verdict::Narrows),
            of(Verdict::Persists),
            of(Verdict::Negligible),
            of(Verdict::CrossesParity),
            of(Verdict::NoGap),
            of(Verdict::RatioRises) + of(Verdict::RatioFalls),
            of(Verdict::Inconclusive),
        )?;
        for c in &analysis.corpora {
            self.laws_of(analysis, &c.corpus)?;
        }
        Ok(())
    }

    fn laws_of(&mut self, analysis: &Analysis, corpus: &str) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "### Corpus {corpus}\n")?;
        writeln!(
            r,
            "| treatment | γ | Δβ | Holm p | % a decade | the gap | flags |"
        )?;
        writeln!(r, "|---|---:|---|---:|---:|---|---|")?;
        for l in analysis.laws.iter().filter(|l| l.corpus == corpus) {
            let flags: Vec<String> = l.flags.iter().map(|f| flag(*f)).collect();
            writeln!(
                r,
                "| {} | {:.3} | {} | {} | {:+.1} | {} | {} |",
                l.treatment,
                l.gamma.value,
                interval(&l.delta_beta),
                p(l.multiplicity.holm_p),
                l.percent_per_decade.value,
                name(l.verdict),
                flags.join(", ")
            )?;
        }
        let heterogeneity = analysis.heterogeneity.iter();
        for h in heterogeneity.filter(|h| h.corpus == corpus) {
            writeln!(
                r,
                "\nHeterogeneity of {} distributions: p {}, τ = {:.4}, I² = {:.0}%{}.",
                h.distributions,
                p(h.p_value),
                h.tau,
                100.0 * h.i_squared,
                if h.approximate { " (approximate)" } else { "" }
            )?;
        }
        self.figure(
            &format!("forest-{corpus}.svg"),
            plot::forest(analysis, corpus),
            &format!("Relative exponents, corpus {corpus}"),
        )?;
        self.figure(
            &format!("ratios-{corpus}.svg"),
            plot::ratios(analysis, corpus),
            &format!("Ratios against compute, corpus {corpus}"),
        )
    }
}
