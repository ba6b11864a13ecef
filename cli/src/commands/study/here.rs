//! A study on this machine alone, from its file to the laws.

use std::path::Path;

use relscale::fit::{Options, analyze};
use relscale::ladder::Ladder;

use super::{RunArguments, Shard, merge, plan, score};
use crate::commands::CommandError;
use crate::commands::hub::HubArguments;
use crate::ladder_study;
use crate::output::{print, spinner};
use crate::screen;

/// Plans, scores, merges and fits the study of `file`, and prints the first screen of its laws.
///
/// Plan, logs, `losses.csv`, `analysis.json` and `pictures/` lie in a folder beside the file, with its name.
/// Units that are scored already are left alone.
pub(super) fn run(file: &Path, baseline: &str, hub: &HubArguments) -> Result<(), CommandError> {
    let folder = file.with_extension("");
    plan(file, &folder, hub)?;
    score(&RunArguments {
        folder: folder.clone(),
        names: Vec::new(),
        shard: Some(Shard { k: 0, n: 1 }),
        threads: None,
        device: None,
        hub: hub.clone(),
    })?;
    let losses = folder.join("losses.csv");
    merge(&folder, &losses, None)?;
    let fitting = spinner("Fitting");
    let ladder = Ladder::load_csv(&losses)?;
    let analysis = analyze(&ladder, &Options::new(baseline)).map_err(|e| {
        let table = losses.display();
        format!("not fitted: {e}; the losses are whole: relscale fit {table} --baseline NAME")
    })?;
    fitting.finish_and_clear();
    ladder_study::write_results(&analysis, &folder)?;
    screen::show(&analysis)?;
    print(&format!(
        "\nThe analysis and the pictures are in {}.\n",
        folder.display()
    ))?;
    Ok(())
}
