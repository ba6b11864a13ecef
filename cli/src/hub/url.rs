//! Parts of URLs.

use ureq::http::Uri;

/// Scheme, host and port of a URL, if it has them.
pub(super) fn origin(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    let scheme = uri.scheme_str().filter(|s| ["http", "https"].contains(s))?;
    let authority = uri.authority()?.as_str().to_lowercase();
    Some((scheme.to_owned(), authority))
}

/// The URL that a redirect from `url` leads to.
pub(super) fn joined(url: &str, location: &str) -> Option<String> {
    if origin(location).is_some() {
        return Some(location.to_owned());
    }
    let (scheme, authority) = origin(url)?;
    if location.starts_with("//") {
        return Some(format!("{scheme}:{location}"));
    }
    // Another scheme is no place to follow to.
    if location.split(['/', '?']).next()?.contains(':') {
        return None;
    }
    if location.starts_with('/') {
        return Some(format!("{scheme}://{authority}{location}"));
    }
    let path = url.split(['?', '#']).next()?;
    Some(format!("{}/{location}", path.rsplit_once('/')?.0))
}

/// A text as one part of the path of a URL.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_are_joined_as_browsers_do() {
        let from = "https://hub/a/resolve/main/f?x=/y";
        for (location, to) in [
            ("https://cdn/x?sig=1", Some("https://cdn/x?sig=1")),
            ("/b/resolve/main/f", Some("https://hub/b/resolve/main/f")),
            ("//cdn:8/x", Some("https://cdn:8/x")),
            ("g", Some("https://hub/a/resolve/main/g")),
            ("file:///etc/passwd", None),
            ("ftp://hub/x", None),
        ] {
            assert_eq!(joined(from, location).as_deref(), to, "{location}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(origin("https://Hub/a"), origin("https://hub/b?c"));
        assert_ne!(origin("https://hub/a"), origin("http://hub/a"));
        assert_ne!(origin("http://hub:1/a"), origin("http://hub:2/a"));
        assert_ne!(origin("https://hub/a"), origin("https://hub.evil/a"));
        assert_eq!(origin("hub/a"), None);
    }

    #[test]
    fn parts_of_paths_are_encoded() {
        assert_eq!(encoded("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(encoded("a b?é.json"), "a%20b%3F%C3%A9.json");
    }
}
