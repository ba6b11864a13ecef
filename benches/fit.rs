//! The estimator at full size: 3 corpora × 85 runs × 128 distributions × 2,000 items in 100
//! clusters, the default analysis with all its diagnostics.
//!
//! Items enter an analysis as sums per cluster. `items` measures their accumulation, which is linear
//! in the number of items, and `analysis` measures everything after it.
//!
//! With `RELSCALE_PEER=DIR` set, the ladder and its results are also written to `DIR`.
//! `benches/peers/fit_statsmodels.py DIR` then computes the same point estimates and variances with
//! numpy and statsmodels, times them, and compares the numbers.

use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use relscale::conformance::inputs::SplitMix64;
use relscale::fit::{CovarianceType, Options, analyze};
use relscale::ladder::{Ladder, LadderBuilder, Run, Scale};

const CORPORA: [&str; 3] = ["comma", "dclm", "nemotron"];
const BUDGETS: [f64; 7] = [1e18, 3e18, 6e18, 1e19, 3e19, 6e19, 1e20];
/// Sizes per budget: 85 runs.
const SIZES: [usize; 7] = [12, 12, 12, 12, 12, 12, 13];
const DISTRIBUTIONS: usize = 128;
const CLUSTERS: usize = 100;
const ITEMS_PER_CLUSTER: usize = 20;

/// A standard normal number, as the sum of twelve uniform ones: tails do not matter here.
fn normal(random: &mut SplitMix64) -> f64 {
    // Each is in [−1, 1), with a variance of 1/3.
    (0..12).map(|_| f64::from(random.uniform())).sum::<f64>() / 2.0
}

/// One run of the design: centred ln budget `x`, and ln parameters `z` relative to the optimum.
struct Config {
    run: Run,
    x: f64,
    z: f64,
}

fn configs() -> Vec<Config> {
    let middle = BUDGETS.iter().map(|c| c.ln()).sum::<f64>() / 7.0;
    let mut configs = Vec::new();
    for corpus in CORPORA {
        for (budget, sizes) in BUDGETS.iter().zip(SIZES) {
            for k in 0..sizes {
                let x = budget.ln() - middle;
                let z = -1.8 + 3.8 * k as f64 / (sizes as f64 - 1.0);
                let params = (18.0 + 0.5 * x + z).exp();
                let tokens = budget / (6.0 * params);
                let name = format!("{corpus}-{budget:e}-{k}");
                configs.push(Config {
                    run: Run::new(
                        name,
                        Scale {
                            params,
                            tokens,
                            flops: *budget,
                        },
                    )
                    .corpus(corpus),
                    x,
                    z,
                });
            }
        }
    }
    configs
}

fn name(distribution: usize) -> String {
    match distribution {
        0 => "aggregate".to_owned(),
        1 => "baseline".to_owned(),
        d => format!("d{d:03}"),
    }
}

/// The mean loss of every run, distribution and cluster, the last varying fastest.
fn losses(configs: &[Config]) -> Vec<f64> {
    let mut random = SplitMix64::new(1);
    // Level and slope of every cluster.
    let difficulty: Vec<(f64, f64)> = (0..DISTRIBUTIONS * CLUSTERS)
        .map(|_| (0.3 * normal(&mut random), 0.015 * normal(&mut random)))
        .collect();
    let mut losses = Vec::with_capacity(configs.len() * DISTRIBUTIONS * CLUSTERS);
    for config in configs {
        let shared = 0.003 * normal(&mut random);
        for d in 0..DISTRIBUTIONS {
            let at = d as f64 / DISTRIBUTIONS as f64;
            let z = config.z - 0.25 * at;
            let mean = 0.8 + 0.3 * at - (0.05 - 0.01 * at) * config.x + 0.03 * z * z
                - 0.004 * z * z * z
                + shared
                + 0.0015 * normal(&mut random);
            for (level, slope) in &difficulty[d * CLUSTERS..(d + 1) * CLUSTERS] {
                // The noise of a mean falls with the root of the number of items.
                let noise = 0.1 / (ITEMS_PER_CLUSTER as f64).sqrt() * normal(&mut random);
                losses.push((mean + level + slope * config.x).exp() * (1.0 + noise));
            }
        }
    }
    losses
}

fn ladder(configs: &[Config], losses: &[f64]) -> Ladder {
    let names: Vec<String> = (0..DISTRIBUTIONS).map(name).collect();
    let clusters: Vec<String> = (0..CLUSTERS).map(|g| g.to_string()).collect();
    let mut builder = LadderBuilder::default();
    let mut rest = losses.iter();
    for config in configs {
        builder.run(config.run.clone()).expect("the run is valid");
        for distribution in &names {
            for (cluster, loss) in clusters.iter().zip(rest.by_ref()) {
                builder
                    .score(
                        &config.run.id,
                        distribution,
                        cluster,
                        *loss,
                        ITEMS_PER_CLUSTER as f64,
                    )
                    .expect("the score is valid");
            }
        }
    }
    builder.build().expect("the ladder is valid")
}

fn options() -> Options {
    let mut options = Options::new("baseline");
    options.aggregate = Some("aggregate".to_owned());
    options
}

/// Writes the design, the losses and our numbers for the peer.
fn export(folder: &Path, configs: &[Config], losses: &[f64], ladder: &Ladder) {
    std::fs::create_dir_all(folder).expect("the folder can be made");
    let file = |name: &str| {
        std::io::BufWriter::new(std::fs::File::create(folder.join(name)).expect("a file"))
    };
    let mut out = file("runs.csv");
    writeln!(out, "corpus,budget,params").expect("written");
    for c in configs {
        writeln!(out, "{},{},{}", c.run.corpus, c.run.budget, c.run.params).expect("written");
    }
    let mut out = file("losses.f64");
    for loss in losses {
        out.write_all(&loss.to_le_bytes()).expect("written");
    }
    let start = Instant::now();
    let analysis = analyze(ladder, &options()).expect("the analysis succeeds");
    let seconds = start.elapsed().as_secs_f64();
    let mut robust = options();
    robust.covariance = CovarianceType::Hc3;
    let robust = analyze(ladder, &robust).expect("the analysis succeeds");
    let mut out = file("ours.csv");
    writeln!(out, "# {seconds}").expect("written");
    writeln!(out, "corpus,distribution,delta,variance,hc3").expect("written");
    for (law, hc3) in analysis.laws.iter().zip(&robust.laws) {
        writeln!(
            out,
            "{},{},{},{},{}",
            law.corpus,
            law.treatment,
            law.delta_beta.value,
            law.diagnostics.variance.run,
            hc3.diagnostics.variance.run
        )
        .expect("written");
    }
}

fn bench(c: &mut Criterion) {
    let configs = configs();
    let losses = losses(&configs);
    let ladder = ladder(&configs, &losses);
    if let Ok(folder) = std::env::var("RELSCALE_PEER") {
        export(Path::new(&folder), &configs, &losses, &ladder);
    }
    let mut group = c.benchmark_group("fit");
    group.sample_size(10);
    group.bench_function("analysis", |b| {
        b.iter(|| analyze(black_box(&ladder), &options()).expect("the analysis succeeds"));
    });
    for items in [2_000_u64, 20_000] {
        group.throughput(Throughput::Elements(items));
        group.bench_function(format!("items/{items}"), |b| {
            b.iter(|| {
                let mut builder = LadderBuilder::default();
                builder
                    .run(configs[0].run.clone())
                    .expect("the run is valid");
                for k in 0..items {
                    let cluster = ["a", "b", "c", "d"][k as usize % 4];
                    builder
                        .score(&configs[0].run.id, "baseline", cluster, 1.0 + k as f64, 1.0)
                        .expect("the score is valid");
                }
                builder.build().expect("the ladder is valid")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
