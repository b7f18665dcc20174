"""Several processes that train together over gloo on this machine, as on several hosts."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT, read_lines, tiny_flags

CONFIG = "--config=default"
EIGHT_DEVICES = {"XLA_FLAGS": COMMAND_ENVIRONMENT["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"}


def _command(num_processes, workdir, changes):
    launch = [str(ROOT / "launch" / "local_processes.sh"), str(num_processes)]
    launch = launch if num_processes > 1 else [sys.executable, "-m", "colorgan.main"]
    return [*launch, "--config=default", f"--workdir={workdir}", *tiny_flags(**changes)]


def _train(num_processes, workdir, environment=None, **changes):
    """Checks that the exit code is 0, and returns the output of all processes."""
    done = subprocess.run(
        _command(num_processes, workdir, changes),
        cwd=ROOT,
        env=COMMAND_ENVIRONMENT | {"PYTHON": sys.executable} | (environment or {}),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@contextlib.contextmanager
def _training(num_processes, workdir, **changes):
    """The running launcher of several processes, and a function that returns their output so far."""
    with open(workdir.with_suffix(".log"), "w+") as log:
        launcher = subprocess.Popen(
            _command(num_processes, workdir, changes),
            cwd=ROOT,
            env=COMMAND_ENVIRONMENT | {"PYTHON": sys.executable, "GRACE": "60"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield launcher, lambda: workdir.with_suffix(".log").read_text()
        finally:
            if launcher.poll() is None:
                launcher.terminate()
                launcher.wait(timeout=60)


def _trainers(launcher):
    """Process ids of the trainers, by --process_id."""
    commands = {child.pid: child.cmdline() for child in psutil.Process(launcher.pid).children()}
    last = {pid: command[-1] for pid, command in commands.items() if "colorgan.main" in command}
    return {int(flag.removeprefix("--process_id=")): pid for pid, flag in last.items()}


def _wait_for_step(workdir, step):
    for _ in range(1000):
        with contextlib.suppress(OSError):
            if f'{{"step": {step},' in (workdir / "metrics.jsonl").read_text():
                return
        time.sleep(0.1)
    pytest.fail(f"no line of step {step}")


def _assert_same_run(workdir, expected, num_first=3):
    """Same losses as in `expected`, a run of one process with the same batches, up to growing rounding errors."""
    lines, wanted = read_lines(workdir), read_lines(expected)
    assert [line["step"] for line in lines] == [line["step"] for line in wanted]
    for line, want in zip(lines, wanted, strict=True):
        tolerance = 1e-4 if line["step"] <= num_first else 5e-3
        for name in (
            "train/generator/loss",
            "train/generator/l1",
            "train/critic/loss",
        ):
            assert line[name] == pytest.approx(want[name], rel=tolerance), (line["step"], name)
        for name in (name for name in want if name.startswith("validation/")):
            assert line[name] == pytest.approx(want[name], rel=5e-3, abs=5e-3), (line["step"], name)
    assert lines[-1]["validation/num_images"] == 12


def test_two_processes_train_as_one_and_resume_on_eight_devices(finished_run, tmp_path):
    workdir = tmp_path / "run"
    output = _train(2, workdir, num_epochs=1)
    assert output.count(", cpu devices: 2\n") == 1  # only one of them logs
    assert sorted(path.name for path in (workdir / "tensorboard").iterdir())[1:] == []
    output = _train(1, workdir, EIGHT_DEVICES)
    assert "resuming from step 3" in output
    assert ", cpu devices: 8\n" in output
    _assert_same_run(workdir, finished_run)


def test_a_lost_process_ends_the_others_and_the_run_resumes(tmp_path):
    """From the checkpoint before the newest, if the newest is damaged."""
    workdir = tmp_path / "run"
    changes = {"num_epochs": 100_000, "log_every_steps": 1, "checkpoint_every_epochs": 2}
    with _training(2, workdir, **changes) as (launcher, read):
        _wait_for_step(workdir, 14)
        os.kill(_trainers(launcher)[1], signal.SIGKILL)
        start = time.monotonic()
        assert launcher.wait(timeout=100) == 75
        assert time.monotonic() - start < 20
        # Our message, or that of JAX's coordination service, whichever comes first.
        assert re.search("another process of this run has ended|JAX distributed service detected fatal errors", read())
    saved = sorted(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdecimal())
    (workdir / "checkpoints" / str(saved[-1]) / "meta" / "metadata").write_text("{}")
    with _training(2, workdir, **changes) as (launcher, read):
        _wait_for_step(workdir, saved[-1] + 14)  # two saves after the existing ones
        os.kill(_trainers(launcher)[1], signal.SIGTERM)  # one of them gets the preemption notice
        assert launcher.wait(timeout=100) == 75
        output = read()
    assert output.count(f"checkpoints/{saved[-1]} is damaged") == 2  # both log it
    assert f"resuming from step {saved[-2]}\n" in output
    (step,) = {int(found) for found in re.findall(r"stopped at step (\d+) of", output)}
    assert output.count("stopped at step") == 2
    assert "Traceback" not in output
    assert (workdir / "checkpoints" / str(step)).exists()
    steps = [line["step"] for line in read_lines(workdir)]
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.slow
def test_a_run_of_four_processes_resumes_with_two_with_one_and_on_eight_devices(finished_run, tmp_path):
    first = tmp_path / "first"
    _train(4, first, num_epochs=1)
    for name, num_processes, environment in (("two", 2, {}), ("one", 1, {}), ("eight", 1, EIGHT_DEVICES)):
        workdir = shutil.copytree(first, tmp_path / name)
        assert "resuming from step 3" in _train(num_processes, workdir, environment)
        _assert_same_run(workdir, finished_run)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--num_processes=2"], "--coordinator, --num_processes and --process_id go together"),
        (["--coordinator=here", "--num_processes=2", "--process_id=0"], "'here' but must be HOST:PORT"),
        (["--coordinator=a:1", "--num_processes=2", "--process_id=2"], "from 0 to --num_processes - 1, 1"),
    ],
)
def test_flags_that_are_not_valid_are_reported(tmp_path, flags, sentence):
    command = [sys.executable, "-m", "colorgan.main", "--config=default", f"--workdir={tmp_path}", *flags]
    done = subprocess.run(command, cwd=ROOT, env=COMMAND_ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def _disagree(*commands):
    """Exit codes and output of two processes with different arguments of Python."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    together = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
    processes = [
        subprocess.Popen(
            [sys.executable, *command, *together, f"--process_id={n}"],
            cwd=ROOT,
            env=COMMAND_ENVIRONMENT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for n, command in enumerate(commands)
    ]
    output = [process.communicate(timeout=200)[0] for process in processes]
    return [process.returncode for process in processes], output


def test_processes_that_see_different_images_do_not_start(tmp_path):
    same = ["-m", "colorgan.main", CONFIG, f"--workdir={tmp_path / 'run'}", *tiny_flags()]
    codes, output = _disagree(same, [*same, "--config.data.validation=procedural:13"])
    assert 1 in codes  # the other one may notice first that this one has ended
    assert "not all processes see the same images" in "".join(output)
    assert "Traceback" not in "".join(output)


@pytest.mark.slow
def test_processes_that_see_different_folders_do_not_start(tmp_path):
    here, there = (
        ["-m", "colorgan.main", CONFIG, f"--workdir={tmp_path / name}", *tiny_flags()] for name in ("here", "there")
    )
    codes, output = _disagree(here, there)
    assert 1 in codes
    assert "must be visible to all processes" in "".join(output)


CANNOT_READ_STEP_6 = """
import runpy, sys
import orbax.checkpoint as ocp
restore = ocp.Checkpointer.restore
def fail(self, path, *arguments, **options):
    if path.name == "6":
        raise FileNotFoundError(2, "No such file or directory")
    return restore(self, path, *arguments, **options)
ocp.Checkpointer.restore = fail
runpy.run_module("colorgan.main", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_checkpoint_that_one_process_cannot_read_is_used_by_none(finished_run, tmp_path):
    workdir = shutil.copytree(finished_run, tmp_path / "run")
    flags = [CONFIG, f"--workdir={workdir}", *tiny_flags(num_epochs=3)]
    codes, output = _disagree(["-m", "colorgan.main", *flags], ["-c", CANNOT_READ_STEP_6, *flags])
    assert codes == [0, 0], output
    assert "resuming from step 3\n" in output[0]
    assert "checkpoints/6 is damaged (it cannot be read: [Errno 2] No such file or directory)" in output[1]
    assert [line["step"] for line in read_lines(workdir)] == list(range(1, 10))
