"""Loads a trained generator from a run's folder."""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from colorgan import sharding
from colorgan.errors import UserError
from colorgan.models.build import Variables, abstract_variables, create_generator
from colorgan.models.generator import Generator
from colorgan.run import workdir as workdir_lib
from colorgan.run.checkpoints import Checkpoints
from colorgan.run.storage import parse_path


@dataclasses.dataclass(frozen=True)
class LoadedRun:
    """The generator of a run, with the moving average of its variables on every device.

    Attributes:
      config: the run's, a nested dict after `migrate_config`. Keys of other versions are kept, and some may be missing.
      step: of the checkpoint.
      generator: the network.
      variables: for `generator.apply`.
    """

    config: Mapping[str, Any]
    step: int
    generator: Generator
    variables: Variables

    @property
    def image_size(self) -> int:
        """Side of the generator's square, in pixels."""
        return self.generator.image_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --workdir and --checkpoint, the arguments of `load_run`."""
    parser.add_argument("--workdir", required=True, type=parse_path, help="the run's folder")
    parser.add_argument(
        "--checkpoint", default="best", choices=("latest", "best"), help="which one of the run (default: best)"
    )


def load_run(workdir: epath.Path, which: str) -> LoadedRun:
    """The generator of the "latest" or the "best" checkpoint.

    Raises:
      UserError: there is no run in `workdir`, it has no checkpoint yet, or all are damaged.
    """
    config = workdir_lib.read_config(workdir)
    mesh = sharding.create_mesh()
    generator = create_generator(config, sharding.platform_of(mesh), str(workdir / workdir_lib.CONFIG_FILE))
    abstract = {"generator_ema": abstract_variables(generator, sharding.replicated(mesh))}
    with Checkpoints(workdir, config.get("best_metric", "validation/score")) as checkpoints:
        found = checkpoints.first_good(checkpoints.steps(which), lambda step: checkpoints.restore(step, abstract))
    if found is None:
        raise UserError(f"{workdir} has no checkpoint yet; train it first")
    step, restored = found
    return LoadedRun(config, step, generator, restored["generator_ema"])
