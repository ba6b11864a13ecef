//! How a program begins and ends.

use std::fmt::Display;
use std::process::ExitCode;

/// Calls `run` with the arguments. Where they are refused, the reason and the usage are printed, and
/// the exit code is 2; where `run` fails, the message, and 1.
pub fn start<A, M: Display, E: Display>(
    arguments: Result<A, M>,
    usage: &str,
    run: impl FnOnce(&A) -> Result<(), E>,
) -> ExitCode {
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n{usage}");
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
