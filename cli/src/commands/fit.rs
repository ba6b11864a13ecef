//! Relative scaling laws of a table of losses.
//!
//! ```text
//! relscale fit --scores FILE.csv --baseline NAME [--treatment NAME ...]
//!     [--aggregate NAME] [--design auto|isoflop|rungs|grid] [--margin-percent 0.5]
//!     [--gap-margin-percent 1] [--family corpus|all] [--alpha 0.05]
//!     [--error-rate NAME ...] [--surface-huber 1e-3] [--stratified NAME ...] [--crossed-bootstrap]
//!     [--max-t] [--json FILE [--details]] [--plots DIR]
//! ```
//!
//! The columns of the table are those of `Ladder::from_csv`. `--error-rate` says that the loss of a
//! distribution is the share of items answered wrongly and `weight` their number: it is then fitted
//! to counts. `--json` writes the laws with their intervals and verdicts; `--details` adds readings,
//! diagnostics and alternatives.

use std::error::Error;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::program::start;
use relscale::fit::{self, DesignChoice, FamilyScope, Options};
use relscale::ladder::Ladder;
use relscale::report::plot;

const USAGE: &str = "usage: relscale fit --scores FILE.csv --baseline NAME [--treatment NAME ...]
    [--aggregate NAME] [--design auto|isoflop|rungs|grid] [--margin-percent 0.5]
    [--gap-margin-percent 1] [--family corpus|all] [--alpha 0.05]
    [--error-rate NAME ...] [--surface-huber 1e-3] [--stratified NAME ...] [--crossed-bootstrap]
    [--max-t] [--json FILE [--details]] [--plots DIR]";

struct Arguments {
    scores: PathBuf,
    options: Options,
    json: Option<PathBuf>,
    details: bool,
    plots: Option<PathBuf>,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Arguments, Box<dyn Error>> {
    let mut scores = None;
    let mut baseline = None;
    // The name of the baseline comes below, once all words are read.
    let mut options = Options::new("");
    let (mut json, mut plots, mut details) = (None, None, false);
    while let Some(flag) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{flag} needs a value"));
        match flag.as_str() {
            "--scores" => scores = Some(PathBuf::from(value()?)),
            "--baseline" => baseline = Some(value()?),
            "--treatment" => options.treatments.push(value()?),
            "--stratified" => options.stratified.push(value()?),
            "--crossed-bootstrap" => options.crossed_bootstrap = true,
            "--max-t" => options.max_t = true,
            "--aggregate" => options.aggregate = Some(value()?),
            "--design" => {
                options.design = match value()?.as_str() {
                    "auto" => DesignChoice::Auto,
                    "isoflop" => DesignChoice::Isoflop,
                    "rungs" => DesignChoice::Rungs,
                    "grid" => DesignChoice::Grid,
                    other => return Err(format!("no design {other:?}").into()),
                }
            }
            "--margin-percent" => options.margin_percent = value()?.parse()?,
            "--error-rate" => drop(options.error_rates.insert(value()?)),
            "--surface-huber" => options.surface_huber = Some(value()?.parse()?),
            "--gap-margin-percent" => options.gap_margin_percent = value()?.parse()?,
            "--family" => {
                options.family = match value()?.as_str() {
                    "corpus" => FamilyScope::Corpus,
                    "all" => FamilyScope::All,
                    other => return Err(format!("no family {other:?}").into()),
                }
            }
            "--alpha" => options.alpha = value()?.parse()?,
            "--details" => details = true,
            "--json" => json = Some(PathBuf::from(value()?)),
            "--plots" => plots = Some(PathBuf::from(value()?)),
            other => return Err(format!("unknown option {other:?}").into()),
        }
    }
    let scores = scores.ok_or("--scores is needed")?;
    options.baseline = baseline.ok_or("--baseline is needed")?;
    if options.treatments.contains(&options.baseline) {
        let name = &options.baseline;
        return Err(format!("{name:?} is the baseline, the ratio to itself is 1").into());
    }
    Ok(Arguments {
        scores,
        options,
        json,
        details,
        plots,
    })
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let ladder = Ladder::load_csv(&arguments.scores)?;
    let analysis = fit::analyze(&ladder, &arguments.options)?;
    print!("{analysis}");
    if let Some(path) = &arguments.json {
        let file = File::create(path).map_err(|e| format!("{}: {e}", path.display()))?;
        if arguments.details {
            serde_json::to_writer_pretty(file, &analysis)?;
        } else {
            serde_json::to_writer_pretty(file, &analysis.summary())?;
        }
    }
    if let Some(folder) = &arguments.plots {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        for (name, svg) in plot::all(&analysis)? {
            std::fs::write(folder.join(name), svg)?;
        }
    }
    Ok(())
}

/// Runs the command on the words behind its name.
pub fn main(words: impl Iterator<Item = String>) -> ExitCode {
    start(parse(words), USAGE, run)
}
