//! Tables of runs, and of every checkpoint's loss on every text by cluster.

use crate::data::push_window;
use crate::export;
use crate::plan::Run;
use crate::prepare::Item;
use crate::shape::CONTEXT;
use crate::train::{Finished, evaluator};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A run table; the checkpoints are under `checkpoints`, seen from the table.
fn write_runs(path: &Path, finished: &[Finished], checkpoints: &str) -> Result<(), Box<dyn Error>> {
    let mut out = csv::Writer::from_path(path)?;
    out.write_record([
        "run",
        "corpus",
        "budget",
        "flops",
        "params",
        "non_embedding_params",
        "tokens",
        "seed",
        "hidden",
        "layers",
        "heads",
        "mlp",
        "batch",
        "steps",
        "lr",
        "valid_bits_per_byte",
        "flop_convention",
        "checkpoint",
    ])?;
    for Finished {
        run,
        valid_bits_per_byte,
        ..
    } in finished
    {
        out.write_record([
            run.name.clone(),
            run.corpus.clone(),
            format!("{:e}", run.budget),
            run.flops().to_string(),
            run.shape.parameters().to_string(),
            run.shape.non_embedding_parameters().to_string(),
            run.tokens().to_string(),
            run.seed.to_string(),
            run.shape.hidden.to_string(),
            run.shape.layers.to_string(),
            run.shape.heads.to_string(),
            run.shape.mlp.to_string(),
            run.batch.to_string(),
            run.steps.to_string(),
            format!("{:.6}", run.rate),
            format!("{valid_bits_per_byte:.5}"),
            "training".to_owned(),
            format!("{checkpoints}/{}/{}", run.corpus, run.name),
        ])?;
    }
    Ok(out.flush()?)
}

fn read_items(path: &Path) -> Result<Vec<Item>, Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    Ok(text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?)
}

/// The test distributions by name.
pub type Texts = Vec<(String, Vec<Item>)>;

/// Reads `texts/*.jsonl` in order of name.
pub fn read_texts(suite: &Path) -> Result<Texts, Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(suite.join("texts"))?
        .map(|e| Ok(e?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == "jsonl"));
    paths.sort();
    let mut texts = Vec::new();
    for path in &paths {
        let name = path
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        texts.push((name, read_items(path)?));
    }
    Ok(texts)
}

const COLUMNS: [&str; 11] = [
    "corpus",
    "run",
    "budget",
    "flops",
    "params",
    "tokens",
    "seed",
    "distribution",
    "cluster",
    "loss",
    "weight",
];

/// Scores one run into a table of its own. A text's bytes are cut into separate windows of the context length, each
/// with BOS before it, so that every byte is scored once, on at most 255 bytes before it.
pub fn write_run(
    path: &Path,
    run: &Run,
    checkpoint: &Path,
    texts: &Texts,
) -> Result<(), Box<dyn Error>> {
    let mut out = csv::Writer::from_path(path)?;
    out.write_record(COLUMNS)?;
    write_rows(&mut out, run, checkpoint, texts)?;
    Ok(out.flush()?)
}

/// Writes `study/` from what the runs left in `runs/` and the mixtures in `data/`, and takes the
/// checkpoints around the frontier of [`PUBLISHED`] with their scores. Says which runs are missing.
pub fn write(suite: &Path, runs: &[Run]) -> Result<(), Box<dyn Error>> {
    let study = suite.join("study");
    fs::create_dir_all(&study)?;
    let mut finished: Vec<Finished> = Vec::new();
    let file = fs::File::create(study.join("scores.csv.gz"))?;
    let mut scores = flate2::write::GzEncoder::new(file, flate2::Compression::best());
    writeln!(scores, "{}", COLUMNS.join(","))?;
    for run in runs {
        let entry = fs::read_to_string(suite.join(format!("runs/{}.json", run.name)));
        let (Ok(entry), Ok(rows)) = (entry, rows(suite, run)) else {
            println!("{}: not trained yet, left out", run.name);
            continue;
        };
        finished.push(serde_json::from_str(&entry)?);
        scores.write_all(rows.as_bytes())?;
    }
    scores.finish()?;
    let mut shares = csv::Writer::from_path(study.join("shares.csv"))?;
    shares.write_record([
        "corpus",
        "component",
        "distribution",
        "bytes",
        "share_percent",
    ])?;
    for (corpus, _) in &crate::prepare::CORPORA {
        let mixture = csv::Reader::from_path(suite.join("data").join(corpus).join("mixture.csv"));
        for row in mixture?.records() {
            let row = row?;
            let test = crate::prepare::test_of(&row[0]).unwrap_or_default();
            shares.write_record([corpus, &row[0], test, &row[3], &row[4]])?;
        }
    }
    shares.flush()?;
    let seconds: f64 = finished.iter().map(|f| f.processor_seconds).sum();
    let flops: f64 = finished.iter().map(|f| f.run.flops() as f64).sum();
    println!(
        "{} runs, {flops:.3e} FLOPs, {:.0} minutes of processor time, {:.1} GFLOP/s a core",
        finished.len(),
        seconds / 60.0,
        flops / seconds / 1e9
    );
    finished.sort_by(|a, b| {
        let key = |f: &Finished| (f.run.budget as u64, f.run.shape.hidden, f.run.seed);
        a.run.corpus.cmp(&b.run.corpus).then(key(a).cmp(&key(b)))
    });
    write_runs(&study.join("runs.csv"), &finished, "../runs/checkpoints")?;
    publish(suite, &finished)
}

/// The corpus whose checkpoints are in the repository, and how many on either side of the best one.
const PUBLISHED: &str = "balanced";
const NEIGHBOURS: usize = 3;

/// Writes `checkpoints/`, `ladder.csv` and `scores.csv`: of every budget the run with the least
/// validation loss and its neighbours in size, seven runs in all where there are as many.
fn publish(suite: &Path, finished: &[Finished]) -> Result<(), Box<dyn Error>> {
    let mut of: Vec<&Finished> = finished.iter().collect();
    of.retain(|f| f.run.corpus == PUBLISHED && f.run.seed == 0);
    let to = suite.join("checkpoints");
    if to.exists() {
        fs::remove_dir_all(&to)?;
    }
    let mut scores = fs::File::create(suite.join("scores.csv"))?;
    writeln!(scores, "{}", COLUMNS.join(","))?;
    let mut ladder = Vec::new();
    for profile in of.chunk_by(|a, b| a.run.budget == b.run.budget) {
        let loss = |f: &&Finished| f.valid_bits_per_byte;
        let best =
            (0..profile.len()).min_by(|a, b| loss(&profile[*a]).total_cmp(&loss(&profile[*b])));
        let most = profile.len().saturating_sub(2 * NEIGHBOURS + 1);
        let first = best.unwrap_or(0).saturating_sub(NEIGHBOURS).min(most);
        ladder.extend(profile.iter().skip(first).take(2 * NEIGHBOURS + 1).copied());
    }
    for Finished { run, .. } in &ladder {
        let path = Path::new(&run.corpus).join(&run.name);
        fs::create_dir_all(to.join(&path))?;
        for file in fs::read_dir(suite.join("runs/checkpoints").join(&path))? {
            let file = file?;
            fs::copy(file.path(), to.join(&path).join(file.file_name()))?;
        }
        scores.write_all(rows(suite, run)?.as_bytes())?;
    }
    let ladder: Vec<Finished> = ladder.into_iter().cloned().collect();
    write_runs(&suite.join("ladder.csv"), &ladder, "checkpoints")
}

/// The rows of a run's table of scores.
fn rows(suite: &Path, run: &Run) -> Result<String, Box<dyn Error>> {
    let path = suite.join(format!("runs/{}.csv", run.name));
    let table = fs::read_to_string(&path)?;
    let (_, rows) = table
        .split_once('\n')
        .ok_or_else(|| format!("{}: an empty table", path.display()))?;
    Ok(rows.to_owned())
}

fn write_rows(
    out: &mut csv::Writer<fs::File>,
    run: &Run,
    checkpoint: &Path,
    texts: &Texts,
) -> Result<(), Box<dyn Error>> {
    let mut model = evaluator(run);
    let parameters = export::read(&model.layout, checkpoint)?;
    for (name, items) in texts {
        for (cluster, bits, bytes) in score(&mut model, &parameters, items) {
            out.write_record([
                run.corpus.clone(),
                run.name.clone(),
                format!("{:e}", run.budget),
                run.flops().to_string(),
                run.shape.parameters().to_string(),
                run.tokens().to_string(),
                run.seed.to_string(),
                name.clone(),
                cluster,
                format!("{:.6}", bits / bytes as f64),
                bytes.to_string(),
            ])?;
        }
    }
    Ok(())
}

/// Bits and bytes by cluster, in order of first appearance.
fn score(
    model: &mut crate::model::Model<f32>,
    parameters: &[f32],
    items: &[Item],
) -> Vec<(String, f64, usize)> {
    let mut windows: Vec<(usize, Vec<u16>)> = Vec::new();
    let mut clusters: Vec<(String, f64, usize)> = Vec::new();
    for item in items {
        let at = clusters
            .iter()
            .position(|c| c.0 == item.cluster)
            .unwrap_or_else(|| {
                clusters.push((item.cluster.clone(), 0.0, 0));
                clusters.len() - 1
            });
        clusters[at].2 += item.text.len();
        let tokens: Vec<u16> = item.text.bytes().map(u16::from).collect();
        windows.extend(tokens.chunks(CONTEXT).map(|w| (at, w.to_vec())));
    }
    // An even number of windows goes through at a time; a lone last one is doubled and counted once.
    for pair in windows.chunks(2) {
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        for slot in 0..2 {
            push_window(&pair[slot.min(pair.len() - 1)].1, &mut inputs, &mut targets);
        }
        let losses = model.losses(parameters, &inputs, &targets);
        for ((at, window), losses) in pair.iter().zip(losses.chunks_exact(CONTEXT)) {
            let nats: f64 = losses[..window.len()].iter().map(|&x| f64::from(x)).sum();
            clusters[*at].1 += nats / std::f64::consts::LN_2;
        }
    }
    clusters
}
