//! Planners, workers and mergers at once on one folder, in an order that a seed draws.
//!
//! Every process waits before each call that opens or changes a file, until the test lets it go on; one runs
//! at a time. What each said in the end is the history, which is compared with what can have happened.
//!
//! The long run is `cargo test --release -p relscale-cli --test units -- --ignored --nocapture race`.

use super::calls::{Numbers, child};
use super::*;

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Child;

/// A process, and the connection over which it asks for its turns.
struct Process {
    what: &'static str,
    said: PathBuf,
    child: Child,
    turns: UnixStream,
}

impl Process {
    /// Starts a process; returns once it is connected.
    fn start(folder: &Path, number: usize, what: &'static str) -> Self {
        let socket = folder.join(format!("turns-{number}"));
        let listener = UnixListener::bind(&socket).unwrap();
        let said = folder.join(format!("said-{number}"));
        let mut process = child(folder, what, &said);
        let child = process.env("CALLS_TURN", &socket).spawn().unwrap();
        let (turns, _) = listener.accept().unwrap();
        Self {
            what,
            said,
            child,
            turns,
        }
    }

    /// Waits until the process asks for a turn; false if it has ended.
    fn asks(&mut self) -> bool {
        let mut byte = [0];
        self.turns.read(&mut byte).unwrap() == 1
    }

    /// Lets the process go on to its next call; false if it has ended.
    fn go_on(&mut self) -> bool {
        self.turns.write_all(&[0]).unwrap();
        self.asks()
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its name and its output, once it has ended.
    fn said(mut self) -> (&'static str, String) {
        assert!(self.child.wait().unwrap().success(), "{}", self.what);
        (self.what, fs::read_to_string(self.said).unwrap())
    }
}

/// The contents that the file at a path may have.
struct Allowed<'a> {
    path: PathBuf,
    whole: [&'a [u8]; 2],
    /// The bytes seen last. What is there once may be replaced only if `replaced` is true.
    seen: Option<Vec<u8>>,
    replaced: bool,
}

impl Allowed<'_> {
    fn check(&mut self, what: &str) {
        let there = fs::read(&self.path).ok();
        if let Some(bytes) = &there {
            let is_whole = self.whole.iter().any(|whole| whole == bytes);
            assert!(is_whole, "{}: torn, {what}", self.path.display());
        }
        let is_kept = self.replaced || self.seen.is_none() || self.seen == there;
        assert!(is_kept, "{}: changed, {what}", self.path.display());
        self.seen = there;
    }
}

/// The plan, the table and the number of units of a study on the files in `folder`, undisturbed.
fn whole(folder: &Path, unit_flops: f64) -> (Vec<u8>, Vec<u8>, usize) {
    let own = folder.join(format!("whole-{unit_flops}"));
    let plan = StudyPlan::create(&own, &described(folder, unit_flops), &mut |_| {}).unwrap();
    let mut worker = Worker::new(&plan, Oracle::load);
    for unit in plan.units() {
        worker.run(unit, &|_| {}).unwrap();
    }
    let table = own.join("table.csv");
    plan.merge(&table, None).unwrap();
    let read = |path: PathBuf| fs::read(path).unwrap();
    (read(own.join("plan.json")), read(table), plan.units().len())
}

/// Lets the processes go on in an order that the seed draws, and kills one now and then if `kills`; returns
/// the history and the number of turns.
fn drawn(
    mut waiting: Vec<Process>,
    files: &mut [Allowed<'_>],
    numbers: &mut Numbers,
    kills: bool,
    name: &str,
) -> (Vec<(&'static str, String)>, usize) {
    let (mut history, mut turns) = (Vec::new(), 0);
    let mut at = 0;
    while !waiting.is_empty() {
        // Some go on for a while, so that one is far ahead of the others.
        if at >= waiting.len() || numbers.below(4) == 0 {
            at = numbers.below(waiting.len());
        }
        turns += 1;
        if kills && numbers.below(150) == 0 {
            waiting.swap_remove(at).kill();
        } else if !waiting[at].go_on() {
            history.push(waiting.swap_remove(at).said());
        }
        for file in &mut *files {
            file.check(&format!("{name}, turn {turns}"));
        }
    }
    (history, turns)
}

/// One race; returns the number of turns.
fn race(seed: u64, kills: bool) -> usize {
    // Fewer units than the tests of one process have: every call of every process is a turn.
    const FLOPS: [&str; 2] = ["plan 2e5", "plan 1e5"];
    let name = format!("seed {seed}");
    let mut numbers = Numbers(seed);
    let folder = in_memory();
    study(folder.path(), 2e5);
    let (one, two) = (whole(folder.path(), 2e5), whole(folder.path(), 1e5));
    assert_ne!(one.0, two.0);
    assert_eq!(one.1, two.1, "the table does not depend on the cut");
    let disk = folder.file("disk");
    fs::create_dir_all(&disk).unwrap();
    let mut files = [
        Allowed {
            path: disk.join("plan/plan.json"),
            whole: [&one.0, &two.0],
            seen: None,
            replaced: false,
        },
        Allowed {
            path: disk.join("table.csv"),
            whole: [&one.1, &one.1],
            seen: None,
            replaced: true,
        },
    ];
    let started = |first: usize, what: &[&'static str]| {
        let start =
            |(i, what): (usize, &&'static str)| Process::start(folder.path(), first + i, what);
        let mut all: Vec<Process> = what.iter().enumerate().map(start).collect();
        // One that fails before its first call would have ended.
        all.retain_mut(Process::asks);
        all
    };
    // Two planners of one study and one of another, and a worker that comes too early.
    let planners = started(0, &[FLOPS[0], FLOPS[0], FLOPS[1], "work"]);
    let (planned, mut turns) = drawn(planners, &mut files, &mut numbers, false, &name);
    let won = fs::read(&files[0].path).unwrap();
    let (winner, units) = if won == one.0 {
        (FLOPS[0], one.2)
    } else {
        (FLOPS[1], two.2)
    };
    let mut scored = 0;
    for (what, said) in &planned {
        match *what {
            "work" => scored += worked(said, &name),
            _ if *what == winner => assert_eq!(said, "planned", "{name}"),
            _ => assert!(said.contains("holds another plan"), "{name}: {said}"),
        }
    }

    let workers = started(4, &["work", "merge", "work", "work", "merge"]);
    let (done, more) = drawn(workers, &mut files, &mut numbers, kills, &name);
    turns += more;
    for (what, said) in &done {
        match *what {
            "work" => scored += worked(said, &name),
            _ => assert!(
                said == "merged" || said.contains("not finished"),
                "{name}: {said}"
            ),
        }
    }
    let (last, more) = drawn(
        started(9, &["work"]),
        &mut files,
        &mut numbers,
        false,
        &name,
    );
    turns += more;
    scored += worked(&last[0].1, &name);
    // Whoever was killed may have finished a unit and said nothing.
    assert!(
        scored == units || (kills && scored < units),
        "{name}: {units} units were scored {scored} times"
    );
    let (merged, more) = drawn(
        started(10, &["merge"]),
        &mut files,
        &mut numbers,
        false,
        &name,
    );
    assert_eq!(merged[0].1, "merged", "{name}");
    assert_eq!(fs::read(disk.join("table.csv")).unwrap(), one.1, "{name}");
    turns + more
}

/// The number of units that a worker scored itself. Others were done, or another process was at them.
fn worked(said: &str, name: &str) -> usize {
    if said.contains("plan.json") {
        assert!(said.contains("No such file"), "{name}: {said}");
        return 0;
    }
    let mut scored = 0;
    for line in said.lines() {
        let (_, result) = line.split_once(' ').unwrap();
        match result {
            "true" => scored += 1,
            "false" => {}
            busy => assert!(busy.contains("another writer"), "{name}: {busy}"),
        }
    }
    scored
}

fn races(count: u64, first: u64) {
    let turns: usize = (0..count).map(|i| race(first + i, i % 2 == 1)).sum();
    println!("{count} races of eleven processes, {turns} turns");
}

#[test]
fn planners_workers_and_mergers_at_once_leave_one_of_the_possible_studies() {
    races(6, 1);
}

#[test]
#[ignore = "minutes"]
fn planners_workers_and_mergers_race_a_thousand_times() {
    races(1000, 1000);
}
