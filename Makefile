# Two commands need nothing but git, make and Python 3.11 or 3.12: `make run` and `make test`.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: run test slow setup weights lock deps lint types format clean help

run: weights  ## Driving logs in, a gated and registered model out (ARGS="--profile debug" for a quick look)
	$(BIN)/worldmodel run $(ARGS)

test: weights lint types  ## The tests, the linter and the type checker
	$(BIN)/python -m pytest $(ARGS)

slow: weights  ## The end-to-end runs of several minutes each
	$(BIN)/python -m pytest -m slow $(ARGS)

setup: weights  ## The locked dependencies in .venv, and the metrics' weights in the user's cache

weights: $(VENV)/ready
	@$(BIN)/worldmodel metrics fetch-weights --quiet

# torch stands apart: its hash differs between the CPU and the CUDA wheel, so it is locked by version.
$(VENV)/ready: requirements/lock.txt requirements/torch.txt requirements/oracles.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed: make setup PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --upgrade \
	  --target $(VENV)/oracles -r requirements/oracles.txt
	$(BIN)/python -m pip check
	@touch $@

lock:  ## Resolve pyproject.toml into requirements/lock.txt anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet --upgrade \
	  --override requirements/no-torch.txt --extra train --extra validate --extra postgres --extra cuda --extra dev \
	  pyproject.toml requirements/lock.in --output-file requirements/lock.txt

deps: $(VENV)/ready  ## Write each stage's code files into dvc.yaml
	$(BIN)/python -m flows.closure

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

format: $(VENV)/ready  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## Remove the virtual environment; runs and models (.worldmodel) stay
	rm -rf $(VENV)

help:
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10
