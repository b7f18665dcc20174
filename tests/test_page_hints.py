"""Color hints on the page: what is taken from a browser, and the editor in a browser."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from page_browser import browsing, open_photos, serving, skip_without_browser, visiting, wait_until
from PIL import Image

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
