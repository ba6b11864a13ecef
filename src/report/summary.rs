//! The title above the tables and what stands below them: flags, hold-outs, refusals.

use std::fmt::{self, Write};

use super::format::flag_name;
use crate::fit::{Analysis, Backtest, Flag};

/// The first two lines: ladder, baseline and the options that change the numbers.
pub(super) fn title(f: &mut fmt::Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    let options = &analysis.options;
    let relative = [
        analysis.laws.len(),
        analysis.counts.len(),
        analysis.contrasts.len(),
    ];
    let alone = relative == [0; 3];
    let laws = if alone {
        "Scaling laws"
    } else {
        "Relative scaling laws"
    };
    match analysis.ladder.as_str() {
        "" => writeln!(f, "{laws}")?,
        name => writeln!(f, "{laws} of {name}")?,
    }
    if alone {
        // No law has a baseline or a margin.
        let level = options.level_percent();
        return writeln!(f, "{level} % intervals; items {:?}", options.items);
    }
    writeln!(
        f,
        "baseline {}; {} % intervals; margin {} % per decade; items {:?}{}",
        options.baseline,
        options.level_percent(),
        options.margin_percent,
        options.items,
        if options.robust {
            "; robust profiles"
        } else {
            ""
        },
    )
}

/// The critical value of intervals for all laws at once.
pub(super) fn largest_t(f: &mut fmt::Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    let Some(m) = &analysis.max_t else {
        return Ok(());
    };
    writeln!(
        f,
        "\nLargest |t| of {} laws: {:.4} (± {:.4} by {} draws), {:.1} degrees of freedom",
        m.laws, m.critical.value, m.critical.monte_carlo_error, m.critical.draws, m.df,
    )
}

/// The flags raised anywhere, numbered as in the tables.
pub(super) fn flags(f: &mut fmt::Formatter<'_>, flags: &[Flag]) -> fmt::Result {
    if flags.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nFlags")?;
    for (k, flag) in flags.iter().enumerate() {
        writeln!(f, "  {:>2} {}: {}", k + 1, flag_name(*flag), flag.meaning())?;
    }
    Ok(())
}

/// The hold-outs of all laws.
pub(super) fn backtest(f: &mut fmt::Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    match pooled_backtest(analysis.laws.iter().map(|l| &l.diagnostics.backtest)) {
        Some(summary) => writeln!(f, "\n{summary}"),
        None => Ok(()),
    }
}

/// Distributions and corpora without a law, one line per reason.
pub(super) fn refused(f: &mut fmt::Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    if analysis.refused.is_empty() {
        return Ok(());
    }
    writeln!(f, "\nNot analysed")?;
    for group in analysis.refusals() {
        writeln!(f, "  {group}")?;
    }
    Ok(())
}

/// The predictions of all laws together: three points of one law prove nothing. The largest readings are
/// predicted several times, from ladders of several lengths.
fn pooled_backtest<'a>(backtests: impl Iterator<Item = &'a Backtest>) -> Option<String> {
    let (mut count, mut inside) = (0_u32, 0_u32);
    let (mut law, mut constant, mut last) = (0.0, 0.0, 0.0);
    let (mut with_floors, mut floors, mut law_there) = (0_u32, 0.0, 0.0);
    for holdout in backtests.flat_map(|b| &b.holdouts) {
        count += 1;
        inside += u32::from(holdout.inside);
        law += holdout.error.abs();
        constant += holdout.constant_error.abs();
        last += holdout.last_error.abs();
        if let Some(error) = holdout.floors_error {
            with_floors += 1;
            floors += error.abs();
            // Over the same predictions: floors can be fitted where the law is easy, and other means
            // would not compare.
            law_there += holdout.error.abs();
        }
    }
    // Ladders of fewer than four scales hold nothing out.
    if count == 0 {
        return None;
    }
    let n = f64::from(count);
    // A mean of |log errors| as a factor: 0.02 is read as 2 %.
    let percent = |sum: f64, n: f64| format!("{:.2} %", 100.0 * (sum / n).exp_m1());
    let mut text = format!(
        "Backtest over {count} predictions of held-out readings: {inside} inside their interval; mean \
         error of G {} (constant G {}, last G {})",
        percent(law, n),
        percent(constant, n),
        percent(last, n),
    );
    if with_floors > 0 {
        let m = f64::from(with_floors);
        let _ = write!(
            text,
            "; where two floors could be fitted ({with_floors}) their ratio misses by {}, the power \
             ratio by {}",
            percent(floors, m),
            percent(law_there, m),
        );
    }
    Some(text)
}
