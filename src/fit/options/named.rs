//! Comparisons and groups that an analysis names beside those with its main baseline.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::fit::error::FitError;

/// A comparison of two distributions, or of two such comparisons.
///
/// Without `minus`, the ratio `G = E_t/E_b` of a treatment and a baseline. With `minus`, the ratio of
/// two ratios, a difference in differences of log errors:
/// `ln G − ln G′ = (ln E_t − ln E_b) − (ln E_t′ − ln E_b′)`. Every side is the name of a distribution
/// or of a group ([`Options::groups`](crate::fit::Options::groups)).
///
/// # Examples
/// ```
/// use relscale::fit::Contrast;
///
/// // The gap of a client after adaptation against the gap before it.
/// let adaptation = Contrast::new("client-after", "all-after")
///     .minus("client-before", "all-before")
///     .named("adaptation");
/// let read: Contrast = serde_json::from_str(
///     r#"{"name": "adaptation", "treatment": "client-after", "baseline": "all-after",
///         "minus": {"treatment": "client-before", "baseline": "all-before"}}"#,
/// )?;
/// assert_eq!(read, adaptation);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Contrast {
    /// Name in results; `None` for the names of the sides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The distribution or group in the numerator.
    pub treatment: String,
    /// The distribution or group in the denominator.
    pub baseline: String,
    /// The pair that the first one is compared with; `None` for a comparison of two distributions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minus: Option<Pair>,
}

/// The second pair of a [`Contrast`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pair {
    /// The distribution or group in the numerator.
    pub treatment: String,
    /// The distribution or group in the denominator.
    pub baseline: String,
}

impl Contrast {
    /// The comparison of `treatment` with `baseline`.
    #[must_use]
    pub fn new(treatment: impl Into<String>, baseline: impl Into<String>) -> Self {
        Self {
            name: None,
            treatment: treatment.into(),
            baseline: baseline.into(),
            minus: None,
        }
    }

    /// Subtracts the comparison of `treatment` with `baseline`.
    #[must_use]
    pub fn minus(mut self, treatment: impl Into<String>, baseline: impl Into<String>) -> Self {
        self.minus = Some(Pair {
            treatment: treatment.into(),
            baseline: baseline.into(),
        });
        self
    }

    /// Sets the name in results.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name in results.
    #[must_use]
    pub fn label(&self) -> String {
        let sides = || match &self.minus {
            None => pair_label(&self.treatment, &self.baseline),
            Some(p) => difference_label(
                &pair_label(&self.treatment, &self.baseline),
                &pair_label(&p.treatment, &p.baseline),
            ),
        };
        self.name.clone().unwrap_or_else(sides)
    }

    /// Refuses comparisons that are zero whatever the data.
    fn check(&self) -> Result<(), FitError> {
        let refuse = |reason: String| Err(FitError::Unsupported { reason });
        if self.name.as_ref().is_some_and(String::is_empty) {
            return refuse(format!(
                "the contrast of {:?} with {:?} has an empty name",
                self.treatment, self.baseline
            ));
        }
        let second = self.minus.iter().map(|p| (&p.treatment, &p.baseline));
        for (t, b) in [(&self.treatment, &self.baseline)]
            .into_iter()
            .chain(second)
        {
            if t == b {
                return refuse(format!(
                    "contrast {:?} compares {t:?} with itself: the ratio is 1 at every scale",
                    self.label()
                ));
            }
        }
        match &self.minus {
            Some(p) if (&p.treatment, &p.baseline) == (&self.treatment, &self.baseline) => refuse(
                format!("contrast {:?} subtracts a pair from itself", self.label()),
            ),
            _ => Ok(()),
        }
    }
}

/// Name of a pair, as its law has it.
pub(crate) fn pair_label(treatment: &str, baseline: &str) -> String {
    format!("{treatment} : {baseline}")
}

/// Name of a difference of two pairs that has no other.
pub(crate) fn difference_label(one: &str, two: &str) -> String {
    format!("({one}) - ({two})")
}

/// Members of a group of distributions, whose log error is the weighted mean of theirs.
///
/// In files a list of names, or an object of names and weights.
///
/// # Examples
/// ```
/// use relscale::fit::Group;
///
/// let equal: Group = serde_json::from_str(r#"["fraud", "self-harm"]"#)?;
/// let weighted: Group = serde_json::from_str(r#"{"fraud": 2.0, "self-harm": 1.0}"#)?;
/// assert_eq!(equal, Group::Equal(vec!["fraud".into(), "self-harm".into()]));
/// assert_ne!(equal, weighted);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[allow(
    clippy::exhaustive_enums,
    reason = "names with weights and names without are all the forms of a list of members"
)]
pub enum Group {
    /// Members of equal weight.
    Equal(Vec<String>),
    /// Members and their weights, positive and of any sum.
    Weighted(BTreeMap<String, f64>),
}

impl Group {
    /// Members with weights that sum to one.
    pub(crate) fn shares(&self) -> Vec<(&str, f64)> {
        match self {
            Self::Equal(names) => {
                let share = 1.0 / names.len().max(1) as f64;
                names.iter().map(|n| (n.as_str(), share)).collect()
            }
            Self::Weighted(weights) => {
                let total: f64 = weights.values().sum();
                weights
                    .iter()
                    .map(|(n, w)| (n.as_str(), w / total))
                    .collect()
            }
        }
    }

    fn check(&self, name: &str) -> Result<(), FitError> {
        let refuse = |reason: String| Err(FitError::Unsupported { reason });
        if name.is_empty() {
            return refuse("a group has an empty name".into());
        }
        match self {
            Self::Equal(names) => {
                for (i, member) in names.iter().enumerate() {
                    if names[..i].contains(member) {
                        return refuse(format!("group {name:?} names {member:?} twice"));
                    }
                }
            }
            Self::Weighted(weights) => {
                for (member, &weight) in weights {
                    // Sums of weights have to be finite: 1e100 members of 1e200 will not come.
                    if !(weight.is_normal() && weight > 0.0 && weight < 1e200) {
                        return Err(FitError::Domain {
                            what: format!("the weight of {member:?} in group {name:?}"),
                            value: weight,
                        });
                    }
                }
            }
        }
        if self.shares().is_empty() {
            return refuse(format!("group {name:?} has no members"));
        }
        Ok(())
    }
}

/// The distributions among which the worst is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WorstOf {
    /// All treatments.
    Treatments,
    /// All groups of [`Options::groups`](crate::fit::Options::groups).
    Groups,
}

/// Refuses contrasts and groups that mean nothing, whatever the ladder.
pub(super) fn check(
    contrasts: &[Contrast],
    groups: &BTreeMap<String, Group>,
) -> Result<(), FitError> {
    for (name, group) in groups {
        group.check(name)?;
    }
    for (i, contrast) in contrasts.iter().enumerate() {
        contrast.check()?;
        if contrasts[..i].iter().any(|c| c.label() == contrast.label()) {
            return Err(FitError::Unsupported {
                reason: format!("two contrasts are named {:?}", contrast.label()),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(contrasts: &[Contrast], groups: &[(&str, Group)]) -> String {
        let groups = groups.iter().map(|(n, g)| ((*n).into(), g.clone()));
        check(contrasts, &groups.collect()).unwrap_err().to_string()
    }

    #[test]
    fn comparisons_with_themselves_are_refused_by_name() {
        for (contrast, parts) in [
            (Contrast::new("a", "a"), ["\"a : a\"", "with itself"]),
            (
                Contrast::new("a", "b").minus("c", "c").named("x"),
                ["\"x\"", "\"c\" with itself"],
            ),
            (
                Contrast::new("a", "b").minus("a", "b").named("x"),
                ["\"x\"", "subtracts a pair from itself"],
            ),
            (Contrast::new("a", "b").named(""), ["\"a\"", "empty name"]),
        ] {
            let text = refused(&[contrast], &[]);
            assert!(parts.iter().all(|p| text.contains(p)), "{text}");
        }
        let twice = [Contrast::new("a", "b"), Contrast::new("a", "b")];
        assert!(refused(&twice, &[]).contains("two contrasts are named"));
    }

    #[test]
    fn groups_without_members_or_weights_are_refused_by_name() {
        let equal = |names: &[&str]| Group::Equal(names.iter().map(|n| (*n).into()).collect());
        let weighted = |w: f64| Group::Weighted([("a".into(), w)].into());
        for (group, part) in [
            (equal(&[]), "has no members"),
            (equal(&["a", "b", "a"]), "names \"a\" twice"),
            (weighted(0.0), "weight of \"a\""),
            (weighted(f64::NAN), "weight of \"a\""),
            (weighted(f64::INFINITY), "weight of \"a\""),
        ] {
            let text = refused(&[], &[("g", group)]);
            assert!(text.contains("\"g\"") && text.contains(part), "{text}");
        }
        assert!(refused(&[], &[("", equal(&["a"]))]).contains("empty name"));
    }

    #[test]
    fn unknown_fields_are_refused_in_contrasts() {
        for json in [
            r#"{"treatment": "a", "base": "b"}"#,
            r#"{"treatment": "a", "baseline": "b", "weight": 1}"#,
            r#"{"treatment": "a", "baseline": "b", "minus": {"treatment": "c", "baseline": "d", "x": 1}}"#,
        ] {
            assert!(serde_json::from_str::<Contrast>(json).is_err(), "{json}");
        }
    }
}
