//! `relscale schema`: JSON Schemas of the JSON that the program reads and writes.

use clap::{Args, ValueEnum};
use relscale::fit::simulate::Simulation;
use relscale::fit::{Analysis, Options, Summary};
use relscale::isoflop::Recipe;
use schemars::{Schema, schema_for};

use super::CommandError;
use super::plan::PlanFile;
use super::simulate::TruthFile;
use crate::output::print;
use crate::units::{Study, StudyPlan};

const AFTER: &str = "\
Examples:
  relscale schema options
  relscale schema laws > laws.schema.json";

/// Prints a JSON Schema of a file that the program reads or writes.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct SchemaArguments {
    /// The file
    #[arg(value_enum)]
    name: SchemaName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaName {
    /// The file of `fit --options`
    Options,
    /// The laws that `fit --json` writes
    Laws,
    /// The analysis that `fit --json --details` and `ladder` write and `report` reads
    Analysis,
    /// A line of the file of `score --items`
    Item,
    /// A line of the file of `score --out`
    Score,
    /// The recipe of `plan --recipe`
    Recipe,
    /// The plan that `plan --json` writes
    Plan,
    /// The file of `study plan`
    Study,
    /// The plan.json that `study plan` writes
    StudyPlan,
    /// The file of `simulate --simulation`
    Simulation,
    /// The truth that `simulate` writes
    Truth,
}

impl SchemaName {
    fn schema(self) -> Result<Schema, serde_json::Error> {
        Ok(match self {
            Self::Options => schema_for!(Options),
            Self::Laws => schema_for!(Summary<'static>),
            Self::Analysis => schema_for!(Analysis),
            // Their lines are read and written field by field, without a type that could be derived
            // from.
            Self::Item => serde_json::from_str(include_str!("schema/item.json"))?,
            Self::Score => serde_json::from_str(include_str!("schema/score.json"))?,
            Self::Recipe => schema_for!(Recipe),
            Self::Plan => schema_for!(PlanFile),
            Self::Study => schema_for!(Study),
            Self::StudyPlan => schema_for!(StudyPlan),
            Self::Simulation => schema_for!(Simulation),
            Self::Truth => schema_for!(TruthFile),
        })
    }
}

pub(super) fn run(arguments: &SchemaArguments) -> Result<(), CommandError> {
    let schema = serde_json::to_string_pretty(&arguments.name.schema()?)?;
    print(&format!("{schema}\n"))?;
    Ok(())
}
