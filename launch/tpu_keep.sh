#!/usr/bin/env bash
# Keeps a run alive on TPUs that are taken away now and then, until the trainer says that it is complete.
#
#   WORKDIR=gs://BUCKET/runs/mine SPOT=1 launch/tpu_keep.sh --config=configs/tpu.py [TRAINER ARGUMENTS]
#
# It creates and sets up the TPU where there is none and starts the trainer, which goes on from its last checkpoint.
# When the trainer was stopped or lost a host, the same is done again; when the TPU was taken away, on a new one. It
# exits with 0 if the run is complete, with 1 or 2 if the trainer says that it cannot go on, with 75 after MAX_FAILURES
# tries that came to nothing. Ctrl-C ends only the keeping; a keeper that finds a trainer running waits for that one,
# whatever its arguments. To end the run: first the keeper, then launch/tpu_vm.sh stop.
#
# Variables: those of launch/tpu_vm.sh, and
#   BACKOFF=10 BACKOFF_MAX=600    seconds until the second try; twice as many until the next, up to the maximum
#   PROGRESS_SECONDS=600    a trainer that ran for so long got somewhere: tries are counted anew
#   MAX_FAILURES=20         tries in a row that did not
#   DELETE=                 1: deletes the TPU at the end, whichever it is

set -euo pipefail
[[ ${1:-} != --help ]] || { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit; }
: "${BACKOFF:=10}" "${BACKOFF_MAX:=600}" "${PROGRESS_SECONDS:=600}" "${MAX_FAILURES:=20}" "${DELETE:=}"
tpu=$(dirname "$0")/tpu_vm.sh

say() { echo "tpu_keep.sh: $1" >&2; }
finish() {
  if [[ $DELETE == 1 ]]; then "$tpu" delete || true; else say "the TPU costs until you say $tpu delete"; fi
  exit "$1"
}
start() {
  case $("$tpu" state) in
    ACTIVE)
      if "$set_up"; then
        "$tpu" stop || return # hosts that have not noticed that another one failed
      elif [[ $("$tpu" status) == *" running"* ]]; then # a keeper before this one started it
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
  say "the run's folder has to be on gs://, as WORKDIR=gs://BUCKET/runs/mine, since a TPU's disks go with it"
  exit 2
fi
if [[ "$*" != *--config* ]]; then
  say "say what to train, as in --config=configs/tpu.py"
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
    1 | 2) say "the trainer cannot go on ($code)"; finish "$code" ;;
  esac
  if ((SECONDS - began >= PROGRESS_SECONDS)); then failures=0 delay=$BACKOFF; fi
  failures=$((failures + 1))
  ((failures < MAX_FAILURES)) || { say "$failures tries came to nothing"; finish 75; }
  say "going on in $delay s"
  sleep "$delay"
  delay=$((delay * 2 < BACKOFF_MAX ? delay * 2 : BACKOFF_MAX))
done
