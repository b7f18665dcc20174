"""What a generator can be exported as. Each format makes a function that writes it, weights inside, to one file."""

import contextlib
import functools
import importlib.metadata
import json
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from colorgan.errors import UserError, reason
from colorgan.inference import load_exported
from colorgan.inference.load_run import LoadedRun
from colorgan.models.convolutions import lowering_for
from colorgan.models.generator import predict

INSTALL_ONNX = "pip install -e '.[onnx]' && pip install --no-deps jax2onnx==0.17.1"
_OPSET = 18  # of 2022, which older runtimes read too

# Writes a description and the model; and what the format adds to the description.
Format = tuple[Callable[[Path, dict[str, Any]], None], dict[str, Any]]


def create_stablehlo(run: LoadedRun) -> Format:
    """JAX's own, for batches of any size: Winograd's products for CPUs, native convolutions for the rest.

    Raises:
      UserError: a library is missing.
    """
    try:
        import flatbuffers  # noqa: F401 (jax.export needs it, and does not ask for it)
    except ImportError as error:
        raise UserError("StableHLO needs flatbuffers: pip install flatbuffers") from error
    variables = jax.device_get(run.variables)  # off this machine's devices, of which the file is to know nothing
    winograd, native = (float32_fn(run, lowering_for(platform)) for platform in ("cpu", "gpu"))

    def color_all(gray: jax.Array) -> jax.Array:
        return jax.lax.platform_dependent(variables, gray, cpu=winograd, default=native)  # weights once for both

    size = run.image_size
    gray = jax.ShapeDtypeStruct((*export.symbolic_shape("batch"), size, size, 1), np.float32)
    with exact_products():
        program = export.export(jax.jit(color_all), platforms=("cpu", "cuda", "tpu"))(gray)
    serialized = bytes(program.serialize())

    def write(path: Path, description: dict[str, Any]) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as parts:
            parts.writestr(load_exported.META_FILE, json.dumps(description, indent=2) + "\n")
            parts.writestr(load_exported.PROGRAM_FILE, serialized)

    return write, {"calling_convention_version": program.calling_convention_version}


def create_onnx(run: LoadedRun) -> Format:
    """ONNX, for batches of any size: native convolutions, which its runtimes have for every device.

    Raises:
      UserError: a library is missing, or converts no such generator.
    """
    logging.getLogger("jax2onnx").setLevel(logging.CRITICAL)  # tells at length what it could convert besides
    try:
        import jax2onnx
        import onnx
        import onnxruntime  # noqa: F401 (for the check)
    except ImportError as error:
        raise UserError(f"ONNX needs {error.name}: {INSTALL_ONNX}") from error
    version, size = importlib.metadata.version("jax2onnx"), run.image_size
    color_all = functools.partial(float32_fn(run, lowering_for("gpu")), jax.device_get(run.variables))
    try:
        with exact_products():
            model = jax2onnx.to_onnx(
                color_all,
                [("batch", size, size, 1)],
                model_name="colorgan",
                opset=_OPSET,
                input_names=[load_exported.INPUT_NAME],
                output_names=[load_exported.OUTPUT_NAME],
            )
    except Exception as error:  # of every kind, where it does not know this JAX or Flax
        raise UserError(
            f"jax2onnx {version} cannot convert this generator ({reason(error)}): {INSTALL_ONNX}"
        ) from error

    def write(path: Path, description: dict[str, Any]) -> None:
        onnx.helper.set_model_props(model, {load_exported.META_KEY: json.dumps(description)})
        onnx.save(model, path)

    return write, {"jax2onnx": version, "opset": _OPSET}


def float32_fn(run: LoadedRun, lowering: str) -> Callable[[Any, jax.Array], jax.Array]:
    """`predict` of (variables, gray) in float32, whatever the run's precision is."""
    return functools.partial(predict, run.generator.clone(dtype=np.float32, lowering=lowering))


def exact_products() -> contextlib.AbstractContextManager[None]:
    """Within it, GPUs and TPUs take all bits of float32 factors: the same numbers, nearly, on every device."""
    return jax.default_matmul_precision("float32")
