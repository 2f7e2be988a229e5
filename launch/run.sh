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
environment=${MASKGAN_JAX_VENV:-$HOME/.maskgan_jax/venv}

# An earlier start, of which only the connection was lost, would hold the run's folder.
pid_file=$HOME/.maskgan_jax/pid
mkdir -p "$HOME/.maskgan_jax"
if [[ -s $pid_file ]] && kill -TERM "$(<"$pid_file")" 2>/dev/null; then
  for ((second = 0; second < 300; second++)); do
    kill -0 "$(<"$pid_file")" 2>/dev/null || break
    sleep 1
  done
fi

if [[ -n $bucket ]] && ! mountpoint -q "$mount"; then
  sudo mkdir -p "$mount" && sudo chown "$(id -u)" "$mount"
  gcsfuse --implicit-dirs "$bucket" "$mount"
fi
# The mark is written last: an installation that was cut short is done again.
if [[ ! -e $environment/installed ]]; then
  python3 -m venv --clear "$environment"
  "$environment/bin/pip" install --quiet "$root${extra:+[$extra]}"
  touch "$environment/installed"
fi

cd "$root"  # where configs/ is
"$environment/bin/python" -m maskgan_jax.train "${rest[@]}" & trained=$!
echo "$trained" > "$pid_file"
trap 'kill -TERM "$trained" 2>/dev/null || true' TERM INT HUP
code=0
wait "$trained" || code=$?
while kill -0 "$trained" 2>/dev/null; do  # `wait` ends at once when a signal comes
  code=0
  wait "$trained" || code=$?
done
rm -f "$pid_file"
echo "worker exit $code"
exit "$code"
