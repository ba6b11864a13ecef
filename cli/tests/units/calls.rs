//! A process that plans, scores or merges while `calls.c` records or schedules what it does to files.

use super::*;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// A sequence of numbers that the seed fixes (Steele, Lea and Flood 2014, splitmix64).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// `calls.c`, compiled. Rust needs the C compiler too, to link.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/units/calls.c");
        // Named by the process: another one may be compiling at the same time.
        let name = format!("calls-{}.so", std::process::id());
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]);
        compiler.arg(&built).arg(source).args(["-ldl", "-lpthread"]);
        assert!(compiler.status().unwrap().success());
        built
    })
}

const DO: &str = "RELSCALE_UNITS_DO";
const FOLDER: &str = "RELSCALE_UNITS_FOLDER";
const SAID: &str = "RELSCALE_UNITS_SAID";

/// This program again, as a process that does `what` ([`child_that_works`]) with the inputs in `folder`.
/// Plan and table are in the folder `disk` there, whose calls are watched. What it says goes to `said`.
pub(super) fn child(folder: &Path, what: &str, said: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "calls::child_that_works", "--test-threads", "1"])
        .env("LD_PRELOAD", library())
        .env("CALLS_ROOT", folder.join("disk"))
        .envs([(FOLDER, folder), (DO, Path::new(what)), (SAID, said)])
        .stdout(std::process::Stdio::null());
    command
}

/// Not a test by itself: a planner, a worker or a merger in a process of its own.
#[test]
fn child_that_works() {
    let (Some(folder), Ok(what)) = (std::env::var_os(FOLDER), std::env::var(DO)) else {
        return;
    };
    let folder = Path::new(&folder);
    let shared = folder.join("disk/plan");
    let mut said = String::new();
    let (what, argument) = what.split_once(' ').unwrap_or((&what, ""));
    match what {
        "plan" => {
            let study = described(folder, argument.parse().unwrap());
            let planned = StudyPlan::create(&shared, &study, &mut |_| {});
            said = planned.map_or_else(|e| e.to_string(), |_| "planned".to_owned());
        }
        "unit" => {
            let plan = StudyPlan::read(&shared).unwrap();
            let number: usize = argument.parse().unwrap();
            assert!(run(&plan, &plan.units()[number]).unwrap());
        }
        "work" => match StudyPlan::read(&shared) {
            Err(e) => said = e.to_string(),
            Ok(plan) => {
                let mut worker = Worker::new(&plan, Oracle::load);
                for unit in plan.units() {
                    let result = match worker.run(unit, &|_| {}) {
                        Ok(scored) => scored.to_string(),
                        Err(e) => e.to_string(),
                    };
                    said += &format!("{} {result}\n", unit.name());
                }
            }
        },
        "merge" => {
            let merged = StudyPlan::read(&shared)
                .map_err(UnitError::from)
                .and_then(|plan| plan.merge(folder.join("disk/table.csv"), None));
            said = merged.map_or_else(|e| e.to_string(), |_| "merged".to_owned());
        }
        other => panic!("{other}"),
    }
    fs::write(std::env::var_os(SAID).unwrap(), said).unwrap();
}

/// A call that changed files, as `calls.c` records it.
pub(super) struct Call {
    pub(super) what: u8,
    pub(super) numbers: [u64; 2],
    /// A path, or the bytes of a write.
    pub(super) bytes: Vec<u8>,
    /// The second path.
    pub(super) to: PathBuf,
}

impl Call {
    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(String::from_utf8(self.bytes.clone()).unwrap())
    }

    /// All calls of a record.
    pub(super) fn all(record: &[u8]) -> Vec<Self> {
        let mut rest = record;
        let mut take = |n: usize| {
            let (taken, after) = rest.split_at(n);
            rest = after;
            taken
        };
        let mut calls = Vec::new();
        let mut left = record.len();
        while left > 0 {
            let what = take(1)[0];
            let mut number = || u64::from_le_bytes(take(8).try_into().unwrap());
            let numbers = [number(), number()];
            let n = number() as usize;
            let bytes = take(n).to_vec();
            let m = u64::from_le_bytes(take(8).try_into().unwrap()) as usize;
            let to = PathBuf::from(String::from_utf8(take(m).to_vec()).unwrap());
            left -= 1 + 4 * 8 + n + m;
            calls.push(Self {
                what,
                numbers,
                bytes,
                to,
            });
        }
        calls
    }
}
