#!/usr/bin/env bash
# A study on a Ray cluster of two nodes on this machine, of which one is killed while it works: the
# table has the bytes of one machine.
#
#     bash tests/cluster/ray.sh         # installs Ray in target/cluster/ray unless RAY_BIN has it
#
# Everything listens on loopback, keeps its files in a folder of its own and is stopped.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
bin=${RAY_BIN:-$root/target/cluster/ray/bin}
if [ ! -x "$bin/ray" ]; then
    step "Ray"
    python3 -m venv "$root/target/cluster/ray"
    "$bin/pip" install -q ray
fi

groups=()
finish() {
    status=$?
    set +e
    if [ "$status" -ne 0 ]; then
        for log in "$work"/*.log "$work"/*.out; do
            echo "-- $log" && tail -15 "$log"
        done >&2
    fi
    # Ended as groups: a node is many processes.
    for group in "${groups[@]}"; do
        kill -TERM -- "-$group" 2>/dev/null
    done
    for group in "${groups[@]}"; do
        for _ in 1 2 3 4 5 6 7 8; do kill -0 -- "-$group" 2>/dev/null && sleep 1; done
        kill -KILL -- "-$group" 2>/dev/null
    done
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

step "two nodes"
export RAY_USAGE_STATS_ENABLED=0 RAY_DEDUP_LOGS=0
port=$((20000 + RANDOM % 20000))
# Sockets need a short path.
mkdir "$work/ray"
node() {
    local name=$1
    shift
    setsid "$bin/ray" start --block --num-cpus=1 --object-store-memory=100000000 \
        --temp-dir="$work/ray" --disable-usage-stats "$@" >"$work/$name.log" 2>&1 &
    groups+=($!)
}
node head --head --port="$port" --node-ip-address=127.0.0.1 --include-dashboard=false
alive() {
    "$bin/python" - "$port" "$1" <<'PY'
import sys
from ray._raylet import GcsClient

nodes = GcsClient(address=f"127.0.0.1:{sys.argv[1]}").get_all_node_info().values()
sys.exit(sum(node.state == 0 for node in nodes) != int(sys.argv[2]))
PY
}
wait_for 60 "the first node" alive 1
node second --address="127.0.0.1:$port" --node-ip-address=127.0.0.2
second=$!
wait_for 60 "the second node" alive 2

step "the study"
"$bin/python" examples/cluster/ray_score.py "$work/study" --units "$units" \
    --address "127.0.0.1:$port" --pause 1 >"$work/driver.out" 2>&1 &
driver=$!
# Two are at work at once: both nodes are.
both() { [ "$(find "$work/study/logs" -name '*.part' | wc -l)" -ge 2 ] && at_least 3; }
wait_for 120 "units on both nodes" both

step "the second node is killed"
kill -KILL -- "-$second"
[ "$(done_units)" -lt "$all_units" ] || fail "the study is too small for this machine"
"$units" list "$work/study" --left | head -3
wait "$driver" || fail "the driver failed"
grep -E "tasks$|% of the FLOPs" "$work/driver.out" | tail -3

step "the same bytes"
compare

step "an error reaches the user with the name of the unit"
mv "$work/study/logs" "$work/logs.old"
sed -i "s|suite/texts/rust-code.jsonl|suite/texts/gone.jsonl|" "$work/study/plan.json"
if "$bin/python" examples/cluster/ray_score.py "$work/study" --units "$units" \
    --address "127.0.0.1:$port" --attempts 1 >"$work/failing.out" 2>&1; then
    fail "the driver did not fail"
fi
grep -m 2 'error: unit `.*/rust-code/.*gone.jsonl' "$work/failing.out" || fail "no unit is named"
step "done"
