//! Regular expressions of a `tokenizer.json`, whose search must take time in proportion to the text.
//!
//! The library searches without look-around in linear time. With look-around it tries the ways in which
//! repetitions can match one after another, up to a million steps from every place of the text.

/// A group of an expression, or all of it.
#[derive(Default)]
struct Group {
    /// If true, it holds a look-around or a reference to what matched.
    looks: bool,
    /// Most unbounded repetitions one after another in one of its alternatives.
    repeats: usize,
    /// The same of the alternative being read.
    here: usize,
    /// If true, the group is a look-around itself.
    is_look: bool,
}

impl Group {
    fn end_alternative(&mut self) {
        self.repeats = self.repeats.max(self.here);
        self.here = 0;
    }
}

/// The reason why an expression is refused, if it is.
///
/// An unbounded repetition of something with a look-around takes steps that grow exponentially or with a
/// power of the text, and so do three repetitions one after another beside one. Those of released
/// tokenizers have neither: `\s+(?!\S)`, `\d{1,3}(?=(?:\d{3})*\b)`.
pub(super) fn refused(expression: &str) -> Option<&'static str> {
    let mut groups = vec![Group::default()];
    let letters: Vec<char> = expression.chars().collect();
    let mut at = 0;
    // The group that ended just before, which a repetition would repeat.
    let mut ended: Option<Group> = None;
    while let Some(&letter) = letters.get(at) {
        let last = ended.take();
        match letter {
            '\\' => {
                let next = letters.get(at + 1).copied().unwrap_or(' ');
                if (next.is_ascii_digit() && next != '0') || next == 'k' {
                    mark(&mut groups);
                }
                at += 1;
            }
            '[' => at = class_end(&letters, at),
            '(' => {
                let after: String = letters[at + 1..].iter().take(3).collect();
                let is_look = ["?=", "?!", "?<=", "?<!"]
                    .iter()
                    .any(|p| after.starts_with(p));
                if is_look || after.starts_with("?>") || after.starts_with("?(") {
                    mark(&mut groups);
                }
                groups.push(Group {
                    is_look,
                    ..Group::default()
                });
                // The question mark after a parenthesis repeats nothing.
                at += usize::from(letters.get(at + 1) == Some(&'?'));
            }
            ')' if groups.len() > 1 => ended = end(&mut groups),
            '|' => {
                if let Some(group) = groups.last_mut() {
                    group.end_alternative();
                }
            }
            '*' | '+' | '{' if is_unbounded(&letters, at) => {
                if last.is_some_and(|group| group.looks) {
                    return Some("repeats a group with look-around without bound");
                }
                if let Some(group) = groups.last_mut() {
                    group.here += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    while groups.len() > 1 {
        end(&mut groups);
    }
    let mut whole = groups.pop()?;
    whole.end_alternative();
    (whole.looks && whole.repeats > MOST)
        .then_some("has too many unbounded repetitions one after another beside look-around")
}

/// Most unbounded repetitions in a row where something looks around. Each is one more power of the
/// length of the text; released tokenizers have one or two.
const MOST: usize = 2;

/// Ends the innermost group.
fn end(groups: &mut Vec<Group>) -> Option<Group> {
    let mut group = groups.pop()?;
    group.end_alternative();
    if let Some(around) = groups.last_mut() {
        around.looks |= group.looks || group.is_look;
        around.here += group.repeats;
    }
    Some(group)
}

/// Notes that the innermost group looks around.
fn mark(groups: &mut [Group]) {
    if let Some(group) = groups.last_mut() {
        group.looks = true;
    }
}

/// The place of the bracket that ends the class at `start`, or the last place.
fn class_end(letters: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while let Some(letter) = letters.get(at) {
        match letter {
            '\\' => at += 1,
            '[' => depth += 1,
            // The first letter of a class is itself.
            ']' if at == start + 1 || (at == start + 2 && letters[start + 1] == '^') => {}
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
        at += 1;
    }
    letters.len()
}

/// If true, the sign at `at` repeats without bound: `*`, `+`, `{2,}`, and bounds that are as good as none.
fn is_unbounded(letters: &[char], at: usize) -> bool {
    if letters[at] != '{' {
        return true;
    }
    let inside = letters[at + 1..].iter().take_while(|c| **c != '}');
    let inside: String = inside.take(24).collect();
    match inside.split_once(',') {
        // Of a hundred repetitions and more, a power of the text is already too much.
        Some((_, most)) => most
            .trim()
            .parse::<u64>()
            .map_or(most.is_empty(), |n| n > 100),
        None => inside.parse::<u64>().is_ok_and(|n| n > 100),
    }
}

#[cfg(test)]
mod tests {
    use super::refused;

    #[test]
    fn expressions_of_released_tokenizers_pass() {
        for expression in [
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
            r" ?[^(\s|[.,!?…。，、।۔،])]+",
            r"\d{1,3}(?=(?:\d{3})*\b)",
            r"(?<=\d)(?=(\d{3})+(?!\d))",
            r"[\p{Han}&&[^\p{Latin}]]+|\s+",
            r"(?:a+)+(?:b*)*",
        ] {
            assert_eq!(refused(expression), None, "{expression}");
        }
    }

    #[test]
    fn expressions_that_take_powers_of_the_text_are_refused() {
        for expression in [
            r"(?:(?=(?:.(?!\x00))*(?:.(?!\x00))*\x00)|).|\n",
            r"(?:(?=a)(?:a+)+)+c",
            r"(?:(?!b)a)*c",
            r"(?:(?!b)a){2,}c",
            r"a*a*a*(?!b)",
            r"(a)(?:\1)+",
            r"(?:a*a*)a+(?<!b)c",
            r"((?:x(?=y))|z)*",
        ] {
            assert!(refused(expression).is_some(), "{expression}");
        }
        // Whatever the text, there is an answer.
        for odd in [
            "", "(", ")", "[", "\\", "(((", "a{", "{1,", "[[", "(?", "(?<",
        ] {
            refused(odd);
        }
    }
}
