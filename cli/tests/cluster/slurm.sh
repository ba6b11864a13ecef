#!/usr/bin/env bash
# A study on a Slurm cluster of two nodes on this machine, of which a task is thrown out while it
# runs: the table has the bytes of one machine.
#
#     bash cli/tests/cluster/slurm.sh       # as root, on Debian; installs slurm-wlm and munge
#
# Daemons, keys and state are in a folder of their own, listen on loopback, and are stopped.
set -euo pipefail
if ! command -v slurmctld >/dev/null || ! command -v munged >/dev/null; then
    # The services that Debian would start are not wanted.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    apt-get update -qq && apt-get install -y -qq slurm-wlm munge
fi
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

pids=()
finish() {
    status=$?
    set +e
    if [ -n "${job:-}" ]; then scancel "$job" 2>/dev/null; fi
    if [ "$status" -ne 0 ]; then
        for log in "$work"/*.log "$work"/*.out; do
            echo "-- $log" && tail -15 "$log"
        done >&2
    fi
    # The nodes before their controller, and that before the keys.
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null && wait "${pids[i]}" 2>/dev/null
    done
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT

step "daemons"
port=$((20000 + RANDOM % 20000))
chmod 755 "$work"
mkdir "$work"/{munge,state,n1,n2}
dd if=/dev/urandom of="$work/munge/key" bs=128 count=1 status=none
chmod 600 "$work/munge/key"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" \
    --pid-file="$work/munge/pid" --log-file="$work/munge/munged.log" \
    --seed-file="$work/munge/seed" >"$work/munged.log" 2>&1 &
pids+=($!)
wait_for 20 "the socket of munged" test -S "$work/munge/socket"
cat >"$work/slurm.conf" <<CONF
ClusterName=relscale
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$port
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
NodeName=n1 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=1
NodeName=n2 NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
slurmctld -D -f "$SLURM_CONF" >"$work/slurmctld.log" 2>&1 &
pids+=($!)
wait_for 30 "slurmctld" scontrol ping
for node in n1 n2; do
    slurmd -D -N "$node" -f "$SLURM_CONF" >"$work/$node.log" 2>&1 &
    pids+=($!)
done
ready() { [ "$(sinfo -h -N -t idle | wc -l)" -eq 2 ]; }
wait_for 60 "two idle nodes" ready
sinfo

step "a job array of four tasks"
job=$(cd "$work" && RELSCALE=$relscale PAUSE=1 sbatch --parsable --array=0-3 --export=ALL \
    "$root/cli/cluster/score.sbatch" "$work/study")
wait_for 120 "the first units" at_least 3

step "a running task is thrown out and queued again"
running=$(squeue -h -r -j "$job" -t RUNNING -o %A | head -1)
[ -n "$running" ] || fail "no task was running any more: the study is too small for this machine"
scontrol requeue "$running"
restarted() { scontrol show job "$running" | grep -q "Restarts=1"; }
wait_for 30 "the requeue" restarted
gone() { [ "$(squeue -h -j "$job" | wc -l)" -eq 0 ]; }
wait_for 240 "the end of the job" gone
scontrol show job "$job" -o | grep -o "ArrayTaskId=[0-9]*\|JobState=[A-Z]*\|Restarts=[0-9]*" | paste - - - || true
[ "$(scontrol show job "$job" -o | grep -c "JobState=COMPLETED")" -eq 4 ] || fail "a task failed"
cat "$work"/relscale-*.out | grep -c "finished already" || fail "the thrown out task did all again"

step "the same bytes"
[ "$(done_units)" -eq "$all_units" ] || fail "units are missing"
compare

step "an error reaches the user with the name of the unit"
mv "$work/study/logs" "$work/logs.old"
sed -i "s|suite/texts/rust-code.jsonl|suite/texts/gone.jsonl|" "$work/study/plan.json"
job=$(cd "$work" && RELSCALE=$relscale PAUSE=0 sbatch --parsable --array=0-3 --export=ALL \
    --output=failing-%a.out "$root/cli/cluster/score.sbatch" "$work/study")
wait_for 240 "the end of the failing job" gone
grep -h "error: unit" "$work"/failing-*.out | head -2
grep -qh 'error: unit `.*/rust-code/.*gone.jsonl' "$work"/failing-*.out || fail "no unit is named"
"$relscale" study list "$work/study" --left | tail -1 | grep "failed .*gone.jsonl" || fail "list is silent"
step "done"
