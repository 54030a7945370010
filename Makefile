# `make` lists the targets. All that is needed: Python 3.11 (3.11.5 or newer), 3.12 or 3.13, git, make.

PYTHON ?= python3
OUT ?= runs
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

# Idle OpenMP threads sleep instead of spinning: torch, faiss and other programs share the cores.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help install run browser test campaign mutants docs lint format constraints sbom wheel-test clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 13

install: $(INSTALLED) ## Create .venv and install the project with its development tools

# First what has hashes, then torch in the build that the index offers, then the project by the backend among the first.
$(INSTALLED): pyproject.toml constraints.txt requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 5))' || \
		{ echo 'Python 3.11.5 or newer is needed; name it with: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@echo 'Installing into $(VENV): one to three minutes'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes --no-deps -r requirements.txt
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet --no-deps --no-build-isolation -e .
	$(PIP) check
	@touch $@

run: $(INSTALLED) ## Purify the built-in demo set; prints where the report is
	$(BIN)/purify run-flow --out '$(OUT)'

browser: ## Install Chromium for the browser tests, where there is none (as root on Debian)
	@for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo 'Installing Chromium'; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium && exit 0; \
	fi; \
	echo 'No Chromium: the browser tests will be skipped'

test: $(INSTALLED) ## Run the whole test suite, slow tests included
	$(BIN)/python -m pytest -m ''

campaign: $(INSTALLED) ## Faults in every stage, bytes flipped, inputs damaged; the long form: KILLS=12 INPUTS=2000
	$(BIN)/python -m tests.campaign --kills '$(or $(KILLS),2)' --inputs '$(or $(INPUTS),100)'

mutants: $(INSTALLED) ## Change the analysis in small ways and count what the tests notice; MUTANTS=400 draws more
	$(BIN)/python -m tests.mutation --mutants '$(or $(MUTANTS),200)'

docs: $(INSTALLED) ## Build the documentation site into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo 'Open build/site/index.html; with search: python3 -m http.server --bind 127.0.0.1 --directory build/site'

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED) ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(INSTALLED) ## Renew constraints.txt and requirements.txt; UPGRADE=1 takes the newest releases
	$(BIN)/python scripts/renew_pins.py $(if $(UPGRADE),--upgrade)

sbom: $(INSTALLED) ## List what is installed, with licenses and hashes, as CycloneDX: dist/purify.cdx.json
	$(BIN)/python scripts/write_sbom.py dist/purify.cdx.json

wheel-test: $(INSTALLED) ## Build the wheel, resolve it for Python 3.11 to 3.13, with and without extras, and install it
	$(BIN)/python scripts/try_wheel.py --constraints constraints.txt

clean: ## Remove .venv, caches and build products; runs are kept
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find purify purify_demo flows tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
