#!/usr/bin/env bash
# A study on a Ray cluster of two nodes on this machine, of which one is killed while it works: the
# table has the bytes of one machine.
#
#     bash cli/tests/cluster/ray.sh         # as root; installs Ray in target/cluster/ray
#
# Ray listens on every interface: all of it is in a network of its own that has none but loopback.
# Its files are in a folder of their own, and it is stopped.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
bin=$root/target/cluster/ray/bin
if [ "${1:-}" != inside ]; then
    if [ ! -x "$bin/ray" ]; then
        python3 -m venv "$root/target/cluster/ray"
        "$bin/pip" install -q ray
    fi
    if [ -z "${RELSCALE:-}" ]; then (cd "$root" && cargo build --release -p relscale-cli); fi
    export RELSCALE=${RELSCALE:-$root/target/release/relscale}
    exec unshare --net bash "${BASH_SOURCE[0]}" inside
fi
python3 - <<'PY'
# `ip link set lo up`, without the program.
import fcntl, socket, struct

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 1))
PY
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

sessions=()
# A node is many processes, those of one session.
of_session() { ps -o pid= --sid "$1" || true; }
signal() { of_session "$2" | xargs -r kill "-$1" 2>/dev/null || true; }
finish() {
    status=$?
    set +e
    if [ "$status" -ne 0 ]; then
        for log in "$work"/*.log "$work"/*.out; do
            echo "-- $log" && tail -15 "$log"
        done >&2
    fi
    for session in "${sessions[@]}"; do
        kill -TERM "$session" 2>/dev/null
        for _ in 1 2 3 4 5 6 7 8; do
            if [ -n "$(of_session "$session")" ]; then sleep 1; fi
        done
        signal KILL "$session"
    done
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

step "two nodes"
# Workers run at niceness 15 otherwise, and come to nothing on a busy machine.
export RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0 RAY_DEDUP_LOGS=0
port=$((20000 + RANDOM % 20000))
# Sockets need a short path.
mkdir "$work/ray"
node() {
    local name=$1
    shift
    setsid "$bin/ray" start --block --num-cpus=1 --object-store-memory=100000000 \
        --temp-dir="$work/ray" --disable-usage-stats "$@" >"$work/$name.log" 2>&1 &
    sessions+=($!)
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
"$bin/python" cli/cluster/ray_score.py "$work/study" --relscale "$relscale" \
    --address "127.0.0.1:$port" --pause 1 >"$work/driver.out" 2>&1 &
driver=$!
# Two are at work at once: both nodes are.
both() { [ "$(find "$work/study/logs" -name '*.part' | wc -l)" -ge 2 ] && at_least 3; }
wait_for 120 "units on both nodes" both

step "the second node is killed"
signal KILL "$second"
[ "$(done_units)" -lt "$all_units" ] || fail "the study is too small for this machine"
"$relscale" study list "$work/study" --left | head -3
wait "$driver" || fail "the driver failed"
grep -E "tasks$|% of the FLOPs" "$work/driver.out" | tail -3

step "the same bytes"
compare

step "an error reaches the user with the name of the unit"
mv "$work/study/logs" "$work/logs.old"
sed -i "s|suite/texts/rust-code.jsonl|suite/texts/gone.jsonl|" "$work/study/plan.json"
if "$bin/python" cli/cluster/ray_score.py "$work/study" --relscale "$relscale" \
    --address "127.0.0.1:$port" --attempts 1 >"$work/failing.out" 2>&1; then
    fail "the driver did not fail"
fi
grep -m 2 'error: unit `.*/rust-code/.*gone.jsonl' "$work/failing.out" || fail "no unit is named"
step "done"
