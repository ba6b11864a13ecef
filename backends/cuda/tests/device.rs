//! Machines that differ from the usual one, faults, and what a device does with memory.

mod common;

use std::error::Error as _;

use common::{on_device, on_machine, upload};
use relscale::Error;
use relscale::backend::{
    Attention, Backend, Columns, Embed, Linear, LogProb, Norm, NormKind, Overflow, Role, Segment,
    Target,
};
use relscale_cuda::{Buffer, Cuda, CudaError, Precision};

fn cause(error: &Error) -> Option<&CudaError> {
    error.source().and_then(|source| source.downcast_ref())
}

/// An embedding of one token.
fn embed(cuda: &Cuda, table: &Buffer, width: usize) -> Result<Buffer, Error> {
    let op = Embed {
        tokens: &[1],
        vocab: 2,
        width,
        scale: 1.0,
    };
    cuda.embed(table, &op)
}

/// Some virtual GPUs have no memory pools.
#[test]
fn a_device_without_memory_pools_is_used_all_the_same() {
    on_machine(&[("RELSCALE_SIM_POOLS", "false")], || {
        let cuda = Cuda::new(Precision::F32).unwrap();
        let table = upload(
            &cuda,
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            2,
            Role::Matrix,
        );
        // Results are dropped, and their memory is used again.
        for _ in 0..3 {
            let row = embed(&cuda, &table, 4).unwrap();
            assert_eq!(cuda.read(&row).unwrap(), [5.0, 6.0, 7.0, 8.0]);
        }
    });
}

#[test]
fn the_words_of_the_drivers_compiler_are_in_the_error() {
    let words = "ptxas application ptx input, line 7; error: Unknown symbol";
    on_machine(&[("RELSCALE_SIM_COMPILER_ERROR", words)], || {
        let error = Cuda::new(Precision::F32).unwrap_err();
        assert!(matches!(error, CudaError::Driver { .. }), "{error:?}");
        assert!(error.to_string().ends_with(words), "{error}");
    });
}

/// Attention of 40 rows, whose kernel `attention_f32` has more instructions than the simulator is told to
/// wait for.
fn attend(cuda: &Cuda) -> Result<Buffer, Error> {
    let x = upload(cuda, &[1.0; 160], 40, Role::Dense);
    let all = || Columns::all(&x, 40, 4);
    let op = Attention {
        segments: &[Segment {
            start: 0,
            len: 40,
            parent: None,
            position: 0,
        }],
        heads: 1,
        kv_heads: 1,
        head_dim: 4,
        scale: 1.0,
        window: None,
        soft_cap: None,
        slopes: None,
    };
    cuda.attention(all(), all(), all(), &op)
}

/// A kernel that fails is found out when somebody waits; with `RELSCALE_CUDA_SYNC` at its launch.
#[test]
fn a_fault_names_its_kernel_when_every_launch_is_waited_for() {
    let limit = ("RELSCALE_SIM_LIMIT", "20");
    let named = |error: &Error| match cause(error) {
        Some(CudaError::Driver { call, message }) => {
            *call == "running a kernel" && message.starts_with("attention_f32: ")
        }
        _ => false,
    };
    on_machine(&[limit, ("RELSCALE_CUDA_SYNC", "1")], || {
        let cuda = Cuda::new(Precision::F32).unwrap();
        let error = attend(&cuda).unwrap_err();
        assert!(named(&error), "{error:?}");
    });
    on_machine(&[limit], || {
        let cuda = Cuda::new(Precision::F32).unwrap();
        let error = cuda.read(&attend(&cuda).unwrap()).unwrap_err();
        assert!(cause(&error).is_some() && !named(&error), "{error:?}");
    });
}

/// Page-locked memory is used again only when the copies from it are done.
#[test]
fn uploads_of_more_than_the_staging_memory_arrive() {
    on_device(|| {
        let cuda = Cuda::new(Precision::F32).unwrap();
        let len = 700_000;
        let values = |i: usize| -> Vec<f32> { (0..len).map(|at| (at * 7 + i) as f32).collect() };
        // 28 MB, of which nothing is waited for, in pieces that end anywhere in the staging memory.
        let buffers: Vec<Buffer> = (0..10)
            .map(|i| upload(&cuda, &values(i), 1, Role::Dense))
            .collect();
        for (i, buffer) in buffers.iter().enumerate() {
            let got = cuda.read(buffer).unwrap();
            assert!(got == values(i), "buffer {i}");
        }
    });
}

fn refused<T>(result: Result<T, Error>) {
    let error = result.err().map(|error| error.to_string());
    let error = error.expect("a buffer of another device was taken");
    assert!(error.contains("another `Cuda`"), "{error}");
}

/// Nothing orders what two streams do, and an address means nothing on another device.
#[test]
fn buffers_of_another_handle_are_refused() {
    on_device(|| {
        let [ours, theirs] = [(); 2].map(|()| Cuda::new(Precision::F32).unwrap());
        let mine = upload(&ours, &[1.0; 16], 4, Role::Dense);
        let (x, weight, vector) = (
            upload(&theirs, &[1.0; 16], 4, Role::Dense),
            upload(&theirs, &[1.0; 16], 4, Role::Matrix),
            upload(&theirs, &[1.0; 4], 1, Role::Dense),
        );
        refused(ours.read(&x));
        refused(ours.gather(Columns::all(&x, 4, 4), &[0]));
        refused(ours.add(upload(&ours, &[1.0; 16], 4, Role::Dense), &x));
        refused(ours.add(x, &mine));
        refused(embed(
            &ours,
            &upload(&theirs, &[1.0; 8], 2, Role::Matrix),
            4,
        ));
        let product = Linear {
            weight: &weight,
            bias: None,
            inputs: 4,
            outputs: 4,
        };
        refused(ours.linear(Columns::all(&mine, 4, 4), &product));
        let norm = Norm {
            kind: NormKind::Rms,
            epsilon: 1e-5,
            width: 4,
            weight: &vector,
            bias: None,
        };
        refused(ours.norm(Columns::all(&mine, 4, 4), &norm));
    });
}

/// A norm by an infinite sum of squares would be zero. It is an error at the end, and with
/// `RELSCALE_CUDA_SYNC` at the norm itself, where the model adds the layer.
#[test]
fn a_sum_of_squares_that_is_not_finite_is_an_error() {
    let score = |kind: NormKind, precision: Precision| -> Result<Vec<f64>, Error> {
        let cuda = Cuda::new(precision)?;
        let ones = upload(&cuda, &[1.0; 16], 1, Role::Dense);
        // Their mean is zero, so both kinds of norms are of the same squares.
        let values: Vec<f32> = [1e30, -1e30].into_iter().cycle().take(32).collect();
        let x = upload(&cuda, &values, 2, Role::Dense);
        let norm = Norm {
            kind,
            epsilon: 1e-5,
            width: 16,
            weight: &ones,
            bias: None,
        };
        let normed = cuda.norm(Columns::all(&x, 2, 16), &norm)?;
        let head = LogProb {
            weight: &upload(&cuda, &[0.5; 48], 3, Role::Matrix),
            bias: None,
            inputs: 16,
            vocab: 3,
            soft_cap: None,
            targets: &[Target { row: 1, token: 2 }],
        };
        cuda.log_prob(Columns::all(&normed, 2, 16), &head)
    };
    let every = |check: &dyn Fn(Error)| {
        for kind in [NormKind::Rms, NormKind::Layer] {
            for precision in [Precision::F32, Precision::Bf16] {
                check(score(kind, precision).unwrap_err());
            }
        }
    };
    on_machine(&[], || {
        every(&|error| {
            let error = error.to_string();
            assert!(error.contains("beyond the range"), "{error}");
            assert!(error.contains("RELSCALE_CUDA_SYNC"), "{error}");
        });
    });
    on_machine(&[("RELSCALE_CUDA_SYNC", "1")], || {
        every(&|error| {
            let overflow = error.source().and_then(|source| source.downcast_ref());
            assert_eq!(
                overflow,
                Some(&Overflow::new("the sum of squares of a norm"))
            );
        });
    });
}
