"""One step of training: a pure function of arrays, to be jitted."""

import functools
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import optax
from jax.experimental.layout import Layout, with_layout_constraint
from jax.sharding import Mesh

from colorgan import color, sharding
from colorgan.data import degradation
from colorgan.models.layers import MOMENTUM, decay_warmup
from colorgan.run.pending_metrics import StepMetrics
from colorgan.training import simulated_hints
from colorgan.training.hyperparameters import Hyperparameters
from colorgan.training.losses import ADVERSARIAL, FEATURE, LOSSES
from colorgan.training.losses.adversarial import critic_loss, generator_adversarial_loss
from colorgan.training.losses.feature import feature_loss
from colorgan.training.state import GAN, GANState, NetworkState, random_stream

if TYPE_CHECKING:
    from colorgan.models.build import Variables
    from colorgan.models.critic import Critic


def train_step(
    state: GANState,
    images: jax.Array,
    hyperparameters: Hyperparameters,
    *,
    gan: GAN,
    mesh: Mesh,
    skip_nonfinite: bool = False,
) -> tuple[GANState, StepMetrics]:
    """Updates both networks, from one forward pass of the generator.

    Args:
      state: donate it.
      images: uint8 [B,L,L,3], L at least the generator's image size.
      hyperparameters: arrays; their key and `state.step` are the source of all random numbers.
      gan: the networks and how they are updated.
      mesh: the devices, each of which updates its share of the parameters.
      skip_nonfinite: whether a step with a metric that is not finite (a loss, a norm of gradients) changes only the
        step number.

    Returns:
      The next state and the metrics of this step.
    """
    key = jax.random.wrap_key_data(jnp.asarray(hyperparameters.key_data))
    augment_rng, dropout_rng = jax.random.split(jax.random.fold_in(random_stream(key, "steps"), state.step))
    real = color.to_signed(crop_and_flip(images, gan.generator.image_size, augment_rng))  # [B,S,S,3]
    if hyperparameters.degrade is not None:
        rng = jax.random.fold_in(random_stream(key, "degradation"), state.step)
        real = degradation.degrade_some(real, rng, jnp.asarray(hyperparameters.degrade))
    hints = None
    if gan.generator.takes_hints:
        rng = jax.random.fold_in(random_stream(key, "hints"), state.step)
        real, hints = simulated_hints.simulate(real, rng)
    gray = color.luma(real)  # [B,S,S,1]
    momentum = decay_warmup(MOMENTUM, state.step)
    weights = hyperparameters.loss_weights
    is_adversarial = ADVERSARIAL in weights

    critic_variables = state.critic.variables | {"params": sharding.gather(mesh, state.critic.params)}

    def generator_loss_fn(params: optax.Params) -> tuple[jax.Array, Any]:
        params = {name: jax.lax.stop_gradient(p) if name in gan.frozen else p for name, p in params.items()}
        fake, updated = gan.generator.apply(
            {"params": sharding.gather(mesh, params, gan.generator.dtype), "batch_stats": state.generator.batch_stats},
            gray,
            training=True,
            momentum=momentum,
            hints=hints,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_rng},
        )
        values = {name: LOSSES[name](real, fake) for name in weights if name in LOSSES}
        if gan.feature_encoder:
            values[FEATURE] = feature_loss(gan.feature_encoder, state.feature_encoder, real, fake)
        if is_adversarial:
            logits_fake, _ = _apply_critic(gan.critic, critic_variables, gray, fake, momentum)
            values = {ADVERSARIAL: generator_adversarial_loss(logits_fake)} | values
        loss = sum(weights[name] * value for name, value in values.items())
        return jnp.asarray(loss), (fake, updated.get("batch_stats", {}), values)

    def critic_loss_fn(params: optax.Params, fake: jax.Array) -> tuple[jax.Array, Any]:
        # The fake image first: the generator's loss has the same pass, and XLA computes it once.
        variables = state.critic.variables | {"params": sharding.gather(mesh, params)}
        logits_fake, batch_stats = _apply_critic(gan.critic, variables, gray, fake, momentum)
        variables |= {"batch_stats": batch_stats}
        logits_real, batch_stats = _apply_critic(gan.critic, variables, gray, real, momentum)
        return critic_loss(logits_real, logits_fake), (logits_real, logits_fake, batch_stats)

    (generator_loss, aux), generator_grads = jax.value_and_grad(generator_loss_fn, has_aux=True)(state.generator.params)
    fake, generator_stats, generator_losses = aux
    generator_grads = _in_layout_of_parameters(generator_grads, mesh)
    generator_rate = gan.schedule(hyperparameters.generator_rate, state.step, hyperparameters.num_steps)
    generator = _update(state.generator, generator_grads, generator_stats, gan.generator_optimizer, generator_rate)
    step_metrics = {
        "train/generator/loss": generator_loss,
        **{f"train/generator/{name}": value for name, value in generator_losses.items()},
        "train/generator/gradient_norm": optax.tree.norm(generator_grads),
        "train/generator/learning_rate": generator_rate,
    }
    critic = state.critic
    if is_adversarial:
        critic_value_and_grad = jax.value_and_grad(critic_loss_fn, has_aux=True)
        (loss_of_critic, aux), critic_grads = critic_value_and_grad(state.critic.params, fake)
        logits_real, logits_fake, critic_stats = aux
        critic_grads = _in_layout_of_parameters(critic_grads, mesh)
        critic_rate = gan.schedule(hyperparameters.critic_rate, state.step, hyperparameters.num_steps)
        critic = _update(state.critic, critic_grads, critic_stats, gan.critic_optimizer, critic_rate)
        step_metrics |= {
            "train/critic/loss": loss_of_critic,
            "train/critic/probability_real": jax.nn.sigmoid(logits_real).mean(),
            "train/critic/probability_fake": jax.nn.sigmoid(logits_fake).mean(),
            "train/critic/gradient_norm": optax.tree.norm(critic_grads),
            "train/critic/learning_rate": critic_rate,
        }
    ema_rate = 1 - decay_warmup(jnp.asarray(hyperparameters.ema_decay), state.step)
    ema = optax.incremental_update(generator.variables, state.generator_ema, ema_rate)
    after = GANState(state.step + 1, generator, critic, ema, state.feature_encoder)
    metrics = StepMetrics.create(step_metrics)
    if skip_nonfinite:
        is_finite = jnp.isfinite(metrics.values).all()
        skipped = state.replace(step=state.step + 1)
        after = jax.tree.map(lambda new, old: jnp.where(is_finite, new, old), after, skipped)
    return after, metrics


def crop_and_flip(images: jax.Array, size: int, rng: jax.Array) -> jax.Array:
    """A random square of every image, mirrored with probability one half: [B,L,L,3] to [B,size,size,3]."""
    batch, height, width, channels = images.shape
    crop_rng, flip_rng = jax.random.split(rng)
    if height > size:
        corners = jax.random.randint(crop_rng, (batch, 2), 0, jnp.array([height, width]) - size + 1)
        images = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(image, (*corner, 0), (size, size, channels)))(
            images, corners
        )
    flip = jax.random.bernoulli(flip_rng, 0.5, (batch, 1, 1, 1))
    return jnp.where(flip, images[:, :, ::-1], images)


def _apply_critic(
    critic: "Critic", variables: "Variables", gray: jax.Array, image: jax.Array, momentum: jax.Array
) -> tuple[jax.Array, "Variables"]:
    """The critic in training: logits and its next running averages."""
    logits, updated = critic.apply(variables, gray, image, training=True, momentum=momentum, mutable=["batch_stats"])
    return logits, updated.get("batch_stats", {})


def _in_layout_of_parameters(grads: optax.Updates, mesh: Mesh) -> optax.Updates:
    """The gradients of kernels in the memory layout of the kernels.

    Otherwise XLA copies kernels, moments and average to the layout in which a convolution writes the gradient.
    """

    def constrain(gradient: jax.Array) -> jax.Array:
        if gradient.ndim != 4 or sharding.platform_of(mesh) != "gpu":  # for TPUs `layers` does it
            return gradient
        constrain_share = functools.partial(with_layout_constraint, layouts=Layout(major_to_minor=(0, 1, 2, 3)))
        if mesh.size == 1:
            return constrain_share(gradient)
        spec = sharding.spread(mesh, gradient).spec  # each device its own share: XLA cannot split the constraint
        return jax.shard_map(constrain_share, mesh=mesh, in_specs=spec, out_specs=spec)(gradient)

    return jax.tree.map(constrain, grads)


def _update(
    network: NetworkState,
    grads: optax.Updates,
    batch_stats: "Variables",
    optimizer: optax.GradientTransformation,
    rate: jax.Array,
) -> NetworkState:
    updates, opt_state = optimizer.update(grads, network.opt_state, network.params)
    updates = optax.tree.scale(rate, updates)
    return NetworkState(optax.apply_updates(network.params, updates), batch_stats, opt_state)
