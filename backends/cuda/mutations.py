"""Breaks kernels and host code one place at a time and checks that a test notices.

usage: mutations.py [NAME...]   (after ptx.sh, whose compiler it uses)

Each mutation edits one file in place, compiles, runs the tests it names on the simulator and puts
the file back. A table says which test failed; a mutation that survives is an error.
"""

import pathlib
import re
import subprocess
import sys

# As the whole workspace, so that its features and therefore its builds are shared.
PACKAGES = ["--workspace"]
HERE = pathlib.Path(__file__).resolve().parent
FLASH, PLAIN, COMMON = "kernels/flash.cu", "kernels/attention.cu", "kernels/common.cuh"
ELEMENTS, NORM, HEAD = "kernels/elementwise.cu", "kernels/norm.cu", "kernels/head.cu"

# name, file, what stands there, what is put there, tests to run
MUTATIONS = [
    ("no barrier before keys are read", FLASH,
     "copy_wait();\n        __syncthreads();\n        fetch<T, D, WARPS>(values_at", "copy_wait();\n        fetch<T, D, WARPS>(values_at", "attention_of_chains"),
    ("values used before they arrive", FLASH,
     "        copy_wait();\n        __syncthreads();\n        if (next.from < next.to) {", "        __syncthreads();\n        if (next.from < next.to) {", "attention_of_chains"),
    ("a query sees the next key", FLASH, "if (key > asked || asked - key >= window)", "if (key > asked + 1 || int(asked - key) >= int(window & 0x7fffffff))", "attention_of_chains"),
    ("a window one key too long", FLASH, "asked - key >= window) {", "asked - key > window) {", "attention_in_windows"),
    ("the total not rescaled", FLASH, "                total[h] *= shrink;\n", "", "attention_of_chains"),
    ("values not transposed", FLASH, "load_matrices_transposed(b, values_at", "load_matrices(b, values_at", "attention_of_chains"),
    ("the wrong key head", FLASH, "k += head / group * D", "k += head % group * D", "attention_of_heads"),
    ("a plain window one key too long", PLAIN, "position - window + 1", "position - window", "attention_in_windows"),
    ("no barrier before weights are read", PLAIN, "rows[lane] = key;\n        __syncthreads();", "rows[lane] = key;", "attention_of_chains"),
    ("only the parent is looked up", COMMON, "while (position < s.position) {", "if (position < s.position) {", "attention_of_forests"),
    ("queries from the first key on", FLASH, "own.start + mine.y - past", "own.start + mine.y", "attention_after_a_prefix"),
    ("a prefix forgotten", PLAIN, "row = past + blockIdx.x", "row = blockIdx.x", "attention_after_a_prefix"),
    ("tiles of queries that nobody asks", "src/forest.rs", "past.saturating_sub(segment.start).min(segment.len)", "0 * past", "attention_after_a_prefix"),
    ("a forest of another prefix", "src/attention.rs", "*before == past", "*before <= past", "attention_after_a_prefix"),
    ("the second block over the first", "src/rows.rs", "to += copied as u64", "to += 0 * copied as u64", "embed_gather_and_concat"),
    ("a soft cap of another scale", COMMON, "cap * tanh_(x / cap)", "cap * tanh_(x)", "log_prob"),
    ("the variance about zero", NORM, "square = fmaf(v[i] - mean, v[i] - mean, square)", "square = fmaf(v[i], v[i], square)", "norm"),
    ("the sum of exponentials not rescaled", HEAD, "mine.sum * exp_(mine.max - highest)", "mine.sum", "log_prob_of_many"),
    ("no barrier between warps of the head", HEAD, "    }\n    __syncthreads();\n", "    }\n", "log_prob"),
    ("a rotation the other way", ELEMENTS, "a * cosine - b * sine", "a * cosine + b * sine", "rope"),
    ("rows of the wrong length", ELEMENTS, "(u64)(ids ? ids[row] : row) * stride", "(u64)(ids ? ids[row] : row) * width", "embed_gather_and_concat"),
    ("the last value left out", ELEMENTS, "    if (i < len) {\n        Lane<T, N>::load(x + i, a);", "    if (i + N < len) {\n        Lane<T, N>::load(x + i, a);", "add"),
    ("the weight not transposed", "src/gemm/descriptors.rs", "let transpose = 1i32;", "let transpose = 0i32;", "linear"),
    ("rows of any distance to a product", "src/product.rs", " && x.is_wide(cuda.format.bytes())", "", "linear"),
    ("16 bytes at a time from anywhere", "src/buffer.rs", "self.pointer.is_multiple_of(16)", "self.pointer.is_multiple_of(2)", "attention_of_heads norm"),
    ("parents forgotten", "src/forest.rs", "s.parent.unwrap_or(index)", "s.parent.map_or(index, |_| 0)", "attention_of_forests"),
    ("every chunk scores the first targets", "src/head.rs", "firsts.pointer() + 4 * start as u64", "firsts.pointer()", "log_prob_in_chunks"),
    ("a rope table of another scale", "src/elementwise.rs", "frequencies == op.frequencies && *scale == op.scale", "frequencies == op.frequencies && *scale >= 0.0", "rope_of_another_scale"),
    ("chunks of a block by its width", "src/buffer.rs", "start * self.stride as usize * format.bytes()", "start * self.width as usize * format.bytes()", "log_prob_in_chunks"),
    ("a window's edge by the first query", FLASH, "last - base_key >= window", "first - base_key >= window", "attention_in_windows_that_cut_tiles"),
    ("keys of one choice for all of a tile", FLASH, "tile.segment[step.to] == tile.segment[warp]", "tile.segment[step.to] != NONE", "choices_in_one_tile attention_of_choices"),
    ("a shared block that is not whole", "src/forest.rs", "segments[first as usize].position / KEYS", "segments[first as usize].position.div_ceil(KEYS)", "choices_in_one_tile attention_of_choices"),
    ("warps that see the blocks of others", FLASH, "warp >= step.from && warp < step.to && ", "", "choices_in_one_tile attention_of_choices"),
    ("a wide norm of odd groups", "src/elementwise.rs", "view.is_wide(bytes) && width.is_multiple_of((16 / bytes) as u32)", "view.is_wide(bytes)", "norm"),
    ("the alignment of queries only", "src/attention.rs", "[&q, &k, &v].iter()", "[&q].iter()", "attention_of_blocks_that_are_not_aligned"),
    ("sums in parts", "src/gemm/descriptors.rs", "CUBLASLT_REDUCTION_SCHEME_NONE", "CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE", "batch"),
    ("an algorithm per number of rows", "src/gemm.rs", "rows: USUAL_ROWS,", "rows: shape.rows,", "a_row_does_not_depend"),
    ("an algorithm not tried on few rows", "src/gemm.rs", "plans.iter().all(|plan|", "plans[..1].iter().all(|plan|", "an_algorithm_runs"),
    ("one algorithm in the fast mode", "src/gemm.rs", "Mode::Fast => shape,", "Mode::Fast => Shape { rows: USUAL_ROWS, ..shape },", "the_fast_mode"),
    ("a product beyond its operand", "src/product.rs", " && x.room >= rows as usize", "", "batch"),
    ("the device's memory where it has no pools", "src/memory.rs", "0 {\n        return Ok(None);", "-1 {\n        return Ok(None);", "device:without_memory_pools"),
    ("staging memory used again at once", "src/memory.rs", "        self.done[self.current].wait()?;\n", "", "device:staging"),
    ("a buffer from anywhere", "src/buffer.rs", "if self.memory.is_on(device)", "if self.memory.is_on(device) || self.len > 0", "device:another_handle"),
    ("a norm by an infinite sum", NORM, "total < INFINITY ?", "total <= INFINITY ?", "device:not_finite"),
    ("the fault at whichever call comes next", "src/device.rs", "        if self.watched {", "        if self.watched && grid[0] == 0 {", "device:names_its_kernel"),
    ("the compiler's words forgotten", "src/device.rs", "            &log,\n", "            &log[..0],\n", "device:compiler"),
    ("what a variable names is passed over", "src/library.rs", "open(&path).map_err(unusable)", "open(&path).or(Ok(())).map_err(unusable)", "library:passed_over"),
    ("packages are not looked at", "src/library.rs", "site_packages(&prefix.join(\"lib\"))", "site_packages(&prefix.join(\"lib64\"))", "library:python"),
    ("a padded column that is not zero", ELEMENTS, "c < width ? clip(x[i] * scale, bound) : 0.0f", "clip(x[i] * scale, bound)", "linear"),
    ("logits beyond the vocabulary", HEAD, "x[j] = -INFINITY;", "x[j] = 0.0f;", "log_prob"),
    ("no factor on embeddings", "src/rows.rs", "        scale: op.scale as f32,\n", "", "embed_gather_and_concat"),
    ("a bias of another block", "src/buffer.rs", "start: self.start + first,", "start: self.start,", "bias"),
    ("a bias that changes", "src/elementwise.rs", " || Arc::get_mut(&mut x.memory).is_none()", "", "a_bias_that_is_added_to"),
    ("the bias of the wrong value head", FLASH, "v_bias + head / group * D", "v_bias + head % group * D", "biases_of_"),
    ("queries without their bias", PLAIN, "q_bias ? widen(from[d]) + q_bias[head * dim + d] : widen(from[d])", "widen(from[d])", "biases_of_queries"),
    ("a slope of another unit", FLASH, "slopes[head] * log2e", "slopes[head]", "attention_with_slopes"),
    ("distances from the first query", PLAIN, "(float)(position - at)", "(float)(base - at)", "attention_with_slopes"),
    ("a bound that swallows", ELEMENTS, "x > bound ? bound : x < -bound ? -bound : x", "fminf(fmaxf(x, -bound), bound)", "clip"),
    ("experts added to the first rows", ELEMENTS, "(u64)rows[blockIdx.x] * width", "(u64)blockIdx.x * width", "add_rows"),
]


def run(*command):
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def compile_kernels():
    code, said = run(sys.executable, "kernels/compile.py", "target/nvidia", "--no-report")
    if code != 0:
        sys.exit(f"the kernels do not compile:\n{said}")


def verdict(tests):
    """The first test that fails, with the reason; None when all pass.

    `tests` are parts of names, of tests in tests/kernels or, as FILE:NAME, in another file.
    """
    file, _, names = tests.rpartition(":")
    code, said = run("cargo", "test", *PACKAGES, "--test", file or "kernels", "--", *names.split())
    if code == 0:
        return None
    if "test result: FAILED" not in said or "running 0 tests" in said.split("test result")[0]:
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
