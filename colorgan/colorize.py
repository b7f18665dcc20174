"""Colours photographs and films of any size with a trained run, or with what `colorgan.export` made of it.

Colour is predicted at the network's size and laid over the photograph's own luma at full size. Files keep their
names, their formats and what else they hold; folders keep their structure.
"""

import argparse
import collections
import dataclasses
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from colorgan import command_line
from colorgan.data.folder import IMAGE_SUFFIXES, find_images
from colorgan.errors import UserError, printable, reason
from colorgan.inference.colorizer import Colorizer
from colorgan.media import photo_file, video
from colorgan.run import devices

SUFFIXES = (*IMAGE_SUFFIXES, *video.VIDEO_SUFFIXES)


def find_files(inputs: Sequence[Path], output: Path) -> Iterator[tuple[Path, Path]]:
    """Every file in `inputs`, and every photograph and film in its folders, with the path it is to have below `output`.

    Where `output` lies in a folder, what is in it already is left out.

    Raises:
      UserError: an input is not there, or a folder holds none.
    """
    below = output.resolve()
    for path in inputs:
        if path.is_file():
            yield path, Path(path.name)
        elif path.is_dir():
            is_within = below != path.resolve() and below.is_relative_to(path.resolve())
            for name in find_images(str(path), SUFFIXES):
                if not (is_within and (path / name).resolve().is_relative_to(below)):
                    yield path / name, Path(name)
        else:
            raise UserError(f"there is no file or folder {path}")


def _tell_others(inputs: Sequence[Path]) -> None:
    """What else the folders hold, so that nobody takes it for coloured."""
    files = (path for folder in inputs if folder.is_dir() for path in folder.rglob("[!.]*") if path.is_file())
    others = collections.Counter(path.suffix or "no suffix" for path in files if path.suffix.lower() not in SUFFIXES)
    if others:
        kinds = ", ".join(f"{count} {printable(suffix)}" for suffix, count in sorted(others.items()))
        print(f"left out, as neither photographs nor films ({', '.join(SUFFIXES)}): {kinds}", file=sys.stderr)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `load_colorizer` takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    # Not from `trained`: an exported file needs no training code.
    which.add_argument("--workdir", help="the run's folder")
    which.add_argument("--model", type=Path, help="a file that colorgan.export wrote, instead of a run")
    parser.add_argument("--checkpoint", choices=("latest", "best"), help="which of the run's; the best unless said")


def load_colorizer(arguments: argparse.Namespace) -> Colorizer:
    """The colorizer that the command line names. Raises UserError if it cannot be had."""
    if arguments.model:
        if arguments.checkpoint:
            raise UserError("--checkpoint chooses among those of a run, and --model is of one: leave either out")
        return Colorizer.from_file(arguments.model)
    return Colorizer.from_workdir(arguments.workdir, arguments.checkpoint or "best")


def main(arguments: argparse.Namespace) -> None:
    """Ends with one line of JSON; exit code 1 if a photograph could not be coloured."""
    found = find_files(arguments.inputs, arguments.output)
    files = list({(source.resolve(), name): (source, name) for source, name in found}.values())  # named twice or not
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=arguments.output).close()
    except OSError as error:
        raise UserError(f"cannot write into --output={arguments.output}: {error.strerror}") from error
    _tell_others(arguments.inputs)
    devices.select_platform("")
    colorizer = load_colorizer(arguments)
    how = {"strength": arguments.strength, "saturation": arguments.saturation}
    films: dict[str, Any] = {}
    failures: list[str] = []
    num_colored = num_there = 0
    taken = {source.resolve(): source for source, _ in files}
    try:
        for source, name in tqdm(files, unit=" files", dynamic_ncols=True, disable=None):  # no bar in a pipe
            target = arguments.output / name
            try:
                _check_target(target, arguments.output, taken)
                taken[target.resolve()] = source
                if target.exists() and not arguments.overwrite:
                    num_there += 1
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                if source.suffix.lower() in video.VIDEO_SUFFIXES:
                    films[str(name)] = _colorize_film(source, target, colorizer, smoothing=arguments.smoothing, **how)
                else:
                    _colorize_photograph(source, target, colorizer, **how)
                num_colored += 1
            except Exception as error:  # decoders raise of every kind; the other files go on
                failures.append(f"{source}: {reason(error)}")
    finally:  # Ctrl-C comes here too
        for failure in failures:
            print(f"failed: {failure}", file=sys.stderr)
        if num_there:
            print(f"{num_there} are there already and stay as they are (--overwrite replaces them)", file=sys.stderr)
        counts = {"num_colored": num_colored, "num_there": num_there, "num_failed": len(failures)}
        print(json.dumps(counts | {"output": str(arguments.output)} | ({"films": films} if films else {})))
    if failures:
        raise UserError(f"{len(failures)} of {len(files)} files failed")


def _check_target(target: Path, output: Path, taken: Mapping[Path, Path]) -> None:
    """Raises FileExistsError where nothing may be written; `taken` says by which input each place is."""
    if other := taken.get(target.resolve()):
        raise FileExistsError(f"{target} is the place of {other}: choose another --output")
    if not target.resolve().is_relative_to(output.resolve()):
        raise FileExistsError(f"{target} is a link that leads out of the output folder")


def _colorize_photograph(source: Path, target: Path, colorizer: Colorizer, strength: float, saturation: float) -> None:
    if source.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"neither a photograph nor a film by its name ({', '.join(SUFFIXES)}); "
            "ffmpeg -i FILM -c copy film.mkv makes such a one of other films"
        )
    photo = photo_file.read_photo(source)
    colored = photo.as_rgb()
    colorizer.colorize(photo.pixels, strength, saturation, out=colored.pixels)
    del photo  # is in memory no longer while the file is made, if it was gray
    photo_file.write_photo(target, colored)


def _colorize_film(source: Path, target: Path, colorizer: Colorizer, **how: float) -> dict[str, float]:
    """What is told of it."""
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left"
    with tqdm(total=1.0, desc=source.name, bar_format=bar_format, leave=False, dynamic_ncols=True, disable=None) as bar:

        def show(share: float) -> None:
            bar.update(share - bar.n)

        report = dataclasses.asdict(video.colorize_video(source, target, colorizer, **how, progress_fn=show))
    return {name: round(value, 3) for name, value in report.items()}


def _between(low: float, high: float) -> Any:
    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m colorgan.colorize", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="the folder for the coloured photographs")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    strength_help = "from 0, the gray photograph, to 1, the coloured one (default)"
    parser.add_argument("--strength", type=_between(0, 1), default=1.0, help=strength_help)
    saturation_help = "what colours are multiplied by, from 0 to 2; 1 is what the network says (default)"
    parser.add_argument("--saturation", type=_between(0, 2), default=1.0, help=saturation_help)
    smoothing_help = "of films: how much the frames before count where nothing moves, from 0 to 0.99; 0.9 unless said"
    default = video.DEFAULT_SMOOTHING
    parser.add_argument("--smoothing", type=_between(0, 0.99), default=default, help=smoothing_help)
    inputs_help = f"photographs, films and folders of them ({', '.join(SUFFIXES)})"
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help=inputs_help)
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
