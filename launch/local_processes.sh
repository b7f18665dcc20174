#!/usr/bin/env bash
# Trains with N processes on this machine, as on N hosts: for several GPUs, or to try several processes on a CPU.
#
#   launch/local_processes.sh N TRAINER_ARGUMENTS
#
# The output of process 0 is shown as it is; lines of the others begin with [1], [2] and so on. Ctrl-C and SIGTERM are
# forwarded to all processes, which save and end. Each process uses its own share of the GPUs: of CUDA_VISIBLE_DEVICES,
# or of all that nvidia-smi lists. The exit code is 0 if all exit with 0, and 1 or 2 if one of them does
# (it logs the reason). Otherwise it is 75: run the same command again to resume.
#
# Variables: PYTHON=python, PORT=(a free port), GRACE=120 (seconds after a failed process until the others are killed),
# DRY_RUN=1 (prints the commands instead of running them).

set -euo pipefail
[[ ${1:-} != --help ]] || { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit; }
: "${PYTHON:=python}" "${PORT:=}" "${GRACE:=120}" "${DRY_RUN:=}"
fail() { echo "local_processes.sh: $1" >&2; exit 2; }
[[ ${1:-} =~ ^[1-9][0-9]*$ ]] || fail "the number of processes comes first: launch/local_processes.sh 2 --config=FILE"
command -v "$PYTHON" >/dev/null || fail "$PYTHON was not found; set PYTHON to the Python to use"
n=$1
shift

while [[ ! $PORT ]]; do # below the system's range of ephemeral ports
  PORT=$((20000 + RANDOM % 10000))
  if (: <>"/dev/tcp/127.0.0.1/$PORT") 2>/dev/null; then PORT=; fi
done

devices=${CUDA_VISIBLE_DEVICES-$(nvidia-smi --query-gpu=index --format=csv,noheader 2>/dev/null | paste -sd, || true)}
IFS=, read -ra gpus <<<"$devices"
share=$((${#gpus[@]} / n)) # with fewer GPUs than processes nothing is set

pids=() codes=()
forward() {
  local i
  for i in "${!pids[@]}"; do [[ ${codes[i]} ]] || kill "-$1" "${pids[i]}" 2>/dev/null || true; done
}
trap 'forward INT' INT
trap 'forward TERM' TERM HUP

for ((i = 0; i < n; i++)); do
  command=("$PYTHON" -m colorgan.main "$@" --coordinator="127.0.0.1:$PORT" --num_processes="$n" --process_id="$i")
  if ((share)); then
    own=$(IFS=,; echo "${gpus[*]:i * share:share}")
    command=(env CUDA_VISIBLE_DEVICES="$own" "${command[@]}")
  fi
  if [[ $DRY_RUN == 1 ]]; then printf '%q ' "${command[@]}" && echo && continue; fi
  set -m # a process group for each, so that the terminal's Ctrl-C arrives once, forwarded by this script
  if ((i == 0)); then
    "${command[@]}" </dev/null &
  else
    "${command[@]}" </dev/null > >(exec sed -u "s/^/[$i] /") 2>&1 &
  fi
  set +m
  pids+=($!) codes+=('')
done
[[ $DRY_RUN != 1 ]] || exit 0

result=0 failed_at='' left=$n
while ((left)); do
  for i in "${!pids[@]}"; do
    if [[ ! ${codes[i]} ]] && ! kill -0 "${pids[i]}" 2>/dev/null; then
      codes[i]=0 left=$((left - 1))
      wait "${pids[i]}" 2>/dev/null || codes[i]=$?
      case ${codes[i]} in
        0) continue ;;
        1 | 2) result=${codes[i]} ;;
        *) ((result)) || result=75 ;;
      esac
      : "${failed_at:=$SECONDS}"
    fi
  done
  # SECONDS is an integer: with <= nothing is killed too early.
  [[ ! $failed_at ]] || ((SECONDS - failed_at <= GRACE)) || forward KILL
  sleep 0.1 || true # Ctrl-C ends sleep too
done
exit "$result"
