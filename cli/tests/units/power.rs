//! Power cuts: what a disk may hold at any moment is opened again.
//!
//! A planner, a worker per unit and a merger run in processes whose calls are recorded. From the calls up
//! to some moment, a disk is made on which everything synchronised is kept and the rest is kept, lost,
//! torn or reordered as a seed says. Synchronising a file keeps its bytes but not its name, synchronising a
//! folder keeps the names in it, as POSIX has it. The study must then go on to the table that it has
//! without a power cut, and what a process had finished must not be scored again.
//!
//! The long run is `cargo test --release -p relscale-cli --test units -- --ignored --nocapture power`.

use super::calls::{Call, Numbers, child};
use super::*;

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::MetadataExt;

/// Contents of a file that do not depend on its names.
#[derive(Debug, Clone, Default)]
struct Contents {
    /// Bytes that are on the disk for certain.
    safe: Vec<u8>,
    /// Changes since the last synchronisation.
    open: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(at, new) => {
                let end = at + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(new);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    File(usize),
    Folder,
}

/// Names set or, with `None`, removed at once.
type Names = Vec<(PathBuf, Option<Node>)>;

/// The names in a folder.
#[derive(Debug, Clone, Default)]
struct Folded {
    safe: BTreeMap<PathBuf, Node>,
    open: Vec<Names>,
}

/// A disk that was empty before the recorded calls.
#[derive(Debug, Clone, Default)]
struct Disk {
    files: Vec<Contents>,
    folders: BTreeMap<PathBuf, Folded>,
    /// Files by the system's number and by their present name.
    numbers: HashMap<u64, usize>,
    names: HashMap<PathBuf, Node>,
}

/// The fate of changes that were not synchronised.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Left {
    Nothing,
    Everything,
    /// Those of each file and folder up to some moment; the last write in part or as zeros.
    InOrder,
    /// Any of them: a later write without an earlier one leaves zeros between.
    Any,
}

impl Disk {
    /// A file that is there, and has been for long.
    fn put(&mut self, path: &Path, bytes: &[u8]) {
        let file = self.files.len();
        let safe = bytes.to_vec();
        self.files.push(Contents { safe, open: vec![] });
        self.numbers.insert(fs::metadata(path).unwrap().ino(), file);
        let mut node = Node::File(file);
        for (path, folder) in path.ancestors().zip(path.ancestors().skip(1)) {
            let folder = self.folders.entry(folder.to_owned()).or_default();
            folder.safe.insert(path.to_owned(), node);
            self.names.insert(path.to_owned(), node);
            node = Node::Folder;
        }
    }

    fn change(&mut self, names: Names) {
        let folder = names[0].0.parent().unwrap().to_owned();
        for (path, node) in &names {
            assert_eq!(path.parent(), Some(&*folder), "moved to another folder");
            match node {
                Some(node) => self.names.insert(path.clone(), *node),
                None => self.names.remove(path),
            };
        }
        self.folders.entry(folder).or_default().open.push(names);
    }

    fn apply(&mut self, call: &Call) {
        let [a, b] = call.numbers;
        match call.what {
            b'c' => {
                let file = self.files.len();
                self.files.push(Contents::default());
                self.numbers.insert(a, file);
                self.change(vec![(call.path(), Some(Node::File(file)))]);
            }
            b'w' | b't' => {
                let change = match call.what {
                    b'w' => Change::Write(b as usize, call.bytes.clone()),
                    _ => Change::Length(b as usize),
                };
                self.files[self.numbers[&a]].open.push(change);
            }
            b's' => {
                let file = &mut self.files[self.numbers[&a]];
                for change in file.open.drain(..) {
                    change.apply(&mut file.safe);
                }
            }
            b'd' => {
                let folder = self.folders.entry(call.path()).or_default();
                for (path, node) in folder.open.drain(..).flatten() {
                    set(&mut folder.safe, path, node);
                }
            }
            b'm' => self.change(vec![(call.path(), Some(Node::Folder))]),
            b'u' => self.change(vec![(call.path(), None)]),
            b'l' => self.change(vec![(call.to.clone(), Some(self.names[&call.path()]))]),
            b'r' => {
                let node = self.names[&call.path()];
                self.change(vec![(call.path(), None), (call.to.clone(), Some(node))]);
            }
            other => panic!("{}", other as char),
        }
    }

    /// Writes to `to` what the disk may hold of the folder `from` after a power cut.
    fn cut(&self, from: &Path, to: &Path, left: Left, numbers: &mut Numbers) {
        fs::create_dir_all(to).unwrap();
        let Some(folder) = self.folders.get(from) else {
            return;
        };
        let mut names = folder.safe.clone();
        for (path, node) in kept(&folder.open, left, numbers).into_iter().flatten() {
            set(&mut names, path.clone(), *node);
        }
        for (path, node) in names {
            let to = to.join(path.file_name().unwrap());
            match node {
                Node::Folder => self.cut(&path, &to, left, numbers),
                Node::File(file) => {
                    fs::write(to, self.files[file].after(left, numbers)).unwrap();
                }
            }
        }
    }
}

fn set(names: &mut BTreeMap<PathBuf, Node>, path: PathBuf, node: Option<Node>) {
    match node {
        Some(node) => names.insert(path, node),
        None => names.remove(&path),
    };
}

fn kept<'a, T>(open: &'a [T], left: Left, numbers: &mut Numbers) -> Vec<&'a T> {
    match left {
        Left::Nothing => vec![],
        Left::Everything => open.iter().collect(),
        Left::InOrder => open[..numbers.below(open.len() + 1)].iter().collect(),
        Left::Any => open.iter().filter(|_| numbers.below(2) == 0).collect(),
    }
}

impl Contents {
    fn after(&self, left: Left, numbers: &mut Numbers) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        let changes = kept(&self.open, left, numbers);
        for (i, change) in changes.iter().enumerate() {
            match change {
                Change::Write(at, new) if left == Left::InOrder && i + 1 == changes.len() => {
                    let whole = numbers.below(new.len() + 1);
                    Change::Write(*at, new[..whole].to_vec()).apply(&mut bytes);
                    // The length of a file may be on the disk before its bytes.
                    if numbers.below(2) == 0 {
                        bytes.resize(bytes.len().max(at + new.len()), 0);
                    }
                }
                change => change.apply(&mut bytes),
            }
        }
        bytes
    }
}

/// The progress of the processes at a moment.
#[derive(Debug, Clone, Copy, Default)]
struct Progressed {
    calls: usize,
    planned: bool,
    units: usize,
    merged: bool,
}

/// A recorded study.
struct Recorded {
    folder: Folder,
    calls: Vec<Call>,
    /// The disk before the first call.
    disk: Disk,
    /// In the order of time.
    progress: Vec<Progressed>,
    plan: Vec<u8>,
    table: Vec<u8>,
}

impl Recorded {
    fn new() -> Self {
        let undisturbed = in_memory();
        let (shared, plan) = finished(&undisturbed, &[]);
        let table = undisturbed.file("table.csv");
        plan.merge(&table, None).unwrap();
        let whole = fs::read(log_of(&shared, &plan.units()[1])).unwrap();

        let folder = in_memory();
        study(folder.path(), 3e4);
        let mut recorded = Self {
            calls: Vec::new(),
            disk: Disk::default(),
            progress: vec![Progressed::default()],
            plan: Vec::new(),
            table: fs::read(&table).unwrap(),
            folder,
        };
        let root = recorded.folder.file("disk");
        // A table of an earlier study, and a log that an earlier power cut has torn.
        let torn = log_of(&root.join("plan"), &plan.units()[1]).with_extension("part");
        recorded.put(&root.join("table.csv"), b"old");
        recorded.put(&torn, &whole[..whole.len() - 9]);
        recorded.process("plan 3e4", |p| p.planned = true);
        recorded.plan = fs::read(root.join("plan/plan.json")).unwrap();
        for number in 0..plan.units().len() {
            recorded.process(&format!("unit {number}"), |p| p.units += 1);
        }
        recorded.process("merge", |p| p.merged = true);
        assert_eq!(fs::read(root.join("table.csv")).unwrap(), recorded.table);
        let record = fs::read(recorded.folder.file("record")).unwrap();
        recorded.calls = Call::all(&record);
        recorded
    }

    fn put(&mut self, path: &Path, bytes: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self.disk.put(path, bytes);
    }

    /// Runs a process to its end, and notes what it has come to.
    fn process(&mut self, what: &str, then: impl FnOnce(&mut Progressed)) {
        let folder = self.folder.path();
        let (record, said) = (folder.join("record"), folder.join("said"));
        let mut process = child(folder, what, &said);
        assert!(
            process
                .env("CALLS_RECORD", &record)
                .status()
                .unwrap()
                .success(),
            "{what}"
        );
        let mut progress = *self.progress.last().unwrap();
        progress.calls = Call::all(&fs::read(record).unwrap()).len();
        then(&mut progress);
        self.progress.push(progress);
    }

    fn progress(&self, calls: usize) -> Progressed {
        let before = self.progress.iter().take_while(|p| p.calls <= calls);
        *before.last().unwrap()
    }

    /// Opens what a power cut after `calls` calls leaves; returns the number of logs that were refused.
    fn replay(&self, disk: &Disk, calls: usize, left: Left, numbers: &mut Numbers) -> usize {
        let scratch = in_memory();
        let root = self.folder.file("disk");
        disk.cut(&root, scratch.path(), left, numbers);
        let progress = self.progress(calls);
        let what = format!("{left:?} after {calls} calls, {progress:?}");

        let (path, shared) = (scratch.file("plan/plan.json"), scratch.file("plan"));
        assert!(
            path.exists() || !progress.planned,
            "the plan is lost: {what}"
        );
        if path.exists() {
            assert!(fs::read(&path).unwrap() == self.plan, "plan: {what}");
        }
        let table = scratch.file("table.csv");
        let there = fs::read(&table).unwrap();
        let is_old = there == b"old" && !progress.merged;
        assert!(is_old || there == self.table, "table: {what}");

        let study = described(self.folder.path(), 3e4);
        let plan = StudyPlan::create(&shared, &study, &mut |_| {}).unwrap();
        let mut worker = Worker::new(&plan, Oracle::load);
        let mut refused = 0;
        for (number, unit) in plan.units().iter().enumerate() {
            let scored = worker.run(unit, &|_| {});
            match scored {
                Ok(scored) => assert!(
                    !scored || number >= progress.units,
                    "unit {number} is lost: {what}"
                ),
                // Zeros before a line that was kept: a damaged log is refused by its line.
                Err(UnitError::Unit {
                    source: Error::Line { path, .. },
                    ..
                }) if left == Left::Any => {
                    assert!(path.extension().unwrap() == "part", "{what}");
                    refused += 1;
                    fs::remove_file(path).unwrap();
                    assert!(worker.run(unit, &|_| {}).unwrap(), "{what}");
                }
                Err(e) => panic!("{e}: {what}"),
            }
        }
        plan.merge(&table, None).unwrap();
        assert!(fs::read(&table).unwrap() == self.table, "merged: {what}");
        refused
    }
}

/// Cuts the power at every `step`-th moment, in each way and in `draws` ways of each that is drawn.
fn cuts(step: usize, draws: usize, seed: u64) {
    let recorded = Recorded::new();
    let mut disk = recorded.disk.clone();
    let mut numbers = Numbers(seed);
    let (mut replays, mut refused) = (0, 0);
    for calls in 0..=recorded.calls.len() {
        if calls > 0 {
            disk.apply(&recorded.calls[calls - 1]);
        }
        // The moments between two processes always: what is finished must stay.
        let is_end = recorded.progress.iter().any(|p| p.calls == calls);
        if calls % step != 0 && !is_end {
            continue;
        }
        for left in [Left::Nothing, Left::Everything, Left::InOrder, Left::Any] {
            let drawn = matches!(left, Left::InOrder | Left::Any);
            for _ in 0..if drawn { draws } else { 1 } {
                refused += recorded.replay(&disk, calls, left, &mut numbers);
                replays += 1;
            }
        }
    }
    println!(
        "{replays} replays of {} calls; {refused} logs with lost lines were refused by line",
        recorded.calls.len()
    );
}

#[test]
fn a_study_goes_on_after_a_power_cut() {
    cuts(7, 2, 1);
}

#[test]
#[ignore = "minutes"]
fn a_study_goes_on_after_a_power_cut_at_every_moment() {
    cuts(1, 40, 2);
}
