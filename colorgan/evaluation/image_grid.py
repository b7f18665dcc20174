"""Grids of images: one row an image, Input | Prediction | Ground truth."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image, ImageDraw, ImageFont

from colorgan import sharding
from colorgan.data import pipeline
from colorgan.training.state import GAN, GANState
from colorgan.training.step import sample_step

TITLES = ("Input", "Prediction", "Ground truth")
MIN_CELL = 160  # pixels; smaller images are magnified by whole factors
_MARGIN, _CAPTION_HEIGHT, _TITLE_HEIGHT = 8, 20, 28


def draw_grid(
    gray: Sequence[np.ndarray],
    fake: Sequence[np.ndarray],
    real: Sequence[np.ndarray],
    captions: Sequence[Sequence[str]],
    heading: str = "",
) -> Image.Image:
    """The grid as an RGB image.

    Args:
      gray, fake, real: N images each, uint8 [H,W,3]; the largest side of all fills a cell.
      captions: for each row the texts below its three images.
      heading: a line above all.
    """
    size = max(max(image.shape) for image in real)
    factor = max(1, -(-MIN_CELL // size))
    cell = size * factor
    row_height = cell + _CAPTION_HEIGHT + _MARGIN
    heading_height = _TITLE_HEIGHT if heading else 0
    first = heading_height + _TITLE_HEIGHT
    sheet = Image.new("RGB", (3 * (cell + _MARGIN) + _MARGIN, first + len(real) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    title_font, caption_font = ImageFont.load_default(16), ImageFont.load_default(13)
    draw.text((_MARGIN, heading_height // 2), heading, "black", caption_font, anchor="lm")
    centers = [_MARGIN + column * (cell + _MARGIN) + cell // 2 for column in range(3)]
    for title, center in zip(TITLES, centers, strict=True):
        draw.text((center, heading_height + _TITLE_HEIGHT // 2), title, "black", title_font, anchor="mm")
    for row, images in enumerate(zip(gray, fake, real, strict=True)):
        top = first + row * row_height
        for pixels, caption, center in zip(images, captions[row], centers, strict=True):
            height, width = (factor * side for side in pixels.shape[:2])
            image = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(image, (center - width // 2, top + (cell - height) // 2))
            draw.text((center, top + cell + _CAPTION_HEIGHT // 2), caption, "black", caption_font, anchor="mm")
    return sheet


def create_sampler(
    gan: GAN, mesh: Mesh, images: pipeline.Images, num_samples: int
) -> Callable[[GANState], Image.Image]:
    """A function from a state to the grid of `num_samples` images, evenly spaced so that all folders show."""
    indices = np.linspace(0, len(images), min(num_samples, len(images)), endpoint=False, dtype=int)
    real = np.stack([images[int(index)].image for index in indices])
    real_on_devices = jax.device_put(real, sharding.replicated(mesh))
    sample_step_fn = jax.jit(
        functools.partial(sample_step, generator=gan.generator, critic=gan.critic),
        out_shardings=sharding.replicated(mesh),
    )

    def draw_samples(state: GANState) -> Image.Image:
        outputs: Any = sample_step_fn(state.generator_ema, state.critic.variables, real_on_devices)
        gray, fake, probability_fake, probability_real = jax.device_get(outputs)
        gray, fake = gray.astype(np.uint8), fake.astype(np.uint8)
        probabilities = zip(probability_fake, probability_real, strict=True)
        captions = [("", f"true: {on_fake:.1%}", f"true: {on_real:.1%}") for on_fake, on_real in probabilities]
        return draw_grid(list(gray), list(fake), list(real), captions)

    return draw_samples
