//! Released ladders from a folder of downloads to the report: checkpoints of the committed ladder
//! stand in under the names and in the layouts that downloads have.

#[path = "../common/mod.rs"]
mod common;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::folder::Folder;
use relscale::evaluate::Settings;
use relscale::fit::{Analysis, Design, Options};
use relscale::isoflop::Recipe;
use relscale::ladder::{FlopConvention, Ladder, RunTable};
use relscale::model::Config;
use relscale_cli::engine::Engine;
use relscale_cli::ladder_study::LadderStudy;
use relscale_cli::released::run_table;
use safetensors::SafeTensors;

mod case_studies;
mod refused;

fn suite(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../suite")
        .join(path)
}

/// Checkpoints of the committed ladder by budget, each budget by size.
fn stand_ins() -> Vec<Vec<PathBuf>> {
    let table = RunTable::from_csv(suite("ladder.csv")).unwrap();
    let mut budgets: Vec<(f64, Vec<PathBuf>)> = Vec::new();
    for trained in table.runs {
        match budgets.iter_mut().find(|b| b.0 == trained.run.budget) {
            Some(budget) => budget.1.push(trained.checkpoint),
            None => budgets.push((trained.run.budget, vec![trained.checkpoint])),
        }
    }
    budgets.into_iter().map(|b| b.1).collect()
}

fn stand_in(budget: &str, size: &str) -> PathBuf {
    let start = format!("isoflop-{budget}-{size}-");
    let mut found = fs::read_dir(suite("checkpoints/balanced"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(&start)
        });
    found.next().unwrap()
}

/// As `hf download NAME --local-dir TO` leaves it.
fn local(from: &Path, to: &Path) {
    fs::create_dir_all(to.join(".cache/huggingface/download")).unwrap();
    fs::write(to.join("README.md"), "a model").unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The same with the weights in two shards.
fn sharded(from: &Path, to: &Path) {
    local(from, to);
    let bytes = fs::read(from.join("model.safetensors")).unwrap();
    fs::remove_file(to.join("model.safetensors")).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let second = tensors.split_off(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (number, part) in [(1, tensors), (2, second)] {
        let file = format!("model-0000{number}-of-00002.safetensors");
        for (name, _) in &part {
            map.insert(name.clone(), file.as_str().into());
        }
        safetensors::serialize_to_file(part, None::<HashMap<_, _>>, &to.join(file)).unwrap();
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    fs::write(to.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

/// As the cache of the hub has a revision: files as links to blobs, the commit in `refs`.
fn cached(from: &Path, cache: &Path, repository: &str, revision: &str, commit: u64) {
    let commit = format!("{commit:040x}");
    let repository = cache.join(format!("models--{}", repository.replace('/', "--")));
    let snapshot = repository.join("snapshots").join(&commit);
    for folder in ["blobs", "refs/refs/pr"] {
        fs::create_dir_all(repository.join(folder)).unwrap();
    }
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(cache.join(".locks")).unwrap();
    fs::write(repository.join("refs").join(revision), &commit).unwrap();
    for (number, entry) in fs::read_dir(from).unwrap().enumerate() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        // Named by their contents there.
        let blob = format!("{number:02x}{commit}");
        fs::copy(&path, repository.join("blobs").join(&blob)).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(format!("../../blobs/{blob}"), snapshot.join(name)).unwrap();
        #[cfg(not(unix))]
        fs::copy(&path, snapshot.join(name)).unwrap();
    }
}

/// Documents of a text.
const DOCUMENTS: usize = 5;

/// Three texts in the forms that a folder may have them, and one to pick sizes by.
fn texts(to: &Path) {
    let read = |name: &str| -> Vec<String> {
        let file = fs::read_to_string(suite(&format!("texts/{name}.jsonl"))).unwrap();
        let lines = file.lines().take(DOCUMENTS).map(|line| {
            let item: serde_json::Value = serde_json::from_str(line).unwrap();
            item["text"].as_str().unwrap().chars().take(120).collect()
        });
        lines.collect()
    };
    for name in ["english-help", "aggregate", "python-code"] {
        let lines = read(name)
            .into_iter()
            .map(|t| serde_json::json!({"text": t}).to_string());
        let lines: Vec<String> = lines.collect();
        fs::write(to.join(format!("{name}.jsonl")), lines.join("\n")).unwrap();
    }
    fs::create_dir(to.join("german-help")).unwrap();
    for (number, text) in read("german-help").iter().enumerate() {
        fs::write(to.join("german-help").join(format!("{number}.txt")), text).unwrap();
    }
}

fn study(checkpoints: &Path, texts: &Path, out: &Path) -> LadderStudy {
    LadderStudy {
        table: run_table(checkpoints).unwrap(),
        name: checkpoints.display().to_string(),
        texts: texts.to_owned(),
        options: {
            let mut options = Options::new("english-help");
            options.aggregate = Some("aggregate".to_owned());
            options
        },
        out: out.to_owned(),
        special_tokens: false,
        settings: Settings::default(),
        engine: Engine::default(),
    }
}

fn analysis(out: &Path) -> Analysis {
    serde_json::from_slice(&fs::read(out.join("analysis.json")).unwrap()).unwrap()
}

#[test]
fn an_isoflop_suite_goes_from_downloads_to_the_report() {
    let (models, documents, out) = (Folder::new(), Folder::new(), Folder::new());
    texts(documents.path());
    // Stand-ins of every budget under evenly spaced configurations of the suite.
    let planned = Recipe::relative_scaling_laws().runs().unwrap();
    let mut names = Vec::new();
    for (budget, checkpoints) in [3e18, 6e18, 1e19, 3e19, 6e19].into_iter().zip(stand_ins()) {
        let of: Vec<_> = planned.iter().filter(|p| p.budget == budget).collect();
        for (k, checkpoint) in checkpoints.iter().enumerate() {
            let plan = of[k * (of.len() - 1) / (checkpoints.len() - 1)];
            let (h, l, b) = (plan.hidden, plan.layers, plan.batch);
            let budget = format!("{budget:e}").replace('e', "ep");
            let commit = names.len() as u64 + 0xabc_0000;
            let name = format!(
                "isoflop-{budget}-d{h}-L{l}-B{b}-nemo-wider-depth-adapt-{:06x}",
                commit % 0x100_0000
            );
            match names.len() % 4 {
                0 => local(checkpoint, &models.path().join(&name)),
                1 => sharded(checkpoint, &models.file("marin-community").join(&name)),
                2 => local(
                    checkpoint,
                    &models.path().join(name.replacen("ep", "e+", 1)),
                ),
                _ => cached(
                    checkpoint,
                    &models.file("hub"),
                    &format!("marin-community/{name}"),
                    "main",
                    commit,
                ),
            }
            names.push((name, plan));
        }
    }

    // A slash at the end is no part of a name.
    let dir = PathBuf::from(format!("{}/", models.path().display()));
    let table = run_table(&dir).unwrap();
    assert_eq!(
        (table.runs.len(), table.flop_convention),
        (33, FlopConvention::Training)
    );
    for (name, plan) in &names {
        let trained = table
            .runs
            .iter()
            .find(|t| t.run.id.replacen("e+", "ep", 1) == *name);
        let run = &trained.unwrap().run;
        assert_eq!((run.corpus.as_str(), run.budget), ("nemo", plan.budget));
        assert_eq!(
            (run.flops, run.tokens),
            (plan.training_flops, plan.tokens as f64)
        );
        assert_eq!((run.params, &run.trajectory), (plan.params as f64, &None));
    }

    let mut study = study(&dir, documents.path(), out.path());
    let (first, scored) = study.run().unwrap();
    let listed = fs::read_to_string(out.file("runs.csv")).unwrap();
    assert_eq!(listed.lines().count(), 34);
    assert_eq!(scored, 33 * 4 * DOCUMENTS);
    let text = first.details();
    assert!(text.contains("Corpus nemo: isoflop, 33 runs"), "{text}");
    assert_eq!(first.laws.len(), analysis(out.path()).laws.len());
    assert_eq!(first.flop_convention, FlopConvention::Training);
    let treatments: Vec<&str> = first.laws.iter().map(|l| l.treatment.as_str()).collect();
    assert_eq!(treatments, ["german-help", "python-code"]);
    for file in [
        "ratios-nemo.svg",
        "forest-nemo.svg",
        "profiles-nemo.svg",
        "ratio-nemo-german-help.svg",
    ] {
        let picture = fs::read_to_string(out.file("pictures").join(file)).unwrap();
        assert!(
            picture.starts_with("<svg") && picture.len() > 2000,
            "{file}"
        );
    }
    // What a data frame reads is what was fitted.
    let scores = fs::File::open(out.file("scores.csv")).unwrap();
    let ladder = Ladder::from_csv(scores, "scores.csv").unwrap();
    assert_eq!((ladder.runs().len(), ladder.scores().len()), (33, 4));

    // The table that was written may be edited and passed back; what has a log is not scored again.
    let edited: Vec<&str> = listed
        .lines()
        .filter(|line| !line.contains(",6e19,"))
        .collect();
    assert_eq!(edited.len(), 27);
    let file = out.file("edited.csv");
    fs::write(&file, edited.join("\n")).unwrap();
    study.table = RunTable::from_csv(&file).unwrap();
    let (_, scored) = study.run().unwrap();
    assert_eq!((scored, analysis(out.path()).corpora[0].runs), (0, 26));
    // Two of the logs are gone: the rest is not scored again either.
    let run_id = &table.runs[0].run.id;
    for text in ["aggregate", "german-help"] {
        fs::remove_file(out.path().join(format!("logs/{run_id}/{text}.jsonl"))).unwrap();
    }
    assert_eq!(study.run().unwrap().1, 2 * DOCUMENTS);

    // Scores of texts that are read otherwise do not mix with those in the logs.
    study.special_tokens = true;
    let error = study.run().unwrap_err().to_string();
    assert!(error.contains("special_tokens_parsed"), "{error}");

    study.options.baseline = "english".to_owned();
    let error = study.run().unwrap_err().to_string();
    assert!(
        error.contains("has no `english`; it has aggregate, english-help"),
        "{error}"
    );
}

#[test]
fn checkpoints_along_pythias_runs_are_a_grid() {
    let (models, documents, out) = (Folder::new(), Folder::new(), Folder::new());
    texts(documents.path());
    let sizes = [
        ("70m", "d24"),
        ("160m", "d28"),
        ("410m", "d32"),
        ("1b", "d36"),
    ];
    let steps = [
        ("3.6ep11", "step1000"),
        ("6ep11", "step3000"),
        ("1.8ep12", "main"),
    ];
    for (k, (name, size)) in sizes.into_iter().enumerate() {
        for (j, (budget, step)) in steps.into_iter().enumerate() {
            let from = stand_in(budget, size);
            let name = format!("pythia-{name}-deduped");
            match (k, step) {
                // The last one where its earlier ones are folders of it.
                (0, "main") => local(&from, &models.path().join(&name)),
                (0, _) => local(&from, &models.path().join(&name).join(step)),
                (1, "main") => local(&from, &models.path().join(format!("{name}-step143000"))),
                (1, _) => local(&from, &models.path().join(format!("{name}-{step}"))),
                (2, _) => sharded(&from, &models.path().join(&name).join(step)),
                _ => cached(
                    &from,
                    models.path(),
                    &format!("EleutherAI/{name}"),
                    step,
                    j as u64,
                ),
            }
        }
    }
    let table = run_table(models.path()).unwrap();
    assert_eq!(
        (table.runs.len(), table.flop_convention),
        (12, FlopConvention::SixNd)
    );
    for (k, (name, size)) in sizes.into_iter().enumerate() {
        let model = format!("pythia-{name}-deduped");
        for step in [1000.0, 3000.0, 143_000.0] {
            let id = format!("{model}-step{step}");
            let found = table.runs.iter().find(|t| t.run.id == id);
            let run = &found.unwrap_or_else(|| panic!("no {id}: {table:?}")).run;
            assert_eq!(run.corpus, "pythia-deduped");
            assert_eq!(run.trajectory.as_deref(), Some(model.as_str()));
            assert_eq!(run.tokens, step * 2_097_152.0);
            // Those of the stand-in, as its config.json is what is there.
            let config = Config::load(stand_in("1.8ep12", size)).unwrap();
            assert_eq!(run.params, config.parameters() as f64, "{k}");
            assert_eq!(run.flops, 6.0 * run.params * run.tokens);
        }
    }
    // One model is a folder, too.
    assert_eq!(
        run_table(models.file("pythia-70m-deduped"))
            .unwrap()
            .runs
            .len(),
        3
    );

    let (found, scored) = study(models.path(), documents.path(), out.path())
        .run()
        .unwrap();
    let text = found.details();
    assert_eq!(scored, 12 * 4 * DOCUMENTS);
    assert!(
        text.contains("Corpus pythia-deduped: grid, 12 runs"),
        "{text}"
    );
    let analysis = analysis(out.path());
    assert!(analysis.laws.iter().all(|l| l.design == Design::Grid));
    assert_eq!(analysis.laws.len(), 2);
    assert!(out.file("pictures/ratios-pythia-deduped.svg").exists());
}

#[test]
fn olmo_and_cerebras_are_read_from_their_names_too() {
    let models = Folder::new();
    let from = stand_in("1.8ep11", "d16");
    for (model, revision) in [
        ("OLMo-2-0425-1B", "stage1-step140000-tokens294B"),
        ("OLMo-2-1124-7B", "stage1-step2150-tokens10B"),
    ] {
        local(&from, &models.path().join(model).join(revision));
    }
    let name = "OLMo-2-0425-1B-stage1-step10000-tokens21B";
    local(&from, &models.file("more").join(name));
    cached(
        &from,
        models.path(),
        "cerebras/Cerebras-GPT-111M",
        "main",
        7,
    );
    local(&from, &models.file("Cerebras-GPT-256M"));
    let table = run_table(models.path()).unwrap();
    let runs: Vec<(&str, &str, f64, Option<&str>)> = table
        .runs
        .iter()
        .map(|t| {
            let run = &t.run;
            (
                run.id.as_str(),
                run.corpus.as_str(),
                run.tokens,
                run.trajectory.as_deref(),
            )
        })
        .collect();
    let params = Config::load(&from).unwrap().parameters() as f64;
    let olmo = Some("OLMo-2-0425-1B");
    assert_eq!(
        runs,
        [
            ("Cerebras-GPT-111M", "cerebras-gpt", 20.0 * params, None),
            ("Cerebras-GPT-256M", "cerebras-gpt", 20.0 * params, None),
            (
                "OLMo-2-1124-7B-stage1-step2150-tokens10B",
                "olmo-2",
                9_017_753_600.0,
                None
            ),
            (name, "olmo-2", 20_971_520_000.0, olmo),
            (
                "OLMo-2-0425-1B-stage1-step140000-tokens294B",
                "olmo-2",
                293_601_280_000.0,
                olmo
            ),
        ]
    );
}
