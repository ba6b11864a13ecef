"""The shapes of benches/cuda.rs in PyTorch on a GPU: products, attention, a whole forward pass.

usage: python3 benches/peers/cuda_torch.py [--test]

Prints tables with the same names as `cargo bench --bench cuda`. Without PyTorch or a GPU it prints what is
missing and ends. The forward pass is transformers' LlamaForCausalLM with SDPA and random weights, with
log-probabilities of every next token.
"""

import sys
import time

VOCAB = 50304
# hidden, layers, mlp, as in benches/cuda.rs
MODELS = [(512, 8, 2048), (1024, 8, 4096), (2048, 8, 8192), (4096, 4, 16384)]


def seconds(torch, once, call):
    """Seconds per call: the fastest of three repetitions of ten, after one that warms up."""
    calls, repetitions = (1, 1) if once else (10, 3)
    best = float("inf")
    for repetition in range(repetitions + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            call()
        torch.cuda.synchronize()
        if repetition > 0 or once:
            best = min(best, (time.perf_counter() - start) / calls)
    return best


def products(torch, once):
    for what, rows, inputs, outputs in [
        ("largest", 8192, 8192, 8192),
        ("queries, keys, values", 8192, 2048, 6144),
        ("gate and up", 8192, 2048, 16384),
        ("head", 2048, 2048, VOCAB),
        ("one short text", 128, 2048, 16384),
    ]:
        x = torch.randn(rows, inputs, device="cuda", dtype=torch.bfloat16)
        weight = torch.randn(outputs, inputs, device="cuda", dtype=torch.bfloat16)
        spent = seconds(torch, once, lambda x=x, weight=weight: torch.nn.functional.linear(x, weight))
        rate = 2 * rows * inputs * outputs / spent / 1e12
        print(f"{what:24} {rows:>5} × {inputs:>5} → {outputs:>6}  {rate:8.1f} TFLOP/s")


def attention(torch, once):
    for length, dim in [(2048, 64), (2048, 128), (8192, 128)]:
        shape = (8192 // length, 2048 // dim, length, dim)
        q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3))
        call = torch.nn.functional.scaled_dot_product_attention
        spent = seconds(torch, once, lambda q=q, k=k, v=v: call(q, k, v, is_causal=True))
        rate = 2 * 8192 * length * 2048 / spent / 1e12
        print(f"attention, heads of {dim:3}   {shape[0]} texts of {length}        {rate:8.1f} TFLOP/s")


def forward(torch, once):
    try:
        from transformers import LlamaConfig, LlamaForCausalLM
    except ImportError:
        print("forward: not measured, transformers is not installed")
        return
    for hidden, layers, mlp in MODELS:
        config = LlamaConfig(
            vocab_size=VOCAB, hidden_size=hidden, intermediate_size=mlp, num_hidden_layers=layers,
            num_attention_heads=hidden // 64, num_key_value_heads=hidden // 64,
            max_position_embeddings=16384, tie_word_embeddings=True, attn_implementation="sdpa",
        )
        with torch.device("cuda"):
            model = LlamaForCausalLM(config).to(torch.bfloat16).eval()
        count, length = (1, 64) if once else (4, 2048)
        tokens = torch.randint(VOCAB, (count, length), device="cuda")

        @torch.inference_mode()
        def score(model=model, tokens=tokens):
            logits = model(tokens).logits[:, :-1].float()
            picked = logits.gather(2, tokens[:, 1:, None])[..., 0] - logits.logsumexp(2)
            return picked.cpu()

        spent = seconds(torch, once, score)
        print(f"forward, {layers} layers of {hidden}, {count} texts of {length}: "
              f"{count * length / spent:.0f} tokens/s")
        del model
        torch.cuda.empty_cache()


def main():
    try:
        import torch
    except ImportError:
        print("not measured: PyTorch is not installed")
        return
    if not torch.cuda.is_available():
        print("not measured: PyTorch finds no GPU")
        return
    once = "--test" in sys.argv[1:]
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, bf16")
    products(torch, once)
    attention(torch, once)
    forward(torch, once)


main()
