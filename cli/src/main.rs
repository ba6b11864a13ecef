//! The program `relscale`: scores ladders of checkpoints and fits relative scaling laws.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use relscale_cli::commands::{fit, ladder, plan, score, study};

const USAGE: &str = "\
Relative scaling laws: how the gap between test distributions evolves with training compute.

usage: relscale COMMAND [OPTIONS]

  fit       laws of a table of losses
  score     log-likelihoods of the items of a file under a checkpoint
  ladder    a folder of checkpoints to scores, laws and pictures
  study     a study cut into units of work for many machines
  plan      the runs, the cost and the power of an IsoFLOP suite

`relscale COMMAND --help` lists the options of a command.";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("fit") => fit::main(words),
        Some("score") => score::main(words),
        Some("ladder") => ladder::main(words),
        Some("study") => study::main(words),
        Some("plan") => plan::main(words),
        Some("--help" | "-h") => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("relscale {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(other) => {
            eprintln!("there is no command `{other}`\n\n{USAGE}");
            ExitCode::from(2)
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}
