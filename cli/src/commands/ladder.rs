//! Relative scaling laws of a ladder that others have released, from checkpoints to pictures.
//!
//! ```sh
//! relscale ladder --checkpoints DIR --texts DIR --baseline NAME --out OUT
//! ```
//!
//! `crate::released` says which names of checkpoints are understood; for others pass a table
//! with `--runs` (`--list` prints one to begin with). Every score goes through a log in `OUT/logs`:
//! stopped at any moment and started again, the program goes on where it was.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::program::start;
use crate::readers::texts::{self, Fields};
use crate::released;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::Settings;
use relscale::fit::{Options, analyze};
use relscale::ladder::{Ladder, RunTable, TrainedRun};
use relscale::log::export_csv;
use relscale::report::plot;
use relscale::scorer::{BitsPerByte, Scorer};

use crate::engine::{Engine, Task, number, score};

const USAGE: &str = "usage: relscale ladder --checkpoints DIR --texts DIR --baseline NAME --out DIR
  --runs FILE.csv           a table of runs instead of --checkpoints
  --list                    print the table of runs that is read from DIR, and no more
  --texts DIR               a file NAME.jsonl a distribution, with documents {\"text\", \"id\"?}, or a
                            folder NAME of .txt files
  --baseline NAME           the distribution that the others are compared with
  --aggregate NAME          the one whose loss picks the compute-optimal sizes; the mean of all by
                            default
  --context N               input tokens of a window, the model's context by default
  --stride N                tokens newly scored a window, the whole window by default
  --batch-tokens N          token budget of one batch, 8192 by default";

/// What is asked for on the command line.
#[derive(Debug, Default)]
pub struct Arguments {
    /// Folder of downloaded checkpoints, whose names say what they are.
    pub checkpoints: Option<PathBuf>,
    /// Table of runs, instead of `checkpoints`.
    pub runs: Option<PathBuf>,
    /// If true, only the table of runs is printed.
    pub list: bool,
    /// Folder of the distributions.
    pub texts: PathBuf,
    /// Distribution that the others are compared with.
    pub baseline: String,
    /// Distribution whose loss picks the compute-optimal sizes; `None` for the mean of all.
    pub aggregate: Option<String>,
    /// Folder of the results.
    pub out: PathBuf,
    /// Windows and batches.
    pub scoring: Settings,
    /// Backend that runs the checkpoints.
    pub engine: Engine,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut found = Self::default();
        while let Some(option) = words.next() {
            let mut value = || {
                words
                    .next()
                    .ok_or_else(|| format!("{option} needs a value"))
            };
            match option.as_str() {
                "--help" => return Err(String::new()),
                "--list" => found.list = true,
                "--checkpoints" => found.checkpoints = Some(value()?.into()),
                "--runs" => found.runs = Some(value()?.into()),
                "--texts" => found.texts = value()?.into(),
                "--baseline" => found.baseline = value()?,
                "--aggregate" => found.aggregate = Some(value()?),
                "--out" => found.out = value()?.into(),
                "--context" => found.scoring.context = Some(number(&option, &value()?)?),
                "--stride" => found.scoring.stride = Some(number(&option, &value()?)?),
                "--batch-tokens" => found.scoring.batch_tokens = number(&option, &value()?)?,
                _ if found.engine.take(&option, &mut value)? => {}
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if found.checkpoints.is_some() == found.runs.is_some() {
            return Err("one of --checkpoints and --runs is needed".to_owned());
        }
        let needed = [
            ("--texts", found.texts.as_os_str().is_empty()),
            ("--baseline", found.baseline.is_empty()),
            ("--out", found.out.as_os_str().is_empty()),
        ];
        match needed.iter().find(|(_, missing)| *missing && !found.list) {
            Some((option, _)) => Err(format!("{option} is missing")),
            None => Ok(found),
        }
    }
}

/// Runs the command on the words behind its name.
pub fn main(words: impl Iterator<Item = String>) -> ExitCode {
    let usage = format!("{USAGE}\n{}", Engine::USAGE);
    start(Arguments::parse(words), &usage, |arguments| {
        let (text, scored) = run(arguments)?;
        print!("{text}");
        if !arguments.list {
            println!(
                "\nScored {scored} documents; runs, losses, the analysis and the pictures are in {}.",
                arguments.out.display()
            );
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    })
}

/// The table of laws (or of runs), and how many documents had to be scored for it.
pub fn run(arguments: &Arguments) -> Result<(String, usize), Box<dyn Error + Send + Sync>> {
    let table = match (&arguments.runs, &arguments.checkpoints) {
        (Some(file), _) => RunTable::from_csv(file)?,
        (None, Some(dir)) => released::run_table(dir)?,
        (None, None) => return Err("neither checkpoints nor a table of runs".into()),
    };
    let mut csv = Vec::new();
    table.write_csv(&mut csv)?;
    if arguments.list {
        return Ok((String::from_utf8(csv)?, 0));
    }
    let distributions = texts::regions(&arguments.texts, &Fields::default())?;
    let names: Vec<&str> = distributions.iter().map(Items::name).collect();
    for wanted in [Some(&arguments.baseline), arguments.aggregate.as_ref()] {
        if let Some(wanted) = wanted.filter(|w| !names.contains(&w.as_str())) {
            let (texts, names) = (arguments.texts.display(), names.join(", "));
            return Err(format!("{texts} has no `{wanted}`; it has {names}").into());
        }
    }
    let out = &arguments.out;
    fs::create_dir_all(out)?;
    fs::write(out.join("runs.csv"), csv)?;

    let scorers: &[&dyn Scorer] = &[&BitsPerByte];
    let tasks: Vec<Task<'_>> = distributions
        .iter()
        .map(|items| Task {
            log: items.name().to_owned(),
            items,
            scorers,
        })
        .collect();
    eprintln!(
        "Scoring {} documents with {} checkpoints; what is in {} already is not scored again.",
        distributions.iter().map(Items::len).sum::<usize>(),
        table.runs.len(),
        out.join("logs").display()
    );
    let (tables, scored) = score(
        &table.runs,
        &tasks,
        &out.join("logs"),
        &arguments.scoring,
        &arguments.engine,
        1,
    )?;

    let source = arguments.runs.as_ref().or(arguments.checkpoints.as_ref());
    let mut builder = Ladder::builder();
    builder
        .name(source.map_or_else(String::new, |path| path.display().to_string()))
        .flop_convention(table.flop_convention);
    let mut logs = Vec::new();
    for TrainedRun { run, .. } in &table.runs {
        builder.run(run.clone())?;
        for task in &tasks {
            let log = &tables[&(run.id.clone(), task.log.clone())];
            log.add_to(&mut builder, run, BitsPerByte.name())?;
            logs.push((run, log));
        }
    }
    let scores = out.join("scores.csv");
    export_csv(&scores, &logs, BitsPerByte.name(), table.flop_convention)?;

    let mut options = Options::new(&arguments.baseline);
    options.aggregate.clone_from(&arguments.aggregate);
    let analysis = analyze(&builder.build()?, &options)
        .map_err(|e| format!("not fitted: {e}; the losses are in {}", scores.display()))?;
    let json = serde_json::to_string_pretty(&analysis)?;
    fs::write(out.join("analysis.json"), json)?;
    write_pictures(&analysis, &out.join("pictures"))?;
    Ok((analysis.to_string(), scored))
}

fn write_pictures(
    analysis: &relscale::fit::Analysis,
    folder: &Path,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    fs::create_dir_all(folder)?;
    for (name, svg) in plot::all(analysis)? {
        fs::write(folder.join(name), svg)?;
    }
    Ok(())
}
