#!/usr/bin/env bash
# Trains on a TPU slice that a Compute Engine managed instance group forms (v5p, v6e and newer).
#
#   launch/tpu_instance_group.sh --name=NAME --zone=ZONE --machine=ct6e-standard-4t --topology=4x4 \
#     --size=4 --image_family=FAMILY --image_project=PROJECT [--spot] [--bucket=NAME] [--mount=DIR] \
#     [--project=ID] [--tries=20] [--pause=30] [--dry-run] -- --config=... --workdir=...
#
# --size is the number of machines: chips of the topology divided by those of a machine. Makes a
# workload policy, an instance template and the group, runs launch/run.sh on every machine, and
# deletes all three whenever and however it ends. Exit codes as tpu_queued_resource.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name='' zone='' machine='' topology='' size='' image_family='' image_project='' spot='' bucket=''
mount=/mnt/maskgan_jax project='' tries=20 pause=30
flags name zone machine topology size image_family image_project spot bucket mount project tries \
  pause -- "$@"
require name zone machine topology size image_family image_project
((${#rest[@]})) || mistake "what train takes must come after '--'"
[[ $size =~ ^[1-9][0-9]*$ ]] || mistake "--size=$size is not a number of machines"
account=(${project:+--project="$project"})
region=${zone%-*}
scratch=$(mktemp -d)

create_slice() {
  run gcloud compute resource-policies create workload-policy "$name" --region="$region" \
    "${account[@]}" --type=HIGH_THROUGHPUT --accelerator-topology="$topology" --quiet &&
  run gcloud compute instance-templates create "$name" "${account[@]}" --machine-type="$machine" \
    --image-family="$image_family" --image-project="$image_project" \
    --maintenance-policy=TERMINATE --scopes=cloud-platform \
    ${spot:+--provisioning-model=SPOT --instance-termination-action=STOP} --quiet &&
  run gcloud compute instance-groups managed create "$name" --zone="$zone" "${account[@]}" \
    --size="$size" --template="$name" --workload-policy="$name" \
    --default-action-on-vm-failure=do-nothing --quiet
}

# One line a machine: NAME STATUS ACTION.
machines() {
  run gcloud compute instance-groups managed list-instances "$name" --zone="$zone" \
    "${account[@]}" '--format=value(instance.basename(),instanceStatus,currentAction)'
}

slice_state() {
  local found
  if [[ $dry_run ]]; then machines; return; fi
  found=$(machines 2>/dev/null) || { echo gone; return; }
  if grep -Eq 'STOPPING|STOPPED|SUSPEND|TERMINATED|PREEMPTED' <<< "$found"; then echo gone
  elif (($(grep -Ec 'RUNNING.*NONE' <<< "$found") == size)); then echo ready
  else echo waiting; fi
}

train_on_slice() {
  local remote instance logs=() names
  remote=$(worker_command --extra=tpu --bucket="$bucket" --mount="$mount")
  sources "$scratch/maskgan_jax.tar.gz" || return 1
  if [[ $dry_run ]]; then names="$name-0000"; else names=$(machines | awk '{print $1}'); fi
  for instance in $names; do
    run gcloud compute scp "$scratch/maskgan_jax.tar.gz" "$instance:" --zone="$zone" \
      "${account[@]}" --quiet || return 1
  done
  for instance in $names; do
    if [[ $dry_run ]]; then
      run gcloud compute ssh "$instance" --zone="$zone" "${account[@]}" --quiet --command="$remote"
      continue
    fi
    logs+=("$scratch/$instance.log")
    { gcloud compute ssh "$instance" --zone="$zone" "${account[@]}" --quiet --command="$remote" 2>&1 |
      sed -u "s/^/[$instance] /" | tee "$scratch/$instance.log"; } &
  done
  wait
  [[ $dry_run ]] || worst_of "${logs[@]}"
}

delete_slice() {
  rm -f "$scratch"/*
  local failed=0
  run gcloud compute instance-groups managed delete "$name" --zone="$zone" "${account[@]}" --quiet || failed=1
  run gcloud compute instance-templates delete "$name" "${account[@]}" --quiet || failed=1
  run gcloud compute resource-policies delete "$name" --region="$region" "${account[@]}" --quiet || failed=1
  return "$failed"
}

supervise
