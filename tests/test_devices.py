"""How a process starts: what it imports, and where it caches compiled programs."""

import os
import subprocess
import sys

import jax
import ml_collections
import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT

from colorgan.training import build

# Like multiprocessing in a new data worker: the module of the command, then the modules of the pickled dataset.
WORKER = """
import runpy, sys
runpy.run_module("colorgan.{module}", run_name="__mp_main__")
import colorgan.data.pipeline
from colorgan.data import sources
sources.open_source("procedural:2", 32).read(0)
from jax._src import xla_bridge
print([name for name in ("tensorflow", "flax", "orbax.checkpoint", "tensorstore", "optax") if name in sys.modules])
print(xla_bridge.backends_are_initialized())
"""


@pytest.mark.parametrize("module", ["main", "benchmark"])
def test_data_workers_start_no_device_and_import_little(module):
    command = [sys.executable, "-c", WORKER.format(module=module)]
    done = subprocess.run(command, cwd=ROOT, env=COMMAND_ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "False"], done.stderr


@pytest.mark.parametrize("module", ["main", "benchmark", "compile_ahead"])
def test_help_imports_no_networks(module):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", f"colorgan.{module}", "--help"],
        cwd=ROOT,
        env=COMMAND_ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "jax" in imported
    assert not imported & {"flax", "orbax", "tensorflow", "optax", "tensorflow_datasets"}


@pytest.mark.parametrize(
    ("deterministic", "platform", "expected"), [(True, "gpu", 1), (True, "cpu", 0), (False, "gpu", 0)]
)
def test_deterministic_sets_the_option_of_gpus(tiny_config, deterministic, platform, expected):
    config = ml_collections.ConfigDict(tiny_config)
    config.deterministic = deterministic
    options = build.compiler_options(config, platform)
    assert len(options) == expected
    jax.jit(lambda x: x + 1, compiler_options=options)(1)  # XLA knows the option


LOCATE = """
import jax
from colorgan.run import devices
devices.select_platform("cpu")
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HOME": "{home}"}, "{home}/.cache/colorgan/xla"),
        ({"HOME": "{home}", "XDG_CACHE_HOME": "{home}/cache"}, "{home}/cache/colorgan/xla"),
        ({"HOME": "{home}", "JAX_COMPILATION_CACHE_DIR": "/fast"}, "/fast"),
        ({"HOME": "/proc/no/home"}, "None"),
    ],
)
def test_compiled_programs_are_in_the_users_cache(tmp_path, environment, folder):
    home = str(tmp_path)
    inherited = {key: value for key, value in os.environ.items() if key not in ("XDG_CACHE_HOME", "XLA_FLAGS")}
    inherited.pop("JAX_COMPILATION_CACHE_DIR")
    environment = inherited | {key: value.format(home=home) for key, value in environment.items()}
    done = subprocess.run([sys.executable, "-c", LOCATE], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == folder.format(home=home), done.stderr
