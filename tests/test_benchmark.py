"""The benchmark runs what training runs and reports what it says; how fast that is, is not tested."""

import json

import pytest
from conftest import run_command, tiny_flags

TIMES = ("images_per_second", "flop_per_image", "bytes_per_image")


def _benchmark(part, *arguments, **changes):
    return run_command(
        "colorgan.benchmark", part, "--config=configs/default.py", *tiny_flags(**changes), *arguments
    ).stdout


@pytest.fixture(scope="module")
def loop():
    return json.loads(_benchmark("loop", data__cache="device").splitlines()[-1])


def test_step_counts_what_a_step_does():
    figures = json.loads(_benchmark("step").splitlines()[-1])
    assert figures["part"] == "step"
    assert figures["images_per_second"] == pytest.approx(8 / figures["step_seconds"])
    # Twice the images, twice the work, save for the updates of the parameters.
    larger = json.loads(_benchmark("step", batch_size=16).splitlines()[-1])
    assert larger["flop_per_image"] == pytest.approx(figures["flop_per_image"], rel=0.2)
    assert larger["flop_per_image"] < figures["flop_per_image"]
    assert larger["num_values"] == figures["num_values"] > 1000
    assert figures["bytes_per_image"] > 32 * 32 * 3 * 4
    assert figures["compile_seconds"] > 0.1
    assert "share_of_peak" not in figures  # a CPU's peaks are not known


@pytest.mark.parametrize("changes", [{}, {"data__num_workers": 1}])
def test_input_is_compared_with_a_bare_loop(photographs, changes):
    figures = json.loads(_benchmark("input", data__train=f"folder:{photographs}", **changes).splitlines()[-1])
    assert figures["part"] == "input"
    assert figures["images_per_second"] > 0
    assert 0.01 < figures["ratio_to_bare"] < 2  # twelve tiny files: mostly overhead
    assert figures["ratio_to_bare"] == pytest.approx(
        figures["images_per_second_per_core"] / figures["bare_images_per_second_per_core"], rel=0.5
    )


def test_loop_is_compared_with_its_slower_part(loop):
    parts = {part: loop[f"{part}_images_per_second"] for part in ("step", "input")}
    assert loop["ratio_to_slower_part"] == pytest.approx(loop["images_per_second"] / min(parts.values()))
    assert parts[loop["slower_part"]] == min(parts.values())
    costs = [loop[f"{name}_seconds_per_epoch"] for name in ("validation", "sampling", "checkpoint")]
    assert all(cost > 0 for cost in costs)
    assert loop["epoch_seconds"] == pytest.approx(24 / loop["images_per_second"] + sum(costs))
    assert (loop["cache"], loop["batch_size"], loop["config"]) == ("device", 8, "default")


def test_pretty_says_the_same_in_lines():
    lines = _benchmark("step", "--pretty").splitlines()
    assert lines[0].split() == ["part", "step"]
    assert any(line.startswith("images_per_second  ") for line in lines)


@pytest.mark.parametrize("arguments", [(), ("train",)])
def test_the_part_has_to_be_said(arguments):
    done = run_command("colorgan.benchmark", *arguments, "--config=configs/default.py", check=False)
    assert done.returncode == 1
    assert done.stderr == "colorgan: say which: one of step, input, loop, as in step --config=FILE\n"
