"""colorgan: trains a GAN that turns gray photographs into colour."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from colorgan.inference.colorizer import Colorizer

__version__ = "0.1.0"
__all__ = ["Colorizer", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "Colorizer":  # only now: data workers import this package too
        from colorgan.inference.colorizer import Colorizer

        return Colorizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
