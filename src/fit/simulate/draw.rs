//! Drawing one ladder: noise of runs, budgets and sizes on top of the laws.

use super::Simulation;
use super::design::{Cell, Shape};
use super::items::Drawn;
use crate::fit::stats::random::Stream;
use crate::ladder::{FlopConvention, Ladder, LadderBuilder, LadderError, Run, Scale};

impl Simulation {
    /// Draws one ladder. The design is the same in every replicate; noise and items are new.
    ///
    /// **Reproducibility**: the same simulation and replicate give the same bits.
    ///
    /// # Errors
    ///
    /// A design without runs, numbers that no ladder accepts, or settings that ask for more than can be
    /// drawn, by field.
    pub fn ladder(&self, replicate: u64) -> Result<Ladder, LadderError> {
        self.check().map_err(|message| LadderError::Malformed {
            table: "simulation".to_owned(),
            line: None,
            message,
        })?;
        let mut builder = Ladder::builder();
        builder
            .name("simulated")
            .flop_convention(FlopConvention::SixNd);
        let mut replicate = Replicate::new(self, replicate);
        for corpus in 0..self.corpora {
            replicate.corpus(corpus, &mut builder)?;
        }
        builder.build()
    }

    /// One run of noise with unit variance.
    fn draw(&self, stream: &mut Stream) -> f64 {
        let normal = stream.normal();
        match self.tails {
            // With two degrees of freedom or fewer a t has no variance to be scaled to.
            Some(df) if df > 2 => {
                // Sums of normals rather than a χ² by inversion, which is slow in a coverage test
                // of thousands of ladders.
                let square: f64 = (0..df).map(|_| stream.normal().powi(2)).sum();
                let n = df as f64;
                normal / (square / n).sqrt() / (n / (n - 2.0)).sqrt()
            }
            _ => normal,
        }
    }

    /// Noise of a configuration relative to that at the middle.
    fn noise_scale(&self, cells: &[Cell], cell: &Cell) -> f64 {
        let low = cells.iter().map(|c| c.x).fold(f64::INFINITY, f64::min);
        let high = cells.iter().map(|c| c.x).fold(f64::NEG_INFINITY, f64::max);
        let along = match high > low {
            true => (cell.x - low) / (high - low),
            false => 0.0,
        };
        let [start, end] = self.noise_ends;
        start * libm::pow(end / start, along) * libm::exp(self.noise_by_size * cell.z)
    }
}

/// One replicate. Its random numbers come from one stream, in the order of the runs: another order
/// of the same draws would be another ladder.
struct Replicate<'a> {
    simulation: &'a Simulation,
    number: u64,
    cells: Vec<Cell>,
    scales: Vec<f64>,
    stream: Stream,
    /// Noise that a configuration has in common over corpora.
    common: Vec<f64>,
    items: Vec<Option<Drawn>>,
    memory: Memory,
}

impl<'a> Replicate<'a> {
    fn new(simulation: &'a Simulation, number: u64) -> Self {
        let cells = simulation.design();
        let scales = cells.iter().map(|c| simulation.noise_scale(&cells, c));
        let scales = scales.collect();
        let mut stream = Stream::new(simulation.seed, "noise", number);
        let common = cells.iter().map(|_| simulation.draw(&mut stream)).collect();
        let laws = simulation.distributions.iter().enumerate();
        let items = laws.map(|(d, t)| t.items.map(|i| Drawn::new(&i, simulation.seed, d, number)));
        Self {
            simulation,
            number,
            scales,
            stream,
            common,
            items: items.collect(),
            memory: Memory {
                correlation: match simulation.shape {
                    Shape::Trajectories { correlation, .. } => correlation,
                    _ => 0.0,
                },
                previous: vec![0.0; simulation.distributions.len() + 1],
            },
            cells,
        }
    }

    fn corpus(&mut self, corpus: usize, builder: &mut LadderBuilder) -> Result<(), LadderError> {
        let by_size = self.size_shocks(corpus);
        let name = format!("corpus-{corpus}");
        let mut budget = f64::NAN;
        let mut by_budget = Vec::new();
        let mut irregular = Irregular::new(self.simulation, corpus, self.number);
        for k in 0..self.cells.len() {
            let cell = self.cells[k];
            if cell.budget != budget {
                budget = cell.budget;
                by_budget = self.budget_shocks();
            }
            for seed in 0..self.simulation.seeds {
                let Some(jitter) = irregular.next(self.simulation) else {
                    continue;
                };
                let run = self.run(&name, k, seed as u64, jitter);
                let id = run.id.clone();
                // The order of draws below is part of published coverage numbers: a new source of
                // noise takes a stream of its own, as `size_shocks` does.
                builder.run(run)?;
                let first = k == 0 || self.cells[k - 1].size_index != cell.size_index;
                let own = self.simulation.draw(&mut self.stream);
                let u = self.run_noise(k, own, first);
                for (d, t) in self.simulation.distributions.iter().enumerate() {
                    let own = self.simulation.draw(&mut self.stream);
                    let v = t.noise * self.memory.carry(d + 1, own, first);
                    let value = self.simulation.log_error_in(d, &cell)
                        + (u + v) * self.scales[k]
                        + by_budget[d]
                        + by_size[d][cell.size_index];
                    let level = libm::exp(value);
                    match &self.items[d] {
                        None => {
                            builder.score(&id, &t.name, "", level, 1.0)?;
                        }
                        Some(items) => {
                            let stream = &mut self.stream;
                            items.score(builder, &id, t, (level, cell.x), stream)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn run(&self, corpus: &str, k: usize, seed: u64, jitter: f64) -> Run {
        let cell = &self.cells[k];
        let flops = cell.budget * jitter;
        let scale = Scale {
            params: cell.params,
            tokens: flops / (6.0 * cell.params),
            flops,
        };
        let run = Run::new(format!("{corpus}-{k:04}-{seed}"), scale)
            .corpus(corpus)
            .seed(seed);
        match self.simulation.shape {
            Shape::Trajectories { .. } => {
                run.trajectory(format!("{corpus}-size-{}", cell.size_index))
            }
            _ => run,
        }
    }

    /// Noise of a run on all distributions. A single corpus has nothing to share.
    fn run_noise(&mut self, k: usize, own: f64, first: bool) -> f64 {
        let shared = self.simulation.shared;
        // Corpora are trained in the same configurations, so that part of a run's noise is common
        // to them.
        let fresh = match self.simulation.corpora > 1 {
            true => shared.sqrt() * self.common[k] + (1.0 - shared).sqrt() * own,
            false => own,
        };
        self.simulation.run_noise * self.memory.carry(0, fresh, first)
    }

    /// Shocks that the runs of a size share, by distribution and size.
    fn size_shocks(&self, corpus: usize) -> Vec<Vec<f64>> {
        let sizes = self.cells.iter().map(|c| c.size_index + 1).max();
        let laws = self.simulation.distributions.iter().enumerate();
        laws.map(|(d, t)| {
            let purpose = format!("sizes of {d} in {corpus}");
            let mut stream = Stream::new(self.simulation.seed, &purpose, self.number);
            (0..sizes.unwrap_or(0))
                .map(|_| t.size_noise * stream.normal())
                .collect()
        })
        .collect()
    }

    /// Shocks that the runs of a budget share, by distribution.
    fn budget_shocks(&mut self) -> Vec<f64> {
        let laws = self.simulation.distributions.iter();
        laws.map(|t| match t.budget_noise > 0.0 {
            // Nothing is drawn without noise, so that scenarios without it keep their numbers.
            true => t.budget_noise * self.stream.normal(),
            false => 0.0,
        })
        .collect()
    }
}

/// Departures of a ladder from its plan, from streams of their own.
struct Irregular {
    jitter: Stream,
    missing: Stream,
}

impl Irregular {
    fn new(simulation: &Simulation, corpus: usize, replicate: u64) -> Self {
        let stream =
            |what: &str| Stream::new(simulation.seed, &format!("{what} in {corpus}"), replicate);
        Self {
            jitter: stream("jitter of FLOPs"),
            missing: stream("missing runs"),
        }
    }

    /// The FLOPs of the next run relative to its budget; `None` for a run that is missing.
    fn next(&mut self, simulation: &Simulation) -> Option<f64> {
        let jitter = 1.0 + simulation.flops_jitter * (2.0 * self.jitter.uniform() - 1.0);
        (self.missing.uniform() >= simulation.missing).then_some(jitter)
    }
}

/// Noise that checkpoints of one training run keep from one to the next, by source.
struct Memory {
    correlation: f64,
    previous: Vec<f64>,
}

impl Memory {
    /// The noise of this checkpoint, of which `fresh` is what is new.
    fn carry(&mut self, source: usize, fresh: f64, first: bool) -> f64 {
        let value = if first || self.correlation == 0.0 {
            fresh
        } else {
            let kept = self.correlation;
            kept * self.previous[source] + (1.0 - kept * kept).sqrt() * fresh
        };
        self.previous[source] = value;
        value
    }
}
