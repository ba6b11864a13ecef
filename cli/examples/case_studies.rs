//! The three case studies of relative scaling laws on the ladder of small byte-level models in
//! `suite/`: knowledge domains, regional English, and behaviours of risk.
//!
//! ```sh
//! cargo run --release -p relscale-cli --example case_studies -- --data DIR --out DIR
//! ```
//!
//! The data are read from `DIR/evals/mmlu`, `DIR/evals/anthropic-evals`, `DIR/texts/domains-masc`,
//! `DIR/texts/regions-un` and `DIR/texts/dialects-multivalue`; `--help` says what each holds. Every
//! score goes through a log in `OUT/logs`: stopped at any moment and started again, the program
//! goes on where it was. It prints three tables and writes for every part of them the analysis
//! (JSON), the picture of the ratios and that of the exponents (SVG), and the losses by item (CSV,
//! for the `fit` example).

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::evaluate::{Bos, Settings};
use relscale::fit::{Analysis, Averaging, Flag, Options, analyze};
use relscale::ladder::{Ladder, RunTable, TrainedRun};
use relscale::log::export_csv;
use relscale::report::plot;
use relscale::scorer::{
    BitsPerByte, ChoiceLogLoss, ErrorRate, MatchingProbability, Normalisation, Scorer, chance_level,
};
use relscale_cli::readers::behaviours::{self, RiskGroups};
use relscale_cli::readers::matched;
use relscale_cli::readers::mmlu::{self, Mmlu, MmluPrompt};
use relscale_cli::readers::texts::{self, TextFields};

use relscale_cli::engine::{Engine, Tables, Task, score};
use relscale_cli::program::start;

const USAGE: &str = "usage: case_studies --data DIR --out DIR
  --bytes N   most bytes of a distribution of running text, 12000 by default
  --items N   most questions of a subject or behaviour, 8 by default
  --runs CSV  the ladder, suite/ladder.csv by default

DIR/evals/mmlu/{test,dev}/<subject>_{test,dev}.csv    questions of MMLU
DIR/evals/anthropic-evals/**/<behaviour>.jsonl        model-written behaviours
DIR/texts/domains-masc/<genre>.jsonl                  documents {\"id\", \"text\"} by genre
DIR/texts/regions-un/<country>.jsonl                  documents {\"id\", \"text\"} by country
DIR/texts/dialects-multivalue/matched.jsonl           sentences {\"id\", \"sae\", \"<dialect>\": …}";

/// What is asked for on the command line.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) data: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) bytes: usize,
    pub(crate) items: usize,
    pub(crate) ladder: PathBuf,
}

impl Arguments {
    pub(crate) fn new(data: impl Into<PathBuf>, out: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            out: out.into(),
            bytes: 12_000,
            items: 8,
            ladder: Path::new(env!("CARGO_MANIFEST_DIR")).join("../suite/ladder.csv"),
        }
    }

    fn parse() -> Result<Self, String> {
        let mut found = Self::new("", "");
        let mut words = std::env::args().skip(1);
        while let Some(option) = words.next() {
            if option == "--help" {
                println!("{USAGE}");
                std::process::exit(0);
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{option} needs a value"))?;
            let number = || {
                let number = value.parse().ok().filter(|n| *n > 0);
                number.ok_or_else(|| format!("{option}: `{value}` is not a number above 0"))
            };
            match option.as_str() {
                "--data" => found.data = value.into(),
                "--out" => found.out = value.into(),
                "--bytes" => found.bytes = number()?,
                "--items" => found.items = number()?,
                "--runs" => found.ladder = value.into(),
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if found.data.as_os_str().is_empty() || found.out.as_os_str().is_empty() {
            return Err("--data and --out are needed".to_owned());
        }
        Ok(found)
    }
}

/// Token before every window and context, and the window the models were trained on.
const BOS: u32 = 256;
const WINDOW: usize = 256;

fn scoring() -> Settings {
    Settings {
        bos: Bos::EveryWindow(BOS),
        context: Some(WINDOW),
        ..Settings::default()
    }
}

/// The distribution whose loss picks the compute-optimal model of a budget.
const AGGREGATE: &str = "aggregate";

/// Distributions that are compared with one of them.
struct Part {
    /// Name of the files.
    name: &'static str,
    title: &'static str,
    baseline: String,
    distributions: Vec<Items>,
    /// The first one is fitted.
    scorers: &'static [&'static dyn Scorer],
    unit: &'static str,
    averaging: Averaging,
    sample: String,
}

struct Study {
    title: &'static str,
    parts: Vec<Part>,
}

const TEXT: &[&dyn Scorer] = &[&BitsPerByte];
const QUESTION: &[&dyn Scorer] = &[&ChoiceLogLoss, &ErrorRate(Normalisation::PerByte)];
const BEHAVIOUR: &[&dyn Scorer] = &[&MatchingProbability(Normalisation::PerByte)];

fn studies(arguments: &Arguments) -> Result<Vec<Study>, relscale::Error> {
    let (data, bytes, items) = (&arguments.data, arguments.bytes, arguments.items);
    let running = |distributions: Vec<Items>| {
        let all = distributions.into_iter().map(|d| starts(&d, bytes));
        all.collect::<Result<Vec<_>, _>>()
    };

    let prompt = mmlu::MmluOptions {
        prompt: MmluPrompt::LetterAndText,
        shots: 0,
        description: false,
    };
    let subjects = Mmlu::load(data.join("evals/mmlu"))?;
    let (groups, of) = sampled(subjects.groups(&prompt)?, items)?;
    let questions = Part {
        name: "mmlu",
        title: "MMLU by group of subjects",
        baseline: mmlu::MmluGroup::Stem.name().to_owned(),
        sample: format!(
            "{} of {of} questions: at most {items} a subject, 0-shot, only those that fit {WINDOW} \
             tokens; mean over subjects",
            count(&groups)
        ),
        distributions: groups,
        scorers: QUESTION,
        unit: "nats a question (log-loss of the right choice)",
        averaging: Averaging::Macro,
    };
    let genres = running(texts::regions(
        data.join("texts/domains-masc"),
        &TextFields::default(),
    )?)?;
    let genres = Part {
        name: "genres",
        title: "Genres of American English (MASC)",
        baseline: "newspaper".to_owned(),
        sample: format!("about {bytes} bytes a genre, from the start of every document"),
        distributions: genres,
        scorers: TEXT,
        unit: "bits a byte",
        averaging: Averaging::Micro,
    };

    let regions = running(texts::regions(
        data.join("texts/regions-un"),
        &TextFields::default(),
    )?)?;
    let regions = Part {
        name: "regions",
        title: "English by country (speeches in the UN General Debate)",
        baseline: "USA".to_owned(),
        sample: format!("about {bytes} bytes a country, from the start of every speech"),
        distributions: regions,
        scorers: TEXT,
        unit: "bits a byte",
        averaging: Averaging::Micro,
    };
    let forms = matched::from_jsonl(data.join("texts/dialects-multivalue/matched.jsonl"))?;
    // The same sentences of every form: as many as the standard form has room for.
    let standard = forms.iter().find(|form| form.name() == "sae");
    let mut sentences = 0;
    let mut used = 0;
    if let Some(standard) = standard {
        while sentences < standard.len() && used < bytes {
            used += text(&standard.item(sentences)?.content).len();
            sentences += 1;
        }
    }
    let forms = forms.into_iter().map(|form| {
        let some = (0..sentences).map(|i| Ok(form.item(i)?.into_owned()));
        Items::new(form.name(), some.collect::<Result<_, relscale::Error>>()?)
    });
    let dialects = Part {
        name: "dialects",
        title: "Dialects: the same sentences by the rules of each",
        baseline: "sae".to_owned(),
        sample: format!(
            "{sentences} sentences in every dialect; sae is the standard American form"
        ),
        distributions: forms.collect::<Result<_, _>>()?,
        scorers: TEXT,
        unit: "bits a byte",
        averaging: Averaging::Micro,
    };

    let prompt = behaviours::BehaviourOptions::default();
    let folder = data.join("evals/anthropic-evals");
    let groups = behaviours::load(folder, &RiskGroups::default(), &prompt)?;
    let (groups, of) = sampled(groups, items)?;
    // The paper's baseline where the data have it, else the group with the most behaviours.
    let largest = groups.iter().max_by_key(|group| clusters(group));
    let baseline = groups
        .iter()
        .find(|group| group.name() == "self-improvement")
        .or(largest)
        .map_or_else(String::new, |group| group.name().to_owned());
    let risks = Part {
        name: "risk",
        title: "Model-written behaviours by group of risk",
        sample: format!(
            "{} of {of} questions: at most {items} a behaviour and file, 0-shot, only those that fit \
             {WINDOW} tokens; mean over behaviours; baseline {baseline}",
            count(&groups)
        ),
        baseline,
        distributions: groups,
        scorers: BEHAVIOUR,
        unit: "probability of the answer that matches the behaviour",
        averaging: Averaging::Macro,
    };
    Ok(vec![
        Study {
            title: "1. Domains",
            parts: vec![questions, genres],
        },
        Study {
            title: "2. Varieties of English",
            parts: vec![regions, dialects],
        },
        Study {
            title: "3. Behaviours of risk",
            parts: vec![risks],
        },
    ])
}

fn count(distributions: &[Items]) -> usize {
    distributions.iter().map(Items::len).sum()
}

fn clusters(items: &Items) -> usize {
    let ids = (0..items.len()).filter_map(|i| Some(items.item(i).ok()?.cluster.clone()));
    ids.collect::<std::collections::BTreeSet<_>>().len()
}

fn text(content: &Content) -> &str {
    match content {
        Content::Text(text) => text,
        _ => "",
    }
}

/// The start of every document, about `bytes` bytes in all.
fn starts(texts: &Items, bytes: usize) -> Result<Items, relscale::Error> {
    let each = (bytes / texts.len().max(1)).max(1);
    let items = (0..texts.len()).map(|index| {
        let item = texts.item(index)?;
        let text = text(&item.content);
        let end = (each.min(text.len())..=text.len()).find(|end| text.is_char_boundary(*end));
        Ok(Item {
            content: Content::Text(text[..end.unwrap_or(text.len())].to_owned()),
            ..item.into_owned()
        })
    });
    Items::new(texts.name(), items.collect::<Result<_, relscale::Error>>()?)
}

/// The first questions of every cluster (at most `items` of a file) that fit the window, and how
/// many there were in all. A group of which nothing fits is left out.
fn sampled(groups: Vec<Items>, items: usize) -> Result<(Vec<Items>, usize), relscale::Error> {
    let of = count(&groups);
    let mut some = Vec::new();
    for group in groups {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for index in 0..group.len() {
            let item = group.item(index)?;
            let Content::Choices {
                context, choices, ..
            } = &item.content
            else {
                continue;
            };
            let longest = choices.iter().map(String::len).max().unwrap_or(0);
            // One token a byte; the beginning-of-sequence token comes before, the last is no input.
            let file = item.id.rsplit_once('/').map_or("", |(file, _)| file);
            let taken = taken.entry(file.to_owned()).or_default();
            if context.len() + longest <= WINDOW && *taken < items {
                *taken += 1;
                kept.push(item.into_owned());
            }
        }
        if !kept.is_empty() {
            some.push(Items::new(group.name(), kept)?);
        }
    }
    Ok((some, of))
}

fn main() -> ExitCode {
    start(Arguments::parse(), USAGE, |arguments| {
        let start = Instant::now();
        let (text, scored) = run(arguments)?;
        print!("{text}");
        println!(
            "\nScored {scored} items in {:.0} s; pictures, analyses and losses are in {}.",
            start.elapsed().as_secs_f64(),
            arguments.out.display()
        );
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    })
}

/// The three tables, and how many items had to be scored for them.
pub(crate) fn run(arguments: &Arguments) -> Result<(String, usize), Box<dyn Error + Send + Sync>> {
    let studies = studies(arguments)?;
    let suite = arguments.ladder.parent().unwrap_or(Path::new("."));
    let trained = RunTable::from_csv(&arguments.ladder)?;
    let aggregate = Items::from_jsonl(suite.join("texts/aggregate.jsonl"))?;
    let mut tasks = vec![Task {
        log: AGGREGATE.to_owned(),
        items: &aggregate,
        scorers: TEXT,
    }];
    for part in studies.iter().flat_map(|s| &s.parts) {
        tasks.extend(part.distributions.iter().map(|items| Task {
            log: format!("{}/{}", part.name, items.name()),
            items,
            scorers: part.scorers,
        }));
    }
    eprintln!(
        "Scoring {} items with {} checkpoints; what is in {} already is not scored again.",
        tasks.iter().map(|t| t.items.len()).sum::<usize>(),
        trained.runs.len(),
        arguments.out.join("logs").display()
    );
    // Each worker a run at a time on one thread: the models are too small to share one.
    let engine = Engine {
        threads: Some(1),
        ..Engine::default()
    };
    let (tables, scored) = score(
        &trained.runs,
        &tasks,
        &arguments.out.join("logs"),
        &scoring(),
        &engine,
        std::thread::available_parallelism()?.get(),
    )?;

    let mut text = String::new();
    for study in &studies {
        text += &format!("\n{}\n", study.title);
        for part in &study.parts {
            text += &fitted(part, &trained, &tables, &arguments.out)?;
        }
    }
    Ok((text, scored))
}

/// Fits a part, writes its files and gives its table.
fn fitted(
    part: &Part,
    trained: &RunTable,
    tables: &Tables,
    out: &Path,
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let scorer = part.scorers[0];
    let mut builder = Ladder::builder();
    builder
        .name(format!("the committed ladder, {}", part.name))
        .flop_convention(trained.flop_convention);
    let mut logs = Vec::new();
    for TrainedRun { run, .. } in &trained.runs {
        builder.run(run.clone())?;
        let mut add = |log: String, scorer: &dyn Scorer| -> Result<(), relscale::Error> {
            let Some(table) = tables.get(&(run.id.clone(), log)) else {
                return Ok(());
            };
            table.add_to(&mut builder, run, scorer.name())?;
            // The aggregate of questions is text, which would be another unit in one column.
            if table.key().scorers[0] == part.scorers[0].name() {
                logs.push((run, table));
            }
            Ok(())
        };
        add(AGGREGATE.to_owned(), &BitsPerByte)?;
        for items in &part.distributions {
            add(format!("{}/{}", part.name, items.name()), scorer)?;
        }
    }
    let ladder = builder.build()?;
    let mut options = Options::new(&part.baseline);
    options.aggregate = Some(AGGREGATE.to_owned());
    options.averaging = part.averaging;
    for items in &part.distributions {
        if let Some(level) = chance_level(scorer, items)? {
            options.chance.insert(items.name().to_owned(), level);
            if scorer.chance_either_side() {
                options.chance_either_side.insert(items.name().to_owned());
            }
        }
    }
    let analysis = match analyze(&ladder, &options) {
        Ok(analysis) => analysis,
        Err(e) => return Ok(format!("\n{}: not fitted: {e}\n", part.title)),
    };

    let file = |name: String| out.join(name);
    export_csv(
        file(format!("{}.csv", part.name)),
        &logs,
        scorer.name(),
        trained.flop_convention,
    )?;
    fs::write(
        file(format!("{}.json", part.name)),
        serde_json::to_string_pretty(&analysis)?,
    )?;
    if let Some(corpus) = analysis.corpora.first() {
        let ratios = plot::ratios(&analysis, &corpus.corpus)?;
        fs::write(file(format!("{}-ratios.svg", part.name)), ratios)?;
        let forest = plot::forest(&analysis, &corpus.corpus)?;
        fs::write(file(format!("{}-exponents.svg", part.name)), forest)?;
    }
    Ok(table(part, &analysis))
}

fn table(part: &Part, analysis: &Analysis) -> String {
    let ends = |name: &str| {
        let law = analysis
            .absolute_laws
            .iter()
            .find(|t| t.distribution == name);
        let errors = law.map_or(&[][..], |t| &t.errors);
        let of = |e: Option<&f64>| e.map_or("-".to_owned(), |e| format!("{e:.3}"));
        (of(errors.first()), of(errors.last()))
    };
    let corpus = &analysis.corpora[0];
    let scale = |s: Option<&f64>| s.map_or("-".to_owned(), |s| format!("{s:.0e}"));
    let mut text = format!("\n{}: {}\n  {}\n", part.title, part.unit, part.sample);
    let chance: Vec<f64> = analysis.options.chance.values().copied().collect();
    if let Some(level) = chance
        .first()
        .filter(|l| chance.iter().all(|c| (c - **l).abs() < 1e-9))
    {
        text += &format!("  a model that knows nothing has {level:.3}\n");
    }
    let row = |cells: [&str; 7]| {
        let [name, first, last, gamma, slope, interval, gap] = cells;
        let line = format!(
            "  {name:<34} {first:>7} {last:>7} {gamma:>6} {slope:>8}  {interval:<18} {gap}"
        );
        format!("{}\n", line.trim_end())
    };
    text += &row([
        "",
        &scale(corpus.scales.first()),
        &scale(corpus.scales.last()),
        "γ",
        "Δβ",
        "95% interval",
        "the gap",
    ]);
    let (first, last) = ends(&part.baseline);
    text += &row([&part.baseline, &first, &last, "1", "", "", "baseline"]);
    let mut seen: Vec<Flag> = Vec::new();
    for law in &analysis.laws {
        let (first, last) = ends(&law.treatment);
        let (mut gamma, mut slope) = (String::new(), String::new());
        let (mut interval, mut gap) = (String::new(), "at chance: no law".to_owned());
        // An exponent there would be read as a finding.
        if !law.flags.contains(&Flag::PreOnset) {
            let d = &law.delta_beta;
            gamma = format!("{:.3}", law.gamma.value);
            slope = format!("{:+.4}", d.value);
            interval = format!("[{:+.4}, {:+.4}]", d.lower, d.upper);
            gap = law.verdict.as_str().replace('_', " ");
        }
        let mut numbers = Vec::new();
        for flag in &law.flags {
            let at = seen.iter().position(|s| s == flag).unwrap_or_else(|| {
                seen.push(*flag);
                seen.len() - 1
            });
            numbers.push(at + 1);
        }
        numbers.sort_unstable();
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        if !numbers.is_empty() {
            gap += &format!(" [{}]", numbers.join(", "));
        }
        text += &row([
            &law.treatment,
            &first,
            &last,
            &gamma,
            &slope,
            &interval,
            &gap,
        ]);
    }
    for (i, flag) in seen.iter().enumerate() {
        text += &format!("  [{}] {}\n", i + 1, flag.meaning());
    }
    for refused in &analysis.refused {
        let what = refused.distribution.as_deref().unwrap_or("-");
        text += &format!("  {what} left out: {}\n", refused.reason);
    }
    text
}
