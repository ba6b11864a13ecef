#!/usr/bin/env python3
"""What transformers makes of the weights of SmolLM2-135M as they are in the GGUF file.

    bash fetch.sh
    python compare.py        writes golden.json

The weights are dequantised by the `gguf` package, the rows of queries and keys put back into the
order of transformers, and loaded into LlamaForCausalLM in float32; the text is LICENSE-APACHE of
this repository, in separate windows of 512 tokens without a beginning-of-sequence token, the first
token of each not scored. Tokens come from the `tokenizers` package, from vocabulary and merges of
the file and the pre-tokenizer of SmolLM's own tokenizer.json.

Needs torch, transformers >= 5, gguf and tokenizers.
"""

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FILE = ROOT / "target/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WINDOW = 512
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
}


def transformers_name(name):
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, part, suffix = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.{suffix}"


def main():
    torch.set_num_threads(1)
    reader = gguf.GGUFReader(FILE)
    field = lambda key: reader.fields[key].contents()
    heads = {"attn_q": field("llama.attention.head_count"), "attn_k": field("llama.attention.head_count_kv")}
    state = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        part = tensor.name.split(".")[-2]
        if part in heads:
            n, (rows, cols) = heads[part], values.shape
            values = values.reshape(n, rows // n // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)
        state[transformers_name(tensor.name)] = torch.from_numpy(values)
    config = transformers.LlamaConfig(
        vocab_size=field("llama.vocab_size"), hidden_size=field("llama.embedding_length"),
        intermediate_size=field("llama.feed_forward_length"), num_hidden_layers=field("llama.block_count"),
        num_attention_heads=heads["attn_q"], num_key_value_heads=heads["attn_k"],
        max_position_embeddings=field("llama.context_length"), rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": field("llama.rope.freq_base")}, tie_word_embeddings=True,
    )
    assert abs(field("llama.attention.layer_norm_rms_epsilon") - 1e-5) < 1e-11
    model = transformers.LlamaForCausalLM(config).float().eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()

    vocabulary = {token: i for i, token in enumerate(field("tokenizer.ggml.tokens"))}
    merges = [tuple(merge.split(" ")) for merge in field("tokenizer.ggml.merges")]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    text = (ROOT / "LICENSE-APACHE").read_text()
    ids = tokenizer.encode(text).ids

    windows = []
    for start in range(0, len(ids), WINDOW):
        window = torch.tensor([ids[start : start + WINDOW]])
        with torch.inference_mode():
            logits = model(window, use_cache=False).logits[0, :-1]
        windows.append(logits.log_softmax(-1).gather(1, window[0, 1:, None])[:, 0].double().tolist())
    nats = -sum(map(sum, windows))
    bytes_ = len(text.encode())
    bits = nats / np.log(2) / bytes_
    print(f"{len(ids)} tokens, {bytes_} bytes, {nats:.6f} nats, {bits:.6f} bits per byte of the text")
    golden = {
        "about": "made by compare.py, which says how",
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0], "gguf": "dequantize"},
        "sha256": hashlib.sha256(FILE.read_bytes()).hexdigest(), "window": WINDOW,
        "tokens": ids, "nats": nats, "bits_per_byte": bits,
        "window_nats": [-sum(w) for w in windows], "first_logprobs": windows[0][:64],
    }
    (HERE / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
