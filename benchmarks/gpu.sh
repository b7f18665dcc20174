#!/usr/bin/env bash
# Everything that wants a GPU, in order of worth, each result on disk before the next begins:
#
#     benchmarks/gpu.sh TRAIN_FOLDER VALIDATION_FOLDER OUT
#
# PEERS_PYTHON=... is the Python that has PyTorch (this one unless said); EPOCHS=10 shortens the long run, which goes on
# where it stopped when the script is started again.
set -uo pipefail
: "${3:?usage: benchmarks/gpu.sh TRAIN_FOLDER VALIDATION_FOLDER OUT}"
set -- "$(realpath "$1")" "$(realpath "$2")" "$(realpath -m "$3")"
cd "$(dirname "$0")/.."
data=(--config.data.train="folder:$1" --config.data.validation="folder:$2" --config.data.cache=device)
out=$3
mkdir -p "$out"

record() { # FILE COMMAND...: keeps the command's last line, if it is JSON
  local file=$1 line
  shift
  line=$("$@" | tee /dev/stderr | tail -1)
  [[ $line == {* ]] && echo "$line" >>"$out/$file" || echo "failed: $*" >&2
}

# 1. Does it run, and does its input keep up: from the cache, and from the workers?
for cache in device none; do
  record loop.jsonl python -m colorgan.benchmark loop --config=configs/gpu.py "${data[@]}" --config.data.cache=$cache
done

# 2. The step by batch size, as it is and with one option of XLA at a time.
for batch_size in 16 64 256 1024; do
  record step.jsonl python -m colorgan.benchmark step --config=configs/gpu.py --config.batch_size=$batch_size
done
for option in xla_gpu_enable_latency_hiding_scheduler=true xla_gpu_autotune_level=4 xla_gpu_enable_triton_gemm=false; do
  record "$option.jsonl" python -m colorgan.benchmark step --config=configs/gpu.py --config.batch_size=256 \
    --config.compiler_options="('$option',)"
done

# 3. Beside PyTorch.
for batch_size in 16 64 256; do
  record compare.jsonl python benchmarks/compare_step.py --gpu --batch_size=$batch_size \
    --peers_python="${PEERS_PYTHON:-$(command -v python)}"
done

# 4. What a step's time goes to, for TensorBoard's profile page (pip install xprof).
python -m colorgan.main --config=configs/gpu.py "${data[@]}" --workdir="$out/profile" \
  --config.num_epochs=1 --config.profile_steps="(20, 30)" --config.batch_size=256

# 5. The original's setting and ours, 150 epochs end to end.
for config in seed gpu; do
  start=$SECONDS
  python -m colorgan.main --config=configs/$config.py "${data[@]}" --workdir="$out/$config" --config.platform=gpu \
    --config.precision=bfloat16 --config.num_epochs="${EPOCHS:-150}"
  echo "{\"exit_code\": $?, \"seconds\": $((SECONDS - start))}" | tee -a "$out/$config.jsonl"
  record $config.jsonl python -m colorgan.evaluate --workdir="$out/$config" --data="folder:$2"
done

# 6. What each piece of the recipe is worth.
python benchmarks/ladder.py --setting=full --train="folder:$1" --test="folder:$2" --output="$out/ladder" --rows="${ROWS:-}"
python benchmarks/ladder.py --setting=full --output="$out/ladder" --table | tee "$out/ladder.md"
python benchmarks/ladder.py --setting=full --output="$out/ladder" --sheet="$out/ladder.png"
