//! The laws of simulated ladders in every format: they parse, and hold the numbers of the analysis.

use proptest::prelude::*;
use relscale::fit::{Analysis, Design, Options, analyze, strategies};
use relscale::report::{self, Audience, LawRow, Screen, Sheet};

/// Names that mean something to every format at once.
const HOSTILE: &str = "a|b & <i>\"c\"</i> \\d{e}_f%g#h$i^j~k `l` *m*\u{1b}[31m";

fn designs() -> impl Strategy<Value = Design> {
    prop_oneof![
        Just(Design::Isoflop),
        Just(Design::Rungs),
        Just(Design::Grid)
    ]
}

/// The first row is the header.
fn csv_rows(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let rows = reader.records().map(|r| r.unwrap());
    rows.map(|r| r.iter().map(str::to_owned).collect())
        .collect()
}

fn check_csv(analysis: &Analysis, laws: &[LawRow<'_>]) {
    let rows = csv_rows(&report::csv(analysis));
    assert_eq!(rows.len(), laws.len() + 1);
    let at = |row: usize, key: &str| {
        let column = rows[0].iter().position(|h| h == key).unwrap();
        rows[row][column].clone()
    };
    for (k, law) in laws.iter().enumerate() {
        let number = |key: &str| at(k + 1, key).parse::<f64>().unwrap();
        let d = law.delta_beta;
        for (key, value) in [
            ("delta_beta", d.value),
            ("delta_beta_lower", d.lower),
            ("delta_beta_upper", d.upper),
            ("standard_error", d.standard_error),
            ("decision_lower", law.decision.lower),
            ("gamma_upper", law.gamma.upper),
            ("ratio_top", law.ends[1].value),
            ("holm_p", law.holm_p),
        ] {
            assert_eq!(number(key).to_bits(), value.to_bits(), "{key}");
        }
        assert_eq!(at(k + 1, "name"), law.name);
        assert_eq!(at(k + 1, "verdict"), law.verdict.as_str());
        let flags = at(k + 1, "flags");
        assert_eq!(flags.split_whitespace().count(), law.flags.len());
    }
}

/// Cells of a row, at separators that are not escaped.
fn cells(row: &str, separator: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut escaped = false;
    for c in row.chars() {
        if c == separator && !escaped {
            cells.push(String::new());
            continue;
        }
        escaped = c == '\\' && !escaped;
        cells.last_mut().unwrap().push(c);
    }
    cells.iter().map(|c| c.trim().to_owned()).collect()
}

/// The numbers of `value [lower, upper]`.
fn interval(cell: &str) -> Vec<f64> {
    cell.replace(['[', ']', ',', '$'], " ")
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect()
}

fn check_interval(cell: &str, law: &LawRow<'_>) {
    let i = law.decision;
    let wanted = [i.value, i.lower, i.upper];
    for (found, wanted) in interval(cell).iter().zip(wanted) {
        // Five decimals are shown.
        assert!(
            (found - wanted).abs() <= 5.1e-6 * wanted.abs().max(1.0),
            "{cell}: {wanted}"
        );
    }
}

fn check_markdown(analysis: &Analysis, laws: &[LawRow<'_>]) {
    let text = report::markdown(analysis);
    let lines: Vec<Vec<String>> = text
        .lines()
        .take_while(|l| l.starts_with('|'))
        .map(|l| cells(l, '|'))
        .collect();
    assert_eq!(lines.len(), laws.len() + 2, "{text}");
    assert!(lines.iter().all(|l| l.len() == lines[0].len()), "{text}");
    let column = lines[0].iter().position(|h| h == "Δβ").unwrap();
    for (row, law) in lines[2..].iter().zip(laws) {
        check_interval(&row[column], law);
    }
}

fn check_latex(analysis: &Analysis, laws: &[LawRow<'_>]) {
    let text = report::latex(analysis);
    let body = text.split("\\midrule\n").nth(1).unwrap();
    let body = body.split("\\bottomrule").next().unwrap();
    let header = text
        .split("\\toprule\n")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let header = cells(header.trim_end_matches(" \\\\"), '&');
    let column = header.iter().position(|h| h == "$\\Delta\\beta$").unwrap();
    assert_eq!(body.lines().count(), laws.len(), "{text}");
    for (row, law) in body.lines().zip(laws) {
        let row = cells(row.strip_suffix(" \\\\").unwrap(), '&');
        assert_eq!(row.len(), header.len(), "{text}");
        check_interval(&row[column], law);
    }
    let open = |c: char| text.matches(c).count() - text.matches(&format!("\\{c}")).count();
    assert_eq!(open('{'), open('}'), "{text}");
}

fn check_words(analysis: &Analysis, laws: &[LawRow<'_>]) {
    for text in [
        analysis.to_string(),
        Screen::on_terminal(analysis, 60).to_string(),
    ] {
        assert!(!text.contains("NaN") && !text.contains('\u{1b}'), "{text}");
        assert!(text.lines().count() < 40 + 6 * laws.len(), "{text}");
    }
    for law in laws {
        for flag in law.flags {
            let whole = Screen::new(analysis).to_string().replace("\n   ", " ");
            assert!(whole.contains(flag.meaning()), "{flag:?} in\n{whole}");
        }
    }
    let methods = report::methods(analysis, &[("t.csv".to_owned(), "ab".to_owned())]);
    for part in ["arXiv:2510.24626", &analysis.version, "SHA-256 ab", "Holm"] {
        assert!(methods.contains(part), "no {part} in {methods}");
    }
    assert!(!methods.contains('\n') && !methods.contains('\u{1b}'));
}

/// The numbers of the power laws come back from CSV to the bit; every form has one row per law.
fn check_absolute(analysis: &Analysis) {
    let laws = &analysis.absolute_laws;
    let rows = csv_rows(&Sheet::absolute(analysis, Audience::File).csv());
    assert_eq!(rows.len(), laws.len() + 1);
    for (row, law) in rows[1..].iter().zip(laws) {
        let number = |key: &str| {
            let column = rows[0].iter().position(|h| h == key).unwrap();
            row[column].parse::<f64>().ok()
        };
        let (floor, curvature) = (law.floor.as_ref(), law.curvature.coefficient);
        for (key, wanted) in [
            ("beta", Some(law.beta.value)),
            ("beta_lower", Some(law.beta.lower)),
            ("standard_error", Some(law.beta.standard_error)),
            ("alpha_upper", Some(law.alpha.upper)),
            ("reference_flops", Some(law.reference_flops)),
            ("floor", floor.map(|f| f.floor)),
            ("floor_upper", floor.and_then(|f| f.floor_interval[1])),
            ("curvature", curvature.map(|c| c.value)),
        ] {
            let bits = |v: Option<f64>| v.map(f64::to_bits);
            assert_eq!(bits(number(key)), bits(wanted), "{key}");
        }
    }
    let paper = Sheet::absolute(analysis, Audience::Paper);
    let body = |text: &str| text.lines().filter(|l| l.contains("treatment")).count();
    let treatments = laws
        .iter()
        .filter(|l| l.distribution.contains("treatment"))
        .count();
    for text in [paper.markdown(), paper.latex(), paper.to_string()] {
        assert_eq!(body(&text), treatments, "{text}");
    }
}

fn check(analysis: &Analysis) {
    let laws = report::law_rows(analysis);
    check_absolute(analysis);
    check_csv(analysis, &laws);
    check_markdown(analysis, &laws);
    check_latex(analysis, &laws);
    check_words(analysis, &laws);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_analysis_reads_back_from_every_format(
        (_, ladder) in designs().prop_flat_map(strategies::ladders),
        margin in 0.1..5.0_f64,
    ) {
        let mut options = Options::new("baseline");
        options.margin_percent = margin;
        options.floor_draws = 0;
        if let Ok(mut analysis) = analyze(&ladder, &options) {
            check(&analysis);
            // The same laws under names that no one should give.
            for law in &mut analysis.laws {
                law.treatment = format!("{HOSTILE} {}", law.treatment);
            }
            for law in &mut analysis.laws {
                law.baseline = HOSTILE.to_owned();
            }
            analysis.options.baseline = HOSTILE.to_owned();
            analysis.ladder = HOSTILE.to_owned();
            check(&analysis);
        }
    }
}
