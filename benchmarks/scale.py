"""Computes what a training takes on other machines: steps, speed, data workers, time and money.

    python benchmarks/scale.py benchmarks/scale.jsonl --set=scenes:14039:150 --set=ImageNet:1281167:10

Reads lines of JSON that `colorgan benchmark`, `compile-ahead` and `prepare` print, and prints two tables in Markdown.
docs/scale.md describes the lines, the tables, and where the prices and the machines are from. A speed that no line
holds is an estimate, marked with ~: the roofline of a line of `compile-ahead`, times the share of the roofline that
lines of `benchmark step` reach on another device.
"""

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

MAX_WORKERS = 16  # of a process with data.num_workers=-1
CACHE_SHARE = 0.3  # of a device's memory, up to which data.cache=auto keeps the images there
MIN_STEPS = 1000  # fewer are harmful: benchmarks/LADDER.md, "Batch size"
GIB = 2**30

Line = dict[str, Any]


class Machine(NamedTuple):
    """One machine, or the hosts of one TPU slice.

    Attributes:
      device: `device_kind` of its devices; "cpu" where the training step and decoding share the cores.
      num_devices: number of devices.
      memory_bytes: what JAX can use of the memory of a device.
      num_processes: processes of the trainer.
      num_cores: cores (vCPUs of a cloud) of all hosts.
      dollars: price of an hour.
    """

    device: str
    num_devices: int
    memory_bytes: float
    num_processes: int
    num_cores: int
    dollars: float

    @property
    def num_workers(self) -> int:
        """Data workers of all processes with data.num_workers=-1."""
        return min(self.num_cores, MAX_WORKERS * self.num_processes)


# JAX reserves three quarters of a GPU's memory, and v5e has 15.75 of 16 GiB. Prices and vCPUs: docs/scale.md.
MACHINES = {
    "two cores": Machine("cpu", 1, 16 * GIB, 1, 2, 0.0),
    "H100": Machine("NVIDIA H100 80GB HBM3", 1, 60 * GIB, 1, 26, 4.29),
    "8 H100": Machine("NVIDIA H100 80GB HBM3", 8, 60 * GIB, 8, 208, 31.92),
    "v5e-8": Machine("TPU v5 lite", 8, 15.75 * GIB, 1, 224, 9.60),
    "v5e-256": Machine("TPU v5 lite", 256, 15.75 * GIB, 64, 64 * 112, 307.20),
}


class ImageSet(NamedTuple):
    """A training set, and how often it is seen."""

    name: str
    num_images: int
    num_epochs: int


class Speed(NamedTuple):
    """Images per second of the training step, on all devices of a machine together."""

    batch_size: int
    images_per_second: float
    is_measured: bool


class Parts(NamedTuple):
    """What the lines say about data and checkpoints.

    Attributes:
      record_bytes: bytes of an image in a shard.
      shard_rate: images that a core decodes per second, from shards.
      file_rate: the same from photographs as they are.
      prepare_seconds: time of one core for `colorgan prepare`, per photograph.
      load_size: side of the decoded images in pixels.
      checkpoint_bytes: the largest checkpoint.
    """

    record_bytes: float
    shard_rate: float
    file_rate: float
    prepare_seconds: float
    load_size: int
    checkpoint_bytes: int


class Plan(NamedTuple):
    """A run, without its start. Rates are per second and of all hosts; workers are those that a process needs."""

    num_steps: int
    images_per_second: float
    limit: str
    read_bytes: float
    shard_workers: int
    file_workers: int
    seconds: float


def collect_parts(lines: list[Line]) -> Parts:
    """Averages the lines of `benchmark input`, of `prepare` with "num_bytes" or "cpu_seconds", and of checkpoints."""
    inputs = [line for line in lines if line.get("part") == "input"]

    def rate(from_shards: bool) -> float:
        chosen = (line for line in inputs if line["data"].startswith("array_record:") == from_shards)
        return statistics.median(line["images_per_second_per_core"] for line in chosen)

    def per_record(key: str) -> float:
        chosen = [line for line in lines if key in line and "num_records" in line]
        return sum(line[key] for line in chosen) / sum(line["num_records"] for line in chosen)

    return Parts(
        record_bytes=per_record("num_bytes"),
        shard_rate=rate(from_shards=True),
        file_rate=rate(from_shards=False),
        prepare_seconds=per_record("cpu_seconds"),
        load_size=inputs[0]["load_size"],
        checkpoint_bytes=max(line["num_bytes"] for line in lines if line.get("part") == "checkpoint"),
    )


def find_speeds(machine: Machine, lines: list[Line]) -> list[Speed]:
    """The measured speeds of the step on `machine`, and estimates for other batch sizes, by batch size.

    What a TPU chip computes does not depend on their number, so lines of fewer devices count if there are no others.
    The roofline is the one "in turn" for GPUs. For TPUs it is the one by XLA's count of bytes, which is lower: "in turn"
    takes the memory of a core as free.
    """
    in_turn = "_in_turn" if machine.device.startswith("NVIDIA") else ""
    steps = [line for line in lines if line.get("part") == "step"]
    shares = [line["share_of_roofline" + in_turn] for line in steps if "share_of_roofline" + in_turn in line]
    speeds = {
        line["batch_size"]: Speed(line["batch_size"], line["images_per_second"], is_measured=True)
        for line in steps
        if line["device"] == machine.device and line["num_devices"] == machine.num_devices
    }
    compiled = [line for line in lines if line.get("device_kind") == machine.device and line["fits"]]
    largest = max((n for line in compiled if (n := line["num_devices"]) <= machine.num_devices), default=0)
    for line in compiled:
        batch_size = line["images_per_device"] * machine.num_devices
        if line["num_devices"] == largest and shares and batch_size not in speeds:
            roofline = line[f"roofline{in_turn}_images_per_second_per_device"] * machine.num_devices
            speeds[batch_size] = Speed(batch_size, roofline * statistics.median(shares), is_measured=False)
    return sorted(speeds.values())


def cache_bytes(images: ImageSet, parts: Parts) -> int:
    """Bytes of the decoded set, which are needed on each device."""
    return images.num_images * parts.load_size**2 * 3


def make_plan(machine: Machine, images: ImageSet, speed: Speed, parts: Parts) -> Plan | None:
    """Plans a run that reads shards; None if a batch is larger than the set.

    A set that data.cache=auto keeps on the devices is decoded once, a larger one in every epoch.
    """
    if speed.batch_size > images.num_images:
        return None
    num_seen = images.num_images * images.num_epochs
    num_steps = math.ceil(num_seen / speed.batch_size)
    rate, decoding = speed.images_per_second, machine.num_workers * parts.shard_rate
    if cache_bytes(images, parts) <= CACHE_SHARE * machine.memory_bytes:
        return Plan(
            num_steps, rate, "step (images on the device)", 0.0, 0, 0, images.num_images / decoding + num_seen / rate
        )
    per_process = rate / machine.num_processes
    workers = math.ceil(per_process / parts.shard_rate), math.ceil(per_process / parts.file_rate)
    if machine.device == "cpu":
        rate, limit = 1 / (1 / rate + 1 / decoding), "step and decoding"
    else:
        rate, limit = min(rate, decoding), "step" if rate <= decoding else "decoding"
    return Plan(num_steps, rate, limit, rate * parts.record_bytes, *workers, num_seen / rate)


def in_short(value: float) -> str:
    """The number with two digits, or all of those before the point."""
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def in_time(seconds: float) -> str:
    """The duration in the largest unit of which it has at least one."""
    size, unit = next(((n, unit) for n, unit in ((3600, "h"), (60, "min")) if seconds >= n), (1, "s"))
    return f"{in_short(seconds / size)} {unit}"


def machine_table(machines: dict[str, Machine], sets: list[ImageSet], lines: list[Line], start: float) -> str:
    """One row of Markdown for each set, machine and batch size. `start` is the seconds until the first step."""
    parts = collect_parts(lines)
    columns = ["set, epochs", "machine", "batch", "steps", "images/s", "limited by", "read, MB/s"]
    rows = [[*columns, "workers a process: shards, files (cores)", "time", "dollars"], ["---"] * 10]
    for images in sets:
        for name, machine in machines.items():
            for speed in find_speeds(machine, lines):
                row = [f"{images.name}, {images.num_epochs}", name, f"{speed.batch_size:,}"]
                if plan := make_plan(machine, images, speed, parts):
                    mark = "" if speed.is_measured else "~"
                    row += [f"{plan.num_steps:,}" + " (too few)" * (plan.num_steps < MIN_STEPS)]
                    rate = plan.images_per_second if speed.is_measured else float(f"{plan.images_per_second:.2g}")
                    row += [f"{mark}{rate:,.0f}", plan.limit, in_short(plan.read_bytes / 1e6)]
                    cores = machine.num_cores // machine.num_processes
                    row += [f"{plan.shard_workers}, {plan.file_workers} ({cores})"]
                    seconds = start + plan.seconds
                    row += [mark + in_time(seconds), mark + in_short(seconds / 3600 * machine.dollars)]
                else:
                    row += ["the batch is larger than the set", *[""] * 6]
                rows.append(row)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def set_table(sets: list[ImageSet], parts: Parts) -> str:
    """One row of Markdown for each set."""
    rows = [["set", "images", "shards, GB", "decoded, GB on each device", "core hours of prepare"], ["---"] * 5]
    for images in sets:
        sizes = images.num_images * parts.record_bytes / 1e9, cache_bytes(images, parts) / 1e9
        hours = images.num_images * parts.prepare_seconds / 3600
        rows.append([images.name, f"{images.num_images:,}", *map(in_short, (*sizes, hours))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def parse_set(text: str) -> ImageSet:
    name, num_images, num_epochs = text.split(":")
    return ImageSet(name, int(num_images), int(num_epochs))


def parse_price(text: str) -> tuple[str, float]:
    name, dollars = text.split("=")
    if name not in MACHINES:
        raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(MACHINES)}")
    return name, float(dollars)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="files with a JSON object in each line")
    parser.add_argument("--set", type=parse_set, action="append", required=True, metavar="NAME:IMAGES:EPOCHS")
    parser.add_argument("--price", type=parse_price, action="append", default=[], metavar="MACHINE=DOLLARS_AN_HOUR")
    parser.add_argument("--start", type=float, default=50.0, help="seconds from the command to the first step")
    arguments = parser.parse_args()
    lines = [json.loads(line) for path in arguments.files for line in path.read_text().splitlines()]
    machines = MACHINES | {name: MACHINES[name]._replace(dollars=dollars) for name, dollars in arguments.price}
    parts = collect_parts(lines)
    print(machine_table(machines, arguments.set, lines, arguments.start), end="\n\n")
    print(set_table(arguments.set, parts), end="\n\n")
    kilobytes, megabytes = parts.record_bytes / 1e3, parts.checkpoint_bytes / 1e6
    print(f"An image takes {kilobytes:.1f} kB in shards, a checkpoint at most {megabytes:,.0f} MB.")
    print(f"A core decodes {parts.shard_rate:,.0f} images/s from shards, {parts.file_rate:,.0f} from files.")


if __name__ == "__main__":
    main()
