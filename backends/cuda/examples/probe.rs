//! Answers about the CUDA backend that only a device can give.
//!
//! `probe repeat` prints a number for the bits of every result: runs of the same program must agree.
//! `probe invariance` compares a row of a product in batches of many sizes. `probe ones` sums ones, which
//! shows what a sum in parts leaves out. `probe algorithms` prints the algorithms that cuBLASLt chose.
//! `probe all` does everything. With `--test` sizes are small.

use std::process::ExitCode;

use relscale::Error;
use relscale::backend::{
    Attention, Backend, Columns, Linear, LogProb, Role, Segment, Target, Tensor, Values,
};
use relscale_cuda::{Buffer, Cuda, Precision};

const PRECISIONS: [Precision; 4] = [
    Precision::Bf16,
    Precision::F16,
    Precision::F32,
    Precision::Tf32,
];

/// Inputs and outputs of the products: those of models of several widths, and odd ones.
fn weights(small: bool) -> Vec<(usize, usize)> {
    if small {
        return vec![(64, 96), (63, 65)];
    }
    vec![
        (512, 1536),
        (512, 512),
        (2048, 512),
        (2048, 6144),
        (2048, 16_384),
        (8192, 2048),
        (4096, 4096),
        (2048, 50_304),
        (1000, 1001),
    ]
}

/// Numbers in [−1, 1), the same in every run: Knuth's MMIX generator.
fn values(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn upload(cuda: &Cuda, values: &[f32], cols: usize, role: Role) -> Result<Buffer, Error> {
    cuda.upload(&Tensor {
        values: Values::F32(values),
        rows: values.len() / cols,
        cols,
        role,
    })
}

/// The first `rows` rows of `x` times a weight.
fn product(
    cuda: &Cuda,
    x: &[f32],
    weight: &Buffer,
    [rows, inputs, outputs]: [usize; 3],
) -> Result<Vec<f32>, Error> {
    let x = upload(cuda, &x[..rows * inputs], inputs, Role::Dense)?;
    let op = Linear {
        weight,
        bias: None,
        inputs,
        outputs,
    };
    cuda.read(&cuda.linear(Columns::all(&x, rows, inputs), &op)?)
}

/// A number for the bits of results (FNV-1a).
fn digest(bits: impl IntoIterator<Item = u64>) -> u64 {
    bits.into_iter().fold(0xcbf2_9ce4_8422_2325, |h, x| {
        (h ^ x).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn digest_of(results: &[f32]) -> u64 {
    digest(results.iter().map(|x| u64::from(x.to_bits())))
}

fn attention(cuda: &Cuda, rows: usize, dim: usize) -> Result<Vec<f32>, Error> {
    let width = 2 * dim;
    let x = upload(cuda, &values(rows * 3 * width), 3 * width, Role::Dense)?;
    let third = rows / 3;
    let segment = |start, len, parent, position| Segment {
        start,
        len,
        parent,
        position,
    };
    let op = Attention {
        segments: &[
            segment(0, third, None, 0),
            segment(third, third, Some(0), third),
            segment(2 * third, rows - 2 * third, Some(0), third),
        ],
        heads: 2,
        kv_heads: 2,
        head_dim: dim,
        scale: 1.0 / (dim as f64).sqrt(),
        window: None,
        soft_cap: None,
        slopes: None,
    };
    let [q, k, v] = [0, 1, 2].map(|i| Columns::block(&x, rows, 3 * width, i * width, width));
    cuda.read(&cuda.attention(q, k, v, &op)?)
}

fn log_prob(cuda: &Cuda, rows: usize, [inputs, vocab]: [usize; 2]) -> Result<Vec<f64>, Error> {
    let x = upload(cuda, &values(rows * inputs), inputs, Role::Dense)?;
    let targets: Vec<Target> = (0..rows)
        .map(|row| Target {
            row,
            token: (row * 7 % vocab) as u32,
        })
        .collect();
    let op = LogProb {
        weight: &upload(cuda, &values(vocab * inputs), inputs, Role::Matrix)?,
        bias: None,
        inputs,
        vocab,
        soft_cap: None,
        targets: &targets,
    };
    cuda.log_prob(Columns::all(&x, rows, inputs), &op)
}

fn repeat(cuda: &Cuda, precision: Precision, small: bool) -> Result<bool, Error> {
    let rows = if small { 70 } else { 1000 };
    for (inputs, outputs) in weights(small) {
        let weight = upload(cuda, &values(inputs * outputs), inputs, Role::Matrix)?;
        let y = product(
            cuda,
            &values(rows * inputs),
            &weight,
            [rows, inputs, outputs],
        )?;
        let digest = digest_of(&y);
        println!("{precision:?}: {rows} rows, {inputs} → {outputs}: {digest:016x}");
    }
    for dim in [64, 96, 128, 32] {
        let digest = digest_of(&attention(cuda, rows, dim)?);
        println!("{precision:?}: attention with heads of {dim}: {digest:016x}");
    }
    let head = if small { [32, 100] } else { [512, 50_304] };
    let scores = log_prob(cuda, rows, head)?;
    let digest = digest(scores.iter().map(|x| x.to_bits()));
    println!("{precision:?}: log-probabilities: {digest:016x}");
    Ok(true)
}

fn invariance(cuda: &Cuda, precision: Precision, small: bool) -> Result<bool, Error> {
    let counts: &[usize] = if small {
        &[1, 17, 128, 600]
    } else {
        &[1, 17, 64, 128, 257, 1024, 8192]
    };
    let mut same = true;
    for (inputs, outputs) in weights(small) {
        // Results come back to the host, and larger ones would show no more.
        let few = |rows: &&usize| **rows * outputs <= 1 << 25;
        let counts: Vec<usize> = counts.iter().filter(few).copied().collect();
        let most = counts[counts.len() - 1];
        let x = values(most * inputs);
        let weight = upload(cuda, &values(inputs * outputs), inputs, Role::Matrix)?;
        let all = product(cuda, &x, &weight, [most, inputs, outputs])?;
        let mut other = Vec::new();
        for &rows in &counts {
            let some = product(cuda, &x, &weight, [rows, inputs, outputs])?;
            let equal = some
                .iter()
                .zip(&all)
                .all(|(a, b)| a.to_bits() == b.to_bits());
            if !equal {
                other.push(rows);
            }
        }
        same &= other.is_empty();
        let verdict = if other.is_empty() {
            format!("the same bits for {counts:?} rows")
        } else {
            format!("OTHER BITS for {other:?} rows than for {most}")
        };
        println!("{precision:?}: {inputs} → {outputs}: {verdict}");
    }
    Ok(same)
}

fn ones(cuda: &Cuda, precision: Precision, small: bool) -> Result<bool, Error> {
    // Each is a number of every format.
    let sizes: &[usize] = if small {
        &[65, 96, 200]
    } else {
        &[65, 96, 127, 129, 200, 1000, 2016, 4032, 8128]
    };
    let (rows, outputs) = (130, 72);
    let mut right = true;
    for &inputs in sizes {
        let weight = upload(cuda, &vec![1.0; inputs * outputs], inputs, Role::Matrix)?;
        let y = product(
            cuda,
            &vec![1.0; rows * inputs],
            &weight,
            [rows, inputs, outputs],
        )?;
        if let Some(wrong) = y.iter().find(|&&y| y != inputs as f32) {
            right = false;
            println!("{precision:?}: {inputs} ones sum to {wrong}: WRONG");
        }
    }
    println!(
        "{precision:?}: sums of {sizes:?} ones: {}",
        if right { "right" } else { "WRONG" }
    );
    Ok(right)
}

/// Runs `what`; true if every answer is as it should be.
pub(crate) fn probe(what: &str, small: bool) -> Result<bool, Error> {
    let mut good = true;
    for precision in PRECISIONS {
        let cuda = Cuda::new(precision)?;
        if precision == PRECISIONS[0] {
            let (major, minor) = cuda.driver_version();
            println!("{}, driver for CUDA {major}.{minor}", cuda.device_name());
        }
        for (name, check) in [
            (
                "repeat",
                repeat as fn(&Cuda, Precision, bool) -> Result<bool, Error>,
            ),
            ("invariance", invariance),
            ("ones", ones),
        ] {
            if what == name || what == "all" {
                good &= check(&cuda, precision, small)?;
            }
        }
        if what == "algorithms" {
            repeat(&cuda, precision, small)?;
        }
        if what == "algorithms" || what == "all" {
            println!("{cuda:#?}");
        }
    }
    Ok(good)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let small = arguments.iter().any(|a| a == "--test");
    let what = arguments.iter().find(|a| *a != "--test");
    let what = what.map_or("all", String::as_str);
    if !["repeat", "invariance", "ones", "algorithms", "all"].contains(&what) {
        eprintln!("usage: probe [repeat|invariance|ones|algorithms|all] [--test]");
        return ExitCode::from(2);
    }
    match probe(what, small) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
