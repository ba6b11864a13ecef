//! A library that is missing or too old, or a full device, is an error that says what to do, never a
//! panic.

mod common;

use std::error::Error as _;

use common::{fixtures, on_machine};
use relscale::Error;
use relscale::backend::{Backend, Role, Tensor, Values};
use relscale::model::{Batch, Model, Transformer};
use relscale_cuda::{Cuda, CudaError, Precision};
use relscale_cuda_sim::harness::Simulator;

fn cause(error: &Error) -> Option<&CudaError> {
    error.source().and_then(|source| source.downcast_ref())
}

fn refused() -> CudaError {
    let error = Cuda::new(Precision::default()).unwrap_err();
    println!("{error}");
    // The library's error has the same message, and this one as its source.
    let words = error.to_string();
    let wrapped = Error::from(error.clone());
    assert_eq!(wrapped.to_string(), format!("backend `cuda`: {words}"));
    assert_eq!(cause(&wrapped), Some(&error));
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
            rows: 4,
            cols: 1 << 19,
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
        let error = cuda.upload(&tensor(Values::F32(&values))).unwrap_err();
        let Error::OutOfMemory { requested, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*requested, Some(8 << 20));
        match cause(&error) {
            Some(CudaError::OutOfMemory {
                requested: Some(8_388_608),
                memory: Some((free, total)),
            }) => assert!(*free < 8 << 20 && *total == 36_000_000, "{free} of {total}"),
            other => panic!("{other:?}"),
        }
        let error = error.to_string();
        assert!(error.contains("out of memory for 8388608 bytes"), "{error}");
        assert!(error.contains("batch_tokens"), "{error}");
        assert_eq!(cuda.read(&small).unwrap(), [1.5; 12]);
    });
}

/// A caller that halves its batch on [`Error::OutOfMemory`] gets on with the same model, and the
/// answers are those of a batch that fits at once.
#[test]
fn a_smaller_batch_fits() {
    on_machine(&[("RELSCALE_SIM_MEMORY", "36000000")], || {
        let cuda = Cuda::new(Precision::F32).unwrap();
        let checkpoint = fixtures().join("checkpoints/qwen3-gqa");
        let model = Transformer::load(checkpoint, cuda).unwrap();
        let score = |sequences: u32| {
            let mut batch = Batch::new();
            for i in 0..sequences {
                let segment = batch.segment(None, &[i % 149, 3, 5]).unwrap();
                batch.target(segment, 2, 7).unwrap();
            }
            model.log_likelihoods(&batch)
        };
        let few = score(8).unwrap();
        let (mut sequences, mut refused) = (2048, 0);
        let nats = loop {
            match score(sequences) {
                Ok(nats) => break nats,
                Err(Error::OutOfMemory { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            sequences /= 2;
        };
        assert!(refused > 0 && sequences >= 8, "{sequences}");
        assert_eq!(nats[..8], few);
    });
}

/// Nor does loading a model panic when memory ends.
#[test]
fn out_of_memory_while_loading() {
    on_machine(&[("RELSCALE_SIM_MEMORY", "33600000")], || {
        let mut dirs: Vec<_> = std::fs::read_dir(fixtures().join("checkpoints"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        dirs.sort();
        let cuda = Cuda::new(Precision::F32).unwrap();
        let error = Transformer::load(&dirs[0], cuda).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
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
