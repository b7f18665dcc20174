"""The canvas that procedural scenes are drawn on: hours of the day, textures, shapes with smooth edges.

There is only exactly rounded elementwise arithmetic here and in `procedural` (no sine, exponential, power, matrix
product or sum: their last bits differ between processors) and only `Generator.random`, so that the same (seed, index)
gives the same bytes on every machine. Coordinates run from 0 to 1, so a scene does not depend on its size.
"""

import functools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]  # float32 at run time
Window = tuple[slice, slice]  # rows and columns of the canvas

# Zenith, middle of the sky, horizon, sun or moon, cloud, then what light and shadow multiply a material by.
_HOURS = {
    "day": "387acf 74b2ea bbdff6 fffae1 ffffff fffaeb 7484a8",
    "golden": "6079b0 d2a596 fad78c fff5b4 fad2a8 e8c090 6e5a7a",
    "crimson": "4e4179 be7482 fab06e ffd782 ee9483 dca086 5a446c",
    "night": "0c1640 1c3668 3c689a e1e8ff 3c5688 4870ac 203266",
}
_TEXTURES = {  # cells across the image, cells down it, octaves
    "cloud": (3, 6, 5),
    "rock": (8, 6, 4),
    "leaf": (20, 20, 3),
    "grass": (44, 10, 2),
    "wave": (5, 32, 2),
    "sand": (2, 10, 2),
    "ridge": (6, 16, 4),
    "hill": (2, 16, 1),
}


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


@functools.cache
def rgb(*colours: int) -> Array:
    """Colours 0xRRGGBB as [3, 1, 1] (or [3, n, 1] for n of them) of 0..255, to broadcast over a canvas."""
    channels = [[[colour >> shift & 255] for colour in colours] for shift in (16, 8, 0)]
    return _read_only(np.array(channels, np.float32))


@functools.cache
def _hour_colours(name: str) -> Array:
    """The row `name` of _HOURS as [7, 3, 1, 1]."""
    return _read_only(np.stack([rgb(int(colour, 16)) for colour in _HOURS[name].split()]))


@functools.cache
def _centres(size: int, periods: int = 1) -> Array:
    """Pixel centres [periods * size], an image being 0..1."""
    return _read_only((np.arange(periods * size, dtype=np.float32) + 0.5) / size)


@functools.cache
def texture_of(name: str, size: int) -> Array:
    """Value noise [2 * size, 2 * size] of 0..1; octaves finer than two pixels are left out."""
    across, down, octaves = _TEXTURES[name]
    noise = np.full((2 * size, 2 * size), 0.5, np.float32)
    for octave in range(octaves):
        if octave > 0 and (max(across, down) << octave) * 2 > size:
            break
        generator = np.random.Generator(np.random.PCG64([across, down, octave]))
        values = generator.random((2 * (down << octave) + 1, 2 * (across << octave) + 1), dtype=np.float32)
        for cells in (down << octave, across << octave):  # along the rows, then along the columns
            scaled = _centres(size, 2) * cells
            cell, part = scaled.astype(np.intp), fraction(scaled)[:, None]
            values = mix(values[cell], values[cell + 1], part * part * (3 - 2 * part)).T
        noise += (values - 0.5) * (0.8 / (1 << octave))
    return _read_only(clip(noise))


@functools.cache
def dots(size: int) -> Array:
    """Blossoms [2 * size, 2 * size], 24 across an image: above 0 inside, 0.2 to 0.5 in the middle."""
    scaled = _centres(size, 2) * 24
    cell, part = scaled.astype(np.intp), fraction(scaled)
    places = np.random.Generator(np.random.PCG64(24)).random((3, 48, 48), dtype=np.float32)
    across, down, radius = places[:, cell][:, :, cell]
    across, down = part - 0.3 - 0.4 * across, part[:, None] - 0.3 - 0.4 * down
    return _read_only(0.2 + 0.3 * radius - np.sqrt(across * across + down * down))


def clip(values: Array) -> Array:
    """Values limited to 0..1 (np.clip takes longer on small arrays)."""
    return np.minimum(np.maximum(values, 0), 1)


def mix(first: Array, second: Array, part: Array | float) -> Array:
    """`first` where `part` is 0, `second` where it is 1."""
    return first + (second - first) * part


def fraction(values: Array) -> Array:
    """Fractional part, 0..1."""
    return values - np.floor(values)


class Scene:
    """A canvas [3, size, size] of 0..255 with its hour, its sun or moon and its random numbers."""

    def __init__(self, generator: np.random.Generator, size: int) -> None:
        self.generator, self.size = generator, size
        self.canvas = np.zeros((3, size, size), np.float32)
        self.x, self.y = _centres(size), _centres(size)[:, None]
        chance, self.sun_height = self.uniform(0, 1), self.uniform(0, 1)
        self.hour = "day" if chance < 0.5 else "sunset" if chance < 0.78 else "night"
        if self.hour == "sunset":
            colours = mix(_hour_colours("crimson"), _hour_colours("golden"), self.sun_height)
        else:
            colours = _hour_colours(self.hour)
        colours = colours * (0.95 + 0.1 * generator.random((3, 1, 1), dtype=np.float32))  # the tint
        self.zenith, self.middle, self.horizon, self.sun, self.cloud = colours[:5]
        self.light, self.shadow = colours[5:] / 255
        self.sun_x = self.uniform(0.12, 0.88)
        self.side = 1.0 if self.sun_x > 0.5 else -1.0  # from where things are lit

    def uniform(self, low: float, high: float) -> float:
        """A random number from `low` to `high`."""
        return low + (high - low) * self.generator.random()

    def chance(self, probability: float) -> bool:
        """True with `probability`."""
        return self.generator.random() < probability

    def shift(self) -> int:
        """A random number of pixels: whole sixteenths of the image, so the same at each size."""
        return int(self.generator.random() * 16) * self.size // 16

    def crop(self, name: str) -> Array:
        """A random window [size, size] of a texture."""
        top, left = self.shift(), self.shift()
        return texture_of(name, self.size)[top : top + self.size, left : left + self.size]

    def curve(self, name: str, height: float) -> Array:
        """A random row [size] of a texture, `height` high and around 0."""
        return (self.crop(name)[0] - 0.5) * height

    def receding(self, texture: Array, depth: Array, images: float = 2) -> Array:
        """`images` heights of a texture as a plane [rows, size] at a slant: flatter where `depth` is 0."""
        rows = ((1.5 - 0.75 / (depth[:, 0] + 0.5)) * (images * self.size)).astype(np.intp)
        left = self.shift()
        return texture[np.minimum(rows, 2 * self.size - 1), left : left + self.size]

    def below(self, top: Array | float) -> tuple[Window, Array, Array]:
        """The window below the highest point of `top`, its y [rows, 1] and its depth [rows, 1] of 0..1."""
        highest = float(np.min(top))
        rows = slice(max(int(highest * self.size), 0), self.size)
        return (rows, slice(None)), self.y[rows], clip((self.y[rows] - highest) / (1 - highest))

    def around(self, x: float, base: float, unit: float, box: tuple[float, ...]) -> tuple[Window, Array, Array]:
        """The window of a `box` (left, right, height) around a foot point, and its coordinates in `unit`s."""
        edges = base - box[2] * unit, base, x + box[0] * unit, x + box[1] * unit
        top, bottom, left, right = (max(int(edge * self.size), 0) for edge in edges)
        rows, columns = slice(top, bottom + 1), slice(left, right + 1)
        return (rows, columns), (self.x[columns] - x) / unit, (base - self.y[rows]) / unit

    def blend(self, where: Window, colour: Array, cover: Array | float) -> None:
        """Lays `colour` (broadcasts to [3, rows, columns]) over a window; `cover` is 0..1."""
        target = self.canvas[:, where[0], where[1]]
        target += (colour - target) * cover

    def fill(self, where: Window, colour: Array, inside: Array) -> None:
        """Draws a shape with smooth edges from the distance to its edge, positive inside."""
        self.blend(where, colour, clip(inside * self.size + 0.5))

    def shade(self, lit: Array | float) -> Array:
        """What the light multiplies a material by: `lit` 0 is in the shadow, 1 in the light."""
        return mix(self.shadow, self.light, lit)
