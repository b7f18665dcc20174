#!/usr/bin/env bash
# Trains on a TPU VM or a pod slice of Google Cloud, from your own machine. docs/tpu.md is the tutorial.
#
#   launch/tpu_vm.sh create           requests a TPU and waits for it, days if necessary; replaces a lost one
#   launch/tpu_vm.sh setup            copies the last commit of this checkout to every host and installs it
#   launch/tpu_vm.sh run ARGUMENTS    starts the trainer on every host; it keeps running without this machine
#   launch/tpu_vm.sh wait             waits for its end; exits with 0, with 1 or 2 (a retry does not help), or with 75
#   launch/tpu_vm.sh status           prints the state of the TPU, and for each host running, exit CODE, or none
#   launch/tpu_vm.sh state            prints only the state of the TPU: ACTIVE, MISSING, SUSPENDED, ...
#   launch/tpu_vm.sh logs             follows the trainer's output on host WORKER; Ctrl-C does not stop the trainer
#   launch/tpu_vm.sh stop             lets the trainer save and end, and waits for it; the same `run` resumes
#   launch/tpu_vm.sh delete           deletes the TPU with its disks; it costs until then
#
# Variables and their defaults:
#   NAME=colorgan  ZONE=us-central1-a  PROJECT=(gcloud's)  ACCELERATOR=v5litepod-8  RUNTIME=(depends on ACCELERATOR)
#   SPOT=        1: a spot TPU, which is cheaper and can be preempted at any time
#   WORKDIR=     the run's folder, as in gs://BUCKET/runs/mine; a TPU's disks are deleted with it
#   DATA=        gs://BUCKET/FOLDER, which setup copies to ~/data on each host
#   GIT_URL=     a repository that setup clones instead of copying the checkout
#   EXTRAS=tpu,gcs,pretrained  PYTHON_VERSION=3.12    what setup installs
#   TRAINER_ENV=    environment variables of the trainer, as in "LIBTPU_INIT_ARGS=... TF_CPP_MIN_LOG_LEVEL=0"
#   CREATE_FLAGS=  SSH_FLAGS=     more flags for gcloud, such as --service-account=... or --internal-ip
#   POLL=30      seconds between two queries of a state
#   GRACE=120    seconds for which `wait` still waits for the other hosts once one has failed
#   STOP_SECONDS=300    seconds after which `stop` kills a trainer that has not ended
#   WORKER=0     the host whose log is followed
#   DRY_RUN=1    prints every command instead of running it

set -euo pipefail
[[ ${1:-} != --help ]] || { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit; }
: "${NAME:=colorgan}" "${ZONE:=us-central1-a}" "${PROJECT:=}" "${ACCELERATOR:=v5litepod-8}" "${SPOT:=}" "${WORKDIR:=}"
: "${DATA:=}" "${GIT_URL:=}" "${EXTRAS:=tpu,gcs,pretrained}" "${PYTHON_VERSION:=3.12}" "${TRAINER_ENV:=}" "${DRY_RUN:=}"
: "${CREATE_FLAGS:=}" "${SSH_FLAGS:=}" "${POLL:=30}" "${GRACE:=120}" "${STOP_SECONDS:=300}" "${WORKER:=0}"
case $ACCELERATOR in # https://cloud.google.com/tpu/docs/runtimes
  v5litepod-*) : "${RUNTIME:=v2-alpha-tpuv5-lite}" ;;
  v5p-*) : "${RUNTIME:=v2-alpha-tpuv5}" ;;
  v6e-*) : "${RUNTIME:=v2-alpha-tpuv6e}" ;;
  *) : "${RUNTIME:=tpu-ubuntu2204-base}" ;;
esac
cd "$(dirname "$0")/.."
where=("--zone=$ZONE" --quiet)
[[ ! $PROJECT ]] || where+=("--project=$PROJECT")
exec 3>&1 # DRY_RUN prints commands here, also those whose output is captured

say() { echo "tpu_vm.sh: $1" >&2; }
quoted() { printf '%q ' "$@"; }
run() {
  if [[ $DRY_RUN == 1 ]]; then quoted "$@" >&3 && echo >&3; else "$@" 3>&-; fi
}
# shellcheck disable=SC2086
on_hosts() { # WORKERS COMMAND: bash runs it on these hosts in the home folder
  run gcloud compute tpus tpu-vm ssh "$NAME" "${where[@]}" --worker="$1" --command="$2" \
    --ssh-flag=-oConnectTimeout=20 --ssh-flag=-oServerAliveInterval=20 $SSH_FLAGS </dev/null
}

# Prints ACTIVE if the TPU can be used, MISSING if there is none, UNKNOWN if gcloud fails, else the state from gcloud.
state() {
  local answer node=
  if ! answer=$(run gcloud compute tpus queued-resources describe "$NAME" "${where[@]}" \
    '--format=value(state.state)' --verbosity=error 2>&1); then
    if [[ $answer != *NOT_FOUND* ]]; then
      say "$answer"
      answer=UNKNOWN
    else
      answer=MISSING
    fi
  elif [[ $answer == ACTIVE ]]; then # it stays ACTIVE for a while after its node was preempted
    node=$(run gcloud compute tpus tpu-vm describe "$NAME" "${where[@]}" '--format=value(state)' 2>/dev/null) || true
    [[ $node != PREEMPTED && $node != TERMINATED ]] || answer=$node
  fi
  [[ $DRY_RUN != 1 ]] || answer=ACTIVE
  echo "$answer"
}

create() {
  local now before='' asked=
  while :; do
    now=$(state)
    [[ $DRY_RUN != 1 || $asked ]] || now=MISSING
    [[ $now == "$before" ]] || say "$NAME is $now"
    before=$now
    case $now in
      ACTIVE) return ;;
      UNKNOWN) return 1 ;;
      MISSING)
        # shellcheck disable=SC2086
        run gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" "${where[@]}" \
          --accelerator-type="$ACCELERATOR" --runtime-version="$RUNTIME" ${SPOT:+--spot} $CREATE_FLAGS || return
        asked=1
        ;;
      FAILED | SUSPENDED | PREEMPTED | TERMINATED)
        if [[ $asked ]]; then
          say "the request failed; see gcloud compute tpus queued-resources describe $NAME --zone=$ZONE"
          return 1
        fi
        delete || return
        ;;
      *) sleep "$POLL" ;;
    esac
  done
}

setup() {
  local archive=dist/colorgan.tar.gz fetch
  if [[ $GIT_URL ]]; then
    fetch="if [ -d colorgan ]; then git -C colorgan pull --ff-only; else $(quoted git clone "$GIT_URL" colorgan); fi"
  else
    git diff --quiet HEAD || say "changes that are not committed are not copied"
    run mkdir -p dist
    run git archive --output="$archive" HEAD
    # shellcheck disable=SC2086
    run gcloud compute tpus tpu-vm scp "$archive" "$NAME:colorgan.tar.gz" "${where[@]}" --worker=all $SSH_FLAGS
    fetch="mkdir -p colorgan && tar -xzf colorgan.tar.gz -C colorgan"
  fi
  on_hosts all "$fetch && $(quoted env PYTHON_VERSION="$PYTHON_VERSION" EXTRAS="$EXTRAS" DATA="$DATA" \
    bash colorgan/launch/tpu_worker.sh install)"
}

start() {
  [[ ! $WORKDIR ]] || set -- "--workdir=$WORKDIR" "$@"
  on_hosts all "$TRAINER_ENV $(quoted bash colorgan/launch/tpu_worker.sh start "$@")"
}

host_status() {
  # shellcheck disable=SC2016
  on_hosts all 'bash colorgan/launch/tpu_worker.sh status 2>/dev/null || echo "$HOSTNAME none"'
}

wait_for_end() {
  local lines now failed_at=
  while :; do
    if lines=$(host_status 2>/dev/null); then # without gcloud's messages about every connection
      [[ $DRY_RUN != 1 ]] || return 0
      [[ $lines == *" running"* ]] || break
      if grep -q ' exit [1-9]' <<<"$lines"; then
        : "${failed_at:=$SECONDS}"
        ((SECONDS - failed_at < GRACE)) || break
      fi
    else # the trainer may still be running
      now=$(state)
      say "not every host answers, $NAME is $now"
      [[ $now == ACTIVE || $now == UNKNOWN ]] || return 75
    fi
    sleep "$POLL"
  done
  echo "$lines"
  local code
  for code in 1 2; do
    if grep -q " exit $code\$" <<<"$lines"; then
      on_hosts all '! grep -q "^[12]$" colorgan-run/exit_code || tail -n 20 colorgan-run/log.txt' || true
      return "$code"
    fi
  done
  ! grep -qv ' exit 0$' <<<"$lines" || return 75
}

delete() { run gcloud compute tpus queued-resources delete "$NAME" "${where[@]}" --force; }

case ${1:-} in
  create | setup | delete | state) "$1" ;;
  run) start "${@:2}" ;;
  wait) wait_for_end ;;
  status)
    now=$(state)
    echo "$NAME $now"
    [[ $now != ACTIVE ]] || host_status
    ;;
  logs) on_hosts "$WORKER" "tail -n 100 -F colorgan-run/log.txt" ;;
  stop) on_hosts all "$(quoted env STOP_SECONDS="$STOP_SECONDS" bash colorgan/launch/tpu_worker.sh stop)" ;;
  *) say "use one of create, setup, run, wait, status, state, logs, stop, delete (see --help)"; exit 2 ;;
esac
