"""How every command starts and ends: flags in, one sentence and an exit code out."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags
from absl import logging as absl_logging

from colorgan.errors import UserError

EXIT_ERROR = 1
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: stopped, and the same command goes on


def run(main: Callable[[argparse.Namespace], Any], parser: argparse.ArgumentParser) -> None:
    """Parses the arguments and calls `main`; a `UserError` becomes one line on stderr and exit code 1."""
    _guard(main, parser.parse_args())


def run_with_config(main: Callable[[], Any]) -> None:
    """The same for a command that has a --config flag: absl parses, and `main` reads its flags."""

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            positional = app.parse_flags_with_usage(list(argv))
            config = flags.FLAGS["config"]
            if positional[1:]:
                _exit(f"{positional[1]!r} is no flag of this command; --help lists them", EXIT_ERROR)
            if config.value is None:
                _exit("--config is missing, as in --config=configs/default.py", EXIT_ERROR)
            path = Path(config.config_filename.partition(":")[0])
            if not path.is_file():
                _exit(f"there is no config file {path}", EXIT_ERROR)
        except (AttributeError, KeyError) as error:
            _exit(f"--config, or one of its --config.KEY flags, names what is not there: {_text(error)}", EXIT_ERROR)
        except (TypeError, ValueError) as error:
            _exit(f"cannot use --config or one of its --config.KEY flags: {_text(error)}", EXIT_ERROR)
        except Exception as error:  # a config file is Python: anything can go wrong in it
            _exit(f"the config file does not run: {type(error).__name__}: {_text(error)}", EXIT_ERROR)
        return positional

    app.run(lambda argv: _guard(lambda _: main(), argv), flags_parser=parse)


def _guard(main: Callable[[Any], Any], arguments: Any) -> None:
    absl_logging.set_verbosity(absl_logging.ERROR)  # Orbax and JAX tell much that is no news to a user
    try:
        main(arguments)
    except UserError as error:
        _exit(str(error), EXIT_ERROR)
    except KeyboardInterrupt:
        _exit("interrupted; the same command goes on from the last checkpoint", EXIT_TRY_AGAIN)


def _text(error: Exception) -> str:
    return " ".join(str(error).strip("\"'").split())


def _exit(message: str, code: int) -> NoReturn:
    print(f"colorgan: {message}", file=sys.stderr, flush=True)
    sys.exit(code)
