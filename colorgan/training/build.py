"""What a run consists of, built from its config."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from colorgan import sharding
from colorgan.data import pipeline, sources
from colorgan.errors import UserError
from colorgan.models.build import ENCODERS, UNET, create_networks
from colorgan.training import optimizer
from colorgan.training.batches import CachedBatches, StreamedBatches
from colorgan.training.epochs import Epochs
from colorgan.training.losses import FEATURE, loss_weights
from colorgan.training.state import GAN, GANState
from colorgan.training.step import train_step

FEATURE_ENCODER = "efficientnet_lite0"  # of the feature loss
# For programs that are not trained to an end: a step costs the same at any learning rate.
SOME_EPOCHS = Epochs(num_images=10_000, batch_size=10)


def create_gan(config: ConfigDict, platform: str, epochs: Epochs) -> GAN:
    """Networks, optimizer and losses for "cpu", "gpu" or "tpu"; `epochs` are those of the run.

    Raises:
      UserError: the config names a network or a loss that does not exist.
    """
    generator, critic = create_networks(
        config.image_size, **config.model, precision=config.precision, platform=platform
    )
    rates = config.optimizer
    generator_schedule, critic_schedule = (
        optimizer.create_schedule(rates.schedule, rate, epochs.last_step(config.num_epochs))
        for rate in (rates.generator_learning_rate, rates.critic_learning_rate)
    )
    betas_and_decay = rates.beta1, rates.beta2, rates.weight_decay
    weights = loss_weights(config.loss)
    feature_encoder = None
    if FEATURE in weights:
        feature_encoder = ENCODERS[FEATURE_ENCODER](dtype=jnp.dtype(config.precision), platform=platform)
    encoder_rate = {"encoder": config.model.encoder_rate} if config.model.encoder != UNET else {}
    return GAN(
        generator,
        critic,
        optimizer.create_optimizer(*betas_and_decay, encoder_rate),
        optimizer.create_optimizer(*betas_and_decay),
        generator_schedule,
        critic_schedule,
        weights,
        feature_encoder,
    )


def create_train_step(config: ConfigDict, gan: GAN, mesh: Mesh) -> jax.stages.Wrapped:
    """`train_step` of (state, global uint8 batch on `mesh`), jitted; donates the state."""
    step = functools.partial(
        train_step,
        gan=gan,
        seed=config.seed,
        ema_decay=config.ema_decay,
        degrade=config.data.degrade,
        skip_nonfinite=config.skip_nonfinite_steps > 0,
    )
    options = compiler_options(config, sharding.platform_of(mesh))
    inputs = ("replicated", "batch")
    return sharding.jit(step, mesh, inputs, "replicated", donate_argnums=0, compiler_options=options)


def compiler_options(config: ConfigDict, platform: str) -> dict[str, str | bool]:
    """XLA's options for the training step."""
    options: dict[str, str | bool] = dict(option.split("=", 1) for option in config.compiler_options)
    if config.deterministic and platform == "gpu":
        options["xla_gpu_deterministic_ops"] = True  # no atomic sums, and no choice of algorithms by their speed
    return options


def compile_train_step(config: ConfigDict, gan: GAN, mesh: Mesh, state: GANState) -> jax.stages.Compiled:
    """The jitted step, compiled for the devices of `mesh`; of `state` only the shapes are used.

    Raises:
      UserError: XLA does not know one of `config.compiler_options`, or its value is not valid.
    """
    size = config.data.load_size
    batch = jax.ShapeDtypeStruct((config.batch_size, size, size, 3), np.uint8, sharding=sharding.batch_sharding(mesh))
    try:
        return create_train_step(config, gan, mesh).lower(state, batch).compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" in str(error) or "While setting option" in str(error):
            raise UserError(f"config.compiler_options: {error}") from error
        raise


def open_images(config: ConfigDict) -> tuple[pipeline.Images, pipeline.Images]:
    """Training and validation images.

    Raises:
      UserError: there are none, fewer than a batch, or a different number in different processes.
    """
    data = config.data
    train_source = sources.open_source(data.train, data.load_size, sources.TRAIN_SEED)
    validation_source = sources.open_source(data.validation, config.image_size, sources.VALIDATION_SEED)
    if not (sharding.same_everywhere(len(train_source)) and sharding.same_everywhere(len(validation_source))):
        raise UserError(f"not all processes see the same images in {data.train} and {data.validation}")
    if len(train_source) < config.batch_size:
        raise UserError(
            f"config.batch_size is {config.batch_size} but {data.train} holds only {len(train_source)} images"
        )
    return (
        pipeline.Images(train_source, data.load_size, data.max_bad_fraction),
        pipeline.Images(validation_source, config.image_size, data.max_bad_fraction),
    )


def create_loading(config: ConfigDict) -> pipeline.Loading:
    """How this process loads its part of every batch."""
    data = config.data
    return pipeline.Loading(data.num_workers, data.num_threads, jax.process_index(), jax.process_count())


def create_train_batches(
    config: ConfigDict, images: pipeline.Images, first_batch: int, mesh: Mesh
) -> StreamedBatches | CachedBatches:
    """The training batches from number `first_batch` on; the same for every value of `config.data.cache`."""
    order = (images, config.batch_size, config.seed, first_batch, create_loading(config))
    if config.data.cache == "device":
        return CachedBatches(*order, mesh)
    return StreamedBatches(pipeline.TrainBatches(*order), mesh)
