"""Draws a grid of samples: one row an image, Input | Prediction | Ground truth."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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
