"""colorgan: trains a GAN that turns gray photographs into color, and colors photographs with it."""

from typing import TYPE_CHECKING, Any

from colorgan.version import __version__

if TYPE_CHECKING:
    from colorgan.inference.colorizer import Colorizer
    from colorgan.inference.hints import Hint

__all__ = ["Colorizer", "Hint", "__version__"]


def __getattr__(name: str) -> Any:
    # Imported on first use: data workers import this package too.
    if name == "Colorizer":
        from colorgan.inference.colorizer import Colorizer

        return Colorizer
    if name == "Hint":
        from colorgan.inference.hints import Hint

        return Hint
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
