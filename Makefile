# `make` lists the targets. All that is needed: Python 3.11 or newer, git, make.

PYTHON ?= python3
OUT ?= runs
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Idle OpenMP threads sleep instead of spinning: torch, faiss and other programs share the cores.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help install run browser test campaign docs lint format clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

install: $(INSTALLED) ## Create .venv and install the project with its development tools

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	@echo 'Installing into $(VENV): one to three minutes'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
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

clean: ## Remove .venv, caches and build products; runs are kept
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find purify purify_demo flows tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
