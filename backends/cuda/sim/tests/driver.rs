//! The C interfaces, called as the backend calls them: through cudarc, in a process whose loader finds
//! the simulator.
#![allow(
    unsafe_code,
    reason = "the result layer of cudarc is unsafe throughout"
)]
#![allow(
    clippy::undocumented_unsafe_blocks,
    clippy::multiple_unsafe_ops_per_block,
    reason = "every pointer here is of a live local or a live handle of the simulator"
)]

use std::ffi::{CString, c_void};

use cudarc::cublaslt::{result as lt, sys as ltsys};
use cudarc::driver::{result, sys};
use half::bf16;
use relscale_cuda_sim::harness::{Simulator, on_simulator};

/// y = a·x + y over n numbers.
const AXPY: &str = r"
.version 8.4
.target sm_80
.address_size 64
.visible .entry axpy(.param .u64 y, .param .u64 x, .param .f32 a, .param .u32 n)
{
    .reg .pred %p;
    .reg .b32 %r<6>;
    .reg .f32 %f<4>;
    .reg .b64 %rd<6>;
    ld.param.u64 %rd1, [y];
    ld.param.u64 %rd2, [x];
    ld.param.f32 %f1, [a];
    ld.param.u32 %r1, [n];
    mov.u32 %r2, %ctaid.x;
    mov.u32 %r3, %ntid.x;
    mov.u32 %r4, %tid.x;
    mad.lo.s32 %r5, %r2, %r3, %r4;
    setp.ge.u32 %p, %r5, %r1;
    @%p ret;
    mul.wide.u32 %rd3, %r5, 4;
    add.s64 %rd4, %rd1, %rd3;
    add.s64 %rd5, %rd2, %rd3;
    ld.global.f32 %f2, [%rd4];
    ld.global.nc.f32 %f3, [%rd5];
    fma.rn.f32 %f2, %f1, %f3, %f2;
    st.global.f32 [%rd4], %f2;
    ret;
}
";

fn open() -> sys::CUstream {
    result::init().unwrap();
    let device = result::device::get(0).unwrap();
    unsafe {
        let context = result::primary_ctx::retain(device).unwrap();
        result::ctx::set_current(context).unwrap();
    }
    result::stream::create(result::stream::StreamKind::NonBlocking).unwrap()
}

fn function(ptx: &str, name: &str) -> sys::CUfunction {
    let text = CString::new(ptx).unwrap();
    unsafe {
        let module = result::module::load_data(text.as_ptr().cast()).unwrap();
        result::module::get_function(module, CString::new(name).unwrap()).unwrap()
    }
}

fn upload<T>(data: &[T], stream: sys::CUstream) -> sys::CUdeviceptr {
    unsafe {
        let at = result::malloc_async(stream, size_of_val(data)).unwrap();
        // A copy that is over when it returns: of pageable memory an asynchronous one promises nothing.
        result::memcpy_htod_sync(at, data).unwrap();
        at
    }
}

fn download(
    at: sys::CUdeviceptr,
    n: usize,
    stream: sys::CUstream,
) -> Result<Vec<f32>, result::DriverError> {
    let mut out = vec![0.0_f32; n];
    unsafe {
        result::memcpy_dtoh_async(&mut out, at, stream)?;
        result::stream::synchronize(stream)?;
    }
    Ok(out)
}

fn axpy(
    f: sys::CUfunction,
    y: u64,
    x: u64,
    a: f32,
    n: u32,
    stream: sys::CUstream,
) -> Result<(), result::DriverError> {
    let mut params: [*mut c_void; 4] = [
        (&raw const y) as _,
        (&raw const x) as _,
        (&raw const a) as _,
        (&raw const n) as _,
    ];
    unsafe {
        result::launch_kernel(
            f,
            (n.div_ceil(128), 1, 1),
            (128, 1, 1),
            0,
            stream,
            &mut params,
        )
    }
}

#[test]
fn a_kernel_runs_through_cudarc() {
    on_simulator(|| {
        let stream = open();
        let name = result::device::get_name(result::device::get(0).unwrap()).unwrap();
        assert!(name.contains("simulator"));
        let f = function(AXPY, "axpy");
        let x: Vec<f32> = (0..300).map(|i| i as f32).collect();
        let (y, x) = (upload(&vec![1.0_f32; 300], stream), upload(&x, stream));
        axpy(f, y, x, 0.5, 300, stream).unwrap();
        let out = download(y, 300, stream).unwrap();
        assert!(
            out.iter()
                .enumerate()
                .all(|(i, &v)| v == 1.0 + 0.5 * i as f32)
        );
    });
}

#[test]
fn nothing_arrives_before_somebody_waits() {
    on_simulator(|| {
        let stream = open();
        let x = upload(&[1.0_f32, 2.0], stream);
        let mut out = [0.0_f32; 2];
        unsafe { result::memcpy_dtoh_async(&mut out, x, stream).unwrap() };
        assert!(std::hint::black_box(out).iter().all(|v| v.is_nan()));
        unsafe { result::stream::synchronize(stream).unwrap() };
        assert_eq!(std::hint::black_box(out), [1.0, 2.0]);
    });
}

#[test]
fn fresh_memory_is_not_a_number() {
    on_simulator(|| {
        let stream = open();
        let at = unsafe { result::malloc_async(stream, 64).unwrap() };
        assert!(download(at, 16, stream).unwrap().iter().all(|v| v.is_nan()));
    });
}

#[test]
fn a_fault_is_reported_and_sticks() {
    on_simulator(|| {
        let stream = open();
        let f = function(AXPY, "axpy");
        let (y, x) = (
            upload(&[1.0_f32; 100], stream),
            upload(&[1.0_f32; 99], stream),
        );
        axpy(f, y, x, 0.5, 100, stream).unwrap();
        let error = download(y, 100, stream).unwrap_err();
        assert_eq!(error.0, sys::cudaError_enum::CUDA_ERROR_ILLEGAL_ADDRESS);
        let text = error.error_string().unwrap().to_string_lossy().into_owned();
        for part in [
            "kernel axpy",
            "block (0, 0, 0)",
            "thread 99",
            "PTX line 25",
            "ld.global.nc.f32",
            "396",
        ] {
            assert!(text.contains(part), "{part:?} in {text}");
        }
        assert_eq!(download(x, 1, stream).unwrap_err().0, error.0);
        assert!(unsafe { result::malloc_async(stream, 16) }.is_err());
    });
}

#[test]
fn use_after_free_is_reported() {
    on_simulator(|| {
        let stream = open();
        let f = function(AXPY, "axpy");
        let (y, x) = (
            upload(&[1.0_f32; 10], stream),
            upload(&[1.0_f32; 10], stream),
        );
        unsafe { result::free_async(x, stream).unwrap() };
        axpy(f, y, x, 0.5, 10, stream).unwrap();
        let error = download(y, 10, stream).unwrap_err();
        assert!(
            error
                .error_string()
                .unwrap()
                .to_string_lossy()
                .contains("freed")
        );
    });
}

#[test]
fn bad_modules_do_not_load() {
    on_simulator(|| {
        open();
        let load = |text: &str| unsafe {
            let text = CString::new(text).unwrap();
            result::module::load_data(text.as_ptr().cast())
                .map(|_| ())
                .map_err(|e| {
                    (
                        e.0,
                        e.error_string().unwrap().to_string_lossy().into_owned(),
                    )
                })
        };
        let (code, text) = load(&AXPY.replace("fma.rn.f32", "fma.rn.relu.f32")).unwrap_err();
        assert_eq!(code, sys::cudaError_enum::CUDA_ERROR_INVALID_PTX);
        assert!(
            text.contains("PTX line 26") && text.contains("fma.rn.relu.f32"),
            "{text}"
        );
        let (code, _) = load(&AXPY.replace("8.4", "9.9")).unwrap_err();
        assert_eq!(
            code,
            sys::cudaError_enum::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
        );
        let (code, _) = load(&AXPY.replace("sm_80", "sm_90")).unwrap_err();
        assert_eq!(code, sys::cudaError_enum::CUDA_ERROR_NO_BINARY_FOR_GPU);
        load(AXPY).unwrap();
    });
}

#[test]
fn launches_are_checked() {
    on_simulator(|| {
        let stream = open();
        let f = function(AXPY, "axpy");
        let mut params: [*mut c_void; 4] = [(&raw const stream) as _; 4];
        let mut launch = |grid, block, shared| unsafe {
            result::launch_kernel(f, grid, block, shared, stream, &mut params).map_err(|e| e.0)
        };
        let invalid = Err(sys::cudaError_enum::CUDA_ERROR_INVALID_VALUE);
        assert_eq!(launch((1, 1, 1), (1025, 1, 1), 0), invalid);
        assert_eq!(launch((0, 1, 1), (32, 1, 1), 0), invalid);
        assert_eq!(launch((1, 1, 1), (32, 1, 1), 49_153), invalid);
    });
}

#[test]
fn memory_runs_out_as_an_error() {
    let simulator = Simulator::new().set("RELSCALE_SIM_MEMORY", 1_000_000);
    simulator.run(|| {
        let stream = open();
        let first = unsafe { result::malloc_async(stream, 900_000).unwrap() };
        let error = unsafe { result::malloc_async(stream, 200_000) }.unwrap_err();
        assert_eq!(error.0, sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY);
        let (free, total) = result::mem_get_info().unwrap();
        assert_eq!((free, total), (100_000, 1_000_000));
        unsafe { result::free_async(first, stream).unwrap() };
        assert!(unsafe { result::malloc_async(stream, 200_000) }.is_ok());
    });
}

#[test]
fn the_machine_can_be_old_or_bare() {
    let old = Simulator::new()
        .set("RELSCALE_SIM_DRIVER", 12020)
        .set("RELSCALE_SIM_CAPABILITY", "7.5");
    old.run(|| {
        result::init().unwrap();
        let mut version = 0;
        unsafe { sys::cuDriverGetVersion(&raw mut version).result().unwrap() };
        assert_eq!(version, 12020);
        let device = result::device::get(0).unwrap();
        use sys::CUdevice_attribute_enum as Attribute;
        let major = Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
        assert_eq!(
            unsafe { result::device::get_attribute(device, major) }.unwrap(),
            7
        );
    });
    Simulator::new().set("RELSCALE_SIM_DEVICES", 0).run(|| {
        assert_eq!(
            result::init().unwrap_err().0,
            sys::cudaError_enum::CUDA_ERROR_NO_DEVICE
        );
    });
    Simulator::new().without("libcublasLt.so").run(|| unsafe {
        assert!(sys::is_culib_present() && !ltsys::is_culib_present());
    });
    Simulator::new()
        .without("libcublasLt.so")
        .without("libcuda.so")
        .run(|| unsafe {
            assert!(!sys::is_culib_present() && !ltsys::is_culib_present());
        });
}

#[test]
fn a_thread_without_a_context_is_told() {
    on_simulator(|| {
        open();
        let error = std::thread::spawn(|| result::mem_get_info().unwrap_err())
            .join()
            .unwrap();
        assert_eq!(error.0, sys::cudaError_enum::CUDA_ERROR_INVALID_CONTEXT);
    });
}

#[test]
fn a_stream_sees_another_only_through_an_event() {
    on_simulator(|| {
        let first = open();
        let second = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
        let f = function(AXPY, "axpy");
        let (y, x) = (upload(&[0.0_f32; 4], first), upload(&[1.0_f32; 4], first));
        unsafe { result::stream::synchronize(first).unwrap() };
        axpy(f, y, x, 1.0, 4, first).unwrap();
        // Not ordered after the kernel: it has not run.
        assert_eq!(download(y, 4, second).unwrap(), [0.0; 4]);
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT).unwrap();
        unsafe {
            result::event::record(event, first).unwrap();
            result::stream::wait_event(
                second,
                event,
                sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT,
            )
            .unwrap();
        }
        assert_eq!(download(y, 4, second).unwrap(), [1.0; 4]);
    });
}

/// A weight times activations, as the backend asks for it: A = [outputs, inputs] row-major.
struct Linear {
    handle: ltsys::cublasLtHandle_t,
    desc: ltsys::cublasLtMatmulDesc_t,
    layouts: [ltsys::cublasLtMatrixLayout_t; 3],
    algorithm: ltsys::cublasLtMatmulAlgo_t,
    workspace: u64,
}

impl Linear {
    fn new(
        ty: ltsys::cudaDataType,
        inputs: u64,
        outputs: u64,
        rows: u64,
        tf32: bool,
        stream: sys::CUstream,
    ) -> Self {
        use ltsys::cublasComputeType_t as Compute;
        let compute = if tf32 {
            Compute::CUBLAS_COMPUTE_32F_FAST_TF32
        } else {
            Compute::CUBLAS_COMPUTE_32F
        };
        let handle = lt::create_handle().unwrap();
        let desc = lt::create_matmul_desc(compute, ltsys::cudaDataType::CUDA_R_32F).unwrap();
        let layout = |r, c| lt::create_matrix_layout(ty, r, c, r as i64).unwrap();
        let layouts = [
            layout(inputs, outputs),
            layout(inputs, rows),
            layout(outputs, rows),
        ];
        unsafe {
            let transposed = 1_i32;
            let name = ltsys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
            lt::set_matmul_desc_attribute(desc, name, (&raw const transposed).cast(), 4).unwrap();
            let preference = lt::create_matmul_pref().unwrap();
            let (bytes, none) = (4096_u64, 0_u32);
            use ltsys::cublasLtMatmulPreferenceAttributes_t as Attribute;
            let name = Attribute::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
            lt::set_matmul_pref_attribute(preference, name, (&raw const bytes).cast(), 8).unwrap();
            // No sum in parts.
            let name = Attribute::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK;
            lt::set_matmul_pref_attribute(preference, name, (&raw const none).cast(), 4).unwrap();
            let [a, b, c] = layouts;
            let found =
                lt::get_matmul_algo_heuristic(handle, desc, a, b, c, c, preference).unwrap();
            lt::destroy_matmul_pref(preference).unwrap();
            let workspace = result::malloc_async(stream, 4096).unwrap();
            Self {
                handle,
                desc,
                layouts,
                algorithm: found.algo,
                workspace,
            }
        }
    }

    fn run(
        &self,
        w: u64,
        x: u64,
        y: u64,
        workspace: usize,
        stream: sys::CUstream,
    ) -> Result<(), lt::CublasError> {
        let (alpha, beta) = (1.0_f32, 0.0_f32);
        let [a, b, c] = self.layouts;
        unsafe {
            lt::matmul(
                self.handle,
                self.desc,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                w as _,
                a,
                x as _,
                b,
                y as _,
                c,
                y as _,
                c,
                &raw const self.algorithm,
                self.workspace as _,
                workspace,
                stream.cast(),
            )
        }
    }
}

fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n)
        .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
        .collect()
}

fn product(w: &[f32], x: &[f32], inputs: usize) -> Vec<f64> {
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    x.chunks(inputs)
        .flat_map(|x| w.chunks(inputs).map(move |w| dot(w, x)).collect::<Vec<_>>())
        .collect()
}

#[test]
fn matmul_multiplies() {
    on_simulator(|| {
        let stream = open();
        let (inputs, outputs, rows) = (24, 17, 5);
        let (w, x) = (numbers(inputs * outputs, 1), numbers(inputs * rows, 2));
        let l = Linear::new(ltsys::cudaDataType::CUDA_R_32F, 24, 17, 5, false, stream);
        let y = unsafe { result::malloc_async(stream, outputs * rows * 4).unwrap() };
        l.run(upload(&w, stream), upload(&x, stream), y, 4096, stream)
            .unwrap();
        let got = download(y, outputs * rows, stream).unwrap();
        for (got, want) in got.iter().zip(product(&w, &x, inputs)) {
            assert!(
                (f64::from(*got) - want).abs() <= 24.0 * 1.2e-7 * 24.0,
                "{got} {want}"
            );
        }
        // The workspace is scratch.
        assert!(
            download(l.workspace, 4, stream)
                .unwrap()
                .iter()
                .all(|v| v.is_nan())
        );
    });
}

#[test]
fn matmul_rounds_to_the_type() {
    on_simulator(|| {
        let stream = open();
        let (inputs, outputs, rows) = (16, 8, 3);
        let narrow = |x: Vec<f32>| x.into_iter().map(bf16::from_f32).collect::<Vec<_>>();
        let wide = |x: &[bf16]| x.iter().map(|x| x.to_f32()).collect::<Vec<_>>();
        let (w, x) = (
            narrow(numbers(inputs * outputs, 3)),
            narrow(numbers(inputs * rows, 4)),
        );
        let l = Linear::new(ltsys::cudaDataType::CUDA_R_16BF, 16, 8, 3, false, stream);
        let y = unsafe { result::malloc_async(stream, outputs * rows * 2).unwrap() };
        l.run(upload(&w, stream), upload(&x, stream), y, 4096, stream)
            .unwrap();
        let mut got = vec![bf16::ZERO; outputs * rows];
        unsafe {
            result::memcpy_dtoh_async(&mut got, y, stream).unwrap();
            result::stream::synchronize(stream).unwrap();
        }
        for (got, want) in got.iter().zip(product(&wide(&w), &wide(&x), inputs)) {
            assert!(
                (got.to_f64() - want).abs() <= want.abs() / 256.0 + 1e-5,
                "{got} {want}"
            );
        }
    });
}

#[test]
fn tf32_keeps_ten_bits() {
    on_simulator(|| {
        let stream = open();
        // Large enough for tensor cores; the first element of the product is that of the first two.
        let l = Linear::new(ltsys::cudaDataType::CUDA_R_32F, 64, 64, 1, true, stream);
        let first = |x: f32, n: usize| {
            let mut values = vec![0.0; n];
            values[0] = x;
            upload(&values, stream)
        };
        let y = first(0.0, 64);
        // 1 + 2^-11 is a tie and goes to 1; 1 + 3·2^-11 goes to 1 + 2^-9.
        for (x, want) in [
            (1.0 + 2f32.powi(-11), 1.0),
            (1.0 + 3.0 * 2f32.powi(-11), 1.0 + 2f32.powi(-9)),
        ] {
            l.run(first(x, 64 * 64), first(1.0, 64), y, 4096, stream)
                .unwrap();
            assert_eq!(download(y, 1, stream).unwrap(), [want]);
        }
    });
}

#[test]
fn matmul_checks_what_it_was_promised() {
    on_simulator(|| {
        let stream = open();
        let l = Linear::new(ltsys::cudaDataType::CUDA_R_32F, 8, 8, 8, false, stream);
        let m = upload(&numbers(128, 5), stream);
        use ltsys::cublasStatus_t as Status;
        let status = |w, x, workspace| l.run(w, x, m, workspace, stream).unwrap_err().0;
        assert_eq!(status(m + 16, m, 4096), Status::CUBLAS_STATUS_INVALID_VALUE);
        assert_eq!(status(m, m, 1024), Status::CUBLAS_STATUS_INVALID_VALUE);
        // Another problem, and a number of columns that nobody has checked the algorithm for.
        for (outputs, rows) in [(16, 8), (8, 600)] {
            let f32 = ltsys::cudaDataType::CUDA_R_32F;
            let mut other = Linear::new(f32, 8, outputs, rows, false, stream);
            other.algorithm = l.algorithm;
            assert_eq!(
                other.run(m, m, m, 4096, stream).unwrap_err().0,
                Status::CUBLAS_STATUS_NOT_SUPPORTED
            );
        }
        assert!(lt::create_matrix_layout(ltsys::cudaDataType::CUDA_R_32F, 8, 8, 7).is_err());
    });
    on_simulator(|| {
        let stream = open();
        let l = Linear::new(ltsys::cudaDataType::CUDA_R_32F, 8, 8, 8, false, stream);
        let (m, small) = (
            upload(&numbers(64, 5), stream),
            upload(&numbers(63, 5), stream),
        );
        l.run(m, small, m, 4096, stream).unwrap();
        let error = download(m, 64, stream).unwrap_err();
        let text = error.error_string().unwrap().to_string_lossy().into_owned();
        assert!(text.contains("column 7 of B"), "{text}");
    });
}

#[test]
fn a_failing_body_fails_the_test() {
    if let Some(outcome) = Simulator::new().outcome(|| panic!("on purpose")) {
        assert!(
            !outcome.passed && outcome.output.contains("on purpose"),
            "{}",
            outcome.output
        );
    }
}

/// The body of [`a_fault_on_a_gpu_ends_one_test`].
#[test]
#[ignore = "ends its process"]
fn ends_its_process() {
    on_simulator(|| std::process::abort());
}

#[test]
fn a_fault_on_a_gpu_ends_one_test() {
    let exe = std::env::current_exe().unwrap();
    let run = std::process::Command::new(exe)
        .args(["--exact", "ends_its_process", "--ignored"])
        .env("RELSCALE_CUDA_GPU", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(said.contains("test result: FAILED"), "{said}");
    assert!(said.contains("on the GPU of this machine"), "{said}");
}

#[test]
fn a_wrong_setting_is_named() {
    Simulator::new().set("RELSCALE_SIM_MEMORY", "lots").run(|| {
        let error = result::init().unwrap_err();
        assert!(
            error
                .error_string()
                .unwrap()
                .to_string_lossy()
                .contains("RELSCALE_SIM_MEMORY=lots")
        );
    });
}
