"""Color profiles (ICC) of photographs: CMYK and gray values become those of sRGB."""

import functools
import io

import imagecodecs
import numpy as np
from PIL import ImageCms

_SAME = 130 / 65535  # half an 8-bit level: profiles that differ less from sRGB leave the values as they are
_USUAL_GAMMA = 1 / 2.2  # of a PNG without a profile
_ROWS = 256  # converted at a time


def create_srgb_transform(mode: str, profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """From CMYK by its profile to RGB; None without a valid profile, and for other modes of Pillow."""
    if mode != "CMYK" or not profile:
        return None
    try:
        return ImageCms.buildTransform(io.BytesIO(profile), ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    except (ImageCms.PyCMSError, OSError):
        return None


@functools.lru_cache(maxsize=4)  # scans of one folder have the same
def table_of_gray(profile: bytes) -> np.ndarray | None:
    """The gray values of sRGB that look like those of a gray profile.

    By relative colorimetry with black point compensation, as viewers do.

    Returns:
      uint16 [65536], or None where the profile is none of gray, is damaged, or is hardly different from sRGB.
    """
    if profile[16:20] != b"GRAY":
        return None
    values = np.arange(65536, dtype=np.uint16)
    try:
        rgb = imagecodecs.cms_transform(
            values[None],
            profile,
            imagecodecs.cms_profile("srgb"),
            colorspace="gray",
            outcolorspace="rgb",
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
            flags=imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION,
        )
    except Exception:  # a damaged profile is no reason to refuse a photograph
        return None
    return _unless_same(np.asarray(rgb).reshape(-1, 3)[:, 1])


def table_of_gamma(gamma: float) -> np.ndarray | None:
    """The same for the `gAMA` chunk of a PNG: the exponent of its values, 1 for linear ones and usually 1 / 2.2."""
    if not 0.1 < gamma < 10:
        return None
    values = (np.arange(65536) / 65535) ** (_USUAL_GAMMA / gamma)
    return _unless_same(np.rint(values * 65535).astype(np.uint16))


def _unless_same(table: np.ndarray) -> np.ndarray | None:
    difference = np.abs(table.astype(np.int32) - np.arange(65536))
    return table if difference.max() > _SAME * 65535 else None


def apply_table(table: np.ndarray, colors: np.ndarray) -> None:
    """Replaces values of uint8 or uint16 [H,W] or [H,W,C] by those of a table."""
    if colors.dtype == np.uint8:
        table = ((table[::257].astype(np.uint32) + 128) // 257).astype(np.uint8)
    for top in range(0, len(colors), _ROWS):
        colors[top : top + _ROWS] = table[colors[top : top + _ROWS]]
