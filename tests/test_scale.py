"""The table of docs/scale.md, with numbers that can be computed by hand."""

import json
import runpy
import sys

import pytest
from conftest import ROOT

scale = runpy.run_path(str(ROOT / "benchmarks" / "scale.py"))
Machine, ImageSet, Speed = (scale[name] for name in ("Machine", "ImageSet", "Speed"))

H100, V5E = "NVIDIA H100 80GB HBM3", "TPU v5 lite"


def _compiled(device, num_devices, images, roofline, in_turn=1.0, fits=True):
    rooflines = {"": roofline, "_in_turn": in_turn}
    return {
        "topology": "made up",
        "device_kind": device,
        "num_devices": num_devices,
        "images_per_device": images,
        "fits": fits,
        **{f"roofline{kind}_images_per_second_per_device": value for kind, value in rooflines.items()},
    }


LINES = [
    {"part": "input", "data": "array_record:a/*", "load_size": 10, "images_per_second_per_core": 100.0},
    {"part": "input", "data": "folder:b", "load_size": 10, "images_per_second_per_core": 20.0},
    {"num_records": 100, "num_refused": 0, "data": "array_record:a/*", "num_bytes": 5_000},
    {"num_records": 300, "num_refused": 0, "data": "array_record:b/*", "num_bytes": 3_000, "cpu_seconds": 36.0},
    {"part": "checkpoint", "num_bytes": 7},
    {"part": "checkpoint", "num_bytes": 9},
    {"part": "step", "device": "cpu", "num_devices": 1, "batch_size": 4, "images_per_second": 50.0},
    {
        "part": "step",
        "device": "NVIDIA H200",
        "num_devices": 1,
        "batch_size": 8,
        "images_per_second": 1.0,
        "share_of_roofline": 0.25,
        "share_of_roofline_in_turn": 0.5,
    },
    _compiled(H100, 1, 8, roofline=900.0, in_turn=702.0),
    _compiled(H100, 8, 8, roofline=800.0, in_turn=600.0),
    _compiled(V5E, 8, 4, roofline=400.0),
    _compiled(V5E, 8, 1000, roofline=400.0, fits=False),
]
PARTS = scale["collect_parts"](LINES)


def test_parts_are_averages_over_records():
    assert scale["collect_parts"](LINES) == (20.0, 100.0, 20.0, pytest.approx(0.12), 10, 9)


@pytest.mark.parametrize(
    ("device", "num_devices", "expected"),
    [
        ("cpu", 1, [(4, 50.0, True)]),
        (H100, 1, [(8, 351.0, False)]),  # half of 702
        (H100, 8, [(64, 2400.0, False)]),  # half of 8 x 600
        (V5E, 8, [(32, 800.0, False)]),  # a quarter of 8 x 400
        (V5E, 256, [(1024, 25_600.0, False)]),  # the line of 8 chips
        (V5E, 4, []),
    ],
)
def test_speeds_are_measured_or_shares_of_the_roofline(device, num_devices, expected):
    machine = Machine(device, num_devices, 1e9, 1, 1, 0.0)
    assert scale["find_speeds"](machine, LINES) == expected


def test_a_set_in_device_memory_is_decoded_once():
    machine = Machine(H100, 1, memory_bytes=300_000 / 0.3, num_processes=1, num_cores=2, dollars=3.0)
    # 1,000 images of 10 x 10 pixels are 300,000 bytes: 5 s of decoding at 200 images/s, then 100 s.
    plan = scale["make_plan"](machine, ImageSet("a", 1000, 10), Speed(300, 100.0, True), PARTS)
    assert plan == (34, 100.0, "step (images on the device)", 0.0, 0, 0, 105.0)


@pytest.mark.parametrize(
    ("device", "cores", "images_per_second", "limit"),
    [
        (H100, 40, 1000.0, "step"),
        (H100, 5, 500.0, "decoding"),
        (H100, 999, 1000.0, "step"),
        ("cpu", 10, 500.0, "step and decoding"),  # 1/1000 + 1/1000 seconds an image
    ],
)
def test_a_larger_set_is_decoded_in_every_epoch(device, cores, images_per_second, limit):
    machine = Machine(device, 1, 1e5, 2, cores, 3.0)
    plan = scale["make_plan"](machine, ImageSet("a", 1000, 9), Speed(10, 1000.0, False), PARTS)
    workers = 5, 25  # 500 images/s for each of two processes, at 100 and at 20
    expected = 900, images_per_second, limit, images_per_second * 20, *workers, 9000 / images_per_second
    assert plan == pytest.approx(expected)


def test_each_process_has_at_most_sixteen_workers():
    machine = Machine(H100, 1, 1e5, 2, 999, 3.0)
    plan = scale["make_plan"](machine, ImageSet("a", 9000, 1), Speed(10, 5000.0, False), PARTS)
    assert (plan.images_per_second, plan.limit) == (3200.0, "decoding")


def test_tables(tmp_path, monkeypatch, capsys):
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    flags = ["--set=small:100:36", "--set=large:100000000:36", "--price=H100=7", "--price=8 H100=3600", "--start=30"]
    monkeypatch.setattr(sys, "argv", ["scale.py", str(file), *flags])
    scale["main"]()
    lines = capsys.readouterr().out.splitlines()
    # 100/1600 s of decoding by 16 workers, 3,600 images at 351 images/s, and 30 s.
    assert (
        "| small, 36 | H100 | 8 | 450 (too few) | ~350 | step (images on the device) | 0 | 0, 0 (26) | ~40 s | ~0.078 |"
        in lines
    )
    # A quarter of 8 x 400 images/s, and at most 16 x 100 from shards; an estimate has two digits.
    assert "| large, 36 | v5e-8 | 32 | 112,500,000 | ~800 | step | 0.016 | 8, 40 (224) | ~1,250 h | ~12,000 |" in lines
    assert "| small, 36 | v5e-256 | 1,024 | the batch is larger than the set |  |  |  |  |  |  |" in lines
    # 3.6e9 images at 2,400 images/s are 416.7 hours; 300 images/s for each of eight processes.
    assert (
        "| large, 36 | 8 H100 | 64 | 56,250,000 | ~2,400 | step | 0.048 | 3, 15 (26) | ~417 h | ~1,500,030 |" in lines
    )
    assert "| large | 100,000,000 | 2 | 30 | 3,333 |" in lines


@pytest.mark.parametrize(("seconds", "text"), [(9.0, "9 s"), (59.0, "59 s"), (90.0, "1.5 min"), (7200.0, "2 h")])
def test_times_have_the_largest_unit(seconds, text):
    assert scale["in_time"](seconds) == text


def test_a_price_of_no_machine_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scale.py", "lines.jsonl", "--set=a:1:1", "--price=B200=1"])
    with pytest.raises(SystemExit):
        scale["main"]()
    assert "'B200' is not one of two cores, H100, 8 H100" in capsys.readouterr().err
