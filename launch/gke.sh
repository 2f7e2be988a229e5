#!/usr/bin/env bash
# Starts a training on a TPU slice of a GKE cluster that has JobSet: fills in gke_jobset.yaml.
#
#   launch/gke.sh --name=NAME --image=IMAGE --bucket=NAME --accelerator=tpu-v5-lite-podslice \
#     --topology=4x4 --machines=4 --chips=4 [--restarts=20] [--account=default] [--dry-run] \
#     -- --config=configs/celeba_glasses.py --workdir=/runs/glasses
#
# --chips are those of one machine. The bucket is mounted at /runs. --dry-run prints what would be
# applied. `kubectl delete jobset NAME` stops it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

name='' image='' bucket='' accelerator='' topology='' machines='' chips='' restarts=20 account=default
flags name image bucket accelerator topology machines chips restarts account -- "$@"
require name image bucket accelerator topology machines chips
((${#rest[@]})) || mistake "what train takes must come after '--'"
for number in machines chips restarts; do
  [[ ${!number} =~ ^[0-9]+$ ]] || mistake "--$number=${!number} is not a whole number"
done

# shellcheck disable=SC2016  # the dollar is Python's
filled=$(NAME=$name IMAGE=$image BUCKET=$bucket ACCELERATOR=$accelerator TOPOLOGY=$topology \
  MACHINES=$machines CHIPS=$chips RESTARTS=$restarts ACCOUNT=$account python3 -c '
import json, os, string, sys
text = string.Template(open(sys.argv[1], encoding="utf-8").read().replace("what stands in ${}", "it"))
print(text.substitute(os.environ, ARGUMENTS=json.dumps(sys.argv[2:])), end="")
' "$root/launch/gke_jobset.yaml" "${rest[@]}")
if [[ $dry_run ]]; then
  printf '%s\n' "$filled"
  say 'kubectl apply -f - would get this'
else
  kubectl apply -f - <<< "$filled"
fi
