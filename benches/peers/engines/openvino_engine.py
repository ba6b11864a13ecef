#!/usr/bin/env python3
"""OpenVINO. See protocol.py.

    python openvino_engine.py FOLDER text|choices f32|bf16
    python openvino_engine.py FOLDER text|choices convert

`convert` exports transformers' model with torch.export and keeps it in FOLDER; the weights stay in bf16 there.
Of choices one pass computes the prefix once and the tree of questions and options under a mask.
"""

import sys
from pathlib import Path

from protocol import CannotRun, serve

import cases
import numpy
from log_softmax import log_softmax


def converted_path(folder, kind):
    return folder / f"openvino-{kind}.xml"


def inputs(folder, kind):
    """Inputs of the converted model, and the targets."""
    items = cases.items(folder, kind)
    if kind == "text":
        tokens = numpy.array([item["tokens"] for item in items])
        return [numpy.ascontiguousarray(tokens[:, :-1])], tokens[:, 1:].ravel()
    tree = cases.tree(items)
    nodes, targets = numpy.array(tree.targets).T
    mask = numpy.where(numpy.array(tree.visible()), 0.0, -1e9).astype(numpy.float32)[None, None]
    return [numpy.array([tree.tokens]), numpy.array([tree.positions]), mask, nodes.copy()], targets


def convert(folder, kind):
    import openvino
    import torch
    import transformers

    class Text(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, tokens):
            return self.model(tokens, use_cache=False).logits

    class Choices(Text):
        def forward(self, tokens, positions, mask, nodes):
            states = self.model.model(tokens, position_ids=positions, attention_mask=mask, use_cache=False)
            return self.model.lm_head(states.last_hidden_state[:, nodes])

    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    module = {"text": Text, "choices": Choices}[kind](model.eval())
    example = tuple(torch.from_numpy(array) for array in inputs(folder, kind)[0])
    # By export and not by tracing, which the masks of transformers 5 do not survive.
    with torch.no_grad():
        converted = openvino.convert_model(torch.export.export(module, example))
    openvino.save_model(converted, converted_path(folder, kind), compress_to_fp16=False)


def load(folder, kind, precision):
    import openvino

    path = converted_path(folder, kind)
    if not path.exists():
        raise CannotRun("the model was not converted")
    core = openvino.Core()
    arrays, targets = inputs(folder, kind)
    held = {}

    def prepare(_, threads):
        # The model of another number of threads goes first.
        held.clear()
        settings = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        }
        held["request"] = core.compile_model(path, "CPU", settings).create_infer_request()

        def run():
            logits = held["request"].infer(arrays, share_inputs=True, share_outputs=True)[0]
            return log_softmax(logits.reshape(-1, logits.shape[-1]), targets, threads)

        return run, lambda result: result.tolist()

    return f"OpenVINO {openvino.__version__.split('-')[0]}", prepare


if __name__ == "__main__":
    if sys.argv[3] == "convert":
        convert(Path(sys.argv[1]), sys.argv[2])
    else:
        serve(load)
