"""Natural-looking scenes made on the spot: coasts, lakes, meadows, villages, deserts, snow and flower fields.

They are the default training data, the data of the tests and the input of the benchmark. A colorization
network sees only the gray image, so every colour here follows from something that gray shows too:

* the hour from the sky: a high sun in an even sky is a blue day; a large low sun in a sky that brightens to
  the horizon is a sunset (golden, and redder the lower the sun is); a moon and stars are a blue night;
* the material from shape and texture: level streaks are sea, upright blades grass, faceted peaks rock, white
  on them snow, pointed trees dark green, round ones green or (if brighter) orange, ripples sand, bricks red;
* the light on a material from the hour: golden in the evening, blue at night, when windows are lit.

What is left to chance is small: a tint of a few percent for each image.

The same (seed, index) gives the same bytes on every machine. This is why there is only exactly rounded
elementwise arithmetic (no sine, exponential, power, matrix product or sum: their last bits differ between
processors) and only `Generator.random`. Coordinates run from 0 to 1, so a scene does not depend on its size.
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


def create_image(index: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Scene number `index` of the set `seed` (neither below 0) as uint8 RGB [size, size, 3]; size from 16."""
    scene = _Scene(np.random.Generator(np.random.PCG64([seed, index])), size)
    compositions = (_coast, _alpine_lake, _forest_meadow, _village, _desert, _snow, _flower_field)
    compositions[int(scene.uniform(0, len(compositions)))](scene)
    pixels = np.minimum(np.maximum(scene.canvas, 0), 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


# ---------------------------------------------------------------- tables and arithmetic


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


@functools.cache
def _rgb(*colours: int) -> Array:
    """Colours 0xRRGGBB as [3, 1, 1] (or [3, n, 1] for n of them) of 0..255, to broadcast over a canvas."""
    channels = [[[colour >> shift & 255] for colour in colours] for shift in (16, 8, 0)]
    return _read_only(np.array(channels, np.float32))


@functools.cache
def _hour_colours(name: str) -> Array:
    """The row `name` of _HOURS as [7, 3, 1, 1]."""
    return _read_only(np.stack([_rgb(int(colour, 16)) for colour in _HOURS[name].split()]))


@functools.cache
def _centres(size: int, periods: int = 1) -> Array:
    """Pixel centres [periods * size], an image being 0..1."""
    return _read_only((np.arange(periods * size, dtype=np.float32) + 0.5) / size)


@functools.cache
def _texture(name: str, size: int) -> Array:
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
            cell, part = scaled.astype(np.intp), _part(scaled)[:, None]
            values = _mix(values[cell], values[cell + 1], part * part * (3 - 2 * part)).T
        noise += (values - 0.5) * (0.8 / (1 << octave))
    return _read_only(_clip(noise))


@functools.cache
def _dots(size: int) -> Array:
    """Blossoms [2 * size, 2 * size], 24 across an image: above 0 inside, 0.2 to 0.5 in the middle."""
    scaled = _centres(size, 2) * 24
    cell, part = scaled.astype(np.intp), _part(scaled)
    places = np.random.Generator(np.random.PCG64(24)).random((3, 48, 48), dtype=np.float32)
    across, down, radius = places[:, cell][:, :, cell]
    across, down = part - 0.3 - 0.4 * across, part[:, None] - 0.3 - 0.4 * down
    return _read_only(0.2 + 0.3 * radius - np.sqrt(across * across + down * down))


def _clip(values: Array) -> Array:
    """Values limited to 0..1 (np.clip takes longer on small arrays)."""
    return np.minimum(np.maximum(values, 0), 1)


def _mix(first: Array, second: Array, part: Array | float) -> Array:
    """`first` where `part` is 0, `second` where it is 1."""
    return first + (second - first) * part


def _part(values: Array) -> Array:
    """Fractional part, 0..1."""
    return values - np.floor(values)


class _Scene:
    """A canvas [3, size, size] of 0..255 with its hour, its sun or moon and its random numbers."""

    def __init__(self, generator: np.random.Generator, size: int) -> None:
        self.generator, self.size = generator, size
        self.canvas = np.zeros((3, size, size), np.float32)
        self.x, self.y = _centres(size), _centres(size)[:, None]
        chance, self.sun_height = self.uniform(0, 1), self.uniform(0, 1)
        self.hour = "day" if chance < 0.5 else "sunset" if chance < 0.78 else "night"
        if self.hour == "sunset":
            colours = _mix(_hour_colours("crimson"), _hour_colours("golden"), self.sun_height)
        else:
            colours = _hour_colours(self.hour)
        colours = colours * (0.95 + 0.1 * generator.random((3, 1, 1), dtype=np.float32))  # the tint
        self.zenith, self.middle, self.horizon, self.sun, self.cloud = colours[:5]
        self.light, self.shadow = colours[5:] / 255
        self.sun_x = self.uniform(0.12, 0.88)
        self.side = 1.0 if self.sun_x > 0.5 else -1.0  # from where things are lit

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self.generator.random()

    def chance(self, probability: float) -> bool:
        return self.generator.random() < probability

    def shift(self) -> int:
        """A random number of pixels: whole sixteenths of the image, so the same at each size."""
        return int(self.generator.random() * 16) * self.size // 16

    def crop(self, name: str) -> Array:
        """A random window [size, size] of a texture."""
        top, left = self.shift(), self.shift()
        return _texture(name, self.size)[top : top + self.size, left : left + self.size]

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
        return (rows, slice(None)), self.y[rows], _clip((self.y[rows] - highest) / (1 - highest))

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
        self.blend(where, colour, _clip(inside * self.size + 0.5))

    def shade(self, lit: Array | float) -> Array:
        """What the light multiplies a material by: `lit` 0 is in the shadow, 1 in the light."""
        return _mix(self.shadow, self.light, lit)


# ---------------------------------------------------------------- sky, land and water


def _sky(scene: _Scene, horizon: float) -> None:
    """Gradient, stars, sun or moon, clouds; fills the canvas, later layers cover it."""
    depth = _clip(scene.y / horizon)
    upper = _mix(scene.zenith, scene.middle, depth / 0.55)
    scene.canvas[:] = np.where(depth < 0.55, upper, _mix(scene.middle, scene.horizon, (depth - 0.55) / 0.45))
    if scene.hour == "night":
        stars = scene.generator.random((3, 50), dtype=np.float32)
        rows, columns = (stars[:2] * (scene.size - scene.size // 64)).astype(np.intp)
        width = max(scene.size // 100, 1)
        for down, across in np.ndindex(width, width):
            scene.canvas[:, rows + down, columns + across] += 40 + 170 * stars[2] * stars[2]
    if scene.hour == "sunset":
        sun_y, radius, halo = horizon - 0.02 - 0.16 * scene.sun_height, 0.075, 0.03
    else:
        sun_y, radius, halo = horizon * scene.uniform(0.12, 0.35), 0.042, 0.007
    where = slice(0, int(horizon * scene.size) + 1), slice(None)
    across, down = scene.x - scene.sun_x, scene.y[where] - sun_y
    squared = across * across + down * down
    scene.blend(where, scene.sun, halo / (halo + squared))
    scene.fill(where, scene.sun, radius - np.sqrt(squared))
    noise, step = scene.crop("cloud"), max(scene.size // 20, 1)
    here, under = noise[where], noise[step:][where]
    # What gets thicker downwards is the top of a cloud. In the evening the light comes from below.
    lit = _clip(0.6 + (under - here) * (-4 if scene.hour == "sunset" else 4))
    cloud = _mix(_mix(scene.middle, scene.cloud, 0.3), scene.cloud, lit)
    scene.blend(where, cloud, _clip((here - scene.uniform(0.46, 0.66)) * 5) * 0.92)


def _mountains(scene: _Scene, base: float, height: float, snow_line: float, haze: float) -> None:
    """Peaks with a lit and a shaded face on `base`; snow above `snow_line`, a part of the height."""
    where, across, up = scene.around(0, base + 0.03, 1, (0, 1, height * 1.15 + 0.03))
    steepness, rough = scene.uniform(0.55, 0.95), scene.curve("ridge", 0.1)
    rock = scene.crop("rock")[where] - 0.5
    ridge, facing = np.zeros_like(across), np.zeros_like(rock)
    for peak in (0, 2, 4, 1, 3, 5):  # each one stands before the former ones
        aside = across - (peak + scene.uniform(-0.4, 0.4)) / 5
        line = height * scene.uniform(0.45, 1) - steepness * np.abs(aside) + rough
        facing = np.where(up < line, aside, facing)
        ridge = np.maximum(ridge, line)
    lit = _clip(0.45 + (facing * scene.side + rock * 0.16) * 16) * (0.85 + 0.6 * rock)
    snow = _clip((up - height * snow_line + rock * 0.14) * 24)
    colour = _mix(_rgb(0x80706E), _rgb(0xFFFFFF), snow) * scene.shade(lit)
    scene.fill(where, _mix(colour, scene.middle, haze), ridge - up)


def _forest(scene: _Scene, ground: Array | float, height: float, leafy: bool, autumn: bool = False) -> None:
    """Rows of trees on the curve `ground` [size]; they reach below it, for the next layer to cover."""
    position = scene.x * scene.uniform(9, 16)
    heights = 0.5 + 0.5 * scene.generator.random((2, 32), dtype=np.float32)
    crown, lit = np.zeros_like(scene.x), np.zeros_like(scene.x)
    for row in range(2):  # the trees of the second row fill the gaps of the first
        shifted = position + 0.5 * row
        aside = 2 * _part(shifted) - 1
        shape = np.sqrt(1 - aside * aside) if leafy else 1 - np.abs(aside)
        tree = heights[row, shifted.astype(np.intp)] * shape
        lit = np.where(tree > crown, 0.5 + 0.5 * scene.side * aside, lit)
        crown = np.maximum(crown, tree)
    top = ground - height * crown
    where, y, _ = scene.below(top)
    where = slice(where[0].start, int((float(np.max(ground)) + 0.06) * scene.size)), where[1]
    down = scene.y[where[0]] - top
    lit = lit * (0.95 - 0.6 * _clip(down / height)) + (scene.crop("leaf")[where] - 0.5) * 0.8
    colour = _rgb(0xE08440 if autumn else 0x62A03C if leafy else 0x34704A)
    scene.fill(where, colour * scene.shade(lit), down)


def _ground(scene: _Scene, top: Array, texture: str, far: int, near: int, contrast: float) -> None:
    """Land below the curve `top` [size], from the colour `far` to the colour `near`."""
    where, y, depth = scene.below(top)
    lit = 0.8 + (scene.receding(_texture(texture, scene.size), depth) - 0.5) * contrast
    scene.fill(where, _mix(_rgb(far), _rgb(near), depth) * scene.shade(lit), y - top)


def _meadow(scene: _Scene, top: Array) -> None:
    """Grass, often with blossoms: yellow ones are brighter than it in gray, red ones darker."""
    _ground(scene, top, "grass", 0x9DBB58, 0x4C9638, 0.9)
    if scene.chance(0.6):
        where, y, depth = scene.below(top + 0.04)
        blossoms = scene.receding(_dots(scene.size), depth, 0.8) - scene.uniform(0, 0.25)
        colour = _rgb(0xFFE14B if scene.chance(0.5) else 0xC8283C) * scene.light
        scene.blend(where, colour, _clip(blossoms * 8) * _clip((y - top) * 20))


def _sea(scene: _Scene, horizon: float, shore: float) -> None:
    """Waves with the sky's colours upside down, turquoise by day near a `shore` (its y)."""
    where, y, depth = scene.below(horizon)
    waves = scene.receding(_texture("wave", scene.size), depth)
    if scene.hour == "day":
        colour = _mix(_rgb(0x145FA5), _rgb(0x50C8BE), _clip(1 - (shore - y) * 4) * 0.9)
    else:
        colour = _mix(_mix(scene.horizon, scene.middle, _clip(2 * depth)), scene.zenith, depth)
    glitter = _clip(waves * 3.4 - 1.2 - np.abs(scene.x - scene.sun_x) / (0.05 + 0.3 * depth))
    colour = _mix(colour * (0.62 + 0.6 * waves), scene.sun, glitter * (0.35 if scene.hour == "day" else 0.9))
    scene.fill(where, colour, y - horizon)


def _lake(scene: _Scene, shore: float) -> None:
    """Still water that mirrors what has been painted above `shore` (its y)."""
    where, y, depth = scene.below(shore)
    down = y[:, 0] - shore
    ripple = np.abs(_part(down * 23) - 0.5) * down * 0.35
    source = _clip(shore - 0.005 - down * 0.95 - ripple) * scene.size
    water = _mix(scene.canvas[:, source.astype(np.intp)], _rgb(0x1E6E91) * scene.light, 0.15 + 0.4 * depth)
    waves = scene.receding(_texture("wave", scene.size), depth)
    scene.fill(where, water * (0.7 + 0.5 * waves), y - shore)


def _dune(scene: _Scene, top: float, height: float) -> None:
    """A ridge of sand with wind ripples, in the shadow where it falls away from the sun."""
    crest, step = scene.curve("hill", 1), max(scene.size // 16, 1)
    slope = np.empty_like(crest)
    slope[:-step] = (crest[step:] - crest[:-step]) * scene.side
    slope[-step:] = slope[-step - 1]
    where, y, _ = scene.below(top + height * crest)
    down = y - (top + height * crest)
    leaning = 1 - np.abs(1 - scene.x - _clip(down) * 0.7)  # shadows reach sideways down the slope
    column = (_clip(leaning) * (scene.size - 1)).astype(np.intp)
    ripples = np.abs(_part(down * 22 + scene.x * 3) - 0.5)
    lit = _clip(0.65 + slope[column] * 5) * (0.8 + 0.5 * ripples)
    scene.fill(where, _rgb(0xF0B673) * scene.shade(lit), down)


def _furrows(scene: _Scene, horizon: float) -> None:
    """Rows of flowers to the horizon: even dark ones are lavender, the others tulips."""
    where, y, depth = scene.below(horizon)
    across = (scene.x - scene.uniform(0.2, 0.8)) / (depth + 0.12) * scene.uniform(3, 5) + 64
    aside = np.abs(_part(across) - 0.5) * 2  # 0 in the middle of a row of plants
    bushes = scene.receding(_texture("leaf", scene.size), depth) - 0.5
    # Red, yellow and pink by turns are dark, bright and middling in gray.
    kinds = _rgb(0x8250C3, 0x8250C3, 0x8250C3) if scene.chance(0.5) else _rgb(0xC8283C, 0xFFDC50, 0xF096B9)
    blossom = kinds[:, np.floor(across).astype(np.intp) % 3, 0]
    plants = _clip((0.62 - aside + bushes * 0.7) * 5)
    lit = 0.8 - 0.3 * aside * plants + bushes * 0.5
    scene.fill(where, _mix(_rgb(0x9BBE69), blossom, plants) * scene.shade(lit), y - horizon)


# ---------------------------------------------------------------- things


def _conifer(scene: _Scene, x: float, base: float, height: float, snowy: bool = False) -> None:
    where, across, up = scene.around(x, base, height, (-0.22, 0.22, 1))
    branches = _part(5.5 - up * 5.5)  # 0 at the top of a tier, 1 at its tips
    half = np.where(up < 0.08, 0.025, (1 - up) * (0.13 + 0.09 * branches))
    lit = _clip(0.15 + across * scene.side / (half + 0.02) * 0.5 + branches * 0.5)
    snow = _clip(1.1 - branches * 3) if snowy else 0.0
    colour = _mix(_rgb(0x2D7846), _rgb(0xFAFCFF), snow)
    scene.fill(where, colour * scene.shade(lit), (half - np.abs(across)) * height)


def _leafy_tree(scene: _Scene, x: float, base: float, height: float, autumn: bool) -> None:
    where, across, up = scene.around(x, base, height, (-0.48, 0.48, 1.1))
    trunk = np.minimum(0.045 - np.abs(across), 0.5 - up)
    scene.fill(where, _rgb(0x69462D) * scene.light, trunk * height)
    leaves = scene.crop("leaf")[where] - 0.5
    above = up - 0.64
    crown = 0.36 - np.sqrt(across * across + above * above) + leaves * 0.18
    lit = _clip(0.55 + across * scene.side * 0.8 + above * 0.8 + leaves * 0.7)
    scene.fill(where, _rgb(0xEB9137 if autumn else 0x5AA03C) * scene.shade(lit), crown * height)


def _palm(scene: _Scene, x: float, base: float, height: float) -> None:
    where, across, up = scene.around(x, base, height, (-0.45, 0.45, 1.15))
    lean = across + scene.side * 0.14 * (1 - up) * (1 - up)
    trunk = np.minimum(0.03 - 0.012 * up - np.abs(lean), 1 - up)
    scene.fill(where, _rgb(0x87603C) * scene.shade(0.6 + 0.4 * _part(up * 12)), trunk * height)
    away = np.abs(across) / 0.42
    leaf = 0.06 * (1.02 - away) * (0.6 + _part(away * 7))
    for rise, sag in ((0.55, 0.6), (0.25, 0.55), (-0.15, 0.35)):  # three pairs of fronds
        frond = leaf * (1.2 - rise) - np.abs(up - 1 - 0.42 * away * (rise - sag * away))
        scene.fill(where, _rgb(0x41963C) * scene.shade(0.4 + rise), frond * height)


def _boat(scene: _Scene, x: float, base: float, height: float) -> None:
    where, across, up = scene.around(x, base, height, (-0.5, 0.5, 1.1))
    sails = np.where(across > 0, 0.45 * (1.05 - up) - across, 0.35 * (0.9 - up) + across)
    scene.fill(where, _rgb(0xFFFAF0) * scene.shade(0.7 + across), np.minimum(sails, up - 0.2) * height)
    hull = np.minimum(np.minimum(0.17 - up, up), 0.28 - np.abs(across) + up)
    scene.fill(where, _rgb(0xC82D32) * scene.light, hull * height)


def _house(scene: _Scene, left: float, base: float, width: float, snowy: bool = False) -> None:
    """A house seen from a corner: gable at 0..0.4 of the width, long side at 0.4..1, walls 0.42 high."""
    where, across, up = scene.around(left, base, width, (-0.05, 1.1, 0.8))
    kind = int(scene.uniform(0, 3))
    if kind == 0:  # courses of bricks, each shifted by half a brick, under slate
        shifted = across * 11 + np.floor(up * 17) * 0.5
        joints, wall, roof = (_part(shifted) < 0.2) | (_part(up * 17) < 0.25), 0xCD5F46, 0x5A6482
    elif kind == 1:  # boards under moss
        joints, wall, roof = _part(across * 14) < 0.3, 0xA56C3C, 0x6E7850
    else:  # plaster under red tiles
        joints, wall, roof = np.zeros_like(across, bool), 0xFAE6BE, 0xD76941
    lit = np.where((across < 0.4) == (scene.side < 0), np.float32(1), np.float32(0.35))
    lit = lit - np.where(joints, np.float32(0.4), np.float32(0))
    eaves = np.where(across < 0.4, 0.76 - np.abs(across - 0.2) * 1.7, 0.42)
    front = np.minimum(np.minimum(eaves - up, across), 1 - across)
    scene.fill(where, _rgb(wall) * scene.shade(lit), front * width)
    slant = (0.76 - up) * 0.6
    tiles = np.minimum(np.minimum(up - 0.4, 0.78 - up), np.minimum(across - 0.2 - slant, 0.88 + slant - across))
    shingles = scene.shade(0.45 + 0.55 * _part(up * 15))
    scene.fill(where, _rgb(0xFAFCFF if snowy else roof) * shingles, tiles * width)
    column = np.minimum(np.minimum(np.abs(across - 0.58), np.abs(across - 0.83)), np.abs(across - 0.2))
    panes = np.minimum(0.06 - column, 0.08 - np.abs(up - 0.24))
    scene.fill(where, _rgb(0x3C506E if scene.hour == "day" else 0xFFD76E), panes * width)


# ---------------------------------------------------------------- compositions


def _coast(scene: _Scene) -> None:
    horizon, shore = scene.uniform(0.42, 0.58), scene.uniform(0.78, 1.1)
    _sky(scene, horizon)
    if scene.chance(0.5):
        _mountains(scene, horizon - 0.02, scene.uniform(0.08, 0.18), 2, 0.4)
    _sea(scene, horizon, shore)
    for _ in range(int(scene.uniform(0, 3))):
        base = scene.uniform(horizon + 0.04, horizon + 0.16)
        _boat(scene, scene.uniform(0.1, 0.9), base, 0.08 + (base - horizon))
    if shore < 0.95:
        line = shore + scene.curve("hill", 0.14)
        _ground(scene, line, "sand", 0xD2AA73, 0xF5D796, 0.6)
        where, y, _ = scene.below(line - 0.03)
        foam = _clip(1 - np.abs(y - line + 0.008) * 55) * (0.5 + scene.crop("leaf")[where])
        scene.blend(where, _rgb(0xFFFFFF) * scene.light, _clip(foam))
        if scene.chance(0.6):
            _palm(scene, scene.uniform(0.1, 0.9), scene.uniform(shore + 0.05, 1), scene.uniform(0.45, 0.7))


def _alpine_lake(scene: _Scene) -> None:
    shore, leafy = scene.uniform(0.52, 0.64), scene.chance(0.4)
    _sky(scene, shore)
    _mountains(scene, shore, scene.uniform(0.3, 0.45), scene.uniform(0.3, 0.7), scene.uniform(0, 0.2))
    _forest(scene, shore - 0.02 + scene.curve("hill", 0.04), scene.uniform(0.06, 0.14), leafy, leafy)
    _lake(scene, shore)
    for _ in range(2):
        x = scene.uniform(0, 0.3)
        _conifer(scene, x if scene.chance(0.5) else 1 - x, 1.02, scene.uniform(0.35, 0.6))


def _forest_meadow(scene: _Scene) -> None:
    horizon, autumn = scene.uniform(0.5, 0.62), scene.chance(0.35)
    _sky(scene, horizon)
    _mountains(scene, horizon, scene.uniform(0.1, 0.3), scene.uniform(0.5, 1.2), 0.3)
    line = horizon + scene.curve("hill", 0.1)
    _forest(scene, line, scene.uniform(0.12, 0.22), autumn or scene.chance(0.5), autumn)
    _meadow(scene, line)
    for _ in range(2):
        x, base = scene.uniform(0.05, 0.95), scene.uniform(horizon + 0.1, 0.95)
        if scene.chance(0.6):
            _leafy_tree(scene, x, base, (base - horizon) * 0.8 + 0.2, autumn)
        else:
            _conifer(scene, x, base, (base - horizon) * 0.9 + 0.2)


def _village(scene: _Scene) -> None:
    horizon, first = scene.uniform(0.45, 0.55), scene.uniform(-0.05, 0.1)
    _sky(scene, horizon)
    _mountains(scene, horizon, scene.uniform(0.12, 0.3), scene.uniform(0.5, 1.2), 0.25)
    line = horizon + scene.curve("hill", 0.1)
    _forest(scene, line, scene.uniform(0.06, 0.14), scene.chance(0.5))
    _meadow(scene, line)
    for house, place in enumerate((0.37, 0.7, 0)):  # the farthest first
        base = 0.13 + 0.12 * house + scene.uniform(0, 0.05)
        _house(scene, first + place + scene.uniform(-0.04, 0.04), horizon + base, 0.22 + base * 0.4)
    _leafy_tree(scene, scene.uniform(0.3, 1), 0.97, scene.uniform(0.25, 0.4), scene.chance(0.3))


def _desert(scene: _Scene) -> None:
    horizon = scene.uniform(0.45, 0.58)
    _sky(scene, horizon + 0.05)
    if scene.chance(0.5):
        _mountains(scene, horizon + 0.03, scene.uniform(0.12, 0.25), 2, 0.2)
    for layer in range(3):
        _dune(scene, horizon + 0.17 * layer, 0.1 + 0.1 * layer)
    for _ in range(int(scene.uniform(0, 4))):
        base = scene.uniform(horizon + 0.15, 0.97)
        _palm(scene, scene.uniform(0.1, 0.9), base, (base - horizon) * 0.8 + 0.1)


def _snow(scene: _Scene) -> None:
    horizon = scene.uniform(0.5, 0.62)
    _sky(scene, horizon)
    _mountains(scene, horizon, scene.uniform(0.25, 0.42), scene.uniform(0, 0.5), 0.1)
    _forest(scene, horizon, scene.uniform(0.06, 0.14), False)
    _ground(scene, horizon + scene.curve("hill", 0.08), "sand", 0xFAFCFF, 0xFAFCFF, 1.2)
    if scene.chance(0.7):
        _house(scene, scene.uniform(0.05, 0.55), scene.uniform(0.75, 0.88), scene.uniform(0.32, 0.45), True)
    for _ in range(3):
        base = scene.uniform(horizon + 0.12, 1)
        _conifer(scene, scene.uniform(0, 1), base, (base - horizon) * 0.8 + 0.15, True)


def _flower_field(scene: _Scene) -> None:
    horizon = scene.uniform(0.45, 0.58)
    _sky(scene, horizon)
    _mountains(scene, horizon, scene.uniform(0.05, 0.22), 2, 0.4)
    _forest(scene, horizon, scene.uniform(0.04, 0.1), True)
    _furrows(scene, horizon)
    if scene.chance(0.5):
        _house(scene, scene.uniform(0.05, 0.6), horizon + 0.07, scene.uniform(0.24, 0.34))
    if scene.chance(0.5):
        _leafy_tree(scene, scene.uniform(0.1, 0.9), horizon + 0.1, scene.uniform(0.25, 0.4), False)
