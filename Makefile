# Two commands are all that a fresh machine needs: `make train` and `make test`.
# Each creates .venv, installs what it needs, and does its job.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# With packages in two folders setuptools installs an import hook, and warns of folders of the same name at length.
INSTALL := PYTHONWARNINGS='ignore:Editable installation' $(BIN)/python -m pip install --quiet --editable
SAMPLER ?= multiprocessing+vectorized
LOGDIR ?= runs/rl2-bandit-$(shell date +%Y%m%d-%H%M%S)

# Tests start hundreds of processes; without bytecode each of them would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help train test quick mutants soak bench lint types layers check clean

help:  ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

# Installed again only when the packaging changes: the install is editable.
$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "samplerkit needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	@$(INSTALL) '.[dev]' || \
	  { echo "samplerkit could not be installed with $$($(BIN)/python -V). Where pip found no version of a package for" \
	    "it (TensorFlow follows a new Python by months), take an older one:" \
	    "make clean; make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)" >&2; exit 1; }
	@touch $@

train: $(VENV)/installed  ## train RL2 on the bandit, sampled by worker processes (LOGDIR=..., SAMPLER=...)
	$(BIN)/samplerkit train rl2-bandit --sampler $(SAMPLER) --logdir $(LOGDIR) --require-target

test: check  ## every check and every test
	$(BIN)/python -m pytest -n 2 --dist loadscope

quick: $(VENV)/installed  ## the tests that take no more than a second or two each
	$(BIN)/python -m pytest -n 2 --dist loadscope -m 'not slow'

mutants: $(VENV)/installed  ## does the contract suite find every backend that is broken on purpose? (half an hour)
	$(BIN)/python -m samplerkit.contract.mutants

soak: $(VENV)/installed  ## odd but right backends, twenty times under load: does the suite raise false alarms? millions of steps among deaths
	$(BIN)/python -m samplerkit.contract.mutants.soak --times 20
	SAMPLERKIT_SOAK=1 $(BIN)/python -m pytest tests/test_thirdparty.py tests/multiprocessing_backend/test_soak.py

bench: $(VENV)/installed  ## measure all backends and peers, and write docs/benchmarks.md (an hour on a quiet machine)
	$(INSTALL) '.[bench]'
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --page

check: lint types layers  ## style, types and layers

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

layers: $(VENV)/installed
	$(BIN)/lint-imports

clean:  ## remove what these commands made, but for runs
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
