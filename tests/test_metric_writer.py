"""Metrics, texts and samples that a run writes."""

import contextlib
import logging

import numpy as np
import pytest
from conftest import read_lines
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from colorgan.errors import UserError
from colorgan.run import metric_writer, run_log, timing
from colorgan.run.pending_metrics import PendingMetrics, StepMetrics

METRICS = {
    "train/generator/l1": 0.5,
    "train/generator/adversarial": 0.7,
    "train/critic/loss": 1.4,
    "perf/images_per_second": 10.0,
}


def _write(workdir, first_step, last_step, scale=1.0):
    with contextlib.closing(metric_writer.MetricWriter(workdir, first_step, 9, enabled=True)) as writer:
        for step in range(first_step + 1, last_step + 1):
            writer.progress(step, "epoch 1/1")
            writer.write(step, METRICS | {"train/generator/l1": step * scale})


def test_metrics_are_in_both_files(tmp_path):
    _write(tmp_path, 0, 3)
    assert read_lines(tmp_path) == [{"step": n, **METRICS, "train/generator/l1": float(n)} for n in (1, 2, 3)]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in board.Scalars("train/generator/l1")] == [(1, 1), (2, 2), (3, 3)]


def test_a_resumed_run_removes_metrics_after_its_checkpoint(tmp_path):
    _write(tmp_path, 0, 5)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "train/gen')  # cut off by a crash
    _write(tmp_path, 3, 6, scale=10.0)
    assert [(line["step"], line["train/generator/l1"]) for line in read_lines(tmp_path)] == [
        *((1, 1), (2, 2), (3, 3)),
        *((4, 40), (5, 50), (6, 60)),
    ]
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("train/generator/l1")] == [1, 2, 3, 4, 5, 6]


def test_damaged_lines_are_reported_and_others_kept(tmp_path, caplog):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"st\n{"step": 3}\n{"step": 9}\n{"step": 10')
    with caplog.at_level(logging.WARNING, "colorgan"):
        metric_writer.cut_metrics(tmp_path / "metrics.jsonl", 5)
    assert read_lines(tmp_path) == [{"step": 1}, {"step": 3}]
    assert "damaged lines that are removed: 1;" in caplog.text


def test_other_processes_write_nothing(tmp_path):
    with contextlib.closing(metric_writer.MetricWriter(tmp_path, 0, 9, enabled=False)) as writer:
        writer.progress(1, "")
        writer.write(1, METRICS)
        writer.write_text("config", "x", 0)
        writer.write_samples(1, 1, Image.new("RGB", (4, 4)))
        writer.sync()
    assert list(tmp_path.iterdir()) == []


def test_samples_and_texts(tmp_path):
    grid = Image.new("RGB", (30, 20), (200, 10, 10))
    with contextlib.closing(metric_writer.MetricWriter(tmp_path, 0, 9, enabled=True)) as writer:
        writer.write_samples(10, 123, grid)
        writer.write_text("config", "seed = 0\nplatform = ''", 0)
    with Image.open(tmp_path / "samples" / "epoch_0010.png") as image:
        assert (np.asarray(image) == np.asarray(grid)).all()
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(image.step, image.width, image.height) for image in board.Images("samples")] == [(123, 30, 20)]
    assert b"seed = 0" in board.Tensors("config/text_summary")[0].tensor_proto.string_val[0]


def _pending(values, max_skipped_in_a_row=0, skipped=()):
    """With the critic's losses of steps 1, 2, ..."""
    pending = PendingMetrics(max_skipped_in_a_row, dict(skipped))
    for step, value in enumerate(values, 1):
        pending.add(step, StepMetrics.create({"train/critic/loss": value, "train/generator/l1": 7}))
    return pending


def test_pending_metrics_are_taken_once_and_in_order():
    pending = _pending([1, 2, 3])
    rest = {"train/generator/l1": 7.0, "train/skipped_steps": 0}
    assert pending.take(before=3) == {"train/critic/loss": 2.0, **rest}
    assert pending.take(before=3) == {}
    assert pending.take() == {"train/critic/loss": 3.0, **rest}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_metric_that_is_not_finite_names_its_step(value):
    with pytest.raises(UserError, match=f"train/critic/loss is {value} at step 3"):
        _pending([0, 0, value, value]).take()


def test_steps_that_are_not_finite_are_skipped_and_counted(caplog):
    pending = _pending([1, np.nan, np.inf, 4, np.nan], max_skipped_in_a_row=2, skipped={"in_all": 3, "in_a_row": 1})
    with caplog.at_level(logging.WARNING, "colorgan"):
        assert pending.take(before=5) == {
            "train/critic/loss": 4.0,
            "train/generator/l1": 7.0,
            "train/skipped_steps": 5,
        }
        assert pending.skipped == {"in_all": 5, "in_a_row": 0}
        assert pending.take() == {"train/generator/l1": 7.0, "train/skipped_steps": 6}
    assert [record.getMessage() for record in caplog.records] == [
        f"step {step} skipped: not finite are train/critic/loss" for step in (2, 3, 5)
    ]


def test_too_many_skipped_in_a_row_end_the_run_across_restarts():
    with pytest.raises(UserError, match="train/critic/loss is nan at step 4"):
        _pending([1, np.nan, np.nan, np.nan], max_skipped_in_a_row=2).take()
    with pytest.raises(UserError, match="train/critic/loss is nan at step 2"):
        _pending([np.nan, np.nan], max_skipped_in_a_row=2, skipped={"in_all": 1, "in_a_row": 1}).take()


def test_timer_counts_steps_and_waiting(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(timing.time, "monotonic", lambda: clock[0])
    timer = timing.StepTimer(batch_size=8)
    for _ in range(3):
        with timer.waiting():
            clock[0] += 3
        clock[0] += 1
    metrics = timer.read()
    assert metrics["perf/data_wait_fraction"] == 0.75
    assert metrics["perf/images_per_second"] == 3 * 8 / 12
    assert metrics["perf/device_memory_bytes"] > 1e6
    assert timer.read() == metrics  # no step since
    timer.restart()
    with timer.waiting():
        clock[0] += 4
    assert timer.read()["perf/images_per_second"] == 2


def test_log_goes_to_the_file_and_the_terminal(tmp_path, capsys):
    logger = logging.getLogger("colorgan.training.loop")
    with run_log.logging_to(tmp_path, enabled=True):
        logger.info("epoch %d", 3)
    logger.info("after")
    assert capsys.readouterr().out == "epoch 3\n"
    text = (tmp_path / "log.txt").read_text()
    assert text.endswith("INFO epoch 3\n")
    assert text.count("\n") == 1
