//! JSON whose objects have every key once.
//!
//! The parser takes the last of two equal keys where an object becomes a map. A text with two losses or a
//! recipe with two budgets would then be another one than its reader sees.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The value of a text in JSON.
///
/// # Errors
/// A text that is not JSON or not a `T`; an object with a key twice.
///
/// # Examples
/// ```
/// use relscale::input::json;
/// use serde_json::Value;
///
/// assert_eq!(json::<Value>(r#"{"a": 1}"#)?["a"], 1);
/// assert!(json::<Value>(r#"{"a": 1, "a": 2}"#).unwrap_err().to_string().contains("`a`"));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn json<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str::<Once>(text)?;
    serde_json::from_str(text)
}

/// Any value whose objects have every key once.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OnceVisitor)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_str<E>(self, _: &str) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_unit<E>(self) -> Result<Once, E> {
        Ok(Once)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Once, A::Error> {
        while list.next_element::<Once>()?.is_some() {}
        Ok(Once)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Once, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            map.next_value::<Once>()?;
            if keys.contains(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` comes twice"
                )));
            }
            keys.insert(key);
        }
        Ok(Once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_key_that_comes_twice_is_refused_at_any_depth() {
        for text in [
            r#"{"a":1,"b":{"c":[{"d":1,"d":1}]}}"#,
            r#"[{"a":null,"\u0061":true}]"#,
        ] {
            let message = json::<Value>(text).unwrap_err().to_string();
            assert!(message.contains("comes twice at line 1"), "{message}");
        }
        let text = r#"{"a":{"a":[-1,2.5,"a",null,true]},"b":{"a":1}}"#;
        assert_eq!(json::<Value>(text).unwrap()["b"]["a"], 1);
        // The parser's own limit of nesting, and no overflow of the stack.
        assert!(json::<Value>(&"[".repeat(100_000)).is_err());
    }
}
