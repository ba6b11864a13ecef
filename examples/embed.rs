//! Scoring and fitting inside a service: checkpoints come in one by one, laws come out.
//!
//! ```sh
//! cargo run --release --example embed
//! ```

use std::path::Path;

use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Evaluation};
use relscale::fit::{Options, analyze};
use relscale::ladder::{Ladder, LadderBuilder, RunTable, TrainedRun};
use relscale::model::Transformer;
use relscale::scorer::{BitsPerByte, cluster_totals};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;

type Error = Box<dyn std::error::Error>;

/// Scores one checkpoint on every text and adds it to the ladder.
fn arrived(trained: &TrainedRun, texts: &[Items], ladder: &mut LadderBuilder) -> Result<(), Error> {
    let model = Transformer::load(trained, Cpu::new())?;
    let tokenizer = Tokenizer::load(trained)?;
    let evaluation = Evaluation::new(&model)
        .tokenizer(&tokenizer)
        .scorers(&[&BitsPerByte])
        .bos(Bos::EveryWindow(256)) // As the models of `suite/` were trained.
        .context(256);
    ladder.run(trained.run.clone())?;
    for text in texts {
        let scores = evaluation.run(text)?.of("bits_per_byte")?;
        for (cluster, total) in cluster_totals(&scores) {
            let (run, error) = (&trained.run.id, total.loss / total.weight);
            ladder.score(run, text.name(), &cluster, error, total.weight)?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
    let mut texts = Vec::new();
    for name in ["english-help", "german-help", "python-code"] {
        texts.push(Items::from_jsonl(
            suite.join(format!("texts/{name}.jsonl")),
        )?);
    }
    let mut ladder = Ladder::builder();
    for trained in &RunTable::from_csv(suite.join("ladder.csv"))?.runs {
        arrived(trained, &texts, &mut ladder)?;
    }
    let analysis = analyze(&ladder.build()?, &Options::new("english-help"))?;
    for law in &analysis.laws {
        println!(
            "{}: Δβ {:+.3}, {}",
            law.treatment, law.delta_beta.value, law.verdict
        );
    }
    Ok(())
}
