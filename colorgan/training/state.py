"""Everything that training changes, and how it comes into being."""

import dataclasses
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import Sharding

from colorgan.models import Critic, Generator
from colorgan.training.losses import Objective

Variables = dict[str, Any]  # {"params": ..., "batch_stats": ...}, as flax modules take them


@dataclasses.dataclass(frozen=True)
class GAN:
    """What stays the same through a run: the networks, how they are updated, learning rates by step, the objective."""

    generator: Generator
    critic: Critic
    optimizer: optax.GradientTransformation
    generator_schedule: optax.Schedule
    critic_schedule: optax.Schedule
    objective: Objective


class NetworkState(struct.PyTreeNode):
    """One network: parameters, running averages (BatchNorm's, and spectral norms), optimiser state."""

    params: Any
    batch_stats: Any
    opt_state: optax.OptState

    @property
    def variables(self) -> Variables:
        return {"params": self.params, "batch_stats": self.batch_stats}


class GANState(struct.PyTreeNode):
    """What a checkpoint holds.

    Attributes:
      step: number of finished steps, int32 scalar. The place in the data is step x batch size, and every random
        number follows from it and the seed, so neither needs saving apart.
      generator: the network that learns.
      critic: its judge.
      generator_ema: moving average of the generator's variables, statistics included; evaluates and colours.
    """

    step: jax.Array
    generator: NetworkState
    critic: NetworkState
    generator_ema: Variables


def random_stream(seed: int, purpose: str) -> jax.Array:
    """A random key for one purpose; other purposes of the same seed get unrelated ones."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def create_state(gan: GAN, seed: int, sharding: Sharding) -> GANState:
    """The state before the first step, created where `sharding` says."""

    def create() -> GANState:
        generator_rng, critic_rng = jax.random.split(random_stream(seed, "initial values"))
        size = gan.generator.image_size
        gray, color = jnp.zeros((1, size, size, 1)), jnp.zeros((1, size, size, 3))
        generator = _create_network(gan.generator.init(generator_rng, gray), gan.optimizer)
        critic = _create_network(gan.critic.init(critic_rng, gray, color), gan.optimizer)
        return GANState(jnp.zeros((), jnp.int32), generator, critic, generator.variables)

    return jax.jit(create, out_shardings=sharding)()


def _create_network(variables: Any, optimizer: optax.GradientTransformation) -> NetworkState:
    params, batch_stats = variables["params"], variables["batch_stats"]
    return NetworkState(params, batch_stats, optimizer.init(params))


def abstract_state(gan: GAN, sharding: Sharding) -> GANState:
    """Shapes, types and sharding of the state, without any memory: what a checkpoint is restored into."""
    return _with_sharding(jax.eval_shape(lambda: create_state(gan, 0, sharding)), sharding)


def abstract_variables(generator: Generator, sharding: Sharding) -> Variables:
    """The same for the variables of the generator alone."""
    gray = jax.ShapeDtypeStruct((1, generator.image_size, generator.image_size, 1), jnp.float32)
    return _with_sharding(jax.eval_shape(generator.init, jax.random.key(0), gray), sharding)


def _with_sharding(shapes: Any, sharding: Sharding) -> Any:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)


def num_values(variables: Variables) -> int:
    """How many numbers a network holds, BatchNorm's statistics included."""
    return sum(x.size for x in jax.tree.leaves(variables))
