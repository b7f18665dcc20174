"""The page: uploads that are accepted and refused, and its use in a browser, with Gradio, Playwright and Chromium."""

import contextlib
import importlib.util
import io
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT
from etils import epath
from PIL import Image

from colorgan import page
from colorgan.errors import UserError
from colorgan.inference import page_app
from colorgan.inference.colorizer import Colorizer
from colorgan.run.workdir import find_samples

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"))), None
)
NEEDS_GRADIO = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="pip install 'colorgan[page]'")
NEEDS_BROWSER = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="pip install playwright, and Chromium in PATH or in the variable CHROMIUM",
)
# The command with a network of one color. It prints when the network runs and when another machine is looked up.
SERVER = """
import runpy, socket
import numpy as np
from colorgan.inference.colorizer import Colorizer

def predict(gray):
    print("the network runs", flush=True)
    return 0 * gray + np.float32((0.3, 0, -0.3))

def look_up(host, *arguments, **options):
    if host not in ("127.0.0.1", b"127.0.0.1", "localhost", None):
        print("looks up", host, flush=True)
    return look_up_before(host, *arguments, **options)

look_up_before, socket.getaddrinfo = socket.getaddrinfo, look_up
Colorizer.from_workdir = lambda workdir, checkpoint: Colorizer(predict, 32)
runpy.run_module("colorgan.page", run_name="__main__")
"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """2000 x 1000 pixels of gray texture."""
    gray = np.random.default_rng(0).integers(90, 160, (50, 100), np.uint8)
    path = tmp_path / "grandmother.jpg"
    Image.fromarray(gray).resize((2000, 1000)).save(path)
    return path


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """The folder of a run with two sample grids and another file."""
    folder = tmp_path / "run" / "samples"
    folder.mkdir(parents=True)
    for epoch in (10, 2):
        Image.new("RGB", (60, 10 * epoch)).save(folder / f"epoch_{epoch:04d}.png")
    (folder / "epoch_last.png").touch()
    return folder.parent


def _claim_size(path: Path, width: int, height: int) -> None:
    """A tiny PNG whose header has another size than its content."""
    encoded = io.BytesIO()
    Image.new("L", (1, 1)).save(encoded, "PNG")
    start, end = encoded.getvalue()[:12], encoded.getvalue()[33:]
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(start + header + struct.pack(">I", zlib.crc32(header)) + end)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as for all programs
@pytest.mark.parametrize("size", [(10_000, 10_001), (30_000, 30_000)])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, size):
    _claim_size(tmp_path / "huge.png", *size)
    with pytest.raises(UserError, match="^huge.png has more than 100 megapixels: make it smaller first.$"):
        page_app.read_upload(tmp_path / "huge.png")


def test_other_files_are_refused_in_one_sentence(tmp_path, photo):
    (tmp_path / "notes.jpg").write_text("no photograph")
    with pytest.raises(UserError, match="^notes.jpg is not a photograph of a known format.$"):
        page_app.read_upload(tmp_path / "notes.jpg")
    photo.write_bytes(photo.read_bytes()[:2000])
    with pytest.raises(UserError, match="^grandmother.jpg cannot be read: "):
        page_app.read_upload(photo)
    with pytest.raises(UserError, match="^gone.jpg has been deleted"):
        page_app.read_upload(tmp_path / "gone.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_the_result_has_the_name_size_and_format_of_the_upload(tmp_path, photo, suffix):
    path = photo.with_suffix(suffix)
    Image.open(photo).save(path)
    opened = page_app.open_photo(Colorizer(lambda gray: 0 * gray + np.array((0.3, 0, -0.3), np.float32), 32), path)
    assert opened.gray.shape == (800, 1600)
    colored, gray = (page_app.write_colored(opened, strength, 1.0, tmp_path) for strength in (1, 0))
    assert colored.name == gray.name == f"grandmother-colorized{suffix}"
    with Image.open(path) as before, Image.open(colored) as after, Image.open(gray) as same:
        assert (after.format, after.size) == (before.format, before.size)
        assert np.ptp(np.asarray(after).astype(int), axis=-1).mean() > 20
        assert np.ptp(np.asarray(same).astype(int), axis=-1).mean() < 2


def test_heic_is_taken_and_becomes_jpeg(tmp_path):
    colorizer = Colorizer(lambda gray: 0 * gray + np.array((0.3, 0, -0.3), np.float32), 32)
    path = tmp_path / "leica.HEIC"
    shutil.copy(ROOT / "tests" / "tiny_photos" / "leica.heic", path)
    colored = page_app.write_colored(page_app.open_photo(colorizer, path), 1.0, 1.0, tmp_path)
    assert colored.name == "leica-colorized.jpg"
    with Image.open(colored) as image:
        assert (image.format, image.size) == ("JPEG", (48, 64))


def test_old_files_and_empty_folders_are_deleted(tmp_path):
    (tmp_path / "session").mkdir()
    old, new = tmp_path / "session" / "old.webp", tmp_path / "new.jpg"
    old.touch()
    time.sleep(0.3)
    new.touch()
    os.utime(new, (0, 0))  # the time of a copied file
    page_app.delete_older(tmp_path, 0.2)
    assert (old.exists(), old.parent.exists(), new.exists()) == (False, True, True)
    time.sleep(0.3)
    (tmp_path / "new").mkdir()  # may be about to be written to
    page_app.delete_older(tmp_path, 0.2)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_grids_are_in_order_of_epochs(workdir):
    grids = find_samples(epath.Path(workdir))
    assert [(epoch, path.name) for epoch, path in grids.items()] == [(2, "epoch_0002.png"), (10, "epoch_0010.png")]
    assert find_samples(epath.Path(workdir / "nothing")) == {}


def test_missing_gradio_and_a_used_port_are_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"pip install 'colorgan\[page\]'"):
        page.main(page._parser().parse_args([f"--workdir={tmp_path}"]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1:{port}: .*--port=0"):
            page.main(page._parser().parse_args([f"--workdir={tmp_path}", f"--port={port}"]))


@contextlib.contextmanager
def _serving(workdir: Path, tmp_path: Path, **variables: str) -> Iterator[tuple[str, Path]]:
    """The address of the page and the file with its output. It must end with Ctrl-C and leave no files."""
    folder, output = tmp_path / "temporary", tmp_path / "output.txt"
    folder.mkdir()
    command = [sys.executable, "-c", SERVER, f"--workdir={workdir}"]
    environment = COMMAND_ENVIRONMENT | {"TMPDIR": str(folder)} | variables
    with open(output, "wb") as file:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while "the page is at" not in output.read_text():
            assert server.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.1)
        yield output.read_text().partition("the page is at ")[2].split()[0], output
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=20) == 75
    finally:
        server.kill()
        server.wait()
    said = output.read_text()
    assert said.endswith("colorgan: interrupted\n")
    assert "Traceback" not in said
    assert "looks up" not in said
    assert not list(folder.glob("colorgan-page-*"))


@NEEDS_GRADIO
def test_it_is_served_here_alone_and_serves_no_other_files(workdir, tmp_path):
    (workdir / "config.json").write_text("{}")
    with _serving(workdir, tmp_path) as (address, _):
        assert address.startswith("http://127.0.0.1:")
        assert b"colorgan" in urllib.request.urlopen(address).read()
        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            urllib.request.urlopen(f"{address}gradio_api/file={workdir / 'config.json'}")
        refused.value.close()


@NEEDS_GRADIO
def test_it_is_served_where_a_proxy_is_set_and_behind_another_server(workdir, tmp_path):
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    with _serving(workdir, tmp_path, GRADIO_ROOT_PATH="/photos", **proxies) as (address, _):
        request = urllib.request.Request(address, headers={"X-Forwarded-Host": "host", "X-Forwarded-Proto": "https"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert b'"root":"https://host/photos"' in opener.open(request).read()


@NEEDS_GRADIO
@NEEDS_BROWSER
def test_in_a_browser(workdir, photo, tmp_path):
    from playwright.sync_api import expect, sync_playwright

    with _serving(workdir, tmp_path) as (address, output), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        hosts: set[str | None] = set()
        tab.on("request", lambda request: hosts.add(urllib.parse.urlparse(request.url).hostname))
        tab.goto(address)
        download = tab.get_by_role("button", name="Download at full size")
        images = tab.locator("img:visible")

        def shown() -> list[np.ndarray]:
            """What the comparison shows, the gray and the colored image, once the full size can be downloaded."""
            expect(images).to_have_count(2)
            expect(download).to_be_enabled()
            bodies = [tab.request.get(image.get_attribute("src")).body() for image in images.all()]
            return [np.asarray(Image.open(io.BytesIO(body))).astype(int) for body in bodies]

        tab.set_input_files("input[type=file]", photo)
        gray, colored = shown()
        assert gray.shape == colored.shape == (800, 1600, 3)
        assert np.ptp(gray, axis=-1).mean() < 2
        assert np.ptp(colored, axis=-1).mean() > 20
        for image in images.all():
            expect(image).to_have_js_property("naturalWidth", 1600)  # it is drawn
        with Image.open(io.BytesIO(images.last.screenshot(path=tmp_path / "compared.png"))) as screenshot:
            left, right = np.split(np.asarray(screenshot.convert("RGB").resize((960, 480))).astype(int), 2, axis=1)
        assert (np.ptp(left, axis=-1) < 5).mean() > 0.9
        assert (np.ptp(right, axis=-1) > 20).mean() > 0.9
        assert min(half.mean(axis=-1).std() for half in (left, right)) > 5  # of texture
        with tab.expect_download() as downloading:
            download.click()
        assert downloading.value.suggested_filename == "grandmother-colorized.jpg"
        with Image.open(downloading.value.path()) as whole:
            assert (whole.format, whole.size) == ("JPEG", (2000, 1000))
            assert np.ptp(np.asarray(whole).astype(int), axis=-1).mean() > 20

        before = images.last.get_attribute("src")
        tab.get_by_label("number input for Strength").fill("0")
        tab.get_by_label("number input for Strength").blur()
        expect(images.last).not_to_have_attribute("src", before)
        assert np.ptp(shown()[1], axis=-1).mean() < 2
        deadline = time.monotonic() + 5
        while len(list((tmp_path / "temporary").rglob("grandmother-colorized.jpg"))) != 1:  # the one before goes
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert output.read_text().count("the network runs") == 2  # before the first visitor and for the photograph

        tab.get_by_role("tab", name="Sample grids").click()
        expect(images).to_have_js_property("naturalHeight", 100)
        tab.get_by_label("2", exact=True).check()
        expect(images).to_have_js_property("naturalHeight", 20)

        (tmp_path / "notes.jpg").write_text("no photograph")
        tab.reload()
        tab.set_input_files("input[type=file]", tmp_path / "notes.jpg")
        expect(tab.get_by_text("notes.jpg is not a photograph of a known format.")).to_be_visible()
        expect(images).to_have_count(0)
        assert hosts == {"127.0.0.1"}
        browser.close()
