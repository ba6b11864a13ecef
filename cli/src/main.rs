//! The program `relscale`: scores ladders of checkpoints and fits relative scaling laws.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    relscale_cli::commands::main()
}
