"""Writes the images of a source to ArrayRecord shards, which load faster than many small files."""

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grain
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image
from tqdm import tqdm

from colorgan.data import transforms
from colorgan.data.array_record import SHARD_COUNTS_FILE, pack_record
from colorgan.data.source import Source
from colorgan.data.workers import num_cores
from colorgan.errors import UserError, printable, reason

REFUSED_FILE = "refused.txt"
JPEG_QUALITY = 95


class _Entry(NamedTuple):
    """One image of the source.

    Attributes:
      name: its name in the source.
      record: what to write; empty if the image was refused.
      problem: why the image was refused; empty if it was not.
    """

    name: str
    record: bytes
    problem: str = ""


def write_shards(source: Source, output: Path, num_shards: int, image_size: int | None = None) -> list[str]:
    """Writes the images of a source to `num_shards` files, with `shards.json` and, if needed, `refused.txt`.

    The folder `output` appears when all files are complete. Before, and after an error, it does not exist.

    Args:
      source: the images.
      output: a folder that does not exist yet, or is empty.
      num_shards: at least 1, at most the number of images.
      image_size: side in pixels to which the central squares are resized, stored as JPEG. None keeps encoded images
        byte for byte, and stores arrays as PNG.

    Returns:
      For each image that was refused, a line with its name and the reason.

    Raises:
      UserError: `num_shards` is out of range, `output` is not empty or cannot be written, or no image can be read.
    """
    if not 1 <= num_shards <= len(source):
        raise UserError(f"num_shards is {num_shards} but must be from 1 to the number of images, {len(source)}")
    output = output.resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"the output {output} exists and is not an empty folder")
    scratch = output.with_name(output.name + ".incomplete")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        refused = _write_all(source, scratch, num_shards, image_size)
        if len(refused) == len(source):
            raise UserError(f"no image can be read, of {len(source)}; the first: {refused[0]}")
        if refused:
            (scratch / REFUSED_FILE).write_text("\n".join(refused) + "\n")
        scratch.rename(output)
    except (OSError, RuntimeError) as error:  # RuntimeError comes from ArrayRecord
        raise UserError(f"cannot write {output}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return refused


def _write_all(source: Source, folder: Path, num_shards: int, image_size: int | None) -> list[str]:
    refused, counts = [], {}
    entries = _encode_all(source, image_size)
    with tqdm(total=len(source), unit=" images", dynamic_ncols=True, disable=None) as bar:
        for shard in range(num_shards):
            path = folder / f"images-{shard:05d}-of-{num_shards:05d}.array_record"
            writer = ArrayRecordWriter(str(path), "group_size:1")  # the fastest for random access
            counts[path.name] = 0
            for _ in range(shard * len(source) // num_shards, (shard + 1) * len(source) // num_shards):
                entry = next(entries)
                if entry.problem:
                    refused.append(printable(f"{entry.name}: {entry.problem}"))
                else:
                    writer.write(entry.record)
                    counts[path.name] += 1
                bar.update()
            writer.close()
    (folder / SHARD_COUNTS_FILE).write_text(json.dumps(counts, indent=1) + "\n")
    return refused


def _encode_all(source: Source, image_size: int | None) -> Iterator[_Entry]:
    """Yields all entries in order. Threads prepare a few in advance."""
    threads = num_cores()
    dataset = grain.MapDataset.range(len(source)).map(lambda index: _encode(source, index, image_size))
    return iter(dataset.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=4 * threads)))


def _encode(source: Source, index: int, image_size: int | None) -> _Entry:
    name = source.name(index)
    try:
        image = source.read(index)
        decoded = transforms.decode_image(image)
        if image_size is not None:
            # Chroma at full resolution, since color is what is learned.
            pixels = transforms.square(decoded, image_size)
            image = _encode_pixels(pixels, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        elif isinstance(image, np.ndarray):
            image = _encode_pixels(image, "PNG")
    except Exception as error:  # decoders raise every type of exception
        return _Entry(name, b"", reason(error))
    return _Entry(name, pack_record(name, image))


def _encode_pixels(pixels: np.ndarray, image_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format, **options)
    return buffer.getvalue()
