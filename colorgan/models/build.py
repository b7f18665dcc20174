"""Networks by the names that a config has for them."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from colorgan.errors import UserError
from colorgan.models.critic import Critic, DenseCritic, PatchCritic
from colorgan.models.encoder_unet import EncoderUNet
from colorgan.models.encoders.convnext import ConvNeXt
from colorgan.models.encoders.efficientnet import EfficientNetLite
from colorgan.models.encoders.encoder import Encoder
from colorgan.models.encoders.tiny import TinyEncoder
from colorgan.models.generator import OUTPUT_CHANNELS, Generator
from colorgan.models.unet import UNet
from colorgan.sharding import abstract_arrays

Variables = dict[str, Any]  # {"params": ..., "batch_stats": ...}, as Flax modules take them

UNET = "unet"  # the value of config.model.encoder for the baseline's generator
TRAINING_KEYS = {"encoder_weights", "encoder_rate"}  # of config.model

# By the value of config.model.encoder: functions of the fields of `Encoder`: dtype, platform, frozen_norm.
ENCODERS: dict[str, Callable[..., Encoder]] = {
    "efficientnet_lite0": functools.partial(EfficientNetLite, width=1.0, depth=1.0),
    "efficientnet_lite1": functools.partial(EfficientNetLite, width=1.0, depth=1.1),
    "efficientnet_lite2": functools.partial(EfficientNetLite, width=1.1, depth=1.2),
    "convnext_tiny": functools.partial(ConvNeXt, depths=(3, 3, 9, 3), dims=(96, 192, 384, 768)),
    "convnext_small": functools.partial(ConvNeXt, depths=(3, 3, 27, 3), dims=(96, 192, 384, 768)),
    "convnext_base": functools.partial(ConvNeXt, depths=(3, 3, 27, 3), dims=(128, 256, 512, 1024)),
    "convnext_large": functools.partial(ConvNeXt, depths=(3, 3, 27, 3), dims=(192, 384, 768, 1536)),
    "tiny": TinyEncoder,
}

# By the value of config.model.critic.
CRITICS: dict[str, type[Critic]] = {
    "dense": DenseCritic,
    "patch": PatchCritic,
}


def create_networks(
    image_size: int,
    width: int,
    max_width: int,
    output: str,
    critic: str,
    precision: str,
    platform: str,
    encoder: str = UNET,
    freeze_encoder_norm: bool = False,
    hints: bool = False,
    **training_keys: Any,
) -> tuple[Generator, Critic]:
    """Generator and critic for square images of `image_size` pixels, without parameters.

    Args:
      image_size: a power of two, at least 32, or with an encoder a multiple of 32.
      width: channels of the first layers; with an encoder, of the decoder at a quarter of the image's size.
      max_width: the maximum number of channels of a layer, without those of an encoder; in the baseline's U-Net also
        the length of the latent vector.
      output: what the generator's last layer predicts: "rgb" or "chroma".
      critic: a name in `CRITICS`.
      precision: the type of computation: "float32" or "bfloat16".
      platform: "cpu", "gpu" or "tpu"; determines how convolutions are computed.
      encoder: `UNET`, or a name in `ENCODERS`.
      freeze_encoder_norm: whether the encoder's batch statistics stay as they are.
      hints: whether the generator takes color hints.
      training_keys: the other keys of `config.model`, which concern training alone: `TRAINING_KEYS`.

    Raises:
      UserError: there is no such output, critic or encoder, or no hints for this output.
      TypeError: there are unknown keys.
    """
    if unknown := training_keys.keys() - TRAINING_KEYS:
        raise TypeError(f"config.model has unknown keys: {', '.join(sorted(unknown))}")
    encoders = (UNET, *ENCODERS)
    for key, value, known in (
        ("output", output, OUTPUT_CHANNELS),
        ("critic", critic, CRITICS),
        ("encoder", encoder, encoders),
    ):
        if value not in known:
            raise UserError(f"config.model.{key} is {value!r} but must be one of {', '.join(known)}")
    if hints and output != "chroma":
        raise UserError("config.model.hints needs config.model.output='chroma': a hint has no brightness")
    sizes: dict[str, Any] = {"image_size": image_size, "width": width, "max_width": max_width}
    options: dict[str, Any] = {"dtype": jnp.dtype(precision), "platform": platform}
    generator: Generator = UNet(**sizes, output=output, **options, takes_hints=hints)
    if encoder != UNET:
        generator = EncoderUNet(
            **sizes,
            output=output,
            **options,
            takes_hints=hints,
            create_encoder=ENCODERS[encoder],
            frozen_norm=freeze_encoder_norm,
        )
    return generator, CRITICS[critic](width=width, max_width=max_width, **options)


def create_generator(config: Mapping[str, Any], platform: str, source: str) -> Generator:
    """The generator of a saved config, without parameters.

    Args:
      config: with the keys "image_size", "model" and "precision".
      platform: see `create_networks`.
      source: where the config comes from, for messages.

    Raises:
      UserError: it has other keys or values.
    """
    try:
        generator, _ = create_networks(
            config["image_size"], **config["model"], precision=config["precision"], platform=platform
        )
    except KeyError as error:
        raise UserError(f"{source} lacks {error}; is it of a run of colorgan?") from error
    except (TypeError, ValueError, UserError) as error:
        raise UserError(f"{source} is of another version of colorgan: {error}") from error
    return generator


def abstract_variables(generator: Generator, sharding: Sharding) -> Variables:
    """Shapes, types and sharding of the generator's variables, without any memory: the target of a restore."""
    gray = jax.ShapeDtypeStruct((1, generator.image_size, generator.image_size, 1), jnp.float32)
    return abstract_arrays(jax.eval_shape(generator.init, jax.random.key(0), gray), sharding)


def check_shapes(variables: Mapping[str, Any], expected: Mapping[str, Any], source: str) -> None:
    """Raises UserError, with the name of the first difference, if variables do not have the expected names and shapes.

    Args:
      variables: arrays or shapes.
      expected: the same for the network that gets them.
      source: where the variables come from, for the message.
    """
    found, wanted = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}
        for leaves in map(jax.tree_util.tree_leaves_with_path, (dict(variables), dict(expected)))
    )
    for name in sorted(found.keys() | wanted.keys()):
        if name not in wanted:
            raise UserError(f"{source}: the network has no {name}")
        if name not in found:
            raise UserError(f"{source}: it has no {name}")
        if found[name] != wanted[name]:
            raise UserError(f"{source}: {name} has the shape {found[name]}, but the network needs {wanted[name]}")


def num_values(variables: Variables) -> int:
    """The number of values in a network, BatchNorm's statistics included."""
    return sum(x.size for x in jax.tree.leaves(variables))
