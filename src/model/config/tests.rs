//! `config.json` of every architecture: defaults, spellings and refusals.

use serde_json::{Map, Value};

use super::*;

const MINIMAL: &str = r#"{"architectures": ["LlamaForCausalLM"], "vocab_size": 32,
    "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
    "num_attention_heads": 2}"#;

fn with(extra: &str) -> Result<Config, Error> {
    let mut map: Map<String, Value> = serde_json::from_str(MINIMAL).unwrap();
    map.extend(serde_json::from_str::<Map<String, Value>>(extra).unwrap());
    Config::parse(&Value::Object(map).to_string(), Path::new("config.json"))
}

/// A small configuration of the class with these fields beside.
fn of(class: &str, extra: &str) -> Result<Config, Error> {
    let mut map: Map<String, Value> = serde_json::from_str(if class == "GPT2LMHeadModel" {
        r#"{"vocab_size": 32, "n_embd": 16, "n_layer": 4, "n_head": 2}"#
    } else {
        r#"{"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24,
            "num_hidden_layers": 4, "num_attention_heads": 2, "num_key_value_heads": 2}"#
    })
    .unwrap();
    map.insert("architectures".to_owned(), Value::from(vec![class]));
    map.extend(serde_json::from_str::<Map<String, Value>>(extra).unwrap());
    Config::parse(&Value::Object(map).to_string(), Path::new("config.json"))
}

fn full(config: &Config) -> RopeConfig {
    match config.positions.clone() {
        Positions::Rotary { full, .. } => full,
        other => panic!("{other:?}"),
    }
}

fn sliding(config: &Config) -> RopeConfig {
    match config.positions.clone() {
        Positions::Rotary { sliding, .. } => sliding,
        other => panic!("{other:?}"),
    }
}

fn windows(config: &Config) -> Vec<bool> {
    (0..config.num_hidden_layers)
        .map(|layer| config.is_sliding(layer))
        .collect()
}

#[test]
fn defaults_are_those_of_each_class() {
    for (class, head_dim, context, eps, tied, window) in [
        ("LlamaForCausalLM", 8, 2048, 1e-6, false, None),
        ("Qwen2ForCausalLM", 8, 32768, 1e-6, false, None),
        ("Qwen3ForCausalLM", 128, 32768, 1e-6, false, None),
        ("MistralForCausalLM", 8, 131_072, 1e-6, false, Some(4096)),
        ("Olmo2ForCausalLM", 8, 2048, 1e-5, false, None),
        ("Phi3ForCausalLM", 8, 4096, 1e-5, false, None),
        ("GPTNeoXForCausalLM", 8, 2048, 1e-5, false, None),
        ("GPT2LMHeadModel", 8, 1024, 1e-5, true, None),
        ("Gemma2ForCausalLM", 256, 8192, 1e-6, true, Some(4096)),
        ("Gemma3ForCausalLM", 256, 131_072, 1e-6, true, Some(4096)),
    ] {
        let config = of(class, "{}").unwrap();
        assert_eq!(config.architecture.name(), class);
        assert_eq!(config.head_dim, head_dim, "{class}");
        assert_eq!(config.max_position_embeddings, context, "{class}");
        assert_eq!(config.norm_eps, eps, "{class}");
        assert_eq!(config.tie_word_embeddings, tied, "{class}");
        assert_eq!(config.sliding_window, window, "{class}");
    }
    // Some classes have a number of key and value heads of their own, which null is not.
    for (class, heads) in [
        ("Qwen2ForCausalLM", 32),
        ("Qwen3ForCausalLM", 32),
        ("MistralForCausalLM", 8),
        ("Gemma2ForCausalLM", 4),
    ] {
        let text = format!(
            r#"{{"architectures": ["{class}"], "vocab_size": 32, "hidden_size": 128,
            "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 64}}"#
        );
        let config = Config::parse(&text, Path::new("config.json")).unwrap();
        assert_eq!(config.num_key_value_heads, heads, "{class}");
        let config = of(class, r#"{"num_key_value_heads": null}"#).unwrap();
        assert_eq!(config.num_key_value_heads, 2, "{class}");
    }
    let neox = of("GPTNeoXForCausalLM", "{}").unwrap();
    assert_eq!(full(&neox).partial_rotary_factor, 0.25);
    assert!(neox.parallel_residual && neox.qkv_bias && neox.output_bias && neox.mlp_bias);
    assert_eq!(neox.activation, Activation::GeluErf);
    let gpt2 = of("GPT2LMHeadModel", r#"{"n_inner": null}"#).unwrap();
    assert_eq!((gpt2.intermediate_size, gpt2.hidden_size), (64, 16));
    assert_eq!(gpt2.activation, Activation::GeluTanh);
    let gemma = of("Gemma2ForCausalLM", "{}").unwrap();
    assert_eq!(gemma.attn_logit_softcapping, Some(50.0));
    assert_eq!(gemma.final_logit_softcapping, Some(30.0));
    assert_eq!(
        (gemma.attention_scale, gemma.embedding_scale),
        (1.0 / 16.0, 4.0)
    );
    let gemma = of("Gemma3ForCausalLM", "{}").unwrap();
    assert_eq!(gemma.attn_logit_softcapping, None);
    assert_eq!(gemma.final_logit_softcapping, None);
    assert_eq!(full(&gemma).theta, 1_000_000.0);
    assert_eq!(sliding(&gemma).theta, 10_000.0);
}

#[test]
fn null_is_not_missing() {
    let uncapped = r#"{"attn_logit_softcapping": null, "final_logit_softcapping": null}"#;
    let gemma = of("Gemma2ForCausalLM", uncapped).unwrap();
    assert_eq!(gemma.attn_logit_softcapping, None);
    assert_eq!(gemma.final_logit_softcapping, None);
    let mistral = of("MistralForCausalLM", r#"{"sliding_window": null}"#).unwrap();
    assert_eq!(mistral.sliding_window, None);
    assert_eq!(windows(&mistral), [false; 4]);
}

#[test]
fn windows_are_where_the_class_has_them() {
    let (yes, no) = (true, false);
    for (class, extra, want) in [
        ("MistralForCausalLM", r#"{"sliding_window": 3}"#, [yes; 4]),
        ("Phi3ForCausalLM", r#"{"sliding_window": 3}"#, [yes; 4]),
        // Llama has no window, whatever the file says.
        ("LlamaForCausalLM", r#"{"sliding_window": 3}"#, [no; 4]),
        ("Qwen2ForCausalLM", r#"{"sliding_window": 3}"#, [no; 4]),
        (
            "Qwen2ForCausalLM",
            r#"{"sliding_window": 3, "use_sliding_window": true}"#,
            [no; 4],
        ),
        (
            "Qwen2ForCausalLM",
            r#"{"sliding_window": 3, "use_sliding_window": true, "max_window_layers": 3}"#,
            [no, no, no, yes],
        ),
        (
            "Qwen3ForCausalLM",
            r#"{"use_sliding_window": true, "max_window_layers": 0}"#,
            [yes; 4],
        ),
        ("Gemma2ForCausalLM", "{}", [yes, no, yes, no]),
        ("Gemma3ForCausalLM", "{}", [yes; 4]),
        (
            "Gemma3ForCausalLM",
            r#"{"sliding_window_pattern": 3}"#,
            [yes, yes, no, yes],
        ),
        (
            "Gemma3ForCausalLM",
            r#"{"layer_types": ["full_attention", "full_attention", "sliding_attention",
                "full_attention"]}"#,
            [no, no, yes, no],
        ),
    ] {
        assert_eq!(windows(&of(class, extra).unwrap()), want, "{class} {extra}");
    }
}

#[test]
fn gemma3_has_two_ropes_in_both_spellings() {
    let old = of(
        "Gemma3ForCausalLM",
        r#"{"rope_theta": 5e5, "rope_local_base_freq": 3e4,
            "rope_scaling": {"rope_type": "linear", "factor": 8}}"#,
    )
    .unwrap();
    let new = of(
        "Gemma3ForCausalLM",
        r#"{"rope_parameters": {"sliding_attention": {"rope_theta": 3e4},
            "full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 5e5}}}"#,
    )
    .unwrap();
    assert_eq!(old.positions, new.positions);
    assert_eq!(full(&old).scaling, RopeScaling::Linear { factor: 8.0 });
    assert_eq!(sliding(&old).scaling, RopeScaling::Default);
}

#[test]
fn each_class_refuses_what_it_does_not_have() {
    const QWEN2: &str = "Qwen2ForCausalLM";
    const QWEN3: &str = "Qwen3ForCausalLM";
    const MISTRAL: &str = "MistralForCausalLM";
    const OLMO2: &str = "Olmo2ForCausalLM";
    const PHI3: &str = "Phi3ForCausalLM";
    const NEOX: &str = "GPTNeoXForCausalLM";
    const GPT2: &str = "GPT2LMHeadModel";
    const GEMMA2: &str = "Gemma2ForCausalLM";
    const GEMMA3: &str = "Gemma3ForCausalLM";
    for (class, extra, field, value) in [
        (
            QWEN2,
            r#"{"attention_bias": false}"#,
            "attention_bias",
            "false",
        ),
        (QWEN2, r#"{"hidden_act": "relu"}"#, "hidden_act", "relu"),
        (
            QWEN2,
            r#"{"layer_types": ["full_attention"]}"#,
            "layer_types",
            "1 kinds",
        ),
        (
            QWEN2,
            r#"{"use_sliding_window": true, "layer_types": [1, 2, 3, 4]}"#,
            "layer_types",
            "[1,2,3,4]",
        ),
        (
            QWEN3,
            r#"{"layer_types": ["sliding_attention", "full_attention", "full_attention",
                "full_attention"]}"#,
            "layer_types",
            "without a window",
        ),
        (QWEN3, r#"{"mlp_bias": true}"#, "mlp_bias", "true"),
        (
            QWEN3,
            r#"{"rope_parameters": {"full_attention": {"rope_theta": 3.0}}}"#,
            "rope_parameters.full_attention",
            "3.0",
        ),
        (
            MISTRAL,
            r#"{"attention_bias": true}"#,
            "attention_bias",
            "true",
        ),
        (MISTRAL, r#"{"sliding_window": 0}"#, "sliding_window", "0"),
        (MISTRAL, r#"{"sliding_window": -1}"#, "sliding_window", "-1"),
        (
            MISTRAL,
            r#"{"layer_types": ["sliding_attention", "full_attention", "full_attention",
                "full_attention"]}"#,
            "layer_types",
            "full_attention",
        ),
        (
            MISTRAL,
            r#"{"partial_rotary_factor": 0.5}"#,
            "partial_rotary_factor",
            "0.5",
        ),
        (OLMO2, r#"{"hidden_act": "gelu"}"#, "hidden_act", "gelu"),
        (OLMO2, r#"{"mlp_bias": true}"#, "mlp_bias", "true"),
        (
            OLMO2,
            r#"{"rope_scaling": {"type": "xpos"}}"#,
            "rope_scaling.type",
            "xpos",
        ),
        (
            PHI3,
            r#"{"attention_bias": true}"#,
            "attention_bias",
            "true",
        ),
        (
            PHI3,
            r#"{"rope_scaling": {"type": "ntk"}}"#,
            "rope_scaling.type",
            "ntk",
        ),
        (
            PHI3,
            r#"{"rope_scaling": {"type": "linear", "factor": 2}}"#,
            "rope_scaling.type",
            "linear",
        ),
        (
            PHI3,
            r#"{"partial_rotary_factor": 0.2}"#,
            "partial_rotary_factor",
            "0.2",
        ),
        (
            PHI3,
            r#"{"partial_rotary_factor": 1.5}"#,
            "partial_rotary_factor",
            "1.5",
        ),
        (
            PHI3,
            r#"{"partial_rotary_factor": 0.5,
                "rope_parameters": {"partial_rotary_factor": 0.25}}"#,
            "partial_rotary_factor",
            "0.25",
        ),
        (NEOX, r#"{"rotary_pct": 0}"#, "rotary_pct", "0"),
        (NEOX, r#"{"rotary_pct": -0.5}"#, "rotary_pct", "-0.5"),
        (NEOX, r#"{"rotary_pct": 0.4}"#, "rotary_pct", "0.4"),
        (NEOX, r#"{"rope_theta": 5.0}"#, "rope_theta", "5"),
        (
            NEOX,
            r#"{"partial_rotary_factor": 0.5}"#,
            "partial_rotary_factor",
            "0.5",
        ),
        (NEOX, r#"{"hidden_act": "relu"}"#, "hidden_act", "relu"),
        (
            NEOX,
            r#"{"use_parallel_residual": 1}"#,
            "use_parallel_residual",
            "1",
        ),
        (NEOX, r#"{"hidden_size": 15}"#, "hidden_size", "15"),
        (NEOX, r#"{"head_dim": 4}"#, "head_dim", "4"),
        (
            NEOX,
            r#"{"num_key_value_heads": 1}"#,
            "num_key_value_heads",
            "1",
        ),
        (NEOX, r#"{"layer_norm_eps": 1}"#, "layer_norm_eps", "1"),
        (
            GPT2,
            r#"{"activation_function": "relu"}"#,
            "activation_function",
            "relu",
        ),
        (
            GPT2,
            r#"{"scale_attn_weights": false}"#,
            "scale_attn_weights",
            "false",
        ),
        (
            GPT2,
            r#"{"scale_attn_by_inverse_layer_idx": true}"#,
            "scale_attn_by_inverse_layer_idx",
            "true",
        ),
        (
            GPT2,
            r#"{"add_cross_attention": true}"#,
            "add_cross_attention",
            "true",
        ),
        (GPT2, r#"{"n_embd": 15}"#, "n_embd", "15"),
        (GPT2, r#"{"n_head": null}"#, "n_head", "missing"),
        (
            GPT2,
            r#"{"layer_norm_epsilon": 3}"#,
            "layer_norm_epsilon",
            "3",
        ),
        (
            GEMMA2,
            r#"{"hidden_activation": "silu"}"#,
            "hidden_activation",
            "silu",
        ),
        (
            GEMMA2,
            r#"{"attn_logit_softcapping": 0}"#,
            "attn_logit_softcapping",
            "0",
        ),
        (
            GEMMA2,
            r#"{"final_logit_softcapping": -3}"#,
            "final_logit_softcapping",
            "-3",
        ),
        (
            GEMMA2,
            r#"{"query_pre_attn_scalar": 0}"#,
            "query_pre_attn_scalar",
            "0",
        ),
        (
            GEMMA2,
            r#"{"sliding_window": null}"#,
            "sliding_window",
            "null",
        ),
        (
            GEMMA2,
            r#"{"use_bidirectional_attention": true}"#,
            "use_bidirectional_attention",
            "true",
        ),
        (
            GEMMA3,
            r#"{"attn_logit_softcapping": 50}"#,
            "attn_logit_softcapping",
            "50",
        ),
        (
            GEMMA3,
            r#"{"sliding_window_pattern": 0}"#,
            "sliding_window_pattern",
            "0",
        ),
        (
            GEMMA3,
            r#"{"rope_local_base_freq": 0}"#,
            "rope_local_base_freq",
            "0",
        ),
        (
            GEMMA3,
            r#"{"rope_parameters": {"rope_theta": 5e5}}"#,
            "rope_parameters.rope_theta",
            "expected",
        ),
        (
            GEMMA3,
            r#"{"rope_theta": 1e6, "rope_parameters": {"full_attention": {"rope_theta": 5e5}}}"#,
            "rope_theta",
            "500000",
        ),
        (
            GEMMA3,
            r#"{"rope_parameters": {"sliding_attention": {"rope_type": "xpos"}}}"#,
            "rope_parameters.sliding_attention.rope_type",
            "xpos",
        ),
    ] {
        match of(class, extra) {
            Err(Error::Config {
                field: f, message, ..
            }) => {
                assert_eq!(f, field, "{class} {extra}: {message}");
                assert!(message.contains(value), "{class} {extra}: {message}");
            }
            other => panic!("{class} {extra}: {other:?}"),
        }
    }
}

#[test]
fn newer_classes_refuse_what_they_do_not_have() {
    const OLMO: &str = r#"{"vocab_size": 32, "d_model": 16, "n_layers": 2, "n_heads": 2,
        "rope": true, "include_bias": false, "architectures": ["OLMoForCausalLM"]}"#;
    let olmo = |extra: &str| {
        let mut map: Map<String, Value> = serde_json::from_str(OLMO).unwrap();
        map.extend(serde_json::from_str::<Map<String, Value>>(extra).unwrap());
        Config::parse(&Value::Object(map).to_string(), Path::new("config.json"))
    };
    let plain = olmo("{}").unwrap();
    assert_eq!((plain.intermediate_size, plain.vocab_size), (32, 32));
    assert!(plain.tie_word_embeddings);
    assert_eq!(olmo(r#"{"embedding_size": 48}"#).unwrap().vocab_size, 48);
    assert_eq!(
        olmo(r#"{"multi_query_attention": true}"#)
            .unwrap()
            .num_key_value_heads,
        1
    );
    let refused = |result: Result<Config, Error>, field: &str| match result {
        Err(Error::Config { field: f, .. }) => assert_eq!(f, field),
        other => panic!("{field}: {other:?}"),
    };
    refused(olmo(r#"{"alibi": true}"#), "alibi");
    refused(olmo(r#"{"rope": false}"#), "rope");
    refused(olmo(r#"{"mlp_hidden_size": 31}"#), "mlp_hidden_size");
    refused(
        olmo(r#"{"attention_layer_norm": true, "clip_qkv": 8.0}"#),
        "clip_qkv",
    );
    for (class, extra, field) in [
        ("FalconForCausalLM", r#"{"alibi": true}"#, "alibi"),
        (
            "FalconForCausalLM",
            r#"{"new_decoder_architecture": true, "parallel_attn": false}"#,
            "parallel_attn",
        ),
        (
            "PhiForCausalLM",
            r#"{"qk_layernorm": true}"#,
            "qk_layernorm",
        ),
        ("StableLmForCausalLM", r#"{"rope_pct": 0.5}"#, "rope_pct"),
        (
            "OPTForCausalLM",
            r#"{"ffn_dim": 8, "do_layer_norm_before": false}"#,
            "do_layer_norm_before",
        ),
        (
            "OPTForCausalLM",
            r#"{"ffn_dim": 8, "word_embed_proj_dim": 8}"#,
            "word_embed_proj_dim",
        ),
        (
            "Olmo3ForCausalLM",
            r#"{"rope_theta": 10000.0}"#,
            "rope_theta",
        ),
        (
            "SmolLM3ForCausalLM",
            r#"{"no_rope_layers": [1, 0]}"#,
            "no_rope_layers",
        ),
        (
            "GraniteForCausalLM",
            r#"{"residual_multiplier": 0}"#,
            "residual_multiplier",
        ),
        (
            "MixtralForCausalLM",
            r#"{"num_experts_per_tok": 9}"#,
            "num_experts_per_tok",
        ),
        (
            "Qwen3MoeForCausalLM",
            r#"{"mlp_only_layers": "all"}"#,
            "mlp_only_layers",
        ),
        (
            "Phi3ForCausalLM",
            r#"{"rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}}"#,
            "rope_scaling",
        ),
    ] {
        refused(of(class, extra), field);
    }
}

#[test]
fn more_layers_than_any_model_has_are_refused() {
    for (class, field) in [
        ("LlamaForCausalLM", "num_hidden_layers"),
        ("MixtralForCausalLM", "num_hidden_layers"),
        ("Qwen3MoeForCausalLM", "num_hidden_layers"),
        ("SmolLM3ForCausalLM", "num_hidden_layers"),
        ("GPT2LMHeadModel", "n_layer"),
    ] {
        let layers = |layers: usize| of(class, &format!(r#"{{"{field}": {layers}}}"#));
        assert_eq!(layers(MAX_LAYERS).unwrap().num_hidden_layers, MAX_LAYERS);
        let error = layers(MAX_LAYERS + 1).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`{field}`: 16385 is not")),
            "{error}"
        );
    }
}

#[test]
fn layers_without_experts_may_be_named_in_any_order_and_twice() {
    let config = of(
        "Qwen3MoeForCausalLM",
        r#"{"mlp_only_layers": [3, 0, 3, 9]}"#,
    )
    .unwrap();
    let experts = config.experts.unwrap();
    assert_eq!(experts.layers, [false, true, true, false]);
}

#[test]
fn a_context_ends_where_the_rotary_embedding_would_change() {
    let text = r#"{"original_max_position_embeddings": 512, "max_position_embeddings": 4096,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.5, 2.0, 3.0],
            "long_factor": [2.0, 3.0, 4.0, 5.0]}}"#;
    let config = of("Phi3ForCausalLM", text).unwrap();
    assert_eq!(config.max_position_embeddings, 512);
    // √(1 + ln 8 / ln 512) with ln 512 = 3 ln 8.
    let factor = full(&config).attention_factor();
    assert!((factor - (4.0f64 / 3.0).sqrt()).abs() < 1e-15);
    let frequencies = full(&config).frequencies(8);
    assert!((frequencies[1] - 0.1 / 1.5).abs() < 1e-15);
}

#[test]
fn slopes_are_those_of_the_publication() {
    let mut config = with(r#"{"num_attention_heads": 8, "hidden_size": 16}"#).unwrap();
    config.positions = Positions::LinearBiases;
    let eighths: Vec<f64> = (1..=8).map(|i| 0.5f64.powi(i)).collect();
    assert_eq!(config.slopes().unwrap(), eighths);
    // Between those of 4 heads, 2^−2 to 2^−8, come those of 8 heads with odd numbers.
    config.num_attention_heads = 6;
    assert_eq!(
        config.slopes().unwrap(),
        [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]
    );
}

#[test]
fn defaults_are_those_of_transformers() {
    let config = with("{}").unwrap();
    assert_eq!((config.head_dim, config.num_key_value_heads), (4, 2));
    assert_eq!(
        full(&config),
        RopeConfig {
            theta: 10_000.0,
            partial_rotary_factor: 1.0,
            scaling: RopeScaling::Default
        }
    );
    assert_eq!(config.norm_eps, 1e-6);
    assert!(!config.tie_word_embeddings);
}

#[test]
fn both_spellings_of_rope_agree() {
    let scaling = r#""rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64"#;
    let old = with(&format!(
        r#"{{"rope_theta": 5e5, "rope_scaling": {{{scaling}}}}}"#
    ))
    .unwrap();
    let new = with(&format!(
        r#"{{"rope_parameters": {{"rope_theta": 5e5, {scaling}}}}}"#
    ))
    .unwrap();
    assert_eq!(full(&old), full(&new));
}

#[test]
fn what_is_not_supported_is_refused_by_name_and_value() {
    for (extra, field, value) in [
        (
            r#"{"architectures": ["MambaForCausalLM"]}"#,
            "architectures",
            "Mamba",
        ),
        (
            r#"{"architectures": ["Mamba2ForCausalLM"]}"#,
            "architectures",
            "recurrent state",
        ),
        (
            r#"{"architectures": ["DeepseekV3ForCausalLM"]}"#,
            "architectures",
            "latent attention",
        ),
        (r#"{"architectures": null}"#, "architectures", "missing"),
        (r#"{"hidden_act": "gelu"}"#, "hidden_act", "gelu"),
        (r#"{"num_attention_heads": 0}"#, "num_attention_heads", "0"),
        (r#"{"num_attention_heads": 3}"#, "hidden_size", "8"),
        (r#"{"num_key_value_heads": 3}"#, "num_key_value_heads", "3"),
        (r#"{"hidden_size": 1e30}"#, "hidden_size", "is not in 1..="),
        (r#"{"vocab_size": -5}"#, "vocab_size", "-5"),
        (
            r#"{"vocab_size": 99999999999}"#,
            "vocab_size",
            "99999999999",
        ),
        (r#"{"head_dim": 3}"#, "head_dim", "3"),
        (r#"{"rms_norm_eps": "small"}"#, "rms_norm_eps", "small"),
        (r#"{"rms_norm_eps": -1}"#, "rms_norm_eps", "-1"),
        (r#"{"rope_theta": 0}"#, "rope_theta", "0"),
        (
            r#"{"rope_scaling": {"type": "xpos"}}"#,
            "rope_scaling.type",
            "xpos",
        ),
        (
            r#"{"rope_scaling": {"rope_type": "linear"}}"#,
            "rope_scaling.factor",
            "missing",
        ),
        (
            r#"{"rope_parameters": {"rope_type": "linear", "factor": -2}}"#,
            "rope_parameters.factor",
            "-2",
        ),
        (r#"{"rope_scaling": 3}"#, "rope_scaling", "3"),
        (
            r#"{"tie_word_embeddings": "yes"}"#,
            "tie_word_embeddings",
            "yes",
        ),
        (
            r#"{"quantization_config": {"bits": 4}}"#,
            "quantization_config",
            "bits",
        ),
        (
            r#"{"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}"#,
            "rope_theta",
            "1000000",
        ),
    ] {
        match with(extra) {
            Err(Error::Config {
                field: f, message, ..
            }) => {
                assert_eq!(f, field, "{extra}");
                assert!(message.contains(value), "{extra}: {message}");
            }
            other => panic!("{extra}: {other:?}"),
        }
    }
    let path = Path::new("config.json");
    assert!(matches!(
        Config::parse("{", path),
        Err(Error::Format { .. })
    ));
    assert!(matches!(
        Config::parse("[]", path),
        Err(Error::Format { .. })
    ));
}
