"""Finds the border around a scanned photograph: paper, an album page, a deckled edge, or a film's rebate."""

from typing import NamedTuple

import numpy as np

from colorgan.inference.paint import luma

# All lengths are shares of a side of the scan, and all differences are of luma in [-1,1].
_OUTERMOST = 0.01  # the strip that shows what the border looks like, and the narrowest border
_MAX_RAGGED = 0.02  # from the last line of the border to the first one of the photograph
_PHOTOGRAPH = 0.5  # of the pixels of a line of the photograph at most so many look like the border
_MIN_TOLERANCE, _MAX_TOLERANCE = 0.04, 0.25
_MAX_DIFFERENCE = 0.2  # between the borders of two sides
_MIN_AREA = 0.2
_MAX_SAMPLES = 512  # pixels of a line that are looked at
_MIN_PIXELS = 32  # of a side of the scan


class Rule(NamedTuple):
    """What is a border.

    Attributes:
      min_sides: that have one.
      min_share: of the pixels of each of its lines that look like the border.
      min_level: the least absolute value of its luma.
    """

    min_sides: int
    min_share: float
    min_level: float


# Around the whole photograph it may be gray, and have writing or perforations in it. On two sides, where sky and street
# would be such a border, it has to be even, and black or white.
_RULES = (Rule(4, 0.9, 0.0), Rule(2, 0.98, 0.85))


class Box(NamedTuple):
    """The photograph in a scan: rows from `top` to `bottom` and columns from `left` to `right`, ends not included."""

    top: int
    bottom: int
    left: int
    right: int


def find_photograph(pixels: np.ndarray) -> Box:
    """The part of a scan that is inside a border; all of it if there is none.

    A side has a border if its outermost lines have nearly one value, and the first line that has other values comes
    soon after the last of these: the edge of a photograph is straight, that of something bright or dark in it is not.
    Of 2,400 images of public data sets 28 have a border by these rules, and by eye.

    Args:
      pixels: the whole scan, uint8 or uint16 [H,W], [H,W,1] or [H,W,3].
    """
    height, width = pixels.shape[:2]
    whole = Box(0, height, 0, width)
    if min(height, width) < _MIN_PIXELS:
        return whole
    steps = [max(1, -(-size // _MAX_SAMPLES)) for size in (height, width)]
    if _count_even_sides(pixels[:: steps[0], :: steps[1]]) < min(rule.min_sides for rule in _RULES):
        return whole
    rows, columns = luma(pixels[:, :: steps[1]]), luma(pixels[:: steps[0]]).T  # every line, and some pixels of it
    for rule in _RULES:
        box, widths, levels = whole, [0], list[float]()
        for _ in range(2):  # the second time without what the other sides have
            inner_rows = rows[:, box.left // steps[1] : -(-box.right // steps[1])]
            inner_columns = columns[:, box.top // steps[0] : -(-box.bottom // steps[0])]
            sides = [_edge(lines, rule) for side in (inner_rows, inner_columns) for lines in (side, side[::-1])]
            top, bottom, left, right = widths = _completed(sides)
            box = Box(top, height - bottom, left, width - right)
            levels = [side.level for side in sides if side.edge]
            if box.top >= box.bottom or box.left >= box.right:
                return whole
        num_sides = len(widths) - widths.count(0)
        is_large = (box.bottom - box.top) * (box.right - box.left) >= _MIN_AREA * height * width
        if is_large and num_sides >= rule.min_sides and np.ptp(levels) <= _MAX_DIFFERENCE:
            return box
    return whole


def _count_even_sides(pixels: np.ndarray) -> int:
    """The number of sides whose outermost lines may be a border: most scans without one have none."""
    rows, columns = (max(1, round(_OUTERMOST * size)) for size in pixels.shape[:2])
    strips = map(luma, (pixels[:rows], pixels[-rows:], pixels[:, :columns], pixels[:, -columns:]))
    min_share = min(rule.min_share for rule in _RULES)
    return sum(bool((np.abs(strip - np.median(strip)) <= _MAX_TOLERANCE).mean() >= min_share) for strip in strips)


class _Side(NamedTuple):
    """One side of a scan.

    Attributes:
      edge: the number of lines of its border, 0 if it has none.
      level: the luma of its outermost lines.
      num_even: how many lines have that luma.
    """

    edge: int
    level: float
    num_even: int


def _completed(sides: list[_Side]) -> list[int]:
    """The widths of the borders of all sides.

    If only one has none, the photograph may begin with the value of the border, such as a white sky. Then its border is
    as wide as that of the side across.
    """
    widths = [side.edge for side in sides]
    if widths.count(0) == 1:
        missing = widths.index(0)
        across = widths[missing ^ 1]
        widths[missing] = across if sides[missing].num_even >= across else 0
    return widths


def _edge(lines: np.ndarray, rule: Rule) -> _Side:
    num_lines = len(lines)
    outermost = lines[: max(1, round(_OUTERMOST * num_lines))]
    level = float(np.median(outermost))
    tolerance = np.clip(4 * np.median(np.abs(outermost - level)), _MIN_TOLERANCE, _MAX_TOLERANCE)
    share = (np.abs(lines - level) <= tolerance).mean(axis=1)
    is_photograph = share <= _PHOTOGRAPH
    if not is_photograph.any() or abs(level) < rule.min_level:
        return _Side(0, level, 0)
    first = int(np.argmax(is_photograph))
    num_even = int(np.argmax(share < rule.min_share))
    has_border = num_even >= len(outermost) and first - num_even <= _MAX_RAGGED * num_lines
    return _Side(first if has_border else 0, level, num_even)
