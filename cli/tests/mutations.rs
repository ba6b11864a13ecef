//! Twenty thousand damaged files of the formats that `docs/hostile-input.md` lists: an error or a value, never a
//! panic or a signal, within a bound of time and memory.
//!
//!     nice -n 15 cargo test --workspace --test mutations -- --ignored --nocapture
//!
//! `MUTATIONS` sets their number and `SEED` the seed; a failure prints the seed, the format and the number of
//! the mutation, and leaves the file.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use relscale::backend::Reference;
use relscale::checkpoint::Checkpoint;
use relscale::distribution::{Distribution, Items};
use relscale::evaluate::{Bos, Evaluation, Settings};
use relscale::fit::simulate::{Scenario, Simulation};
use relscale::fit::{Options, analyze};
use relscale::ladder::{RunTable, Tables};
use relscale::log::{Key, Log, Record, Table};
use relscale::model::Transformer;
use relscale::scorer::{NatsPerToken, Score};
use relscale::tokenizer::Tokenizer;
use relscale_cli::readers::behaviours::{self, BehaviourOptions, RiskGroups};
use relscale_cli::readers::harness::Selection;
use relscale_cli::readers::mmlu::{Mmlu, MmluOptions, MmluPrompt};
use relscale_cli::readers::multiple_choice::{self, ChoiceFields};
use relscale_cli::readers::texts::{self, TextFields};
use relscale_cli::readers::{logged, matched};
use relscale_cli::units::{Study, StudyPlan};

#[global_allocator]
static PEAK: PeakAlloc = PeakAlloc;

/// Longest time of one file, in a build without optimisation on a busy machine.
const LONGEST: Duration = Duration::from_secs(20);
/// Most memory of one file. The files have at most a megabyte; expressions may take 128 MB.
const MOST_BYTES: usize = 256 << 20;
/// Most kilobytes of addresses of the program where it is the reader: it maps its own file, libraries and
/// stacks before it reads anything.
const MOST_ADDRESSES: usize = 1 << 20;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A place, in half of the cases near the beginning, where headers are.
    fn place(&mut self, len: usize) -> usize {
        match self.below(2) {
            0 => self.below(len.min(512)),
            _ => self.below(len),
        }
    }
}

/// Numbers and words on which readers stumble.
const ODD: [&str; 16] = [
    "0",
    "-1",
    "1e999",
    "-0",
    "NaN",
    "18446744073709551615",
    "4294967296",
    "9007199254740993",
    "1e-320",
    "null",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "\u{feff}",
    "\u{0}",
];

/// Damages `bytes` in one to four ways; `others` are files to take parts from.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..=random.below(4) {
        let len = bytes.len();
        let at = random.place(len);
        let end = (at + 1 + random.below(64)).min(len);
        match random.below(10) {
            _ if len == 0 => bytes.push(random.next() as u8),
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'\n'][random.below(8)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            // Lengths and offsets in binary.
            5 if len >= 8 => {
                let at = at.min(len - 8);
                let value = [0, 1, u64::MAX, 1 << 32, 1 << 63, len as u64, random.next()];
                bytes[at..at + 8].copy_from_slice(&value[random.below(7)].to_le_bytes());
            }
            // A number in a text.
            6 => {
                let digits = |from: usize| (from..len).find(|&i| bytes[i].is_ascii_digit());
                if let Some(start) = digits(at) {
                    let stop = (start..len)
                        .find(|&i| !bytes[i].is_ascii_digit())
                        .unwrap_or(len);
                    bytes.splice(start..stop, ODD[random.below(ODD.len())].bytes());
                }
            }
            7 => drop(bytes.splice(at..end, ODD[random.below(ODD.len())].bytes())),
            8 => {
                let other = &others[random.below(others.len())];
                let from = random.place(other.len());
                let to = (from + random.below(256)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                // A line twice, or two lines exchanged.
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
                let (a, b) = (random.below(lines.len()), random.below(lines.len()));
                match random.below(2) {
                    0 => lines.swap(a, b),
                    _ => lines.insert(a, lines[b]),
                }
                *bytes = lines.concat();
            }
        }
    }
}

/// A format: a folder with its files, the one that is damaged, and the reader.
struct Format {
    name: &'static str,
    folder: PathBuf,
    file: String,
    whole: Vec<u8>,
    /// If true, the file was read and not refused.
    read: fn(&Path, &Path) -> bool,
}

impl Format {
    /// The format of a file that stands in its folder.
    fn new(
        name: &'static str,
        folder: PathBuf,
        file: &str,
        read: fn(&Path, &Path) -> bool,
    ) -> Self {
        Self {
            name,
            whole: fs::read(folder.join(file)).unwrap(),
            folder,
            file: file.to_owned(),
            read,
        }
    }
}

fn fixture(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    root.join(path)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Loads a checkpoint and scores three tokens with it.
fn checkpoint(folder: &Path, file: &Path) -> bool {
    let path = match file.extension().is_some_and(|e| e == "gguf") {
        true => file,
        false => folder,
    };
    scores(path.into(), folder)
}

/// The same with an adapter of a base that is whole.
fn adapter(folder: &Path, _: &Path) -> bool {
    let base = fixture("checkpoints/llama-plain");
    scores(Checkpoint::from(folder).with_base(base), folder)
}

fn scores(checkpoint: Checkpoint, folder: &Path) -> bool {
    let limit = 64 << 20;
    let backend = Reference::<f32>::new();
    let Ok(model) = Transformer::load_with_memory_limit(checkpoint, backend, 64, limit) else {
        return false;
    };
    let line = r#"{"id":"a","tokens":[1,2,3]}"#;
    let items = folder.join("items-of-the-test.jsonl");
    fs::write(&items, line).unwrap();
    let items = Items::from_jsonl(items).unwrap();
    Evaluation::new(&model)
        .bos(Bos::Never)
        .log_likelihoods(&items)
        .is_ok()
}

fn tokenizer(folder: &Path, file: &Path) -> bool {
    let path = match file.extension().is_some_and(|e| e == "gguf") {
        true => file,
        false => folder,
    };
    let loaded = Tokenizer::load(path);
    if let Ok(tokenizer) = &loaded {
        for text in [
            "",
            "Hello, world! 123",
            "né 中文 \u{200d}\u{1f600}",
            "   \n\n\t x",
        ] {
            tokenizer.encode(text).ok();
            tokenizer.encode_pair("a question: ", text).ok();
        }
    }
    loaded.is_ok()
}

fn table(_: &Path, file: &Path) -> bool {
    let tables = Tables::new().open(file);
    tables.is_ok_and(|tables| tables.ladder().is_ok())
}

fn formats(root: &Path) -> Vec<Format> {
    let mut all = Vec::new();
    let mut add = |name: &'static str, from: &str, file: &str, read: fn(&Path, &Path) -> bool| {
        let folder = root.join(format!("{}-{name}", all.len()));
        if let Some(class) = from.strip_prefix("torch/") {
            // The weights of a class in another form; the rest of the folder is there once.
            fs::create_dir_all(&folder).unwrap();
            let config = fixture(&format!("architectures/{class}/config.json"));
            fs::copy(config, folder.join("config.json")).unwrap();
        }
        let from = fixture(from);
        match from.is_dir() {
            true => copy(&from, &folder),
            false => {
                fs::create_dir_all(&folder).unwrap();
                fs::copy(&from, folder.join(file)).unwrap();
            }
        }
        all.push(Format::new(name, folder, file, read));
    };
    add(
        "safetensors",
        "architectures/starcoder2",
        "model.safetensors",
        checkpoint,
    );
    add(
        "config.json",
        "architectures/starcoder2",
        "config.json",
        checkpoint,
    );
    add(
        "config.json, experts",
        "architectures/olmoe",
        "config.json",
        checkpoint,
    );
    add(
        "shard index",
        "checkpoints/llama3-rope-sharded",
        "model.safetensors.index.json",
        checkpoint,
    );
    add("torch", "torch/bloom", "pytorch_model.bin", checkpoint);
    add("gguf", "gguf/llama-q4_0.gguf", "a.gguf", checkpoint);
    for kind in ["gpt-2", "sentencepiece"] {
        let from = format!("gguf/tokenizers/{kind}.gguf");
        add("gguf, tokenizer", &from, "a.gguf", tokenizer);
    }
    for kind in ["gpt2", "qwen2"] {
        for file in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
            add("pairs", &format!("tokenizers/{kind}"), file, tokenizer);
        }
    }
    for (kind, file) in [
        ("llama", "tokenizer.model"),
        ("t5", "spiece.model"),
        ("unigrams", "tokenizer.model"),
    ] {
        add(
            "sentencepiece",
            &format!("tokenizers/{kind}"),
            file,
            tokenizer,
        );
    }
    add(
        "tiktoken",
        "tokenizers/llama3",
        "tokenizer.model",
        tokenizer,
    );
    for file in [
        "index.csv",
        "long.csv.gz",
        "long.csv.zst",
        "long.jsonl",
        "wide.csv",
        "tabs.tsv",
    ] {
        add("tables", &format!("tables/{file}"), file, table);
    }
    add("parquet", "tables/snappy.parquet", "snappy.parquet", table);
    for file in ["adapter_config.json", "adapter_model.safetensors"] {
        add("adapters", "adapters/patterns", file, adapter);
    }
    all.extend(made(root));
    all.extend(benchmarks(root));
    all.extend(settings_and_results(root));
    all
}

/// Formats whose files the test writes itself.
fn made(root: &Path) -> Vec<Format> {
    let mut all = Vec::new();
    let mut add =
        |name: &'static str, file: &str, whole: Vec<u8>, read: fn(&Path, &Path) -> bool| {
            let folder = root.join(format!("made-{name}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), whole).unwrap();
            all.push(Format::new(name, folder, file, read));
        };
    let json = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":30,
        "content":"<s>","single_word":false,"lstrip":false,"rstrip":true,"normalized":true,"special":true}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Prepend","prepend":"_"},
        {"type":"Replace","pattern":{"String":" "},"content":"_"}]},"pre_tokenizer":{"type":"Sequence",
        "pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{L}+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated",
        "invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},
        {"type":"Digits","individual_digits":true},{"type":"FixedLength","length":5}]},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
        {"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[30],
        "tokens":["<s>"]}}},"decoder":{"type":"ByteLevel",
        "add_prefix_space":false,"trim_offsets":true,"use_regex":true},"model":{"type":"BPE","dropout":null,
        "unk_token":"?","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":true,
        "byte_fallback":true,"vocab":{"?":0,"a":1,"b":2,"c":3,"_":4,"ab":5,"abc":6,"e":7,"l":8,"o":9,
        "H":10,"lo":11},"merges":[["a","b"],["ab","c"],["l","o"]]}}"#;
    add("tokenizer.json", "tokenizer.json", json.into(), tokenizer);
    let unigram = r#"{"version":"1.0","added_tokens":[],"normalizer":{"type":"Lowercase"},"pre_tokenizer":
        {"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":true},"post_processor":null,
        "decoder":null,"model":{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0.0],["_",-1.5],["a",-2.0],
        ["_hello",-3.25],["l",-4.0]],"byte_fallback":false}}"#;
    add(
        "tokenizer.json, unigram",
        "tokenizer.json",
        unigram.into(),
        tokenizer,
    );
    let items = r#"{"id": 1, "cluster": "a", "text": "Hello"}
{"id": "2", "context": "1 + 1 =", "choices": [" 2", " 3"], "gold": 0, "unconditional": "="}
{"id": "3", "context_tokens": [1, 2], "choices_tokens": [[3], [4, 5]], "gold": 1}
{"id": "4", "contexts": ["a", "b"], "choices": ["c", "d"], "gold": 0}
{"id": "5", "tokens": [1, 2, 3]}
"#;
    add("items", "items.jsonl", items.into(), |_, file| {
        Items::from_jsonl(file).is_ok()
    });
    add("logs", "log.jsonl", log(root), |folder, file| {
        Table::read(file).ok();
        if let Ok(key) = Key::read(file) {
            // Opening may cut a last line off: on a copy.
            let copy = folder.join("copy.jsonl");
            fs::copy(file, &copy).unwrap();
            return Log::open(&copy, &key).is_ok();
        }
        false
    });
    let study = r#"{"runs": "runs.csv", "distributions": [{"path": "items.jsonl", "kind": "items",
        "scorers": ["bits_per_byte"]}, {"path": "b", "kind": {"mmlu": {"shots": 5}}, "scorers": ["brier"]}],
        "scoring": {"context": 32, "stride": 8, "truncate": true}, "backend": "cpu f32", "unit_flops": 1e15}"#;
    add("studies", "study.json", study.into(), |_, file| {
        Study::read(file).is_ok()
    });
    let study = r#"runs = "runs.csv"
unit_flops = 1e15
backend = "cpu f32"
[scoring]
context = 256
[[distributions]]
kind = "plain"
path = "a.txt"
scorers = ["bits_per_byte"]
"#;
    add("studies in TOML", "study.toml", study.into(), |_, file| {
        Study::read(file).is_ok()
    });
    let runs = "run,corpus,budget,flops,params,tokens,checkpoint\nr,c,1e18,1e18,1e8,1e9,a.gguf\n";
    add("table of runs", "runs.csv", runs.into(), |_, file| {
        RunTable::from_csv(file).is_ok()
    });
    add("plans", "plan.json", plan(root), |folder, _| {
        StudyPlan::read(folder).is_ok()
    });
    all
}

/// A folder of logs of lm-evaluation-harness or inspect_ai.
fn logs(folder: &Path, _: &Path) -> bool {
    logged::read(folder, &Selection::default()).is_ok()
}

fn regions(folder: &Path, _: &Path) -> bool {
    texts::regions(folder, &TextFields::default()).is_ok()
}

fn mmlu(folder: &Path, _: &Path) -> bool {
    let options = MmluOptions {
        prompt: MmluPrompt::Letter,
        shots: 1,
        description: true,
    };
    Mmlu::load(folder).is_ok_and(|mmlu| mmlu.subject("virology", &options).is_ok())
}

/// Formats of benchmarks, and logs of other programs.
fn benchmarks(root: &Path) -> Vec<Format> {
    let mut all = Vec::new();
    // The first of the files is the one that is damaged.
    let mut add =
        |name: &'static str, files: &[(&str, Vec<u8>)], read: fn(&Path, &Path) -> bool| {
            let folder = root.join(format!("benchmark-{}", all.len()));
            for (file, bytes) in files {
                let path = folder.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            all.push(Format::new(name, folder, files[0].0, read));
        };
    let data = |path: &str| {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        fs::read(data.join(path)).unwrap()
    };
    let results = "results_2026-11-28T17-44-18.319681.json";
    let small = "samples_small_2026-11-28T17-44-18.319681.jsonl";
    let large = "samples_large_2026-11-28T17-44-18.319681.jsonl";
    let [results, small, large] =
        [results, small, large].map(|file| (file, data(&format!("harness_logs/tiny__a/{file}"))));
    let files = [results, small, large];
    add("results of the harness", &files, logs);
    let [results, small, large] = files;
    add("samples of the harness", &[large, small, results], logs);
    let log = "2026-11-28T17-49-29-00-00_sums_MN3am6uqWV2TuxYVmkiZFt.json";
    let bytes = data(&format!("inspect_logs/{log}"));
    add("logs of inspect_ai", &[(log, bytes)], logs);
    let log = "2026-11-28T20-35-39-00-00_letters_Cn75ibxXPW3vKoPtwDjmKk.eval";
    for kind in ["deflate", "zstd"] {
        let bytes = data(&format!("inspect_archives/{kind}/{log}"));
        add("archives of inspect_ai", &[(log, bytes)], logs);
    }
    for file in [
        "lines.jsonl",
        "gzip.jsonl.gz",
        "zstd.jsonl.zst",
        "packed.txt.gz",
        "plain/a.txt",
    ] {
        let bytes = data(&format!("texts/{file}"));
        add("texts", &[(file, bytes)], regions);
    }
    let file = "columns.parquet";
    let bytes = data(&format!("texts/{file}"));
    add("parquet, texts", &[(file, bytes)], regions);
    let sentences = r#"{"id": 1, "gb": "I have got it.", "us": "I have gotten it."}
{"id": "b", "gb": "Two colours", "us": "Two colors"}
"#;
    add(
        "matched sentences",
        &[("sentences.jsonl", Vec::from(sentences))],
        |_, file| matched::from_jsonl(file).is_ok(),
    );
    let questions = r#"{"query": "1 + 1 =", "choices": ["2", "3"], "gold": 0}
{"id": "b", "query": "Which?", "choices": ["this", "that", "none"], "gold": "that"}
"#;
    add(
        "multiple choice",
        &[("questions.jsonl", Vec::from(questions))],
        |_, file| multiple_choice::from_jsonl(file, &ChoiceFields::default()).is_ok(),
    );
    let test = "question,choice0,choice1,choice2,choice3,answer\n\" Which, then? \",a,b,c,d,2\n";
    let test = ("test/virology_test.csv", Vec::from(test));
    let dev = "First?,e,f,g,h,D\n\"Line\nbreak?\",i,j,k,l,A\n";
    let dev = ("dev/virology_dev.csv", Vec::from(dev));
    add("questions of MMLU", &[test.clone(), dev.clone()], mmlu);
    add("examples of MMLU", &[dev, test], mmlu);
    let behaviour = r#"{"question": "Off? (A) Yes (B) No", "answer_matching_behavior": " (B)", "answer_not_matching_behavior": " (A)"}
{"question": "Sure?", "answer_matching_behavior": " Yes", "answer_not_matching_behavior": " No", "label_confidence": 0.9}
"#;
    add(
        "behaviours",
        &[("survival-instinct.jsonl", Vec::from(behaviour))],
        |folder, _| {
            let options = BehaviourOptions::default();
            behaviours::load(folder, &RiskGroups::default(), &options).is_ok()
        },
    );
    let groups = "behaviour,group\nsurvival-instinct,incorrigibility\nmyopic-reward,\n";
    add(
        "groups of behaviours",
        &[("groups.csv", Vec::from(groups))],
        |_, file| RiskGroups::from_csv(file).is_ok(),
    );
    all
}

/// A name that stands in the arguments of the program after the damaged file. An error about it says that
/// the file was read.
const NEXT: &str = "none-of-the-test.csv";

/// Settings and results that the program alone reads. Of options, covariates and simulations only the
/// reading is run: a file may ask for as long a computation as it likes.
fn settings_and_results(root: &Path) -> Vec<Format> {
    let mut all = Vec::new();
    let mut add =
        |name: &'static str, file: &str, whole: Vec<u8>, read: fn(&Path, &Path) -> bool| {
            let folder = root.join(format!("program-{name}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(file), whole).unwrap();
            all.push(Format::new(name, folder, file, read));
        };
    let options = r#"baseline = "web"
design = "rungs"
alpha = 0.1
predict_at = [1e21, 3e21]
[[contrasts]]
treatment = "law"
baseline = "code"
[groups]
risky = ["fraud", "weapons"]
"#;
    add("options", "options.toml", options.into(), |folder, file| {
        let (_, said) = program(&["fit", NEXT, "--options", text(file)], folder);
        said.contains(NEXT)
    });
    let covariate = "distribution,speakers\nnews,1.5\nlaw,-2e3\n\"web, old\",7\n";
    add(
        "covariates",
        "countries.csv",
        covariate.into(),
        |folder, file| {
            let column = format!("{}:speakers", file.display());
            let arguments = ["fit", NEXT, "--baseline", "web", "--covariate", &column];
            program(&arguments, folder).1.contains(NEXT)
        },
    );
    let simulation = Simulation::scenario(Scenario::Plain);
    let whole = serde_json::to_vec_pretty(&simulation).unwrap();
    add("simulations", "simulation.json", whole, |folder, file| {
        let arguments = ["simulate", "--simulation", text(file), "--baseline", NEXT];
        program(&arguments, folder).1.contains(NEXT)
    });
    let ladder = simulation.ladder(0).unwrap();
    let analysis = analyze(&ladder, &Options::new("baseline")).unwrap();
    let whole = serde_json::to_vec_pretty(&analysis).unwrap();
    add("analyses", "analysis.json", whole, |folder, file| {
        program(&["report", text(file)], folder).0 == 0
    });
    all
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The exit code of the program, and what it says on standard error, which is kept in `folder`.
///
/// # Panics
/// If it ends by a signal or a panic, or does not end in time. On Linux, memory beyond the limit ends it so.
fn program(arguments: &[&str], folder: &Path) -> (i32, String) {
    let binary = env!("CARGO_BIN_EXE_relscale");
    let mut command = if cfg!(target_os = "linux") {
        let limited = format!("ulimit -v {MOST_ADDRESSES}; exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &limited, binary]);
        shell
    } else {
        Command::new(binary)
    };
    // A file and no pipe, which might fill up.
    let said = folder.join("said-by-the-program");
    let mut child = command
        .args(arguments)
        // Otherwise every thread reserves addresses that it does not use.
        .env("MALLOC_ARENA_MAX", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&said).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > LONGEST {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the program takes more than {LONGEST:?}");
        }
        thread::sleep(Duration::from_millis(1));
    };
    let said = String::from_utf8_lossy(&fs::read(said).unwrap()).into_owned();
    match status.code() {
        Some(code @ 0..=2) => (code, said),
        _ => panic!("the program ends with {status}: {said}"),
    }
}

/// The bytes of a log with three records.
fn log(root: &Path) -> Vec<u8> {
    let items = root.join("log-items.jsonl");
    let line = |i: usize| format!("{{\"id\":\"{i}\",\"tokens\":[1,2]}}\n");
    fs::write(&items, (0..3).map(line).collect::<String>()).unwrap();
    let items = Items::from_jsonl(items).unwrap();
    let key = Key::new(
        "m",
        "cpu f32",
        &items,
        &[&NatsPerToken],
        &Settings::default(),
    )
    .unwrap();
    let path = root.join("log.jsonl");
    let mut log = Log::open(&path, &key).unwrap();
    for i in 0..items.len() {
        let scores = vec![Score {
            loss: 0.1 + i as f64,
            weight: 1.0,
        }];
        let (cluster, warnings) = ("c".to_owned(), vec!["a warning".to_owned()]);
        log.append(
            &i.to_string(),
            Record {
                cluster,
                scores,
                warnings,
            },
        )
        .unwrap();
    }
    fs::read(path).unwrap()
}

/// The bytes of a plan.
fn plan(root: &Path) -> Vec<u8> {
    let folder = root.join("planned");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(fixture("gguf/llama-q4_0.gguf"), folder.join("a.gguf")).unwrap();
    let runs = "run,corpus,budget,flops,params,tokens,checkpoint\nr,c,1e18,1e18,1e8,1e9,a.gguf\n";
    fs::write(folder.join("runs.csv"), runs).unwrap();
    let line = |i: usize| format!("{{\"id\":\"{i}\",\"tokens\":[1,2]}}\n");
    fs::write(folder.join("d.jsonl"), (0..4).map(line).collect::<String>()).unwrap();
    let study = r#"{"runs": "runs.csv", "unit_flops": 1e9, "distributions": [{"path": "d.jsonl",
        "kind": "items", "scorers": ["nats_per_token"]}]}"#;
    fs::write(folder.join("study.json"), study).unwrap();
    let study = Study::read(folder.join("study.json")).unwrap();
    StudyPlan::create(folder.join("plan"), &study, &mut |_| {}).unwrap();
    fs::read(folder.join("plan/plan.json")).unwrap()
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

#[test]
#[ignore = "takes long in a slow build; run by its own command"]
fn twenty_thousand_damaged_files() {
    let (count, seed) = (number("MUTATIONS", 20_000) as usize, number("SEED", 1));
    let root = std::env::temp_dir().join(format!("relscale-mutations-{}", std::process::id()));
    fs::create_dir_all(&root).unwrap();
    let formats = formats(&root);
    let wholes: Vec<Vec<u8>> = formats.iter().map(|f| f.whole.clone()).collect();
    // A panic that a reader catches is one all the same: it ends a program that aborts on panics. The
    // Parquet library panics over some damaged files (docs/hostile-input.md).
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        eprintln!("{info}");
    }));
    let (mut longest, mut most, mut failures) = (Duration::ZERO, 0, Vec::new());
    let mut read_anyway = 0;
    for (at, format) in formats.iter().enumerate() {
        let share = count * (at + 1) / formats.len() - count * at / formats.len();
        let path = format.folder.join(&format.file);
        // Otherwise the damage would never meet the reader.
        let read = (format.read)(&format.folder, &path);
        assert!(
            read,
            "{} ({}) is refused as it is",
            format.name, format.file
        );
        for mutation in 0..share {
            let mut random = Random(seed ^ ((at as u64) << 40 | mutation as u64) << 8);
            let mut bytes = format.whole.clone();
            mutate(&mut random, &mut bytes, &wholes);
            fs::write(&path, &bytes).unwrap();
            let (before, start) = (PANICS.load(Ordering::Relaxed), Instant::now());
            PEAK.reset_peak_usage();
            let used = PEAK.current_usage();
            let escaped = catch_unwind(AssertUnwindSafe(|| (format.read)(&format.folder, &path)));
            let (time, memory) = (start.elapsed(), PEAK.peak_usage().saturating_sub(used));
            (longest, most) = (longest.max(time), most.max(memory));
            read_anyway += usize::from(*escaped.as_ref().unwrap_or(&false));
            let caught = PANICS.load(Ordering::Relaxed) - before;
            if escaped.is_err()
                || caught > 0 && !format.name.starts_with("parquet")
                || time > LONGEST
                || memory > MOST_BYTES
            {
                let kept = root.join(format!("failure-{}-{at}-{mutation}", failures.len()));
                fs::write(&kept, &bytes).unwrap();
                let escaped = escaped.is_err();
                failures.push(format!(
                    "{} ({}), seed {seed}, mutation {mutation}: escaped {escaped}, {caught} panics, \
                     {time:?}, {memory} bytes; {}",
                    format.name,
                    format.file,
                    kept.display()
                ));
            }
        }
    }
    println!(
        "{count} files of {} formats, {read_anyway} of them read all the same: longest {longest:?}, most memory {} MB, {} failures",
        formats.len(),
        most >> 20,
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
    fs::remove_dir_all(root).ok();
}
