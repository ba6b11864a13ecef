//! A relative scaling law from checkpoints to picture.
//!
//! Scores the small byte-level models around the frontier of `suite/` on held-out texts, fits how the gap of
//! each text to English documentation evolves with training compute, prints the table and writes
//! `quickstart.json` (the whole analysis), `quickstart.svg` and `quickstart.csv` (the losses, which
//! `relscale fit` reads).
//!
//! ```sh
//! cargo run --release --example quickstart [-- --out DIR]
//! ```

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Evaluation};
use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::{Ladder, RunTable};
use relscale::model::Transformer;
use relscale::report::plot;
use relscale::scorer::{BitsPerByte, cluster_totals};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;

const BASELINE: &str = "english-help";
const AGGREGATE: &str = "aggregate";
/// A language of the training mixture, one with a small share, one without any; a genre; code.
const TREATMENTS: &[&str] = &[
    "german-help",
    "portuguese-help",
    "italian-help",
    "english-novel",
    "python-code",
    "rust-code",
];
/// Token before every window, and the window the models were trained on.
const BOS: u32 = 256;
const WINDOW: usize = 256;

fn main() -> ExitCode {
    let out = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => Ok(PathBuf::from(".")),
        [option, dir] if option == "--out" => Ok(PathBuf::from(dir)),
        _ => Err("usage: quickstart [--out DIR]".to_owned()),
    };
    let result = out.and_then(|out| run(&out).map_err(|e| e.to_string()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out).map_err(|e| format!("{}: {e}", out.display()))?;
    let start = Instant::now();
    let ladder = score(&Path::new(env!("CARGO_MANIFEST_DIR")).join("suite"))?;
    let scored = start.elapsed();

    let mut options = Options::new(BASELINE);
    options.aggregate = Some(AGGREGATE.to_owned());
    let analysis = analyze(&ladder, &options)?;

    print_table(&analysis);
    let [json, svg, csv] = ["json", "svg", "csv"].map(|e| out.join("quickstart").with_extension(e));
    ladder.write_csv(fs::File::create(&csv)?)?;
    fs::write(&json, serde_json::to_string_pretty(&analysis)?)?;
    fs::write(&svg, plot::ratios(&analysis, &analysis.corpora[0].corpus)?)?;
    println!(
        "\nScored in {:.0} s. The picture is in {}, everything behind the table in {}, the losses in {}.",
        scored.as_secs_f64(),
        svg.display(),
        json.display(),
        csv.display()
    );
    Ok(())
}

/// Scores every checkpoint on every distribution.
fn score(suite: &Path) -> Result<Ladder, Box<dyn Error>> {
    let RunTable {
        runs,
        flop_convention,
        ..
    } = RunTable::from_csv(suite.join("ladder.csv"))?;
    let distributions = [&[BASELINE, AGGREGATE], TREATMENTS]
        .concat()
        .iter()
        .map(|name| Items::from_jsonl(suite.join("texts").join(name).with_extension("jsonl")))
        .collect::<Result<Vec<_>, _>>()?;
    println!(
        "Scoring {} checkpoints on {} texts.",
        runs.len(),
        distributions.len()
    );

    // Cost grows with the parameters; the bar shows work, not runs.
    let bar = ProgressBar::new(runs.iter().map(|r| r.run.params as u64).sum()).with_style(
        ProgressStyle::with_template("{bar:40} {percent}% {msg}, {eta} left")?,
    );
    let cpu = Cpu::new();
    let mut ladder = Ladder::builder();
    ladder
        .name("the committed ladder")
        .flop_convention(flop_convention);
    for trained in &runs {
        let run = &trained.run;
        bar.set_message(run.id.clone());
        let model = Transformer::load(trained, cpu.clone())?;
        let tokenizer = Tokenizer::load(trained)?;
        ladder.run(run.clone())?;
        let evaluation = Evaluation::new(&model)
            .tokenizer(&tokenizer)
            .scorers(&[&BitsPerByte])
            .bos(Bos::EveryWindow(BOS))
            .context(WINDOW);
        for warning in evaluation.warnings() {
            bar.println(format!("warning: {}: {warning}", run.id));
        }
        for texts in &distributions {
            let scores = evaluation.run(texts)?;
            for (cluster, total) in cluster_totals(&scores.of("bits_per_byte")?) {
                let loss = total.loss / total.weight;
                ladder.score(&run.id, texts.name(), &cluster, loss, total.weight)?;
            }
        }
        bar.inc(run.params as u64);
    }
    bar.finish_and_clear();
    Ok(ladder.build()?)
}

fn print_table(analysis: &Analysis) {
    let corpus = &analysis.corpora[0];
    let ends = |name: &str| {
        let law = analysis
            .absolute_laws
            .iter()
            .find(|t| t.distribution == name);
        let errors = law.map(|t| t.errors.as_slice()).unwrap_or_default();
        (
            errors.first().copied().unwrap_or(f64::NAN),
            errors.last().copied().unwrap_or(f64::NAN),
        )
    };
    let (least, most) = (
        corpus.scales.first().copied().unwrap_or(f64::NAN),
        corpus.scales.last().copied().unwrap_or(f64::NAN),
    );
    println!(
        "\nE in bits per byte at the compute-optimal model of {least:.0e} and {most:.0e} FLOPs; \
         G = E / E of {BASELINE} = γ·(F/F0)^Δβ, F0 = {:.1e}.\n",
        corpus.reference_flops
    );
    println!(
        "{:<16} {:>8} {:>8} {:>7}  {:>8}  {:<20} {:<12}",
        "distribution",
        format!("{least:.0e}"),
        format!("{most:.0e}"),
        "γ",
        "Δβ",
        "95% interval",
        "the gap"
    );
    let (first, last) = ends(BASELINE);
    println!(
        "{BASELINE:<16} {first:>8.3} {last:>8.3} {:>7}  {:>8}  {:<20} baseline",
        1, "", ""
    );
    for law in &analysis.laws {
        let (first, last) = ends(&law.treatment);
        let interval = format!(
            "[{:+.4}, {:+.4}]",
            law.delta_beta.lower, law.delta_beta.upper
        );
        println!(
            "{:<16} {first:>8.3} {last:>8.3} {:>7.3}  {:>+8.4}  {interval:<20} {}",
            law.treatment,
            law.gamma.value,
            law.delta_beta.value,
            law.verdict.as_str(),
        );
    }
}
