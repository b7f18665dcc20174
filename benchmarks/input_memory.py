"""Measures the peak memory of the input pipeline for few and many records. It should not grow with their number.

    python benchmarks/input_memory.py

Writes 1,000 and 200,000 records of one JPEG of 128 x 128 pixels, as a folder and as ArrayRecord, to a temporary
folder. For each, separate processes read 500 batches of 32 images, without and with a data worker, and print a line of
JSON with the peak resident memory in MiB of the process and of its data worker (0 without one).
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from colorgan import library_patches
from colorgan.data import pipeline, sources
from colorgan.data.array_record import pack_record
from colorgan.data.synthetic import scenes

NUM_RECORDS = (1_000, 200_000)
NUM_BATCHES, BATCH_SIZE, IMAGE_SIZE = 500, 32, 128


def write_dataset(kind: str, place: Path, num_records: int) -> None:
    """Writes `num_records` records or files with the same content to the new folder `place`."""
    buffer = io.BytesIO()
    Image.fromarray(scenes.create_image(0, IMAGE_SIZE)).save(buffer, "JPEG", quality=90)
    place.mkdir()
    if kind == "array_record":
        writer = ArrayRecordWriter(str(place / "images.array_record"), "group_size:1")
        for n in range(num_records):
            writer.write(pack_record(f"class_{n // 1000}/image_{n:06d}.jpg", buffer.getvalue()))
        writer.close()
        return
    original = place / "original"
    original.write_bytes(buffer.getvalue())
    for n in range(num_records):
        folder = place / f"class_{n // 1000}"
        if n % 1000 == 0:
            folder.mkdir()
        os.symlink(original, folder / f"image_{n:06d}.jpg")


def read_dataset(name: str, num_workers: int) -> None:
    """Reads the batches and prints the metrics."""
    library_patches.parse_no_absl_flags()
    images = pipeline.Images(sources.open_source(name, IMAGE_SIZE), IMAGE_SIZE, 0.01)
    batches = pipeline.TrainBatches(images, BATCH_SIZE, 0, 0, pipeline.Loading(num_workers=num_workers))
    for _ in range(NUM_BATCHES):
        next(batches)
    batches.close()
    peak, worker_peak = (
        resource.getrusage(who).ru_maxrss // 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    metrics = {"num_records": len(images), "num_workers": num_workers, "peak_mib": peak, "worker_peak_mib": worker_peak}
    print(json.dumps({"data": name.partition(":")[0], **metrics}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", help=argparse.SUPPRESS)
    parser.add_argument("--num_workers", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read_dataset(arguments.read, arguments.num_workers)
        return
    for kind in ("folder", "array_record"):
        for num_records in NUM_RECORDS:
            with tempfile.TemporaryDirectory() as folder:
                write_dataset(kind, Path(folder, "set"), num_records)
                for num_workers in (0, 1):
                    command = [sys.executable, __file__, f"--read={kind}:{folder}/set", f"--num_workers={num_workers}"]
                    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
