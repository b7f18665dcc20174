"""The grid of samples: one row an image, Input | Prediction | Ground truth."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image, ImageDraw, ImageFont

from colorgan import sharding
from colorgan.data import pipeline
from colorgan.train_state import GAN, GANState
from colorgan.train_step import sample_step

TITLES = ("Input", "Prediction", "Ground truth")
MIN_CELL = 160  # pixels; smaller images are magnified by whole factors
_MARGIN, _CAPTION_HEIGHT, _TITLE_HEIGHT = 8, 20, 28


def draw_grid(
    gray: np.ndarray,
    fake: np.ndarray,
    real: np.ndarray,
    probability_fake: Sequence[float],
    probability_real: Sequence[float],
) -> Image.Image:
    """The grid as an RGB image.

    Args:
      gray, fake, real: uint8 [N,S,S,3].
      probability_fake, probability_real: the critic's probability, 0 to 1, that prediction and truth are true.
    """
    size = real.shape[1]
    factor = max(1, -(-MIN_CELL // size))
    cell = size * factor
    row_height = cell + _CAPTION_HEIGHT + _MARGIN
    sheet = Image.new("RGB", (3 * (cell + _MARGIN) + _MARGIN, _TITLE_HEIGHT + len(real) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    title_font, caption_font = ImageFont.load_default(16), ImageFont.load_default(13)
    centers = [_MARGIN + column * (cell + _MARGIN) + cell // 2 for column in range(3)]
    for title, center in zip(TITLES, centers, strict=True):
        draw.text((center, _TITLE_HEIGHT // 2), title, "black", title_font, anchor="mm")
    for row in range(len(real)):
        top = _TITLE_HEIGHT + row * row_height
        captions = ("", f"true: {probability_fake[row]:.1%}", f"true: {probability_real[row]:.1%}")
        for pixels, caption, center in zip((gray, fake, real), captions, centers, strict=True):
            image = Image.fromarray(pixels[row]).resize((cell, cell), Image.Resampling.NEAREST)
            sheet.paste(image, (center - cell // 2, top))
            draw.text((center, top + cell + _CAPTION_HEIGHT // 2), caption, "black", caption_font, anchor="mm")
    return sheet


def create_sampler(
    gan: GAN, mesh: Mesh, images: pipeline.Images, num_samples: int
) -> Callable[[GANState], Image.Image]:
    """A function from a state to the grid of `num_samples` images, evenly spaced so that all folders show."""
    indices = np.linspace(0, len(images), min(num_samples, len(images)), endpoint=False, dtype=int)
    real = np.stack([images[int(index)]["image"] for index in indices])
    real_on_devices = jax.device_put(real, sharding.replicated(mesh))
    sample_step_fn = jax.jit(
        functools.partial(sample_step, generator=gan.generator, critic=gan.critic),
        out_shardings=sharding.replicated(mesh),
    )

    def draw_samples(state: GANState) -> Image.Image:
        outputs: Any = sample_step_fn(state.generator_ema, state.critic.variables, real_on_devices)
        gray, fake, probability_fake, probability_real = jax.device_get(outputs)
        gray, fake = gray.astype(np.uint8), fake.astype(np.uint8)
        return draw_grid(gray, fake, real, probability_fake, probability_real)

    return draw_samples
