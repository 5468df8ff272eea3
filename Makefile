.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A file runs in one process, as its fixtures expect; there are as many processes as cores.
PYTEST := python -m pytest --hypothesis-profile=ci --numprocesses=auto --dist=loadfile
# The oldest Python and the oldest direct dependencies that pyproject.toml allows.
LOWEST_PYTHON ?= python3.11
LOWEST := .venv-lowest
NEWEST := .venv-newest
comma := ,
UV_INSTALL = $(1)/bin/uv pip install --quiet --python $(1)/bin/python --editable '.[$(2)]'

.PHONY: help demo test test-lowest test-newest thorough mutants check format programs bench soak release-notes clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,providers]'
	@touch $@

demo: $(STAMP) ## Replay a day of requests and see what each strategy saves
	$(BIN)/llm-optimizers demo

test: $(STAMP) ## Run every test, the notebooks among them
	$(BIN)/$(PYTEST)

$(LOWEST)/.installed: pyproject.toml
	$(LOWEST_PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(call UV_INSTALL,$(LOWEST),dev) --resolution lowest-direct
	@touch $@

test-lowest: $(LOWEST)/.installed ## Run every test on the oldest versions that are allowed
	$(LOWEST)/bin/$(PYTEST)

test-newest: ## Run every test on the newest versions of today
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(call UV_INSTALL,$(NEWEST),dev$(comma)providers) --refresh
	$(NEWEST)/bin/uv pip list --python $(NEWEST)/bin/python
	$(NEWEST)/bin/$(PYTEST)

thorough: $(STAMP) ## Try every property on 1,000 examples, others each time
	$(BIN)/python -m pytest tests -m hypothesis --hypothesis-profile=thorough

mutants: $(STAMP) ## List changes of the deciding modules that no test notices (half an hour)
	$(BIN)/python scripts/mutants.py

check: $(STAMP) ## Lint, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP) ## Rewrite the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

programs: $(STAMP) ## Install the Debian packages that marked tests need (as root)
	packages=$$($(BIN)/python tests/support/programs.py) && \
	if [ -n "$$packages" ]; then apt-get update && apt-get install --yes $$packages; fi

bench: $(STAMP) ## Measure the quick benchmarks, keep them for this version, compare with the last
	$(BIN)/python benchmarks/release.py $(if $(FAIL_OVER),--fail-over $(FAIL_OVER))

soak: $(STAMP) ## Load everything for a minute: is a call lost, an answer crossed, a thread left?
	$(BIN)/python benchmarks/soak.py --check

release-notes: ## Print the changelog of the version in pyproject.toml
	@$(PYTHON) scripts/release_notes.py

clean: ## Remove the environments and every cache
	rm -rf $(VENV) .venv-* build dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
