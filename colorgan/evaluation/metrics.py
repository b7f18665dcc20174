"""Image metrics: pure functions of NumPy or JAX arrays of images, float [B,H,W,3] in 0..255.

docs/evaluation.md is the protocol: what each is taken over, and how far it can be trusted.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from colorgan import color

Array = Any  # numpy.ndarray or jax.Array
Figures = dict[str, Any]

PEAK = 255.0
MAX_PSNR = 60.0  # equal images have no PSNR; a cap keeps means finite
_SSIM_SIZE, _SSIM_SIGMA = 11, 1.5
_STRIP_ROWS = 16
MIN_SIDE = _SSIM_SIZE  # of an image that can be compared, in pixels
_MAX_AB_DISTANCE = 150
_AB_LIMIT, _AB_STEP = 110, 5
_LEAST_TO_GAIN = 5e-3  # of AuC (0.75 in ab, which nobody sees) and of the histograms' distance, if there is colour
NUM_AB_BINS = 2 * _AB_LIMIT // _AB_STEP


def compare_rows(real: Array, prediction: Array, gray: Array) -> dict[str, Figures]:
    """The rows of a report: "prediction", "gray" and "truth", the real image, each beside the real image.

    Every figure is one [B] for each image; "ab_histogram" is that of the row's image [B,44,44].
    """
    xp = real.__array_namespace__()
    real_ab = color.rgb_to_lab(real)[..., 1:]
    colors = colorfulness(real)
    same = xp.ones_like(colors)  # what equal images have need not be computed
    truth = {"psnr": MAX_PSNR * same, "ssim": same, "auc": same, "colorfulness": colors}
    return {
        "prediction": _compare(real, real_ab, prediction),
        "gray": _compare(real, real_ab, gray),
        "truth": truth | {"ab_histogram": ab_histogram(real_ab)},
    }


def _compare(real: Array, real_ab: Array, fake: Array) -> Figures:
    fake_ab = color.rgb_to_lab(fake)[..., 1:]
    return {
        "psnr": psnr(real, fake),
        "ssim": ssim(real, fake),
        "auc": auc(real_ab, fake_ab),
        "colorfulness": colorfulness(fake),
        "ab_histogram": ab_histogram(fake_ab),
    }


def summarize(figures: Mapping[str, Figures]) -> dict[str, dict[str, float]]:
    """What is told of a set of images.

    Args:
      figures: rows "prediction", "gray" and "truth", each the means (or, of histograms, means or sums) over the set
        of what `compare_rows` gave for it.

    Returns:
      For each row "psnr", "ssim", "auc", "colorfulness", "delta_colorfulness" (the difference of the mean from the
      truth's), "ab_histogram_distance" (from the truth's, both pooled over the set) and "score".
    """
    truth = figures["truth"]
    rows: dict[str, dict[str, float]] = {}
    for name in ("prediction", "gray", "truth"):
        row = figures[name]
        rows[name] = {key: float(row[key]) for key in ("psnr", "ssim", "auc", "colorfulness")} | {
            "delta_colorfulness": abs(float(row["colorfulness"]) - float(truth["colorfulness"])),
            "ab_histogram_distance": total_variation(row["ab_histogram"], truth["ab_histogram"]),
        }
    for row in rows.values():
        row["score"] = score(row, rows["gray"])
    return rows


def score(row: Mapping[str, float], gray: Mapping[str, float]) -> float:
    """What a checkpoint is chosen by: 0 for the gray image itself, 1 for the truth.

    The mean of two shares of the way from gray to truth: of fidelity, by `auc`, which pale colours win, and of
    colour, by the distance of ab histograms, which colours in the wrong places win. Neither alone is enough: the
    critic's images lose the first to an L1 loss's brown ones, and win the second by far. Where the truth is gray too,
    there is no way to go: 0 for all.
    """
    to_gain, to_mend = 1.0 - gray["auc"], gray["ab_histogram_distance"]
    if min(to_gain, to_mend) < _LEAST_TO_GAIN:
        return 0.0
    return ((row["auc"] - gray["auc"]) / to_gain + 1.0 - row["ab_histogram_distance"] / to_mend) / 2


def psnr(real: Array, fake: Array) -> Array:
    """Peak signal-to-noise ratio [B] in dB over all pixels and channels, peak 255, at most `MAX_PSNR`."""
    xp = real.__array_namespace__()
    error = ((real - fake) ** 2).mean(axis=(1, 2, 3))
    return xp.minimum(10.0 * xp.log10(PEAK**2 / xp.maximum(error, 1e-9)), MAX_PSNR)


def ssim(real: Array, fake: Array) -> Array:
    """Structural similarity [B], -1 to 1: Gaussian 11x11 window, sigma 1.5, mean over the R, G and B channels.

    Wang et al. 2004 (doi:10.1109/TIP.2003.819861): K1 0.01, K2 0.03, population covariance, windows that lie
    wholly in the image. Sides must be at least `MIN_SIDE`.
    """
    if real.__array_namespace__() is not np:
        return _ssim_of_windows(real, fake).mean(axis=(1, 2, 3))
    # In strips, which fit a processor's cache: a fraction of the time and of the memory for a whole photograph.
    num_rows = real.shape[1] - _SSIM_SIZE + 1
    sums = []
    for top in range(0, num_rows, _STRIP_ROWS):
        rows = slice(top, top + _STRIP_ROWS + _SSIM_SIZE - 1)
        sums.append(_ssim_of_windows(real[:, rows], fake[:, rows]).sum(axis=(1, 2), dtype=np.float64))
    return sum(sums).mean(axis=1) / (num_rows * (real.shape[2] - _SSIM_SIZE + 1))


def _ssim_of_windows(real: Array, fake: Array) -> Array:
    """[B,H,W,C] to [B,H-10,W-10,C]."""
    xp = real.__array_namespace__()
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    # As channels of one array: XLA takes half the time that it takes for one after the other.
    maps = xp.concatenate([real, fake, real**2 + fake**2, real * fake], axis=-1)
    mean_real, mean_fake, mean_squares, mean_product = xp.split(_window_mean(maps), 4, axis=-1)
    squares, product = mean_real**2 + mean_fake**2, mean_real * mean_fake
    luminance = (2 * product + c1) / (squares + c1)
    structure = (2 * (mean_product - product) + c2) / (mean_squares - squares + c2)  # of covariance and variances
    return luminance * structure


def _window_mean(x: Array) -> Array:
    """Gaussian-weighted mean of every whole window: [B,H,W,C] to [B,H-10,W-10,C]."""
    weights = np.exp(-(((np.arange(_SSIM_SIZE) - _SSIM_SIZE // 2) / _SSIM_SIGMA) ** 2) / 2)
    weights /= weights.sum()
    height, width = x.shape[1] - _SSIM_SIZE + 1, x.shape[2] - _SSIM_SIZE + 1
    x = sum(float(weight) * x[:, n : n + height] for n, weight in enumerate(weights))
    return sum(float(weight) * x[:, :, n : n + width] for n, weight in enumerate(weights))


def colorfulness(image: Array) -> Array:
    """How vivid an image is, [B]: 0 for gray; 29 is the mean of the 1,000 test scenes of benchmarks/RESULTS.md.

    Of |R-G| and |(R+G)/2-B|, the root of the summed variances plus 0.3 times the root of the summed squared means.
    This is the measure of Hasler and Suesstrunk 2003 (doi:10.1117/12.477378) with the absolute values that the code of
    colorization papers (DDColor's among them) takes, so that figures can be compared with theirs.
    """
    xp = image.__array_namespace__()
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    red_green, yellow_blue = xp.abs(red - green), xp.abs((red + green) / 2 - blue)
    axes = (1, 2)
    spread = xp.sqrt(red_green.var(axis=axes) + yellow_blue.var(axis=axes))
    distance = xp.sqrt(red_green.mean(axis=axes) ** 2 + yellow_blue.mean(axis=axes) ** 2)
    return spread + 0.3 * distance


def auc(real_ab: Array, fake_ab: Array) -> Array:
    """The area under the curve of chroma errors [B], 0 to 1, of ab values [B,H,W,2] of Lab.

    The share of pixels whose colour lies within a distance t of the true one, averaged over t = 0, 1, ..., 150
    (Zhang et al. 2016, arXiv:1603.08511, section 3.1): a pixel counts for as many t as its distance, rounded up,
    leaves.
    """
    xp = real_ab.__array_namespace__()
    distance = xp.sqrt(((real_ab - fake_ab) ** 2).sum(axis=-1))
    num_within = _MAX_AB_DISTANCE + 1 - xp.ceil(distance)
    return xp.maximum(num_within, 0.0).mean(axis=(1, 2)) / (_MAX_AB_DISTANCE + 1)


def ab_histogram(ab: Array) -> Array:
    """How many pixels have which colour: ab of Lab [B,H,W,2] to int [B,44,44], bins of 5 from -110 to 110."""
    xp = ab.__array_namespace__()
    bins = xp.clip(xp.floor((ab + _AB_LIMIT) / _AB_STEP), 0, NUM_AB_BINS - 1).astype(xp.int32)
    images = xp.arange(ab.shape[0], dtype=xp.int32)[:, None, None]
    flat = ((images * NUM_AB_BINS + bins[..., 0]) * NUM_AB_BINS + bins[..., 1]).ravel()
    size = ab.shape[0] * NUM_AB_BINS**2
    counts = np.bincount(flat, minlength=size) if xp is np else jnp.bincount(flat, length=size)
    return counts.reshape(ab.shape[0], NUM_AB_BINS, NUM_AB_BINS)


def total_variation(first: Array, second: Array) -> float:
    """The distance of two histograms: half the sum of differences of their shares, 0 (the same) to 1 (apart)."""
    first, second = (np.asarray(counts, np.float64) for counts in (first, second))
    return float(np.abs(first / max(first.sum(), 1e-9) - second / max(second.sum(), 1e-9)).sum() / 2)
