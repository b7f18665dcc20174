"""What is probably wrong with a set of images, in sentences for the log, from a sample of them."""

import concurrent.futures
import logging
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from colorgan.data import transforms
from colorgan.data.source import Source
from colorgan.errors import printable

FEW_IMAGES = 300
_MAX_LOOKS = 64  # images that are decoded: about a second for photographs of 12 megapixels
_SIDE = 64  # pixels, to which they are resized
_NUM_NAMED = 3  # images in a sentence
_MAX_NAMES = 20_000  # in shards, a name costs as much as an image
_GRAY_SHARE = 0.25
_MAX_DIFFERENCE = 4.0  # in 0..255, mean of an image
# In 0..255. Gray images have 0, sepia ones 1 to 2.7, depending on their JPEG quality, photographs 2 (in fog) to 15.
_MAX_TINT_ERROR = 2.0
_START_TRAINED = ", or start from a trained network, as with --config.init_from=shipped"
_NO_METRICS = "metrics of color mean nothing there"

log = logging.getLogger(__name__)


class _Image(NamedTuple):
    """An image of the sample: its name, its shorter side in pixels, and the central square, resized, uint8 [S,S,3]."""

    name: str
    side: int
    pixels: np.ndarray


def check_images(train: Source, validation: Source, crop_size: int, is_fine_tuning: bool = False) -> Iterator[str]:
    """Yields a sentence for each problem. Reads up to 64 images of each and 20,000 names.

    Args:
      train: training images.
      validation: validation images, which should be other ones.
      crop_size: side in pixels of the squares that are trained on.
      is_fine_tuning: whether the networks are trained already.
    """
    if len(train) < FEW_IMAGES:
        yield (
            f"few training images ({len(train)}), which the networks will learn by heart: use {FEW_IMAGES} or more, "
            f"better thousands{'' if is_fine_tuning else _START_TRAINED}"
        )
    shared, num_compared = _find_shared(train, validation)
    if shared:
        yield (
            f"{_share(len(shared), num_compared, 'validation')} are training images too, which makes the validation "
            "metrics too good: set --config.data.validation to other images, or, in a new run, to nothing, which holds "
            f"some out; {_first(shared)}"
        )
    sample = _sample(train)
    small = [image.name for image in sample if image.side < crop_size]
    if small:
        yield (
            f"{_share(len(small), len(sample))} are smaller than the crop of {crop_size} pixels (config.image_size), "
            f"and blurred because they are enlarged: leave them out, or use a smaller image_size; {_first(small)}"
        )
    problem = _describe_gray(sample, "training", "teach the networks to leave photographs gray")
    if problem or (problem := _describe_gray(_sample(validation), "validation", _NO_METRICS)):  # often the same set
        yield problem


def warn_about_gray(source: Source) -> None:
    """Warns if many images of an evaluation are gray or of one tint. Reads 64 images."""
    if problem := _describe_gray(_sample(source), "evaluation", _NO_METRICS):
        log.warning(problem)


def _describe_gray(sample: Sequence[_Image], kind: str, effect: str) -> str:
    """A sentence if many images are gray or of one tint, or ""."""
    gray = [image.name for image in sample if is_monochrome(image.pixels)]
    if len(gray) <= _GRAY_SHARE * len(sample):
        return ""
    share = _share(len(gray), len(sample), kind)
    return f"{share} are gray or of one tint, and {effect}: leave them out; {_first(gray)}"


def _sample(source: Source) -> list[_Image]:
    """Evenly spaced images, without those that cannot be read."""
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        looks = threads.map(lambda index: _look(source, index), _spaced(source, _MAX_LOOKS))
        return [image for image in looks if image]


def _spaced(source: Source, number: int) -> list[int]:
    """Evenly spaced indices, at most `number`."""
    return np.linspace(0, len(source), min(number, len(source)), endpoint=False, dtype=int).tolist()


def _look(source: Source, index: int) -> _Image | None:
    """One image; None if it cannot be read, which the pipeline reports."""
    try:
        image = source.read(index)
        size = image.shape[:2] if isinstance(image, np.ndarray) else transforms.open_image(image).size
        pixels = transforms.square(transforms.decode_image(image, _SIDE), _SIDE)
        return _Image(source.name(index), min(size), pixels)
    except Exception:  # decoders raise every type of exception
        return None


def _find_shared(train: Source, validation: Source) -> tuple[list[str], int]:
    """Names of those of some validation images that are as a training image in file name and pixels; of how many."""
    indices = _spaced(validation, _MAX_LOOKS)
    named = {os.path.basename(validation.name(index)): index for index in indices}
    looked, shared = set[int](), set[int]()
    for index in _spaced(train, _MAX_NAMES):
        other = named.get(os.path.basename(train.name(index)))
        if other is None or other in shared or len(looked) == _MAX_LOOKS:
            continue
        looked.add(index)
        one, two = _look(train, index), _look(validation, other)
        # Shards may have the image of a folder at another size and as another JPEG.
        if one and two and np.abs(one.pixels.astype(int) - two.pixels).mean() < _MAX_DIFFERENCE:
            shared.add(other)
    return [validation.name(index) for index in sorted(shared)], len(indices)


def _share(number: int, size: int, kind: str = "training") -> str:
    return f"{number / size:.0%} of the {kind} images ({number} of {size} that were looked at)"


def _first(names: Sequence[str]) -> str:
    return "such as " + ", ".join(map(printable, names[:_NUM_NAMED]))


def is_monochrome(pixels: np.ndarray) -> bool:
    """Whether an image [H,W,3] in 0..255 is gray, or toned like sepia: its color is a function of its brightness."""
    rgb = pixels.reshape(-1, 3).astype(np.float64)
    light = rgb.mean(axis=1)
    chroma = rgb[:, [0, 2]] - light[:, None]
    powers = np.stack([np.ones_like(light), light, light**2], axis=1)
    error = chroma - powers @ np.linalg.lstsq(powers, chroma, rcond=None)[0]
    return float(np.sqrt(np.mean(error**2))) < _MAX_TINT_ERROR
