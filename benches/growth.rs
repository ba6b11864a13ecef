//! Growth of cost: tokens per second against the length of a text, the number of texts in a batch, the
//! number of options that share a prefix, and the size of the model.
//!
//! `cargo bench --bench growth [-- --threads N] [--milliseconds N]` prints a table and writes
//! `docs/growth.csv` and `docs/growth.svg`. The models are random.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::checkpoint::Llama;
use common::{Arguments, arguments, best, score, texts};
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::Cpu;
use safetensors::tensor::Dtype;

const VOCAB: usize = 512;

const SMALL: Llama = llama(256, 4, 4, 768);

const fn llama(hidden: usize, layers: usize, heads: usize, mlp: usize) -> Llama {
    Llama::untied([hidden, layers, heads, mlp], VOCAB)
}

/// One prefix of `prefix` tokens and `count` options of sixteen tokens.
fn options(prefix: usize, count: usize) -> Batch {
    let token = |i: usize| (i * 37 % VOCAB) as u32;
    let mut batch = Batch::new();
    let shared: Vec<u32> = (0..prefix).map(token).collect();
    let root = batch.segment(None, &shared).expect("tokens");
    for option in 0..count {
        let tokens: Vec<u32> = (0..16).map(|i| token(i + 17 * option)).collect();
        score(&mut batch, Some(root), &tokens);
    }
    batch
}

/// One panel: its title, and pairs of the quantity varied and tokens per second.
struct Sweep {
    title: &'static str,
    points: Vec<(usize, f64)>,
}

struct Growth {
    arguments: Arguments,
    /// Folder of the checkpoints.
    dir: PathBuf,
}

impl Growth {
    fn model(&self, shape: Llama) -> Transformer<Cpu> {
        shape.write(&self.dir, Dtype::F32);
        let cpu = Cpu::with_threads(self.arguments.threads).expect("threads");
        Transformer::load(&self.dir, cpu).expect("a checkpoint just written")
    }

    /// Tokens per second, of a batch that counts as `tokens`.
    fn rate(&self, model: &Transformer<Cpu>, batch: &Batch, tokens: usize) -> f64 {
        let run = || drop(model.log_likelihoods(batch).expect("a batch that fits"));
        // Warm-up.
        run();
        tokens as f64 / best(self.arguments.threads, self.arguments.budget, run)
    }

    /// The values to vary: only the first in a test.
    fn most<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        &all[..if self.arguments.test { 1 } else { all.len() }]
    }

    /// One sweep over batches for one model; `batch` also returns the tokens that it counts as.
    fn sweep(
        &self,
        title: &'static str,
        model: &Transformer<Cpu>,
        values: &[usize],
        batch: impl Fn(usize) -> (Batch, usize),
    ) -> Sweep {
        let point = |&value: &usize| {
            let (batch, tokens) = batch(value);
            (value, self.rate(model, &batch, tokens))
        };
        let points = self.most(values).iter().map(point).collect();
        Sweep { title, points }
    }

    fn sizes(&self) -> Sweep {
        let shapes = [
            llama(64, 3, 4, 192),
            llama(128, 4, 4, 384),
            SMALL,
            llama(384, 6, 6, 1024),
            llama(512, 8, 8, 1536),
            llama(768, 12, 12, 2048),
        ];
        let point = |&shape: &Llama| {
            let rate = self.rate(&self.model(shape), &texts(1, 512, VOCAB), 512);
            (shape.weights_per_token(), rate)
        };
        Sweep {
            title: "weights used per token, texts of 512",
            points: self.most(&shapes).iter().map(point).collect(),
        }
    }

    fn sweeps(&self) -> Vec<Sweep> {
        let small = self.model(SMALL);
        vec![
            self.sweep(
                "tokens of one text",
                &small,
                &[128, 256, 512, 1024, 2048, 4096, 8192],
                |len| (texts(1, len, VOCAB), len),
            ),
            self.sweep(
                "texts of 128 tokens in a batch",
                &small,
                &[1, 2, 4, 8, 16, 32],
                |count| (texts(count, 128, VOCAB), 128 * count),
            ),
            // Counted as an engine that does not share prefixes would have to compute them.
            self.sweep(
                "options after 512 shared tokens",
                &small,
                &[1, 2, 4, 8, 16, 32, 64],
                |count| (options(512, count), 528 * count),
            ),
            self.sizes(),
        ]
    }
}

fn main() {
    let growth = Growth {
        arguments: arguments(400),
        dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("growth"),
    };
    let sweeps = growth.sweeps();
    let mut csv = "sweep,x,tokens_per_second\n".to_owned();
    for Sweep { title, points } in &sweeps {
        for (x, y) in points {
            writeln!(csv, "\"{title}\",{x},{y:.0}").expect("a string");
        }
    }
    print!("{csv}");
    if !growth.arguments.test {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        fs::write(docs.join("growth.csv"), csv).expect("docs");
        fs::write(docs.join("growth.svg"), draw(&sweeps)).expect("docs");
    }
    fs::remove_dir_all(&growth.dir).expect("the folder made above");
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
const MARGIN: f64 = 50.0;

/// The panels in two columns.
fn draw(sweeps: &[Sweep]) -> String {
    let rows = sweeps.len().div_ceil(2) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" \
         font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * WIDTH,
        rows * HEIGHT
    );
    for (i, sweep) in sweeps.iter().enumerate() {
        let corner = ((i % 2) as f64 * WIDTH, (i / 2) as f64 * HEIGHT);
        panel(&mut svg, sweep, corner).expect("a string");
    }
    svg + "</svg>\n"
}

/// One panel with logarithmic axes, every point labelled with its values.
fn panel(svg: &mut String, sweep: &Sweep, (left, top): (f64, f64)) -> std::fmt::Result {
    let Sweep { title, points } = sweep;
    let range = |v: &dyn Fn(&(usize, f64)) -> f64| {
        let logs = points.iter().map(|p| v(p).ln());
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        // Not 0, where there is one point only.
        (low, (high - low).max(0.1))
    };
    let (x0, dx) = range(&|p| p.0 as f64);
    let (y0, dy) = range(&|p| p.1);
    let place = |(x, y): (usize, f64)| {
        (
            left + MARGIN + ((x as f64).ln() - x0) / dx * (WIDTH - 2.0 * MARGIN),
            top + HEIGHT - MARGIN - (y.ln() - y0) / dy * (HEIGHT - 2.0 * MARGIN),
        )
    };
    let line: Vec<String> = points
        .iter()
        .map(|&p| place(p))
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let bottom = top + HEIGHT - 14.0;
    writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" font-size=\"12\">tokens/s against {title}</text>\n\
         <polyline fill=\"none\" stroke=\"#0072B2\" stroke-width=\"1.5\" points=\"{}\"/>",
        left + 14.0,
        top + 18.0,
        line.join(" ")
    )?;
    for &(x, rate) in points {
        let (at, y) = place((x, rate));
        writeln!(
            svg,
            "<circle cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#0072B2\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\
             <text x=\"{at:.1}\" y=\"{bottom:.1}\" text-anchor=\"middle\">{}</text>",
            y - 8.0,
            short(rate),
            short(x as f64)
        )?;
    }
    Ok(())
}

/// A number in two or three digits and a unit.
fn short(x: f64) -> String {
    let (value, unit) = match x {
        x if x >= 1e6 => (x / 1e6, "M"),
        x if x >= 1e3 => (x / 1e3, "k"),
        x => (x, ""),
    };
    let digits = usize::from(value < 10.0 && !unit.is_empty());
    format!("{value:.digits$}{unit}")
}
