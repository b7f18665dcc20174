"""The page: drop a photograph, see it in color, download it at full size. Uses Gradio, and no network."""

import contextlib
import dataclasses
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from colorgan.data import transforms
from colorgan.data.folder import IMAGE_SUFFIXES
from colorgan.errors import UserError
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.paint import Prediction, paint, shrink
from colorgan.media.photo_file import Photo, read_photo, suffix_of_result, write_photo
from colorgan.run.workdir import find_samples

MAX_MEGAPIXELS = 100  # takes 1.8 GB of memory, in rare cases 2.2 GB: docs/photographs.md
_KEPT_SECONDS = 3600
_PREVIEW_SIZE = 1600  # pixels, for large screens
_LIMITS: dict[str, Any] = {"max_file_size": "200mb", "state_session_capacity": 100}  # previews of visitors, 3 MB each
_LOCAL: dict[str, Any] = {"quiet": True, "share": False, "ssr_mode": False, "run_history": False, "footer_links": []}
_HELP = f"""JPEG, HEIC, PNG, TIFF, WebP, AVIF, JPEG 2000, GIF or BMP of up to {MAX_MEGAPIXELS} megapixels, treated as
gray. Uploads stay on the machine that serves this page, and are deleted after an hour."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """A photograph with its predicted colors, which `paint` can apply with any strength and saturation.

    Attributes:
      path: the upload.
      gray: uint8 [h,w], as the browser shows it.
      prediction: of `Colorizer.predict`.
      result: the last file of `write_colored`.
    """

    path: Path
    gray: np.ndarray
    prediction: Prediction
    result: Path | None = None


def read_upload(path: Path) -> Photo:
    """Reads a photograph.

    Raises:
      UserError: it was deleted, is not a photograph, or has more than `MAX_MEGAPIXELS`, which are not decoded.
    """
    try:
        return read_photo(path, MAX_MEGAPIXELS * 10**6)
    except FileNotFoundError as error:
        raise UserError(f"{path.name} has been deleted from this machine: drop it again.") from error
    except transforms.UnknownFormatError as error:
        raise UserError(f"{path.name} is not a photograph of a known format.") from error
    except transforms.TooManyPixelsError as error:
        raise UserError(f"{path.name} has more than {MAX_MEGAPIXELS} megapixels: make it smaller first.") from error
    except Exception as error:  # decoders raise exceptions of many types
        raise UserError(f"{path.name} cannot be read: {error}") from error


def open_photo(colorizer: Colorizer, path: Path) -> Opened:
    """Predicts the colors of a photograph. Raises the errors of `read_upload`."""
    pixels = read_upload(path).pixels
    preview = shrink(pixels, min(_PREVIEW_SIZE, max(pixels.shape[:2])))
    gray = np.clip(np.rint((preview + 1) * 127.5), 0, 255).astype(np.uint8)
    return Opened(path, gray, colorizer.predict(pixels))


def write_colored(opened: Opened, strength: float, saturation: float, folder: Path) -> Path:
    """The photograph in color, at its own size and in its own or the nearest format, in a new folder below `folder`."""
    photo = read_upload(opened.path)
    colored = photo.as_rgb()
    paint(photo.pixels, opened.prediction, strength, saturation, out=colored.pixels)
    del photo  # as in `colorize_files`
    path = Path(tempfile.mkdtemp(dir=folder), f"{opened.path.stem}-colorized{suffix_of_result(opened.path.suffix)}")
    write_photo(path, colored)
    return path


def delete_older(folder: Path, seconds: float) -> None:
    """Deletes files that were created in `folder` before so many seconds, and folders that are empty for as long.

    Gradio's own `delete_cache` keeps results.
    """
    for parent, folders, files in os.walk(folder, topdown=False):  # unlike rglob, handles deletions
        for path in (Path(parent, name) for name in files + folders):
            with contextlib.suppress(OSError):  # it does not exist any more, or is not empty
                if time.time() - path.stat().st_ctime > seconds:
                    (Path.rmdir if path.is_dir() else Path.unlink)(path)


def create_page(colorizer: Colorizer, workdir: epath.Path | None, folder: Path) -> Any:
    """Gradio's Blocks, ready to launch, with the sample grids of `workdir`. Results are written to `folder`."""
    import gradio as gr

    def color(file: str | None, strength: float, saturation: float, opened: Opened | None) -> Iterator[dict]:
        before = opened.result if opened else None
        try:
            if file is None:
                yield {state: None, result: gr.Row(visible=False)}
                return
            if opened is None or opened.path != Path(file):
                opened = open_photo(colorizer, Path(file))
            colored = paint(opened.gray, opened.prediction, strength, saturation)
            shown = {state: opened, result: gr.Row(visible=True), images: (opened.gray, colored)}
            yield shown | {download: gr.DownloadButton(interactive=False)}  # the full size takes longer
            path = write_colored(opened, strength, saturation, folder)
            opened = dataclasses.replace(opened, result=path)
            yield {state: opened, download: gr.DownloadButton(value=path, interactive=True)}
        except UserError as error:
            gr.Warning(str(error))
            yield {state: None, result: gr.Row(visible=False), photograph: None}
        finally:
            if before:
                shutil.rmtree(before.parent, ignore_errors=True)  # the page has no link to it any more

    with gr.Blocks(title="colorgan") as page:
        state = gr.State()
        with gr.Tab("Color a photograph"):
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
        # One at a time for all visitors; of the changes that a visitor makes meanwhile, only the last.
        gr.on(changes, color, inputs, outputs, concurrency_limit=1, trigger_mode="always_last", show_progress_on=images)

        def show_grid(epoch: int | None) -> tuple[Any, Image.Image | None]:
            grids = find_samples(workdir) if workdir else {}
            epoch = epoch or max(grids, default=None)
            image = Image.open(io.BytesIO(grids[epoch].read_bytes())) if epoch else None
            return gr.Radio(list(grids), value=epoch), image

        with gr.Tab("Sample grids", visible=workdir is not None) as tab:
            epoch = gr.Radio(label="Epoch", info="The run draws these during training.")
            grid = gr.Image(show_label=False, interactive=False, format="png", buttons=["fullscreen"])
        gr.on([tab.select, epoch.input], show_grid, epoch, [epoch, grid])
    return page


def serve(colorizer: Colorizer, workdir: epath.Path | None, host: str, port: int) -> None:
    """Serves the page until it is interrupted. `port` 0 is a free one from 7860 on.

    Behind a server with another address, such as nginx, GRADIO_ROOT_PATH is that address.
    """
    colorizer.predict_chroma(np.zeros((1, colorizer.image_size, colorizer.image_size), np.float32))  # compiles it
    with tempfile.TemporaryDirectory(prefix="colorgan-page-", ignore_cleanup_errors=True) as folder:
        os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder)  # read at its import
        # Gradio asks its own server whether it has started, which a proxy cannot reach.
        os.environ.update(NO_PROXY=f"127.0.0.1,localhost,{host}", no_proxy=f"127.0.0.1,localhost,{host}")
        page = create_page(colorizer, workdir, Path(folder))
        _, url, _ = page.launch(
            server_name=host, server_port=port or None, prevent_thread_lock=True, **_LIMITS, **_LOCAL
        )
        print(f"the page is at {url} (Ctrl-C ends it)", flush=True)
        while True:
            time.sleep(60)
            delete_older(Path(folder), _KEPT_SECONDS)
