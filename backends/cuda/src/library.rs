//! Finding cuBLASLt where the loader does not look.
//!
//! `pip` and `conda` keep the library in folders of their own. A library that was opened once by its
//! path is found by its name afterwards, which is how the bindings ask for it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use cudarc::cublaslt::sys;
use libloading::Library;

use crate::error::CudaError;

/// The variable that names the library, or the folder it is in.
pub(crate) const VARIABLE: &str = "RELSCALE_CUBLASLT";

/// File names of the library, CUDA 13 first.
const NAMES: [&str; 2] = ["libcublasLt.so.13", "libcublasLt.so.12"];

/// Libraries opened by path, which stay open: their names are known to the loader for as long.
static OPEN: Mutex<Vec<Library>> = Mutex::new(Vec::new());

/// Makes cuBLASLt known to the loader: the one that `RELSCALE_CUBLASLT` names, that on the loader's
/// path, or one in a usual place.
pub(crate) fn find() -> Result<(), CudaError> {
    if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return open_named(Path::new(&named));
    }
    if is_known()
        || usual_places(&|name| env::var_os(name))
            .iter()
            .any(|p| open(p).is_ok())
    {
        return Ok(());
    }
    Err(CudaError::LibraryMissing {
        library: "libcublasLt",
    })
}

/// True if the bindings find the library. If not, they panic at their first call.
fn is_known() -> bool {
    // SAFETY: loading the vendor's library runs its initialisers, which is what it is for.
    unsafe { sys::is_culib_present() }
}

fn open_named(named: &Path) -> Result<(), CudaError> {
    let unusable = |message: String| CudaError::LibraryUnusable {
        path: named.to_owned(),
        message,
    };
    let path = if named.is_dir() {
        in_folder(named)
            .into_iter()
            .next()
            .ok_or_else(|| unusable(format!("the folder has no {}", NAMES.join(" or "))))?
    } else {
        named.to_owned()
    };
    open(&path).map_err(unusable)
}

/// Opens a library by its path; an error if the bindings do not know it then.
fn open(path: &Path) -> Result<(), String> {
    // SAFETY: as in `is_known`.
    let library = unsafe { Library::new(path) }.map_err(|error| error.to_string())?;
    if !is_known() {
        return Err(format!("it is none of {}", NAMES.join(", ")));
    }
    // A panic on another thread leaves the list whole.
    let mut kept = OPEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    kept.push(library);
    Ok(())
}

/// The library's files in a folder.
fn in_folder(folder: &Path) -> Vec<PathBuf> {
    let paths = NAMES.map(|name| folder.join(name));
    paths.into_iter().filter(|path| path.is_file()).collect()
}

/// Files of the library in toolkits and Python environments, in the order in which they are tried.
fn usual_places(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let folder = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let mut toolkits: Vec<PathBuf> = ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(folder)
        .collect();
    toolkits.push("/usr/local/cuda".into());
    let mut found: Vec<PathBuf> = toolkits
        .iter()
        .flat_map(|root| in_folder(&root.join("lib64")))
        .collect();
    for prefix in prefixes(&folder) {
        found.extend(in_folder(&prefix.join("lib")));
        for packages in site_packages(&prefix.join("lib")) {
            // `nvidia/cu13/lib` of CUDA 13, `nvidia/cublas/lib` of CUDA 12.
            for part in folders_in(&packages.join("nvidia"), "") {
                found.extend(in_folder(&part.join("lib")));
            }
        }
    }
    found
}

/// Roots of Python environments: active ones, those whose `python3` is on the path, the user's.
fn prefixes(folder: &dyn Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = ["VIRTUAL_ENV", "CONDA_PREFIX"]
        .into_iter()
        .filter_map(folder)
        .collect();
    let path = folder("PATH").unwrap_or_default();
    for bin in env::split_paths(&path).filter(|bin| bin.join("python3").exists()) {
        found.extend(bin.parent().map(Path::to_owned));
    }
    found.extend(folder("HOME").map(|home| home.join(".local")));
    found
}

/// Folders of installed packages under `lib`.
fn site_packages(lib: &Path) -> Vec<PathBuf> {
    folders_in(lib, "python3")
        .iter()
        .flat_map(|python| ["site-packages", "dist-packages"].map(|name| python.join(name)))
        .collect()
}

/// Folders in `parent` whose names begin with `start`, the last name first: `cu13` before `cu12`.
fn folders_in(parent: &Path, start: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found
}
