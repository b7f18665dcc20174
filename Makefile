# make run    trains small networks on synthetic images (configs/default.py)
# make test   lint, types and tests, as in CI
# make chaos  kills a run 28 times and compares it with an uninterrupted one: some minutes
#
# Variables: PYTHON=python3 creates .venv; CONFIG=default is a shipped config or a file.
PYTHON ?= python3
CONFIG ?= default
BIN := .venv/bin

.PHONY: run test check chaos clean
run: .venv/installed
	$(BIN)/python -m colorgan.main --config=$(CONFIG)

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal

chaos: .venv/installed-dev
	$(BIN)/python tests/chaos.py

check: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
