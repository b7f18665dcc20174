"""The canvas on which `scenes` draws: times of day, textures, and shapes with smooth edges.

The same random seed and index give the same bytes on every machine. This module and `scenes` therefore use only
elementwise arithmetic that is exactly rounded (no sine, exponential, power, matrix product or sum, whose last bits
differ between processors), and of the random generator only `Generator.random`. Coordinates are from 0 to 1, so a
scene does not depend on the image size.
"""

import functools

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]  # float32 at run time
Window = tuple[slice, slice]  # rows and columns of the canvas

# Colors of the zenith, the middle of the sky, the horizon, the sun or moon, and the clouds. Then the factors of the
# color of a material in light and in shadow.
_TIMES_OF_DAY = {
    "day": "387acf 74b2ea bbdff6 fffae1 ffffff fffaeb 7484a8",
    "golden": "6079b0 d2a596 fad78c fff5b4 fad2a8 e8c090 6e5a7a",
    "crimson": "4e4179 be7482 fab06e ffd782 ee9483 dca086 5a446c",
    "night": "0c1640 1c3668 3c689a e1e8ff 3c5688 4870ac 203266",
}
_TEXTURES = {  # cells along the width of an image, cells along its height, octaves
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
def rgb(*colors: int) -> Array:
    """Returns colors 0xRRGGBB as [3, 1, 1] (or [3, n, 1] for n colors), 0 to 255, to broadcast over a canvas."""
    channels = [[[color >> shift & 255] for color in colors] for shift in (16, 8, 0)]
    return _read_only(np.array(channels, np.float32))


@functools.cache
def _time_colors(name: str) -> Array:
    """Returns the row `name` of _TIMES_OF_DAY as [7, 3, 1, 1]."""
    return _read_only(np.stack([rgb(int(color, 16)) for color in _TIMES_OF_DAY[name].split()]))


@functools.cache
def _centers(size: int, periods: int = 1) -> Array:
    """Returns the coordinates of pixel centers [periods * size]; one image is 0 to 1."""
    return _read_only((np.arange(periods * size, dtype=np.float32) + 0.5) / size)


@functools.cache
def texture_of(name: str, size: int) -> Array:
    """Returns value noise [2 * size, 2 * size], 0 to 1. Octaves with cells below two pixels are left out."""
    across, down, octaves = _TEXTURES[name]
    noise = np.full((2 * size, 2 * size), 0.5, np.float32)
    for octave in range(octaves):
        if octave > 0 and (max(across, down) << octave) * 2 > size:
            break
        generator = np.random.Generator(np.random.PCG64([across, down, octave]))
        values = generator.random((2 * (down << octave) + 1, 2 * (across << octave) + 1), dtype=np.float32)
        for cells in (down << octave, across << octave):  # first along the height, then along the width
            scaled = _centers(size, 2) * cells
            cell, part = scaled.astype(np.intp), fraction(scaled)[:, None]
            values = mix(values[cell], values[cell + 1], part * part * (3 - 2 * part)).T
        noise += (values - 0.5) * (0.8 / (1 << octave))
    return _read_only(clip(noise))


@functools.cache
def dots(size: int) -> Array:
    """Returns flowers [2 * size, 2 * size], 24 per image width: above 0 inside, 0.2 to 0.5 in the center."""
    scaled = _centers(size, 2) * 24
    cell, part = scaled.astype(np.intp), fraction(scaled)
    places = np.random.Generator(np.random.PCG64(24)).random((3, 48, 48), dtype=np.float32)
    across, down, radius = places[:, cell][:, :, cell]
    across, down = part - 0.3 - 0.4 * across, part[:, None] - 0.3 - 0.4 * down
    return _read_only(0.2 + 0.3 * radius - np.sqrt(across * across + down * down))


def clip(values: Array) -> Array:
    """Limits values to 0 to 1. Faster than np.clip on small arrays."""
    return np.minimum(np.maximum(values, 0), 1)


def mix(first: Array, second: Array, part: Array | float) -> Array:
    """Interpolates from `first`, where `part` is 0, to `second`, where it is 1."""
    return first + (second - first) * part


def fraction(values: Array) -> Array:
    """Returns the fractional part, 0 to 1."""
    return values - np.floor(values)


class Scene:
    """A canvas with the time of day, the position of the sun or moon, and the random generator of one image.

    The constructor draws the time of day, and with it the colors of the sky and the light.

    Args:
      generator: the source of all random choices of the image.
      size: side of the image in pixels.

    Attributes:
      generator, size: as above.
      canvas: the image, float32 [3, size, size], 0 to 255.
      x, y: coordinates of the pixel centers, [size] and [size, 1], 0 to 1 from the left and from the top.
      time: "day", "sunset" or "night".
      sun_height: 0 to 1, the height of the sun above the horizon at sunset.
      sun_x: x of the sun or moon.
      side: 1 if the light comes from the right, -1 if from the left.
      zenith, middle, horizon, sun, cloud: colors, [3, 1, 1], 0 to 255.
      light, shadow: factors of the color of a material, [3, 1, 1].
    """

    def __init__(self, generator: np.random.Generator, size: int) -> None:
        self.generator, self.size = generator, size
        self.canvas = np.zeros((3, size, size), np.float32)
        self.x, self.y = _centers(size), _centers(size)[:, None]
        chance, self.sun_height = self.uniform(0, 1), self.uniform(0, 1)
        self.time = "day" if chance < 0.5 else "sunset" if chance < 0.78 else "night"
        if self.time == "sunset":
            colors = mix(_time_colors("crimson"), _time_colors("golden"), self.sun_height)
        else:
            colors = _time_colors(self.time)
        colors = colors * (0.95 + 0.1 * generator.random((3, 1, 1), dtype=np.float32))  # the tint
        self.zenith, self.middle, self.horizon, self.sun, self.cloud = colors[:5]
        self.light, self.shadow = colors[5:] / 255
        self.sun_x = self.uniform(0.12, 0.88)
        self.side = 1.0 if self.sun_x > 0.5 else -1.0  # the side of the light

    def uniform(self, low: float, high: float) -> float:
        """A random number from `low` to `high`."""
        return low + (high - low) * self.generator.random()

    def chance(self, probability: float) -> bool:
        """True with `probability`."""
        return self.generator.random() < probability

    def shift(self) -> int:
        """Returns a random number of pixels. It is a multiple of 1/16 of the image, so the same at every size."""
        return int(self.generator.random() * 16) * self.size // 16

    def crop(self, name: str) -> Array:
        """Returns a random window [size, size] of a texture."""
        top, left = self.shift(), self.shift()
        return texture_of(name, self.size)[top : top + self.size, left : left + self.size]

    def curve(self, name: str, height: float) -> Array:
        """Returns a random row [size] of a texture, scaled to the range `height` around 0."""
        return (self.crop(name)[0] - 0.5) * height

    def receding(self, texture: Array, depth: Array, images: float = 2) -> Array:
        """Returns `images` heights of a texture in perspective, [rows, size]; most compressed where `depth` is 0."""
        rows = ((1.5 - 0.75 / (depth[:, 0] + 0.5)) * (images * self.size)).astype(np.intp)
        left = self.shift()
        return texture[np.minimum(rows, 2 * self.size - 1), left : left + self.size]

    def below(self, top: Array | float) -> tuple[Window, Array, Array]:
        """Returns the window below the highest point of `top`, its y [rows, 1] and its depth [rows, 1], 0 to 1."""
        highest = float(np.min(top))
        rows = slice(max(int(highest * self.size), 0), self.size)
        return (rows, slice(None)), self.y[rows], clip((self.y[rows] - highest) / (1 - highest))

    def around(self, x: float, base: float, unit: float, box: tuple[float, ...]) -> tuple[Window, Array, Array]:
        """Returns the window of an object that stands at (x, base), and its coordinates.

        Args:
          x: of the point on the ground.
          base: y of that point.
          unit: unit of `box` and of the coordinates, as a fraction of the image.
          box: left and right edge relative to `x`, and height.

        Returns:
          The window, the coordinates [columns] to the right of `x`, and those [rows, 1] above `base`.
        """
        edges = base - box[2] * unit, base, x + box[0] * unit, x + box[1] * unit
        top, bottom, left, right = (max(int(edge * self.size), 0) for edge in edges)
        rows, columns = slice(top, bottom + 1), slice(left, right + 1)
        return (rows, columns), (self.x[columns] - x) / unit, (base - self.y[rows]) / unit

    def blend(self, where: Window, color: Array, cover: Array | float) -> None:
        """Blends `color`, which broadcasts to [3, rows, columns], into a window with the opacity `cover`, 0 to 1."""
        target = self.canvas[:, where[0], where[1]]
        target += (color - target) * cover

    def fill(self, where: Window, color: Array, inside: Array) -> None:
        """Draws a shape with smooth edges. `inside` is the distance to its edge, positive inside."""
        self.blend(where, color, clip(inside * self.size + 0.5))

    def shade(self, lit: Array | float) -> Array:
        """Returns the factor of the color of a material; `lit` is 0 in shadow, 1 in light."""
        return mix(self.shadow, self.light, lit)
