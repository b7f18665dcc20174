"""The page: uploads that are accepted and refused, and its use in a browser, with Gradio, Playwright and Chromium."""

import contextlib
import io
import json
import os
import re
import shutil
import socket
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from etils import epath
from page_browser import NEEDS_GRADIO, browsing, open_photos, serving, skip_without_browser, visiting, wait_until
from PIL import Image

from colorgan import page
from colorgan.data import transforms
from colorgan.errors import UserError
from colorgan.inference import colorize_files, find_inputs, page_heading, page_visits
from colorgan.inference.colorizer import Colorizer
from colorgan.run.workdir import find_samples

TINTED = Colorizer(lambda gray: 0 * gray + np.array((0.3, 0, -0.3), np.float32), 32)
# The command with a network of one color. It prints when the network runs and when another machine is looked up. The
# network waits while there is a file $HOLD.
SERVER = """
import os, runpy, socket, sys, time
if os.environ.get("WITHOUT_VIDEOS"):
    sys.modules["av"] = None
import numpy as np
from colorgan.inference import page_app, page_visits
from colorgan.inference.colorizer import Colorizer

def predict(gray):
    while os.path.exists(os.environ.get("HOLD", "")):
        time.sleep(0.05)
    time.sleep(0.5 if len(gray) > 1 else 0)  # of a video, so that its progress is seen
    print("the network runs", flush=True)
    return 0 * gray + np.float32((0.3, 0, -0.3))

def look_up(host, *arguments, **options):
    if host not in ("127.0.0.1", b"127.0.0.1", "localhost", None):
        print("looks up", host, flush=True)
    return look_up_before(host, *arguments, **options)

page_visits._KEPT_AFTER_LEAVING, page_app._SWEEP_SECONDS = 0, 0.5
look_up_before, socket.getaddrinfo = socket.getaddrinfo, look_up
Colorizer.from_workdir = lambda workdir, checkpoint: Colorizer(predict, 32, {"step": 1234, "checkpoint": "best"})
runpy.run_module("colorgan.page", run_name="__main__")
"""


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """2000 x 1000 pixels of gray texture."""
    gray = np.random.default_rng(0).integers(90, 160, (50, 100), np.uint8)
    path = tmp_path / "grandmother.jpg"
    Image.fromarray(gray).resize((2000, 1000)).save(path)
    return path


def _create_run(folder: Path) -> Path:
    """The folder of a run with two sample grids and another file."""
    folder = folder / "run" / "samples"
    folder.mkdir(parents=True)
    for epoch in (10, 2):
        Image.new("RGB", (60, 10 * epoch)).save(folder / f"epoch_{epoch:04d}.png")
    (folder / "epoch_last.png").touch()
    (folder.parent / "config.json").write_text("{}")
    return folder.parent


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    return _create_run(tmp_path)


def _claim_size(path: Path, width: int, height: int) -> None:
    """A tiny PNG whose header has another size than its content."""
    encoded = io.BytesIO()
    Image.new("L", (1, 1)).save(encoded, "PNG")
    start, end = encoded.getvalue()[:12], encoded.getvalue()[33:]
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.write_bytes(start + header + struct.pack(">I", zlib.crc32(header)) + end)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")  # as for all programs
@pytest.mark.parametrize("size", [(10_000, 20_001), (30_000, 30_000)])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, size):
    _claim_size(tmp_path / "huge.png", *size)
    with pytest.raises(UserError, match="^huge.png has more than 200 megapixels: make it smaller first.$"):
        page_visits.read_upload(tmp_path / "huge.png", page_visits.max_megapixels(64e9))


def test_the_limit_is_that_of_the_command_or_of_the_memory():
    limits = [page_visits.max_megapixels(free) for free in (64e9, 4e9, 2e9, 1e9, 1)]
    assert limits == [200, 200, 100, 50, 1]
    assert page_visits.max_megapixels(64e9) * 10**6 == transforms.MAX_PIXELS


def test_other_files_are_refused_in_one_sentence(tmp_path, photo):
    (tmp_path / "notes.jpg").write_text("no photograph")
    with pytest.raises(UserError, match="^notes.jpg is not a photograph of a known format.$"):
        page_visits.read_upload(tmp_path / "notes.jpg", 200)
    photo.write_bytes(photo.read_bytes()[:2000])
    with pytest.raises(UserError, match="^grandmother.jpg cannot be read: "):
        page_visits.read_upload(photo, 200)
    with pytest.raises(UserError, match="^gone.jpg has been deleted"):
        page_visits.read_upload(tmp_path / "gone.jpg", 200)
    (tmp_path / "notes.txt").write_text("no photograph")
    with pytest.raises(UserError, match="^notes.txt is not a photograph of a known format.$"):
        page_visits.open_photo(TINTED, tmp_path / "notes.txt", 200)
    (tmp_path / "clip.mp4").write_text("no photograph")
    with pytest.raises(UserError, match="^clip.mp4 is a video: drop it on the tab Video.$"):
        page_visits.open_photo(TINTED, tmp_path / "clip.mp4", 200)


@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_the_result_has_the_name_size_and_format_of_the_upload(tmp_path, photo, suffix):
    path = photo.with_suffix(suffix)
    Image.open(photo).save(path)
    opened = page_visits.open_photo(TINTED, path, 200)
    with Image.open(opened.gray) as gray, Image.open(opened.colored) as colored:
        assert gray.size == colored.size == (1600, 800)
    assert opened.name == f"grandmother-colorized{suffix}"
    page_visits.write_colored(opened, tmp_path / f"colored{suffix}", 200)
    page_visits.repaint(opened, 0, 1)
    page_visits.write_colored(opened, tmp_path / f"gray{suffix}", 200)
    with (
        Image.open(path) as before,
        Image.open(tmp_path / f"colored{suffix}") as after,
        Image.open(tmp_path / f"gray{suffix}") as same,
    ):
        assert (after.format, after.size) == (before.format, before.size)
        assert np.ptp(np.asarray(after).astype(int), axis=-1).mean() > 20
        assert np.ptp(np.asarray(same).astype(int), axis=-1).mean() < 2


def test_only_the_last_two_previews_are_kept(photo):
    opened = page_visits.open_photo(TINTED, photo, 200)
    for strength in (0.3, 0.2, 0.1):
        page_visits.repaint(opened, strength, 1)
    names = {path.name for path in opened.colored.parent.iterdir()}
    assert names == {"gray.jpg", "thumbnail.jpg", "colored-2.jpg", "colored-3.jpg"}
    assert (opened.strength, opened.colored.name) == (0.1, "colored-3.jpg")


def test_heic_is_taken_and_becomes_jpeg(tmp_path):
    path = tmp_path / "leica.HEIC"
    shutil.copy(ROOT / "tests" / "tiny_photos" / "leica.heic", path)
    opened = page_visits.open_photo(TINTED, path, 200)
    assert opened.name == "leica-colorized.jpg"
    page_visits.write_colored(opened, tmp_path / opened.name, 200)
    with Image.open(tmp_path / opened.name) as image:
        assert (image.format, image.size) == ("JPEG", (48, 64))


def test_the_zip_has_the_files_of_the_command(tmp_path):
    """The same bytes, with metadata; of two photographs of one name the later one gets a number."""
    exif = Image.Exif()
    exif[0x010F] = "Leica"  # the maker of the camera
    uploads = []
    for number, suffix in enumerate((".jpg", ".png", ".jpg")):
        uploads.append(tmp_path / str(number) / f"wedding{suffix}")
        uploads[-1].parent.mkdir()
        gray = np.random.default_rng(number).integers(90, 160, (20, 30), np.uint8)
        Image.fromarray(gray).resize((300, 200)).save(uploads[-1], exif=exif, dpi=(300, 300))
    files = list(find_inputs.find_files(uploads, None))
    colorize_files.colorize_files(files, None, TINTED, colorize_files.Settings(), colorize_files.Result())
    visit = page_visits.Visits(tmp_path).of("session")
    for upload in uploads:
        page_visits.add_photo(TINTED, visit, upload, 200)
    numbers: list[int] = []
    with zipfile.ZipFile(page_visits.write_zip(visit, 200, numbers.append)) as written:
        names = ["wedding-colorized.jpg", "wedding-colorized.png", "wedding-colorized (2).jpg"]
        assert written.namelist() == names
        for name, (_, target) in zip(names, files, strict=True):
            assert written.read(name) == target.read_bytes()
        with Image.open(io.BytesIO(written.read(names[0]))) as image:
            assert image.getexif()[0x010F] == "Leica"
    assert numbers == [1, 2, 3]
    first = visit.downloads["photographs"]
    assert page_visits.write_zip(visit, 200).parent != first
    assert not first.exists()  # one file for download is kept
    visit.clear()
    with pytest.raises(UserError, match="^The photographs have been deleted from this machine: drop them again.$"):
        page_visits.write_zip(visit, 200)


def test_visitors_with_equal_uploads_have_files_of_their_own(tmp_path, photo):
    visits = page_visits.Visits(tmp_path)
    first, second = visits.of("a"), visits.of("b")
    assert first is visits.of("a")
    paths = [visit.take(photo) for visit in (first, second)]
    assert paths[0] != paths[1]
    assert all(len(visit.folder.name) > 20 for visit in (first, second))  # as long as random keys that are safe
    added = first.photos[page_visits.add_photo(TINTED, first, photo, 200)]
    first.clear()
    assert not added.source.exists()
    assert paths[1].read_bytes() == photo.read_bytes()
    photo.unlink()
    with pytest.raises(UserError, match="^grandmother.jpg has been deleted from this machine: drop it again.$"):
        first.take(photo)


def test_new_photographs_leave_a_video_alone(tmp_path, photo):
    visit = page_visits.Visits(tmp_path).of("a")
    in_work, done = visit.take(photo), visit.new_download("clip.mp4", "video")
    page_visits.add_photo(TINTED, visit, photo, 200)
    (tmp_path / "notes.jpg").write_text("no photograph")
    with pytest.raises(UserError):
        page_visits.add_photo(TINTED, visit, tmp_path / "notes.jpg", 200)
    page_visits.write_zip(visit, 200)
    visit.clear()
    assert {path.name for path in visit.folder.iterdir()} == {in_work.parent.name, done.parent.name}
    assert (visit.photos, visit.shown) == ({}, "")


def test_files_of_visitors_who_left_or_are_idle_are_deleted(tmp_path, photo):
    visits, now = page_visits.Visits(tmp_path), time.time()
    folders = {}
    for name in ("stays", "leaves", "returns", "idle"):
        visits.of(name).take(photo)
        folders[name] = visits.of(name).folder
    visits.of("idle").used = now - 5000
    for name in ("leaves", "returns", "unknown"):
        visits.leave(name)
    visits.of("returns")
    visits.sweep(now=now + 60)  # not at once: a phone in a pocket loses its connection
    assert [name for name, folder in folders.items() if folder.exists()] == ["stays", "leaves", "returns"]
    visits.sweep(now=now + 600)
    assert [name for name, folder in folders.items() if folder.exists()] == ["stays", "returns"]
    assert visits.of("leaves").photos == {}


def test_the_disk_is_bounded(tmp_path):
    visits = page_visits.Visits(tmp_path)
    for number, name in enumerate("abc"):
        upload = tmp_path / f"{name}.jpg"
        upload.write_bytes(bytes(1000))
        visits.of(name).take(upload)
        upload.unlink()
        visits.of(name).used = time.time() - 100 + number
    folders = [visits.of(name).folder for name in "cab"]  # "c" was used longest ago
    visits.of("a").used, visits.of("c").used = time.time() + 1, time.time() - 10
    visits.sweep(max_bytes=2500)
    assert [folder.exists() for folder in folders] == [False, True, True]
    (tmp_path / "flood.jpg").write_bytes(bytes(1000))  # uploaded, and not colored
    visits.sweep(now=time.time() + 100, max_bytes=3000)
    assert (tmp_path / "flood.jpg").exists()
    visits.sweep(now=time.time() + 100, max_bytes=0)
    assert [folder.exists() for folder in folders] == [False, False, False]
    assert not (tmp_path / "flood.jpg").exists()


def test_old_uploads_and_empty_folders_are_deleted(tmp_path):
    visits = page_visits.Visits(tmp_path)
    (tmp_path / "hash").mkdir()
    (tmp_path / "examples").mkdir()
    upload, broken, example = tmp_path / "hash" / "old.webp", tmp_path / "tmp123", tmp_path / "examples" / "a.png"
    for path in (upload, broken, example):
        path.touch()
    os.utime(broken, (0, 0))  # the time of a copied file
    visits.sweep(kept=["examples"])
    assert all(path.exists() for path in (upload, broken, example))
    visits.sweep(kept=["examples"], now=time.time() + 1000)
    assert {path.name for path in tmp_path.iterdir()} == {"examples", "visits"}
    assert example.exists()


def test_the_heading_names_the_network(tmp_path):
    assert page_heading.describe_network(None, None, {"step": 7}).startswith("The network that ships with colorgan")
    run = epath.Path(ROOT / "tests" / "old_runs" / "2026-11-23")
    described = page_heading.describe_network(run, None, {"step": 6, "checkpoint": "best"})
    assert described == "Run 2026-11-23, best checkpoint, step 6, epoch 2, score 0.052"
    described = page_heading.describe_network(epath.Path(tmp_path), None, {"step": 1234})  # has no metrics
    assert described == f"Run {tmp_path.name}, step 1,234"
    (tmp_path / "metrics.jsonl").write_text('{"step": 1234, "validation/score": 0.25}\n[1]\n{"step": 12')  # cut off
    described = page_heading.describe_network(epath.Path(tmp_path), None, {"step": 1234})
    assert described == f"Run {tmp_path.name}, step 1,234, score 0.250"
    described = page_heading.describe_network(None, tmp_path / "mine.onnx", {"step": 2000, "checkpoint": "latest"})
    assert described == "File mine.onnx, latest checkpoint, step 2,000"


def test_a_colorizer_knows_its_step(tmp_path):
    description = Colorizer.from_workdir(ROOT / "tests" / "old_runs" / "2026-11-23").description
    assert (description["step"], description["checkpoint"]) == (6, "best")
    assert Colorizer.default().description["step"] > 1000
    assert TINTED.description == {}


def test_a_video_becomes_mp4_with_its_name(tmp_path):
    videos = pytest.importorskip("videos")
    videos.write_video(tmp_path / "clip.avi", [videos.scene()] * 24, codec="mpeg4", sound="mp3", options={})
    visit, shares = page_visits.Visits(tmp_path).of("a"), list[float]()
    path = page_visits.color_video(Colorizer(videos.tint, 32), visit, tmp_path / "clip.avi", shares.append)
    assert path.name == "clip-colorized.mp4"
    with videos.av.open(path) as colored:
        assert {stream.type for stream in colored.streams} == {"video", "audio"}
        assert np.ptp(next(colored.decode(video=0)).to_ndarray(format="rgb24").astype(int), axis=-1).mean() > 20
    assert shares == sorted(shares)
    assert (len(shares) > 10, shares[-1]) == (True, 1.0)
    assert [path.name for path in visit.folder.rglob("*.avi")] == []  # the upload goes


def test_videos_that_are_refused_in_one_sentence(tmp_path, photo, monkeypatch):
    videos = pytest.importorskip("videos")
    visit = page_visits.Visits(tmp_path).of("a")

    def refused(path: Path) -> str:
        with pytest.raises(UserError) as error:
            page_visits.color_video(Colorizer(videos.tint, 32), visit, path, lambda share: None)
        return str(error.value)

    times = [int(1000 * seconds) for seconds in np.linspace(0, 61, 24)]
    videos.write_video(tmp_path / "long.mp4", [videos.scene()] * 24, times=times)
    assert refused(tmp_path / "long.mp4") == ("long.mp4 is longer than 60 seconds: colorgan colorize takes any length.")
    assert refused(photo) == "grandmother.jpg is not a video of a known format."
    (tmp_path / "notes.mp4").write_text("no video")
    assert refused(tmp_path / "notes.mp4").startswith("notes.mp4: it cannot be read or written as a video: ")
    monkeypatch.setitem(sys.modules, "av", None)
    assert refused(tmp_path / "notes.mp4") == "videos need PyAV: pip install 'colorgan[video]'."


def test_a_video_stops_when_its_visitor_is_gone(tmp_path):
    videos = pytest.importorskip("videos")
    videos.write_video(tmp_path / "clip.mp4", [videos.scene()] * 24)
    visits = page_visits.Visits(tmp_path)
    visit, shares = visits.of("a"), list[float]()

    def leave(share: float) -> None:
        shares.append(share)
        visits.leave("a")
        visits.sweep(now=time.time() + 600)

    with pytest.raises(UserError):
        page_visits.color_video(Colorizer(videos.tint, 32), visit, tmp_path / "clip.mp4", leave)
    assert (len(shares), visit.folder.exists()) == (1, False)


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


def _serving(workdir: Path, tmp_path: Path, **variables: str) -> contextlib.AbstractContextManager[tuple[str, Path]]:
    return serving(SERVER, workdir, tmp_path, **variables)


def _status(url: str | urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@NEEDS_GRADIO
def test_it_is_served_here_alone_and_of_the_run_the_report_only(workdir, tmp_path):
    with _serving(workdir, tmp_path) as (address, _):
        assert address.startswith("http://127.0.0.1:")
        assert b"Run run, best checkpoint, step 1,234" in urllib.request.urlopen(address).read()
        assert _status(f"{address}report.html") == 404
        (workdir / "report.html").write_text("<p>Report</p>")
        with urllib.request.urlopen(f"{address}report.html") as answer:
            assert answer.read() == b"<p>Report</p>"
            assert answer.headers["Content-Security-Policy"] == "sandbox allow-scripts"
        for path in ("config.json", "report.html/../config.json", "report.html/config.json", "samples/epoch_0002.png"):
            assert _status(f"{address}{path}") == 404
        for name in ("config.json", "report.html"):
            assert _status(f"{address}gradio_api/file={workdir / name}") == 403


@NEEDS_GRADIO
def test_it_is_served_where_a_proxy_is_set_and_behind_another_server(workdir, tmp_path):
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    with _serving(workdir, tmp_path, GRADIO_ROOT_PATH="/photos", **proxies) as (address, _):
        request = urllib.request.Request(address, headers={"X-Forwarded-Host": "host", "X-Forwarded-Proto": "https"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert b'"root":"https://host/photos"' in opener.open(request).read()


@NEEDS_GRADIO
def test_without_pyav_the_page_names_what_to_install(workdir, tmp_path):
    with _serving(workdir, tmp_path, WITHOUT_VIDEOS="1") as (address, _):
        content = urllib.request.urlopen(address).read()
        assert b"Videos need PyAV on the machine that serves this page" in content
        assert b"up to 60 seconds" not in content


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """One server and one browser for all tests below, with the folders of the run and of the server."""
    skip_without_browser()
    folder = tmp_path_factory.mktemp("site")
    workdir, hold = _create_run(folder), folder / "hold"
    with _serving(workdir, folder, HOLD=str(hold)) as (address, output), browsing() as browser:
        (root,) = (folder / "temporary").glob("colorgan-page-*")
        yield SimpleNamespace(address=address, output=output, workdir=workdir, hold=hold, root=root, browser=browser)


@pytest.fixture
def tab(site) -> Iterator[Any]:
    """A tab of a new visitor, who meets this machine only."""
    with visiting(site.browser, site.address) as tab:
        yield tab


def _shown(tab: Any) -> list[np.ndarray]:
    """What the comparison shows: the gray and the colored image."""
    from playwright.sync_api import expect

    images = tab.get_by_test_id("imageslider-image")
    expect(images).to_have_count(2)
    bodies = [tab.request.get(image.get_attribute("src")).body() for image in images.all()]
    return [np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int) for body in bodies]


def _colorfulness(image: np.ndarray) -> float:
    return float(np.ptp(image, axis=-1).mean())


def _save(tab: Any, button: str) -> Any:
    with tab.expect_download() as downloading:
        tab.get_by_role("button", name=button).click()
    return downloading.value


def test_in_a_browser(site, tab, photo, tmp_path):
    from playwright.sync_api import expect

    num_before = site.output.read_text().count("the network runs")
    expect(tab.get_by_text("Run run, best checkpoint, step 1,234")).to_be_visible()
    images = tab.get_by_test_id("imageslider-image")
    open_photos(tab, photo)
    gray, colored = _shown(tab)
    assert gray.shape == colored.shape == (800, 1600, 3)
    assert _colorfulness(gray) < 2
    assert _colorfulness(colored) > 20
    for image in images.all():
        expect(image).to_have_js_property("naturalWidth", 1600)  # it is drawn
    with Image.open(io.BytesIO(images.last.screenshot(path=tmp_path / "compared.png"))) as screenshot:
        left, right = np.split(np.asarray(screenshot.convert("RGB").resize((960, 480))).astype(int), 2, axis=1)
    assert (np.ptp(left, axis=-1) < 5).mean() > 0.9
    assert (np.ptp(right, axis=-1) > 20).mean() > 0.9
    assert min(half.mean(axis=-1).std() for half in (left, right)) > 5  # of texture
    assert tab.locator("a[href]").count() == 0  # the upload is not offered as a file
    expect(tab.get_by_role("button", name="Download all as a zip")).to_be_hidden()
    saved = _save(tab, "Download at full size")
    assert saved.suggested_filename == "grandmother-colorized.jpg"
    with Image.open(saved.path()) as whole:
        assert (whole.format, whole.size) == ("JPEG", (2000, 1000))
        assert _colorfulness(np.asarray(whole).astype(int)) > 20

    before = images.last.get_attribute("src")
    tab.get_by_label("number input for Strength").fill("0")
    tab.get_by_label("number input for Strength").blur()
    expect(images.last).not_to_have_attribute("src", before)
    wait_until(lambda: _colorfulness(_shown(tab)[1]) < 2)
    with Image.open(_save(tab, "Download at full size").path()) as whole:
        assert _colorfulness(np.asarray(whole).astype(int)) < 2
    assert len(list(site.root.rglob("grandmother-colorized.jpg"))) == 1  # the one before goes

    tab.get_by_label("range slider for Strength").focus()
    for _ in range(20):
        tab.keyboard.press("ArrowRight")
    wait_until(lambda: _colorfulness(_shown(tab)[1]) > 20)
    expect(tab.get_by_label("number input for Strength")).to_have_value("1")
    assert site.output.read_text().count("the network runs") == num_before + 1

    tab.get_by_role("tab", name="Sample grids").click()
    grid = tab.locator("img:visible")
    expect(grid).to_have_js_property("naturalHeight", 100)
    tab.get_by_label("2", exact=True).check()
    expect(grid).to_have_js_property("naturalHeight", 20)


def test_the_report_of_the_run_is_a_tab_if_there_is_one(site, tab):
    from playwright.sync_api import expect

    expect(tab.get_by_role("tab", name="Sample grids")).to_be_visible()
    expect(tab.get_by_role("tab", name="Report")).to_have_count(0)
    report = site.workdir / "report.html"
    report.write_text("<p>The score</p><script>document.querySelector('p').textContent += ` of ${origin}`</script>")
    tab.reload()
    tab.get_by_role("tab", name="Report").click()
    # It has no origin: its scripts cannot read the page.
    expect(tab.frame_locator("iframe").get_by_text("The score of null")).to_be_visible()
    report.unlink()


def test_an_example_is_colored_with_one_click(tab):
    tab.locator("button:has(img[src*=examples])").first.click()
    gray, colored = _shown(tab)
    assert gray.shape == (640, 640, 3)
    assert _colorfulness(colored) > 20
    assert _save(tab, "Download at full size").suggested_filename == "village-colorized.png"


def test_several_photographs_have_sliders_of_their_own_and_one_zip(tab, tmp_path):
    from playwright.sync_api import expect

    paths = [_write_level(tmp_path / f"photo_{level}.png", level) for level in (60, 120, 180)]
    (tmp_path / "notes.jpg").write_text("no photograph")
    open_photos(tab, *paths, tmp_path / "notes.jpg")
    expect(tab.get_by_text("notes.jpg is not a photograph of a known format.")).to_be_visible()
    thumbnails = tab.locator(".thumbnails button:has(img)")
    expect(thumbnails).to_have_count(3)
    strength = tab.get_by_label("number input for Strength")

    def shows(level: int, is_gray: bool) -> bool:
        gray, colored = _shown(tab)
        return abs(gray.mean() - level) < 10 and (_colorfulness(colored) < 2) == is_gray

    wait_until(lambda: shows(60, is_gray=False))
    thumbnails.nth(1).click()
    wait_until(lambda: shows(120, is_gray=False))
    strength.fill("0")
    strength.blur()
    wait_until(lambda: shows(120, is_gray=True))
    thumbnails.nth(2).click()
    wait_until(lambda: shows(180, is_gray=False))
    expect(strength).to_have_value("1")
    thumbnails.nth(1).click()
    wait_until(lambda: shows(120, is_gray=True))
    expect(strength).to_have_value("0")
    saved = _save(tab, "Download all as a zip")
    assert saved.suggested_filename == "photographs-colorized.zip"
    with zipfile.ZipFile(saved.path()) as written:
        assert written.namelist() == [f"photo_{level}-colorized.png" for level in (60, 120, 180)]
        images = [np.asarray(Image.open(written.open(name))).astype(int) for name in written.namelist()]
    assert [_colorfulness(image) > 20 for image in images] == [True, False, True]


def test_a_video_is_colored_with_progress_and_played(site, tab, tmp_path):
    videos = pytest.importorskip("videos")
    from playwright.sync_api import expect

    videos.write_video(tmp_path / "clip.mkv", [videos.scene()] * 24)
    tab.get_by_role("tab", name="Video").click()
    expect(tab.get_by_text("up to 60 seconds and 200 MB")).to_be_visible()
    site.hold.touch()
    try:
        tab.locator("input[type=file] >> nth=1").set_input_files(tmp_path / "clip.mkv")
        expect(tab.get_by_text("clip.mkv - 0.0%")).to_be_visible()
    finally:
        site.hold.unlink()
    expect(tab.get_by_text(re.compile(r"clip\.mkv - [1-9]"))).to_be_visible()
    player = tab.locator("video")
    expect(player).to_have_js_property("videoWidth", videos.WIDTH)
    assert player.evaluate("video => video.duration") == pytest.approx(videos.TIMES[-1] / 1000, abs=0.3)
    with tab.expect_download() as downloading:
        tab.get_by_role("button", name="Download", exact=True).or_(tab.get_by_role("link", name="Download")).click()
    assert downloading.value.suggested_filename == "clip-colorized.mp4"

    (tmp_path / "notes.mp4").write_text("no video")
    tab.locator("input[type=file] >> nth=1").set_input_files(tmp_path / "notes.mp4")
    expect(tab.get_by_text("notes.mp4: it cannot be read or written as a video")).to_be_visible()
    expect(player).to_have_count(0)


def _write_level(path: Path, level: int) -> Path:
    """A photograph with a mean of `level`."""
    noise = np.random.default_rng(level).integers(-5, 6, (40, 60))
    Image.fromarray((level + noise).astype(np.uint8)).save(path)
    return path


def test_two_visitors_at_once_see_their_own_photographs_only(site, tab, tmp_path):
    """Both files have one name, and the events of both wait at the same time."""
    other = site.browser.new_context().new_page()
    other.goto(site.address)
    paths = {}
    site.hold.touch()
    try:
        for visitor, level in ((tab, 60), (other, 180)):
            folder = tmp_path / str(level)
            folder.mkdir()
            paths[level] = _write_level(folder / "family.png", level)
            open_photos(visitor, paths[level])
        wait_until(lambda: len(list(site.root.glob("*/family.png"))) == 2)  # both are uploaded
    finally:
        site.hold.unlink()
    urls = []
    for visitor, level in ((tab, 60), (other, 180)):
        gray, _ = _shown(visitor)
        assert abs(gray.mean() - level) < 10
        with Image.open(_save(visitor, "Download at full size").path()) as whole:
            assert abs(np.asarray(whole.convert("L")).mean() - level) < 10
        urls.append(visitor.get_by_test_id("imageslider-image").last.get_attribute("src"))
    first, second = (Path(urllib.parse.urlparse(url).path) for url in urls)
    keys = [path.parts[path.parts.index("visits") + 1] for path in (first, second)]
    assert keys[0] != keys[1]
    assert min(map(len, keys)) > 20
    # Neither a list of the visitors nor that of the files of one is served, nor a file by a wrong key.
    for url in (urls[0].partition(keys[0])[0], urls[0].partition(keys[0])[0] + keys[0], urls[0].replace(keys[0], "A")):
        assert _status(url) == 403
    other.context.close()


def _join_queue(site: SimpleNamespace, index: int, session: str, data: list) -> int:
    body = json.dumps({"fn_index": index, "session_hash": session, "data": data}).encode()
    request = urllib.request.Request(f"{site.address}gradio_api/queue/join", body, {"Content-Type": "application/json"})
    return _status(request)


def test_a_visitor_beyond_the_queue_gets_a_sentence(site, tab, photo):
    from playwright.sync_api import expect

    config = json.load(urllib.request.urlopen(f"{site.address}config"))
    clicks = [each for each in config["dependencies"] if [name for _, name in each["targets"]] == ["click"]]
    example = next(each["id"] for each in clicks if each["inputs"])
    site.hold.touch()
    try:
        answers = [_join_queue(site, example, f"visitor{number}", [0]) for number in range(30)]
        assert answers.count(200) in (20, 21)  # one may run already
        assert set(answers) == {200, 503}
        open_photos(tab, photo)
        expect(tab.get_by_text("This application is currently busy. Please try again.")).to_be_visible()
    finally:
        site.hold.unlink()
    tab.reload()
    open_photos(tab, photo)
    _shown(tab)


def test_broken_slow_and_truncated_uploads_are_answered(site, tab, photo, tmp_path):
    from playwright.sync_api import expect

    host, port = urllib.parse.urlparse(site.address).netloc.split(":")
    head = (
        b"POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="files"; filename="slow.jpg"\r\n\r\n'
    )
    with socket.create_connection((host, int(port))) as slow, socket.create_connection((host, int(port))) as broken:
        for connection in (slow, broken):
            connection.sendall(head + bytes(100))
        broken.close()
        open_photos(tab, photo)  # nobody waits for the slow one
        _shown(tab)
        slow.sendall(bytes(100))

    tab.route("**/upload*", lambda route: route.abort())
    open_photos(tab, photo)
    expect(tab.get_by_text("Connection errored out.")).to_be_visible()
    tab.unroute("**/upload*")
    (tmp_path / "truncated.jpg").write_bytes(photo.read_bytes()[:3000])
    open_photos(tab, tmp_path / "truncated.jpg")
    expect(tab.get_by_text("truncated.jpg cannot be read: ")).to_be_visible()
    expect(tab.get_by_test_id("imageslider-image")).to_have_count(0)
    (tmp_path / "notes.jpg").write_text("no photograph")
    open_photos(tab, tmp_path / "notes.jpg")
    expect(tab.get_by_text("notes.jpg is not a photograph of a known format.")).to_be_visible()
    expect(tab.get_by_text("truncated.jpg")).to_have_count(0)
    open_photos(tab, photo)
    _shown(tab)
    expect(tab.get_by_text("notes.jpg")).to_have_count(0)


def test_files_of_a_visitor_who_closes_the_tab_are_deleted(site, photo):
    context = site.browser.new_context()
    tab = context.new_page()
    tab.goto(site.address)
    open_photos(tab, photo)
    _shown(tab)
    url = tab.get_by_test_id("imageslider-image").last.get_attribute("src")
    assert _status(url) == 200
    context.close()
    wait_until(lambda: _status(url) == 403)
