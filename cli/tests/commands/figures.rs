//! Drawings of `relscale fit` in all formats, with the font that they are set in: texts apart and on the
//! page, pictures not blank, one page per PDF.
#![cfg(feature = "figures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use relscale::fit::{Analysis, Options, analyze};
use relscale::ladder::Ladder;
use relscale::report::plot::{self, Style};
use relscale_cli::figures::{Converter, FigureError};
use resvg::tiny_skia::Pixmap;
use resvg::usvg::{self, fontdb};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder of its own, emptied.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("figures")
        .join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Losses of three treatments on six rungs; one has a name in Chinese.
fn table(folder: &Path) -> PathBuf {
    let mut csv =
        String::from("corpus,run,budget,flops,params,tokens,distribution,cluster,loss,weight\n");
    for i in 0..6 {
        let flops = 10_f64.powi(18 + i);
        let size = (flops / 6.0).sqrt();
        for (d, name) in ["web", "law", "code", "日本語"].iter().enumerate() {
            for cluster in 0..8 {
                let noise = ((d * 131 + i as usize * 17 + cluster) as f64 * 12.9898).sin();
                let loss = (1.2 + 0.1 * d as f64 - (0.12 - 0.01 * d as f64) * f64::from(i)
                    + 0.004 * noise)
                    .exp();
                csv.push_str(&format!(
                    "mix,r{i},{flops:e},{flops:e},{size},{size},{name},{cluster},{loss},1\n"
                ));
            }
        }
    }
    let path = folder.join("losses.csv");
    fs::write(&path, csv).unwrap();
    path
}

fn fit(table: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relscale"))
        .args(["fit", "--baseline", "web", "--scores"])
        .arg(table)
        .args(more)
        .output()
        .unwrap()
}

fn listed(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name());
    let mut names: Vec<String> = names.map(|n| n.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn drawings_come_in_every_format() {
    let folder = folder("formats");
    let (table, out) = (table(&folder), folder.join("out"));
    let output = fit(
        &table,
        &[
            "--treatment",
            "law",
            "--plot-format",
            "pdf,svg,png",
            "--plots",
            out.to_str().unwrap(),
        ],
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let expected: Vec<String> = ["figure-mix", "forest-mix", "ratio-mix-law", "ratios-mix"]
        .iter()
        .flat_map(|n| ["pdf", "png", "svg"].map(|e| format!("{n}.{e}")))
        .collect();
    assert_eq!(listed(&out), expected);
    for name in expected {
        let bytes = fs::read(out.join(&name)).unwrap();
        match name.rsplit('.').next().unwrap() {
            "png" => not_blank(&name, &bytes),
            "pdf" => one_page(&name, &bytes),
            _ => assert!(bytes.starts_with(b"<svg"), "{name}"),
        }
    }
}

/// Decodes the picture: some of it is drawn on, and most of it is not.
fn not_blank(name: &str, png: &[u8]) {
    let pixels = Pixmap::decode_png(png).unwrap();
    let drawn = pixels
        .pixels()
        .iter()
        .filter(|p| (p.red(), p.green(), p.blue()) != (255, 255, 255));
    let share = drawn.count() as f64 / f64::from(pixels.width() * pixels.height());
    assert!((0.005..0.5).contains(&share), "{name}: {share} is drawn on");
    // Nothing is transparent, whatever the viewer's page looks like.
    assert!(pixels.pixels().iter().all(|p| p.alpha() == 255), "{name}");
}

/// One page, with the font of its text inside.
fn one_page(name: &str, pdf: &[u8]) {
    assert!(pdf.starts_with(b"%PDF-1."), "{name}");
    let text = String::from_utf8_lossy(pdf);
    assert_eq!(text.matches("/Type /Page\n").count(), 1, "{name}");
    assert!(text.contains("/Count 1"), "{name}");
    // A subset has six letters before the name.
    assert!(
        text.contains("+DejaVuSans") && text.contains("/FontFile"),
        "{name}"
    );
    assert!(
        !text.contains("/Subtype /Image"),
        "{name}: a raster picture in a PDF"
    );
}

#[test]
fn the_preset_is_a_figure_for_a_paper() {
    let folder = folder("paper");
    let (table, out) = (table(&folder), folder.join("out"));
    let labels = folder.join("labels.csv");
    fs::write(
        &labels,
        "name,label,colour\ncode,Source code,#cc79a7\nlaw,Statutes,\ncodee,Code,\n",
    )
    .unwrap();
    let arguments = [
        "--treatment",
        "law",
        "--treatment",
        "code",
        "--preset",
        "paper",
        "--plots",
        out.to_str().unwrap(),
        "--labels",
        labels.to_str().unwrap(),
        "--plot-format",
        "svg,png",
    ];
    let output = fit(&table, &arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    // A name that nothing has is a slip of the hand.
    assert!(
        said.contains("no drawing shows \"codee\"; did you mean `code`?"),
        "{said}"
    );
    assert_eq!(listed(&out), ["figure-mix.png", "figure-mix.svg"]);
    let svg = fs::read_to_string(out.join("figure-mix.svg")).unwrap();
    assert!(svg.contains("width=\"6.75in\"") && svg.contains("#cc79a7"));
    let place = |text: &str| svg.find(&format!(">{text}</text>")).unwrap();
    assert!(place("Source code") < place("Statutes"));
    assert!(!svg.contains(">code<") && !svg.contains("class=\"title\""));
    let png = Pixmap::decode_png(&fs::read(out.join("figure-mix.png")).unwrap()).unwrap();
    // 300 per inch.
    assert_eq!(png.width(), 2025);
}

#[test]
fn mistakes_are_refused_with_a_way_out() {
    let folder = folder("mistakes");
    let table = table(&folder);
    let out = folder.join("out");
    let out = out.to_str().unwrap();
    let bad = folder.join("bad.csv");
    fs::write(&bad, "name,label,colour\nlaw,Law,blue\n").unwrap();
    for (code, arguments, part) in [
        (
            2,
            vec!["--plots", out, "--size", "60cm"],
            "is no size: give width x height",
        ),
        (
            2,
            vec!["--plots", out, "--palette", "jet"],
            "there are okabe-ito, viridis",
        ),
        (
            2,
            vec!["--plots", out, "--plot-format", "gif"],
            "possible values: svg, png, pdf",
        ),
        (2, vec!["--preset", "paper"], "--plots"),
        (
            1,
            vec!["--plots", out, "--labels", "none.csv"],
            "none.csv: ",
        ),
        (
            1,
            vec!["--plots", out, "--labels", bad.to_str().unwrap()],
            "bad.csv: line 2: \"blue\" is no colour",
        ),
        (
            1,
            vec!["--plots", out, "--labels", table.to_str().unwrap()],
            "the columns are name,label,order,colour",
        ),
        (
            1,
            vec!["--plots", out, "--size", "99x99in", "--plot-format", "png"],
            "give a smaller --size",
        ),
    ] {
        let output = fit(&table, &arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

#[test]
fn letters_that_no_font_has_are_named() {
    let mut converter = Converter::new();
    let svg = |text: &str| {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"200\" height=\"40\" \
             font-family=\"sans-serif\"><text y=\"30\" font-size=\"24\">{text}</text></svg>"
        )
    };
    for text in [
        "Δβ −0.5·10⁻²⁰ … γ F₀",
        "Größe, naïve, łódź",
        "русский",
        "العربية",
        "עברית",
    ] {
        assert!(converter.prepare(&svg(text)).is_empty(), "{text}");
        let png = converter.png(&svg(text)).unwrap();
        let pixels = Pixmap::decode_png(&png).unwrap();
        assert!(pixels.pixels().iter().any(|p| p.red() < 128), "{text}");
    }
    // A character of the private areas has no meaning, and no font that is installed by itself.
    let missing = converter.prepare(&svg("a\u{f8f0}b"));
    assert!(missing.iter().eq(['\u{f8f0}'].iter()), "{missing:?}");
    assert!(converter.png(&svg("a\u{f8f0}b")).is_ok());
    assert!(matches!(
        converter.png("<svg"),
        Err(FigureError::Svg { .. })
    ));
}

/// The texts of a drawing with the boxes that they have in the font of the figures.
fn texts(svg: &str) -> (f32, f32, Vec<(String, usvg::Rect)>) {
    let mut fonts = fontdb::Database::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fonts");
    for name in ["DejaVuSans.subset.ttf", "DejaVuSans-Bold.subset.ttf"] {
        fonts.load_font_file(folder.join(name)).unwrap();
    }
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = usvg::Options {
        fontdb: Arc::new(fonts),
        ..usvg::Options::default()
    };
    let tree = usvg::Tree::from_str(svg, &options).unwrap();
    let mut found = Vec::new();
    collect(tree.root(), &mut found);
    (tree.size().width(), tree.size().height(), found)
}

fn collect(group: &usvg::Group, found: &mut Vec<(String, usvg::Rect)>) {
    for node in group.children() {
        match node {
            usvg::Node::Group(group) => collect(group, found),
            usvg::Node::Text(text) => {
                let chunks = text.chunks().iter().map(|c| c.text());
                // The ink, which is what must not touch: boxes of lines reach above and below it.
                let ink = text.flattened().bounding_box();
                let ink = ink.transform(text.abs_transform()).unwrap();
                found.push((chunks.collect(), ink));
            }
            usvg::Node::Path(_) | usvg::Node::Image(_) => {}
        }
    }
}

fn apart(name: &str, svg: &str) {
    let (width, height, texts) = texts(svg);
    assert!(texts.len() > 4, "{name}");
    for (i, (text, b)) in texts.iter().enumerate() {
        let inside =
            b.left() >= 0.0 && b.top() >= 0.0 && b.right() <= width && b.bottom() <= height;
        assert!(
            inside,
            "{name}: {text:?} leaves the page of {width} x {height}: {b:?}"
        );
        for (other, o) in &texts[..i] {
            let apart = b.right() <= o.left()
                || o.right() <= b.left()
                || b.bottom() <= o.top()
                || o.bottom() <= b.top();
            assert!(apart, "{name}: {text:?} lies over {other:?}");
        }
    }
}

fn analysis(table: &Path, options: &Options) -> Analysis {
    analyze(&Ladder::load_csv(table).unwrap(), options).unwrap()
}

#[test]
fn no_text_lies_over_another_in_the_font_it_is_set_in() {
    let mut options = Options::new("english-help");
    options.aggregate = Some("aggregate".to_owned());
    let analysis = analysis(&root().join("suite/scores.csv"), &options);
    let mut paper = Style::default();
    paper.title = false;
    for size in [
        None,
        Some("6.75in"),
        Some("3.25in"),
        Some("180x200mm"),
        Some("1200x800px"),
    ] {
        paper.size = size.map(|s| s.parse().unwrap());
        for (name, svg) in paper.all(&analysis).unwrap() {
            apart(&format!("{name} at {size:?}"), &svg);
        }
    }
    for (name, svg) in plot::all(&analysis).unwrap() {
        apart(&name, &svg);
    }
}

#[test]
fn names_of_any_width_keep_their_room() {
    let folder = folder("names");
    let text = fs::read_to_string(table(&folder)).unwrap();
    for (name, wide) in [
        (
            "letters",
            "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
        ),
        ("capitals", "ЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩЩ"),
        (
            "mixed",
            "a very long name of a distribution <with> & \"marks\", which has blanks",
        ),
    ] {
        let path = folder.join(format!("{name}.csv"));
        let quoted = format!("\"{}\"", wide.replace('"', "\"\""));
        let table = text
            .replace(",law,", &format!(",{quoted},"))
            .replace("mix,", &format!("{quoted},"))
            .replace(",日本語,", ",other,");
        fs::write(&path, table).unwrap();
        let analysis = analysis(&path, &Options::new("web"));
        let swapped = self::analysis(&path, &Options::new(wide));
        for analysis in [analysis, swapped] {
            for (file, svg) in plot::all(&analysis).unwrap() {
                apart(&format!("{name}: {file}"), &svg);
            }
        }
    }
}
