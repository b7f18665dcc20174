"""Networks by the names that a config has for them."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from colorgan.errors import UserError
from colorgan.models.convolutions import lowering_for
from colorgan.models.critic import Critic, DenseCritic, PatchCritic
from colorgan.models.generator import OUTPUT_CHANNELS, Generator
from colorgan.sharding import abstract_arrays

Variables = dict[str, Any]  # {"params": ..., "batch_stats": ...}, as Flax modules take them

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
) -> tuple[Generator, Critic]:
    """Generator and critic for square images of `image_size` pixels, without parameters.

    Args:
      image_size: a power of two, at least 32.
      width: channels of the first layers.
      max_width: the maximum number of channels of a layer, and the length of the latent vector.
      output: what the generator's last layer predicts: "rgb" or "chroma".
      critic: a name in `CRITICS`.
      precision: the type of computation: "float32" or "bfloat16".
      platform: "cpu", "gpu" or "tpu"; determines how convolutions are computed.

    Raises:
      UserError: there is no such output or critic.
    """
    for key, value, known in (("output", output, OUTPUT_CHANNELS), ("critic", critic, CRITICS)):
        if value not in known:
            raise UserError(f"config.model.{key} is {value!r} but must be one of {', '.join(known)}")
    dtype, lowering = jnp.dtype(precision), lowering_for(platform)
    generator = Generator(image_size, width, max_width, output, dtype, lowering)
    return generator, CRITICS[critic](width=width, max_width=max_width, dtype=dtype, lowering=lowering)


def abstract_variables(generator: Generator, sharding: Sharding) -> Variables:
    """Shapes, types and sharding of the generator's variables, without any memory: the target of a restore."""
    gray = jax.ShapeDtypeStruct((1, generator.image_size, generator.image_size, 1), jnp.float32)
    return abstract_arrays(jax.eval_shape(generator.init, jax.random.key(0), gray), sharding)


def num_values(variables: Variables) -> int:
    """The number of values in a network, BatchNorm's statistics included."""
    return sum(x.size for x in jax.tree.leaves(variables))
