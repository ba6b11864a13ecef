//! AdamW, one thread a run; a run's state goes to disk now and then and continues to the same bits.

use crate::data::{Order, push_window};
use crate::export;
use crate::model::{Layout, Model};
use crate::plan::Run;
use crate::shape::{BOS, CONTEXT};
use half::bf16;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.95;
const EPS: f32 = 1e-9;
const DECAY: f32 = 0.1;
const CLIP: f64 = 1.0;
/// Windows that go through the model together; gradients of a batch are summed in this order.
const TOGETHER: usize = 2;
const SAVE_EVERY: Duration = Duration::from_secs(30);

/// Record of a finished run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    pub run: Run,
    pub valid_bits_per_byte: f64,
    pub seconds: f64,
    pub processor_seconds: f64,
}

#[derive(Debug)]
pub struct Trainer<'a> {
    run: &'a Run,
    train: &'a [u16],
    order: Order,
    model: Model<f32>,
    pub parameters: Vec<f32>,
    moment1: Vec<f32>,
    moment2: Vec<f32>,
    grad: Vec<f32>,
    /// Weight decay per parameter is all or nothing: matrices only.
    decayed: Vec<bool>,
    pub step: usize,
    pub processor_seconds: f64,
    pub seconds: f64,
}

impl<'a> Trainer<'a> {
    pub fn new(run: &'a Run, train: &'a [u16]) -> Self {
        let model = Model::new(run.shape, TOGETHER, CONTEXT);
        let n = model.layout.len;
        let mut decayed = vec![false; n];
        for t in model
            .layout
            .tensors
            .iter()
            .filter(|t| t.deviation.is_some())
        {
            decayed[t.range.clone()].fill(true);
        }
        Self {
            run,
            train,
            order: Order::new(train.len() / CONTEXT, run.seed),
            parameters: model.layout.start(run.seed),
            model,
            moment1: vec![0.0; n],
            moment2: vec![0.0; n],
            grad: vec![0.0; n],
            decayed,
            step: 0,
            processor_seconds: 0.0,
            seconds: 0.0,
        }
    }

    /// One optimiser step; gives the batch's mean loss in nats.
    pub fn step(&mut self) -> f64 {
        let tokens = self.run.batch * CONTEXT;
        self.grad.fill(0.0);
        let mut loss = 0.0;
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for i in 0..self.run.batch {
            let at = self.order.window(self.step * self.run.batch + i) * CONTEXT;
            push_window(&self.train[at..at + CONTEXT], &mut inputs, &mut targets);
            if inputs.len() == TOGETHER * CONTEXT {
                loss += self.model.backward(
                    &self.parameters,
                    &inputs,
                    &targets,
                    1.0 / tokens as f32,
                    &mut self.grad,
                );
                inputs.clear();
                targets.clear();
            }
        }
        let norm = self
            .grad
            .iter()
            .map(|&g| f64::from(g).powi(2))
            .sum::<f64>()
            .sqrt();
        let clip = (CLIP / norm).min(1.0) as f32;
        let rate = (self.run.rate * self.run.schedule(self.step)) as f32;
        let t = self.step as i32 + 1;
        let (unbias1, unbias2) = (1.0 - BETA1.powi(t), 1.0 - BETA2.powi(t));
        for i in 0..self.parameters.len() {
            let g = self.grad[i] * clip;
            self.moment1[i] = BETA1 * self.moment1[i] + (1.0 - BETA1) * g;
            self.moment2[i] = BETA2 * self.moment2[i] + (1.0 - BETA2) * g * g;
            let update = self.moment1[i] / unbias1 / ((self.moment2[i] / unbias2).sqrt() + EPS);
            let decay = if self.decayed[i] {
                DECAY * self.parameters[i]
            } else {
                0.0
            };
            self.parameters[i] -= rate * (update + decay);
        }
        self.step += 1;
        loss / tokens as f64
    }

    pub fn save(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let header =
            serde_json::to_vec(&(self.run, self.step, self.seconds, self.processor_seconds))?;
        let mut out = (header.len() as u64).to_le_bytes().to_vec();
        out.extend(header);
        for part in [&self.parameters, &self.moment1, &self.moment2] {
            out.extend(part.iter().flat_map(|x| x.to_le_bytes()));
        }
        let partial = path.with_extension("partial");
        fs::write(&partial, out)?;
        Ok(fs::rename(partial, path)?)
    }

    /// Continues where a saved state of the same run stopped.
    pub fn load(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        let bytes = fs::read(path)?;
        let wrong = || {
            format!(
                "{}: not a saved state of this run; delete it to start anew",
                path.display()
            )
        };
        let (len, rest) = bytes.split_at_checked(8).ok_or_else(wrong)?;
        let len = u64::from_le_bytes(len.try_into()?) as usize;
        let (header, body) = rest.split_at_checked(len).ok_or_else(wrong)?;
        let (run, step, seconds, processor_seconds): (Run, usize, f64, f64) =
            serde_json::from_slice(header)?;
        let n = self.parameters.len();
        if run != *self.run || body.len() != 12 * n {
            return Err(wrong().into());
        }
        let mut values = body
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        for part in [&mut self.parameters, &mut self.moment1, &mut self.moment2] {
            part.iter_mut().zip(&mut values).for_each(|(p, x)| *p = x);
        }
        (self.step, self.seconds, self.processor_seconds) = (step, seconds, processor_seconds);
        Ok(())
    }
}

/// Bits per byte over a stream, in separate windows that each begin with BOS; separators are not counted.
pub fn bits_per_byte(
    model: &mut Model<f32>,
    parameters: &[f32],
    stream: &[u16],
    windows: usize,
) -> f64 {
    let (mut nats, mut bytes) = (0.0, 0u64);
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for window in stream
        .chunks_exact(CONTEXT)
        .take(windows / TOGETHER * TOGETHER)
    {
        push_window(window, &mut inputs, &mut targets);
        if inputs.len() == TOGETHER * CONTEXT {
            for (&loss, &target) in model
                .losses(parameters, &inputs, &targets)
                .iter()
                .zip(&targets)
            {
                if target != BOS {
                    nats += f64::from(loss);
                    bytes += 1;
                }
            }
            inputs.clear();
            targets.clear();
        }
    }
    nats / bytes as f64 / std::f64::consts::LN_2
}

pub fn evaluator(run: &Run) -> Model<f32> {
    Model::new(run.shape, TOGETHER, CONTEXT)
}

/// Processor time of this thread, where the system tells it.
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ')
        .next()
        .and_then(|ns| ns.parse::<f64>().ok())
        .unwrap_or(0.0)
        / 1e9
}

/// Trains a run to its end, or continues it; leaves `<folder>/<name>.json` and, if asked, a checkpoint.
pub fn train(
    run: &Run,
    [train, valid]: [&[u16]; 2],
    folder: &Path,
    resume: bool,
    checkpoints: Option<&Path>,
) -> Result<Finished, Box<dyn Error>> {
    let done = folder.join(format!("{}.json", run.name));
    if resume && let Ok(text) = fs::read_to_string(&done) {
        let finished: Finished = serde_json::from_str(&text)?;
        if finished.run == *run {
            return Ok(finished);
        }
    }
    fs::create_dir_all(folder)?;
    let state = folder.join(format!("{}.state", run.name));
    let mut trainer = Trainer::new(run, train);
    if resume && state.exists() {
        trainer.load(&state)?;
        println!("{}: continues at step {}", run.name, trainer.step);
    }
    let (mut clock, mut processor, mut saved) =
        (Instant::now(), processor_seconds(), Instant::now());
    let mut recent = 0.0;
    while trainer.step < run.steps {
        let loss = trainer.step();
        recent = if recent == 0.0 {
            loss
        } else {
            0.95 * recent + 0.05 * loss
        };
        let last = trainer.step == run.steps;
        if last
            || saved.elapsed() > SAVE_EVERY
            || trainer.step.is_multiple_of(run.steps.div_ceil(4))
        {
            trainer.seconds += clock.elapsed().as_secs_f64();
            trainer.processor_seconds += processor_seconds() - processor;
            trainer.save(&state)?;
            saved = Instant::now();
            let gflop = trainer.step as f64 / run.steps as f64 * run.flops() as f64 / 1e9;
            println!(
                "{} step {}/{}: train {:.4} nats, valid {:.4} bits/byte, {:.1} GFLOP/s ({:.1} per processor second)",
                run.name,
                trainer.step,
                run.steps,
                recent,
                bits_per_byte(&mut trainer.model, &trainer.parameters, valid, 100),
                gflop / trainer.seconds,
                gflop / trainer.processor_seconds,
            );
            (clock, processor) = (Instant::now(), processor_seconds());
        }
    }
    // The figure of record is that of the rounded weights which are committed.
    let rounded: Vec<f32> = trainer
        .parameters
        .iter()
        .map(|&x| bf16::from_f32(x).to_f32())
        .collect();
    let finished = Finished {
        run: run.clone(),
        valid_bits_per_byte: bits_per_byte(&mut trainer.model, &rounded, valid, usize::MAX),
        seconds: trainer.seconds,
        processor_seconds: trainer.processor_seconds,
    };
    if let Some(folder) = checkpoints {
        export::write(run, &Layout::new(run.shape), &trainer.parameters, folder)?;
    }
    fs::write(&done, serde_json::to_string_pretty(&finished)?)?;
    println!(
        "{}: valid {:.4} bits/byte, {:.0} s",
        run.name, finished.valid_bits_per_byte, finished.seconds
    );
    fs::remove_file(&state)?;
    Ok(finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u16> {
        (0..20 * CONTEXT)
            .map(|i| (b'a' + (i * i % 23) as u8).into())
            .collect()
    }

    fn short() -> Run {
        let mut run = Run::new("balanced", 1e11, 16, 0.25, 0).expect("planned");
        (run.steps, run.batch) = (12, 4);
        run
    }

    #[test]
    fn same_seed_same_bits_and_the_loss_falls() {
        let (run, stream) = (short(), stream());
        let go = |run: &Run| {
            let mut t = Trainer::new(run, &stream);
            let losses: Vec<f64> = (0..run.steps).map(|_| t.step()).collect();
            (losses, t.parameters)
        };
        let (losses, parameters) = go(&run);
        assert_eq!((&losses, &parameters), (&go(&run).0, &go(&run).1));
        assert!(losses[11] < losses[0] - 0.5, "{losses:?}");
        let other = Run { seed: 1, ..run };
        assert_ne!(parameters, go(&other).1);
    }

    #[test]
    fn a_resumed_run_ends_in_the_same_bits() {
        let (run, stream) = (short(), stream());
        let folder = std::env::temp_dir().join(format!("suite-resume-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("folder");
        let path = folder.join("state");
        let mut whole = Trainer::new(&run, &stream);
        for i in 0..run.steps {
            if i == 5 {
                whole.save(&path).expect("saved");
            }
            whole.step();
        }
        let mut resumed = Trainer::new(&run, &stream);
        resumed.load(&path).expect("loaded");
        assert_eq!(resumed.step, 5);
        while resumed.step < run.steps {
            resumed.step();
        }
        assert_eq!(whole.parameters, resumed.parameters);
        let other = Run {
            seed: 9,
            ..run.clone()
        };
        assert!(Trainer::new(&other, &stream).load(&path).is_err());
        fs::remove_dir_all(folder).expect("removed");
    }
}
