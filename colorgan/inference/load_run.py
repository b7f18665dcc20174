"""A trained generator, brought back from a run's folder."""

import argparse
import dataclasses
import json

from etils import epath
from ml_collections import ConfigDict

from colorgan import config as config_lib
from colorgan import sharding
from colorgan.errors import UserError
from colorgan.models import Generator
from colorgan.run.checkpoints import Checkpoints
from colorgan.run.storage import bucket_errors
from colorgan.run.workdir import CONFIG_FILE
from colorgan.training import build
from colorgan.training import state as train_state
from colorgan.training.state import Variables


@dataclasses.dataclass(frozen=True)
class Trained:
    """What colours: the generator and the moving average of its variables, on every device.

    Attributes:
      config: the run's.
      step: the checkpoint's.
      generator: the network.
      variables: for `generator.apply`.
    """

    config: ConfigDict
    step: int
    generator: Generator
    variables: Variables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--workdir and --checkpoint, what `load_trained` takes."""
    parser.add_argument("--workdir", required=True, type=epath.Path, help="the run's folder")
    parser.add_argument("--checkpoint", default="best", choices=("latest", "best"), help="which of the run's")


def load_trained(workdir: epath.Path, which: str) -> Trained:
    """The generator of the "latest" or the "best" checkpoint.

    Raises:
      UserError: there is no run in `workdir`, it has no checkpoint yet, or all are damaged.
    """
    try:
        with bucket_errors(workdir):
            config = ConfigDict(json.loads((workdir / CONFIG_FILE).read_text()))
    except FileNotFoundError as error:
        raise UserError(f"{workdir} is not the folder of a run: it has no {CONFIG_FILE}") from error
    except OSError as error:
        raise UserError(f"{workdir} is not the folder of a run: {error}") from error
    except ValueError as error:
        raise UserError(
            f"{workdir / CONFIG_FILE} is damaged ({error}); the command that trained the run writes it anew"
        ) from error
    try:
        config_lib.check_config(config)
    except UserError as error:
        raise UserError(f"{workdir / CONFIG_FILE} was written by another version of colorgan: {error}") from error
    mesh = sharding.create_mesh()
    generator, _ = build.create_networks(config, sharding.platform_of(mesh))
    abstract = train_state.abstract_variables(generator, sharding.replicated(mesh))
    with Checkpoints(workdir, config.best_metric) as checkpoints:
        steps = checkpoints.steps(which)
        found = checkpoints.first_good(steps, lambda step: checkpoints.restore_generator(step, abstract))
    if found is None:
        raise UserError(f"{workdir} holds no checkpoint yet; train it first")
    step, variables = found
    return Trained(config, step, generator, variables)
