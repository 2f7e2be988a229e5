#!/usr/bin/env bash
# Runs a training as several processes on this machine, which find each other as those of a pod do.
#
#   launch/local_processes.sh 2 python -m maskgan_jax.train --config=configs/quickstart.py \
#     --workdir=runs/two
#
# Lines begin with the number of their process. SIGTERM and Ctrl-C go to all. Where one fails the
# others get SIGTERM, and are killed after --patience seconds (60). Exits 2 if one did, else with
# the code of one that failed, else 0.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

patience=60
if [[ ${1:-} == --patience=* ]]; then patience=${1#*=}; shift; fi
if [[ ${1:-} == -h || ${1:-} == --help ]]; then flags -- --help; fi
count=${1:-}
[[ $count =~ ^[1-9][0-9]*$ ]] || mistake "'$count' is not a number of processes; see --help"
shift
(($#)) || mistake 'no command; see --help'

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
pids=() running=() codes=()
for ((i = 0; i < count; i++)); do
  # The command itself, not the pipe behind it, is what signals must reach.
  JAX_COORDINATOR_ADDRESS=127.0.0.1:$port JAX_NUM_PROCESSES=$count JAX_PROCESS_ID=$i PYTHONUNBUFFERED=1 \
    "$@" > >(sed -u "s/^/[$i] /") 2> >(sed -u "s/^/[$i] /" >&2) &
  pids+=("$!") running+=(1)
done
tell() { local i; for i in "${!pids[@]}"; do [[ -z ${running[i]} ]] || kill "-$1" "${pids[i]}" 2>/dev/null || true; done; }
trap 'tell TERM' TERM INT HUP

left=$count failed='' told=''
while ((left)); do
  for i in "${!pids[@]}"; do
    [[ ${running[i]} ]] || continue
    kill -0 "${pids[i]}" 2>/dev/null && continue
    code=0
    wait "${pids[i]}" || code=$?
    running[i]='' codes[i]=$code left=$((left - 1))
    if ((code)) && [[ ! $failed ]]; then failed=$SECONDS; fi
  done
  # The others may be about to end by themselves, with a code that says more.
  if [[ $failed && ! $told ]] && ((left && SECONDS - failed > 1)); then tell TERM; told=$SECONDS; fi
  if [[ $told ]] && ((left && SECONDS - told > patience)); then tell KILL; fi
  ((left == 0)) || sleep 0.2 || true
done
worst=0
for code in "${codes[@]}"; do
  if ((code == 2)); then worst=2; elif ((code && worst != 2)); then worst=$code; fi
done
exit "$worst"
