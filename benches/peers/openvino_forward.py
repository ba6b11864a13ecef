#!/usr/bin/env python3
"""Time OpenVINO on the CPU: next-token log-probabilities of random sequences.

    python openvino_forward.py --dir DIR [options of transformers_forward.py] --compute bfloat16|float32

The checkpoint, the items and the figures are those of transformers_forward.py; the model is converted
from transformers' by `openvino.convert_model`, with its log-softmax and the choice of the next tokens in
torch, as there.
"""

import time

from transformers_forward import arguments, finish, items, load, prepare, timed


def compiled(args):
    import openvino
    import torch

    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, input_ids):
            return self.model(input_ids=input_ids, use_cache=False).logits

    compute, args.compute = args.compute, "float32"
    model = load(args)
    args.compute = compute
    example = torch.tensor(items(args))[:, :-1]
    # By export and not by tracing, which the masks of transformers 5 do not survive.
    converted = openvino.convert_model(torch.export.export(Logits(model), (example,)))
    del model
    hint = {"bfloat16": "bf16", "float32": "f32"}[args.compute]
    settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": args.threads}
    return openvino.compile_model(converted, "CPU", settings)


def main():
    args = arguments()
    prepare(args)
    import openvino
    import torch

    begin = time.perf_counter()
    model = compiled(args)
    load_seconds = time.perf_counter() - begin
    tokens = torch.tensor(items(args))

    def run():
        logits = torch.from_numpy(model(tokens[:, :-1].numpy())[0])
        log_probs = torch.nn.functional.log_softmax(logits, dim=-1)
        return log_probs.gather(2, tokens[:, 1:, None])[:, :, 0]

    engine = f"OpenVINO {openvino.__version__.split('-')[0]}"
    finish(args, engine, "", load_seconds, timed(args, run))


if __name__ == "__main__":
    main()
