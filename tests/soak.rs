//! A service that embeds the library and runs for long: eight threads score, fit and load, are cancelled,
//! and get inputs that are no use.
//!
//! `cargo test --release --test soak -- --ignored --nocapture` runs for two hours, or for as many seconds as
//! `SOAK_SECONDS` says. Every answer must equal the first one to the bit. Memory, open files and threads are
//! measured once per second; after a warm-up they must stay where they are.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use relscale::Error;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::evaluate::{Evaluation, Settings};
use relscale::fit::{Options, analyze};
use relscale::ladder::Ladder;
use relscale::log::{Key, Log, Table};
use relscale::model::Transformer;
use relscale::scorer::{BitsPerByte, NatsPerToken, Scorer};
use relscale::tokenizer::Tokenizer;
use relscale_cpu::Cpu;

const THREADS: usize = 8;
const SCORERS: &[&dyn Scorer] = &[&BitsPerByte, &NatsPerToken];

fn suite(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("suite");
    root.join(path)
}

fn checkpoint() -> PathBuf {
    suite("checkpoints/balanced/isoflop-1.8ep11-d12-L1-B2-balanced")
}

/// A sequence of numbers that the seed fixes (Steele, Lea and Flood 2014, splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % end
    }
}

/// The state of the service, and the answers that it gave first.
struct Service {
    folder: PathBuf,
    model: Transformer<Cpu>,
    tokenizer: Tokenizer,
    texts: Items,
    losses: Vec<f64>,
    ladder: Ladder,
    law: String,
    /// Requests of each kind that were answered.
    answered: [AtomicU64; KINDS.len()],
}

const KINDS: [&str; 6] = [
    "scored",
    "cancelled",
    "resumed",
    "fitted",
    "loaded",
    "refused",
];

impl Service {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("relscale-soak-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let texts = fs::read_to_string(suite("texts/english-help.jsonl")).unwrap();
        let few: Vec<&str> = texts.lines().take(24).collect();
        let path = folder.join("texts.jsonl");
        fs::write(&path, few.join("\n")).unwrap();
        // One law: a table of two distributions.
        let table = fs::read_to_string(suite("scores.csv")).unwrap();
        let kept = |line: &&str| {
            let named = ["english-help", "french-help"];
            line.starts_with("corpus,") || named.iter().any(|name| line.contains(name))
        };
        let rows: Vec<&str> = table.lines().filter(kept).collect();
        let ladder = Ladder::from_csv(rows.join("\n").as_bytes(), "scores").unwrap();
        let mut service = Self {
            folder,
            model: Transformer::load(checkpoint(), Cpu::with_threads(2).unwrap()).unwrap(),
            tokenizer: Tokenizer::load(checkpoint()).unwrap(),
            texts: Items::from_jsonl(&path).unwrap(),
            losses: Vec::new(),
            ladder,
            law: String::new(),
            answered: Default::default(),
        };
        service.losses = service.scored(&service.model);
        service.law = service.fitted();
        service
    }

    fn evaluation<'a>(&'a self, model: &'a Transformer<Cpu>) -> Evaluation<'a> {
        let evaluation = Evaluation::new(model).tokenizer(&self.tokenizer);
        evaluation.scorers(SCORERS).batch_tokens(512)
    }

    fn scored(&self, model: &Transformer<Cpu>) -> Vec<f64> {
        let scores = self.evaluation(model).run(&self.texts).unwrap();
        let of = scores.of("bits_per_byte").unwrap();
        of.iter().map(|item| item.score.loss).collect()
    }

    fn fitted(&self) -> String {
        let analysis = analyze(&self.ladder, &Options::new("english-help")).unwrap();
        serde_json::to_string(&analysis).unwrap()
    }

    /// Items until another thread cancels; each has the answer that it has in a whole evaluation.
    fn cancelled(&self, numbers: &mut Numbers) {
        let token = AtomicBool::new(false);
        let after = Duration::from_micros(numbers.below(30_000));
        let indices: Vec<usize> = (0..self.texts.len()).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(after);
                token.store(true, Ordering::Relaxed);
            });
            let evaluation = self
                .evaluation(&self.model)
                .batch_tokens(64)
                .stop_when(|| token.load(Ordering::Relaxed));
            let result = evaluation.for_each(&self.texts, &indices, |index, answer| {
                assert_eq!(BitsPerByte.score(&answer)?.loss, self.losses[index]);
                Ok(())
            });
            assert!(
                matches!(result, Ok(()) | Err(Error::Interrupted)),
                "{result:?}"
            );
        });
    }

    /// A log that is cancelled after some batches, opened again and finished.
    fn resumed(&self, thread: usize, numbers: &mut Numbers) {
        let settings = Settings {
            batch_tokens: 64,
            ..Settings::default()
        };
        let path = self.folder.join(format!("log-{thread}"));
        fs::remove_file(&path).ok();
        let key = Key::new("checkpoint", "cpu f32", &self.texts, SCORERS, &settings).unwrap();
        let left = AtomicU64::new(numbers.below(24));
        let stop = || left.fetch_sub(1, Ordering::Relaxed) == 0;
        let evaluation = self.evaluation(&self.model).settings(settings);
        let mut log = Log::open(&path, &key).unwrap();
        let result = log.score(&evaluation.stop_when(stop), &self.texts);
        assert!(
            matches!(result, Ok(()) | Err(Error::Interrupted)),
            "{result:?}"
        );
        drop(log);
        let mut log = Log::open(&path, &key).unwrap();
        let evaluation = self.evaluation(&self.model).settings(settings);
        log.score(&evaluation, &self.texts).unwrap();
        log.compact().unwrap();
        let table = Table::read(&path).unwrap();
        for (index, loss) in self.losses.iter().enumerate() {
            let id = &self.texts.item(index).unwrap().id;
            assert_eq!(table.records()[id].scores[0].loss, *loss, "{id}");
        }
    }

    /// Inputs that are no use are errors.
    fn refused(&self, thread: usize, numbers: &mut Numbers) {
        let folder = self.folder.join(format!("bad-{thread}"));
        fs::create_dir_all(&folder).unwrap();
        let cut = ["config.json", "model.safetensors"][numbers.below(2) as usize];
        for name in ["config.json", "model.safetensors", "tokenizer_config.json"] {
            let mut bytes = fs::read(checkpoint().join(name)).unwrap();
            if name == cut || name.starts_with("tokenizer") {
                // Within the header, which no file survives.
                bytes.truncate(numbers.below(16) as usize);
            }
            fs::write(folder.join(name), bytes).unwrap();
        }
        assert!(Transformer::load(&folder, Cpu::with_threads(1).unwrap()).is_err());
        assert!(Tokenizer::load(&folder).is_err());
        let table = b"run,loss\n\"".as_slice();
        assert!(Ladder::from_csv(table, "bad").is_err());
        let content = Content::Tokens(vec![1, u32::MAX]);
        let (id, cluster) = ("a".to_owned(), "a".to_owned());
        let foreign = Items::new(
            "bad",
            vec![Item {
                id,
                cluster,
                content,
            }],
        )
        .unwrap();
        assert!(self.evaluation(&self.model).run(&foreign).is_err());
    }

    fn answer(&self, thread: usize, numbers: &mut Numbers) {
        // Fits take longest, and come seldom.
        let kind = [0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5, 5][numbers.below(12) as usize];
        match kind {
            0 => assert_eq!(self.scored(&self.model), self.losses),
            1 => self.cancelled(numbers),
            2 => self.resumed(thread, numbers),
            3 => assert_eq!(self.fitted(), self.law),
            4 => {
                let threads = Cpu::with_threads(1 + numbers.below(3) as usize).unwrap();
                let model = Transformer::load(checkpoint(), threads).unwrap();
                assert_eq!(self.scored(&model), self.losses);
            }
            _ => self.refused(thread, numbers),
        }
        self.answered[kind].fetch_add(1, Ordering::Relaxed);
    }
}

/// Resources that the process holds.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    /// Resident memory in MiB.
    memory: u64,
    files: u64,
    threads: u64,
}

impl Held {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse().unwrap()
        };
        Self {
            memory: number("VmRSS:") >> 10,
            files: fs::read_dir("/proc/self/fd").unwrap().count() as u64,
            threads: number("Threads:"),
        }
    }

    /// The largest of each.
    fn most(all: &[Self]) -> Self {
        all.iter().fold(Self::default(), |most, held| Self {
            memory: most.memory.max(held.memory),
            files: most.files.max(held.files),
            threads: most.threads.max(held.threads),
        })
    }
}

fn soak(length: Duration) {
    let service = Service::new();
    let idle = Held::now();
    let start = Instant::now();
    let mut measured = Vec::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let service = &service;
            scope.spawn(move || {
                let mut numbers = Numbers(thread as u64);
                while start.elapsed() < length {
                    service.answer(thread, &mut numbers);
                }
            });
        }
        while start.elapsed() < length {
            thread::sleep(Duration::from_secs(1).min(length / 100));
            measured.push(Held::now());
        }
    });
    let answered = service.answered.iter().map(|n| n.load(Ordering::Relaxed));
    let answered: Vec<String> = KINDS
        .iter()
        .zip(answered)
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    // The first quarter fills caches and the allocator's free lists.
    let quarter = measured.len() / 4;
    let quarters: Vec<Held> = measured
        .chunks(quarter.max(1))
        .take(4)
        .map(Held::most)
        .collect();
    println!("{:.0?}: {}", start.elapsed(), answered.join(", "));
    println!("idle {idle:?}, most in each quarter {quarters:?}");
    fs::remove_dir_all(&service.folder).unwrap();
    let (early, late) = (quarters[1], quarters[3]);
    assert!(
        late.memory <= early.memory + early.memory / 20 + 16,
        "memory grows"
    );
    assert!(late.files <= early.files + 4, "files stay open");
    assert!(late.threads <= early.threads + 4, "threads stay");
    // Threads of a pool end after it was dropped.
    thread::sleep(Duration::from_secs(1));
    let after = Held::now();
    assert_eq!(after.files, idle.files, "files stay open");
    assert_eq!(after.threads, idle.threads, "threads stay");
}

#[test]
#[ignore = "two hours"]
fn a_service_of_eight_threads_stays_as_it_is() {
    let seconds = std::env::var("SOAK_SECONDS").map_or(7200, |s| s.parse().unwrap());
    soak(Duration::from_secs(seconds));
}

/// Too short to show a leak, long enough to show that the answers are equal and files are closed.
#[test]
fn eight_threads_at_once_give_the_answers_of_one() {
    let service = Service::new();
    let before = Held::now().files;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let service = &service;
            scope.spawn(move || {
                let mut numbers = Numbers(thread as u64);
                (0..4).for_each(|_| service.answer(thread, &mut numbers));
            });
        }
    });
    assert_eq!(Held::now().files, before);
    fs::remove_dir_all(&service.folder).unwrap();
}
