//! Settings of requests in the environment.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use relscale::{Error, input};
use ureq::tls::{PemItem, RootCerts, parse_pem};

use super::cache::variable;

/// Largest accepted file of a token, which has about forty letters.
const MAX_TOKEN_BYTES: u64 = 1 << 16;
/// Largest accepted file of certificates: those of all public authorities take a quarter of a megabyte.
const MAX_CERTIFICATE_BYTES: u64 = 64 << 20;

/// The token of the environment, or of the file that `hf auth login` writes.
pub(super) fn token(home: &Path) -> Result<Option<String>, Error> {
    let token = match variable("HF_TOKEN") {
        Some(token) => Some(token),
        None => written_token(home)?,
    };
    let token = token
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty());
    match token {
        Some(token) if !token.bytes().all(|b| b.is_ascii_graphic()) => Err(Error::Option {
            option: "HF_TOKEN",
            // Not the token itself, which would end up in logs.
            message: "holds characters that no token has".to_owned(),
        }),
        token => Ok(token),
    }
}

/// The token of the file that `HF_TOKEN_PATH` names, or of the one in `home`.
fn written_token(home: &Path) -> Result<Option<String>, Error> {
    let path = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), PathBuf::from);
    // The usual way to ask for no token.
    if path == Path::new("/dev/null") {
        return Ok(None);
    }
    match input::text(&path, MAX_TOKEN_BYTES) {
        Ok(token) => Ok(Some(token)),
        // A device, a pipe or no text: whoever named it would wonder why no token is sent.
        Err(e) if e.kind() == ErrorKind::InvalidData => Err(Error::io(path, e)),
        // No file, no token.
        Err(_) => Ok(None),
    }
}

/// The certificates of the file that `SSL_CERT_FILE` names.
pub(super) fn certificates() -> Result<Option<RootCerts>, Error> {
    let Some(path) = variable("SSL_CERT_FILE") else {
        return Ok(None);
    };
    // Not as text: comments between certificates have any encoding.
    let bytes = input::bytes(&path, MAX_CERTIFICATE_BYTES).map_err(|e| Error::io(&path, e))?;
    let found: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    match found.is_empty() {
        true => Err(Error::format(
            path,
            "holds no certificate; it is the value of SSL_CERT_FILE",
        )),
        false => Ok(Some(RootCerts::from(found))),
    }
}
