//! Settings of requests in the environment.

use std::fs;
use std::path::Path;

use relscale::Error;
use ureq::tls::{PemItem, RootCerts, parse_pem};

use super::cache::variable;

/// The token of the environment, or of the file that `hf auth login` writes.
pub(super) fn token(home: &Path) -> Result<Option<String>, Error> {
    let read = || {
        let path = variable("HF_TOKEN_PATH").map_or_else(|| home.join("token"), Into::into);
        // No file, no token.
        fs::read_to_string(path).ok()
    };
    let token = variable("HF_TOKEN").or_else(read);
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

/// The certificates of the file that `SSL_CERT_FILE` names.
pub(super) fn certificates() -> Result<Option<RootCerts>, Error> {
    let Some(path) = variable("SSL_CERT_FILE") else {
        return Ok(None);
    };
    let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
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
