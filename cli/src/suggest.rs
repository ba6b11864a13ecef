//! "Did you mean" for names that are not there.

use strsim::jaro_winkler;

/// Names less alike than this are not what was meant. Measured on the names of the committed ladder: a
/// letter left out or two exchanged score above 0.9, unrelated names below 0.75.
const ALIKE: f64 = 0.8;

/// The name most like `wanted`, if one is like it.
///
/// # Examples
/// ```
/// use relscale_cli::suggest::closest;
///
/// assert_eq!(closest("englsh-help", ["german-help", "english-help"]), Some("english-help"));
/// assert_eq!(closest("web", ["german-help", "english-help"]), None);
/// ```
pub fn closest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wanted.to_lowercase();
    let like = |name: &&str| jaro_winkler(&lower, &name.to_lowercase());
    let best = known
        .into_iter()
        .max_by(|a, b| like(a).total_cmp(&like(b)))?;
    (like(&best) >= ALIKE).then_some(best)
}

/// `; did you mean …?` if a known name is like `wanted`, and nothing otherwise.
#[must_use]
pub fn did_you_mean<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(wanted, known).map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}
