"""Color hints on the page: what the editor in page_hints.js sends for a photograph, and what it gets."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from colorgan import color, hint_planes
from colorgan.errors import UserError
from colorgan.inference import page_visits
from colorgan.inference.hints import Hint, parse_hints, to_entry

if TYPE_CHECKING:
    from colorgan.inference.colorizer import Colorizer

MAX_HINTS = 10_000  # of a photograph, which take 0.15 s to read and place
_MAX_BYTES = 2 * 10**6  # of a file of hints
_MAX_SENTENCE = 300  # characters: messages about a file quote it
_PALETTE_SIZE = 8
_MIN_DIFFERENCE = 12  # of 255, the largest of three channels, for two swatches to be worth the room
# Hues that are common in photographs. Their chroma is offered at the luma of a place.
_HUES = {
    "skin": "#d9a68a",
    "brown": "#8b5e3c",
    "brick": "#a0503c",
    "red": "#b02a2a",
    "yellow": "#d8b830",
    "grass": "#6f8f3a",
    "sky": "#7fb0e0",
    "navy": "#2a4a90",
    "violet": "#7a4a90",
}
_WARMER = np.array((-0.1, 0.07), np.float32)  # Cb and Cr, toward orange

EDITOR = f'<color-hints limit="{MAX_HINTS}" bytes="{_MAX_BYTES}" spacing="{hint_planes.PLACE_SIZE}"></color-hints>'
SHOW = "(text) => window.showColorHints(text)"  # for an event with the text of `describe`


def head() -> str:
    """HTML for the head of the page: the script of the editor."""
    return f"<script>{Path(__file__).with_suffix('.js').read_text(encoding='utf-8')}</script>"


def add_images(gr: Any, takes_hints: bool) -> tuple[Any, Any]:
    """The comparison of a photograph in gray and in color, and its tab, where there is one for the editor too."""
    options: dict[str, Any] = {"show_label": False, "buttons": ["fullscreen"], "max_height": 700}
    if not takes_hints:
        return gr.ImageSlider(scale=4, **options), None
    with gr.Column(scale=4):
        with gr.Tab("Compare") as tab:
            images = gr.ImageSlider(**options)
        with gr.Tab("Color hints"):
            gr.HTML(EDITOR)
    return images, tab


@dataclasses.dataclass(frozen=True)
class Message:
    """What the editor sends.

    Attributes:
      key: of the photograph.
      revision: a number of the editor's, which the answer has to have.
      place: (x, y) of the selected hint or of the cursor, as fractions.
      source: the name of a file of hints, or "" for hints of the editor.
      hints: the text of such a file.
    """

    key: str
    revision: int
    place: tuple[float, float] | None
    source: str
    hints: str


def read_message(text: str) -> Message:
    """Reads what a browser sent, with any content. Raises UserError."""
    try:
        content = json.loads(text)
        message = Message(**content)
        place = None
        if message.place is not None:
            x, y = message.place
            place = float(x), float(y)
        is_place = place is None or all(0 <= share <= 1 for share in place)
        is_text = all(isinstance(each, str) for each in (message.key, message.source, message.hints))
        if not (is_place and is_text and type(message.revision) is int):
            raise ValueError(text)
        return dataclasses.replace(message, place=place)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError("The browser sent hints that cannot be read: load the page again.") from error


def apply(colorizer: "Colorizer", opened: "page_visits.Opened", message: Message) -> None:
    """Gives a photograph the hints of a message, and draws its preview again if they are new.

    Raises:
      UserError: a hint is not valid, or there are too many. The photograph stays as it is.
    """
    opened.revision, opened.place = message.revision, message.place
    source = message.source or "The list of hints"
    if len(message.hints) > _MAX_BYTES:
        raise UserError(f"{source} has more than {_MAX_BYTES // 10**6} MB.")
    try:
        hints = parse_hints(message.hints, source)
        if len(hints) > MAX_HINTS:
            raise UserError(f"{source} has more than {MAX_HINTS:,} hints.")
        height, width = opened.prepared.size
        hints = [_plain(hint, width, height) for hint in hints]
    except ValueError as error:
        raise UserError(f"{source}: {error}") from error
    if hints != opened.hints:
        opened.prediction = colorizer.predict_prepared(opened.prepared, hints)
        opened.hints = hints
        page_visits.repaint(opened, opened.strength, opened.saturation)


def _plain(hint: Hint, width: int, height: int) -> Hint:
    """The same hint as the editor has them: at a fraction, with a color that browsers know."""
    x, y = hint.as_fraction(width, height)
    return Hint(x, y, "#" + bytes(hint.rgb()).hex(), hint.size)


def shorten(sentence: str) -> str:
    """A sentence that may quote a file, for the page."""
    return sentence if len(sentence) <= _MAX_SENTENCE else f"{sentence[:_MAX_SENTENCE]} ..."


def describe(key: str, opened: "page_visits.Opened", event: str) -> str:
    """What the editor shows of a photograph. JSON.

    Args:
      key: of the photograph.
      opened: the photograph.
      event: "show" for another photograph, "file" for hints from a file, "answer" for all else: the editor keeps its
        hints, which may be newer.
    """
    content: dict[str, Any] = {
        "key": key,
        "event": event,
        "revision": opened.revision,
        "name": opened.source.stem,
        "src": str(opened.colored),
        "hints": [] if event == "answer" else [to_entry(hint) for hint in opened.hints],
        "palette": find_palette(opened.thumbnail) if event == "show" else [],
        "plausible": plausible_colors(opened, *opened.place) if opened.place else [],
    }
    return json.dumps(content)


def find_palette(path: Path) -> list[str]:
    """The main colors of an image file, the most frequent first."""
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(3 * _PALETTE_SIZE, Image.Quantize.MEDIANCUT)
    palette = np.asarray(few.getpalette(), np.uint8).reshape(-1, 3)
    counts = np.bincount(np.asarray(few).ravel(), minlength=len(palette))
    colors = [("", palette[index]) for index in np.argsort(-counts, kind="stable") if counts[index]]
    return [name for _, name in _distinct(colors, 3 * _MIN_DIFFERENCE)[:_PALETTE_SIZE]]


def plausible_colors(opened: "page_visits.Opened", x: float, y: float) -> list[tuple[str, str]]:
    """Names and colors that a place may have: of the network, variants of it, and common hues.

    Each is as it will appear, at the luma of the place. There is none outside of the part that is colored.
    """
    small, (top, bottom, left, right) = opened.prepared.small, opened.prepared.box
    if not (top <= y <= bottom and left <= x <= right):
        return []
    row, column = (y - top) / (bottom - top) * small.shape[0], (x - left) / (right - left) * small.shape[1]
    index = min(int(row), small.shape[0] - 1), min(int(column), small.shape[1] - 1)
    predicted = opened.unhinted[index]
    chroma = {
        "as predicted": predicted,
        "stronger": 1.7 * predicted,
        "paler": 0.5 * predicted,
        "warmer": predicted + _WARMER,
        "cooler": predicted - _WARMER,
    }
    for name, code in _HUES.items():
        rgb = np.frombuffer(bytes.fromhex(code[1:]), np.uint8).astype(np.float32)
        chroma[name] = color.rgb_to_chroma(rgb / 127.5 - 1)
    chroma["gray"] = 0 * predicted
    luma = np.full((len(chroma), 1), small[index], np.float32)
    rgb = color.chroma_to_rgb(luma, np.stack(list(chroma.values())))
    pixels = np.clip(np.rint((rgb + 1) * 127.5), 0, 255).astype(np.uint8)
    return _distinct(list(zip(chroma, pixels, strict=True)), _MIN_DIFFERENCE)


def _distinct(colors: list[tuple[str, np.ndarray]], difference: int) -> list[tuple[str, str]]:
    """Names and "#rrggbb" of the colors that differ from each one before."""
    kept: list[tuple[str, np.ndarray]] = []
    for name, rgb in colors:
        if all(np.abs(rgb.astype(int) - other).max() >= difference for _, other in kept):
            kept.append((name, rgb))
    return [(name, "#" + rgb.tobytes().hex()) for name, rgb in kept]
