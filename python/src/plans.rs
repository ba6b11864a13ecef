//! Ladders that do not exist yet: of known truth, and planned.

use std::sync::Arc;

use pyo3::prelude::*;
use relscale::fit::Options;
use relscale::fit::power::PlannedLadder;
use relscale::fit::simulate::{Scenario, Simulation};
use relscale::isoflop::Recipe;
use serde_json::{Map, Value, json};

use crate::errors::{Raise, interruptible, of_json, raise, to_json};
use crate::ladder::Ladder;

/// The scenarios, in the order of the crate.
const SCENARIOS: [Scenario; 9] = [
    Scenario::Plain,
    Scenario::Items,
    Scenario::HomogeneousItems,
    Scenario::HeavyTails,
    Scenario::BudgetShock,
    Scenario::DriftingGrid,
    Scenario::ShapeDrift,
    Scenario::BothDrifts,
    Scenario::HeldOut,
];

/// Names of the scenarios.
#[pyfunction]
pub(crate) fn scenarios() -> Vec<String> {
    let name = |s: &Scenario| match serde_json::to_value(s) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    };
    SCENARIOS.iter().map(name).collect()
}

/// The simulation of a scenario's name or of JSON, with some of its fields changed.
fn simulation(py: Python<'_>, text: &str, changes: &str) -> PyResult<Simulation> {
    let refused = |e: serde_json::Error| of_json(py, "OptionError", &e);
    let start: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(refused)?
    } else {
        let scenario: Scenario = serde_json::from_value(Value::from(text)).map_err(refused)?;
        serde_json::to_value(Simulation::scenario(scenario)).map_err(refused)?
    };
    let mut fields: Map<String, Value> = serde_json::from_value(start).map_err(refused)?;
    let changes: Map<String, Value> = serde_json::from_str(changes).map_err(refused)?;
    fields.extend(changes);
    serde_json::from_value(Value::from(fields)).map_err(refused)
}

/// Draws a ladder; returns it with the true exponents and the simulation as JSON.
#[pyfunction]
pub(crate) fn simulate(
    py: Python<'_>,
    text: &str,
    changes: &str,
    baseline: &str,
    replicate: u64,
) -> PyResult<(Ladder, String)> {
    let simulation = simulation(py, text, changes)?;
    let names = || simulation.distributions.iter().map(|d| d.name.as_str());
    let Some(b) = names().position(|name| name == baseline) else {
        let all = names().collect::<Vec<_>>().join(", ");
        let message = format!("baseline {baseline:?}: the simulation has {all}");
        return Err(raise(py, "OptionError", &message));
    };
    let mut exponents = Map::new();
    for (t, name) in names().enumerate().filter(|(t, _)| *t != b) {
        let exponent = simulation.exponent(t, b).map_err(|e| e.raised(py))?;
        exponents.insert(name.to_owned(), exponent.into());
    }
    let truth = json!({"exponents": exponents, "simulation": simulation});
    let ladder = interruptible(py, move || simulation.ladder(replicate))?;
    Ok((Ladder(Arc::new(ladder)), to_json(py, &truth)?))
}

/// The recipe of the paper's suite or one in JSON, with some of its fields changed, and its runs, as JSON.
#[pyfunction]
pub(crate) fn plan(py: Python<'_>, recipe: Option<&str>, changes: &str) -> PyResult<String> {
    let refused = |e: serde_json::Error| of_json(py, "OptionError", &e);
    let start: Value = match recipe {
        Some(text) => serde_json::from_str(text),
        None => serde_json::to_value(Recipe::relative_scaling_laws()),
    }
    .map_err(refused)?;
    let mut fields: Map<String, Value> = serde_json::from_value(start).map_err(refused)?;
    let changes: Map<String, Value> = serde_json::from_str(changes).map_err(refused)?;
    fields.extend(changes);
    let recipe: Recipe = serde_json::from_value(Value::from(fields)).map_err(refused)?;
    interruptible(py, move || {
        let runs = recipe.runs().map_err(Refused)?;
        Ok::<_, Refused>(json!({"recipe": recipe, "runs": runs}))
    })
    .and_then(|plan| to_json(py, &plan))
}

/// An error of a recipe.
struct Refused(relscale::isoflop::RecipeError);

impl Raise for Refused {
    fn raised(self, py: Python<'_>) -> PyErr {
        raise(py, "OptionError", &self.0.to_string())
    }
}

/// The analysis expected of a planned ladder, both as JSON.
#[pyfunction]
pub(crate) fn forecast(py: Python<'_>, planned: &str, margin_percent: f64) -> PyResult<String> {
    let planned: PlannedLadder =
        serde_json::from_str(planned).map_err(|e| of_json(py, "OptionError", &e))?;
    let mut options = Options::new("");
    options.margin_percent = margin_percent;
    let forecast = interruptible(py, move || planned.forecast(options.margin()))?;
    to_json(py, &forecast)
}
