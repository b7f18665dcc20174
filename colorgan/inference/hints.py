"""Color hints of a photograph: places and the colors they should have, from Python or from a file."""

import dataclasses
import json
import math
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageColor

from colorgan import color, hint_planes
from colorgan.errors import UserError

SUFFIX = ".hints.json"  # of the file beside a photograph: photo.hints.json for photo.jpg
FILE_VERSION = 1
UNITS = ("fraction", "pixel")
_KEYS = {"x", "y", "color", "size", "unit"}  # of an entry of a file
_MAX_SIZE = 0.25
# Standard deviations of `correct`, in pixels of the network and in luma; and its window.
_DISTANCE, _LUMA_DISTANCE = 3.0, 0.15
_REACH = 7


@dataclasses.dataclass(frozen=True)
class Hint:
    """A place of a photograph and its color.

    The chroma of the color is used, at the photograph's own luma, and limited to what RGB has there: "#8a2b2b" and a
    brighter color of the same chroma are the same hint.

    Attributes:
      x, y: the place, from the left and the top of the upright photograph: as fractions from 0 to 1, or in pixels,
        where the first pixel is 0.
      color: a color as in CSS, such as "#8a2b2b", "rgb(138, 43, 43)" or "darkred".
      size: side of the square that has this color, as a fraction of the photograph's longer side, up to 0.25; at least
        one pixel of the network. The rest of an object is found by the network.
      unit: of `x` and `y`: "fraction" or "pixel".
    """

    x: float
    y: float
    color: str
    size: float = hint_planes.PLACE_SIZE
    unit: str = "fraction"

    def __post_init__(self) -> None:
        """Raises ValueError if a value is not valid."""
        if self.unit not in UNITS:
            raise ValueError(f'unit is "fraction" or "pixel", not {self.unit!r}')
        for name in ("x", "y", "size"):
            if not _is_number(getattr(self, name)):
                raise ValueError(f"{name} is a number, not {getattr(self, name)!r}")
        for name in ("x", "y"):
            value = getattr(self, name)
            if self.unit == "fraction" and not 0 <= value <= 1:
                raise ValueError(f"{name} is a fraction of the photograph, from 0 to 1, not {value}")
            if value < 0:
                raise ValueError(f"{name} is {value}, outside of the photograph")
        if not 0 < self.size <= _MAX_SIZE:
            raise ValueError(f"size is a fraction of the longer side, above 0 and up to {_MAX_SIZE}, not {self.size}")
        self.rgb()

    def rgb(self) -> tuple[int, int, int]:
        """The color, 0 to 255. Raises ValueError if it is none."""
        try:
            red, green, blue, *_ = ImageColor.getrgb(self.color)
            bytes((red, green, blue))  # Pillow takes "rgb(300, 0, 0)"
        except (ValueError, AttributeError, TypeError) as error:
            raise ValueError(f'color is a color such as "#8a2b2b", not {self.color!r}') from error
        return red, green, blue

    def as_fraction(self, width: int, height: int) -> tuple[float, float]:
        """(x, y) as fractions of a photograph of this size in pixels. Raises ValueError for a place outside of it."""
        if self.unit == "fraction":
            return self.x, self.y
        if self.x > width - 1 or self.y > height - 1:
            raise ValueError(f"({self.x}, {self.y}) is outside of the photograph, which has {width} x {height} pixels")
        return (self.x + 0.5) / width, (self.y + 0.5) / height


def read_hints(path: Path) -> list[Hint]:
    """The hints in a file, see docs/hints.md.

    Raises:
      UserError: it cannot be read, or an entry is not valid, which the message names.
    """
    try:
        return parse_hints(path.read_text(encoding="utf-8-sig"), str(path))  # Windows adds a mark
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not JSON: {error}") from error


def parse_hints(text: str, source: str) -> list[Hint]:
    """The hints in the text of a file. `source` names it in messages. Raises UserError as `read_hints`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source} is not JSON: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("hints"), list):
        raise UserError(f'{source} is not a file of hints: it needs {{"version": {FILE_VERSION}, "hints": [...]}}')
    version = content.get("version")
    if version != FILE_VERSION:
        what = f"of version {version}" if version else "without a version"
        raise UserError(
            f"{source} is a file of hints {what}, but this version of colorgan reads version {FILE_VERSION}"
        )
    if unknown := sorted(content.keys() - {"version", "unit", "hints"}):
        raise UserError(f"{source}: unknown key {unknown[0]!r}; the keys are version, unit and hints")
    hints = []
    for number, entry in enumerate(content["hints"], 1):
        try:
            hints.append(_parse({"unit": content.get("unit", "fraction"), **entry}))
        except (TypeError, ValueError) as error:
            text = f'not an object such as {{"x": 0.4, "y": 0.6, "color": "#8a2b2b"}}: {entry!r}'
            problem = error if isinstance(entry, dict) else text
            raise UserError(f"{source}: hint {number}: {problem}") from error
    return hints


def _parse(entry: dict[str, Any]) -> Hint:
    if unknown := sorted(entry.keys() - _KEYS):
        raise ValueError(f"unknown key {unknown[0]!r}; the keys are x, y, color, size and unit")
    if missing := [name for name in ("x", "y", "color") if name not in entry]:
        raise ValueError(f"it has no {missing[0]}")
    return Hint(**entry)


def write_hints(path: Path, hints: Sequence[Hint]) -> None:
    """Writes hints for `read_hints`. Raises OSError."""
    path.write_text(format_hints(hints), encoding="utf-8")


def format_hints(hints: Sequence[Hint]) -> str:
    """The text of a file of hints, for `parse_hints`."""
    content = {"version": FILE_VERSION, "hints": [to_entry(hint) for hint in hints]}
    return json.dumps(content, indent=1, default=float) + "\n"  # of NumPy's numbers


def to_entry(hint: Hint) -> dict[str, Any]:
    """The entry of a hint in a file, without the values that are the default."""
    values = {field.name: (getattr(hint, field.name), field.default) for field in dataclasses.fields(hint)}
    return {name: value for name, (value, default) in values.items() if value != default}


def read_for_one(path: Path, inputs: Sequence[Path]) -> list[Hint]:
    """The hints in a file for `inputs`, which has to be one file. Raises UserError."""
    if len(inputs) > 1 or inputs[0].is_dir():
        raise UserError(f"--hints is for one photograph; of several, each has its own in NAME{SUFFIX} beside NAME.EXT")
    return read_hints(path)


def from_truth(pixels: np.ndarray, places: np.ndarray) -> list[Hint]:
    """Hints with the mean colors of a photograph, uint8 [H,W,3], at places [N,2]: (row, column) as fractions."""
    height, width = pixels.shape[:2]
    side = hint_planes.PLACE_SIZE * max(height, width)
    centers = places * (height, width)
    first = (centers - side / 2).round().astype(int).clip(0, (height - 1, width - 1))
    end = np.maximum((centers + side / 2).round().astype(int), first + 1)
    hints = []
    for (row, column), (top, left), (bottom, right) in zip(places.tolist(), first, end, strict=True):
        mean = pixels[top:bottom, left:right].mean(axis=(0, 1)).round().astype(int)
        hints.append(Hint(column, row, "#{:02x}{:02x}{:02x}".format(*mean)))
    return hints


def find_beside(photo: Path) -> Path | None:
    """The file of hints beside a photograph, if there is one."""
    path = photo.with_name(photo.stem + SUFFIX)
    return path if path.is_file() else None


class Placed:
    """Hints in the square of a network: where they are, and which chroma they have there."""

    def __init__(
        self, hints: Sequence[Hint], size: tuple[int, int], box: tuple[float, float, float, float], gray: np.ndarray
    ) -> None:
        """Places hints. Those outside of `box` color nothing.

        Args:
          hints: of the photograph.
          size: its (height, width) in pixels.
          box: the part that is colored, see `paint.Prediction`.
          gray: the luma of this part, [h,w] in [-1,1], as in the network's square.

        Raises:
          ValueError: a hint is outside of the photograph.
        """
        height, width = size
        top, bottom, left, right = box
        fractions = [hint.as_fraction(width, height) for hint in hints]
        x, y = np.asarray(fractions, np.float32).reshape(-1, 2).T
        y, x = (y - top) / (bottom - top), (x - left) / (right - left)
        side = max(gray.shape)
        #: centers, (row, column) in pixels of `gray`, [N,2]
        self.places = np.stack([y * gray.shape[0], x * gray.shape[1]], axis=-1)
        inside = ((self.places >= 0) & (self.places <= gray.shape)).all(axis=-1)
        # On the last edge is in the last pixel.
        self.places = np.minimum(self.places, np.asarray(gray.shape, np.float32) - 0.5)[inside]
        longer = max((bottom - top) * height, (right - left) * width)
        #: sides in pixels of `gray`, [N]
        self.sizes = np.asarray([hint.size for hint in hints], np.float32)[inside] * max(size) / longer * side
        rgb = np.asarray([hint.rgb() for hint in hints], np.float32).reshape(-1, 3)[inside]
        rows, columns = np.floor(self.places).astype(int).clip(0).T
        luma = gray[rows, columns][:, None].astype(np.float32)
        wanted = color.rgb_to_chroma(rgb / 127.5 - 1)
        #: Cb and Cr that RGB has at the luma of the place, [N,2]
        self.chroma = color.rgb_to_chroma(color.chroma_to_rgb(luma, wanted))

    def planes(self, side: int, offset: tuple[int, int]) -> np.ndarray:
        """The planes [side,side,3] of `hint_planes`, with `gray` at `offset` (row, column).

        Later hints cover earlier ones.
        """
        planes = np.zeros((side, side, 3), np.float32)
        centers, reach = self.places + offset, np.maximum(self.sizes, 1)[:, None] / 2
        # Pixels with their centers inside, as in `hint_planes.render`.
        first, end = (np.floor(centers + sign * reach + 0.5).astype(int).clip(0, side) for sign in (-1, 1))
        for (top, left), (bottom, right), chroma in zip(first, end, self.chroma, strict=True):
            planes[top:bottom, left:right] = (*chroma, 1)
        return planes


def correct(chroma: np.ndarray, gray: np.ndarray, planes: np.ndarray) -> np.ndarray:
    """Chroma that has the colors of hints where they are, and nearby where the luma is similar.

    A network comes close to a hint. The difference that remains is added to it, with weights of a bilateral filter
    (Tomasi and Manduchi 1998).

    Args:
      chroma: of the network, [h,w,2].
      gray: luma, [h,w] in [-1,1].
      planes: of `hint_planes`, [h,w,3].
    """
    differences = planes[..., 2:] * np.concatenate([planes[..., :2] - chroma, planes[..., 2:]], axis=-1)
    sums, highest = np.zeros_like(differences), np.zeros_like(gray)
    height, width = gray.shape
    for down in range(-_REACH, _REACH + 1):
        for right in range(-_REACH, _REACH + 1):
            to = slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0))
            origin = slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0))
            nearness = (down**2 + right**2) / _DISTANCE**2 + ((gray[to] - gray[origin]) / _LUMA_DISTANCE) ** 2
            weight = np.exp(-nearness / 2) * planes[origin][..., 2]
            sums[to] += weight[..., None] * differences[origin]
            highest[to] = np.maximum(highest[to], weight)
    return chroma + highest[..., None] * sums[..., :2] / np.maximum(sums[..., 2:], 1e-6)


def _is_number(value: Any) -> bool:
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and abs(value) < math.inf  # not `isfinite`, which large integers overflow
