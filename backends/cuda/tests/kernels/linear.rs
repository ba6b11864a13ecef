//! Products with a weight.

use relscale::backend::{Backend, Columns, Linear, Role, Tensor, Values};
use relscale_cuda::{Buffer, Cuda, Precision};

use crate::common::{device, on_device};
use crate::trial::{Both, Trial, gamma, in_every_precision};

fn run<B: Backend>(
    backend: &B,
    x: Columns<'_, B::Buffer>,
    weight: &B::Buffer,
    bias: Option<&B::Buffer>,
    outputs: usize,
) -> B::Buffer {
    let op = Linear {
        weight,
        bias,
        inputs: x.width,
        outputs,
    };
    backend.linear(x, &op).unwrap()
}

/// Loss: γ_n·Σ|x||w| for n inputs, and the rounding of the product. A bias is added when the result is read,
/// in `f32`.
#[test]
fn linear() {
    in_every_precision("linear", 3, |t| {
        for (rows, inputs, outputs) in [(1, 8, 8), (17, 63, 65), (3, 64, 24), (65, 16, 9)] {
            for biased in [false, true] {
                linear_of(t, (rows, inputs, outputs), biased);
            }
        }
    });
}

fn linear_of(t: &mut Trial, (rows, inputs, outputs): (usize, usize, usize), biased: bool) {
    // More rows than are used: only where they begin and how far they are apart is in the way of a product.
    let x = t.matrix(rows.next_multiple_of(64) + 1, inputs + 3, 1.0, Role::Dense);
    let weight = t.matrix(outputs, inputs, 1.0, Role::Matrix);
    let bias = t.matrix(1, outputs, 1.0, Role::Dense);
    let on_cuda = Columns::block(&x.cuda, rows, inputs + 3, 2, inputs);
    let on_host = Columns::block(&x.host, rows, inputs + 3, 2, inputs);
    let b = biased.then_some(&bias.cuda);
    let got = run(&t.cuda, on_cuda, &weight.cuda, b, outputs);
    let b = biased.then_some(&bias.host);
    let want = run(&t.oracle, on_host, &weight.host, b, outputs);
    let product = run(&t.oracle, on_host, &weight.host, None, outputs);
    let x_abs = x.abs();
    let magnitudes = Columns {
        buffer: &x_abs,
        ..on_host
    };
    let size = run(&t.oracle, magnitudes, &weight.abs(), None, outputs);
    let r = t.rounding();
    let what = format!("linear {rows} × {inputs} → {outputs}");
    t.close(&what, &got, &want, |i| {
        1.01 * r * product[i].abs() + 1.01 * gamma(inputs + 2) * (size[i] + 1.0)
    });
}

/// The values that `from` holds, on another device.
fn copy(from: &Cuda, to: &Cuda, matrix: &Both, role: Role) -> Buffer {
    to.upload(&Tensor {
        values: Values::F32(&from.read(&matrix.cuda).unwrap()),
        rows: matrix.rows,
        cols: matrix.cols,
        role,
    })
    .unwrap()
}

/// TF32 rounds the operands of a product to 11 significant bits and sums in `f32`. It must differ
/// from `f32`, or the setting would have no effect.
#[test]
fn tf32() {
    on_device(|| {
        let mut t = Trial::new(Precision::Tf32, 14);
        // Large: for small products the library may well do without tensor cores.
        let (rows, inputs, outputs) = (256, 1024, 256);
        let x = t.matrix(rows, inputs, 1.0, Role::Dense);
        let weight = t.matrix(outputs, inputs, 1.0, Role::Matrix);
        let (on_cuda, on_host) = x.all();
        let want = run(&t.oracle, on_host, &weight.host, None, outputs);
        let x_abs = x.abs();
        let magnitudes = Columns::all(&x_abs, rows, inputs);
        let size = run(&t.oracle, magnitudes, &weight.abs(), None, outputs);
        let got = run(&t.cuda, on_cuda, &weight.cuda, None, outputs);
        // At worst both operands are truncated, as some hardware does.
        let loss = 2.01 * 2f64.powi(-10) + gamma(inputs + 2);
        t.close("TF32", &got, &want, |i| loss * size[i]);
        let exact = device(Precision::F32);
        let y = copy(&t.cuda, &exact, &x, Role::Dense);
        let weight = copy(&t.cuda, &exact, &weight, Role::Matrix);
        let f32 = run(
            &exact,
            Columns::all(&y, rows, inputs),
            &weight,
            None,
            outputs,
        );
        assert_ne!(t.cuda.read(&got).unwrap(), exact.read(&f32).unwrap());
    });
}
