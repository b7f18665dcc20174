"""Whole runs, started by the command line."""

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import psutil
import pytest
from chaos import train_lines
from conftest import COMMAND_ENVIRONMENT, read_lines, run_command, tiny_flags
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from colorgan.run import dashboard

STEPS_OF_TWO_EPOCHS = 6  # 24 images, 8 a step

METRICS = {
    *("train/generator/loss", "train/generator/adversarial", "train/generator/l1"),
    *("train/generator/gradient_norm", "train/generator/learning_rate"),
    *("train/critic/loss", "train/critic/probability_real", "train/critic/probability_fake"),
    *("train/critic/gradient_norm", "train/critic/learning_rate", "train/epoch", "train/skipped_steps"),
    *("perf/images_per_second", "perf/data_wait_fraction", "perf/device_memory_bytes", "data/bad_records"),
}
COSTS = {f"perf/{name}_seconds" for name in ("logging", "validation", "sampling", "checkpoint")}
VALIDATION_METRICS = {
    *("validation/psnr", "validation/ssim", "validation/auc", "validation/colorfulness", "validation/score"),
    *("validation/delta_colorfulness", "validation/ab_histogram_distance"),
    *("validation/gray_psnr", "validation/gray_ssim", "validation/gray_auc", "validation/true_colorfulness"),
}


def _train(workdir, *arguments, config="default", check=True):
    return run_command("colorgan.main", f"--config={config}", f"--workdir={workdir}", *arguments, check=check)


def _size(path):
    with Image.open(path) as image:
        return image.size


def _arrays(workdir, step):
    """All arrays of a checkpoint, by item and path."""
    arrays = {}
    for item in ("generator", "critic", "generator_ema"):
        tree = ocp.StandardCheckpointer().restore(workdir / "checkpoints" / str(step) / item)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
            arrays[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return arrays


def _assert_same_arrays(workdir, expected_workdir):
    """After two epochs, to the bit."""
    expected, arrays = (_arrays(run, STEPS_OF_TWO_EPOCHS) for run in (expected_workdir, workdir))
    assert expected.keys() == arrays.keys()
    assert any("opt_state" in name for name in expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


def test_folder_of_a_run(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert names == {
        *("config.json", "networks.json", "checkpoints", "tensorboard", "samples", "metrics.jsonl", "log.txt"),
        *("report.html", "validation"),
    }
    assert {path.name for path in (finished_run / "validation").iterdir()} == {"metrics.json", "best_and_worst.png"}
    config = json.loads((finished_run / "config.json").read_text())
    assert (config["image_size"], config["data"]["train"]) == (32, "procedural:24")
    networks = json.loads((finished_run / "networks.json").read_text())
    arrays = _arrays(finished_run, STEPS_OF_TWO_EPOCHS)
    ema = sum(x.size for name, x in arrays.items() if name.startswith("generator_ema"))
    assert networks["num_generator_values"] == ema
    assert networks["num_critic_values"] > 1000
    assert sorted(path.name for path in (finished_run / "checkpoints").iterdir()) == ["3", "6"]
    assert sorted(path.name for path in (finished_run / "samples").iterdir()) == ["epoch_0001.png", "epoch_0002.png"]
    assert _size(finished_run / "samples" / "epoch_0002.png") > (3 * 160, 2 * 160)


def test_metrics_of_a_run(finished_run):
    lines = read_lines(finished_run)
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert line.keys() >= METRICS
        assert all(np.isfinite(value) for value in line.values())
        assert (line.keys() >= VALIDATION_METRICS) == (line["step"] in (3, 6))
    # A checkpoint is saved after its epoch's line, so its cost is in the next line.
    assert [COSTS & line.keys() for line in lines] == [
        set(),
        set(),
        COSTS - {"perf/checkpoint_seconds"},
        set(),
        set(),
        COSTS,
    ]
    assert all(lines[5][name] > 0 for name in COSTS)
    assert [line["train/epoch"] for line in lines] == pytest.approx([1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2])
    assert lines[-1]["validation/num_images"] == 12
    board = EventAccumulator(str(finished_run / "tensorboard")).Reload()
    names = {name for line in lines for name in line} - {"step", "data/bad_records", "train/skipped_steps"}  # are 0
    assert set(board.Tags()["scalars"]) == {dashboard.tag(name) for name in names}
    assert [e.value for e in board.Scalars("train/generator/l1")] == pytest.approx(
        [line["train/generator/l1"] for line in lines]
    )
    assert [event.step for event in board.Images("samples")] == [3, 6]
    assert {"config/text_summary", "networks/text_summary"} <= set(board.Tags()["tensors"])


def test_a_resumed_run_is_the_same_as_an_uninterrupted_one(finished_run, tmp_path):
    workdir = tmp_path / "resumed"
    _train(workdir, *tiny_flags(num_epochs=1))
    assert [line["step"] for line in read_lines(workdir)] == [1, 2, 3]
    with open(workdir / "metrics.jsonl", "a") as file:
        file.write('{"step": 4, "train/generator/l1": 0.1}\n{"step": 5, "tr')  # metrics after the checkpoint
    second = _train(workdir, *tiny_flags(num_epochs=2))
    assert "resuming from step 3" in second.stdout
    assert "num_epochs: 1 -> 2" in (workdir / "log.txt").read_text()
    assert train_lines(workdir) == train_lines(finished_run)
    _assert_same_arrays(workdir, finished_run)


def test_a_run_from_device_memory_is_the_same_run(finished_run, tmp_path):
    _train(tmp_path / "cached", *tiny_flags(data__cache="device"))
    assert train_lines(tmp_path / "cached") == train_lines(finished_run)
    assert "decoding all images into device memory: 24," in (tmp_path / "cached" / "log.txt").read_text()


def test_a_run_that_no_longer_improves_ends_early_and_stays_complete(tmp_path):
    workdir = tmp_path / "early"
    flags = tiny_flags(num_epochs=12, early_stop=1)
    done = _train(workdir, *flags)
    assert "validations in a row without a better validation/score: 1\nthe run is complete after step " in done.stdout
    lines = read_lines(workdir)
    scores = [line["validation/score"] for line in lines if "validation/score" in line]
    assert 2 <= len(scores) < 11
    assert scores[-1] <= scores[-2]
    assert scores[:-1] == sorted(scores[:-1])
    assert (workdir / "samples" / f"epoch_{len(scores):04d}.png").exists()
    again = _train(workdir, *flags)
    assert "increase config.early_stop (or set it to 0) to continue" in again.stdout
    assert read_lines(workdir) == lines


def test_a_complete_run_is_reported(finished_run):
    before = [(finished_run / name).read_bytes() for name in ("metrics.jsonl", "config.json")]
    done = _train(finished_run, *tiny_flags(num_epochs=1))
    assert "the run is complete, steps done: 6 of 3; increase config.num_epochs to continue" in done.stdout
    for place in ("samples", "tensorboard", "colorgan evaluate", "colorgan colorize"):
        assert place in done.stdout
    assert [(finished_run / name).read_bytes() for name in ("metrics.jsonl", "config.json")] == before


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"model__width": 8}, "model.width: 4 -> 8"),
        ({"seed": 1}, "seed: 3 -> 1"),
        ({"data__train": "procedural:25"}, "number of training images: 24 -> 25"),
        ({"batch_size": 4}, "batch_size: 8 -> 4"),
        ({"optimizer__beta1": 0.9}, "optimizer.beta1: 0.5 -> 0.9"),
    ],
)
def test_a_run_of_another_config_is_refused(finished_run, changes, difference):
    done = _train(finished_run, *tiny_flags(**changes), check=False)
    assert done.returncode == 1
    assert difference in done.stderr
    assert (
        f"start a new run with --workdir=DIR, from these networks with --config.init_from={finished_run}" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
    assert json.loads((finished_run / "config.json").read_text())["model"]["width"] == 4


def test_a_run_without_a_checkpoint_is_not_overwritten_with_another_config(finished_run, tmp_path):
    for name in ("config.json", "metrics.jsonl"):  # as it is before the first checkpoint
        shutil.copy(finished_run / name, tmp_path)
    metrics = (tmp_path / "metrics.jsonl").read_bytes()
    # Checked before the data is opened.
    done = _train(tmp_path, *tiny_flags(seed=4, data__train="folder:/no/such"), check=False)
    assert done.returncode == 1
    assert "seed: 3 -> 4" in done.stderr
    assert (tmp_path / "metrics.jsonl").read_bytes() == metrics


def test_tpu_config_runs_with_small_networks_on_a_cpu(tmp_path, photographs):
    data = f"folder:{photographs}"
    flags = tiny_flags(data__train=data, data__validation=data, num_epochs=1, data__num_workers=0)
    flags += ["--config.model.encoder=unet", "--config.model.encoder_weights=", "--config.model.encoder_rate=1.0"]
    _train(tmp_path / "run", "--config.platform=cpu", "--config.profile_steps=(1, 2)", *flags, config="tpu")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["precision"] == "bfloat16"
    assert read_lines(tmp_path / "run")[-1]["step"] == 2  # 12 photographs in steps of 8
    assert list((tmp_path / "run" / "tensorboard").rglob("*.xplane.pb"))


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    workdir = tmp_path / "run"
    flags = tiny_flags(log_every_steps=2, optimizer__generator_learning_rate=1e30)
    done = _train(workdir, *flags, check=False)
    assert done.returncode == 1
    assert re.search(r"train/\S+ is (nan|inf) at step [23]: the run cannot continue", done.stderr)
    assert done.stderr.count("\n") == 1
    assert not list((workdir / "checkpoints").iterdir())


def test_steps_that_are_not_finite_are_skipped_up_to_the_limit(tmp_path):
    flags = tiny_flags(data__train="procedural:80", optimizer__generator_learning_rate=1e30, skip_nonfinite_steps=2)
    done = _train(tmp_path / "run", *flags, check=False)
    assert done.returncode == 1
    assert re.search(r"train/\S+ is (nan|inf) at step 4: the run cannot continue", done.stderr)
    assert [line["train/skipped_steps"] for line in read_lines(tmp_path / "run")] == [0, 1, 2]
    assert "step 3 skipped: not finite are train/critic/gradient_norm" in done.stdout
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_validation_metric_that_is_not_finite_ends_the_run_before_its_checkpoint(tmp_path):
    # The losses of the first step are finite, and it ends an epoch; the parameters after it are not.
    flags = tiny_flags(data__train="procedural:8", optimizer__generator_learning_rate=1e30)
    done = _train(tmp_path / "run", *flags, check=False)
    assert done.returncode == 1
    assert re.search(r"validation/\S+ is (nan|inf) at step 1: the run cannot continue", done.stderr)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(finished_run, tmp_path):
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    largest = max((workdir / "checkpoints" / "6").rglob("ocdbt.process_0/d/*"), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    # In the middle of the largest array, which Zstandard compresses. The order of arrays in the file is not fixed, and
    # in the header of a frame the bit would make it unreadable.
    starts = [found.start() for found in re.finditer(re.escape(b"\x28\xb5\x2f\xfd"), data)]
    first, end = max(itertools.pairwise([*starts, len(data)]), key=lambda frame: frame[1] - frame[0])
    data[(first + end) // 2] ^= 1
    largest.write_bytes(data)
    done = _train(workdir, *tiny_flags())
    assert re.search(r"checkpoints/6 is damaged .*checksum.*; using the checkpoint of step 3\n", done.stdout)
    assert train_lines(workdir) == train_lines(finished_run)
    _assert_same_arrays(workdir, finished_run)


def test_without_a_good_checkpoint_the_run_ends_and_keeps_them(finished_run, tmp_path):
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    for step in (3, 6):
        (workdir / "checkpoints" / str(step) / "meta" / "metadata").write_text("")
    done = _train(workdir, *tiny_flags(num_epochs=3), check=False)
    assert done.returncode == 1
    assert re.fullmatch(r".*/6 is damaged .*it cannot be read: .*nothing was deleted: copy .*\n", done.stderr)
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["3", "6"]
    assert read_lines(workdir)[-1]["step"] == 6


def test_a_full_disk_loses_checkpoints_and_nothing_else(finished_run, tmp_path):
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    shutil.rmtree(workdir / "checkpoints" / "6")
    command = [sys.executable, "-m", "colorgan.main", "--config=default", f"--workdir={workdir}"]
    limited = subprocess.run(  # no file may grow beyond 16 KiB
        ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *command, *tiny_flags(num_epochs=3)],
        cwd=tmp_path,
        env=COMMAND_ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert limited.returncode == 1
    assert re.fullmatch(r"colorgan: checkpoint .*/9 cannot be written: .*File too large; once .*\n", limited.stderr)
    assert "/6 cannot be written" in limited.stdout
    assert "; the ones before it are kept" in limited.stdout
    assert "kept in memory until it can be written" in limited.stdout  # TensorBoard's sample grid
    assert [path.name for path in (workdir / "checkpoints").iterdir()] == ["3"]
    assert [line["step"] for line in read_lines(workdir)] == list(range(1, 10))
    _train(workdir, *tiny_flags(num_epochs=2))
    assert train_lines(workdir) == train_lines(finished_run)
    _assert_same_arrays(workdir, finished_run)


def test_workers_end_with_a_killed_trainer_and_another_run_is_refused(tmp_path):
    command = [sys.executable, "-m", "colorgan.main", "--config=default", f"--workdir={tmp_path}"]
    flags = tiny_flags(num_epochs=10_000, data__num_workers=1)
    trainer = subprocess.Popen([*command, *flags], cwd=tmp_path, env=COMMAND_ENVIRONMENT, stdout=subprocess.DEVNULL)
    workers: list[psutil.Process] = []
    try:
        for _ in range(600):
            time.sleep(0.2)
            if (tmp_path / "metrics.jsonl").exists() and (tmp_path / "metrics.jsonl").read_text().count("\n") > 2:
                break
        workers = [child for child in psutil.Process(trainer.pid).children() if "spawn_main" in str(child.cmdline())]
        assert workers
        other = _train(tmp_path, *tiny_flags(num_epochs=10_000), check=False)
        assert other.returncode == 75
        assert re.fullmatch("colorgan: another run uses .*; --workdir=DIR chooses another folder\n", other.stderr)
    finally:
        trainer.kill()
        trainer.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_receives_a_signal_saves_after_the_step(tmp_path, number):
    flags = [f"--workdir={tmp_path}/run", *tiny_flags(num_epochs=2, data__train="procedural:8000")]
    flags += ["--config.data.num_workers=1", "--config.log_every_steps=7"]
    command = [sys.executable, "-m", "colorgan.main", "--config=default", *flags]
    with open(tmp_path / "errors", "w+") as errors:
        trainer = subprocess.Popen(
            command, cwd=tmp_path, env=COMMAND_ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=errors
        )
        metrics = tmp_path / "run" / "metrics.jsonl"
        for _ in range(600):
            time.sleep(0.2)
            if metrics.exists() and metrics.read_text().count("\n") > 2:
                break
        trainer.send_signal(number)
        assert trainer.wait(timeout=60) == 75
        errors.seek(0)
        said = errors.read()
    (step,) = map(int, re.findall(r"stopped at step (\d+) of 2000; the same command resumes from there", said))
    assert "Warning" not in said
    assert "Traceback" not in said
    assert "the same command resumes" in (tmp_path / "run" / "log.txt").read_text().splitlines()[-1]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == [str(step)]
    assert [line["step"] for line in read_lines(tmp_path / "run")] == list(range(7, step + 1, 7))
    assert " of 2 epochs are done." in (tmp_path / "run" / "report.html").read_text()


def test_a_run_that_receives_a_signal_while_it_starts_ends_at_once(tmp_path):
    command = [sys.executable, "-m", "colorgan.main", "--config=default", f"--workdir={tmp_path}/run"]
    environment = COMMAND_ENVIRONMENT | {"JAX_COMPILATION_CACHE_DIR": ""}  # compiles for seconds
    with open(tmp_path / "errors", "w+") as errors:
        trainer = subprocess.Popen(
            [*command, *tiny_flags()], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
        while not (tmp_path / "run" / "log.txt").exists():
            time.sleep(0.05)
        trainer.send_signal(signal.SIGTERM)
        assert trainer.wait(timeout=20) == 75
        errors.seek(0)
        assert errors.read() == "colorgan: interrupted with nothing to save; run the same command to start again\n"
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    tmp_path.chmod(0o555)
    arguments = ("--config=default", f"--workdir={tmp_path / 'run'}", *tiny_flags())
    done = run_command("colorgan.main", *arguments, check=False, obeys_permissions=True)
    assert done.returncode == 1
    assert re.fullmatch(r"colorgan: cannot write .*: .*; choose another with --workdir=DIR\n", done.stderr)


def test_colorize(finished_run, photographs, tmp_path):
    arguments = (f"--workdir={finished_run}", f"--output={tmp_path}", str(photographs))
    done = run_command("colorgan.colorize", *arguments)
    assert json.loads(done.stdout.splitlines()[-1])["num_colored"] == 12
    for source in photographs.rglob("*.*"):
        if source.suffix != ".txt" and not source.name.startswith("."):
            assert _size(tmp_path / source.relative_to(photographs)) == _size(source)
    again = run_command("colorgan.colorize", *arguments)
    assert json.loads(again.stdout.splitlines()[-1])["num_there"] == 12
    run_command("colorgan.colorize", *arguments, "--overwrite")
