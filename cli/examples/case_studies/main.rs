//! The three case studies of relative scaling laws on any ladder of checkpoints: knowledge domains,
//! regional English, and behaviours of risk.
//!
//! ```sh
//! cargo run --release -p relscale-cli --example case_studies -- --data DIR --out DIR
//! cargo run --release -p relscale-cli --example case_studies -- --data DIR --out DIR --runs runs.csv
//! ```
//!
//! Without `--runs` the ladder is that of small byte-level models in `suite/`. With it, the
//! beginning-of-sequence token follows the tokenizers and the window is the shortest context of the
//! ladder. `--help` lists the files that the data folder must hold. Every score goes through a log in
//! `OUT/logs`, so that an interrupted run resumes. The example prints three tables and writes for
//! every part of them the analysis (JSON), the pictures of ratios and exponents (SVG), and the losses
//! by item (CSV, for `relscale fit`).

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use relscale_cli::output::{note, print};

use study::{Arguments, run};

mod study;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let start = Instant::now();
    let result = run(&arguments).and_then(|(text, scored)| {
        let seconds = start.elapsed().as_secs_f64();
        let out = arguments.out.display();
        Ok(print(&format!(
            "{text}\nScored {scored} items in {seconds:.0} s; pictures, analyses and losses are in {out}.\n"
        ))?)
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}
