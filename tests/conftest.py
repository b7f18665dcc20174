"""Eight CPU devices, one compilation cache, and a config so small that its step compiles in seconds.

No test touches the checkout's `runs/`, the user's cache or home folder: commands run in an empty folder, and HOME and
XDG_CACHE_HOME are temporary folders.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
HOME = tempfile.TemporaryDirectory(prefix="colorgan-tests-home-", ignore_cleanup_errors=True)
os.environ |= {"HOME": HOME.name, "XDG_CACHE_HOME": f"{HOME.name}/.cache"}
# Before JAX is imported. Commands run by tests share the cache, but see one device like any user.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "xla"))
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.5"
os.environ["JAX_PLATFORMS"] = "cpu"
# Three times as fast to compile, and slower to run, which does not matter for networks this small.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
COMMAND_ENVIRONMENT = dict(os.environ, PYTHONPATH=str(ROOT))
os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=8"
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell, and theirs, ignore Ctrl-C

import ml_collections
import numpy as np
import pytest
from jax.sharding import Mesh
from PIL import Image

from colorgan import color, library_patches, sharding
from colorgan.configs import baseline
from colorgan.training import build
from colorgan.training import state as train_state

library_patches.block_cpu_dispatch()

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
    "optimizer.schedule": "constant",  # so that a longer run begins with the same steps
    "log_every_steps": 1,
    "num_samples": 2,
}


@pytest.fixture(scope="session", autouse=True)
def unchanged_checkout() -> Iterator[None]:
    """Fails the session if tests write to the checkout's `runs/` or create files beside its own."""

    def content() -> set[Path]:
        return {*ROOT.iterdir(), *(ROOT / "runs").rglob("*")} - {ROOT / ".pytest_cache", ROOT / ".mypy_cache"}

    before = content()
    yield
    assert content() == before, "tests changed the checkout"


@pytest.fixture(scope="session")
def tiny_config() -> ml_collections.ConfigDict:
    """The baseline's recipe, in which every value of the step differs from its default and from its neighbors."""
    config = baseline.get_config()
    config.update_from_flattened_dict(TINY)
    config.loss.l1_weight, config.ema_decay = 30.0, 0.9
    config.optimizer.generator_learning_rate, config.optimizer.critic_learning_rate = 1e-3, 5e-4
    config.optimizer.beta2 = 0.99
    return ml_collections.FrozenConfigDict(config)


@pytest.fixture(scope="session")
def tiny_gan(tiny_config: ml_collections.ConfigDict) -> train_state.GAN:
    return build.create_gan(tiny_config, "cpu")


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


def run_command(
    module: str,
    *arguments: str,
    check: bool = True,
    root: Path = ROOT,
    cwd: Path | None = None,
    obeys_permissions: bool = False,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess:
    """A command in a process of its own with one CPU device.

    Args:
      module: the module to run.
      arguments: of the command.
      check: fails the test if the command fails or warns.
      root: the checkout.
      cwd: the current folder; an empty one by default.
      obeys_permissions: whether the modes of files apply even to root.
      environment: variables to add or, where empty, to remove.
    """
    command = [sys.executable, "-m", module, *arguments]
    if obeys_permissions:
        command = [sys.executable, str(ROOT / "tests" / "obey_permissions.py"), *command]
    variables = COMMAND_ENVIRONMENT | {"PYTHONPATH": str(root)} | dict(environment or {})
    with tempfile.TemporaryDirectory(prefix="colorgan-tests-") as empty:
        done = subprocess.run(
            command,
            cwd=cwd or empty,
            env={name: value for name, value in variables.items() if value},
            capture_output=True,
            text=True,
            timeout=300,
        )
    if check and (done.returncode or "Warning" in done.stderr or "Traceback" in done.stderr):
        pytest.fail(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done


def follow_hints(gray: np.ndarray, planes: np.ndarray | None = None) -> np.ndarray:
    """A network that colors where there are hints, and nothing else."""
    chroma = np.zeros((*gray.shape[:3], 2), np.float32) if planes is None else planes[..., :2]
    return color.chroma_to_rgb(gray, chroma)


def create_step_fn(config: ml_collections.ConfigDict, gan: train_state.GAN, mesh: Mesh) -> Callable:
    """The jitted training step of (state, images) for a run of 2,000 steps."""
    hyperparameters = build.create_hyperparameters(config, 2000)
    step_fn = build.create_train_step(config, gan, mesh)
    return lambda state, images: step_fn(state, images, hyperparameters)


def run_steps(
    mesh: Mesh, state: train_state.GANState, step_fn: Callable, images: np.ndarray, num_steps: int
) -> tuple[train_state.GANState, list[dict[str, float]]]:
    """The state after some steps on the same images, and the metrics of each step."""
    history = []
    for _ in range(num_steps):
        state, metrics = step_fn(state, sharding.to_global(mesh, images))
        history.append(metrics.fetch())
    return state, history


def read_lines(workdir: Path) -> list[dict]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def tiny_flags(**changes: object) -> list[str]:
    """--config.KEY=VALUE for the tiny config; `changes` have __ where keys have a dot."""
    values = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    return [f"--config.{key}={value}" for key, value in values.items()]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run of two epochs."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    run_command("colorgan.main", "--config=default", f"--workdir={workdir}", *tiny_flags())
    return workdir
