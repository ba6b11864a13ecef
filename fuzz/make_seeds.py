#!/usr/bin/env python3
"""Write the seeds of the targets adapter, batch, checkpoint, gguf, logs, pickle, tables and tokenizer from the
fixtures of the tests.

    python3 fuzz/make_seeds.py        into fuzz/seeds/TARGET

A fuzzer that starts from nothing stays at inputs of a few bytes. These seeds show it a configuration, a
header and a forest. The comment at the top of each target explains its bytes.
"""

import json
import struct
import zipfile
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
FIXTURES = FUZZ.parent / "tests/fixtures"
DATA = FUZZ.parent / "cli/tests/data"


def write(target, name, data):
    folder = FUZZ / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def part(data):
    return struct.pack("<H", len(data)) + data


def checkpoints():
    for folder in sorted([*(FIXTURES / "checkpoints").iterdir(), *(FIXTURES / "architectures").iterdir()]):
        if not (folder / "config.json").exists():
            continue
        config = json.dumps(json.loads((folder / "config.json").read_text()), separators=(",", ":")).encode()
        index = folder / "model.safetensors.index.json"
        if index.exists():
            index = json.dumps(json.loads(index.read_text()), separators=(",", ":")).encode()
            write("checkpoint", f"{folder.name}-index", part(config) + part(index) + part(b""))
            continue
        file = (folder / "model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", file[:8])
        header = file[8 : 8 + length].rstrip()
        # Without the data: the header is checked first, and the seeds stay small.
        write("checkpoint", folder.name, part(config) + part(b"") + part(header))
    plain = (FIXTURES / "checkpoints/llama-plain/config.json").read_bytes()
    edits = b"".join(struct.pack("<IB", at, value) for at, value in [(9, 34), (700, 0), (30_000, 255)])
    write("checkpoint", "edits", part(plain) + part(b"") + part(b"") + edits)


def ggufs():
    for kind in range(5):
        edits = b"".join(struct.pack("<HB", at, value) for at, value in [(4, 3), (40, 7), (900, 255)])
        write("gguf", f"edits-{kind}", bytes([kind]) + edits)
        write("gguf", f"whole-{kind}", bytes([kind]))
    for kind in range(6):
        edits = b"".join(struct.pack("<HB", at, value) for at, value in [(40, 7), (300, 2)])
        write("gguf", f"part-{kind}", bytes([5 + kind]) + edits)
        write("gguf", f"parts-{kind}", bytes([5 + kind]))
    write("gguf", "file", b"\xff" + (FIXTURES / "gguf/llama-q4_0.gguf").read_bytes())


def pickles():
    for file in sorted((FIXTURES / "torch").rglob("*.bin")):
        name = f"{file.parent.name}-{file.stem}"
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                pickle = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
                write("pickle", name, b"\0" + archive.read(pickle))
    edits = b"".join(struct.pack("<HB", at, value) for at, value in [(70, 0), (400, 0x52), (3000, 255)])
    write("pickle", "edits", b"\1" + edits)
    write("pickle", "file", b"\2" + (FIXTURES / "torch/views/pytorch_model.bin").read_bytes())


def tokenizers():
    for kind in range(13):
        edits = b"".join(struct.pack("<HB", at, value) for at, value in [(1, 200), (90, 0), (400, 255)])
        write("tokenizer", f"edits-{kind}", bytes([kind]) + edits)
    files = {1: "gpt2/merges.txt", 3: "added/added_tokens.json", 4: "pairs-normalised/tokenizer.model", 7: "qwen/qwen.tiktoken",
             8: "llama3/tokenizer.model", 9: "unigrams-normalised/tokenizer.model", 12: "t5/spiece.model"}
    for kind, file in files.items():
        # The start of a file, with its trainer's settings left out.
        write("tokenizer", f"whole-{kind}", bytes([128 + kind]) + (FIXTURES / "tokenizers" / file).read_bytes()[:2000])


    # The stages without the vocabulary, and a file of Tekken with few tokens.
    stages = json.loads((FIXTURES / "tokenizers/t5-json/tokenizer.json").read_text())
    stages["added_tokens"] = []
    stages["model"]["vocab"] = stages["model"]["vocab"][:9]
    write("tokenizer", "whole-10", bytes([128 + 10]) + json.dumps(stages, separators=(",", ":")).encode())
    tekken = json.loads((FIXTURES / "tokenizers/tekken/tekken.json").read_text())
    tekken["vocab"] = tekken["vocab"][:258]
    tekken["config"]["default_vocab_size"] = 288
    write("tokenizer", "whole-11", bytes([128 + 11]) + json.dumps(tekken, separators=(",", ":")).encode())


def adapters():
    for kind, name in enumerate(["patterns", "gpt2", "whole"]):
        folder = FIXTURES / "adapters" / name
        config = json.dumps(json.loads((folder / "adapter_config.json").read_text()), separators=(",", ":")).encode()
        write("adapter", f"config-{name}", bytes([kind]) + config)
        edits = b"".join(struct.pack("<HB", at, value) for at, value in [(9, 34), (70, 0x41), (9000, 255)])
        write("adapter", f"edits-{name}", bytes([3 + kind]) + edits)
        if (folder / "adapter_model.safetensors").exists():
            file = (folder / "adapter_model.safetensors").read_bytes()
            (length,) = struct.unpack("<Q", file[:8])
            write("adapter", f"header-{name}", bytes([6 + kind]) + file[8 : 8 + length].rstrip())
    for file in sorted((FIXTURES / "adapters/refused").glob("*.json")):
        config = json.dumps(json.loads(file.read_text()), separators=(",", ":")).encode()
        write("adapter", f"config-{file.stem}", bytes([0]) + config)


def logs():
    times = ["2026-11-28T17-44-18.319681", "2026-11-28T17-43-38.033196"]
    harness = [f"results_{times[0]}.json", f"samples_large_{times[0]}.jsonl", f"results_{times[1]}.json"]
    harness += [f"samples_{task}_{times[1]}.jsonl" for task in ["generated", "lambada", "numeric_mutual", "wino"]]
    files = [DATA / "harness_logs/tiny__a" / name for name in harness]
    files += sorted((DATA / "inspect_logs").glob("*.json"))[:2]
    for kind, file in enumerate(files):
        edits = b"".join(struct.pack("<HB", at, value) for at, value in [(9, 34), (700, 0x39), (1500, 255)])
        write("logs", f"edits-{kind}", bytes([kind]) + edits)
        write("logs", f"whole-{kind}", bytes([128 + kind]) + file.read_bytes())


def tables():
    folder = FIXTURES / "tables"
    runs = b"run,params,tokens\nsmall,1e8,2e9\nlarge,1e9,2e10\n"
    wide = b"run,news,law\nsmall,3,4\nlarge,2.5,3.25\n"
    write("tables", "wide-and-runs", b"\2" + part(wide) + runs)
    write("tables", "renamed", b"\4" + part(b"run,params,tokens,distribution,bpb\na,1,2,news,.5\na,1,2,law,1\n"))
    for file in sorted(folder.iterdir()):
        if file.suffix in {".parquet", ".gz", ".zst", ".tsv", ".csv", ".jsonl"} and file.stat().st_size < 1 << 16:
            write("tables", file.name, bytes([8 if file.suffix == ".tsv" else 0]) + part(file.read_bytes()))


def batches():
    def segment(parent, length, first):
        """`parent` is the number of the segment, or None."""
        return bytes([1 + 2 * (0 if parent is None else parent + 1), length, first])

    def target(of, offset, token):
        return bytes([2 * of, offset, token])

    chain = segment(None, 70, 1) + segment(0, 60, 5) + segment(1, 3, 9)
    chain += target(0, 69, 3) + target(1, 59, 4) + target(2, 2, 5)
    star = segment(None, 40, 2) + b"".join(segment(0, 1 + i, i) for i in range(6))
    star += b"".join(target(1 + i, i, 7 * i) for i in range(6))
    roots = b"".join(segment(None, 16 * i + 1, i) for i in range(5))
    roots += b"".join(target(i, 16 * i, i) for i in range(5))
    wrong = segment(None, 4, 0) + segment(3, 4, 0) + segment(0, 0, 0) + target(2, 0, 0) + target(0, 9, 0) + target(0, 3, 255)
    for name, forest in [("chain", chain), ("star", star), ("roots", roots), ("wrong", wrong)]:
        for model in range(2):
            write("batch", f"{name}-{model}", bytes([model]) + forest)


if __name__ == "__main__":
    checkpoints()
    ggufs()
    pickles()
    tokenizers()
    adapters()
    logs()
    tables()
    batches()
