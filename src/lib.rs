//! Relative scaling laws: how the gap between test distributions evolves as language models scale.
//!
//! Two halves that can be used apart. Scoring: a [`model`] on a [`backend`] gives log-likelihoods
//! of the items of a [`distribution`], which a [`scorer`] turns into losses; [`evaluate`] drives it
//! and a [`log`] keeps the results of a run that may be killed. Statistics: a [`ladder`] of runs and
//! their losses, from there or from anywhere else, goes into [`fit`], whose result [`report`] prints
//! and draws. [`isoflop`] plans the runs. Data flows in this order and never back.
//!
//! # From losses
//! A CSV file of losses, of your own evaluation or of any other ([`Ladder::from_csv`] has the
//! columns):
//! ```
//! use relscale::fit::{Options, analyze};
//! use relscale::ladder::Ladder;
//!
//! # let mut csv = String::from("corpus,run,budget,flops,params,tokens,distribution,loss\n");
//! # for (i, budget) in [1e18_f64, 3e18, 1e19, 3e19, 1e20].iter().enumerate() {
//! #     for (name, beta) in [("web", 0.050), ("news", 0.062)] {
//! #         let loss = (1.0 + 0.002 * (i % 2) as f64) * (budget / 1e19).powf(-beta);
//! #         csv += &format!("dclm,r{i},{budget},{budget},1e8,{},{name},{loss}\n", budget / 6e8);
//! #     }
//! # }
//! # let path = std::env::temp_dir().join(format!("relscale-doc-{}.csv", std::process::id()));
//! # std::fs::write(&path, csv)?;
//! # /*
//! let path = "losses.csv";
//! # */
//! let ladder = Ladder::load_csv(&path)?;
//! let analysis = analyze(&ladder, &Options::new("web"))?;
//! println!("{analysis}"); // a table with intervals, verdicts and what to know before quoting them
//! assert!((analysis.laws[0].delta_beta.value + 0.012).abs() < 1e-9);
//! # std::fs::remove_file(&path)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! The feature `plot` adds drawings (`report::plot::all`). For files, `analysis.summary()` is what one
//! quotes and `analysis` everything behind it; `serde_json` writes both.
//!
//! # From checkpoints
//! A folder of checkpoints, two files of texts ([`Items::from_jsonl`] has the format), and the crate
//! `relscale-cpu`. One log per checkpoint and text: a run that is killed resumes when it is started again.
//! Build it with `--release`; without, the kernels are many times slower.
//! ```no_run
//! use relscale::distribution::Items;
//! use relscale::evaluate::{Evaluation, Settings};
//! use relscale::fit::{Options, analyze};
//! use relscale::ladder::{Ladder, Run, Scale};
//! use relscale::log::{Key, Log, checkpoint_hash};
//! use relscale::model::Transformer;
//! use relscale::scorer::BitsPerByte;
//! use relscale::tokenizer::Tokenizer;
//! # mod relscale_cpu {
//! #     pub struct Cpu;
//! #     impl Cpu { pub fn new() -> relscale::backend::Reference<f32> { Default::default() } }
//! # }
//! use relscale_cpu::Cpu;
//!
//! // Name of the folder, training FLOPs, parameters, training tokens.
//! let runs = [
//!     ("ladder/14m", 1.1e18, 1.4e7, 1.3e10),
//!     ("ladder/70m", 1.0e19, 7.0e7, 2.4e10),
//!     ("ladder/160m", 5.8e19, 1.6e8, 6.0e10),
//!     ("ladder/410m", 4.9e20, 4.1e8, 2.0e11),
//! ];
//! let texts = [Items::from_jsonl("web.jsonl")?, Items::from_jsonl("news.jsonl")?];
//! let settings = Settings::default();
//! let mut ladder = Ladder::builder();
//! for (folder, flops, params, tokens) in runs {
//!     // One corpus; the budget is what groups runs of different sizes, here each its own.
//!     let run = Run::new(folder, Scale { params, tokens, flops }).corpus("my-corpus");
//!     ladder.run(run.clone())?;
//!     let model = Transformer::load(folder, Cpu::new())?;
//!     let tokenizer = Tokenizer::load(folder)?;
//!     let evaluation = Evaluation::new(&model)
//!         .tokenizer(&tokenizer)
//!         .scorers(&[&BitsPerByte])
//!         .settings(settings);
//!     let checkpoint = checkpoint_hash(folder)?;
//!     for items in &texts {
//!         let key = Key::new(&checkpoint, "cpu f32", items, &[&BitsPerByte], &settings)?;
//!         let mut log = Log::open(format!("{folder}.{}.log", key.distribution), &key)?;
//!         log.score(&evaluation, items)?;
//!         log.table().add_to(&mut ladder, &run, "bits_per_byte")?;
//!     }
//! }
//! println!("{}", analyze(&ladder.build()?, &Options::new("web"))?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From another engine
//! Implement [`model::Model`] for whatever gives log-likelihoods, or [`backend::Backend`] for
//! hardware of your own; the feature `conformance` has the tests a backend must pass. A benchmark of
//! your own is a [`distribution::Distribution`], an error of your own a [`scorer::Scorer`].
//!
//! # Features
//! - `scoring` (default): runs checkpoints. Without it only [`ladder`], [`fit`], [`report`] and
//!   [`isoflop`] compile, and no tensor code.
//! - `tokenizers` (default): reads `tokenizer.json`.
//! - `schema`: JSON Schemas of options, results and plans: they implement `schemars::JsonSchema`.
//! - `plot`: SVG drawings, `report::plot`.
//! - `compressed`: tables and texts compressed with gzip or Zstandard ([`input`]).
//! - `parquet`: tables of losses in Parquet ([`ladder::Tables`]), scores as Parquet
//!   (`log::export_parquet`).
//! - `conformance`: the test kit for backends, `conformance`.
//! - `proptest`: strategies for ladders and laws, `fit::strategies`.
//!
//! # Errors
//! Bad input is an error that names the file, line, field or option; nothing panics on it. Scoring
//! returns [`Error`], tables [`ladder::LadderError`], the estimator [`fit::FitError`]: all three are
//! [`std::error::Error`]s and convert with `?` into a `Box<dyn Error>`.
//!
//! [`Items::from_jsonl`]: distribution::Items::from_jsonl
//! [`Ladder::from_csv`]: ladder::Ladder::from_csv
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(all(feature = "scoring", feature = "tokenizers", feature = "plot")),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "pages name what other features bring; with all features every link is checked"
    )
)]
#![forbid(unsafe_code)]

#[cfg(feature = "scoring")]
pub mod backend;
#[cfg(feature = "scoring")]
pub mod checkpoint;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "scoring")]
pub mod distribution;
#[cfg(feature = "scoring")]
mod error;
#[cfg(feature = "scoring")]
pub mod evaluate;
pub mod fit;
pub mod input;
pub mod isoflop;
pub mod ladder;
#[cfg(feature = "scoring")]
pub mod log;
#[cfg(feature = "scoring")]
pub mod model;
pub mod output;
pub mod report;
#[cfg(feature = "scoring")]
pub mod scorer;
mod threads;
#[cfg(feature = "scoring")]
pub mod tokenizer;

#[cfg(feature = "scoring")]
pub use error::Error;

/// The examples of the README are tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
