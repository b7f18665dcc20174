"""How every command starts and ends: flags in, one sentence and an exit code out."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from absl import app, flags
from absl import logging as absl_logging

from colorgan.errors import UserError
from colorgan.stopping import EXIT_TRY_AGAIN, Stopped

EXIT_ERROR = 1


def run(main: Callable[[argparse.Namespace], Any], parser: argparse.ArgumentParser) -> None:
    """Parses the arguments and calls `main`; a `UserError` becomes one line on stderr and exit code 1."""
    arguments = parser.parse_args()
    _guard(lambda: main(arguments))


def run_with_config(main: Callable[..., Any], choices: Sequence[str] = ()) -> None:
    """The same for a command that has a --config flag: absl parses, and `main` reads its flags.

    Where there are `choices`, the command line has to name one of them, and `main` gets it.
    """

    def parse(argv: Sequence[str]) -> list[str]:
        try:
            for name, value in zip(argv, [*argv[1:], ""], strict=True):
                if name.startswith("--config=") or name == "--config":
                    _check_path(name.partition("=")[2] or value)
            positional = app.parse_flags_with_usage(list(argv))
            if choices and (len(positional) < 2 or positional[1] not in choices):
                _exit(f"say which: one of {', '.join(choices)}, as in {choices[0]} --config=FILE", EXIT_ERROR)
            if unknown := positional[2 if choices else 1 :]:
                _exit(f"{unknown[0]!r} is no flag of this command; --help lists them", EXIT_ERROR)
            if flags.FLAGS["config"].value is None:
                _exit("--config is missing, as in --config=configs/default.py", EXIT_ERROR)
        except (AttributeError, KeyError) as error:
            _exit(f"--config, or one of its --config.KEY flags, names what is not there: {_text(error)}", EXIT_ERROR)
        except (TypeError, ValueError) as error:
            _exit(f"cannot use --config or one of its --config.KEY flags: {_text(error)}", EXIT_ERROR)
        except Exception as error:  # a config file is Python: anything can go wrong in it
            _exit(f"the config file does not run: {type(error).__name__}: {_text(error)}", EXIT_ERROR)
        return positional

    app.run(lambda argv: _guard(lambda: main(*argv[1:])), flags_parser=parse)


def _guard(main: Callable[[], Any]) -> None:
    absl_logging.set_verbosity(absl_logging.ERROR)  # Orbax and JAX tell much that is no news to a user
    logging.basicConfig(format="%(message)s")
    logging.getLogger("colorgan").setLevel(logging.INFO)
    try:
        main()
    except UserError as error:
        _exit(str(error), EXIT_ERROR)
    except Stopped as stopped:
        _exit(str(stopped), EXIT_TRY_AGAIN)
    except KeyboardInterrupt:
        print("colorgan: interrupted", file=sys.stderr, flush=True)
        os._exit(EXIT_TRY_AGAIN)  # XLA's threads may be at work still and would crash in an orderly exit


def _check_path(config_flag: str) -> None:
    path = Path(config_flag.partition(":")[0])  # what follows a colon is handed to get_config
    if not path.is_file():
        _exit(f"there is no config file {path}", EXIT_ERROR)
    if path.suffix != ".py":
        _exit(f"--config={path} must be a Python file, as configs/default.py is", EXIT_ERROR)


def _text(error: Exception) -> str:
    # ml_collections puts one error's repr into the next, so quotes and line ends come escaped.
    text = str(error).replace("\\n", " ").replace("\\", "")
    return " ".join(text.replace('"', "'").strip("'").split())


def _exit(message: str, code: int) -> NoReturn:
    print(f"colorgan: {message}", file=sys.stderr, flush=True)
    sys.exit(code)
