//! JSON objects with one member per tensor: the header of a safetensors file, the map of an index.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// The members of an object in its order, without `__metadata__`, a map of texts. No name is there
/// twice.
///
/// The visitor is written by hand. The one that serde derives for a map beside a named field stores
/// every number of a shape in sixteen times its bytes, and keeps the last of two members of a name.
#[derive(Debug)]
pub(super) struct Entries<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData))
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = Entries<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let named = |e: A::Error| A::Error::custom(format_args!("`{name}`: {e}"));
            // Parsed and dropped, so that only a map of texts passes, as in the safetensors
            // library.
            if name == "__metadata__" {
                map.next_value::<HashMap<String, String>>().map_err(named)?;
                continue;
            }
            let value = map.next_value().map_err(named)?;
            // JSON readers differ in which of two equal names they keep, so two programs would read
            // two models from one file.
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("`{name}` is there twice")));
            }
            entries.push((name, value));
        }
        Ok(Entries(entries))
    }
}
