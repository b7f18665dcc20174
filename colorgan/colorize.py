"""Colours photographs of any size with a trained run.

Colour is predicted at the network's size and laid over the photograph's own luma at full size. Files keep their
names, folders their structure.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from colorgan import command_line, runtime, trained
from colorgan.colorizer import Colorizer
from colorgan.data import transforms
from colorgan.data.sources import find_images, read_image_file
from colorgan.errors import UserError


def find_photographs(inputs: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Every image file in `inputs`, files and folders, with the path it is to have below the output folder.

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


def main(arguments: argparse.Namespace) -> None:
    """Ends with one line of JSON; exit code 1 if a photograph could not be coloured."""
    photographs = list(find_photographs(arguments.inputs))
    if arguments.output.exists() and not arguments.output.is_dir():
        raise UserError(f"--output={arguments.output} is not a folder")
    runtime.select_platform("")
    run = trained.load_trained(arguments.workdir, arguments.checkpoint)
    colorizer = Colorizer.from_trained(run)
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
            photo = transforms.decode_image(read_image_file(source))
            target.parent.mkdir(parents=True, exist_ok=True)
            colored = colorizer(photo)
            # Full-resolution chroma: colour is what this is about. Formats other than JPEG ignore it.
            colored.save(target, quality=95, subsampling=0)
            done.add(target)
        except Exception as error:  # decoders raise of every kind; the other photographs go on
            failures.append(f"{source}: {error}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    print(json.dumps({"num_colored": len(photographs) - len(failures), "output": str(arguments.output)}))
    if failures:
        raise UserError(f"{len(failures)} of {len(photographs)} photographs failed")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m colorgan.colorize", description=__doc__)
    trained.add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="the folder for the coloured photographs")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there already")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="photographs, or folders of them")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
