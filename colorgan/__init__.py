"""colorgan: trains a GAN that turns gray photographs into color, and colors photographs with it."""

from typing import TYPE_CHECKING, Any

from colorgan.version import __version__

if TYPE_CHECKING:
    from colorgan.inference.colorizer import Colorizer

__all__ = ["Colorizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Colorizer":  # imported on first use: data workers import this package too
        from colorgan.inference.colorizer import Colorizer

        return Colorizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
