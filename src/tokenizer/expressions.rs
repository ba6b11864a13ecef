//! Regular expressions of a `tokenizer.json`, whose search must take time in proportion to the text.
//!
//! The engine searches without look-around in linear time. With look-around it tries the ways in which
//! repetitions can match one after another.

/// A group of an expression, or all of it.
#[derive(Default)]
struct Group {
    /// If true, it holds a look-around.
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

/// Examines an expression; true if the engine backtracks in it.
///
/// # Errors
/// The reason why an expression is refused. An unbounded repetition of something with a look-around takes
/// steps that grow exponentially or with a power of the text, and so do three repetitions one after another
/// beside one. Those of released tokenizers have neither: `\s+(?!\S)`, `\d{1,3}(?=(?:\d{3})*\b)`. Nor have
/// they references, whose numbers the engine takes memory for, or what moves the start of a match, with
/// which matches would overlap.
pub(super) fn examine(expression: &str) -> Result<bool, &'static str> {
    let mut groups = vec![Group::default()];
    let letters: Vec<char> = expression.chars().collect();
    let mut at = 0;
    let mut backtracks = false;
    // Look-arounds that may look at all of a text.
    let mut far = 0;
    // The group that ended just before, which a repetition would repeat.
    let mut ended: Option<Group> = None;
    while let Some(&letter) = letters.get(at) {
        let last = ended.take();
        match letter {
            '\\' => {
                at += 1;
                match letters.get(at) {
                    Some('b' | 'B' | '<' | '>') => backtracks = true,
                    Some('k' | '0'..='9') => return Err("refers to what another part matched"),
                    Some('K' | 'G') => return Err("moves the start of a match"),
                    // The braces of a letter's number or a class's name repeat nothing.
                    Some('x' | 'u' | 'U' | 'p' | 'P') if letters.get(at + 1) == Some(&'{') => {
                        let name = letters[at..].iter().take_while(|c| **c != '}');
                        at += name.count();
                    }
                    _ => {}
                }
            }
            '[' => at = class_end(&letters, at),
            '(' => {
                let after: String = letters[at + 1..].iter().take(3).collect();
                let begins = |with: &[&str]| with.iter().any(|p| after.starts_with(p));
                let is_look = begins(&["?=", "?!", "?<=", "?<!"]);
                if begins(&["?(", "?P="]) {
                    return Err("refers to what another part matched");
                }
                if begins(&["?#"]) || has_flag(&letters[at + 1..], 'x') {
                    return Err("has comments");
                }
                if is_look || begins(&["?>"]) {
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
            '*' | '+' | '?' | '{' => {
                if let Some(quantifier) = Quantifier::at(&letters, at) {
                    at = quantifier.end - 1;
                    if quantifier.is_unbounded && last.is_some_and(|group| group.looks) {
                        return Err("repeats a group with look-around without bound");
                    }
                    let in_look = groups.iter().any(|group| group.is_look);
                    backtracks |= quantifier.is_possessive;
                    if quantifier.is_unbounded
                        && !quantifier.is_possessive
                        && let Some(group) = groups.last_mut()
                    {
                        // Each try of what stands before a look-around looks as far as it does.
                        group.here += 1 + usize::from(in_look);
                    }
                    far += usize::from(quantifier.is_unbounded && in_look);
                }
            }
            _ => {}
        }
        at += 1;
    }
    while groups.len() > 1 {
        end(&mut groups);
    }
    let mut whole = groups.pop().unwrap_or_default();
    whole.end_alternative();
    if whole.looks && whole.repeats > MOST {
        return Err("has too many unbounded repetitions one after another beside look-around");
    }
    if far > MOST_FAR {
        return Err("has too many look-arounds without bound");
    }
    Ok(backtracks || whole.looks)
}

/// Most unbounded repetitions in a row where something looks around. Each is one more power of the
/// length of the text; released tokenizers have one or two.
const MOST: usize = 2;
/// Most look-arounds that may look at all of a text. Released tokenizers have one.
const MOST_FAR: usize = 4;

/// The repetition of what stands before it.
struct Quantifier {
    /// The place after it.
    end: usize,
    /// If true, as often as it matches, or so often that it makes no difference.
    is_unbounded: bool,
    /// If true, no fewer repetitions are tried later.
    is_possessive: bool,
}

impl Quantifier {
    /// The quantifier at `at`; `None` if a brace is a letter there.
    fn at(letters: &[char], at: usize) -> Option<Self> {
        let (mut end, is_unbounded) = match letters[at] {
            '?' => (at + 1, false),
            '{' => {
                let inside = letters[at + 1..].iter().take_while(|c| **c != '}');
                let inside: String = inside.take(24).collect();
                let end = at + 2 + inside.chars().count();
                let digits = |c: char| c.is_ascii_digit() || c == ',';
                if letters.get(end - 1) != Some(&'}')
                    || inside.is_empty()
                    || !inside.chars().all(digits)
                {
                    return None;
                }
                let most = inside.split_once(',').map_or(&*inside, |(_, most)| most);
                // Of a hundred repetitions and more, a power of the text is already too much.
                (end, !most.parse::<u64>().is_ok_and(|n| n <= 100))
            }
            _ => (at + 1, true),
        };
        // As few as possible first.
        end += usize::from(letters.get(end) == Some(&'?'));
        let is_possessive = letters.get(end) == Some(&'+');
        Some(Self {
            end: end + usize::from(is_possessive),
            is_unbounded,
            is_possessive,
        })
    }
}

/// If true, the group that these letters begin sets a flag: `(?ix-s:`.
fn has_flag(letters: &[char], flag: char) -> bool {
    let flags = letters
        .iter()
        .skip(1)
        .take_while(|c| c.is_ascii_alphabetic() || **c == '-');
    letters.first() == Some(&'?') && flags.into_iter().any(|c| *c == flag)
}

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

#[cfg(test)]
mod tests {
    use super::examine;

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
            // With possessive repetitions, as tiktoken writes the words of `cl100k_base`.
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
            r"\{[^}]*\}|\x{4e00}+|\x{4000}\p{L}(?!a)b*a*|a{,3}|{}+",
        ] {
            assert!(examine(expression).is_ok(), "{expression}");
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
            r"a*(?=[^z]*z)",
            r"(?=a*)b|(?=a*)c|(?=a*)d|(?=a*)e|(?=a*)f",
            // The engine would take a bit of memory per number.
            r"(a)\k<99999999999>",
            r"(?(1)a|b)",
            r"(?P=x)",
            r"(?=a\K)",
            r"\Ga",
            // A count that a comment hides.
            "(?x)(?:a{#\n99999999})",
            r"(?i-x)a",
            r"a{(?#)99999999}",
        ] {
            assert!(examine(expression).is_err(), "{expression}");
        }
        // Whatever the text, there is an answer.
        for odd in [
            "", "(", ")", "[", "\\", "(((", "a{", "{1,", "[[", "(?", "(?<",
        ] {
            examine(odd).ok();
        }
    }
}
