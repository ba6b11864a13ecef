#!/usr/bin/env python3
"""transformers on torch: `eager`, and `compiled` by torch.compile. See protocol.py.

    python torch_engine.py FOLDER text|choices f32|bf16

Of choices, `eager` keeps the keys and values of the prefix in a cache and computes everything else in one
pass under a mask of the tree; `compiled` computes prefix and tree in one such pass. The LM head is applied
where an option is scored and nowhere else. Log-softmax is in f32.
"""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""

from protocol import serve

import cases
import torch
import torch._inductor.config
import transformers

# Rows of logits whose log-softmax is computed at once, so that f32 copies of them stay small.
LOGITS_AT_ONCE = 8 << 20


def pick(logits, targets):
    """Log-probabilities of the targets, part by part."""
    rows = max(1, LOGITS_AT_ONCE // logits.shape[-1])
    parts = zip(logits.split(rows), targets.split(rows))
    of = lambda part, wanted: torch.log_softmax(part, -1, dtype=torch.float32).gather(1, wanted[:, None])[:, 0]
    return torch.cat([of(part, wanted) for part, wanted in parts])


def pick_fused(logits, targets):
    """The same in one expression, which the compiler fuses."""
    return torch.log_softmax(logits, -1, dtype=torch.float32).gather(1, targets[:, None])[:, 0]


def text(model, items):
    tokens = torch.tensor([item["tokens"] for item in items])
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].flatten()

    def eager():
        return pick(model(inputs, use_cache=False).logits.flatten(0, 1), targets)

    def whole(inputs, targets):
        return pick_fused(model(inputs, use_cache=False).logits.flatten(0, 1), targets)

    return eager, whole, (inputs, targets)


def choices(model, items):
    tree = cases.tree(items)
    tokens, positions = torch.tensor([tree.tokens]), torch.tensor([tree.positions])
    visible = torch.tensor(tree.visible())[None, None]
    nodes, targets = torch.tensor(tree.targets).T.contiguous()
    prefix = tree.prefix
    assert int(nodes.min()) >= prefix

    def eager():
        kept = model.model(tokens[:, :prefix], use_cache=True).past_key_values
        states = model.model(
            tokens[:, prefix:],
            position_ids=positions[:, prefix:],
            attention_mask=visible[:, :, prefix:],
            past_key_values=kept,
            use_cache=True,
        ).last_hidden_state
        return pick(model.lm_head(states[0, nodes - prefix]), targets)

    def whole(tokens, positions, visible, nodes, targets):
        states = model.model(tokens, position_ids=positions, attention_mask=visible, use_cache=False)
        return pick_fused(model.lm_head(states.last_hidden_state[0, nodes]), targets)

    return eager, whole, (tokens, positions, visible, nodes, targets)


def load(folder, kind, precision):
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
    eager, whole, inputs = {"text": text, "choices": choices}[kind](model, cases.items(folder, kind))
    # Products of the compiled graph use weights that are packed once.
    torch._inductor.config.freezing = bool(int(os.environ.get("PEERS_FREEZING", "1")))
    compiled = torch.compile(whole, dynamic=False)

    def prepare(mode, threads):
        torch.set_num_threads(threads)
        run = eager if mode == "eager" else lambda: compiled(*inputs)

        def timed():
            with torch.inference_mode() if mode == "eager" else torch.no_grad():
                return run()

        return timed, lambda result: result.tolist()

    return f"torch {torch.__version__.split('+')[0]}, transformers {transformers.__version__}", prepare


if __name__ == "__main__":
    serve(load)
