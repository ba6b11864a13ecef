//! Names of folders against the configurations in them.

use relscale::Error;
use relscale::ladder::RunTable;
use relscale::model::Config;

use super::folder_names;
use super::names::gemstone_shape;

/// Largest ratio between the parameters of a model and those in its name. OLMo 2 1B has 1.48 billion, with
/// its embeddings; the sizes of one release are a factor of 1.3 (750M and 1B of DataDecide) and usually 2
/// apart.
const RATIO: f64 = 1.5;

/// Warnings about checkpoints whose `config.json` is not that of a model of their name: a folder that was
/// renamed, or a download into the wrong one.
///
/// The size in the name is compared with the parameters, with or without embeddings; widths and depths in the
/// names of Gemstones and IsoFLOP runs exactly.
///
/// # Errors
/// A configuration that cannot be read.
pub fn disagreements(table: &RunTable) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    for trained in &table.runs {
        let path = &trained.checkpoint;
        let (name, _) = folder_names(path)?;
        let config = Config::load(path)?;
        found.extend(
            disagreement(&name, &config)
                .map(|what| format!("{}: `{name}` {what}; is it another model?", path.display())),
        );
    }
    Ok(found)
}

/// A predicate of a name that is not that of the configuration.
fn disagreement(name: &str, config: &Config) -> Option<String> {
    let (width, depth) = (config.hidden_size, config.num_hidden_layers);
    if let Some((named_width, named_depth)) = stated_shape(name) {
        return ((named_width, named_depth) != (width, depth)).then(|| {
            format!(
                "says {named_width} wide and {named_depth} layers, and config.json {width} wide and \
                 {depth} layers"
            )
        });
    }
    // Sizes of DataDecide count neither embeddings nor heads, which are most of its small models.
    if name.starts_with("DataDecide-") {
        return None;
    }
    let size = name.split('-').find_map(size)?;
    let all = config.parameters() as f64;
    let tables = if config.tie_word_embeddings { 1.0 } else { 2.0 };
    let rest = all - tables * (config.vocab_size * width) as f64;
    let near = |params: f64| (1.0 / RATIO..=RATIO).contains(&(params / size));
    (!near(all) && !near(rest)).then(|| {
        format!(
            "says {size:.2e} parameters, and config.json {all:.3e} ({rest:.3e} without embeddings)"
        )
    })
}

/// Width and depth in a name.
fn stated_shape(name: &str) -> Option<(usize, usize)> {
    if let Some(rest) = name.strip_prefix("Gemstone-") {
        return gemstone_shape(rest);
    }
    let rest = name.strip_prefix("isoflop-")?;
    let number = |mark: &str| {
        let mut parts = rest.split('-').filter_map(|part| part.strip_prefix(mark));
        parts.find_map(|digits| digits.parse().ok())
    };
    number("d").zip(number("L"))
}

/// Parameters in a part of a name: `160m`, `1.4b`, `111M`, `7B`.
fn size(part: &str) -> Option<f64> {
    let unit = match part.as_bytes().last()?.to_ascii_lowercase() {
        b'm' => 1e6,
        b'b' => 1e9,
        _ => return None,
    };
    let number: f64 = part[..part.len() - 1].parse().ok()?;
    (number > 0.0).then_some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GPT-NeoX of this width and depth, as Pythia has it.
    fn pythia(width: usize, depth: usize) -> Config {
        let text = format!(
            r#"{{"architectures": ["GPTNeoXForCausalLM"], "vocab_size": 50304, "hidden_size": {width},
                "num_hidden_layers": {depth}, "num_attention_heads": 8, "intermediate_size": {},
                "max_position_embeddings": 2048, "layer_norm_eps": 1e-5, "rotary_pct": 0.25,
                "hidden_act": "gelu", "tie_word_embeddings": false}}"#,
            4 * width
        );
        Config::parse(&text, std::path::Path::new("config.json")).unwrap()
    }

    #[test]
    fn models_of_their_names_agree() {
        // Widths and depths of the model cards.
        for (name, width, depth) in [
            ("pythia-14m", 128, 6),
            ("pythia-31m-seed2", 256, 6),
            ("pythia-70m-deduped", 512, 6),
            ("pythia-160m-data-seed1", 768, 12),
            ("pythia-410m-v0", 1024, 24),
            ("pythia-1b", 2048, 16),
            ("pythia-1.4b", 2048, 24),
            ("pythia-12b", 5120, 36),
            ("Gemstone-256x23_cooldown", 256, 23),
            ("isoflop-1ep19-d2048-L21-B16-nemo-wider", 2048, 21),
            ("DataDecide-c4-4M", 64, 8),
            ("some-model", 64, 8),
        ] {
            assert_eq!(disagreement(name, &pythia(width, depth)), None, "{name}");
        }
    }

    #[test]
    fn models_of_other_names_are_told() {
        for (name, width, depth, part) in [
            (
                "pythia-160m",
                1024,
                24,
                "1.60e8 parameters, and config.json 4.05",
            ),
            ("pythia-410m", 768, 12, "4.10e8 parameters"),
            ("pythia-1b", 512, 6, "1.00e9 parameters"),
            ("Gemstone-256x23", 256, 22, "256 wide and 23 layers"),
            (
                "isoflop-1ep19-d2048-L21-B16-nemo-wider",
                2048,
                20,
                "21 layers, and config.json",
            ),
        ] {
            let found = disagreement(name, &pythia(width, depth)).unwrap();
            assert!(found.contains(part), "{name}: no {part:?} in {found}");
        }
    }
}
