//! Folders that do not say how their checkpoints were trained.

use super::*;

#[test]
fn what_cannot_be_known_is_refused_by_path() {
    let from = stand_in("1.8ep11", "d16");
    let refused = |name: &str, make: &dyn Fn(&Path), expected: &[&str]| {
        let models = Folder::new();
        make(models.path());
        let error = run_table(models.path()).unwrap_err().to_string();
        for part in expected {
            assert!(error.contains(part), "{name}: no {part:?} in {error}");
        }
    };
    let nemo = "isoflop-1ep19-d2048-L21-B16-nemo-wider-depth-adapt-178bd6";
    let table = "a table of runs can say how it was trained";
    refused("empty", &|_| {}, &["no checkpoint is in it"]);
    refused(
        "unknown",
        &|dir| local(&from, &dir.join("my-model")),
        &[
            "my-model: `my-model` is not the name of a known release",
            table,
        ],
    );
    refused(
        "hollow",
        &|dir| fs::create_dir(dir.join(nemo)).unwrap(),
        &[nemo, "is named like a release, but no checkpoint is in it"],
    );
    let hollow_cache = |dir: &Path| {
        let repository = dir.join("models--EleutherAI--pythia-160m");
        fs::create_dir_all(repository.join("snapshots")).unwrap();
    };
    refused(
        "hollow-cache",
        &hollow_cache,
        &["models--EleutherAI--pythia-160m", "no checkpoint is in it"],
    );
    let twice = |dir: &Path| {
        local(&from, &dir.join("pythia-70m"));
        local(&from, &dir.join("pythia-70m-step143000"));
    };
    refused(
        "twice",
        &twice,
        &["`pythia-70m-step143000` is also in", "pythia-70m", table],
    );
    let mixed = |dir: &Path| {
        local(&from, &dir.join("pythia-70m"));
        local(&from, &dir.join(nemo));
    };
    refused(
        "mixed",
        &mixed,
        &["pythia-70m", "FLOPs of 6nd beside those of training"],
    );
    let experiments = |dir: &Path| {
        local(
            &from,
            &dir.join("isoflop-1ep19-d2048-L21-B16-comma-mix-0a1b2c"),
        );
        local(
            &from,
            &dir.join("isoflop-1ep19-d2048-L21-B16-comma-mix-feistel-0a1b2d"),
        );
    };
    refused(
        "experiments",
        &experiments,
        &["experiment `comma-mix-feistel` beside"],
    );
    let nameless = |dir: &Path| {
        cached(&from, dir, "EleutherAI/pythia-160m", "main", 9);
        let repository = dir.join("models--EleutherAI--pythia-160m");
        fs::remove_file(repository.join("refs/main")).unwrap();
    };
    refused(
        "nameless",
        &nameless,
        &["`pythia-160m` at `0000", "is not `stepN`"],
    );
    let shard = |dir: &Path| {
        sharded(&from, &dir.join(nemo));
        let lost = "model-00002-of-00002.safetensors";
        fs::remove_file(dir.join(nemo).join(lost)).unwrap();
    };
    refused("shard", &shard, &["model-00002-of-00002.safetensors"]);
    let pickle = |dir: &Path| {
        let to = dir.join("Cerebras-GPT-111M");
        local(&from, &to);
        fs::rename(to.join("model.safetensors"), to.join("pytorch_model.bin")).unwrap();
    };
    refused(
        "pickle",
        &pickle,
        &["Cerebras-GPT-111M", "no file of torch.save"],
    );
    let deep = |dir: &Path| local(&from, &dir.join("a/b/c/d/e/f/g/h").join(nemo));
    refused("deep", &deep, &["is more than 6 folders down"]);
    assert!(
        run_table("/nowhere")
            .unwrap_err()
            .to_string()
            .contains("/nowhere")
    );
}
