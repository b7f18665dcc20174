"""A trained generator as a function from photographs to colored photographs."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, overload

import numpy as np
from PIL import Image

from colorgan import color
from colorgan.data import transforms
from colorgan.errors import UserError
from colorgan.inference.batching import BatchedPredict
from colorgan.inference.hints import Hint, Placed, correct
from colorgan.inference.load_exported import TAKES_NO_HINTS, ColorizeFn
from colorgan.inference.paint import Levels, Prediction, paint, shrink
from colorgan.inference.scan_border import find_photograph

if TYPE_CHECKING:
    from colorgan.inference.load_weights import LoadedGenerator

BORDERS = ("auto", "color")
LEVELS = ("keep", "auto", "write")


class Prepared(NamedTuple):
    """A photograph as the network sees it.

    Attributes:
      small: luma of the part that is colored, [h,w] in [-1,1], from `shrink`.
      box: this part, see `Prediction`.
      size: (height, width) of the photograph in pixels.
      levels: see `Colorizer.__call__`.
    """

    small: np.ndarray
    box: tuple[float, float, float, float]
    size: tuple[int, int]
    levels: str


class Colorizer:
    """Colors photographs of any size.

    The network sees the whole photograph at its own size, with the longer side filling its square, so that the colors
    are the same at every size of the photograph. Its chroma is scaled up to the photograph's size and combined with the
    photograph's own luma.

        colorizer = colorgan.Colorizer.default()
        colorizer("grandmother.jpg").save("grandmother-colorized.png")

    Attributes:
      image_size: side of the network's square, in pixels.
      description: of the network, such as its step and checkpoint, as far as it is known.
      takes_hints: whether the network takes color hints.
    """

    def __init__(
        self,
        predict_fn: ColorizeFn,
        image_size: int,
        description: Mapping[str, Any] = MappingProxyType({}),
        takes_hints: bool = False,
    ) -> None:
        """`predict_fn` takes gray float32 [B,S,S,1] in [-1,1] to RGB [B,S,S,3] in [-1,1], S being `image_size`.

        If it `takes_hints`, their planes [B,S,S,3] (`hint_planes`) are the second argument, where there are any.
        """
        self.image_size, self.description, self.takes_hints = image_size, description, takes_hints
        self._predict_fn = BatchedPredict(predict_fn)

    def set_batch_size(self, max_size: int) -> None:
        """Lets the network see up to `max_size` photographs of several threads at once, which is faster on a GPU."""
        self._predict_fn.max_size = max_size

    @classmethod
    def default(cls) -> Self:
        """The network that ships with colorgan, for research and personal use: docs/model_card.md."""
        from colorgan.run.weights_file import SHIPPED

        return cls.from_file(SHIPPED)

    @classmethod
    def from_workdir(cls, workdir: str | Path, checkpoint: str = "best") -> Self:
        """The generator of a run's folder, of its "best" or "latest" checkpoint.

        Raises:
          colorgan.errors.UserError: there is no run, or no good checkpoint.
        """
        from etils import epath

        from colorgan.inference import load_run

        return cls.from_loaded(load_run.load_run(epath.Path(workdir), checkpoint))

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """A generator in a file of `colorgan export`. No training code is loaded.

        Raises:
          colorgan.errors.UserError: the file cannot be used, or a library is not installed.
        """
        from colorgan.inference import load_exported

        model = load_exported.load(Path(path))
        return cls(model.predict, model.image_size, model.description, model.takes_hints)

    @classmethod
    def from_loaded(cls, loaded: "LoadedGenerator") -> Self:
        """A generator that is loaded already."""
        description = {"step": loaded.step, "checkpoint": loaded.checkpoint, **loaded.description}
        return cls(loaded.create_predict_fn(), loaded.image_size, description, loaded.generator.takes_hints)

    @overload
    def __call__(
        self,
        image: str | Path | Image.Image,
        strength: float = 1.0,
        saturation: float = 1.0,
        border: str = "auto",
        levels: str = "keep",
        hints: Sequence[Hint] = (),
    ) -> Image.Image: ...

    @overload
    def __call__(
        self,
        image: np.ndarray,
        strength: float = 1.0,
        saturation: float = 1.0,
        border: str = "auto",
        levels: str = "keep",
        hints: Sequence[Hint] = (),
    ) -> np.ndarray: ...

    def __call__(
        self,
        image: str | Path | Image.Image | np.ndarray,
        strength: float = 1.0,
        saturation: float = 1.0,
        border: str = "auto",
        levels: str = "keep",
        hints: Sequence[Hint] = (),
    ) -> Image.Image | np.ndarray:
        """Colors a photograph, which is treated as gray.

        Args:
          image: the path of a file in any format of `colorgan colorize`, which is turned upright; a Pillow image,
            upright, of any mode but floating point; or uint8 or uint16 [H,W], [H,W,1] or [H,W,3], of any byte order.
          strength: 0 for the gray photograph to 1 for the colored one.
          saturation: 0 to 2, factor of the colors before they are limited to the range of RGB.
          border: "auto" colors the photograph inside the border of a scan, and leaves the border as it is, see
            `scan_border.find_photograph`; "color" colors all.
          levels: "auto" predicts the colors of a faded photograph from its luma at full contrast, and multiplies their
            chroma by the square root of its contrast: as predicted they look too strong beside its luma, and faded as
            much as that, pale; "write" writes the luma at full contrast too; "keep" does neither.
          hints: places and their colors, for a network that takes hints. Of those at one place the last one counts;
            those in a border that is left do nothing. `strength` and `saturation` change their colors too.

        Returns:
          For a path, a Pillow image of 8 bits, "RGB", or "RGBA" if the photograph has transparency, with its ICC
          profile in `info`; for a Pillow image the same without a profile (and without transparency if it has more
          than 8 bits); for an array RGB [H,W,3] of its type.

        Raises:
          TypeError: `image` is of another type.
          ValueError: a hint is outside of the photograph, or another argument out of range.
          colorgan.errors.UserError: there are hints, and the network takes none.
          FileNotFoundError: there is no such file.
          Exception: of many types, from the decoder, for a file that is not a photograph.
        """
        colorize = functools.partial(
            self.colorize, strength=strength, saturation=saturation, border=border, levels=levels, hints=hints
        )
        if isinstance(image, str | Path):
            return _colorize_file(Path(image), colorize)
        if not isinstance(image, Image.Image | np.ndarray):
            what = type(image).__name__
            raise TypeError(f"a photograph is a path, a Pillow image or a NumPy array, not {what}")
        if isinstance(image, np.ndarray):
            return colorize(image)
        if image.mode == "La":
            image = image.convert("LA")  # the only conversion that Pillow has
        if image.has_transparency_data and not image.mode.startswith("I"):  # Pillow would clip 16 bits at 255
            rgba = np.array(image.convert("RGBA"))
            colorize(rgba[..., :3], out=rgba[..., :3])
            return Image.fromarray(rgba)
        gray_or_rgb = image if image.mode == "L" else transforms.to_rgb(image)
        return Image.fromarray(colorize(np.asarray(gray_or_rgb)))

    def colorize(
        self,
        pixels: np.ndarray,
        strength: float = 1.0,
        saturation: float = 1.0,
        out: np.ndarray | None = None,
        border: str = "auto",
        levels: str = "keep",
        hints: Sequence[Hint] = (),
    ) -> np.ndarray:
        """The same for arrays. With `pixels` as `out` (see `paint`), a large photograph is in memory once.

        Raises:
          ValueError: `pixels` has another type or shape, or another argument is out of range.
        """
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        is_shape = pixels.ndim >= 2 and pixels.shape[2:] in ((), (1,), (3,)) and pixels.size > 0
        if pixels.dtype not in (np.uint8, np.uint16) or not is_shape:
            raise ValueError(
                f"a photograph is uint8 or uint16 [H,W], [H,W,1] or [H,W,3], not {pixels.dtype} {list(pixels.shape)}"
            )
        if not (0 <= strength <= 1 and 0 <= saturation <= 2):
            raise ValueError(f"strength is from 0 to 1 and saturation from 0 to 2, not {strength} and {saturation}")
        return paint(pixels, self.predict(pixels, border, levels, hints), strength, saturation, out)

    def predict(
        self, pixels: np.ndarray, border: str = "auto", levels: str = "keep", hints: Sequence[Hint] = ()
    ) -> Prediction:
        """The colors of an array as for `colorize`. Raises ValueError and UserError."""
        return self.predict_prepared(self.prepare(pixels, border, levels), hints)

    def prepare(self, pixels: np.ndarray, border: str = "auto", levels: str = "keep") -> Prepared:
        """What `predict_prepared` needs of an array: it can be done again, with other hints, without the array.

        Raises ValueError.
        """
        if border not in BORDERS or levels not in LEVELS:
            raise ValueError(f"border is one of {BORDERS} and levels one of {LEVELS}, not {border!r} and {levels!r}")
        height, width = pixels.shape[:2]
        top, bottom, left, right = find_photograph(pixels) if border == "auto" else (0, height, 0, width)
        box = (top / height, bottom / height, left / width, right / width)
        return Prepared(shrink(pixels[top:bottom, left:right], self.image_size), box, (height, width), levels)

    def predict_prepared(self, prepared: Prepared, hints: Sequence[Hint] = ()) -> Prediction:
        """The colors of what `prepare` returned. Raises ValueError and UserError as `predict`."""
        if hints and not self.takes_hints:
            raise UserError(TAKES_NO_HINTS)
        small, box, size, levels = prepared
        if levels == "keep":
            return Prediction(small, self._predict_small(small, Placed(hints, size, box, small)), box)
        found = Levels.of(small)
        stretched, factor = found.stretch(small), np.sqrt(np.float32(found.contrast))
        placed = Placed(hints, size, box, stretched if levels == "write" else small)
        if levels == "write":
            return Prediction(stretched, self._predict_small(stretched, placed), box, found)
        placed.chroma /= factor  # the colors are as asked for after the product below
        return Prediction(small, factor * self._predict_small(stretched, placed), box)

    def _predict_small(self, gray: np.ndarray, placed: Placed) -> np.ndarray:
        """Luma [h,w] and its hints to chroma [h,w,2]."""
        if not len(placed.places):
            return self.predict_chroma(gray[None])[0]
        top, left = self._offset(*gray.shape)
        planes = placed.planes(self.image_size, (top, left))
        inside = planes[top : top + gray.shape[0], left : left + gray.shape[1]]
        return correct(self.predict_chroma(gray[None], planes[None])[0], gray, inside)

    def _offset(self, height: int, width: int) -> tuple[int, int]:
        """Where an image that fills one side of the square is in it."""
        return (self.image_size - height) // 2, (self.image_size - width) // 2

    def predict_chroma(self, gray: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
        """Luma from `shrink`, [B,h,w] in [-1,1], to (Cb, Cr) [B,h,w,2] as in `color.chroma_to_rgb`.

        `hints` are planes [B,S,S,3] of the square in whose middle the image is.
        """
        height, width = gray.shape[1:]
        top, left = self._offset(height, width)
        # The rest of the square is filled with the mirrored image.
        padding = ((0, 0), (top, self.image_size - height - top), (left, self.image_size - width - left))
        padded = np.pad(gray, padding, mode="symmetric")[..., None]
        rgb = self._predict_fn(padded, hints)
        return color.rgb_to_chroma(np.asarray(rgb, np.float32)[:, top : top + height, left : left + width])


def _colorize_file(path: Path, colorize_fn: Callable[..., np.ndarray]) -> Image.Image:
    from colorgan.media import photo_file  # loads libraries that arrays do not need

    photo = photo_file.read_photo(path)
    colored = photo.as_rgb()
    colorize_fn(photo.pixels, out=colored.pixels)
    image = Image.fromarray(photo_file.eight_bits(colored.samples))
    if "icc_profile" in photo.metadata and photo.pixels.ndim == 3:
        image.info["icc_profile"] = photo.metadata["icc_profile"]
    return image
