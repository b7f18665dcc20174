"""How a process starts: what it imports, and where it caches compiled programs."""

import argparse
import functools
import logging
import os
import pwd
import re
import subprocess
import sys

import jax
import ml_collections
import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT

from colorgan import config_file
from colorgan.errors import UserError
from colorgan.run import devices, storage
from colorgan.training import build

# Starts a command that, instead of running, starts a worker process as Grain does, which prints what it has loaded.
START_WORKER = """
import multiprocessing, runpy, sys

def print_loaded():
    import colorgan.data.pipeline
    from colorgan.data import sources
    sources.open_source("procedural:2", 32).read(0)
    from jax._src import xla_bridge
    print(xla_bridge.backends_are_initialized(), *sorted(sys.modules))

def start_worker(*arguments):
    process = multiprocessing.get_context("spawn").Process(target=print_loaded)
    process.start()
    process.join()

if __name__ == "__main__":
    import start_worker
    from colorgan import command_line
    command_line.run = start_worker.start_worker
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def worker_modules(tmp_path_factory):
    """A function from a command to the modules of its data workers, which must not have started a device."""
    script = tmp_path_factory.mktemp("script") / "start_worker.py"
    script.write_text(START_WORKER)

    @functools.cache
    def modules(*command):
        done = subprocess.run(
            [sys.executable, str(script), *command],
            cwd=script.parent,
            env=COMMAND_ENVIRONMENT,
            capture_output=True,
            text=True,
        )
        started_device, *names = done.stdout.split()
        assert started_device == "False", done.stderr
        return set(names)

    return modules


@pytest.mark.parametrize("command", [("colorgan", "train"), ("colorgan", "benchmark")])
def test_data_workers_start_no_device_and_import_little(worker_modules, command):
    modules = worker_modules(*command)
    assert "grain" in modules
    assert not modules & {"tensorflow", "flax", "orbax.checkpoint", "tensorstore", "optax", "clu", "tensorboardX"}
    assert not {name for name in modules if name.startswith(("colorgan.training", "colorgan.models"))}


def test_data_workers_are_the_same_with_both_forms_of_a_command(worker_modules):
    # So they need no more memory: 84 to 86 MiB each, with both commands.
    assert worker_modules("colorgan", "train") == worker_modules("colorgan.main")


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


@pytest.fixture
def no_home(monkeypatch):
    """As in a container whose user has no HOME and no entry in /etc/passwd."""

    def getpwuid(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", getpwuid)


@pytest.fixture
def updates(monkeypatch):
    """The options that are set of JAX, which do not change."""
    options: dict[str, object] = {}
    monkeypatch.setattr(devices.jax.config, "update", options.__setitem__)
    return options


def test_without_a_home_folder_nothing_is_cached(no_home, updates):
    devices.select_platform("")
    assert "jax_compilation_cache_dir" not in updates
    with pytest.raises(argparse.ArgumentTypeError, match="~/x is in the home folder, which is not known: set HOME"):
        storage.parse_path("~/x")
    with pytest.raises(UserError, match="there is no config file ~/x"):
        config_file.find("~/x")


def test_a_cache_that_cannot_be_written_is_not_used(updates, monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "colorgan" / "xla").mkdir(parents=True)
    for is_writable in (False, True):
        monkeypatch.setattr(os, "access", lambda path, mode, is_writable=is_writable: is_writable)
        devices.select_platform("")
        assert ("jax_compilation_cache_dir" in updates) == is_writable


def test_names_that_begin_with_a_tilde_are_names():
    assert [str(storage.parse_path(name)) for name in ("~no_such_user/x", "~$a.jpg")] == ["~no_such_user/x", "~$a.jpg"]


def test_types_have_32_bits():
    """With 64, a checkpoint would seem damaged."""
    jax.config.update("jax_enable_x64", True)  # as JAX_ENABLE_X64=1 does
    try:
        devices.select_platform("")
        assert jax.numpy.zeros(1).dtype == jax.numpy.float32
    finally:
        jax.config.update("jax_enable_x64", False)


def test_a_platform_of_the_environment_that_is_not_there_is_named(monkeypatch):
    def fail():
        raise AssertionError  # as JAX where the plug-in for GPUs is not installed

    monkeypatch.setattr(jax, "devices", fail)
    with pytest.raises(UserError, match=r"^JAX_PLATFORMS is 'cpu' but JAX finds .*; unset JAX_PLATFORMS, or set it to"):
        devices.select_platform("")


@pytest.mark.parametrize(
    ("name", "library", "hint"),
    [
        ("_GPU_FILES", None, r"an NVIDIA GPU, but JAX uses the CPU; to use it: pip install 'colorgan\[cuda\]'"),
        ("_GPU_FILES", object(), "an NVIDIA GPU, but JAX uses the CPU; see above, or run nvidia-smi"),
        ("_TPU_FILES", None, r"a TPU, but JAX uses the CPU; to use it: pip install 'colorgan\[tpu\]'"),
    ],
)
def test_a_device_that_jax_does_not_use_is_one_warning(monkeypatch, caplog, tmp_path, name, library, hint):
    for files in ("_GPU_FILES", "_TPU_FILES"):
        monkeypatch.setattr(devices, files, (str(tmp_path),) if files == name else ())
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: library)
    devices.library_patches.leave_out_device_warnings()
    with caplog.at_level(logging.WARNING):
        logging.getLogger("jax._src.xla_bridge").warning("An NVIDIA GPU may be present on this machine, but a ...")
        devices._warn_about_unused_devices()
    (record,) = caplog.records
    assert re.fullmatch(f"this machine seems to have {hint}", record.getMessage())


# Prints what `join_processes` does, with JAX's own part replaced.
JOIN = """
import glob, importlib.util, sys
import jax
from colorgan.errors import UserError
from colorgan.run import devices

jax.distributed.initialize = lambda **options: print("joins", sorted(options))
if sys.argv[2:] == ["tpu"]:
    importlib.util.find_spec = lambda name: object()
    glob.glob = lambda pattern: ["/dev/accel0"]
try:
    devices.join_processes(sys.argv[1], devices.Processes())
    print("done")
except UserError as error:
    print(error)
"""
JOINS = "joins ['initialization_timeout']\ndone\n"
OF_SRUN = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"}


@pytest.mark.parametrize(
    ("environment", "arguments", "output"),
    [
        ({}, ["cpu"], "done\n"),
        (OF_SRUN, ["gpu"], JOINS),
        ({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, ["gpu"], "done\n"),
        ({"SLURM_NTASKS": "4"}, ["gpu"], "done\n"),  # salloc: a shell on the login node
        ({"SLURM_NTASKS": "", "SLURM_PROCID": ""}, ["gpu"], "done\n"),
        ({}, ["", "tpu"], JOINS),
        ({}, ["gpu", "tpu"], JOINS),
        ({}, ["cpu", "tpu"], "done\n"),
    ],
)
def test_how_processes_are_found(environment, arguments, output):
    done = subprocess.run(
        [sys.executable, "-c", JOIN, *arguments],
        env=COMMAND_ENVIRONMENT | environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == output, done.stderr


def test_slurm_without_srun_is_one_sentence(tmp_path):
    """In a batch script Slurm sets the variables of the job and those of a first task."""
    environment = COMMAND_ENVIRONMENT | {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    command = [sys.executable, "-m", "colorgan.main", "--config=default", f"--workdir={tmp_path}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("colorgan: this Slurm job has 4 tasks, but the command was not started by srun")
