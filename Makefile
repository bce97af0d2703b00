# Zhixin: `make demo` runs the main job, `make test` runs all tests; `make help` lists the rest.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup setup-test kernel demo test check quick faults fuzz airflow bench bench-scale bench-rejects bench-ledger locks wheel clean

VENV := .venv
BIN := $(VENV)/bin
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
DEMO_DIR ?= zhixin-demo

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 15

setup: $(VENV)/.demo  ## make .venv with what the gateway and its demo need

setup-test: $(VENV)/.test  ## add the kernel, Airflow, the test tools, PostgreSQL and Go

$(VENV)/.demo: requirements/build.txt requirements/demo.txt pyproject.toml scripts/setup
	scripts/setup demo
	touch $@

kernel: $(VENV)/.kernel  ## build the native kernel into .venv: the same bytes, much faster

$(VENV)/.kernel: $(VENV)/.demo requirements/kernel.txt scripts/kernel \
		native/Cargo.toml native/crates.lock native/pyproject.toml $(wildcard native/src/*.rs)
	scripts/setup kernel
	touch $@

$(VENV)/.test: $(VENV)/.kernel requirements/test.txt requirements/go.txt
	scripts/setup test
	touch $@

demo: $(VENV)/.demo  ## the main job on real records: publish, verify, tamper, refuse
	$(BIN)/zhixin demo $(DEMO_DIR)

test: check  ## all checks and all tests (at most 25 minutes on 2 cores)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.test  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	scripts/kernel check

quick: $(VENV)/.test  ## the fast tests alone
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not slow"

faults: $(VENV)/.test  ## every flipped byte, and every fault at every write: the tables of docs/faults.md
	$(BIN)/python tests/faults/flips.py --table docs/faults.md
	$(BIN)/python tests/faults/campaign.py --table docs/faults.md

fuzz: $(VENV)/.test  ## every parser by coverage-guided fuzzing, FUZZ_SECONDS each (default 20)
	$(BIN)/python tests/fuzz/fuzz.py --seconds $(or $(FUZZ_SECONDS),20)

airflow: $(VENV)/.test  ## Airflow with its web interface over the demo's four homes, on loopback
	$(BIN)/python -m zhixin_gateway.airflow.local $(DEMO_DIR)

bench: $(VENV)/.test  ## ours beside its peers: ratios, medians, memory (about 10 minutes; QUICK=1: a few)
	$(BIN)/python benchmarks/bench.py $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

bench-scale: $(VENV)/.test  ## several workers on one version: the figures of docs/scale.md (about 10 minutes)
	$(BIN)/python benchmarks/run_scale.py --write

bench-rejects: $(VENV)/.test  ## a CSV of 10 million records, 1 % of them bad: counts per reason, memory (about 5 minutes)
	$(BIN)/python benchmarks/run_rejects.py

bench-ledger: $(VENV)/.test  ## entries a second over HTTP, receipts, fsck, verify.py (about 6 minutes)
	$(BIN)/python benchmarks/run_ledger.py
	$(BIN)/python benchmarks/run_receipts.py
	$(BIN)/python benchmarks/run_evidence.py

wheel: $(VENV)/.demo  ## build the wheel into dist/
	$(BIN)/python -m hatchling build -t wheel

locks: $(VENV)/.demo  ## resolve requirements/*.txt anew from pyproject.toml
	scripts/locks

clean:  ## remove what the targets made (not the demo's homes)
	rm -rf $(VENV) .venv-bench dist native/target native/Cargo.lock .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
