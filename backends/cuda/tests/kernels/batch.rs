//! Products depend neither on the other rows nor on the way a sum is cut up.

use relscale::backend::{Backend, Columns, Linear, Role};
use relscale_cuda::{Buffer, Cuda, Mode, Precision};

use crate::common::{device, on_device, on_machine, upload};
use crate::trial::{PRECISIONS, Trial};

fn product(cuda: &Cuda, x: &Buffer, weight: &Buffer, shape: [usize; 3]) -> Vec<f32> {
    let [rows, inputs, outputs] = shape;
    let op = Linear {
        weight,
        bias: None,
        inputs,
        outputs,
    };
    let y = cuda.linear(Columns::all(x, rows, inputs), &op).unwrap();
    cuda.read(&y).unwrap()
}

/// A sum of n products of ones is n. One in parts that leaves out what a part does not divide is not.
#[test]
fn sums_of_ones_have_no_tail_left_out() {
    on_device(|| {
        for precision in PRECISIONS {
            let cuda = device(precision);
            // Each is a number of every format.
            for inputs in [1, 63, 65, 96, 127, 129, 200, 250, 1000, 4032] {
                let (rows, outputs) = (70, 24);
                let x = upload(&cuda, &vec![1.0; rows * inputs], rows, Role::Dense);
                let weight = upload(&cuda, &vec![1.0; outputs * inputs], outputs, Role::Matrix);
                let got = product(&cuda, &x, &weight, [rows, inputs, outputs]);
                assert!(
                    got.iter().all(|&y| y == inputs as f32),
                    "{precision:?}: sums of {inputs} ones: {got:?}"
                );
            }
        }
    });
}

/// The rows of a batch are, to the bit, those of a larger one.
fn rows_do_not_depend_on_the_batch() {
    for precision in [Precision::Bf16, Precision::F32, Precision::Tf32] {
        let mut t = Trial::new(precision, 21);
        let (most, inputs, outputs) = (600, 200, 72);
        let x = t.matrix(most, inputs, 1.0, Role::Dense);
        let weight = t.matrix(outputs, inputs, 1.0, Role::Matrix);
        let all = product(&t.cuda, &x.cuda, &weight.cuda, [most, inputs, outputs]);
        let values = t.cuda.read(&x.cuda).unwrap();
        for rows in [1, 17, 64, 128, 257] {
            let x = upload(&t.cuda, &values[..rows * inputs], rows, Role::Dense);
            let some = product(&t.cuda, &x, &weight.cuda, [rows, inputs, outputs]);
            assert_eq!(some, all[..rows * outputs], "{precision:?}: {rows} rows");
        }
    }
}

#[test]
fn a_row_does_not_depend_on_the_batch() {
    on_device(rows_do_not_depend_on_the_batch);
}

/// An algorithm that does not run for few rows is not the one for many.
#[test]
fn an_algorithm_runs_for_every_number_of_rows() {
    let refused = [("RELSCALE_SIM_REFUSED_ALGORITHM", "1")];
    on_machine(&refused, rows_do_not_depend_on_the_batch);
}

/// In the fast mode an algorithm may be chosen per number of rows, of which the simulator makes use. Products are
/// right all the same, and the same call gives the same bits.
#[test]
fn the_fast_mode_chooses_for_each_batch() {
    on_machine(&[], || {
        let mut t = Trial::new(Precision::F32, 25);
        let (most, inputs, outputs) = (600, 200, 72);
        let x = t.matrix(most, inputs, 1.0, Role::Dense);
        let weight = t.matrix(outputs, inputs, 1.0, Role::Matrix);
        let fast = device(Precision::F32).with_mode(Mode::Fast);
        let values = t.cuda.read(&x.cuda).unwrap();
        let weights = t.cuda.read(&weight.cuda).unwrap();
        let weight = upload(&fast, &weights, outputs, Role::Matrix);
        let run = |rows: usize| {
            let x = upload(&fast, &values[..rows * inputs], rows, Role::Dense);
            product(&fast, &x, &weight, [rows, inputs, outputs])
        };
        let all = run(most);
        assert_eq!(run(most), all);
        let mut differ = false;
        for rows in [1, 17, 64, 128, 257] {
            let some = run(rows);
            differ |= some != all[..rows * outputs];
            for (a, b) in some.iter().zip(&all) {
                assert!((a - b).abs() < 1e-4, "{rows} rows: {a} and {b}");
            }
        }
        assert!(differ, "no number of rows has an algorithm of its own");
    });
}
