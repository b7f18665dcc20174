"""Grids of images: one row for each image, Input | Prediction | Ground truth."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TITLES = ("Input", "Prediction", "Ground truth")
MIN_CELL = 160  # pixels; smaller images are enlarged by whole factors
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
      gray: N input images, uint8 [H,W,3].
      fake: N predictions.
      real: N ground truths; the longest side of all determines the size of a cell.
      captions: for each row the texts below its three images.
      heading: a line above the grid.
    """
    size = max(max(image.shape) for image in real)
    factor = max(1, -(-MIN_CELL // size))
    cell = size * factor
    row_height = cell + _CAPTION_HEIGHT + _MARGIN
    heading_height = _TITLE_HEIGHT if heading else 0
    first = heading_height + _TITLE_HEIGHT
    sheet = Image.new("RGB", (3 * (cell + _MARGIN) + _MARGIN, first + len(real) * row_height), "white")
    draw = ImageDraw.Draw(sheet)
    title_font, caption_font = _font(16), _font(13)
    heading_size = next(
        (n for n in range(13, 8, -1) if draw.textlength(heading, _font(n)) <= sheet.width - 2 * _MARGIN), 8
    )
    draw.text((_MARGIN, heading_height // 2), heading, "black", _font(heading_size), anchor="lm")
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


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
