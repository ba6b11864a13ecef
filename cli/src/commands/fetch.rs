//! `relscale fetch`: checkpoints of a Hugging Face hub into its cache.

use clap::Args;
use relscale::model::Config;

use super::CommandError;
use crate::hub::{Hub, HubAddress};
use crate::interrupt;
use crate::output::print;
use crate::released::named_runs;

const AFTER: &str = "\
Examples:
  relscale fetch pythia-160m@step3000 pythia-160m@step143000
  relscale fetch hf://ORG/NAME@REVISION
  relscale fetch --list pythia-70m@step1000 pythia-160m@step1000 > runs.csv
  relscale ladder --runs runs.csv --texts DIR --baseline web --out OUT --disk-budget 40GB

A NAME without an organisation is one of a released ladder (`relscale ladder --help`). Without a
revision it is `main`. Only the files that are read are downloaded: configuration, tokenizer and
weights. Files in the cache are not downloaded again, a download that was interrupted goes on where
it ended, and weights with another SHA-256 than the hub's are refused.

HF_HOME is the folder of the cache (default ~/.cache/huggingface), which Python programs share;
HF_TOKEN is the token for private models, HF_ENDPOINT another hub. HF_HUB_OFFLINE=1 asks nothing of
the hub.";

/// Downloads checkpoints and prints their folders.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct FetchArguments {
    /// Checkpoint on the hub: NAME[@REVISION] of a released ladder, or hf://ORG/NAME[@REVISION][/FILE.gguf]
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// Print the table of these runs of released ladders for `ladder --runs`; only the configurations are
    /// downloaded
    #[arg(long)]
    list: bool,
}

pub(super) fn run(arguments: &FetchArguments) -> Result<(), CommandError> {
    let addresses = arguments.names.iter().map(|name| HubAddress::named(name));
    let addresses: Vec<HubAddress> = addresses.collect::<Result<_, _>>()?;
    let hub = Hub::default();
    interrupt::watch()?;
    let result = match arguments.list {
        true => list(&hub, &addresses),
        false => folders(&hub, &addresses),
    };
    result.map_err(|e| {
        let go_on = "what was downloaded is kept; the same command goes on from there";
        CommandError::stopped(e, || go_on.to_owned())
    })
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn folders(hub: &Hub, addresses: &[HubAddress]) -> Result<(), Failure> {
    for address in addresses {
        let held = hub.hold(address.to_string().as_ref(), None)?;
        print(&format!("{}\n", held.checkpoint().path().display()))?;
    }
    Ok(())
}

fn list(hub: &Hub, addresses: &[HubAddress]) -> Result<(), Failure> {
    let mut models = Vec::new();
    for address in addresses {
        let params = Config::load(hub.config(address)?)?.parameters();
        models.push((address.repository(), Some(address.revision()), Some(params)));
    }
    let mut table = named_runs(&models)?;
    for trained in &mut table.runs {
        let name = HubAddress::named(&trained.checkpoint.to_string_lossy())?;
        trained.checkpoint = name.to_string().into();
    }
    let mut csv = Vec::new();
    table.write_csv(&mut csv)?;
    print(&String::from_utf8(csv)?)?;
    Ok(())
}
