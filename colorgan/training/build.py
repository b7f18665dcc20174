"""What a run consists of, built from its config."""

import functools
import logging
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import sharding
from colorgan.data import held_out, pipeline, sources, workers
from colorgan.errors import UserError
from colorgan.models.build import ENCODERS, UNET, create_networks
from colorgan.training import optimizer
from colorgan.training.batches import CachedBatches, StreamedBatches, choose_cache
from colorgan.training.hyperparameters import Hyperparameters
from colorgan.training.losses import FEATURE, loss_weights
from colorgan.training.state import GAN, GANState, key_data, state_shardings
from colorgan.training.step import train_step

_MAX_WORKERS = 16  # of data, where their number follows that of the cores
FEATURE_ENCODER = "efficientnet_lite0"  # of the feature loss

log = logging.getLogger(__name__)


class ImageSets(NamedTuple):
    """The images of a run.

    Attributes:
      train: training images.
      validation: validation images.
      validation_name: for messages.
      held_out: names, by index in the set, of the images in `validation` if they are of the training set.
      open_without_results: opens the same sets without results of `colorgan colorize`; None if they have none.
    """

    train: pipeline.Images
    validation: pipeline.Images
    validation_name: str
    held_out: Mapping[int, str] | None = None
    open_without_results: Callable[[], "ImageSets"] | None = None


def create_gan(config: ConfigDict, platform: str) -> GAN:
    """Networks, optimizer and losses for "cpu", "gpu" or "tpu".

    Raises:
      UserError: the config names a network or a loss that does not exist.
    """
    generator, critic = create_networks(
        config.image_size, **config.model, precision=config.precision, platform=platform
    )
    rates = config.optimizer
    betas_and_decay = rates.beta1, rates.beta2, rates.weight_decay
    losses = tuple(loss_weights(config.loss))
    feature_encoder = None
    if FEATURE in losses:
        feature_encoder = ENCODERS[FEATURE_ENCODER](dtype=jnp.dtype(config.precision), platform=platform)
    encoder_rate = {"encoder": config.model.encoder_rate} if config.model.encoder != UNET else {}
    frozen = [module for module, rate in encoder_rate.items() if rate == 0]
    return GAN(
        generator,
        critic,
        optimizer.create_optimizer(*betas_and_decay, encoder_rate),
        optimizer.create_optimizer(*betas_and_decay),
        optimizer.SCHEDULES[rates.schedule],
        losses,
        feature_encoder,
        frozen,
    )


def create_hyperparameters(config: ConfigDict, num_steps: int) -> Hyperparameters:
    """The values of `config` for a run of `num_steps` steps, in host memory.

    Raises:
      UserError: a key of `config.loss` belongs to no loss.
    """
    weights = loss_weights(config.loss)
    return Hyperparameters(
        key_data=key_data(config.seed),
        num_steps=np.asarray(num_steps, np.int32),
        generator_rate=np.asarray(config.optimizer.generator_learning_rate, np.float32),
        critic_rate=np.asarray(config.optimizer.critic_learning_rate, np.float32),
        loss_weights={name: np.asarray(weight, np.float32) for name, weight in weights.items()},
        ema_decay=np.asarray(config.ema_decay, np.float32),
        degrade=np.asarray(config.data.degrade, np.float32) if config.data.degrade else None,
    )


def create_train_step(config: ConfigDict, gan: GAN, mesh: Mesh) -> jax.stages.Wrapped:
    """`train_step` of (state, global uint8 batch on `mesh`, hyperparameters), jitted; donates the state."""
    step = functools.partial(train_step, gan=gan, mesh=mesh, skip_nonfinite=config.skip_nonfinite_steps > 0)
    options = compiler_options(config, sharding.platform_of(mesh))
    state = state_shardings(gan, mesh)
    inputs, outputs = (state, "batch", "replicated"), (state, "replicated")
    return sharding.jit(step, mesh, inputs, outputs, donate_argnums=0, compiler_options=options)


def compiler_options(config: ConfigDict, platform: str) -> dict[str, str | bool]:
    """XLA's options for the training step."""
    options: dict[str, str | bool] = dict(option.split("=", 1) for option in config.compiler_options)
    if config.deterministic and platform == "gpu":
        options["xla_gpu_deterministic_ops"] = True  # no atomic sums, and no choice of algorithms by their speed
    return options


def describe_program(config: ConfigDict, gan: GAN) -> list[Any]:
    """What determines the program that `compile_train_step` returns, besides the devices."""
    keys = ("image_size", "batch_size", "precision", "deterministic", "skip_nonfinite_steps", "compiler_options")
    return [
        [config[key] for key in keys],
        config.model.to_dict(),
        gan.losses,
        config.data.load_size,
        config.data.degrade,
    ]


def compile_train_step(config: ConfigDict, gan: GAN, mesh: Mesh, state: GANState) -> jax.stages.Compiled:
    """The jitted step, compiled for the devices of `mesh`; of `state` only the shapes are used.

    Raises:
      UserError: XLA does not know one of `config.compiler_options`, or its value is not valid.
    """
    size = config.data.load_size
    batch = jax.ShapeDtypeStruct((config.batch_size, size, size, 3), np.uint8, sharding=sharding.batch_sharding(mesh))
    try:
        return create_train_step(config, gan, mesh).lower(state, batch, create_hyperparameters(config, 1)).compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error) or "While setting option" in str(error):
            raise UserError(f"config.compiler_options: {error}") from error
        raise


def open_images(
    config: ConfigDict, names_before: Mapping[int, str] | None = None, with_results: bool = False
) -> ImageSets:
    """Training and validation images.

    Args:
      config: a valid config.
      names_before: `ImageSets.held_out` of the run that is resumed.
      with_results: whether results of `colorgan colorize` are training images, as in runs of earlier versions.

    Raises:
      UserError: there are none, fewer than a batch, or other ones in different processes.
    """
    data = config.data
    is_first = jax.process_index() == 0
    if is_first and data.validation and sources.is_own(data.train) and not sources.is_own(data.validation):
        log.warning(
            "validation uses %s, not your images: set --config.data.validation to some not used for training, or, in a "
            "new run, to nothing, which holds out some of yours",
            data.validation,
        )
    train = sources.open_source(data.train, data.load_size, sources.TRAIN_SEED, with_results)
    names, checksum, max_bad = None, 0, None
    if data.validation:
        name = data.validation
        validation = sources.open_source(name, config.image_size, sources.VALIDATION_SEED)
    else:
        name, max_bad = f"the validation split of {data.train}", int(data.max_bad_fraction * len(train))
        indices = held_out.find_again(train, names_before) if names_before else held_out.choose(train)
        names = names_before or {index: train.name(index) for index in indices.tolist()}
        checksum = zlib.crc32(indices.tobytes())
        train, validation = held_out.split(train, indices)
    if not all(map(sharding.same_everywhere, (len(train), len(validation), checksum))):
        raise UserError(f"not all processes see the same images in {data.train} and {name}")
    if len(train) < config.batch_size:
        split = f" ({len(validation)} more for validation)" if names else ""
        raise UserError(
            f"config.batch_size is {config.batch_size}, more than the training images in {data.train}: "
            f"{len(train)}{split}; set a smaller one, or add images"
        )
    validation_images = pipeline.Images(validation, config.image_size, data.max_bad_fraction)
    if max_bad is not None:  # as many as in the whole set: 5% of it can have more than 5% of them
        validation_images.max_bad = max_bad
    train_images = pipeline.Images(train, data.load_size, data.max_bad_fraction)
    open_without = functools.partial(open_images, config, names_before) if with_results else None
    return ImageSets(train_images, validation_images, name, names, open_without)


def create_loading(config: ConfigDict) -> pipeline.Loading:
    """How this process loads its part of every batch."""
    data = config.data
    num_workers = min(workers.num_cores(), _MAX_WORKERS) if data.num_workers == -1 else data.num_workers
    return pipeline.Loading(num_workers, data.num_threads, jax.process_index(), jax.process_count())


def create_train_batches(
    config: ConfigDict, images: pipeline.Images, first_batch: int, mesh: Mesh
) -> StreamedBatches | CachedBatches:
    """The training batches from number `first_batch` on; the same for every value of `config.data.cache`."""
    order = (images, config.batch_size, config.seed, first_batch, create_loading(config))
    if choose_cache(config.data.cache, images, mesh) == "device":
        return CachedBatches(*order, mesh)
    return StreamedBatches(pipeline.TrainBatches(*order), mesh)
