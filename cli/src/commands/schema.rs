//! `relscale schema`: JSON Schemas of the JSON that the program reads and writes.

mod log;

use clap::{Args, ValueEnum};
use relscale::fit::simulate::Simulation;
use relscale::fit::{Analysis, Options, Summary};
use relscale::isoflop::Recipe;
use schemars::{Schema, schema_for};
use serde_json::Value;

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
    /// A line of a score log, in OUT/logs of `ladder` and the folder of a plan
    Log,
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
            Self::Log => schema_for!(log::LogLine),
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
    let mut schema = arguments.name.schema()?.to_value();
    explain(&mut schema);
    print(&format!("{}\n", serde_json::to_string_pretty(&schema)?))?;
    Ok(())
}

/// Turns the descriptions, which are documentation of Rust, into plain sentences.
fn explain(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => *text = plain(text),
                    value => explain(value),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(explain),
        _ => {}
    }
}

/// The text before the first heading, in one line, without the targets of its links.
fn plain(text: &str) -> String {
    let before = text.split("\n\n# ").next().unwrap_or_default();
    let words: Vec<&str> = before.split_whitespace().collect();
    let mut rest = words.join(" ");
    let mut plain = String::new();
    while let Some((start, after)) = rest.split_once('[') {
        plain += start;
        let link = after.split_once(']').and_then(|(name, tail)| {
            match tail.strip_prefix('(').and_then(|t| t.split_once(')')) {
                Some((_, tail)) => Some((name, tail)),
                // An interval such as [0, 1] is no link.
                None => name.starts_with('`').then_some((name, tail)),
            }
        });
        let Some((name, tail)) = link else {
            plain.push('[');
            rest = after.to_owned();
            continue;
        };
        plain += name;
        rest = tail.to_owned();
    }
    plain + &rest
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn documentation_becomes_sentences() {
        for (text, wanted) in [
            ("The scale.", "The scale."),
            (
                "Draws ([`FloorRatio`](super::FloorRatio)), a\nmultiple.",
                "Draws (`FloorRatio`), a multiple.",
            ),
            ("As [the guide](x.md) says.", "As the guide says."),
            (
                "Scorers ([`Scores::scorer`]) here.",
                "Scorers (`Scores::scorer`) here.",
            ),
            (
                "Share in [0, 1] of it.\n\nMore.\n\n# Examples\n```\nx\n```",
                "Share in [0, 1] of it. More.",
            ),
        ] {
            assert_eq!(plain(text), wanted);
        }
    }
}
