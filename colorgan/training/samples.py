"""Sample grids of a run: input, prediction and ground truth, with the probabilities that the critic gives."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image

from colorgan import color, sharding
from colorgan.data import pipeline
from colorgan.evaluation import image_grid
from colorgan.models.build import Variables
from colorgan.models.critic import Critic
from colorgan.models.generator import Generator, predict
from colorgan.training.losses import ADVERSARIAL
from colorgan.training.state import GAN, GANState

HEADING = "Percentages: the critic's probability that the image is real; near 50% where it cannot tell."


def sample_step(
    generator_variables: Variables,
    critic_variables: Variables,
    images: jax.Array,
    *,
    generator: Generator,
    critic: Critic,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """The content of a grid of uint8 images [B,S,S,3].

    Returns:
      Input and prediction, both [B,S,S,3] in 0..255, rounded; and the critic's probabilities [B] that the prediction
      and that the ground truth are real, means over its patches.
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


def create_sampler(
    gan: GAN, mesh: Mesh, images: pipeline.Images, num_samples: int
) -> Callable[[GANState], Image.Image]:
    """A function from a state to the grid of `num_samples` images, evenly spaced so that all folders are included."""
    indices = np.linspace(0, len(images), min(num_samples, len(images)), endpoint=False, dtype=int)
    real = np.stack([images[int(index)].image for index in indices])
    real_on_devices = jax.device_put(real, sharding.replicated(mesh))
    step = functools.partial(sample_step, generator=gan.generator, critic=gan.critic)
    sample_step_fn = sharding.jit(step, mesh, ("any", "any", "any"), "replicated")

    def draw_samples(state: GANState) -> Image.Image:
        outputs: Any = sample_step_fn(state.generator_ema, state.critic.variables, real_on_devices)
        gray, fake, probability_fake, probability_real = jax.device_get(outputs)
        gray, fake = gray.astype(np.uint8), fake.astype(np.uint8)
        probabilities = zip(probability_fake, probability_real, strict=True)
        captions = [("", f"real: {on_fake:.1%}", f"real: {on_real:.1%}") for on_fake, on_real in probabilities]
        if ADVERSARIAL not in gan.losses:  # the critic is not trained
            return image_grid.draw_grid(list(gray), list(fake), list(real), [("", "", "")] * len(real))
        return image_grid.draw_grid(list(gray), list(fake), list(real), captions, HEADING)

    return draw_samples
