"""The two networks. Nothing outside this folder imports flax.linen."""

import jax.numpy as jnp

from colorgan.models.convolutions import lowering_for
from colorgan.models.critic import Critic
from colorgan.models.generator import Generator

__all__ = ["Critic", "Generator", "create_networks"]


def create_networks(
    image_size: int,
    width: int,
    max_width: int,
    output: str,
    critic: str,
    precision: str,
    platform: str,
) -> tuple[Generator, Critic]:
    """Generator and critic for square images of `image_size` pixels, without parameters yet.

    Args:
      image_size: a power of two of at least 32.
      width: channels of the first layers.
      max_width: the most channels of a layer, and the length of the latent vector.
      output: "rgb" or "chroma", what the generator's last layer makes.
      critic: "dense" or "patch", what the critic judges.
      precision: "float32" or "bfloat16", what they compute in.
      platform: "cpu", "gpu" or "tpu", which decides how convolutions are computed.
    """
    dtype, lowering = jnp.dtype(precision), lowering_for(platform)
    generator = Generator(image_size, width, max_width, output, dtype, lowering)
    return generator, Critic(width, max_width, critic, dtype, lowering)
