"""The wheel contains the package and its configs only, and works where there is no checkout."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT, read_lines, tiny_flags
from PIL import Image

from colorgan.version import __version__


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of the checkout, built without a network."""
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path_factory.mktemp("source")
    for name in ("colorgan", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, f"--wheel-dir={folder}", str(source)], check=True, capture_output=True, timeout=120)
    (path,) = folder.iterdir()
    return path


def test_content(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith(f"colorgan-{__version__}-")
    assert {name.split("/")[0] for name in names} == {"colorgan", f"colorgan-{__version__}.dist-info"}
    assert {"colorgan/configs/default.py", "colorgan/configs/tpu.py", "colorgan/py.typed"} <= set(names)
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "colorgan").rglob("*.py")}
    assert expected <= set(names)
    assert {f"colorgan/weights/{name}" for name in ("colorgan.safetensors", "LICENSE", "NOTICE")} <= set(names)
    assert wheel.stat().st_size < 20 * 10**6


def test_it_works_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", f"--target={installed}"]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, timeout=120)
    environment = COMMAND_ENVIRONMENT | {"PYTHONPATH": str(installed)}
    script = installed / "bin" / "colorgan"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, str(script), *arguments],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert run("--version") == f"colorgan {__version__}\n"
    assert run("train", "--help").startswith("usage: colorgan train ")
    run("train", "--config=default", *tiny_flags(num_epochs=1, data__num_workers=1))
    workdir = empty / "runs" / "default"
    assert read_lines(workdir)[-1]["step"] == 3
    run("evaluate", f"--workdir={workdir}", "--data=procedural:3")
    assert (workdir / "evaluation" / "metrics.json").exists()
    Image.new("L", (40, 30), 90).save(empty / "old.png")
    run("colorize", "old.png")  # with the network that ships
    assert (empty / "old-colorized.png").exists()
    assert not (installed / "configs").exists()
    # In a folder like a checkout, a config file can import its neighbors, although this script is elsewhere.
    (empty / "configs").symlink_to(ROOT / "configs")
    (empty / "mine.py").write_text("from configs import default\nraise ValueError(default.__file__)\n")
    command = [sys.executable, str(script), "train", "--config=mine.py"]
    done = subprocess.run(command, cwd=empty, env=environment, capture_output=True, text=True)
    assert f"ValueError: {empty / 'configs' / 'default.py'}" in done.stderr
