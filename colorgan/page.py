"""A page for the browser: drop a photograph, see it in colour, download that at full size. Needs no network."""

import argparse
import contextlib
import dataclasses
import importlib.util
import io
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from PIL import Image, UnidentifiedImageError

from colorgan import colorize, command_line
from colorgan.data import transforms
from colorgan.data.folder import IMAGE_SUFFIXES
from colorgan.errors import UserError
from colorgan.inference.colorizer import Colorizer, paint, shrink
from colorgan.media.photo_file import Photo, read_photo, write_photo
from colorgan.run import devices

MAX_MEGAPIXELS = 100  # at which colouring takes 1.8 GB of memory, in rare cases 2.2: docs/photographs.md
_KEPT_SECONDS = 3600
_PREVIEW_SIZE = 1600  # what a large screen shows
_LIMITS: dict[str, Any] = {"max_file_size": "200mb", "state_session_capacity": 100}  # visitors' previews, 3 MB each
_LOCAL: dict[str, Any] = {"quiet": True, "share": False, "ssr_mode": False, "run_history": False, "footer_links": []}
_HELP = f"""JPEG, PNG, WebP, BMP or TIFF of up to {MAX_MEGAPIXELS} megapixels, taken as gray. Uploads stay on the
machine that serves this page, and are deleted after an hour."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """A photograph that the network has seen, so that `paint` can give it any strength and saturation."""

    path: Path  # the upload
    gray: np.ndarray  # uint8 [h,w], what the browser shows
    small: np.ndarray  # of `shrink`
    chroma: np.ndarray  # of `Colorizer.predict_chroma`
    result: Path | None = None  # of `write_colored`, the last


def read_upload(path: Path) -> Photo:
    """Raises UserError if it is gone, no photograph, or has more than `MAX_MEGAPIXELS`, before these are decoded."""
    try:
        with Image.open(path, formats=transforms.FORMATS) as image:
            if image.width * image.height > MAX_MEGAPIXELS * 10**6:
                raise Image.DecompressionBombError
        return read_photo(path)
    except FileNotFoundError as error:
        raise UserError(f"{path.name} has been deleted here by now: drop it once more.") from error
    except UnidentifiedImageError as error:
        raise UserError(f"{path.name} is not a photograph of a known format.") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path.name} has more than {MAX_MEGAPIXELS} megapixels: make it smaller first.") from error
    except Exception as error:  # decoders raise of every kind
        raise UserError(f"{path.name} cannot be read: {error}") from error


def open_photo(colorizer: Colorizer, path: Path) -> Opened:
    """Runs the network on a photograph; raises what `read_upload` does."""
    pixels = read_upload(path).pixels
    small = shrink(pixels, colorizer.image_size)
    preview = shrink(pixels, min(_PREVIEW_SIZE, max(pixels.shape[:2])))
    gray = np.clip(np.rint((preview + 1) * 127.5), 0, 255).astype(np.uint8)
    return Opened(path, gray, small, colorizer.predict_chroma(small[None])[0])


def write_colored(opened: Opened, strength: float, saturation: float, folder: Path) -> Path:
    """The photograph in colour, at its own size and in its own format, in a new folder below `folder`."""
    photo = read_upload(opened.path)
    colored = photo.as_rgb()
    paint(photo.pixels, opened.small, opened.chroma, strength, saturation, out=colored.pixels)
    del photo  # as in `colorize`
    path = Path(tempfile.mkdtemp(dir=folder), f"{opened.path.stem}-colorized{opened.path.suffix}")
    write_photo(path, colored)
    return path


def delete_older(folder: Path, seconds: float) -> None:
    """Deletes files that came into `folder` longer ago, and what has been empty for as long.

    (Gradio's own `delete_cache` leaves results behind.)
    """
    for parent, folders, files in os.walk(folder, topdown=False):  # unlike rglob, it bears that folders go meanwhile
        for path in (Path(parent, name) for name in files + folders):
            with contextlib.suppress(OSError):  # it is gone by now, or not empty
                if time.time() - path.stat().st_ctime > seconds:
                    (Path.rmdir if path.is_dir() else Path.unlink)(path)


def find_grids(workdir: epath.Path) -> dict[int, epath.Path]:
    """A run's sample grids by epoch, in order."""
    named = {path.stem.removeprefix("epoch_"): path for path in (workdir / "samples").glob("epoch_*.png")}
    return dict(sorted((int(number), path) for number, path in named.items() if number.isdecimal()))


def create_page(colorizer: Colorizer, workdir: epath.Path | None, folder: Path) -> Any:
    """Gradio's Blocks, ready to launch, with the sample grids of `workdir`; results are written to `folder`."""
    import gradio as gr

    def color(file: str | None, strength: float, saturation: float, opened: Opened | None) -> Iterator[dict]:
        before = opened.result if opened else None
        try:
            if file is None:
                yield {state: None, result: gr.Row(visible=False)}
                return
            if opened is None or opened.path != Path(file):
                opened = open_photo(colorizer, Path(file))
            colored = paint(opened.gray, opened.small, opened.chroma, strength, saturation)
            shown = {state: opened, result: gr.Row(visible=True), images: (opened.gray, colored)}
            yield shown | {download: gr.DownloadButton(interactive=False)}  # the whole file takes longer
            path = write_colored(opened, strength, saturation, folder)
            opened = dataclasses.replace(opened, result=path)
            yield {state: opened, download: gr.DownloadButton(value=path, interactive=True)}
        except UserError as error:
            gr.Warning(str(error))
            yield {state: None, result: gr.Row(visible=False), photograph: None}
        finally:
            if before:
                shutil.rmtree(before.parent, ignore_errors=True)  # nothing links to it any more

    with gr.Blocks(title="colorgan") as page:
        state = gr.State()
        with gr.Tab("Colour a photograph"):
            photograph = gr.File(show_label=False, file_types=list(IMAGE_SUFFIXES), height=160)
            with gr.Row(visible=False) as result:
                images = gr.ImageSlider(show_label=False, buttons=["fullscreen"], max_height=700, scale=4)
                with gr.Column(scale=1, min_width=240):
                    strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", info="0 is gray.")
                    saturation = gr.Slider(0, 2, 1, step=0.05, label="Saturation", info="1 is as predicted.")
                    download = gr.DownloadButton("Download at full size", variant="primary")
            gr.Markdown(_HELP)
        changes = [photograph.upload, photograph.clear, strength.release, saturation.release]
        inputs, outputs = [photograph, strength, saturation, state], [state, result, images, download, photograph]
        # One at a time, whoever asks; of what a visitor changes in the meantime only the last.
        gr.on(changes, color, inputs, outputs, concurrency_limit=1, trigger_mode="always_last", show_progress_on=images)

        def show_grid(epoch: int | None) -> tuple[Any, Image.Image | None]:
            grids = find_grids(workdir) if workdir else {}
            epoch = epoch or max(grids, default=None)
            image = Image.open(io.BytesIO(grids[epoch].read_bytes())) if epoch else None
            return gr.Radio(list(grids), value=epoch), image

        with gr.Tab("Sample grids", visible=workdir is not None) as tab:
            epoch = gr.Radio(label="Epoch", info="The run draws these as it trains.")
            grid = gr.Image(show_label=False, interactive=False, format="png", buttons=["fullscreen"])
        gr.on([tab.select, epoch.input], show_grid, epoch, [epoch, grid])
    return page


def main(arguments: argparse.Namespace) -> None:
    """Serves the page until it is interrupted."""
    host, port = arguments.host, arguments.port
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on {host}:{port}: {error}; --port=0 finds a free port") from error
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs Gradio: pip install -e '.[page]' brings it")
    devices.select_platform("")
    colorizer = colorize.load_colorizer(arguments)
    colorizer.predict_chroma(np.zeros((1, colorizer.image_size, colorizer.image_size), np.float32))  # compiles it
    with tempfile.TemporaryDirectory(prefix="colorgan-page-", ignore_cleanup_errors=True) as folder:
        workdir = epath.Path(arguments.workdir) if arguments.workdir else None
        os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder)  # read when it is imported
        page = create_page(colorizer, workdir, Path(folder))
        _, url, _ = page.launch(
            server_name=host, server_port=port or None, prevent_thread_lock=True, **_LIMITS, **_LOCAL
        )
        print(f"the page is at {url} (Ctrl-C ends it)", flush=True)
        while True:
            time.sleep(60)
            delete_older(Path(folder), _KEPT_SECONDS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m colorgan.page", description=__doc__)
    colorize.add_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 lets other machines in")
    parser.add_argument("--port", default=0, type=int, help="a free one from 7860 unless said")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
