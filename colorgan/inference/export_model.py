"""Writes a trained generator to one file, and compares the file with the run before it gets its name."""

import contextlib
import datetime
import functools
import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from colorgan import color, hint_planes
from colorgan.data import pipeline, sources
from colorgan.errors import UserError
from colorgan.inference import export_formats, load_exported
from colorgan.inference.load_weights import LoadedGenerator
from colorgan.models.generator import predict
from colorgan.run.storage import whole_file
from colorgan.version import FILE_VERSION, VERSION_WITHOUT_HINTS, __version__

FORMATS: dict[str, Callable[[LoadedGenerator], export_formats.Converted]] = {
    "stablehlo": export_formats.to_stablehlo,
    "onnx": export_formats.to_onnx,
    "safetensors": export_formats.to_safetensors,
    "safetensors-half": functools.partial(export_formats.to_safetensors, large_dtype=np.float16),
}
MAX_DIFFERENCE = 0.5  # gray levels of 0..255: after rounding, no value differs by more than one
_NUM_IMAGES, _NUM_HINTS = 8, 8  # images of each kind and hints of each, for the comparison

log = logging.getLogger(__name__)


def export_model(loaded: LoadedGenerator, output: Path, file_format: str) -> dict[str, Any]:
    """Writes a generator to `output`, in a folder that exists, and returns the description of the file.

    Args:
      loaded: the generator.
      output: replaced if it exists.
      file_format: a name in `FORMATS`.

    Raises:
      UserError: a library is missing, or the file differs from the generator.
      OSError: the file cannot be written.
    """
    converted = FORMATS[file_format](loaded)
    description = describe(loaded) | {"format": file_format, **converted.versions}
    with whole_file(output) as scratch:
        converted.write_fn(scratch, description)
        description["difference"] = check(load_exported.load(scratch), loaded)
        converted.write_fn(scratch, description)  # the same model, with the result of the comparison
        load_exported.load(scratch)
    return description


def check(model: load_exported.Model, loaded: LoadedGenerator) -> dict[str, Any]:
    """The difference of a model from the run's generator in float32, in gray levels of 0..255 of its RGB.

    They are compared on noise and on the run's validation images, or on synthetic images where those are not available,
    in a batch of one image and a batch of all others; then again with hints, if the generator takes them.
    "max_from_own_precision" is the difference from the output of `colorgan colorize` on this machine, where the run
    computes in bfloat16 or the device uses fewer bits.

    Raises:
      UserError: the difference exceeds `MAX_DIFFERENCE`.
    """
    images, kind = _real_images(loaded)
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, (*images.shape[:3], 1)).astype(np.float32)
    gray = np.concatenate([noise, color.luma(color.to_signed(jnp.asarray(images)))])
    differences = []
    for hints in (None, _random_hints(rng, gray)) if loaded.generator.takes_hints else (None,):
        inputs = [gray] if hints is None else [gray, hints]
        with export_formats.exact_products():
            parts = zip(*(np.split(array, [1]) for array in inputs), strict=True)
            rgb = np.concatenate([model.predict(*some) for some in parts])
            live = jax.jit(export_formats.float32_fn(loaded, loaded.generator.platform))(loaded.variables, *inputs)
        own = jax.jit(functools.partial(predict, loaded.generator))(loaded.variables, *inputs)
        differences.append([np.abs(rgb - np.asarray(other)) * 127.5 for other in (live, own)])
    difference, from_own = map(np.stack, zip(*differences, strict=True))
    if not np.max(difference) <= MAX_DIFFERENCE:  # also refuses NaN
        raise UserError(
            f"the exported model differs from the run by up to {np.max(difference):.3g} gray levels, more than "
            f"{MAX_DIFFERENCE}, and was not kept: try another --format"
        )
    values = {"max": np.max(difference), "mean": difference.mean(), "max_from_own_precision": np.max(from_own)}
    counts = {"num_noise": len(noise), f"num_{kind}": len(images)}
    return {name: float(f"{value:.3g}") for name, value in values.items()} | counts


def _random_hints(rng: np.random.Generator, gray: np.ndarray) -> np.ndarray:
    """Planes of eight hints at random places for each image, [N,S,S,3]."""
    num_images, side = gray.shape[:2]
    places = rng.uniform(0, side, (num_images, _NUM_HINTS, 2)).astype(np.float32)
    chroma = rng.uniform(-0.3, 0.3, places.shape).astype(np.float32)
    sizes = np.full(places.shape[:2], hint_planes.PLACE_SIZE * side, np.float32)
    return hint_planes.render(places, sizes, chroma, np.ones_like(sizes), side)


def _real_images(loaded: LoadedGenerator) -> tuple[np.ndarray, str]:
    """uint8 [N,S,S,3], and their kind: "validation" or "procedural"."""
    size, data = loaded.image_size, loaded.config.get("data", {})
    if "validation" in data:  # not in the config of a file with weights
        try:
            source = sources.open_source(data["validation"], size)
            images = pipeline.Images(source, size, data.get("max_bad_fraction", 0.0))
            with contextlib.closing(pipeline.ordered_batches(images, _NUM_IMAGES, pipeline.Loading())) as batches:
                batch = next(batches)
            return batch.image[batch.mask], "validation"
        except UserError as error:
            log.warning("compared on synthetic images, since the run's validation images are not available: %s", error)
    synthetic = sources.open_source(f"procedural:{_NUM_IMAGES}", size)
    return np.stack([np.asarray(synthetic.read(n)) for n in range(_NUM_IMAGES)]), "procedural"


def describe(loaded: LoadedGenerator) -> dict[str, Any]:
    """The metadata of a file of any format, with the license that the generator's own file states.

    It contains no path, since files are given to others.
    """
    size, config = loaded.image_size, json.dumps(loaded.config, sort_keys=True)
    numbers = {"dtype": "float32", "range": [-1, 1]}
    gray = {"name": load_exported.INPUT_NAME, "shape": ["batch", size, size, 1], **numbers, "is": "Rec. 601 luma"}
    hints = {
        load_exported.HINTS_NAME: {
            "name": load_exported.HINTS_NAME,
            "shape": ["batch", size, size, 3],
            "dtype": "float32",
            "is": "Cb and Cr in [-1,1] and 1 where there is a hint, else 0",
        }
    }
    return {
        "format_version": FILE_VERSION if loaded.generator.takes_hints else VERSION_WITHOUT_HINTS,
        "image_size": size,
        "input": gray,
        "output": {"name": load_exported.OUTPUT_NAME, "shape": ["batch", size, size, 3], **numbers, "is": "sRGB"},
        **(hints if loaded.generator.takes_hints else {}),
        "model_output": loaded.config["model"]["output"],
        "step": loaded.step,
        "checkpoint": loaded.checkpoint,
        "config_sha256": hashlib.sha256(config.encode()).hexdigest(),
        "colorgan": __version__,
        "jax": jax.__version__,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **{key: value for key, value in loaded.description.items() if key == "license"},
    }
