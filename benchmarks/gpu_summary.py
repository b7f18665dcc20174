"""Prints the most important numbers of the results of benchmarks/gpu.sh, one line for each measurement.

    python benchmarks/gpu_summary.py OUT

Of measurements that were taken in turns (NAME_turn_1.json, NAME_turn_2.json ...) it prints the medians.
"""

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

KEYS = re.compile(
    r"(colorgan\.|megapixels\.[\d.]+\.)?(images_per_second(\.\w+)?|ratio\.\w+|share_of_\w+|compile_seconds|call_seconds"
    r"|seconds|num_killed|ratio_to_slower_part|data_wait_fraction|\w*photographs_per_second|max_steps_lost"
    r"|num_differences|prediction\.(psnr|auc|score)|last\.perf/images_per_second|num_images|num_records)"
)


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns a flat dict, with names like "ratio.pytorch"."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def main() -> None:
    out = Path(sys.argv[1])
    by_name: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(out.glob("*/*.json"), key=lambda path: path.stat().st_mtime):
        name = str(path.relative_to(out).with_suffix(""))
        by_name.setdefault(re.sub(r"_turn_\d+$", "", name), []).append(flatten(json.loads(path.read_text())))
    for name, turns in by_name.items():
        keys = [key for key, value in turns[0].items() if KEYS.fullmatch(key) and isinstance(value, int | float)]
        values = {key: statistics.median(turn[key] for turn in turns if key in turn) for key in keys}
        print(f"{name} ({len(turns)}): " + ", ".join(f"{key} {value:.5g}" for key, value in values.items()))


if __name__ == "__main__":
    main()
