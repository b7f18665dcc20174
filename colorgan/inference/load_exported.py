"""Loads files written by `colorgan export`.

Needs NumPy and, for StableHLO, JAX, or for ONNX, onnxruntime, or for safetensors, the networks of colorgan.
"""

import dataclasses
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from colorgan.errors import UserError, reason, refuse_newer
from colorgan.version import FILE_VERSION

META_FILE, PROGRAM_FILE = "meta.json", "model.stablehlo"  # inside a StableHLO file, which is a zip
META_KEY = "colorgan"  # in the metadata_props of an ONNX file
INPUT_NAME, HINTS_NAME, OUTPUT_NAME = "gray", "hints", "rgb"  # of an ONNX file

TAKES_NO_HINTS = "this network takes no hints: it was trained without config.model.hints"

ColorizeFn = Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True)
class Model:
    """An exported generator.

    Attributes:
      predict: gray float32 [B,S,S,1] in [-1,1] to RGB float32 [B,S,S,3] in [-1,1], NumPy arrays in and out. If
        `takes_hints`, the second argument is their planes [B,S,S,3] (`hint_planes`); by default there are none.
      image_size: S.
      description: of the file: sizes, color space, step, config hash, versions, difference at export.
    """

    predict: ColorizeFn
    image_size: int
    description: dict[str, Any]

    @property
    def takes_hints(self) -> bool:
        """Whether it takes color hints."""
        return HINTS_NAME in self.description


def load(path: Path) -> Model:
    """The model in a file of `colorgan export`.

    StableHLO and ONNX files contain programs: load only those that you trust.

    Raises:
      UserError: it is not such a file, damaged, of a version that this one cannot read, or its library is missing.
    """
    try:
        with open(path, "rb") as file:
            is_zip = zipfile.is_zipfile(file)
    except IsADirectoryError as error:
        raise UserError(f"{path} is a folder; use --workdir for a run's folder") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error}") from error
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    if not is_zip and path.suffix != ".onnx":
        raise UserError(f"{path} was not written by colorgan export, or is truncated")
    return _load_stablehlo(path) if is_zip else _load_onnx(path)


def _load_stablehlo(path: Path) -> Model:
    try:
        import flatbuffers  # noqa: F401 (jax.export imports it without requiring it)
        import jax
        from jax import export
    except ImportError as error:
        raise UserError(f"{path} is StableHLO, which needs JAX ({error}): pip install jax flatbuffers") from error
    try:
        with zipfile.ZipFile(path) as parts:  # verifies checksums
            description = _read_description(parts.read(META_FILE), path)
            program = parts.read(PROGRAM_FILE)
        size = int(description["image_size"])
    except UserError:
        raise
    except KeyError as error:
        raise UserError(f"{path} was not written by colorgan export: {error.args[0]}") from error
    except Exception as error:  # of many types
        raise UserError(f"{path} is damaged ({error}); copy it again") from error
    try:
        predict = jax.jit(export.deserialize(bytearray(program)).call)
        shapes = [jax.ShapeDtypeStruct((1, size, size, n), np.float32) for n in _num_channels(description)]
        predict.lower(*shapes)  # fails for what JAX cannot read
    except Exception as error:
        writer = description.get("jax", "of unknown version")
        raise UserError(
            f"JAX {jax.__version__} cannot read {path}, which JAX {writer} wrote ({reason(error)}): "
            "it reads files that are up to 6 months older or 3 weeks newer than itself; export the run again"
        ) from error

    def predict_fn(gray: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
        return np.asarray(predict(*_inputs(description, gray, hints)))

    return Model(predict_fn, size, description)


def _load_safetensors(path: Path) -> Model:
    from colorgan.inference.load_weights import load_weights

    loaded = load_weights(path)
    return Model(loaded.create_predict_fn(), loaded.image_size, dict(loaded.description))


def _load_onnx(path: Path) -> Model:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"{path} is ONNX, which needs its runtime ({error}): pip install onnxruntime") from error
    try:
        present = onnxruntime.get_available_providers()  # CUDA's is part of onnxruntime-gpu
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in present]
        session = onnxruntime.InferenceSession(path, providers=providers)
    except Exception as error:  # of many types
        raise UserError(f"onnxruntime {onnxruntime.__version__} cannot read {path} ({reason(error)})") from error
    if META_KEY not in session.get_modelmeta().custom_metadata_map:
        raise UserError(f"{path} was not written by colorgan export: it has no {META_KEY!r} in its metadata")
    try:
        description = _read_description(session.get_modelmeta().custom_metadata_map[META_KEY], path)
        size = int(description["image_size"])
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}); copy it again") from error

    def predict(gray: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
        inputs = zip((INPUT_NAME, HINTS_NAME), _inputs(description, gray, hints), strict=False)
        return session.run([OUTPUT_NAME], dict(inputs))[0]

    return Model(predict, size, description)


def _num_channels(description: dict[str, Any]) -> tuple[int, ...]:
    """Of each input of the program."""
    return (1, 3) if HINTS_NAME in description else (1,)


def _inputs(description: dict[str, Any], gray: np.ndarray, hints: np.ndarray | None) -> list[np.ndarray]:
    """The inputs of the program: with planes of 0 for no hints. Raises UserError for hints that it does not take."""
    gray = np.asarray(gray, np.float32)
    if HINTS_NAME not in description:
        if hints is not None:
            raise UserError(TAKES_NO_HINTS)
        return [gray]
    planes = np.zeros((*gray.shape[:3], 3), np.float32) if hints is None else np.asarray(hints, np.float32)
    return [gray, planes]


def _read_description(encoded: bytes | str, path: Path) -> dict[str, Any]:
    """The description of a file. Its version is checked before anything else in it, which a newer one may rename.

    Raises:
      UserError: the file is of a newer version.
      ValueError, TypeError: it is damaged.
    """
    description = json.loads(encoded)
    if not isinstance(description, dict):
        raise TypeError("the description is not a JSON object")
    refuse_newer(str(path), int(description.get("format_version", 0)), FILE_VERSION)
    return description
