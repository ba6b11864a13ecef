# Sourced by the cluster tests: builds the program, makes a study of committed checkpoints and texts,
# scores it on one machine without cutting it, and plans it in many units.
#
# Gives: $root, $work (a folder that is removed), $relscale (the program), $work/one.csv (the table of
# one machine), $work/study (the plan).
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
work=$(mktemp -d /tmp/relscale-cluster.XXXXXX)
cd "$root"
step() { printf '== %s (%s)\n' "$*" "$(date +%T)"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}
# Waits for a command to succeed: seconds, what it waits for, the command.
wait_for() {
    local left=$1 what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        if [ "$left" -le 0 ]; then fail "$what did not come about"; fi
        sleep 1
    done
}
done_units() { find "$work/study/logs" -name '*.jsonl' 2>/dev/null | wc -l; }
at_least() { [ "$(done_units)" -ge "$1" ]; }

step "the program"
relscale=${RELSCALE:-$root/target/release/relscale}
if [ -z "${RELSCALE:-}" ]; then cargo build --release -p relscale-cli; fi
# Tasks start in other folders.
relscale=$(realpath "$relscale")

step "the table of one machine"
# The six largest checkpoints: long enough to be interrupted.
{
    head -1 suite/ladder.csv
    tail -n +2 suite/ladder.csv | sort -t, -k5,5g -k1,1 | tail -6
} | sed "s|checkpoints/|$root/suite/checkpoints/|" >"$work/runs.csv"
study() {
    cat <<JSON
{"runs": "runs.csv", "unit_flops": $1, "scoring": {"bos": {"every_window": 256}, "context": 256},
 "distributions": [
   {"kind": "items", "path": "$root/suite/texts/english-help.jsonl", "scorers": ["bits_per_byte"]},
   {"kind": "items", "path": "$root/suite/texts/rust-code.jsonl", "scorers": ["bits_per_byte"]}]}
JSON
}
study 1e30 >"$work/whole.json"
study 6e8 >"$work/study.json"
"$relscale" study plan "$work/whole.json" "$work/whole"
"$relscale" study run "$work/whole" --shard 0/1 >"$work/whole.out"
"$relscale" study merge "$work/whole" --out "$work/one.csv"
"$relscale" study plan "$work/study.json" "$work/study"
all_units=$("$relscale" study list "$work/study" 2>/dev/null | wc -l)

# The last word of a test: everything done, and the same bytes.
compare() {
    "$relscale" study list "$work/study" --left
    "$relscale" study merge "$work/study" --out "$work/many.csv"
    cmp "$work/one.csv" "$work/many.csv" || fail "the tables differ"
    sha256sum "$work/one.csv" "$work/many.csv"
}
