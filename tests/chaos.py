"""Kills a run many times, and compares its result with that of an uninterrupted run.

    python tests/chaos.py --kills=28

Starts `python -m colorgan.main` as a user does, kills it with SIGKILL during the start, a step, a validation, a save, a
rename and the deletion of an old checkpoint, and starts the same command again. Prints a table; the last line is JSON.
With `--platform=gpu` the runs use the GPU, with `deterministic`.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
from PIL import Image

ROOT = Path(__file__).parent.parent
ENVIRONMENT = dict(os.environ)
STEPS_PER_EPOCH, BATCH_SIZE, NUM_VALIDATION = 6, 8, 12
NUM_SAMPLES = 2
_SCRATCH, _FOLDERS, _RENAMES = "orbax-checkpoint-tmp", 9, 6  # how many of each per save
STARTUP_SECONDS = 5.0  # approximate time from the start to the first step


@dataclasses.dataclass
class Kill:
    """One kill and its effect.

    Attributes:
      moment: what the run was doing.
      line: the last step in metrics.jsonl at the kill.
      checkpoint: the step of the newest complete checkpoint at the kill, from which the next start resumes.
      in_save: whether there was an incomplete checkpoint.
      seconds: from the start to the first new line of metrics; None if it was killed before.
    """

    moment: str
    line: int
    checkpoint: int
    in_save: bool
    seconds: float | None


def make_images(folder: Path, count: int, seed: int) -> None:
    """Writes small images as files, so that a kill can wait for one of them to be read."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for n in range(count):
        pixels = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize((40, 40), Image.Resampling.BICUBIC)
        pixels.save(folder / f"{n:03d}.png")


def command(folder: Path, workdir: Path, num_epochs: int, platform: str = "cpu") -> list[str]:
    """Returns the trainer's command line for the images in `folder`."""
    values = {
        "platform": platform,
        "deterministic": platform == "gpu",
        "image_size": 32,
        "batch_size": BATCH_SIZE,
        "num_epochs": num_epochs,
        "data.train": f"folder:{folder / 'train'}",
        "data.validation": f"folder:{folder / 'validation'}",
        "data.load_size": 36,
        "data.num_workers": 1,
        "model.width": 4,
        "model.max_width": 16,
        "log_every_steps": 1,
        "num_samples": NUM_SAMPLES,
        "sample_epochs": "(1, 2, 4, 8, 16, 32)",
    }
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    return [sys.executable, "-m", "colorgan.main", "--config=configs/default.py", f"--workdir={workdir}", *flags]


def environment(kill_at: dict | None = None) -> dict[str, str]:
    """Returns the trainer's environment; with it the trainer kills itself at `kill_at` (see chaos_site)."""
    path = [str(ROOT), *filter(None, [ENVIRONMENT.get("PYTHONPATH")])]  # packages may be in a folder of their own
    if kill_at is None:
        return ENVIRONMENT | {"PYTHONPATH": ":".join(path)}
    path.insert(0, str(ROOT / "tests" / "chaos_site"))
    return ENVIRONMENT | {"PYTHONPATH": ":".join(path), "CHAOS": json.dumps(kill_at)}


def last_line(workdir: Path) -> int:
    """Returns the step of the last complete line of metrics.jsonl; 0 if there is none."""
    try:
        lines = (workdir / "metrics.jsonl").read_text().splitlines(keepends=True)
        return json.loads([line for line in lines if line.endswith("\n")][-1])["step"]
    except (OSError, IndexError):
        return 0


def checkpoints(workdir: Path) -> list[int]:
    """Returns the steps of complete checkpoints."""
    folder = workdir / "checkpoints"
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.exists() else []


def plan(moment: str, rng: random.Random) -> tuple[dict | None, float]:
    """Returns `kill_at` for `environment`, or None and the seconds until a kill from outside.

    These count from the start, or from the end of the first epoch after it.
    """
    # The counts lead to the second epoch after the start, so that the run advances between kills.
    images = NUM_VALIDATION + -NUM_VALIDATION % BATCH_SIZE
    at = {
        "in validation": ("open", "/validation/", NUM_SAMPLES + images + rng.randint(1, images), 0.0),
        "in a save": (
            "os.mkdir",
            _SCRATCH,
            _FOLDERS + rng.randint(1, _FOLDERS),
            rng.uniform(0, 0.15),
        ),
        "before a rename": ("os.rename", _SCRATCH, _RENAMES + rng.randint(1, _RENAMES), 0.0),
        "after a rename": ("os.rename", _SCRATCH, _RENAMES + rng.randint(1, _RENAMES), 1e-3),
        "in a rename at the start": ("os.rename", ".json", rng.randint(1, 2), rng.choice((0.0, 1e-4))),
        "in deleting": ("shutil.rmtree", "/checkpoints/", rng.randint(1, 2), rng.uniform(0, 0.003)),
    }
    if moment in at:
        return dict(zip(("event", "path", "count", "delay"), at[moment], strict=True)), 0.0
    return None, rng.uniform(0, STARTUP_SECONDS) if moment == "while starting" else rng.uniform(0, 1.5)


def start_and_kill(arguments: list[str], workdir: Path, moment: str, rng: random.Random) -> Kill:
    """Starts the run and kills it at `moment`. Raises RuntimeError if it ends before."""
    kill_at, delay = plan(moment, rng)
    before, start, seconds = last_line(workdir), time.monotonic(), None
    resumes_from = max(checkpoints(workdir), default=0)
    with open(workdir.with_suffix(".log"), "ab") as log:
        trainer = subprocess.Popen(arguments, cwd=ROOT, env=environment(kill_at), stdout=log, stderr=log)
    deadline = start + delay if moment == "while starting" else float("inf")
    has_cut = before <= resumes_from  # lines after the checkpoint are removed before new ones are written
    try:
        while trainer.poll() is None:
            line = last_line(workdir)
            has_cut = has_cut or line < before
            if seconds is None and has_cut and line > resumes_from:
                seconds = time.monotonic() - start
            if moment == "in a step" and deadline == float("inf") and has_cut and line > resumes_from + STEPS_PER_EPOCH:
                deadline = time.monotonic() + delay
            if time.monotonic() > deadline:
                trainer.send_signal(signal.SIGKILL)
            time.sleep(0.005)
    finally:
        trainer.kill()  # when this process is stopped
    if trainer.wait() != -signal.SIGKILL:
        raise RuntimeError(f"the run ended with {trainer.returncode} before the kill {moment}: use more epochs")
    in_save = any((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp"))
    return Kill(moment, last_line(workdir), max(checkpoints(workdir), default=0), in_save, seconds)


MOMENTS = (
    *("in a step", "in a save", "while starting", "before a rename", "in validation"),
    *("after a rename", "in deleting", "in a rename at the start"),
)


def run_with_kills(
    folder: Path, workdir: Path, num_epochs: int, num_kills: int, seed: int, platform: str = "cpu"
) -> list[Kill]:
    """Runs the command, kills it `num_kills` times, and then lets it end. Returns the kills."""
    rng = random.Random(seed)
    arguments = command(folder, workdir, num_epochs, platform)
    kills = []
    for n in range(num_kills):
        kills.append(start_and_kill(arguments, workdir, MOMENTS[n % len(MOMENTS)], rng))
        print(_row(n + 1, kills[-1]), flush=True)
    run(arguments)
    return kills


def run(arguments: list[str]) -> float:
    """Runs the command to its end and returns the seconds that it took. Raises CalledProcessError."""
    start = time.monotonic()
    subprocess.run(arguments, cwd=ROOT, env=environment(), check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def differences(expected: Path, workdir: Path) -> list[str]:
    """Returns what differs in any bit from the run `expected`: arrays of the last checkpoint and lines of metrics."""
    found = []
    step = max(checkpoints(expected))
    if checkpoints(workdir) != checkpoints(expected):
        found.append(f"checkpoints {checkpoints(workdir)} instead of {checkpoints(expected)}")
    for item in ("generator", "critic", "generator_ema"):
        trees = [
            ocp.StandardCheckpointer().restore(run / "checkpoints" / str(step) / item) for run in (expected, workdir)
        ]
        wanted, got = (jax.tree_util.tree_leaves_with_path(tree) for tree in trees)
        for (path, one), (_, other) in zip(wanted, got, strict=True):
            if np.asarray(one).tobytes() != np.asarray(other).tobytes():
                found.append(f"{item}{jax.tree_util.keystr(path)}")
    lines = [train_lines(run) for run in (expected, workdir)]
    found += [f"line {n}" for n, pair in enumerate(zip(*lines, strict=False), 1) if pair[0] != pair[1]]
    if len(lines[0]) != len(lines[1]):
        found.append(f"{len(lines[1])} lines of metrics instead of {len(lines[0])}")
    found += [str(path) for path in workdir.rglob("*tmp*")]
    return found


def train_lines(workdir: Path) -> list[dict]:
    """Returns the step and the training metrics of every line of metrics.jsonl."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k == "step" or k.startswith("train/")} for line in lines]


def _row(n: int, kill: Kill) -> str:
    seconds = "" if kill.seconds is None else f"{kill.seconds:.1f}"
    lost = kill.line - kill.checkpoint
    cells = (n, kill.moment, kill.line, kill.checkpoint, lost, "yes" if kill.in_save else "", seconds)
    return "".join(f"| {cell} " for cell in cells) + "|"


def main() -> None:
    parser = argparse.ArgumentParser("python tests/chaos.py", description=__doc__)
    parser.add_argument("--kills", type=int, default=28)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0, help="random seed of the moments")
    parser.add_argument("--platform", choices=("cpu", "gpu"), default="cpu")
    arguments = parser.parse_args()
    epochs, platform = arguments.epochs, arguments.platform
    jax.config.update("jax_platforms", "cuda" if platform == "gpu" else platform)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an exception, which ends the run
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_images(folder / "train", STEPS_PER_EPOCH * BATCH_SIZE, 1)
        make_images(folder / "validation", NUM_VALIDATION, 2)
        run(command(folder, folder / "compiled", 1, platform))  # so that later starts do not wait for the compiler
        uninterrupted = run(command(folder, folder / "uninterrupted", epochs, platform))
        print(f"the uninterrupted run takes {uninterrupted:.0f} s\n")
        print(
            "| kill | moment | last step logged | checkpoint | steps lost | incomplete checkpoint | seconds to resume |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        start = time.monotonic()
        kills = run_with_kills(folder, folder / "killed", epochs, arguments.kills, arguments.seed, platform)
        found = differences(folder / "uninterrupted", folder / "killed")
        resumed = float(np.median([kill.seconds for kill in kills if kill.seconds is not None]))
        lost = max(kill.line - kill.checkpoint for kill in kills)
        print(f"\n{len(kills)} kills in {time.monotonic() - start:.0f} s; resuming takes {resumed:.1f} s")
        print(f"at most {lost} steps lost by a kill")
        print("differences from the uninterrupted run: " + (", ".join(found) or "none, equal in every bit"))
        result = {"num_kills": len(kills), "max_steps_lost": lost, "seconds_to_resume": resumed}
        print(json.dumps(result | {"num_differences": len(found), "differences": found[:20], "platform": platform}))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
