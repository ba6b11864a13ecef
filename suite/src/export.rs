//! Checkpoints in Hugging Face's layout, weights in bf16.

use crate::model::Layout;
use crate::plan::Run;
use crate::shape::{BOS, CONTEXT, HEAD_DIM, NORM_EPS, ROPE_THETA, VOCABULARY};
use half::bf16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::json;
use std::error::Error;
use std::fs;
use std::path::Path;

/// Writes `config.json`, `tokenizer_config.json` (the tokens are bytes) and `model.safetensors` to `<checkpoints>/<corpus>/<run>/`.
pub fn write(
    run: &Run,
    layout: &Layout,
    parameters: &[f32],
    checkpoints: &Path,
) -> Result<(), Box<dyn Error>> {
    let folder = checkpoints.join(&run.corpus).join(&run.name);
    fs::create_dir_all(&folder)?;
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": VOCABULARY,
        "hidden_size": run.shape.hidden,
        "num_hidden_layers": run.shape.layers,
        "num_attention_heads": run.shape.heads,
        "num_key_value_heads": run.shape.heads,
        "head_dim": HEAD_DIM,
        "intermediate_size": run.shape.mlp,
        "max_position_embeddings": CONTEXT,
        "rope_theta": ROPE_THETA,
        "rms_norm_eps": NORM_EPS,
        "hidden_act": "silu",
        "attention_bias": false,
        "tie_word_embeddings": false,
        "bos_token_id": BOS,
        "eos_token_id": BOS,
        "torch_dtype": "bfloat16",
    });
    fs::write(
        folder.join("config.json"),
        serde_json::to_string_pretty(&config)? + "\n",
    )?;
    let tokenizer = json!({ "tokenizer_class": "ByteTokenizer", "bos_token_id": BOS });
    fs::write(
        folder.join("tokenizer_config.json"),
        serde_json::to_string_pretty(&tokenizer)? + "\n",
    )?;
    let bytes: Vec<(&str, &[usize], Vec<u8>)> = layout
        .tensors
        .iter()
        .map(|t| {
            let data = parameters[t.range.clone()]
                .iter()
                .flat_map(|&x| bf16::from_f32(x).to_le_bytes())
                .collect();
            (t.name.as_str(), t.shape.as_slice(), data)
        })
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, data)| Ok((*name, TensorView::new(Dtype::BF16, shape.to_vec(), data)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
    // Readers of the format commonly ask which framework wrote it.
    let note = [("format".to_string(), "pt".to_string())].into();
    safetensors::serialize_to_file(views, Some(note), &folder.join("model.safetensors"))?;
    Ok(())
}

/// Reads a checkpoint written by [`write`] back into a flat parameter vector.
pub fn read(layout: &Layout, folder: &Path) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = fs::read(folder.join("model.safetensors"))?;
    let file = SafeTensors::deserialize(&bytes)?;
    let mut out = vec![0.0; layout.len];
    for t in &layout.tensors {
        let view = file.tensor(&t.name)?;
        if view.shape() != t.shape || view.dtype() != Dtype::BF16 {
            return Err(
                format!("{}: {}: unexpected shape or type", folder.display(), t.name).into(),
            );
        }
        for (x, b) in out[t.range.clone()]
            .iter_mut()
            .zip(view.data().chunks_exact(2))
        {
            *x = bf16::from_le_bytes([b[0], b[1]]).to_f32();
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_as_its_rounded_self() {
        let run = Run::new("balanced", 1e11, 24, 0.25, 0).expect("planned");
        let layout = Layout::new(run.shape);
        let parameters: Vec<f32> = layout.start(3);
        let folder = std::env::temp_dir().join(format!("suite-export-{}", std::process::id()));
        write(&run, &layout, &parameters, &folder).expect("written");
        let back = read(&layout, &folder.join("balanced").join(&run.name)).expect("read");
        let rounded: Vec<f32> = parameters
            .iter()
            .map(|&x| bf16::from_f32(x).to_f32())
            .collect();
        assert_eq!(back, rounded);
        fs::remove_dir_all(folder).expect("removed");
    }
}
