"""Colours photographs and films of any size with a trained run, or with what `colorgan.export` made of it.

Colour is predicted at the network's size and laid over the photograph's own luma at full size. Files keep their
names, their formats and what else they hold; folders keep their structure.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from colorgan import command_line, runtime
from colorgan.colorizer import Colorizer
from colorgan.data.sources import find_images
from colorgan.errors import UserError
from colorgan.photos import photo_file, video


def find_photographs(inputs: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Every file in `inputs`, and every image file in its folders, with the path it is to have below the output folder.

    Raises:
      UserError: an input is not there, or a folder holds no images.
    """
    for path in inputs:
        if path.is_file():
            yield path, Path(path.name)
        elif path.is_dir():
            yield from ((path / name, Path(name)) for name in find_images(str(path)))
        else:
            raise UserError(f"there is no file or folder {path}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `load_colorizer` takes."""
    which = parser.add_mutually_exclusive_group(required=True)
    # Not from `trained`: an exported file needs no training code.
    which.add_argument("--workdir", help="the run's folder")
    which.add_argument("--model", type=Path, help="a file that colorgan.export wrote, instead of a run")
    parser.add_argument("--checkpoint", default="best", choices=("latest", "best"), help="which of the run's")


def load_colorizer(arguments: argparse.Namespace) -> Colorizer:
    """The colorizer that the command line names. Raises UserError if it cannot be had."""
    if arguments.model:
        return Colorizer.from_file(arguments.model)
    return Colorizer.from_workdir(arguments.workdir, arguments.checkpoint)


def main(arguments: argparse.Namespace) -> None:
    """Ends with one line of JSON; exit code 1 if a photograph could not be coloured."""
    photographs = list(find_photographs(arguments.inputs))
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UserError(f"--output={arguments.output} is not a folder")
    runtime.select_platform("")
    colorizer = load_colorizer(arguments)
    how = {"strength": arguments.strength, "saturation": arguments.saturation}
    films: dict[str, Any] = {}
    failures: list[str] = []
    done: set[Path] = set()
    for source, name in tqdm(photographs, unit=" photographs", dynamic_ncols=True):
        target = arguments.output / name
        try:
            if target in done or target.resolve() == source.resolve():
                raise FileExistsError(f"{target} would be written over another photograph")
            if not target.resolve().is_relative_to(arguments.output.resolve()):
                raise FileExistsError(f"{target} is a link that leads out of the output folder")
            if target.exists() and not arguments.overwrite:
                raise FileExistsError(f"{target} is there already (--overwrite replaces it)")
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix.lower() in video.VIDEO_SUFFIXES:
                films[str(name)] = _colorize_film(source, target, colorizer, smoothing=arguments.smoothing, **how)
            else:
                _colorize_photograph(source, target, colorizer, **how)
            done.add(target)
        except Exception as error:  # decoders raise of every kind; the other photographs go on
            failures.append(f"{source}: {str(error) or type(error).__name__}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    result = {"num_colored": len(photographs) - len(failures), "output": str(arguments.output)}
    print(json.dumps(result | ({"films": films} if films else {})))
    if failures:
        raise UserError(f"{len(failures)} of {len(photographs)} photographs failed")


def _colorize_photograph(source: Path, target: Path, colorizer: Colorizer, strength: float, saturation: float) -> None:
    photo = photo_file.read_photo(source)
    # In place where there is room for colour: a large photograph is in memory once.
    out = photo.pixels if photo.pixels.ndim == 3 else None
    colored = colorizer.colorize(photo.pixels, strength, saturation, out)
    photo_file.write_photo(target, dataclasses.replace(photo, pixels=colored))


def _colorize_film(source: Path, target: Path, colorizer: Colorizer, **how: float) -> dict[str, float]:
    """What is told of it."""
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left"
    with tqdm(total=1.0, desc=source.name, bar_format=bar_format, leave=False, dynamic_ncols=True) as bar:

        def show(share: float) -> None:
            bar.update(share - bar.n)

        return dataclasses.asdict(video.colorize_video(source, target, colorizer, **how, progress_fn=show))


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
    inputs_help = f"photographs, folders of them, or films ({', '.join(video.VIDEO_SUFFIXES)})"
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help=inputs_help)
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
