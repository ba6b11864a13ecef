//! Contrasts and groups as they are written on the command line.

use std::collections::BTreeMap;

use relscale::fit::{Contrast, Group};

/// Reads `[NAME=]T:B` or `[NAME=]T1:B1,T2:B2`.
pub(super) fn contrast(text: &str) -> Result<Contrast, String> {
    let (name, sides) = match text.split_once('=') {
        Some((name, sides)) => (Some(name), sides),
        None => (None, text),
    };
    let pairs: Vec<&str> = sides.split(',').collect();
    let contrast = match pairs.as_slice() {
        [one] => {
            let (t, b) = pair(one)?;
            Contrast::new(t, b)
        }
        [one, two] => {
            let ((t, b), (second, other)) = (pair(one)?, pair(two)?);
            Contrast::new(t, b).minus(second, other)
        }
        _ => return Err("expected one pair T:B, or two as T1:B1,T2:B2".into()),
    };
    Ok(match name {
        Some(name) => contrast.named(name),
        None => contrast,
    })
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [t, b] if !t.is_empty() && !b.is_empty() => Ok((t, b)),
        _ => Err(format!(
            "`{text}` is not a pair of a treatment and a baseline with one colon between them"
        )),
    }
}

/// Reads `NAME=A,B` or `NAME=A:2,B:1` with weights.
pub(super) fn group(text: &str) -> Result<(String, Group), String> {
    let (name, members) = text
        .split_once('=')
        .ok_or("expected NAME=A,B or NAME=A:2,B:1")?;
    let members: Vec<&str> = members.split(',').collect();
    let weighted = members.iter().filter(|m| m.contains(':')).count();
    if weighted == 0 {
        let names = members.into_iter().map(str::to_owned).collect();
        return Ok((name.into(), Group::Equal(names)));
    }
    if weighted < members.len() {
        return Err("some members have a weight and others none".into());
    }
    let mut weights = BTreeMap::new();
    for member in members {
        let (who, weight) = member.rsplit_once(':').unwrap_or((member, ""));
        let weight = weight
            .parse()
            .map_err(|_| format!("the weight of `{member}` is not a number"))?;
        if weights.insert(who.to_owned(), weight).is_some() {
            return Err(format!("`{who}` is named twice"));
        }
    }
    Ok((name.into(), Group::Weighted(weights)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrasts_are_read() {
        assert_eq!(contrast("a:b"), Ok(Contrast::new("a", "b")));
        let adaptation = Contrast::new("a", "b").minus("c", "d").named("adaptation");
        assert_eq!(contrast("adaptation=a:b,c:d"), Ok(adaptation));
        for text in ["a", "a:", ":b", "a:b:c", "a:b,c", "a:b,c:d,e:f", "x=", ""] {
            assert!(contrast(text).is_err(), "{text}");
        }
    }

    #[test]
    fn groups_are_read() {
        let equal = Group::Equal(vec!["a".into(), "b".into()]);
        assert_eq!(group("g=a,b"), Ok(("g".into(), equal)));
        let weighted = Group::Weighted([("a".into(), 2.0), ("b".into(), 0.5)].into());
        assert_eq!(group("g=a:2,b:.5"), Ok(("g".into(), weighted)));
        for text in ["g", "g=a:2,b", "g=a:x", "g=a:1,a:2"] {
            assert!(group(text).is_err(), "{text}");
        }
    }
}
