# Only sets things up and starts them; everything else is the `inferq` command.
#   make demo                          the main job on real data, ends by itself
#   make test PYTHON=python3.13 VENV=.venv-3.13
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.inferq-installed
# Without PYTHON=…, the first of these that runs and is new enough. A name that only a shim knows does not run.
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3)

.DEFAULT_GOAL := help
# Jobs that `make soak` sends through the faults.
JOBS ?= 1000000
# Inputs that `make fuzz` makes for all that reads some.
INPUTS ?= 100000

.PHONY: help setup demo test check bench bench-growth bench-urgent bench-eta fuzz soak up lock licences audit

help:
	@echo "make demo | test | check | bench | bench-growth | bench-urgent | bench-eta | fuzz | soak | audit | licences | up"
	@echo "PYTHON=… and VENV=… choose another Python"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@for candidate in $(CANDIDATES); do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then \
	  echo "inferq needs Python 3.11 or newer; tried: $(CANDIDATES). Install one, or name it: make PYTHON=/path/to/python3" >&2; \
	  exit 1; fi; \
	if [ ! -x $(BIN)/pip ] && ! out=$$("$$python" -m venv $(VENV) 2>&1); then \
	  echo "$$python cannot make a virtual environment in $(VENV) (on Debian: apt install python3-venv): $$(echo "$$out" | tail -n 1)" >&2; \
	  exit 1; fi
	@echo "Installing into $(VENV) (once, a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP)
	@$(BIN)/inferq demo

up: $(STAMP)
	@$(BIN)/inferq up

test: $(STAMP)
# Most of a test is waiting for processes, so three share two cores well.
	@$(BIN)/python -m pytest -n 3 $(ARGS)

check: $(STAMP)
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/inferq db check --scratch

bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(ARGS)

# Takes a while: a million queued jobs, ten million stored results.
bench-growth: $(STAMP)
	@$(BIN)/python -m benchmarks.growth $(ARGS)

bench-urgent: $(STAMP)
	@$(BIN)/python -m benchmarks.urgent $(ARGS)

bench-eta: $(STAMP)
	@$(BIN)/python -m benchmarks.eta

# Minutes: messages, signatures, settings, artifacts and command lines, random and mutated.
fuzz: $(STAMP)
	@$(BIN)/python tests/fuzz/fuzzing.py --inputs $(INPUTS) $(ARGS)

# Every fault of docs/reliability.md at full length, on both stores: hours, with a million jobs.
soak: $(STAMP)
	@$(BIN)/python tests/chaos/soak.py --jobs $(JOBS) $(ARGS)

# After a change of dependencies in pyproject.toml. The image takes the same versions, without tools and broker.
UV ?= uv
LOCK := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate
IMAGE_EXTRAS := worker postgres flower gateway

lock:
	@$(LOCK) --all-extras --group dev pyproject.toml -o requirements.lock
	@$(LOCK) $(addprefix --extra ,$(IMAGE_EXTRAS)) -c requirements.lock pyproject.toml -o requirements-image.lock

# After `make lock` and `make setup`: docs/licences.md, from what is installed.
licences: $(STAMP)
	@$(BIN)/python deploy/dependencies/licences.py

# Known vulnerabilities of what is locked. Needs pip-audit on the PATH and a network.
audit: $(STAMP)
	@$(BIN)/python deploy/dependencies/audit.py
