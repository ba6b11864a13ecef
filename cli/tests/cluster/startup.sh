#!/usr/bin/env bash
# How long a unit takes to start: units of 1 to 16 items of 512 tokens, each in a process of its own,
# with a random Qwen3-shaped checkpoint of 0.27 billion parameters in bf16 (545 MB, just written, so
# that it is read from memory where there is enough).
#
#     bash cli/tests/cluster/startup.sh [THREADS]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
cd "$root"
relscale=${RELSCALE:-$root/target/release/relscale}
if [ -z "${RELSCALE:-}" ]; then cargo build --release -p relscale-cli; fi
work=$(mktemp -d /tmp/relscale-startup.XXXXXX)
trap 'rm -rf "$work"' EXIT
python3 - "$work" <<'PY'
import json, os, random, struct, sys

work = sys.argv[1]
vocab, hidden, layers, heads, kv, head, mlp = 128256, 768, 12, 12, 4, 64, 2048
config = dict(
    architectures=["Qwen3ForCausalLM"], model_type="qwen3", hidden_act="silu", vocab_size=vocab,
    hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=layers, num_attention_heads=heads,
    num_key_value_heads=kv, head_dim=head, max_position_embeddings=1024, rms_norm_eps=1e-6,
    rope_theta=1e6, tie_word_embeddings=False, attention_bias=False, use_sliding_window=False,
    sliding_window=None, max_window_layers=layers, dtype="bfloat16",
)
shapes = {"model.embed_tokens": [vocab, hidden], "lm_head": [vocab, hidden], "model.norm": [hidden]}
for layer in range(layers):
    name = f"model.layers.{layer}."
    shapes |= {
        name + "input_layernorm": [hidden], name + "post_attention_layernorm": [hidden],
        name + "self_attn.q_proj": [heads * head, hidden], name + "self_attn.k_proj": [kv * head, hidden],
        name + "self_attn.v_proj": [kv * head, hidden], name + "self_attn.o_proj": [hidden, heads * head],
        name + "self_attn.q_norm": [head], name + "self_attn.k_norm": [head],
        name + "mlp.gate_proj": [mlp, hidden], name + "mlp.up_proj": [mlp, hidden],
        name + "mlp.down_proj": [hidden, mlp],
    }
header, at = {}, 0
for name, shape in shapes.items():
    size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
    header[name + ".weight"] = dict(dtype="BF16", shape=shape, data_offsets=[at, at + size])
    at += size
os.mkdir(f"{work}/checkpoint")
json.dump(config, open(f"{work}/checkpoint/config.json", "w"))
with open(f"{work}/checkpoint/model.safetensors", "wb") as out:
    text = json.dumps(header).encode()
    out.write(struct.pack("<Q", len(text)) + text)
    for entry in header.values():
        count = (entry["data_offsets"][1] - entry["data_offsets"][0]) // 2
        # bf16 of magnitude 2⁻⁷ to 2⁻⁵ with a random sign.
        values = bytearray(2 * count)
        values[0::2] = os.urandom(count)
        values[1::2] = os.urandom(count).translate(bytes([0x3C, 0xBC] * 128))
        out.write(values)
parameters = at // 2
with open(f"{work}/runs.csv", "w") as out:
    out.write("run,corpus,budget,flops,params,tokens,checkpoint\n")
    out.write(f"random,none,1e18,1e18,{parameters},1e9,checkpoint\n")
rng = random.Random(1)
sources = []
for items in 1, 4, 16:
    with open(f"{work}/items-{items}.jsonl", "w") as out:
        for i in range(items):
            tokens = [rng.randrange(vocab) for _ in range(512)]
            out.write(json.dumps(dict(id=i, tokens=tokens)) + "\n")
    sources.append(dict(kind="items", path=f"items-{items}.jsonl", scorers=["nats_per_token"]))
study = dict(runs="runs.csv", unit_flops=1e30, distributions=sources)
json.dump(study, open(f"{work}/study.json", "w"))
print(f"{parameters} parameters, {at / 1e6:.0f} MB")
PY
"$relscale" study plan "$work/study.json" "$work/study"
"$relscale" study list "$work/study" 2>/dev/null | while read -r _ flops name; do
    echo "$flops FLOPs:"
    TIMEFORMAT="  %U s of processor time and %S s in the system"
    time "$relscale" study run "$work/study" "$name" --threads "${1:-2}"
done
