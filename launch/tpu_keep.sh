#!/usr/bin/env bash
# Runs the trainer on TPUs that can be preempted, and restarts it until the run is complete.
#
#   WORKDIR=gs://BUCKET/runs/mine SPOT=1 launch/tpu_keep.sh --config=configs/tpu.py [TRAINER ARGUMENTS]
#
# It creates and sets up the TPU if there is none, and starts the trainer, which resumes from its last checkpoint. It
# repeats this after the trainer was stopped or lost a host, and on a new TPU after a preemption. The exit code is 0 if
# the run is complete, 1 or 2 if the trainer cannot continue (the same code), and 75 after MAX_FAILURES attempts without
# progress. Ctrl-C ends only this script. If a trainer is already running, the script waits for that one, whatever its
# arguments. To end the run, first end this script, then use launch/tpu_vm.sh stop.
#
# Variables: those of launch/tpu_vm.sh, and
#   BACKOFF=10 BACKOFF_MAX=600    seconds before the second attempt; doubled before each further one, up to the maximum
#   PROGRESS_SECONDS=600    a trainer that ran this long made progress, and the count of attempts starts again
#   MAX_FAILURES=20         attempts without progress, in a row, before it gives up
#   DELETE=                 1: deletes the TPU at the end, however the run ended

set -euo pipefail
[[ ${1:-} != --help ]] || { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit; }
: "${BACKOFF:=10}" "${BACKOFF_MAX:=600}" "${PROGRESS_SECONDS:=600}" "${MAX_FAILURES:=20}" "${DELETE:=}"
tpu=$(dirname "$0")/tpu_vm.sh

say() { echo "tpu_keep.sh: $1" >&2; }
finish() {
  if [[ $DELETE == 1 ]]; then "$tpu" delete || true; else say "the TPU costs until you run $tpu delete"; fi
  exit "$1"
}
start() {
  case $("$tpu" state) in
    ACTIVE)
      if "$set_up"; then
        "$tpu" stop || return # other hosts may not have noticed the failure of one
      elif [[ $("$tpu" status) == *" running"* ]]; then # started by an earlier call of this script
        set_up=true
        return
      fi
      ;;
    UNKNOWN) return 1 ;;
    *) set_up=false ;;
  esac
  "$tpu" create && { "$set_up" || "$tpu" setup; } && set_up=true && "$tpu" run "$@"
}

if [[ "${WORKDIR:-} $*" != *gs://* ]]; then
  say "the run's folder must be on gs://, as in WORKDIR=gs://BUCKET/runs/mine: a TPU's disks are deleted with it"
  exit 2
fi
if [[ "$*" != *--config* ]]; then
  say "--config is missing, as in --config=configs/tpu.py"
  exit 2
fi
set_up=false failures=0 delay=$BACKOFF
while :; do
  code=75 began=$SECONDS
  if start "$@"; then
    code=0 began=$SECONDS
    "$tpu" wait || code=$?
  fi
  case $code in
    0) say "the run is complete"; finish 0 ;;
    1 | 2) say "the trainer cannot continue (exit code $code)"; finish "$code" ;;
  esac
  if ((SECONDS - began >= PROGRESS_SECONDS)); then failures=0 delay=$BACKOFF; fi
  failures=$((failures + 1))
  ((failures < MAX_FAILURES)) || { say "no progress in $failures attempts"; finish 75; }
  say "trying again in $delay s"
  sleep "$delay"
  delay=$((delay * 2 < BACKOFF_MAX ? delay * 2 : BACKOFF_MAX))
done
