//! Shares of the training mixture, within and between corpora.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use relscale::fit::{Analysis, analyze, meta_regression};
use relscale::report::plot;

use crate::table::{Shares, Table};
use crate::{BASELINE, Result, Study, interval, is_language, options, p};

impl Study {
    /// Regression of the exponents of languages on the logarithm of their share, corpus by corpus.
    pub(crate) fn shares(&mut self, table: &Table, all: &Analysis, shares: &Shares) -> Result<()> {
        writeln!(
            self.report,
            "\n## Does the share of a language explain its exponent?\n\n\
             Covariate: log10 of the percentage of the training bytes. Languages without any \
             (Italian, Czech) have no logarithm and are left out. A negative slope says that \
             languages with a larger share improve faster.\n"
        )?;
        writeln!(
            self.report,
            "| corpus | languages | slope for these | p | slope, languages as a sample | p | permutation p |\n\
             |---|---:|---|---:|---|---:|---:|"
        )?;
        let mut figures = Vec::new();
        for c in &all.corpora {
            let mut o = options();
            for ((corpus, distribution), share) in shares {
                if *corpus == c.corpus && is_language(distribution) && *share > 0.0 {
                    o.covariate.insert(distribution.clone(), share.log10());
                    o.treatments.push(distribution.clone());
                }
            }
            let ladder = table.ladder(|corpus, _, seed| corpus == c.corpus && seed == "0")?;
            let analysis = analyze(&ladder, &o)?;
            for slope in &analysis.covariate {
                let sample = slope.sample.map_or(("–".to_owned(), "–".to_owned()), |s| {
                    (interval(&s), p(s.p_value))
                });
                writeln!(
                    self.report,
                    "| {} | {} | {} | {} | {} | {} | {} |",
                    c.corpus,
                    slope.distributions,
                    interval(&slope.fixed),
                    p(slope.fixed.p_value),
                    sample.0,
                    sample.1,
                    slope.permutation_p.map_or("–".to_owned(), p)
                )?;
            }
            let svg = plot::covariate(
                &analysis,
                &c.corpus,
                "log10 share of the training bytes in %",
            );
            figures.push((format!("share-{}.svg", c.corpus), svg, c.corpus.clone()));
        }
        for (file, svg, corpus) in figures {
            self.figure(
                &file,
                svg,
                &format!("Exponent against share, corpus {corpus}"),
            )?;
        }
        Ok(())
    }

    /// The same distribution in two corpora: does more of it in training change its exponent?
    pub(crate) fn corpora(&mut self, analysis: &Analysis, shares: &Shares) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "## Between corpora\n")?;
        let significant = analysis
            .cross_corpus
            .iter()
            .filter(|c| c.holm_p < 0.05)
            .count();
        writeln!(
            r,
            "Each corpus is read at its own frontier; the readings are subtracted budget by budget. \
             {significant} of {} differences of Δβ are significant after Holm.\n",
            analysis.cross_corpus.len()
        )?;
        writeln!(
            r,
            "| contrast | difference of Δβ | Holm p |\n|---|---|---:|"
        )?;
        for c in analysis.cross_corpus.iter().filter(|c| c.holm_p < 0.05) {
            writeln!(
                r,
                "| {} | {} | {} |",
                c.name,
                interval(&c.exponent),
                p(c.holm_p)
            )?;
        }
        self.meta_regression(analysis, shares)
    }

    /// Regression of the differences between corpora on the differences of shares.
    fn meta_regression(&mut self, analysis: &Analysis, shares: &Shares) -> Result<()> {
        let r = &mut self.report;
        writeln!(
            r,
            "\nMeta-regression of these differences on the difference of log10 share, over every \
             distribution with a share in both (REML, Knapp–Hartung). Differences of one pair share the \
             baseline, which moves all of them alike and with them the intercept, not the slope:\n"
        )?;
        writeln!(
            r,
            "| pair | distributions | slope | p | τ |\n|---|---:|---|---:|---:|"
        )?;
        for ((first, second), points) in differences(analysis, shares) {
            let covariate: Vec<f64> = points.iter().map(|p| p.covariate).collect();
            let effects: Vec<f64> = points.iter().map(|p| p.value).collect();
            let variances: Vec<f64> = points.iter().map(|p| p.variance).collect();
            let [slope, p_value, tau] = regress(&effects, &variances, &covariate)?;
            writeln!(
                r,
                "| {first} − {second} | {} | {slope} | {p_value} | {tau} |",
                points.len()
            )?;
        }
        Ok(())
    }
}

/// Differences of exponents by pair of corpora, for the distributions with a share in both.
fn differences<'a>(
    analysis: &'a Analysis,
    shares: &Shares,
) -> BTreeMap<(&'a str, &'a str), Vec<Difference>> {
    let mut pairs: BTreeMap<(&str, &str), Vec<Difference>> = BTreeMap::new();
    for c in &analysis.cross_corpus {
        let [first, second] = c.corpora.as_slice() else {
            continue;
        };
        let treatment = c.name.split(':').next().unwrap_or_default();
        // The share relative to that of the baseline, as the exponent is.
        let share = |corpus: &String| {
            let share = shares.get(&(corpus.clone(), treatment.to_owned())).copied();
            let base = shares.get(&(corpus.clone(), BASELINE.to_owned())).copied();
            share.zip(base).map(|(s, b)| s / b).filter(|s| *s > 0.0)
        };
        if let (Some(a), Some(b)) = (share(first), share(second)) {
            pairs.entry((first, second)).or_default().push(Difference {
                covariate: (a / b).log10(),
                value: c.exponent.value,
                variance: c.exponent.standard_error.powi(2),
            });
        }
    }
    pairs
}

/// A difference of exponents between two corpora.
struct Difference {
    covariate: f64,
    value: f64,
    variance: f64,
}

/// Slope of `effects` on `covariate`, its p-value, and τ.
fn regress(effects: &[f64], variances: &[f64], covariate: &[f64]) -> Result<[String; 3]> {
    let fit = meta_regression(effects, variances, covariate, 0.05)?;
    let slope = fit.slope;
    Ok([
        format!(
            "{:+.4} [{:+.4}, {:+.4}]",
            slope.value, slope.lower, slope.upper
        ),
        p(slope.p_value),
        format!("{:.4}", fit.tau),
    ])
}
