#!/usr/bin/env bash
# Starts a training on a TPU slice of a cluster that xpk made.
#
#   launch/xpk.sh --name=NAME --cluster=CLUSTER --zone=ZONE --tpu=v5litepod-16 --image=IMAGE \
#     [--project=ID] [--spot] [--restarts=20] [--dry-run] -- --config=... --workdir=...
#
# xpk runs in an environment of its own (pipx or uvx): it pins versions that JAX's users need newer.
# The work directory must lie on storage that is attached to the cluster (`xpk storage attach`).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name='' cluster='' zone='' tpu='' image='' project='' spot='' restarts=20
flags name cluster zone tpu image project spot restarts -- "$@"
require name cluster zone tpu image
((${#rest[@]})) || mistake "what train takes must come after '--'"
if command -v uvx > /dev/null; then xpk=(uvx xpk==1.16.0)
elif command -v pipx > /dev/null || [[ $dry_run ]]; then xpk=(pipx run --spec xpk==1.16.0 xpk)
else mistake 'xpk needs pipx or uvx, which are not here: python3 -m pip install --user pipx'; fi

# 2 is in no list of codes that restart, 75 is.
run "${xpk[@]}" workload create --workload="$name" --cluster="$cluster" --zone="$zone" \
  ${project:+--project="$project"} --tpu-type="$tpu" --num-slices=1 --docker-image="$image" \
  ${spot:+--spot} --max-restarts="$restarts" --restart-on-exit-codes=75 \
  --termination-grace-period-seconds=300 \
  --command="exec $(quoted python -m maskgan_jax.train --distributed "${rest[@]}")"
