"""Writes a trained generator, weights inside, to one file that colours without colorgan: StableHLO or ONNX.

The file is read back and compared with the run before it gets its name. docs/export.md says how to use it.
"""

import argparse
import contextlib
import datetime
import functools
import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import colorgan
from colorgan import color, command_line
from colorgan.data import pipeline, sources
from colorgan.errors import UserError
from colorgan.inference import export_formats, load_exported, load_run
from colorgan.models.generator import predict
from colorgan.run import devices, storage

FORMATS = {"stablehlo": export_formats.create_stablehlo, "onnx": export_formats.create_onnx}
MAX_DIFFERENCE = 0.5  # grey levels of 0..255: rounded to whole ones, no value is off by more than one
_NUM_IMAGES = 8  # of each kind, to compare on

log = logging.getLogger(__name__)


def check(model: load_exported.Model, run: load_run.LoadedRun) -> dict[str, Any]:
    """How far the model is from the run's generator in float32, in grey levels of 0..255 of its RGB.

    Compared on noise and on the run's validation images, or on drawn scenes where those cannot be had, in batches of
    one image and of many. "max_from_own_precision" is how far it is from what `colorgan.colorize` does here, where
    the run computes in bfloat16 or the device takes fewer bits.

    Raises:
      UserError: it is further off than `MAX_DIFFERENCE`.
    """
    images, kind = _real_images(run)
    noise = np.random.default_rng(0).uniform(-1, 1, (*images.shape[:3], 1)).astype(np.float32)
    gray = np.concatenate([noise, color.luma(color.to_signed(jnp.asarray(images)))])
    rgb = np.concatenate([model.predict(some) for some in np.split(gray, [1])])
    with export_formats.exact_products():
        live = jax.jit(export_formats.float32_fn(run, run.generator.lowering))(run.variables, gray)
    own = jax.jit(functools.partial(predict, run.generator))(run.variables, gray)
    difference, from_own = (np.abs(rgb - np.asarray(other)) * 127.5 for other in (live, own))
    if not difference.max() <= MAX_DIFFERENCE:  # so that NaN is refused too
        raise UserError(
            f"the exported model is up to {difference.max():.3g} grey levels off the run's, more than "
            f"{MAX_DIFFERENCE}, and was not kept: another --format may do better"
        )
    figures = {"max": difference.max(), "mean": difference.mean(), "max_from_own_precision": from_own.max()}
    counts = {"num_noise": len(noise), f"num_{kind}": len(images)}
    return {name: float(f"{value:.3g}") for name, value in figures.items()} | counts


def _real_images(run: load_run.LoadedRun) -> tuple[np.ndarray, str]:
    """uint8 [N,S,S,3], and what they are: "validation" or "procedural"."""
    size, data = run.image_size, run.config["data"]
    try:
        images = pipeline.Images(sources.open_source(data["validation"], size), size, data["max_bad_fraction"])
        with contextlib.closing(pipeline.ordered_batches(images, _NUM_IMAGES, pipeline.Loading())) as batches:
            batch = next(batches)
        return batch.image[batch.mask], "validation"
    except UserError as error:
        log.warning("compared on drawn scenes, since the run's validation images cannot be had: %s", error)
        source = sources.open_source(f"procedural:{_NUM_IMAGES}", size)
        return np.stack([np.asarray(source.read(n)) for n in range(_NUM_IMAGES)]), "procedural"


def describe(run: load_run.LoadedRun, checkpoint: str) -> dict[str, Any]:
    """What a file of any format says of itself; it names no folder, since files are given away."""
    size, config = run.image_size, json.dumps(run.config, sort_keys=True)
    numbers = {"dtype": "float32", "range": [-1, 1]}
    return {
        "image_size": size,
        "input": {
            "name": load_exported.INPUT_NAME,
            "shape": ["batch", size, size, 1],
            **numbers,
            "is": "Rec. 601 luma",
        },
        "output": {"name": load_exported.OUTPUT_NAME, "shape": ["batch", size, size, 3], **numbers, "is": "sRGB"},
        "model_output": run.config["model"]["output"],
        "step": run.step,
        "checkpoint": checkpoint,
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "colorgan": colorgan.__version__,
        "jax": jax.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def main(arguments: argparse.Namespace) -> None:
    """Ends with one line of JSON: what the file says of itself, and its place and size."""
    output = arguments.output
    if output.is_dir():
        raise UserError(f"--output={output} is a folder; name a file, such as {output / 'mine.stablehlo'}")
    if output.exists() and not arguments.overwrite:
        raise UserError(f"--output={output} is there already (--overwrite replaces it)")
    if (arguments.format == "onnx") != (output.suffix == ".onnx"):
        raise UserError(f"--output={output} ends in .onnx if it is --format=onnx; set both, or neither")
    devices.select_platform("")
    run = load_run.load_run(arguments.workdir, arguments.checkpoint)
    write, versions = FORMATS[arguments.format](run)
    description = describe(run, arguments.checkpoint) | {"format": arguments.format, **versions}
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with storage.whole_file(output) as scratch:
            write(scratch, description)
            description["difference"] = check(load_exported.load(scratch), run)
            write(scratch, description)  # the same model, with what was found
            load_exported.load(scratch)
    except OSError as error:
        raise UserError(f"cannot write --output={output}: {error}") from error
    print(json.dumps(description | {"file": str(output), "num_bytes": output.stat().st_size}))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m colorgan.export", description=__doc__)
    load_run.add_arguments(parser)
    parser.add_argument(
        "--output", required=True, type=Path, help="the file to write, as model.stablehlo or model.onnx"
    )
    parser.add_argument("--format", default="stablehlo", choices=tuple(FORMATS), help="for JAX, or for ONNX's runtimes")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there already")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
