"""The training state: everything that a step changes, and how it is created."""

import dataclasses
import zlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct, traverse_util
from jax.sharding import Mesh

from colorgan.sharding import abstract_arrays, is_spread, mesh_of, replicated, spread

if TYPE_CHECKING:
    from colorgan.models.build import Variables
    from colorgan.models.critic import Critic
    from colorgan.models.encoders.encoder import Encoder
    from colorgan.models.generator import Generator
    from colorgan.training.optimizer import Schedule

# The items of a checkpoint. The average is separate, so that inference reads an eighth of the whole.
NETWORKS = ("generator", "critic", "generator_ema", "feature_encoder")


@dataclasses.dataclass(frozen=True)
class GAN:
    """What stays the same during a run.

    Attributes:
      generator, critic: the networks.
      generator_optimizer, critic_optimizer: at learning rate 1.
      schedule: of the learning rate, see `optimizer.SCHEDULES`.
      losses: names of the generator's losses. Without `losses.ADVERSARIAL` the critic is not trained.
      feature_encoder: of the feature loss; None without it.
      frozen: modules of the generator that are not trained.
    """

    generator: "Generator"
    critic: "Critic"
    generator_optimizer: optax.GradientTransformation
    critic_optimizer: optax.GradientTransformation
    schedule: "Schedule"
    losses: Collection[str]
    feature_encoder: "Encoder | None" = None
    frozen: Collection[str] = ()


class NetworkState(struct.PyTreeNode):
    """One network: parameters, running averages (BatchNorm's and spectral norms), optimizer state."""

    params: optax.Params
    batch_stats: "Variables"
    opt_state: optax.OptState

    @property
    def variables(self) -> "Variables":
        """Parameters and running averages, as Flax modules take them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


class GANState(struct.PyTreeNode):
    """The arrays of a run. A checkpoint has `networks()` as items, `step` as its name, and metadata of the loop.

    Attributes:
      step: the number of finished steps, int32 scalar. The position in the data is step x batch size, and every random
        number follows from the step and the seed, so neither is saved separately.
      generator: the generator in training.
      critic: the critic in training.
      generator_ema: moving average of the generator's variables and statistics; for validation and inference.
      feature_encoder: the weights of the feature loss, which stay the same; empty without it.
    """

    step: jax.Array
    generator: NetworkState
    critic: NetworkState
    generator_ema: "Variables"
    feature_encoder: "Variables" = struct.field(default_factory=dict)

    def networks(self) -> dict[str, Any]:
        """The items of a checkpoint by name: `NETWORKS`, without those that are empty."""
        networks = {name: getattr(self, name) for name in NETWORKS}
        return {name: network for name, network in networks.items() if network}


def key_data(seed: int) -> np.ndarray:
    """The random key of a seed as an argument of compiled programs: uint32 [2], for `jax.random.wrap_key_data`."""
    with jax.ensure_compile_time_eval():
        return np.asarray(jax.random.key_data(jax.random.key(seed)))


def random_stream(key: jax.Array, purpose: str) -> jax.Array:
    """A random key for one purpose, from the key of the seed; keys for other purposes are independent."""
    return jax.random.fold_in(key, zlib.crc32(purpose.encode()))


def state_shardings(gan: GAN, mesh: Mesh) -> Any:
    """How the state of a run is placed: parameters, moments and average are spread, see `sharding.spread`.

    Each device updates its share of the parameters, and gathers all in the type of computation for the next step. The
    weights of the feature loss, which are not updated, are replicated. One sharding for all where nothing is spread.
    """
    if not is_spread(mesh):
        return replicated(mesh)
    state = abstract_state(gan, replicated(mesh))
    feature_encoder = jax.tree.map(lambda _: replicated(mesh), state.feature_encoder)
    shardings: GANState = spread(mesh, state)
    return shardings.replace(feature_encoder=feature_encoder)


def create_state(gan: GAN, seed: int, shardings: Any, initial: Mapping[str, "Variables"] | None = None) -> GANState:
    """The state before the first step.

    Args:
      gan: the networks.
      seed: of the random initial values.
      shardings: one for all arrays, or `state_shardings`.
      initial: variables that are not random, the same in all processes, by network: all of "generator", or without
        those of hints, or only those of its encoder; "critic"; and "feature_encoder".
    """

    def create(data: np.ndarray, initial: dict[str, "Variables"]) -> GANState:
        key = jax.random.wrap_key_data(jnp.asarray(data))
        generator_rng, critic_rng = jax.random.split(random_stream(key, "initial values"))
        size = gan.generator.image_size
        gray, color = jnp.zeros((1, size, size, 1)), jnp.zeros((1, size, size, 3))
        random = {
            "generator": gan.generator.init(generator_rng, gray),
            "critic": gan.critic.init(critic_rng, gray, color),
        }
        generator, critic = (
            _create_network(_merge(random[name], initial.get(name, {})), optimizer)
            for name, optimizer in (("generator", gan.generator_optimizer), ("critic", gan.critic_optimizer))
        )
        feature_encoder: Any = initial.get("feature_encoder", {})
        if gan.feature_encoder and not feature_encoder:  # of a program that is not trained to an end
            feature_encoder = gan.feature_encoder.init(generator_rng, color)
        return GANState(jnp.zeros((), jnp.int32), generator, critic, generator.variables, feature_encoder)

    inputs = replicated(mesh_of(shardings)) if shardings else None
    return jax.jit(create, in_shardings=inputs, out_shardings=shardings)(key_data(seed), dict(initial or {}))


def _merge(variables: Mapping[str, Any], initial: Mapping[str, Any]) -> dict[str, Any]:
    """`variables` with the arrays of `initial` in place of theirs."""
    flat = traverse_util.flatten_dict(dict(variables)) | traverse_util.flatten_dict(dict(initial))
    merged: dict[str, Any] = traverse_util.unflatten_dict(flat)
    return merged


def _create_network(variables: Mapping[str, Any], optimizer: optax.GradientTransformation) -> NetworkState:
    params, batch_stats = variables["params"], variables.get("batch_stats", {})
    return NetworkState(params, batch_stats, optimizer.init(params))


def abstract_state(gan: GAN, shardings: Any) -> GANState:
    """Shapes, types and shardings (as for `create_state`) of the state, without any memory: the target of a restore."""
    return abstract_arrays(jax.eval_shape(lambda: create_state(gan, 0, None)), shardings)
