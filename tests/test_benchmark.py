"""The benchmark runs what training runs and reports what it says; how fast that is, is not tested."""

import argparse
import contextlib
import json
import runpy
import sys

import jax
import jax.numpy as jnp
import ml_collections
import pytest
from absl import flags
from conftest import ROOT, run_command, tiny_flags

from colorgan import benchmark

_fresh_compilation = benchmark._fresh_compilation


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(benchmark, "_REPEAT_SECONDS", 0.05)
    monkeypatch.setattr(benchmark, "_REPEATS", 1)
    monkeypatch.setattr(benchmark, "_fresh_compilation", contextlib.nullcontext)


def _config(tiny_config, **changes):
    config = ml_collections.ConfigDict(tiny_config.to_dict())
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def test_compilation_is_timed_afresh():
    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    least = jax.config.values["jax_persistent_cache_min_compile_time_secs"]

    def was_loaded():
        events.clear()
        # A new function each time, since JAX remembers what it compiled of one.
        jax.jit(lambda x: jnp.linalg.eigh(jnp.sin(x) @ x.T)).lower(jnp.ones((9, 9))).compile()
        return "/jax/compilation_cache/cache_hits" in events

    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    try:
        was_loaded()
        assert was_loaded()
        with _fresh_compilation():
            assert not was_loaded()
        assert was_loaded()
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


def test_step_counts_what_a_step_does(tiny_config):
    figures = benchmark.measure_step(_config(tiny_config))
    assert figures["images_per_second"] == pytest.approx(8 / figures["step_seconds"])
    assert figures["flop_per_second_per_device"] == pytest.approx(
        figures["flop_per_image"] * figures["images_per_second"] / 8  # devices
    )
    # At the least the first layer's products, forward and backward, and its input and output.
    assert figures["flop_per_image"] > 2 * 16 * 16 * 16 * 4 * 3
    assert figures["bytes_per_image"] > 4 * (32 * 32 + 16 * 16 * 4)
    assert figures["num_values"] > 1000
    assert figures["compile_seconds"] > 0
    assert "share_of_peak" not in figures  # a CPU's peaks are not known


@pytest.mark.parametrize("changes", [{}, {"data__num_workers": 1}, {"data__cache": "device"}])
def test_input_is_compared_with_a_bare_loop(tiny_config, photographs, changes):
    figures = benchmark.measure_input(_config(tiny_config, data__train=f"folder:{photographs}", **changes))
    assert figures["images_per_second"] > 0
    assert figures["ratio_to_bare"] > 0
    assert figures["bare_images_per_second_per_core"] > 100


def test_loop_is_compared_with_its_slower_part(tiny_config):
    config = _config(tiny_config, num_epochs=4, checkpoint_every_epochs=2, sample_epochs=(4,))
    loop = benchmark.measure_loop(config)
    parts = {part: loop[f"{part}_images_per_second"] for part in ("step", "input")}
    assert loop["ratio_to_slower_part"] == pytest.approx(loop["images_per_second"] / min(parts.values()))
    assert parts[loop["slower_part"]] == min(parts.values())
    costs = {name: loop[f"{name}_seconds_each"] for name in ("validation", "sampling", "checkpoint")}
    assert all(cost > 0 for cost in costs.values())
    # Validated and saved in every second epoch, sampled in the one of four.
    beside = costs["validation"] / 2 + costs["checkpoint"] / 2 + costs["sampling"] / 4
    assert loop["epoch_seconds"] == pytest.approx(24 / loop["images_per_second"] + beside)


@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")  # ml_collections'
def test_the_command_ends_in_one_line_of_json(monkeypatch, capsys):
    given = [f"--config={ROOT}/configs/default.py", *tiny_flags(data__num_threads=1)]
    monkeypatch.setattr(sys, "argv", ["benchmark", *given])  # config flags look there too
    flags.FLAGS(sys.argv)
    benchmark.main("input")
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (figures["part"], figures["config"], figures["device"]) == ("input", "default", "cpu")
    assert {"images_per_second", "ratio_to_bare", "jax", "date"} <= figures.keys()


def test_pretty_is_one_figure_a_line():
    said = benchmark.describe(
        {"part": "loop", "images_per_second": 12345.678, "ratio": 0.97123, "num_values": 56925788}
    )
    assert [line.split() for line in said.splitlines()] == [
        ["part", "loop"],
        ["images_per_second", "12,346"],
        ["ratio", "0.9712"],
        ["num_values", "56,925,788"],
    ]


@pytest.mark.parametrize("arguments", [(), ("train",)])
def test_the_part_has_to_be_said(arguments):
    done = run_command("colorgan.benchmark", *arguments, "--config=configs/default.py", check=False)
    assert done.returncode == 1
    assert done.stderr == "colorgan: say which: one of step, input, loop, as in step --config=FILE\n"


def test_a_missing_peer_is_skipped_with_a_line(capsys):
    compare_step = runpy.run_path(str(ROOT / "benchmarks" / "compare_step.py"))
    arguments = argparse.Namespace(peers_python=sys.executable, gpu=False)
    assert compare_step["installed_peers"](arguments) == []
    assert capsys.readouterr().out.splitlines() == [
        f"pytorch is skipped: {sys.executable} has no torch",
        f"tensorflow is skipped: {sys.executable} has no tensorflow",
    ]
