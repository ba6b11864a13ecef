//! `relscale completions`: completion of commands and options in a shell.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{CommandError, Program};
use crate::output::print;

const AFTER: &str = "\
Examples:
  relscale completions bash > ~/.local/share/bash-completion/completions/relscale
  relscale completions zsh > ~/.zfunc/_relscale
  relscale completions fish > ~/.config/fish/completions/relscale.fish";

/// Prints a script that completes commands and options in a shell.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct CompletionsArguments {
    /// The shell
    shell: Shell,
}

pub(super) fn run(arguments: &CompletionsArguments) -> Result<(), CommandError> {
    // Through memory, so that a closed pipe ends quietly: the generator panics on one.
    let mut script = Vec::new();
    generate(
        arguments.shell,
        &mut Program::command(),
        "relscale",
        &mut script,
    );
    print(&String::from_utf8(script)?)?;
    Ok(())
}
