//! Plans an IsoFLOP suite: the list of runs, what it costs and what it can detect.
//!
//! ```sh
//! relscale plan --preset relative-scaling-laws --csv plan.csv
//! ```

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::program::start;
use relscale::fit::power::{PlannedLadder, Search};
use relscale::isoflop::{Bracket, PlannedRun, Recipe, Widths, write_csv};

const USAGE: &str = "usage: relscale plan [--preset relative-scaling-laws | --recipe FILE.json]
  --csv FILE             write the runs as CSV
  --json FILE            write recipe and runs as JSON; its `recipe` is what --recipe reads
  --corpora N            repeat the suite for N corpora (a column `corpus` is added)
  --peak-tflops X        peak of one accelerator, 989 by default
  --mfu X                share of it that training reaches, 0.4 by default
  --target-delta-beta X  choose budgets, sizes and seeds that detect this exponent
  --margin-percent X     margin of the equivalence test in percent of G a decade, 0.5 by default
  --budget-noise X       sd of ln G shared by the runs of a budget, 0.001 by default
  --run-noise X          sd of ln G between the runs of a budget, 0.003 by default
  --cluster-noise X      sd between item clusters of the exponent, 0 by default
  --clusters N           clusters of test items, 0 (exhaustive) by default
  --optimum N            expected optimal parameters at the geometric mean of the budgets, 5e8 by
                         default; used with --target-delta-beta";

struct Arguments {
    recipe: Option<PathBuf>,
    csv: Option<PathBuf>,
    json: Option<PathBuf>,
    corpora: u32,
    peak: f64,
    mfu: f64,
    target: Option<f64>,
    margin_percent: f64,
    budget_noise: f64,
    run_noise: f64,
    cluster_noise: f64,
    clusters: u32,
    optimum: f64,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut found = Arguments {
        recipe: None,
        csv: None,
        json: None,
        corpora: 1,
        peak: 989.0,
        mfu: 0.4,
        target: None,
        margin_percent: 0.5,
        budget_noise: 0.001,
        run_noise: 0.003,
        cluster_noise: 0.0,
        clusters: 0,
        optimum: 5e8,
    };
    while let Some(option) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("{option} needs a value"))
        };
        let number = |text: String| {
            let parsed = text
                .parse::<f64>()
                .ok()
                .filter(|x| x.is_finite() && *x >= 0.0);
            parsed.ok_or_else(|| format!("{option}: `{text}` is not a number from 0 on"))
        };
        let count = |text: String| {
            let parsed = text.parse::<u32>().ok().filter(|n| *n <= 1_000_000);
            parsed.ok_or_else(|| format!("{option}: `{text}` is not a count"))
        };
        match option.as_str() {
            "--preset" => {
                let preset = value()?;
                if preset != "relative-scaling-laws" {
                    return Err(format!("--preset: `{preset}` is not relative-scaling-laws"));
                }
            }
            "--recipe" => found.recipe = Some(value()?.into()),
            "--csv" => found.csv = Some(value()?.into()),
            "--json" => found.json = Some(value()?.into()),
            "--corpora" => found.corpora = count(value()?)?.max(1),
            "--peak-tflops" => found.peak = number(value()?)?,
            "--mfu" => found.mfu = number(value()?)?,
            "--target-delta-beta" => found.target = Some(number(value()?)?),
            "--margin-percent" => found.margin_percent = number(value()?)?,
            "--budget-noise" => found.budget_noise = number(value()?)?,
            "--run-noise" => found.run_noise = number(value()?)?,
            "--cluster-noise" => found.cluster_noise = number(value()?)?,
            "--clusters" => found.clusters = count(value()?)?,
            "--optimum" => found.optimum = number(value()?)?,
            _ => return Err(format!("unknown option {option}")),
        }
    }
    Ok(found)
}

fn read_recipe(path: &PathBuf) -> Result<Recipe, Box<dyn Error>> {
    let value: serde_json::Value = serde_json::from_reader(File::open(path)?)?;
    Ok(serde_json::from_value(
        value.get("recipe").cloned().unwrap_or(value),
    )?)
}

/// What the suite can detect, from its own budgets and its smallest number of sizes.
fn plan_of(recipe: &Recipe, runs: &[PlannedRun], arguments: &Arguments) -> PlannedLadder {
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
        seeds: 1,
        budget_noise: arguments.budget_noise,
        run_noise: arguments.run_noise,
        frontier_error: 0.0,
        cluster_noise: arguments.cluster_noise,
        clusters: arguments.clusters,
    }
}

fn write_runs(path: &PathBuf, runs: &[PlannedRun], corpora: u32) -> Result<(), Box<dyn Error>> {
    let mut table = Vec::new();
    write_csv(runs, &mut table)?;
    let table = String::from_utf8(table)?;
    let mut out = BufWriter::new(File::create(path)?);
    if corpora == 1 {
        out.write_all(table.as_bytes())?;
    } else {
        let (header, lines) = table.split_once('\n').unwrap_or((&table, ""));
        writeln!(out, "corpus,{header}")?;
        for corpus in 1..=corpora {
            for line in lines.lines() {
                writeln!(out, "{corpus},{line}")?;
            }
        }
    }
    out.flush()?;
    Ok(())
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut recipe = match &arguments.recipe {
        Some(path) => read_recipe(path).map_err(|e| format!("{}: {e}", path.display()))?,
        None => Recipe::relative_scaling_laws(),
    };
    let mut runs = recipe.runs()?;
    let margin = (1.0 + arguments.margin_percent / 100.0).ln() / std::f64::consts::LN_10;
    let mut seeds = 1;
    if let Some(target) = arguments.target {
        let plan = plan_of(&recipe, &runs, arguments);
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
            params: arguments.optimum,
            flops: (plan.lowest_flops * plan.highest_flops).sqrt(),
            exponent: 0.5,
            sizes: chosen.sizes,
            span: 8.0,
        };
        seeds = chosen.seeds;
        recipe = recipe.for_ladder(&chosen, optimum);
        // Every width that splits into heads, so that sizes on both sides of the optimum exist.
        recipe.widths = vec![Widths {
            highest_budget: None,
            first: recipe.head_dim,
            last: 64 * recipe.head_dim,
            step: recipe.head_dim,
        }];
        runs = recipe.runs()?;
    }
    println!(
        "  budget   runs  hidden        params                 steps            training FLOPs"
    );
    for &budget in &recipe.budgets {
        let of: Vec<&PlannedRun> = runs.iter().filter(|r| r.budget == budget).collect();
        let span = |f: fn(&PlannedRun) -> f64| {
            let values = of.iter().map(|r| f(r));
            values.fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(v), h.max(v)))
        };
        let (hidden, params) = (span(|r| f64::from(r.hidden)), span(|r| r.params as f64));
        let steps = span(|r| r.steps as f64);
        let flops: f64 = of.iter().map(|r| r.training_flops).sum();
        println!(
            "{budget:8.1e} {:6}  {:4}–{:<6} {:10.3e}–{:<10.3e} {:8}–{:<9} {flops:10.3e}",
            of.len(),
            hidden.0,
            hidden.1,
            params.0,
            params.1,
            steps.0,
            steps.1
        );
    }
    let copies = f64::from(arguments.corpora) * f64::from(seeds);
    let training: f64 = runs.iter().map(|r| r.training_flops).sum();
    let six_nd: f64 = runs.iter().map(PlannedRun::six_nd).sum();
    let peak = arguments.peak * 1e12;
    let hours: f64 = runs.iter().map(|r| r.hours(peak, arguments.mfu)).sum();
    println!(
        "{} runs ({} corpora, {seeds} seeds): {:.3e} training FLOPs exact, {:.3e} by 6ND; \
         {:.0} hours of one accelerator at {:.0}% of {} TFLOP/s",
        runs.len() as u32 * arguments.corpora * seeds,
        arguments.corpora,
        training * copies,
        six_nd * copies,
        hours * copies,
        100.0 * arguments.mfu,
        arguments.peak
    );
    if recipe.budgets.len() >= 3 {
        let plan = PlannedLadder {
            seeds,
            ..plan_of(&recipe, &runs, arguments)
        };
        let forecast = plan.forecast(margin)?;
        println!(
            "detects |Δβ| ≥ {:.5} with 80% probability at 5%; standard error {:.5}; \
             \"persists\" is concluded for Δβ = 0 with probability {:.2} (margin {}% a decade)",
            forecast.minimum_detectable,
            forecast.standard_error,
            forecast.equivalence_power,
            arguments.margin_percent
        );
    }
    if let Some(path) = &arguments.csv {
        write_runs(path, &runs, arguments.corpora)
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if let Some(path) = &arguments.json {
        let all = serde_json::json!({
            "recipe": recipe, "corpora": arguments.corpora, "seeds": seeds, "runs": runs,
        });
        std::fs::write(path, serde_json::to_string_pretty(&all)?)
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Runs the command on the words behind its name.
pub fn main(words: impl Iterator<Item = String>) -> ExitCode {
    start(arguments(words), USAGE, run)
}
