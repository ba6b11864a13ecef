//! Names of the tensors of an adapter.

/// Prefix of all names: the wrappers that PEFT puts around a model.
const WRAPPERS: &str = "base_model.model.";

/// One of the two matrices of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    A,
    B,
    EmbeddingA,
    EmbeddingB,
}

/// The tensor of the base that a tensor of an adapter belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A matrix of a module.
    Factor(Part, String),
    /// A tensor in place of that of the base.
    Whole(String),
    /// A tensor that is not read, with the reason.
    Unknown(String),
}

impl Target {
    /// The target of the tensor `name`.
    pub(super) fn of(name: &str) -> Self {
        let Some(plain) = name.strip_prefix(WRAPPERS) else {
            return Self::Unknown(format!("has a name without `{WRAPPERS}`"));
        };
        // `default` is the name that PEFT gives an adapter; it stays where tensors were saved by hand.
        let inner = ["default", "base_layer", "modules_to_save"];
        let parts: Vec<&str> = plain.split('.').filter(|p| !inner.contains(p)).collect();
        let plain = parts.join(".");
        for (suffix, part) in [
            (".lora_A.weight", Part::A),
            (".lora_B.weight", Part::B),
            (".lora_embedding_A", Part::EmbeddingA),
            (".lora_embedding_B", Part::EmbeddingB),
        ] {
            if let Some(module) = plain.strip_suffix(suffix) {
                return Self::Factor(part, module.to_owned());
            }
        }
        match parts.iter().find(|part| part.starts_with("lora_")) {
            Some(part) => Self::Unknown(format!("`{part}` is of a kind of LoRA that is not read")),
            None => Self::Whole(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_base() {
        let of = |name: &str| Target::of(&format!("base_model.model.{name}"));
        let factor = |part, module: &str| Target::Factor(part, module.to_owned());
        let whole = |name: &str| Target::Whole(name.to_owned());
        for (name, target) in [
            (
                "model.q_proj.lora_A.weight",
                factor(Part::A, "model.q_proj"),
            ),
            (
                "model.q_proj.lora_B.default.weight",
                factor(Part::B, "model.q_proj"),
            ),
            ("wte.lora_embedding_A", factor(Part::EmbeddingA, "wte")),
            (
                "wte.lora_embedding_B.default",
                factor(Part::EmbeddingB, "wte"),
            ),
            ("lm_head.weight", whole("lm_head.weight")),
            (
                "lm_head.modules_to_save.default.weight",
                whole("lm_head.weight"),
            ),
            ("q_proj.base_layer.bias", whole("q_proj.bias")),
        ] {
            assert_eq!(of(name), target);
        }
        for name in ["q_proj.lora_magnitude_vector", "q_proj.lora_B.bias"] {
            assert!(matches!(of(name), Target::Unknown(_)), "{name}");
        }
        assert!(matches!(
            Target::of("q_proj.lora_A.weight"),
            Target::Unknown(_)
        ));
    }
}
