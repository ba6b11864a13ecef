//! Laws of the drawings on generated ladders: every reading is drawn where its values say, inside its
//! frame; every law and the scale are named; no text lies over another or leaves the page.
//!
//! Drawings are read back by a parser of their own, and places are turned into values by the labels of
//! the ticks alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use relscale::fit::{Analysis, Axis, Options, analyze};
use relscale::ladder::{FlopConvention, Ladder};
use relscale::report::plot::{self, Label, Palette, PlotError, Style};

mod known;
mod parsed;

use known::{Known, known, wobble};
use parsed::{Drawing, Element, Readings};

fn styles() -> impl Strategy<Value = Style> {
    let size = prop_oneof![
        4 => Just(None),
        1 => Just(Some("6.75x6in")),
        1 => Just(Some("88x150mm")),
        1 => Just(Some("1200x800px")),
    ];
    (any::<bool>(), any::<bool>(), size).prop_map(|(title, viridis, size)| {
        let mut style = Style::default();
        style.title = title;
        style.palette = if viridis {
            Palette::Viridis
        } else {
            Palette::OkabeIto
        };
        style.size = size.map(|s: &str| s.parse().unwrap());
        style
    })
}

/// Texts inside the page and apart, markers inside their frames.
fn geometry(name: &str, drawing: &Drawing) -> Result<(), TestCaseError> {
    let texts: Vec<&Element> = drawing.of("text").collect();
    let boxes: Vec<[f64; 4]> = texts.iter().map(|t| t.bounds()).collect();
    for (i, (text, b)) in texts.iter().zip(&boxes).enumerate() {
        prop_assert!(
            b[0] >= 0.0 && b[1] >= 0.0 && b[2] <= drawing.width && b[3] <= drawing.height,
            "{name}: {:?} leaves the page: {b:?} of {} x {}",
            text.text,
            drawing.width,
            drawing.height
        );
        for (other, o) in texts.iter().zip(&boxes).take(i) {
            let apart = b[2] <= o[0] || o[2] <= b[0] || b[3] <= o[1] || o[3] <= b[1];
            prop_assert!(apart, "{name}: {:?} over {:?}", text.text, other.text);
        }
    }
    let frames: Vec<[f64; 4]> = drawing.in_group("frame").map(Element::extent).collect();
    for marker in drawing.in_group("readings") {
        let e = marker.extent();
        let (x, y) = (0.5 * (e[0] + e[2]), 0.5 * (e[1] + e[3]));
        let inside = |f: &[f64; 4]| f[0] <= x && x <= f[2] && f[1] <= y && y <= f[3];
        prop_assert!(
            frames.iter().any(inside),
            "{name}: a reading at ({x}, {y}) of {frames:?}"
        );
    }
    Ok(())
}

/// The readings of one law as (scale, ratio).
fn expected(analysis: &Analysis, treatment: &str) -> Vec<(f64, f64)> {
    let law = analysis
        .laws
        .iter()
        .find(|l| l.treatment == treatment)
        .unwrap();
    law.readings
        .iter()
        .map(|r| (r.scale, r.log_ratio.exp()))
        .collect()
}

/// Compares drawn readings with values to what the coordinates resolve.
fn agree(name: &str, drawn: &Readings, expected: &[(f64, f64)]) -> Result<(), TestCaseError> {
    prop_assert_eq!(drawn.points.len(), expected.len(), "{}", name);
    let (wide, high) = drawn.resolution;
    for (d, e) in drawn.points.iter().zip(expected) {
        let (dx, dy) = ((d.0 / e.0).ln().abs(), (d.1 / e.1).ln().abs());
        prop_assert!(dx < wide, "{name}: scale {} drawn at {}", e.0, d.0);
        prop_assert!(dy < high, "{name}: ratio {} drawn at {}", e.1, d.1);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn drawings_keep_their_laws(known in known(), style in styles()) {
        let analysis = known.analysis();
        let drawings = style.all(&analysis).unwrap();
        // A figure, a forest and the panels of the corpus, and a drawing per law.
        prop_assert_eq!(drawings.len(), 3 + analysis.laws.len());
        for (name, svg) in &drawings {
            let drawing = Drawing::parse(svg);
            geometry(name, &drawing)?;
        }
        let by_name: BTreeMap<&str, Drawing> =
            drawings.iter().map(|(n, svg)| (n.as_str(), Drawing::parse(svg))).collect();
        for kind in ["figure-web.svg", "forest-web.svg", "ratios-web.svg"] {
            for law in &analysis.laws {
                let named = by_name[kind].of("text").any(|t| t.text == law.treatment);
                prop_assert!(named, "{kind} does not name {}", law.treatment);
            }
        }
    }

    #[test]
    fn readings_are_drawn_where_their_values_say(known in known()) {
        let analysis = known.analysis();
        let panels = Drawing::parse(&plot::ratios(&analysis, "web").unwrap());
        let frames = panels.groups("panel");
        prop_assert_eq!(frames.len(), analysis.laws.len());
        for (panel, law) in frames.iter().zip(&analysis.laws) {
            prop_assert!(panel.of("text").any(|t| t.text == law.treatment));
            if let Some(drawn) = panel.readings() {
                agree(&law.treatment, &drawn, &expected(&analysis, &law.treatment))?;
            }
        }
    }

    #[test]
    fn axes_name_their_scale(known in known()) {
        let analysis = known.analysis();
        let law = Drawing::parse(&plot::ratio(&analysis, &analysis.laws[0]).unwrap());
        let words = match (known.scale_name, known.convention) {
            (Some(name), _) => name,
            (None, FlopConvention::Training) => "training compute F (FLOPs)",
            (None, FlopConvention::ForwardOnly) => "forward compute F (FLOPs)",
            (None, FlopConvention::SixNd) => "training compute F = 6·N·D (FLOPs)",
            (None, _) => "compute F (FLOPs)",
        };
        // Of both frames.
        prop_assert_eq!(law.of("text").filter(|t| t.text == words).count(), 2, "{}", words);
        let says = |d: &Drawing| d.of("text").any(|t| t.text.contains("FLOP"));
        prop_assert_eq!(says(&law), known.scale_name.is_none());
    }
}

fn example() -> Known {
    Known {
        rungs: 7,
        low: 18.0,
        decades: 3.0,
        laws: vec![(0.02, 0.1), (-0.01, 0.3), (0.0, -0.2)],
        noise: 0.002,
        convention: FlopConvention::Training,
        scale_name: None,
    }
}

#[test]
fn other_axes_are_named() {
    let ladder = example().ladder();
    for (axis, words) in [
        (Axis::Params, "parameters N"),
        (Axis::Tokens, "training tokens D"),
    ] {
        let mut options = Options::new("base");
        options.axis = axis;
        let analysis = analyze(&ladder, &options).unwrap();
        for svg in [
            plot::ratio(&analysis, &analysis.laws[0]).unwrap(),
            plot::figure(&analysis, "web").unwrap(),
        ] {
            assert!(
                Drawing::parse(&svg).of("text").any(|t| t.text == words),
                "{words}"
            );
            assert!(!svg.contains("FLOP"));
        }
        let panels = plot::ratios(&analysis, "web").unwrap();
        assert!(panels.contains(words) && !panels.contains("FLOP"));
    }
}

/// The errors beside the ratio, and the ratio itself, from the labels of the ticks.
#[test]
fn both_frames_of_a_law_hold_its_values() {
    let analysis = example().analysis();
    for law in &analysis.laws {
        let drawing = Drawing::parse(&plot::ratio(&analysis, law).unwrap());
        let frames = drawing.frames();
        assert_eq!(frames.len(), 2);
        let [errors, ratios] = [&frames[0], &frames[1]];
        let [both, ratio] = [errors, ratios].map(|f| f.readings().unwrap().points);
        let n = law.readings.len();
        assert_eq!((both.len(), ratio.len()), (2 * n, n));
        for (k, r) in law.readings.iter().enumerate() {
            for (drawn, value) in [
                (both[k], r.treatment_error),
                (both[n + k], r.baseline_error),
                (ratio[k], r.log_ratio.exp()),
            ] {
                assert!(
                    (drawn.0 / r.scale).ln().abs() < 0.02,
                    "{drawn:?} {}",
                    r.scale
                );
                assert!((drawn.1 / value).ln().abs() < 2e-3, "{drawn:?} {value}");
            }
        }
    }
}

/// The exponents of a forest by its ticks, with every estimate inside the frame.
#[test]
fn exponents_are_drawn_where_their_values_say() {
    let mut far = example();
    far.laws.push((0.12, 0.0));
    for known in [example(), far] {
        let analysis = known.analysis();
        let drawing = Drawing::parse(&plot::forest(&analysis, "web").unwrap());
        let axis = drawing.x_axis("x-axis", |t| t.replace('−', "-").parse().ok());
        let frame = drawing.in_group("frame").next().unwrap().extent();
        let rows = drawing.groups("law");
        assert_eq!(rows.len(), analysis.laws.len());
        for (row, law) in rows.iter().zip(&analysis.laws) {
            // The last shape of a line is the marker: a cross has two strokes.
            let marker = row.shapes().last().unwrap().extent();
            let x = 0.5 * (marker[0] + marker[2]);
            assert!(frame[0] < x && x < frame[2], "{}", law.treatment);
            let drawn = axis.value(x);
            assert!(
                (drawn - law.delta_beta.value).abs() < 1e-3,
                "{drawn} {:?}",
                law.delta_beta
            );
        }
        // A narrow interval is seen whole, however far out it lies.
        let shapes = rows.last().unwrap().shapes();
        let right = shapes.map(|s| s.extent()[2]).fold(f64::MIN, f64::max);
        assert!(right < frame[2], "{right} {frame:?}");
    }
}

#[test]
fn labels_rename_reorder_and_colour() {
    let analysis = example().analysis();
    let mut style = Style::default();
    for (name, text, order, colour) in [
        ("t03", "Third & last", 1, [1, 2, 3]),
        ("t01", "<First>", 2, [250, 128, 114]),
        ("base", "Web", 9, [0, 0, 0]),
    ] {
        let mut label = Label::new(text);
        label.order = Some(order);
        label.colour = Some(colour);
        style.labels.insert(name.to_owned(), label);
    }
    let svg = style.figure(&analysis, "web").unwrap();
    assert!(svg.contains("#010203") && svg.contains("#fa8072"));
    let drawing = Drawing::parse(&svg);
    let y = |name: &str| {
        drawing
            .of("text")
            .find(|t| t.text == name)
            .unwrap()
            .bounds()[1]
    };
    assert!(y("Third & last") < y("<First>") && y("<First>") < y("t02"));
    assert!(drawing.of("text").any(|t| t.text == "G = E / E(Web)"));
    assert!(
        !drawing
            .of("text")
            .any(|t| t.text == "t01" || t.text == "base")
    );
}

#[test]
fn hostile_names_stay_text() {
    let names = [
        "</text><script>alert(1)</script>",
        "\u{0}\u{1b}[31m\u{202e}gnp.exe",
        "a\u{301}\u{301}\u{301}&amp;\"'",
        "日本語のとても長い名前のテキスト集合そしてさらに長い名前のテキスト",
        "العربية",
    ];
    let mut csv = String::from("corpus,run,budget,flops,params,tokens,distribution,loss\n");
    for i in 0..6 {
        let flops = 10_f64.powi(18 + i);
        let size = (flops / 6.0).sqrt();
        for (d, name) in ["base"].iter().chain(&names).enumerate() {
            let loss = 3.0 + 0.1 * d as f64 - 0.2 * f64::from(i)
                + 0.003 * wobble((d * 7) as f64 + f64::from(i));
            let name = name.replace('"', "\"\"");
            csv.push_str(&format!(
                "\"<c>&\",r{i},{flops},{flops},{size},{size},\"{name}\",{loss}\n"
            ));
        }
    }
    let ladder = Ladder::from_csv(csv.as_bytes(), "hostile").unwrap();
    let analysis = analyze(&ladder, &Options::new("base")).unwrap();
    let drawings = plot::all(&analysis).unwrap();
    assert!(drawings.len() >= 3 + names.len());
    for (name, svg) in &drawings {
        assert!(
            !svg.contains("<script") && !svg.contains('\u{202e}'),
            "{name}"
        );
        assert!(svg.chars().all(|c| !c.is_control() || c == '\n'), "{name}");
        let drawing = Drawing::parse(svg);
        // Every element is one that drawings are made of.
        for element in &drawing.elements {
            let known = ["rect", "polyline", "polygon", "circle", "text"];
            assert!(
                known.contains(&element.tag.as_str()),
                "{name}: {}",
                element.tag
            );
        }
        geometry(name, &drawing).unwrap();
    }
}

#[test]
fn a_size_that_no_page_has_is_refused() {
    let analysis = example().analysis();
    let mut style = Style::default();
    style.size = Some(plot::Size {
        width: f64::NAN,
        height: Some(3.0),
        unit: plot::Unit::In,
    });
    assert!(matches!(style.all(&analysis), Err(PlotError::Size { .. })));
}

#[test]
fn the_size_asked_for_is_that_of_the_page() {
    let analysis = example().analysis();
    for (size, width, height) in [("88x150mm", "88mm", "150mm"), ("6.75x6in", "6.75in", "6in")] {
        let mut style = Style::default();
        style.size = Some(size.parse().unwrap());
        for (name, svg) in style.all(&analysis).unwrap() {
            let head = svg.lines().next().unwrap();
            let says = format!("width=\"{width}\" height=\"{height}\"");
            assert!(head.contains(&says), "{name}: {head}");
        }
    }
}
