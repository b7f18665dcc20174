"""Synthetic images that look natural: coasts, lakes, meadows, villages, deserts, snow and flower fields.

They are the default training data, the data of the tests and the input of the benchmark. A colorization network sees
only the gray image, so every color follows from something that is visible in gray:

* The sky shows the time of day. A high sun in an even sky is a blue day. A large low sun in a sky that becomes brighter
  towards the horizon is a sunset: golden, and redder the lower the sun is. A moon and stars are a blue night.
* Shape and texture show the material: horizontal streaks are sea, upright blades grass, faceted peaks rock with white
  snow, pointed trees dark green, round trees green or (if brighter) orange, ripples sand, and bricks red.
* The time of day sets the light on a material: golden at sunset, blue at night, when windows are lit.

The only part of the color that gray does not show is small: a random tint of a few percent for each image.

The same random seed and index give the same scene at every size, and the same bytes on every machine: see `canvas`.
"""

import numpy as np
from numpy.typing import NDArray

from colorgan.data.synthetic.canvas import Array, Scene, clip, dots, fraction, mix, rgb, texture_of


def create_image(index: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draws one image.

    Args:
      index: number of the image, at least 0.
      size: side in pixels, at least 16.
      seed: random seed, at least 0. Each seed gives another sequence of images.

    Returns:
      RGB, uint8 [size, size, 3].
    """
    scene = Scene(np.random.Generator(np.random.PCG64([seed, index])), size)
    compositions = (_coast, _alpine_lake, _forest_meadow, _village, _desert, _snow, _flower_field)
    compositions[int(scene.uniform(0, len(compositions)))](scene)
    pixels = np.minimum(np.maximum(scene.canvas, 0), 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


# Sky, land and water.


def _sky(scene: Scene, horizon: float) -> None:
    """Fills the canvas with a gradient, stars, the sun or moon, and clouds. Later layers cover it."""
    depth = clip(scene.y / horizon)
    upper = mix(scene.zenith, scene.middle, depth / 0.55)
    scene.canvas[:] = np.where(depth < 0.55, upper, mix(scene.middle, scene.horizon, (depth - 0.55) / 0.45))
    if scene.time == "night":
        stars = scene.generator.random((3, 50), dtype=np.float32)
        rows, columns = (stars[:2] * (scene.size - scene.size // 64)).astype(np.intp)
        width = max(scene.size // 100, 1)
        for down, across in np.ndindex(width, width):
            scene.canvas[:, rows + down, columns + across] += 40 + 170 * stars[2] * stars[2]
    if scene.time == "sunset":
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
    # A cloud becomes denser downwards at its top, which is lit. At sunset the light comes from below.
    lit = clip(0.6 + (under - here) * (-4 if scene.time == "sunset" else 4))
    cloud = mix(mix(scene.middle, scene.cloud, 0.3), scene.cloud, lit)
    scene.blend(where, cloud, clip((here - scene.uniform(0.46, 0.66)) * 5) * 0.92)


def _mountains(scene: Scene, base: float, height: float, snow_line: float, haze: float) -> None:
    """Peaks with a lit and a shaded face, which stand on `base`. `snow_line` is a fraction of `height`."""
    where, across, up = scene.around(0, base + 0.03, 1, (0, 1, height * 1.15 + 0.03))
    steepness, rough = scene.uniform(0.55, 0.95), scene.curve("ridge", 0.1)
    rock = scene.crop("rock")[where] - 0.5
    ridge, facing = np.zeros_like(across), np.zeros_like(rock)
    for peak in (0, 2, 4, 1, 3, 5):  # from back to front
        aside = across - (peak + scene.uniform(-0.4, 0.4)) / 5
        line = height * scene.uniform(0.45, 1) - steepness * np.abs(aside) + rough
        facing = np.where(up < line, aside, facing)
        ridge = np.maximum(ridge, line)
    lit = clip(0.45 + (facing * scene.side + rock * 0.16) * 16) * (0.85 + 0.6 * rock)
    snow = clip((up - height * snow_line + rock * 0.14) * 24)
    color = mix(rgb(0x80706E), rgb(0xFFFFFF), snow) * scene.shade(lit)
    scene.fill(where, mix(color, scene.middle, haze), ridge - up)


def _forest(scene: Scene, ground: Array | float, height: float, leafy: bool, autumn: bool = False) -> None:
    """Two rows of trees on the curve `ground` [size]. They extend below it; the next layer must cover that."""
    position = scene.x * scene.uniform(9, 16)
    heights = 0.5 + 0.5 * scene.generator.random((2, 32), dtype=np.float32)
    crown, lit = np.zeros_like(scene.x), np.zeros_like(scene.x)
    for row in range(2):  # the second row fills the gaps of the first
        shifted = position + 0.5 * row
        aside = 2 * fraction(shifted) - 1
        shape = np.sqrt(1 - aside * aside) if leafy else 1 - np.abs(aside)
        tree = heights[row, shifted.astype(np.intp)] * shape
        lit = np.where(tree > crown, 0.5 + 0.5 * scene.side * aside, lit)
        crown = np.maximum(crown, tree)
    top = ground - height * crown
    where, y, _ = scene.below(top)
    where = slice(where[0].start, int((float(np.max(ground)) + 0.06) * scene.size)), where[1]
    down = scene.y[where[0]] - top
    lit = lit * (0.95 - 0.6 * clip(down / height)) + (scene.crop("leaf")[where] - 0.5) * 0.8
    color = rgb(0xE08440 if autumn else 0x62A03C if leafy else 0x34704A)
    scene.fill(where, color * scene.shade(lit), down)


def _ground(scene: Scene, top: Array, texture: str, far: int, near: int, contrast: float) -> None:
    """Land below the curve `top` [size], from the color `far` to the color `near`."""
    where, y, depth = scene.below(top)
    lit = 0.8 + (scene.receding(texture_of(texture, scene.size), depth) - 0.5) * contrast
    scene.fill(where, mix(rgb(far), rgb(near), depth) * scene.shade(lit), y - top)


def _meadow(scene: Scene, top: Array) -> None:
    """Grass, often with flowers: in gray, yellow flowers are brighter than grass, and red ones darker."""
    _ground(scene, top, "grass", 0x9DBB58, 0x4C9638, 0.9)
    if scene.chance(0.6):
        where, y, depth = scene.below(top + 0.04)
        flowers = scene.receding(dots(scene.size), depth, 0.8) - scene.uniform(0, 0.25)
        color = rgb(0xFFE14B if scene.chance(0.5) else 0xC8283C) * scene.light
        scene.blend(where, color, clip(flowers * 8) * clip((y - top) * 20))


def _sea(scene: Scene, horizon: float, shore: float) -> None:
    """Waves in the sky's colors upside down; by day, turquoise near `shore` (its y)."""
    where, y, depth = scene.below(horizon)
    waves = scene.receding(texture_of("wave", scene.size), depth)
    if scene.time == "day":
        color = mix(rgb(0x145FA5), rgb(0x50C8BE), clip(1 - (shore - y) * 4) * 0.9)
    else:
        color = mix(mix(scene.horizon, scene.middle, clip(2 * depth)), scene.zenith, depth)
    glitter = clip(waves * 3.4 - 1.2 - np.abs(scene.x - scene.sun_x) / (0.05 + 0.3 * depth))
    color = mix(color * (0.62 + 0.6 * waves), scene.sun, glitter * (0.35 if scene.time == "day" else 0.9))
    scene.fill(where, color, y - horizon)


def _lake(scene: Scene, shore: float) -> None:
    """Still water that mirrors what is drawn above `shore` (its y)."""
    where, y, depth = scene.below(shore)
    down = y[:, 0] - shore
    ripple = np.abs(fraction(down * 23) - 0.5) * down * 0.35
    source = clip(shore - 0.005 - down * 0.95 - ripple) * scene.size
    water = mix(scene.canvas[:, source.astype(np.intp)], rgb(0x1E6E91) * scene.light, 0.15 + 0.4 * depth)
    waves = scene.receding(texture_of("wave", scene.size), depth)
    scene.fill(where, water * (0.7 + 0.5 * waves), y - shore)


def _dune(scene: Scene, top: float, height: float) -> None:
    """A ridge of sand with wind ripples, in shadow on the side away from the sun."""
    crest, step = scene.curve("hill", 1), max(scene.size // 16, 1)
    slope = np.empty_like(crest)
    slope[:-step] = (crest[step:] - crest[:-step]) * scene.side
    slope[-step:] = slope[-step - 1]
    where, y, _ = scene.below(top + height * crest)
    down = y - (top + height * crest)
    leaning = 1 - np.abs(1 - scene.x - clip(down) * 0.7)  # shadows extend sideways down the slope
    column = (clip(leaning) * (scene.size - 1)).astype(np.intp)
    ripples = np.abs(fraction(down * 22 + scene.x * 3) - 0.5)
    lit = clip(0.65 + slope[column] * 5) * (0.8 + 0.5 * ripples)
    scene.fill(where, rgb(0xF0B673) * scene.shade(lit), down)


def _furrows(scene: Scene, horizon: float) -> None:
    """Rows of flowers to the horizon. Equally dark rows are lavender, all others tulips."""
    where, y, depth = scene.below(horizon)
    across = (scene.x - scene.uniform(0.2, 0.8)) / (depth + 0.12) * scene.uniform(3, 5) + 64
    aside = np.abs(fraction(across) - 0.5) * 2  # 0 in the center of a row of plants
    bushes = scene.receding(texture_of("leaf", scene.size), depth) - 0.5
    # In gray, the rows of red, yellow and pink tulips are dark, bright and in between.
    kinds = rgb(0x8250C3, 0x8250C3, 0x8250C3) if scene.chance(0.5) else rgb(0xC8283C, 0xFFDC50, 0xF096B9)
    flower = kinds[:, np.floor(across).astype(np.intp) % 3, 0]
    plants = clip((0.62 - aside + bushes * 0.7) * 5)
    lit = 0.8 - 0.3 * aside * plants + bushes * 0.5
    scene.fill(where, mix(rgb(0x9BBE69), flower, plants) * scene.shade(lit), y - horizon)


# Objects.


def _conifer(scene: Scene, x: float, base: float, height: float, snowy: bool = False) -> None:
    where, across, up = scene.around(x, base, height, (-0.22, 0.22, 1))
    branches = fraction(5.5 - up * 5.5)  # 0 at the top of a tier, 1 at its tips
    half = np.where(up < 0.08, 0.025, (1 - up) * (0.13 + 0.09 * branches))
    lit = clip(0.15 + across * scene.side / (half + 0.02) * 0.5 + branches * 0.5)
    snow = clip(1.1 - branches * 3) if snowy else 0.0
    color = mix(rgb(0x2D7846), rgb(0xFAFCFF), snow)
    scene.fill(where, color * scene.shade(lit), (half - np.abs(across)) * height)


def _leafy_tree(scene: Scene, x: float, base: float, height: float, autumn: bool) -> None:
    where, across, up = scene.around(x, base, height, (-0.48, 0.48, 1.1))
    trunk = np.minimum(0.045 - np.abs(across), 0.5 - up)
    scene.fill(where, rgb(0x69462D) * scene.light, trunk * height)
    leaves = scene.crop("leaf")[where] - 0.5
    above = up - 0.64
    crown = 0.36 - np.sqrt(across * across + above * above) + leaves * 0.18
    lit = clip(0.55 + across * scene.side * 0.8 + above * 0.8 + leaves * 0.7)
    scene.fill(where, rgb(0xEB9137 if autumn else 0x5AA03C) * scene.shade(lit), crown * height)


def _palm(scene: Scene, x: float, base: float, height: float) -> None:
    where, across, up = scene.around(x, base, height, (-0.45, 0.45, 1.15))
    lean = across + scene.side * 0.14 * (1 - up) * (1 - up)
    trunk = np.minimum(0.03 - 0.012 * up - np.abs(lean), 1 - up)
    scene.fill(where, rgb(0x87603C) * scene.shade(0.6 + 0.4 * fraction(up * 12)), trunk * height)
    away = np.abs(across) / 0.42
    leaf = 0.06 * (1.02 - away) * (0.6 + fraction(away * 7))
    for rise, sag in ((0.55, 0.6), (0.25, 0.55), (-0.15, 0.35)):  # three pairs of fronds
        frond = leaf * (1.2 - rise) - np.abs(up - 1 - 0.42 * away * (rise - sag * away))
        scene.fill(where, rgb(0x41963C) * scene.shade(0.4 + rise), frond * height)


def _boat(scene: Scene, x: float, base: float, height: float) -> None:
    where, across, up = scene.around(x, base, height, (-0.5, 0.5, 1.1))
    sails = np.where(across > 0, 0.45 * (1.05 - up) - across, 0.35 * (0.9 - up) + across)
    scene.fill(where, rgb(0xFFFAF0) * scene.shade(0.7 + across), np.minimum(sails, up - 0.2) * height)
    hull = np.minimum(np.minimum(0.17 - up, up), 0.28 - np.abs(across) + up)
    scene.fill(where, rgb(0xC82D32) * scene.light, hull * height)


def _house(scene: Scene, left: float, base: float, width: float, snowy: bool = False) -> None:
    """A house seen from a corner: gable at 0..0.4 of the width, long side at 0.4..1, walls 0.42 high."""
    where, across, up = scene.around(left, base, width, (-0.05, 1.1, 0.8))
    kind = int(scene.uniform(0, 3))
    if kind == 0:  # courses of bricks, each shifted by half a brick, under slate
        shifted = across * 11 + np.floor(up * 17) * 0.5
        joints, wall, roof = (fraction(shifted) < 0.2) | (fraction(up * 17) < 0.25), 0xCD5F46, 0x5A6482
    elif kind == 1:  # boards under moss
        joints, wall, roof = fraction(across * 14) < 0.3, 0xA56C3C, 0x6E7850
    else:  # plaster under red tiles
        joints, wall, roof = np.zeros_like(across, bool), 0xFAE6BE, 0xD76941
    lit = np.where((across < 0.4) == (scene.side < 0), np.float32(1), np.float32(0.35))
    lit = lit - np.where(joints, np.float32(0.4), np.float32(0))
    eaves = np.where(across < 0.4, 0.76 - np.abs(across - 0.2) * 1.7, 0.42)
    front = np.minimum(np.minimum(eaves - up, across), 1 - across)
    scene.fill(where, rgb(wall) * scene.shade(lit), front * width)
    slant = (0.76 - up) * 0.6
    tiles = np.minimum(np.minimum(up - 0.4, 0.78 - up), np.minimum(across - 0.2 - slant, 0.88 + slant - across))
    shingles = scene.shade(0.45 + 0.55 * fraction(up * 15))
    scene.fill(where, rgb(0xFAFCFF if snowy else roof) * shingles, tiles * width)
    column = np.minimum(np.minimum(np.abs(across - 0.58), np.abs(across - 0.83)), np.abs(across - 0.2))
    panes = np.minimum(0.06 - column, 0.08 - np.abs(up - 0.24))
    scene.fill(where, rgb(0x3C506E if scene.time == "day" else 0xFFD76E), panes * width)


# Compositions.


def _coast(scene: Scene) -> None:
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
        foam = clip(1 - np.abs(y - line + 0.008) * 55) * (0.5 + scene.crop("leaf")[where])
        scene.blend(where, rgb(0xFFFFFF) * scene.light, clip(foam))
        if scene.chance(0.6):
            _palm(scene, scene.uniform(0.1, 0.9), scene.uniform(shore + 0.05, 1), scene.uniform(0.45, 0.7))


def _alpine_lake(scene: Scene) -> None:
    shore, leafy = scene.uniform(0.52, 0.64), scene.chance(0.4)
    _sky(scene, shore)
    _mountains(scene, shore, scene.uniform(0.3, 0.45), scene.uniform(0.3, 0.7), scene.uniform(0, 0.2))
    _forest(scene, shore - 0.02 + scene.curve("hill", 0.04), scene.uniform(0.06, 0.14), leafy, leafy)
    _lake(scene, shore)
    for _ in range(2):
        x = scene.uniform(0, 0.3)
        _conifer(scene, x if scene.chance(0.5) else 1 - x, 1.02, scene.uniform(0.35, 0.6))


def _forest_meadow(scene: Scene) -> None:
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


def _village(scene: Scene) -> None:
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


def _desert(scene: Scene) -> None:
    horizon = scene.uniform(0.45, 0.58)
    _sky(scene, horizon + 0.05)
    if scene.chance(0.5):
        _mountains(scene, horizon + 0.03, scene.uniform(0.12, 0.25), 2, 0.2)
    for layer in range(3):
        _dune(scene, horizon + 0.17 * layer, 0.1 + 0.1 * layer)
    for _ in range(int(scene.uniform(0, 4))):
        base = scene.uniform(horizon + 0.15, 0.97)
        _palm(scene, scene.uniform(0.1, 0.9), base, (base - horizon) * 0.8 + 0.1)


def _snow(scene: Scene) -> None:
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


def _flower_field(scene: Scene) -> None:
    horizon = scene.uniform(0.45, 0.58)
    _sky(scene, horizon)
    _mountains(scene, horizon, scene.uniform(0.05, 0.22), 2, 0.4)
    _forest(scene, horizon, scene.uniform(0.04, 0.1), True)
    _furrows(scene, horizon)
    if scene.chance(0.5):
        _house(scene, scene.uniform(0.05, 0.6), horizon + 0.07, scene.uniform(0.24, 0.34))
    if scene.chance(0.5):
        _leafy_tree(scene, scene.uniform(0.1, 0.9), horizon + 0.1, scene.uniform(0.25, 0.4), False)
