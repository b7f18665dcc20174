"""The examples of docs/extending.md, applied to a copy of the package, trained with and evaluated."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, read_lines, run_command, tiny_flags

BLOCKS = re.findall(
    r"^```(python|diff)\n# (\S+)\n(.*?)\n```$", (ROOT / "docs" / "extending.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all examples of the page."""
    root = tmp_path_factory.mktemp("extended")
    for folder in ("colorgan", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=ignored)
    for language, name, block in BLOCKS:
        if language == "python":
            assert not (root / name).exists()
            (root / name).write_text(block + "\n")
        else:
            apply_diff(root / name, block.split("\n"))
    return root


def apply_diff(path: Path, block: list[str]) -> None:
    """Inserts lines that begin with "+" after the line above them, which must occur once."""
    lines, position = path.read_text().split("\n"), -1
    for line in block:
        if line.startswith("+"):
            position += 1
            lines.insert(position, line[1:])
        else:
            (position,) = [n for n, existing in enumerate(lines) if existing == line[1:]]
    path.write_text("\n".join(lines))


def test_each_example_is_one_file_and_its_registration() -> None:
    created = [name for language, name, _ in BLOCKS if language == "python"]
    assert [name.split("/")[1] for name in created] == ["training", "data", "models", "evaluation"]
    registered = {name: block.count("\n+") for language, name, block in BLOCKS if language == "diff"}
    assert registered.pop("configs/default.py") == 2  # the key and its comment
    assert list(registered.values()) == [2, 2, 2, 2]  # the import and the entry


def test_examples_train_and_evaluate(extended: Path, tmp_path: Path) -> None:
    flags = tiny_flags(
        data__train="gradient:24", loss__saturation_weight=10.0, model__critic="pixel", data__num_workers=1
    )
    workdir = tmp_path / "run"
    run_command("colorgan.main", "--config=default", f"--workdir={workdir}", *flags, root=extended)
    last = read_lines(workdir)[-1]
    losses = {name: last[f"train/generator/{name}"] for name in ("adversarial", "l1", "palette", "histogram")}
    expected = losses["adversarial"] + 100 * losses["l1"] + 100 * losses["palette"] + 2 * losses["histogram"]
    assert last["train/generator/saturation"] > 0
    expected += 10 * last["train/generator/saturation"]
    assert last["train/generator/loss"] == pytest.approx(expected, rel=1e-4)
    assert 0 < last["validation/hue_error"] < 2
    assert last["validation/gray_hue_error"] > 0
    done = run_command("colorgan.evaluate", f"--workdir={workdir}", "--data=gradient:5", root=extended)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["num_images"] == 5
    assert result["truth"]["hue_error"] == 0
    assert result["prediction"]["hue_error"] > 0
    assert "hue_error" in result["confidence_95"]
