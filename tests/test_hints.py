"""Hints from Python and from files, and where they are in the square of a network."""

import json
import time
from typing import Any

import numpy as np
import pytest
from conftest import follow_hints
from PIL import Image

import colorgan
from colorgan import color, hint_planes
from colorgan.errors import UserError
from colorgan.inference import hints
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.hints import Hint, Placed
from colorgan.inference.paint import WHOLE, shrink

SIDE = 32


class _Network:
    """Follows hints, and keeps the planes of the last photograph."""

    def __init__(self):
        self.planes = None

    def __call__(self, gray, planes=None):
        self.planes = planes
        return follow_hints(gray, planes)


def _photograph(height, width):
    """Smooth, of middle gray: uint8 [height,width]."""
    small = np.random.default_rng(0).integers(100, 150, (3, 4)).astype(np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR))


def _planes(photo, *given, **options):
    """The planes [S,S,3] for a photograph, or None."""
    network = _Network()
    Colorizer(network, SIDE, takes_hints=True)(photo, hints=given, **options)
    return None if network.planes is None else network.planes[0]


def _chroma(name):
    return color.rgb_to_chroma(np.asarray(Hint(0, 0, name).rgb(), np.float32) / 127.5 - 1)


def _write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"x": 1.01}, "x is a fraction of the photograph, from 0 to 1, not 1.01"),
        ({"y": -0.01}, "y is a fraction of the photograph, from 0 to 1, not -0.01"),
        ({"y": -1, "unit": "pixel"}, "y is -1, outside of the photograph"),
        ({"x": "0.5"}, "x is a number, not '0.5'"),
        ({"x": True}, "x is a number, not True"),
        ({"y": float("nan")}, "y is a number, not nan"),
        ({"x": None}, "x is a number, not None"),
        ({"size": float("inf")}, "size is a number, not inf"),
        ({"size": 0}, "size is a fraction of the longer side, above 0 and up to 0.25, not 0"),
        ({"size": 0.26}, "size is a fraction of the longer side, above 0 and up to 0.25, not 0.26"),
        ({"unit": "px"}, 'unit is "fraction" or "pixel", not \'px\''),
        ({"unit": ["pixel"]}, 'unit is "fraction" or "pixel", not [\'pixel\']'),
        ({"color": "reddish"}, "color is a color such as \"#8a2b2b\", not 'reddish'"),
        ({"color": "#12345"}, "color is a color such as \"#8a2b2b\", not '#12345'"),
        ({"color": "rgb(300, 0, 0)"}, "color is a color such as \"#8a2b2b\", not 'rgb(300, 0, 0)'"),
        ({"color": 255}, 'color is a color such as "#8a2b2b", not 255'),
        ({"color": None}, 'color is a color such as "#8a2b2b", not None'),
    ],
)
def test_a_value_that_is_not_valid_is_named_in_python_and_in_a_file(values, message, tmp_path):
    valid = {"x": 0.5, "y": 0.5, "color": "red"}
    with pytest.raises(ValueError, match=".") as error:
        Hint(**valid | values)
    assert str(error.value) == message
    path = _write(tmp_path / "a.hints.json", {"version": 1, "hints": [valid, valid | values]})
    with pytest.raises(UserError) as user_error:
        hints.read_hints(path)
    assert str(user_error.value) == f"{path}: hint 2: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", " is not JSON: Expecting value: line 1 column 1 (char 0)"),
        ('{"version": 1, "hints": [', " is not JSON: Expecting value: line 1 column 26 (char 25)"),
        ("[" * 100_000, " is not JSON: maximum recursion depth exceeded"),
        ([], ' is not a file of hints: it needs {"version": 1, "hints": [...]}'),
        ({"version": 1}, ' is not a file of hints: it needs {"version": 1, "hints": [...]}'),
        ({"version": 1, "hints": {}}, ' is not a file of hints: it needs {"version": 1, "hints": [...]}'),
        ({"hints": []}, " is a file of hints without a version, but this version of colorgan reads version 1"),
        ({"version": 2, "hints": []}, " is a file of hints of version 2, but this version of colorgan reads version 1"),
        ({"version": 1, "hints": [], "units": "pixel"}, ": unknown key 'units'; the keys are version, unit and hints"),
        (
            {"version": 1, "hints": [[0.1, 0.2, "red"]]},
            ': hint 1: not an object such as {"x": 0.4, "y": 0.6, "color": "#8a2b2b"}: [0.1, 0.2, \'red\']',
        ),
        ({"version": 1, "hints": [{"x": 1, "y": 1}]}, ": hint 1: it has no color"),
        ({"version": 1, "hints": [{}]}, ": hint 1: it has no x"),
        (
            {"version": 1, "hints": [{"x": 1, "y": 1, "colour": "red"}]},
            ": hint 1: unknown key 'colour'; the keys are x, y, color, size and unit",
        ),
        (
            {"version": 1, "unit": "inch", "hints": [{"x": 1, "y": 1, "color": "red"}]},
            ': hint 1: unit is "fraction" or "pixel", not \'inch\'',
        ),
        (
            '{"version": 1, "hints": [{"x": 1' + "0" * 400 + ', "y": 0, "color": "red"}]}',
            f": hint 1: x is a fraction of the photograph, from 0 to 1, not 1{'0' * 400}",
        ),
        ('{"version": 1, "hints": [{"x": NaN, "y": 0, "color": "red"}]}', ": hint 1: x is a number, not nan"),
    ],
)
def test_a_file_that_is_not_valid_is_one_sentence(content, message, tmp_path):
    path = _write(tmp_path / "a.hints.json", content)
    with pytest.raises(UserError) as error:
        hints.read_hints(path)
    assert str(error.value).startswith(f"{path}{message}")
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read(tmp_path):
    for path, message in ((tmp_path / "gone.json", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError, match=f"^cannot read {path}: {message}$"):
            hints.read_hints(path)
    (tmp_path / "latin.json").write_bytes(b'{"version": 1, "hints": ["\xe9"]}')
    with pytest.raises(UserError, match=r"latin.json is not JSON: 'utf-8' codec"):
        hints.read_hints(tmp_path / "latin.json")


def test_a_file_has_the_hints_that_were_written(tmp_path):
    numbers: Any = np.float32(0.1), np.int64(1)
    given = [
        Hint(0.25, 1, "#8a2b2b"),
        Hint(3, 0, "rgb(10, 20, 30)", unit="pixel"),
        Hint(numbers[0], numbers[1], "darkred", size=0.25),
    ]
    for some in (given, []):
        hints.write_hints(tmp_path / "a.json", some)
        assert hints.read_hints(tmp_path / "a.json") == some
    hints.write_hints(tmp_path / "a.json", given[:1])
    written = json.loads((tmp_path / "a.json").read_text())
    assert written == {"version": 1, "hints": [{"x": 0.25, "y": 1, "color": "#8a2b2b"}]}


def test_the_unit_of_a_file_is_that_of_hints_without_one(tmp_path):
    entries = [{"x": 1, "y": 1, "color": "red"}, {"x": 0.5, "y": 0.5, "color": "red", "unit": "fraction"}]
    read = hints.read_hints(_write(tmp_path / "a.json", {"version": 1, "unit": "pixel", "hints": entries}))
    assert [hint.unit for hint in read] == ["pixel", "fraction"]


def test_colors_as_in_css():
    for name in (
        "#f00",
        "#ff0000",
        "#ff0000aa",
        "red",
        "RED",
        "rgb(255, 0, 0)",
        "rgb(100%, 0%, 0%)",
        "hsl(0, 100%, 50%)",
    ):
        assert Hint(0, 0, name).rgb() == (255, 0, 0), name


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (24, 32), (48, 64), (200, 100)])
def test_a_hint_is_where_the_photograph_has_it(shape):
    """The square is centered, and its longer side is the photograph's."""
    photo, (height, width) = _photograph(*shape), shape
    row, column = height // 4, 3 * width // 4
    in_pixels = _planes(photo, Hint(column, row, "#a06050", unit="pixel"))
    in_fractions = _planes(photo, Hint((column + 0.5) / width, (row + 0.5) / height, "#a06050"))
    np.testing.assert_array_equal(in_pixels, in_fractions)
    scale = SIDE / max(shape)
    expected = [
        int((SIDE - n * scale) / 2 + (place + 0.5) * scale) for n, place in zip(shape, (row, column), strict=True)
    ]
    np.testing.assert_array_equal(np.argwhere(in_pixels[..., 2]), [expected])
    np.testing.assert_allclose(in_pixels[*expected, :2], _chroma("#a06050"), atol=1e-5)


@pytest.mark.parametrize("size", [0.001, hint_planes.PLACE_SIZE, 0.1, 0.25])
def test_the_size_is_a_share_of_the_longer_side(size):
    for shape in ((32, 32), (100, 200), (64, 16)):
        planes = _planes(_photograph(*shape), Hint(0.5, 0.5, "#a06050", size=size))
        rows, columns = (planes[..., 2].any(axis=axis).sum() for axis in (1, 0))
        assert rows == columns == pytest.approx(max(1, size * SIDE), abs=1)


def test_corners_are_in_the_photograph():
    for shape in ((SIDE, SIDE), (48, 64)):
        top = (SIDE - SIDE * shape[0] // max(shape)) // 2
        for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
            found = np.argwhere(_planes(_photograph(*shape), Hint(x, y, "#a06050", size=0.001))[..., 2])
            np.testing.assert_array_equal(found, [(SIDE - 1 - top if y else top, (SIDE - 1) * x)])
            at_pixel = Hint(x * (shape[1] - 1), y * (shape[0] - 1), "#a06050", size=0.001, unit="pixel")
            np.testing.assert_array_equal(np.argwhere(_planes(_photograph(*shape), at_pixel)[..., 2]), found)


def test_a_pixel_is_its_middle():
    assert Hint(3, 0, "red", unit="pixel").as_fraction(8, 4) == (3.5 / 8, 0.5 / 4)
    assert Hint(0.3, 1, "red").as_fraction(8, 4) == (0.3, 1)


def test_a_pixel_outside_of_the_photograph_is_an_error():
    photo = _photograph(20, 30)
    for x, y in ((30, 0), (0, 20), (10**400, 0)):
        with pytest.raises(ValueError, match=rf"^\({x}, {y}\) is outside of the photograph, which has 30 x 20 pixels$"):
            _planes(photo, Hint(0.5, 0.5, "red"), Hint(x, y, "red", unit="pixel"))
    assert _planes(photo, Hint(29, 19, "red", unit="pixel")) is not None


def test_of_hints_at_one_place_the_last_one_counts():
    first, second = Hint(0.5, 0.5, "#a06050", size=0.25), Hint(0.5, 0.5, "#5060a0", size=0.1)
    planes = _planes(_photograph(SIDE, SIDE), first, second)
    np.testing.assert_allclose(planes[16, 16, :2], _chroma("#5060a0"), atol=1e-5)
    np.testing.assert_allclose(planes[13, 13, :2], _chroma("#a06050"), atol=1e-5)
    np.testing.assert_array_equal(
        _planes(_photograph(SIDE, SIDE), second, first), _planes(_photograph(SIDE, SIDE), first)
    )


def test_planes_are_as_in_training():
    """For hints that do not overlap, the same as those of `hint_planes.render`."""
    gray = shrink(_photograph(SIDE, SIDE), SIDE)
    given = [Hint(0.1, 0.1, "#a06050", 0.2), Hint(0.55, 0.6, "#5060a0", 0.12), Hint(0.93, 0.2, "#50a060", 0.01)]
    placed = Placed(given, (SIDE, SIDE), WHOLE, gray)
    given_as = placed.places, placed.sizes, placed.chroma, np.ones(3)
    arrays: Any = [array[None].astype(np.float32) for array in given_as]
    rendered = hint_planes.render(*(*arrays, SIDE))[0]
    np.testing.assert_allclose(placed.planes(SIDE, (0, 0)), rendered, atol=1e-6)


def test_thousands_of_hints_take_no_time():
    rng = np.random.default_rng(0)
    given = [Hint(x, y, "#a06050") for x, y in rng.uniform(0, 1, (10_000, 2))]
    start = time.process_time()
    planes = _planes(_photograph(300, 400), *given)
    assert time.process_time() - start < 5
    assert planes[4:28, :, 2].all()
    assert not planes[:4].any()


def test_a_color_without_room_at_the_luma_is_limited():
    """The chroma is what RGB has there, in the direction of the color; the luma is the photograph's."""
    for value, name in ((255, "blue"), (0, "yellow"), (200, "blue"), (60, "#8a2b2b")):
        photo = np.full((SIDE, SIDE), value, np.uint8)
        planes = _planes(photo, Hint(0.5, 0.5, name, size=0.1))
        chroma = planes[16, 16, :2]
        luma = np.full(1, value / 127.5 - 1, np.float32)
        rgb = color.chroma_to_rgb(luma, chroma)
        assert np.abs(rgb).max() <= 1 + 1e-5
        np.testing.assert_allclose(color.rgb_to_chroma(rgb), chroma, atol=1e-5)
        wanted = _chroma(name)
        assert np.linalg.norm(chroma) <= np.linalg.norm(wanted) + 1e-5
        assert chroma @ wanted == pytest.approx(np.linalg.norm(chroma) * np.linalg.norm(wanted), abs=1e-5)
        if value in (0, 255):
            np.testing.assert_allclose(planes[16, 16], (0, 0, 1), atol=1e-5)  # no color, but a hint
    np.testing.assert_allclose(chroma, wanted, atol=1e-5)  # the last one has room


def test_brightness_of_a_hint_does_not_count():
    gray = np.full((SIDE, SIDE), 120, np.uint8)
    dark, bright = (Hint(0.5, 0.5, name, size=0.1) for name in ("rgb(90, 50, 60)", "rgb(140, 100, 110)"))
    np.testing.assert_allclose(_planes(gray, dark), _planes(gray, bright), atol=1e-6)


def _scan(margin=24):
    scan = np.full((240 + 2 * margin, 320 + 2 * margin), 252, np.uint8)
    rng = np.random.default_rng(0).integers(20, 236, (6, 8)).astype(np.uint8)
    inside = np.asarray(Image.fromarray(rng).resize((320, 240), Image.Resampling.BILINEAR))
    scan[margin:-margin, margin:-margin] = inside
    return scan, inside


def test_hints_inside_the_border_of_a_scan():
    scan, inside = _scan()
    names = [(100, 50, "#a06050"), (300, 220, "#5060a0")]
    of_scan = [Hint(x + 24, y + 24, name, unit="pixel") for x, y, name in names]
    of_inside = [Hint(x, y, name, size=hint_planes.PLACE_SIZE * 368 / 320, unit="pixel") for x, y, name in names]
    planes = _planes(scan, *of_scan)
    np.testing.assert_allclose(planes, _planes(inside, *of_inside, border="color"), atol=2e-3)
    assert planes[..., 2].any()
    in_border = [Hint(x, y, "red") for x, y in ((0.01, 0.5), (0.5, 0.01), (0.99, 0.5), (0.5, 0.99), (0, 0), (1, 1))]
    assert _planes(scan, *in_border) is None  # as without hints
    np.testing.assert_array_equal(_planes(scan, *in_border, *of_scan), planes)
    assert _planes(scan, *in_border, border="color")[..., 2].sum() >= 6
    colored = Colorizer(follow_hints, SIDE, takes_hints=True)(scan, hints=of_scan)
    assert not np.ptp(colored[:20], axis=-1).any()
    red, blue = (colored[y + 24, x + 24].astype(int) for x, y, _ in names)
    assert red[0] - red[2] > 10
    assert blue[2] - blue[0] > 10


@pytest.mark.parametrize("levels", ["auto", "write"])
def test_a_hint_has_its_color_in_a_faded_photograph(levels):
    """Whichever luma is shown to the network and written."""
    photo = (100 + np.linspace(0, 60, SIDE)[:, None] + np.zeros((SIDE, SIDE))).astype(np.uint8)
    hint = Hint(0.5, 0.5, "rgb(150, 120, 110)", size=0.25)
    colored = Colorizer(follow_hints, SIDE, takes_hints=True)(photo, hints=[hint], levels=levels)
    chroma = color.rgb_to_chroma(colored[16, 16].astype(np.float32) / 127.5 - 1)
    np.testing.assert_allclose(chroma, _chroma(hint.color), atol=0.02)
    planes = _planes(photo, hint, levels=levels)
    share = np.linalg.norm(planes[16, 16, :2]) / np.linalg.norm(_chroma(hint.color))
    assert share == pytest.approx(1 if levels == "write" else (60 / 255) ** -0.5, rel=0.02)


def test_a_file_is_hinted_upright(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn
    Image.fromarray(_photograph(20, 32)).save(tmp_path / "a.png", exif=exif)
    network = _Network()
    colored = Colorizer(network, SIDE, takes_hints=True)(
        tmp_path / "a.png", hints=[colorgan.Hint(15, 3, "#a06050", size=0.1, unit="pixel")]
    )
    assert colored.size == (20, 32)
    assert network.planes is not None
    rows, columns = np.nonzero(network.planes[0, ..., 2])
    assert (rows.mean() + 0.5, columns.mean() + 0.5) == pytest.approx((3.5, 6 + 15.5), abs=0.5)
    pixels = np.asarray(colored).astype(int)
    assert pixels[3, 15, 0] - pixels[3, 15, 2] > 20
    assert abs(pixels[25, 3, 0] - pixels[25, 3, 2]) < 5


def test_hints_for_one_are_not_for_several(tmp_path):
    path = _write(tmp_path / "a.json", {"version": 1, "hints": []})
    assert hints.read_for_one(path, [tmp_path / "a.jpg"]) == []
    for inputs in ([tmp_path], [tmp_path / "a.jpg", tmp_path / "b.jpg"]):
        with pytest.raises(UserError, match=r"^--hints is for one photograph; of several, each has its own in NAME\."):
            hints.read_for_one(path, inputs)


def test_a_file_beside_a_photograph_is_found(tmp_path):
    photo = tmp_path / "a.b.jpg"
    assert hints.find_beside(photo) is None
    (tmp_path / "a.hints.json").touch()
    assert hints.find_beside(photo) is None
    (tmp_path / "a.b.hints.json").touch()
    assert hints.find_beside(photo) == tmp_path / "a.b.hints.json"


def test_colors_are_as_asked_for_where_hints_are_and_only_near_them():
    """Whatever the network does; here it ignores them."""
    photo = _photograph(64, 96)
    colorizer = Colorizer(lambda gray, planes=None: follow_hints(gray), 96, takes_hints=True)
    given = [Hint(0.25, 0.5, "#a03030"), Hint(0.75, 0.5, "#3040a0", size=0.06)]
    chroma = color.rgb_to_chroma(colorizer(photo, hints=given).astype(np.float32) / 127.5 - 1)
    for hint, column in zip(given, (24, 72), strict=True):
        np.testing.assert_allclose(chroma[32, column], _chroma(hint.color), atol=0.02)
    assert np.abs(chroma[:, 42:54]).max() < 0.02


def test_what_a_network_misses_is_added_to_similar_pixels_alone():
    gray = np.zeros((16, 16), np.float32)
    gray[:, 8:] = 0.8
    planes = np.zeros((16, 16, 3), np.float32)
    planes[8, 6] = (0.2, -0.1, 1)
    before = np.full((16, 16, 2), 0.05, np.float32)
    after = hints.correct(before, gray, planes)
    np.testing.assert_allclose(after[8, 6], (0.2, -0.1), atol=1e-6)
    assert after[8, 5, 0] > 0.18  # one pixel away, with the same luma
    np.testing.assert_allclose(after[8, 8], before[8, 8], atol=1e-4)  # two pixels away, with another
    np.testing.assert_array_equal(hints.correct(before, gray, np.zeros_like(planes)), before)


def test_files_of_windows_editors_are_read(tmp_path):
    text = hints.format_hints([Hint(0.5, 0.25, "red")])
    (tmp_path / "a.hints.json").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert hints.read_hints(tmp_path / "a.hints.json") == [Hint(0.5, 0.25, "red")]
