"""Log messages of a run: on the terminal and in log.txt."""

import contextlib
import logging
from collections.abc import Iterator

from etils import epath
from tqdm import tqdm

from colorgan.errors import Stopped, UserError
from colorgan.run.append_file import AppendFile
from colorgan.run.workdir import LOG_FILE


@contextlib.contextmanager
def logging_to(workdir: epath.Path, enabled: bool) -> Iterator[None]:
    """Sends colorgan's messages to the terminal, above the progress bar, and to log.txt of the run.

    An error that ends the run goes to log.txt too; the command prints it on the terminal.
    """
    logger = logging.getLogger("colorgan")
    handlers: list[logging.Handler] = []
    if enabled:
        file_handler = _FileHandler(workdir / LOG_FILE)
        file_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        handlers = [file_handler, _TerminalHandler()]
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    except (Stopped, UserError) as error:
        if enabled:
            level_of_end = logging.INFO if isinstance(error, Stopped) else logging.ERROR
            handlers[0].handle(logger.makeRecord(logger.name, level_of_end, "", 0, str(error), (), None))
        raise
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _FileHandler(logging.Handler):
    def __init__(self, path: epath.Path) -> None:
        super().__init__()
        self._file = AppendFile(path)

    def emit(self, record: logging.LogRecord) -> None:
        self._file.write((self.format(record) + "\n").encode(errors="replace"))
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()


class _TerminalHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # a closed pipe does not end the run
            tqdm.write(self.format(record))  # to stdout, without breaking the progress bar
