# `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
PYTHON ?= python3
RUN := $(VENV)/bin/python
CLUSTER := $(RUN) -m tests.cluster
GATEWAY ?= standin

.PHONY: help up down shell demo test unit tools e2e lint fmt docs site bench lock clean

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/.done: requirements.lock tests/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=python3.12 make …)"; exit 1; }
	@echo "installing locked dependencies into $(VENV) …"
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { echo "python3-venv is missing: apt-get install python3-venv"; exit 1; }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.lock
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

up: $(VENV)/.done ## start a real Kubernetes with the operator in it
	@$(CLUSTER) up

shell: $(VENV)/.done ## a shell in it, with kubectl
	@$(CLUSTER) shell

down: $(VENV)/.done ## end it
	@$(CLUSTER) down

demo: $(VENV)/.done ## a good change promoted, bad ones taken back, an emergency bypass (GATEWAY=standin|ferro)
	@$(RUN) -m tests.demo --gateway $(GATEWAY)

test: lint tools unit e2e ## everything that CI runs

lint: $(VENV)/.done ## ruff and mypy
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy

fmt: $(VENV)/.done ## format the code
	@$(VENV)/bin/ruff check --fix-only --quiet
	@$(VENV)/bin/ruff format

unit: $(VENV)/.done ## tests that need nothing
	@$(VENV)/bin/pytest -n 2 tests/unit

tools: $(VENV)/.done ## build helm, promtool, prometheus and kstatus, once
	@$(RUN) -m tests.tools

e2e: $(VENV)/.done ## tests on a real cluster
	@$(RUN) -m tests.e2e

bench: $(VENV)/.done ## the published numbers, as JSON in build/bench
	@$(RUN) -m tests.bench

docs: $(VENV)/.done ## write the generated pages of docs/
	@$(RUN) docs/generate.py
	@$(RUN) charts/generate.py
	@$(RUN) docs/gitops/argocd/generate.py

site: $(VENV)/.done ## the docs as a site, in build/site; a dead link ends it
	@$(VENV)/bin/properdocs build --strict --quiet
	@echo "build/site/index.html"

lock: $(VENV)/.done ## lock the dependencies again (needs uv)
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.lock
	@uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev -c requirements.lock pyproject.toml -o tests/requirements.lock
	@echo "ferrogw==1.5.10" | uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header - -o tests/cluster/ferrogw.lock

clean: ## remove what was built here (not the user cache)
	@rm -rf build $(VENV)
