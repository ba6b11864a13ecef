//! Markers, and the words of a verdict.

use super::palette::Ink;
use crate::fit::{Flag, RelativeLaw, Verdict};

#[derive(Debug, Clone, Copy)]
pub(super) enum Marker {
    Circle,
    Ring,
    Square,
    Up,
    Down,
    Diamond,
    Cross,
    Plus,
    Star,
}

/// Colour and shape of the k-th series.
pub(super) fn series(k: usize) -> (Ink, Marker) {
    const INKS: [Ink; 6] = [
        Ink::Blue,
        Ink::Vermilion,
        Ink::Green,
        Ink::Purple,
        Ink::Orange,
        Ink::Sky,
    ];
    const MARKERS: [Marker; 8] = [
        Marker::Circle,
        Marker::Square,
        Marker::Up,
        Marker::Diamond,
        Marker::Down,
        Marker::Ring,
        Marker::Cross,
        Marker::Plus,
    ];
    // Six and eight: a pair repeats only after 24 series.
    (INKS[k % INKS.len()], MARKERS[k % MARKERS.len()])
}

pub(super) fn verdict_style(verdict: Verdict) -> (Ink, Marker) {
    match verdict {
        Verdict::Widens => (Ink::Vermilion, Marker::Up),
        Verdict::Narrows => (Ink::Blue, Marker::Down),
        Verdict::Persists => (Ink::Green, Marker::Square),
        Verdict::Negligible => (Ink::Sky, Marker::Diamond),
        Verdict::CrossesParity => (Ink::Purple, Marker::Cross),
        // Grey for what is not shown, colours for findings.
        Verdict::NoGap => (Ink::FrameGrey, Marker::Plus),
        Verdict::RatioRises => (Ink::Orange, Marker::Up),
        Verdict::RatioFalls => (Ink::Sky, Marker::Down),
        Verdict::Inconclusive => (Ink::FrameGrey, Marker::Ring),
    }
}

/// True if an error of the law is no better than a guess: whatever was fitted, there is no law.
pub(super) fn is_at_chance(law: &RelativeLaw) -> bool {
    law.flags.contains(&Flag::PreOnset)
}

/// The verdict whose colour and marker the law has.
pub(super) fn shown(law: &RelativeLaw) -> Verdict {
    match is_at_chance(law) {
        true => Verdict::Inconclusive,
        false => law.verdict,
    }
}

/// The words of a drawing for the law.
pub(super) fn said(law: &RelativeLaw) -> &'static str {
    match is_at_chance(law) {
        true => "at chance",
        false => verdict_name(law.verdict),
    }
}

pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NoGap => "no gap",
        Verdict::RatioRises => "ratio rises",
        Verdict::RatioFalls => "ratio falls",
        Verdict::CrossesParity => "crosses parity",
        other => other.as_str(),
    }
}
