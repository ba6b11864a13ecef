//! `relscale study preset`: the files of the paper's case studies.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::here;
use crate::commands::hub::HubArguments;
use crate::commands::{CommandError, at};
use crate::engine::EngineBackend;
use crate::json;
use crate::output::{note, print};
use crate::suggest::closest;
use crate::units::CaseStudy;

const AFTER: &str = "\
Examples:
  relscale study preset relative-scaling-laws --runs runs.csv --mmlu mmlu --risk evals studies
  relscale study plan studies/domains.json plans/domains
  relscale study run plans/domains --shard 0/1
  relscale study merge plans/domains --out domains.csv
  relscale fit domains.csv --baseline stem

  relscale study preset relative-scaling-laws --runs runs.csv --mmlu mmlu studies --here

A case study whose data are not named is left out. The files can be edited before they are planned.
Started again with --here, the command goes on from the scores that are there.";

/// Writes one study file per case study of the paper, for any ladder.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(super) struct PresetArguments {
    /// Case studies: MMLU by group of subjects, regional English, behaviours of risk
    preset: Preset,
    /// Folder of the files
    folder: PathBuf,
    /// Table of runs with their checkpoints
    #[arg(long, value_name = "FILE.csv")]
    runs: PathBuf,
    /// Folder of MMLU: test/SUBJECT_test.csv and dev/SUBJECT_dev.csv
    #[arg(long, value_name = "DIR")]
    mmlu: Option<PathBuf>,
    /// Folder of texts, one file or folder per region, such as those of the International Corpus of
    /// English
    #[arg(long, value_name = "DIR")]
    english: Option<PathBuf>,
    /// Folder of model-written behaviours: BEHAVIOUR.jsonl, also in folders
    #[arg(long, value_name = "DIR")]
    risk: Option<PathBuf>,
    /// Backend of the studies: cpu f32, cuda bf16, ...
    #[arg(long, value_name = "NAME", default_value = "cpu f32")]
    backend: String,
    /// Score and fit the case studies on this machine too: losses, laws and pictures in FOLDER/NAME
    #[arg(long)]
    here: bool,
    #[command(flatten)]
    hub: HubArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// The three case studies of arXiv:2510.24626
    RelativeScalingLaws,
}

impl PresetArguments {
    fn data(&self, study: CaseStudy) -> (Option<&Path>, &'static str) {
        match study {
            CaseStudy::Domains => (self.mmlu.as_deref(), "--mmlu"),
            CaseStudy::English => (self.english.as_deref(), "--english"),
            CaseStudy::Risk => (self.risk.as_deref(), "--risk"),
        }
    }
}

pub(super) fn run(arguments: &PresetArguments) -> Result<(), CommandError> {
    let Preset::RelativeScalingLaws = arguments.preset;
    if CaseStudy::ALL
        .iter()
        .all(|study| arguments.data(*study).0.is_none())
    {
        let message = "no data: give at least one of --mmlu, --english and --risk";
        return Err(CommandError::Usage(message.to_owned()));
    }
    EngineBackend::by_name(&arguments.backend)?;
    let full = |path: &Path| std::path::absolute(path).map_err(at(path));
    let (runs, folder) = (full(&arguments.runs)?, &arguments.folder);
    fs::metadata(&runs).map_err(at(&arguments.runs))?;
    fs::create_dir_all(folder).map_err(at(folder))?;
    for study in CaseStudy::ALL {
        let (data, option) = arguments.data(study);
        let Some(data) = data else {
            note(&format!("{}: left out, no {option}", study.name()));
            continue;
        };
        let written = study.study(&runs, full(data)?, &arguments.backend);
        // The distributions are read once now: a wrong folder is refused before anything is written.
        let found = written.distributions[0].load("")?;
        let names: Vec<&str> = found
            .iter()
            .map(relscale::distribution::Distribution::name)
            .collect();
        let path = folder.join(format!("{}.json", study.name()));
        let text = serde_json::to_string_pretty(&written)? + "\n";
        write_new(&path, &text)?;
        print(&format!("{}: {}\n", path.display(), names.join(", ")))?;
        if arguments.here {
            here::run(&path, study.baseline(), &arguments.hub)?;
        } else {
            note(&baseline(study, &names));
        }
    }
    Ok(())
}

/// Writes a study file, but not over one that was edited.
fn write_new(path: &Path, text: &str) -> Result<(), CommandError> {
    if path.exists() {
        let there = relscale::input::text(path, json::SETTINGS).map_err(at(path))?;
        if there == text {
            return Ok(());
        }
        return Err(format!(
            "{}: is there with another content, which would be lost; delete it, or name another folder",
            path.display()
        )
        .into());
    }
    Ok(relscale::output::write(path, text).map_err(at(path))?)
}

/// The baseline of the paper, or that it is not among the data.
fn baseline(study: CaseStudy, names: &[&str]) -> String {
    let wanted = study.baseline();
    if names.contains(&wanted) {
        return format!("  baseline of the paper: --baseline {wanted}");
    }
    match closest(wanted, names.iter().copied()) {
        Some(name) => format!("  baseline of the paper: {wanted}, perhaps --baseline {name}"),
        None => format!("  the baseline of the paper, {wanted}, is not there: choose another"),
    }
}
