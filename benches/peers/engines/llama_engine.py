#!/usr/bin/env python3
"""llama.cpp by llama-cpp-python. See protocol.py.

    python llama_engine.py FOLDER text|choices bf16|q8_0
    python llama_engine.py FOLDER bf16|q8_0 convert

`convert` writes FOLDER/model-TYPE.gguf. Of choices every token is decoded once, in one call: the prefix
belongs to the sequences of all options, a question to those of its own. Keys and values are in f16, which is
llama.cpp's default.
"""

import ctypes
import json
import sys
from pathlib import Path

from protocol import CannotRun, serve

import cases
import numpy
from log_softmax import log_softmax

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def gguf_path(folder, precision):
    return folder / f"model-{precision}.gguf"


def gguf_name(name):
    name = name.removesuffix(".weight")
    if name in NAMES:
        return NAMES[name] + ".weight"
    layer, inner = name.removeprefix("model.layers.").split(".", 1)
    return f"blk.{layer}.{NAMES[inner]}.weight"


def convert(folder, precision):
    import gguf
    import torch
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text())
    kind = {"bf16": gguf.GGMLQuantizationType.BF16, "q8_0": gguf.GGMLQuantizationType.Q8_0}[precision]
    writer = gguf.GGUFWriter(gguf_path(folder, precision), "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    with safe_open(folder / "model.safetensors", "pt") as file:
        for name in file.keys():
            tensor = file.get_tensor(name)
            if tensor.ndim == 1:
                writer.add_tensor(gguf_name(name), tensor.float().numpy())
            elif precision == "bf16":
                raw = tensor.contiguous().view(torch.uint8).numpy()
                writer.add_tensor(gguf_name(name), raw, raw_dtype=kind)
            else:
                writer.add_tensor(gguf_name(name), gguf.quants.quantize(tensor.float().numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def entries(items, kind):
    """(token, position, sequences, index of the target or -1) of every input, and the targets."""
    if kind == "text":
        targets = [token for item in items for token in item["tokens"][1:]]
        inputs, at = [], 0
        for sequence, item in enumerate(items):
            for position, token in enumerate(item["tokens"][:-1]):
                inputs.append((token, position, [sequence], True))
                at += 1
        return inputs, targets, list(range(at)), len(items)
    tree = cases.tree(items)
    nodes = [node for node, _ in tree.targets]
    scored = sorted(set(nodes))
    inputs = [
        (token, position, sequences, i in set(scored))
        for i, (token, position, sequences) in enumerate(zip(tree.tokens, tree.positions, tree.sequences))
    ]
    row = {node: i for i, node in enumerate(scored)}
    count = max(len(s) for s in tree.sequences)
    return inputs, [token for _, token in tree.targets], [row[node] for node in nodes], count


def batch_of(llama, inputs, sequences):
    batch = llama.llama_batch_init(len(inputs), 0, sequences)
    batch.n_tokens = len(inputs)
    for i, (token, position, owners, scored) in enumerate(inputs):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, len(owners), scored
        for j, owner in enumerate(owners):
            batch.seq_id[i][j] = owner
    return batch


def load(folder, kind, precision):
    import llama_cpp
    from llama_cpp import llama_cpp as llama

    inputs, targets, rows, sequences = entries(cases.items(folder, kind), kind)
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(
        str(gguf_path(folder, precision)).encode(), llama.llama_model_default_params()
    )
    if not model:
        raise CannotRun("llama.cpp does not load the GGUF file")
    params = llama.llama_context_default_params()
    # Cells are padded to 256 per sequence.
    params.n_ctx = sequences * 512 if kind == "text" else -(-len(inputs) // 256) * 256
    params.n_batch, params.n_ubatch = len(inputs), min(512, len(inputs))
    params.n_seq_max, params.kv_unified = sequences, kind == "choices"
    params.no_perf = True
    context = llama.llama_init_from_model(model, params)
    if not context:
        raise CannotRun("llama.cpp makes no context for the case")
    batch = batch_of(llama, inputs, sequences)
    memory = llama.llama_get_memory(context)
    wanted = max(rows) + 1

    def prepare(_, threads):
        llama.llama_set_n_threads(context, threads, threads)

        def run():
            llama.llama_memory_clear(memory, False)
            status = llama.llama_decode(context, batch)
            if status:
                raise CannotRun(f"llama_decode returned {status}")
            logits = numpy.ctypeslib.as_array(llama.llama_get_logits(context), (wanted, vocabulary))
            return log_softmax(logits, targets, threads, rows)

        return run, lambda result: result.tolist()

    features = llama.llama_print_system_info().decode()
    print(features, file=sys.stderr)
    return f"llama.cpp ({llama_cpp.__version__} of llama-cpp-python)", prepare


if __name__ == "__main__":
    if sys.argv[3] == "convert":
        convert(Path(sys.argv[1]), sys.argv[2])
    else:
        serve(load)
