"""Every change to the behavior of another library, with its version and why it is necessary.

Importing this module changes nothing: callers apply each patch, `data.transforms` and `media.png_tiff` when they
are imported. Each function imports what it changes.
"""

import contextlib
import glob
import importlib.util
import logging
import os
import shutil
import sys
import urllib.parse
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any


def leave_out_orbax() -> None:
    """Makes `import grain` skip Orbax, for data workers: 25 MB and a tenth of a second less for each.

    grain 0.2.18 imports Orbax only to register a checkpoint handler, and handles its absence
    (grain/_src/python/checkpoint/handler.py). No upstream thread.
    """
    modules: dict[str, Any] = sys.modules
    modules["orbax"] = None


def parse_no_absl_flags() -> None:
    """Marks absl's flags as parsed.

    grain 0.2.18 reads an absl flag of its own when it starts workers: https://github.com/google/grain/issues/1355
    """
    from absl import flags

    flags.FLAGS.mark_as_parsed()


def silence_libraries() -> None:
    """Silences log messages of Orbax, gcsfs and tifffile, and what is printed beside a failed save or restore.

    Orbax 0.12.8 closes its event loop (orbax/checkpoint/_src/asyncio_utils.py) and leaves coroutines behind while
    TensorStore 0.1.86 still finishes writes and reads, which reports "Event loop is closed", or the error of each read,
    as an unraisable exception (tensorstore/python/tensorstore/future.cc). No upstream thread.
    """
    from absl import logging as absl_logging

    for name in ("absl", "asyncio", "gcsfs", "google", "tifffile"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    absl_logging.set_verbosity(absl_logging.FATAL)

    def on_unraisable_error(arguments: Any) -> None:
        if not str(arguments.exc_value).startswith(("Event loop is closed", "Encountered error while reading array")):
            sys.__unraisablehook__(arguments)

    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.unraisablehook = on_unraisable_error


@contextlib.contextmanager
def orbax_without_warnings() -> Iterator[None]:
    """Within it, Orbax does not warn.

    Orbax 0.12.8 logs a warning for each option that `read_only=True` resets (orbax/checkpoint/checkpoint_manager.py).
    No upstream thread.
    """
    absl_logger = logging.getLogger("absl")
    level = absl_logger.level
    absl_logger.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        absl_logger.setLevel(level)


def open_gray_alpha_tiff() -> None:
    """Lets Pillow open TIFF files of 16-bit gray with alpha. It only reads their tags; tifffile decodes them.

    Pillow 13.0 does not know the layout: https://github.com/python-pillow/Pillow/issues/1602
    """
    from PIL import TiffImagePlugin

    TiffImagePlugin.OPEN_INFO |= {
        (order, 1, (1,), 1, (16, 16), (extra,)): ("LA", "LA;16L") for order in (b"II", b"MM") for extra in (1, 2)
    }


def ignore_pillow_warnings() -> None:
    """Ignores Pillow's warnings about large photographs and odd metadata: an image is either read or an error.

    For the whole process, since to change the filters around each image would not be safe in threads. Pillow 13.0;
    https://docs.python.org/3/library/warnings.html#available-context-managers
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


@contextlib.contextmanager
def tfds_without_tensorflow() -> Iterator[None]:
    """Lets TensorFlow Datasets prepare a dataset where TensorFlow is not installed.

    tensorflow-datasets 4.9.10 reads and writes without it, but extracts archives and lists folders with
    `tf.io.gfile`: https://github.com/tensorflow/datasets/issues/11058. For local files Python's own functions do the
    same; they replace the module that it imports lazily.
    """
    from tensorflow_datasets.core.utils import lazy_imports_utils

    if importlib.util.find_spec("tensorflow"):
        yield
        return
    files = SimpleNamespace(
        GFile=open,
        copy=shutil.copy,
        exists=os.path.exists,
        glob=glob.glob,
        isdir=os.path.isdir,
        listdir=os.listdir,
        walk=os.walk,
    )
    compat = SimpleNamespace(as_text=os.fsdecode, as_bytes=os.fsencode)
    lazy = vars(lazy_imports_utils.tensorflow)
    lazy["_module"] = SimpleNamespace(io=SimpleNamespace(gfile=files), compat=compat)
    try:
        yield
    finally:
        del lazy["_module"]


@contextlib.contextmanager
def tfds_without_waiting(seconds: float) -> Iterator[None]:
    """Within it, a download of TensorFlow Datasets fails after `seconds` where a server does not answer at all.

    tensorflow-datasets 4.9.10 tries ten times, for some minutes, and waits without a limit for each answer
    (tensorflow_datasets/core/download/downloader.py). Once a server has answered, it still does. No upstream thread.
    """
    import requests
    from tensorflow_datasets.core.download import downloader

    open_url, reached = downloader._open_url, set[str]()

    def open_reached_url(url: str, **options: Any) -> Any:
        host = urllib.parse.urlsplit(url).netloc
        if url.startswith("http") and host not in reached:
            try:
                requests.head(url, timeout=seconds, verify=options.get("verify", True))
            except (requests.ConnectionError, requests.Timeout):
                raise ConnectionError(f"{host} cannot be reached; check the network and HTTPS_PROXY") from None
            reached.add(host)
        return open_url(url, **options)

    downloader._open_url = open_reached_url
    try:
        yield
    finally:
        downloader._open_url = open_url


def leave_out_device_warnings() -> None:
    """Leaves out JAX's warnings of GPUs and TPUs that it does not use for want of a plug-in. Ours say what to install.

    jax 0.10.2 (jax/_src/xla_bridge.py, `_suggest_missing_backends`). No upstream thread.
    """
    logging.getLogger("jax._src.xla_bridge").addFilter(_is_no_device_warning)


def _is_no_device_warning(record: logging.LogRecord) -> bool:
    return "may be present on this machine" not in str(record.msg)


def block_cpu_dispatch() -> None:
    """Makes XLA:CPU run one program at a time. Changes nothing on other platforms. Call before JAX uses a device.

    With jax 0.10.2, steps of several CPU devices that overlap abort or deadlock; the nearest report is
    https://github.com/jax-ml/jax/issues/25861
    """
    import jax

    jax.config.update("jax_cpu_enable_async_dispatch", False)
