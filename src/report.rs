//! Tables and plots of an analysis.
//!
//! An [`Analysis`] prints as a table through [`std::fmt::Display`]; the feature `plot` adds SVG
//! drawings in `plot`.

use std::fmt::{self, Write as _};

use crate::fit::{
    Analysis, Backtest, ConfidenceSet, CorpusReport, Flag, RelativeLaw, SurfaceAllocation,
    TraditionalLaw,
};

#[cfg(feature = "plot")]
pub mod plot;

/// Everything needed to quote the result, as aligned text.
impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        match self.ladder.as_str() {
            "" => writeln!(f, "Relative scaling laws")?,
            name => writeln!(f, "Relative scaling laws of {name}")?,
        }
        writeln!(
            f,
            "baseline {}; {:.0} % intervals; margin {} % per decade; items {:?}; specification {}",
            options.baseline,
            100.0 * (1.0 - options.alpha),
            options.margin_percent,
            options.items,
            self.specification_hash,
        )?;
        let mut flags: Vec<Flag> = self.laws.iter().flat_map(|l| l.flags.clone()).collect();
        flags.sort_unstable();
        flags.dedup();
        for corpus in &self.corpora {
            let (least, most) = ends(&corpus.scales);
            writeln!(f)?;
            write!(
                f,
                "Corpus {}: {}, {} runs, {} scales from {least:.3e} to {most:.3e}, F0 = {:.3e}",
                corpus.corpus,
                corpus.design.as_str(),
                corpus.runs,
                corpus.scales.len(),
                corpus.reference_flops,
            )?;
            if let Some(frontier) = &corpus.frontier {
                write!(
                    f,
                    ", N* ~ F^{:.3} (scatter {:.3} nats)",
                    frontier.exponent.value, frontier.residual_sd
                )?;
            }
            writeln!(f)?;
            let mut table = Table::new(&[
                "treatment",
                "Δβ",
                "interval",
                "%/decade",
                "γ at F0",
                "p",
                "Holm p",
                "BH q",
                "verdict",
                "flags",
            ]);
            for law in self.laws.iter().filter(|l| l.corpus == corpus.corpus) {
                table.row(law_row(law, &flags));
            }
            f.write_str(&table.render())?;
            let laws: Vec<&RelativeLaw> = self
                .laws
                .iter()
                .filter(|l| l.corpus == corpus.corpus)
                .collect();
            f.write_str(&misfits(&laws, corpus))?;
            f.write_str(&second_intervals(&laws))?;
            for refused in &corpus.refused_budgets {
                let budget = refused.budget.map_or(String::new(), |b| format!("{b:.3e}"));
                writeln!(f, "  budget {budget} left out: {}", refused.reason)?;
            }
            let mut table = Table::new(&[
                "distribution",
                "β",
                "interval",
                "α at F0",
                "floor",
                "curved",
                "κ",
            ]);
            for law in self
                .traditional
                .iter()
                .filter(|l| l.corpus == corpus.corpus)
            {
                let floor = law.floor.as_ref().map_or("-".to_owned(), |floor| {
                    format!(
                        "{} {}",
                        number(floor.floor),
                        open_interval(floor.floor_interval)
                    )
                });
                table.row(vec![
                    law.distribution.clone(),
                    number(law.beta.value),
                    interval_of(law.beta.lower, law.beta.upper),
                    number(law.alpha.value),
                    floor,
                    if law.curvature.questioned { "yes" } else { "" }.to_owned(),
                    self.kappa(law),
                ]);
            }
            f.write_str(&table.render())?;
            f.write_str(&self.surfaces(corpus))?;
            for h in self
                .heterogeneity
                .iter()
                .filter(|h| h.corpus == corpus.corpus)
            {
                writeln!(
                    f,
                    "  heterogeneity of {} distributions: {}, τ = {}, I² = {:.0} %{}",
                    h.distributions,
                    p_phrase(h.p_value),
                    number(h.tau),
                    100.0 * h.i_squared,
                    if h.approximate { " (approximate)" } else { "" },
                )?;
            }
            for slope in self.covariate.iter().filter(|s| s.corpus == corpus.corpus) {
                writeln!(
                    f,
                    "  slope on the covariate: {} {} for these distributions{}",
                    signed(slope.fixed.value),
                    interval_of(slope.fixed.lower, slope.fixed.upper),
                    slope.sample.map_or(String::new(), |s| format!(
                        "; {} {} with distributions as a sample",
                        signed(s.value),
                        interval_of(s.lower, s.upper)
                    )),
                )?;
            }
        }
        f.write_str(&self.error_rates())?;
        for (title, contrasts) in [
            (
                "Exponents against the mean of all distributions",
                &self.centred,
            ),
            ("Differences of Δβ between corpora", &self.cross_corpus),
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
        if let Some(m) = &self.max_t {
            writeln!(
                f,
                "\nLargest |t| of {} laws: {:.4} (± {:.4} by {} draws), {:.1} degrees of freedom",
                m.laws, m.critical.value, m.critical.monte_carlo_error, m.critical.draws, m.df,
            )?;
        }
        if !flags.is_empty() {
            writeln!(f, "\nFlags")?;
            for (k, flag) in flags.iter().enumerate() {
                writeln!(f, "  {:>2} {}: {}", k + 1, flag_name(*flag), flag.meaning())?;
            }
        }
        if let Some(summary) = pooled_backtest(self.laws.iter().map(|l| &l.backtest)) {
            writeln!(f, "\n{summary}")?;
        }
        if !self.refused.is_empty() {
            writeln!(f, "\nNot analysed")?;
            for r in &self.refused {
                let what = r.distribution.as_deref().unwrap_or("-");
                writeln!(f, "  {} {what}: {}", r.corpus, r.reason)?;
            }
        }
        Ok(())
    }
}

impl Analysis {
    /// κ of a distribution against the baseline, with its set.
    fn kappa(&self, law: &TraditionalLaw) -> String {
        let found = (self.laws.iter())
            .find(|l| l.corpus == law.corpus && l.treatment == law.distribution)
            .and_then(|l| l.loss_to_loss);
        let Some((kappa, set)) = found.and_then(|l| Some((l.kappa?, l.set))) else {
            return String::new();
        };
        match set {
            ConfidenceSet::Bounded { lower, upper } => {
                format!("{kappa:.4} [{lower:.4}, {upper:.4}]")
            }
            _ => format!("{kappa:.4} (unbounded)"),
        }
    }

    /// Surfaces of one corpus, the aggregate first; nothing where none is identified.
    fn surfaces(&self, corpus: &CorpusReport) -> String {
        let mut table = Table::new(&[
            "L(N, D)",
            "E",
            "α",
            "β",
            "N* ~ C^a",
            "N* at F0",
            "D*/N* at F0",
            "N* at largest",
            "certificate",
        ]);
        // The aggregate has its row, also where it is a distribution of the ladder.
        let aggregate = self.options.aggregate.as_ref();
        let own = (self.traditional.iter())
            .filter(|l| l.corpus == corpus.corpus && Some(&l.distribution) != aggregate)
            .map(|l| (l.distribution.as_str(), &l.surface));
        for (name, surface) in std::iter::once(("(aggregate)", &corpus.surface)).chain(own) {
            let Some(s) = surface.fitted() else {
                continue;
            };
            let with = |value: f64, ends: Option<[f64; 2]>| match ends {
                Some([low, high]) => {
                    format!("{} [{}, {}]", number(value), number(low), number(high))
                }
                None => number(value),
            };
            let params = |a: Option<SurfaceAllocation>| {
                a.map_or("-".to_owned(), |a| with(a.params, a.params_interval))
            };
            let mut doubts: Vec<String> = s
                .at_bound
                .iter()
                .map(|name| format!("{name} at its bound"))
                .collect();
            if s.condition.is_none_or(|c| c > 1e6) {
                doubts.push("ill-conditioned".to_owned());
            }
            if s.gradient > 1e-6 {
                doubts.push(format!("gradient {:.0e}", s.gradient));
            }
            if doubts.is_empty() {
                doubts.push("ok".to_owned());
            }
            table.row(vec![
                name.to_owned(),
                // At its lower bound the floor is nought in all but name.
                match s.floor_interval {
                    None if s.floor < 1e-9 => "0".to_owned(),
                    ends => with(s.floor, ends),
                },
                number(s.alpha),
                number(s.beta),
                with(s.params_exponent, s.params_exponent_interval),
                params(s.reference),
                s.reference
                    .map_or("-".to_owned(), |a| number(a.tokens_per_param)),
                params(s.largest),
                doubts.join(", "),
            ]);
        }
        table.render()
    }

    /// Laws of error rates and between them.
    fn error_rates(&self) -> String {
        let mut own = Table::new(&[
            "error rate",
            "corpus",
            "β",
            "interval",
            "rate at F0",
            "dispersion",
            "runs without errors",
            "flags",
        ]);
        let onset = |raised: bool| if raised { "pre onset" } else { "" }.to_owned();
        for law in &self.rates {
            own.row(vec![
                law.distribution.clone(),
                law.corpus.clone(),
                number(law.beta.value),
                interval_of(law.beta.lower, law.beta.upper),
                number(law.alpha.value),
                format!("{:.2}", law.dispersion),
                format!("{} of {}", law.zeros, law.runs),
                onset(law.pre_onset),
            ]);
        }
        let mut relative = Table::new(&[
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
        for law in &self.counts {
            relative.row(vec![
                law.treatment.clone(),
                law.corpus.clone(),
                signed(law.delta_beta.value),
                interval_of(law.delta_beta.lower, law.delta_beta.upper),
                format!("{:.4}", law.gamma.value),
                p_value(law.delta_beta.p_value),
                p_value(law.holm_p),
                law.verdict.as_str().to_owned(),
                onset(law.pre_onset),
            ]);
        }
        if self.counts.is_empty() {
            return String::new();
        }
        format!(
            "\nError rates, fitted to counts\n{}{}",
            own.render(),
            relative.render()
        )
    }
}

/// Flags are given by their number in the list below the tables.
fn law_row(law: &RelativeLaw, flags: &[Flag]) -> Vec<String> {
    let d = &law.delta_beta;
    let flags: Vec<String> = law
        .flags
        .iter()
        .filter_map(|flag| flags.iter().position(|f| f == flag))
        .map(|k| (k + 1).to_string())
        .collect();
    vec![
        law.treatment.clone(),
        signed(d.value),
        interval_of(d.lower, d.upper),
        format!("{:+.2}", law.percent_per_decade.value),
        format!("{:.4}", law.gamma.value),
        p_value(d.p_value),
        p_value(law.holm_p),
        p_value(law.bh_q),
        law.verdict.as_str().to_owned(),
        flags.join(" "),
    ]
}

/// What tells that size profiles are not the polynomials they are read from, a line each.
fn misfits(laws: &[&RelativeLaw], corpus: &CorpusReport) -> String {
    let mut text = String::new();
    let frontier = corpus.frontier.as_ref();
    let of_laws = laws.iter().map(|l| (l.treatment.as_str(), l.lack_of_fit));
    let aggregate = frontier.map(|f| ("the aggregate", f.lack_of_fit));
    for (name, test) in of_laws.chain(aggregate) {
        if let Some(t) = test.filter(|t| t.p_value < 0.05) {
            let _ = writeln!(
                text,
                "  lack of fit of {name} against seeds: F({}, {}) = {:.2}, {}",
                t.df,
                t.pure_df,
                t.f,
                p_phrase(t.p_value)
            );
        }
    }
    let of_laws = laws.iter().map(|l| (l.treatment.as_str(), l.next_power));
    let aggregate = frontier.map(|f| ("the aggregate", f.next_power));
    for (name, test) in of_laws.chain(aggregate) {
        if let Some(t) = test.filter(|t| t.p_value < 0.05) {
            let _ = writeln!(
                text,
                "  next power of {name}: (ln N)^{} with {}, F({}, {}) = {:.2}, {}",
                t.power,
                number(t.coefficient),
                t.df,
                t.residual_df,
                t.f,
                p_phrase(t.p_value)
            );
        }
    }
    text
}

/// Intervals that the options ask for beside the first.
fn second_intervals(laws: &[&RelativeLaw]) -> String {
    let mut table = Table::new(&[
        "treatment",
        "crossed bootstrap",
        "error of ends",
        "largest |t|",
    ]);
    for law in laws {
        if law.crossed_bootstrap.is_none() && law.max_t.is_none() {
            continue;
        }
        let none = || "-".to_owned();
        let b = law.crossed_bootstrap.as_ref();
        table.row(vec![
            law.treatment.clone(),
            b.map_or_else(none, |b| interval_of(b.lower.value, b.upper.value)),
            b.map_or_else(none, |b| {
                let (low, high) = (b.lower.monte_carlo_error, b.upper.monte_carlo_error);
                format!("{low:.5}, {high:.5}")
            }),
            law.max_t
                .map_or_else(none, |i| interval_of(i.lower, i.upper)),
        ]);
    }
    table.render()
}

/// The name of a flag as files have it, with spaces.
pub(crate) fn flag_name(flag: crate::fit::Flag) -> String {
    match serde_json::to_value(flag) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => format!("{flag:?}"),
    }
}

/// What the hold-outs of all laws say together: three points of one law prove nothing.
fn pooled_backtest<'a>(backtests: impl Iterator<Item = &'a Backtest>) -> Option<String> {
    let (mut count, mut inside) = (0_u32, 0_u32);
    let (mut law, mut constant, mut last) = (0.0, 0.0, 0.0);
    let (mut with_floors, mut floors, mut law_there) = (0_u32, 0.0, 0.0);
    for holdout in backtests.flat_map(|b| &b.holdouts) {
        count += 1;
        inside += u32::from(holdout.inside);
        law += holdout.error.abs();
        constant += holdout.constant_error.abs();
        last += holdout.last_error.abs();
        if let Some(error) = holdout.floors_error {
            with_floors += 1;
            floors += error.abs();
            law_there += holdout.error.abs();
        }
    }
    if count == 0 {
        return None;
    }
    let n = f64::from(count);
    let percent = |sum: f64, n: f64| format!("{:.2} %", 100.0 * (sum / n).exp_m1());
    let mut text = format!(
        "Backtest over {count} held-out readings: {inside} inside their prediction interval; mean \
         error of G {} (constant G {}, last G {})",
        percent(law, n),
        percent(constant, n),
        percent(last, n),
    );
    if with_floors > 0 {
        let m = f64::from(with_floors);
        let _ = write!(
            text,
            "; where two floors could be fitted ({with_floors}) their ratio misses by {}, the power \
             ratio by {}",
            percent(floors, m),
            percent(law_there, m),
        );
    }
    Some(text)
}

/// Least and greatest; NaN for none.
fn ends(values: &[f64]) -> (f64, f64) {
    values
        .iter()
        .fold((f64::NAN, f64::NAN), |(a, b), v| (a.min(*v), b.max(*v)))
}

/// A p-value to two digits.
fn p_value(p: f64) -> String {
    if p < 1e-4 {
        "<.0001".to_owned()
    } else {
        format!("{p:.4}")
    }
}

/// The same in a sentence.
pub(crate) fn p_phrase(p: f64) -> String {
    if p < 1e-4 {
        "p < .0001".to_owned()
    } else {
        format!("p = {p:.4}")
    }
}

/// A number to four significant digits.
pub(crate) fn number(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&size) {
        let digits = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{v:.digits$}")
    } else {
        format!("{v:.3e}")
    }
}

/// An exponent: sign and five decimals.
pub(crate) fn signed(v: f64) -> String {
    format!("{v:+.5}")
}

/// An interval of which an end may be unknown.
fn open_interval(ends: [Option<f64>; 2]) -> String {
    let end = |e: Option<f64>| e.map_or("?".to_owned(), number);
    format!("[{}, {}]", end(ends[0]), end(ends[1]))
}

pub(crate) fn interval_of(lower: f64, upper: f64) -> String {
    format!("[{}, {}]", signed(lower), signed(upper))
}

/// Left-aligned columns.
struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(header: &[&str]) -> Self {
        Self {
            rows: vec![header.iter().map(|h| (*h).to_owned()).collect()],
        }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Nothing for a table without rows.
    fn render(&self) -> String {
        let mut text = String::new();
        if self.rows.len() < 2 {
            return text;
        }
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|k| {
                let cells = self.rows.iter().filter_map(|r| r.get(k));
                cells.map(|c| c.chars().count()).max().unwrap_or(0)
            })
            .collect();
        for row in &self.rows {
            let mut line = String::from(" ");
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, " {cell:<width$} ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(number(0.0), "0");
        assert_eq!(number(1.23456), "1.235");
        assert_eq!(number(0.012_345_6), "0.01235");
        assert_eq!(number(12_345.6), "12346");
        assert_eq!(number(1.5e-9), "1.500e-9");
        assert_eq!(number(f64::NAN), "NaN");
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["a", "Δβ"]);
        assert_eq!(table.render(), "");
        table.row(vec!["long name".into(), "1".into()]);
        assert_eq!(table.render(), "  a          Δβ\n  long name  1\n");
    }
}
