"""One step of training and one of evaluation: pure functions of arrays, to be jitted."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from colorgan import color
from colorgan.evaluation import metrics
from colorgan.models import Critic, Generator
from colorgan.models.layers import MOMENTUM, young_decay
from colorgan.training import losses
from colorgan.training.state import GAN, GANState, NetworkState, Variables, random_stream

Metrics = dict[str, jax.Array]


def train_step(
    state: GANState,
    images: jax.Array,
    *,
    gan: GAN,
    seed: int,
    ema_decay: float,
    skip_nonfinite: bool = False,
) -> tuple[GANState, Metrics]:
    """Updates both networks at once, from one forward pass of the generator.

    Args:
      state: donate it.
      images: uint8 [B,L,L,3], L at least the generator's image size.
      gan: networks, how they are updated, and what they are trained for.
      seed: with `state.step` the source of all random numbers.
      ema_decay: of the generator's moving average, reached after about 10 / (1 - ema_decay) steps.
      skip_nonfinite: whether a step with a figure that is not finite (a loss, a norm of gradients) changes nothing
        but the step number.

    Returns:
      The next state and figures of this step, float32 scalars.
    """
    augment_rng, dropout_rng = jax.random.split(jax.random.fold_in(random_stream(seed, "steps"), state.step))
    real = color.to_signed(_crop_and_flip(images, gan.generator.image_size, augment_rng))  # [B,S,S,3]
    gray = color.luma(real)  # [B,S,S,1]
    objective = gan.objective
    momentum = young_decay(MOMENTUM, state.step)

    def generator_loss_fn(params: Any) -> tuple[jax.Array, Any]:
        fake, updated = gan.generator.apply(
            {"params": params, "batch_stats": state.generator.batch_stats},
            gray,
            training=True,
            momentum=momentum,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_rng},
        )
        logits_fake, _ = _judge(gan.critic, state.critic.variables, gray, fake, momentum)
        adversarial = losses.generator_adversarial_loss(logits_fake)
        l1 = losses.l1_loss(real, fake)
        loss = adversarial + objective.l1_weight * l1
        parts = {"adversarial": adversarial, "l1": l1}
        if objective.palette_weight:
            parts["palette"] = losses.palette_loss(real, fake)
            loss += objective.palette_weight * parts["palette"]
        if objective.histogram_weight:
            parts["histogram"] = losses.histogram_loss(real, fake)
            loss += objective.histogram_weight * parts["histogram"]
        return loss, (fake, updated["batch_stats"], parts)

    def critic_loss_fn(params: Any, fake: jax.Array) -> tuple[jax.Array, Any]:
        # The fake image first: its pass stands, the same, in the generator's loss, and XLA computes it once.
        variables = state.critic.variables | {"params": params}
        logits_fake, batch_stats = _judge(gan.critic, variables, gray, fake, momentum)
        logits_real, batch_stats = _judge(gan.critic, variables | {"batch_stats": batch_stats}, gray, real, momentum)
        loss = losses.critic_loss(logits_real, logits_fake)
        return loss, (logits_real, logits_fake, batch_stats)

    (generator_loss, aux), generator_grads = jax.value_and_grad(generator_loss_fn, has_aux=True)(state.generator.params)
    fake, generator_stats, generator_losses = aux
    (critic_loss, aux), critic_grads = jax.value_and_grad(critic_loss_fn, has_aux=True)(state.critic.params, fake)
    logits_real, logits_fake, critic_stats = aux

    generator_rate, critic_rate = (
        jnp.asarray(schedule(state.step)) for schedule in (gan.generator_schedule, gan.critic_schedule)
    )
    generator = _update(state.generator, generator_grads, generator_stats, gan.optimizer, generator_rate)
    critic = _update(state.critic, critic_grads, critic_stats, gan.optimizer, critic_rate)
    step_metrics = {
        "train/generator/loss": generator_loss,
        **{f"train/generator/{name}": value for name, value in generator_losses.items()},
        "train/generator/gradient_norm": optax.tree.norm(generator_grads),
        "train/generator/learning_rate": generator_rate,
        "train/critic/loss": critic_loss,
        "train/critic/probability_real": jax.nn.sigmoid(logits_real).mean(),
        "train/critic/probability_fake": jax.nn.sigmoid(logits_fake).mean(),
        "train/critic/gradient_norm": optax.tree.norm(critic_grads),
        "train/critic/learning_rate": critic_rate,
    }
    ema = _moving_average(state.generator_ema, generator.variables, state.step, ema_decay)
    after = GANState(state.step + 1, generator, critic, ema)
    if skip_nonfinite:
        finite = jnp.isfinite(jnp.stack(list(step_metrics.values()))).all()
        skipped = state.replace(step=state.step + 1)
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, skipped)
    return after, step_metrics


def predict(generator: Generator, variables: Variables, gray: jax.Array) -> jax.Array:
    """The generator as it colours: gray [B,S,S,1] in [-1,1] to RGB [B,S,S,3] in [-1,1]."""
    rgb: Any = generator.apply(variables, gray)
    return rgb


def eval_step(
    variables: Variables, images: jax.Array, *, generator: Generator
) -> tuple[jax.Array, dict[str, metrics.Figures]]:
    """Colours `images` and compares, image by image.

    Args:
      variables: the generator's, usually its moving average.
      images: uint8 [B,S,S,3] at the generator's image size.
      generator: the network.

    Returns:
      The predictions, [B,S,S,3] in 0..255, rounded, and the rows of `metrics.compare_rows`.
    """
    gray = color.luma(color.to_signed(images))
    prediction = color.to_pixels(predict(generator, variables, gray))
    gray_rgb = color.to_pixels(color.gray_to_rgb(gray))
    return prediction, metrics.compare_rows(images.astype(jnp.float32), prediction, gray_rgb)


def sum_step(variables: Variables, images: jax.Array, mask: jax.Array, *, generator: Generator) -> dict[str, Any]:
    """Sums of the rows of `eval_step` over the images where `mask` [B] is true, and their number as "count"."""
    _, rows = eval_step(variables, images, generator=generator)

    def masked_sum(value: jax.Array) -> jax.Array:
        return jnp.where(mask.reshape(-1, *[1] * (value.ndim - 1)), value, 0).sum(axis=0)

    return jax.tree.map(masked_sum, rows) | {"count": mask.sum()}


def sample_step(
    generator_variables: Variables,
    critic_variables: Variables,
    images: jax.Array,
    *,
    generator: Generator,
    critic: Critic,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """What a grid shows of uint8 images [B,S,S,3].

    Returns:
      Input and prediction, both [B,S,S,3] in 0..255, rounded; and the critic's probabilities [B] that the
      prediction and that the ground truth are true, means over its patches.
    """
    real = color.to_signed(images)
    gray = color.luma(real)
    fake = predict(generator, generator_variables, gray)
    logits_fake: Any = critic.apply(critic_variables, gray, fake)
    logits_real: Any = critic.apply(critic_variables, gray, real)
    probability_fake, probability_real = (
        jax.nn.sigmoid(logits).reshape(len(images), -1).mean(axis=1) for logits in (logits_fake, logits_real)
    )
    return color.to_pixels(color.gray_to_rgb(gray)), color.to_pixels(fake), probability_fake, probability_real


def _crop_and_flip(images: jax.Array, size: int, rng: jax.Array) -> jax.Array:
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


def _judge(
    critic: Critic, variables: Variables, gray: jax.Array, image: jax.Array, momentum: jax.Array
) -> tuple[jax.Array, Any]:
    """The critic in training: logits and its next running averages."""
    logits, updated = critic.apply(variables, gray, image, training=True, momentum=momentum, mutable=["batch_stats"])
    return logits, updated["batch_stats"]


def _update(
    network: NetworkState, grads: Any, batch_stats: Any, optimizer: optax.GradientTransformation, rate: jax.Array
) -> NetworkState:
    updates, opt_state = optimizer.update(grads, network.opt_state, network.params)
    updates = optax.tree.scale(rate, updates)
    return NetworkState(optax.apply_updates(network.params, updates), batch_stats, opt_state)


def _moving_average(average: Variables, variables: Variables, step: jax.Array, decay: float) -> Variables:
    """The average's next value."""
    decay_now = young_decay(decay, step)
    return jax.tree.map(lambda a, v: v + decay_now * (a - v), average, variables)
