# The two commands: `make demo` trains a model on text that is already on this machine, `make test` runs the suite.
# Both stand on `make env`, which builds .venv in this folder from the pinned versions in constraints.txt.
# pip keeps downloaded packages in its own cache (`pip cache dir`); nothing else is written outside this folder.

PYTHON ?= python3
BIN := .venv/bin
DEMO_DIR ?= demo

.PHONY: help env demo test test-all test-full lint docs clean

help:
	@echo "make demo      train a small ternary model on the Python standard library (about 10 minutes on 2 cores)"
	@echo "make test      environment and test suite"
	@echo "make test-all  the slow tests too"
	@echo "make test-full the laws over every way of putting parts together"
	@echo "make lint      ruff, mypy, import contracts, presets against their schema"
	@echo "make docs      the site of the documents, in build/site; a link that leads nowhere fails it"
	@echo "make env       only the environment, in .venv"
	@echo "make clean     remove .venv, what was built, and the demo's output"

env: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit("Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11") if sys.version_info < (3, 11) else None'
	@echo "Building .venv (a few minutes the first time: torch is large)"
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch .venv/ready

demo: env
	@sh examples/demo.sh $(BIN)/nanochat "$(DEMO_DIR)"

test: env
	@$(BIN)/python -m pytest -q -n auto

test-all: env
	@$(BIN)/python -m pytest -q -n auto -m "not full"

test-full: env
	@$(BIN)/python -m pytest -q -n auto -m full

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/lint-imports --config tui/importlinter.toml
	@$(BIN)/tombi lint --offline --quiet configs

docs: env
	@$(BIN)/python docs/site/build.py

clean:
	rm -rf .venv "$(DEMO_DIR)" build *.egg-info
