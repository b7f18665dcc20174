"""How well a generator colours a set of images; also the command `python -m colorgan.evaluate`.

docs/evaluation.md is the protocol: what the figures mean, and how far they can be trusted.
"""

import argparse
import contextlib
import functools
import io
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from PIL import Image
from tqdm import tqdm

from colorgan import command_line, sharding
from colorgan.data import pipeline, sources
from colorgan.errors import UserError, printable
from colorgan.evaluation import bootstrap, contact_sheet, metrics, predictions
from colorgan.inference import load_run
from colorgan.models import Generator
from colorgan.run import devices
from colorgan.run.storage import bucket_errors, write_whole
from colorgan.training.state import Variables
from colorgan.training.step import sum_step

log = logging.getLogger(__name__)

SumStepFn = Callable[[Variables, jax.Array, jax.Array], dict[str, Any]]


def create_sum_step(generator: Generator, mesh: Mesh) -> SumStepFn:
    """`sum_step` for global batches on `mesh`."""
    data, everywhere = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    return jax.jit(
        functools.partial(sum_step, generator=generator),
        in_shardings=(everywhere, data, data),
        out_shardings=everywhere,
    )


def evaluate(
    sum_step_fn: SumStepFn, variables: Variables, batches: Iterable[pipeline.OrderedBatch], mesh: Mesh
) -> tuple[dict[str, dict[str, float]], int]:
    """The rows of `metrics.summarize` over all images of `batches`, and how many these are.

    Args:
      sum_step_fn: from `create_sum_step`.
      variables: the generator's.
      batches: this process's slices, from `pipeline.ordered_batches`.
      mesh: the devices.
    """
    sums: dict[str, Any] = {}
    for batch in batches:
        arrays = [sharding.to_global(mesh, array) for array in (batch.image, batch.mask)]
        # In float64: the sums of whole sets lose digits in float32.
        batch_sums = jax.tree.map(np.float64, jax.device_get(sum_step_fn(variables, *arrays)))
        sums = jax.tree.map(np.add, sums, batch_sums) if sums else batch_sums
    count = sums.pop("count")
    return metrics.summarize(jax.tree.map(lambda value: value / max(count, 1.0), sums)), int(count)


def warn_of_gray(rows: dict[str, dict[str, float]], name: str) -> None:
    """Says so if a set has no colour to compare with."""
    if rows["truth"]["score"] == 0.0:
        log.warning("%s holds gray images: figures of colour mean nothing there", printable(name))


def flat_figures(rows: dict[str, dict[str, float]], num_images: int) -> dict[str, float]:
    """The figures of a validation as a run writes them: "validation/psnr", "validation/gray_psnr" and so on."""
    flat = {f"validation/{name}": value for name, value in rows["prediction"].items()}
    flat |= {f"validation/gray_{name}": value for name, value in rows["gray"].items()}
    return flat | {"validation/true_colorfulness": rows["truth"]["colorfulness"], "validation/num_images": num_images}


def main(arguments: argparse.Namespace) -> None:
    """Ends with one line of JSON, and writes it and a contact sheet."""
    sources.check_name(arguments.data)
    output = arguments.output or arguments.workdir / "evaluation"
    save = _create_saver(arguments.save_images) if arguments.save_images else None
    devices.select_platform("")
    run = load_run.load_trained(arguments.workdir, arguments.checkpoint)
    source = sources.open_source(arguments.data, run.config.image_size)
    with _writing("--output", output), bucket_errors(output):
        output.mkdir(parents=True, exist_ok=True)
    own = arguments.size == "own"
    color_all = predictions.create_whole_fn(run) if own else predictions.create_square_fn(run, sharding.create_mesh())
    draws, indices, aucs = bootstrap.Bootstrap(), list[int](), list[float]()
    with tqdm(total=len(source), unit=" images", dynamic_ncols=True, disable=None) as bar:
        for some in color_all(source):
            draws.add(some.indices, some.rows)
            indices += some.indices.tolist()
            aucs += some.rows["prediction"]["auc"].tolist()
            if save:
                save(some)
            bar.update(indices[-1] + 1 - bar.n)
    if not indices:
        raise UserError(f"{arguments.data} has no image that can be read")
    rows, intervals = draws.summarize()
    told = {"step": run.step, "checkpoint": arguments.checkpoint, "data": arguments.data, "size": arguments.size}
    counts = {"num_images": len(indices), "num_bad": len(source) - len(indices)}
    result = {**rows, "confidence_95": intervals, **counts, **told, "image_size": run.config.image_size}
    warn_of_gray(rows, arguments.data)
    print(_table(rows, intervals), file=sys.stderr)
    print(json.dumps(result), flush=True)  # before the files: a full disk does not cost the figures
    ranked = np.asarray(indices)[np.argsort(-np.asarray(aucs), kind="stable")]
    heading = f"by AuC, from best to worst: step {run.step}, size {arguments.size}, {printable(arguments.data)}"
    sheet = contact_sheet.draw(source, ranked.tolist(), color_all, heading)
    encoded = io.BytesIO()
    sheet.save(encoded, "PNG")
    with _writing("--output", output):
        write_whole(output / "figures.json", (json.dumps(result, indent=2) + "\n").encode())
        write_whole(output / "contact_sheet.png", encoded.getvalue())


def _create_saver(folder: Path) -> Callable[[predictions.Examples], None]:
    """A function that writes images as predictions/000123.png and truths/000123.png, by their place in the source.

    Raises:
      UserError: the folder holds something, which would count as images of this evaluation, or cannot be written.
    """
    with _writing("--save_images", folder):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UserError(f"--save_images={folder} is there already and not an empty folder")

    def save(some: predictions.Examples) -> None:
        with _writing("--save_images", folder):
            for name, images in (("predictions", some.predictions), ("truths", some.truths)):
                (folder / name).mkdir(parents=True, exist_ok=True)
                for index, image in zip(some.indices.tolist(), images, strict=True):
                    Image.fromarray(image).save(folder / name / f"{index:06d}.png")

    return save


@contextlib.contextmanager
def _writing(flag: str, folder: Path | epath.Path) -> Iterator[None]:
    """Raises UserError for an OSError."""
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error}; {flag}=DIR names another folder") from error


def _table(rows: dict[str, dict[str, float]], intervals: dict[str, tuple[float, float]]) -> str:
    """The rows as columns, for people."""
    lines = [f"{'':22}{'prediction':>10}  {'95% interval':16}  {'gray':>8}  {'truth':>8}"]
    for name, value in rows["prediction"].items():
        interval = "{:.3f} to {:.3f}".format(*intervals[name]) if name in intervals else ""
        gray, truth = rows["gray"][name], rows["truth"][name]
        lines.append(f"{name:22}{value:10.3f}  {interval:16}  {gray:8.3f}  {truth:8.3f}")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m colorgan.evaluate", description=__doc__)
    load_run.add_arguments(parser)
    parser.add_argument("--data", required=True, help=f"the images: one of {', '.join(sources.KINDS)}")
    size_help = "model: the central square at the networks' size; own: whole, at each image's size, as colorize colours"
    parser.add_argument("--size", default="model", choices=("model", "own"), help=size_help)
    parser.add_argument("--output", type=epath.Path, help="the folder for the results; RUN/evaluation unless said")
    parser.add_argument("--save_images", type=Path, help="a new folder for all predictions and truths, as PNG")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
