//! A hub for tests: the routes by which checkpoints are downloaded, and the storage behind them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The place to which the hub redirects for a file in storage.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Storage {
    /// A path of the same host.
    Relative,
    /// Another host.
    Absolute,
}

/// The behaviour of the hub, which tests change at any time.
pub(crate) struct Behaviour {
    pub(crate) storage: Storage,
    /// Answers of the storage that end after so many bytes of the body, and how many more do so.
    pub(crate) cut: (usize, usize),
    /// If false, `Range` is ignored.
    pub(crate) ranges: bool,
    /// The token without which nothing is given, and the code of the refusal.
    pub(crate) token: Option<(String, u16)>,
    /// File whose hash is announced wrongly.
    pub(crate) wrong: Option<String>,
    /// Pause before each 4 kB of a body.
    pub(crate) slow: Duration,
    /// Number of requests that are answered 503.
    pub(crate) busy: usize,
    /// Old name and new name of a repository.
    pub(crate) renamed: Option<(String, String)>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
    /// True for the host of the storage.
    pub(crate) at_storage: bool,
}

type Files = BTreeMap<String, Vec<u8>>;

#[derive(Default)]
struct State {
    /// Files by repository and revision, and by repository and commit.
    revisions: BTreeMap<(String, String), (String, Files)>,
    /// Files in storage by their hash.
    storage: BTreeMap<String, Vec<u8>>,
    seen: Vec<Seen>,
}

/// A running hub with a storage on another port, which counts as another host.
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().map(|b| format!("{b:02x}")).collect()
}

impl Hub {
    pub(crate) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let behaviour = Arc::new(Mutex::new(Behaviour {
            storage: Storage::Absolute,
            cut: (0, 0),
            ranges: true,
            token: None,
            wrong: None,
            slow: Duration::ZERO,
            busy: 0,
            renamed: None,
        }));
        let [hub, storage] = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        let [endpoint, there] =
            [&hub, &storage].map(|l| format!("http://{}", l.local_addr().unwrap()));
        for (listener, at_storage) in [(hub, false), (storage, true)] {
            let (state, behaviour, there) = (state.clone(), behaviour.clone(), there.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (state, behaviour, there) =
                        (state.clone(), behaviour.clone(), there.clone());
                    std::thread::spawn(move || {
                        // A client that goes away is what some tests are about.
                        answer(stream, &state, &behaviour, &there, at_storage).ok();
                    });
                }
            });
        }
        Self {
            endpoint,
            state,
            behaviour,
        }
    }

    /// Adds the files of a folder as a revision of a repository; returns its commit.
    pub(crate) fn add(&self, repository: &str, revision: &str, folder: &Path) -> String {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read(entry.path()).unwrap())
        });
        self.add_files(repository, revision, files.collect())
    }

    pub(crate) fn add_files(&self, repository: &str, revision: &str, files: Files) -> String {
        let mut all = format!("{repository}@{revision}");
        for (name, bytes) in &files {
            all += &format!(" {name} {}", sha256(bytes));
        }
        let commit = sha256(all.as_bytes())[..40].to_owned();
        let mut state = self.state.lock().unwrap();
        for (name, bytes) in &files {
            if is_stored(name) {
                state.storage.insert(sha256(bytes), bytes.clone());
            }
        }
        for revision in [revision, &commit] {
            let key = (repository.to_owned(), revision.to_owned());
            state.revisions.insert(key, (commit.clone(), files.clone()));
        }
        commit
    }

    pub(crate) fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// The requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

fn is_stored(name: &str) -> bool {
    [".safetensors", ".bin", ".gguf"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn header<'a>(head: &'a [String], name: &str) -> Option<&'a str> {
    head.iter().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Reads one request, answers it and closes the connection.
fn answer(
    stream: TcpStream,
    state: &Mutex<State>,
    behaviour: &Mutex<Behaviour>,
    storage: &str,
    at_storage: bool,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let head: Vec<String> = lines
        .by_ref()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let first = head.first().cloned().unwrap_or_default();
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(());
    };
    let seen = Seen {
        method: method.clone(),
        path: path.clone(),
        range: header(&head, "range").map(str::to_owned),
        token: header(&head, "authorization").map(str::to_owned),
        at_storage,
    };
    state.lock().unwrap().seen.push(seen.clone());
    let (reply, cut, slow) = {
        let mut behaviour = behaviour.lock().unwrap();
        let reply = route(&seen, &state.lock().unwrap(), &mut behaviour, storage);
        let is_body = path.starts_with("/cdn/") && method == "GET";
        let cut = match behaviour.cut {
            (bytes, times) if times > 0 && is_body => {
                behaviour.cut.1 -= 1;
                Some(bytes)
            }
            _ => None,
        };
        (
            reply,
            cut,
            if is_body {
                behaviour.slow
            } else {
                Duration::ZERO
            },
        )
    };
    let mut out = stream;
    write!(out, "HTTP/1.1 {} X\r\nconnection: close\r\n", reply.status)?;
    for (name, value) in &reply.headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    write!(out, "content-length: {}\r\n\r\n", reply.body.len())?;
    if method == "HEAD" {
        return Ok(());
    }
    let end = cut.map_or(reply.body.len(), |cut| cut.min(reply.body.len()));
    for part in reply.body[..end].chunks(4096) {
        std::thread::sleep(slow);
        out.write_all(part)?;
        out.flush()?;
    }
    Ok(())
}

/// An answer.
#[derive(Default)]
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply {
        status,
        headers: vec![("x-error-code", code.to_owned())],
        ..Reply::default()
    }
}

fn route(seen: &Seen, state: &State, behaviour: &mut Behaviour, storage: &str) -> Reply {
    if behaviour.busy > 0 {
        behaviour.busy -= 1;
        return refusal(503, "");
    }
    if let Some(hash) = seen.path.strip_prefix("/cdn/") {
        return part(seen, &state.storage[hash], behaviour.ranges);
    }
    if let Some((token, status)) = &behaviour.token
        && seen.token.as_deref() != Some(&format!("Bearer {token}"))
    {
        return refusal(*status, if *status == 403 { "GatedRepo" } else { "" });
    }
    let path = seen.path.replace("%2F", "/");
    if let Some((old, new)) = &behaviour.renamed
        && path.contains(old.as_str())
    {
        return Reply {
            status: 307,
            headers: vec![("location", path.replace(old.as_str(), new))],
            ..Reply::default()
        };
    }
    if let Some(rest) = path.strip_prefix("/api/models/") {
        let (repository, revision) = rest.split_once("/revision/").unwrap();
        return match find(state, repository, revision) {
            Err(refusal) => refusal,
            Ok((commit, files)) => {
                let names = files
                    .keys()
                    .map(|name| format!("{{\"rfilename\": {name:?}}}"));
                let names = names.collect::<Vec<_>>().join(", ");
                let body =
                    format!("{{\"sha\": {commit:?}, \"private\": false, \"siblings\": [{names}]}}");
                Reply {
                    status: 200,
                    body: body.into(),
                    ..Reply::default()
                }
            }
        };
    }
    let Some((repository, rest)) = path[1..].split_once("/resolve/") else {
        return refusal(404, "");
    };
    let (revision, name) = rest.rsplit_once('/').unwrap();
    match find(state, repository, revision) {
        Err(refusal) => refusal,
        Ok((commit, files)) => match files.get(name) {
            None => refusal(404, "EntryNotFound"),
            Some(bytes) => resolved(seen, name, bytes, commit, behaviour, storage),
        },
    }
}

fn find<'a>(
    state: &'a State,
    repository: &str,
    revision: &str,
) -> Result<&'a (String, Files), Reply> {
    let key = (repository.to_owned(), revision.to_owned());
    state.revisions.get(&key).ok_or_else(|| {
        let known = state.revisions.keys().any(|(name, _)| name == repository);
        // As the hub does for a stranger: a missing repository could be a private one.
        if known {
            refusal(404, "RevisionNotFound")
        } else {
            refusal(401, "RepoNotFound")
        }
    })
}

/// The answer to `resolve`: the file itself, or a redirect to the storage.
fn resolved(
    seen: &Seen,
    name: &str,
    bytes: &[u8],
    commit: &str,
    behaviour: &Behaviour,
    storage: &str,
) -> Reply {
    let hash = sha256(bytes);
    let mut headers = vec![("x-repo-commit", commit.to_owned())];
    if !is_stored(name) {
        // Forty digits, as of git.
        headers.push(("etag", format!("\"{}\"", &hash[..40])));
        let mut reply = part(seen, bytes, behaviour.ranges);
        reply.headers.extend(headers);
        return reply;
    }
    let announced = match behaviour.wrong.as_deref() == Some(name) {
        true => sha256(b"something else"),
        false => hash.clone(),
    };
    headers.push(("x-linked-etag", format!("\"{announced}\"")));
    headers.push(("x-linked-size", bytes.len().to_string()));
    let target = match behaviour.storage {
        Storage::Relative => format!("/cdn/{hash}"),
        Storage::Absolute => format!("{storage}/cdn/{hash}"),
    };
    headers.push(("location", target));
    Reply {
        status: 302,
        headers,
        ..Reply::default()
    }
}

/// A file, or the part of it that is asked for.
fn part(seen: &Seen, bytes: &[u8], ranges: bool) -> Reply {
    let start = seen.range.as_deref().filter(|_| ranges);
    let start = start.map(|range| {
        range
            .strip_prefix("bytes=")
            .unwrap()
            .trim_end_matches('-')
            .parse::<usize>()
            .unwrap()
    });
    match start {
        None => Reply {
            status: 200,
            body: bytes.to_vec(),
            ..Reply::default()
        },
        Some(start) if start >= bytes.len() => refusal(416, ""),
        Some(start) => Reply {
            status: 206,
            headers: vec![(
                "content-range",
                format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()),
            )],
            body: bytes[start..].to_vec(),
        },
    }
}
