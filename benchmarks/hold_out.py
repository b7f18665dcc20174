"""Holds a fixed part of a training set out, to choose recipes on; the test set is then used once, at the end.

    python benchmarks/hold_out.py --source=SCENES/train --output=split/scenes

writes the folders `train` and `held_out` of links to the images, with their subfolders. The choice follows from the
names of the images alone.
"""

import argparse
import hashlib
from pathlib import Path

from colorgan.data.folder import find_images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="a folder of images")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--num_images", type=int, default=1000, help="the number of images to hold out")
    arguments = parser.parse_args()
    names = sorted(find_images(str(arguments.source)), key=lambda name: hashlib.sha256(name.encode()).digest())
    for position, name in enumerate(names):
        link = arguments.output / ("held_out" if position < arguments.num_images else "train") / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((arguments.source / name).resolve())


if __name__ == "__main__":
    main()
