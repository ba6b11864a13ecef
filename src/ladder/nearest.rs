//! Names that are nearly others.

/// The known name that `name` is probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().find(|known| alike(name, known))
}

/// True if two names differ only in case, separators and a final `s`, or, from six letters on, in
/// one letter put in, left out or replaced, or in two neighbours exchanged.
pub(super) fn alike(found: &str, meant: &str) -> bool {
    let letters = |name: &str| -> Vec<char> {
        let lower = name.chars().flat_map(char::to_lowercase);
        let mut letters: Vec<char> = lower.filter(|c| c.is_alphanumeric()).collect();
        if letters.last() == Some(&'s') {
            letters.pop();
        }
        letters
    };
    let (found, meant) = (letters(found), letters(meant));
    if found == meant {
        return true;
    }
    // Shorter names are near too many words: `time` is one letter from `item`.
    if meant.len() < 6 {
        return false;
    }
    let same = |a: &[char], b: &[char]| a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let front = same(&found, &meant);
    let (found, meant) = (&found[front..], &meant[front..]);
    match (found, meant) {
        ([a, b, rest @ ..], [c, d, end @ ..]) if (a, b) == (d, c) && rest == end => true,
        _ => {
            found.get(1..) == meant.get(1..)
                || found.get(1..) == Some(meant)
                || Some(found) == meant.get(1..)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::alike;

    #[test]
    fn near_misses_are_told_from_other_words() {
        for (found, meant) in [
            ("Weight", "weight"),
            ("weights", "weight"),
            ("wieght", "weight"),
            ("weigth", "weight"),
            ("heldout", "held_out"),
            ("held-out", "held_out"),
            ("flops_convention", "flop_convention"),
            ("flop convention", "flop_convention"),
            ("trajctory", "trajectory"),
            ("clusters", "cluster"),
            ("clusterr", "cluster"),
            ("items", "item"),
            ("seeds", "seed"),
        ] {
            assert!(alike(found, meant), "{found} {meant}");
        }
        for (found, meant) in [
            ("time", "item"),
            ("speed", "seed"),
            ("held", "held_out"),
            ("bytes", "weight"),
            ("length", "weight"),
            ("cluster_size", "cluster"),
            ("item_id", "item"),
            ("", "cluster"),
        ] {
            assert!(!alike(found, meant), "{found} {meant}");
        }
    }
}
