//! Scores, fits and draws the three studies.

use std::error::Error;
use std::fs;
use std::path::Path;

use relscale::distribution::{Distribution, Items};
use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::{Ladder, Run, RunTable, TrainedRun};
use relscale::log::{Table, export_csv};
use relscale::report::plot;
use relscale::scorer::{BitsPerByte, Scorer, chance_level};
use relscale_cli::engine::{Engine, EngineBackend};
use relscale_cli::output::note;
use relscale_cli::runs::{Tables, Task, score};

pub(crate) use arguments::Arguments;
use parts::{Part, TEXT, studies};
use table::table;

#[path = "arguments.rs"]
mod arguments;
#[path = "parts.rs"]
mod parts;
#[path = "sampling.rs"]
mod sampling;
#[path = "table.rs"]
mod table;

type Failure = Box<dyn Error + Send + Sync>;

/// A ladder, and the log of each of its runs.
type Logged<'a> = (Ladder, Vec<(&'a Run, &'a Table)>);

/// The distribution whose loss picks the compute-optimal model of a budget.
const AGGREGATE: &str = "aggregate";

/// Returns the three tables and the number of items scored by this call.
pub(crate) fn run(arguments: &Arguments) -> Result<(String, usize), Failure> {
    let trained = RunTable::from_csv(arguments.table())?;
    let settings = arguments.settings(&trained)?;
    let window = arguments.window(&trained, &settings)?;
    let studies = studies(arguments, &window)?;
    let aggregate = match arguments.aggregate() {
        Some(file) => Some(Items::from_jsonl(file)?),
        None => None,
    };
    let mut tasks: Vec<Task<'_>> = (aggregate.iter())
        .map(|items| Task {
            log: AGGREGATE.to_owned(),
            items,
            scorers: TEXT,
        })
        .collect();
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
    let engine = Engine::new(EngineBackend::Cpu {
        threads: Some(1),
        precision: relscale_cpu::Precision::F32,
    });
    let (tables, scored) = score(
        &trained.runs,
        &tasks,
        &arguments.out.join("logs"),
        &settings,
        false,
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
    let analysis = match analyze(
        &ladder,
        &options(part, ladder.distribution(AGGREGATE).is_some())?,
    ) {
        Ok(analysis) => analysis,
        Err(e) => {
            let text = format!("\n{}: not fitted: {e}\n  {}\n", part.title, part.sample);
            return Ok(text);
        }
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
        .name(part.name)
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

fn options(part: &Part, aggregate: bool) -> Result<Options, Failure> {
    let scorer = part.scorers[0];
    let mut options = Options::new(&part.baseline);
    options.aggregate = aggregate.then(|| AGGREGATE.to_owned());
    options.covariate = part.covariate.clone();
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
        if !part.covariate.is_empty() {
            let slope = plot::covariate(analysis, &corpus.corpus, "covariate")?;
            fs::write(file(format!("{}-covariate.svg", part.name)), slope)?;
        }
    }
    Ok(())
}
