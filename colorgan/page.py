"""Serves a page for the browser: drop photographs or a video, see them in color, download them. Needs no network."""

import argparse
import importlib.util
import socket

from etils import epath

from colorgan import command_line
from colorgan.errors import UserError
from colorgan.inference import model_flags, page_app, page_heading
from colorgan.run import devices


def main(arguments: argparse.Namespace) -> None:
    """Serves the page until it is interrupted."""
    host, port = arguments.host, arguments.port
    try:
        socket.create_server((host, port)).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on {host}:{port}: {error}; --port=0 finds a free port") from error
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs Gradio: pip install 'colorgan[page]'")
    devices.select_platform("")
    workdir = epath.Path(arguments.workdir) if arguments.workdir else None
    colorizer = model_flags.load_colorizer(arguments)
    network = page_heading.describe_network(workdir, arguments.model, colorizer.description)
    page_app.serve(colorizer, network, workdir, host, port)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("page", __doc__, "")
    model_flags.add_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 allows other machines (default: 127.0.0.1)")
    parser.add_argument("--port", default=0, type=int, help="default: a free one from 7860 on")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
