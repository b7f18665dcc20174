"""Writes the images of a data source to ArrayRecord shards, which load faster than many small files.

Each record holds an encoded image and its original name. Images are kept byte for byte or, with --image_size, cropped
to the central square, resized and encoded as JPEG. Images that cannot be read are left out and listed in refused.txt.
shards.json says how many records each shard has, in case one is damaged later.
"""

import argparse
import json

from colorgan import command_line
from colorgan.data import shards, sources
from colorgan.errors import UserError
from colorgan.run.storage import parse_local_path

SYNTHETIC_SIZE = 256  # pixels, for synthetic images without --image_size


def main(arguments: argparse.Namespace) -> None:
    """Writes the shards. The last line of output is JSON."""
    if arguments.image_size is not None and arguments.image_size < 1:
        raise UserError(f"--image_size is {arguments.image_size} but must be at least 1")
    source = sources.open_source(arguments.source, arguments.image_size or SYNTHETIC_SIZE, sources.TRAIN_SEED)
    refused = shards.write_shards(source, arguments.output, arguments.num_shards, arguments.image_size)
    for line in refused:
        print(f"refused {line}")
    result = {
        "num_records": len(source) - len(refused),
        "num_refused": len(refused),
        "data": f"array_record:{arguments.output}/*.array_record",
    }
    print(json.dumps(result))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.create_parser("prepare", __doc__, "--source=folder:PHOTOS --output=SHARDS --num_shards=8")
    parser.add_argument("--source", required=True, help=f"the images: one of {', '.join(sources.KINDS)}")
    parser.add_argument("--output", required=True, type=parse_local_path, help="a new or empty folder to write to")
    parser.add_argument("--num_shards", required=True, type=int, help="number of files")
    parser.add_argument("--image_size", type=int, help="side of the squares in pixels; without it, images are kept")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
