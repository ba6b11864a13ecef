//! Scores the items of a JSON-lines file with a checkpoint.
//!
//! ```sh
//! relscale score --checkpoint DIR --items FILE.jsonl --out FILE.jsonl
//! ```

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use crate::program::start;
use indicatif::{ProgressBar, ProgressStyle};
use relscale::Error;
use relscale::distribution::{Content, Distribution, Items};
use relscale::evaluate::{Bos, Progress, Settings};
use relscale::tokenizer::Tokenizer;

use crate::engine::{Engine, number};

const USAGE: &str = "usage: relscale score --checkpoint DIR --items FILE.jsonl --out FILE.jsonl
  --batch-tokens N          token budget of one batch, 8192 by default
  --bos never|ID            token put before every window of a text and every context; what the
                            checkpoint's tokenizer does by default
  --bos-first ID            the same, before the first window only
  --context N               input tokens of a window, the model's context by default
  --stride N                tokens newly scored a window, the whole window by default
  --truncate                drop the start of contexts that are too long
  --per-token               write the log-likelihood of every token
  --repeat N                evaluate N times, to measure, and write the last answers";

struct Arguments {
    checkpoint: String,
    items: String,
    out: String,
    engine: Engine,
    per_token: bool,
    repeat: usize,
    settings: Settings,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut found = Arguments {
        checkpoint: String::new(),
        items: String::new(),
        out: String::new(),
        engine: Engine::default(),
        per_token: false,
        repeat: 1,
        settings: Settings::default(),
    };
    while let Some(option) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("{option} needs a value"))
        };
        let number = |text: String| number(&option, &text);
        match option.as_str() {
            "--checkpoint" => found.checkpoint = value()?,
            "--items" => found.items = value()?,
            "--out" => found.out = value()?,
            "--batch-tokens" => found.settings.batch_tokens = number(value()?)?,
            "--context" => found.settings.context = Some(number(value()?)?),
            "--stride" => found.settings.stride = Some(number(value()?)?),
            "--bos" | "--bos-first" => {
                let text = value()?;
                let id =
                    || u32::try_from(number(text.clone())?).map_err(|e| format!("{option}: {e}"));
                found.settings.bos = match (option.as_str(), text.as_str()) {
                    ("--bos", "never") => Bos::Never,
                    ("--bos", _) => Bos::EveryWindow(id()?),
                    _ => Bos::First(id()?),
                };
            }
            "--truncate" => found.settings.truncate = true,
            "--repeat" => found.repeat = number(value()?)?.max(1),
            "--per-token" => found.per_token = true,
            _ if found.engine.take(&option, &mut value)? => {}
            _ => return Err(format!("unknown option {option}")),
        }
    }
    for (name, value) in [
        ("--checkpoint", &found.checkpoint),
        ("--items", &found.items),
        ("--out", &found.out),
    ] {
        if value.is_empty() {
            return Err(format!("{name} is missing"));
        }
    }
    Ok(found)
}

fn run(arguments: &Arguments) -> Result<(), Error> {
    let start = Instant::now();
    let items = Items::from_jsonl(&arguments.items)?;
    let copies = arguments.engine.load(
        Path::new(&arguments.checkpoint),
        arguments.settings.batch_tokens,
    )?;
    let text = |i| matches!(items.item(i), Ok(item) if matches!(item.content, Content::Text(_) | Content::Choices { .. }));
    let tokenizer = if (0..items.len()).any(text) {
        Some(Tokenizer::load(&arguments.checkpoint)?)
    } else {
        None
    };
    let loaded = start.elapsed();

    let mut answers = Vec::new();
    for _ in 0..arguments.repeat {
        let bar = ProgressBar::new(0).with_style(
            ProgressStyle::with_template("{bar:40} {pos}/{len} tokens, {per_sec}, {eta} left")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let progress = |p: Progress| {
            bar.set_length(p.total as u64);
            bar.set_position(p.tokens as u64);
        };
        let start = Instant::now();
        let mut evaluation = copies
            .evaluation()
            .settings(arguments.settings)
            .progress(progress);
        if let Some(tokenizer) = &tokenizer {
            evaluation = evaluation.tokenizer(tokenizer);
        }
        answers = evaluation.log_likelihoods(&items)?;
        let tokens = bar.position();
        bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{} items, {tokens} tokens in {seconds:.4} s ({:.0} tokens/s); loaded in {:.3} s",
            answers.len(),
            tokens as f64 / seconds,
            loaded.as_secs_f64()
        );
    }

    let io = |e| Error::io(&arguments.out, e);
    let mut warned = 0;
    let mut out = BufWriter::new(File::create(&arguments.out).map_err(io)?);
    for item in &answers {
        let mut line = serde_json::Map::new();
        line.insert("id".to_owned(), item.id.as_str().into());
        line.insert("cluster".to_owned(), item.cluster.as_str().into());
        // One value for a text, a list of one value a choice otherwise.
        let mut put = |name: &str, values: Vec<serde_json::Value>| {
            let value = match (item.gold, values) {
                (None, mut one) if one.len() == 1 => one.remove(0),
                (_, list) => list.into(),
            };
            line.insert(name.to_owned(), value);
        };
        let of = |f: &dyn Fn(&relscale::scorer::Sequence) -> serde_json::Value| {
            item.sequences.iter().map(f).collect::<Vec<_>>()
        };
        put("log_likelihood", of(&|s| s.log_likelihood().into()));
        put("tokens", of(&|s| s.log_likelihoods.len().into()));
        if item.sequences.iter().all(|s| s.bytes.is_some()) {
            put("bytes", of(&|s| s.bytes.into()));
        }
        if !item.unconditional.is_empty() {
            let sums = item.unconditional.iter().map(|s| s.log_likelihood().into());
            put("unconditional", sums.collect());
        }
        if arguments.per_token {
            put(
                "token_log_likelihoods",
                of(&|s| s.log_likelihoods.clone().into()),
            );
        }
        if !item.warnings.is_empty() {
            let warnings: Vec<_> = item.warnings.iter().map(|w| w.to_string().into()).collect();
            line.insert("warnings".to_owned(), serde_json::Value::Array(warnings));
            warned += 1;
        }
        writeln!(out, "{}", serde_json::Value::Object(line)).map_err(io)?;
    }
    out.flush().map_err(io)?;
    if warned > 0 {
        eprintln!("{warned} items have warnings, written with them");
    }
    Ok(())
}

/// Runs the command on the words behind its name.
pub fn main(words: impl Iterator<Item = String>) -> ExitCode {
    let usage = format!("{USAGE}\n{}", Engine::USAGE);
    start(arguments(words), &usage, run)
}
