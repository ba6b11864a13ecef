//! `relscale simulate`: ladders of known truth, as tables.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use relscale::fit::simulate::{Scenario, Simulation};
use relscale::ladder::Ladder;
use relscale::output::{self, NewFile};
use schemars::JsonSchema;
use serde::Serialize;

use super::fields::{read_fields, typed};
use super::{CommandError, at, overwrite};
use crate::output::{note, print};
use crate::suggest::did_you_mean;

const AFTER: &str = "\
Examples:
  relscale simulate --out losses.csv
  relscale simulate --scenario heavy-tails --replicate 3 --out losses.csv --truth truth.json
  relscale simulate --simulation simulation.toml --out losses.csv
  relscale simulate | relscale fit - --baseline baseline --aggregate aggregate

The table is one that `relscale fit` reads. The truth holds the exponents that a fit should find, and the
whole simulation, which can be changed and given as --simulation.";

/// Draws a ladder whose laws are known, to test an analysis.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct SimulateArguments {
    /// Laws, design and noise
    #[arg(long, value_parser = scenario(), default_value = "plain")]
    scenario: Scenario,
    /// Simulation in TOML or JSON, with the names of `relscale schema simulation`, or a truth, whose
    /// simulation is used again
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    simulation: Option<PathBuf>,
    /// Distribution that the exponents are against
    #[arg(long, value_name = "NAME", default_value = "baseline")]
    baseline: String,
    /// Number of the draw: the design is the same in all, noise and items are new
    #[arg(long, value_name = "N", default_value_t = 0)]
    replicate: u64,
    /// Seed of everything [default: that of the simulation]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Table of losses [default: standard output]
    #[arg(long, value_name = "FILE.csv")]
    out: Option<PathBuf>,
    /// Write the truth as JSON [default: beside the table, FILE.truth.json]
    #[arg(long, value_name = "FILE.json")]
    truth: Option<PathBuf>,
}

/// The scenarios by name, with the sentence that describes each in the library.
fn scenario() -> impl TypedValueParser<Value = Scenario> {
    let schema = serde_json::to_value(schemars::schema_for!(Scenario)).unwrap_or_default();
    let all = schema["oneOf"].as_array().into_iter().flatten();
    let values = all.filter_map(|variant| {
        let (name, help) = (variant["const"].as_str()?, variant["description"].as_str()?);
        // Names of options are asked for once and live as long as the program.
        let value = PossibleValue::new(&*name.replace('_', "-").leak());
        Some(value.help(help.trim_end_matches('.').to_owned()))
    });
    PossibleValuesParser::new(values.collect::<Vec<_>>())
        .try_map(|name| serde_json::from_value(name.replace('-', "_").into()))
}

/// The truth behind a table.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TruthFile {
    /// Exponents of the ratio of each distribution to the baseline.
    exponents: Vec<TrueExponent>,
    /// Number of the draw.
    replicate: u64,
    /// The simulation.
    simulation: Simulation,
}

/// An exponent that a fit should find.
#[derive(Debug, Serialize, JsonSchema)]
struct TrueExponent {
    /// The treatment.
    treatment: String,
    /// The baseline.
    baseline: String,
    /// The exponent of their ratio.
    delta_beta: f64,
}

pub(super) fn run(arguments: &SimulateArguments) -> Result<(), CommandError> {
    let beside = arguments.out.as_ref();
    let beside = beside.map(|out| out.with_extension("truth.json"));
    let truth = arguments.truth.as_ref().or(beside.as_ref());
    let outputs = [
        ("--out", arguments.out.as_deref()),
        ("--truth", truth.map(PathBuf::as_path)),
    ];
    overwrite::refuse(arguments.simulation.as_deref(), outputs)?;
    let mut simulation = match &arguments.simulation {
        Some(path) => typed(path, read_fields(path, "simulation", "exponents")?)?,
        None => Simulation::scenario(arguments.scenario),
    };
    if let Some(seed) = arguments.seed {
        simulation.seed = seed;
    }
    let exponents = exponents(&simulation, &arguments.baseline)?;
    let ladder = simulation.ladder(arguments.replicate)?;
    write_table(&ladder, arguments.out.as_deref())?;
    let mut said = format!(
        "{} runs on {} distributions",
        ladder.runs().len(),
        ladder.scores().len()
    );
    for e in &exponents {
        // Rounding of equal exponents would show as -0.00000.
        let shown = (e.delta_beta * 1e5).round() / 1e5 + 0.0;
        said += &format!("; Δβ of {} is {shown:+.5}", e.treatment);
    }
    if let Some(path) = truth {
        let truth = TruthFile {
            exponents,
            replicate: arguments.replicate,
            simulation,
        };
        output::write(path, serde_json::to_string_pretty(&truth)?).map_err(at(path))?;
        said += &format!("; the truth is in {}", path.display());
    }
    note(&said);
    Ok(())
}

/// The true exponents against a distribution.
fn exponents(simulation: &Simulation, baseline: &str) -> Result<Vec<TrueExponent>, CommandError> {
    let names = || simulation.distributions.iter().map(|d| d.name.as_str());
    let Some(b) = names().position(|name| name == baseline) else {
        let (all, meant) = (
            names().collect::<Vec<_>>().join(", "),
            did_you_mean(baseline, names()),
        );
        return Err(format!("--baseline {baseline}: the simulation has {all}{meant}").into());
    };
    let mut exponents = Vec::new();
    for (t, name) in names().enumerate().filter(|(t, _)| *t != b) {
        exponents.push(TrueExponent {
            treatment: name.to_owned(),
            baseline: baseline.to_owned(),
            delta_beta: simulation.exponent(t, b)?,
        });
    }
    Ok(exponents)
}

fn write_table(ladder: &Ladder, path: Option<&Path>) -> Result<(), CommandError> {
    let Some(path) = path else {
        // Through memory, so that a closed pipe ends quietly.
        let mut table = Vec::new();
        ladder.write_csv(&mut table)?;
        print(&String::from_utf8(table)?)?;
        return Ok(());
    };
    let file = NewFile::create(path).map_err(at(path))?;
    let mut out = BufWriter::new(file.file());
    ladder.write_csv(&mut out).map_err(at(path))?;
    out.flush().map_err(at(path))?;
    drop(out);
    file.publish().map_err(at(path))?;
    Ok(())
}
