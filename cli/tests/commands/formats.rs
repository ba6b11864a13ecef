//! The committed suite in every form that `relscale fit` prints, compared with committed texts.
//!
//! `FORMATS=overwrite cargo test --workspace --test commands formats` writes what is printed now; read the
//! difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The output of a fit of the suite.
fn fit(options: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_relscale"));
    program.current_dir(root().join(".."));
    program.args([
        "fit",
        "--scores",
        "suite/scores.csv",
        "--baseline",
        "english-help",
    ]);
    let output = program
        .args(["--aggregate", "aggregate"])
        .args(options)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    String::from_utf8(output.stdout).unwrap()
}

fn golden(name: &str, printed: &str) {
    let path = root().join("tests/data/formats").join(name);
    if std::env::var_os("FORMATS").is_some_and(|v| v == "overwrite") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, printed).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap();
    assert!(printed == wanted, "{name} differs:\n{printed}");
}

#[test]
fn the_suite_is_printed_as_committed() {
    for (name, format) in [
        ("screen.txt", "table"),
        ("laws.md", "markdown"),
        ("laws.tex", "latex"),
        ("laws.csv", "csv"),
    ] {
        golden(name, &fit(&["--format", format]));
    }
    for (name, format) in [
        ("absolute.txt", "table"),
        ("absolute.md", "markdown"),
        ("absolute.tex", "latex"),
        ("absolute.csv", "csv"),
    ] {
        golden(name, &fit(&["--absolute", "--format", format]));
    }
    golden("methods.txt", &fit(&["--methods"]));
}

#[test]
fn the_first_screen_of_seventeen_laws_is_one_screen() {
    let screen = fit(&[]);
    let lines: Vec<&str> = screen.lines().collect();
    assert!((24..=40).contains(&lines.len()), "{} lines", lines.len());
    let widest = lines.iter().map(|l| l.chars().count()).max();
    assert!(widest <= Some(80), "{widest:?} columns:\n{screen}");
    // The worst law first, and no colours in a pipe.
    let row = |name: &str| lines.iter().position(|l| l.starts_with(name)).unwrap();
    assert!(row("czech-help") < row("italian-help") && row("italian-help") < row("go-code"));
    assert!(!screen.contains('\u{1b}'));
}

#[test]
fn details_govern_text_and_json() {
    let long = fit(&["--details"]);
    assert!(long.contains("In words, with the interval that decides"));
    let short: serde_json::Value = serde_json::from_str(&fit(&["--format", "json"])).unwrap();
    assert!(short["laws"][0].get("diagnostics").is_none());
    let whole: serde_json::Value =
        serde_json::from_str(&fit(&["--format", "json", "--details"])).unwrap();
    assert!(whole["laws"][0].get("diagnostics").is_some());
}

#[test]
fn a_report_is_one_page_that_asks_nothing_of_the_network() {
    let name = format!("relscale-formats-{}.html", std::process::id());
    let path = std::env::temp_dir().join(name);
    fit(&["--report", path.to_str().unwrap()]);
    let page = fs::read_to_string(path).unwrap();
    for part in [
        "<html lang=\"en\">",
        "name=\"viewport\"",
        "<h1>",
        "prefers-color-scheme: dark",
        "aria-sort=\"none\"",
        "The gap to english-help widens",
        "SHA-256",
        "arXiv:2510.24626",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    let own = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", "@import", "src=", "url("] {
        assert!(!own.contains(outside), "{outside}");
    }
    // Every drawing has a name, and no two elements the same id.
    assert_eq!(
        page.matches("<svg ").count(),
        page.matches("</title>\n").count() - 1
    );
    let ids: Vec<&str> = (page.split(" id=\"").skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let unique: std::collections::BTreeSet<&&str> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
}
