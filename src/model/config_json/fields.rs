//! Fields of a JSON object, with the difference between missing and null that classes make.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::Error;
use crate::model::config::MAX_DIMENSION;

/// A JSON object whose errors name the file and the field.
pub(in crate::model) struct Fields<'a> {
    map: &'a Map<String, Value>,
    /// Names of the objects around this one, dotted.
    prefix: String,
    path: PathBuf,
}

impl<'a> Fields<'a> {
    /// The fields of a whole file.
    pub(super) fn new(map: &'a Map<String, Value>, path: &Path) -> Self {
        Self {
            map,
            prefix: String::new(),
            path: path.to_owned(),
        }
    }
}

impl Fields<'_> {
    /// An error about the field.
    pub(in crate::model) fn error(&self, field: &str, message: impl Into<String>) -> Error {
        Error::Config {
            path: self.path.clone(),
            field: self.full_name(field),
            message: message.into(),
        }
    }

    pub(super) fn full_name(&self, field: &str) -> String {
        let dot = if self.prefix.is_empty() { "" } else { "." };
        format!("{}{dot}{field}", self.prefix)
    }

    /// The value of the field, even null.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        self.map.get(field)
    }

    /// The value of the field, unless it is missing or null.
    pub(in crate::model) fn present(&self, field: &str) -> Option<&Value> {
        // `transformers` writes null for most fields that a class does not use.
        self.map.get(field).filter(|v| !v.is_null())
    }

    /// True if the field is there, even as null.
    // Null and missing differ where a class has a default other than null: null then means "none",
    // missing means the default.
    fn contains(&self, field: &str) -> bool {
        self.map.contains_key(field)
    }

    /// Names of all fields.
    pub(in crate::model) fn names(&self) -> impl Iterator<Item = &str> {
        self.map.keys().map(String::as_str)
    }

    /// The field as an object.
    pub(in crate::model) fn object(&self, field: &str) -> Result<Fields<'_>, Error> {
        match self.present(field) {
            Some(Value::Object(map)) => Ok(Fields {
                map,
                prefix: self.full_name(field),
                path: self.path.clone(),
            }),
            other => Err(self.error(field, format!("{other:?} is not an object"))),
        }
    }

    /// The fields, with those of `defaults` where they are missing.
    pub(in crate::model) fn over(&self, defaults: &Value) -> Map<String, Value> {
        let mut all = defaults.as_object().cloned().unwrap_or_default();
        all.extend(self.map.iter().map(|(k, v)| (k.clone(), v.clone())));
        all
    }

    /// The same place in the file with other fields.
    pub(in crate::model) fn with<'b>(&self, map: &'b Map<String, Value>) -> Fields<'b> {
        Fields {
            map,
            prefix: self.prefix.clone(),
            path: self.path.clone(),
        }
    }

    /// Refuses the field unless it is missing, null or one of `values`.
    pub(in crate::model) fn only(&self, field: &str, values: &[Value]) -> Result<(), Error> {
        match self.present(field) {
            Some(v) if !values.contains(v) => {
                Err(self.error(field, format!("{v} is not supported")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses the fields unless they are missing, null or false.
    pub(in crate::model) fn never(&self, fields: &[&str]) -> Result<(), Error> {
        fields
            .iter()
            .try_for_each(|field| self.only(field, &[Value::from(false)]))
    }

    /// Refuses the field unless it is missing, null or `value`.
    pub(in crate::model) fn must_be(&self, field: &str, value: f64) -> Result<(), Error> {
        match self.number(field)? {
            Some(x) if x != value => {
                Err(self.error(field, format!("{x} is not supported; supported: {value}")))
            }
            _ => Ok(()),
        }
    }

    /// The value that `values` has for the text of the field; the first if the field is missing.
    pub(in crate::model) fn one_of<T: Copy>(
        &self,
        field: &str,
        values: &[(&str, T)],
    ) -> Result<T, Error> {
        let found = match self.present(field) {
            None => values.first(),
            Some(v) => values.iter().find(|(name, _)| v == name),
        };
        found.map(|(_, value)| *value).ok_or_else(|| {
            let value = self.present(field).unwrap_or(&Value::Null);
            let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            self.error(
                field,
                format!("{value} is not supported; supported: {names}"),
            )
        })
    }

    /// The field as a number, unless it is missing or null.
    pub(in crate::model) fn number(&self, field: &str) -> Result<Option<f64>, Error> {
        match self.present(field) {
            None => Ok(None),
            Some(v) => match v.as_f64() {
                Some(x) => Ok(Some(x)),
                None => Err(self.error(field, format!("{v} is not a number"))),
            },
        }
    }

    /// A positive number: `None` if the field is null, `missing` if it is missing.
    pub(in crate::model) fn positive(
        &self,
        field: &str,
        missing: Option<f64>,
    ) -> Result<Option<f64>, Error> {
        match self.number(field)? {
            None if self.contains(field) => Ok(None),
            None => Ok(missing),
            Some(x) if x > 0.0 && x.is_finite() => Ok(Some(x)),
            Some(x) => Err(self.error(field, format!("{x} is not positive"))),
        }
    }

    /// The field as a truth value; `missing` if it is missing or null.
    pub(in crate::model) fn flag(&self, field: &str, missing: bool) -> Result<bool, Error> {
        match self.present(field) {
            None => Ok(missing),
            Some(Value::Bool(b)) => Ok(*b),
            Some(v) => Err(self.error(field, format!("{v} is neither true nor false"))),
        }
    }

    /// The field as a dimension, unless it is missing or null.
    pub(in crate::model) fn optional_dimension(&self, field: &str) -> Result<Option<usize>, Error> {
        let Some(v) = self.present(field) else {
            return Ok(None);
        };
        match v.as_u64() {
            Some(n @ 1..=MAX_DIMENSION) => Ok(usize::try_from(n).ok()),
            _ => Err(self.error(field, format!("{v} is not in 1..={MAX_DIMENSION}"))),
        }
    }

    /// A count, which may be 0; `missing` if the field is missing.
    pub(in crate::model) fn count(&self, field: &str, missing: usize) -> Result<usize, Error> {
        match self.present(field) {
            Some(v) if v.as_u64() == Some(0) => Ok(0),
            _ => Ok(self.optional_dimension(field)?.unwrap_or(missing)),
        }
    }

    /// A dimension: `None` if the field is null, `missing` if it is missing.
    pub(in crate::model) fn nullable_dimension(
        &self,
        field: &str,
        missing: Option<usize>,
    ) -> Result<Option<usize>, Error> {
        if self.contains(field) {
            self.optional_dimension(field)
        } else {
            Ok(missing)
        }
    }

    /// The field as a dimension, which must be there.
    pub(in crate::model) fn dimension(&self, field: &str) -> Result<usize, Error> {
        self.optional_dimension(field)?
            .ok_or_else(|| self.error(field, "missing"))
    }
}
