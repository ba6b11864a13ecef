//! A ladder of checkpoints on a folder of texts: scores, laws and pictures in one go.

use std::error::Error;
use std::path::{Path, PathBuf};

use relscale::distribution::{Distribution, Items};
use relscale::evaluate::Settings;
use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::{Ladder, RunTable, TrainedRun};
use relscale::log::export_csv;
use relscale::output;
use relscale::report::plot;
use relscale::scorer::{BitsPerByte, Scorer};

use crate::engine::Engine;
use crate::output::{note, spinner};
use crate::readers::texts::{self, TextFields};
use crate::runs::{Tables, Task, score};
use crate::suggest::did_you_mean;

type Failure = Box<dyn Error + Send + Sync>;

/// A ladder, its test distributions and a folder for the results.
///
/// Scores go through logs in `<out>/logs`: a study that was interrupted resumes, and changed texts or
/// checkpoints are refused.
///
/// Exhaustive: callers build it by its fields.
#[derive(Debug, Clone)]
pub struct LadderStudy {
    /// Runs with their checkpoints.
    pub table: RunTable,
    /// Name of the ladder in the results.
    pub name: String,
    /// Folder of the distributions ([`texts::regions`]).
    pub texts: PathBuf,
    /// Baseline, aggregate and all that the estimator can be asked.
    pub options: Options,
    /// Folder of the results.
    pub out: PathBuf,
    /// Windows and batches.
    pub settings: Settings,
    /// If true, special tokens written in a text become their ids.
    pub special_tokens: bool,
    /// Backend that runs the checkpoints.
    pub engine: Engine,
}

impl LadderStudy {
    /// Scores, fits and draws; returns the laws and the number of documents scored by this call.
    ///
    /// Writes `runs.csv`, `scores.csv`, `analysis.json` and `pictures/*.svg`.
    ///
    /// # Errors
    /// A baseline or aggregate that is not among the texts; texts or checkpoints that cannot be read;
    /// losses that cannot be fitted; [`relscale::Error::Interrupted`] if the user asks to stop
    /// ([`interrupt::watch`](crate::interrupt::watch)).
    pub fn run(&self) -> Result<(Analysis, usize), Failure> {
        let distributions = self.distributions()?;
        output::create_folder(&self.out)?;
        let mut csv = Vec::new();
        self.table.write_csv(&mut csv)?;
        output::write(self.out.join("runs.csv"), csv)?;

        let scorers: &[&dyn Scorer] = &[&BitsPerByte];
        let task = |items| Task {
            log: Items::name(items).to_owned(),
            items,
            scorers,
        };
        let tasks: Vec<Task<'_>> = distributions.iter().map(task).collect();
        let logs = self.out.join("logs");
        note(&format!(
            "Scoring {} documents with {} checkpoints; items that {} holds already are not scored again.",
            distributions.iter().map(Items::len).sum::<usize>(),
            self.table.runs.len(),
            logs.display()
        ));
        // One run at a time: a model of a released ladder uses the whole device.
        let (tables, scored) = score(
            &self.table.runs,
            &tasks,
            &logs,
            &self.settings,
            self.special_tokens,
            &self.engine,
            1,
        )?;
        let fitting = spinner("Fitting");
        let analysis = self.fit(&tasks, &tables)?;
        fitting.finish_and_clear();
        write_results(&analysis, &self.out)?;
        Ok((analysis, scored))
    }

    fn distributions(&self) -> Result<Vec<Items>, Failure> {
        let found = texts::regions(&self.texts, &TextFields::default())?;
        note_others(&self.texts)?;
        let names: Vec<&str> = found.iter().map(Items::name).collect();
        for wanted in [
            Some(&self.options.baseline),
            self.options.aggregate.as_ref(),
        ] {
            if let Some(wanted) = wanted.filter(|w| !names.contains(&w.as_str())) {
                let (texts, names) = (self.texts.display(), names.join(", "));
                let meant = did_you_mean(wanted, found.iter().map(Items::name));
                return Err(format!("{texts} has no `{wanted}`; it has {names}{meant}").into());
            }
        }
        Ok(found)
    }

    /// Writes the losses of all logs and fits them.
    fn fit(&self, tasks: &[Task<'_>], tables: &Tables) -> Result<Analysis, Failure> {
        let convention = self.table.flop_convention;
        let mut builder = Ladder::builder();
        builder.name(&self.name).flop_convention(convention);
        let mut logs = Vec::new();
        for TrainedRun { run, .. } in &self.table.runs {
            builder.run(run.clone())?;
            for task in tasks {
                let log = &tables[&(run.id.clone(), task.log.clone())];
                log.add_to(&mut builder, run, BitsPerByte.name())?;
                logs.push((run, log));
            }
        }
        let scores = self.out.join("scores.csv");
        export_csv(&scores, &logs, BitsPerByte.name(), convention)?;

        let fitted = analyze(&builder.build()?, &self.options);
        Ok(fitted
            .map_err(|e| format!("not fitted: {e}; the losses are in {}", scores.display()))?)
    }
}

/// Notes what lies beside the regions of a folder and is left out.
pub(crate) fn note_others(folder: &Path) -> Result<(), relscale::Error> {
    let others = texts::others(folder)?;
    if !others.is_empty() {
        let names = others.iter().filter_map(|path| path.file_name());
        let names: Vec<_> = names.map(|name| name.to_string_lossy()).collect();
        let folder = folder.display();
        note(&format!(
            "note: {folder}: left out, not texts: {}",
            names.join(", ")
        ));
    }
    Ok(())
}

/// Writes `analysis.json` and `pictures/*.svg` in `folder`.
pub(crate) fn write_results(analysis: &Analysis, folder: &Path) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(analysis)?;
    output::write(folder.join("analysis.json"), json)?;
    let pictures = folder.join("pictures");
    output::create_folder(&pictures)?;
    for (name, svg) in plot::all(analysis)? {
        output::write(pictures.join(name), svg)?;
    }
    Ok(())
}
