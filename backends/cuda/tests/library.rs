//! cuBLASLt is found where the loader does not look.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use relscale::backend::{Backend, Columns, Linear, Role, Tensor, Values};
use relscale_cuda::{Cuda, CudaError, Precision};
use relscale_cuda_sim::harness::Simulator;

/// A folder of this test's own.
fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cublaslt-{name}"))
}

/// Puts a library of cuBLASLt's name into a folder. It has the name in itself, as NVIDIA's has, and its
/// functions from the simulator, which is on the loader's path as the driver only.
fn install(folder: &Path, name: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let path = std::env::var_os("LD_LIBRARY_PATH").unwrap();
    let simulator = std::env::split_paths(&path).next().unwrap();
    let linked = Command::new("cc")
        .arg("-shared")
        .arg(format!("-Wl,-soname,{name}"))
        .arg("-Wl,--no-as-needed")
        .arg("-L")
        .arg(simulator)
        .arg("-l:libcuda.so")
        .arg("-o")
        .arg(folder.join(name))
        .output()
        .unwrap();
    assert!(linked.status.success(), "{linked:?}");
}

/// Runs on a machine whose loader does not find cuBLASLt, with these variables; never on a GPU.
fn run(variables: &[(&str, &Path)], body: impl FnOnce()) {
    if std::env::var_os("RELSCALE_CUDA_GPU").is_some() {
        println!("skipped: needs the simulator");
        return;
    }
    let mut machine = Simulator::new().without("libcublasLt.so");
    for (name, value) in variables {
        machine = machine.set(name, value.display());
    }
    machine.run(body);
}

/// Multiplies, which needs the library.
fn multiplies() {
    let cuda = Cuda::new(Precision::F32).unwrap_or_else(|error| panic!("{error}"));
    let upload = |role| {
        let tensor = Tensor {
            values: Values::F32(&[2.0]),
            rows: 1,
            cols: 1,
            role,
        };
        cuda.upload(&tensor).unwrap()
    };
    let op = Linear {
        weight: &upload(Role::Matrix),
        bias: None,
        inputs: 1,
        outputs: 1,
    };
    let x = upload(Role::Dense);
    let y = cuda.linear(Columns::all(&x, 1, 1), &op).unwrap();
    assert_eq!(cuda.read(&y).unwrap(), [4.0]);
}

#[test]
fn by_the_file_that_a_variable_names() {
    let root = root("file");
    run(
        &[("RELSCALE_CUBLASLT", &root.join("libcublasLt.so.12"))],
        || {
            install(&root, "libcublasLt.so.12");
            multiplies();
        },
    );
}

#[test]
fn by_the_folder_that_a_variable_names() {
    let root = root("folder");
    run(&[("RELSCALE_CUBLASLT", &root)], || {
        install(&root, "libcublasLt.so.13");
        multiplies();
    });
}

#[test]
fn in_a_toolkit() {
    let root = root("toolkit");
    run(&[("CUDA_HOME", &root)], || {
        install(&root.join("lib64"), "libcublasLt.so.12");
        multiplies();
    });
}

#[test]
fn in_a_python_environment() {
    let root = root("python");
    run(&[("VIRTUAL_ENV", &root)], || {
        let packages = root.join("lib/python3.12/site-packages");
        install(&packages.join("nvidia/cu13/lib"), "libcublasLt.so.13");
        multiplies();
    });
}

#[test]
fn what_a_variable_names_is_not_passed_over() {
    let missing = root("missing").join("libcublasLt.so.12");
    run(&[("RELSCALE_CUBLASLT", &missing)], || {
        let error = Cuda::new(Precision::F32).unwrap_err();
        let CudaError::LibraryUnusable { path, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*path, missing);
        assert!(error.to_string().contains("RELSCALE_CUBLASLT"), "{error}");
    });
    // A library, and another one.
    let other = root("other").join("libother.so");
    run(&[("RELSCALE_CUBLASLT", &other)], || {
        install(&root("other"), "libother.so");
        let error = Cuda::new(Precision::F32).unwrap_err();
        assert!(
            matches!(error, CudaError::LibraryUnusable { .. }),
            "{error:?}"
        );
    });
}
