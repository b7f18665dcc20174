"""How every command starts and ends: flags in, one sentence and an exit code out."""

import argparse
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import app, flags

from colorgan import library_patches
from colorgan.errors import Stopped, StoppedTogether, UserError
from colorgan.run.preemption import EXIT_TRY_AGAIN, leave_at_once

EXIT_ERROR = 1


def run(main: Callable[[argparse.Namespace], Any], parser: argparse.ArgumentParser) -> None:
    """Parses the arguments and calls `main`; a `UserError` becomes one line on stderr and exit code 1."""
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
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
            try:
                positional = flags.FLAGS(list(argv))
            except SystemExit:
                if any(name.startswith(("--help", "-help", "-h", "-?")) for name in argv):
                    sys.exit(0)  # it has been answered; absl calls that an error
                raise
            if choices and (len(positional) < 2 or positional[1] not in choices):
                _exit(f"say which: one of {', '.join(choices)}, as in {choices[0]} --config=FILE", EXIT_ERROR)
            if unknown := positional[2 if choices else 1 :]:
                _exit(f"{unknown[0]!r} is no flag of this command; --help lists them", EXIT_ERROR)
            if flags.FLAGS["config"].value is None:
                _exit("--config is missing, as in --config=configs/default.py", EXIT_ERROR)
        except flags.UnrecognizedFlagError as error:
            _exit(f"{error}; config keys are set as --config.KEY=VALUE, --help lists the flags", EXIT_ERROR)
        except (AttributeError, KeyError) as error:
            name, _, hint = _text(error).replace("'", "").partition(" Did you mean ")
            hint = f"; did you mean {hint}" if hint else ""
            _exit(f"--config, or one of its --config.KEY flags, names what is not there: {name}{hint}", EXIT_ERROR)
        except flags.Error as error:
            _exit(str(error), EXIT_ERROR)
        except (TypeError, ValueError) as error:
            _exit(f"cannot use --config or one of its --config.KEY flags: {_text(error)}", EXIT_ERROR)
        except Exception as error:  # a config file is Python: anything can go wrong in it
            _exit(f"the config file does not run: {type(error).__name__}: {_text(error)}", EXIT_ERROR)
        return positional

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave_at_once)  # until training notes them
    app.run(lambda argv: _guard(lambda: main(*argv[1:])), flags_parser=parse)


def _guard(main: Callable[[], Any]) -> None:
    library_patches.silence_libraries()
    logging.basicConfig(format="%(message)s", force=True)  # absl and others have set up their own
    logging.getLogger("colorgan").setLevel(logging.INFO)
    try:
        main()
        _flush_stdout()
    except BrokenPipeError:
        _flush_stdout()
    except UserError as error:
        _exit(str(error), EXIT_ERROR, at_once=jax.distributed.is_initialized())
    except StoppedTogether as stopped:
        _exit(str(stopped), EXIT_TRY_AGAIN)
    except Stopped as stopped:
        _exit(str(stopped), EXIT_TRY_AGAIN, at_once=jax.distributed.is_initialized())
    except KeyboardInterrupt:
        _exit("interrupted", EXIT_TRY_AGAIN, at_once=True)
    except Exception:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        _exit("an unexpected error, told above", EXIT_ERROR, at_once=True)


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


def _flush_stdout() -> None:
    """Also where what is said has no reader any more, as after `| head`: Python would make an exit code of that."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit(message: str, code: int, at_once: bool = False) -> NoReturn:
    """Ends the process, with an orderly exit or `at_once`.

    An orderly one can crash on what XLA's threads are at still, and waits minutes for other processes that are gone.
    """
    _flush_stdout()
    print(f"colorgan: {message}", file=sys.stderr, flush=True)
    if at_once:
        os._exit(code)
    sys.exit(code)
