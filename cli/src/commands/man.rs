//! `relscale man`: manual pages.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;

use super::{CommandError, Program, at};
use crate::output::print;

const AFTER: &str = "\
Examples:
  relscale man | man -l -
  relscale man ~/.local/share/man/man1     # one page per command: man relscale-fit";

/// Prints the manual page, or writes a page per command into a folder.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ManArguments {
    /// Folder of the pages
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

pub(super) fn run(arguments: &ManArguments) -> Result<(), CommandError> {
    let mut program = Program::command();
    program.build();
    match &arguments.folder {
        None => print(&String::from_utf8(page(&program)?)?)?,
        Some(folder) => {
            fs::create_dir_all(folder).map_err(at(folder))?;
            write(&program, folder)?;
        }
    }
    Ok(())
}

fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    // `relscale-fit` as name of the page, as of git's; the usage inside keeps the space.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut text = Vec::new();
    Man::new(command.clone())
        .title(name.to_owned())
        .render(&mut text)?;
    Ok(text)
}

/// Writes the page of a command and those of its parts.
fn write(command: &Command, folder: &Path) -> Result<(), CommandError> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let path = folder.join(format!("{name}.1"));
    relscale::output::write(&path, page(command)?).map_err(at(&path))?;
    // `help` repeats every command below itself.
    for part in command.get_subcommands().filter(|c| c.get_name() != "help") {
        write(part, folder)?;
    }
    Ok(())
}
