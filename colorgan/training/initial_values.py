"""Initial values of a new run that come from elsewhere: another run, a file, or a pretrained encoder."""

import logging
from pathlib import Path
from typing import Any

import jax
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import sharding
from colorgan.errors import UserError
from colorgan.models import weights_file
from colorgan.models.build import Variables, check_shapes
from colorgan.models.encoders import weights
from colorgan.run import workdir as workdir_lib
from colorgan.run.checkpoints import Checkpoints
from colorgan.training import build
from colorgan.training.losses import ADVERSARIAL
from colorgan.training.state import GAN, abstract_state

log = logging.getLogger(__name__)


def load(config: ConfigDict, gan: GAN, mesh: Mesh) -> dict[str, Variables]:
    """Variables by network, see `state.create_state`, from `config.init_from` or `config.model.encoder_weights`.

    Raises:
      UserError: they cannot be read, or do not fit the networks of `config`.
    """
    if config.init_from:
        path = epath.Path(config.init_from).expanduser()
        initial = _of_run(path, mesh) if path.is_dir() else _of_file(Path(path))
        expected = abstract_state(gan, sharding.replicated(mesh))
        for name, variables in initial.items():
            network = expected.critic if name == "critic" else expected.generator
            check_shapes(variables, network.variables, f"config.init_from: the {name} of {config.init_from}")
        log.info("initial values: %s of %s", ", ".join(sorted(initial)), config.init_from)
        if "critic" not in initial and ADVERSARIAL in gan.loss_weights:
            log.info("the critic has random initial values: %s has none that was trained", config.init_from)
        return initial
    if config.model.encoder_weights:
        encoder = weights.load(config.model.encoder, config.model.encoder_weights)
        return {"generator": {collection: {"encoder": values} for collection, values in encoder.items()}}
    return {}


def _of_run(workdir: epath.Path, mesh: Mesh) -> dict[str, Variables]:
    """The networks of a run's best checkpoint; the critic if it was trained."""
    saved = workdir_lib.read_config(workdir)
    try:
        config = ConfigDict(saved)
        gan = build.create_gan(config, sharding.platform_of(mesh), build.SOME_EPOCHS)
        best_metric = config.best_metric
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"config.init_from: {workdir} is a run of another version: {error}") from error
    abstract = abstract_state(gan, sharding.replicated(mesh)).networks()
    with Checkpoints(workdir, best_metric) as checkpoints:
        found = checkpoints.first_good(checkpoints.steps("best"), lambda step: checkpoints.restore(step, abstract))
    if found is None:
        raise UserError(f"config.init_from: {workdir} has no checkpoint yet")
    networks: dict[str, Any] = jax.device_get(found[1])
    initial = {"generator": networks["generator"].variables, "generator_ema": networks["generator_ema"]}
    if ADVERSARIAL in gan.loss_weights:
        initial["critic"] = networks["critic"].variables
    return initial


def _of_file(path: Path) -> dict[str, Variables]:
    if not path.exists():
        raise UserError(f"config.init_from: there is no run's folder and no file {path}")
    if path.suffix != weights_file.SUFFIX:
        raise UserError(
            f"config.init_from: {path} is neither a run's folder nor a .safetensors file; StableHLO and ONNX files are "
            "programs, from which weights cannot be read: use colorgan export --format=safetensors"
        )
    variables, _ = weights_file.read(path)
    return {"generator": variables}
