//! The program under attack: files that are no files, outputs that already stand, numbers that are slips.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{file, relscale, suite};

const CHECKPOINT: &str = "checkpoints/balanced/isoflop-1.8ep11-d12-L1-B2-balanced";

/// Standard error of the program, and its exit code.
fn said(arguments: &[&str]) -> (String, Option<i32>) {
    let output = relscale(arguments);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    (text, output.status.code())
}

fn folder(name: &str) -> PathBuf {
    let folder = file(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn old_scores_stay_until_the_new_ones_are_whole() {
    let folder = folder("old-scores");
    let (items, out) = (folder.join("items.jsonl"), folder.join("out.jsonl"));
    fs::write(&items, "{\"id\":\"a\",\"tokens\":[1,2,3]}\n").unwrap();
    fs::write(&out, "old").unwrap();
    // The second checkpoint does not exist, so nothing is whole.
    let checkpoint = suite(CHECKPOINT);
    let mut arguments = vec!["score", "--items", text(&items), "--out", text(&out)];
    arguments.extend(["--checkpoint", &checkpoint, "--checkpoint", "/none"]);
    let (message, code) = said(&arguments);
    assert_eq!(code, Some(1), "{message}");
    assert_eq!(fs::read_to_string(&out).unwrap(), "old");
    arguments.truncate(7);
    let (message, code) = said(&arguments);
    assert_eq!(code, Some(0), "{message}");
    assert!(fs::read_to_string(&out).unwrap().contains("log_likelihood"));
    let left: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !text(Path::new(name)).ends_with(".tmp")),
        "{left:?}"
    );
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_refused_wherever_a_file_is_named() {
    let folder = folder("devices");
    let (items, pipe) = (folder.join("items.jsonl"), folder.join("pipe"));
    fs::write(&items, "{\"id\":\"a\",\"tokens\":[1,2,3]}\n").unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .unwrap();
    assert!(made.success());
    let (checkpoint, out) = (suite(CHECKPOINT), folder.join("out.jsonl"));
    for odd in ["/dev/zero", text(&pipe)] {
        for arguments in [
            &[
                "score",
                "--checkpoint",
                &checkpoint,
                "--items",
                odd,
                "--out",
                text(&out),
            ][..],
            &["study", "plan", odd, text(&folder)],
            &["report", odd],
            &["fit", text(&items), "--options", odd, "--baseline", "x"],
            &["plan", "--recipe", odd],
        ] {
            let (message, code) = said(arguments);
            assert!(matches!(code, Some(1 | 2)), "{arguments:?}: {message}");
            assert!(
                message.contains("regular file") || code == Some(2),
                "{arguments:?}: {message}"
            );
        }
    }
    let (message, code) = said(&["fit", "/dev/zero", "--baseline", "x"]);
    assert!(code == Some(1) && message.contains("device"), "{message}");
}

#[test]
fn absurd_numbers_of_threads_are_refused() {
    let folder = folder("threads");
    let (items, out) = (folder.join("items.jsonl"), folder.join("out.jsonl"));
    fs::write(&items, "{\"id\":\"a\",\"tokens\":[1,2,3]}\n").unwrap();
    let checkpoint = suite(CHECKPOINT);
    let arguments = [
        "score",
        "--checkpoint",
        &checkpoint,
        "--items",
        text(&items),
        "--out",
    ];
    let arguments = [&arguments[..], &[text(&out), "--threads", "1000000"]].concat();
    let (message, code) = said(&arguments);
    assert!(
        code == Some(1) && message.contains("1000000 are more than"),
        "{message}"
    );
}

#[test]
fn keys_of_settings_that_come_twice_are_refused() {
    let folder = folder("twice");
    let study = folder.join("study.json");
    let content = r#"{"runs": "a.csv", "runs": "b.csv", "distributions": [], "unit_flops": 1e15}"#;
    fs::write(&study, content).unwrap();
    let (message, code) = said(&["study", "plan", text(&study), text(&folder)]);
    assert!(code == Some(1) && message.contains("twice"), "{message}");
}
