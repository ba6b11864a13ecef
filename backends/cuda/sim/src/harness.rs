//! Running a test on the simulator: the test's process starts itself again with the fake libraries in
//! the loader's way.
//!
//! ```no_run
//! #[test]
//! fn adds() {
//!     relscale_cuda_sim::harness::on_simulator(|| {
//!         // Unmodified host code: cudarc finds libcuda.so and libcublasLt.so.
//!     });
//! }
//! ```

use std::any::type_name;
use std::env;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set in the process that runs on the simulator: which call of which test it is for.
const CHILD: &str = "RELSCALE_SIM_CHILD";
/// Set by people who have a GPU: test bodies run there, with the machine's own libraries.
const GPU: &str = "RELSCALE_CUDA_GPU";
/// Both libraries.
const LIBRARIES: [&str; 2] = ["libcuda.so", "libcublasLt.so"];

/// Number of calls of the simulator that this process has made.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Runs the body of a test in a process of its own, on the simulator; with `RELSCALE_CUDA_GPU=1`
/// on the machine's GPU.
///
/// # Panics
///
/// Panics with the output of the process when the body did.
pub fn on_simulator(body: impl FnOnce()) {
    Simulator::new().run(body);
}

/// The simulated machine of one test.
#[derive(Clone, Debug)]
pub struct Simulator {
    libraries: Vec<&'static str>,
    variables: Vec<(String, String)>,
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

/// Result of a body that ran in a process of its own.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// True if the body returned.
    pub passed: bool,
    /// Standard output and standard error.
    pub output: String,
}

impl Simulator {
    /// A machine with both libraries and the default device.
    #[must_use]
    pub fn new() -> Self {
        Self {
            libraries: LIBRARIES.to_vec(),
            variables: Vec::new(),
        }
    }

    /// Sets an environment variable; see [`Config::from_environment`](crate::Config::from_environment).
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.variables.push((name.to_owned(), value.to_string()));
        self
    }

    /// The order of warps, lanes and blocks.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.set("RELSCALE_SIM_SEED", seed)
    }

    /// A machine without this library (`libcuda.so` or `libcublasLt.so`).
    #[must_use]
    pub fn without(mut self, library: &str) -> Self {
        self.libraries.retain(|l| *l != library);
        self
    }

    /// Runs the body, on a GPU where one was asked for. There too in a process of its own: a fault leaves a
    /// process without a usable device.
    ///
    /// # Panics
    ///
    /// Panics with the output of the process when the body did, and when this is not a test function.
    pub fn run<F: FnOnce()>(self, body: F) {
        if let Some(outcome) = self.outcome(body) {
            assert!(
                outcome.passed,
                "in a process of its own:\n{}",
                outcome.output
            );
            eprint!("{}", outcome.output);
        }
    }

    /// Runs the body and says how it ended, for tests of failures. The process that runs the body gets
    /// nothing, and should return.
    ///
    /// # Panics
    ///
    /// Panics when the process cannot be started, and when this is not a test function.
    pub fn outcome<F: FnOnce()>(self, body: F) -> Option<Outcome> {
        let thread = std::thread::current();
        let name = match thread.name() {
            Some(name) if name != "main" => name.to_owned(),
            // With one thread tests run on the main one; the closure's type has the test's path.
            _ => test_path(type_name::<F>()),
        };
        if let Some(wanted) = env::var_os(CHILD) {
            if wanted.to_str() == Some(CALLS.fetch_add(1, Ordering::Relaxed).to_string().as_str()) {
                eprintln!(
                    "on {}",
                    if on_gpu() {
                        "the GPU of this machine"
                    } else {
                        "the PTX simulator"
                    }
                );
                body();
            }
            return None;
        }
        let call = next_call(&name);
        let path = library_path(&self.libraries);
        let exe = env::current_exe();
        let child = exe.and_then(|exe| {
            Command::new(exe)
                .args([
                    &name,
                    "--exact",
                    "--include-ignored",
                    "--nocapture",
                    "--test-threads=1",
                ])
                .env(CHILD, call.to_string())
                .envs(path.map(|path| ("LD_LIBRARY_PATH", path)))
                .envs(self.variables)
                .output()
        });
        match child {
            Ok(child) => {
                let mut output = String::from_utf8_lossy(&child.stdout).into_owned();
                output += &String::from_utf8_lossy(&child.stderr);
                assert!(
                    output.contains("running 1 test"),
                    "`{name}` is not the name of one test:\n{output}"
                );
                Some(Outcome {
                    passed: child.status.success(),
                    output,
                })
            }
            Err(e) => panic!("starting the test again: {e}"),
        }
    }
}

fn on_gpu() -> bool {
    env::var_os(GPU).is_some()
}

/// The loader's path with the fake libraries in front of what was there; on a GPU it stays as it is.
fn library_path(libraries: &[&str]) -> Option<OsString> {
    if on_gpu() {
        return None;
    }
    let mut path = match directory(libraries) {
        Ok(directory) => directory.into_os_string(),
        Err(e) => panic!("the simulator's libraries: {e}"),
    };
    if let Some(old) = env::var_os("LD_LIBRARY_PATH") {
        path.push(":");
        path.push(old);
    }
    Some(path)
}

/// The number of this call among those of its test.
fn next_call(test: &str) -> usize {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};
    static COUNTS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(test.to_owned()).or_default();
    *count += 1;
    *count - 1
}

/// `crate::module::test::{{closure}}` without the crate and the closure.
fn test_path(closure: &str) -> String {
    let inner = closure.split("::{{closure}}").next().unwrap_or(closure);
    inner
        .split_once("::")
        .map_or(inner, |(_, rest)| rest)
        .to_owned()
}

/// A folder beside the built library in which it stands under these names.
fn directory(libraries: &[&str]) -> io::Result<PathBuf> {
    let library = built_library()?;
    let label = if libraries.is_empty() {
        "none".to_owned()
    } else {
        libraries.join("+")
    };
    let folder = library.with_file_name("relscale-cuda-sim").join(label);
    std::fs::create_dir_all(&folder)?;
    for name in libraries {
        // One file under both names is one library to the loader, with one simulated device.
        match link(&library, &folder.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    Ok(folder)
}

#[cfg(unix)]
fn link(library: &Path, name: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(library, name)
}

#[cfg(not(unix))]
fn link(_library: &Path, _name: &Path) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        "the simulator needs a loader that follows symbolic links",
    ))
}

/// The shared library that Cargo built as a dependency of the running test.
fn built_library() -> io::Result<PathBuf> {
    let exe = env::current_exe()?;
    let name = "librelscale_cuda_sim.so";
    let here = exe.parent().unwrap_or(Path::new("."));
    let places = [
        here.to_owned(),
        here.join("deps"),
        here.join("../deps"),
        here.join(".."),
    ];
    let found = places.iter().map(|p| p.join(name)).find(|p| p.exists());
    let found = found.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no {name} near {}", exe.display()),
        )
    });
    found?.canonicalize()
}
