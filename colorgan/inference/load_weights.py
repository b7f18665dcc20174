"""A trained generator with its weights, and how it is loaded from a file of `export --format=safetensors`."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from colorgan.errors import refuse_newer
from colorgan.models import build
from colorgan.models.generator import Generator, predict
from colorgan.run import weights_file
from colorgan.version import FILE_VERSION

# Options of XLA:CPU for a program that is compiled in a fraction of the time and takes twice as long: for a generator
# around EfficientNet-Lite0 1.1 instead of 9.4 s, and 71 instead of 31 ms for an image of 128 px. jax 0.12 has only the
# first option: 5.2 instead of 10 s.
_QUICK: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}
_QUICKER = _QUICK | {"xla_cpu_use_fusion_emitters": False}


@dataclasses.dataclass(frozen=True)
class LoadedGenerator:
    """A trained generator, with the moving average of its variables on the devices.

    Attributes:
      config: that of its run after `migrate_config`, a nested dict; of a file, the keys that determine the generator.
        Keys of other versions are kept, and some may be missing.
      step: of the checkpoint.
      checkpoint: which one of the run it is: "best" or "latest", or "shipped" for the network that ships.
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

    def create_predict_fn(self) -> Callable[..., np.ndarray]:
        """A function from gray float32 [B,S,S,1] in [-1,1] to RGB [B,S,S,3] in [-1,1], compiled when it is called.

        A generator that takes hints has their planes [B,S,S,3] (`hint_planes`) as second argument, None by default.
        On a CPU, single images use a program of their own that is compiled quickly.
        """
        jitted = jax.jit(functools.partial(predict, self.generator))

        @functools.cache
        def program(is_single: bool, has_hints: bool) -> Callable[..., jax.Array]:
            if not (is_single and self.generator.platform == "cpu"):
                return jitted
            arrays = [jax.ShapeDtypeStruct((1, self.image_size, self.image_size, n), np.float32) for n in (1, 3)]
            lowered = jitted.lower(self.variables, *arrays[: 1 + has_hints])
            for options in (_QUICKER, _QUICK):
                with contextlib.suppress(jax.errors.JaxRuntimeError):  # an option that this version does not know
                    return lowered.compile(options)
            return jitted

        def predict_fn(gray: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
            arrays = [np.asarray(array, np.float32) for array in (gray, hints) if array is not None]
            return np.asarray(program(len(gray) == 1, len(arrays) > 1)(self.variables, *arrays))

        return predict_fn


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
