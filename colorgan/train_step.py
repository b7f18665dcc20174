"""One step of training and one of evaluation: pure functions of arrays, to be jitted."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from colorgan import color, losses, metrics
from colorgan.models import Critic, Generator
from colorgan.train_state import GAN, GANState, NetworkState, Variables, random_stream

Metrics = dict[str, jax.Array]


def train_step(
    state: GANState,
    images: jax.Array,
    *,
    gan: GAN,
    seed: int,
    l1_weight: float,
    ema_decay: float,
    skip_nonfinite: bool = False,
) -> tuple[GANState, Metrics]:
    """Updates both networks at once, from one forward pass of the generator.

    Args:
      state: donate it.
      images: uint8 [B,L,L,3], L at least the generator's image size.
      gan: networks and optimisers.
      seed: with `state.step` the source of all random numbers.
      l1_weight: of the L1 loss, beside the adversarial loss of weight 1.
      ema_decay: of the generator's moving average, reached after about 10 / (1 - ema_decay) steps.
      skip_nonfinite: whether a step with a figure that is not finite (a loss, a norm of gradients) changes nothing
        but the step number.

    Returns:
      The next state and figures of this step, float32 scalars.
    """
    augment_rng, dropout_rng = jax.random.split(jax.random.fold_in(random_stream(seed, "steps"), state.step))
    real = color.to_signed(_crop_and_flip(images, gan.generator.image_size, augment_rng))  # [B,S,S,3]
    gray = color.luma(real)  # [B,S,S,1]
    critic_variables = state.critic.variables

    def generator_loss_fn(params: Any) -> tuple[jax.Array, Any]:
        fake, updated = gan.generator.apply(
            {"params": params, "batch_stats": state.generator.batch_stats},
            gray,
            training=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_rng},
        )
        logits_fake, _ = _judge(gan.critic, critic_variables, gray, fake)
        adversarial = losses.generator_adversarial_loss(logits_fake)
        l1 = losses.l1_loss(real, fake)
        return adversarial + l1_weight * l1, (fake, updated["batch_stats"], adversarial, l1)

    def critic_loss_fn(params: Any, fake: jax.Array) -> tuple[jax.Array, Any]:
        logits_real, batch_stats = _judge(gan.critic, critic_variables | {"params": params}, gray, real)
        variables = {"params": params, "batch_stats": batch_stats}
        logits_fake, batch_stats = _judge(gan.critic, variables, gray, fake)
        return losses.critic_loss(logits_real, logits_fake), (logits_real, logits_fake, batch_stats)

    # The critic's pass over the fake image stands in both losses; XLA computes it once.
    (generator_loss, aux), generator_grads = jax.value_and_grad(generator_loss_fn, has_aux=True)(state.generator.params)
    fake, generator_stats, adversarial, l1 = aux
    (critic_loss, aux), critic_grads = jax.value_and_grad(critic_loss_fn, has_aux=True)(state.critic.params, fake)
    logits_real, logits_fake, critic_stats = aux

    generator = _update(state.generator, generator_grads, generator_stats, gan.generator_optimizer)
    critic = _update(state.critic, critic_grads, critic_stats, gan.critic_optimizer)
    step_metrics = {
        "train/generator/loss": generator_loss,
        "train/generator/adversarial": adversarial,
        "train/generator/l1": l1,
        "train/generator/gradient_norm": optax.tree.norm(generator_grads),
        "train/generator/learning_rate": jnp.asarray(gan.generator_schedule(state.step)),
        "train/critic/loss": critic_loss,
        "train/critic/probability_real": jax.nn.sigmoid(logits_real).mean(),
        "train/critic/probability_fake": jax.nn.sigmoid(logits_fake).mean(),
        "train/critic/gradient_norm": optax.tree.norm(critic_grads),
        "train/critic/learning_rate": jnp.asarray(gan.critic_schedule(state.step)),
    }
    ema = _moving_average(state.generator_ema, generator.variables, state.step, ema_decay)
    after = GANState(state.step + 1, generator, critic, ema)
    if skip_nonfinite:
        finite = jnp.isfinite(jnp.stack(list(step_metrics.values()))).all()
        skipped = state.replace(step=state.step + 1)
        after = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, skipped)
    return after, step_metrics


def predict(generator: Generator, variables: Variables, gray: jax.Array) -> jax.Array:
    """The generator as it colours: gray [B,S,S,1] in [-1,1] to RGB [B,S,S,3] in (-1,1)."""
    rgb: Any = generator.apply(variables, gray)
    return rgb


def eval_step(variables: Variables, images: jax.Array, mask: jax.Array, *, generator: Generator) -> Metrics:
    """Colours `images` and compares: sums over the images where `mask` is true, which are to be divided by "count".

    Args:
      variables: the generator's, usually its moving average.
      images: uint8 [B,S,S,3] at the generator's image size.
      mask: bool [B], false for padding.
      generator: the network.

    Returns:
      Sums of the figures that `metrics` defines, for the prediction and for the gray image itself, and "count".
    """
    gray = color.luma(color.to_signed(images))
    real = images.astype(jnp.float32)
    fake = color.to_pixels(predict(generator, variables, gray))
    gray_rgb = color.to_pixels(color.gray_to_rgb(gray))
    values = {
        "psnr": metrics.psnr(real, fake),
        "ssim": metrics.ssim(real, fake),
        "colorfulness": metrics.colorfulness(fake),
        "true_colorfulness": metrics.colorfulness(real),
        "gray_psnr": metrics.psnr(real, gray_rgb),
        "gray_ssim": metrics.ssim(real, gray_rgb),
        "count": jnp.ones_like(mask, jnp.float32),
    }
    return {name: jnp.where(mask, value, 0.0).sum() for name, value in values.items()}


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
      prediction and that the ground truth are true.
    """
    real = color.to_signed(images)
    gray = color.luma(real)
    fake = predict(generator, generator_variables, gray)
    logits_fake: Any = critic.apply(critic_variables, gray, fake)
    logits_real: Any = critic.apply(critic_variables, gray, real)
    probability_fake, probability_real = jax.nn.sigmoid(logits_fake), jax.nn.sigmoid(logits_real)
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


def _judge(critic: Critic, variables: Variables, gray: jax.Array, image: jax.Array) -> tuple[jax.Array, Any]:
    """The critic in training: logits [B] and its next running averages."""
    logits, updated = critic.apply(variables, gray, image, training=True, mutable=["batch_stats"])
    return logits, updated["batch_stats"]


def _update(
    network: NetworkState, grads: Any, batch_stats: Any, optimizer: optax.GradientTransformation
) -> NetworkState:
    updates, opt_state = optimizer.update(grads, network.opt_state, network.params)
    return NetworkState(optax.apply_updates(network.params, updates), batch_stats, opt_state)


def _moving_average(average: Variables, variables: Variables, step: jax.Array, decay: float) -> Variables:
    """The average's next value; young averages forget faster, so that the initial values do not linger.

    The ramp (1 + step) / (10 + step) is that of TensorFlow's ExponentialMovingAverage with `num_updates`.
    """
    ramped = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda a, v: v + ramped * (a - v), average, variables)
