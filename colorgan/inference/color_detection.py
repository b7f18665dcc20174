"""Whether a photograph has colors of its own, or is black and white, toned or faded."""

import numpy as np

from colorgan import color
from colorgan.inference.scan_border import find_photograph

_SAMPLED_SIDE, _BLOCK = 256, 4  # pixels of the shorter side that are looked at; noise is averaged over blocks of them
_NUM_LEVELS = 16  # of luma, in each of which a toned photograph has one color
# In color, more than 2% of the blocks differ by more than these, in steps of 255, from the tone of their luma, and from
# the hue of the whole or by far from the tone. Sepia, stained, faded and compressed to JPEG, stays below one of them.
_SHARE = 0.02
_MAX_TONE_DIFFERENCE, _MAX_HUE_DIFFERENCE, _MAX_STAIN = 11.0, 6.0, 45.0


def has_color(pixels: np.ndarray) -> bool:
    """Whether a photograph has colors that coloring would replace.

    Sepia and other tones count as gray: their color follows from the luma, or is of one hue everywhere, as that of
    yellowed paper. So do colored stamps and dates that cover less than 2%. The border of a scan is not looked at.

    Args:
      pixels: uint8 or uint16, gray [H,W] or RGB [H,W,3].
    """
    if pixels.ndim == 2:
        return False
    box = find_photograph(pixels)
    pixels = pixels[box.top : box.bottom, box.left : box.right]
    step = max(1, min(pixels.shape[:2]) // _SAMPLED_SIDE)
    sampled = pixels[::step, ::step].astype(np.float32) * np.float32(255 / np.iinfo(pixels.dtype).max)
    height, width = (max(1, side // _BLOCK) for side in sampled.shape[:2])
    rows, columns = (min(_BLOCK, side) for side in sampled.shape[:2])
    blocks = sampled[: height * rows, : width * columns].reshape(height, rows, width, columns, 3).mean((1, 3))
    luma = color.luma(blocks)
    chroma = (blocks[..., ::2] - luma).reshape(-1, 2)  # R - Y, B - Y
    levels = np.minimum(luma.reshape(-1) * (_NUM_LEVELS / 256), _NUM_LEVELS - 1).astype(int)
    tones = np.zeros_like(chroma)
    for level in np.unique(levels):
        tones[levels == level] = np.median(chroma[levels == level], axis=0)
    tone_differences = np.hypot(*(chroma - tones).T)
    mean = chroma.mean(axis=0)
    along, across = mean / max(1e-6, float(np.hypot(*mean))), np.array((-mean[1], mean[0])) / max(1e-6, np.hypot(*mean))
    hue_differences = np.hypot(chroma @ across, np.minimum(chroma @ along, 0))
    tone, hue = (np.quantile(differences, 1 - _SHARE) for differences in (tone_differences, hue_differences))
    return bool(tone > _MAX_TONE_DIFFERENCE and (hue > _MAX_HUE_DIFFERENCE or tone > _MAX_STAIN))
