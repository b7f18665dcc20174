"""Colors photographs and videos of any size, with the network that ships with colorgan or with one that you trained.

The color is predicted at the network's size and combined with the photograph's own luma at full size. Files keep their
metadata and their formats, where these can be written: HEIC becomes JPEG. The result of NAME.EXT is NAME-colorized.EXT
beside it; in an --output folder files keep their names, and folders their structure. Hidden files and folders are left
out.
"""

import argparse
import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import jax

from colorgan import command_line
from colorgan.errors import UserError
from colorgan.inference import colorize_files, find_inputs, hints, model_flags
from colorgan.inference.colorizer import BORDERS, LEVELS
from colorgan.inference.video import VideoReport
from colorgan.run import devices
from colorgan.run.storage import parse_local_path


def main(arguments: argparse.Namespace) -> None:
    """The last line printed is JSON; exit code 1 if a file could not be colored."""
    inputs, output = arguments.inputs, arguments.output
    folder = output.parent if output and find_inputs.is_file_name(inputs, output) else output
    result = colorize_files.Result()
    files = list(find_inputs.find_files(inputs, output, result.failures))
    arguments.hints = hints.read_for_one(arguments.hints, inputs) if arguments.hints else None
    num_missing = len(result.failures)
    if folder:
        _check_writable(folder)
    for line in find_inputs.describe_files(inputs, files):
        print(line, file=sys.stderr)
    devices.select_platform("")
    colorizer = model_flags.load_colorizer(arguments)
    if jax.default_backend() != "cpu":
        colorizer.set_batch_size(colorize_files.MAX_THREADS)
    names = [field.name for field in dataclasses.fields(colorize_files.Settings)]
    settings = colorize_files.Settings(**{name: getattr(arguments, name) for name in names})
    try:
        colorize_files.colorize_files(files, folder, colorizer, settings, result)
    finally:  # after Ctrl-C too
        for line in colorize_files.describe_result(result, settings, output):
            print(line, file=sys.stderr)
        counts = {"num_colored": result.num_colored, "num_there": result.num_there, "num_failed": len(result.failures)}
        counts["num_had_color"] = len(result.had_color)
        videos = {name: _rounded(report) for name, report in result.videos.items()}
        outputs = {"output": str(output) if output else None}
        print(json.dumps(counts | outputs | ({"videos": videos} if videos else {})))
    if result.failures:
        what = "files and folders" if num_missing else "files"
        raise UserError(f"{len(result.failures)} of {len(files) + num_missing} {what} failed")


def _check_writable(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()
    except OSError as error:
        raise UserError(f"cannot write into --output={output}: {error.strerror}") from error


def _rounded(report: VideoReport) -> dict[str, float]:
    return {name: round(value, 3) for name, value in dataclasses.asdict(report).items()}


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("colorize", __doc__, "OLD_PHOTO.jpg")
    model_flags.add_arguments(parser)
    output_help = "folder for the results, or file for one (default: NAME-colorized.EXT beside each file)"
    parser.add_argument("--output", type=parse_local_path, help=output_help)
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--skip-color", action="store_true", help="leave photographs that have color already")
    strength_help = "from 0, the gray photograph, to 1, the colored one (default)"
    parser.add_argument("--strength", type=command_line.between(0, 1), default=1.0, help=strength_help)
    saturation_help = "factor of the colors, from 0 to 2; 1 is as predicted (default)"
    parser.add_argument("--saturation", type=command_line.between(0, 2), default=1.0, help=saturation_help)
    hints_help = f"file of places and their colors, for one photograph (default: NAME{hints.SUFFIX} beside NAME.EXT)"
    parser.add_argument("--hints", type=parse_local_path, metavar="FILE", help=hints_help)
    border_help = "auto leaves the border of a scan as it is (default); color treats it as part of the photograph"
    parser.add_argument("--border", choices=BORDERS, default=BORDERS[0], help=border_help)
    levels_help = "auto: colors of a faded photograph as at full contrast; write: full contrast too (default: keep)"
    parser.add_argument("--levels", choices=LEVELS, default=LEVELS[0], help=levels_help)
    smoothing = colorize_files.Settings.smoothing
    smoothing_help = f"of videos: weight of the previous frames where nothing moves, 0 to 0.99 (default: {smoothing})"
    parser.add_argument("--smoothing", type=command_line.between(0, 0.99), default=smoothing, help=smoothing_help)
    inputs_help = f"photographs, videos and folders of them ({', '.join(find_inputs.SUFFIXES)})"
    parser.add_argument("inputs", nargs="+", type=parse_local_path, metavar="INPUT", help=inputs_help)
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
