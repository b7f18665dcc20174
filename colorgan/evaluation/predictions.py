"""The images of a set, coloured by a trained run and compared with the truth one by one."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from jax.sharding import Mesh
from PIL import Image

from colorgan import color, sharding
from colorgan.data import pipeline, transforms
from colorgan.data.source import Source
from colorgan.errors import printable, reason
from colorgan.evaluation import metrics
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.load_run import Trained
from colorgan.training.step import eval_step

# Comparing takes about 120 bytes a pixel: 6 GB.
MAX_PIXELS = 50_000_000

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Examples:
    """Some images of a set; those that cannot be read are not among them.

    Attributes:
      indices: their places in the source, [N].
      truths, predictions: N images, uint8 [H,W,3].
      rows: of `metrics.compare_rows`, NumPy arrays [N,...].
    """

    indices: np.ndarray
    truths: Sequence[np.ndarray]
    predictions: Sequence[np.ndarray]
    rows: dict[str, metrics.Figures]


ExamplesFn = Callable[[Source], Iterator[Examples]]


def create_square_fn(run: Trained, mesh: Mesh) -> ExamplesFn:
    """Colours the central square of every image at the networks' size, as the validation of a run does."""
    batch_size = -(-run.config.batch_size // mesh.size) * mesh.size
    data, everywhere = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    eval_step_fn = jax.jit(
        functools.partial(eval_step, generator=run.generator), in_shardings=(everywhere, data), out_shardings=data
    )

    def color_all(source: Source) -> Iterator[Examples]:
        images = pipeline.Images(source, run.config.image_size, max_bad_fraction=None)
        for n, batch in enumerate(pipeline.ordered_batches(images, batch_size, pipeline.Loading())):
            outputs = jax.device_get(eval_step_fn(run.variables, sharding.to_global(mesh, batch.image)))
            good = np.flatnonzero(batch.mask)
            predictions, rows = jax.tree.map(lambda values, good=good: values[good], outputs)
            if len(good):
                truths = batch.image[good]
                yield Examples(n * batch_size + good, list(truths), list(predictions.astype(np.uint8)), rows)

    return color_all


def create_whole_fn(run: Trained) -> ExamplesFn:
    """Colours every image whole, as `colorize` does, and compares at its own size, in NumPy: nothing to compile."""
    colorizer = Colorizer.from_trained(run)

    def color_all(source: Source) -> Iterator[Examples]:
        for index in range(len(source)):
            try:
                photo = _check(transforms.decode_image(source.read(index)))
            except Exception as error:  # decoders raise of every kind
                told = printable(f"{source.name(index)} ({reason(error)})")
                log.warning("bad record %s: %s", pipeline.LEFT_OUT, told)
                continue
            truth = np.asarray(photo)
            prediction = colorizer(truth)
            as_floats = (image[None].astype(np.float32) for image in (truth, prediction, to_gray(truth)))
            yield Examples(np.array([index]), [truth], [prediction], metrics.compare_rows(*as_floats))

    return color_all


def to_gray(image: np.ndarray) -> np.ndarray:
    """uint8 RGB [H,W,3] to its luma as RGB."""
    return np.rint(color.luma(image.astype(np.float32))).astype(np.uint8).repeat(3, axis=-1)


def _check(photo: Image.Image) -> Image.Image:
    """Raises ValueError for an image that cannot be compared at its own size."""
    if min(photo.size) < metrics.MIN_SIDE:
        raise ValueError(f"a side of less than {metrics.MIN_SIDE} pixels")
    if photo.width * photo.height > MAX_PIXELS:
        raise ValueError(f"more than {MAX_PIXELS // 10**6} megapixels, which --size=own compares at most")
    return photo
