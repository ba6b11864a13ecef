#!/usr/bin/env bash
# Everything that only a GPU can show, in about eight minutes: tests, probe, sanitizer, benchmark, PyTorch.
#
# usage: on_device.sh     in a repository with .gpu/ (pack.sh), on the machine with the GPU; needs no Rust
#
# Writes results.txt into $OUT (/tmp/relscale-cuda if it is not set), and what each test said beside it.
# Ends with an error if there is no usable GPU.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
out=${OUT:-/tmp/relscale-cuda}
results=$out/results.txt
mkdir -p "$out/tests"
: > "$results"
export RELSCALE_CUDA_GPU=1 RUST_BACKTRACE=1
# Where tests look for fixtures: they were built elsewhere.
export CARGO_MANIFEST_DIR=$PWD/backends/cuda

say() { echo "[$SECONDS s] $*" | tee -a "$results"; }
# Runs a command for at most so many seconds; its output goes to the results.
keep() {
    local seconds=$1
    shift
    timeout "$seconds" "$@" 2>&1 | tee -a "$results"
    return "${PIPESTATUS[0]}"
}

[ -x .gpu/kernels ] || { say "there is no .gpu/kernels: run backends/cuda/pack.sh first"; exit 1; }

say "1 the machine, at $(cat .gpu/commit)"
if command -v nvidia-smi > /dev/null; then
    keep 20 nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,power.limit --format=csv
else
    say "no nvidia-smi"
fi
ldd --version 2> /dev/null | head -1 | tee -a "$results"
if [ -z "${RELSCALE_CUBLASLT:-}" ]; then
    # Only where the backend does not look itself.
    found=$(find /opt /usr/local /usr/lib -name 'libcublasLt.so.1[23]' 2> /dev/null | sort | tail -1)
    [ -n "$found" ] && export RELSCALE_CUBLASLT=$found
fi
say "cuBLASLt: ${RELSCALE_CUBLASLT:-where the backend finds it}"

say "2 first light"
if ! keep 60 .gpu/kernels --exact rows::add --nocapture; then
    say "no GPU was used: stopped"
    exit 1
fi

say "3 every test in a process of its own, six at once"
for binary in kernels conformance golden_checkpoints device errors replicas; do
    ".gpu/$binary" --list 2> /dev/null | sed -n "s/: test$//p" | sed "s/^/$binary /"
done > "$out/list"
export out
# shellcheck disable=SC2016 # expanded by the shell that is started
xargs -P 6 -L 1 bash -c \
    'timeout 120 ".gpu/$0" --exact "$1" --nocapture > "$out/tests/$0.${1//::/.}" 2>&1; echo "$? $0 $1"' \
    < "$out/list" | sort > "$out/tests.txt"
say "$(awk '$1 == 0' "$out/tests.txt" | wc -l) passed; failed:"
awk '$1 != 0' "$out/tests.txt" | while read -r code binary name; do
    say "$binary $name, status $code"
    tail -n 12 "$out/tests/$binary.${name//::/.}" >> "$results"
done
cat "$out"/tests/* | grep -hE 'of the bound$|nats$' | sort >> "$results"

say "4 the same program three times: one line if all agree"
for _ in 1 2 3; do timeout 60 .gpu/probe repeat | sha256sum; done | sort | uniq -c | tee -a "$results"
for what in invariance ones algorithms; do
    keep 60 .gpu/probe "$what" > /dev/null || say "probe $what: status $?"
done

say "5 compute-sanitizer"
if command -v compute-sanitizer > /dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
        for test in attention::attention_of_forests attention::attention_after_a_prefix \
            attention::attention_in_windows_and_under_caps head::log_prob rows::norm; do
            # Nothing new after four minutes: the benchmark needs the rest.
            [ "$SECONDS" -gt 240 ] && break 2
            # A product reads the rows that it is padded with, and nothing made of them is used.
            [ "$tool $test" = "initcheck head::log_prob" ] && continue
            # The test runs in a process of its own.
            said=$(timeout 60 compute-sanitizer --target-processes all --tool "$tool" --error-exitcode 9 \
                .gpu/kernels --exact "$test" 2>&1)
            say "$tool $test: status $?, $(grep -om1 '\(ERROR\|RACECHECK\) SUMMARY.*' <<< "$said")"
        done
    done
else
    say "no compute-sanitizer"
fi

say "6 benchmark"
keep 150 .gpu/cuda --bench || say "the benchmark: status $?"
if command -v nsys > /dev/null; then
    say "time by kernel"
    timeout 60 nsys profile --stats=true --force-overwrite=true -o "$out/profile" .gpu/cuda --test 2>&1 |
        grep -A 25 'cuda_gpu_kern_sum' | cut -c1-150 >> "$results"
fi

say "7 the same shapes in PyTorch"
keep 90 python3 benches/peers/cuda_torch.py || say "PyTorch: status $?"

say "end; all of it is in $results"
awk '$1 != 0 { bad = 1 } END { exit bad }' "$out/tests.txt"
