"""Image metrics: pure functions of NumPy or JAX arrays of images, float [B,H,W,3] in 0..255.

`METRICS`, at the end, lists them. docs/evaluation.md is the protocol: what each is computed over, and its limits.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from colorgan import color

Array = Any  # numpy.ndarray or jax.Array

# Values of different versions are not comparable. 1: until 2026-11-25, ab histograms had an edge at neutral. 2: a bin
# is centered on it.
VERSION = 2

PEAK = 255.0
MAX_PSNR = 60.0  # equal images have infinite PSNR; the limit keeps means finite
_SSIM_SIZE, _SSIM_SIGMA = 11, 1.5
_STRIP_ROWS = 16
_MAX_AB_DISTANCE = 150
_AB_STEP = 5
NUM_AB_BINS = 45  # centers from -110 to 110
# A set counts as gray if the gray and the real images differ by less than this, in AuC (0.75 in ab, which is invisible)
# or in histogram distance.
_MIN_DIFFERENCE = 5e-3


class Pixels(NamedTuple):
    """Images in the color spaces that metrics use: RGB in 0..255 and CIE Lab, both [B,H,W,3]."""

    rgb: Array
    lab: Array

    @property
    def ab(self) -> Array:
        """[B,H,W,2], color without lightness."""
        return self.lab[..., 1:]


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of single images.

    Attributes:
      compare: real and predicted images to values [B].
      of_real: the value for real images compared with themselves; None computes it.
      higher_is_better: whether `config.best_metric` may be this metric.
      min_side: of images that it can compare, in pixels.
      max_pixels: the same, limited by memory.
    """

    compare: Callable[[Pixels, Pixels], Array]
    of_real: float | None = None
    higher_is_better: bool = True
    min_side: int = 1
    max_pixels: int = 50_000_000  # of about 120 bytes each: 6 GB


class Row(NamedTuple):
    """Metrics of some images: each metric [B] or its mean, and ab histograms [B,45,45] or their mean."""

    values: dict[str, Array]
    ab_histogram: Array


class Comparison(NamedTuple):
    """The rows of a report: the prediction, the gray image, and the real image, each compared with the real image."""

    prediction: Row
    gray: Row
    truth: Row


def compare(
    real: Array, prediction: Array, gray: Array, image_metrics: Mapping[str, Metric] | None = None
) -> Comparison:
    """Compares the prediction, the gray and the real image with the real one, for each image of a batch.

    Args:
      real: photographs, [B,H,W,3] in 0..255.
      prediction: what the generator makes of `gray`; like `real`.
      gray: the photographs without color; like `real`.
      image_metrics: by name; `METRICS` by default.
    """
    image_metrics = image_metrics or METRICS
    truth, predicted, uncolored = (Pixels(rgb, color.rgb_to_lab(rgb)) for rgb in (real, prediction, gray))
    ones = real.__array_namespace__().ones_like(real[:, 0, 0, 0])

    of_real = {
        name: metric.compare(truth, truth) if metric.of_real is None else metric.of_real * ones
        for name, metric in image_metrics.items()
    }

    def row(fake: Pixels) -> Row:
        values = {name: metric.compare(truth, fake) for name, metric in image_metrics.items()}
        return Row(values, ab_histogram(fake.ab))

    return Comparison(row(predicted), row(uncolored), Row(of_real, ab_histogram(truth.ab)))


def summarize(means: Comparison) -> dict[str, dict[str, float]]:
    """The metrics of a set of images.

    Args:
      means: the means over the set of what `compare` returns (of histograms, means or sums).

    Returns:
      For each of "prediction", "gray" and "truth" all metrics of images, "delta_colorfulness" (difference of the mean
      from that of the real images), "ab_histogram_distance" (of the histograms of the whole set) and "score".
    """
    rows: dict[str, dict[str, float]] = {}
    names = list(dict.fromkeys([*METRICS, *means.truth.values]))  # JAX sorts the keys
    for name, row in zip(Comparison._fields, means, strict=True):
        rows[name] = {key: float(row.values[key]) for key in names} | {
            "delta_colorfulness": abs(float(row.values["colorfulness"]) - float(means.truth.values["colorfulness"])),
            "ab_histogram_distance": histogram_distance(row.ab_histogram, means.truth.ab_histogram),
        }
    for values in rows.values():
        values["score"] = score(values, rows["gray"])
    return rows


def score(row: Mapping[str, float], gray: Mapping[str, float]) -> float:
    """The metric by which checkpoints are chosen: 0 for the gray image, 1 for the real image.

    The mean of two fractions of the way from gray to real: of fidelity, by `auc`, where pale colors do best, and of
    color, by the distance of ab histograms, where colors in wrong places count nothing. Neither is enough alone: images
    of an adversarial loss have a lower `auc` than the brown ones of an L1 loss, and much better histograms. 0 for all
    where the real images are gray.
    """
    auc_range, distance_range = 1.0 - gray["auc"], gray["ab_histogram_distance"]
    if min(auc_range, distance_range) < _MIN_DIFFERENCE:
        return 0.0
    return ((row["auc"] - gray["auc"]) / auc_range + 1.0 - row["ab_histogram_distance"] / distance_range) / 2


def psnr(real: Array, fake: Array) -> Array:
    """Peak signal-to-noise ratio [B] in dB over all pixels and channels, peak 255, at most `MAX_PSNR`."""
    xp = real.__array_namespace__()
    error = ((real - fake) ** 2).mean(axis=(1, 2, 3))
    return xp.minimum(10.0 * xp.log10(PEAK**2 / xp.maximum(error, 1e-9)), MAX_PSNR)


def ssim(real: Array, fake: Array) -> Array:
    """Structural similarity [B], -1 to 1: Gaussian 11x11 window, sigma 1.5, mean over the R, G and B channels.

    Wang et al. 2004 (doi:10.1109/TIP.2003.819861): K1 0.01, K2 0.03, population covariance, windows that are
    entirely in the image. Sides must be at least `_SSIM_SIZE`.
    """
    if real.__array_namespace__() is not np:
        return _ssim_of_windows(real, fake).mean(axis=(1, 2, 3))
    # In strips that fit into a processor's cache: less time and memory for large photographs.
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
    # As channels of one array: half the time in XLA compared with one after the other.
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
    """Colorfulness [B]: 0 for gray; 29 is the mean of the 1,000 test scenes of benchmarks/RESULTS.md.

    Of |R-G| and |(R+G)/2-B|, the root of the summed variances plus 0.3 times the root of the summed squared means.
    This is the measure of Hasler and Suesstrunk 2003 (doi:10.1117/12.477378) with the absolute values that the code of
    colorization papers uses (DDColor's for one), so that values are comparable with theirs.
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

    The fraction of pixels whose color is within a distance t of the real one, averaged over t = 0, 1, ..., 150
    (Zhang et al. 2016, arXiv:1603.08511, section 3.1).
    """
    xp = real_ab.__array_namespace__()
    distance = xp.sqrt(((real_ab - fake_ab) ** 2).sum(axis=-1))
    num_within = _MAX_AB_DISTANCE + 1 - xp.ceil(distance)
    return xp.maximum(num_within, 0.0).mean(axis=(1, 2)) / (_MAX_AB_DISTANCE + 1)


def ciede2000(real: Array, fake: Array) -> Array:
    """The mean color difference CIEDE2000 [B] of Lab images [B,H,W,3]: 0 for equal images, about 1 is just visible.

    Sharma, Wu and Dalal 2005 (doi:10.1002/col.20070), with all weights 1. Lightness counts too.
    """
    if real.__array_namespace__() is not np:
        return ciede2000_of_pixels(real, fake).mean(axis=(1, 2))
    strips = range(0, real.shape[1], _STRIP_ROWS)  # as in `ssim`
    rows = (ciede2000_of_pixels(real[:, n : n + _STRIP_ROWS], fake[:, n : n + _STRIP_ROWS]) for n in strips)
    return sum(row.sum(axis=(1, 2), dtype=np.float64) for row in rows) / (real.shape[1] * real.shape[2])


def ciede2000_of_pixels(real: Array, fake: Array) -> Array:
    """[...,3] to [...]. The names are those of the paper, with 1 for real and 2 for fake."""
    xp = real.__array_namespace__()
    (l1, a1, b1), (l2, a2, b2) = ((lab[..., 0], lab[..., 1], lab[..., 2]) for lab in (real, fake))

    def seventh(c: Array) -> Array:
        return xp.sqrt(c**7 / (c**7 + 25.0**7))

    g = 1.5 - 0.5 * seventh((xp.hypot(a1, b1) + xp.hypot(a2, b2)) / 2)
    c1, c2 = xp.hypot(g * a1, b1), xp.hypot(g * a2, b2)
    h1, h2 = (xp.arctan2(b, g * a) % (2 * np.pi) for a, b in ((a1, b1), (a2, b2)))
    is_gray = c1 * c2 == 0
    dh = xp.where(is_gray, 0.0, (h2 - h1 + np.pi) % (2 * np.pi) - np.pi)
    h = xp.where(is_gray, h1 + h2, h1 + dh / 2)  # on the shorter arc
    middle, c = (l1 + l2) / 2 - 50, (c1 + c2) / 2
    t = 1 - 0.17 * xp.cos(h - np.pi / 6) + 0.24 * xp.cos(2 * h)
    t += 0.32 * xp.cos(3 * h + np.pi / 30) - 0.2 * xp.cos(4 * h - 63 * np.pi / 180)
    degrees = xp.degrees(h) % 360
    rotation = -xp.sin(xp.radians(60.0) * xp.exp(-(((degrees - 275) / 25) ** 2))) * 2 * seventh(c)
    lightness = (l2 - l1) / (1 + 0.015 * middle**2 / xp.sqrt(20 + middle**2))
    chroma = (c2 - c1) / (1 + 0.045 * c)
    hue = 2 * xp.sqrt(c1 * c2) * xp.sin(dh / 2) / (1 + 0.015 * c * t)
    return xp.sqrt(xp.maximum(lightness**2 + chroma**2 + hue**2 + rotation * chroma * hue, 0.0))


def ab_histogram(ab: Array) -> Array:
    """Histograms of colors: ab of Lab [B,H,W,2] to int [B,45,45], bins of 5 with centers from -110 to 110.

    The bin in the middle is centered on neutral, so that grays are in one bin, whatever their rounding.
    """
    xp = ab.__array_namespace__()
    bins = xp.clip(xp.floor(ab / _AB_STEP + NUM_AB_BINS / 2), 0, NUM_AB_BINS - 1).astype(xp.int32)
    images = xp.arange(ab.shape[0], dtype=xp.int32)[:, None, None]
    flat = ((images * NUM_AB_BINS + bins[..., 0]) * NUM_AB_BINS + bins[..., 1]).ravel()
    size = ab.shape[0] * NUM_AB_BINS**2
    counts = np.bincount(flat, minlength=size) if xp is np else jnp.bincount(flat, length=size)
    return counts.reshape(ab.shape[0], NUM_AB_BINS, NUM_AB_BINS)


def histogram_distance(first: Array, second: Array) -> float:
    """Total variation distance of two histograms, normalized first: 0 (equal) to 1 (disjoint)."""
    first, second = (np.asarray(counts, np.float64) for counts in (first, second))
    return float(np.abs(first / max(first.sum(), 1e-9) - second / max(second.sum(), 1e-9)).sum() / 2)


# By name. Logged as validation/NAME and, for the gray image, validation/gray_NAME; an entry of `evaluate`'s result.
METRICS: dict[str, Metric] = {
    "psnr": Metric(lambda real, fake: psnr(real.rgb, fake.rgb), of_real=MAX_PSNR),
    "ssim": Metric(lambda real, fake: ssim(real.rgb, fake.rgb), of_real=1.0, min_side=_SSIM_SIZE),
    "auc": Metric(lambda real, fake: auc(real.ab, fake.ab), of_real=1.0),
    "ciede2000": Metric(lambda real, fake: ciede2000(real.lab, fake.lab), of_real=0.0, higher_is_better=False),
    "colorfulness": Metric(lambda real, fake: colorfulness(fake.rgb), higher_is_better=False),
}
