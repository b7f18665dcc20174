"""Packs folders into tar files of a limited size, each of which can be unpacked alone.

    python benchmarks/pack_parts.py --output=parts wheels SCENES

writes parts/part_00.tar, part_01.tar ... A file of the folder SCENES has the name SCENES/... in its tar file. Links are
followed. The result depends on the names and contents of the files alone.
"""

import argparse
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

END_BYTES = tarfile.RECORDSIZE  # of a tar file, at most


def files_of(folders: list[Path]) -> Iterator[tuple[Path, str]]:
    """Yields the files of folders, without hidden ones, with their names in the tar file."""
    for folder in folders:
        for parent, subfolders, names in os.walk(folder, followlinks=True):
            subfolders.sort()
            for path in (Path(parent, name) for name in sorted(names) if not name.startswith(".")):
                yield path, str(folder.resolve().name / path.relative_to(folder))


def packed_bytes(path: Path, name: str) -> int:
    """Returns the size of a file in a tar file: a header, for a long name one with that name, and the content."""
    lengths = [0, path.stat().st_size] + [0, len(name.encode()) + 1] * (len(name.encode()) > tarfile.LENGTH_NAME)
    return sum(tarfile.BLOCKSIZE if not length else length + -length % tarfile.BLOCKSIZE for length in lengths)


def divide(files: Iterable[tuple[Path, str]], max_bytes: int) -> list[list[tuple[Path, str]]]:
    """Divides files into parts, in their order. Exits if one does not fit into a part."""
    parts: list[list[tuple[Path, str]]] = []
    left = 0
    for path, name in files:
        size = packed_bytes(path, name)
        if size + END_BYTES > max_bytes:
            sys.exit(f"{path} is too large for a part of {max_bytes} bytes")
        if size > left:
            parts.append([])
            left = max_bytes - END_BYTES
        parts[-1].append((path, name))
        left -= size
    return parts


def write_part(path: Path, files: list[tuple[Path, str]]) -> None:
    """Writes a tar file, without times and owners."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as part:
        for source, name in files:
            information = tarfile.TarInfo(name)
            information.size = source.stat().st_size
            with source.open("rb") as file:
                part.addfile(information, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--max_mebibytes", type=float, default=45)
    arguments = parser.parse_args()
    for folder in arguments.folders:
        if not folder.is_dir():
            parser.error(f"there is no folder {folder}")
    arguments.output.mkdir(parents=True)
    for n, files in enumerate(divide(files_of(arguments.folders), int(arguments.max_mebibytes * 2**20))):
        path = arguments.output / f"part_{n:02d}.tar"
        write_part(path, files)
        print(f"{path}: {len(files)} files, {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
