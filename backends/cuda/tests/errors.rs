//! What is missing, too old or full is an error that says what to do, never a panic.

mod common;

use common::on_machine;
use relscale::backend::{Backend, Role, Tensor, Values};
use relscale::model::Transformer;
use relscale_cuda::{Cuda, CudaError, Precision};
use relscale_cuda_sim::harness::Simulator;

fn refused() -> CudaError {
    let error = Cuda::new(Precision::default()).unwrap_err();
    println!("{error}");
    // The trait's error carries the words.
    let words = error.to_string();
    let wrapped = relscale::Error::from(error.clone()).to_string();
    assert_eq!(wrapped, format!("backend `cuda`: {words}"));
    error
}

#[test]
fn no_driver() {
    match Cuda::new(Precision::default()) {
        Ok(cuda) => println!("skipped: there is a device, {}", cuda.device_name()),
        Err(CudaError::NoDriver) => {
            let words = refused().to_string();
            assert!(words.contains("Install the NVIDIA driver"), "{words}");
        }
        // A driver without a device, or without cuBLASLt: as good an answer.
        Err(error) => println!("skipped: there is a driver, and {error}"),
    }
}

#[test]
fn no_cublas() {
    if std::env::var_os("RELSCALE_CUDA_GPU").is_some() {
        return;
    }
    Simulator::new().without("libcublasLt.so").run(|| {
        // Where NVIDIA's own is installed, it is found instead.
        if let Err(error) = Cuda::new(Precision::F32) {
            let library = "libcublasLt";
            assert_eq!(error, CudaError::LibraryMissing { library });
            assert!(error.to_string().contains("pip install"), "{error}");
        }
    });
}

#[test]
fn driver_too_old() {
    on_machine(&[("RELSCALE_SIM_DRIVER", "12020")], || {
        let error = refused();
        assert_eq!(error, CudaError::DriverTooOld { found: 12020 });
        assert!(error.to_string().contains("12.2"), "{error}");
    });
}

#[test]
fn device_too_old() {
    on_machine(&[("RELSCALE_SIM_CAPABILITY", "7.5")], || {
        let error = refused();
        assert!(
            matches!(
                error,
                CudaError::DeviceTooOld {
                    capability: (7, 5),
                    ..
                }
            ),
            "{error:?}"
        );
    });
}

#[test]
fn no_device() {
    on_machine(&[("RELSCALE_SIM_DEVICES", "0")], || {
        assert_eq!(refused(), CudaError::NoDevice { index: 0, count: 0 });
    });
}

#[test]
fn no_second_device() {
    on_machine(&[], || {
        assert_eq!(
            Cuda::on_device(1, Precision::F32).unwrap_err(),
            CudaError::NoDevice { index: 1, count: 1 }
        );
    });
}

/// The workspace of 32 MiB fits, a weight of 8 MiB does not; what was there goes on working.
#[test]
fn out_of_memory() {
    on_machine(&[("RELSCALE_SIM_MEMORY", "36000000")], || {
        let cuda = Cuda::new(Precision::F32).unwrap();
        let tensor = |values| Tensor {
            values,
            rows: 2,
            cols: 1 << 20,
            role: Role::Matrix,
        };
        let small = cuda
            .upload(&Tensor {
                values: Values::F32(&[1.5; 12]),
                rows: 3,
                cols: 4,
                role: Role::Dense,
            })
            .unwrap();
        let values = vec![0.0; 2 << 20];
        let error = cuda
            .upload(&tensor(Values::F32(&values)))
            .unwrap_err()
            .to_string();
        assert!(error.contains("out of memory for 8388608 bytes"), "{error}");
        assert!(error.contains("max_tokens"), "{error}");
        assert_eq!(cuda.read(&small).unwrap(), [1.5; 12]);
    });
}

/// Nor does loading a model panic when memory ends.
#[test]
fn out_of_memory_while_loading() {
    on_machine(&[("RELSCALE_SIM_MEMORY", "33600000")], || {
        let dir = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/fixtures/checkpoints"
        );
        let mut dirs: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        dirs.sort();
        let cuda = Cuda::new(Precision::F32).unwrap();
        let error = Transformer::load(&dirs[0], cuda).unwrap_err().to_string();
        assert!(error.contains("out of memory"), "{error}");
    });
}

#[test]
fn a_weight_outside_f16() {
    on_machine(&[], || {
        let cuda = Cuda::new(Precision::F16).unwrap();
        let tensor = Tensor {
            values: Values::F32(&[1.0, 7e4]),
            rows: 1,
            cols: 2,
            role: Role::Matrix,
        };
        let error = cuda.upload(&tensor).unwrap_err().to_string();
        assert!(error.contains("7e4"), "{error}");
        assert!(error.contains("bf16"), "{error}");
    });
}
