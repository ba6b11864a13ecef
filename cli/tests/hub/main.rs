//! Downloads from a hub, against a local server that speaks its routes.

#[path = "../common/mod.rs"]
mod common;
mod ladders;
mod server;
mod transfers;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::copy;
use server::{Hub, Seen, sha256};

/// A hub with one checkpoint, `org/name@v1`, and a home for its cache, which is removed at the end.
struct Place {
    folder: PathBuf,
    hub: Hub,
    source: PathBuf,
    commit: String,
}

const ADDRESS: &str = "hf://org/name@v1";

fn suite(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../suite")
        .join(path)
}

impl Place {
    fn new(name: &str) -> Self {
        let name = format!("relscale-hub-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::remove_dir_all(&folder).ok();
        let source = folder.join("source");
        copy(
            &suite("checkpoints/balanced/isoflop-1.8ep11-d32-L2-B2-balanced"),
            &source,
        );
        // Files that no reader of checkpoints needs.
        fs::write(source.join("README.md"), "a model").unwrap();
        fs::write(source.join("pytorch_model.bin"), vec![1; 10_000]).unwrap();
        let hub = Hub::start();
        let commit = hub.add("org/name", "v1", &source);
        Self {
            folder,
            hub,
            source,
            commit,
        }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relscale"));
        // The settings of whoever runs the tests do not count.
        for (name, _) in std::env::vars() {
            let is_proxy = name.to_lowercase().ends_with("_proxy");
            if name.starts_with("HF_") || is_proxy || name == "SSL_CERT_FILE" {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .env("HF_HOME", self.folder.join("home"))
            .env("HF_ENDPOINT", &self.hub.endpoint)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        out(self.command(arguments).output().unwrap())
    }

    #[track_caller]
    fn refused(&self, command: &mut Command, parts: &[&str]) {
        let output = command.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{message}");
        for part in parts {
            assert!(message.contains(part), "no {part:?} in {message}");
        }
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("home/hub/models--org--name")
    }

    fn snapshot(&self) -> PathBuf {
        self.repository().join("snapshots").join(&self.commit)
    }

    fn weights(&self) -> Vec<u8> {
        fs::read(self.source.join("model.safetensors")).unwrap()
    }

    /// The file of a download that is not whole.
    fn part(&self) -> PathBuf {
        let name = format!("{}.incomplete", sha256(&self.weights()));
        self.repository().join("blobs").join(name)
    }

    #[track_caller]
    fn assert_is_whole(&self) {
        let names = |folder: &Path| {
            let entries = fs::read_dir(folder)
                .unwrap()
                .map(|e| e.unwrap().file_name());
            let mut names: Vec<_> = entries.map(|n| n.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let mut wanted = names(&self.source);
        wanted.retain(|name| name != "README.md" && name != "pytorch_model.bin");
        assert_eq!(names(&self.snapshot()), wanted);
        for name in wanted {
            let [there, here] =
                [&self.snapshot(), &self.source].map(|f| fs::read(f.join(&name)).unwrap());
            assert!(there == here, "{name}");
        }
        assert!(!self.part().exists());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

#[track_caller]
fn out(output: Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{message}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a pipe, which holds up whoever opens it.
#[cfg(unix)]
fn pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// Requests for the contents of files.
fn transfers(seen: &[Seen]) -> Vec<&Seen> {
    let is_file = |s: &&Seen| s.method == "GET" && !s.path.starts_with("/api/");
    seen.iter().filter(is_file).collect()
}

#[test]
fn a_checkpoint_is_downloaded_once() {
    let place = Place::new("once");
    let folder = place.done(&["fetch", ADDRESS]);
    assert_eq!(folder.trim(), place.snapshot().to_str().unwrap());
    place.assert_is_whole();
    let reference = fs::read_to_string(place.repository().join("refs/v1")).unwrap();
    assert_eq!(reference, place.commit);
    let seen = place.hub.seen();
    assert!(
        seen.iter()
            .all(|s| !s.path.contains("README") && !s.path.contains("pytorch")),
        "{seen:?}"
    );

    // Nothing but the commit of the revision is asked for.
    assert_eq!(place.done(&["fetch", ADDRESS]), folder);
    let seen = place.hub.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");

    let offline = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("HF_HUB_OFFLINE", "1");
        command
    };
    assert_eq!(out(offline(&["fetch", ADDRESS]).output().unwrap()), folder);
    place.refused(
        &mut offline(&["fetch", "hf://org/other@v2"]),
        &[
            "hf://org/other@v2: ",
            "HF_HUB_OFFLINE is set",
            "hf download org/other --revision v2",
        ],
    );
    assert!(place.hub.seen().is_empty());

    // The cache of another home, by the variable of its own.
    let other = place.folder.join("other");
    let mut command = place.command(&["fetch", ADDRESS]);
    let there = out(command.env("HF_HUB_CACHE", &other).output().unwrap());
    assert!(there.starts_with(other.to_str().unwrap()), "{there}");
}

#[test]
fn one_gguf_file_of_several_is_named_in_the_address() {
    let place = Place::new("gguf");
    let folder = place.folder.join("models");
    fs::create_dir(&folder).unwrap();
    for name in ["a-q4.gguf", "a-q8.gguf"] {
        fs::write(folder.join(name), name).unwrap();
    }
    place.hub.add("org/many", "v1", &folder);
    place.refused(
        &mut place.command(&["fetch", "hf://org/many@v1"]),
        &[
            "several models: a-q4.gguf, a-q8.gguf",
            "hf://ORG/NAME@REVISION/FILE",
        ],
    );
    let file = place.done(&["fetch", "org/many@v1/a-q8.gguf"]);
    let file = Path::new(file.trim());
    assert_eq!(fs::read_to_string(file).unwrap(), "a-q8.gguf");
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    place.refused(
        &mut place.command(&["fetch", "hf://org/many@v1/b.gguf"]),
        &["has no b.gguf, but a-q4.gguf, a-q8.gguf"],
    );
}

#[test]
fn a_hub_that_does_not_answer_leaves_the_cache() {
    let place = Place::new("silent");
    let folder = place.done(&["fetch", ADDRESS]);
    place.hub.seen();
    // One busy answer is asked again, all of them are given up on.
    place.hub.behave(|b| b.busy = 1);
    place.done(&["fetch", ADDRESS]);
    assert_eq!(place.hub.seen().len(), 2);
    place.hub.behave(|b| b.busy = 1000);
    let output = place.command(&["fetch", ADDRESS]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("answers 503") && message.contains("; read from "),
        "{message}"
    );
    assert_eq!(out(output), folder);
    place.refused(
        &mut place.command(&["fetch", "hf://org/new"]),
        &["hf://org/new@main: ", "503"],
    );
}

#[test]
fn the_token_goes_to_the_hub_only() {
    let place = Place::new("token");
    place
        .hub
        .behave(|b| b.token = Some(("hf_secret".to_owned(), 401)));
    place.refused(
        &mut place.command(&["fetch", ADDRESS]),
        &[
            "hf://org/name@v1: ",
            "(401",
            "check the name",
            "set HF_TOKEN",
        ],
    );
    place
        .hub
        .behave(|b| b.token = Some(("hf_secret".to_owned(), 403)));
    place.refused(
        &mut place.command(&["fetch", ADDRESS]),
        &[
            "(403",
            "accept the conditions at ",
            "/org/name;",
            "set HF_TOKEN",
        ],
    );
    let with = |token: &str| {
        let mut command = place.command(&["fetch", ADDRESS]);
        command.env("HF_TOKEN", token);
        command
    };
    place.refused(
        &mut with("hf_other"),
        &["the token that was sent may not read it"],
    );
    let output = with("hf_\u{e9}").output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.contains("HF_TOKEN") && !message.contains("hf_\u{e9}"),
        "{message}"
    );

    place.hub.seen();
    out(with("hf_secret").output().unwrap());
    place.assert_is_whole();
    let seen = place.hub.seen();
    assert!(seen.iter().any(|s| s.at_storage));
    for request in seen {
        assert_eq!(request.token.is_none(), request.at_storage, "{request:?}");
    }
    // The file that `hf auth login` writes.
    fs::remove_dir_all(place.folder.join("home/hub")).unwrap();
    fs::write(place.folder.join("home/token"), "hf_secret\n").unwrap();
    place.done(&["fetch", ADDRESS]);
    place.assert_is_whole();
}

#[cfg(unix)]
#[test]
fn devices_and_pipes_are_refused_in_the_cache_and_in_the_environment() {
    let place = Place::new("devices");
    let waiting = place.folder.join("pipe");
    pipe(&waiting);
    let reference = place.repository().join("refs/v1");
    fs::create_dir_all(reference.parent().unwrap()).unwrap();
    let at_reference = format!("{}: is not a regular file", reference.display());
    for odd in ["/dev/zero", waiting.to_str().unwrap()] {
        for variable in ["HF_TOKEN_PATH", "SSL_CERT_FILE"] {
            let mut command = place.command(&["fetch", ADDRESS]);
            let wanted = format!("{odd}: is not a regular file");
            place.refused(command.env(variable, odd), &[&wanted]);
        }
        std::os::unix::fs::symlink(odd, &reference).unwrap();
        // It is read and written again with the hub, and read without it.
        place.refused(&mut place.command(&["fetch", ADDRESS]), &[&at_reference]);
        let mut offline = place.command(&["fetch", ADDRESS]);
        place.refused(offline.env("HF_HUB_OFFLINE", "1"), &[&at_reference]);
        fs::remove_file(&reference).unwrap();
    }
    // A file that is none of a token is not read to its end.
    let long = place.folder.join("long");
    fs::write(&long, vec![b'a'; (1 << 16) + 1]).unwrap();
    let mut command = place.command(&["fetch", ADDRESS]);
    place.refused(
        command.env("HF_TOKEN_PATH", &long),
        &["long: has more than 65536 bytes"],
    );
    // A missing file is no token, and a damaged reference is written again.
    fs::write(&reference, [0xff_u8; 8]).unwrap();
    let mut command = place.command(&["fetch", ADDRESS]);
    command.env("HF_TOKEN_PATH", place.folder.join("nowhere"));
    out(command.output().unwrap());
    assert_eq!(fs::read_to_string(&reference).unwrap(), place.commit);
    place.assert_is_whole();
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new("missing");
    let refused = |name: &str, parts: &[&str]| {
        place.refused(&mut place.command(&["fetch", name]), parts);
    };
    refused(
        "hf://org/nothing",
        &["hf://org/nothing@main: ", "no such model", "check the name"],
    );
    refused("org/name@v9", &["hf://org/name@v9: ", "no revision `v9`"]);
    refused(
        "phytia-160m",
        &["phytia-160m: ", "write hf://ORG/NAME@REVISION"],
    );
    refused("hf://a/../b", &["hf://a/../b: ", "not ORG/NAME"]);
    let file = |name: &str| (name.to_owned(), b"{}".to_vec());
    place.hub.add_files(
        "org/onnx",
        "main",
        [file("config.json"), file("model.onnx")].into(),
    );
    refused(
        "org/onnx",
        &["hf://org/onnx@main: ", "no weights that are read"],
    );
    let mut command = place.command(&["fetch", ADDRESS]);
    place.refused(
        command.env("HF_ENDPOINT", "hub"),
        &["HF_ENDPOINT", "`hub` is not the address"],
    );
}

#[test]
fn short_names_are_of_released_ladders() {
    let place = Place::new("short");
    place
        .hub
        .add("EleutherAI/pythia-160m", "step3000", &place.source);
    let folder = place.done(&["fetch", "pythia-160m@step3000"]);
    assert!(
        folder.contains("models--EleutherAI--pythia-160m"),
        "{folder}"
    );
    assert_eq!(
        place.hub.seen()[0].path,
        "/api/models/EleutherAI/pythia-160m/revision/step3000"
    );
}

#[test]
fn shards_are_those_of_the_index() {
    let place = Place::new("shards");
    let index = "{\"metadata\": {}, \"weight_map\": {\"a\": \"m-1.safetensors\", \"b\": \"m-2.safetensors\"}}";
    let mut files = [
        ("config.json", "{}"),
        ("model.safetensors.index.json", index),
        ("m-1.safetensors", "one"),
        ("m-2.safetensors", "two"),
        ("m-3.safetensors", "another model"),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .into_iter()
    .collect::<std::collections::BTreeMap<_, _>>();
    place.hub.add_files("org/shards", "main", files.clone());
    let folder = place.done(&["fetch", "org/shards"]);
    let has = |name: &str| Path::new(folder.trim()).join(name).exists();
    assert!(has("m-1.safetensors") && has("m-2.safetensors") && !has("m-3.safetensors"));
    let refused = |name: &str, parts: &[&str]| {
        place.refused(&mut place.command(&["fetch", name]), parts);
    };
    files.remove("m-2.safetensors");
    place.hub.add_files("org/lost", "main", files.clone());
    refused("org/lost", &["hf://org/lost@main: has no m-2.safetensors"]);
    let outside = index.replace("m-1", "../m-1").into_bytes();
    files.insert("model.safetensors.index.json".to_owned(), outside);
    place.hub.add_files("org/outside", "main", files);
    refused("org/outside", &["index.json", "names `../m-1.safetensors`"]);
}
