"""Breaks kernels and host code one place at a time and checks that a test notices.

usage: mutations.py [NAME...]   (after ptx.sh, whose compiler it uses)

Each mutation edits one file in place, compiles, runs the tests it names on the simulator and puts
the file back. A table says which test failed; a mutation that survives is an error.
"""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
FLASH, PLAIN, COMMON = "kernels/flash.cu", "kernels/attention.cu", "kernels/common.cuh"
ELEMENTS, NORM, HEAD = "kernels/elementwise.cu", "kernels/norm.cu", "kernels/head.cu"

# name, file, what stands there, what is put there, tests to run
MUTATIONS = [
    ("no barrier before keys are read", FLASH,
     "copy_wait();\n        __syncthreads();\n        fetch<T, D>(values_at", "copy_wait();\n        fetch<T, D>(values_at", "attention_of_chains"),
    ("values used before they arrive", FLASH,
     "        copy_wait();\n        __syncthreads();\n        if (block < last_block) {", "        __syncthreads();\n        if (block < last_block) {", "attention_of_chains"),
    ("a query sees the next key", FLASH, "if (key > asked || asked - key >= window)", "if (key > asked + 1 || int(asked - key) >= int(window & 0x7fffffff))", "attention_of_chains"),
    ("a window one key too long", FLASH, "asked - key >= window) {", "asked - key > window) {", "attention_in_windows"),
    ("the total not rescaled", FLASH, "            total[h] *= shrink;\n", "", "attention_of_chains"),
    ("values not transposed", FLASH, "load_matrices_transposed(b, values_at", "load_matrices(b, values_at", "attention_of_chains"),
    ("the wrong key head", FLASH, "k += head / group * D", "k += head % group * D", "attention_of_heads"),
    ("a plain window one key too long", PLAIN, "position - window + 1", "position - window", "attention_in_windows"),
    ("no barrier before weights are read", PLAIN, "rows[lane] = key;\n        __syncthreads();", "rows[lane] = key;", "attention_of_chains"),
    ("only the parent is looked up", COMMON, "while (position < s.position) {", "if (position < s.position) {", "attention_of_forests"),
    ("queries from the first key on", FLASH, "first_row = own.start + tile.y - past", "first_row = own.start + tile.y", "attention_after_a_prefix"),
    ("a prefix forgotten", PLAIN, "row = past + blockIdx.x", "row = blockIdx.x", "attention_after_a_prefix"),
    ("tiles of queries that nobody asks", "src/forest.rs", "(past.saturating_sub(s.start)..s.len)", "(0..s.len)", "attention_after_a_prefix"),
    ("a forest of another prefix", "src/attention.rs", "segments == op.segments && *before == past", "segments == op.segments && *before <= past", "attention_after_a_prefix"),
    ("the second block over the first", "src/rows.rs", "to += copied as u64", "to += 0 * copied as u64", "embed_gather_and_concat"),
    ("a soft cap of another scale", COMMON, "cap * tanh_(x / cap)", "cap * tanh_(x)", "log_prob"),
    ("the variance about zero", NORM, "square = fmaf(v[i] - mean, v[i] - mean, square)", "square = fmaf(v[i], v[i], square)", "norm"),
    ("the sum of exponentials not rescaled", HEAD, "fmaf(mine.sum, exp_(mine.max - x), 1.0f)", "mine.sum + 1.0f", "log_prob"),
    ("no barrier between warps of the head", HEAD, "    }\n    __syncthreads();\n", "    }\n", "log_prob"),
    ("a rotation the other way", ELEMENTS, "a * turn.x - b * turn.y", "a * turn.x + b * turn.y", "rope"),
    ("rows of the wrong length", ELEMENTS, "(u64)ids[row] * stride", "(u64)ids[row] * width", "embed_gather_and_concat"),
    ("the last value left out", ELEMENTS, "    if (i < len) {\n        Lane<T, N>::load(x + i, a);", "    if (i + N < len) {\n        Lane<T, N>::load(x + i, a);", "add"),
    ("the weight not transposed", "src/gemm.rs", "let transpose = 1i32;", "let transpose = 0i32;", "linear"),
    ("more alignment promised than there is", "src/gemm.rs", "1u32 << address.trailing_zeros().min(8)", "256 + 0 * address as u32", "linear"),
    ("16 bytes at a time from anywhere", "src/buffer.rs", "self.pointer.is_multiple_of(16)", "self.pointer.is_multiple_of(2)", "attention_of_heads norm"),
    ("parents forgotten", "src/forest.rs", "s.parent.unwrap_or(index)", "s.parent.map_or(index, |_| 0)", "attention_of_forests"),
    ("every chunk scores the first targets", "src/head.rs", "firsts.pointer() + 4 * start as u64", "firsts.pointer()", "log_prob_in_chunks"),
    ("no factor on embeddings", "src/rows.rs", "op.tokens, op.scale as f32", "op.tokens, 1.0", "embed_gather_and_concat"),
]


def run(*command):
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def compile_kernels():
    code, said = run(sys.executable, "kernels/compile.py", "target/nvidia", "--no-report")
    if code != 0:
        sys.exit(f"the kernels do not compile:\n{said}")


def verdict(tests):
    """The first test that fails, with the reason; None when all pass."""
    code, said = run("cargo", "test", "-p", "relscale-cuda", "--test", "kernels", "--", *tests.split())
    if code == 0:
        return None
    if "test result: FAILED" not in said:
        sys.exit(f"the tests do not run:\n{said}")
    test = re.search(r"^test ([\w:]+) \.\.\. FAILED", said, re.M)
    reason = re.search(r"(\d\.?\d*e-?\d+ off, allowed \S+|\brace: [^\n]+|NaN off|expected[^\n]*|kernel `[^\n]*|unaligned[^\n]*|align[^\n]*)", said)
    return f"{test[1] if test else '?'}: {reason[1][:90] if reason else 'failed'}"


def main():
    survived = 0
    for name, file, there, instead, tests in MUTATIONS:
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        path = HERE / file
        before = path.read_text()
        if before.count(there) != 1:
            sys.exit(f"{name}: `{there}` stands {before.count(there)} times in {file}")
        kernels = file.startswith("kernels/")
        try:
            path.write_text(before.replace(there, instead))
            if kernels:
                compile_kernels()
            found = verdict(tests)
        finally:
            path.write_text(before)
            if kernels:
                compile_kernels()
        survived += found is None
        print(f"{name:40} {file:24} {found or 'SURVIVED'}", flush=True)
    sys.exit(f"{survived} survived" if survived else 0)


main()
