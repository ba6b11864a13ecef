//! `adapter_config.json`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::MERGE_IT;
use crate::checkpoint::entries::Entries;
use crate::error::Error;

/// Fields that say how an adapter was trained, or where, and change nothing in what it computes.
const WITHOUT_EFFECT: [&str; 22] = [
    "auto_mapping",
    "base_model_class",
    "bias",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "modules_to_save",
    "parent_library",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
];
/// Initialisations that leave the base as it is. Others subtract a part of it.
const INITIALISATIONS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// The part of `adapter_config.json` that the merge needs.
#[derive(Debug)]
pub(super) struct Settings {
    path: PathBuf,
    pub(super) base: Option<String>,
    rank: f64,
    alpha: f64,
    /// True if the factor is `alpha / √r`, not `alpha / r`.
    root: bool,
    ranks: Vec<(String, f64)>,
    alphas: Vec<(String, f64)>,
}

impl Settings {
    /// Reads the text of the file `path`.
    ///
    /// # Errors
    /// A field that is malformed, or that changes the computation in a way that is not read.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        let Entries::<Value>(fields) =
            serde_json::from_str(text).map_err(|e| Error::format(path, e))?;
        let mut settings = Self {
            path: path.to_owned(),
            base: None,
            // The defaults of PEFT.
            rank: 8.0,
            alpha: 8.0,
            root: false,
            ranks: Vec::new(),
            alphas: Vec::new(),
        };
        // Before the other fields, which each kind has of its own.
        settings.check_kind(fields.iter().find(|(field, _)| field == "peft_type"))?;
        for (field, value) in fields {
            match field.as_str() {
                "peft_type" => {}
                "base_model_name_or_path" => settings.base = value.as_str().map(str::to_owned),
                "r" => settings.rank = settings.number(&field, &value)?,
                "lora_alpha" => settings.alpha = settings.number(&field, &value)?,
                "use_rslora" => settings.root = settings.flag(&field, &value)?,
                // Corrected by PEFT by the class of the layer, so it decides nothing.
                "fan_in_fan_out" => {
                    settings.flag(&field, &value)?;
                }
                "rank_pattern" => settings.ranks = settings.pattern(&field, &value)?,
                "alpha_pattern" => settings.alphas = settings.pattern(&field, &value)?,
                "init_lora_weights" => settings.check_start(&field, &value)?,
                field if WITHOUT_EFFECT.contains(&field) || is_off(&value) => {}
                field => {
                    let message = format!("{} is not read; {MERGE_IT}", shown(&value));
                    return Err(settings.error(field, message));
                }
            }
        }
        Ok(settings)
    }

    fn check_kind(&self, kind: Option<&(String, Value)>) -> Result<(), Error> {
        match kind {
            Some((_, Value::String(kind))) if kind == "LORA" => Ok(()),
            kind => {
                let kind = kind.map_or("missing".to_owned(), |(_, kind)| shown(kind));
                let message = format!("{kind}: adapters of the type LORA are read; {MERGE_IT}");
                Err(self.error("peft_type", message))
            }
        }
    }

    /// Rank of the matrices of a module.
    pub(super) fn rank(&self, module: &str) -> Result<usize, Error> {
        let rank = self.of("rank_pattern", &self.ranks, module, self.rank)?;
        if rank < 1.0 || rank.fract() != 0.0 || rank > f64::from(u32::MAX) {
            return Err(self.error("r", format!("{rank} is no rank")));
        }
        Ok(rank as usize)
    }

    /// Factor on the product of the matrices of a module.
    pub(super) fn scale(&self, module: &str, rank: usize) -> Result<f64, Error> {
        let alpha = self.of("alpha_pattern", &self.alphas, module, self.alpha)?;
        let rank = rank as f64;
        Ok(alpha / if self.root { rank.sqrt() } else { rank })
    }

    /// The number of the name that a module ends with, or that it is after a `^`: PEFT matches
    /// `(.*\.)?(NAME)$` from the start of the module's full name.
    fn of(
        &self,
        field: &str,
        numbers: &[(String, f64)],
        module: &str,
        default: f64,
    ) -> Result<f64, Error> {
        let fits = |name: &str| match name.strip_prefix('^') {
            Some(whole) => module == whole,
            None => {
                let before = module.strip_suffix(name);
                before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
        };
        let mut found = numbers.iter().filter(|(name, _)| fits(name));
        let Some((name, number)) = found.next() else {
            return Ok(default);
        };
        // The first counts for PEFT, and JSON objects have no order here.
        if let Some((other, _)) = found.find(|(_, n)| n != number) {
            let message = format!("`{name}` and `{other}` differ for {module}; {MERGE_IT}");
            return Err(self.error(field, message));
        }
        Ok(*number)
    }

    /// A truth value, false if it is null. A number or a text would be true for Python and may be meant
    /// as false.
    fn flag(&self, field: &str, value: &Value) -> Result<bool, Error> {
        match value {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            _ => Err(self.error(field, format!("{} is neither true nor false", shown(value)))),
        }
    }

    fn number(&self, field: &str, value: &Value) -> Result<f64, Error> {
        let number = value.as_f64().filter(|x| x.is_finite());
        number.ok_or_else(|| self.error(field, format!("{} is no number", shown(value))))
    }

    /// Numbers by the ends of the names of modules, or by whole names after a `^`. PEFT takes them as
    /// regular expressions, of which only plain names are read.
    fn pattern(&self, field: &str, value: &Value) -> Result<Vec<(String, f64)>, Error> {
        let Some(pairs) = value.as_object() else {
            return match value {
                Value::Null => Ok(Vec::new()),
                _ => Err(self.error(field, format!("{} is no object", shown(value)))),
            };
        };
        let mut numbers = Vec::new();
        for (name, number) in pairs {
            let plain = name.trim_start_matches('^').replace("\\.", ".");
            if plain.contains(|c: char| !(c.is_alphanumeric() || "._-".contains(c))) {
                let message = format!("`{name}` is a regular expression, not a name; {MERGE_IT}");
                return Err(self.error(field, message));
            }
            let plain = match name.starts_with('^') {
                true => format!("^{plain}"),
                false => plain,
            };
            numbers.push((plain, self.number(field, number)?));
        }
        Ok(numbers)
    }

    fn check_start(&self, field: &str, value: &Value) -> Result<(), Error> {
        match value {
            Value::String(name) if !INITIALISATIONS.contains(&name.as_str()) => {
                let message = format!(
                    "`{name}` changes the weights of the base before training, which the adapter \
                     does not hold; {MERGE_IT}"
                );
                Err(self.error(field, message))
            }
            _ => Ok(()),
        }
    }

    fn error(&self, field: &str, message: String) -> Error {
        Error::Config {
            path: self.path.clone(),
            field: field.to_owned(),
            message,
        }
    }
}

/// True for values that switch nothing on.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(items) => items.is_empty(),
        _ => false,
    }
}

/// A value for a message, of which a stranger may have made megabytes.
fn shown(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &str) -> Settings {
        let text = format!(r#"{{"peft_type": "LORA", {fields}}}"#);
        Settings::parse(&text, Path::new(super::super::ADAPTER)).unwrap()
    }

    #[test]
    fn a_pattern_after_an_anchor_is_the_whole_name_of_a_module() {
        let settings = of(
            r#""lora_alpha": 8, "alpha_pattern": {"^q_proj": 2, "^h\\.0\\.k_proj": 4, "v_proj": 16}"#,
        );
        for (module, alpha) in [
            ("q_proj", 2.0),
            ("h.0.q_proj", 8.0),
            ("h.0.k_proj", 4.0),
            ("model.h.0.k_proj", 8.0),
            ("h.0.v_proj", 16.0),
        ] {
            assert_eq!(settings.scale(module, 1).unwrap(), alpha, "{module}");
        }
    }

    #[test]
    fn only_truth_values_choose_the_root_of_the_rank() {
        for (value, factor) in [("true", 4.0), ("false", 2.0), ("null", 2.0)] {
            let settings = of(&format!(r#""lora_alpha": 8, "use_rslora": {value}"#));
            assert_eq!(settings.scale("q_proj", 4).unwrap(), factor, "{value}");
        }
    }
}
