"""Initial values of a new run that come from elsewhere: another run, a file, or a pretrained encoder."""

import argparse
import logging
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import sharding
from colorgan.errors import UserError
from colorgan.models.build import ENCODERS, Variables, check_shapes
from colorgan.models.encoders import weights
from colorgan.models.hints import without_hints
from colorgan.run import weights_file
from colorgan.run import workdir as workdir_lib
from colorgan.run.checkpoints import Checkpoints
from colorgan.run.storage import bucket_errors, is_remote, parse_path
from colorgan.training import build
from colorgan.training.losses import ADVERSARIAL, FEATURE, loss_weights
from colorgan.training.state import GAN, abstract_state

SHIPPED_NAME = "shipped"  # in `config.init_from`
log = logging.getLogger(__name__)


def load(config: ConfigDict, gan: GAN, mesh: Mesh) -> dict[str, Variables]:
    """Variables by network, see `state.create_state`, from `config.init_from` or `config.model.encoder_weights`.

    Raises:
      UserError: they cannot be read, do not fit the networks of `config`, or differ between processes.
    """
    initial = _read(config, gan, mesh)
    if gan.feature_encoder:
        initial["feature_encoder"] = weights.load(build.FEATURE_ENCODER, "imagenet", num_channels=3)
    checksum = 0
    for array in jax.tree.leaves(initial):
        checksum = zlib.crc32(np.asarray(array).tobytes(), checksum)
    if not sharding.same_everywhere(checksum):
        raise UserError("the processes of this run read different initial values: copy the same files to all hosts")
    return initial


def check_source(config: ConfigDict) -> None:
    """Raises UserError if the initial values of a new run are not there. It is fast; call it before data is loaded."""
    if config.init_from:
        _find_source(config.init_from)
    elif config.model.encoder_weights and config.model.encoder in ENCODERS:
        weights.find(config.model.encoder, config.model.encoder_weights)
    if FEATURE in loss_weights(config.loss):
        weights.find(build.FEATURE_ENCODER, "imagenet")


def _read(config: ConfigDict, gan: GAN, mesh: Mesh) -> dict[str, Variables]:
    if source := config.init_from:
        path, is_folder = _find_source(source)
        is_adversarial = ADVERSARIAL in gan.losses
        initial = _of_run(path, mesh, is_adversarial) if is_folder else {"generator": weights_file.read(Path(path))[0]}
        expected = abstract_state(gan, sharding.replicated(mesh)).networks()
        known_as = f"{source} (for --config=pretrained or gpu)" if source == SHIPPED_NAME else source
        wanted = {name: network.variables for name, network in expected.items() if name in initial}
        plain = without_hints(initial["generator"])
        has_hints = len(jax.tree.leaves(plain)) < len(jax.tree.leaves(initial["generator"]))
        if has_hints and not gan.generator.takes_hints:
            initial["generator"] = plain
            log.info("%s takes hints, and this run does not, without config.model.hints=True", source)
        elif gan.generator.takes_hints and not has_hints:
            wanted["generator"] = without_hints(wanted["generator"])
            log.info("%s takes no hints: the layers for them begin with zeros, which change nothing", source)
        for name, variables in initial.items():
            check_shapes(variables, wanted[name], f"config.init_from: the {name} of {known_as} does not fit")
        log.info("initial values: %s of %s", ", ".join(sorted(initial)), source)
        if is_adversarial and "critic" not in initial:
            log.info("the critic has random initial values: %s has none that was trained", source)
        return initial
    if config.model.encoder_weights:
        encoder = weights.load(config.model.encoder, config.model.encoder_weights)
        return {"generator": {collection: {"encoder": values} for collection, values in encoder.items()}}
    return {}


def _find_source(source: str) -> tuple[epath.Path, bool]:
    """The path of a run's folder or of a file that may have weights, and whether it is a folder."""
    if source == SHIPPED_NAME:
        return epath.Path(weights_file.SHIPPED), False
    try:
        path = parse_path(source)
        with bucket_errors(path):
            if path.is_dir():
                return path, True
            is_file = path.exists()
    except (OSError, argparse.ArgumentTypeError) as error:
        raise UserError(f"config.init_from: {error}") from error
    if not is_file:
        raise UserError(f"config.init_from: there is no run's folder and no file {path}")
    if is_remote(path):
        raise UserError(f"config.init_from: {path} is a file in a bucket; copy it to a disk first")
    if path.suffix != weights_file.SUFFIX:
        raise UserError(
            f"config.init_from: {path} is neither a run's folder nor a .safetensors file; StableHLO and ONNX files are "
            "programs, from which weights cannot be read: use colorgan export --format=safetensors"
        )
    return path, False


def _of_run(workdir: epath.Path, mesh: Mesh, with_critic: bool) -> dict[str, Variables]:
    """From a run's best checkpoint: the average of the generator, and `with_critic` the critic if it was trained."""
    saved = workdir_lib.read_config(workdir)
    try:
        config = ConfigDict(saved)
        gan = build.create_gan(config, sharding.platform_of(mesh))
        best_metric = config.best_metric
    except (AttributeError, KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"config.init_from: {workdir} is a run of another version of colorgan: {error}") from error
    names = ["generator_ema", "critic"] if with_critic and ADVERSARIAL in gan.losses else ["generator_ema"]
    networks_of_run = abstract_state(gan, sharding.replicated(mesh)).networks()
    abstract = {name: networks_of_run[name] for name in names}
    with Checkpoints(workdir, best_metric) as checkpoints:
        found = checkpoints.first_good(checkpoints.steps("best"), lambda step: checkpoints.restore(step, abstract))
    if found is None:
        raise UserError(f"config.init_from: {workdir} has no checkpoint yet")
    networks: dict[str, Any] = jax.device_get(found[1])
    initial = {"generator": networks["generator_ema"]}
    if "critic" in networks:
        initial["critic"] = networks["critic"].variables
    return initial
