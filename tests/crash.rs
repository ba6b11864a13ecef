//! Machines that crash: a scoring run killed at any moment, a log damaged anywhere, a disk that is
//! full, a folder that cannot be written. Resumed, it gives the same table to the byte, or an error
//! that names what is damaged; never another table.
//!
//! The ordinary tests are a sample; the long ones are
//! `cargo test --release --test crash -- --ignored`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use relscale::Error;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::ladder::{FlopConvention, Run, Scale};
use relscale::log::{Key, Log, Table, checkpoint_hash, export_csv};
use relscale::model::Transformer;
use relscale::scorer::{BitsPerByte, NatsPerToken, Scorer};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;

/// A sequence of numbers that the seed fixes (Steele, Lea and Flood 2014, splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

// A scoring run --------------------------------------------------------------------------------

const SCORERS: &[&dyn Scorer] = &[&BitsPerByte, &NatsPerToken];
/// One or two windows per batch, so that records come one by one.
const SETTINGS: Settings = Settings {
    batch_tokens: 256,
    bos: Bos::EveryWindow(256),
    context: Some(256),
    stride: None,
    truncate: false,
};

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suite")
}

/// The smallest checkpoint of the suite.
fn checkpoint() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Vec::new();
        let mut folders = vec![suite().join("checkpoints")];
        while let Some(folder) = folders.pop() {
            let weights = folder.join("model.safetensors");
            if let Ok(metadata) = fs::metadata(&weights) {
                found.push((metadata.len(), folder));
                continue;
            }
            let entries = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path());
            folders.extend(entries.filter(|path| path.is_dir()));
        }
        found.sort();
        found.swap_remove(0).1
    })
}

fn texts() -> &'static Items {
    static TEXTS: OnceLock<Items> = OnceLock::new();
    TEXTS.get_or_init(|| Items::from_jsonl(suite().join("texts/aggregate.jsonl")).unwrap())
}

fn model() -> &'static Transformer<Cpu> {
    static MODEL: OnceLock<Transformer<Cpu>> = OnceLock::new();
    MODEL.get_or_init(|| {
        let cpu = Cpu::with_threads(1).unwrap();
        Transformer::load(checkpoint(), cpu).unwrap()
    })
}

fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let hash = checkpoint_hash(checkpoint()).unwrap();
        Key::new(hash, "cpu f32", texts(), SCORERS, &SETTINGS).unwrap()
    })
}

/// Opens the log, scores what is missing, and closes it.
fn score(log: &Path) -> Result<(), Error> {
    let tokenizer = Tokenizer::load(checkpoint())?;
    let mut log = Log::open(log, key())?;
    let evaluation = Evaluation::new(model())
        .tokenizer(&tokenizer)
        .scorers(SCORERS)
        .settings(SETTINGS);
    log.score(&evaluation, texts())
}

fn export(log: &Path, csv: &Path) -> Result<(), Error> {
    let table = Table::read(log)?;
    assert!(table.is_complete());
    let run = Run::new(
        "smallest",
        Scale {
            params: 5e3,
            tokens: 2e6,
            flops: 6.1e10,
        },
    )
    .corpus("mixed")
    .budget(6e10)
    .seed(1);
    export_csv(
        csv,
        &[(&run, &table)],
        "bits_per_byte",
        FlopConvention::Training,
    )
}

/// The whole of it: log and table in `folder`.
fn run(folder: &Path) -> Result<(), Error> {
    let (log, csv) = (folder.join("log"), folder.join("table.csv"));
    score(&log)?;
    // In the order of the ids, which is another moment to be killed at.
    Log::open(&log, key())?.compact()?;
    export(&log, &csv)
}

/// Files of a run that nothing disturbs: its log as it was appended, and its table.
struct Undisturbed {
    log: Vec<u8>,
    csv: Vec<u8>,
    table: Table,
}

fn undisturbed() -> &'static Undisturbed {
    static WHOLE: OnceLock<Undisturbed> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        score(&path).unwrap();
        let log = fs::read(&path).unwrap();
        let table = Table::read(&path).unwrap();
        run(folder.path()).unwrap();
        let csv = fs::read(folder.path().join("table.csv")).unwrap();
        assert_eq!(
            csv.iter().filter(|b| **b == b'\n').count(),
            texts().len() + 1
        );
        Undisturbed { log, csv, table }
    })
}

/// Nothing of the log is another number than it should be; returns how many records it has.
fn only_true_records(log: &Path) -> usize {
    let table = match Table::read(log) {
        Ok(table) => table,
        // Not there yet, or killed within its first line.
        Err(Error::Io { .. } | Error::Format { .. }) => return 0,
        Err(e) => panic!("{e}"),
    };
    for (id, record) in table.records() {
        assert_eq!(undisturbed().table.records().get(id), Some(record), "{id}");
    }
    table.records().len()
}

// Killed ---------------------------------------------------------------------------------------

const CHILD: &str = "RELSCALE_CRASH_CHILD";

/// Not a test by itself: the scoring run in a process of its own. Its exit status says whether it
/// came to its end; an error of it is printed.
#[test]
fn child_that_scores() {
    let Some(folder) = std::env::var_os(CHILD) else {
        return;
    };
    if let Err(e) = run(Path::new(&folder)) {
        eprintln!("error: {e}");
        std::process::exit(3);
    }
}

fn child(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "child_that_scores",
            "--test-threads",
            "1",
            "--nocapture",
        ])
        .env(CHILD, folder)
        .stdout(Stdio::null());
    command
}

/// Kills the run `kills` times at moments that the seed draws, each start going on from where the
/// last one was killed; one that finished is checked and begun anew.
fn killed(kills: usize, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let (log, csv) = (folder.path().join("log"), folder.path().join("table.csv"));
    let finished = |what: &str| {
        assert!(fs::read(&csv).unwrap() == undisturbed().csv, "{what}");
        for name in ["log", "log.lock", "table.csv"] {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
    };
    let start = Instant::now();
    assert!(child(folder.path()).status().unwrap().success());
    let whole = start.elapsed();
    finished("never killed");

    let mut numbers = Numbers(seed);
    let (mut killed, mut ends, mut within, mut before) = (0, 0, 0, 0);
    while killed < kills {
        // Some within the start, some long after it, and some after the end.
        let moment = whole.mul_f64(numbers.below(1000) as f64 / 900.0);
        let mut process = child(folder.path()).spawn().unwrap();
        let start = Instant::now();
        let mut status = None;
        while status.is_none() && start.elapsed() < moment {
            sleep(Duration::from_micros(200));
            status = process.try_wait().unwrap();
        }
        let status = status.unwrap_or_else(|| {
            process.kill().unwrap();
            process.wait().unwrap()
        });
        if status.success() {
            finished(&format!("after {killed} kills"));
            (ends, before) = (ends + 1, 0);
            continue;
        }
        assert_eq!(status.code(), None, "it ended by itself, with an error");
        killed += 1;
        let records = only_true_records(&log);
        assert!(
            records >= before,
            "{} records of {before} are left",
            records
        );
        within += usize::from(before < records && records < texts().len());
        before = records;
        if csv.exists() {
            assert!(
                fs::read(&csv).unwrap() == undisturbed().csv,
                "kill {killed}"
            );
        }
    }
    run(folder.path()).unwrap();
    finished("the last one");
    println!(
        "{killed} kills, {within} of them between two records of an unfinished log, {ends} runs \
         came to their end in between"
    );
    assert!(
        within * 20 >= kills,
        "the moments miss the scoring: {within}"
    );
}

#[test]
fn killed_twenty_times() {
    killed(20, 1);
}

#[test]
#[ignore = "minutes"]
fn killed_a_thousand_times() {
    killed(1000, 2);
}

// Damaged --------------------------------------------------------------------------------------

/// Damages a finished log in `cases` ways that the seed draws.
fn damaged(cases: usize, seed: u64) {
    let whole = &undisturbed().log;
    let folder = tempfile::tempdir().unwrap();
    let (log, csv) = (folder.path().join("log"), folder.path().join("table.csv"));
    let mut numbers = Numbers(seed);
    let (mut resumed, mut refused) = (0, 0);
    for case in 0..cases {
        let mut bytes = whole.clone();
        let at = numbers.below(bytes.len());
        let end = (at + 1 + numbers.below(300)).min(bytes.len());
        let what = match case % 6 {
            0 => {
                bytes.truncate(at);
                "cut off"
            }
            1 => {
                bytes[at] ^= 1 << numbers.below(8);
                "a bit flipped"
            }
            2 => {
                bytes[at] = bytes[at].wrapping_add(1 + numbers.below(255) as u8);
                "a byte changed"
            }
            3 => {
                // What a file system leaves of blocks that it promised and never wrote.
                bytes[at..end].fill(0);
                "zeros"
            }
            4 => {
                bytes.drain(at..end);
                "bytes lost"
            }
            _ => {
                let twice = bytes[at..end].to_vec();
                bytes.splice(at..at, twice);
                "bytes twice"
            }
        };
        let line = |to: usize| whole[..to].iter().filter(|b| **b == b'\n').count() + 1;
        let what = format!("case {case}: {what} at {at}..{end}, line {}", line(at));
        fs::write(&log, &bytes).unwrap();
        match score(&log) {
            Ok(()) => resumed += 1,
            Err(Error::Line {
                path, line: named, ..
            }) => {
                assert_eq!(path, log, "{what}");
                // A line twice is found where it comes again.
                let lines = line(at)..=line(end) + usize::from(case % 6 == 5);
                assert!(lines.contains(&named), "{what}: line {named} is named");
                assert_eq!(
                    fs::read(&log).unwrap(),
                    bytes,
                    "{what}: refused and changed"
                );
                refused += 1;
                without_refused_lines(&log, &what);
            }
            // The first bytes say what the file is.
            Err(Error::Format { path, .. }) => {
                assert_eq!(path, log, "{what}");
                assert!(at < 24, "{what}");
                refused += 1;
                continue;
            }
            Err(e) => panic!("{what}: {e}"),
        }
        if log.exists() {
            export(&log, &csv).unwrap();
            assert!(fs::read(&csv).unwrap() == undisturbed().csv, "{what}");
        }
    }
    println!("{cases} damages: {resumed} resumed, {refused} refused by line");
    assert!(resumed * 20 >= cases && refused * 20 >= cases);
}

/// Follows the advice of the documentation: deletes the lines that errors name, until scoring goes on.
fn without_refused_lines(log: &Path, what: &str) {
    loop {
        match score(log) {
            Ok(()) => return,
            // Without the first line there is nothing to go on with.
            Err(Error::Line { line: 1, .. }) => return fs::remove_file(log).unwrap(),
            Err(Error::Line { line, .. }) => {
                let bytes = fs::read(log).unwrap();
                let lines = bytes.split_inclusive(|b| *b == b'\n').enumerate();
                let kept = lines.filter(|(i, _)| i + 1 != line).map(|(_, l)| l);
                fs::write(log, kept.collect::<Vec<_>>().concat()).unwrap();
            }
            Err(e) => panic!("{what}: {e}"),
        }
    }
}

#[test]
fn damaged_a_hundred_times() {
    damaged(100, 3);
}

#[test]
#[ignore = "minutes"]
fn damaged_a_thousand_times() {
    damaged(1000, 4);
}

// Disks ----------------------------------------------------------------------------------------

/// A file system of its own in memory, of `size` bytes; none where the system does not allow it.
#[cfg(target_os = "linux")]
struct Disk(tempfile::TempDir);

#[cfg(target_os = "linux")]
impl Disk {
    fn new(size: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = mount(
            &["-t", "tmpfs", "-o", &format!("size={size}"), "none"],
            folder.path(),
        );
        if !mounted {
            println!("skipped: the system does not allow to mount a file system");
        }
        mounted.then_some(Self(folder))
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        // A process that another test has forked has this one's open files until it is another program.
        let remounted = (0..200).any(|_| {
            let done = mount(&["-o", &option], self.0.path());
            if !done {
                sleep(Duration::from_millis(50));
            }
            done
        });
        assert!(remounted, "{option}");
    }
}

#[cfg(target_os = "linux")]
fn mount(arguments: &[&str], folder: &Path) -> bool {
    let mut command = Command::new("mount");
    command.args(arguments).arg(folder).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().ok();
    }
}

#[cfg(target_os = "linux")]
fn assert_io(result: Result<(), Error>, kind: std::io::ErrorKind) {
    match result {
        Err(Error::Io { source, .. }) if source.kind() == kind => {}
        other => panic!("{other:?} instead of {kind:?}"),
    }
}

/// Of every size that ends somewhere within the log, its compaction or the table.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_loses_no_record() {
    use std::io::ErrorKind::StorageFull;

    const PAGE: usize = 4096;
    let pages = undisturbed().log.len().div_ceil(PAGE);
    let Some(disk) = Disk::new(PAGE) else { return };
    let (log, csv) = (disk.0.path().join("log"), disk.0.path().join("table.csv"));
    let mut before = 0;
    for size in 1..pages {
        disk.remount(&format!("size={}", size * PAGE));
        let full = run(disk.0.path());
        if size == 1 && full.is_ok() {
            println!("skipped: a page of this system holds everything");
            return;
        }
        assert_io(full, StorageFull);
        let records = only_true_records(&log);
        assert!(
            records > before,
            "{records} after {before} with {size} pages"
        );
        before = records;
        assert!(!csv.exists());
    }
    // Room for the log, not for a second one in another order.
    disk.remount(&format!("size={}", (pages + 1) * PAGE));
    score(&log).unwrap();
    let whole = fs::read(&log).unwrap();
    assert_io(Log::open(&log, key()).unwrap().compact(), StorageFull);
    assert_eq!(fs::read(&log).unwrap(), whole);
    // Nor for a table; the one that is there stays.
    fs::write(&csv, "old").unwrap();
    assert_io(export(&log, &csv), StorageFull);
    assert_eq!(fs::read(&csv).unwrap(), b"old");
    assert_eq!(
        fs::read_dir(disk.0.path()).unwrap().count(),
        3,
        "something was left behind"
    );
    disk.remount("size=1m");
    run(disk.0.path()).unwrap();
    assert_eq!(fs::read(&csv).unwrap(), undisturbed().csv);
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_becomes_read_only_loses_no_record() {
    use std::io::ErrorKind::ReadOnlyFilesystem;

    let Some(disk) = Disk::new(1 << 20) else {
        return;
    };
    let (log, csv) = (disk.0.path().join("log"), disk.0.path().join("table.csv"));
    let whole = &undisturbed().log;
    fs::write(&log, &whole[..whole.len() / 2]).unwrap();
    disk.remount("ro");
    assert_io(run(disk.0.path()), ReadOnlyFilesystem);
    // Readers need no write.
    let records = Table::read(&log).unwrap().records().len();
    assert!(records > 10);
    assert_eq!(only_true_records(&log), records);
    disk.remount("rw");
    score(&log).unwrap();
    disk.remount("ro");
    assert_io(export(&log, &csv), ReadOnlyFilesystem);
    disk.remount("rw");
    run(disk.0.path()).unwrap();
    assert_eq!(fs::read(&csv).unwrap(), undisturbed().csv);
}

/// The same in a process whose files may not grow, which needs no rights; its end is that of the
/// program, not of a signal.
#[test]
#[cfg(unix)]
fn files_that_may_not_grow_lose_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let (log, csv) = (folder.path().join("log"), folder.path().join("table.csv"));
    let mut before = 0;
    for kilobytes in [2, 4, 8] {
        // Blocks of 512 bytes or of 1024, as the shell has it.
        let script = format!("trap '' XFSZ && ulimit -f {kilobytes} && exec \"$0\" \"$@\"");
        let program = child(folder.path());
        let out = Command::new("sh")
            .args(["-c", &script])
            .arg(program.get_program())
            .args(program.get_args())
            .env(CHILD, folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        if out.status.success() || !said.contains("error: ") {
            println!("skipped: the shell does not limit the size of files: {said}");
            return;
        }
        assert!(said.contains("log"), "{said}");
        let records = only_true_records(&log);
        assert!(records > before, "{records} after {before}");
        before = records;
        assert!(!csv.exists());
    }
    run(folder.path()).unwrap();
    assert_eq!(fs::read(&csv).unwrap(), undisturbed().csv);
}

/// A folder without the right to write, for those who need it.
#[test]
#[cfg(unix)]
fn a_folder_that_cannot_be_written_loses_no_record() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let rights =
        |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    rights(0o555);
    if fs::write(folder.path().join("probe"), "").is_ok() {
        println!("skipped: rights do not bind this user");
        return;
    }
    let refused = run(folder.path()).unwrap_err();
    assert!(matches!(refused, Error::Io { .. }), "{refused}");
    rights(0o755);
    run(folder.path()).unwrap();
    let csv = fs::read(folder.path().join("table.csv")).unwrap();
    assert_eq!(csv, undisturbed().csv);
}
