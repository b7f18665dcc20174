"""Files with the weights of a generator: safetensors, with what is needed to build the network in the metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from colorgan.errors import UserError
from colorgan.run import migrations

META_KEY = "colorgan"  # in the metadata; its value is the description as JSON
SUFFIX = ".safetensors"
# The network that ships with colorgan, for research and personal use (weights/LICENSE): docs/model_card.md.
SHIPPED = Path(__file__).parent.parent / "weights" / f"colorgan{SUFFIX}"


def write(path: Path, variables: Mapping[str, Any], description: Mapping[str, Any]) -> None:
    """Writes a generator's variables.

    Args:
      path: the file.
      variables: arrays of any precision.
      description: for JSON, with the keys of the run's config that determine the generator as "config".

    Raises:
      OSError: the file cannot be written.
    """
    flat = traverse_util.flatten_dict(variables, sep="/")
    arrays = {name: np.asarray(value, order="C") for name, value in flat.items()}  # scalars too
    config = migrations.with_format_version(description["config"])
    # `safetensors.numpy.save_file` would write a file that only its owner can read.
    path.write_bytes(save(arrays, {META_KEY: json.dumps({**description, "config": config})}))


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The variables, float32 NumPy arrays, and the description of a file, both as of today (`migrations`).

    Raises:
      UserError: the file cannot be read, is not one of `write`, or is of a newer version.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            flat = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        description = json.loads(metadata[META_KEY])
        version = migrations.config_version(description["config"])
        description["config"] = migrations.migrate_config(description["config"])
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read {path} as safetensors: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} was not written by colorgan export --format=safetensors ({error})") from error
    variables = traverse_util.unflatten_dict(flat, sep="/")
    return migrations.to_current(variables, variables, version), description
