"""Compilation for TPUs and GPUs that are not present."""

import argparse
import importlib.util
import json
import subprocess
import sys

import conftest
import pytest

from colorgan import sharding
from colorgan.compile_ahead import main
from colorgan.profiling import compile_ahead

NEEDS_COMPILER = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the TPU compiler is missing: pip install 'colorgan[tpu]'"
)


NEEDS_CUDA_COMPILER = pytest.mark.skipif(
    importlib.util.find_spec("jax_plugins") is None, reason="pip install 'colorgan[compile-cuda]'"
)


def _run(*arguments, check=True):
    flags = ["--config=default", *conftest.tiny_flags(), *arguments]
    return conftest.run_command("colorgan.compile_ahead", *flags, check=check)


def _sentence(*arguments):
    done = _run(*arguments, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is not None, reason="the TPU compiler is installed")
def test_a_missing_compiler_is_named():
    assert _sentence().endswith("pip install 'colorgan[tpu]'")


@pytest.mark.skipif(importlib.util.find_spec("jax_plugins") is not None, reason="the CUDA compiler is installed")
def test_a_missing_compiler_for_gpus_is_named():
    assert _sentence("--topology=h100").endswith("pip install 'colorgan[compile-cuda]'")


def test_it_says_at_the_start_that_it_takes_minutes(tiny_config, monkeypatch, capsys):
    monkeypatch.setattr(compile_ahead, "describe_mesh", lambda topology: sharding.create_mesh())
    monkeypatch.setattr(compile_ahead, "compile_ahead", lambda *_: print("compiled") or {})
    main(argparse.Namespace(config=tiny_config, topology="v5e:2x4", explain=False))
    output = capsys.readouterr()
    assert output.err == "compiling the training step for v5e:2x4: about a minute for a GPU, several for a TPU\n"
    assert output.out.startswith("compiled\n")


def test_work_in_a_thread_returns_or_raises():
    assert compile_ahead._with_progress(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        compile_ahead._with_progress(lambda: 1 / 0)


# Prints the environment at the moment when JAX is imported.
AT_IMPORT_OF_JAX = """
import os, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "jax":
            print(os.environ.get("TPU_SKIP_MDS_QUERY"), os.environ.get("TPU_WORKER_HOSTNAMES"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Finder())
sys.argv = ["colorgan", "compile-ahead", "--help"]
from colorgan import __main__
__main__.main()
"""


def test_the_environment_is_set_before_jax_is_imported():
    command = [sys.executable, "-c", AT_IMPORT_OF_JAX]
    done = subprocess.run(command, env=conftest.COMMAND_ENVIRONMENT, capture_output=True, text=True)
    assert done.stdout == "1 localhost\n", done.stderr


@NEEDS_COMPILER
def test_misuse_is_one_sentence():
    unknown = _sentence("--topology=v5e:3x5x7")
    assert unknown.startswith("colorgan: the TPU compiler does not know --topology=v5e:3x5x7")
    uneven = _sentence("--config.batch_size=12")
    assert uneven == ("colorgan: config.batch_size is 12, which 8 devices cannot share evenly; use a multiple of 8")


@NEEDS_COMPILER
@pytest.mark.slow
def test_the_real_step_is_compiled_and_its_cost_reported():
    report = json.loads(_run("--config.precision=bfloat16", "--topology=v5e:2x4", check=False).stdout.splitlines()[-1])
    assert (report["device_kind"], report["num_devices"], report["images_per_device"]) == ("TPU v5 lite", 8, 1)
    assert report["fits"] is True
    assert report["memory_bytes"] + report["memory_left_bytes"] == 16 * 2**30
    assert report["collectives"]["gradients"]["number"] <= 4
    assert report["collectives"]["batch_norm"]["number"] > 0
    seconds = max(report["flop_per_image"] / 197e12, report["bytes_per_image"] / 819e9)
    assert report["roofline_images_per_second_per_device"] == pytest.approx(1 / seconds)


@NEEDS_CUDA_COMPILER
@pytest.mark.slow
@pytest.mark.parametrize(("topology", "num_devices"), [("h100", 1), ("a100:8", 8)])
def test_the_real_step_is_compiled_for_gpus(topology, num_devices):
    """Its cost is counted, and the exchanges between GPUs are found."""
    flags = ["--config.precision=bfloat16", f"--topology={topology}", "--explain"]
    report = json.loads(_run(*flags).stdout.splitlines()[-1])
    assert (report["num_devices"], report["images_per_device"]) == (num_devices, 8 // num_devices)
    assert report["fits"] is True
    assert 0 < report["library_calls"] < report["launches"]
    assert report["roofline_in_turn_step_seconds"] >= report["roofline_step_seconds"]
    assert len(report["most_expensive"]) == 10
    assert any("training/" in operation["source"] for operation in report["most_expensive"])
    assert (report["collectives"]["gradients"]["number"] > 0) is (num_devices > 1)


@NEEDS_CUDA_COMPILER
def test_misuse_of_topologies_of_gpus_is_one_sentence():
    assert "does not know --topology=h100:many" in _sentence("--topology=h100:many")
