"""The page: drop photographs or a video, see them in color, download them. Uses Gradio, and no network."""

import contextlib
import functools
import html
import importlib.util
import io
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from etils import epath
from PIL import Image

from colorgan.data.folder import IMAGE_SUFFIXES
from colorgan.data.synthetic.scenes import create_image
from colorgan.errors import UserError
from colorgan.inference import page_hints, page_visits
from colorgan.inference.colorizer import Colorizer
from colorgan.inference.page_heading import read_report
from colorgan.inference.page_visits import MAX_PHOTOS, MAX_VIDEO_SECONDS, Visits
from colorgan.media.video_file import VIDEO_SUFFIXES
from colorgan.run.workdir import find_samples

_MAX_QUEUE = 20  # events that wait: more get a sentence of Gradio's
_MAX_FILE_MEGABYTES = 200
_EXAMPLES = {"village": 0, "meadow": 2, "palm": 6}  # synthetic scenes, by index
_LIMITS: dict[str, Any] = {"max_file_size": f"{_MAX_FILE_MEGABYTES}mb", "state_session_capacity": 100}
_LOCAL: dict[str, Any] = {"quiet": True, "share": False, "ssr_mode": False, "run_history": False, "footer_links": []}
_KEPT = "Uploads stay on the machine that serves this page, and are deleted soon after you leave it."
_FORMATS = "JPEG, HEIC, PNG, TIFF, WebP, AVIF, JPEG 2000, GIF or BMP"
_REPORT_URL = "report.html"
_SWEEP_SECONDS = 10
_CSS = """
.heading h1 {font-size: 1.5em; font-weight: 600; margin: 0} .heading p {opacity: .75; margin: 0}
.heading .html-container, .messages .html-container {padding: 0 !important}
.messages p {color: #b91c1c; margin: .2em 0} .dark .messages p {color: #fca5a5}
.thumbnails .grid-wrap {height: auto !important; min-height: 0 !important; max-height: 20em !important}
.thumbnails .grid-container {grid-template-columns: repeat(auto-fill, 5.6em) !important}
.player video {max-height: 70vh}
.report iframe {width: 100%; height: 80vh; border: 0; background: white}
"""
# A browser saves what a link with `download` leads to. There is no path where the file could not be written.
_SAVE = """(path) => {
  if (!path) return [];
  const link = document.createElement("a");
  link.href = window.gradio_config.root + "/gradio_api/file=" + path.split("/").map(encodeURIComponent).join("/");
  link.download = path.split("/").pop();
  link.click();
  return [];
}"""
_ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "photographs"}  # large ones fill the memory


def _say(gr: Any, sentences: list[str]) -> Any:
    """The update of a component for messages, which takes no room without one."""
    text = "".join(f"<p role=alert>{html.escape(sentence)}</p>" for sentence in sentences)
    return gr.HTML(text, visible=bool(sentences))


def _sentence(error: UserError | OSError) -> str:
    if isinstance(error, OSError):  # its text has paths of this machine
        return f"The machine that serves this page reports: {error.strerror}."
    return str(error)


def create_page(colorizer: Colorizer, network: str, workdir: epath.Path | None, folder: Path, visits: Visits) -> Any:
    """Gradio's Blocks, ready to launch.

    Args:
      colorizer: predicts the colors.
      network: which network that is, for the heading.
      workdir: of a run, for its sample grids and its report.
      folder: that of `visits`, for the examples.
      visits: the visitors.
    """
    import gradio as gr

    with gr.Blocks(title="colorgan") as page:
        gr.HTML(f"<h1>colorgan</h1><p>{html.escape(network)}</p>", elem_classes="heading", padding=False)
        with gr.Tab("Photographs"):
            _add_photographs(gr, colorizer, visits, _draw_examples(folder))
        with gr.Tab("Video"):
            _add_video(gr, colorizer, visits)
        if workdir:
            with gr.Tab("Sample grids") as tab:
                _add_grids(gr, workdir, tab)
            with gr.Tab("Report", visible=False) as report_tab:
                report = gr.HTML(elem_classes="report", padding=False)
            # A number that the browser has not seen: the report grows during the run.
            frame = '<iframe src="{}?{}" title="Report of the run"></iframe>'
            report_tab.select(lambda: frame.format(_REPORT_URL, time.time_ns()), None, report, queue=False)
            page.load(lambda: gr.Tab(visible=read_report(workdir) is not None), None, report_tab, queue=False)

        def leave(request: gr.Request) -> None:
            visits.leave(str(request.session_hash))

        page.unload(leave)
    page.queue(max_size=_MAX_QUEUE)
    return page


def _draw_examples(folder: Path) -> list[Path]:
    paths = [folder / "examples" / f"{name}.png" for name in _EXAMPLES]
    for path, index in zip(paths, _EXAMPLES.values(), strict=True):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(create_image(index, 640)).convert("L").save(path)
    return paths


def _add_photographs(gr: Any, colorizer: Colorizer, visits: Visits, examples: list[Path]) -> None:
    megapixels, say = page_visits.max_megapixels(_free_memory()), functools.partial(_say, gr)
    drop = gr.File(show_label=False, file_types=list(IMAGE_SUFFIXES), file_count="multiple", height=160)
    messages = gr.HTML(visible=False, elem_classes="messages", padding=False)
    with gr.Column(visible=False) as results:
        gallery = gr.Gallery(
            show_label=False, interactive=False, allow_preview=False, buttons=[], elem_classes="thumbnails"
        )
        with gr.Row():
            images, compare = page_hints.add_images(gr, colorizer.takes_hints)
            with gr.Column(scale=1, min_width=240):
                strength = gr.Slider(0, 1, 1, step=0.05, label="Strength", info="0 is gray.")
                saturation = gr.Slider(0, 2, 1, step=0.05, label="Saturation", info="1 is as predicted.")
                save = gr.Button("Download at full size", variant="primary")
                save_all = gr.Button("Download all as a zip")
    gr.Markdown("No photograph at hand? Click one of these drawings.")
    example = gr.Dataset(
        components=[gr.Image(render=False)], samples=[[str(path)] for path in examples], show_label=False, type="index"
    )
    gr.Markdown(
        f"Up to {MAX_PHOTOS} photographs at once, each a {_FORMATS} of up to {megapixels} megapixels and "
        f"{_MAX_FILE_MEGABYTES} MB. They are treated as gray, and keep their names, formats and metadata. {_KEPT}"
    )
    # What the browser holds, so that an event is about the photograph that was shown when it was sent.
    shown, path = gr.Textbox(visible="hidden"), gr.Textbox(visible="hidden")
    # What the editor of hints sends, and gets.
    sent, answer = gr.Textbox(visible="hidden", elem_id="color-hints-sent"), gr.Textbox(visible="hidden")
    view = [shown, images, strength, saturation, answer]

    def show(key: str, opened: page_visits.Opened) -> dict:
        return {
            shown: key,
            images: (opened.gray, opened.colored),
            strength: opened.strength,
            saturation: opened.saturation,
            answer: page_hints.describe(key, opened, "show") if colorizer.takes_hints else "",
        }

    def show_all(visit: page_visits.Visit) -> dict:
        thumbnails = [(opened.thumbnail, opened.source.name) for opened in visit.photos.values()]
        selected = list(visit.photos).index(visit.shown) if visit.photos else None
        is_several = len(visit.photos) > 1
        changes = {gallery: gr.Gallery(thumbnails, visible=is_several, selected_index=selected)}
        return changes | {save_all: gr.Button(visible=is_several), messages: say(visit.messages)}

    def color(visit: page_visits.Visit, uploads: list[Path], progress: Callable[..., None]) -> Iterator[dict]:
        visit.clear()
        if len(uploads) > MAX_PHOTOS:
            visit.messages.append(f"Only the first {MAX_PHOTOS} photographs are colored.")
        yield {drop: None, results: gr.Column(visible=False)} | show_all(visit)
        uploads, last = uploads[:MAX_PHOTOS], time.monotonic()
        for number, upload in enumerate(uploads):
            progress((number, len(uploads)), desc=upload.name, unit="photographs")
            try:
                key = page_visits.add_photo(colorizer, visit, upload, megapixels)
            except (UserError, OSError) as error:
                visit.messages.append(_sentence(error))
                continue
            if len(visit.photos) == 1:
                visit.shown = key
                yield show(key, visit.photos[key]) | {results: gr.Column(visible=True)}
            elif time.monotonic() - last > 1:  # the browser loses some of the changes that follow each other quickly
                last = time.monotonic()
                yield show_all(visit)

    def color_uploads(files: list[str], request: gr.Request, progress: Any = gr.Progress()) -> Iterator[dict]:  # noqa: B008
        yield from color(visits.of(request.session_hash), [Path(file) for file in files], progress)

    def color_example(index: int, request: gr.Request, progress: Any = gr.Progress()) -> Iterator[dict]:  # noqa: B008
        yield from color(visits.of(request.session_hash), [examples[index]], progress)

    outputs = [drop, messages, results, gallery, save_all, *view]
    options = {"show_progress_on": drop, **_ONE_AT_A_TIME}

    def finish(request: gr.Request) -> dict:
        return show_all(visits.of(request.session_hash))

    for started in (
        drop.upload(color_uploads, drop, outputs, **options),
        example.click(color_example, example, outputs, **options),
    ):
        started.success(finish, None, [gallery, save_all, messages], show_progress="hidden", queue=False)

    def select(event: gr.SelectData, request: gr.Request) -> dict:
        visit = visits.of(request.session_hash)
        visit.shown = next(itertools.islice(visit.photos, event.index, None), "")
        return show(visit.shown, visit.photos[visit.shown]) if visit.shown else {shown: ""}

    gallery.select(select, None, view, show_progress="hidden", queue=False)

    def find(key: str, request: Any) -> page_visits.Opened:
        try:
            return visits.of(request.session_hash).photos[key]
        except KeyError as error:
            raise UserError("The photograph has been deleted from this machine: drop it again.") from error

    def adjust(key: str, strength: float, saturation: float, request: gr.Request) -> dict:
        try:
            opened = find(key, request)
            page_visits.repaint(opened, strength, saturation)
        except (UserError, OSError) as error:
            return {messages: say([_sentence(error)])}
        changes: dict = {images: (opened.gray, opened.colored)}
        return changes | ({answer: page_hints.describe(key, opened, "answer")} if colorizer.takes_hints else {})

    # `input` for the keyboard; `release` for the button that resets. Of changes in the meantime only the last counts.
    changes = [event for slider in (strength, saturation) for event in (slider.input, slider.release)]
    options = {"trigger_mode": "always_last", "show_progress": "hidden", "concurrency_id": "previews"}
    gr.on(changes, adjust, [shown, strength, saturation], [images, answer, messages], **options)

    def hint(text: str, request: gr.Request) -> dict:
        try:
            message = page_hints.read_message(text)
            opened = find(message.key, request)
        except UserError as error:
            return {messages: say([_sentence(error)])}
        event, sentences = "file" if message.source else "answer", list[str]()
        try:
            page_hints.apply(colorizer, opened, message)
        except (UserError, OSError) as error:
            event, sentences = "answer", [page_hints.shorten(_sentence(error))]
        is_shown = visits.of(request.session_hash).shown == message.key
        changes = {answer: page_hints.describe(message.key, opened, event)} if is_shown else {}
        return changes | {messages: say(sentences)}

    def show_images(key: str, request: gr.Request) -> tuple[Path, Path]:
        opened = find(key, request)
        return opened.gray, opened.colored

    if colorizer.takes_hints:
        sent.change(hint, sent, [answer, messages], **options)  # `input` is for keys
        answer.change(None, answer, None, js=page_hints.SHOW)
        # Not after each hint: the browser would decode two images that are not seen.
        compare.select(show_images, shown, images, show_progress="hidden", queue=False)

    def write_one(key: str, request: gr.Request) -> Iterator[dict]:
        yield {save: gr.Button("Writing the file ...", interactive=False)}
        done = {save: gr.Button("Download at full size", interactive=True)}
        try:
            opened = find(key, request)
            target = visits.of(request.session_hash).new_download(opened.name)
            page_visits.write_colored(opened, target, megapixels)
            yield done | {path: str(target), messages: say([])}
        except (UserError, OSError) as error:
            yield done | {path: "", messages: say([_sentence(error)])}

    def write_all(request: gr.Request, progress: Any = gr.Progress()) -> Iterator[dict]:  # noqa: B008
        visit = visits.of(request.session_hash)
        yield {save_all: gr.Button("Writing the files ...", interactive=False)}
        done = {save_all: gr.Button("Download all as a zip", interactive=True)}
        try:
            target = page_visits.write_zip(
                visit, megapixels, lambda number: progress((number, len(visit.photos)), unit="photographs")
            )
            yield done | {path: str(target), messages: say([])}
        except (UserError, OSError) as error:
            yield done | {path: "", messages: say([_sentence(error)])}

    for button, write, inputs in ((save, write_one, shown), (save_all, write_all, None)):
        options = {"show_progress_on": images, **_ONE_AT_A_TIME}
        written = button.click(write, inputs, [button, path, messages], **options)
        written.success(None, path, None, js=_SAVE)


def _add_video(gr: Any, colorizer: Colorizer, visits: Visits) -> None:
    if importlib.util.find_spec("av") is None:
        gr.Markdown("Videos need PyAV on the machine that serves this page: `pip install 'colorgan[video]'`.")
        return
    say = functools.partial(_say, gr)
    drop = gr.File(show_label=False, file_types=[*VIDEO_SUFFIXES, ".gif"], height=160)
    messages = gr.HTML(visible=False, elem_classes="messages", padding=False)
    player = gr.Video(show_label=False, interactive=False, visible=False, buttons=[], elem_classes="player")
    download = gr.DownloadButton("Download", variant="primary", visible=False)
    gr.Markdown(
        f"A video of up to {MAX_VIDEO_SECONDS} seconds and {_MAX_FILE_MEGABYTES} MB, treated as gray. It becomes MP4 "
        f"or WebM, with its sound; without this page, `colorgan colorize` takes any length. {_KEPT}"
    )

    def color(file: str, request: gr.Request, progress: Any = gr.Progress()) -> dict:  # noqa: B008
        visit = visits.of(request.session_hash)
        try:
            progress(0, desc=Path(file).name)
            report = functools.partial(progress, desc=Path(file).name)
            path = page_visits.color_video(colorizer, visit, Path(file), report)
        except (UserError, OSError) as error:
            hidden = {player: gr.Video(None, visible=False), download: gr.DownloadButton(visible=False)}
            return hidden | {drop: None, messages: say([_sentence(error)])}
        shown = {player: gr.Video(path, visible=True), download: gr.DownloadButton(value=path, visible=True)}
        return shown | {drop: None, messages: say([])}

    outputs = [drop, messages, player, download]
    drop.upload(color, drop, outputs, show_progress_on=drop, concurrency_limit=1)


def _add_grids(gr: Any, workdir: epath.Path, tab: Any) -> None:
    def show_grid(epoch: int | None) -> tuple[Any, Image.Image | None]:
        grids = find_samples(workdir)
        epoch = epoch or max(grids, default=None)
        image = Image.open(io.BytesIO(grids[epoch].read_bytes())) if epoch else None
        return gr.Radio(list(grids), value=epoch), image

    epoch = gr.Radio(label="Epoch", info="The run draws these during training.")
    grid = gr.Image(show_label=False, interactive=False, format="png", buttons=["fullscreen"])
    gr.on([tab.select, epoch.input], show_grid, epoch, [epoch, grid])


def _free_memory() -> int:
    """Bytes of memory that this process can still take, also in a container."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        free = min(free, limit - psutil.Process().memory_info().rss)
    return free


def _app_options(workdir: epath.Path | None) -> dict[str, Any]:
    """Options of the web application: the report of the run is the one file of the run that is served."""
    from starlette.requests import ClientDisconnect
    from starlette.responses import Response
    from starlette.routing import Route

    def send_report(request: Any) -> Response:
        report = read_report(workdir)
        # Scripts in it have no access to the page that shows it.
        headers = {"Content-Security-Policy": "sandbox allow-scripts", "Cache-Control": "no-store"}
        return Response(report or b"", 404 if report is None else 200, headers, "text/html")

    def end_upload(request: Any, error: Exception) -> Response:
        return Response(status_code=400)  # nobody receives it: the connection broke. Without it there is a traceback

    return {"routes": [Route(f"/{_REPORT_URL}", send_report)], "exception_handlers": {ClientDisconnect: end_upload}}


def serve(colorizer: Colorizer, network: str, workdir: epath.Path | None, host: str, port: int) -> None:
    """Serves the page until it is interrupted. `port` 0 is a free one from 7860 on.

    Behind a server with another address, such as nginx, GRADIO_ROOT_PATH is that address.
    """
    side = colorizer.image_size
    for planes in (None, np.zeros((1, side, side, 3), np.float32))[: 1 + colorizer.takes_hints]:
        colorizer.predict_chroma(np.zeros((1, side, side), np.float32), planes)  # compiles it
    with tempfile.TemporaryDirectory(prefix="colorgan-page-", ignore_cleanup_errors=True) as folder:
        os.environ.update(GRADIO_ANALYTICS_ENABLED="False", GRADIO_TEMP_DIR=folder)  # read at its import
        # Gradio asks its own server whether it has started, which a proxy cannot reach.
        os.environ.update(NO_PROXY=f"127.0.0.1,localhost,{host}", no_proxy=f"127.0.0.1,localhost,{host}")
        visits = Visits(Path(folder))
        page = create_page(colorizer, network, workdir, Path(folder), visits)
        options: dict[str, Any] = {"css": _CSS, "head": page_hints.head() if colorizer.takes_hints else None}
        options |= {"app_kwargs": _app_options(workdir), **_LIMITS, **_LOCAL}
        _, url, _ = page.launch(server_name=host, server_port=port or None, prevent_thread_lock=True, **options)
        print(f"the page is at {url} (Ctrl-C ends it)", flush=True)
        while True:
            time.sleep(_SWEEP_SECONDS)
            visits.sweep(kept=["examples"])
