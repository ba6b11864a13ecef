//! `relscale demo`: a ladder that is part of the program.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::Ladder;
use relscale::output;
use relscale::report::plot;

use super::fit::OutputArguments;
use super::{CommandError, at};
use crate::output::{note, print};

/// Losses of the 47 checkpoints of the committed ladder of the repository (`suite/scores.csv`), summed
/// over the clusters of each text.
const LOSSES: &str = include_str!("demo/losses.csv");
/// Files beside the pictures: the losses, the laws and the whole analysis.
const TABLES: [&str; 3] = ["losses.csv", "laws.json", "analysis.json"];
const BASELINE: &str = "english-help";
const AGGREGATE: &str = "aggregate";

const AFTER: &str = "\
Examples:
  relscale demo
  relscale demo --out demo/      # table, JSON and pictures, to see their form

The ladder: 47 byte-level models of 5 thousand to 1 million parameters at seven budgets, and their bits
per byte on eight texts. It shows the method at work, not laws of large models.";

/// Fits a small ladder that is part of the program: nothing to download, no files needed.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct DemoArguments {
    /// Write losses.csv, laws.json, analysis.json and pictures/ into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArguments,
}

pub(super) fn run(arguments: &DemoArguments) -> Result<(), CommandError> {
    arguments.refuse_overwrites()?;
    let ladder = Ladder::from_csv(LOSSES.as_bytes(), "the ladder of relscale demo")?;
    let mut options = Options::new(BASELINE);
    options.aggregate = Some(AGGREGATE.to_owned());
    let analysis = analyze(&ladder, &options)?;
    arguments.output.write(&analysis, &[])?;
    let Some(folder) = &arguments.out else {
        note("The table behind this: relscale demo --out DIR. Your own: relscale fit --help.");
        return Ok(());
    };
    write(&analysis, folder)?;
    print(&format!(
        "\nThe table of losses is {0}/losses.csv; laws, analysis and pictures stand beside it. The same \
         again:\n  relscale fit {0}/losses.csv --baseline {BASELINE} --aggregate {AGGREGATE}\n",
        folder.display()
    ))?;
    Ok(())
}

impl DemoArguments {
    /// Refuses two outputs in one file.
    fn refuse_overwrites(&self) -> Result<(), CommandError> {
        let folder = self.out.iter();
        let tables = folder.flat_map(|folder| TABLES.map(|name| folder.join(name)));
        let tables: Vec<PathBuf> = tables.collect();
        let others = tables.iter().map(|path| ("--out", Some(path.as_path())));
        self.output.refuse_overwrites([], others)
    }
}

fn write(analysis: &Analysis, folder: &Path) -> Result<(), CommandError> {
    let pictures = folder.join("pictures");
    fs::create_dir_all(&pictures).map_err(at(&pictures))?;
    let texts = [
        LOSSES.to_owned(),
        serde_json::to_string_pretty(&analysis.summary())?,
        serde_json::to_string_pretty(analysis)?,
    ];
    let mut files: Vec<(String, String)> =
        (TABLES.map(str::to_owned).into_iter()).zip(texts).collect();
    let drawn = plot::all(analysis)?.into_iter();
    files.extend(drawn.map(|(name, svg)| (format!("pictures/{name}"), svg)));
    for (name, text) in files {
        let path = folder.join(name);
        output::write(&path, text).map_err(at(&path))?;
    }
    Ok(())
}
