"""The formats of exported files. Each has a function that converts a generator, with its weights."""

import contextlib
import functools
import importlib.metadata
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export
from jax.typing import DTypeLike

from colorgan.errors import UserError, reason
from colorgan.inference import load_exported
from colorgan.inference.load_weights import LoadedGenerator
from colorgan.models.build import TRAINING_KEYS
from colorgan.models.generator import predict
from colorgan.run import weights_file

INSTALL_ONNX = "pip install 'colorgan[onnx]' && pip install --no-deps jax2onnx==0.17.1"
_OPSET = 18  # from 2022, which older runtimes read too
# With all kernels in float16 a generator around EfficientNet-Lite0 colors up to 9 gray levels differently; with float32
# for those of less than 10,000 values, which take 1% of the file, up to 0.1.
LARGE = 10_000


class Converted(NamedTuple):
    """A generator in one of the formats.

    Attributes:
      write_fn: writes a file with the description, which becomes JSON, and the model.
      versions: additions to the description: versions of the format and of the converter.
    """

    write_fn: Callable[[Path, dict[str, Any]], None]
    versions: dict[str, Any]


def to_stablehlo(loaded: LoadedGenerator) -> Converted:
    """JAX's own format, for batches of any size: each platform computes it in its fastest way.

    Raises:
      UserError: a library is missing.
    """
    try:
        import flatbuffers  # noqa: F401 (jax.export needs it without requiring it)
    except ImportError as error:
        raise UserError("StableHLO needs flatbuffers: pip install flatbuffers") from error
    variables = jax.device_get(loaded.variables)  # off the devices of this machine

    def color_all(*inputs: jax.Array) -> jax.Array:
        cpu, gpu, tpu = (float32_fn(loaded, platform) for platform in ("cpu", "gpu", "tpu"))
        return jax.lax.platform_dependent(variables, *inputs, cpu=cpu, cuda=gpu, default=tpu)  # weights once

    batch = export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((*batch, *shape), np.float32) for shape in input_shapes(loaded).values()]
    with exact_products():
        program = export.export(jax.jit(color_all), platforms=("cpu", "cuda", "tpu"))(*shapes)
    serialized = bytes(program.serialize())

    def write(path: Path, description: dict[str, Any]) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as parts:
            parts.writestr(load_exported.META_FILE, json.dumps(description, indent=2) + "\n")
            parts.writestr(load_exported.PROGRAM_FILE, serialized)

    return Converted(write, {"calling_convention_version": program.calling_convention_version})


def to_onnx(loaded: LoadedGenerator) -> Converted:
    """ONNX, for batches of any size: with native convolutions, as on a TPU.

    Raises:
      UserError: a library is missing, or cannot convert this generator.
    """
    logging.getLogger("jax2onnx").setLevel(logging.CRITICAL)  # logs at length which other layers it could convert
    try:
        import jax2onnx
        import onnx
        import onnxruntime  # noqa: F401 (for the comparison)
    except ImportError as error:
        raise UserError(f"ONNX needs {error.name}: {INSTALL_ONNX}") from error
    version, inputs = importlib.metadata.version("jax2onnx"), input_shapes(loaded)
    color_all = functools.partial(float32_fn(loaded, "tpu"), jax.device_get(loaded.variables))
    try:
        with exact_products():
            model = jax2onnx.to_onnx(
                color_all,
                [("batch", *shape) for shape in inputs.values()],
                model_name="colorgan",
                opset=_OPSET,
                input_names=list(inputs),
                output_names=[load_exported.OUTPUT_NAME],
            )
    except Exception as error:  # of any type, with an unknown version of JAX or Flax
        raise UserError(
            f"jax2onnx {version} cannot convert this generator ({reason(error)}): {INSTALL_ONNX}"
        ) from error

    def write(path: Path, description: dict[str, Any]) -> None:
        onnx.helper.set_model_props(model, {load_exported.META_KEY: json.dumps(description)})
        onnx.save(model, path)

    return Converted(write, {"jax2onnx": version, "opset": _OPSET})


def to_safetensors(loaded: LoadedGenerator, large_dtype: DTypeLike = np.float32) -> Converted:
    """The weights alone, for colorgan: to color with, or to start a run from (`config.init_from`).

    Args:
      loaded: the generator.
      large_dtype: of arrays of `LARGE` values or more; float16 halves the size of the file. Others stay float32.
    """
    variables = jax.tree.map(
        lambda value: value.astype(large_dtype) if value.size >= LARGE else value, jax.device_get(loaded.variables)
    )
    # A file computes in float32, and `model` may contain a path.
    model = {key: value for key, value in loaded.config["model"].items() if key not in TRAINING_KEYS}
    config = {"image_size": loaded.image_size, "precision": "float32", "model": model}

    def write(path: Path, description: dict[str, Any]) -> None:
        weights_file.write(path, variables, description | {"config": config})

    return Converted(write, {})


def input_shapes(loaded: LoadedGenerator) -> dict[str, tuple[int, int, int]]:
    """The inputs of an exported program by name, without the axis of the batch."""
    size = loaded.image_size
    hints = {load_exported.HINTS_NAME: (size, size, 3)} if loaded.generator.takes_hints else {}
    return {load_exported.INPUT_NAME: (size, size, 1)} | hints


def float32_fn(loaded: LoadedGenerator, platform: str) -> Callable[..., jax.Array]:
    """`predict` of (variables, gray, hints) in float32, independent of the run's precision. Hints are optional."""
    return functools.partial(predict, loaded.generator.clone(dtype=np.float32, platform=platform))


def exact_products() -> contextlib.AbstractContextManager[None]:
    """Within it, GPUs and TPUs use all bits of float32 factors: nearly the same numbers on every device."""
    return jax.default_matmul_precision("float32")
