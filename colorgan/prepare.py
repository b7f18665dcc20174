"""Writes a source's images as ArrayRecord shards, which load faster than many small files.

Each record holds an encoded image and its original name (see `sources.pack_record`). Images are kept as they are,
byte for byte, or, with an image size, cut to the square, resized and encoded again. What cannot be read is left out
and listed in refused.txt; shards.json says how many records each shard holds, should one be cut short later.
"""

import argparse
import dataclasses
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tqdm import tqdm

from colorgan import command_line
from colorgan.data import sources, transforms
from colorgan.errors import UserError, printable, reason

REFUSED_FILE = "refused.txt"
JPEG_QUALITY = 95
PROCEDURAL_SIZE = 256  # pixels, where no image size is asked for


@dataclasses.dataclass(frozen=True)
class _Entry:
    name: str
    record: bytes  # empty if refused
    reason: str = ""


def prepare(source: sources.Source, output: Path, num_shards: int, image_size: int | None = None) -> list[str]:
    """Writes `num_shards` files to `output`, which appears only when all of them are whole.

    Args:
      source: the images.
      output: a folder that does not exist yet, or is empty.
      num_shards: at least 1, at most the number of images.
      image_size: side of the squares in pixels; None keeps the images as they are.

    Returns:
      A line for each image that was refused: its name and why.

    Raises:
      UserError: `output` holds something, cannot be written, or no image could be read.
    """
    if not 1 <= num_shards <= len(source):
        raise UserError(f"--num_shards is {num_shards} but must be from 1 to the number of images, {len(source)}")
    output = output.resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"--output={output} is there already and not an empty folder")
    scratch = output.with_name(output.name + ".incomplete")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        refused = _write_shards(source, scratch, num_shards, image_size)
        if len(refused) == len(source):
            raise UserError(f"none of the {len(source)} images can be read; the first: {refused[0]}")
        if refused:
            (scratch / REFUSED_FILE).write_text("\n".join(refused) + "\n")
        scratch.rename(output)
    except (OSError, RuntimeError) as error:  # RuntimeError is ArrayRecord's
        raise UserError(f"cannot write {output}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return refused


def _write_shards(source: sources.Source, folder: Path, num_shards: int, image_size: int | None) -> list[str]:
    refused, counts = [], {}
    entries = _encode_all(source, image_size)
    with tqdm(total=len(source), unit=" images", dynamic_ncols=True, disable=None) as bar:
        for shard in range(num_shards):
            path = folder / f"images-{shard:05d}-of-{num_shards:05d}.array_record"
            # A group of one record is what random access reads fastest.
            writer = ArrayRecordWriter(str(path), "group_size:1")
            counts[path.name] = 0
            for _ in range(shard * len(source) // num_shards, (shard + 1) * len(source) // num_shards):
                entry = next(entries)
                if entry.reason:
                    refused.append(printable(f"{entry.name}: {entry.reason}"))
                else:
                    writer.write(entry.record)
                    counts[path.name] += 1
                bar.update()
            writer.close()
    (folder / sources.SHARD_COUNTS_FILE).write_text(json.dumps(counts, indent=1) + "\n")
    return refused


def _encode_all(source: sources.Source, image_size: int | None) -> Iterator[_Entry]:
    """All entries in order, made in threads, few at a time in memory."""
    threads = os.cpu_count() or 1
    dataset = grain.MapDataset.range(len(source)).map(lambda index: _encode(source, index, image_size))
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)))


def _encode(source: sources.Source, index: int, image_size: int | None) -> _Entry:
    name = source.name(index)
    try:
        image = source.read(index)
        decoded = transforms.decode_image(image)
        if image_size is not None:
            pixels = transforms.square(decoded, image_size)
            # Full-resolution chroma: colour is what this is about.
            image = _encoded(pixels, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        elif isinstance(image, np.ndarray):
            image = _encoded(image, "PNG")
    except Exception as error:  # decoders raise of every kind
        return _Entry(name, b"", reason(error))
    return _Entry(name, sources.pack_record(name, image))


def _encoded(pixels: np.ndarray, image_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()


def main(arguments: argparse.Namespace) -> None:
    """Ends with one line of JSON."""
    if arguments.image_size is not None and arguments.image_size < 1:
        raise UserError(f"--image_size is {arguments.image_size} but must be at least 1")
    source = sources.open_source(arguments.source, arguments.image_size or PROCEDURAL_SIZE, sources.TRAIN_SEED)
    refused = prepare(source, arguments.output, arguments.num_shards, arguments.image_size)
    for line in refused:
        print(f"refused {line}")
    print(
        json.dumps(
            {
                "num_records": len(source) - len(refused),
                "num_refused": len(refused),
                "data": f"array_record:{arguments.output}/*.array_record",
            }
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m colorgan.prepare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", required=True, help=f"the images: one of {', '.join(sources.KINDS)}")
    parser.add_argument("--output", required=True, type=Path, help="the folder to make")
    parser.add_argument("--num_shards", required=True, type=int, help="how many files")
    parser.add_argument("--image_size", type=int, help="side of the squares in pixels; images are kept as they are")
    return parser


if __name__ == "__main__":
    command_line.run(main, _parser())
