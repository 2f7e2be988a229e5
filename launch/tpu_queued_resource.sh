#!/usr/bin/env bash
# Trains on a Cloud TPU slice from the queue; also where it is taken away, until training is done.
#
#   launch/tpu_queued_resource.sh --name=NAME --zone=ZONE --accelerator=v5litepod-16 \
#     --version=v2-alpha-tpuv5-lite [--spot] [--bucket=NAME] [--mount=DIR] [--project=ID] \
#     [--tries=20] [--pause=30] [--dry-run] \
#     -- --config=configs/celeba_glasses.py --workdir=/mnt/maskgan_jax/glasses
#
# Waits in the queue, runs launch/run.sh on all workers, tries again after a preemption with pauses
# that double (--pause seconds at first), and deletes the slice whenever and however it ends.
# Exits 0 when done, 2 for a mistake, 75 when given up: the same command goes on.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name='' zone='' accelerator='' version='' spot='' bucket='' mount=/mnt/maskgan_jax project=''
tries=20 pause=30
flags name zone accelerator version spot bucket mount project tries pause -- "$@"
require name zone accelerator version
((${#rest[@]})) || mistake "what train takes must come after '--'"
where=(--zone="$zone" ${project:+--project="$project"})
scratch=$(mktemp -d)

create_slice() {
  run gcloud compute tpus queued-resources create "$name" --node-id="$name" "${where[@]}" \
    --accelerator-type="$accelerator" --runtime-version="$version" ${spot:+--spot} --quiet
}

slice_state() {
  local state
  if [[ $dry_run ]]; then
    run gcloud compute tpus queued-resources describe "$name" "${where[@]}" '--format=value(state.state)'
    return
  fi
  state=$(gcloud compute tpus queued-resources describe "$name" "${where[@]}" \
    '--format=value(state.state)' 2>/dev/null) || state=
  case $state in
    ACCEPTED | CREATING | PROVISIONING | WAITING*) echo waiting ;;
    ACTIVE)
      # The queue may say ACTIVE for a while after its node was preempted.
      state=$(gcloud compute tpus tpu-vm describe "$name" "${where[@]}" '--format=value(state)' \
        2>/dev/null) || state=
      if [[ $state == READY ]]; then echo ready; else echo gone; fi ;;
    *) echo gone ;;
  esac
}

train_on_slice() {
  local remote
  remote=$(worker_command --extra=tpu --bucket="$bucket" --mount="$mount")
  sources "$scratch/maskgan_jax.tar.gz" || return 1
  run gcloud compute tpus tpu-vm scp "$scratch/maskgan_jax.tar.gz" "$name:" --worker=all \
    "${where[@]}" --quiet || return 1
  if [[ $dry_run ]]; then
    run gcloud compute tpus tpu-vm ssh "$name" --worker=all "${where[@]}" --quiet --command="$remote"
    return
  fi
  gcloud compute tpus tpu-vm ssh "$name" --worker=all "${where[@]}" --quiet --command="$remote" 2>&1 |
    tee "$scratch/log" || true  # whose code would be the connection's
  worst_of "$scratch/log"
}

delete_slice() {
  rm -f "$scratch"/*
  run gcloud compute tpus queued-resources delete "$name" "${where[@]}" --force --quiet
}

supervise
