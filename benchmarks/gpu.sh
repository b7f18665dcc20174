#!/usr/bin/env bash
# All measurements that need a GPU, the most important first. Each result is written before the next measurement starts.
#
#     benchmarks/gpu.sh TRAIN_FOLDER VALIDATION_FOLDER OUT
#
# PEERS_PYTHON=... is the Python that has PyTorch (default: this one). EPOCHS=10 shortens the long runs. They resume if
# the script is started again. XLA_FLAGS="--xla_gpu_enable_triton_gemm=false --xla_gpu_autotune_level=2" compiles a step
# of configs/gpu.py in less than a minute; XLA_FLAGS=--xla_gpu_autotune_level=0 makes it far too slow.
set -uo pipefail
: "${3:?usage: benchmarks/gpu.sh TRAIN_FOLDER VALIDATION_FOLDER OUT}"
set -- "$(realpath "$1")" "$(realpath "$2")" "$(realpath -m "$3")"
cd "$(dirname "$0")/.."
data=(--config.data.train="folder:$1" --config.data.validation="folder:$2" --config.data.cache=device)
out=$3
mkdir -p "$out"

record() { # FILE COMMAND...: appends the last line that the command prints to FILE, if it is JSON
  local file=$1 line
  shift
  line=$("$@" | tee /dev/stderr | tail -1)
  [[ $line == {* ]] && echo "$line" >>"$out/$file" || echo "failed: $*" >&2
}

# 1. The loop beside the step and the input: does the input keep up, from the cache and from the workers?
for cache in device none; do
  record loop.jsonl python -m colorgan.benchmark loop --config=configs/gpu.py "${data[@]}" --config.data.cache=$cache
done

# 2. The step: by batch size, then with one XLA option at a time.
for batch_size in 16 64 256 1024; do
  record step.jsonl python -m colorgan.benchmark step --config=configs/gpu.py --config.batch_size=$batch_size
done
for option in xla_gpu_enable_latency_hiding_scheduler=true xla_gpu_autotune_level=4 xla_gpu_enable_triton_gemm=false; do
  record "$option.jsonl" python -m colorgan.benchmark step --config=configs/gpu.py --config.batch_size=256 \
    --config.compiler_options="('$option',)"
done

# 3. The step compared with PyTorch.
for batch_size in 16 64 256; do
  record compare.jsonl python benchmarks/compare_step.py --gpu --batch_size=$batch_size \
    --peers_python="${PEERS_PYTHON:-$(command -v python)}"
done
for critic in "" --critic; do
  record compare.jsonl python benchmarks/compare_step.py --gpu --network=pretrained --batch_size=256 $critic \
    --peers_python="${PEERS_PYTHON:-$(command -v python)}"
done

# 4. A profile of the step, for TensorBoard's profile page (pip install xprof).
python -m colorgan.main --config=configs/gpu.py "${data[@]}" --workdir="$out/profile" \
  --config.num_epochs=1 --config.profile_steps="(20, 30)" --config.batch_size=256

# 5. Whole runs of 150 epochs: the baseline, and configs/gpu.py.
for config in baseline gpu; do
  start=$SECONDS
  python -m colorgan.main --config=configs/$config.py "${data[@]}" --workdir="$out/$config" --config.platform=gpu \
    --config.precision=bfloat16 --config.num_epochs="${EPOCHS:-150}"
  echo "{\"exit_code\": $?, \"seconds\": $((SECONDS - start))}" | tee -a "$out/$config.jsonl"
  record $config.jsonl python -m colorgan.evaluate --workdir="$out/$config" --data="folder:$2"
done

# 6. The ladders: the losses with a pretrained encoder, then the parts of the baseline's recipe.
for setting in recipe_gpu full; do
  ladder=(python benchmarks/ladder.py --setting="$setting" --output="$out/ladder")
  "${ladder[@]}" --train="folder:$1" --test="folder:$2" --rows="${ROWS:-}" --seeds="${SEEDS:-0}"
  "${ladder[@]}" --table | tee "$out/ladder_$setting.md"
  "${ladder[@]}" --sheet="$out/ladder_$setting.png"
done
