//! How cost grows: tokens a second against the length of a text, the number of texts in a batch,
//! the options that share a prefix, and the size of the model.
//!
//! `cargo bench --bench growth [-- --threads N] [--milliseconds N]` prints a table and writes
//! `docs/growth.csv` and `docs/growth.svg`. Models are random and of Llama's shape.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Arguments, arguments, best, values};
use relscale::model::{Batch, Model, Transformer};
use relscale_cpu::Cpu;
use safetensors::tensor::{Dtype, TensorView};

/// Hidden size, layers, heads, width of the MLP, vocabulary.
type Shape = [usize; 5];

const SMALL: Shape = [256, 4, 4, 768, 512];

/// Writes a random checkpoint.
fn checkpoint(dir: &Path, [hidden, layers, heads, mlp, vocab]: Shape) {
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
        ("lm_head.weight".to_owned(), vec![vocab, hidden]),
    ];
    for layer in 0..layers {
        let mut add = |name: &str, shape: &[usize]| {
            tensors.push((
                format!("model.layers.{layer}.{name}.weight"),
                shape.to_vec(),
            ));
        };
        for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
            add(&format!("self_attn.{name}"), &[hidden, hidden]);
        }
        add("mlp.gate_proj", &[mlp, hidden]);
        add("mlp.up_proj", &[mlp, hidden]);
        add("mlp.down_proj", &[hidden, mlp]);
        add("input_layernorm", &[hidden]);
        add("post_attention_layernorm", &[hidden]);
    }
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| {
            let scale = 1.0 / (*shape.last().expect("a shape") as f32).sqrt();
            let values = values(shape.iter().product());
            values
                .iter()
                .flat_map(|x| (x * scale).to_le_bytes())
                .collect()
        })
        .collect();
    let views = tensors
        .into_iter()
        .zip(&bytes)
        .map(|((name, shape), bytes)| {
            (
                name,
                TensorView::new(Dtype::F32, shape, bytes).expect("bytes of the shape"),
            )
        });
    let file = safetensors::serialize(views, None).expect("tensors");
    fs::create_dir_all(dir).expect("a folder");
    fs::write(dir.join("model.safetensors"), file).expect("a file");
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab,
        "hidden_size": hidden, "intermediate_size": mlp, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": heads, "hidden_act": "silu",
        "max_position_embeddings": 16384, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": false,
    });
    fs::write(dir.join("config.json"), config.to_string()).expect("a file");
}

fn model(dir: &Path, arguments: &Arguments, shape: Shape) -> Transformer<Cpu> {
    checkpoint(dir, shape);
    let cpu = Cpu::with_threads(arguments.threads).expect("threads");
    Transformer::load(dir, cpu).expect("a checkpoint just written")
}

/// `count` texts of `len` tokens, every token but the first scored.
fn texts(count: usize, len: usize, vocab: usize) -> Batch {
    let mut batch = Batch::new();
    for text in 0..count {
        let tokens: Vec<u32> = (0..len)
            .map(|i| ((i * 37 + text * 11) % vocab) as u32)
            .collect();
        let segment = batch.segment(None, &tokens).expect("tokens");
        for (offset, &token) in tokens[1..].iter().enumerate() {
            batch.target(segment, offset, token).expect("a row");
        }
    }
    batch
}

/// One prefix of `prefix` tokens and `count` options of sixteen tokens.
fn options(prefix: usize, count: usize, vocab: usize) -> Batch {
    let token = |i: usize| (i * 37 % vocab) as u32;
    let mut batch = Batch::new();
    let shared: Vec<u32> = (0..prefix).map(token).collect();
    let root = batch.segment(None, &shared).expect("tokens");
    for option in 0..count {
        let tokens: Vec<u32> = (0..16).map(|i| token(i + 17 * option)).collect();
        let segment = batch.segment(Some(root), &tokens).expect("tokens");
        for (offset, &token) in tokens[1..].iter().enumerate() {
            batch.target(segment, offset, token).expect("a row");
        }
    }
    batch
}

/// A sweep: its name, and (what was varied, tokens a second).
type Sweep = (&'static str, Vec<(usize, f64)>);

fn main() {
    let arguments = arguments(400);
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("growth");
    let rate = |model: &Transformer<Cpu>, batch: &Batch, tokens: usize| {
        let run = || drop(model.log_likelihoods(batch).expect("a batch that fits"));
        run();
        tokens as f64 / best(arguments.threads, arguments.budget, run)
    };
    let most = |all: &'static [usize]| &all[..if arguments.test { 1 } else { all.len() }];
    let small = model(&dir, &arguments, SMALL);
    let vocab = SMALL[4];
    let mut sweeps: Vec<Sweep> = Vec::new();
    let lengths = most(&[128, 256, 512, 1024, 2048, 4096, 8192]);
    let points = lengths
        .iter()
        .map(|&t| (t, rate(&small, &texts(1, t, vocab), t)));
    sweeps.push(("tokens of one text", points.collect()));
    let counts = most(&[1, 2, 4, 8, 16, 32]);
    let points = counts
        .iter()
        .map(|&b| (b, rate(&small, &texts(b, 128, vocab), 128 * b)));
    sweeps.push(("texts of 128 tokens in a batch", points.collect()));
    let counts = most(&[1, 2, 4, 8, 16, 32, 64]);
    // Tokens as an engine without sharing would have to compute them.
    let points = counts
        .iter()
        .map(|&n| (n, rate(&small, &options(512, n, vocab), 528 * n)));
    sweeps.push(("options after 512 shared tokens", points.collect()));
    let shapes: &[Shape] = &[
        [64, 3, 4, 192, 512],
        [128, 4, 4, 384, 512],
        SMALL,
        [384, 6, 6, 1024, 512],
        [512, 8, 8, 1536, 512],
        [768, 12, 12, 2048, 512],
    ];
    let mut points = Vec::new();
    for &shape in &shapes[..if arguments.test { 1 } else { shapes.len() }] {
        let [hidden, layers, _, mlp, vocab] = shape;
        let parameters = layers * (4 * hidden * hidden + 3 * hidden * mlp) + hidden * vocab;
        let model = model(&dir, &arguments, shape);
        points.push((parameters, rate(&model, &texts(1, 512, vocab), 512)));
    }
    sweeps.push(("weights used a token, texts of 512", points));

    let mut csv = "sweep,x,tokens_per_second\n".to_owned();
    for (name, points) in &sweeps {
        for (x, y) in points {
            writeln!(csv, "\"{name}\",{x},{y:.0}").expect("a string");
        }
    }
    print!("{csv}");
    if !arguments.test {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        fs::write(docs.join("growth.csv"), csv).expect("docs");
        fs::write(docs.join("growth.svg"), draw(&sweeps)).expect("docs");
    }
    fs::remove_dir_all(&dir).expect("the folder made above");
}

/// A panel a sweep, both axes logarithmic, every point labelled with its values.
fn draw(sweeps: &[Sweep]) -> String {
    let (width, height, margin) = (360.0, 240.0, 50.0);
    let rows = sweeps.len().div_ceil(2) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" \
         font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * width,
        rows * height
    );
    for (i, (name, points)) in sweeps.iter().enumerate() {
        let (left, top) = ((i % 2) as f64 * width, (i / 2) as f64 * height);
        let range = |v: &dyn Fn(&(usize, f64)) -> f64| {
            let logs = points.iter().map(|p| v(p).ln());
            let (low, high) = logs.fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
            (low, (high - low).max(0.1))
        };
        let (x0, dx) = range(&|p| p.0 as f64);
        let (y0, dy) = range(&|p| p.1);
        let place = |(x, y): (usize, f64)| {
            (
                left + margin + ((x as f64).ln() - x0) / dx * (width - 2.0 * margin),
                top + height - margin - (y.ln() - y0) / dy * (height - 2.0 * margin),
            )
        };
        let line: Vec<String> = points
            .iter()
            .map(|&p| place(p))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let bottom = top + height - 14.0;
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" font-size=\"12\">tokens/s against {name}</text>\n\
             <polyline fill=\"none\" stroke=\"#0072B2\" stroke-width=\"1.5\" points=\"{}\"/>",
            left + 14.0,
            top + 18.0,
            line.join(" ")
        )
        .expect("a string");
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
            )
            .expect("a string");
        }
    }
    svg + "</svg>\n"
}

/// Two or three digits and a unit.
fn short(x: f64) -> String {
    let (value, unit) = match x {
        x if x >= 1e6 => (x / 1e6, "M"),
        x if x >= 1e3 => (x / 1e3, "k"),
        x => (x, ""),
    };
    let digits = usize::from(value < 10.0 && !unit.is_empty());
    format!("{value:.digits$}{unit}")
}
