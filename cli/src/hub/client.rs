//! Requests to the hub.

use std::path::Path;
use std::time::Duration;

use relscale::Error;
use serde::Deserialize;
use ureq::http::{HeaderName, Method, Request, Response, StatusCode, header};
use ureq::tls::TlsConfig;
use ureq::{Agent, Body};

use super::HubAddress;
use super::cache::variable;
use super::environment::{certificates, token};
use super::files::Listing;
use super::url::{encoded, joined, origin};
use crate::interrupt;
use crate::output::detail;

/// The reason why the hub is not asked.
pub(super) const OFF: &str = "HF_HUB_OFFLINE is set";

/// Most redirects of one request. The hub uses two: of a renamed repository, and to the storage.
const REDIRECTS: usize = 10;

/// Longest silence of a server. Storage answers within seconds; a longer silence is a lost connection,
/// and the next request goes on from there.
const SILENCE: Duration = Duration::from_secs(30);

/// Largest list of files: a file takes a hundred bytes, and no checkpoint has half a million of them.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// Requests without an answer, or without a byte, in a row before the download gives up: with the pauses
/// between them seconds, enough for a lost connection. The next run goes on from there.
const ATTEMPTS: u32 = 4;

/// Pause after the first request without an answer; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);

/// Reason why a request gave no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The answer is a refusal, and will be the same again.
    Refused(Error),
    /// No answer, or one that may be another later.
    Unreachable(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// A hub and the token for it.
pub(super) struct Client {
    agent: Agent,
    /// Without a slash at the end.
    endpoint: String,
    token: Option<String>,
}

impl std::fmt::Debug for Client {
    // Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Client");
        debug
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// A file as the hub describes it.
#[derive(Debug)]
pub(super) struct RemoteFile {
    /// Name of the contents, and of the blob in the cache.
    pub(super) etag: String,
    pub(super) size: u64,
}

impl RemoteFile {
    /// SHA-256 of a file in large-file storage, whose tag it is. Other files have the hash of git.
    pub(super) fn sha256(&self) -> Option<&str> {
        (self.etag.len() == 64).then_some(&self.etag)
    }
}

/// The part of the hub's answer about a repository that is read.
#[derive(Deserialize)]
struct Repository {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Client {
    /// The hub that the environment names; `home` is the folder of the token.
    ///
    /// # Errors
    /// An address, a token or a file of certificates that is not usable.
    pub(super) fn from_env(home: &Path) -> Result<Option<Self>, Error> {
        let endpoint = variable("HF_ENDPOINT");
        let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim().trim_end_matches('/').to_owned();
        if origin(&endpoint).is_none() {
            return Err(Error::Option {
                option: "HF_ENDPOINT",
                message: format!("`{endpoint}` is not the address of a hub (https://HOST)"),
            });
        }
        let mut tls = TlsConfig::builder();
        if let Some(certificates) = certificates()? {
            tls = tls.root_certs(certificates);
        }
        let config = Agent::config_builder()
            .user_agent(concat!("relscale/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .http_status_as_error(false)
            // Followed here, where the token is kept from other hosts.
            .max_redirects(0)
            .timeout_connect(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Ok(Some(Self {
            agent: config.new_agent(),
            endpoint,
            token: token(home)?,
        }))
    }

    /// The commit and the files of a revision.
    pub(super) fn listing(&self, address: &HubAddress) -> Result<Listing, Failure> {
        retried(|| {
            let url = format!(
                "{}/api/models/{}/revision/{}",
                self.endpoint,
                address.repository(),
                encoded(address.revision())
            );
            let mut response = self.send(Method::GET, &url, 0, |_| true)?;
            self.accept(&response, address, "")?;
            let body = response.body_mut().with_config().limit(MAX_LISTING_BYTES);
            let body = body.read_to_vec().map_err(|e| self.unreachable(&e))?;
            let malformed = |e: &dyn std::fmt::Display| {
                let message = format!("{} gave no list of files: {e}", self.endpoint);
                Error::format(address.to_string(), message)
            };
            let repository: Repository =
                serde_json::from_slice(&body).map_err(|e| malformed(&e))?;
            let commit = repository.sha;
            if address.at(&commit).commit().is_none() {
                return Err(malformed(&"its `sha` is not the hash of a commit").into());
            }
            let names = repository.siblings.into_iter().map(|file| file.rfilename);
            Ok(Listing {
                commit,
                names: names.filter(|name| stays_in_cache(name)).collect(),
                is_local: false,
            })
        })
    }

    /// Tag and size of a file. The hub describes a file in storage before it redirects there.
    pub(super) fn describe(&self, address: &HubAddress, file: &str) -> Result<RemoteFile, Failure> {
        retried(|| {
            let url = self.url(address, file);
            let linked = |response: &Response<Body>| text(response, &LINKED_ETAG).is_some();
            let response = self.send(Method::HEAD, &url, 0, |r| !linked(r))?;
            if !linked(&response) {
                self.accept(&response, address, file)?;
            }
            let about = |message: &str| {
                let message = format!("{file}: {} {message}", self.endpoint);
                Error::format(address.to_string(), message)
            };
            let etag = text(&response, &LINKED_ETAG).or_else(|| text(&response, &header::ETAG));
            let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
            // It becomes the name of a file.
            let is_name = |etag: &&str| {
                !etag.is_empty() && etag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            let etag = etag
                .filter(is_name)
                .ok_or_else(|| about("gave no usable ETag"))?;
            let size = text(&response, &LINKED_SIZE)
                .or_else(|| text(&response, &header::CONTENT_LENGTH))
                .and_then(|size| size.parse().ok())
                .ok_or_else(|| about("gave no size"))?;
            Ok(RemoteFile {
                etag: etag.to_owned(),
                size,
            })
        })
    }

    /// The contents of a file from byte `start` on, and the byte with which they really begin.
    pub(super) fn open(
        &self,
        address: &HubAddress,
        file: &str,
        start: u64,
    ) -> Result<(Body, u64), Failure> {
        let response = self.send(Method::GET, &self.url(address, file), start, |_| true)?;
        // The file is shorter than what is there of it: from the beginning, then.
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && start > 0 {
            return self.open(address, file, 0);
        }
        self.accept(&response, address, file)?;
        let begins = match response.status() {
            StatusCode::PARTIAL_CONTENT => text(&response, &header::CONTENT_RANGE)
                .and_then(|range| {
                    range
                        .strip_prefix("bytes ")?
                        .split('-')
                        .next()?
                        .parse()
                        .ok()
                })
                .ok_or_else(|| {
                    Failure::Unreachable("an answer without Content-Range".to_owned())
                })?,
            _ => 0,
        };
        Ok((response.into_body(), begins))
    }

    fn url(&self, address: &HubAddress, file: &str) -> String {
        format!(
            "{}/{}/resolve/{}/{}",
            self.endpoint,
            address.repository(),
            encoded(address.revision()),
            encoded(file)
        )
    }

    /// Sends a request and follows its redirects while `follows` says so. The token goes to the hub only.
    fn send(
        &self,
        method: Method,
        url: &str,
        start: u64,
        follows: impl Fn(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=REDIRECTS {
            interrupt::check()?;
            let mut request = Request::builder()
                .method(method.clone())
                .uri(&url)
                // Sizes and ranges are of the file, not of a compressed form of it.
                .header(header::ACCEPT_ENCODING, "identity");
            if start > 0 {
                request = request.header(header::RANGE, format!("bytes={start}-"));
            }
            if let Some(token) = &self.token
                && origin(&url) == origin(&self.endpoint)
            {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let request = request.body(()).map_err(|e| self.unreachable(&e))?;
            let response = self.agent.run(request).map_err(|e| self.unreachable(&e))?;
            if !response.status().is_redirection() || !follows(&response) {
                return Ok(response);
            }
            let target = text(&response, &header::LOCATION).and_then(|to| joined(&url, to));
            url = target.ok_or_else(|| self.refusal("redirects to nowhere"))?;
        }
        Err(self.refusal("redirects without end"))
    }

    /// Refuses an answer that is not the file.
    fn accept(
        &self,
        response: &Response<Body>,
        address: &HubAddress,
        file: &str,
    ) -> Result<(), Failure> {
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Unreachable(format!(
                "{} answers {status}",
                self.endpoint
            )));
        }
        let code = text(response, &ERROR_CODE).unwrap_or_default();
        let (repository, revision) = (address.repository(), address.revision());
        let token = match &self.token {
            None => "set HF_TOKEN to a token that may read it (or run `hf auth login`)",
            Some(_) => "the token that was sent may not read it",
        };
        let page = format!("{}/{repository}", self.endpoint);
        let message = match (status.as_u16(), code) {
            (404, "RevisionNotFound") => {
                format!("there is no revision `{revision}`; {page} lists them under Files")
            }
            (404, "EntryNotFound") => format!("there is no file {file} at this revision"),
            // The hub does not tell a private model from one that does not exist.
            (401 | 404, _) if code != "GatedRepo" => format!(
                "there is no such model or revision ({status}), or it is private: check the name at \
                 {page}; for a private model, {token}"
            ),
            (401 | 403, _) => {
                format!("access is restricted ({status}): accept the conditions at {page}; {token}")
            }
            _ => format!("{} answers {status} {file}", self.endpoint),
        };
        Err(Error::format(address.to_string(), message.trim_end()).into())
    }

    fn refusal(&self, message: &str) -> Failure {
        Error::format(&self.endpoint, message).into()
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> Failure {
        Failure::Unreachable(format!("{}: no answer: {error}", self.endpoint))
    }
}

/// False for a name that may lead out of the cache on Windows, where `\` stands between folders and `:`
/// behind a drive. No file that is read has such a name.
fn stays_in_cache(name: &str) -> bool {
    !name.contains(['\\', ':'])
}

const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// The text of a header.
fn text<'a>(response: &'a Response<Body>, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// Sends a request again while there is no answer, a few times.
fn retried<T>(mut request: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut attempt = 0;
    loop {
        match request() {
            Err(Failure::Unreachable(message)) => attempt = pause(attempt, message)?,
            answer => return answer,
        }
    }
}

/// Waits after attempt number `attempt` (from 0), longer each time; returns the number of the next.
///
/// # Errors
/// The message after the last attempt; that the user asks to stop.
pub(super) fn pause(attempt: u32, message: String) -> Result<u32, Failure> {
    if attempt + 1 >= ATTEMPTS {
        return Err(Failure::Unreachable(message));
    }
    detail(&format!("{message}; asking again"));
    let mut left = PAUSE * 2_u32.pow(attempt);
    // In small steps, so that Ctrl-C is noticed.
    while !left.is_zero() {
        interrupt::check()?;
        let step = left.min(Duration::from_millis(50));
        std::thread::sleep(step);
        left -= step;
    }
    Ok(attempt + 1)
}

#[cfg(test)]
mod tests {
    use super::stays_in_cache;

    #[test]
    fn names_that_lead_out_of_the_cache_on_windows_are_left_out() {
        for name in ["model.safetensors", "onnx/model.onnx", "分.tiktoken"] {
            assert!(stays_in_cache(name), "{name}");
        }
        for name in [
            r"..\..\x.tiktoken",
            r"\\host\x.gguf",
            r"C:\x.gguf",
            "C:x.gguf",
            "x:y.gguf",
        ] {
            assert!(!stays_in_cache(name), "{name}");
        }
    }
}
