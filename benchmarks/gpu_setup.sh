#!/usr/bin/env bash
# Prepares a rented machine without a network for benchmarks/gpu.sh.
#
#     benchmarks/gpu_setup.sh PLACE PART.tar...
#
# Unpacks tar files of benchmarks/pack_parts.py into the folder PLACE, installs PLACE/wheels into PLACE/site if it has
# new files, and writes PLACE/activate, which sets PYTHONPATH. The parts may come in several calls. PYTHON=python3.
set -euo pipefail
: "${1:?usage: benchmarks/gpu_setup.sh PLACE PART.tar...}"
mkdir -p "$1"
place=$(realpath "$1")
shift
for part in "$@"; do
  tar -xf "$part" -C "$place" --no-same-owner
done
list=$(ls "$place/wheels" 2>/dev/null || true)
if [[ -n $list && $list != "$(cat "$place/installed" 2>/dev/null || true)" ]]; then
  "${PYTHON:-python3}" -m pip install --quiet --no-index --no-deps --no-compile --upgrade --target="$place/site" \
    "$place"/wheels/*.whl
  echo "$list" >"$place/installed"
fi
root=$(realpath "$(dirname "$0")/..")
printf 'export PYTHONPATH=%q\n' "$place/site:$root" >"$place/activate"
echo "next: . $place/activate"
