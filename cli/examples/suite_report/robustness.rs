//! Sensitivity of the laws to rules, budgets and seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use relscale::fit::{Analysis, Estimate, RelativeLaw, analyze};
use relscale::report::plot;

use crate::table::Table;
use crate::{Result, Study, options, p};

impl Study {
    pub(crate) fn rules(&mut self, analysis: &Analysis) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "\n## How far the rule of reading matters\n")?;
        writeln!(
            r,
            "| rule | laws | sign flips | verdict flips | median change of Δβ |\n|---|---:|---:|---:|---:|"
        )?;
        let mut rules: BTreeMap<&str, Vec<(&RelativeLaw, usize)>> = BTreeMap::new();
        for law in &analysis.laws {
            for (k, rule) in law.alternatives.rules.iter().enumerate() {
                if !rule.main {
                    rules.entry(&rule.rule).or_default().push((law, k));
                }
            }
        }
        for (rule, entries) in rules {
            let of = |f: &dyn Fn(&RelativeLaw, usize) -> bool| {
                entries.iter().filter(|(l, k)| f(l, *k)).count()
            };
            let mut changes: Vec<f64> = entries
                .iter()
                .map(|(l, k)| {
                    (l.alternatives.rules[*k].delta_beta.value - l.delta_beta.value).abs()
                })
                .collect();
            changes.sort_by(f64::total_cmp);
            writeln!(
                r,
                "| {} | {} | {} | {} | {:.4} |",
                rule.replace('_', " "),
                entries.len(),
                of(&|l, k| l.alternatives.rules[k].sign_flips),
                of(&|l, k| l.alternatives.rules[k].verdict_flips),
                changes.get(changes.len() / 2).copied().unwrap_or(f64::NAN)
            )?;
        }
        self.most_disputed(analysis)
    }

    /// Draws the law whose rules disagree most; a flipped sign weighs more than any flipped verdicts.
    fn most_disputed(&mut self, analysis: &Analysis) -> Result<()> {
        let most = analysis.laws.iter().max_by_key(|l| {
            l.alternatives.rules.iter().filter(|r| r.sign_flips).count() * 10
                + l.alternatives
                    .rules
                    .iter()
                    .filter(|r| r.verdict_flips)
                    .count()
        });
        if let Some(law) = most {
            let svg = plot::rules(analysis, law);
            let caption = format!("Rules of reading, {} in {}", law.treatment, law.corpus);
            self.figure("rules.svg", svg, &caption)?;
        }
        Ok(())
    }

    /// Predicts the largest budget from all the others.
    pub(crate) fn backtest(&mut self, analysis: &Analysis) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "## Predicting the largest budget from the others\n")?;
        writeln!(
            r,
            "Mean |error| of ln G over all laws, and the share of readings inside their 95% \
             prediction interval.\n"
        )?;
        writeln!(
            r,
            "| corpus | laws | power law | constant ratio | last ratio | two laws with floors | inside |\n\
             |---|---:|---:|---:|---:|---:|---:|"
        )?;
        for c in &analysis.corpora {
            let held: Vec<_> = analysis
                .laws
                .iter()
                .filter(|l| l.corpus == c.corpus)
                .filter_map(|l| {
                    l.diagnostics
                        .backtest
                        .holdouts
                        .iter()
                        .max_by_key(|h| h.fitted)
                })
                .collect();
            if held.is_empty() {
                writeln!(r, "| {} | 0 | – | – | – | – | – |", c.corpus)?;
                continue;
            }
            let mean = |values: Vec<f64>| {
                values.iter().map(|v| v.abs()).sum::<f64>() / values.len() as f64
            };
            writeln!(
                r,
                "| {} | {} | {:.4} | {:.4} | {:.4} | {:.4} | {:.0}% |",
                c.corpus,
                held.len(),
                mean(held.iter().map(|h| h.error).collect()),
                mean(held.iter().map(|h| h.constant_error).collect()),
                mean(held.iter().map(|h| h.last_error).collect()),
                mean(held.iter().filter_map(|h| h.floors_error).collect()),
                100.0 * held.iter().filter(|h| h.inside).count() as f64 / held.len() as f64
            )?;
        }
        Ok(())
    }

    /// Repeats the fit with the further seeds of the cheapest budgets.
    pub(crate) fn seeds(&mut self, table: &Table, main: &Analysis) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "\n## Seeds\n")?;
        let (seeds, seeded) = further_seeds(table)?;
        if seeds.is_empty() {
            writeln!(r, "There are none but the first.")?;
            return Ok(());
        }
        writeln!(
            r,
            "The runs at {} budgets were repeated with {} further seeds. Each seed takes the place \
             of the first in turn and everything is fitted again; the changes of Δβ are compared \
             with the standard error that the first seed claims for runs alone (items are the same).\n",
            seeded.len(),
            seeds.len()
        )?;
        writeln!(
            r,
            "| seed | laws | rms change of Δβ | rms standard error | changes inside the 95% interval |\n\
             |---|---:|---:|---:|---:|"
        )?;
        for s in &seeds {
            let ladder = table.ladder(|_, b, own| {
                if seeded.contains(&b) {
                    own == s
                } else {
                    own == "0"
                }
            })?;
            let other = analyze(&ladder, &options())?;
            writeln!(r, "{}", changes(s, main, &other))?;
        }
        self.pure_error(table)
    }

    /// All seeds in one fit: pure error against the distance of the profiles from a polynomial.
    fn pure_error(&mut self, table: &Table) -> Result<()> {
        let r = &mut self.report;
        let ladder = table.ladder(|_, _, _| true)?;
        let all = analyze(&ladder, &options())?;
        writeln!(
            r,
            "\nWith all seeds in one fit, the size profiles are tested against the spread of \
             seeds:\n\n| corpus | sd of ln E(aggregate) between seeds | lack of fit F | p | median sd of ln G between seeds |\n\
             |---|---:|---:|---:|---:|"
        )?;
        for c in &all.corpora {
            let Some(fit) = c.frontier.as_ref().and_then(|f| f.lack_of_fit) else {
                continue;
            };
            let mut sds: Vec<f64> = all
                .laws
                .iter()
                .filter(|l| l.corpus == c.corpus)
                .filter_map(|l| Some(l.diagnostics.lack_of_fit?.pure_sd))
                .collect();
            sds.sort_by(f64::total_cmp);
            writeln!(
                r,
                "| {} | {:.4} | {:.2} | {} | {:.4} |",
                c.corpus,
                fit.pure_sd,
                fit.f,
                p(fit.p_value),
                sds.get(sds.len() / 2).copied().unwrap_or(f64::NAN)
            )?;
        }
        Ok(())
    }
}

/// The seeds other than the first, and the budgets that have them.
fn further_seeds(table: &Table) -> Result<(BTreeSet<String>, Vec<f64>)> {
    let [budget, seed] = ["budget", "seed"].map(|c| table.column(c));
    let (budget, seed) = (budget?, seed?);
    let mut seeded: Vec<f64> = Vec::new();
    let mut seeds: BTreeSet<String> = BTreeSet::new();
    for row in &table.rows {
        if &row[seed] != "0" {
            seeds.insert(row[seed].to_owned());
            let b: f64 = row[budget].parse()?;
            if !seeded.contains(&b) {
                seeded.push(b);
            }
        }
    }
    Ok((seeds, seeded))
}

/// A row of the table: the changes of Δβ with another seed.
fn changes(seed: &str, main: &Analysis, other: &Analysis) -> String {
    let mut pairs = Vec::new();
    for law in &main.laws {
        let twin = other
            .laws
            .iter()
            .find(|l| l.corpus == law.corpus && l.treatment == law.treatment);
        if let Some(twin) = twin {
            pairs.push((twin.delta_beta.value, &law.alternatives.fixed_items));
        }
    }
    let rms = |f: &dyn Fn(&(f64, &Estimate)) -> f64| {
        (pairs.iter().map(|p| f(p).powi(2)).sum::<f64>() / pairs.len() as f64).sqrt()
    };
    let inside = pairs
        .iter()
        .filter(|(v, e)| e.lower <= *v && *v <= e.upper)
        .count();
    format!(
        "| {seed} | {} | {:.4} | {:.4} | {:.0}% |",
        pairs.len(),
        rms(&|(v, e)| v - e.value),
        rms(&|(_, e)| e.standard_error),
        100.0 * inside as f64 / pairs.len() as f64
    )
}
