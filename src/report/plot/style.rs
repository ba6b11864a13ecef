//! Colours, markers and the words of a verdict.

use plotters::style::RGBColor;

use crate::fit::{Flag, RelativeLaw, Verdict};

// Okabe and Ito's colours, and a grey for areas.
pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const SKY: RGBColor = RGBColor(86, 180, 233);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILION: RGBColor = RGBColor(213, 94, 0);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);
pub(super) const GREY: RGBColor = RGBColor(150, 150, 150);
pub(super) const FRAME_GREY: RGBColor = RGBColor(90, 90, 90);

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
pub(super) fn series(k: usize) -> (RGBColor, Marker) {
    const COLOURS: [RGBColor; 6] = [BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY];
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
    (COLOURS[k % COLOURS.len()], MARKERS[k % MARKERS.len()])
}

pub(super) fn verdict_style(verdict: Verdict) -> (RGBColor, Marker) {
    match verdict {
        Verdict::Widens => (VERMILION, Marker::Up),
        Verdict::Narrows => (BLUE, Marker::Down),
        Verdict::Persists => (GREEN, Marker::Square),
        Verdict::Negligible => (SKY, Marker::Diamond),
        Verdict::CrossesParity => (PURPLE, Marker::Cross),
        // Grey for what is not shown, colours for findings.
        Verdict::NoGap => (FRAME_GREY, Marker::Plus),
        Verdict::Inconclusive => (FRAME_GREY, Marker::Ring),
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
        Verdict::CrossesParity => "crosses parity",
        other => other.as_str(),
    }
}
