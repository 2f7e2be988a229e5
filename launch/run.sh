#!/usr/bin/env bash
# What every worker runs, at the first start and at every restart: installs the package into an
# environment of its own, mounts the bucket if there is one, and trains or goes on.
#
#   launch/run.sh [--extra=tpu|gpu|] [--bucket=NAME] [--mount=DIR] -- --config=... --workdir=...
#
# The last line printed is 'worker exit CODE': 0 done, 2 a user's mistake, 75 stopped and saved.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

extra=tpu bucket='' mount=/mnt/maskgan_jax
flags extra bucket mount -- "$@"
((${#rest[@]})) || mistake "what train takes must come after '--'"
environment=${MASKGAN_JAX_VENV:-$HOME/.maskgan_jax/venv}

# An earlier start, of which only the connection was lost, would hold the run's folder.
pid_file=$HOME/.maskgan_jax/pid
mkdir -p "$HOME/.maskgan_jax"
earlier=$(cat "$pid_file" 2>/dev/null || true)
if [[ $earlier ]] && kill -TERM "$earlier" 2>/dev/null; then
  for ((second = 0; second < 300; second++)); do
    kill -0 "$earlier" 2>/dev/null || break
    sleep 1
  done
fi

if [[ -n $bucket ]] && ! mountpoint -q "$mount"; then
  command -v gcsfuse > /dev/null ||
    mistake "gcsfuse is not on this machine: install Cloud Storage FUSE, or leave out --bucket"
  sudo mkdir -p "$mount" && sudo chown "$(id -u)" "$mount"
  gcsfuse --implicit-dirs "$bucket" "$mount"
fi
# The mark is written last: an installation that was cut short is done again.
if [[ ! -e $environment/installed ]]; then
  if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python3 -m venv --clear "$environment"
  else  # as on TPU VMs of Ubuntu 22.04
    python3 -m pip install --quiet --user uv
    python3 -m uv venv --quiet --clear --seed --python 3.12 "$environment"
  fi
  "$environment/bin/pip" install --quiet "$root${extra:+[$extra]}"
  touch "$environment/installed"
fi

cd "$root"  # where configs/ is
trained='' told=''
trap 'told=on; [[ -z $trained ]] || kill -TERM "$trained" 2>/dev/null || true' TERM INT HUP
"$environment/bin/python" -m maskgan_jax.train "${rest[@]}" & trained=$!
echo "$trained" > "$pid_file"
[[ -z $told ]] || kill -TERM "$trained"
code=0
wait "$trained" || code=$?
while kill -0 "$trained" 2>/dev/null; do  # `wait` ends at once when a signal comes
  code=0
  wait "$trained" || code=$?
done
[[ $(cat "$pid_file" 2>/dev/null) != "$trained" ]] || rm -f "$pid_file"
echo "worker exit $code"
exit "$code"
