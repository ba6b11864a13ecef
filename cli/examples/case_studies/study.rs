//! Scores, fits and draws the three studies.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Settings};
use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::{Ladder, Run, RunTable, TrainedRun};
use relscale::log::{Table, export_csv};
use relscale::report::plot;
use relscale::scorer::{BitsPerByte, Scorer, chance_level};
use relscale_cli::engine::{Engine, EngineBackend};
use relscale_cli::output::note;
use relscale_cli::runs::{Tables, Task, score};

use parts::{Part, TEXT, studies};
use table::table;

#[path = "parts.rs"]
mod parts;
#[path = "sampling.rs"]
mod sampling;
#[path = "table.rs"]
mod table;

type Failure = Box<dyn Error + Send + Sync>;

/// A ladder, and the log of each of its runs.
type Logged<'a> = (Ladder, Vec<(&'a Run, &'a Table)>);

/// Arguments of the example.
#[derive(Debug, clap::Parser)]
#[command(about = "The three case studies on the ladder of small models in suite/", after_help = DATA)]
pub(crate) struct Arguments {
    /// Folder of the data
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Folder of the results
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Most bytes of a distribution of running text
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    pub(crate) bytes: usize,
    /// Most questions of a subject or behaviour
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) items: usize,
    /// Table of runs
    #[arg(long = "runs", value_name = "FILE.csv", default_value = LADDER)]
    pub(crate) ladder: PathBuf,
}

/// The committed ladder.
pub(crate) const LADDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../suite/ladder.csv");

const DATA: &str = "\
DIR/evals/mmlu/{test,dev}/<subject>_{test,dev}.csv    questions of MMLU
DIR/evals/anthropic-evals/**/<behaviour>.jsonl        model-written behaviours
DIR/texts/domains-masc/<genre>.jsonl                  documents {\"id\", \"text\"} by genre
DIR/texts/regions-un/<country>.jsonl                  documents {\"id\", \"text\"} by country
DIR/texts/dialects-multivalue/matched.jsonl           sentences {\"id\", \"sae\", \"<dialect>\": …}";

/// Token before every window and context: the first one after the 256 bytes.
const BOS: u32 = 256;
/// Window that the models were trained on, in tokens.
pub(super) const WINDOW: usize = 256;

fn scoring() -> Settings {
    Settings {
        bos: Bos::EveryWindow(BOS),
        context: Some(WINDOW),
        ..Settings::default()
    }
}

/// The distribution whose loss picks the compute-optimal model of a budget.
const AGGREGATE: &str = "aggregate";

/// Returns the three tables and the number of items scored by this call.
pub(crate) fn run(arguments: &Arguments) -> Result<(String, usize), Failure> {
    let studies = studies(&arguments.data, arguments.bytes, arguments.items)?;
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
    note(&format!(
        "Scoring {} items with {} checkpoints; items that {} holds already are not scored again.",
        tasks.iter().map(|t| t.items.len()).sum::<usize>(),
        trained.runs.len(),
        arguments.out.join("logs").display()
    ));
    // One thread per run: the models are too small to be split over several.
    let engine = Engine::new(EngineBackend::Cpu { threads: Some(1) });
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
fn fitted(part: &Part, trained: &RunTable, tables: &Tables, out: &Path) -> Result<String, Failure> {
    let scorer = part.scorers[0];
    let (ladder, logs) = ladder(part, trained, tables)?;
    let analysis = match analyze(&ladder, &options(part)?) {
        Ok(analysis) => analysis,
        Err(e) => return Ok(format!("\n{}: not fitted: {e}\n", part.title)),
    };
    export_csv(
        out.join(format!("{}.csv", part.name)),
        &logs,
        scorer.name(),
        trained.flop_convention,
    )?;
    write_files(part, &analysis, out)?;
    Ok(table(part, &analysis))
}

/// The ladder of a part, and the logs of its own scorer.
fn ladder<'a>(
    part: &Part,
    trained: &'a RunTable,
    tables: &'a Tables,
) -> Result<Logged<'a>, Failure> {
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
            // The aggregate is text; beside questions it would put another unit into the column.
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
    Ok((builder.build()?, logs))
}

fn options(part: &Part) -> Result<Options, Failure> {
    let scorer = part.scorers[0];
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
    Ok(options)
}

fn write_files(part: &Part, analysis: &Analysis, out: &Path) -> Result<(), Failure> {
    let file = |name: String| out.join(name);
    fs::write(
        file(format!("{}.json", part.name)),
        serde_json::to_string_pretty(analysis)?,
    )?;
    if let Some(corpus) = analysis.corpora.first() {
        let ratios = plot::ratios(analysis, &corpus.corpus)?;
        fs::write(file(format!("{}-ratios.svg", part.name)), ratios)?;
        let forest = plot::forest(analysis, &corpus.corpus)?;
        fs::write(file(format!("{}-exponents.svg", part.name)), forest)?;
    }
    Ok(())
}
