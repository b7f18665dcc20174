"""The layout: which package may import which, how long chains of imports are, and what inference loads."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COMMAND_ENVIRONMENT, ROOT

from colorgan.__main__ import COMMANDS

MAX_CHAIN = 9  # modules
OLD_RUNS = ROOT / "tests" / "old_runs"
COMMAND_MODULES = {f"colorgan.{module}" for module, _ in COMMANDS.values()}
# The packages that each may import, beside itself and the modules directly in colorgan/.
MAY_IMPORT: dict[str, set[str]] = {
    "run": set(),
    "models": set(),
    "data": {"run"},
    "media": {"data", "run"},
    "evaluation": {"data"},
    "inference": {"evaluation", "media", "data", "models", "run"},
    "reporting": {"evaluation", "run"},
    "training": {"reporting", "evaluation", "data", "models", "run"},
    "profiling": {"training", "evaluation", "data", "models", "run"},
    "configs": set(),
}

# `Path.rglob` does not follow links, and colorgan/configs is one.
SOURCES = [Path(folder, name) for folder, _, names in os.walk(ROOT / "colorgan", followlinks=True) for name in names]
SOURCES = sorted(path for path in SOURCES if path.suffix == ".py")


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of module and name for all imports, those in functions too, without those for type checking only."""

    def visit(node: ast.AST) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                yield from ((alias.name, "") for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.module:
                yield from ((child.module, alias.name) for alias in child.names)
            yield from visit(child)

    return visit(ast.parse(path.read_text()))


def _graph() -> dict[str, set[str]]:
    """The modules of colorgan that each module imports."""
    paths = {}
    for path in SOURCES:
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for module, path in paths.items():
        names = {name if name in paths else base for base, name in ((b, f"{b}.{n}") for b, n in _imports(path))}
        graph[module] = (names & paths.keys()) - {module}
    assert {"colorgan.configs.default", "colorgan.training.loop", "colorgan.models"} <= graph.keys()
    return graph


GRAPH = _graph()


def _longest_chain(graph: dict[str, set[str]]) -> list[str]:
    longest: dict[str, list[str]] = {}

    def follow(module: str, chain: tuple[str, ...]) -> list[str]:
        assert module not in chain, f"import cycle: {' -> '.join((*chain, module))}"
        if module not in longest:
            chains = [follow(imported, (*chain, module)) for imported in sorted(graph[module])]
            longest[module] = [module, *max(chains, key=len, default=[])]
        return longest[module]

    return max((follow(module, ()) for module in graph), key=len)


def test_chains_of_imports_are_short_and_have_no_cycles() -> None:
    chain = _longest_chain(GRAPH)
    assert 5 < len(chain) <= MAX_CHAIN, " -> ".join(chain)


def test_a_cycle_is_found() -> None:
    with pytest.raises(AssertionError, match="import cycle: a -> b -> a"):
        _longest_chain({"a": {"b"}, "b": {"a"}})


def test_packages_import_only_those_below_them() -> None:
    for module, imported in GRAPH.items():
        parts = module.split(".")
        if len(parts) < 3 and parts[-1] not in MAY_IMPORT:
            continue  # a module directly in colorgan/
        for name in imported:
            package = name.split(".")[1] if name.count(".") > 1 or name.split(".")[-1] in MAY_IMPORT else ""
            allowed = {"", parts[1]} | MAY_IMPORT[parts[1]]
            assert package in allowed, f"{module} imports {name}"


def test_nothing_imports_a_command() -> None:
    for module, imported in GRAPH.items():
        assert not imported & COMMAND_MODULES, module


def test_commands_are_short() -> None:
    for module in COMMAND_MODULES:
        lines = (ROOT / f"{module.replace('.', '/')}.py").read_text().count("\n")
        assert lines < 100, f"{module} has {lines} lines"


def test_only_models_import_flax_linen() -> None:
    for path in SOURCES:
        names = {base for base, _ in _imports(path)} | {f"{base}.{name}" for base, name in _imports(path)}
        is_model = "models" in path.relative_to(ROOT).parts
        assert is_model or not any(name.startswith("flax.linen") for name in names), path


def _loaded(code: str) -> set[str]:
    """The modules that are loaded after `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        env=COMMAND_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


def test_an_exported_file_is_used_without_training_libraries() -> None:
    code = "import contextlib, colorgan\nfrom colorgan.errors import UserError\n"
    code += "with contextlib.suppress(UserError):\n"  # a later JAX does not read the file
    loaded = _loaded(f"{code}    colorgan.Colorizer.from_file({str(OLD_RUNS / '2026-11-23.stablehlo')!r})")
    assert "colorgan.inference.load_exported" in loaded
    assert not loaded & {"optax", "orbax", "orbax.checkpoint", "grain", "tensorboardX", "flax", "colorgan.training"}


def test_a_run_is_loaded_without_training_code() -> None:
    loaded = _loaded(f"import colorgan\ncolorgan.Colorizer.from_workdir({str(OLD_RUNS / '2026-11-23')!r})")
    assert "colorgan.run.checkpoints" in loaded
    assert not {name for name in loaded if name.startswith("colorgan.training")}
    assert not loaded & {"optax", "grain", "tensorboardX"}
