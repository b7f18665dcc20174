"""The benchmarks run the same code as training and report its metrics; speed itself is not tested."""

import argparse
import contextlib
import json
import runpy
import sys

import jax
import jax.numpy as jnp
import ml_collections
import pytest
from conftest import ROOT

from colorgan import benchmark
from colorgan.profiling import benchmarks

_fresh_compilation = benchmarks._fresh_compilation


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(benchmarks, "_REPEAT_SECONDS", 0.05)
    monkeypatch.setattr(benchmarks, "_REPEATS", 1)
    monkeypatch.setattr(benchmarks, "_fresh_compilation", contextlib.nullcontext)


def _config(tiny_config, **changes):
    config = ml_collections.ConfigDict(tiny_config.to_dict())
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in changes.items()})
    return config


def test_compilation_is_measured_without_the_cache():
    events = []
    jax.monitoring.register_event_listener(lambda event, **_: events.append(event))
    least = jax.config.values["jax_persistent_cache_min_compile_time_secs"]

    def was_loaded():
        events.clear()
        # A new function each time, since JAX caches compiled functions.
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


def test_step_reports_the_cost_of_a_step(tiny_config):
    metrics = benchmarks.measure_step(_config(tiny_config))
    assert metrics["images_per_second"] == pytest.approx(8 / metrics["step_seconds"])
    assert metrics["flop_per_second_per_device"] == pytest.approx(
        metrics["flop_per_image"] * metrics["images_per_second"] / 8  # devices
    )
    # At least the products of the first layer, forward and backward, and its input and output.
    assert metrics["flop_per_image"] > 2 * 16 * 16 * 16 * 4 * 3
    assert metrics["bytes_per_image"] > 4 * (32 * 32 + 16 * 16 * 4)
    assert metrics["num_values"] > 1000
    assert metrics["compile_seconds"] > 0
    assert "share_of_peak" not in metrics  # the peaks of a CPU are not known


@pytest.mark.parametrize("changes", [{}, {"data__num_workers": 1}, {"data__cache": "device"}])
def test_input_is_compared_with_a_minimal_loop(tiny_config, photographs, changes):
    metrics = benchmarks.measure_input(_config(tiny_config, data__train=f"folder:{photographs}", **changes))
    assert metrics["images_per_second"] > 0
    assert metrics["ratio_to_bare"] > 0
    assert metrics["bare_images_per_second_per_core"] > 100


def test_loop_is_compared_with_its_slower_part(tiny_config):
    config = _config(tiny_config, num_epochs=4, checkpoint_every_epochs=2, sample_epochs=(4,))
    loop = benchmarks.measure_loop(config)
    parts = {part: loop[f"{part}_images_per_second"] for part in ("step", "input")}
    assert loop["ratio_to_slower_part"] == pytest.approx(loop["images_per_second"] / min(parts.values()))
    assert parts[loop["slower_part"]] == min(parts.values())
    costs = {name: loop[f"{name}_seconds_each"] for name in ("validation", "sampling", "checkpoint")}
    assert all(cost > 0 for cost in costs.values())
    # Validated and saved in every second epoch, sampled in the one of four.
    beside = costs["validation"] / 2 + costs["checkpoint"] / 2 + costs["sampling"] / 4
    assert loop["epoch_seconds"] == pytest.approx(24 / loop["images_per_second"] + beside)


def test_the_command_ends_in_one_line_of_json(tiny_config, monkeypatch, capsys):
    config = _config(tiny_config, data__num_threads=1, platform="cpu")
    arguments = argparse.Namespace(part="input", config=config, config_name="default", pretty=False)
    benchmark.main(arguments)
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (metrics["part"], metrics["config"], metrics["device"]) == ("input", "default", "cpu")
    assert {"images_per_second", "ratio_to_bare", "jax", "date"} <= metrics.keys()


def test_pretty_prints_one_metric_per_line():
    text = benchmarks.as_text(
        {"part": "loop", "images_per_second": 12345.678, "ratio": 0.97123, "num_values": 56925788}
    )
    assert [line.split() for line in text.splitlines()] == [
        ["part", "loop"],
        ["images_per_second", "12,346"],
        ["ratio", "0.9712"],
        ["num_values", "56,925,788"],
    ]


def test_a_missing_peer_is_skipped_with_a_line(capsys):
    compare_step = runpy.run_path(str(ROOT / "benchmarks" / "compare_step.py"))
    arguments = argparse.Namespace(peers_python=sys.executable, gpu=False, network="baseline")
    assert compare_step["installed_peers"](arguments)[0] == []
    assert capsys.readouterr().out.splitlines() == [
        f"pytorch is skipped: torch is not installed for {sys.executable}",
        f"tensorflow is skipped: tensorflow is not installed for {sys.executable}",
    ]
