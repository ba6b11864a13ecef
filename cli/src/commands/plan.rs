//! `relscale plan`: the runs of an IsoFLOP suite, its cost and its statistical power.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use relscale::fit::power::{PlannedLadder, Search};
use relscale::isoflop::{Bracket, PlannedRun, Recipe, Widths, write_csv};
use relscale::output::NewFile;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::{non_negative, positive};
use super::{CommandError, at, overwrite};
use crate::json;
use crate::output::print;

const AFTER: &str = "\
Examples:
  relscale plan --preset relative-scaling-laws --csv plan.csv
  relscale plan --target-delta-beta 0.0015 --json plan.json
  relscale plan --recipe plan.json --corpora 3 --csv plan.csv";

/// Lists the runs of an IsoFLOP suite, its cost and the exponent it can detect.
#[derive(Debug, Args)]
#[command(after_help = AFTER, allow_negative_numbers = true)]
pub struct PlanArguments {
    /// Recipe to start from
    #[arg(long, value_enum, default_value_t = Preset::RelativeScalingLaws)]
    preset: Preset,
    /// Recipe as JSON, as --json writes it
    #[arg(long, value_name = "FILE.json", conflicts_with = "preset")]
    recipe: Option<PathBuf>,
    /// Write the runs as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write recipe and runs as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Repeat the suite for N corpora; adds a column `corpus` [default: that of --recipe, or 1]
    #[arg(
        long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_CORPORA))
    )]
    corpora: Option<u32>,
    /// Peak of one accelerator, TFLOP/s
    #[arg(long, value_name = "X", default_value_t = 989.0, value_parser = positive)]
    peak_tflops: f64,
    /// Share of the peak that training reaches
    #[arg(long, value_name = "X", default_value_t = 0.4, value_parser = positive)]
    mfu: f64,
    /// Choose budgets, sizes and seeds that detect this exponent
    #[arg(long, value_name = "X", value_parser = non_negative)]
    target_delta_beta: Option<f64>,
    /// Expected optimal parameters at the geometric mean of the budgets [default: 5e8]
    #[arg(long, value_name = "N", value_parser = non_negative, requires = "target_delta_beta")]
    optimum: Option<f64>,
    #[command(flatten)]
    noise: Noise,
}

/// Assumptions about the noise.
#[derive(Debug, Args)]
#[command(next_help_heading = "Assumptions")]
struct Noise {
    /// Margin of the equivalence test, percent of the gap per decade of compute
    #[arg(long, value_name = "X", default_value_t = 0.5, value_parser = non_negative)]
    margin_percent: f64,
    /// Standard deviation of ln G shared by the runs of a budget
    #[arg(long, value_name = "X", default_value_t = 0.001, value_parser = non_negative)]
    budget_noise: f64,
    /// Standard deviation of ln G between the runs of a budget
    #[arg(long, value_name = "X", default_value_t = 0.003, value_parser = non_negative)]
    run_noise: f64,
    /// Standard deviation of the exponent between item clusters
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = non_negative)]
    cluster_noise: f64,
    /// Clusters of test items; 0 for items that are the whole population
    #[arg(
        long, value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=1_000_000)
    )]
    clusters: u32,
}

/// Limit of the corpora, of the option and in a file.
const MOST_CORPORA: u32 = 1_000_000;

/// Limit of the seeds per run in a file. Far beyond any suite, and the exact value does not matter.
const MOST_SEEDS: u32 = 10_000;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// The suite of Held et al. (2025)
    RelativeScalingLaws,
}

impl Noise {
    /// The margin as a slope of ln G per unit of ln F.
    fn margin(&self) -> f64 {
        (1.0 + self.margin_percent / 100.0).ln() / std::f64::consts::LN_10
    }

    /// The plan of a suite, from its own budgets and its smallest number of sizes.
    fn plan_of(&self, recipe: &Recipe, runs: &[PlannedRun], seeds: u32) -> PlannedLadder {
        let sizes = recipe
            .budgets
            .iter()
            .map(|b| runs.iter().filter(|r| r.budget == *b).count() as u32)
            .min()
            .unwrap_or(0);
        PlannedLadder {
            lowest_flops: recipe.budgets.iter().copied().fold(f64::INFINITY, f64::min),
            highest_flops: recipe.budgets.iter().copied().fold(0.0, f64::max),
            budgets: recipe.budgets.len() as u32,
            sizes,
            seeds,
            budget_noise: self.budget_noise,
            run_noise: self.run_noise,
            frontier_error: 0.0,
            cluster_noise: self.cluster_noise,
            clusters: self.clusters,
        }
    }
}

pub(super) fn run(arguments: &PlanArguments) -> Result<(), CommandError> {
    let outputs = [
        ("--csv", arguments.csv.as_deref()),
        ("--json", arguments.json.as_deref()),
    ];
    overwrite::refuse(arguments.recipe.as_deref(), outputs)?;
    let (mut recipe, repeats) = match (&arguments.recipe, arguments.preset) {
        (Some(path), _) => read_recipe(path)?,
        (None, Preset::RelativeScalingLaws) => (Recipe::relative_scaling_laws(), Repeats::ONCE),
    };
    let Repeats { corpora, mut seeds } = repeats;
    let corpora = arguments.corpora.unwrap_or(corpora);
    if let Some(target) = arguments.target_delta_beta {
        seeds = retarget(&mut recipe, target, arguments)?;
    }
    let runs = recipe.runs()?;
    let mut text = table(&recipe, &runs);
    text += &totals(&runs, Repeats { corpora, seeds }, arguments);
    if recipe.budgets.len() >= 3 {
        let noise = &arguments.noise;
        let forecast = noise
            .plan_of(&recipe, &runs, seeds)
            .forecast(noise.margin())?;
        text += &format!(
            "detects |Δβ| ≥ {:.5} with 80% probability at 5%; standard error {:.5}; \
             \"persists\" is concluded for Δβ = 0 with probability {:.2} (margin {}% a decade)\n",
            forecast.minimum_detectable,
            forecast.standard_error,
            forecast.equivalence_power,
            noise.margin_percent
        );
    }
    print(&text)?;
    if let Some(path) = &arguments.csv {
        write_runs(path, &runs, corpora, seeds).map_err(at(path))?;
    }
    if let Some(path) = &arguments.json {
        let all = PlanFile {
            corpora: Some(corpora),
            recipe,
            runs,
            seeds: Some(seeds),
        };
        relscale::output::write(path, serde_json::to_string_pretty(&all)?).map_err(at(path))?;
    }
    Ok(())
}

/// The file that `--json` writes; the recipe and the numbers of corpora and seeds are read.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanFile {
    /// Number of corpora that the suite is repeated for.
    #[serde(default)]
    corpora: Option<u32>,
    /// The recipe.
    recipe: Recipe,
    /// The runs of one corpus.
    #[serde(default)]
    runs: Vec<PlannedRun>,
    /// Number of seeds per run.
    #[serde(default)]
    seeds: Option<u32>,
}

/// Number of times that a recipe is trained.
#[derive(Clone, Copy)]
struct Repeats {
    corpora: u32,
    /// Seeds per run.
    seeds: u32,
}

impl Repeats {
    const ONCE: Self = Self {
        corpora: 1,
        seeds: 1,
    };
}

/// Reads a recipe and how often it is trained: in a file of `--json`, or by itself for once.
fn read_recipe(path: &Path) -> Result<(Recipe, Repeats), CommandError> {
    let text = relscale::input::text(path, json::SETTINGS).map_err(at(path))?;
    let value: serde_json::Value = json::parse(&text).map_err(at(path))?;
    if value.get("recipe").is_none() {
        return Ok((
            serde_json::from_value(value).map_err(at(path))?,
            Repeats::ONCE,
        ));
    }
    let file: PlanFile = serde_json::from_value(value).map_err(at(path))?;
    let count = |field: &str, count: Option<u32>, most: u32| -> Result<u32, CommandError> {
        let count = count.unwrap_or(1);
        if !(1..=most).contains(&count) {
            let path = path.display();
            return Err(format!("{path}: `{field}`: {count} is not in 1..={most}").into());
        }
        Ok(count)
    };
    let repeats = Repeats {
        corpora: count("corpora", file.corpora, MOST_CORPORA)?,
        seeds: count("seeds", file.seeds, MOST_SEEDS)?,
    };
    Ok((file.recipe, repeats))
}

/// Changes the recipe to the cheapest one that detects `target`; returns the seeds per run.
fn retarget(
    recipe: &mut Recipe,
    target: f64,
    arguments: &PlanArguments,
) -> Result<u32, CommandError> {
    let margin = arguments.noise.margin();
    let plan = arguments.noise.plan_of(recipe, &recipe.runs()?, 1);
    let search = Search {
        target,
        margin,
        budgets: 5..=9,
        sizes: 5..=15,
        seeds: 1..=4,
    };
    let Some(chosen) = plan.cheapest(&search)? else {
        let mut message =
            format!("no suite over this range detects {target}; single changes would give:");
        for a in plan.advise(margin)? {
            message += &format!(
                "\n  {:?}: detects {:.5} for {:.1} times the FLOPs",
                a.change, a.forecast.minimum_detectable, a.flops_ratio
            );
        }
        return Err(message.into());
    };
    let optimum = Bracket {
        params: arguments.optimum.unwrap_or(5e8),
        flops: (plan.lowest_flops * plan.highest_flops).sqrt(),
        exponent: 0.5,
        sizes: chosen.sizes,
        span: 8.0,
    };
    *recipe = recipe.clone().for_ladder(&chosen, optimum);
    // Every width that splits into heads, so that sizes on both sides of the optimum exist.
    recipe.widths = vec![Widths {
        highest_budget: None,
        first: recipe.head_dim,
        last: 64 * recipe.head_dim,
        step: recipe.head_dim,
    }];
    Ok(chosen.seeds)
}

/// One line per budget.
fn table(recipe: &Recipe, runs: &[PlannedRun]) -> String {
    let mut text =
        "  budget   runs  hidden        params                 steps            training FLOPs\n"
            .to_owned();
    for &budget in &recipe.budgets {
        let of: Vec<&PlannedRun> = runs.iter().filter(|r| r.budget == budget).collect();
        let span = |f: fn(&PlannedRun) -> f64| {
            let values = of.iter().map(|r| f(r));
            values.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)))
        };
        let (hidden, params) = (span(|r| f64::from(r.hidden)), span(|r| r.params as f64));
        let steps = span(|r| r.steps as f64);
        let flops: f64 = of.iter().map(|r| r.training_flops).sum();
        text += &format!(
            "{budget:8.1e} {:6}  {:4}–{:<6} {:10.3e}–{:<10.3e} {:8}–{:<9} {flops:10.3e}\n",
            of.len(),
            hidden.0,
            hidden.1,
            params.0,
            params.1,
            steps.0,
            steps.1
        );
    }
    text
}

/// Runs, FLOPs and hours of the whole suite.
fn totals(runs: &[PlannedRun], repeats: Repeats, arguments: &PlanArguments) -> String {
    let Repeats { corpora, seeds } = repeats;
    let copies = f64::from(corpora) * f64::from(seeds);
    let training: f64 = runs.iter().map(|r| r.training_flops).sum();
    let six_nd: f64 = runs.iter().map(PlannedRun::six_nd).sum();
    let peak = arguments.peak_tflops * 1e12;
    let hours: f64 = runs.iter().map(|r| r.hours(peak, arguments.mfu)).sum();
    format!(
        "{} runs ({corpora} corpora, {seeds} seeds): {:.3e} training FLOPs exact, {:.3e} by 6ND; \
         {:.0} hours of one accelerator at {:.0}% of {} TFLOP/s\n",
        runs.len() as u64 * u64::from(corpora) * u64::from(seeds),
        training * copies,
        six_nd * copies,
        hours * copies,
        100.0 * arguments.mfu,
        arguments.peak_tflops
    )
}

/// Writes every run of every corpus and seed. The columns `corpus` and `seed` are there where there are
/// several.
fn write_runs(path: &Path, runs: &[PlannedRun], corpora: u32, seeds: u32) -> std::io::Result<()> {
    let mut table = Vec::new();
    write_csv(runs, &mut table)?;
    let table = String::from_utf8_lossy(&table);
    let file = NewFile::create(path)?;
    let mut out = BufWriter::new(file.file());
    let (header, lines) = table.split_once('\n').unwrap_or((&table, ""));
    let column = |count: u32, text: String| match count {
        1 => String::new(),
        _ => format!("{text},"),
    };
    let (corpus, seed) = (
        column(corpora, "corpus".into()),
        column(seeds, "seed".into()),
    );
    writeln!(out, "{corpus}{seed}{header}")?;
    for corpus in 1..=corpora {
        let corpus = column(corpora, corpus.to_string());
        for line in lines.lines() {
            for seed in 1..=seeds {
                writeln!(out, "{corpus}{}{line}", column(seeds, seed.to_string()))?;
            }
        }
    }
    out.flush()?;
    drop(out);
    file.publish()
}
