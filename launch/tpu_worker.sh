#!/usr/bin/env bash
# The part of launch/tpu_vm.sh that runs on each host of a TPU, in the copied checkout.
#
#   launch/tpu_worker.sh install            installs a newer Python and colorgan in .venv, copies DATA to ~/data
#   launch/tpu_worker.sh start ARGUMENTS    starts the trainer, which keeps running when the connection ends
#   launch/tpu_worker.sh status             prints HOST and running, exit CODE, or none
#   launch/tpu_worker.sh stop               lets the trainer save (SIGTERM), and kills it after STOP_SECONDS
#
# Its files are in ~/colorgan-run: log.txt, pid, exit_code, and lock, which is held while the trainer runs.

set -euo pipefail
[[ ${1:-} != --help ]] || { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit; }
: "${PYTHON_VERSION:=3.12}" "${EXTRAS:=tpu,gcs,pretrained}" "${DATA:=}" "${STOP_SECONDS:=300}"
cd "$(dirname "$0")/.."
files=$HOME/colorgan-run
mkdir -p "$files"

fail() { echo "tpu_worker.sh on $HOSTNAME: $1" >&2; exit 1; }
running() { ! flock --shared --nonblock "$files/lock" true; }

install() {
  ! running || fail "a trainer is running, stop it first"
  if [[ ! -x .venv/bin/python ]]; then
    # Ubuntu 22.04 has Python 3.10: uv downloads a newer one and needs neither apt nor root. Newer images refuse
    # `pip install --user` without this variable, older ones ignore it.
    PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv
    python3 -m uv venv --quiet --python "$PYTHON_VERSION" .venv
  fi
  python3 -m uv pip install --quiet --python .venv/bin/python --editable ".[$EXTRAS]"
  if [[ $DATA ]]; then
    mkdir -p ~/data
    gcloud storage rsync --recursive "$DATA" ~/data
  fi
  echo "$HOSTNAME is set up"
}

start() {
  ! running || fail "a trainer is running, stop it first"
  [[ -x .venv/bin/python ]] || fail "colorgan is not installed, run the setup first"
  rm -f "$files/pid"
  echo 137 >"$files/exit_code" # remains if the host is switched off or the trainer's shell is killed
  { printf '\n== %s:' "$(date)" && printf ' %q' "$@" && echo; } >>"$files/log.txt"
  # A session of its own outlives the connection. With --close, child processes that the trainer leaves behind do not
  # hold the lock.
  # shellcheck disable=SC2016
  setsid flock --close --timeout 5 "$files/lock" bash -c \
    'files=$1; shift; "$@" & echo $! >"$files/pid"; wait $!; echo $? >"$files/exit_code"' \
    trainer "$files" .venv/bin/python -m colorgan.main "$@" </dev/null >>"$files/log.txt" 2>&1 &
  for _ in {1..200}; do
    [[ ! -s $files/pid ]] || { echo "$HOSTNAME started"; return; }
    sleep 0.05
  done
  fail "the trainer did not start"
}

status() {
  if running; then
    echo "$HOSTNAME running"
  elif [[ -e $files/exit_code ]]; then
    echo "$HOSTNAME exit $(<"$files/exit_code")"
  else
    echo "$HOSTNAME none"
  fi
}

ends_within() { # SECONDS
  local deadline=$((SECONDS + $1))
  while running; do
    ((SECONDS < deadline)) || return
    sleep 0.2
  done
}

stop() {
  local pid
  if running; then
    pid=$(<"$files/pid")
    kill -TERM "$pid" || true
    if ! ends_within "$STOP_SECONDS"; then # it hangs, for instance in a collective after the loss of a host
      kill -KILL -- "-$(ps -o pgid= -p "$pid" | tr -d ' ')"
      ends_within 10 || true
    fi
  fi
  status
}

case ${1:-} in
  install | start | status | stop) "$@" ;;
  *) echo "tpu_worker.sh: use one of install, start, status, stop" >&2; exit 2 ;;
esac
