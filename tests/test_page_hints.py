"""Color hints on the page: what is taken from a browser, and the editor in a browser."""

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from page_browser import browsing, open_photos, serving, skip_without_browser, visiting, wait_until
from PIL import Image

from colorgan import color
from colorgan.errors import UserError
from colorgan.inference import page_hints, page_visits
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.hints import Hint, Placed, format_hints, read_hints, write_hints

# The command with a network that is orange, and in a square around each hint has the color of the hint.
SERVER = """
import runpy
import numpy as np
from PIL import Image, ImageFilter
from colorgan import color
from colorgan.inference.colorizer import Colorizer

def predict(gray, hints=None):
    chroma = np.broadcast_to(np.float32((-0.3, 0.3)), (*gray.shape[:3], 2)).copy()
    if hints is not None:
        for row, column in np.argwhere(hints[0, ..., 2] > 0):
            area = slice(max(0, row - 4), row + 5), slice(max(0, column - 4), column + 5)
            chroma[0][area] = hints[0, row, column, :2]
    return color.chroma_to_rgb(gray, chroma)

Colorizer.from_workdir = lambda workdir, checkpoint: Colorizer(predict, 64, {}, takes_hints=True)
runpy.run_module("colorgan.page", run_name="__main__")
"""
GREEN, BLUE = "#208020", "#2030c0"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[SimpleNamespace]:
    skip_without_browser()
    folder = tmp_path_factory.mktemp("site")
    (folder / "run").mkdir()
    with serving(SERVER, folder / "run", folder) as (address, _), browsing() as browser:
        yield SimpleNamespace(address=address, browser=browser)


@pytest.fixture
def tab(site) -> Iterator[Any]:
    with visiting(site.browser, site.address, viewport={"width": 1280, "height": 800}) as tab:
        yield tab


def _predict(gray: np.ndarray, hints: np.ndarray | None = None) -> np.ndarray:
    """All in the color of the first hint."""
    chroma = np.zeros(2, np.float32) if hints is None else hints[hints[..., 2] > 0][0, :2]
    return color.chroma_to_rgb(gray, np.broadcast_to(chroma, (*gray.shape[:3], 2)))


COLORIZER = Colorizer(_predict, 32, takes_hints=True)


@pytest.fixture
def opened(tmp_path) -> page_visits.Opened:
    return page_visits.open_photo(COLORIZER, _write_photo(tmp_path / "grandmother.jpg", 300, 200), 200)


def _write_photo(path: Path, width: int, height: int) -> Path:
    """A gray photograph with some texture, of no color of its own."""
    gray = np.random.default_rng(0).integers(110, 145, (8, 12), np.uint8)
    Image.fromarray(gray).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=95)
    return path


# What comes from a browser.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        "[" * 100_000,
        "{}",
        '{"key": "a", "revision": 1, "place": null, "source": "", "hints": ""',
        '{"key": 1, "revision": 1, "place": null, "source": "", "hints": ""}',
        '{"key": "a", "revision": 1.5, "place": null, "source": "", "hints": ""}',
        '{"key": "a", "revision": 1, "place": [1], "source": "", "hints": ""}',
        '{"key": "a", "revision": 1, "place": [0, NaN], "source": "", "hints": ""}',
        '{"key": "a", "revision": 1, "place": [0, 2], "source": "", "hints": ""}',
        '{"key": "a", "revision": 1, "place": null, "source": "", "hints": {}}',
        '{"key": "a", "revision": 1, "place": null, "source": "", "hints": "", "more": 1}',
    ],
)
def test_other_messages_are_refused(text):
    with pytest.raises(UserError, match="^The browser sent hints that cannot be read: load the page again.$"):
        page_hints.read_message(text)


def _message(hints: str, source: str = "", place: tuple[float, float] | None = None) -> page_hints.Message:
    content = {"key": "a", "revision": 7, "place": place, "source": source, "hints": hints}
    return page_hints.read_message(json.dumps(content))


def test_a_photograph_gets_the_hints_of_a_message(opened):
    before = opened.colored.read_bytes()
    text = '{"version": 1, "unit": "pixel", "hints": [{"x": 149.5, "y": 49.5, "color": "green", "size": 0.1}]}'
    page_hints.apply(COLORIZER, opened, _message(text, "old.hints.json", (0.5, 0.25)))
    assert opened.hints == [Hint(0.5, 0.25, "#008000", 0.1)]
    assert opened.colored.read_bytes() != before
    described = json.loads(page_hints.describe("a", opened, "file"))
    assert described["hints"] == [{"x": 0.5, "y": 0.25, "color": "#008000", "size": 0.1}]
    assert (described["revision"], described["name"], Path(described["src"])) == (7, "grandmother", opened.colored)
    assert len(described["plausible"]) > 5
    colored = opened.colored
    page_hints.apply(COLORIZER, opened, _message(text))
    assert opened.colored == colored  # the same hints are not predicted again
    page_visits.repaint(opened, 0.5, 1)
    assert opened.hints
    page_hints.apply(COLORIZER, opened, _message('{"version": 1, "hints": []}'))
    np.testing.assert_array_equal(opened.prediction.chroma, opened.unhinted)


@pytest.mark.parametrize(
    ("hints", "sentence"),
    [
        ("{", "mine.hints.json is not JSON: "),
        ('{"version": 2, "hints": []}', "mine.hints.json is a file of hints of version 2"),
        ('{"version": 1, "hints": [{"x": 0.5, "y": 2, "color": "red"}]}', "mine.hints.json: hint 1: y is a fraction"),
        ('{"version": 1, "hints": [{"x": 0.5, "y": 1e999, "color": "red"}]}', "mine.hints.json: hint 1: y is a number"),
        (
            '{"version": 1, "hints": [{"x": 0.5, "y": 1' + 400 * "0" + ', "color": "red"}]}',
            "mine.hints.json: hint 1: y is a fraction",
        ),
        ("[" * 100_000, "mine.hints.json is not JSON: "),
        ('{"version": 1, "unit": "pixel", "hints": [{"x": 300, "y": 0, "color": "red"}]}', "outside of the photograph"),
        (format_hints([Hint(0.5, 0.5, "#ffffff")] * 10_001), "mine.hints.json has more than 10,000 hints."),
        (" " * 2_000_001, "mine.hints.json has more than 2 MB."),
    ],
)
def test_other_files_of_hints_are_refused_in_one_sentence(opened, hints, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)) as error:
        page_hints.apply(COLORIZER, opened, _message(hints, "mine.hints.json"))
    assert len(page_hints.shorten(str(error.value))) < 400
    assert opened.hints == []


def test_a_swatch_is_the_color_that_appears(opened):
    small = opened.prepared.small
    offered = page_hints.plausible_colors(opened, 0.31, 0.52)
    luma = small[int(0.52 * small.shape[0]), int(0.31 * small.shape[1])]
    names = [name for name, _ in offered]
    assert names[0] == "as predicted"
    assert {"skin", "grass", "sky"} <= set(names)
    for _, code in offered:
        placed = Placed([Hint(0.31, 0.52, code)], opened.prepared.size, opened.prepared.box, small)
        appears = color.chroma_to_rgb(np.array([[luma]], np.float32), placed.chroma)
        np.testing.assert_allclose((appears[0] + 1) * 127.5, Hint(0, 0, code).rgb(), atol=1.5)


def test_the_palette_has_the_main_colors_first(tmp_path):
    image = Image.new("RGB", (100, 100), (200, 30, 30))
    image.paste((30, 30, 200), (0, 0, 100, 30))
    image.paste((34, 30, 196), (0, 0, 20, 20))  # no color of its own
    image.save(tmp_path / "image.png")
    assert page_hints.find_palette(tmp_path / "image.png") == ["#c81e1e", "#1e1ec8"]


# In a browser.


def _open_editor(tab: Any, *paths: Path) -> Any:
    """Opens photographs and the tab of the editor, and chooses green."""
    open_photos(tab, *paths)
    tab.get_by_role("tab", name="Color hints").click()
    editor = tab.locator("color-hints")
    _settle(editor)
    editor.locator("input[type=color]").fill(GREEN)
    editor.scroll_into_view_if_needed()
    return editor


def _settle(editor: Any) -> None:
    """Waits until the photograph with the last change is shown."""
    from playwright.sync_api import expect

    expect(editor).to_have_attribute("aria-busy", "false", timeout=20_000)


def _look(tab: Any) -> np.ndarray:
    """What is on the screen, [H,W,3]."""
    return np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("RGB")).astype(int)


def _center(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """The center (x, y) of what differs."""
    rows, columns = np.nonzero(np.abs(after - before).max(axis=-1) > 40)
    assert len(rows) > 20
    return float(np.mean([columns.min(), columns.max()])), float(np.mean([rows.min(), rows.max()]))


def _shown(editor: Any) -> np.ndarray:
    """The image in the editor, [H,W,3]."""
    body = editor.page.request.get(editor.locator("img").evaluate("image => image.src")).body()
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int)


def _is_green(image: np.ndarray, x: float, y: float) -> bool:
    red, green, blue = image[int(y * image.shape[0]), int(x * image.shape[1])]
    return bool(green > max(red, blue) + 20)


def _point(editor: Any, x: float, y: float) -> tuple[float, float]:
    """A place of the photograph on the screen, where it fills the editor."""
    editor.locator("canvas").scroll_into_view_if_needed()  # thumbnails above it may have moved it down
    box = editor.locator("img").bounding_box()
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def _click(editor: Any, x: float, y: float) -> None:
    editor.page.mouse.click(*_point(editor, x, y))
    _settle(editor)


@pytest.mark.parametrize("is_full_screen", [False, True])
@pytest.mark.parametrize(("width", "height", "is_enlarged"), [(3000, 2000, False), (90, 60, True), (700, 1400, False)])
def test_a_click_colors_what_is_under_it(tab, tmp_path, width, height, is_enlarged, is_full_screen):
    """On the screen, by two screenshots."""
    editor = _open_editor(tab, _write_photo(tmp_path / "photo.jpg", width, height))
    editor.get_by_label("Show markers").uncheck()
    if is_full_screen:
        editor.get_by_role("button", name="Full screen").click()
        editor.get_by_role("button", name="Leave full screen").wait_for()
        tab.wait_for_timeout(300)  # the size of the window changes
    box, stage = editor.locator("img").evaluate(
        "image => [image.getBoundingClientRect(), image.parentElement.getBoundingClientRect()]"
    )
    scale = min(box["width"] / width, box["height"] / height)
    assert (scale > 1) == is_enlarged
    is_filled = abs(box["width"] / box["height"] - width / height) < 0.01
    assert is_filled != is_full_screen  # there is space beside it in full screen
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    for across, down in ((-0.3, -0.25), (0.35, 0.2)):
        before = _look(tab)
        x, y = middle[0] + across * scale * width, middle[1] + down * scale * height
        tab.mouse.click(x, y)
        _settle(editor)
        top, bottom = int(stage["top"]), int(stage["bottom"])  # without the colors that are offered above and below
        found = _center(before[top:bottom], _look(tab)[top:bottom])
        assert np.abs(np.subtract(found, (x, y - top))).max() < 0.02 * scale * max(width, height)
    assert editor.get_by_role("status").inner_text().startswith("Hint 2 of 2: #208020 at 85 % from the left, 70 %")
    if is_full_screen:
        tab.mouse.click(box["x"] + 2, box["y"] + 2)  # beside the photograph
        tab.mouse.click(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2)
        assert "of 2:" in editor.get_by_role("status").inner_text()


def test_hints_are_moved_changed_removed_and_undone(tab, tmp_path):
    editor = _open_editor(tab, _write_photo(tmp_path / "photo.jpg", 1200, 800))

    def greens() -> list[bool]:
        _settle(editor)
        image = _shown(editor)
        return [_is_green(image, x, 0.5) for x in (0.2, 0.5, 0.8)]

    def undo() -> list[bool]:
        editor.get_by_role("button", name="Undo").click()
        return greens()

    assert greens() == [False, False, False]
    _click(editor, 0.2, 0.5)
    _click(editor, 0.8, 0.5)
    assert greens() == [True, False, True]
    tab.mouse.move(*_point(editor, 0.2, 0.5))
    tab.mouse.down()
    tab.mouse.move(*_point(editor, 0.5, 0.5), steps=8)
    tab.mouse.up()
    assert greens() == [False, True, True]
    assert editor.get_by_role("status").inner_text().startswith("Hint 1 of 2: #208020 at 50 %")
    editor.get_by_role("button", name=re.compile("^navy")).click()
    assert greens() == [False, False, True]
    assert _shown(editor)[400, 600].argmax() == 2
    assert undo() == [False, True, True]
    assert undo() == [True, False, True]  # one step for the whole movement
    _click(editor, 0.8, 0.5)  # selects
    editor.get_by_role("button", name="Remove", exact=True).click()
    assert greens() == [True, False, False]
    editor.get_by_role("button", name="Remove all").click()
    assert greens() == [False, False, False]
    assert [undo(), undo(), undo(), undo()] == [
        [True, False, False],
        [True, False, True],
        [True, False, False],
        [False, False, False],
    ]
    assert editor.get_by_role("button", name="Undo").is_disabled()


def test_with_the_keyboard_alone(tab, tmp_path):
    editor = _open_editor(tab, _write_photo(tmp_path / "photo.jpg", 1200, 800))
    status = editor.get_by_role("status")

    def press(*keys: str) -> str:
        for key in keys:
            tab.keyboard.press(key)
        _settle(editor)
        return status.inner_text()

    def focused() -> str:
        return editor.evaluate("e => e.shadowRoot.activeElement?.getAttribute('aria-label')")

    tab.get_by_role("tab", name="Color hints").focus()
    for _ in range(5):
        tab.keyboard.press("Tab")
        if focused() == "Photograph with color hints":
            break
    assert press(*["Shift+ArrowLeft"] * 4, *["ArrowUp"] * 10).startswith("Cursor at 30 % from the left, 40 % from")
    assert press("Enter").startswith("Hint 1 of 1: #208020 at 30 %")
    assert _is_green(_shown(editor), 0.3, 0.4)
    assert press(*["Shift+ArrowRight"] * 8).startswith("Hint 1 of 1: #208020 at 70 %")
    assert [_is_green(_shown(editor), x, 0.4) for x in (0.3, 0.7)] == [False, True]
    assert press("Enter", *["Shift+ArrowLeft"] * 2, "Enter").startswith("Hint 2 of 2: #208020 at 60 %")
    assert press("n").startswith("Hint 1 of 2")
    assert press("p").startswith("Hint 2 of 2")
    assert press("Delete").startswith("Cursor at 60 %")
    assert press("Control+z").startswith("Hint 2 of 2")
    assert press("Escape", "Control+z", "Control+z").startswith("Hint 1 of 1: #208020 at 30 %")
    while focused() != "Color of the hint":
        tab.keyboard.press("Tab")  # it is no trap
    for _ in range(20):
        tab.keyboard.press("Tab")
        if str(focused()).startswith("navy"):
            break
    assert re.match("Hint 1 of 1: (?!#208020)", press("Enter"))
    assert _shown(editor)[320, 360].argmax() == 2


def test_a_stroke_is_a_row_of_hints_and_one_step(tab, tmp_path):
    editor = _open_editor(tab, _write_photo(tmp_path / "photo.jpg", 1200, 800))
    editor.get_by_label("Stroke").check()
    tab.mouse.move(*_point(editor, 0.2, 0.5))
    tab.mouse.down()
    tab.mouse.move(*_point(editor, 0.8, 0.5), steps=5)
    tab.mouse.up()
    _settle(editor)
    count = int(re.findall(r"of (\d+):", editor.get_by_role("status").inner_text())[0])
    assert 20 < count < 25  # 0.6 of the width, 7/256 apart
    image = _shown(editor)
    assert all(_is_green(image, x, 0.5) for x in (0.2, 0.35, 0.5, 0.65, 0.78))
    editor.get_by_role("button", name="Undo").click()
    _settle(editor)
    assert editor.get_by_role("status").inner_text() == "0 hints"
    assert not _is_green(_shown(editor), 0.5, 0.5)


def test_a_finger_adds_a_hint(site, tmp_path):
    options = {"viewport": {"width": 375, "height": 700}, "has_touch": True, "is_mobile": True}
    with visiting(site.browser, site.address, **options) as tab:
        editor = _open_editor(tab, _write_photo(tmp_path / "photo.jpg", 1200, 800))
        tab.touchscreen.tap(*_point(editor, 0.7, 0.3))
        _settle(editor)
        assert _is_green(_shown(editor), 0.7, 0.3)
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_hints_are_saved_and_loaded(site, tab, tmp_path):
    from playwright.sync_api import expect

    photo = _write_photo(tmp_path / "grandmother.jpg", 1200, 800)
    editor = _open_editor(tab, photo)
    _click(editor, 0.25, 0.75)
    with tab.expect_download() as downloading:
        editor.get_by_role("button", name="Save hints").click()
    assert downloading.value.suggested_filename == "grandmother.hints.json"
    saved = tmp_path / "grandmother.hints.json"
    downloading.value.save_as(saved)
    (hint,) = read_hints(saved)
    assert (hint.x, hint.y, hint.color) == (pytest.approx(0.25, abs=0.002), pytest.approx(0.75, abs=0.002), GREEN)
    with visiting(site.browser, site.address) as other:
        editor = _open_editor(other, photo)
        editor.locator("input[type=file]").set_input_files(saved)
        expect(editor.get_by_role("status")).to_have_text("1 hint")
        _settle(editor)
        assert _is_green(_shown(editor), 0.25, 0.75)
        saved.write_text('{"version": 1, "hints": [{"x": 0.5, "y": 0.5}]}')
        editor.locator("input[type=file]").set_input_files(saved)
        expect(other.get_by_role("alert")).to_have_text("grandmother.hints.json: hint 1: it has no color")
        _settle(editor)
        assert _is_green(_shown(editor), 0.25, 0.75)
        editor.get_by_role("button", name="Undo").click()
        _settle(editor)
        assert not _is_green(_shown(editor), 0.25, 0.75)


def test_ten_thousand_hints_can_be_edited(tab, tmp_path):
    from playwright.sync_api import expect

    editor = _open_editor(tab, _write_photo(tmp_path / "photo.jpg", 1200, 800))
    places = np.random.default_rng(0).uniform(0, 1, (9_999, 2)).round(5).tolist()
    write_hints(tmp_path / "many.hints.json", [Hint(x, 0.4 * y, BLUE) for x, y in places])
    editor.locator("input[type=file]").set_input_files(tmp_path / "many.hints.json")
    expect(editor.get_by_role("status")).to_have_text("9999 hints", timeout=20_000)
    _settle(editor)
    assert _shown(editor)[200, 600].argmax() == 2
    _click(editor, 0.5, 0.7)
    assert _is_green(_shown(editor), 0.5, 0.7)
    tab.mouse.click(*_point(editor, 0.2, 0.7))
    assert editor.get_by_role("status").inner_text().startswith("Hint 10000 of 10000")  # the limit


def test_hints_belong_to_their_photograph_and_are_downloaded(tab, tmp_path):
    paths = [_write_photo(tmp_path / f"{name}.png", 2400, 1600) for name in ("first", "second")]
    editor = _open_editor(tab, *paths)
    thumbnails = tab.locator(".thumbnails button:has(img)")
    wait_until(lambda: thumbnails.count() == 2)
    first = editor.get_attribute("data-key")
    thumbnails.nth(1).click()
    wait_until(lambda: editor.get_attribute("data-key") != first)
    _click(editor, 0.3, 0.6)
    thumbnails.nth(0).click()
    wait_until(lambda: editor.get_attribute("data-key") == first)
    assert editor.get_by_role("status").inner_text() == "0 hints"
    assert not _is_green(_shown(editor), 0.3, 0.6)
    thumbnails.nth(1).click()
    wait_until(lambda: editor.get_attribute("data-key") != first)
    assert editor.get_by_role("status").inner_text().startswith("Hint 1 of 1")
    assert _is_green(_shown(editor), 0.3, 0.6)
    tab.get_by_label("number input for Saturation").fill("1.5")
    tab.get_by_label("number input for Saturation").blur()
    before = editor.locator("img").get_attribute("src")
    wait_until(lambda: editor.locator("img").get_attribute("src") != before)
    assert _is_green(_shown(editor), 0.3, 0.6)
    with tab.expect_download() as downloading:
        tab.get_by_role("button", name="Download at full size").click()
    whole = np.asarray(Image.open(downloading.value.path())).astype(int)
    assert whole.shape == (1600, 2400, 3)
    assert [_is_green(whole, x, 0.6) for x in (0.3, 0.7)] == [True, False]
    with tab.expect_download() as downloading:
        tab.get_by_role("button", name="Download all as a zip").click()
    with zipfile.ZipFile(downloading.value.path()) as written:
        images = [np.asarray(Image.open(written.open(name))).astype(int) for name in written.namelist()]
    assert [_is_green(image, 0.3, 0.6) for image in images] == [False, True]
    tab.get_by_role("tab", name="Compare").click()
    images = tab.get_by_test_id("imageslider-image")

    def compared() -> np.ndarray:
        body = tab.request.get(images.last.get_attribute("src")).body()
        return np.asarray(Image.open(io.BytesIO(body))).astype(int)

    wait_until(lambda: _is_green(compared(), 0.3, 0.6))
