//! The study of the suite in `suite/study`: every relative law of three corpora, as a report.
//!
//! Reads the losses of 255 small models (and 90 further seeds; `suite/README.md` says how they are
//! made), fits absolute and
//! relative laws, relates the exponents of languages to their share of the training mixture,
//! compares corpora, and says how far the answers depend on rules, seeds and the largest budget.
//! Writes `report.md`, the figures and `study.json`.
//!
//! ```sh
//! cargo run --release -p relscale-cli --example suite_report -- --out study/ [--suite suite/study]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use relscale::fit::{
    Analysis, Estimate, Flag, Options, RelativeLaw, Verdict, analyze, meta_regression,
};
use relscale::ladder::Ladder;
use relscale::report::plot::{self, PlotError};
use relscale_cli::program::start;

const BASELINE: &str = "english-help";
const AGGREGATE: &str = "aggregate";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The rows of the score table, to make ladders of selected runs.
struct Table {
    header: csv::StringRecord,
    rows: Vec<csv::StringRecord>,
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let mut text = String::new();
        let file = fs::File::open(path).map_err(|e| {
            format!(
                "{}: {e}; suite/README.md says how it is made",
                path.display()
            )
        })?;
        flate2::read::GzDecoder::new(file)
            .read_to_string(&mut text)
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers()?.clone();
        let rows = reader.records().collect::<std::result::Result<_, _>>()?;
        Ok(Self { header, rows })
    }

    fn column(&self, name: &str) -> Result<usize> {
        let at = self.header.iter().position(|h| h == name);
        at.ok_or_else(|| format!("the score table has no column {name}").into())
    }

    /// The runs for which `keep` says so, from corpus, budget and seed.
    fn ladder(&self, keep: impl Fn(&str, f64, &str) -> bool) -> Result<Ladder> {
        let [corpus, budget, seed] = ["corpus", "budget", "seed"].map(|c| self.column(c));
        let (corpus, budget, seed) = (corpus?, budget?, seed?);
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record(&self.header)?;
        for row in &self.rows {
            if keep(&row[corpus], row[budget].parse()?, &row[seed]) {
                out.write_record(row)?;
            }
        }
        Ok(Ladder::from_csv(out.into_inner()?.as_slice(), "the suite")?)
    }
}

/// Percent of the training bytes, by corpus and distribution.
fn read_shares(path: &Path) -> Result<BTreeMap<(String, String), f64>> {
    let mut shares = BTreeMap::new();
    for row in csv::Reader::from_path(path)?.deserialize() {
        let (corpus, _, distribution, _, share): (String, String, String, f64, f64) = row?;
        if !distribution.is_empty() {
            shares.insert((corpus, distribution), share);
        }
    }
    Ok(shares)
}

fn options() -> Options {
    let mut options = Options::new(BASELINE);
    options.aggregate = Some(AGGREGATE.to_owned());
    options
}

fn interval(e: &Estimate) -> String {
    format!("{:+.4} [{:+.4}, {:+.4}]", e.value, e.lower, e.upper)
}

fn p(value: f64) -> String {
    if value < 0.001 {
        "< 0.001".to_owned()
    } else {
        format!("{value:.3}")
    }
}

fn name(verdict: Verdict) -> String {
    verdict.as_str().replace('_', " ")
}

/// The name that files use, with spaces.
fn flag(flag: Flag) -> String {
    match serde_json::to_value(flag) {
        Ok(serde_json::Value::String(name)) => name.replace('_', " "),
        _ => format!("{flag:?}"),
    }
}

fn is_language(distribution: &str) -> bool {
    distribution.ends_with("-help") && distribution != BASELINE
}

struct Study {
    out: PathBuf,
    report: String,
}

impl Study {
    /// Writes a figure, where the analysis holds what it shows.
    fn figure(
        &mut self,
        file: &str,
        svg: std::result::Result<String, PlotError>,
        caption: &str,
    ) -> Result<()> {
        let svg = match svg {
            Err(PlotError::Nothing { what }) => {
                writeln!(self.report, "\n{caption}: nothing to draw, no {what}.\n")?;
                return Ok(());
            }
            other => other?,
        };
        fs::write(self.out.join(file), svg)?;
        writeln!(self.report, "\n![{caption}]({file})\n")?;
        Ok(())
    }

    fn runs(&mut self, ladder: &Ladder, analysis: &Analysis) -> Result<()> {
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

    fn absolute(&mut self, analysis: &Analysis) -> Result<()> {
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

    fn relative(&mut self, analysis: &Analysis) -> Result<()> {
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
            let r = &mut self.report;
            writeln!(r, "### Corpus {}\n", c.corpus)?;
            writeln!(
                r,
                "| treatment | γ | Δβ | Holm p | % a decade | the gap | flags |"
            )?;
            writeln!(r, "|---|---:|---|---:|---:|---|---|")?;
            for l in analysis.laws.iter().filter(|l| l.corpus == c.corpus) {
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
            for h in analysis
                .heterogeneity
                .iter()
                .filter(|h| h.corpus == c.corpus)
            {
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
            let caption = format!("Relative exponents, corpus {}", c.corpus);
            self.figure(
                &format!("forest-{}.svg", c.corpus),
                plot::forest(analysis, &c.corpus),
                &caption,
            )?;
            let caption = format!("Ratios against compute, corpus {}", c.corpus);
            self.figure(
                &format!("ratios-{}.svg", c.corpus),
                plot::ratios(analysis, &c.corpus),
                &caption,
            )?;
        }
        Ok(())
    }

    /// Exponents of languages on the log of their share, corpus by corpus and between corpora.
    fn shares(
        &mut self,
        table: &Table,
        all: &Analysis,
        shares: &BTreeMap<(String, String), f64>,
    ) -> Result<()> {
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
    fn corpora(
        &mut self,
        analysis: &Analysis,
        shares: &BTreeMap<(String, String), f64>,
    ) -> Result<()> {
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
        let mut pairs: BTreeMap<(&str, &str), Vec<Difference>> = BTreeMap::new();
        for c in &analysis.cross_corpus {
            let [first, second] = c.corpora.as_slice() else {
                continue;
            };
            let treatment = c.name.split(':').next().unwrap_or_default();
            let share = |corpus: &String| {
                let share = shares.get(&(corpus.clone(), treatment.to_owned())).copied();
                // What counts is the share relative to that of the baseline.
                let base = shares.get(&(corpus.clone(), BASELINE.to_owned())).copied();
                share.zip(base).map(|(s, b)| s / b).filter(|s| *s > 0.0)
            };
            if let (Some(a), Some(b)) = (share(first), share(second)) {
                let entry = pairs.entry((first, second)).or_default();
                entry.push(Difference {
                    covariate: (a / b).log10(),
                    value: c.exponent.value,
                    variance: c.exponent.standard_error.powi(2),
                });
            }
        }
        for ((first, second), points) in pairs {
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

    fn rules(&mut self, analysis: &Analysis) -> Result<()> {
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
        // The law whose panel disagrees most.
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

    /// The largest budget predicted from all the others.
    fn backtest(&mut self, analysis: &Analysis) -> Result<()> {
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

    /// The two cheapest budgets with other seeds: does the interval cover what changes?
    fn seeds(&mut self, table: &Table, main: &Analysis) -> Result<()> {
        let r = &mut self.report;
        writeln!(r, "\n## Seeds\n")?;
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
            writeln!(
                r,
                "| {s} | {} | {:.4} | {:.4} | {:.0}% |",
                pairs.len(),
                rms(&|(v, e)| v - e.value),
                rms(&|(_, e)| e.standard_error),
                100.0 * inside as f64 / pairs.len() as f64
            )?;
        }
        // All seeds at once: pure error against the distance of the profiles from a polynomial.
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

/// Where the report goes, and where the suite's tables are.
struct Arguments {
    out: PathBuf,
    suite: PathBuf,
}

fn arguments() -> std::result::Result<Arguments, String> {
    let mut found = Arguments {
        out: PathBuf::from("study"),
        suite: Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite/study"),
    };
    let mut words = std::env::args().skip(1);
    while let Some(option) = words.next() {
        let value = words.next().ok_or(format!("{option} needs a value"))?;
        match option.as_str() {
            "--out" => found.out = value.into(),
            "--suite" => found.suite = value.into(),
            _ => return Err(format!("unknown option {option}")),
        }
    }
    Ok(found)
}

fn run(Arguments { out, suite }: &Arguments) -> Result<()> {
    fs::create_dir_all(out)?;
    let table = Table::read(&suite.join("scores.csv.gz"))?;
    let shares = read_shares(&suite.join("shares.csv"))?;
    let ladder = table.ladder(|_, _, seed| seed == "0")?;
    let analysis = analyze(&ladder, &options())?;
    let mut study = Study {
        out: out.clone(),
        report: String::new(),
    };
    study.runs(&ladder, &analysis)?;
    study.absolute(&analysis)?;
    study.relative(&analysis)?;
    study.shares(&table, &analysis, &shares)?;
    study.corpora(&analysis, &shares)?;
    study.rules(&analysis)?;
    study.backtest(&analysis)?;
    study.seeds(&table, &analysis)?;
    fs::write(out.join("report.md"), &study.report)?;
    fs::write(
        out.join("study.json"),
        serde_json::to_string_pretty(&analysis)?,
    )?;
    println!("{}", analysis);
    println!("The report is in {}.", out.join("report.md").display());
    Ok(())
}

fn main() -> ExitCode {
    start(
        arguments(),
        "usage: suite_report [--out DIR] [--suite DIR]",
        run,
    )
}
