//! Reading a large table of losses: 20 million rows, 2.2 GB of CSV, 100 runs × 20 distributions × 10,000
//! items, in 500 clusters per distribution and, in a second table, each its own cluster.
//!
//! `cargo bench --bench tables [-- by_item | by_cluster]` prints wall time, processor time and the largest
//! resident memory. With `RELSCALE_PEER=PYTHON` set, `benches/peers/tables_polars.py` reads the same files by
//! that Python in turn with us, and the ratios are printed: a table is to be read within twice the time
//! of polars and 3 GB.

#[allow(dead_code, reason = "every benchmark uses its own part")]
mod common;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{arguments, wall_seconds};
use relscale::ladder::Ladder;

/// Times to read a table, of which the shortest counts.
const ROUNDS: usize = 3;

/// Sizes of a table.
#[derive(Clone, Copy)]
struct Table {
    name: &'static str,
    runs: usize,
    distributions: usize,
    items: usize,
    /// If true, twenty items are a cluster.
    clusters: bool,
}

impl Table {
    fn rows(self) -> usize {
        self.runs * self.distributions * self.items
    }

    fn write(self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
        let cluster = if self.clusters { "cluster" } else { "note" };
        writeln!(
            out,
            "corpus,run,budget,flops,params,tokens,distribution,item,{cluster},loss,weight"
        )?;
        for run in 0..self.runs {
            let budget = 1e17 * 10_f64.powf((run / 10) as f64 * 0.4);
            let params = 1e7 * 10_f64.powf((run % 10) as f64 * 0.2);
            let tokens = budget / 6.0 / params;
            for distribution in 0..self.distributions {
                let row = format!(
                    "dclm,run-{run:03},{budget:.6e},{budget:.6e},{params:.0},{tokens:.0},language-{distribution:02}"
                );
                for item in 0..self.items {
                    let loss =
                        2.0 + ((item * 7919 + run * 104_729) % 1_000_003) as f64 / 1_000_003.0;
                    let (document, weight) = (item / 20, 50 + item * 31 % 1_950);
                    writeln!(
                        out,
                        "{row},item-{item:05},doc-{document:04},{loss:.6},{weight}"
                    )?;
                }
            }
        }
        out.flush()
    }
}

/// Time and memory of one reading.
struct Cost {
    seconds: f64,
    processor_seconds: f64,
    gigabytes: f64,
}

fn processor_seconds() -> f64 {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
    #[cfg(not(unix))]
    wall_seconds()
}

/// The largest resident memory of this process so far, where Linux tells.
fn peak_gigabytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |k| k * 1024.0 / 1e9)
}

fn read(path: &Path, table: Table) -> Cost {
    let start = (wall_seconds(), processor_seconds());
    let ladder = Ladder::load_csv(path).expect("the table just written");
    let cost = Cost {
        seconds: wall_seconds() - start.0,
        processor_seconds: processor_seconds() - start.1,
        gigabytes: peak_gigabytes(),
    };
    let rows = |s: &relscale::ladder::Scores| s.cells().iter().map(|c| c.rows).sum::<u64>();
    assert_eq!(
        ladder.scores().iter().map(rows).sum::<u64>(),
        table.rows() as u64
    );
    cost
}

/// The same by polars.
fn read_by_peer(python: &str, path: &Path) -> Cost {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/tables_polars.py");
    let output = Command::new(python).arg(script).arg(path).output();
    let output = output.expect("the Python of RELSCALE_PEER");
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
    let [seconds, processor_seconds, gigabytes] = numbers[..] else {
        panic!("{text}{}", String::from_utf8_lossy(&output.stderr));
    };
    Cost {
        seconds,
        processor_seconds,
        gigabytes,
    }
}

/// Prints the shortest of the costs, and returns it.
fn print(name: &str, costs: &[Cost]) -> (f64, f64) {
    let least = |of: fn(&Cost) -> f64| costs.iter().map(of).fold(f64::INFINITY, f64::min);
    let most = costs.iter().map(|c| c.gigabytes).fold(0.0, f64::max);
    let (seconds, processor) = (least(|c| c.seconds), least(|c| c.processor_seconds));
    println!("  {name:10}{seconds:8.2} s {processor:8.2} s of processors {most:8.2} GB");
    (seconds, processor)
}

fn main() {
    let arguments = arguments(0);
    let table = |name, clusters| Table {
        name,
        runs: if arguments.test { 3 } else { 100 },
        distributions: if arguments.test { 2 } else { 20 },
        items: if arguments.test { 50 } else { 10_000 },
        clusters,
    };
    let peer = std::env::var("RELSCALE_PEER")
        .ok()
        .filter(|_| !arguments.test);
    for table in [table("by_cluster", true), table("by_item", false)] {
        if !arguments.wants(table.name) {
            continue;
        }
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.csv", table.name));
        table.write(&path).expect("space for the table");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..if arguments.test { 1 } else { ROUNDS } {
            ours.push(read(&path, table));
            theirs.extend(peer.as_ref().map(|python| read_by_peer(python, &path)));
        }
        println!("{}: {} rows", table.name, table.rows());
        let (wall, processor) = print("relscale", &ours);
        if !theirs.is_empty() {
            let peer = print("polars", &theirs);
            println!(
                "  ratio     {:8.2}   {:8.2}",
                wall / peer.0,
                processor / peer.1
            );
        }
        fs::remove_file(&path).expect("the table just written");
    }
}
