#!/usr/bin/env python3
"""Write the log-probabilities of a case in f64, against which every program's error is measured.

    python reference64.py FOLDER text|choices

The forward pass is written out here, since transformers computes norms, rotations and softmax in f32
whatever the type of the weights. Weights are widened layer by layer.
"""

import json
import sys
from pathlib import Path

import cases


def rms_norm(x, weight, epsilon):
    return x * (x.pow(2).mean(-1, keepdim=True) + epsilon).rsqrt() * weight


def rotated(x, positions, base):
    """Rotates the first half of each head against the second. `x` is [rows, heads, positions, width]."""
    import torch

    half = x.shape[-1] // 2
    frequencies = base ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = positions[:, None].double() * frequencies
    first, second = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def hidden(folder, tokens, positions, visible):
    """States after the last norm, [rows, positions, hidden], and the LM head."""
    import torch
    from safetensors import safe_open

    config = json.loads((folder / "config.json").read_text())
    epsilon, base = config["rms_norm_eps"], config["rope_parameters"]["rope_theta"]
    heads, shared, width = (config[k] for k in ("num_attention_heads", "num_key_value_heads", "head_dim"))
    with safe_open(folder / "model.safetensors", "pt") as file:
        weight = lambda name: file.get_tensor(name + ".weight").double()
        x = file.get_tensor("model.embed_tokens.weight")[tokens].double()
        rows, length = tokens.shape
        for i in range(config["num_hidden_layers"]):
            of = lambda name: weight(f"model.layers.{i}.{name}")
            y = rms_norm(x, of("input_layernorm"), epsilon)
            split = lambda name, n: (y @ of(f"self_attn.{name}_proj").T).view(rows, length, n, width)
            q = rms_norm(split("q", heads), of("self_attn.q_norm"), epsilon).transpose(1, 2)
            k = rms_norm(split("k", shared), of("self_attn.k_norm"), epsilon).transpose(1, 2)
            v = split("v", shared).transpose(1, 2).repeat_interleave(heads // shared, 1)
            q, k = rotated(q, positions, base), rotated(k, positions, base)
            k = k.repeat_interleave(heads // shared, 1)
            scores = (q @ k.transpose(2, 3) / width**0.5).masked_fill(~visible, -torch.inf)
            y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, length, heads * width)
            x = x + y @ of("self_attn.o_proj").T
            y = rms_norm(x, of("post_attention_layernorm"), epsilon)
            gate = torch.nn.functional.silu(y @ of("mlp.gate_proj").T)
            x = x + (gate * (y @ of("mlp.up_proj").T)) @ of("mlp.down_proj").T
        return rms_norm(x, weight("model.norm"), epsilon), weight("lm_head")


def log_probs(folder, kind):
    import torch

    items = cases.items(folder, kind)
    if kind == "text":
        tokens = torch.tensor([item["tokens"] for item in items])
        tokens, targets = tokens[:, :-1], tokens[:, 1:].flatten()
        length = tokens.shape[1]
        positions, visible = torch.arange(length), torch.ones(length, length, dtype=torch.bool).tril()
        x, head = hidden(folder, tokens, positions, visible)
        x = x.flatten(0, 1)
    else:
        tree = cases.tree(items)
        x, head = hidden(folder, torch.tensor([tree.tokens]), torch.tensor(tree.positions), torch.tensor(tree.visible()))
        nodes, targets = torch.tensor(tree.targets).T
        x = x[0, nodes]
    out = []
    for rows, wanted in zip(x.split(64), targets.split(64)):
        logits = rows @ head.T
        out.append(logits.gather(1, wanted[:, None])[:, 0] - logits.logsumexp(1))
    return torch.cat(out).tolist()


def main():
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    path = cases.reference_path(folder, kind)
    if not path.exists():
        path.write_text(json.dumps(log_probs(folder, kind)) + "\n")


if __name__ == "__main__":
    main()
