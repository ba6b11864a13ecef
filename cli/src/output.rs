//! Standard output and standard error of the program.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};

/// Amount of remarks on standard error. Errors and warnings are never left out.
///
/// Exhaustive: there are two flags, `--quiet` and `--verbose`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Verbosity {
    /// Neither progress nor notes.
    Quiet,
    /// Progress and notes.
    Normal,
    /// Also details: files, sizes and times.
    Verbose,
}

static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);

/// Sets the amount of remarks of this process.
pub fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

fn at_least(verbosity: Verbosity) -> bool {
    VERBOSITY.load(Ordering::Relaxed) >= verbosity as u8
}

/// Writes `text` to standard output.
///
/// A reader that closed the pipe, as `relscale fit … | head` does, has seen enough: the rest is
/// dropped without an error, and the command goes on to write its files.
///
/// # Errors
/// Any other failure, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a line to standard error unless the program is to be quiet.
pub fn note(line: &str) {
    if at_least(Verbosity::Normal) {
        line_out("", Style::new(), line);
    }
}

/// Writes a line to standard error if the program is to be verbose.
pub fn detail(line: &str) {
    if at_least(Verbosity::Verbose) {
        line_out("", Style::new().dimmed(), line);
    }
}

/// Writes a line that begins with `warning:` to standard error.
pub fn warning(line: &str) {
    line_out("warning:", AnsiColor::Yellow.on_default().bold(), line);
}

/// Writes a line that begins with `error:` to standard error.
pub fn error(line: &str) {
    line_out("error:", AnsiColor::Red.on_default().bold(), line);
}

/// Failures are ignored: there is no place left to report them. The stream leaves colours out where
/// `NO_COLOR` is set or standard error is no terminal.
fn line_out(word: &str, style: Style, line: &str) {
    let line = &plain(line);
    let mut out = anstream::stderr().lock();
    let _ = match word {
        "" => writeln!(out, "{style}{line}{style:#}"),
        word => writeln!(out, "{style}{word}{style:#} {line}"),
    };
}

/// A text without sequences that a terminal obeys. Names in it may come from strangers, and could move the
/// cursor to write over a warning.
pub fn plain(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    match text.contains(obeyed) {
        false => Cow::Borrowed(text),
        true => Cow::Owned(text.replace(obeyed, "\u{fffd}")),
    }
}

/// Writes non-fatal findings about a checkpoint to standard error, one per line.
pub fn warn(checkpoint: &Path, warnings: &[String]) {
    for found in warnings {
        warning(&format!("{}: {found}", checkpoint.display()));
    }
}

/// A progress bar on standard error, with the time that is left. It is hidden where standard error is
/// no terminal, as in batch jobs, and if the program is to be quiet.
///
/// `counted` is the middle of the line, in the template language of indicatif, such as
/// `{pos}/{len} tokens`.
#[must_use]
pub fn progress(length: u64, counted: &str) -> ProgressBar {
    if !shown() {
        return ProgressBar::hidden();
    }
    let template = format!("{{bar:40}} {counted}, {{eta}} left");
    let style = ProgressStyle::with_template(&template);
    // A template of this program that cannot be read is a mistake in it, and no reason to stop.
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// A line that shows that work goes on whose length is not known, with the time it has taken.
#[must_use]
pub fn spinner(doing: impl Into<String>) -> ProgressBar {
    if !shown() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {msg}, {elapsed}");
    let bar = ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        .with_message(doing.into());
    // Fast enough to be seen moving, too seldom to be noticed in a profile.
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

fn shown() -> bool {
    at_least(Verbosity::Normal) && io::stderr().is_terminal()
}
