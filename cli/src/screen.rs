//! The first screen of an analysis on a terminal, with colours.

use std::io::{self, ErrorKind, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use relscale::fit::Analysis;
use relscale::report::{Screen, Tone};

/// Prints the first screen to standard output, as wide as the terminal; whole names and 80 columns
/// elsewhere. `NO_COLOR` and pipes get no colours. A closed pipe is no failure.
///
/// # Errors
/// Any other failure, such as a full disk.
pub fn show(analysis: &Analysis) -> io::Result<()> {
    let screen = match terminal_size::terminal_size() {
        Some((width, _)) if io::stdout().is_terminal() => {
            Screen::on_terminal(analysis, usize::from(width.0))
        }
        _ => Screen::new(analysis),
    };
    match write(&screen, &mut anstream::stdout().lock()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn write(screen: &Screen, out: &mut impl Write) -> io::Result<()> {
    for line in &screen.lines {
        for part in line {
            let style = style(part.tone);
            write!(out, "{style}{}{style:#}", part.text)?;
        }
        writeln!(out)?;
    }
    out.flush()
}

fn style(tone: Tone) -> Style {
    match tone {
        Tone::Heading => Style::new().bold(),
        Tone::Worse => AnsiColor::Red.on_default(),
        Tone::Better => AnsiColor::Green.on_default(),
        Tone::Faint => Style::new().dimmed(),
        _ => Style::new(),
    }
}
