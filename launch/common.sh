# What the scripts of this folder share; bash, to be sourced.
# shellcheck shell=bash
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dry_run=${dry_run:-} rest=()

say() { printf '%s\n' "$*" >&2; }
mistake() { say "error: $*"; exit 2; }

# flags NAME... -- ARGUMENT...: sets the variables that --name=value gives, `rest` to what comes
# after '--'. A variable that is 'on' or '' when this is called is a switch: --name is enough.
flags() {
  local known=() argument flag  # none of which may be the name of a flag
  while [[ $1 != -- ]]; do known+=("$1"); shift; done
  shift
  while (($#)); do
    argument=$1
    shift
    case $argument in
      --) rest=("$@"); return ;;
      -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
      --dry-run | --dry_run) dry_run=on; continue ;;
      --*) ;;
      *) mistake "unexpected '$argument'; what train takes comes after '--'" ;;
    esac
    flag=${argument%%=*}
    flag=${flag#--}
    [[ " ${known[*]} " == *" $flag "* ]] ||
      mistake "unknown flag --$flag; there are ${known[*]/#/--} --dry-run, and '--' before what train takes"
    if [[ $argument == *=* ]]; then printf -v "$flag" %s "${argument#*=}"; else printf -v "$flag" on; fi
  done
}

require() {
  local flag
  for flag; do [[ -n ${!flag} && ${!flag} != on ]] || mistake "--$flag=... must be given; see --help"; done
}

quoted() { local text; printf -v text '%q ' "$@"; printf '%s' "${text% }"; }

# run COMMAND...: runs it, or prints it where it is only to be shown.
run() {
  if [[ $dry_run ]]; then printf '%s\n' "$(quoted "$@")"; else "$@"; fi
}

# supervise: creates a slice, trains on it, and does both again until training is done. The caller
# defines create_slice, slice_state (-> waiting, ready, gone), train_on_slice (its exit code counts)
# and delete_slice. Whatever happens, the slice is deleted at the end.
supervise() {
  local tries=${tries:-20} pause=${pause:-30} attempt state code
  trap 'trap - EXIT; delete_slice || say "could not delete: look for what is left, it costs money"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
  if [[ $dry_run ]]; then create_slice; slice_state; train_on_slice; exit 0; fi
  for ((attempt = 1; attempt <= tries; attempt++)); do
    state=$(slice_state)
    if [[ $state == gone ]]; then
      ((attempt == 1)) || { delete_slice || true; }
      create_slice || say "attempt $attempt: could not create"
    fi
    while state=$(slice_state); [[ $state == waiting ]]; do sleep "$pause"; done
    if [[ $state == ready ]]; then
      code=0
      train_on_slice || code=$?
      case $code in
        0) say 'training is done'; exit 0 ;;
        2) say 'a mistake in the config or the command: not tried again'; exit 2 ;;
        75) say 'stopped and saved: going on' ;;
        *) say "ended with $code: going on from the newest checkpoint" ;;
      esac
    fi
    # Twice as long after each, a quarter of an hour at most.
    local seconds=$((pause << (attempt < 10 ? attempt - 1 : 9)))
    ((attempt == tries)) || sleep "$((seconds > 900 ? 900 : seconds))"
  done
  say "given up after $tries attempts; the same command goes on from the newest checkpoint"
  exit 75
}

# worst_of FILE...: the exit code of workers from what they printed: a mistake of one is everyone's,
# else any that failed; 1 where one printed no exit code.
worst_of() {
  local file code worst=0
  for file; do
    code=$(sed -n 's/.*worker exit \([0-9]\{1,3\}\).*/\1/p' "$file" | sort -n | uniq)
    [[ $code ]] || { worst=1; continue; }
    if grep -qx 2 <<< "$code"; then return 2; fi
    code=$(tail -n 1 <<< "$code")
    ((code == 0)) || worst=$code
  done
  return "$worst"
}

# worker_command: the one line that a worker runs: unpack the sources beside it, start them.
worker_command() {
  printf 'mkdir -p maskgan_jax && tar xzf maskgan_jax.tar.gz -C maskgan_jax && bash maskgan_jax/launch/run.sh %s' \
    "$(quoted "$@" -- --distributed "${rest[@]}")"
}

# sources FILE: this checkout's last commit as an archive.
sources() { run git -C "$root" archive --format=tar.gz --output="$1" HEAD; }
