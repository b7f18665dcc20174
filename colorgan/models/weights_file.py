"""Files with the weights of a generator: safetensors, with what is needed to build the network in the metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from colorgan.errors import UserError, refuse_newer

FORMAT_VERSION = 1
META_KEY = "colorgan"  # in the metadata; its value is the description as JSON
SUFFIX = ".safetensors"
_CONFIG_KEYS = ("image_size", "precision", "model")


def network_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a run's config that determine its networks, without the path of initial weights."""
    model = {key: value for key, value in config["model"].items() if key != "encoder_weights"}
    return {key: config[key] for key in _CONFIG_KEYS} | {"model": model}


def write(path: Path, variables: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """Writes a generator's variables.

    Args:
      path: the file.
      variables: arrays of any precision.
      description: for JSON, with "config" from `network_config`.

    Raises:
      OSError: the file cannot be written.
    """
    flat = traverse_util.flatten_dict(variables, sep="/")
    arrays = {name: np.ascontiguousarray(value) for name, value in flat.items()}
    save_file(arrays, path, {META_KEY: json.dumps({"format_version": FORMAT_VERSION, **description})})


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables, float32 NumPy arrays, and the description of a file.

    Raises:
      UserError: the file cannot be read, is not one of `write`, or is of a newer version.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            flat = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata[META_KEY])
        version = int(description["format_version"])
        refuse_newer(str(path), version, FORMAT_VERSION)
        network_config(description["config"])  # raises KeyError
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path} as safetensors: {error}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} was not written by colorgan export --format=safetensors ({error})") from error
    return traverse_util.unflatten_dict(flat, sep="/"), description
