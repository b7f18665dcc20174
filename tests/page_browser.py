"""The page in a process of its own, and a browser: Playwright with Chromium."""

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"))), None
)
NEEDS_GRADIO = pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="pip install 'colorgan[page]'")


def skip_without_browser() -> None:
    """Skips the test where something is not installed."""
    if CHROMIUM is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("pip install playwright, and Chromium in PATH or in the variable CHROMIUM")
    pytest.importorskip("gradio")


@contextlib.contextmanager
def serving(script: str, workdir: Path, tmp_path: Path, **variables: str) -> Iterator[tuple[str, Path]]:
    """The address of the page and the file with its output. It must end with Ctrl-C and leave no files.

    Args:
      script: Python that runs `colorgan.page` with a network of its own.
      workdir: of a run.
      tmp_path: for the output, and for the files of the page in the folder `temporary`.
      variables: of the environment.
    """
    folder, output = tmp_path / "temporary", tmp_path / "output.txt"
    folder.mkdir()
    command = [sys.executable, "-c", script, f"--workdir={workdir}"]
    environment = COMMAND_ENVIRONMENT | {"TMPDIR": str(folder)} | variables
    with open(output, "wb") as file:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 150
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


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=20_000)  # milliseconds; other programs may use the processors
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextlib.contextmanager
def visiting(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """A tab of a new visitor, who meets this machine only. `options` are those of the browser's context."""
    context = browser.new_context(**options)
    tab = context.new_page()
    hosts: set[str | None] = set()
    tab.on("request", lambda request: hosts.add(urllib.parse.urlparse(request.url).hostname))
    tab.goto(address)
    yield tab
    assert hosts <= {"127.0.0.1", None}  # None for data: and blob:
    context.close()


def open_photos(tab: Any, *paths: Path) -> None:
    """Uploads photographs."""
    tab.set_input_files("input[type=file] >> nth=0", paths)


def wait_until(is_true: Callable[[], object]) -> None:
    """Fails after 30 seconds."""
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
