# The only door: everything a person or CI does with this repository is a target here. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
MODE ?= auto
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LEPTON := $(BIN)/lepton
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(if $(filter 1,$(shell test -t 1 && echo 1)),,--quiet)

# Hundreds of processes are started; without it each would compile all modules anew.
export PYTHONDONTWRITEBYTECODE :=

# Files side by side, as each has its own servers; two, as the servers need cores as well. Faults are tested one by one:
# their tests say how soon something must be back.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup proto check test test-unit test-integration test-e2e test-chaos demo up down status logs bench clients clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make the virtual environment with everything in it (done by the other targets when needed)

$(READY): pyproject.toml constraints.txt examples/requirements.txt hatch_build.py $(wildcard protos/lepton_ai/v1/*.proto)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else f"Python 3.11 or 3.12 is needed, this is {v[0]}.{v[1]}. Choose another one: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	@echo "Setting up $(VENV): dependencies and generated code. The first time downloads about 1 GB."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --no-compile -c constraints.txt -e '.[dev]'
	@$(PIP) --no-compile --no-deps -r examples/requirements.txt
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true # on all cores, where pip takes one; templates are no modules
	@touch $@

proto: $(READY) ## Generate the Python code of the contracts again
	@$(BIN)/python hatch_build.py

check: $(READY) ## Lint, format check, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check ## Everything: checks, unit, integration, end to end, chaos
	$(BIN)/pytest tests/unit -n auto
	$(BIN)/pytest tests/integration tests/e2e $(SIDE_BY_SIDE)
	$(BIN)/pytest tests/chaos

test-unit: $(READY) ## Unit tests only: no sockets, seconds
	$(BIN)/pytest tests/unit -n auto

test-integration: $(READY) ## Against real etcd, Triton and gRPC
	$(BIN)/pytest tests/integration $(SIDE_BY_SIDE)

test-e2e: $(READY) ## Against the whole local stack
	$(BIN)/pytest tests/e2e $(SIDE_BY_SIDE)

test-chaos: $(READY) ## The local stack under kill -9, drains and outages
	$(BIN)/pytest tests/chaos

demo: $(READY) ## A photo in, a label out, and its trace: starts the stack if none is up
	@$(BIN)/python -m examples.demo --mode $(MODE)

up: $(READY) ## Start the platform: docker compose with a Docker engine, else local processes (MODE=local|docker)
	@$(LEPTON) up --mode $(MODE)

down: $(READY) ## Stop everything that up or demo started
	@$(LEPTON) down

status: $(READY) ## What runs, where, since when
	@$(LEPTON) status

logs: $(READY) ## The newest log lines of every part
	@$(LEPTON) logs

bench: $(READY) ## Speed against a bare loop and bare Triton, as ratios
	$(BIN)/python -m benchmarks

clients: $(READY) ## Generate clients from protos/ for Python, Go and TypeScript into clients/
	@$(BIN)/python protos/clients.py

clean: ## Remove what can be made again (not .lepton/, which holds your models)
	rm -rf $(VENV) build dist clients .mypy_cache .ruff_cache .pytest_cache .hypothesis lepton_ai/v1/*_pb2*
