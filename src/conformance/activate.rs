//! Activation functions.

use super::bounds::{UNDERFLOW, close, oracle};
use super::experts::computed;
use super::inputs::{Block, SIZES, SplitMix64};
use super::kit::{Failure, Kit};
use crate::backend::{Activation, Backend};
use crate::error::Error;

const FUNCTIONS: [Activation; 4] = [
    Activation::Silu,
    Activation::GeluTanh,
    Activation::GeluErf,
    Activation::Relu,
];

fn run<B: Backend>(
    backend: &B,
    gate: &Block,
    up: Option<&Block>,
    function: Activation,
) -> Result<B::Buffer, Error> {
    let gate_buffer = gate.upload(backend)?;
    let up_buffer = up.map(|up| up.upload(backend)).transpose()?;
    let second = up.zip(up_buffer.as_ref()).map(|(up, b)| up.columns(b));
    backend.activate(gate.columns(&gate_buffer), second, function)
}

impl<B: Backend> Kit<B> {
    /// Every activation function, with and without the second factor.
    ///
    /// Bound: γ₁₂·|x|·|up|. It is relative to x and not to f(x), because 1 + tanh z cancels for
    /// negative z. The derivative of the function times its argument stays below 1, so every
    /// rounding of the argument counts at most once. NaN and −∞, which come of an overflow, must not become
    /// finite: nothing would show it.
    pub fn activate(&self) -> Result<(), Failure> {
        let (backend, mut random) = (self.backend(), SplitMix64::new(6));
        for (&width, rows) in SIZES.iter().zip([1, 7, 65].into_iter().cycle()) {
            for function in FUNCTIONS {
                for with_up in [true, false] {
                    // Up to ±3 for most values, where all three functions bend, and up to ±3000,
                    // where their exponentials overflow.
                    let gate = Block::new(&random.awkward(rows * width), rows, (2, 1));
                    let gate = gate.map(|x| x * 3.0);
                    let up = Block::new(&random.awkward(rows * width), rows, (0, 5));
                    let second = with_up.then_some(&up);
                    let Some(got) = computed(run(&backend, &gate, second, function))? else {
                        continue;
                    };
                    let got = backend.read(&got)?;
                    let want = run(&oracle(), &gate, second, function)?;
                    let factors = gate.content().into_iter().zip(up.content());
                    let bound: Vec<f64> = factors
                        .map(|(x, up)| {
                            let up = if with_up { up.abs() } else { 1.0 };
                            // Twelve roundings: an exponential or `tanh` counts four, the argument
                            // and the products the rest.
                            (self.gamma(12) + UNDERFLOW) * x.abs() * up
                        })
                        .collect();
                    let what = format!("{function:?}, up {with_up}, width {width}");
                    close(what, &got, &want, &bound)?;
                }
            }
        }
        FUNCTIONS
            .into_iter()
            .try_for_each(|f| self.overflow_stays(f))
    }

    /// The part of [`Kit::activate`] about values that are not finite.
    fn overflow_stays(&self, function: Activation) -> Result<(), Failure> {
        let backend = self.backend();
        // More than the widest vector has lanes.
        let values = [f32::NAN, f32::NEG_INFINITY].into_iter().cycle().take(34);
        let gate = Block::new(&values.collect::<Vec<_>>(), 1, (0, 0));
        let Some(got) = computed(run(&backend, &gate, None, function))? else {
            return Ok(());
        };
        let got = backend.read(&got)?;
        match got.iter().find(|y| y.is_finite()) {
            None => Ok(()),
            Some(y) => Err(Failure::wrong(format!(
                "{function:?} of NaN or −∞ is {y}, which hides an overflow"
            ))),
        }
    }
}
