"""The ablation ladder: adds one change per row to the baseline. All rows use the same images, budget and random seeds.

    python benchmarks/ladder.py --train=folder:SCENES/train --test=folder:SCENES/test --output=DIR --rows=chroma
    python benchmarks/ladder.py --output=DIR --table              # prints the finished rows as Markdown
    python benchmarks/ladder.py --output=DIR --sheet=ladder.png   # draws their images

A row is trained by `colorgan train`. `colorgan evaluate` then measures its last checkpoint, so that no checkpoint is
chosen on the test images. Finished rows are not run again, and a row that was stopped resumes. The setting "reduced" is
64 px, a quarter of the baseline's width and 6 epochs, for a CPU; "long" is the same for 18 epochs; "full" is the
baseline's networks at 128 px for 30 epochs, for a GPU. These settings have rows of their own, changes to
configs/pretrained.py: "pretrained" its encoder, at 64 px, for one epoch where a row has no other number; "recipe" its
losses, at 128 px. "recipe_gpu" has the same rows for six epochs of configs/gpu.py. All of them start from the L1 loss
alone.
"""

import argparse
import dataclasses
import json
import shutil
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from PIL import Image, ImageDraw, ImageFont

from colorgan.config import flatten
from colorgan.configs import baseline, default

ROOT = Path(__file__).parent.parent

# Each row includes the changes of all rows above it.
ROWS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "chroma": {"model.output": "chroma"},
    "patch": {"model.critic": "patch"},
    "schedule": {"optimizer.schedule": "cosine", "optimizer.generator_learning_rate": 1e-3},
    "palette": {"loss.palette_weight": 100.0},
    "histogram": {"loss.histogram_weight": 2.0},
}
# Added to the row "palette", which was the last one when these were run.
BRANCHES: dict[str, dict[str, Any]] = {
    "palette_50": {"loss.palette_weight": 50.0},
    "palette_200": {"loss.palette_weight": 200.0},
    "critic_rate": {"optimizer.critic_learning_rate": 1e-3},
    "constant_rate": {"optimizer.schedule": "constant", "optimizer.generator_learning_rate": 2e-4},
}
# Batch sizes, also added to "palette". "batch_*" see as many images as the rows of the ladder, with unchanged learning
# rates, with rates multiplied by the square root of (batch size / 16), or by (batch size / 16). "steps_*" and
# "half_steps_*" use the square root, for as many steps as two epochs or one epoch of batches of 16.
BRANCHES |= {
    "batch_8": {"batch_size": 8},
    "batch_8_sqrt": {"batch_size": 8, "rate_factor": 0.5**0.5},
    "batch_64": {"batch_size": 64},
    "batch_64_sqrt": {"batch_size": 64, "rate_factor": 2.0},
    "batch_64_linear": {"batch_size": 64, "rate_factor": 4.0},
    "batch_256": {"batch_size": 256},
    "batch_256_sqrt": {"batch_size": 256, "rate_factor": 4.0},
    "batch_256_linear": {"batch_size": 256, "rate_factor": 16.0},
    "steps_8": {"batch_size": 8, "rate_factor": 0.5**0.5, "num_epochs": 1},
    "steps_16": {"num_epochs": 2},
    "steps_64": {"batch_size": 64, "rate_factor": 2.0, "num_epochs": 8},
    "half_steps_16": {"num_epochs": 1},
    "half_steps_64": {"batch_size": 64, "rate_factor": 2.0, "num_epochs": 4},
    "half_steps_256": {"batch_size": 256, "rate_factor": 4.0, "num_epochs": 16},
}
BRANCHES = {name: {"loss.histogram_weight": 0.0} | changes for name, changes in BRANCHES.items()}
# Added to the whole ladder.
BRANCHES |= {
    "histogram_5": {"loss.histogram_weight": 5.0},
    "vivid": {"loss.histogram_weight": 5.0, "loss.palette_weight": 200.0},
}
RATES = ("generator_learning_rate", "critic_learning_rate")

# Single changes to configs/pretrained.py.
PRETRAINED: dict[str, dict[str, Any]] = {
    "pretrained": {},
    "random_values": {"model.encoder_weights": "", "model.encoder_rate": 1.0},
    "frozen_norm": {"model.freeze_encoder_norm": True},
    "encoder_rate_0": {"model.encoder_rate": 0.0},
    "encoder_rate_0.05": {"model.encoder_rate": 0.05},
    "encoder_rate_1": {"model.encoder_rate": 1.0},
    "no_weight_decay": {"optimizer.weight_decay": 0.0},
    "weight_decay_0.1": {"optimizer.weight_decay": 0.1},
    "rate_2e-3": {"optimizer.generator_learning_rate": 2e-3},
    "rate_4e-3": {"optimizer.generator_learning_rate": 4e-3},
    "epochs_3": {"num_epochs": 3},
}

# The config without the recipe's losses of color and degraded images.
L1 = {"loss.palette_weight": 0.0, "loss.histogram_weight": 0.0, "data.degrade": 0.0}
COLOR = {"loss.palette_weight": 100.0, "loss.histogram_weight": 2.0}
SMALL = {"model.width": 32, "model.max_width": 256}  # half the width of the baseline's networks, for a CPU
RECIPE_KEYS = ("model.", "loss.", "optimizer.")


def recipe_of(config: ConfigDict) -> dict[str, Any]:
    """Returns the networks, losses and optimizers of a config."""
    return {key: value for key, value in flatten(config.to_dict()).items() if key.startswith(RECIPE_KEYS)}


# Changes to configs/pretrained.py: losses, then single changes to the row "color".
RECIPE: dict[str, dict[str, Any]] = {
    "l1": {},
    "color": COLOR,
    "color_half": {name: weight / 2 for name, weight in COLOR.items()},
    "feature": COLOR | {"loss.feature_weight": 20.0},
    "critic": COLOR | {"loss.adversarial_weight": 1.0},
    "degrade": COLOR | {"data.degrade": 0.3},
    "frozen_norm": COLOR | PRETRAINED["frozen_norm"],
    "random_values": COLOR | PRETRAINED["random_values"],
    "unet": recipe_of(default.get_config()) | SMALL,
    "baseline": recipe_of(baseline.get_config()) | SMALL,
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What rows have in common.

    Attributes:
      changes: keys that are changed in all rows, unless a row changes them too.
      config: the shipped config that is changed.
      rows: the keys that each row changes; None for those of the ladder.
    """

    changes: dict[str, Any]
    config: str = "baseline"
    rows: dict[str, dict[str, Any]] | None = None


REDUCED = {
    "image_size": 64,
    "data.load_size": 64,
    "model.width": 16,
    "model.max_width": 128,
    "num_epochs": 6,
    "data.num_threads": 2,
}
SETTINGS: dict[str, Setting] = {
    "reduced": Setting(REDUCED),
    "long": Setting(REDUCED | {"num_epochs": 18}),
    "full": Setting({"num_epochs": 30, "platform": "gpu", "precision": "bfloat16", "data.num_threads": 16}),
    "pretrained": Setting(L1 | {"image_size": 64, "data.load_size": 64, "num_epochs": 1}, "pretrained", PRETRAINED),
    "recipe": Setting(L1 | {"data.load_size": 128, "num_epochs": 1}, "pretrained", RECIPE),
    "recipe_gpu": Setting(L1 | {"num_epochs": 6}, "gpu", RECIPE),
}
NUM_SHOWN, CELL, LABEL_WIDTH = 10, 128, 110
METRICS = ("psnr", "ssim", "auc", "delta_colorfulness", "ab_histogram_distance", "score")


def rows_of(setting: str) -> list[str]:
    """Returns the names of all rows of a setting."""
    return list(SETTINGS[setting].rows or [*ROWS, *BRANCHES])


def changes_of(row: str, setting: str) -> dict[str, Any]:
    """Returns the keys that a row changes in its config, with those of the setting."""
    rows = SETTINGS[setting].rows
    return SETTINGS[setting].changes | (rows[row] if rows else _ladder_changes(row, is_full=setting == "full"))


def _ladder_changes(row: str, is_full: bool) -> dict[str, Any]:
    """Returns what a row of the ladder changes in the baseline, with the earlier rows."""
    names = list(ROWS)
    included = names if row in BRANCHES else names[: names.index(row) + 1]
    changes: dict[str, Any] = {}
    for name in included:
        changes |= ROWS[name]
    changes |= BRANCHES.get(row, {})
    if is_full:  # the schedule's learning rate is for narrow networks; wide ones keep the baseline's
        changes.pop("optimizer.generator_learning_rate", None)
    factor = changes.pop("rate_factor", 1.0)
    keys = {f"optimizer.{rate}": baseline.get_config().optimizer[rate] for rate in RATES}
    return changes | {key: factor * changes.get(key, rate) for key, rate in keys.items()}


def run_row(row: str, number: int, arguments: argparse.Namespace) -> None:
    """Trains and evaluates one row with the random seed `number`. Exits with the code of a command that fails."""
    folder = arguments.output / arguments.setting / row / f"seed_{number}"
    if (folder / evaluation_of(len(arguments.test) - 1) / "metrics.json").exists():
        return
    config = changes_of(row, arguments.setting) | {"seed": number, "data.cache": "device", "num_checkpoints": 1}
    config |= {"data.train": arguments.train, "data.validation": arguments.test[0]}
    config["checkpoint_every_epochs"] = config["num_epochs"]
    shutil.rmtree(folder / "images", ignore_errors=True)  # left by an evaluation that was stopped
    flags = [f"--config.{key}={value}" for key, value in config.items()]
    train = [
        "colorgan.main",
        f"--config={ROOT}/configs/{SETTINGS[arguments.setting].config}.py",
        f"--workdir={folder}",
        *flags,
    ]
    commands = [train]
    for n, test in enumerate(arguments.test):
        measure = ["colorgan.evaluate", f"--workdir={folder}", "--checkpoint=latest", f"--data={test}"]
        measure += [f"--output={folder}/{evaluation_of(n)}"]
        commands.append(measure + [f"--save_images={folder}/images"] * (n == 0))
    for command in commands:
        print(" ".join(["python", "-m", *command]), flush=True)
        process = subprocess.Popen([sys.executable, "-m", *command])
        signal.signal(signal.SIGTERM, lambda *_, process=process: process.terminate())
        signal.signal(signal.SIGINT, lambda *_: None)  # the process gets it from the terminal too, and saves first
        if process.wait():
            sys.exit(process.returncode)  # it logged the reason; with 75, the same command resumes


def evaluation_of(number: int) -> str:
    """Returns the name of the folder with the evaluation on --test number 0, 1 ..."""
    return f"evaluation_{number}" if number else "evaluation"


def read_rows(base: Path, rows: list[str], number: int = 0) -> dict[str, dict[Path, dict[str, Any]]]:
    """Returns the finished evaluations, on --test number 0, 1 ..., by row and by the folder of each random seed."""
    found: dict[str, dict[Path, dict[str, Any]]] = {}
    for row in rows:
        for path in sorted((base / row).glob(f"seed_*/{evaluation_of(number)}/metrics.json")):
            found.setdefault(row, {})[path.parent.parent] = json.loads(path.read_text())
    return found


def print_table(rows: dict[str, dict[Path, dict[str, Any]]]) -> None:
    """Prints a Markdown table: the mean over the random seeds, with minimum and maximum."""
    print("| row | " + " | ".join(name.replace("_", " ") for name in METRICS) + " |")
    print("| --- " * (len(METRICS) + 1) + "|")
    bounds = next(iter(next(iter(rows.values())).values()))
    for name in ("gray", "truth"):
        print(f"| {name} | " + " | ".join(f"{bounds[name][metric]:.4g}" for metric in METRICS) + " |")
    for row, by_seed in rows.items():
        cells = []
        for metric in METRICS:
            values = [evaluation["prediction"][metric] for evaluation in by_seed.values()]
            cells.append(f"{statistics.mean(values):.4g} ({min(values):.4g}-{max(values):.4g})")
        print(f"| {row} | " + " | ".join(cells) + " |")


def draw_sheet(rows: dict[str, dict[Path, dict[str, Any]]], path: Path) -> None:
    """Draws test images at even distances, as predicted by the first random seed of each row."""
    images = {row: next(iter(folders)) / "images" for row, folders in rows.items()}
    first = next(iter(images.values()))
    folders = {"gray": first / "truths", "truth": first / "truths"}
    folders |= {row: folder / "predictions" for row, folder in images.items()}
    names = sorted(path.name for path in (first / "truths").iterdir())
    names = names[:: max(1, len(names) // NUM_SHOWN)][:NUM_SHOWN]
    sheet = Image.new("RGB", (LABEL_WIDTH + NUM_SHOWN * (CELL + 4), len(folders) * (CELL + 4)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for n, (label, folder) in enumerate(folders.items()):
        top = n * (CELL + 4)
        draw.text((6, top + CELL // 2), label.replace("_", "\n"), "black", font, anchor="lm")
        for column, name in enumerate(names):
            image = Image.open(folder / name).convert("L" if label == "gray" else "RGB")
            sheet.paste(image.resize((CELL, CELL), Image.Resampling.NEAREST), (LABEL_WIDTH + column * (CELL + 4), top))
    sheet.save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=SETTINGS, default="reduced")
    parser.add_argument("--rows", help="some rows of the setting, by name; default: all")
    parser.add_argument("--seeds", default="0,1", help="random seeds")
    parser.add_argument("--train", help="the training images, such as folder:PATH")
    test_help = "the images for an evaluation, such as folder:PATH; may be repeated. The first is used for validation"
    parser.add_argument("--test", action="append", help=test_help)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--table", action="store_true", help="print the finished rows as Markdown")
    parser.add_argument("--sheet", type=Path, help="draw images of the finished rows into this file")
    arguments = parser.parse_args()
    every = rows_of(arguments.setting)
    rows = arguments.rows.split(",") if arguments.rows else every
    if unknown := set(rows) - set(every):
        parser.error(f"unknown row {', '.join(sorted(unknown))}; the rows are {', '.join(every)}")
    if arguments.table or arguments.sheet:
        base = arguments.output / arguments.setting
        found = read_rows(base, rows)
        if not found:
            parser.error(f"none of these rows is finished in {base}")
        if arguments.sheet:
            draw_sheet(found, arguments.sheet)
        number = 0
        while arguments.table and found:
            print_table(found)
            number += 1
            found = read_rows(base, rows, number)
        return
    if not (arguments.train and arguments.test):
        parser.error("--train and --test are required to run rows")
    for number in arguments.seeds.split(","):
        for row in rows:
            run_row(row, int(number), arguments)


if __name__ == "__main__":
    main()
