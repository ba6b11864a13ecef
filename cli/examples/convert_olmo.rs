//! Converts the public OLMo ladder (one row per run, one column per evaluation) to the long form.
//!
//! ```text
//! cargo run --release -p relscale-cli --example convert_olmo -- olmo-ladder.csv olmo-long.csv
//! relscale fit --scores olmo-long.csv --baseline c4_en --aggregate pile
//! ```
//!
//! The source is the last logged value of every run in `src/scripts/paper/data/ladder-runs/*.csv` of
//! github.com/allenai/OLMo-ladder (Apache-2.0). Text domains are in nats per token, MMLU groups in bits
//! per byte of the gold answer. The 7B and 13B runs were annealed on another mix: they are marked as
//! held out, so that they are predicted and never fitted. What the table leaves empty is filled in:
//! the parameters of the 3B models, and 6·N·D for the compute of the 7B and 13B runs.

use std::error::Error;
use std::fs::File;
use std::process::ExitCode;

use relscale::ladder::{FlopConvention, Ladder, Run, Scale};
use relscale_cli::output::note;

/// Parameters of the 3B models without embeddings, as published with the ladder's code.
const PARAMS_3B: f64 = 3_169_537_280.0;

/// Places of the columns of the wide table.
struct Columns {
    run: usize,
    size: usize,
    params: usize,
    tokens: usize,
    gflops: usize,
    /// Place and name of every evaluation.
    evaluations: Vec<(usize, String)>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self, String> {
        let column = |name: &str| {
            let at = header.iter().position(|h| h == name);
            at.ok_or(format!("no column {name}"))
        };
        let evaluation = |(i, h): (usize, &str)| {
            let mmlu = || {
                h.strip_suffix("_rc_5shot_bpb")
                    .filter(|n| n.starts_with("mmlu") && n.ends_with("test"))
            };
            let name = h.strip_suffix("-validation").or_else(mmlu)?;
            Some((i, name.to_owned()))
        };
        Ok(Self {
            run: column("run")?,
            size: column("size")?,
            params: column("N")?,
            tokens: column("tokens")?,
            gflops: column("total_training_Gflops")?,
            evaluations: header.iter().enumerate().filter_map(evaluation).collect(),
        })
    }
}

/// Reads the wide table.
pub(crate) fn convert(reader: impl std::io::Read) -> Result<Ladder, Box<dyn Error>> {
    let mut table = csv::Reader::from_reader(reader);
    let columns = Columns::of(table.headers()?)?;
    let mut builder = Ladder::builder();
    builder
        .name("OLMo ladder")
        .flop_convention(FlopConvention::Training);
    for record in table.records() {
        let record = record?;
        let number = |i: usize| {
            let number = record.get(i).and_then(|v| v.parse::<f64>().ok());
            number.filter(|v| v.is_finite())
        };
        let id = record.get(columns.run).unwrap_or("");
        let params = match number(columns.params) {
            Some(n) => n,
            None if record.get(columns.size) == Some("3B") => PARAMS_3B,
            None => return Err(format!("{id}: no parameter count").into()),
        };
        let tokens = number(columns.tokens).ok_or(format!("{id}: no token count"))?;
        let flops = number(columns.gflops).map_or(6.0 * params * tokens, |g| 1e9 * g);
        let scale = Scale {
            params,
            tokens,
            flops,
        };
        let mut entry = Run::new(id, scale).corpus("olmo");
        entry.held_out = id.starts_with("peteish");
        entry.seed = Some(u64::from(id.ends_with("-rerun")));
        builder.run(entry)?;
        for (i, name) in &columns.evaluations {
            if let Some(loss) = number(*i) {
                builder.score(id, name, "", loss, 1.0)?;
            }
        }
    }
    Ok(builder.build()?)
}

#[cfg_attr(
    test,
    allow(
        dead_code,
        reason = "the test of this ladder includes the file for `convert`"
    )
)]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        note("usage: convert_olmo olmo-ladder.csv olmo-long.csv");
        return ExitCode::from(2);
    };
    match run(from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[cfg_attr(test, allow(dead_code, reason = "called by `main` only"))]
fn run(from: &str, to: &str) -> Result<(), Box<dyn Error>> {
    let ladder = convert(File::open(from).map_err(|e| format!("{from}: {e}"))?)?;
    ladder.write_csv(File::create(to).map_err(|e| format!("{to}: {e}"))?)?;
    Ok(())
}
