"""Sample grids of a run: input, prediction and ground truth, with the probabilities that the critic gives."""

import functools
from collections.abc import Sequence
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


class Sampler:
    """Draws grids of validation images: input, prediction and ground truth. All processes call it.

    Args:
      gan: the networks.
      mesh: the devices.
      images: validation images.
      num_samples: images in a grid, at most all.
    """

    def __init__(self, gan: GAN, mesh: Mesh, images: pipeline.Images, num_samples: int) -> None:
        self._images, self._mesh = images, mesh
        self._has_critic = ADVERSARIAL in gan.losses  # else it is not trained
        self.num_samples = min(num_samples, len(images))
        step = functools.partial(sample_step, generator=gan.generator, critic=gan.critic)
        self._step_fn = sharding.jit(step, mesh, ("any", "any", "any"), "replicated")
        # Evenly spaced, so that all folders are included.
        self._real = self._read(np.linspace(0, len(images), self.num_samples, endpoint=False, dtype=int).tolist())
        self._real_on_devices = jax.device_put(self._real, sharding.replicated(mesh))

    def _read(self, indices: Sequence[int]) -> np.ndarray:
        return np.stack([self._images[index].image for index in indices])

    def draw(self, state: GANState) -> Image.Image:
        """The grid of the same images each time, with the critic's probabilities if it is trained."""
        gray, fake, probability_fake, probability_real = self._predict(state, self._real_on_devices)
        if not self._has_critic:
            return image_grid.draw_grid(gray, fake, list(self._real), [("", "", "")] * len(self._real))
        probabilities = zip(probability_fake, probability_real, strict=True)
        captions = [("", f"real: {on_fake:.1%}", f"real: {on_real:.1%}") for on_fake, on_real in probabilities]
        return image_grid.draw_grid(gray, fake, list(self._real), captions, HEADING)

    def draw_images(self, state: GANState, indices: Sequence[int], captions: Sequence[Sequence[str]]) -> Image.Image:
        """The grid of chosen images, at most `num_samples`, with the texts below each."""
        filled = [*indices, *[indices[-1]] * (self.num_samples - len(indices))]  # the program has one size
        real = self._read(filled)
        gray, fake, _, _ = self._predict(state, jax.device_put(real, sharding.replicated(self._mesh)))
        number = len(indices)
        return image_grid.draw_grid(gray[:number], fake[:number], list(real[:number]), captions)

    def _predict(self, state: GANState, real: jax.Array) -> tuple[list[np.ndarray], list[np.ndarray], Any, Any]:
        outputs: Any = self._step_fn(state.generator_ema, state.critic.variables, real)
        gray, fake, probability_fake, probability_real = jax.device_get(outputs)
        return list(gray.astype(np.uint8)), list(fake.astype(np.uint8)), probability_fake, probability_real
