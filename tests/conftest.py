"""Eight CPU devices, one compilation cache, and a config so small that its step compiles in seconds."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Before JAX is imported. Commands run by tests share the cache, but see one device like any user.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "xla"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
os.environ["JAX_PLATFORMS"] = "cpu"
# Three times as fast to compile, and as slow to run, which networks this small do not show.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
COMMAND_ENVIRONMENT = dict(os.environ, PYTHONPATH=str(ROOT))
os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=8"
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and theirs, ignore Ctrl-C

import jax
import ml_collections
import numpy as np
import pytest
from absl import flags
from PIL import Image

from colorgan.configs import baseline
from colorgan.training import build
from colorgan.training import state as train_state

jax.config.update("jax_cpu_enable_async_dispatch", False)
flags.FLAGS.mark_as_parsed()  # Grain's workers ask for flags

TINY = {
    "seed": 3,
    "image_size": 32,
    "batch_size": 8,
    "num_epochs": 2,
    "data.train": "procedural:24",
    "data.validation": "procedural:12",
    "data.load_size": 36,
    "model.width": 4,
    "model.max_width": 16,
    "optimizer.schedule": "constant",  # so that a run that is made longer is the one that was longer from the start
    "log_every_steps": 1,
    "num_samples": 2,
}


@pytest.fixture(scope="session")
def tiny_config() -> ml_collections.ConfigDict:
    """The seed's recipe, in which every value of the step differs from its default and from its neighbours."""
    config = baseline.get_config()
    config.update_from_flattened_dict(TINY)
    config.loss.l1_weight, config.ema_decay = 30.0, 0.9
    config.optimizer.generator_learning_rate, config.optimizer.critic_learning_rate = 1e-3, 5e-4
    config.optimizer.beta2 = 0.99
    return ml_collections.FrozenConfigDict(config)


@pytest.fixture(scope="session")
def tiny_gan(tiny_config: ml_collections.ConfigDict) -> train_state.GAN:
    return build.create_gan(tiny_config, "cpu", build.SOME_EPOCHS)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 small photographs of several formats and sizes, in subfolders."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for n in range(12):
        suffix = ("jpg", "png", "webp", "bmp", "tiff")[n % 5]
        path = folder / f"class_{n % 2}" / f"image_{n:02d}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        smooth = rng.integers(0, 256, (4, 5, 3), np.uint8)
        Image.fromarray(smooth).resize((40 + 3 * n, 50), Image.Resampling.BICUBIC).save(path)
    (folder / "notes.txt").write_text("no image")
    (folder / "class_0" / "._image_00.jpg").write_text("no image, and hidden")
    return folder


def run_command(module: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
    """A command as a user runs it, in a process of its own with one CPU device."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=COMMAND_ENVIRONMENT, capture_output=True, text=True, timeout=300)
    if check and (done.returncode or "Warning" in done.stderr or "Traceback" in done.stderr):
        pytest.fail(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def read_lines(workdir: Path) -> list[dict]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def tiny_flags(**changes: object) -> list[str]:
    """--config.KEY=VALUE for the tiny config; `changes` have __ where keys have a dot."""
    values = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"--config.{key}={value}" for key, value in values.items()]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    run_command("colorgan.main", "--config=configs/default.py", f"--workdir={workdir}", *tiny_flags())
    return workdir
