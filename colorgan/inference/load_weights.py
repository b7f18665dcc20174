"""A trained generator with its weights, and how it is loaded from a file of `export --format=safetensors`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from colorgan.errors import refuse_newer
from colorgan.models import build
from colorgan.models.generator import Generator
from colorgan.run import weights_file
from colorgan.version import FILE_VERSION


@dataclasses.dataclass(frozen=True)
class LoadedGenerator:
    """A trained generator, with the moving average of its variables on the devices.

    Attributes:
      config: that of its run after `migrate_config`, a nested dict; of a file, the keys that determine the generator.
        Keys of other versions are kept, and some may be missing.
      step: of the checkpoint.
      checkpoint: which one of the run it is: "best" or "latest".
      generator: the network.
      variables: for `generator.apply`.
      description: that of the file; empty for a run.
    """

    config: Mapping[str, Any]
    step: int
    checkpoint: str
    generator: Generator
    variables: build.Variables
    description: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def image_size(self) -> int:
        """Side of the generator's square, in pixels."""
        return self.generator.image_size


def load_weights(path: Path) -> LoadedGenerator:
    """The generator in a .safetensors file, on the first device.

    Raises:
      UserError: the file cannot be read, or is of a newer version.
    """
    variables, description = weights_file.read(path)
    refuse_newer(str(path), int(description.get("format_version", 0)), FILE_VERSION)
    config = description["config"]
    generator = build.create_generator(config, jax.default_backend(), str(path))
    sharding = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    build.check_shapes(variables, build.abstract_variables(generator, sharding), str(path))
    step, checkpoint = int(description.get("step", 0)), str(description.get("checkpoint", "best"))
    return LoadedGenerator(config, step, checkpoint, generator, jax.device_put(variables, sharding), description)
